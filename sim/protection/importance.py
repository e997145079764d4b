"""How much harm faults in each row do: a first-order estimate, ours.

For every image the margin (score of its class minus the best other) is traced back through the
network: a hidden bit matters as much as it moves the sums it enters, times how fast those make
their neurons turn at these error rates. A hidden row's harm is the chance that its neuron turns,
times how much that bit matters; a row of scores does harm by the spread and shift of its own sum.
Harms are means over images, in units of the score.
"""

import numpy as np
from numpy.typing import NDArray

from .. import golden
from ..bits import unpack
from ..exceptions import InputError
from ..layers import Conv, Layer
from ..network import Network
from .moments import Floats, Moments, layer_inputs, moments, slope, turn_chance
from .rows import Rows

_AT_ONCE = 1 << 25  # elements of the windows of some images


def row_harm(
    network: Network,
    images: NDArray[np.generic],
    labels: NDArray[np.generic] | None,
    p01: float,
    p10: float,
) -> list[Floats]:
    """For every layer (n_outputs,) the harm that its rows do.

    Args:
        labels: classes of the images; without them each image's is the one it is given.
    """
    inputs = layer_inputs(network, images)
    n = len(inputs[0])
    scores = golden.scores(network, images[:n]).astype(np.int64)
    own = np.asarray(scores.argmax(axis=1) if labels is None else labels[:n], np.int64)
    others = scores.copy()
    others[np.arange(n), own] = np.iinfo(np.int64).min
    matters = np.zeros((n, network.n_classes))  # of each score: the derivative of the margin
    matters[np.arange(n), own] += 1
    matters[np.arange(n), others.argmax(axis=1)] -= 1
    harm: list[Floats] = []
    first = len(network.layers)
    for chain in reversed(network.chains):
        first -= len(chain)
        found: list[Floats] = []
        g = matters
        for layer, x in zip(
            reversed(chain), reversed(inputs[first : first + len(chain)]), strict=True
        ):
            if layer.thresholds is None:
                found.append(_score_harm(layer, x, matters, p01, p10))
                step = 1.0 if layer.input == "uint8" else 2.0
                g = step * matters @ _mean_weights(layer, p01, p10)
            else:
                own_harm, g = _hidden_harm(layer, x, g, p01, p10)
                found.append(own_harm)
        harm = found[::-1] + harm
    return harm


def most_harmful(network: Network, harm: list[Floats], fraction: float) -> Rows:
    """Rows with the most harm for each stored bit, so many that their bits are at most `fraction`.

    Args:
        harm: for every layer (n_outputs,), of whatever source.
        fraction: of the weight bits of the network.

    Raises:
        InputError: the harm is not one finite number a row.
    """
    sizes = [layer.n_outputs for layer in network.layers]
    if [np.shape(h) for h in harm] != [(n,) for n in sizes]:
        raise InputError(f"importance must be arrays of {sizes} rows")
    if not all(np.isfinite(h).all() for h in harm):
        raise InputError("importance must be finite numbers")
    bits = np.repeat([layer.n_inputs for layer in network.layers], sizes)
    order = np.argsort(-np.concatenate(harm) / bits, kind="stable")
    taken = order[np.cumsum(bits[order]) <= fraction * network.n_weight_bits]
    starts = np.cumsum([0, *sizes])
    return tuple(
        tuple(sorted(int(j - start) for j in taken if start <= j < start + n))
        for start, n in zip(starts, sizes, strict=False)
    )


def _mean_weights(layer: Layer, p01: float, p10: float) -> Floats:
    """(n_outputs, n_inputs) E[w'], what a sum grows by when an input turns from 0 to 1 (bits)."""
    w = 2.0 * unpack(layer.weights, layer.n_inputs) - 1
    return np.asarray((1 - p01 - p10) * w + (p01 - p10), np.float64)


def _rates(layer: Layer, p01: float, p10: float) -> tuple[Floats, Floats]:
    return np.full(layer.n_outputs, p01), np.full(layer.n_outputs, p10)


