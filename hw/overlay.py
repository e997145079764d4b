"""A deployed FINN overlay as a Device: images in, scores out, weights rewritten while it stands.

FINN's own driver packs bits element by element in Python, and its users lose most of their
throughput there; here `numpy.packbits` packs whole batches into the same bytes. A beat of a stream
is `fold` elements, element 0 in its lowest bits, padded to whole bytes.

The overlay is FINN's `FINNExampleOverlay` (driver_base.py, dev 73ba5ed64) or whatever has its
methods. What a board does was not tried; the bytes are tested against FINN's own packing rule.
"""

import json
import re
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..export.finn import FORMAT, JOB, VERSION
from ..export.finn_images import runtime_words
from ..sim.device import lasting
from ..sim.errors import Transient
from ..sim.exceptions import ArtefactError, BoardError, InputError
from ..sim.faults import FaultMap, apply, check_for, restrict
from ..sim.memory import Fold
from ..sim.network import Network, check_images


class Overlay(Protocol):
    """What is used of FINN's overlay."""

    batch_size: int

    def ishape_folded(self, ind: int = 0) -> tuple[int, ...]:
        """(batch, ..., elements of a beat)."""
        ...

    def ishape_packed(self, ind: int = 0) -> tuple[int, ...]:
        """(batch, ..., bytes of a beat)."""
        ...

    def oshape_folded(self, ind: int = 0) -> tuple[int, ...]:
        """(batch, ..., scores of a beat)."""
        ...

    def oshape_packed(self, ind: int = 0) -> tuple[int, ...]:
        """(batch, ..., bytes of a beat)."""
        ...

    def copy_input_data_to_device(self, data: NDArray[np.uint8], ind: int = 0) -> None:
        """Fill the input buffer."""

    def execute_on_buffers(self) -> None:
        """Run a batch."""

    def copy_output_data_from_device(self, data: NDArray[np.uint8], ind: int = 0) -> None:
        """Read the output buffer."""


