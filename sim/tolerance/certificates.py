"""Certificates: bit flips that provably change no decision, whatever their places.

The scores of one image have equal parity. With the gap m between the given class and another one,

    a flip of a last-layer weight moves the gap by at most 2,
    a flip of a bit that the last layer sees moves it by 0 or 4,

so q flips leave the other class behind while m - 2q > 0 (m - 4q > 0), and also at 0 where the tie
goes to the given class because its index is lower.

Source: statements after Buschjaeger et al. 2021, DATE, "Margin-Maximization in Binarized Neural
Networks for Optimizing Bit Error Tolerance"; proofs and tie rule ours, checked by brute force.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import golden

_PER_WEIGHT, _PER_ACTIVATION = 2, 4


@dataclass(frozen=True, eq=False)
class Certificates:
    """How many flips the class of each image survives, wherever they are.

    Attributes:
        weights: (n,) flips among the weights of the last layer.
        activations: (n,) flips among the bits that the last layer sees, which is also how many
            hidden neurons may decide otherwise.
    """

    weights: NDArray[np.int64]
    activations: NDArray[np.int64]


def certify(scores: NDArray[np.int32]) -> Certificates:
    """Certificates from the scores of a last layer on bits (of all members of an ensemble).

    Args:
        scores: (n, n_classes).

    >>> found = certify(np.array([[10, 2, 2], [2, 10, 2], [3, 3, 1]], np.int32))
    >>> found.weights.tolist(), found.activations.tolist()
    ([4, 3, 0], [2, 1, 0])
    """
    wide = scores.astype(np.int64)
    given = golden.classify(scores)
    gaps = np.take_along_axis(wide, given[:, None], 1) - wide
    others = np.arange(scores.shape[1])
    loses_tie = others[None] < given[:, None]
    is_given = others[None] == given[:, None]
    weights, activations = (
        np.where(is_given, np.iinfo(np.int64).max, (gaps - loses_tie) // per_flip).min(axis=1)
        for per_flip in (_PER_WEIGHT, _PER_ACTIVATION)
    )
    return Certificates(weights, activations)
