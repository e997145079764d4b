"""Blocks of docs/tolerance.md: how good the prediction is, certificates, metrics of networks."""

import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .readme_tables import read

NETWORKS = ("fashion-sfc", "fashion-sfc-plain", "fashion-tfc")
UP_TO = 0.10  # of the rates over which a prediction is judged
_SHOWN = {
    "margin": "`margin`, mean of abs(s - T) / sqrt(n)",
    "stability": "`stability`, 1 - chance that a neuron decides otherwise",
    "critical_ber": "`critical_ber`",
    "gap": "`gap`, mean (best - second) / sqrt(n) of the scores",
    "keep": "`keep`, closed form: chance that the class stays",
    "win": "`win`, closed form: chance of the true class",
    "agreement": "`agreement`, sampled: images that keep their class",
    "predicted_area": "`predicted_area`, mean predicted accuracy to 10 %",
    "wide_area": "`wide_area`, the same to 20 %",
    "kept_area": "`kept_area`, mean agreement to 20 %, without labels",
    "p_crit": "`p_crit`, predicted rate at which 5 points are lost",
}


def prediction(results: Path) -> Iterable[str]:
    """Predicted beside measured accuracy, a row for each network and share of errors 0 -> 1."""
    yield (
        "| network, errors | mean absolute error to 10 %, points | largest | predicted, measured "
        "at 10 %, % | largest error at 15 and 20 % |"
    )
    yield "|---" * 5 + "|"
    for suffix, errors in (("", "p01 = p10"), ("-asymmetric", "p10 = 3 p01, mean rates")):
        for name in NETWORKS:
            points = _read(results, name + suffix)["predicted"]
            inside = [abs(p["off"]) for p in points if 0 < p["ber"] <= UP_TO]
            beyond = max(abs(p["off"]) for p in points if p["ber"] > UP_TO)
            at = next(p for p in points if p["ber"] == UP_TO)
            yield (
                f"| `{name}`, {errors} | {_percent(statistics.fmean(inside))} "
                f"| {_percent(max(inside))} | {_percent(at['accuracy'])}, "
                f"{_percent(at['measured'])} | {_percent(beyond)} |"
            )


def certificates(results: Path) -> Iterable[str]:
    """The least flips that change a class, and how often the certificate is as large as can be."""
    found = {name: _read(results, name)["certificates"] for name in NETWORKS}
    yield f"| least flips, mean; certificate tight | {_names(found)} |"
    yield "|---" * (1 + len(found)) + "|"
    for row in zip(*found.values(), strict=True):
        cells = [f"{r['least_mean']:.1f}; {100 * r['tight_share']:.0f} %" for r in row]
        yield f"| {row[0]['of']} | {' | '.join(cells)} |"


def metrics(results: Path) -> Iterable[str]:
    """The numbers of each network, and what injection measures."""
    found = {name: _read(results, name) for name in NETWORKS}
    yield f"| | {_names(found)} |"
    yield "|---" * (1 + len(found)) + "|"
    for key, title in _SHOWN.items():
        cells = [f"{values['metrics'][key]:.3g}" for values in found.values()]
        yield f"| {title} | {' | '.join(cells)} |"
    measured = [
        next(p["measured"] for p in v["predicted"] if p["ber"] == UP_TO) for v in found.values()
    ]
    yield f"| measured at 10 %, 20 chips | {' | '.join(f'{m:.3f}' for m in measured)} |"


def _read(results: Path, name: str) -> dict[str, Any]:
    return read(results / f"tolerance-{name}.json", "make tolerance")


def _names(found: dict[str, Any]) -> str:
    return " | ".join(f"`{name}`" for name in found)


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"
