"""The figure of `stoic tolerance`: accuracy, flips that decisions survive, importance."""

from collections.abc import Mapping
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figures import SERIES, STYLE


def tolerance_figure(result: Mapping[str, Any]) -> Figure:
    """Four panels: predicted accuracy, decisions of neurons and images over flips, importance.

    Args:
        result: of the command `tolerance`, with predictions.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 6.4), layout="constrained")
        (accuracy, neurons), (decisions, shares) = figure.subplots(2, 2)
        _draw_accuracy(accuracy, result)
        for i, layer in enumerate(result["layers"]):
            flips = [int(k.removeprefix("share_le_")) for k in layer if k.startswith("share_le_")]
            values = [100 * layer[f"share_le_{k}"] for k in flips]
            neurons.plot(flips, values, marker="o", color=_colour(i), label=layer["name"])
        neurons.set(
            title="Decisions of live neurons that survive",
            xlabel="no more than so many flips",
            ylabel="share / %",
        )
        neurons.legend()
        _draw_certificates(decisions, result["certificates"])
        _draw_importance(shares, result["layers"])
    return figure


def _colour(i: int) -> str:
    return SERIES[i % len(SERIES)]


def _draw_accuracy(axes: Axes, result: Mapping[str, Any]) -> None:
    rates = [100 * p["ber"] for p in result["predicted"]]
    for i, (key, label) in enumerate((("accuracy", "all"), ("all_but_first", "all but the first"))):
        values = [100 * p[key] for p in result["predicted"]]
        axes.plot(rates, values, color=_colour(i), label=f"errors in {label}")
    if "measured" in result["predicted"][0]:
        values = [100 * p["measured"] for p in result["predicted"]]
        axes.plot(rates, values, "k.", label="measured, all")
    axes.set(
        title=f"Predicted, {result['network']}, {result['n_predicted']} images",
        xlabel="bit error rate / %",
        ylabel="accuracy / %",
    )
    axes.legend()


def _draw_certificates(axes: Axes, rows: list[Mapping[str, Any]]) -> None:
    for i, row in enumerate(rows):
        least = [(float(k.removeprefix("least_q")), row[k]) for k in row if k.startswith("least_q")]
        axes.plot(
            [flips for _, flips in least],
            [share for share, _ in least],
            marker="o",
            color=_colour(i),
            label=row["of"],
        )
    axes.set(
        title="Images whose class can be changed",
        xlabel="by so many flips, at the worst places",
        ylabel="share / %",
        xscale="symlog",
    )
    if rows:
        axes.legend()


def _draw_importance(axes: Axes, layers: list[Mapping[str, Any]]) -> None:
    estimators = [key for key in layers[0] if key.startswith("importance_")] if layers else []
    width = 0.8 / max(1, len(estimators))
    for i, key in enumerate(estimators):
        places = [n + width * (i - (len(estimators) - 1) / 2) for n in range(len(layers))]
        values = [layer[key] or 0.0 for layer in layers]
        label = key.removeprefix("importance_")
        axes.bar(places, values, width, color=_colour(i), label=label)
    axes.set(
        title="Variance of importance between neurons",
        xticks=range(len(layers)),
        xticklabels=[layer["name"] for layer in layers],
    )
    if estimators:
        axes.legend()
