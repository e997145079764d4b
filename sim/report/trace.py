"""What predictions owe to their training: image grids, ridges of classes, what faults undo."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imsave
from numpy.typing import NDArray

from .accuracy import CLASS_NAMES
from .figures import INK, LINE, SERIES, STYLE
from .html import Raw, element, percent, table
from .parts import drawn, missing, note, section
from .results import Results, reading

_OVERLAP = 1.6
"""Height of the highest ridge, in lines."""


def traced(results: Results) -> Raw:
    """The section."""
    title = "What predictions owe to their training"
    found = results.one("trace")
    if found is None:
        return section(title, missing("trace of a training", "make trace"))
    with reading(found) as values:
        names = CLASS_NAMES.get(values["data"], tuple(map(str, range(256))))
        parts = [
            note(
                f"{values['network']}: every stored bit that {values['n_epochs']} epochs flipped "
                f"({values['ledger_bytes'] / 1e6:.1f} MB), and what each flip adds to the answers "
                f"to {values['n_images']:,} test images; scored in {values['seconds']:.1f} s."
            ),
            table(
                "Layers, and the decision: the score of the predicted class over the mean",
                [_layer(layer) for layer in values["layers"]],
            ),
            table("Who moved the margins of hidden neurons", values["thresholds"]),
            *(
                part
                for p in values["predictions"]
                for part in _prediction(p, values["examples"], names)
            ),
        ]
        if "faults" in values:
            parts += _faults(values["faults"], names)
        return section(title, *parts)


def _layer(layer: Mapping[str, Any]) -> dict[str, Any]:
    precision = {
        f"class precision at {k}, %": percent(value) for k, value in layer["precision"].items()
    }
    shown = {k: layer[k] for k in ("layer", "steps", "flips")}
    return {**shown, "mean total": layer["total"], **precision, "residual": layer["residual"]}


def _prediction(
    values: Mapping[str, Any], examples: Mapping[str, Any], names: tuple[str, ...]
) -> list[Raw]:
    said, label = names[values["predicted"]], names[values["label"]]
    verdict = "rightly" if values["predicted"] == values["label"] else f"a {label}, wrongly"
    title = f"Test image {values['image']}, {verdict} called {said}"
    rows = [
        element(
            "tr",
            element("th", layer["name"], scope="row"),
            *(
                element("td", _picture(examples[str(e["example"])], _caption(e, names)))
                for e in layer["top"]
            ),
        )
        for layer in values["layers"]
    ]
    grid = element(
        "table",
        element("caption", "The most influential training images of each layer"),
        element("tbody", *rows),
        class_="grid",
    )
    head = element("h3", _picture(values["pixels"], title), " ", title)
    name = f"trace-{values['image']}"
    return [
        head,
        element("div", grid, class_="wide"),
        drawn(ridge_figure(values, names), name, f"Ridges of classes, {title}"),
    ]


def _caption(example: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return f"{example['example']}, {names[example['label']]}, {example['score']:+.3g}"


def _picture(values: Mapping[str, Any], title: str) -> Raw:
    """An image as a PNG inside the page, title on hover."""
    pixels = image_of(values)
    png = BytesIO()
    imsave(png, pixels, cmap="gray", vmin=0, vmax=255, format="png")
    data = f"data:image/png;base64,{b64encode(png.getvalue()).decode()}"
    return element("img", src=data, alt=title, title=title, width="40", height="40")


def image_of(values: Mapping[str, Any]) -> NDArray[np.uint8]:
    """The pixels (height, width[, 3]) that `stoic trace` wrote."""
    flat = np.frombuffer(b64decode(values["base64"]), np.uint8)
    return flat.reshape(values["shape"])


def ridge_figure(values: Mapping[str, Any], names: tuple[str, ...]) -> Figure:
    """By layer, a density for each class of the cosine between what its steps added and all.

    The class that was predicted is coloured. Source: ridge plots of Whadup/xai_tracking.

    Args:
        values: a prediction of `stoic trace`.
    """
    layers, predicted = values["layers"], values["predicted"]
    n = len(layers[0]["ridge"]["densities"])
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(2.6 * len(layers), 0.26 * n + 0.9), layout="constrained")
        axes = figure.subplots(1, len(layers), squeeze=False, sharey=True)[0]
        for ax, layer in zip(axes, layers, strict=True):
            densities = np.array(layer["ridge"]["densities"])
            high = layer["ridge"]["high"]
            x = np.linspace(-high, high, densities.shape[1])
            height = _OVERLAP / max(densities.max(), 1e-12)
            for c in range(n):
                y = n - 1 - c + height * densities[c]
                colour = SERIES[0] if c == predicted else INK
                ax.fill_between(x, n - 1 - c, y, color=colour, alpha=0.25, lw=0, zorder=c)
                ax.plot(x, y, color=colour, lw=1.0, zorder=c)
            ax.axvline(0, color=LINE, lw=0.8, zorder=-1)
            ax.set_title(layer["name"])
            ax.set_xlabel("cosine", fontsize=8)
            ax.tick_params(labelsize=8, length=0)
        axes[0].set_yticks(range(n), [names[c] for c in range(n - 1, -1, -1)])
    return figure


def _faults(values: Mapping[str, Any], names: tuple[str, ...]) -> list[Raw]:
    rows = []
    for layer in values["layers"]:
        *by_class, never = layer["wrong_bits"]
        rows.append(
            {
                "layer": layer["layer"],
                "of the refinement undone, %": percent(layer["undone"]),
                **{names[c]: n for c, n in enumerate(by_class)},
                "never trained": never,
            }
        )
    elsewhere = values.get("n_wrong_threshold_bits", 0)
    found = ", ".join(f"{name} {value:.3f}" for name, value in values["auc"].items())
    return [
        element("h3", "A faulty memory undoes entries of the ledger"),
        table("Wrong bits, by the class whose step had set them", rows),
        note(
            f"{values['n_wrong_bits']:,} bits read wrong and {values['n_changed']:,} predictions "
            f"change. Area under the curve of what tells which: {found}."
            + (f" {elsewhere:,} wrong bits of thresholds are in none of it." if elsewhere else "")
        ),
    ]
