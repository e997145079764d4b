"""Binary weights in a causal model: dense layers hold signs and a scale a row, all or some."""

import re

from torch import Tensor, nn
from torch.nn.utils import parametrize

from ...sim.exceptions import InputError
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


def middle_mlps(model: nn.Module) -> dict[str, nn.Linear]:
    """The dense layers of the feed-forward parts of blocks from 2/5 to 4/5 of the depth, by name.

    Those a trained model can best do without: of SmolLM2-135M blocks 12..23. Elsewhere single
    layers carry activations so large that a sign for a weight leaves nothing (of block 10 or 11,
    perplexity 62 becomes 220,000).
    """
    of = {name: re.search(r"\.(\d+)\.mlp\.", name) for name in block_linears(model)}
    blocks = {name: int(found[1]) for name, found in of.items() if found}
    n = max(blocks.values(), default=-1) + 1
    return {
        name: layer
        for name, layer in block_linears(model).items()
        if name in blocks and 2 * n <= 5 * blocks[name] < 4 * n
    }


def binary_middle(model: nn.Module) -> None:
    """Train `middle_mlps` with binary weights from here on, and nothing else; of `adapt.adapted`.

    Raises:
        InputError: the model has no such layer.
    """
    layers = middle_mlps(model)
    if not layers:
        raise InputError("the model has no layer named mlp in the middle of its blocks")
    model.requires_grad_(False)
    for layer in layers.values():
        layer.weight.requires_grad_(True)
        parametrize.register_parametrization(layer, "weight", Binarized())
