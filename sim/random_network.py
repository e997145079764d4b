"""Networks of random weights, for benches and tests; neurons fire both ways."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .bits import pack
from .layers import Conv, Dense, Input, Layer, Pool, Window
from .network import Network, ensemble
from .tables import Table


def random_network(sizes: tuple[int, ...], first_input: Input, rng: np.random.Generator) -> Network:
    """A chain of dense layers.

    Args:
        sizes: elements of an image, neurons of every hidden layer, classes.
        first_input: what the first layer takes.
    """
    return Network("random", _dense_chain(sizes, first_input, rng))


def random_conv_network(
    image: tuple[int, int, int],
    convs: tuple[tuple[int, int, int, int, Pool | None], ...],
    sizes: tuple[int, ...],
    first_input: Input,
    rng: np.random.Generator,
    thermometer: tuple[int, ...] = (),
) -> Network:
    """Convolutions, then dense layers.

    Args:
        image: (height, width, channels) of an image.
        convs: (channels, kernel, stride, pad, pool) of each convolution.
        sizes: neurons of every hidden dense layer, classes.
        first_input: what the first convolution takes; "bits" with a thermometer.
        thermometer: levels, as in `Network`.
    """
    height, width, channels = image[0], image[1], image[2] * max(1, len(thermometer))
    layers: list[Layer] = []
    for i, (n_channels, kernel, stride, pad, pool) in enumerate(convs):
        window = Window(height, width, channels, kernel, stride, pad)
        kind: Input = first_input if i == 0 else "bits"
        rows = _dense(f"C{i}", window.fan_in, n_channels, kind, rng)
        conv = Conv(**vars(rows), window=window, pool=pool)
        layers.append(conv)
        height, width, channels = conv.out_shape
    dense = _dense_chain((height * width * channels, *sizes), "bits", rng)
    return Network("random", (*layers, *dense), thermometer=thermometer)


def random_ensemble(members: tuple[Network, ...]) -> Network:
    """The ensemble of networks that take the same images, under the name of all networks here."""
    return ensemble("random", members)


def with_random_tables(network: Network, n: int, rng: np.random.Generator) -> Network:
    """The network with tables t0, t1, ...: thresholds up to a quarter of their range away."""

    def moved(layer: Layer) -> NDArray[np.int32] | None:
        if layer.thresholds is None:
            return None
        low, high = layer.threshold_range
        by = rng.integers(-(high - low) // 4, (high - low) // 4 + 1, layer.n_outputs)
        return (layer.thresholds + by).clip(low, high).astype(np.int32)

    tables = [Table(f"t{t}", tuple(moved(la) for la in network.layers)) for t in range(n)]
    return replace(network, tables=tuple(tables))


def _dense_chain(
    sizes: tuple[int, ...], first_input: Input, rng: np.random.Generator
) -> tuple[Layer, ...]:
    last = len(sizes) - 2
    return tuple(
        _dense(f"L{i}", n, m, first_input if i == 0 else "bits", rng, is_last=i == last)
        for i, (n, m) in enumerate(zip(sizes, sizes[1:], strict=False))
    )


def _dense(
    name: str, n: int, m: int, kind: Input, rng: np.random.Generator, *, is_last: bool = False
) -> Dense:
    middle, spread = (0, 100.0) if kind == "uint8" else (n / 2, 0.5)
    wanted = np.rint(middle + spread * n**0.5 * rng.standard_normal(m))
    weights = pack(rng.integers(0, 2, (m, n), dtype=np.uint8))
    layer = Dense(name, n, weights, None, np.zeros(m, np.bool_), kind)
    if is_last:
        return layer
    thresholds = wanted.clip(*layer.threshold_range).astype(np.int32)
    return replace(layer, thresholds=thresholds)
