"""`stoic audit`: communities, run, examples, scorers, control, memory."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ...sim import operating_points
from ...sim.container import make_folder, write_whole
from ...sim.exceptions import ArtefactError, InputError
from ..commands import DataRoot
from .corpus import load_communities
from .prompts import GROUPS, NEUTRAL, bold_prompts, load_groups

NOTE = "content note: sampled from a model of raw web text, may be abusive; nobody wrote it"
DEFAULT_MODEL = "EleutherAI/gpt-neo-1.3B"
_ROWS, _NAMED = "rows.json", ("text", "community", "group")

Names = Annotated[
    list[str] | None, typer.Option("--community", help="Once for each; all of the corpus.")
]
Corpus = Annotated[
    Path | None, typer.Option(help="Folder or tar of <name>.json, each a list of texts.")
]
Groups = Annotated[
    Path,
    typer.Option(
        metavar="FILE.toml", help="Groups, templates, sentences.", show_default="the kit's own"
    ),
]
Model = Annotated[str, typer.Option(help="Folder, name on the Hugging Face hub, or smollm2.")]
Out = Annotated[Path, typer.Option(help="Folder of models, texts and rows; a run goes on in it.")]
Scorers = Annotated[
    list[str] | None,
    typer.Option(
        "--scorer", help="vader, profanity, detoxify or a classifier's folder; the first two."
    ),
]
Method = Annotated[Literal["lora", "full"], typer.Option(help="Of adaptation.")]
Tokens = Annotated[int, typer.Option(min=1, help="To adapt on, for each community.")]
Samples = Annotated[int, typer.Option(min=2, help="Continuations of each prompt.")]
Length = Annotated[int, typer.Option(min=1, help="Tokens of a continuation, at most.")]
Seed = Annotated[int, typer.Option(min=0, help="Of adaptation, sampling and bootstrap.")]
Low = Annotated[bool, typer.Option("--bfloat16", help="Sums in bfloat16.")]


def communities(
    community: Names = None, corpus: Corpus = None, data_root: DataRoot = None
) -> dict[str, Any]:
    """The communities of a corpus after cleaning: texts, words, hash. No text is shown."""
    found = load_communities(community or (), data_root, corpus)
    return {
        "communities": [
            {
                "name": one.name,
                "texts": len(one.texts),
                "held_out": len(one.held_out),
                "words": sum(len(text.split()) for text in one.texts),
                "sha256": one.sha256,
            }
            for one in found
        ]
    }


def run(
    community: Names = None,
    model: Model = DEFAULT_MODEL,
    groups: Groups = GROUPS,
    bold: Annotated[
        int, typer.Option(min=0, help="Openings of BOLD for each of its groups: 0, or 2 or more.")
    ] = 0,
    scorer: Scorers = None,
    method: Method = "lora",
    tokens: Tokens = 500_000,
    samples: Samples = 100,
    length: Length = 30,
    seed: Seed = 1,
    is_low: Low = False,
    out: Out = Path("build/audit"),
    corpus: Corpus = None,
    data_root: DataRoot = None,
) -> dict[str, Any]:
    """Adapt a model to each community, ask each about groups, score, compare with neutral.

    What was adapted and generated already is not made again. The scored texts go into
    <out>/rows.json; nothing of them is printed: `stoic audit examples` does that.
    """
    from .adapt import Adaptation, adapted, perplexity
    from .asking import BASE, asked, lowered, tables
    from .generate import Sampling, Throughput
    from .language import load_language
    from .scorers import PROFANITY, SENTIMENT, scorer_of
    from .store import Store

    make_folder(out)
    file, found = load_groups(groups), load_communities(community or (), data_root, corpus)
    if BASE in {one.name for one in found}:
        raise InputError(f"no community may be named {BASE!r}: the model without one is")
    openings = bold_prompts(data_root, bold, seed) if bold else []
    if twice := sorted({prompt.group for prompt in openings} & set(file.groups)):
        raise InputError(f"{groups}: BOLD has a group {twice[0]!r}, too; name yours otherwise")
    prompts = file.prompts() + openings
    scorers = [scorer_of(name) for name in scorer or (SENTIMENT, PROFANITY)]
    how = Adaptation(method, tokens, seed=seed, is_low=is_low)
    drawn = Sampling(samples, length, seed=seed)
    base, store, speed = load_language(model, out / "unpacked"), Store(out / "texts"), Throughput()
    rows, held = [], {}
    for one in [None, *found]:
        name = BASE if one is None else one.name
        language = base if one is None else adapted(base, one, how, out / "models")
        if one is not None:
            held[name] = {
                "sha256": one.sha256,
                "perplexity_base": perplexity(base, one.held_out, 4096),
                "perplexity": perplexity(language, one.held_out, 4096),
            }
        told = lowered(language) if is_low else language
        rows += asked(name, told, prompts, drawn, scorers, store, speed)
    write_whole(out / _ROWS, json.dumps({"note": NOTE, "rows": rows}).encode())
    return {
        "model": model,
        "model_sha256": base.sha256,
        "adaptation": asdict(how),
        "sampling": asdict(drawn),
        "communities": held,
        "n_continuations": len(rows),
        "generated": asdict(speed),
        "contrasts": {
            key: [asdict(c) for c in own] for key, own in tables(rows, scorers, seed).items()
        },
        "rows": out / _ROWS,
    }


def examples(
    score: Annotated[str, typer.Option(help="A score of the rows, e.g. vader.")] = "vader",
    community: Names = None,
    group: Annotated[str | None, typer.Option(help="Only about this group.")] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="At either end.")] = 5,
    out: Out = Path("build/audit"),
) -> dict[str, Any]:
    """The continuations with the lowest and the highest score, each with all its scores."""
    rows = _rows(out / _ROWS)
    chosen = [
        row
        for row in rows
        if (not community or row["community"] in community) and group in (None, row["group"])
    ]
    if not chosen:
        raise InputError(f"{out / _ROWS}: no continuation of that community and group")
    if not isinstance(chosen[0].get(score), float):
        known = sorted(k for k, v in chosen[0].items() if isinstance(v, float))
        raise InputError(f"score must be one of {', '.join(known)}, not {score!r}")
    ranked = sorted(chosen, key=lambda row: float(row[score]))
    return {"note": NOTE, "lowest": ranked[:n], "highest": ranked[-n:][::-1]}


def _rows(path: Path) -> Sequence[dict[str, Any]]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; `stoic audit run` makes it")
    try:
        rows = json.loads(path.read_bytes())["rows"]
        if not all(isinstance(row[key], str) for row in rows for key in _NAMED):
            raise ValueError("a row has no text, community or group")
    except (ValueError, KeyError, TypeError) as error:
        raise ArtefactError(f"{path}: damaged; run `stoic audit run` again ({error})") from error
    return list(rows)


def scorers(groups: Groups = GROUPS, scorer: Scorers = None) -> dict[str, Any]:
    """What scorers make of a group's name in sentences that say nothing good or bad."""
    from .scorers import PROFANITY, SENTIMENT, identity_bias, scorer_of, texts_per_s

    file = load_groups(groups)
    found = [scorer_of(name) for name in scorer or (SENTIMENT, PROFANITY)]
    texts = [p.text for p in file.neutral_sentences()]
    return {
        "neutral": file.subjects[NEUTRAL],
        "n_sentences": len(file.sentences),
        "scorers": [
            {
                "name": one.name,
                "what": one.what,
                "texts_per_cpu_s": texts_per_s(one, texts),
                "identity_bias": identity_bias(one, file),
            }
            for one in found
        ],
    }


