"""Measured replay of undervolted block RAM: the fault maps of a KC705, bit for bit.

Eight hundred and ninety block RAMs of 1024 words of 16 bits were written with ones and read back at
seven voltages; a 0 is a fault. A stored 0 was never tried, so the maps know of faults from 1 to 0
only. **In every word of these files the upper byte equals the lower one**: faults come in pairs
eight bits apart, and 2,274 faults at 0.53 V are 1,137 independent ones. They are replayed as
published.

Every bank of a layout is laid over as many tiles of 1024 x 16 as it needs, wide banks over several
block RAMs side by side; bit b of a word is bit b mod 16 of tile b div 16. Chip 0 is the board as it
was measured: tile t is block RAM t mod 890. Any other chip has the block RAMs in another order. At
a lower voltage the faults of a higher one stay, but for 4 of 252 and 8 of 690.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import sampling
from ..bits import Words, pack
from ..exceptions import InputError
from ..faults import FaultMap
from ..memory import Bank, Kind, Layout
from . import measured
from .model import HERE, Persistence, assemble, check_sample, provenance

N_BRAMS, N_WORDS, WIDTH = 890, 1024, 16
N_BITS = N_BRAMS * N_WORDS * WIDTH
NOMINAL_V = 1.0
"""Source: Information-KC705B.ods of the same authors: VCCBRAM (nominal) 1 V, 890 BRAMs."""

FAULTS = {0.53: 2274, 0.54: 690, 0.55: 252, 0.56: 62, 0.57: 26, 0.58: 8, 0.59: 2}
"""Faulty bits of the N_BITS of the board at each voltage; 0.59 V is the first with any, and below
0.53 V the board does not answer. Source: Salami, Unsal, Cristal Kestelman 2018, MICRO, doi
10.1109/MICRO.2018.00064, data KC705-B; counted again from the raw files in the tests."""

ORIGIN = "the data of Salami et al. 2018 (FPGA-BRAMs-Undervolting-Study, KC705-B)"
SHA256 = {
    0.53: "a7cd1c01891c8e54b4a1dae30d10aea692194a0b5845c11878627c874b3f3a83",
    0.54: "05a3995825d8d7bcc6d7ae4a2c9aa2c51283e0e380693923a53a0d25eda04d50",
    0.55: "347e954d1cba0af8d1a4a969344105b9f69dcf59d52bcb2d0ee20ff1a6e6ea2a",
    0.56: "57b43d8ee6a564dcdb31efeff392d3d30ac3820e7063dfcfd232847d6ab8b15b",
    0.57: "fd206edab282207a34b0eecf3dc098ed4ea6906e4d9bc7a906877f88988a8015",
    0.58: "7504b5e476ec76ec525730c7211375428e614f48d05cf93d613ac3be1e188adb",
    0.59: "d594cccc86791f37080b419cb64687aff34fcaf4bfbf7e3f969731fb943ae7bf",
}


@lru_cache(maxsize=len(FAULTS))
def faulty(voltage: float, data_root: Path | None) -> NDArray[np.bool_]:
    """(890, 1024, 16) True where a bit that was written 1 read 0; [..., b] is bit b of the word.

    Raises:
        InputError, ArtefactError: see `measured.read`.
    """
    name = f"KC705B-{voltage:.2f}.bin"
    file = measured.File(
        "bram-undervolting", name, "KC705B-raw.tar.xz", SHA256[voltage], f"{ORIGIN}, RawData"
    )
    return zeros_of(measured.read(file, data_root).decode()).reshape(N_BRAMS, N_WORDS, WIDTH)


def zeros_of(text: str) -> NDArray[np.bool_]:
    """(n, 16) True where a bit of the authors' text, four hex digits a word, is 0; LSB first.

    >>> zeros_of("FFFE").nonzero()[1].tolist(), zeros_of("7FFF").nonzero()[1].tolist()
    ([0], [15])
    """
    words = np.frombuffer(bytes.fromhex(text), ">u2")
    return np.asarray((words[:, None] >> np.arange(WIDTH, dtype=np.uint16)) & 1 == 0)


@dataclass(frozen=True)
class BramReplay:
    """The measured faults of a KC705's block RAM at one voltage, persistent.

    Attributes:
        voltage: V, one of FAULTS.
        seed: of the orders in which chips 1, 2, ... have the block RAMs.
        data_root: folder in which the raw files are found; no part of the model's description.
    """

    name: ClassVar[str] = "bram-replay"
    needs_data: ClassVar[bool] = False

    voltage: float
    seed: int = 0
    data_root: Path | None = field(default=None, compare=False, repr=False, metadata=HERE)

    def __post_init__(self) -> None:
        if self.voltage not in FAULTS:
            raise InputError(
                f"voltage must be one of {sorted(FAULTS)} V, which were measured, "
                f"not {self.voltage!r}"
            )

    @property
    def persistence(self) -> Persistence:
        """A chip keeps its faults."""
        return "chip"

    def rates(self) -> tuple[float, float]:
        """(p01, p10) over all block RAMs."""
        return 0.0, FAULTS[self.voltage] / N_BITS

    def sample(
        self,
        layout: Layout,
        chip: int,
        where: Iterable[Kind] = ("weights",),
        *,
        event: int = 0,
        stored: NDArray[np.uint8] | None = None,
    ) -> FaultMap:
        """Faults of chip number `chip`; `event` and `stored` change nothing.

        Raises:
            InputError, ArtefactError: see `measured.read`.
        """
        kinds = check_sample(where, chip, event)
        board = faulty(self.voltage, self.data_root)
        first = first_tiles(layout)
        n_tiles = sum(n_tiles_of(bank) for bank in layout.banks)
        order = tile_order(self.seed, chip, n_tiles)

        def planes_of(bank: Bank) -> tuple[Words, Words]:
            n_down, n_across = -(-bank.n_words // N_WORDS), -(-bank.width // WIDTH)
            tiles = order[first[bank.name] :][: n_down * n_across]
            memory = board[tiles].reshape(n_down, n_across, N_WORDS, WIDTH).transpose(0, 2, 1, 3)
            cells = memory.reshape(n_down * N_WORDS, -1)[: bank.n_words, : bank.width]
            turns0 = pack(np.ascontiguousarray(cells).ravel())
            return np.zeros_like(turns0), turns0

        return assemble(layout, kinds, planes_of, provenance(self, chip, kinds))


def n_tiles_of(bank: Bank) -> int:
    """Block RAMs that a bank takes."""
    return -(-bank.n_words // N_WORDS) * -(-bank.width // WIDTH)


def first_tiles(layout: Layout) -> dict[str, int]:
    """Number of the first tile of every bank; tiles are numbered bank after bank."""
    sizes = [n_tiles_of(bank) for bank in layout.banks]
    return dict(
        zip((b.name for b in layout.banks), np.cumsum([0, *sizes[:-1]]).tolist(), strict=True)
    )


def tile_order(seed: int, chip: int, n_tiles: int) -> NDArray[np.int64]:
    """(n_tiles,) block RAM of each tile. A layout larger than the board takes them all again."""
    board = np.arange(N_BRAMS)
    if chip > 0:
        key = sampling.key("stoic.bram/1", seed, chip)
        board = np.argsort(sampling.uniforms(key, N_BRAMS), kind="stable")
    return board[np.arange(n_tiles) % N_BRAMS]
