"""Scores of all steps on many images in one pass, and what they say of examples and classes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .updates import Updates
from .views import View

Floats = NDArray[np.float64]


class Chunk(Protocol):
    """Consecutive steps of a training, as a ledger or a float trace hands them out."""

    @property
    def examples(self) -> Sequence[NDArray[np.uint32]]:
        """For each step the numbers of its training images."""
        ...

    @property
    def updates(self) -> Sequence[Updates]:
        """By layer."""
        ...


@dataclass(frozen=True, eq=False)
class Trace:
    """What every step contributed to the answers to some images.

    Attributes:
        names: of the views.
        scores: by view, (n_steps, n_images) <c_t, d>.
        totals: by view, (n_images,) <p, d>, to which the scores of an image add up.
        lengths: by view, (n_images,) |p|.
        examples: for each step the numbers of its training images.
    """

    names: list[str]
    scores: list[NDArray[np.float32]]
    totals: list[Floats]
    lengths: list[Floats]
    examples: list[NDArray[np.uint32]]

    @property
    def residuals(self) -> list[float]:
        """By view, the greatest | sum of scores - <p, d> | / |p| of an image."""
        whole = zip(self.scores, self.totals, self.lengths, strict=True)
        return [float(np.max(np.abs(s.sum(0, np.float64) - of) / p)) for s, of, p in whole]


def trace(chunks: Iterable[Chunk], views: Sequence[View]) -> Trace:
    """Score all steps in one pass over their file."""
    scores: list[list[NDArray[np.float32]]] = [[] for _ in views]
    examples: list[NDArray[np.uint32]] = []
    for chunk in chunks:
        examples += chunk.examples
        for found, view in zip(scores, views, strict=True):
            found.append(chunk.updates[view.layer].scores(view).float().numpy())
    return Trace(
        [view.name for view in views],
        [np.concatenate(found) for found in scores],
        [view.total.numpy() for view in views],
        [view.length.numpy() for view in views],
        examples,
    )


def by_example(
    traced: Trace, view: int, n_examples: int, images: slice | NDArray[np.int64] = slice(None)
) -> NDArray[np.float32]:
    """(n_examples, n_images) influence of every training image on the answers of a view.

    A step's score is shared evenly by the images of its batch, so that all influences on an answer
    add up to <p, d>. A number for each pair: of many training images ask for a few images at once.

    Args:
        images: which of the view's.
    """
    sizes = np.array([len(step) for step in traced.examples])
    which = np.concatenate(traced.examples).astype(np.int64)
    step = np.repeat(np.arange(len(sizes)), sizes)
    shares = (1 / sizes[step]).astype(np.float32)
    shape = (n_examples, len(sizes))
    shared = csr_array((shares, (which, step)), shape=shape)  # type: ignore[no-untyped-call]
    return np.asarray(shared @ traced.scores[view][:, images])


def by_class(
    traced: Trace, view: int, labels: NDArray[np.uint8], n_classes: int
) -> NDArray[np.float32]:
    """(n_classes, n_images) influence of every class; of all together it is <p, d>.

    Args:
        labels: (n_examples,) of the training images.
    """
    return shares_of_classes(traced, labels, n_classes) @ traced.scores[view]


def without_own_steps(traced: Trace, view: int) -> Floats:
    """(n_images,) what all steps add to an answer but those that had the image in their batch.

    The images are the training images, in order.
    """
    scores, found = traced.scores[view], traced.totals[view].copy()
    for step, examples in enumerate(traced.examples):
        found[examples] -= scores[step, examples]
    return found


def shares_of_classes(
    traced: Trace, labels: NDArray[np.uint8], n_classes: int
) -> NDArray[np.float32]:
    """(n_classes, n_steps) the share of each class in a step's batch."""
    counts = [
        np.bincount(labels[step], minlength=n_classes) / max(1, len(step))
        for step in traced.examples
    ]
    return np.array(counts, np.float32).T


def top(influence: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """(k, n_images) numbers of the most influential training images, the first one most."""
    best = np.argpartition(-influence, k - 1, axis=0)[:k]
    order = np.argsort(-np.take_along_axis(influence, best, 0), axis=0, kind="stable")
    return np.asarray(np.take_along_axis(best, order, 0), np.int64)


def precision_at(
    influence: NDArray[np.float32], labels: NDArray[np.uint8], predicted: NDArray[np.int64], k: int
) -> float:
    """Share of the k most influential training images that are of the class that was predicted."""
    return float((labels[top(influence, k)] == predicted).mean())


@torch.no_grad()
def cosines(chunks: Iterable[Chunk], views: Sequence[View]) -> tuple[list[Floats], list[Floats]]:
    """By view, (n_steps, n_images) cos(c_t, d) and |c_t|, of few images.

    A step that contributes nothing has cosine 0.
    """
    found: tuple[list[list[Floats]], list[list[Floats]]] = (
        [[] for _ in views],
        [[] for _ in views],
    )
    for chunk in chunks:
        for i, view in enumerate(views):
            updates, d = chunk.updates[view.layer], view.direction.double().flatten(1)
            given = updates.contributions(view).double().flatten(2)  # (n_steps, n_images, ...)
            size = given.norm(dim=2)
            along = torch.einsum("tnk,nk->tn", given, d)
            whole = (size * d.norm(dim=1)).clamp(min=torch.finfo(torch.float64).tiny)
            found[0][i].append((along / whole).numpy())
            found[1][i].append(size.numpy())
    return tuple([np.concatenate(part) for part in kind] for kind in found)  # type: ignore[return-value]
