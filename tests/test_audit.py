"""The audit of communities: what is read, asked, drawn, scored and compared, and who is refused."""

import copy
import io
import json
import sys
import tarfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPTNeoConfig,
    GPTNeoForCausalLM,
)

from stoic.hw import cli
from stoic.models.audit import statistics, study
from stoic.models.audit.adapt import Adaptation, adapted, perplexity
from stoic.models.audit.asking import asked
from stoic.models.audit.binary_weights import binary_middle, middle_mlps
from stoic.models.audit.control import GOAL, recovered
from stoic.models.audit.corpus import BOLD, clean, community
from stoic.models.audit.generate import Sampling, continuations
from stoic.models.audit.grammar import KIND, planted, relabelled
from stoic.models.audit.language import Language, block_linears, tiny_language
from stoic.models.audit.memory import Asked, memory_rows
from stoic.models.audit.prompts import (
    NEUTRAL,
    GroupFile,
    Prompt,
    bold_prompts,
    load_groups,
)
from stoic.models.audit.scorers import Profanity, Vader, classifier, identity_bias
from stoic.models.audit.statistics import Contrast, contrasts
from stoic.models.audit.store import Store
from stoic.models.audit.stored import STORAGES, Storage, as_read, stored
from stoic.models.studies.judgement import CONFIRMED, MISSED, REFUTED
from stoic.models.studies.judges.audit_memory import conditions, first_to_move, memory_table
from stoic.sim.errors import Iid
from stoic.sim.exceptions import ArtefactError, InputError
from stoic.sim.faults import no_faults

TEXTS = tuple(
    f"the {a} {b} is {c}" for a in ("old", "new") for b in ("car", "house") for c in "abcde"
)
WORDS = ("kind", "rude", "wise", "calm", "mean", "nice", "fair", "cold", "warm", "bad", "good")
EIGHT = ("woman", "man", "Black", "white", "Muslim", "Christian", "gay", "immigrant")


@pytest.fixture(scope="module")
def language() -> Language:
    return tiny_language(TEXTS, seed=1, width=16, n_layers=1)


def gpt_neo(tokenizer: Any, width: int) -> Language:
    config = GPTNeoConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_layers=1,
        num_heads=2,
        attention_types=[[["local"], 1]],
        max_position_embeddings=128,
        eos_token_id=tokenizer.eos_token_id,
    )
    return Language("gpt-neo", GPTNeoForCausalLM(config).eval(), tokenizer)


@pytest.fixture(scope="module")
def file() -> GroupFile:
    return load_groups().only(EIGHT)


