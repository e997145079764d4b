"""One number a network, without injecting: several candidates, to be ranked against measurement.

Means over hidden layers l, live neurons j and images x, at a symmetric rate p0 of all weights:

    margin              |s - T| / sqrt(n), on uint8 / (255 sqrt(n))
    noise_margin        |s - T| / sqrt(sum x^2)
    stability           1 - P(the neuron decides otherwise at p0), exact on bits
    least_stability     the same of the layer where it is least, instead of the mean over layers
    critical_ber        rate at which s (1 - 2p) meets T, at most 1/2
    secure_share        decisions that survive more than 8 flips wherever they are

Of the scores L, with n the fan-in of the last layer, y the true class and c the fault-free one:

    gap                 mean (L_c - second best) / sqrt(n)
    true_gap            mean (L_y - best other) / sqrt(n); negative on mistakes

Of the whole network, `win` and `keep` in closed form (`moments`), the others by the sampled law
(`prediction`):

    win, keep           mean P(class y wins at p0), mean P(class c wins at p0)
    win_area            mean of `win` over rates 0 .. 2 p0
    accuracy            fault-free
    predicted, agreement    accuracy at p0; images that keep class c at p0
    predicted_area      mean of the predicted accuracy over rates 0 .. 2 p0
    wide_area           mean of the predicted accuracy over rates 0 .. 4 p0
    kept_area           mean of the agreement over rates 0 .. 4 p0; needs no labels
    retained            predicted_area / accuracy
    p_crit              rate at which the predicted accuracy is 5 points below fault-free, at most
                        4 p0

Source: the first group after Buschjaeger et al. 2020, arXiv 2002.00909 and 2021, arXiv 2102.01344,
which name such metrics and whose public abstracts have no formula: reconstructions. The rest is
ours: margins of neurons alone do not say how much a decision of the network needs those neurons.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import golden
from ..engine import Engine
from ..exact_sums import sample, steps
from ..exceptions import InputError
from ..network import Network, check_images
from .flip_law import check_rates
from .metrics import LayerTolerance, layer_tolerance
from .moments import win_probability
from .prediction import Predicted, predict

_STEPS = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0])  # in p0
_AREA = slice(0, 5)
_LOST = 0.05  # accuracy, at p_crit
_SECURE = 8  # flips
_MAX_DRAWS = 8
_PRODUCTS = 3_000_000_000  # of bits, at one rate
_MAX_ROWS = 2_000  # images or windows of the metrics of neurons


def network_metrics(
    network: Network,
    images: NDArray[np.generic],
    labels: NDArray[np.generic],
    p0: float = 0.05,
    seed: int = 0,
    max_rows: int = _MAX_ROWS,
    predicted: Sequence[Predicted] = (),
) -> dict[str, float]:
    """Every candidate of the module; the higher, the more tolerant. Equal arguments, equal values.

    Of wide convolutions fewer images, evenly chosen, serve all but scores and sampled law.

    Args:
        images, labels: of one data set, best a validation split.
        p0: rate of reference, 0..1/8.
        seed: of the sampled law.
        max_rows: images or windows of a layer in the metrics of neurons, evenly chosen.
        predicted: for these images, where there is some: rates in it are not predicted again.

    Raises:
        InputError: no images, not as many labels, or a rate that is not 0..1/8.
    """
    check_rates(p0, p0)
    if p0 > 0.5 / _STEPS[-1]:
        raise InputError(f"p0 must be 0..{0.5 / _STEPS[-1]}, not {p0!r}")
    u8 = check_images(network, images)
    true = np.asarray(labels).astype(np.int64)
    if not len(u8) or len(true) != len(u8):
        raise InputError(f"metrics need images with labels, not {len(u8)} and {len(true)}")
    chosen = sample(network, len(u8))
    hidden = [
        layer_tolerance(step, p0, p0, max_rows)
        for step in steps(network, u8[chosen])
        if step.layer.thresholds is not None
    ]
    scores = Engine(network).scores(u8)
    clean = golden.classify(scores)
    rates = [(float(rate), float(rate)) for rate in p0 * _STEPS]
    known = {(round(p.p01, 9), round(p.p10, 9)): p for p in predicted}
    keys = [(round(rate, 9), round(rate, 9)) for rate, _ in rates]
    missing = [key for key in keys if key not in known]
    if missing:
        rng = np.random.default_rng(seed)
        n = _n_draws(network, len(u8))
        drawn = predict(network, np.tile(u8, (n, 1)), np.tile(true, n), missing, rng)
        known |= dict(zip(missing, drawn, strict=True))
    curve = np.array([known[key].accuracy for key in keys])
    closed = win_probability(network, u8[chosen], true[chosen], rates[_AREA]).mean(axis=1)
    keep = win_probability(network, u8[chosen], clean[chosen], rates[2:3]).mean()
    spread = network.layers[-1].n_inputs ** 0.5
    area = _mean_over(rates[_AREA], curve[_AREA])
    accuracy = float((clean == true).mean())
    found = _over_layers(hidden)
    found |= {
        "gap": float(golden.margin(scores).mean() / spread),
        "true_gap": float(_true_gap(scores, true).mean() / spread),
        "win": float(closed[2]),
        "keep": float(keep),
        "win_area": _mean_over(rates[_AREA], closed),
        "accuracy": accuracy,
        "predicted": float(curve[2]),
        "agreement": known[keys[2]].agreement,
        "predicted_area": area,
        "wide_area": _mean_over(rates, curve),
        "kept_area": _mean_over(rates, np.array([known[key].agreement for key in keys])),
        "retained": area / max(accuracy, 1 / len(u8)),
        "p_crit": _first_below(rates, curve, accuracy - _LOST),
    }
    return found


def _n_draws(network: Network, n_images: int) -> int:
    """How often the sampled law is drawn for each image: more where that is cheap."""
    layers = network.layers
    products = sum(layer.n_windows * layer.n_inputs * layer.n_outputs for layer in layers)
    return max(1, min(_MAX_DRAWS, _PRODUCTS // max(1, products * n_images)))


def _over_layers(hidden: list[LayerTolerance]) -> dict[str, float]:
    if not hidden:
        return {}
    secure = [1 - layer.tolerated_at_most[_SECURE] for layer in hidden]
    return {
        "margin": float(np.mean([layer.margin for layer in hidden])),
        "noise_margin": float(np.mean([layer.noise_margin for layer in hidden])),
        "stability": float(np.mean([layer.stability for layer in hidden])),
        "least_stability": min(layer.stability for layer in hidden),
        "critical_ber": float(np.mean([layer.critical_ber for layer in hidden])),
        "secure_share": float(np.mean(secure)),
    }


def _true_gap(scores: NDArray[np.int32], true: NDArray[np.int64]) -> NDArray[np.int64]:
    wide = scores.astype(np.int64)
    own = np.take_along_axis(wide, true[:, None], 1)
    np.put_along_axis(wide, true[:, None], np.iinfo(np.int64).min, 1)
    return np.asarray(own[:, 0] - wide.max(axis=1))


def _mean_over(rates: list[tuple[float, float]], values: NDArray[np.float64]) -> float:
    x = np.array([rate for rate, _ in rates])
    return float(np.trapezoid(values, x) / x[-1]) if x[-1] > 0 else float(values[0])


def _first_below(
    rates: list[tuple[float, float]], curve: NDArray[np.float64], level: float
) -> float:
    """First crossing of the level, between two points along the line; the last rate if none."""
    for (a, _), (b, _), high, low in zip(rates, rates[1:], curve, curve[1:], strict=False):
        if low < level:
            return a + (b - a) * float((high - level) / (high - low)) if high > low else a
    return rates[-1][0]
