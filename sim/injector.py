"""Transient read errors as `stoic_injector` makes them on chip: the definition, plain and slow.

Every layer has a generator of its own that moves on by one 32-bit word with every weight word that
an image reads of each of its banks, and stands still else. So what a read meets depends on the seed
and on which image since the injector was set, never on when the image came. A word is read once an
image (convolutions: once a window), on uint8 once for each bit plane, and every read draws anew.
The host's reads are not disturbed.

    p01 = P(read 1 | stored 0) and p10 are exact, in steps of 2**-16 or less, for every bit

Within one word the errors stand in a random subset of the lanes, 1 of 2**n places, and hit half of
it. What else is and is not independent, form by form (tests/test_injector.py checks it):

    independent   words, and processing elements but for the carry of a word
    ring          words; one mask serves all processing elements of a layer, each rotated by one
                  lane more: errors of one element are as in `independent`, those of two are not
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from .bits import Words
from .core import Core, Form, planes
from .exceptions import InputError
from .physical import Physical

MAX_INDEPENDENT = 41  # processing elements of a layer whose own numbers are independent
INJECTOR_BANK = 1 << 15  # added to the number of a weight bank: its injector
N_REGISTERS = 6  # words there: enable, rates, and four of the state
_STATE_WORDS = 4
_SURE = 1 << 15  # T of a chance of 1


@dataclass(frozen=True)
class Rates:
    """What the registers of a layer's injector hold.

    Attributes:
        t01, t10: chance that a word is hit, in 2**-15.
        care: bits of a lane's number that have to be those of the place drawn.
    """

    t01: int
    t10: int
    care: int

    @property
    def p01(self) -> float:
        """P(read 1 | stored 0) as it comes out."""
        return self.t01 / (2 * _SURE << self.care.bit_count())

    @property
    def p10(self) -> float:
        """P(read 0 | stored 1) as it comes out."""
        return self.t10 / (2 * _SURE << self.care.bit_count())


@dataclass(frozen=True)
class ReadErrors:
    """Transient read errors of the weight memories of a core with injectors.

    Attributes:
        core: that has them.
        p01, p10: P(read 1 | stored 0), P(read 0 | stored 1), each 0..1/2.
        seed: 0 or more; each layer's generator starts from a hash of it.
        off: names of weight banks that are read without errors.

    Raises:
        InputError: the core has no injectors, or a rate, the seed or a name is not legal.
    """

    core: Core
    p01: float
    p10: float
    seed: int = 0
    off: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_injectors(self.core)
        if not (0 <= self.p01 <= 0.5 and 0 <= self.p10 <= 0.5):
            raise InputError(
                f"rates of read errors must be 0..0.5, not p01 {self.p01}, p10 {self.p10}"
            )
        if self.seed < 0:
            raise InputError(f"seed must be 0 or more, not {self.seed}")
        known = {bank.name for bank in self.core.layout.banks if bank.kind == "weights"}
        if unknown := sorted(set(self.off) - known):
            raise InputError(f"{unknown[0]!r} is not a weight bank of the layout")

    @property
    def form(self) -> Form:
        """Of the injectors."""
        assert self.core.injector is not None
        return self.core.injector

    def rates(self, layer: int) -> Rates:
        """Registers for the layer: the sparsest pattern that reaches both rates, and T for each."""
        n_bits = (self.core.layout.folds[layer].simd - 1).bit_length()
        most = max(self.p01, self.p10)
        n_care = max(n for n in range(n_bits + 1) if n == 0 or most <= 2.0 ** -(1 + n))
        t01, t10 = (round(p * (2 * _SURE << n_care)) for p in (self.p01, self.p10))
        return Rates(t01, t10, (1 << n_care) - 1)

    def start(self, layer: int) -> tuple[int, ...]:
        """The four 32-bit words that the layer's generator starts from, not all 0."""
        text = f"stoic read errors {self.seed} {layer}".encode()
        words = np.frombuffer(hashlib.sha256(text).digest(), "<u4")[:_STATE_WORDS].tolist()
        return (*words[:-1], words[-1] | 1)

    def registers(self) -> dict[int, Words]:
        """What the host writes, from address 0 on, to set the injectors and to start them anew."""
        writes = {}
        for number, bank in enumerate(self.core.layout.banks):
            if bank.kind == "weights":
                words = [int(bank.name not in self.off)]
                if bank.pe == 0:
                    rates = self.rates(bank.layer)
                    words.append(rates.t01 | rates.t10 << 16 | rates.care << 32)
                    words.extend(self.start(bank.layer))
                writes[INJECTOR_BANK + number] = np.array(words, np.uint64)
        return writes


