"""Unit and Row: everything that decides the result of one trial, and the result."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEY_FORMAT = 2
"""Of the key: raised when a field of `Unit` gets another meaning. What the *code* does is not in
the key but in the row, see `Row.code_sha256`."""


@dataclass(frozen=True)
class Unit:
    """Everything that decides a row: what is run, on what, with which faults.

    Attributes:
        device: name of the device; of hardware with the hash of its gates.
        layout_sha256: of the layout of the unprotected network.
        errors: registry name and fields of the error model, and the memory that it reaches
            ("where", "layers", "banks"), as JSON values; without the chip and the event.
        chip: its number in the population.
        event: number of the programming event on that chip.
        protection: registry name and fields, or {"protection": "none"}.
        images_name: e.g. "fashion-mnist/test".
        images_sha256: of the images and labels, see `data_sha256`.
    """

    network_sha256: str
    device: str
    layout_sha256: str
    errors: dict[str, Any]
    chip: int
    event: int
    protection: dict[str, Any]
    images_name: str
    images_sha256: str
    n_images: int

    @cached_property
    def key(self) -> str:
        """Address of its row, hexadecimal."""
        values = {**asdict(self), "key_format": KEY_FORMAT}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Row:
    """What came out.

    Attributes:
        network_name: for people.
        p01, p10: mean rates of the error model over stored cells.
        provisional: which numbers behind the error model have no source; "" when all have one.
        overhead_bits: bits that the protection stores besides the network's own.
        n_stored_bits: bits that the network stores without protection, in all of its memories.
        confusion: [true class][given class] counts of images.
        scores_sha256: of the int32 scores, so that rows of two devices compare exactly; "" where
            the device kept the images and counted their classes: no score left it, see `differ`.
        faults_sha256: of the fault map in the physical memory; None when every image drew its own.
        n_faults: cells in which something is wrong; None when every image drew its own.
        n_changed_bits: stored bits that the network reads wrong, after protection; None likewise.
        wall_time_s: injecting and inferring.
        code_sha256: of the sources that computed the row, see `campaign.sources`.
    """

    unit: Unit
    network_name: str
    p01: float
    p10: float
    provisional: str
    overhead_bits: int
    n_stored_bits: int
    n_correct: int
    confusion: list[list[int]]
    scores_sha256: str
    faults_sha256: str | None
    n_faults: int | None
    n_changed_bits: int | None
    wall_time_s: float
    kit_version: str
    code_sha256: str
    computed_at_utc: str

    @property
    def accuracy(self) -> float:
        """Share of the images that were classified correctly, 0..1."""
        return self.n_correct / self.unit.n_images


def differ(a: Row, b: Row) -> bool:
    """Whether answers differ: scores, or confusions where scores of one are not known."""
    if a.scores_sha256 and b.scores_sha256:
        return a.scores_sha256 != b.scores_sha256
    return a.confusion != b.confusion


VARYING = ("wall_time_s", "computed_at_utc")
"""Columns in which two computations of the same unit by the same kit may differ."""


def data_sha256(images: NDArray[np.uint8], labels: NDArray[np.generic]) -> str:
    """Hash of shapes and values of images and labels."""
    digest = hashlib.sha256(f"{images.shape};{labels.shape};".encode())
    digest.update(np.ascontiguousarray(images).data)
    digest.update(labels.astype("<i8").tobytes())
    return digest.hexdigest()


def scores_sha256(scores: NDArray[np.int32]) -> str:
    """Hash of integer scores, the same on every device that answers the same."""
    return hashlib.sha256(np.ascontiguousarray(scores, "<i4").data).hexdigest()
