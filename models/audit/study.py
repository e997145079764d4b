"""The study `audit`: planted bias, communities of Reddit, and the same in memory that lies.

Its parts are kept as JSON under the hash of the plan; inside a part every adapted model and every
prompt's continuations are kept too, so that a run that was killed goes on where it stopped. No
text is in a part: they stay in the folder of the store.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...sim import operating_points
from ...sim.container import write_whole
from ..studies.run import read_row
from .adapt import Adaptation, adapted, perplexity
from .asking import BASE, Row, asked, lowered, tables
from .binary_weights import binary_middle, binary_weights, middle_mlps
from .control import Control, Recovered, run_control
from .corpus import BOLD, Community, load_communities
from .generate import Sampling, Throughput
from .language import SMOLLM2, Language, block_linears, load_language
from .memory import Asked, memory_rows
from .prompts import GroupFile, bold_prompts, load_groups
from .scorers import PROFANITY, SENTIMENT, Profanity, Scorer, Vader, identity_bias, texts_per_s
from .statistics import Contrast, spearman
from .store import Store
from .stored import LayersOf, Storage

_MODEL = ("model", "communities", "adaptation", "sampling", "n_perplexity")
_BOLD = ("model", "communities", "adaptation", "bold_domains", "bold_openings", "bold_sampling")
_MEMORY = (
    "model",
    "adaptation",
    "n_perplexity",
    "memory_communities",
    "memory_sampling",
    "int8_errors",
    "binary_errors",
    "model_chips",
    "binary_adaptation",
)
SCORERS: tuple[Scorer, ...] = (Vader(), Profanity())
VERSION = 1
"""Of parts; raised by hand when an equal plan would give other numbers."""


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        communities, groups: that are compared.
        n_perplexity: tokens of texts that a model was not adapted to.
        bold_domains: of BOLD that are asked about, `bold_openings` of each group, one continuation
            each: openings are what intervals rest on.
        errors: operating points of memories under planted models, a chip a model;
            `int8_errors` and `binary_errors` under the models of `memory_communities`,
            `model_chips` of their own for each, with `memory_sampling`.
        binary_adaptation: of those models, once more, with binary weights in `middle_mlps`.
    """

    model: str = SMOLLM2
    communities: tuple[str, ...] = (
        "News",
        "gaming",
        "history",
        "movies",
        "programming",
        "worldnews",
    )
    groups: tuple[str, ...] = (
        "woman",
        "man",
        "Black",
        "white",
        "Muslim",
        "Christian",
        "gay",
        "immigrant",
    )
    adaptation: Adaptation = field(
        default_factory=lambda: Adaptation("lora", 5120, 64, 4, 2e-3, is_low=True)
    )
    sampling: Sampling = field(default_factory=lambda: Sampling(6, 12, batch=108))
    n_perplexity: int = 1024
    bold_domains: tuple[str, ...] = ("gender", "political_ideology", "race", "religious_ideology")
    bold_openings: int = 16
    bold_sampling: Sampling = field(default_factory=lambda: Sampling(1, 12, batch=108))
    control: Control = field(default_factory=Control)
    errors: tuple[str, ...] = ("iid-0.1%", "iid-1%", "iid-3.3%", "iid-10%")
    memory_communities: tuple[str, ...] = ("gaming", "worldnews")
    memory_sampling: Sampling = field(default_factory=lambda: Sampling(3, 12, batch=108))
    int8_errors: tuple[str, ...] = ("iid-0.01%", "iid-0.1%")
    binary_errors: tuple[str, ...] = ("iid-0.1%", "iid-1%")
    model_chips: int = 5
    binary_adaptation: Adaptation = field(
        default_factory=lambda: Adaptation("full", 20_480, 64, 4, 2e-3, is_low=True)
    )
    seed: int = 1

    @property
    def binary_control(self) -> Control:
        """The control for binary weights, which learn from twice the tokens."""
        how = self.control.adaptation
        return replace(self.control, adaptation=replace(how, n_tokens=2 * how.n_tokens))


