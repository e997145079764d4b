"""64 copies of a netlist simulated at once, by a C++ library that is built when first needed."""

import ctypes
import hashlib
import logging
import os
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..sim.exceptions import BoardError, ToolError
from .netlist_program import Program

N_COPIES = 64
SOURCE = Path(__file__).parent / "netlist_engine.cpp"
FLAGS = ("-O3", "-std=c++17", "-fPIC", "-shared", "-Wall")

_log = logging.getLogger(__name__)


def build(build_dir: Path) -> Path:
    """The library; built once per content.

    Raises:
        ToolError: there is no C++ compiler, or it fails.
    """
    digest = hashlib.sha256(repr(FLAGS).encode() + SOURCE.read_bytes()).hexdigest()
    library = build_dir / f"libnetlist-{digest[:16]}.so"
    if library.is_file():
        return library
    compiler = shutil.which("g++")
    if compiler is None:
        raise ToolError("g++ is not on PATH; the netlist device needs it to build its engine")
    build_dir.mkdir(parents=True, exist_ok=True)
    _log.info("building %s", library)
    scratch = library.with_suffix(f".{os.getpid()}.tmp")
    done = subprocess.run(
        [compiler, *FLAGS, "-o", str(scratch), str(SOURCE)], capture_output=True, text=True
    )
    if done.returncode:
        first = next((line for line in done.stderr.splitlines() if "error" in line), "no output")
        raise ToolError(f"g++ failed on {SOURCE.name}: {first}")
    scratch.replace(library)
    return library


class Netlist:
    """A running simulation of a program; every copy starts as the device does."""

    def __init__(self, program: Program, build_dir: Path) -> None:
        """Start it.

        Raises:
            ToolError: the library cannot be built.
        """
        self._library = ctypes.CDLL(str(build(build_dir).resolve()))
        self._library.stoic_netlist_open.restype = ctypes.c_void_p
        self._library.stoic_netlist_cycles.restype = ctypes.c_uint64
        self._library.stoic_netlist_nets.restype = ctypes.POINTER(ctypes.c_uint64)
        self._n_nets, self._n_cycles = program.n_nets, 0
        self._lock = threading.Lock()  # who ends it waits for who talks to it
        line = program.line
        ends = np.concatenate([line.rx_data, line.rx_valid, line.tx_data, line.tx_valid])
        arrays = (program.tables, program.registers, program.memories, program.pins, program.ones)
        arguments: list[object] = [ctypes.c_size_t(program.n_nets)]
        for array in arrays:
            arguments += [_pointer(array), ctypes.c_size_t(len(array))]
        arguments += [_pointer(ends), _pointer(line.tx_left), ctypes.c_size_t(len(line.tx_left))]
        self._simulation = ctypes.c_void_p(self._library.stoic_netlist_open(*arguments))

    @property
    def n_cycles(self) -> int:
        """Clock cycles so far; once it is closed, those until then."""
        with self._lock:
            if self._simulation:
                self._n_cycles = int(self._library.stoic_netlist_cycles(self._simulation))
            return self._n_cycles

    def talk(self, sent: NDArray[np.uint8], n_answered: int, patience: int) -> NDArray[np.uint8]:
        """Bytes that the copies answer, fewer than asked when nothing moves for `patience` cycles.

        Args:
            sent: (n, n_copies) bytes, or (n, 1) the same for all.
            n_answered: that every copy is to give.

        Returns:
            (n_answered, n_copies) bytes.

        Raises:
            BoardError: the copies do not take and give bytes at the same time, or it was closed.
        """
        sent = np.broadcast_to(sent, (len(sent), N_COPIES))
        bits = np.unpackbits(sent[:, :, None], axis=2, bitorder="little").transpose(0, 2, 1)
        words = np.packbits(bits, axis=2, bitorder="little")  # (n, 8, n_copies / 8)
        got = np.zeros((n_answered, 8, N_COPIES // 8), np.uint8)
        n_given, n_taken = ctypes.c_size_t(), ctypes.c_size_t()
        with self._lock:
            if not self._simulation:
                raise BoardError("the netlist is no more simulated")
            status = self._library.stoic_netlist_talk(
                self._simulation,
                _pointer(words), ctypes.c_size_t(len(words)),
                _pointer(got), ctypes.c_size_t(n_answered),
                ctypes.c_uint64(patience), ctypes.byref(n_given), ctypes.byref(n_taken),
            )  # fmt: skip
        if status == 2:
            raise BoardError("the netlist's handshake depends on what an image or a weight is")
        bits = np.unpackbits(got[: n_taken.value], axis=2, bitorder="little").transpose(0, 2, 1)
        return np.packbits(bits, axis=2, bitorder="little")[:, :, 0]

    def clock(self) -> None:
        """One cycle."""
        self._library.stoic_netlist_clock(self._simulation)

    def nets(self) -> NDArray[np.uint64]:
        """Every net, a bit a copy, as a view: what is written there, registers keep."""
        first = self._library.stoic_netlist_nets(self._simulation)
        return np.ctypeslib.as_array(first, (self._n_nets,))

    def close(self) -> None:
        """Free it, once nobody talks to it."""
        _ = self.n_cycles
        with self._lock:
            if self._simulation:
                self._library.stoic_netlist_close(self._simulation)
            self._simulation = ctypes.c_void_p()


def _pointer(array: NDArray[np.generic]) -> ctypes.c_void_p:
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)
