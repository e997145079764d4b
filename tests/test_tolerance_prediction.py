"""Prediction without injection: its laws against brute force, its accuracy against chips."""

from dataclasses import replace
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stoic.sim import golden
from stoic.sim.bits import pack
from stoic.sim.engine import Engine
from stoic.sim.errors import Iid
from stoic.sim.exact_sums import accumulate, rows_of, seen_by
from stoic.sim.exceptions import InputError
from stoic.sim.faults import restrict
from stoic.sim.layers import Conv, Dense, Pool, Window
from stoic.sim.memory import layout_of
from stoic.sim.network import Network
from stoic.sim.random_network import random_conv_network, random_ensemble, random_network
from stoic.sim.tolerance import flip_law, prediction
from stoic.sim.tolerance.flip_law import EXACT, SERIES, fire_probability, symmetric_tails
from stoic.sim.tolerance.moments import win_probability
from stoic.sim.tolerance.network_metrics import network_metrics
from stoic.sim.tolerance.prediction import binomial, predict


def binomial_law(n: int, p: float) -> NDArray[np.float64]:
    return np.array([comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 90), st.sampled_from((0.0, 0.01, 0.2, 0.5, 0.9, 1.0)), st.integers(0, 2**32 - 1)
)
def test_the_table_is_the_sum_of_two_binomials(n: int, p: float, seed: int) -> None:
    low, high = sorted(np.random.default_rng(seed).integers(0, n + 1, 2))
    found = symmetric_tails(n, int(low), int(high), p)
    for popcount in range(low, high + 1):
        stay = binomial_law(popcount, 1 - p)
        gain = binomial_law(n - popcount, p)
        tail = np.append(np.cumsum(np.convolve(stay, gain)[::-1])[::-1], 0.0)
        np.testing.assert_allclose(found[popcount - low], tail, atol=1e-11)


def test_the_series_stands_for_the_law_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for n, rates in ((100, (0.02, 0.1)), (256, (0.05, 0.0)), (1500, (0.2, 0.01))):
        layer = random_network((n, 20, 2), "bits", rng).layers[0]
        x = (rng.random((10, n)) < 0.4).astype(np.uint8)
        found, method = fire_probability(layer, x, *rates)
        monkeypatch.setattr(flip_law, "_LEAST_VARIANCE", np.inf)
        exact, name = fire_probability(layer, x, *rates)
        monkeypatch.undo()
        assert (method, name) == (SERIES, EXACT)
        assert np.abs(found - exact).max() < 1e-3


def test_bulk_draws_are_binomial() -> None:
    rng = np.random.default_rng(1)
    n = np.repeat(np.array([0, 1, 7, 300], np.int32), 60_000)
    rng.shuffle(n)
    for p in (0.0, 0.05, 0.6, 1.0):
        drawn = binomial(n, p, rng)
        for trials in (0, 1, 7, 300):
            seen = np.bincount(drawn[n == trials], minlength=trials + 1) / 60_000
            expected = binomial_law(trials, p)
            spread = np.sqrt(np.maximum(expected * (1 - expected), 1e-4) / 60_000)
            assert len(seen) == trials + 1
            assert (np.abs(seen - expected) < 5 * spread).all()


@pytest.mark.parametrize("kind", ["conv", "ensemble", "wide"])
@pytest.mark.parametrize("rates", [(0.06, 0.06), (0.01, 0.15)])
def test_prediction_is_the_mean_over_chips(kind: str, rates: tuple[float, float]) -> None:
    rng = np.random.default_rng(2)
    if kind == "conv":
        convs = ((6, 3, 1, 1, Pool(2, 2)), (8, 3, 1, 1, None))
        network = random_conv_network((8, 8, 1), convs, (24, 3), "uint8", rng)
    elif kind == "ensemble":
        members = tuple(random_network((64, 16, 3), "uint8", rng) for _ in range(3))
        network = random_ensemble(members)
    else:
        network = random_network((64, 40, 300, 3), "bits", rng)
    images = rng.integers(0, network.image_max + 1, (40, 64), dtype=np.uint8)
    labels = golden.classify(golden.scores(network, images))
    engine, layout, n_chips, n_copies = Engine(network), layout_of(network), 400, 400
    for layers in (None, frozenset(range(1, len(network.layers)))):
        by_chip = np.empty(n_chips)
        for chip in range(n_chips):
            faults = Iid(*rates, 7).sample(layout, chip)
            if layers is not None:
                faults = restrict(faults, layers=layers)
            by_chip[chip] = (
                golden.classify(engine.with_faults(faults).scores(images)) == labels
            ).mean()
        (found,) = predict(
            network, np.tile(images, (n_copies, 1)), np.tile(labels, n_copies), [rates], rng, layers
        )
        error = np.hypot(by_chip.std() / n_chips**0.5, found.standard_error)
        assert found.agreement == found.accuracy  # the labels are the fault-free classes
        assert abs(found.accuracy - by_chip.mean()) < 4 * error


def test_windows_of_a_convolution_share_their_faults() -> None:
    """One bit seen by two windows: either both err, or none; independent windows would give p^2."""
    window = Window(1, 2, 1, 1)
    one = pack(np.ones((1, 1), np.uint8))
    no = np.zeros(1, np.bool_)
    conv = Conv("conv", 1, one, np.array([1], np.int32), no, "bits", window=window)
    either = Dense("or", 2, pack(np.ones((1, 2), np.uint8)), np.array([1], np.int32), no)
    last = Dense("scores", 1, pack(np.array([[1], [0]], np.uint8)), None, np.zeros(2, np.bool_))
    network = Network("shared", (conv, either, last))
    images, labels = np.ones((20_000, 2), np.uint8), np.zeros(20_000, np.int64)
    rng = np.random.default_rng(3)
    (found,) = predict(network, images, labels, [(0.3, 0.3)], rng, frozenset({0}))
    assert found.accuracy == pytest.approx(0.7, abs=0.02)


