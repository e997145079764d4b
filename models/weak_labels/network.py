"""A neural network trained by gradient ascent on the significance of what it selects."""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state
from torch import nn
from torch.nn import functional as F

from .classifier import WeakClassifier
from .significance import check_alpha

Floats = NDArray[np.float64]
_TINY = 1e-6
"""Soft counts are kept above it: at 0 the slope along the off count is infinite."""


def soft_counts(
    logits: torch.Tensor, is_on: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Selected on and off counts (), a selection being a sigmoid instead of a step at 0."""
    selected = torch.sigmoid(logits / temperature)
    return (selected * is_on).sum() + _TINY, (selected * ~is_on).sum() + _TINY


def significance_loss(n_on: torch.Tensor, n_off: torch.Tensor, alpha: float) -> torch.Tensor:
    """-S²/2 where there is an excess, and a positive loss that drives towards one elsewhere.

    Source: the criterion of Bunse et al. 2021, arXiv 2108.13396, of which we know the abstract;
    soft counts and the gate are a reconstruction.
    """
    total = n_on + n_off
    half_square = n_on * torch.log((1 + alpha) / alpha * n_on / total) + n_off * torch.log(
        (1 + alpha) * n_off / total
    )
    lack = F.softplus(alpha * n_off - n_on)
    return torch.where(n_on > alpha * n_off, -half_square, lack)


class SignificanceNetwork(WeakClassifier):
    """A small network whose threshold at 0 is trained with it.

    All events are one batch, since significance is no mean over events. Cross entropy, classes
    weighted alike, comes first: a network that knows nothing has no excess to climb.

    Args:
        alpha: exposure of the on region over that of all off regions.
        hidden: neurons of each hidden layer.
        n_warm_up, n_steps: steps of cross entropy, then of significance.
        learning_rate: of Adam.
        weight_decay: decoupled.
        end_temperature: of the soft counts; it falls to it from 1.
        random_state: of the first weights.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        hidden: tuple[int, ...] = (32,),
        n_warm_up: int = 100,
        n_steps: int = 100,
        learning_rate: float = 1e-2,
        weight_decay: float = 1e-2,
        end_temperature: float = 0.3,
        random_state: int | None = None,
    ) -> None:
        self.alpha = alpha
        self.hidden = hidden
        self.n_warm_up = n_warm_up
        self.n_steps = n_steps
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.end_temperature = end_temperature
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> "SignificanceNetwork":
        """Train on features (n, n_features) and weak labels (n,)."""
        check_alpha(self.alpha)
        events, labels = self._checked(X, y)
        self.mean_ = events.mean(0)
        spread = events.std(0)
        self.spread_ = np.where(spread > 0, spread, 1.0)
        inputs = torch.from_numpy((events - self.mean_) / self.spread_)
        is_on = torch.from_numpy(labels)
        net = self._network(events.shape[1])
        optimiser = torch.optim.AdamW(
            net.parameters(), self.learning_rate, weight_decay=self.weight_decay
        )
        for step in range(self.n_warm_up + self.n_steps):
            optimiser.zero_grad()
            torch.autograd.backward(self._loss(net(inputs).squeeze(1), is_on, step))
            optimiser.step()
        layers = [layer for layer in net if isinstance(layer, nn.Linear)]
        self.weights_ = [layer.weight.detach().numpy().copy() for layer in layers]
        self.biases_ = [layer.bias.detach().numpy().copy() for layer in layers]
        return self

    def _network(self, n_features: int) -> nn.Sequential:
        """Layers with first weights that depend on `random_state` alone, not on a global seed."""
        rng = check_random_state(self.random_state)
        sizes = (n_features, *self.hidden, 1)
        layers: list[nn.Module] = []
        for n_in, n_out in zip(sizes, sizes[1:], strict=False):
            layer: nn.Linear = nn.utils.skip_init(  # type: ignore[no-untyped-call]
                nn.Linear, n_in, n_out, dtype=torch.float64
            )
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(rng.normal(0, n_in**-0.5, (n_out, n_in))))
                layer.bias.zero_()
            layers += [layer, nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    def _loss(self, logits: torch.Tensor, is_on: torch.Tensor, step: int) -> torch.Tensor:
        n, n_on = len(is_on), int(is_on.sum())
        if step < self.n_warm_up:
            weight = torch.where(is_on, n / (2 * n_on), n / (2 * (n - n_on)))
            return F.binary_cross_entropy_with_logits(logits, is_on.to(logits), weight)
        done = (step - self.n_warm_up) / max(self.n_steps - 1, 1)
        counts = soft_counts(logits, is_on, self.end_temperature**done)
        return significance_loss(*counts, self.alpha) / n

    def _decide(self, X: Floats) -> Floats:
        values = (X - self.mean_) / self.spread_
        for weight, bias in zip(self.weights_[:-1], self.biases_[:-1], strict=True):
            values = np.maximum(values @ weight.T + bias, 0)
        found: Floats = (values @ self.weights_[-1].T + self.biases_[-1])[:, 0]
        return found
