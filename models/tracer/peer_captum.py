"""captum's TracIn, the peer of ours; the kit never installs it, see `peers` in pyproject.toml."""

import importlib
import importlib.util
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import TensorDataset


def is_here() -> bool:
    """Whether captum can be imported."""
    return importlib.util.find_spec("captum") is not None


def captum_tracin(
    model: nn.Module,
    snapshots: Sequence[Mapping[str, Tensor]],
    rate: float,
    training: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
) -> NDArray[np.float32]:
    """(n_training, n_test) as `tracin.tracin` gives it, by captum's `TracInCP`."""

    def put(module: nn.Module, number: str) -> float:
        module.load_state_dict(snapshots[int(number)])
        return rate

    peer = importlib.import_module("captum.influence").TracInCP(
        model.eval(),
        TensorDataset(*training),
        [str(k) for k in range(len(snapshots))],
        put,
        loss_fn=nn.CrossEntropyLoss(reduction="none"),
        batch_size=64,
    )
    return np.asarray(peer.influence(test).detach().numpy().T, np.float32)