def _score_harm(
    layer: Layer, x: NDArray[np.uint8], matters: Floats, p01: float, p10: float
) -> Floats:
    m = moments(layer, x, *_rates(layer, p01, p10))
    step = 1.0 if layer.input == "uint8" else 2.0
    off = step * np.sqrt(m.std**2 + (m.mean - m.clean) ** 2)
    return np.asarray((np.abs(matters) * off).mean(axis=0), np.float64)


def _hidden_harm(
    layer: Layer, x: NDArray[np.uint8], g: Floats, p01: float, p10: float
) -> tuple[Floats, Floats]:
    """(n_outputs,) harm of the rows, (n, n_elements_in) how much each input bit matters.

    Args:
        g: (n, n_elements_out) how much each bit that the layer hands on matters.
    """
    rates = _rates(layer, p01, p10)
    weights = _mean_weights(layer, p01, p10)
    if not isinstance(layer, Conv):
        m = moments(layer, x, *rates)
        return (turn_chance(layer, m) * np.abs(g)).mean(axis=0), (slope(layer, m) * g) @ weights
    harm = np.zeros(layer.n_outputs)
    back = np.zeros((len(x), layer.n_elements_in))
    step = max(1, _AT_ONCE // (layer.n_windows * layer.n_inputs))
    for start in range(0, len(x), step):
        part = slice(start, start + step)
        seen = golden.windows(layer.window, x[part]).reshape(-1, layer.n_inputs)
        m = moments(layer, seen, *rates)
        before = _before_pool(layer, m, g[part])
        harm += (turn_chance(layer, m) * np.abs(before)).sum(axis=0)
        back[part] = _to_map(layer, (slope(layer, m) * before) @ weights)
    return harm / len(x), back


def _before_pool(layer: Conv, m: Moments, g: Floats) -> Floats:
    """(n_images * n_windows, channels) how much each fired bit matters before the OR.

    A bit matters to a pool in which no other bit is 1.
    """
    rows, columns = layer.window.rows, layer.window.columns
    if layer.pool is None:
        return g.reshape(-1, layer.n_outputs)
    assert layer.thresholds is not None, "a convolution is a hidden layer"
    fired = (m.clean >= layer.thresholds).reshape(-1, rows, columns, layer.n_outputs)
    k, stride = layer.pool.kernel, layer.pool.stride
    seen = np.lib.stride_tricks.sliding_window_view(fired, (k, k), axis=(1, 2))
    ones = seen[:, ::stride, ::stride].sum(axis=(4, 5))
    g = g.reshape(ones.shape)
    out = np.zeros(fired.shape)
    height, width = ones.shape[1:3]
    for dy in range(k):
        for dx in range(k):
            at = (
                slice(None),
                slice(dy, dy + stride * (height - 1) + 1, stride),
                slice(dx, dx + stride * (width - 1) + 1, stride),
            )
            out[at] += np.where(ones - fired[at] == 0, g, 0.0)
    return out.reshape(-1, layer.n_outputs)


def _to_map(layer: Conv, at_windows: Floats) -> Floats:
    """(n_images, n_elements_in) sums over the windows that see each element.

    Args:
        at_windows: (n_images * n_windows, fan_in).
    """
    w = layer.window
    parts = at_windows.reshape(-1, w.rows, w.columns, w.kernel, w.kernel, w.channels)
    out = np.zeros((len(parts), w.height + 2 * w.pad, w.width + 2 * w.pad, w.channels))
    for ky in range(w.kernel):
        for kx in range(w.kernel):
            ys = slice(ky, ky + w.stride * (w.rows - 1) + 1, w.stride)
            xs = slice(kx, kx + w.stride * (w.columns - 1) + 1, w.stride)
            out[:, ys, xs] += parts[:, :, :, ky, kx]
    inner = out[:, w.pad : w.pad + w.height, w.pad : w.pad + w.width]
    return inner.reshape(len(parts), -1)
