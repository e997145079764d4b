"""The figure of `stoic tolerance`: predicted accuracy, and what the layers survive."""

from collections.abc import Mapping
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from .figures import SERIES, STYLE


def tolerance_figure(result: Mapping[str, Any]) -> Figure:
    """Predicted accuracy over bit error rate, and shares of decisions that few flips can change.

    Args:
        result: of the command `tolerance`, with predictions.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        rates = [100 * p["p01"] for p in result["predicted"]]
        left.plot(rates, [100 * p["accuracy"] for p in result["predicted"]], color=SERIES[0])
        left.set(
            title=f"Predicted, {result['network']}, {result['n_images']} images",
            xlabel="bit error rate / %",
            ylabel="accuracy / %",
        )
        for i, layer in enumerate(result["layers"]):
            flips = [int(k.removeprefix("share_le_")) for k in layer if k.startswith("share_le_")]
            shares = [100 * layer[f"share_le_{k}"] for k in flips]
            right.plot(
                flips, shares, marker="o", color=SERIES[i % len(SERIES)], label=layer["name"]
            )
        right.set(
            title="Decisions of live neurons that survive",
            xlabel="no more than so many flips",
            ylabel="share / %",
        )
        right.legend()
    return figure
