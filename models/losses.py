"""Losses on integer scores: functions (logits, target) -> (batch,), reduced by the caller."""

import torch
import torch.nn.functional as F
from torch import Tensor


def margin_hinge(logits: Tensor, target: Tensor, margin: float) -> Tensor:
    """Mean over classes of max(0, margin - t s) / margin, t = +1 for the true class and -1 else.

    A score that clears the margin has room for flipped weights and pulls no more.

    Args:
        logits: (batch, n_classes) scores as floats, raw integers or scaled.
        target: (batch,) class indices.
        margin: in units of `logits`, > 0.

    Source: the hinge of Buschjaeger et al. 2021, DATE, "Margin-Maximization in Binarized Neural
        Networks for Optimizing Bit Error Tolerance"; divided by the margin here, so that its choice
        does not change the scale of the gradient.
    """
    sign = 2.0 * F.one_hot(target, logits.shape[1]) - 1.0
    return (margin - sign * logits).clamp(min=0.0).mean(1) / margin


def cross_entropy(logits: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Cross entropy of the softmax of scores / temperature, (batch,).

    Args:
        temperature: > 0; about the square root of the last fan-in, since raw sums saturate.
    """
    return F.cross_entropy(logits / temperature, target, reduction="none")


def margin_cross_entropy(
    logits: Tensor, target: Tensor, margin: float, limit: float, temperature: float = 1.0
) -> Tensor:
    """Cross entropy of limit tanh(logits / limit), the true score lowered by `margin`, (batch,).

    The limit keeps scores from growing without end, the margin asks for room.

    Args:
        margin: in units of `logits`, >= 0.
        limit: > 0, in the same units.
        temperature: of the softmax, > 0.

    Source: a secondary summary of "MCEL" (arXiv 2603.05048), not the paper: limit 100, margins 1 to
        128. That the margin is taken off the true score in numerator and denominator alike is a
        reconstruction; in the numerator alone it would only add a constant.
    """
    bounded = limit * torch.tanh(logits / limit)
    lowered = bounded - margin * F.one_hot(target, logits.shape[1])
    return F.cross_entropy(lowered / temperature, target, reduction="none")


def margin_shortfall(margins: list[Tensor], wanted: float) -> Tensor:
    """Mean over layers of the mean of max(0, wanted - margin): the regularizer of tolerance.

    Args:
        margins: (batch, n_outputs[, rows, columns]) |s - T| / sqrt(fan-in) of every hidden layer,
            see `margins.scores_and_margins`.
        wanted: in the same units, > 0.

    Source: Buschjaeger et al. 2020, arXiv 2002.00909, has a regularizer on its metric; no public
        text gives its formula, so this hinge is a reconstruction.
    """
    return torch.stack([(wanted - m).clamp(min=0.0).mean() for m in margins]).mean()
