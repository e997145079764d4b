"""Generalized negative correlation learning: what an ensemble is trained on.

M members give h_i, their mean is f, d_i = h_i - f, and D is the Hessian of the loss l(f, y) in f.
Taylor's second order at f, averaged over members, is

    (1/M) sum_i l(h_i)  =  l(f) + (1/2M) sum_i d_i^T D d_i + remainder

as the d_i sum to 0; the middle term is the diversity. The objectives of this module weigh it:

    exact   (1/M) sum_i l(h_i) - lambda (1/2M) sum_i d_i^T D d_i
    upper   lambda l(f) + (1 - lambda) (1/M) sum_i l(h_i)

lambda = 0 trains members independently; lambda = 1 of `upper` trains them end to end, as one. For
squared error the remainder is 0 and the two are the same. What is averaged is what the loss takes:
logits for cross entropy, probabilities for the negative log-likelihood.

Source: Buschjaeger et al. 2020, arXiv 2011.02952, equations 4 and 5. As in the authors' code the
gradient goes through D too. Theirs takes `upper` where it knows no Hessian; here torch finds it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ...sim.exceptions import InputError

Form = Literal["exact", "upper"]


@dataclass(frozen=True)
class Loss:
    """A loss, twice differentiable in the output.

    Attributes:
        value: (outputs (batch, n), target (batch, ...)) -> (batch,), each of its own example alone.
        form: (outputs (batch, n), target, d (..., batch, n)) -> (..., batch), d^T D d; None lets
            torch differentiate `value` twice.
    """

    name: str
    value: Callable[[Tensor, Tensor], Tensor]
    form: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None

    def of(self, outputs: Tensor, target: Tensor) -> Tensor:
        """(batch,) losses, checked.

        Raises:
            InputError: the loss is not one number an example.
        """
        values = self.value(outputs, target)
        if values.shape != outputs.shape[:1]:
            raise InputError(
                f"loss {self.name!r} must give ({len(outputs)},), one an example, "
                f"not {tuple(values.shape)}"
            )
        return values

    def curvature(self, outputs: Tensor, target: Tensor, d: Tensor) -> Tensor:
        """(..., batch) d^T D d of deviations d (..., batch, n), D the Hessian at the outputs.

        Raises:
            InputError: there is no `form` and torch cannot differentiate the loss twice.
        """
        if self.form is not None:
            return self.form(outputs, target, d)
        return _second_derivative(self, outputs, target, d)


def _second_derivative(loss: Loss, outputs: Tensor, target: Tensor, d: Tensor) -> Tensor:
    """Examples do not mix, so the Hessian of their sum is block diagonal, and its product with
    deviations of all examples at once is every example's own."""

    def slope(f: Tensor) -> Tensor:
        found: Tensor = torch.func.grad(lambda g: loss.of(g, target).sum())(f)
        return found

    def along(deviation: Tensor) -> Tensor:
        product: Tensor = torch.func.jvp(slope, (outputs,), (deviation,))[1]
        return (deviation * product).sum(-1)

    try:
        found = torch.func.vmap(along)(d.reshape(-1, *outputs.shape))
    except (RuntimeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"loss {loss.name!r} has no Hessian that torch can find ({reason}); give its form"
        ) from error
    return found.reshape(d.shape[:-1])


def _squared(outputs: Tensor, target: Tensor) -> Tensor:
    return (outputs - target).square().sum(-1)


def _squared_form(outputs: Tensor, target: Tensor, d: Tensor) -> Tensor:
    return 2 * d.square().sum(-1)


def _cross_entropy(outputs: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(outputs, target, reduction="none")


def _cross_entropy_form(outputs: Tensor, target: Tensor, d: Tensor) -> Tensor:
    """D = diag(q) - q q^T, q the softmax: the variance of d under q."""
    q = outputs.softmax(-1)
    mean = (q * d).sum(-1, keepdim=True)
    return (q * (d - mean).square()).sum(-1)


def _nll(outputs: Tensor, target: Tensor) -> Tensor:
    return -outputs.gather(-1, target[:, None])[:, 0].log()


def _nll_form(outputs: Tensor, target: Tensor, d: Tensor) -> Tensor:
    """D has 1/f_y^2 at (y, y), and nothing else."""
    at = target[:, None]
    ratio = d.gather(-1, at.expand(*d.shape[:-1], 1)) / outputs.gather(-1, at)
    return ratio[..., 0].square()


SQUARED = Loss("squared error", _squared, _squared_form)
"""Sum over outputs of (f - y)^2; targets (batch, n)."""
CROSS_ENTROPY = Loss("cross entropy", _cross_entropy, _cross_entropy_form)
"""Of logits; targets are classes (batch,)."""
NLL = Loss("negative log-likelihood", _nll, _nll_form)
"""Of probabilities, which must be positive; targets are classes (batch,)."""


def exact(loss: Loss, outputs: Tensor, target: Tensor, lam: float) -> Tensor:
    """(batch,) mean member loss less lambda times the diversity.

    Args:
        outputs: (n_members, batch, n).
        lam: 0..1.
    """
    _check(outputs, lam)
    return member_loss(loss, outputs, target) - lam * diversity(loss, outputs, target)


def upper(loss: Loss, outputs: Tensor, target: Tensor, lam: float) -> Tensor:
    """(batch,) lambda times the ensemble's loss and the rest of the mean member loss.

    Args:
        outputs: (n_members, batch, n).
        lam: 0..1.
    """
    _check(outputs, lam)
    if lam == 1:
        return loss.of(outputs.mean(0), target)
    alone = member_loss(loss, outputs, target)
    return alone if lam == 0 else lam * loss.of(outputs.mean(0), target) + (1 - lam) * alone


def member_loss(loss: Loss, outputs: Tensor, target: Tensor) -> Tensor:
    """(batch,) mean over members of their own losses."""
    return losses(loss, outputs, target).mean(0)


def losses(loss: Loss, outputs: Tensor, target: Tensor) -> Tensor:
    """(n_members, batch) loss of every member."""
    n, batch = outputs.shape[:2]
    repeated = target.repeat(n, *[1] * (target.ndim - 1))
    return loss.of(outputs.flatten(0, 1), repeated).reshape(n, batch)


def diversity(loss: Loss, outputs: Tensor, target: Tensor) -> Tensor:
    """(batch,) (1/2M) sum_i d_i^T D d_i."""
    mean = outputs.mean(0)
    return loss.curvature(mean, target, outputs - mean).mean(0) / 2


def _check(outputs: Tensor, lam: float) -> None:
    if not 0 <= lam <= 1:
        raise InputError(f"lambda must be 0..1, not {lam!r}")
    if outputs.ndim != 3:
        raise InputError(
            f"outputs must be (n_members, batch, n), not of shape {tuple(outputs.shape)}"
        )
