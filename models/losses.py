"""Losses on raw integer scores: functions (logits, target) -> (batch,), reduced by the caller."""

import torch.nn.functional as F
from torch import Tensor


def margin_hinge(logits: Tensor, target: Tensor, margin: float) -> Tensor:
    """Mean over classes of max(0, margin - t s) / margin, t = +1 for the true class and -1 else.

    A score that clears the margin has room for flipped weights and pulls no more.

    Args:
        logits: (batch, n_classes) integer scores as floats.
        target: (batch,) class indices.
        margin: in units of a score, > 0.

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
