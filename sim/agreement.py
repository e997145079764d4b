"""Agreement: the same network, images and fault maps through every world, all scores compared.

A comparison that cannot fail proves nothing. So each world is also run with mutants, wrong in one
threshold, one weight bit or one fault, and the same comparison has to catch them.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from . import faults as fault_maps
from . import golden
from .bits import pack, unpack
from .device import Device
from .exceptions import InputError
from .faults import PLANES, FaultMap
from .layers import Conv
from .memory import Layout, stored_bits
from .network import Network, check_images

Scores = NDArray[np.int32]
NONE = "none"
N_MUTANT_IMAGES = 256
_TRIES = 256

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mismatch:
    """A score that is not what the reference says."""

    image: int
    class_index: int
    expected: int
    got: int


@dataclass(frozen=True)
class Comparison:
    """One device under one map.

    Attributes:
        map_sha256: of the fault map, or "none".
        n_images: that the device was given; the first so many.
        n_scores: compared.
        seconds: injecting and inferring.
    """

    device: str
    map_sha256: str
    n_images: int
    n_scores: int
    n_mismatches: int
    first_mismatch: Mismatch | None
    seconds: float


def compare(expected: Scores, got: Scores) -> tuple[int, Mismatch | None]:
    """(mismatching scores, the first of them in order of image and class).

    Raises:
        InputError: the shapes differ.
    """
    if expected.shape != got.shape:
        raise InputError(f"scores must be {expected.shape}, not {got.shape}")
    wrong = np.argwhere(expected != got)
    if not len(wrong):
        return 0, None
    image, class_index = (int(i) for i in wrong[0])
    pair = int(expected[image, class_index]), int(got[image, class_index])
    return len(wrong), Mismatch(image, class_index, *pair)


def reference_scores(
    network: Network, maps: Sequence[FaultMap | None], images: NDArray[np.generic]
) -> list[Scores]:
    """Golden's scores under each map; None is no faults."""
    faulty = (network if m is None else fault_maps.apply(network, m) for m in maps)
    return [golden.scores(n, images) for n in faulty]


def agree(
    reference: Sequence[Scores],
    device: Device,
    network: Network,
    maps: Sequence[FaultMap | None],
    images: NDArray[np.generic],
    progress: Callable[[Comparison], None] | None = None,
) -> list[Comparison]:
    """Compare one device with the reference under every map.

    Args:
        reference: for each map (n, n_classes) scores of at least the images given here.
        images: what the device is given: all, or for a slow device the first ones.

    Raises:
        InputError: not one reference for each map.
    """
    if len(reference) != len(maps):
        raise InputError(f"{len(maps)} maps need as many reference scores, not {len(reference)}")
    device.load(network)
    rows = []
    for expected, faults in zip(reference, maps, strict=True):
        start = time.perf_counter()
        device.inject(faults)
        got = device.infer(images)
        seconds = time.perf_counter() - start
        n_mismatches, first = compare(expected[: len(images)], got)
        label = NONE if faults is None else faults.sha256
        row = Comparison(device.name, label, len(images), got.size, n_mismatches, first, seconds)
        rows.append(row)
        if progress is not None:
            progress(row)
    return rows


@dataclass(frozen=True, eq=False)
class Mutant:
    """A network or map that is wrong in one place and not equivalent on the images it was made for.

    Attributes:
        kind: "threshold", "weight" or "dropped fault".
        where: what was changed, for people.
        network, faults: what a device is given instead of the original.
        map_sha256: of the original map, or "none".
        expected: scores of the original, by golden.
        mutated: scores of the mutant, by golden; they differ from `expected`.
    """

    kind: str
    where: str
    network: Network
    faults: FaultMap | None
    map_sha256: str
    expected: Scores
    mutated: Scores


@dataclass(frozen=True)
class Trial:
    """One device given one mutant.

    Attributes:
        how: "loaded" or "injected" as faults, for a device whose network comes from its own file.
        n_images: that it was given.
        n_mismatches: of its scores with those of the original; 0 means that the mutant escaped.
        n_unexpected: of its scores with golden's of the mutant.
    """

    device: str
    kind: str
    where: str
    how: str
    map_sha256: str
    n_images: int
    n_mismatches: int
    n_unexpected: int

    @property
    def is_caught(self) -> bool:
        """Whether the comparison noticed."""
        return self.n_mismatches > 0


def find_mutants(
    network: Network, faults: FaultMap | None, images: NDArray[np.generic]
) -> list[Mutant]:
    """One mutant of each kind whose golden scores on these images differ from the original's.

    The search is deterministic and begins in hidden layers, where a wrong bit has furthest to go.
    A kind of which a few hundred tries find none, as on very few images, is left out and logged.

    Args:
        faults: a map with faults, from which one is dropped; None leaves that kind out.
    """
    clean = golden.scores(network, images)
    found = [
        _first("threshold", _wrong_thresholds(network, images), None, clean, images),
        _first("weight", _wrong_weights(network), None, clean, images),
    ]
    if faults is not None:
        read = golden.scores(fault_maps.apply(network, faults), images)
        found.append(_first("dropped fault", _dropped(network, faults), faults, read, images))
    return [mutant for mutant in found if mutant is not None]


_Candidate = tuple[str, Network, FaultMap | None]


