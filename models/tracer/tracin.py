"""TracIn: the influence of training examples by products of gradients at checkpoints.

    TracIn(i, x) = sum over checkpoints of rate <grad l(i), grad l(x)>

Source: Pruthi et al. 2020, arXiv 2002.08484, eq. 1 (TracInCP); captum's `TracInCP` is the peer.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from .gradients import Traced, capturing

Factors = list[tuple[Tensor, Tensor]]
"""By layer: (n, n_windows, n_inputs) and (n, n_windows, n_outputs), factors of gradients."""


def factors(model: nn.Module, layers: Mapping[str, Traced], x: Tensor, y: Tensor) -> Factors:
    """Of the cross entropy of every single example, in evaluation mode."""
    model.eval()
    with capturing(layers) as captured:
        loss = F.cross_entropy(model(x), y, reduction="sum")
        loss.backward()  # type: ignore[no-untyped-call]
    model.zero_grad()
    return [(of.left, of.right) for of in captured.values()]


def products(some: Factors, others: Factors) -> Tensor:
    """(n_some, n_others) products of gradients, of all layers together."""
    whole = torch.zeros(len(some[0][0]), len(others[0][0]))
    for (left, right), (left2, right2) in zip(some, others, strict=True):
        if left.shape[1] == 1:
            whole += (left[:, 0] @ left2[:, 0].T) * (right[:, 0] @ right2[:, 0].T)
        else:
            one, two = (
                torch.einsum("nwo,nwi->noi", r, li).flatten(1)
                for li, r in ((left, right), (left2, right2))
            )
            whole += one @ two.T
    return whole


def tracin(
    model: nn.Module,
    layers: Mapping[str, Traced],
    snapshots: Sequence[Mapping[str, Tensor]],
    rate: float,
    training: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(n_training, n_test) influence on the loss of test examples, and (n_training,) on its own.

    Args:
        snapshots: states of the model; it is left in the last one.
        rate: of learning.
        training, test: inputs and classes.
    """
    whole = torch.zeros(len(training[1]), len(test[1]))
    own = torch.zeros(len(training[1]))
    for state in snapshots:
        model.load_state_dict(state)
        some, others = factors(model, layers, *training), factors(model, layers, *test)
        whole += rate * products(some, others)
        for left, right in some:
            gradients = torch.einsum("nwo,nwi->noi", right, left)
            own += rate * gradients.square().sum((1, 2))
    return whole.numpy(), own.numpy()


def last_layer(inputs: Tensor, logits: Tensor, labels: NDArray[np.uint8]) -> Factors:
    """Factors of a last dense layer alone, from what it met and gave.

    Args:
        inputs: (n, n_inputs).
        logits: (n, n_classes), of which cross entropy is the loss.
    """
    wanted = F.one_hot(torch.from_numpy(labels).long(), logits.shape[1])
    return [(inputs[:, None], (logits.softmax(1) - wanted)[:, None])]
