"""Our rows against theirs: the flips that a peer made, read back and replayed by the engine.

The peer's own weights say which bits it flipped. The engine gets the fault map of just those bits
and must give the peer's scores, all of them, on all images.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...sim import golden
from ...sim.exceptions import StoicError
from .kit import Kit
from .peers_torch import flips_of


@dataclass(frozen=True)
class Comparison:
    """One peer's faults on one network.

    Attributes:
        n_flips: weights that the peer changed.
        real_rate: of all weights.
        n_scores, n_mismatches: integer scores compared, and those that differ.
        peer_accuracy, kit_accuracy: 0..1.
    """

    peer: str
    network: str
    nominal_rate: float
    n_flips: int
    real_rate: float
    n_scores: int
    n_mismatches: int
    peer_accuracy: float
    kit_accuracy: float


def compare(
    kit: Kit,
    peer: str,
    nominal_rate: float,
    rows: list[NDArray[np.uint8]],
    scores: NDArray[np.int32],
) -> Comparison:
    """Replay a peer's faults.

    Args:
        rows: per layer the (n_outputs, n_inputs) bits that the peer's weights stand for.
        scores: (n_images, n_classes) that the peer gave with them.

    Raises:
        StoicError: a score differs.
    """
    subject = kit.subject
    faults = flips_of(rows, subject.network, kit.layout, peer)
    ours = kit.scores(faults)
    n_wrong = int((ours != scores).sum())
    if n_wrong:
        raise StoicError(
            f"{peer} and the engine differ in {n_wrong} of {scores.size} scores of {subject.name}"
        )
    return Comparison(
        peer,
        subject.name,
        nominal_rate,
        faults.n_faults,
        faults.n_faults / subject.network.n_weight_bits,
        scores.size,
        n_wrong,
        _accuracy(scores, subject.labels),
        _accuracy(ours, subject.labels),
    )


def _accuracy(scores: NDArray[np.int32], labels: NDArray[np.uint8]) -> float:
    return float((golden.classify(scores) == labels).mean())
