"""Judges `trace`: is a trace complete, about the right class, useful, and cheap?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..judgement import CONFIRMED, MISSED, PARTLY, REACHED, REFUTED, Finding, Judgement, Table
from ..summary import Mean, Row, mean_of

RESIDUAL, OVERHEAD, LEDGER_MB, SCORING_S = 1e-5, 1.3, 200.0, 60.0
N_EPOCHS = 30
_CHANCE = 0.1
"""Of a class; Fashion-MNIST has ten of one size."""
_METHODS = ("trace", "TracIn", "at random")
_RANKINGS = ("trace", "loss", "TracIn")
_PREDICTORS = ("undone", "own class", "decision", "margin", "margin and decision")


def judge(rows: Sequence[Row], measure: Mapping[str, Any]) -> Judgement:
    """Findings of the study.

    Args:
        rows: as of `models.tracer.study.repeat`.
        measure: its plan.
    """
    nets = [row for row in rows if row["part"] == "net"]
    kinds = list(dict.fromkeys(row["kind"] for row in nets))
    deletions = [row for row in rows if row["part"] == "deletion"]
    faults = [row for row in rows if row["part"] == "faults"]
    findings = [
        _exact(nets),
        _complete(nets),
        *(_precise(_of(nets, kind), kind) for kind in kinds),
        _first_layers(nets, kinds),
        *(
            _deleted(_of(deletions, kind), kind)
            for kind in dict.fromkeys(row["kind"] for row in deletions)
        ),
        _mislabelled(nets),
        *(_fails(_of(faults, kind), kind) for kind in dict.fromkeys(row["kind"] for row in faults)),
        *_peer(nets),
        *(found for row in rows if row["part"] == "cost" for found in _costs(row)),
    ]
    tables = [
        _precision_table(nets, kinds),
        _mislabelled_table(nets, kinds),
        _deletion_table(deletions),
        _fault_table(faults),
        _moved_table(nets),
        _cost_table(rows, nets, kinds),
    ]
    return Judgement(tuple(findings), tuple(table for table in tables if table.rows))


def _of(rows: Sequence[Row], kind: str) -> list[Row]:
    return [row for row in rows if row["kind"] == kind]


def _exact(nets: Sequence[Row]) -> Finding:
    wrong = [row["n_wrong_integers"] for row in nets if row["kind"].startswith("binary")]
    return Finding(
        "Binary layers: first weights and flips give every sum, to the last integer",
        f"{sum(wrong)} sums differ, {len(wrong)} trainings, 20 images each",
        REACHED if not any(wrong) else MISSED,
    )


def _complete(nets: Sequence[Row]) -> Finding:
    worst = max(row["residual"] for row in nets)
    return Finding(
        f"Scores of all steps add up to the refinement, within {RESIDUAL:g} of it",
        f"{worst:.1e} at worst, any image and layer of {len(nets)} trainings",
        REACHED if worst <= RESIDUAL else MISSED,
    )


def _precise(nets: Sequence[Row], kind: str) -> Finding:
    found = mean_of(row["precision"]["10"] for row in nets)
    low = found.value - (found.half or 0.0)
    return Finding(
        f"{kind}: most of the 10 most influential images are of the predicted class",
        f"{found.percent(1)} %",
        CONFIRMED if low > 0.5 else PARTLY if found.value > 2 * _CHANCE else REFUTED,
    )


def _first_layers(nets: Sequence[Row], kinds: Sequence[str]) -> Finding:
    found = [mean_of(r["first_layer_precision"] for r in _of(nets, kind)) for kind in kinds]
    n = sum(mean.value > 2 * _CHANCE for mean in found)
    return Finding(
        "So it is in first layers, too: of 64 images twice as many as by chance, every kind",
        f"{n} of {len(kinds)} kinds; {min(found, key=_value).percent(1)} to "
        f"{max(found, key=_value).percent(1)} %",
        CONFIRMED if n == len(kinds) else PARTLY if n else REFUTED,
    )


def _value(mean: Mean) -> float:
    return mean.value


def _drops(rows: Sequence[Row], method: str) -> Mean:
    seeds = dict.fromkeys(row["seed"] for row in rows)
    return mean_of(
        float(np.mean([r["drop"] for r in rows if r["method"] == method and r["seed"] == seed]))
        for seed in seeds
    )


def _deleted(rows: Sequence[Row], kind: str) -> Finding:
    ours, random = _drops(rows, "trace"), _drops(rows, "at random")
    apart = ours.value - (ours.half or 0.0) > random.value + (random.half or 0.0)
    return Finding(
        f"{kind}: without its most influential images a prediction loses more than without others",
        f"log-probability falls by {_text(ours)}, at random {_text(random)}",
        CONFIRMED if apart else PARTLY if ours.value > random.value else REFUTED,
    )


def _mislabelled(nets: Sequence[Row]) -> Finding:
    found = {name: float(np.mean([row["mislabelled"][name] for row in nets])) for name in _RANKINGS}
    best = max(found, key=lambda name: found[name])
    return Finding(
        "The trace finds wrong labels better than loss and TracIn do, mean of all kinds",
        ", ".join(f"{name} {value:.3f}" for name, value in found.items()),
        CONFIRMED if best == "trace" else REFUTED,
    )


def _peer(nets: Sequence[Row]) -> list[Finding]:
    found = [row["captum_difference"] for row in nets if "captum_difference" in row]
    if not found:
        return []
    return [
        Finding(
            "Our TracIn is captum's (TracInCP), within 1e-4 of the greatest influence",
            f"{max(found):.1e} at most, {len(found)} networks",
            CONFIRMED if max(found) <= 1e-4 else REFUTED,
        )
    ]


def _auc(rows: Sequence[Row], name: str) -> Mean:
    seeds = dict.fromkeys(row["seed"] for row in rows)
    return mean_of(
        float(np.mean([row["auc"][name] for row in rows if row["seed"] == seed])) for seed in seeds
    )


def _fails(rows: Sequence[Row], kind: str) -> Finding:
    whole, ours, margin, both = (
        _auc(rows, n) for n in ("undone", "decision", "margin", "margin and decision")
    )
    seeds = dict.fromkeys(row["seed"] for row in rows)
    gain = mean_of(
        _auc(own, "margin and decision").value - _auc(own, "margin").value
        for own in ([row for row in rows if row["seed"] == seed] for seed in seeds)
    )
    is_sure = gain.value - (gain.half or 0.0) > 0
    return Finding(
        f"{kind}: what the entries that a chip undoes take from a decision tells which change",
        f"area under the curve {_text(ours)} of the decision, {_text(whole)} of all layers; the "
        f"margin alone {_text(margin)}, with the decision {_text(both)}, a gain of {_text(gain)}",
        CONFIRMED if is_sure else PARTLY if gain.value > 0 else REFUTED,
    )


def _costs(row: Row) -> list[Finding]:
    share = 1 + row["tracing_cpu_s"] / row["training_cpu_s"]
    seconds = row["scoring_cpu_s"] * N_EPOCHS / row["n_kept_epochs"]
    mb, of = row["n_bytes"] / 1e6, f"{row['n_flips']:,} flips in {row['n_steps']:,} steps"
    if row["n_epochs"] < N_EPOCHS:
        mb = N_EPOCHS * max(row["epoch_bytes"]) / 1e6
        of = f"extrapolated: {N_EPOCHS} times the largest of {row['n_epochs']} epochs; {of}"
    return [
        Finding(
            f"784-1024-1024-10: the ledger of {N_EPOCHS} epochs has at most {LEDGER_MB:g} MB",
            f"{mb:.1f} MB, {of}",
            REACHED if mb <= LEDGER_MB else MISSED,
        ),
        Finding(
            f"its training takes at most {OVERHEAD:g} times as long as without",
            f"{share:.3f} times",
            REACHED if share <= OVERHEAD else MISSED,
        ),
        Finding(
            f"{row['n_scored']:,} test images are scored against all its steps within "
            f"{SCORING_S:g} s",
            f"{seconds:.0f} s of CPU time, one thread; {row['scoring_cpu_s']:.1f} s of "
            f"{row['n_kept_epochs']} epochs, times {N_EPOCHS / row['n_kept_epochs']:.2g}",
            REACHED if seconds <= SCORING_S else MISSED,
        ),
    ]


def _percent(rows: Sequence[Row], of: Any) -> str:
    return mean_of(of(row) for row in rows).percent(1)


def _precision_table(nets: Sequence[Row], kinds: Sequence[str]) -> Table:
    lines = []
    for kind in kinds:
        own = _of(nets, kind)
        lines.append(
            (
                kind,
                _percent(own, lambda r: r["accuracy"]),
                *(_percent(own, lambda r, k=k: r["precision"][k]) for k in ("1", "10", "64")),
                _percent(own, lambda r: r["first_layer_precision"]),
                _percent(own, lambda r: r["tracin_precision"]),
                _text(mean_of(row["tracin_rank"] for row in own)),
            )
        )
    head = ("network", "accuracy", "k = 1", "k = 10", "k = 64", "first layer, k = 64")
    return Table(
        "Share of the k most influential images that are of the predicted class, in %; "
        "on the decision unless said",
        (*head, "TracIn, k = 64", "rank correlation with TracIn"),
        tuple(lines),
    )


def _mislabelled_table(nets: Sequence[Row], kinds: Sequence[str]) -> Table:
    return Table(
        "Wrong labels found: area under the curve",
        ("network", *_RANKINGS),
        tuple(
            (
                kind,
                *(_text(mean_of(r["mislabelled"][n] for r in _of(nets, kind))) for n in _RANKINGS),
            )
            for kind in kinds
        ),
    )


def _deletion_table(rows: Sequence[Row]) -> Table:
    kinds = dict.fromkeys(row["kind"] for row in rows)
    return Table(
        "Trained again without the most influential images: fall of the log-probability",
        ("network", *_METHODS),
        tuple((k, *(_text(_drops(_of(rows, k), m)) for m in _METHODS)) for k in kinds),
    )


def _fault_table(rows: Sequence[Row]) -> Table:
    lines = []
    for kind, rate in dict.fromkeys((row["kind"], row["rate"]) for row in rows):
        own = [row for row in _of(rows, kind) if row["rate"] == rate]
        lines.append(
            (
                kind,
                f"{100 * rate:g}",
                _percent(own, lambda r: r["changed"]),
                _percent(own, lambda r: r["never"]),
                *(_text(_auc(own, name)) for name in _PREDICTORS),
            )
        )
    return Table(
        "Which predictions change under flips: area under the curve of predictors",
        ("network", "flips, %", "changed, %", "bits never trained, %", *_PREDICTORS),
        tuple(lines),
    )


def _moved_table(nets: Sequence[Row]) -> Table:
    lines = []
    binary = [row for row in nets if "moved" in row]
    for kind in dict.fromkeys(row["kind"] for row in binary):
        own = _of(binary, kind)
        for i, layer in enumerate(own[0]["moved"]):
            weights, thresholds = (
                mean_of(row["moved"][i][by] for row in own)
                for by in ("by_weights", "by_thresholds")
            )
            lines.append((kind, layer["layer"], _text(weights, 1), _text(thresholds, 1)))
    return Table(
        "How far training moved margins of hidden neurons: by flips, which the trace explains, and "
        "by thresholds, which it leaves to batch norm; mean size in units of the sums",
        ("network", "layer", "by weights", "by thresholds"),
        tuple(lines),
    )


def _cost_table(rows: Sequence[Row], nets: Sequence[Row], kinds: Sequence[str]) -> Table:
    lines = []
    for kind in kinds:
        own = _of(nets, kind)
        n_bytes, steps = (float(np.mean([row[k] for row in own])) for k in ("n_bytes", "n_steps"))
        trained, traced = (sum(row[f"{k}_cpu_s"] for row in own) for k in ("training", "tracing"))
        lines.append((kind, f"{steps:,.0f}", f"{n_bytes / 1e6:.2f}", f"{1 + traced / trained:.2f}"))
    for row in rows:
        if row["part"] == "cost":
            share = 1 + row["tracing_cpu_s"] / row["training_cpu_s"]
            n_mb = row["n_bytes"] / 1e6
            lines.append(("784-1024-1024-10", f"{row['n_steps']:,}", f"{n_mb:.1f}", f"{share:.2f}"))
    return Table(
        "What tracing costs; times as long as without, in CPU time",
        ("network", "steps, or examples of steps", "MB", "times"),
        tuple(lines),
    )


def _text(mean: Mean, digits: int = 3) -> str:
    half = "" if mean.half is None else f" ± {mean.half:.{digits}f}"
    return f"{mean.value:.{digits}f}{half}"