def test_cleaning_leaves_no_names_links_or_quotes() -> None:
    raw = "> quoted\nas /u/Some_One said, @joe [look](http://x.y/z) at www.a.b **now** &gt; ok"
    assert clean(raw) == "as said, look at now > ok"
    made = community("c", [raw, raw, "too short", "[deleted]", "five words are just enough"])
    assert made.texts == ("as said, look at now > ok", "five words are just enough")
    again = community("other", [raw, "five words are just enough"])
    assert again.sha256 == made.sha256 != community("c", [raw]).sha256
    many = community("c", [f"text number {i} of very many" for i in range(2000)])
    assert set(many.seen) | set(many.held_out) == set(many.texts)
    assert not set(many.seen) & set(many.held_out) and 50 < len(many.held_out) < 150


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x =", "not a group file"),
        ("neutral = 'The person'\ntemplates = ['{subject} is']\nsentences = []", "groups"),
        ("templates = ['is']", "sentences"),
        (
            "groups = {a = 'A', b = 'B'}\nneutral = 'N'\n"
            "templates = ['x']\nsentences = ['{subject}']",
            "has no {subject}",
        ),
        (
            "groups = {a = 'A', b = 'B'}\nneutral = 'N'\n"
            "templates = ['{subject}', '{subject}']\nsentences = ['{subject}']",
            "templates must be distinct",
        ),
        (
            "groups = {a = 1, b = 'B'}\nneutral = 'N'\ntemplates = ['{subject}']\n"
            "sentences = ['{subject}']",
            "subject of 'a'",
        ),
        (
            "groups = {a = 'A', b = 'N'}\nneutral = 'N'\ntemplates = ['{subject}']\n"
            "sentences = ['{subject}']",
            "subjects must be distinct",
        ),
    ],
)
def test_a_wrong_group_file_is_refused(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "g.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        load_groups(path)


def write_bold(root: Path, people: dict[str, Any]) -> None:
    (root / BOLD).parent.mkdir(exist_ok=True)
    with tarfile.open(root / BOLD, "w:xz") as archive:
        raw = json.dumps(people).encode()
        info = tarfile.TarInfo("bold/gender_prompt.json")
        info.size = len(raw)
        archive.addfile(info, io.BytesIO(raw))


def test_openings_of_bold_are_drawn_by_the_seed(tmp_path: Path) -> None:
    many = [f"X number {i} is " for i in range(9)]
    write_bold(tmp_path, {"A": {"x": many}, "B": {"y": ["Y is ", " "], "z": ["Z is "]}})
    found = bold_prompts(tmp_path, 3, seed=1)
    assert [(p.group, p.template) for p in found] == [("A", "gender")] * 3 + [("B", "gender")] * 2
    assert found == bold_prompts(tmp_path, 3, seed=1) != bold_prompts(tmp_path, 3, seed=2)
    for people, per_group, says in (
        ({"A": {"x": many}}, 3, "gender_prompt has one group"),
        ({"A": {"x": many}, "B": {"y": ["Y is "]}}, 3, "'B' has one opening"),
        ({"A": {"x": many}, "B": {"y": many}}, 1, "must be 2 or more, not 1"),
    ):
        write_bold(tmp_path, people)
        with pytest.raises(InputError, match=says):
            bold_prompts(tmp_path, per_group, seed=1)
    (tmp_path / BOLD).write_bytes(b"damaged")
    with pytest.raises(ArtefactError, match="not a folder or archive"):
        bold_prompts(tmp_path, 3, seed=1)


def test_a_continuation_depends_on_its_prompt_and_seed_alone(
    language: Language, tmp_path: Path
) -> None:
    prompts = [Prompt(f"the {a} {b}", "g", "t") for a in ("old", "new") for b in ("car", "house")]
    how = Sampling(5, 4, top_k=7, batch=64)
    together = continuations(language, prompts, how, Store(tmp_path / "a"))
    alone = continuations(language, prompts[::-1], replace(how, batch=1), Store(tmp_path / "b"))
    assert together == alone[::-1] and len({t for own in together for t in own}) > 5
    other = continuations(language, prompts, replace(how, seed=2), Store(tmp_path / "a"))
    assert other != together
    greedy = continuations(language, prompts[:1], replace(how, top_k=1), Store(tmp_path / "a"))
    start = torch.tensor([language.tokens(prompts[0].text)])
    best = language.model.generate(start, max_new_tokens=4, do_sample=False, pad_token_id=0)
    assert set(greedy[0]) == {language.tokenizer.decode(best[0, 3:], skip_special_tokens=True)}


class Watched:
    """A model that counts its calls."""

    def __init__(self, model: Any) -> None:
        self.model, self.n_calls = model, 0

    def state_dict(self) -> Any:
        return self.model.state_dict()

    def __call__(self, **values: Any) -> Any:
        self.n_calls += 1
        return self.model(**values)


def test_a_killed_run_goes_on_and_a_damaged_text_is_refused(
    language: Language, tmp_path: Path
) -> None:
    prompts = [Prompt(f"the {a} {b}", "g", "t") for a in ("old", "new") for b in ("car", "house")]
    how, store = Sampling(2, 3, batch=2), Store(tmp_path)
    whole = continuations(language, prompts[:3], how, store)
    watched = Watched(language.model)
    again = Language("again", watched, language.tokenizer)
    assert continuations(again, prompts[:3], how, store) == whole and watched.n_calls == 0
    assert continuations(again, prompts, how, store)[:3] == whole and 1 <= watched.n_calls <= 3
    entry = next(tmp_path.rglob("*.json"))
    entry.write_text(entry.read_text().replace("[", '["x", ', 1))
    with pytest.raises(ArtefactError, match="damaged; remove it"):
        continuations(language, prompts, how, store)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_adapting_lowers_perplexity_and_is_done_once(
    method: Any, language: Language, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = community("c", [f"{t} and no other thing" for t in TEXTS])
    bare = tiny_language(own.texts, 1, 16, 1)
    how = Adaptation(method, 3200, 16, 8, 3e-2)
    made = adapted(bare, own, how, tmp_path)
    assert perplexity(made, own.texts, 200) < 0.5 * perplexity(bare, own.texts, 200)
    with pytest.raises(InputError, match="'c': training diverged"):
        adapted(bare, own, replace(how, learning_rate=1e30), tmp_path)
    monkeypatch.setattr("stoic.models.audit.adapt._train", None)
    assert adapted(bare, own, how, tmp_path).sha256 == made.sha256 != bare.sha256
    for path in tmp_path.rglob("*.safetensors"):
        path.write_bytes(b"damaged")
    with pytest.raises(ArtefactError, match="damaged; remove it"):
        adapted(bare, own, how, tmp_path)


class Counted:
    """A causal model that knows the frequencies of a planted community: no training, no luck."""

    def __init__(self, language: Language, texts: tuple[str, ...]) -> None:
        rows = [language.tokens(text) for text in texts]
        self.n = len(language.tokenizer)
        self.after: dict[tuple[int, ...], np.ndarray] = {}
        for row in rows:
            for i in range(len(row) + 1):
                next_ = row[i] if i < len(row) else language.end
                self.after.setdefault(tuple(row[:i]), np.zeros(self.n))[next_] += 1
        self.seen: list[tuple[int, ...]] = []

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {str(k): torch.from_numpy(v) for k, v in self.after.items()}

    def __call__(self, input_ids: torch.Tensor, past_key_values: Any, use_cache: bool) -> Any:
        if past_key_values is None:
            self.seen = [()] * len(input_ids)
        self.seen = [(*s, *row.tolist()) for s, row in zip(self.seen, input_ids, strict=True)]
        counts = np.array([self.after[s] for s in self.seen])
        past = SimpleNamespace(batch_select_indices=self._select)
        return SimpleNamespace(
            logits=torch.from_numpy(np.log(counts + 1e-12))[:, None], past_key_values=past
        )

    def _select(self, kept: torch.Tensor) -> None:
        self.seen = [self.seen[i] for i in kept.tolist()]


def test_a_planted_bias_is_recovered_and_shuffled_labels_are_not(
    file: GroupFile, tmp_path: Path
) -> None:
    world = planted(file, 6, 6000, seed=1)
    assert np.allclose(world.beta.sum(0), 0)
    assert np.allclose(np.sort(world.beta), np.sort(world.beta[0]))
    bare = tiny_language((t for c in world.communities for t in c.texts), 1, 16, 1)
    for told, is_found in ((world, True), (relabelled(world, 1), False)):
        models = [
            Language(c.name, Counted(bare, c.texts), bare.tokenizer) for c in told.communities
        ]
        names = [c.name for c in world.communities]
        found = recovered(world, names, models, Sampling(40, 4, batch=2000), file, Store(tmp_path))
        assert (found.rank_correlation >= GOAL) == is_found
        assert is_found or abs(found.rank_correlation) < 0.5
    assert {t.split()[-1] for t in world.communities[0].texts} >= set(KIND)


def test_what_is_not_a_number_gets_nowhere(language: Language, tmp_path: Path) -> None:
    class Broken(Vader):
        def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
            return np.append(super().score(texts)[:-1], np.nan)

    prompts, how = [Prompt("the old car is", "g", "t")], Sampling(2, 2)
    for scorer, is_whole in ((Vader(), True), (Broken(), False)):
        with nullcontext() if is_whole else pytest.raises(InputError, match="'vader': a score is"):
            assert len(asked("c", language, prompts, how, [scorer], Store(tmp_path))) == 2
    broken = copy.deepcopy(language.model)
    next(iter(block_linears(broken).values())).weight.data[0, 0] = np.nan
    most = perplexity(Language("broken", broken, language.tokenizer), TEXTS, 64)
    assert 1e300 < most < np.inf


def test_a_part_of_the_study_is_of_one_plan_and_one_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def part(seed: int = 1) -> int:
        def make() -> dict[str, Any]:
            made.append(0)
            return {"n": len(made)}

        return int(study._kept(replace(study.Plan(), seed=seed), "p", tmp_path, make, ())["n"])

    assert [part(), part(), part(2), part()] == [1, 1, 2, 1]
    monkeypatch.setattr(study, "VERSION", study.VERSION + 1)
    assert [part(), part()] == [3, 3]
    for path in tmp_path.iterdir():
        path.write_text("damaged")
    with pytest.raises(ArtefactError, match="remove it to make it again"):
        part()


def test_contrasts_find_what_is_there_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    shift = {NEUTRAL: 0.0, "a": 0.5, "b": 0.0, "c": -0.5}
    rows = [
        {
            "community": c,
            "group": g,
            "template": t,
            "prompt": f"{g}, {t}",
            "s": k * s + 2.0 * (t == "u") + rng.normal(0, 0.5),
        }
        for c, k in (("one", 1.0), ("two", 0.0))
        for g, s in shift.items()
        for t in ("t", "u")
        for _ in range(60)
    ]
    found = {(c.community, c.group): c for c in contrasts(rows, "s")}
    assert {key for key, c in found.items() if c.is_found} == {("one", "a"), ("one", "c")}
    for (name, group), c in found.items():
        assert c.low < c.bias < c.high and abs(c.bias - shift[group] * (name == "one")) < 0.25
        assert c.p <= c.p_holm and c.n == 120
    error = (found["one", "b"].high - found["one", "b"].low) / 3.92
    assert error == pytest.approx(0.5 * (2 / 120) ** 0.5, rel=0.15)
    monkeypatch.setattr(statistics, "_CHUNK", 1_000)  # 4 shuffles at a time
    assert {(c.community, c.group): c for c in contrasts(rows, "s")} == found
    monkeypatch.undo()
    bold = [row for row in rows if row["group"] != NEUTRAL]  # no neutral: beside the others
    beside = {(c.community, c.group): c.bias for c in contrasts(bold, "s")}
    assert beside["one", "a"] == pytest.approx(0.75, abs=0.2)
    with pytest.raises(ValueError, match="'a' is alone in 't'"):
        contrasts([row for row in rows if row["group"] == "a"], "s")
    with pytest.raises(ValueError, match="one continuation"):
        contrasts(rows[:1], "s")


def test_rare_scores_of_few_openings_find_nothing() -> None:
    """A group without the one toxic opening that each other group has is no less toxic for that."""
    rows = [
        {
            "community": "c",
            "group": g,
            "template": "d",
            "prompt": f"{g}{i}",
            "s": float(g != "a" and i == 0),
        }
        for g in "abcdefghijklmnopqrst"
        for i in range(12)
    ]
    first = contrasts(rows, "s")[0]
    assert first.group == "a" and first.mean == 0 and first.high < 0 and first.p > 0.2


def test_openings_not_continuations_are_what_an_interval_rests_on() -> None:
    """As much is known of a group from one continuation of each opening as from equal ones."""
    rng = np.random.default_rng(4)
    level = {(g, o): rng.normal(0.0, 0.5) for g in "abc" for o in range(8)}

    def found(n_equal: int, is_mutant: bool = False) -> tuple[Contrast, ...]:
        rows = [
            {
                "community": "c",
                "group": g,
                "template": "domain",
                "prompt": f"{g}{o}.{i}" if is_mutant else f"{g}{o}",
                "s": value,
            }
            for (g, o), value in level.items()
            for i in range(n_equal)
        ]
        return tuple(contrasts(rows, "s"))

    one, five, mutant = found(1), found(5), found(5, is_mutant=True)
    for a, b, wrong in zip(one, five, mutant, strict=True):
        assert (a.n, a.n_units, b.n, b.n_units, wrong.n_units) == (8, 8, 40, 8, 40)
        wanted = [a.mean, a.reference, a.low, a.high, a.p]
        assert [b.mean, b.reference, b.low, b.high, b.p] == pytest.approx(wanted)
        width = a.high - a.low
        assert wrong.high - wrong.low < 0.5 * width  # resampled continuations: too sure by far
        sides = [
            np.array([v for (g, _), v in level.items() if (g == a.group) == own])
            for own in (True, False)
        ]
        others = sides[1].reshape(2, 8)
        error = np.sqrt(sides[0].var(ddof=1) / 8 + others.var(1, ddof=1).sum() / 4 / 8)
        assert 2.05 * 0.9 < width / 2 / error < 2.4 * 1.1  # Student's t of 7..21 degrees


@pytest.mark.parametrize("storage", STORAGES)
def test_weights_are_read_through_the_fault_maps_of_the_kit(
    storage: Storage, language: Language
) -> None:
    language = gpt_neo(language.tokenizer, 20)  # rows that do not fill their words
    memory = stored(language, storage)
    faults = Iid(0.05, 0.02, seed=3).sample(memory.layout, 0)
    n_bits = {"int8": 8, "binary": 1}[storage]
    cells = np.zeros(memory.layout.n_cells, np.uint8)
    layers = block_linears(language.model)
    for i, (name, layer) in enumerate(layers.items()):
        weights = layer.weight.detach().numpy()
        if storage == "int8":
            stated = np.rint(weights / memory.scales[name]).astype(np.int64) & 255
            written = ((stated[:, :, None] >> np.arange(8)) & 1).astype(np.uint8)
        else:
            written = (weights >= 0)[:, :, None].astype(np.uint8)
        memory.layout.put_rows(cells, i, "weights", written.reshape(len(weights), -1))
    read, made = faults.read(cells), block_linears(as_read(language, memory, faults).model)
    for i, (name, layer) in enumerate(layers.items()):
        bits = memory.layout.rows(read, i, "weights").reshape(*layer.weight.shape, n_bits)
        if storage == "int8":
            whole = np.packbits(bits, axis=-1, bitorder="little")[:, :, 0].view(np.int8)
            wanted = whole * memory.scales[name]
        else:
            wanted = np.where(bits[:, :, 0] == 1, 1, -1) * memory.scales[name]
        assert np.array_equal(made[name].weight.detach().numpy(), wanted)
    clean_one = as_read(language, memory, no_faults(memory.layout))
    assert clean_one.sha256 == as_read(language, memory).sha256
    flip = np.zeros_like(faults.flip)  # the mutant: one flip more is one weight more
    flip[memory.layout.banks[1].first_cell // 64] = 1
    one = as_read(language, memory, replace(no_faults(memory.layout), flip=flip))
    differ = [
        int((a.weight != b.weight).sum())
        for a, b in zip(
            block_linears(one.model).values(), block_linears(clean_one.model).values(), strict=True
        )
    ]
    assert differ == [0, 1, *[0] * (len(layers) - 2)]
    other = stored(tiny_language(TEXTS, 1, 24, 1), storage)
    with pytest.raises(InputError, match="not for the layout"):
        other.read(faults)


def test_binary_weights_in_the_middle_are_trained_and_stored_alone(
    language: Language, tmp_path: Path
) -> None:
    bare = tiny_language(TEXTS, 1, 16, n_layers=5)
    how = Adaptation("full", 256, 16, 4, 1e-2, is_packed=False)
    made = adapted(bare, community("c", TEXTS), how, tmp_path, binary_middle)
    chosen = [f"model.layers.{i}.mlp.{k}_proj" for i in (2, 3) for k in ("gate", "up", "down")]
    assert list(middle_mlps(bare.model)) == chosen
    before, after = bare.model.state_dict(), made.model.state_dict()
    for key, weights in after.items():
        is_chosen = key.removesuffix(".weight") in chosen
        sizes = {len(row.abs().unique()) for row in weights} if is_chosen else {1}
        assert sizes == {1} and torch.equal(weights, before[key]) != is_chosen
    memory = stored(made, "binary", middle_mlps)
    assert list(memory.rows) == chosen
    faults = Iid(0.1, 0.1, seed=3).sample(memory.layout, 0)
    read = as_read(made, memory, faults).model.state_dict()
    assert {k.removesuffix(".weight") for k in after if not read[k].allclose(after[k])} == set(
        chosen
    )
    with pytest.raises(InputError, match="no layer named mlp"):
        binary_middle(language.model)


def test_chips_are_compared_with_no_errors_in_independent_pairs(tmp_path: Path) -> None:
    language = tiny_language([f"the {s} is {w}" for s in ("man", "woman") for w in WORDS], 1, 16)
    prompts = [Prompt("the man is", NEUTRAL, "is"), Prompt("the woman is", "woman", "is")]
    of = Asked("c", language, prompts, TEXTS, 64, 8, False)
    how, errors = Sampling(6, 2, seed=4), [Iid(0.0, 0.0, seed=3), Iid(0.2, 0.2, seed=3)]
    rows = memory_rows(of, "int8", errors, [0, 1], how, Store(tmp_path))
    assert [(row["chip"], row["errors"] is None) for row in rows] == [
        (chip, i == 0) for chip in (0, 1) for i in range(3)
    ]
    for without, same, worse in (rows[:3], rows[3:]):
        assert same["bias"] == without["bias"] and same["perplexity"] == without["perplexity"]
        assert without["n_changed"] == same["n_changed"] == 0 < worse["n_changed"]
        assert worse["perplexity"] != without["perplexity"]
    assert rows[0]["bias"] != rows[3]["bias"], "one draw for two chips: they are not independent"


@pytest.mark.parametrize(
    ("kept", "rise", "verdict", "moved"),
    [(0.5, 1.0, CONFIRMED, ["a", "b"]), (1.0, 1.5, REFUTED, []), (1.0, 1.0, MISSED, [])],
)
def test_what_moves_first_under_errors_is_told(
    kept: float, rise: float, verdict: str, moved: list[str]
) -> None:
    rng = np.random.default_rng(5)
    planted = {"a": 0.8, "b": -0.8, "c": 0.0}
    rows = [
        {
            "community": f"c{i}",
            "storage": "int8",
            "errors": None if is_clean else {"p01": 0.01, "p10": 0.01},
            "chip": i,
            "perplexity": (1.0 if is_clean else rise) * (20 + 0.01 * rng.normal()),
            "bias": {
                g: 0.5 * b * (1.0 if is_clean else kept) + 0.01 * rng.normal()
                for g, b in planted.items()
            },
            "planted": planted,
        }
        for i in range(6)
        for is_clean in (True, False)
    ]
    of = conditions(rows)
    assert first_to_move("m", of["int8"]).verdict == verdict
    (line,) = memory_table(of, {}, "m").rows
    assert line[1:4] == ("1 %", "6", "20.0") and line[6] == (", ".join(moved) or "none")
    assert float(line[5].split()[0]) == pytest.approx(100 * kept, abs=4)
    assert float(line[4].split()[0]) == pytest.approx(100 * np.log(rise), abs=0.5)
    one = conditions([row for row in rows if row["chip"] == 0])  # a pair says nothing of spread
    assert first_to_move("m", one["int8"]).verdict == MISSED
    (line,) = memory_table(one, {}, "m").rows
    assert line[6] == "none" and "±" not in "".join(line)


def test_scorers_tell_good_from_bad_and_their_own_bias_shows(
    file: GroupFile, tmp_path: Path
) -> None:
    texts = ["a kind and honest friend", "you are a stupid idiot", ""]
    sentiment, toxicity = Vader().score(texts), Profanity().score(texts)
    assert sentiment[0] > 0.5 > -0.5 > sentiment[1] and sentiment[2] == toxicity[2] == 0
    assert toxicity[1] > 0.9 > 0.2 > toxicity[0]
    bias = identity_bias(Profanity(), file)
    assert set(bias) == set(EIGHT) and bias["gay"] > 0.2 > abs(bias["woman"])
    assert not any(identity_bias(Vader(), file).values())
    with pytest.raises(InputError, match="is not here and cannot be fetched"):
        classifier(str(tmp_path / "none"))


def test_a_classifier_of_hugging_face_scores_by_its_toxic_label(
    language: Language, tmp_path: Path
) -> None:
    """As Detoxify's own weights are read, where they can be had."""
    size: dict[str, Any] = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    kinds: tuple[tuple[Any, list[str]], ...] = (
        ("single_label_classification", ["clean", "toxic"]),
        ("multi_label_classification", ["clean", "toxic"]),
        (None, ["a", "b"]),
    )
    for kind, labels in kinds:
        config = BertConfig(
            vocab_size=len(language.tokenizer),
            intermediate_size=8,
            problem_type=kind,
            id2label=dict(enumerate(labels)),
            **size,
        )
        model = BertForSequenceClassification(config).eval()
        model.save_pretrained(tmp_path)
        language.tokenizer.save_pretrained(tmp_path)
        if kind is None:
            with pytest.raises(InputError, match="needs a label 'toxic'"):
                classifier(str(tmp_path))
            return
        logits = model(input_ids=torch.tensor([language.tokens(TEXTS[0])])).logits.detach()
        chances = logits.softmax(1) if kind.startswith("single") else logits.sigmoid()
        wanted = float(chances[0, 1])
        assert classifier(str(tmp_path)).score(TEXTS[:1]) == pytest.approx([wanted], abs=1e-6)


def test_commands_are_refused_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    cars = [f"{t} and no other {n}" for t in TEXTS for n in range(3)]
    (corpus / "cars.json").write_text(json.dumps(cars))
    (tmp_path / "few.json").write_text(json.dumps(cars[:2]))
    (tmp_path / "rows.json").write_text('{"rows": [{"text": ""}]}')
    base = tmp_path / "named"
    base.mkdir()
    (base / "base.json").write_text(json.dumps(cars))
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("neutral = 3")
    run = ["run", "--corpus", corpus, "--out", tmp_path]
    endless = tiny_language(TEXTS, 1, 16)
    endless.model.save_pretrained(tmp_path / "endless")
    endless.tokenizer.eos_token = None
    endless.tokenizer.save_pretrained(tmp_path / "endless")
    broken = tiny_language(TEXTS, 1, 16)
    next(iter(block_linears(broken.model).values())).weight.data[0, 0] = np.nan
    broken.model.save_pretrained(tmp_path / "broken")
    broken.tokenizer.save_pretrained(tmp_path / "broken")
    write_bold(tmp_path, {"gay": {"x": ["A", "B"]}, "C": {"y": ["D", "E"]}})
    for arguments, says in (
        (["communities", "--corpus", tmp_path / "none"], "corpus of communities is not at"),
        (["communities", "--corpus", corpus, "--community", "x"], "must be one of cars"),
        (["communities", "--corpus", wrong], "not a folder or archive of JSON files\n"),
        (["communities", "--corpus", tmp_path, "--community", "few"], "too few texts"),
        ([*run, "--groups", wrong], "needs 'templates'"),
        (["run", "--corpus", base, "--out", tmp_path], "no community may be named 'base'"),
        ([*run, "--model", tmp_path / "no-model"], "is not here and cannot be fetched"),
        ([*run, "--model", tmp_path / "endless"], "no token that ends a text"),
        ([*run, "--model", tmp_path / "broken"], "a weight is not a finite number"),
        ([*run, "--bold", "2", "--data", tmp_path], "BOLD has a group 'gay'"),
        ([*run, "--tokens", "5"], "tokens must be 1024"),
        ([*run, "--samples", "1"], "--samples"),
        (["run", "--corpus", corpus, "--out", wrong], "wrong.toml: cannot be written"),
        (["examples", "--out", tmp_path], "damaged"),
        (["examples", "--out", corpus], "no such file"),
        (["memory", "--corpus", corpus, "--community", "cars", "--errors", "x"], "x"),
    ):
        assert cli.run(["audit", *map(str, arguments)]) == 2
        _, err = capfd.readouterr()
        assert err.startswith("stoic: ") and err.count("\n") == 1 and says in err
    monkeypatch.setitem(sys.modules, "profanity_check", None)
    assert cli.run(["audit", "scorers"]) == 2
    assert "install stoic[audit]\n" in capfd.readouterr().err
    twice = ["--community", "cars", "--community", "cars"]
    assert cli.run(["audit", "communities", "--corpus", str(corpus), *twice, "--json"]) == 0
    (row,) = json.loads(capfd.readouterr().out)["communities"]
    assert (row["name"], row["texts"]) == ("cars", len(cars))


def test_a_run_from_corpus_to_contrasts(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    texts = [f"the person is {w} and that is all" for w in WORDS]
    texts += [t.replace("person", "woman") for t in texts]
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/one.json").write_text(json.dumps(texts))
    (tmp_path / "g.toml").write_text(
        "neutral = 'the person'\ntemplates = ['{subject} is']\nsentences = ['{subject} is']\n"
        "groups = {woman = 'the woman', wise = 'the wise'}"
    )
    tokenizer = tiny_language(texts, 1).tokenizer
    gpt_neo(tokenizer, 16).model.save_pretrained(tmp_path / "model")  # as the default, but small
    tokenizer.save_pretrained(tmp_path / "model")
    out = ["--out", str(tmp_path / "out")]
    run = ["audit", "run", "--corpus", tmp_path / "corpus", "--groups", tmp_path / "g.toml"]
    run += [
        "--model",
        tmp_path / "model",
        "--tokens",
        1024,
        "--samples",
        8,
        "--length",
        3,
        "--json",
    ]
    assert cli.run([*map(str, run), *out]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["n_continuations"] == 2 * 3 * 8  # base and one, three subjects
    assert {c["group"] for c in found["contrasts"]["vader"]} == {"woman", "wise"}
    assert "text" not in json.dumps(found["contrasts"])
    assert cli.run(["audit", "examples", "--n", "2", "--json", *out]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert "content note" in shown["note"] and len(shown["lowest"]) == len(shown["highest"]) == 2
    assert all("vader" in row and "profanity" in row for row in shown["lowest"])
    assert shown["lowest"][0]["vader"] <= shown["highest"][0]["vader"]
