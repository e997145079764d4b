"""Binary weights in a causal model: dense layers but the last hold signs and a scale a row."""

from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..binary import as_read
from .language import block_linears


class Binarized(nn.Module):
    """The sign of latent weights, times the mean magnitude of their row.

    Source: Rastegari et al. 2016, XNOR-Net, equation 6; signs and their gradients are the kit's.
    """

    def forward(self, latent: Tensor) -> Tensor:
        """(n_outputs, n_inputs) as stored."""
        stored = latent.detach() >= 0
        signs = as_read(latent, stored, stored, "straight_through", latent.dtype)
        return signs * latent.abs().mean(1, keepdim=True)


def binary_weights(model: nn.Module) -> None:
    """Train these layers with binary weights from here on; of `adapt.adapted`."""
    for layer in block_linears(model).values():
        parametrize.register_parametrization(layer, "weight", Binarized())
