"""The engine: golden's answer from packed words, near the popcount limit of the processor.

`_engine.cpp` is built with the package as a plain shared library and called through ctypes, which
releases the interpreter's lock: one call takes a batch through all layers. The instruction set is
chosen at run time; every path gives golden's scores bit for bit. What the library trusts (types,
shapes, ranges) is checked by `Layer`, `Network` and `check_images` before it is called.
"""

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from . import faults as fault_maps
from . import native
from .bits import unpack
from .device import SoftwareDevice
from .exceptions import InputError
from .faults import FaultMap
from .layers import Layer
from .network import Network, check_images, require_plain

EnginePath = Literal["auto", "avx512", "avx2", "portable"]
PATHS: tuple[EnginePath, ...] = ("avx512", "avx2", "portable")  # best first

_NUMBERS = native.NUMBERS
_BITS_PANEL, _BYTES_PANEL = 16, 32  # neurons computed together, see _engine.cpp
_ALIGNMENT = 64


class _Layer(ctypes.Structure):
    """Mirror of `Layer` in _engine.cpp."""

    _fields_ = (
        ("n_inputs", ctypes.c_int64),
        ("n_outputs", ctypes.c_int64),
        ("is_uint8", ctypes.c_int64),
        ("panels", ctypes.c_void_p),
        ("limits", ctypes.c_void_p),
    )


@cache
def _library() -> ctypes.CDLL:
    library = native.library()
    library.stoic_engine_limit.restype = ctypes.c_double
    return library


def available_paths() -> tuple[EnginePath, ...]:
    """Paths this processor can run, best first; "portable" is always among them."""
    return tuple(path for path in PATHS if _library().stoic_engine_supports(_NUMBERS[path]))


def resolve_path(path: str) -> EnginePath:
    """The path that `path` means here: itself, or the best for "auto".

    Raises:
        InputError: unknown, or this processor lacks it.
    """
    available = available_paths()
    if path == "auto":
        return available[0]
    for known in PATHS:
        if path == known and known in available:
            return known
    what = "this processor lacks" if path in PATHS else "there is no"
    raise InputError(f"{what} engine path {path!r}; use one of {('auto', *available)}")


def popcount_limit(path: str = "auto", rounds: int = 10_000_000) -> float:
    """Bit products a CPU second of XOR, popcount and add on registers alone, measured now.

    No kernel of the path can be faster: there is no memory access and nothing else in the loop.
    """
    number = _NUMBERS[resolve_path(path)]
    return float(_library().stoic_engine_limit(number, ctypes.c_int64(rounds)))