def run(plan: Plan, folder: Path, root: Path | None) -> dict[str, Any]:
    """All parts, by name, see the functions that make them; `bold` where BOLD is there."""
    torch.set_num_threads(1)
    file = load_groups().only(plan.groups)
    parts: dict[str, tuple[Callable[[], Row], tuple[str, ...]]] = {
        "scorers": (lambda: scorer_part(file), ()),
        "communities": (
            lambda: community_part(plan, file, folder, root),
            _MODEL,
        ),
        "memory_model": (
            lambda: model_memory_part(plan, file, folder, root),
            _MEMORY,
        ),
        "control": (lambda: control_part(plan, file, folder), ("control",)),
        "memory_planted": (
            lambda: planted_memory_part(plan, file, folder),
            ("control", "errors"),
        ),
    }
    if root is not None and (root / BOLD).exists():
        parts["bold"] = (lambda: bold_part(plan, folder, root), _BOLD)
    return {name: _kept(plan, name, folder, *part) for name, part in parts.items()}


def _kept(
    plan: Plan, name: str, folder: Path, make: Callable[[], Row], decided_by: Sequence[str]
) -> Row:
    """A part from its file, or made now; `decided_by` are the fields of the plan that decide it.

    Raises:
        ArtefactError: the file is damaged.
    """
    values = {key: asdict(plan)[key] for key in ("groups", "seed", *decided_by)}
    key = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
    path = folder / f"{name}-{key}.json"
    if not path.is_file() or _version(path) != VERSION:
        cpu, wall = time.process_time(), time.perf_counter()
        made = make()
        took = {
            "cpu_s": round(time.process_time() - cpu, 1),
            "wall_s": round(time.perf_counter() - wall, 1),
        }
        write_whole(path, json.dumps({**made, **took, "version": VERSION}).encode())
    return read_row(path)


def _version(path: Path) -> int:
    return int(read_row(path).get("version", 1))  # the first ones do not tell


def _recovered(found: Recovered) -> Row:
    points = [
        {"community": c.community, "group": c.group, "beta": beta, "bias": c.bias}
        for c, beta in zip(found.contrasts, found.planted, strict=True)
    ]
    return {**found.as_json(), "points": points}


def control_part(plan: Plan, file: GroupFile, folder: Path) -> Row:
    """The control, with float and with binary weights, and its mutant."""
    at = folder / "control"
    return {
        "float": _recovered(run_control(plan.control, file, at)),
        "binary": _recovered(run_control(plan.binary_control, file, at, change=binary_weights)),
        "mutant": _recovered(run_control(plan.control, file, at, is_mutant=True)),
    }


def planted_memory_part(plan: Plan, file: GroupFile, folder: Path) -> Row:
    """The planted models in memories: rows of `memory.memory_rows`, and what was planted."""
    at = folder / "control"
    errors = [operating_points.parse(name).model(plan.seed) for name in plan.errors]
    kinds: dict[Storage, tuple[Control, Any]] = {
        "int8": (plan.control, None),
        "binary": (plan.binary_control, binary_weights),
    }
    rows: list[Row] = []
    for storage, (control, change) in kinds.items():
        found = run_control(control, file, at, change=change)
        for chip, (one, model, beta) in enumerate(
            zip(found.world.communities, found.models, found.world.beta, strict=True)
        ):
            block = control.adaptation.block
            of = Asked(one.name, model, file.prompts(), one.texts, block * 1000, block, False)
            own = memory_rows(of, storage, errors, [chip], control.sampling, Store(at / "texts"))
            planted = dict(zip(found.world.groups, map(float, beta), strict=True))
            rows += [{**row, "planted": planted} for row in own]
    return {"rows": rows}


def scorer_part(file: GroupFile) -> Row:
    """What scorers make of a group's name alone."""
    return {
        "identity": {s.name: identity_bias(s, file) for s in SCORERS},
        "n_sentences": len(file.sentences),
    }


def community_part(plan: Plan, file: GroupFile, folder: Path, root: Path | None) -> Row:
    """Every community and the model that was adapted to none: contrasts, agreement, speed."""
    base = load_language(plan.model, folder / "unpacked")
    bare = lowered(base)
    store, speed = Store(folder / "texts"), Throughput()
    rows: list[Row] = []
    models: list[Row] = []
    for one in [None, *load_communities(plan.communities, root)]:
        name, language = BASE, bare
        own: Row = {}
        if one is not None:
            name, language = one.name, _adapted(plan, base, one, folder)
            own = _adaptation(plan, bare, language, one)
        rows += asked(name, language, file.prompts(), plan.sampling, SCORERS, store, speed)
        models.append({"community": name, "model_sha256": language.sha256, **own})
    texts = [row["text"] for row in rows]
    return {
        "models": models,
        "contrasts": _plain(tables(rows, SCORERS)),
        "agreement": _agreement(rows),
        "n_continuations": len(rows),
        "generated": asdict(speed),
        "scored_per_s": {s.name: texts_per_s(s, texts) for s in SCORERS},
    }


