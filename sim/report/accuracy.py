"""Accuracy over bit error rate, and which classes are taken for which."""

from collections.abc import Mapping
from typing import Any

from .figures import accuracy_figure
from .html import Raw, confusion_table, element, table
from .parts import drawn, missing, note, point_row, section, what_was_run
from .results import Results, reading

CLASS_NAMES = {
    "fashion-mnist": (
        *("T-shirt", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )
}
"""Source: Xiao et al. 2017, arXiv 1708.07747, table 2."""


def accuracy(results: Results) -> Raw:
    """The section."""
    parts: list[Raw | None] = []
    if found := results.one("campaign"):
        with reading(found) as values:
            title = "Accuracy over bit error rate, one line a network"
            figure = accuracy_figure(values["points"])
            parts += [
                drawn(figure, "accuracy", title),
                note(what_was_run(values)),
                table("Accuracy in percent over chips", map(point_row, values["points"])),
            ]
    else:
        parts.append(missing("campaign", "make campaign"))
    if trained := results.one("train"):
        with reading(trained) as values:
            parts += _training(values)
    else:
        parts.append(missing("table of the trained networks", "make train"))
    return section("Accuracy over bit error rate", *parts)


def _training(values: Mapping[str, Any]) -> list[Raw]:
    rows, floats = [], []
    for model in values["models"]:
        cost, differs = model["training"], model["float_disagreements"]
        floats.append(f"{model['name']} {differs['n_images_different']:,}")
        rates = {
            f"BER {100 * p['ber']:g} %": f"{p['accuracy_percent']:.2f}" for p in model["points"]
        }
        rows.append(
            {
                "network": model["name"],
                **rates,
                "weight bits": model["n_weight_bits"],
                "training, CPU s": None if cost is None else cost["cpu_s"],
            }
        )
    title = (
        f"The trained networks, frozen to exact integers: accuracy in percent on "
        f"{values['n_images']:,} images, mean of {values['n_chips']} chips"
    )
    aside = (
        "Images that torch's own float batch norm would score otherwise than the exact integers: "
        f"{', '.join(floats)}."
    )
    return [table(title, rows), note(aside)]


def confusion(results: Results) -> Raw:
    """The section."""
    found = results.one("campaign")
    if found is None:
        return section("Confusion", missing("campaign", "make campaign"))
    with reading(found) as values:
        names = CLASS_NAMES.get(values["images"].split("/")[0])
        tables = []
        for c in values["confusions"]:
            title = f"{c['network']}, BER {100 * c['ber']:g} %, {c['n_images']:,} images"
            labels = names or [""] * len(c["matrix"])
            tables.append(confusion_table(title, c["matrix"], labels))
        what = "Percent of the images of each true class (row) that were given each class (column)."
        return section(
            "Confusion, without errors and at the highest rate",
            note(what),
            element("div", *tables, class_="pair"),
        )