class Engine:
    """A network laid out for one path; holds no state but that, so threads may share it.

    Args:
        network: what to run.
        threads: images are spread over so many threads.
        path: "avx512" (VPOPCNTDQ and VNNI), "avx2", "portable", or "auto" for the best there is.

    Raises:
        InputError: fewer than one thread, or a path that is unknown or that this processor lacks.
    """

    def __init__(self, network: Network, threads: int = 1, path: str = "auto") -> None:
        if threads < 1:
            raise InputError(f"threads must be 1 or more, not {threads}")
        require_plain(network, "the engine")
        self.network = network
        self.threads = threads
        self.path = resolve_path(path)
        self._prepared = [_prepare(layer) for layer in network.layers]
        self._layers = (_Layer * len(network.layers))(*(p.layer for p in self._prepared))

    def scores(self, images: NDArray[np.generic]) -> NDArray[np.int32]:
        """(n_images, n_classes) integer scores, equal to `golden.scores`.

        Args:
            images: (n_images, ...) integers, 0..255 or 0..1 as the network's input says.

        Raises:
            InputError: the images do not fit the network.
        """
        return self._run(images, None)

    def profile(self, images: NDArray[np.generic]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """`scores` on one thread, and the (n_layers,) CPU seconds spent in each layer's kernel."""
        seconds = np.zeros(len(self.network.layers), np.float64)
        return self._run(images, seconds), seconds

    def _run(
        self, images: NDArray[np.generic], seconds: NDArray[np.float64] | None
    ) -> NDArray[np.int32]:
        u8 = check_images(self.network, images)
        out = np.empty((len(u8), self.network.n_classes), np.int32)
        failed = _library().stoic_engine_scores(
            _NUMBERS[self.path],
            ctypes.c_int64(self.threads if seconds is None else 1),
            self._layers,
            ctypes.c_int64(len(self._layers)),
            ctypes.c_void_p(u8.ctypes.data),
            ctypes.c_int64(len(u8)),
            ctypes.c_void_p(out.ctypes.data),
            ctypes.c_void_p(None if seconds is None else seconds.ctypes.data),
        )
        if failed:
            raise MemoryError("the engine found no memory for its blocks of images")
        return out

    def with_faults(self, faults: FaultMap | None) -> "Engine":
        """An engine of what this network's memory reads under the map; None: of itself."""
        network = self.network if faults is None else fault_maps.apply(self.network, faults)
        return Engine(network, self.threads, self.path)


def scores(
    network: Network, images: NDArray[np.generic], threads: int = 1, path: str = "auto"
) -> NDArray[np.int32]:
    """(n_images, n_classes) integer scores by an engine made for this call."""
    return Engine(network, threads, path).scores(images)


class EngineDevice(SoftwareDevice):
    """The engine behind the Device protocol.

    Args:
        threads, path: as `Engine`.
    """

    name = "engine"

    def __init__(self, threads: int = 1, path: str = "auto") -> None:
        super().__init__()
        self._threads, self._path = threads, resolve_path(path)
        self._engine: Engine | None = None

    def infer(self, images: NDArray[np.generic]) -> NDArray[np.int32]:
        """Scores by the engine; laid out anew when the network or its faults changed."""
        network = self._loaded(self._faulty)
        if self._engine is None or self._engine.network is not network:
            self._engine = Engine(network, self._threads, self._path)
        scores = self._engine.scores(images)
        self._n_images += len(images)
        return scores


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A layer for the library, and the arrays that its pointers need to stay alive."""

    layer: _Layer
    panels: NDArray[Any]
    limits: NDArray[np.int32]


def _prepare(layer: Layer) -> _Prepared:
    is_uint8 = layer.input == "uint8"
    panel = _BYTES_PANEL if is_uint8 else _BITS_PANEL
    n_panels = -(-layer.n_outputs // panel)
    panels = _byte_panels(layer, n_panels) if is_uint8 else _bit_panels(layer, n_panels)
    never = np.iinfo(np.int32).max if is_uint8 else 0
    limits = np.full(n_panels * panel, never, np.int32)  # pad neurons keep it
    if layer.thresholds is not None:
        # P >= theta is the same as n - P < n + 1 - theta.
        limits[: layer.n_outputs] = (
            layer.thresholds if is_uint8 else layer.n_inputs + 1 - layer.thresholds
        )
    struct = _Layer(
        layer.n_inputs, layer.n_outputs, is_uint8, panels.ctypes.data, limits.ctypes.data
    )
    return _Prepared(struct, panels, limits)


def _bit_panels(layer: Layer, n_panels: int) -> NDArray[np.uint64]:
    n_words = layer.weights.shape[1]
    rows = np.zeros((n_panels * _BITS_PANEL, n_words), np.uint64)
    rows[: layer.n_outputs] = layer.weights
    panels = _aligned((n_panels, n_words, _BITS_PANEL), np.uint64)
    panels[:] = rows.reshape(n_panels, _BITS_PANEL, n_words).transpose(0, 2, 1)
    return panels


def _byte_panels(layer: Layer, n_panels: int) -> NDArray[np.int8]:
    n_quads = -(-layer.n_inputs // 8) * 2
    rows = np.zeros((n_panels * _BYTES_PANEL, 4 * n_quads), np.int8)
    bits = unpack(layer.weights, layer.n_inputs).view(np.int8)
    rows[: layer.n_outputs, : layer.n_inputs] = 2 * bits - np.int8(1)
    panels = _aligned((n_panels, n_quads, _BYTES_PANEL), np.int32)
    panels[:] = rows.view(np.int32).reshape(n_panels, _BYTES_PANEL, n_quads).transpose(0, 2, 1)
    return panels.view(np.int8)


def _aligned(shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """An uninitialised array on a cache line: the kernels load whole lines."""
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.empty(n_bytes + _ALIGNMENT, np.uint8)
    skip = -room.ctypes.data % _ALIGNMENT
    return room[skip : skip + n_bytes].view(dtype).reshape(shape)
