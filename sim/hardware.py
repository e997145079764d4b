"""What the memories of a core hold: weights with check bits, thresholds in tables.

A core's layout is a plain one, or one to which `hardware_layout` added threshold tables, check bits
of every weight word, or both. With tables a network is written with all of its own, after its
thresholds as table 0; without, its tables stay in its file. The decoders at the read ports give the
datapath what `protection.Secded` says.

A fault map of this layout is what the memories read. A map of a plain layout is what the datapath
sees, as for every device: the words are written so that they are decoded to that.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .exceptions import InputError
from .faults import FaultMap, check_for, no_faults, of_cells, readdress
from .memory import MAX_WIDTH, Layout, stored_bits
from .network import Network, select
from .physical import Physical, extend
from .physical_steps import Step, Tables, Widen
from .protection import Secded
from .protection.hsiao import Code, code

Cells = NDArray[np.uint8]
SECDED = Secded()


@dataclass(frozen=True)
class Hardware:
    """A core's layout, taken apart.

    Attributes:
        plain: the layout without the others.
        tabled: the plain one with threshold tables.
        coded: with check bits too: the layout itself.
        tables: threshold tables, 1 where nothing was added.
    """

    plain: Layout
    tabled: Layout
    coded: Layout
    tables: int

    @property
    def has_checks(self) -> bool:
        """Whether weight words carry check bits."""
        return self.coded != self.tabled

    @property
    def needs_registers(self) -> bool:
        """Whether the core has what only its registers tell or set."""
        return self.has_checks or self.tables > 1

    def code(self, layer: int) -> Code | None:
        """The code of a layer's weight words."""
        return code(self.plain.folds[layer].simd) if self.has_checks else None


def hardware_layout(plain: Layout, tables: int = 1, *, secded: bool = False) -> Layout:
    """The layout of a core with so many threshold tables, and with check bits if asked for.

    Raises:
        InputError: too many tables, or a word and its check bits are wider than the host's words.
    """
    steps: list[Step] = [Tables(tables)] if tables != 1 else []
    tabled = extend(plain, *steps)
    if not secded:
        return tabled
    coded = extend(tabled, _checks(tabled))
    widest = max(bank.width for bank in coded.banks)
    if widest > MAX_WIDTH:
        raise InputError(
            f"a weight word and its check bits must fit {MAX_WIDTH} bits, not {widest}; "
            "57 lanes do with 7 check bits"
        )
    return coded


def _checks(layout: Layout) -> Widen:
    return Widen(
        tuple(
            code(bank.width).n_checks if bank.kind in SECDED.where else 0 for bank in layout.banks
        )
    )


def take_apart(layout: Layout) -> Hardware:
    """What `hardware_layout` put together.

    Raises:
        InputError: another physical memory, which a core cannot read.
    """
    if not isinstance(layout, Physical):
        return Hardware(layout, layout, layout, 1)
    plain = extend(Layout(layout.shapes, layout.folds))
    tables = layout.steps[0].tables if isinstance(layout.steps[0], Tables) else 1
    has_checks = isinstance(layout.last, Widen)
    if hardware_layout(plain, tables, secded=has_checks) != layout:
        steps = ", ".join(step.name for step in layout.steps)
        raise InputError(
            f"a core has threshold tables, and secded of single weight words; not steps {steps}"
        )
    return Hardware(plain, hardware_layout(plain, tables), layout, tables)


def table_number(network: Network, layout: Layout, name: str | None) -> int:
    """Number of a threshold table of a network in the memories of a core; None: its own thresholds.

    Raises:
        InputError: the network has no such table, or the core holds its own thresholds only.
    """
    if name is None:
        return 0
    select(network, name)  # refuses a name that is not there
    if take_apart(layout).tables == 1:
        raise InputError(f"the core has one threshold table and cannot choose {name!r}")
    return 1 + [table.name for table in network.tables].index(name)


def written(network: Network, layout: Layout, faults: FaultMap | None = None) -> Cells:
    """(n_cells,) what the host writes, so that the memories of a core read as a map says.

    Args:
        faults: of this layout, or of a plain one of these shapes.

    Raises:
        InputError: the layout is of another network, or has too few tables; or the map is of
            another memory.
    """
    has = take_apart(layout)
    if faults is None or faults.layout == layout:
        cells = _encode(network, has, no_faults(has.plain))
        return cells if faults is None else faults.read(cells)
    check_for(network, faults)
    return _encode(network, has, readdress(faults, has.plain))


def seen(network: Network, layout: Layout, faults: FaultMap | None = None) -> Network:
    """The network that the datapath computes with, and its tables, once `written` was written."""
    has = take_apart(layout)
    cells = written(network, layout, faults)
    if has.has_checks:
        cells = SECDED.decode(network, has.tabled, cells)
    if not isinstance(has.tabled, Physical):
        return of_cells(network, has.plain, cells)
    own, *others = (
        of_cells(network, has.plain, has.tabled.get_table(cells, t))
        for t in range(1 + len(network.tables))
    )
    tables = [
        replace(table, thresholds=tuple(layer.thresholds for layer in read.layers))
        for table, read in zip(network.tables, others, strict=True)
    ]
    return replace(own, tables=tuple(tables))


def _encode(network: Network, has: Hardware, plain: FaultMap) -> Cells:
    n_tables = 1 + len(network.tables) if has.tables > 1 else 1
    if n_tables > has.tables:
        raise InputError(
            f"the core has {has.tables} threshold tables, network {network.name!r} needs {n_tables}"
        )
    own = cells = plain.read(stored_bits(network, has.plain))
    if isinstance(has.tabled, Physical):
        cells = has.tabled.put(own)
        for t in range(1, has.tables):
            thresholds = own
            if t < n_tables:
                chosen = select(network, network.tables[t - 1].name)
                thresholds = plain.read(stored_bits(chosen, has.plain))
            has.tabled.put_table(cells, t, thresholds)
    return SECDED.encode(network, has.tabled, cells) if has.has_checks else cells
