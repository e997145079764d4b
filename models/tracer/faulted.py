"""Bit errors as entries of the ledger: what of its training does a faulty memory take back?

A fault turns over a stored bit. If training turned it last in step t, the fault undoes that entry,
and with it what the images of step t taught; if training never turned it, it undoes a first draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from ...sim import golden
from ...sim.bits import unpack
from ...sim.faults import FaultMap, check_for
from ..checkpoint import Checkpoint
from ..frozen import integers
from ..noise import weight_cells
from .ledger import Ledger
from .updates import FlipUpdates
from .views import View, toward

Floats = NDArray[np.float64]


def last_flips(ledger: Ledger) -> list[NDArray[np.int64]]:
    """By layer, (n_outputs * n_inputs,) the step that turned a bit last, -1 for none."""
    found = [np.full(la.n_outputs * la.n_inputs, -1, np.int64) for la in ledger.checkpoint.layers]
    for epoch in ledger.epochs():
        for last, updates in zip(found, epoch.updates, strict=True):
            steps = epoch.first_step + np.arange(len(updates.counts))
            last[updates.places] = np.repeat(steps, updates.counts)  # the last one stays
    return found


def wrong_places(checkpoint: Checkpoint, faults: FaultMap) -> list[NDArray[np.int64]]:
    """By layer, rising places of the stored bits that read wrong.

    Raises:
        InputError: the map is of other layer shapes.
    """
    check_for(integers(checkpoint), faults)
    found = []
    for i, layer in enumerate(checkpoint.layers):
        stored = torch.from_numpy(unpack(layer.weights, layer.n_inputs)).view(torch.bool)
        read = weight_cells(faults, i).read(stored)
        found.append(np.flatnonzero((stored ^ read).numpy()))
    return found


@dataclass(frozen=True, eq=False)
class Undone:
    """What a fault map takes back of the answers to some images, see `undone`.

    Attributes:
        names: of the layers.
        n_bits: by layer, (n_classes + 1,) wrong bits by the class whose step turned them last;
            those that training never turned come last.
        shares: by layer, (n_classes + 1, n_images) -<c, d> / |p| of those bits: the part of the
            refinement that they take back.
        decision: (n_images,) the score of the predicted class over the mean that wrong bits of the
            last layer take away.
    """

    names: list[str]
    n_bits: list[NDArray[np.int64]]
    shares: list[Floats]
    decision: Floats


def undone(
    places: Sequence[NDArray[np.int64]],
    last: Sequence[NDArray[np.int64]],
    classes: NDArray[np.int64],
    checkpoint: Checkpoint,
    views: Sequence[View],
    predicted: NDArray[np.int64],
) -> Undone:
    """What faults take back, by the class of the entry that they undo.

    Args:
        places: by layer, see `wrong_places`.
        last: by layer, see `last_flips`.
        classes: (n_steps,) the class of each step, of the most of its images.
        views: of the images, by layer; activations are those without faults.
        predicted: (n_images,) classes.
    """
    n_classes = int(classes.max()) + 1
    by_step = np.append(classes, n_classes)  # step -1: never
    counts, shares, undone = [], [], list[FlipUpdates]()
    for layer, wrong, steps, view in zip(checkpoint.layers, places, last, views, strict=True):
        of = by_step[steps[wrong]]
        order = np.argsort(of, kind="stable")  # rising places in every class
        n_bits = np.bincount(of, minlength=n_classes + 1)
        stored = unpack(layer.weights, layer.n_inputs).ravel()[wrong[order]]
        updates = FlipUpdates(
            layer.n_inputs,
            layer.n_outputs,
            wrong[order],
            np.where(stored, -2, 2).astype(np.float32),
            n_bits,
        )
        undone.append(updates)
        counts.append(n_bits)
        shares.append((-updates.scores(view).double() / view.length).numpy())
    lost = -undone[-1].scores(toward(views[-1], predicted)).double().sum(0).numpy()
    return Undone([view.name for view in views], counts, shares, lost)


def predictors(taken: Undone, scores: NDArray[np.int32]) -> dict[str, Floats]:
    """(n_images,) numbers, each the higher the sooner a prediction should change.

    Args:
        scores: (n_images, n_classes) without faults.

    Returns:
        undone: mean share of a layer's refinement that is taken back; own class: the part of it
        that the predicted class taught; decision: what the last layer loses; margin: minus the
        lead of the best score, which knows nothing of the faults; margin and decision: the lead
        that is left.
    """
    images, best = np.arange(len(scores)), golden.classify(scores)
    ordered = np.sort(scores, axis=1)
    lead = (ordered[:, -1] - ordered[:, -2]).astype(np.float64)
    return {
        "undone": np.mean([shares.sum(0) for shares in taken.shares], 0),
        "own class": np.mean([shares[best, images] for shares in taken.shares], 0),
        "decision": taken.decision,
        "margin": -lead,
        "margin and decision": taken.decision - lead,
    }


def classes_of_steps(ledger: Ledger) -> NDArray[np.int64]:
    """(n_steps,) the class of the most images of each step."""
    return np.array(
        [
            np.bincount(ledger.labels[examples]).argmax()
            for epoch in ledger.epochs()
            for examples in epoch.examples
        ]
    )


def auc(score: Floats, is_positive: NDArray[np.bool_]) -> float:
    """Area under the curve: how often a positive has the higher score; 0.5 where one kind lacks."""
    n = int(is_positive.sum())
    if n in (0, len(score)):
        return 0.5
    ranks = rankdata(score)
    return float((ranks[is_positive].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))
