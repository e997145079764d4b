"""Pins files: which port stands on which pin, and whether that is all of them."""

import re
from collections import Counter
from collections.abc import Sequence

from ..flows.pll import Family

# LPF of nextpnr-ecp5, PCF of nextpnr-ice40, XDC of Vivado. The first two place a port that no line
# names where they like, Vivado writes no bitstream.
_XDC = re.compile(
    r"^set_property -dict \{ *PACKAGE_PIN (?P<pin>\S+) .*\} \[get_ports \{ *(?P<port>\S+) *\}\]",
    re.MULTILINE,
)
_LINE = {
    "ecp5": re.compile(r'^LOCATE COMP "(?P<port>\S+)" SITE "(?P<pin>\S+)";', re.MULTILINE),
    "ice40": re.compile(
        r"^set_io(?: -pullup yes)? +(?P<port>[^\s-]\S*) +(?P<pin>\S+)", re.MULTILINE
    ),
    "xc7": _XDC,
    "zynq7": _XDC,
}


def placed(text: str, family: Family) -> list[tuple[str, str]]:
    """Port and pin of each line that places one."""
    lines = _LINE[family].finditer(text)
    return [(line["port"], line["pin"]) for line in lines]


def pins_problem(text: str, family: Family, ports: Sequence[str]) -> str:
    """What is wrong with a pins file that must give each port a pin of its own, "" if nothing.

    >>> pins_problem("set_io clk_i 35", "ice40", ["clk_i", "button_i"])
    'no pin for button_i'
    """
    lines = placed(text, family)
    found = {port for port, _ in lines}
    if missing := [port for port in ports if port not in found]:
        return f"no pin for {', '.join(missing)}"
    if unknown := found - set(ports):
        return f"the top has no port {', '.join(sorted(unknown))}"
    for at, what in enumerate(("port", "pin")):
        (name, n), *_ = Counter(line[at] for line in lines).most_common(1)
        if n > 1:
            return f"{what} {name} stands in {n} lines"
    return ""