def bold_part(plan: Plan, folder: Path, root: Path) -> Row:
    """Every community's model, and the bare one, after openings of BOLD: contrasts, speed."""
    base = load_language(plan.model, folder / "unpacked")
    store, speed = Store(folder / "texts"), Throughput()
    prompts = [
        prompt
        for prompt in bold_prompts(root, plan.bold_openings, plan.seed)
        if prompt.template in plan.bold_domains
    ]
    rows: list[Row] = []
    for one in [None, *load_communities(plan.communities, root)]:
        name = BASE if one is None else one.name
        language = lowered(base) if one is None else _adapted(plan, base, one, folder)
        rows += asked(name, language, prompts, plan.bold_sampling, SCORERS, store, speed)
    return {
        "contrasts": _plain(tables(rows, SCORERS)),
        "domains": {prompt.group: prompt.template for prompt in prompts},
        "n_openings": len(prompts),
        "n_continuations": len(rows),
        "generated": asdict(speed),
    }


def _adapted(plan: Plan, base: Language, one: Community, folder: Path) -> Language:
    """The community's model in bfloat16."""
    return lowered(adapted(base, one, plan.adaptation, folder / "models"))


def _adaptation(plan: Plan, bare: Language, language: Language, one: Community) -> Row:
    n = plan.n_perplexity
    return {
        "sha256": one.sha256,
        "n_texts": len(one.texts),
        "perplexity_base": perplexity(bare, one.held_out, n),
        "perplexity": perplexity(language, one.held_out, n),
    }


def _plain(found: dict[str, list[Contrast]]) -> dict[str, list[Row]]:
    return {key: [asdict(c) for c in own] for key, own in found.items()}


def _agreement(rows: Sequence[Row]) -> dict[str, float]:
    """Rank correlations over continuations."""
    of = {key: [row[key] for row in rows] for s in SCORERS for key in (s.name, f"{s.name}_whole")}
    pairs = {
        "sentiment and toxicity": (SENTIMENT, PROFANITY),
        "sentiment alone and after the prompt": (SENTIMENT, f"{SENTIMENT}_whole"),
        "toxicity alone and after the prompt": (PROFANITY, f"{PROFANITY}_whole"),
    }
    return {name: spearman(of[a], of[b]) for name, (a, b) in pairs.items()}


def model_memory_part(plan: Plan, file: GroupFile, folder: Path, root: Path | None) -> Row:
    """Communities' models in memories that lie, in int8 and, trained on, with binary weights.

    Returns:
        rows of `memory.memory_rows`; models: of each community, perplexity without errors as
        adapted and after `binary_adaptation`, n_binary of n_dense weights.
    """
    base = load_language(plan.model, folder / "unpacked")
    store, n = Store(folder / "texts"), plan.n_perplexity
    rows: list[Row] = []
    models: list[Row] = []
    for number, one in enumerate(load_communities(plan.memory_communities, root)):
        chips = range(number * plan.model_chips, (number + 1) * plan.model_chips)
        float_one = adapted(base, one, plan.adaptation, folder / "models")
        binary_one = adapted(
            float_one, one, plan.binary_adaptation, folder / "models", binary_middle
        )
        kinds: tuple[tuple[Storage, Language, tuple[str, ...], LayersOf], ...] = (
            ("int8", lowered(float_one), plan.int8_errors, block_linears),
            ("binary", lowered(binary_one), plan.binary_errors, middle_mlps),
        )
        models.append(
            {
                "community": one.name,
                **{f"perplexity_{kind}": perplexity(of, one.held_out, n) for kind, of, *_ in kinds},
                "n_binary": _n_weights(middle_mlps(base.model)),
                "n_dense": _n_weights(block_linears(base.model)),
            }
        )
        for storage, language, points, layers_of in kinds:
            errors = [operating_points.parse(point).model(plan.seed) for point in points]
            of = Asked(one.name, language, file.prompts(), one.held_out, n, layers_of=layers_of)
            rows += memory_rows(of, storage, errors, chips, plan.memory_sampling, store)
    return {"models": models, "rows": rows}


def _n_weights(layers: dict[str, nn.Linear]) -> int:
    return sum(layer.weight.numel() for layer in layers.values())
