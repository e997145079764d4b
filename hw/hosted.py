"""A core in hardware and the words of its memories, whatever bus its host is on.

Only words that differ are written, and what was written is read back.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from ..sim import registers
from ..sim.bits import Words
from ..sim.core import Core, core_of
from ..sim.device import Faults, lasting
from ..sim.exceptions import BoardError, InputError
from ..sim.hardware import table_number, take_apart, written
from ..sim.injector import ReadErrors
from ..sim.memory import Layout, bank_words
from ..sim.network import Network, check_images
from ..sim.registers import Registers

Run = tuple[int, int, Words]  # bank, address, consecutive words
Place = tuple[int, int, int]  # bank, address, number of words


class HostedCore(ABC):
    """The part of a Device that reaches a core through banks of words.

    Args:
        core: of the network that will be loaded.
        url: where the core is, for messages.
    """

    def __init__(self, core: Core, url: str) -> None:
        self.name = self.url = url
        self._core, self._layout = core, core.layout
        self._network: Network | None = None
        self._memory: list[Words] | None = None  # what the board holds; None: not known
        self._is_disturbed = False  # the injectors are on
        self._has_written = False  # else another host may: who serves a board lets one do so

    @property
    @abstractmethod
    def _n_banks(self) -> int:
        """Banks that the core has, registers among them."""

    @abstractmethod
    def _write(self, runs: Sequence[Run]) -> None:
        """Write words."""

    @abstractmethod
    def _read(self, places: Sequence[Place]) -> list[Words]:
        """Read words."""

    def load(self, network: Network) -> None:
        """Write every bank, read it back and run on the network's own thresholds; clears faults.

        Raises:
            InputError: the network is of another core.
            BoardError: the board does not answer, or a word reads back otherwise than written.
        """
        self._check_network(network)
        self._network = network
        words = bank_words(written(network, self._layout), self._layout)
        self._store(words, [(bank, 0, w) for bank, w in enumerate(words)])
        self.select(None)
        self.disturb(None)

    def adopt(self, network: Network) -> None:
        """As `load`, of a network that the board holds already: reads every word, writes none.

        The board is not ours alone: words and table are read again behind the images of each call,
        until this device writes. Rates of injectors cannot be read; who set some, then or since, is
        believed to know.

        Raises:
            InputError: the network is of another core.
            BoardError: the board does not answer, holds something else, or runs on another table.
        """
        self._check_network(network)
        self._memory = None
        words = bank_words(written(network, self._layout), self._layout)
        n_other = sum(int((a != b).sum()) for a, b in zip(words, self.read_back(), strict=True))
        if n_other:
            raise BoardError(
                f"{self.url}: does not hold network {network.name!r}: {n_other} words are others"
            )
        self._check_table(network)
        self._network, self._memory = network, words

    def _check_table(self, network: Network) -> None:
        if self.n_tables > 1 and (table := self.registers().table):
            raise BoardError(
                f"{self.url}: runs on threshold table {table}, not on the thresholds of "
                f"{network.name!r}; load the network"
            )

    def inject(self, faults: Faults | None) -> None:
        """Write the words that change, as the faulty memory would read them, or set the injectors.

        None undoes both.

        Raises:
            InputError: the map is of other layer shapes, the read errors of another core, or the
                faults transient.
            BoardError: as `load`.
        """
        network, memory = self._loaded()
        errors = faults if isinstance(faults, ReadErrors) else None
        map_ = None if isinstance(faults, ReadErrors) else lasting(faults, self.name)
        words = bank_words(written(network, self._layout, map_), self._layout)
        runs = [
            (bank, *run) for bank, new in enumerate(words) for run in changed(memory[bank], new)
        ]
        self._store(words, runs)
        self.disturb(errors)

    def disturb(self, errors: ReadErrors | None) -> None:
        """Set the injectors, whose next image is number 0, over what the memory holds; None: off.

        Raises:
            InputError: the errors are of another core.
            BoardError: the board does not answer.
        """
        if errors is not None and self._core.injector is None:
            raise InputError(
                f"{self.url}: was built without injectors of read errors; stoic synth --injector "
                f"{errors.form} builds them in"
            )
        if errors is not None and errors.core != self._core:
            raise InputError(
                f"the read errors are not of the core of {self.url}: its folding is another, or "
                f"its injectors are not {errors.form}"
            )
        if self._core.injector is not None:
            writes = (errors or ReadErrors(self._core, 0.0, 0.0)).registers()
            self._write([(bank, 0, words) for bank, words in writes.items()])
            self._is_disturbed = errors is not None

    @property
    def has_registers(self) -> bool:
        """Whether it was built with them: a small board, or an engine, was not."""
        return self._n_banks > registers.bank(self._core)

    def registers(self) -> Registers:
        """What the core counted since its reset, and what was set.

        Raises:
            BoardError: the board was built without registers, or as `load`.
        """
        return self._unpacked(self._read([self._register_place])[0])

    @property
    def core(self) -> Core:
        """That it is; images that it keeps do not count."""
        return self._core

    @property
    def layout(self) -> Layout:
        """Of the memories of its core."""
        return self._layout

    @property
    def n_tables(self) -> int:
        """Threshold tables that the board holds."""
        return take_apart(self._layout).tables

    def select(self, table: str | None) -> None:
        """Run on the thresholds of a table from the next image on; None: the network's own.

        Raises:
            InputError: the network has no such table, or the board holds one only.
            BoardError: the board does not answer, or does not take the table.
        """
        number = table_number(self._loaded()[0], self._layout, table)
        if self.n_tables > 1:
            self._set(registers.TABLE, number)
            if self.registers().table != number:
                raise BoardError(f"{self.url}: does not take threshold table {number}")

    def bound_margins(self, bound: int) -> None:
        """Count images whose margin is less than the bound as `low_margins` from now on.

        Raises:
            BoardError: as `registers`.
        """
        self._set(registers.BOUND, bound)

    def read_back(self) -> list[Words]:
        """The words of every bank as the datapath reads them now."""
        return self._read([(b, 0, bank.n_words) for b, bank in enumerate(self._layout.banks)])

    def _check_network(self, network: Network) -> None:
        core = core_of(network, self._layout, engine=self._core.engine)
        if replace(core, injector=self._core.injector) != self._core:
            raise InputError(f"the board's core is not for the layers of {network.name!r}")

    @property
    def _register_place(self) -> Place:
        return self._register_bank, 0, registers.n_words(self._core)

    def _unpacked(self, words: Words) -> Registers:
        return registers.unpack(words, has_injectors=self._core.injector is not None)

    @property
    def _register_bank(self) -> int:
        if not self.has_registers:
            raise BoardError(f"{self.url}: was built without registers")
        return registers.bank(self._core)

    def _set(self, register: int, value: int) -> None:
        self._write([(self._register_bank, register, np.array([value], np.uint64))])

    def _image_bytes(self, network: Network, images: NDArray[np.generic]) -> NDArray[np.uint8]:
        """(n_images, bytes): images as they enter the core."""
        data = check_images(network, images)
        return np.packbits(data, axis=1, bitorder="little") if network.image_max == 1 else data

    def _loaded(self) -> tuple[Network, list[Words]]:
        if self._network is None or self._memory is None:
            raise InputError(f"load a network into {self.url} first")
        return self._network, self._memory

    def _store(self, words: list[Words], runs: Sequence[Run]) -> None:
        """Make the memory hold `words`, by writing the runs in which it does not."""
        self._memory, self._has_written = None, True
        self._write(runs)
        self._verify(runs)
        self._memory = words

    def _verify(self, runs: Sequence[Run]) -> None:
        read = self._read([(bank, address, len(words)) for bank, address, words in runs])
        for (bank, address, words), got in zip(runs, read, strict=True):
            wrong = np.flatnonzero(words != got)
            if len(wrong):
                i = wrong[0]
                self._memory = None
                raise BoardError(
                    f"{self.url}: bank {self._layout.banks[bank].name}, address {address + i} "
                    f"reads {got[i]:#x}, written was {words[i]:#x}; it is broken, was reset, or "
                    "another host wrote"
                )


def changed(old: Words, new: Words) -> list[tuple[int, Words]]:
    """(address, words) of every run of consecutive words that differ.

    >>> [(a, list(w)) for a, w in changed(np.uint64([1, 2, 3, 4]), np.uint64([1, 5, 6, 4]))]
    [(1, [np.uint64(5), np.uint64(6)])]
    """
    where = np.flatnonzero(old != new)
    runs = (list(run) for _, run in groupby(enumerate(where), lambda pair: pair[1] - pair[0]))
    return [(int(run[0][1]), new[run[0][1] : run[-1][1] + 1]) for run in runs]
