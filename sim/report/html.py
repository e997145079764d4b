"""HTML as text: escaped elements, accessible tables, numbers as people read them."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

Cell = Any
"""Text to escape, a number, None, or `Raw`."""


class Raw(str):
    """Text that is HTML already."""


def element(tag: str, *inside: Cell, **attributes: str) -> Raw:
    """One element; a trailing underscore in an attribute's name is dropped.

    >>> element("p", "1 < 2", class_="note")
    '<p class="note">1 &lt; 2</p>'
    """
    named = "".join(f' {k.rstrip("_")}="{escape(v)}"' for k, v in attributes.items())
    return Raw(f"<{tag}{named}>{''.join(map(text, inside))}</{tag}>")


def text(value: Cell) -> str:
    """A value as HTML text.

    >>> text(None), text(True), text(12345), text(0.5)
    ('–', 'yes', '12,345', '0.5')
    """
    if isinstance(value, Raw):
        return value
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return escape(str(value))


def short_hash(value: str) -> Raw:
    """First twelve digits, the whole on hover."""
    return element("span", value[:12], class_="hash", title=value)


def percent(share: float | None, digits: int = 2) -> str | None:
    """A share of one in percent."""
    return None if share is None else f"{100 * share:.{digits}f}"


def table(caption: str, rows: Iterable[Mapping[str, Cell]]) -> Raw:
    """A table: a column for each name, the first one heads its row, numbers to the right."""
    found = list(rows)
    names = list(dict.fromkeys(name for row in found for name in row))
    right = {n for n in names if all(_is_number(row.get(n)) for row in found)}

    def cell(tag: str, name: str, value: Cell, **scope: str) -> Raw:
        return element(tag, value, **scope, **({"class_": "number"} if name in right else {}))

    head = element("tr", *(cell("th", n, n, scope="col") for n in names))
    body = [
        element(
            "tr",
            cell("th", names[0], row.get(names[0]), scope="row"),
            *(cell("td", n, row.get(n)) for n in names[1:]),
        )
        for row in found
    ]
    inside = (element("caption", caption), element("thead", head), element("tbody", *body))
    return element("div", element("table", *inside), class_="wide")


def _is_number(value: Cell) -> bool:
    if isinstance(value, str) and not isinstance(value, Raw):
        return value.replace(".", "", 1).replace("-", "", 1).isdecimal()
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def confusion_table(caption: str, matrix: Sequence[Sequence[int]], names: Sequence[str]) -> Raw:
    """A confusion matrix in percent of each true class, darker where more images are."""
    head = element(
        "tr", element("td"), *(element("th", str(i), scope="col") for i in range(len(matrix)))
    )
    rows = []
    for i, counts in enumerate(matrix):
        total = sum(counts) or 1
        cells = [
            element("td", f"{100 * n / total:.1f}", style=f"--share:{n / total:.3f}")
            for n in counts
        ]
        rows.append(element("tr", element("th", f"{names[i]} {i}", scope="row"), *cells))
    inside = (element("caption", caption), element("thead", head), element("tbody", *rows))
    return element("div", element("table", *inside, class_="confusion"), class_="wide")
