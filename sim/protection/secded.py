"""SECDED: single errors of a code word are corrected, double errors are detected."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ..bits import Words, pack, unpack
from ..exceptions import InputError
from ..memory import Kind, Layout
from ..network import Network
from ..physical import Alike, Physical, extend
from ..physical_steps import Widen
from . import hsiao
from .protection import Cells, Protection, check_kinds, physical

OnDetect = Literal["keep", "zero"]


@dataclass(frozen=True)
class Secded(Protection):
    """A Hsiao code word over each word of a bank, or over several that follow each other.

    Check bits are stored cells beside the data and are victims like them. A triple error may be
    taken for a single one; then the decoder adds a fourth, as the hardware would. Pad lanes hold 0
    and have no faults; a correction that names one changes no stored bit.

    Attributes:
        words: words of a bank in one code word.
        on_detect: what the datapath gets of a code word whose errors are detected and not
            corrected: "keep" the data as read, or "zero", all bits 0, which are weights of -1.
        where: kinds of memory that are protected.
    """

    words: int = 1
    on_detect: OnDetect = "keep"
    where: tuple[Kind, ...] = ("weights",)
    name: ClassVar[str] = "secded"

    def __post_init__(self) -> None:
        if not 1 <= self.words <= hsiao.MAX_DATA_BITS:
            raise InputError(f"words must be 1..{hsiao.MAX_DATA_BITS}, not {self.words}")
        if self.on_detect not in ("keep", "zero"):
            raise InputError(f"on_detect must be 'keep' or 'zero', not {self.on_detect!r}")
        check_kinds(self.where)

    def layout(self, network: Network, base: Layout) -> Layout:
        """Every bank wider by its check bits."""
        return extend(
            base,
            Widen(
                tuple(
                    hsiao.code(bank.width * self.words).n_checks if bank.kind in self.where else 0
                    for bank in base.banks
                ),
                self.words,
            ),
        )

    def encode(self, network: Network, base: Layout, cells: Cells) -> Cells:
        """Data, and check bits above every word."""
        layout = physical(self.layout(network, base))
        out = layout.put(cells)
        for alike, code in self._codes(layout):
            words = alike.new(out).reshape(-1, self.words, alike.over.width)
            width = alike.under.width
            checks = code.checks(_data(words, width))
            bits = np.zeros((len(words), self.words * (alike.over.width - width)), np.uint8)
            bits[:, : code.n_checks] = (checks[:, None] >> np.arange(code.n_checks)) & 1
            words[:, :, width:] = bits.reshape(len(words), self.words, -1)
        return out

    def decode(self, network: Network, base: Layout, cells: Cells) -> Cells:
        """Data as the decoder hands them on."""
        layout = physical(self.layout(network, base))
        out = layout.get(cells)
        for alike, code in self._codes(layout):
            words = alike.new(cells).reshape(-1, self.words, alike.over.width)
            width = alike.under.width
            bits = words[:, :, width:].reshape(len(words), -1)[:, : code.n_checks]
            checks = pack(np.ascontiguousarray(bits))[:, 0].astype(np.uint16)
            data, _, detected = code.decode(_data(words, width), checks)
            if self.on_detect == "zero":
                data[detected] = 0
            handed = unpack(data, code.n_data).reshape(alike.n_banks, -1, width)
            alike.old(out)[:] = handed[:, : alike.under.n_words]
        return out & base.is_stored

    def _codes(self, layout: Physical) -> list[tuple[Alike, hsiao.Code]]:
        return [
            (alike, hsiao.code(alike.under.width * self.words))
            for alike in layout.alike()
            if alike.under.kind in self.where
        ]


def _data(words: Cells, width: int) -> Words:
    """(n_codes, n_words) packed data of (n_codes, group, columns) cells."""
    return pack(np.ascontiguousarray(words[:, :, :width]).reshape(len(words), -1))