def control(
    groups: Groups = GROUPS,
    n_communities: Annotated[int, typer.Option("--communities", min=2, help="Planted ones.")] = 6,
    seed: Seed = 1,
    out: Out = Path("build/audit/control"),
) -> dict[str, Any]:
    """Plant a bias in communities of a grammar, audit models of them, and the same mislabelled."""
    from dataclasses import replace

    from .control import GOAL, Control, run_control

    make_folder(out)
    plan = replace(Control(), n_communities=n_communities, seed=seed)
    found = run_control(plan, load_groups(groups), out)
    mutant = run_control(plan, load_groups(groups), out, is_mutant=True)
    result: dict[str, Any] = {"recovered": found.as_json(), "mutant": mutant.as_json()}
    if found.rank_correlation < GOAL:
        result["failure"] = (
            f"the planted bias came back with a rank correlation of {found.rank_correlation:.3f}, "
            f"below {GOAL:g}"
        )
    return result


def memory(
    community: Annotated[str, typer.Option(help="Whose model.", show_default=False)],
    errors: Annotated[list[str], typer.Option(help="Operating points: stoic faults list.")],
    storage: Annotated[Literal["int8", "binary"], typer.Option(help="Of weights.")] = "int8",
    chips: Annotated[int, typer.Option(min=1, help="Of each operating point.")] = 3,
    model: Model = DEFAULT_MODEL,
    groups: Groups = GROUPS,
    method: Method = "lora",
    tokens: Tokens = 500_000,
    samples: Samples = 100,
    length: Length = 30,
    seed: Seed = 1,
    is_low: Low = False,
    out: Out = Path("build/audit"),
    corpus: Corpus = None,
    data_root: DataRoot = None,
) -> dict[str, Any]:
    """Bias and perplexity of one community's model with its weights in memory that lies.

    In int8, of all dense layers but the last. Binary, of feed-forward layers in the middle of the
    model, which are trained on with binary weights first; elsewhere nothing is left of a model.
    """
    from dataclasses import replace

    from .adapt import Adaptation, adapted
    from .asking import lowered
    from .binary_weights import binary_middle, middle_mlps
    from .generate import Sampling
    from .language import block_linears, load_language
    from .memory import Asked, memory_rows
    from .store import Store

    make_folder(out)
    file, (one,) = load_groups(groups), load_communities([community], data_root, corpus)
    points = [operating_points.parse(name).model(seed, data_root) for name in errors]
    how = Adaptation(method, tokens, seed=seed, is_low=is_low)
    base = load_language(model, out / "unpacked")
    language, layers_of = adapted(base, one, how, out / "models"), block_linears
    if storage == "binary":
        again = replace(how, method="full")
        language = adapted(language, one, again, out / "models", binary_middle)
        layers_of = middle_mlps
    asked_of = Asked(
        one.name,
        lowered(language) if is_low else language,
        file.prompts(),
        one.held_out,
        4096,
        layers_of=layers_of,
    )
    rows = memory_rows(
        asked_of,
        storage,
        points,
        range(chips),
        Sampling(samples, length, seed=seed),
        Store(out / "texts"),
    )
    return {"community": one.name, "sha256": one.sha256, "storage": storage, "rows": rows}
