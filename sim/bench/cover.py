"""Functional coverage of benches, with cocotb-coverage: what of the test plan a run has met.

A `Group` is a set of cover points that are sampled together, and crosses of them. Its points are
named `<unit>.<group>.<point>`; every point that a bench samples, and no other, stands in
`tests/testplan.toml`. The hits of a simulation lie in FILE in the folder in which it runs.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cocotb
from cocotb_coverage.coverage import CoverCross, CoverPoint, coverage_db, coverage_section

FILE = "cover.json"
Bin = bool | int | str
Hits = dict[str, dict[str, int]]  # point -> bin -> how often


class Group:
    """Cover points that are sampled together, and crosses of some of them.

    Args:
        points: the bins of each point; a value that is none of them is not counted.
        crosses: names of points.
    """

    def __init__(
        self,
        name: str,
        points: Mapping[str, Sequence[Bin]],
        crosses: Iterable[tuple[str, ...]] = (),
    ) -> None:
        self.name, self.points, self.crosses = name, points, tuple(crosses)
        self._sampler: Callable[..., None] | None = None
        self._seen: set[tuple[Bin, ...]] = set()

    def sample(self, **values: Bin) -> None:
        """Count the values of all points; the same values are counted once in a simulation."""
        row = tuple(values[point] for point in self.points)
        if row in self._seen:
            return
        self._seen.add(row)
        self._sampler = self._sampler or self._make()
        self._sampler(*row)
        part = Path(f"{FILE}.part")  # a bench that fails is killed, maybe in here
        part.write_text(json.dumps(_hits()), encoding="utf-8")
        part.replace(FILE)

    def _make(self) -> Callable[..., None]:
        path = f"{cocotb.top._name}.{self.name}"
        point, cross, section = map(_untyped, (CoverPoint, CoverCross, coverage_section))
        items = [
            point(f"{path}.{name}", xf=lambda *row, i=i: row[i], bins=list(bins))
            for i, (name, bins) in enumerate(self.points.items())
        ]
        for names in self.crosses:
            items.append(cross(f"{path}.{'_x_'.join(names)}", items=[f"{path}.{n}" for n in names]))
        sampler: Callable[..., None] = section(*items)(lambda *row: None)
        return sampler


def read(folder: Path) -> Hits:
    """Hits of the simulation that ran in a folder."""
    path = folder / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def merged(runs: Iterable[Hits]) -> Hits:
    """Hits of all runs together."""
    total: Hits = {}
    for run in runs:
        for point, bins in run.items():
            into = total.setdefault(point, {})
            for name, n in bins.items():
                into[name] = into.get(name, 0) + n
    return total


def _untyped(value: Any) -> Any:
    """A name of cocotb-coverage, which has no types."""
    return value


def _hits() -> Hits:
    return {
        name: {str(b): n for b, n in item.detailed_coverage.items()}
        for name, item in coverage_db.items()
        if isinstance(item, CoverPoint | CoverCross)
    }
