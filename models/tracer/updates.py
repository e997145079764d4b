"""What steps of training added to a layer, in three ways of storing it, and what that contributes.

Step t contributes c_t(x) = dW_t a(x), and sum_t c_t = p exactly. Its score is the part of it that
lies in a direction d(x): p / |p|, which makes it |c_t| cos(c_t, p), or that of a decision. Scores
of all steps add up to <p, d>.

Since <c_t, d> = <dW_t, M(x)> with M = sum over windows of d a^T, scores need no contributions where
M is small (convolutions); dense layers sum rows first, of binary ones only rows that flipped.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from .views import View

_IMAGES = 128


class Updates(Protocol):
    """Consecutive steps of one layer."""

    def scores(self, view: View) -> Tensor:
        """(n_steps, n_images) <c_t, d>."""
        ...

    def contributions(self, view: View) -> Tensor:
        """(n_steps, n_images, n_windows, n_outputs) c_t, of few images."""
        ...

    def summed(self) -> Tensor:
        """(n_outputs, n_inputs) float64, the sum of all dW_t."""
        ...


@dataclass(frozen=True, eq=False)
class FlipUpdates:
    """Steps of a binary layer.

    Attributes:
        n_inputs, n_outputs: of the layer.
        places: of all flips in the stored bits, step after step, rising in each.
        signs: 2 where a bit became 1, else -2.
        counts: (n_steps,) flips of each step.
    """

    n_inputs: int
    n_outputs: int
    places: NDArray[np.int64]
    signs: NDArray[np.float32]
    counts: NDArray[np.int64]

    def scores(self, view: View) -> Tensor:
        """As of Updates; sums of flips are exact, products with the direction round."""
        if view.inputs.shape[1] > 1:
            moments = torch.einsum("nwo,nwi->noi", view.direction, view.inputs).flatten(1)
            return _bags(self.places, moments.T, _starts(self.counts), self.signs)
        step = self._steps
        row = step * self.n_outputs + self.places // self.n_inputs  # of a step
        first = np.flatnonzero(np.diff(row, prepend=-1))
        lanes, rows = self.places % self.n_inputs, torch.from_numpy(row[first] % self.n_outputs)
        n_rows = np.bincount(step[first], minlength=len(self.counts))
        found = []
        for k in range(0, len(view.inputs), _IMAGES):
            some = view.of(slice(k, k + _IMAGES))
            sums = _bags(lanes, some.inputs[:, 0].T, first, self.signs)  # (rows, images)
            sums *= some.direction[:, 0].T.contiguous()[rows]
            found.append(_bags(np.arange(len(sums)), sums, _starts(n_rows)))
        return torch.cat(found, 1)

    def contributions(self, view: View) -> Tensor:
        """As of Updates."""
        found = []
        starts = _starts(self.counts)
        for start, end in zip(starts, starts + self.counts, strict=True):
            change = torch.zeros(self.n_outputs * self.n_inputs)  # of one step: an epoch has GB
            change[torch.from_numpy(self.places[start:end])] = torch.from_numpy(
                self.signs[start:end]
            )
            whole = change.reshape(1, self.n_outputs, self.n_inputs)
            found.append(DenseUpdates(whole).contributions(view))
        return torch.cat(found)

    def summed(self) -> Tensor:
        """As of Updates."""
        n = self.n_outputs * self.n_inputs
        found = np.bincount(self.places, self.signs, minlength=n)
        return torch.from_numpy(found).reshape(self.n_outputs, self.n_inputs)

    @property
    def _steps(self) -> NDArray[np.int64]:
        """(n_flips,) number of the step of every flip."""
        return np.repeat(np.arange(len(self.counts)), self.counts)


@dataclass(frozen=True, eq=False)
class DenseUpdates:
    """Steps of a float layer, whole.

    Attributes:
        change: (n_steps, n_outputs, n_inputs) dW_t.
    """

    change: Tensor

    def scores(self, view: View) -> Tensor:
        """As of Updates."""
        change = self.change.to(view.inputs.dtype).flatten(1)
        moments = torch.einsum("nwo,nwi->noi", view.direction, view.inputs)
        return change @ moments.flatten(1).T

    def contributions(self, view: View) -> Tensor:
        """As of Updates."""
        return torch.einsum("toi,nwi->tnwo", self.change.to(view.inputs.dtype), view.inputs)

    def summed(self) -> Tensor:
        """As of Updates."""
        return self.change.double().sum(0)


@dataclass(frozen=True, eq=False)
class FactoredUpdates:
    """Steps of a dense float layer that are products, dW_t = right_t left_t^T: one an example.

    Attributes:
        left: (n_steps, n_inputs) what the layer met.
        right: (n_steps, n_outputs) the gradient behind it, times minus the learning rate.
    """

    left: Tensor
    right: Tensor

    def scores(self, view: View) -> Tensor:
        """As of Updates."""
        kind = view.inputs.dtype
        along = self.right.to(kind) @ view.direction[:, 0].T
        return along * (self.left.to(kind) @ view.inputs[:, 0].T)

    def contributions(self, view: View) -> Tensor:
        """As of Updates."""
        kind = view.inputs.dtype
        met = self.left.to(kind) @ view.inputs[:, 0].T  # (n_steps, n_images)
        return (met[:, :, None] * self.right.to(kind)[:, None])[:, :, None]

    def summed(self) -> Tensor:
        """As of Updates."""
        return self.right.double().T @ self.left.double()


@dataclass(frozen=True, eq=False)
class JoinedUpdates:
    """Steps in parts, one after the other."""

    parts: tuple[Updates, ...]

    def scores(self, view: View) -> Tensor:
        """As of Updates."""
        return torch.cat([part.scores(view) for part in self.parts])

    def contributions(self, view: View) -> Tensor:
        """As of Updates."""
        return torch.cat([part.contributions(view) for part in self.parts])

    def summed(self) -> Tensor:
        """As of Updates."""
        return torch.stack([part.summed() for part in self.parts]).sum(0)


def _starts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.cumsum(counts) - counts


def _bags(
    which: NDArray[np.int64],
    table: Tensor,
    starts: NDArray[np.int64],
    weights: NDArray[np.float32] | None = None,
) -> Tensor:
    """(n_bags, n) weighted sums of rows of a table (n_rows, n), a bag up to the next start."""
    return F.embedding_bag(
        torch.from_numpy(which),
        table.contiguous(),
        torch.from_numpy(starts),
        mode="sum",
        per_sample_weights=None if weights is None else torch.from_numpy(weights),
    )
