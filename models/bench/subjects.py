"""What is measured: two networks with weights from a closed form, and the images they are shown.

Speed does not depend on the weights; accuracy under faults, and with it the stop rule, does. So the
networks are trained as cheaply as can be: hidden weights are random signs, thresholds are quantiles
over training images, the last layer is the sign of a ridge regression on the classes.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...sim import random_network as draw
from ...sim.bits import pack
from ...sim.layers import Conv, Layer, Pool
from ...sim.network import Network
from .peers_torch import fire_modules, sum_modules, to_input

MLP_SIZES = (784, 2048, 2048, 10)
CNN_CONVS = ((64, 3, 1, 1, Pool(2, 2)), (64, 3, 1, 1, Pool(2, 2)))
CNN_SIZES = (2048, 10)
_IMAGE = (28, 28, 1)
_BINARY = 128  # a pixel from here on is a 1 of the binarised images
_RIDGE = 1000.0
_N_FOR_QUANTILES = 500
_CHUNK = 500


@dataclass(frozen=True, eq=False)
class Subject:
    """A network and the images that it is shown.

    Attributes:
        name: for people.
        images: (n, n_inputs) uint8 as the network takes them.
        labels: (n,) classes.
    """

    name: str
    network: Network
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def binarise(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(n, n_pixels) 0 and 1 of (n, ...) pixels."""
    return (images.reshape(len(images), -1) >= _BINARY).astype(np.uint8)


def mlp(rng: np.random.Generator) -> Network:
    """784-2048-2048-10 on binarised pixels, untrained."""
    return replace(draw.random_network(MLP_SIZES, "bits", rng), name="mlp")


def cnn(rng: np.random.Generator) -> Network:
    """C64-P-C64-P-FC2048-FC10 on uint8 pixels, 3 x 3 with padding, untrained."""
    network = draw.random_conv_network(_IMAGE, CNN_CONVS, CNN_SIZES, "uint8", rng)
    return replace(network, name="cnn")


@torch.inference_mode()
def fitted(network: Network, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Network:
    """The network with quantiles for thresholds and a regression for its last layer.

    Args:
        network: hidden weights stay as they are; the last hidden layer is dense.
        images: (n, n_inputs) training images as the network takes them.
        labels: (n,) classes.
    """
    x = to_input(network, images)
    layers: list[Layer] = []
    for layer in network.layers[:-1]:
        sums = nn.Sequential(*sum_modules(layer, layers[-1] if layers else None))
        layer = replace(layer, thresholds=_quantiles(layer, sums(x[:_N_FOR_QUANTILES])))
        block = nn.Sequential(sums, *fire_modules(layer))
        x = torch.cat([block(part) for part in torch.split(x, _CHUNK)])
        layers.append(layer)
    layers.append(_regression(network.layers[-1], x, torch.from_numpy(labels)))
    return replace(network, layers=tuple(layers))


def _quantiles(layer: Layer, sums: Tensor) -> NDArray[np.int32]:
    """(n_outputs,) thresholds that half the (pooled) images or windows reach, roughly."""
    is_pooled = isinstance(layer, Conv) and layer.pool is not None
    by_output = sums.transpose(0, 1).flatten(1)
    k = int((0.75 if is_pooled else 0.5) * by_output.shape[1])
    middle = by_output.kthvalue(k, dim=1).values
    values = middle if layer.input == "uint8" else (middle + layer.n_inputs) / 2
    return values.numpy().astype(np.int32)


def _regression(last: Layer, x: Tensor, labels: Tensor) -> Layer:
    wanted = 2 * torch.nn.functional.one_hot(labels.long(), last.n_outputs).to(x.dtype) - 1
    gram = x.T @ x + _RIDGE * torch.eye(x.shape[1])
    weights = torch.linalg.solve(gram, x.T @ (wanted - wanted.mean(0)))  # (n_inputs, n_classes)
    return replace(last, weights=pack((weights.T >= 0).numpy()))
