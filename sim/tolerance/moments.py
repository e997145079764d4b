"""The chance of a class under bit errors in closed form: means and variances, layer by layer.

Of a bit with mean a = 2q - 1 (q: chance that it fires) and a weight that reads m on average,
with m = 1 - 2 p10 where 1 is stored and -(1 - 2 p01) where 0 is:

    E[s'] = sum m_i a_i      Var[s'] = sum 1 - m_i^2 a_i^2      q = Phi((E[s'] - T + 1) / sd[s'])

Layers that see fault-free data take their exact law (`flip_law`). A pooled bit fires with
1 - prod (1 - q). Scores are normal, and P(class c wins) = E_z prod_r Phi((L_c(z) - L_r) / sd_r) is
integrated over the score of c by Gauss and Hermite, ties counted by the lower index.

Left out: that neurons of one layer err together, since they share the bits in front of them and
windows share a row. The sampled law of `prediction` has both; this one has no sampling noise.
Reconstruction: moment propagation is common practice; this form is ours.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from .. import golden
from ..exact_sums import Rows, accumulate, pool_places, rows_of, seen_by
from ..layers import Conv
from ..network import Network
from .flip_law import Moments, above, symmetric_fire

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(21)
_AT_ONCE = 1 << 23  # lanes of windows

Floats = NDArray[np.floating]


def win_probability(
    network: Network,
    u8: NDArray[np.uint8],
    classes: NDArray[np.int64],
    rates: list[tuple[float, float]],
) -> NDArray[np.float64]:
    """(n_rates, n) chance that each image is given the class asked for.

    Args:
        u8: (n, n_inputs) images as `check_images` gives them.
        classes: (n,) whose chance is asked.
        rates: (p01, p10) of all weight memories.
    """
    chains = [[rows_of(layer) for layer in chain] for chain in network.chains]
    lanes = max(layer.n_windows * layer.n_inputs for layer in network.layers)
    step, found = max(1, _AT_ONCE // lanes), np.empty((len(rates), len(u8)))
    for start in range(0, len(u8), step):
        part = slice(start, start + step)
        encoded = golden.encode(network, u8[part])
        for k, (p01, p10) in enumerate(rates):
            laws = [_score_law(chain, encoded, p01, p10) for chain in chains]
            mean = np.sum([mean for mean, _ in laws], axis=0)
            variance = np.sum([variance for _, variance in laws], axis=0)
            found[k, part] = _wins(mean, variance, classes[part])
    return found


def _score_law(
    chain: list[Rows], x: NDArray[np.uint8], p01: float, p10: float
) -> tuple[Floats, Floats]:
    first, layer = chain[0], chain[0].layer
    seen = seen_by(layer, x).reshape(-1, layer.n_inputs)
    if layer.input == "uint8":
        pixels = Moments.of(first, seen).at(p01, p10)
        law: tuple[Floats, Floats] = pixels
        q: Floats = pixels[0] if layer.thresholds is None else above(layer, *pixels)
    else:
        law = _moments(first, 2.0 * seen - 1, p01, p10)
        is_exact = layer.thresholds is not None and p01 == p10
        q = symmetric_fire(layer, accumulate(first, seen), p01) if is_exact else _fires(first, *law)
    for rows, after in zip(chain, chain[1:], strict=False):
        q = _handed_on(rows, q.reshape(len(x), -1, rows.layer.n_outputs)).astype(np.float32)
        lanes = seen_by(after.layer, 2 * q - 1, fill=-1).reshape(-1, after.layer.n_inputs)
        law = _moments(after, lanes, p01, p10)
        q = _fires(after, *law)
    return law


def _moments(rows: Rows, a: Floats, p01: float, p10: float) -> tuple[Floats, Floats]:
    reads = np.where(rows.signs > 0, 1 - 2 * p10, -(1 - 2 * p01)).astype(a.dtype)
    mean = a @ reads.T
    squared = a * a
    if p01 == p10:
        shrunken = (1 - 2 * p01) ** 2 * squared.sum(axis=1, dtype=np.float64)[:, None]
    else:
        shrunken = squared @ (reads * reads).T
    return mean, np.maximum(rows.layer.n_inputs - shrunken, 0.0) + np.zeros_like(mean)


def _fires(rows: Rows, mean: Floats, variance: Floats) -> Floats:
    thresholds = rows.layer.thresholds
    if thresholds is None:
        return mean
    limit = 2.0 * thresholds - rows.layer.n_inputs - 1  # half a step of continuity
    q: Floats = ndtr((mean - limit) / np.sqrt(np.maximum(variance, 1e-9)))
    q[:, thresholds <= 0] = 1.0
    q[:, thresholds > rows.layer.n_inputs] = 0.0
    return q


def _handed_on(rows: Rows, q: Floats) -> Floats:
    layer = rows.layer
    if isinstance(layer, Conv) and layer.pool:
        maps = q.reshape(len(q), layer.window.rows, layer.window.columns, -1)
        quiet = np.ones((len(q), *layer.out_shape))
        for place in pool_places(layer):
            quiet *= 1 - maps[place]
        q = 1 - quiet
    return q.reshape(len(q), -1)


def _wins(mean: Floats, variance: Floats, classes: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) P(the score of the class is the highest), scores normal and independent."""
    spread = np.sqrt(np.maximum(variance, 1e-9))
    others, given = np.arange(mean.shape[1])[None], classes[:, None]
    tie = np.where(others > given, 1.0, -1.0)
    mine = np.take_along_axis(mean, given, 1)[:, :, None]
    mine = mine + np.take_along_axis(spread, given, 1)[:, :, None] * _NODES  # (n, 1, nodes)
    ahead = ndtr((mine - mean[:, :, None] + tie[:, :, None]) / spread[:, :, None])
    np.put_along_axis(ahead, given[:, :, None], 1.0, 1)
    return np.asarray(ahead.prod(axis=1) @ (_WEIGHTS / _WEIGHTS.sum()), np.float64)