def check_injectors(core: Core) -> None:
    """Refuse a core without injectors, or one that they cannot serve.

    Raises:
        InputError: none, a layout that is not plain, an engine, images side by side, or more
            processing elements or banks than they address.
    """
    if core.injector is None:
        raise InputError("the core has no injectors of read errors; build it with them")
    if isinstance(core.layout, Physical):
        raise InputError("injectors are for cores without check bits and threshold tables")
    if core.engine:
        raise InputError("injectors are for cores of a unit a layer, not for the engine")
    if core.side_by_side > 1:
        raise InputError(f"injectors are for cores of one image at a time, not {core.side_by_side}")
    most = max(fold.pe for fold in core.layout.folds)
    if core.injector == "independent" and most > MAX_INDEPENDENT:
        raise InputError(
            f"the independent injector serves {MAX_INDEPENDENT} processing elements a layer, not "
            f"{most}; fold more, or take the ring"
        )
    if len(core.layout.banks) >= INJECTOR_BANK:
        raise InputError(f"a core with injectors has {INJECTOR_BANK - 1} banks at most")


def image_words(core: Core, layer: int) -> int:
    """Words that an image, of a convolution a window, reads of each weight bank of a layer."""
    layout = core.layout
    return layout.n_folds(layer) * planes(layout.shapes[layer]) * layout.n_steps(layer)


def read_index(core: Core, layer: int, fold: Any, plane: Any, step: Any) -> Any:
    """Number of a word among those that an image reads of its bank: the top plane comes first.

    Args:
        fold, plane, step: integers, or arrays of them.
    """
    n_planes, n_steps = planes(core.layout.shapes[layer]), core.layout.n_steps(layer)
    return (fold * n_planes + n_planes - 1 - plane) * n_steps + step


def next_word(words: list[int]) -> int:
    """The 32-bit word that follows; x^127 + x^63 + 1, 32 steps.

    Args:
        words: the last four or more, oldest first.
    """
    return words[-2] ^ ((words[-4] << 1 | words[-3] >> 31) & 0xFFFFFFFF)


def word_errors(words: list[int], rates: Rates, form: Form, simd: int, pe: int) -> tuple[int, int]:
    """Lanes of a word in which a stored 0 reads as 1, and those in which a stored 1 reads as 0.

    Args:
        words: four of the generator, oldest first: what it holds while the word is read.
        simd: lanes.
        pe: number of the processing element.
    """
    state, index = _state(words), pe if form == "independent" else 0
    own = _own(state, index)
    flip, place = own[4], sum(bit << k for k, bit in enumerate(own[5:]))
    pattern = [
        ((state >> (i + index) % simd & 1) ^ flip) if (i ^ place) & rates.care == 0 else 0
        for i in range(simd)
    ]
    if form == "ring":
        pattern = [pattern[(i + pe) % simd] for i in range(simd)]
    mask = sum(bit << i for i, bit in enumerate(pattern))
    hit01, hit10 = word_hits(words, rates, form, pe)
    return mask if hit01 else 0, mask if hit10 else 0


def word_hits(words: list[int], rates: Rates, form: Form, pe: int) -> tuple[bool, bool]:
    """Whether a word is read with errors on stored 0s, and on stored 1s; of no lane now and then.

    Args:
        words, pe: as in `word_errors`.
    """
    state = _state(words)
    own, u = _own(state, pe if form == "independent" else 0), state >> 64 & 0x7FF
    v = own[0] | own[1] << 1 | own[2] << 2 | own[3] << 3
    hit01, hit10 = (2 * v < 2 * (t >> 11) + (u < t & 0x7FF) for t in (rates.t01, rates.t10))
    return hit01, hit10


def _state(words: list[int]) -> int:
    return words[3] | words[2] << 32 | words[1] << 64 | words[0] << 96


def _own(state: int, index: int) -> list[int]:
    """The 11 bits of a word and an element: 4 of v, flip, 6 of the place."""
    pick, salt = state >> 75 & 0x7FF, state >> 86
    return [(pick >> k & 1) ^ (salt >> (k + index) % 41 & 1) for k in range(11)]
