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

from ...sim import operating_points
from ...sim.container import write_whole
from .adapt import Adaptation, adapted, perplexity
from .asking import BASE, Row, asked, lowered, tables
from .binary_weights import binary_weights
from .control import Control, Recovered, run_control
from .corpus import Community, load_communities
from .generate import Sampling, Throughput
from .language import SMOLLM2, Language, load_language
from .memory import Asked, memory_rows
from .prompts import GroupFile, load_groups
from .scorers import PROFANITY, SENTIMENT, Profanity, Scorer, Vader, identity_bias, texts_per_s
from .statistics import Contrast, spearman
from .store import Store
from .stored import Storage

_MODEL = ("model", "communities", "adaptation", "sampling", "n_perplexity")
SCORERS: tuple[Scorer, ...] = (Vader(), Profanity())


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        communities, groups: that are compared.
        n_perplexity: tokens of texts that a model was not adapted to.
        errors: operating points of memories under planted models, a chip a model;
            `model_errors` under the models of `memory_communities` in int8, `model_chips` each,
            with `memory_sampling`.
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
    control: Control = field(default_factory=Control)
    errors: tuple[str, ...] = ("iid-0.1%", "iid-1%", "iid-3.3%", "iid-10%")
    memory_communities: tuple[str, ...] = ("gaming",)
    memory_sampling: Sampling = field(default_factory=lambda: Sampling(3, 12, batch=108))
    model_errors: tuple[str, ...] = ("iid-0.01%", "iid-0.1%")
    model_chips: int = 3
    seed: int = 1

    @property
    def binary_control(self) -> Control:
        """The control for binary weights, which learn from twice the tokens."""
        how = self.control.adaptation
        return replace(self.control, adaptation=replace(how, n_tokens=2 * how.n_tokens))


def run(plan: Plan, folder: Path, root: Path | None) -> dict[str, Any]:
    """All parts, by name; see the functions that make them."""
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
            (*_MODEL, "memory_communities", "memory_sampling", "model_errors", "model_chips"),
        ),
        "control": (lambda: control_part(plan, file, folder), ("control",)),
        "memory_planted": (
            lambda: planted_memory_part(plan, file, folder),
            ("control", "errors"),
        ),
    }
    return {name: _kept(plan, name, folder, *part) for name, part in parts.items()}


def _kept(
    plan: Plan, name: str, folder: Path, make: Callable[[], Row], decided_by: Sequence[str]
) -> Row:
    """A part from its file, or made now; `decided_by` are the fields of the plan that decide it."""
    values = {key: asdict(plan)[key] for key in ("groups", "seed", *decided_by)}
    key = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
    path = folder / f"{name}-{key}.json"
    if not path.is_file():
        cpu, wall = time.process_time(), time.perf_counter()
        made = make()
        took = {
            "cpu_s": round(time.process_time() - cpu, 1),
            "wall_s": round(time.perf_counter() - wall, 1),
        }
        write_whole(path, json.dumps({**made, **took}).encode())
    found: Row = json.loads(path.read_text())
    return found


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
    """Communities' models in int8 in memories that lie: rows of `memory.memory_rows`."""
    base = load_language(plan.model, folder / "unpacked")
    errors = [operating_points.parse(name).model(plan.seed) for name in plan.model_errors]
    rows: list[Row] = []
    for one in load_communities(plan.memory_communities, root):
        language = _adapted(plan, base, one, folder)
        of = Asked(one.name, language, file.prompts(), one.held_out, plan.n_perplexity)
        rows += memory_rows(
            of,
            "int8",
            errors,
            range(plan.model_chips),
            plan.memory_sampling,
            Store(folder / "texts"),
        )
    return {"rows": rows}