@pytest.mark.parametrize("normal", [False, True])
def test_rates_belong_to_the_value_that_is_stored(normal: bool) -> None:
    """Where every stored bit is 1, errors 0 -> 1 do nothing, on every path of the prediction."""
    rng = np.random.default_rng(4)
    convs = ((6, 3, 1, 1, None),)
    networks = [random_network((40, 30, 20, 3), kind, rng) for kind in ("bits", "uint8")]
    networks.append(random_conv_network((6, 6, 1), convs, (9, 3), "uint8", rng))
    for network in networks:
        images = rng.integers(0, network.image_max + 1, (300, network.n_inputs), dtype=np.uint8)
        x, ones = images, []
        for layer in network.layers:
            if layer.thresholds is not None:
                weights = pack(np.ones((layer.n_outputs, layer.n_inputs), np.uint8))
                layer = replace(layer, weights=weights)
                sums = accumulate(rows_of(layer), seen_by(layer, x))
                middle = np.median(sums, axis=(0, 1)).astype(np.int32)
                layer = replace(layer, thresholds=middle)
                x = golden.fire(layer, x)
            ones.append(layer)
        network = replace(network, layers=tuple(ones))
        labels = golden.classify(golden.scores(network, images))
        hidden = frozenset(range(len(ones) - 1))
        high = 0.5 if normal else 0.08  # 40 * 0.08 flips are drawn one by one
        rates = [(high, 0.0), (0.0, high)]
        kept, lost = predict(network, images, labels, rates, rng, hidden)
        assert kept.accuracy == 1.0
        assert lost.agreement < 1.0


def test_what_is_drawn_at_high_unequal_rates_has_the_law() -> None:
    rng = np.random.default_rng(10)
    layer = random_network((30, 12, 2), "bits", rng).layers[0]
    x = rng.integers(0, 2, (1, 30), dtype=np.uint8)
    for rates in ((0.3, 0.45), (0.4, 0.2), (0.7, 0.6), (0.2, 0.9), (1.0, 0.5)):
        law, _ = fire_probability(layer, x, *rates)
        drawn = prediction._Drawn(rows_of(layer), np.repeat(x, 20_000, axis=0))
        seen = drawn.fired(*rates, rng)[:, 0].mean(axis=0)
        spread = np.sqrt(np.maximum(law * (1 - law), 1e-4) / 20_000)
        assert (np.abs(seen - law[0]) < 5 * spread).all()


def test_the_closed_form_is_right_for_a_single_layer() -> None:
    rng = np.random.default_rng(5)
    network = random_network((31, 4), "bits", rng)
    images = rng.integers(0, 2, (60, 31), dtype=np.uint8)
    winners = golden.classify(golden.scores(network, images))
    for classes in (winners, np.zeros(60, np.int64), np.full(60, 3)):  # ties go to 0, never to 3
        for rates in ((0.1, 0.1), (0.02, 0.2)):
            found = win_probability(network, images, classes, [rates]).mean()
            n = 1000
            (seen,) = predict(network, np.tile(images, (n, 1)), np.tile(classes, n), [rates], rng)
            assert found == pytest.approx(seen.accuracy, abs=0.006)


def metrics_of(network: Network, images: NDArray[np.uint8], p0: float = 0.05) -> dict[str, float]:
    labels = golden.classify(golden.scores(network, images))
    return network_metrics(network, images, labels, p0, seed=1)


def test_metrics_of_a_network_are_a_function_of_it() -> None:
    rng = np.random.default_rng(6)
    network = random_network((50, 40, 30, 4), "uint8", rng)
    images = rng.integers(0, 256, (200, 50), dtype=np.uint8)
    found = metrics_of(network, images)
    assert found == metrics_of(network, images)
    assert found["accuracy"] == 1.0
    assert found["predicted"] == found["agreement"]  # the labels are the fault-free classes
    assert found["win"] == found["keep"]
    assert 0 < found["p_crit"] < 0.05
    labels = golden.classify(golden.scores(network, images))
    rates = [(0.05, 0.05), (0.3, 0.3)]
    known = predict(network, images, labels, rates, np.random.default_rng(9))
    reused = network_metrics(network, images, labels, 0.05, predicted=known)
    assert reused["predicted"] == known[0].accuracy
    with pytest.raises(InputError, match=r"p0 must be 0..0.125, not 0.2"):
        metrics_of(network, images, 0.2)


def test_p_crit_lies_on_the_line_between_two_rates() -> None:
    from stoic.sim.tolerance.network_metrics import _first_below

    rates = [(0.0, 0.0), (0.1, 0.1), (0.2, 0.2)]
    assert _first_below(rates, np.array([0.9, 0.8, 0.6]), 0.75) == pytest.approx(0.125)
    assert _first_below(rates, np.array([0.9, 0.9, 0.9]), 0.75) == 0.2
    assert (
        prediction.EXACT
        in predict(
            random_network((9, 3), "bits", np.random.default_rng(0)),
            np.ones((1, 9), np.uint8),
            np.zeros(1, np.int64),
            [(0.1, 0.1)],
            np.random.default_rng(0),
        )[0].method
    )
