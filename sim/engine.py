"""The engine: golden's answer from packed words, near the popcount limit of the processor.

`_engine.cpp` is built with the package as a plain shared library and called through ctypes, which
releases the interpreter's lock: one call takes a batch through all layers. The instruction set is
chosen at run time; every path gives golden's scores bit for bit. What the library trusts (types,
shapes, ranges) is checked by `Layer`, `Network` and `check_images` before it is called.
"""

import ctypes
from dataclasses import replace
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from . import faults as fault_maps
from .bits import n_words
from .device import Faults, SoftwareDevice, lasting
from .engine_layers import CChain, CLayer, CReads, CStored, contiguous, lines, prepare, stored
from .engine_prefix import Prefix, Seen
from .engine_rooms import Room, Rooms
from .errors import Iid
from .errors.model import cell_banks, chip_key
from .errors.transient import Transient
from .exceptions import InputError
from .faults import FaultMap
from .memory import Layout, layout_of, shapes_of
from .native import NUMBERS, library
from .network import Network, check_images

EnginePath = Literal["auto", "avx512", "avx2", "portable"]
PATHS: tuple[EnginePath, ...] = ("avx512", "avx2", "portable")  # best first


PREFIX_BYTES = 256 << 20
"""What a device keeps of images and clean activations, at most."""


@cache
def _library() -> ctypes.CDLL:
    found = library()
    pointer, whole = ctypes.c_void_p, ctypes.c_int64
    found.stoic_engine_limit.restype = ctypes.c_double
    found.stoic_engine_lines.restype = whole
    found.stoic_engine_inject.argtypes = (ctypes.c_int, pointer, pointer, whole, *[pointer] * 6)
    found.stoic_engine_inject.restype = whole
    return found


def available_paths() -> tuple[EnginePath, ...]:
    """Paths this processor can run, best first; "portable" is always among them."""
    return tuple(path for path in PATHS if _library().stoic_engine_supports(NUMBERS[path]))


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
    number = NUMBERS[resolve_path(path)]
    return float(_library().stoic_engine_limit(number, ctypes.c_int64(rounds)))


