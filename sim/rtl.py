"""The RTL as a device: the generated core, Verilated; written, read back, streamed through."""

import ctypes
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import registers
from .bits import Words
from .core import Core, Form, beat_bits, core_of, default_core, layer_cycles
from .device import Faults, lasting
from .exceptions import InputError, ToolError
from .hardware import table_number, take_apart, written
from .injector import ReadErrors
from .memory import Layout, bank_words
from .network import Network, check_images
from .registers import Registers
from .rtl_core import core_sources, core_verilog
from .rtl_engine import engine_sources, engine_verilog
from .verilate import verilate

HARNESS = Path(__file__).parent / "rtl_harness.cpp"
_PATIENCE = 64


def core_files(core: Core, *, has_registers: bool = True) -> tuple[str, list[Path]]:
    """Verilog of the module `stoic_core`, and the files below it."""
    if core.engine:
        return engine_verilog(core), engine_sources()
    return core_verilog(core, has_registers=has_registers), core_sources()


def image_beats(core: Core, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(images, beats, bytes of a beat) of images as the core's stream takes them, little-endian.

    Args:
        images: (images, elements) 0 or 1 if the core takes bits, else 0..255.
    """
    if core.words or core.engine:
        lanes = beat_bits(core)
        short = -images.shape[1] % core.layout.folds[0].simd  # whole words of the first layer
        images = np.pad(images, ((0, 0), (0, short))).reshape(len(images), -1, lanes)
        return np.packbits(images, axis=2, bitorder="little")
    if core.layout.shapes[0].input == "bits" and not core.thermometer:
        images = np.packbits(images, axis=1, bitorder="little")
    return np.ascontiguousarray(images)[:, :, None]


class RtlDevice:
    """The generated core, simulated cycle by cycle by Verilator.

    Faults reach the memory as faulty words through the same port a board's host uses, and every
    load and injection is read back and compared. A core that makes no progress is an error.
    """

    name = "rtl"

    def __init__(
        self,
        layout: Layout | None = None,
        build_dir: Path = Path("build/rtl"),
        *,
        words: bool = False,
        engine: bool = False,
        injector: Form | None = None,
    ) -> None:
        """Take the core under a layout; None: the `default_core` of the network that is loaded.

        Args:
            words: the core takes images in words, not bytes (`Core.words`).
            engine: the core is one engine (`Core.engine`).
            injector: form of the injectors of read errors (`Core.injector`); None: none.
        """
        self._fixed = layout
        self._words, self._engine, self._injector = words, engine, injector
        self._build_dir = build_dir
        self._built: Core | None = None
        self._network: Network | None = None
        self._library: ctypes.CDLL | None = None
        self._core: ctypes.c_void_p | None = None
        self._n_images = 0
        self._n_cycles = 0

    def load(self, network: Network) -> None:
        """Build the core if need be, write the network and read it back; clears faults.

        It runs on the network's own thresholds then.
        """
        if self._fixed:
            core = core_of(network, self._fixed, engine=self._engine)
        else:
            core = default_core(network)
        core = replace(core, words=self._words, engine=self._engine, injector=self._injector)
        if core != self._built:
            self._open(core)
        self._network = network
        self._write(written(network, core.layout))
        self.select(None)
        self.disturb(None)

    def inject(self, faults: Faults | None) -> None:
        """Write what the faulty memory reads, or set the injectors; None undoes both."""
        network, layout = self._loaded()[0], self._loaded()[1].layout
        errors = faults if isinstance(faults, ReadErrors) else None
        map_ = None if isinstance(faults, ReadErrors) else lasting(faults, self.name)
        self._write(written(network, layout, map_))
        self.disturb(errors)

    def disturb(self, errors: ReadErrors | None) -> None:
        """Set the injectors, whose next image is number 0, over what the memory holds; None: off.

        Raises:
            InputError: the errors are of another core.
        """
        core = self._loaded()[1]
        if errors is not None and errors.core != core:
            raise InputError(f"the read errors are not of the core of the {self.name} device")
        if core.injector is not None:
            for bank, words in (errors or ReadErrors(core, 0.0, 0.0)).registers().items():
                self._write_bank(bank, words)

    def infer(self, images: NDArray[np.generic]) -> NDArray[np.int32]:
        """Scores of images streamed back to back."""
        network, core = self._loaded()
        data = check_images(network, images)
        n, missing = len(data), -len(data) % core.side_by_side
        data = image_beats(core, np.pad(data, ((0, missing), (0, 0))))  # images go B at a time
        scores = np.empty((len(data), network.n_classes), np.int32)
        before = self._cycles()
        patience = _PATIENCE * sum(
            layer_cycles(core, i) + s.n_inputs + 1024 for i, s in enumerate(core.layout.shapes)
        )
        patience *= core.side_by_side
        done = self._call("stoic_infer", data, *data.shape, scores, network.n_classes, patience)
        self._n_cycles += self._cycles() - before
        if done != len(data):
            self._close()
            raise ToolError(f"the RTL core stopped after {done} of {len(data)} images")
        self._n_images += n
        return scores[:n]

    def counters(self) -> dict[str, int]:
        """Images inferred and the clock cycles that took."""
        return {"images": self._n_images, "cycles": self._n_cycles}

    def registers(self) -> Registers:
        """What the core counted since it was built, and what was set."""
        core = self._loaded()[1]
        n = registers.n_words(core)
        words = self._read(registers.bank(core), n)
        if len(words) != n:
            raise ToolError("the RTL core does not tell its registers")
        return registers.unpack(words, has_injectors=core.injector is not None)

    @property
    def n_tables(self) -> int:
        """Threshold tables of the layout that the device was made for."""
        return take_apart(self._fixed).tables if self._fixed else 1

    def select(self, table: str | None) -> None:
        """Run on the thresholds of a table from the next image on; None: the network's own.

        Raises:
            InputError: the network has no such table, or the core has one table only.
        """
        network, core = self._loaded()
        number = table_number(network, core.layout, table)
        if take_apart(core.layout).tables > 1:
            self._set(registers.TABLE, number)
            if self.registers().table != number:
                raise ToolError(f"the RTL core does not take threshold table {number}")

    def bound_margins(self, bound: int) -> None:
        """Count images whose margin is less than the bound as `low_margins` from now on."""
        self._set(registers.BOUND, bound)

    def close(self) -> None:
        """Free the simulation."""
        self._close()

    def _close(self) -> None:
        if self._core is not None and self._library is not None:
            self._library.stoic_close(self._core)
        self._core = self._built = self._network = None

    def _build(self, core: Core) -> Path:
        text, sources = core_files(core)
        return verilate("stoic_core", text, sources, HARNESS, self._build_dir)

    def _open(self, core: Core) -> None:
        self._close()
        library = ctypes.CDLL(str(self._build(core).resolve()))
        library.stoic_open.restype = ctypes.c_void_p
        library.stoic_close.argtypes = [ctypes.c_void_p]
        library.stoic_cycles.argtypes = [ctypes.c_void_p]
        library.stoic_cycles.restype = ctypes.c_uint64
        self._library, self._built = library, core
        self._start()

    def _start(self) -> None:
        assert self._library is not None
        self._core = ctypes.c_void_p(self._library.stoic_open())

    def _loaded(self) -> tuple[Network, Core]:
        if self._network is None or self._built is None:
            raise InputError("load a network into the rtl device first")
        return self._network, self._built

    def _cycles(self) -> int:
        assert self._library is not None
        return int(self._library.stoic_cycles(self._core))

    def _call(self, name: str, *arguments: int | NDArray[np.generic]) -> int:
        """Call the harness; arrays go as pointers, integers as 64 bits."""
        assert self._library is not None
        function = getattr(self._library, name)
        function.restype = ctypes.c_size_t
        return int(
            function(
                self._core,
                *(
                    a.ctypes.data_as(ctypes.c_void_p)
                    if isinstance(a, np.ndarray)
                    else ctypes.c_uint64(a)
                    for a in arguments
                ),
            )
        )

    def _write(self, cells: NDArray[np.uint8]) -> None:
        """Make the memories read these cells, and check that they do."""
        self._write_words(cells)
        self._check_words(cells)

    def _write_words(self, cells: NDArray[np.uint8]) -> None:
        assert self._built is not None
        for bank, new in enumerate(bank_words(cells, self._built.layout)):
            self._write_bank(bank, new)

    def _check_words(self, cells: NDArray[np.uint8]) -> None:
        assert self._built is not None
        layout = self._built.layout
        for bank, new in enumerate(bank_words(cells, layout)):
            read = self._read(bank, len(new))
            if len(read) != len(new) or (read != new).any():
                where = layout.banks[bank].name
                self._close()
                raise ToolError(f"bank {where} reads back other words than written")

    def _write_bank(self, bank: int, words: Words, address: int = 0) -> None:
        if self._call("stoic_write", bank, address, words, len(words)) != len(words):
            self._close()
            raise ToolError("the RTL core is busy and takes no words")

    def _read(self, bank: int, n: int) -> Words:
        """Words 0..n-1 of a bank; fewer if the core stops answering."""
        words = np.zeros(n, np.uint64)
        return words[: self._call("stoic_read", bank, words, n, 4096)]

    def _set(self, register: int, value: int) -> None:
        core = self._loaded()[1]
        self._write_bank(registers.bank(core), np.array([value], np.uint64), register)
