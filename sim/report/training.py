"""The figure of `stoic train`: loss and validation accuracy over epochs."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from .figures import SERIES, STYLE


def training_figure(rows: Sequence[Mapping[str, Any]], name: str) -> Figure:
    """Loss, and accuracy at every condition that was validated, over epochs.

    Args:
        rows: of a training's log.jsonl.
        name: of the model.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        epochs = [row["epoch"] for row in rows]
        left.plot(epochs, [row["loss"] for row in rows], color=SERIES[0])
        left.set(title=f"{name}, loss", xlabel="epoch", yscale="log")
        for i, label in enumerate(rows[0]["validation_accuracy"]):
            found = [100 * row["validation_accuracy"][label] for row in rows]
            what = f"{100 * float(label):g} %" if label[0].isdigit() else label
            right.plot(epochs, found, color=SERIES[i % len(SERIES)], label=what)
        right.set(title="Validation accuracy by bit error rate, %", xlabel="epoch")
        if right.lines:
            right.legend()
    return figure