class Engine:
    """A network laid out for one path, clean or as its memory reads under a fault map.

    Args:
        network: what to run.
        threads: images are spread over so many threads.
        path: "avx512" (VPOPCNTDQ and VNNI), "avx2", "portable", or "auto" for the best there is.
        prefix_bytes: memory for the clean activations of the images seen last, see `Prefix`; it is
            shared with the engines that `with_faults` makes. Scores do not depend on it.

    Attributes:
        n_changed: stored bits that read wrong.

    Threads may share an engine: but for the prefix and spare rooms, it does not change.

    Raises:
        InputError: fewer than one thread, or a path that is unknown or that this processor lacks.
    """

    def __init__(
        self, network: Network, threads: int = 1, path: str = "auto", prefix_bytes: int = 0
    ) -> None:
        if threads < 1:
            raise InputError(f"threads must be 1 or more, not {threads}")
        self.network = _contiguous(network)
        self.threads = threads
        self.path = resolve_path(path)
        self.n_changed = 0
        members = network.members
        self._chains = [(sum(members[:c]), n) for c, n in enumerate(members)]  # first layer, layers
        self._first_wrong = [n - 1 for n in members]  # of each chain; its last if none is
        self._clean = self._read = prepare(self.network)
        self._rooms = Rooms(self._clean)
        self._room: Room | None = None  # of what is read, unless it is clean
        self._levels = np.array(network.thermometer, np.uint8)
        self._prefix = Prefix(prefix_bytes)
        self._stored: dict[Layout, ctypes.Array[CStored]] = {}

    def scores(self, images: NDArray[np.generic]) -> NDArray[np.int32]:
        """(n_images, n_classes) integer scores, equal to `golden.scores`.

        Args:
            images: (n_images, ...) integers, 0..255 or 0..1 as the network's input says.

        Raises:
            InputError: the images do not fit the network.
        """
        seen = None
        if self._prefix.max_bytes:
            seen = self._prefix.find(images, self.network.n_inputs)
        u8 = check_images(self.network, images) if seen is None else seen.images
        if seen is None and self._prefix.max_bytes:
            seen = self._prefix.begin(u8)
        out = np.empty((len(u8), self.network.n_classes), np.int32)
        for c in range(len(self.network.members)):
            self._run_chain(c, u8, out, seen)
        return out

    def profile(self, images: NDArray[np.generic]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """`scores` on one thread, and the (n_layers,) CPU seconds spent in each layer."""
        seconds = np.zeros(len(self.network.layers), np.float64)
        u8 = check_images(self.network, images)
        out = np.empty((len(u8), self.network.n_classes), np.int32)
        for c, (start, n) in enumerate(self._chains):
            self._call(self._chain(c), 1, u8, out, seconds[start : start + n])
        return out, seconds

    def with_faults(self, faults: FaultMap | None) -> "Engine":
        """An engine of what this network's memory reads under the map; None: of itself.

        The clean panels are kept, and only layers that read wrong get others, in a room that goes
        back when the engine is forgotten.

        Raises:
            InputError: the map is of a network with other layer shapes.
        """
        clean = object.__new__(Engine)
        clean.__dict__.update(self.__dict__, _read=self._clean, _room=None, n_changed=0)
        clean._first_wrong = [n - 1 for n in self.network.members]
        return clean if faults is None else clean._injected(faults)

    def transient_scores(
        self, images: NDArray[np.generic], faults: Transient, first: int = 0
    ) -> NDArray[np.int32]:
        """(n_images, n_classes) scores, where image i meets the faults `faults.at(first + i)`.

        Independent errors are drawn, written and met in the library; a map of another model is
        drawn for each image here.

        Raises:
            InputError: images or faults do not fit the network.
        """
        u8 = check_images(self.network, images)
        out = np.empty((len(u8), self.network.n_classes), np.int32)
        if type(faults.model) is not Iid or type(faults.layout) is not Layout:
            for i, image in enumerate(u8):
                out[i] = self.with_faults(faults.at(first + i)).scores(image[None])
            return out
        model, layout = faults.model, faults.layout
        keys = [
            chip_key(model, "stoic.cell/2", faults.chip, event)
            for event in range(first, first + len(u8))
        ]
        roots = np.array(keys, np.uint64).reshape(-1, 2)
        banks = cell_banks(layout, tuple(faults.where))
        reads = CReads(
            roots.ctypes.data,
            ctypes.pointer(banks.struct),
            model.p01,
            model.p10,
            n_words(layout.n_cells),
        )
        chains = [self._chain(c) for c in range(len(self._chains))]
        for c, chain in enumerate(chains):
            start = self._chains[c][0]
            chain.layers = ctypes.addressof(self._clean.layers) + start * ctypes.sizeof(CLayer)
        failed = _library().stoic_engine_transient(
            NUMBERS[self.path],
            ctypes.c_int64(self.threads),
            (CChain * len(chains))(*chains),
            ctypes.c_int64(len(chains)),
            self._clean.layers,
            self._rows(layout),
            ctypes.c_int64(len(self.network.layers)),
            ctypes.byref(reads),
            ctypes.c_void_p(u8.ctypes.data),
            ctypes.c_int64(len(u8)),
            ctypes.c_void_p(out.ctypes.data),
        )
        _check_memory(failed)
        return out

    def _injected(self, faults: FaultMap) -> "Engine":
        """Fill this engine, which nobody else has yet, with what the memory reads."""
        if type(faults.layout) is not Layout:
            faults = fault_maps.readdress(faults, layout_of(self.network))
        rows = self._rows(faults.layout)
        is_flips = fault_maps.is_empty(faults.stuck0) and fault_maps.is_empty(faults.stuck1)
        turns1 = turns0 = np.ascontiguousarray(faults.flip)
        at1 = at0 = turns1.ctypes.data
        if not is_flips:
            turns1, turns0 = faults.flip | faults.stuck1, faults.flip | faults.stuck0
            at1, at0 = turns1.ctypes.data, turns0.ctypes.data
        n_layers = len(self.network.layers)
        n_wrong = (ctypes.c_int64 * n_layers)()
        self._room = self._rooms.take()
        self._read = self._room.prepared
        self.n_changed = _library().stoic_engine_inject(
            NUMBERS[self.path],
            self._clean.layers,
            rows,
            n_layers,
            at1,
            at0,
            self._read.panels_at,
            self._read.limits_at,
            self._read.layers,
            n_wrong,
        )
        self._first_wrong = [
            next((i for i in range(n) if n_wrong[start + i]), n - 1) for start, n in self._chains
        ]
        return self

    def _rows(self, layout: Layout) -> ctypes.Array[CStored]:
        """Where the layout has the rows of the layers, once it is known to be of their shapes."""
        known = self._stored.get(layout)
        if known is None:
            if layout.shapes != shapes_of(self.network):
                name = self.network.name
                raise InputError(f"the faults are not for the layer shapes of network {name!r}")
            known = self._stored[layout] = stored(self.network, layout)
        return known

    def _chain(self, c: int) -> CChain:
        start, n = self._chains[c]
        layers = ctypes.addressof(self._read.layers) + start * ctypes.sizeof(CLayer)
        levels = self._levels
        return CChain(layers, n, levels.ctypes.data, len(levels), 0, None, 0, None, c > 0)

    def _run_chain(
        self, c: int, u8: NDArray[np.uint8], out: NDArray[np.int32], seen: Seen | None
    ) -> None:
        """Scores of one member, from the deepest clean input that is known and useful."""
        chain, target, kept = self._chain(c), self._first_wrong[c], None
        if seen is not None:
            known = seen.nearest(c, target)
            if known is not None:
                chain.start, chain.given = known[0], known[1].ctypes.data
            if known is None or known[0] < target:
                layer = self._read.layers[self._chains[c][0] + target]
                n_lines = _library().stoic_engine_lines(ctypes.byref(layer))
                n_tiles = -(-len(u8) // 8)
                if self._prefix.has_room(seen, n_tiles * n_lines * 64):
                    kept = lines(n_tiles, n_lines)
                    chain.keep, chain.kept = target, kept.ctypes.data
        self._call(chain, self.threads, u8, out, None)
        if seen is not None and kept is not None:
            seen.given[c, target] = kept

    def _call(
        self,
        chain: CChain,
        threads: int,
        u8: NDArray[np.uint8],
        out: NDArray[np.int32],
        seconds: NDArray[np.float64] | None,
    ) -> None:
        failed = _library().stoic_engine_scores(
            NUMBERS[self.path],
            ctypes.c_int64(threads),
            ctypes.byref(chain),
            ctypes.c_void_p(u8.ctypes.data),
            ctypes.c_int64(len(u8)),
            ctypes.c_void_p(out.ctypes.data),
            ctypes.c_void_p(None if seconds is None else seconds.ctypes.data),
        )
        _check_memory(failed)


def scores(
    network: Network, images: NDArray[np.generic], threads: int = 1, path: str = "auto"
) -> NDArray[np.int32]:
    """(n_images, n_classes) integer scores by an engine made for this call."""
    return Engine(network, threads, path).scores(images)


class EngineDevice(SoftwareDevice):
    """The engine behind the Device protocol; it remembers what clean layers give for its images.

    Args:
        threads, path, prefix_bytes: as `Engine`.
    """

    name = "engine"

    def __init__(
        self, threads: int = 1, path: str = "auto", prefix_bytes: int = PREFIX_BYTES
    ) -> None:
        super().__init__()
        self._threads, self._path = threads, resolve_path(path)
        self._prefix_bytes = prefix_bytes
        self._clean_engine: Engine | None = None
        self._engine: Engine | None = None

    def load(self, network: Network) -> None:
        """Lay out the network; clears faults."""
        super().load(network)
        self._clean_engine = self._engine = Engine(
            network, self._threads, self._path, self._prefix_bytes
        )

    def inject(self, faults: Faults | None) -> None:
        """Write what the memory reads; transient faults are drawn when images come."""
        self._loaded(self._clean)
        assert self._clean_engine is not None
        self._transient = faults if isinstance(faults, Transient) else None
        map_ = None if isinstance(faults, Transient) else lasting(faults, self.name)
        self._engine = self._clean_engine  # frees the room of the last map, which the caches hold
        self._engine = self._clean_engine.with_faults(map_)

    def infer(self, images: NDArray[np.generic]) -> NDArray[np.int32]:
        """Scores by the engine."""
        self._loaded(self._clean)
        assert self._engine is not None
        if self._transient is None:
            scores = self._engine.scores(images)
        else:
            scores = self._engine.transient_scores(images, self._transient, self.first_image)
        self._n_images += len(images)
        return scores


def _contiguous(network: Network) -> Network:
    """The network with arrays that the library may read where they are."""
    if contiguous(network):
        return network
    layers = [
        replace(
            layer,
            weights=np.ascontiguousarray(layer.weights),
            thresholds=None if layer.thresholds is None else np.ascontiguousarray(layer.thresholds),
        )
        for layer in network.layers
    ]
    return replace(network, layers=tuple(layers))


def _check_memory(failed: int) -> None:
    if failed:
        raise MemoryError("the engine found no memory for its blocks of images")