class OverlayDevice:
    """Scores of a FINN overlay with runtime-writeable weights.

    Args:
        overlay: FINN's, already on the board.
        job: the job folder's `stoic_job.json`.
        runtime_weights: the folder of that name in FINN's deployment package; its file names say
            behind which port each unit's weights are. None leaves the weights as they were built.
        output_bits: of a score on the stream, two's complement.

    Raises:
        ArtefactError: not a job of this kit.
        BoardError: a unit without a port.
    """

    name = "finn-overlay"

    def __init__(
        self,
        overlay: Overlay,
        job: Path,
        runtime_weights: Path | None = None,
        output_bits: int = 32,
    ) -> None:
        self._overlay, self._output_bits = overlay, output_bits
        path = job / JOB if job.is_dir() else job
        try:
            self._job: dict[str, Any] = json.loads(path.read_text())
            if (self._job["format"], self._job["version"]) != (FORMAT, VERSION):
                raise ValueError(f"format {self._job['format']!r} {self._job['version']}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtefactError(f"{path}: not a FINN job of this kit ({error})") from error
        self._ports = {} if runtime_weights is None else _ports(runtime_weights, self._job)
        self._network: Network | None = None
        self._written: list[NDArray[np.uint32] | None] = [None] * len(self._job["units"])
        self._n_images = 0

    def load(self, network: Network) -> None:
        """Write the network's weights; clears faults.

        Raises:
            ArtefactError: the overlay was built for another network.
        """
        if network.sha256 != self._job["network_sha256"]:
            raise ArtefactError(
                f"the overlay was built for network {self._job['network_sha256'][:12]}, not "
                f"{network.sha256[:12]}; its thresholds are in its bitstream"
            )
        self._network = network
        self._write(network)

    def inject(self, faults: FaultMap | Transient | None) -> None:
        """Write the weights as faulty memory would read them; None writes the true ones.

        Raises:
            InputError: no ports, faults in thresholds, a map of another network, or transient ones.
        """
        network = self._loaded()
        faults = lasting(faults, self.name)
        if faults is None:
            self._write(network)
            return
        check_for(network, faults)
        if restrict(faults, where=("thresholds",)).n_faults:
            raise InputError("the overlay's thresholds are in its bitstream; restrict to weights")
        if not self._ports:
            raise InputError("the overlay was opened without its runtime_weights; it has no ports")
        self._write(apply(network, faults))

    def infer(self, images: NDArray[np.generic]) -> NDArray[np.int32]:
        """(n_images, n_classes) int32 scores.

        Raises:
            InputError: images that do not fit the network.
        """
        network = self._loaded()
        lanes = check_images(network, images)
        batch = self._overlay.batch_size
        found = np.empty((len(lanes), network.n_classes), np.int32)
        for start in range(0, len(lanes), batch):
            part = lanes[start : start + batch]
            full = np.concatenate([part, np.zeros((batch - len(part), part.shape[1]), np.uint8)])
            found[start : start + len(part)] = self._run(full)[: len(part)]
        self._n_images += len(lanes)
        return found

    def counters(self) -> dict[str, int]:
        """Images inferred."""
        return {"images": self._n_images}

    def close(self) -> None:
        """The overlay is its owner's."""

    def _run(self, images: NDArray[np.uint8]) -> NDArray[np.int32]:
        folded = images.reshape(self._overlay.ishape_folded())
        packed = pack(folded, self._job["input_bits"])
        self._overlay.copy_input_data_to_device(packed.reshape(self._overlay.ishape_packed()))
        self._overlay.execute_on_buffers()
        beats = np.empty(self._overlay.oshape_packed(), np.uint8)
        self._overlay.copy_output_data_from_device(beats)
        per_beat = self._overlay.oshape_folded()[-1]
        return unpack_scores(beats, per_beat, self._output_bits).reshape(len(images), -1)

    def _write(self, network: Network) -> None:
        changed = False
        for i, (layer, unit) in enumerate(zip(network.layers, self._job["units"], strict=True)):
            if unit["unit"] not in self._ports:
                continue
            words = runtime_words(layer, Fold(unit["pe"], unit["simd"]))
            before = self._written[i]
            if before is not None and np.array_equal(words, before):
                continue
            port = getattr(self._overlay, f"StreamingDataflowPartition_{self._ports[unit['unit']]}")
            port.mmio.write_mm(0, words.tobytes())
            read = np.array(port.mmio.array[: len(words)], np.uint32)
            if not np.array_equal(read, words):
                raise BoardError(
                    f"unit {unit['unit']}: the weights read back are not those written"
                )
            self._written[i], changed = words, True
        if changed:
            self._overlay.execute_on_buffers()  # old weights still stand in its FIFOs

    def _loaded(self) -> Network:
        if self._network is None:
            raise InputError(f"load a network into the {self.name} device first")
        return self._network


def pack(folded: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Bytes of beats, element 0 in the lowest bits.

    Args:
        folded: (..., fold) elements of 0..1 or 0..255.
        bits: of an element, 1 or 8.

    >>> pack(np.array([[1, 0, 0, 0, 0, 0, 0, 0, 0, 1]], np.uint8), 1).tolist()
    [[1, 2]]
    """
    return folded if bits == 8 else np.packbits(folded, axis=-1, bitorder="little")


def unpack_scores(beats: NDArray[np.uint8], per_beat: int, bits: int) -> NDArray[np.int32]:
    """(..., per_beat) two's complement numbers of so many bits, as beats of bytes hold them.

    >>> unpack_scores(np.array([[0xFE, 0x07]], np.uint8), 2, 6).tolist()
    [[-2, 31]]
    """
    stream = np.unpackbits(beats, axis=-1, bitorder="little")[..., : per_beat * bits]
    numbers = stream.reshape(*beats.shape[:-1], per_beat, bits).astype(np.int64)
    place = 1 << np.arange(bits, dtype=np.int64)
    place[-1] = -place[-1]
    return (numbers @ place).astype(np.int32)


def _ports(folder: Path, job: dict[str, Any]) -> dict[str, int]:
    """Partition of each unit's port, by FINN's file names: <partition>_<k>_<unit>.dat."""
    found = {}
    for path in sorted(folder.glob("*.dat")):
        match = re.fullmatch(r"(\d+)_\d+_(.+)", path.stem)
        if match:
            found[match[2]] = int(match[1])
    missing = [u["unit"] for u in job["units"] if u["unit"] not in found]
    if missing:
        raise BoardError(f"{folder}: no runtime weights of {', '.join(missing)}")
    if len(set(found.values())) < len(found):
        raise BoardError(f"{folder}: units share a port; FINN's driver writes one unit a port")
    return found