def _first(
    kind: str,
    candidates: Iterator[_Candidate],
    original: FaultMap | None,
    expected: Scores,
    images: NDArray[np.generic],
) -> Mutant | None:
    label = NONE if original is None else original.sha256
    for _, (where, network, faults) in zip(range(_TRIES), candidates, strict=False):
        read = network if faults is None else fault_maps.apply(network, faults)
        mutated = golden.scores(read, images)
        if (mutated != expected).any():
            return Mutant(kind, where, network, faults, label, expected, mutated)
    log.warning(
        "no %s mutant changes a score of these %d images, so none is tried", kind, len(images)
    )
    return None


def _wrong_thresholds(network: Network, images: NDArray[np.generic]) -> Iterator[_Candidate]:
    encoded = golden.encode(network, check_images(network, images))
    i = 0
    for chain in network.chains:
        x = encoded
        for layer in chain[:-1]:
            yield from _wrong_threshold_of(network, i, x)
            x = golden.fire(layer, x)
            i += 1
        i += 1


def _wrong_threshold_of(network: Network, i: int, x: NDArray[np.uint8]) -> Iterator[_Candidate]:
    """Candidates in layer number `i`, which is given `x`."""
    layer = network.layers[i]
    if isinstance(layer, Conv):
        x = golden.windows(layer.window, x).reshape(-1, layer.n_inputs)
    sums = golden.accumulate(layer, x)
    assert layer.thresholds is not None
    for neuron in range(layer.n_outputs):
        old = int(layer.thresholds[neuron])
        # One up matters where a sum stands on the threshold, one down where it stands below it.
        for new, edge in ((old + 1, old), (old - 1, old - 1)):
            low, high = layer.threshold_range
            if low <= new <= high and (sums[:, neuron] == edge).any():
                thresholds = layer.thresholds.copy()
                thresholds[neuron] = new
                where = f"layer {i} neuron {neuron}: threshold {old} -> {new}"
                yield where, _with_layer(network, i, thresholds=thresholds), None


def _wrong_weights(network: Network) -> Iterator[_Candidate]:
    order = [*range(1, len(network.layers)), 0]
    for i in order:
        layer = network.layers[i]
        for neuron in range(layer.n_outputs):
            lane = neuron % layer.n_inputs
            bits = unpack(layer.weights, layer.n_inputs)
            bits[neuron, lane] ^= 1
            where = f"layer {i} neuron {neuron} lane {lane}: weight bit flipped"
            yield where, _with_layer(network, i, weights=pack(bits)), None


def _dropped(network: Network, faults: FaultMap) -> Iterator[_Candidate]:
    stored = stored_bits(network, faults.layout)
    for cell in np.flatnonzero(faults.read(stored) != stored):
        keep = np.ones(faults.layout.n_cells, np.uint8)
        keep[cell] = 0
        planes = {name: getattr(faults, name) & pack(keep) for name in PLANES}
        bank, address, bit = faults.layout.locate(int(cell))
        where = f"bank {bank.name} address {address} bit {bit}: fault dropped"
        yield where, network, replace(faults, **planes)


def _with_layer(network: Network, i: int, **changes: NDArray[np.generic]) -> Network:
    layers = list(network.layers)
    layers[i] = replace(layers[i], **changes)  # type: ignore[arg-type]
    return replace(network, layers=tuple(layers))


def difference(network: Network, mutant: Network, layout: Layout) -> FaultMap:
    """The map under which memory with `network` reads as `mutant`: flips where they differ."""
    flip = pack(stored_bits(network, layout) ^ stored_bits(mutant, layout))
    zero = np.zeros_like(flip)
    return FaultMap(layout, flip, zero, zero, {"model": "difference"})


def try_mutants(
    mutants: Sequence[Mutant],
    device: Device,
    network: Network,
    images: NDArray[np.generic],
    layout: Layout | None = None,
) -> list[Trial]:
    """Give a device each mutant and compare its scores with the original's, as `agree` does.

    Args:
        images: those that the mutants were made for.
        layout: for a device that takes its network from its own file: the mutant is then injected,
            as faults of this layout, where the others have it loaded.
    """
    trials = []
    for mutant in mutants:
        faults = mutant.faults
        if layout is None:
            device.load(mutant.network)
        else:
            device.load(network)
            if mutant.network is not network:
                faults = difference(network, mutant.network, layout)
        device.inject(faults)
        got = device.infer(images)
        trials.append(
            Trial(
                device=device.name,
                kind=mutant.kind,
                where=mutant.where,
                how="loaded" if layout is None and mutant.network is not network else "injected",
                map_sha256=mutant.map_sha256,
                n_images=len(images),
                n_mismatches=compare(mutant.expected, got)[0],
                n_unexpected=compare(mutant.mutated, got)[0],
            )
        )
    return trials


def sample_sizes(
    wanted: Mapping[str, int], devices: Sequence[str], n_images: int
) -> dict[str, int]:
    """How many images each device is given: all, or the sample named for it.

    Raises:
        InputError: a sample for a device that does not take part, or a size out of range.
    """
    if unknown := sorted(set(wanted) - set(devices)):
        raise InputError(f"sample for {unknown}, but the devices are {list(devices)}")
    for name, n in wanted.items():
        if not 1 <= n <= n_images:
            raise InputError(f"sample of {name} must be 1..{n_images} images, not {n}")
    return {name: wanted.get(name, n_images) for name in devices}
