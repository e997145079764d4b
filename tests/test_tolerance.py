"""Tolerance without injection: every law and certificate against all patterns of bit errors."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stoic.hw import inputs, tolerance_commands
from stoic.hw.cli import run
from stoic.sim import golden
from stoic.sim import network as networks
from stoic.sim.bits import pack, unpack
from stoic.sim.engine import Engine
from stoic.sim.errors import Iid
from stoic.sim.exact_sums import Step, fires, steps
from stoic.sim.exceptions import InputError
from stoic.sim.layers import Conv, Input, Layer, Pool
from stoic.sim.memory import layout_of
from stoic.sim.network import Network
from stoic.sim.random_network import random_conv_network, random_network
from stoic.sim.tolerance.certificates import certify
from stoic.sim.tolerance.flip_law import EXACT, fire_probability
from stoic.sim.tolerance.importance import importance
from stoic.sim.tolerance.margins import layer_margins
from stoic.sim.tolerance.metrics import layer_tolerances
from stoic.sim.tolerance.prediction import predict


def a_layer(n: int, m: int, kind: Input, rng: np.random.Generator) -> Layer:
    layer = random_network((n, m, 2), kind, rng).layers[0]
    assert layer.thresholds is not None
    thresholds = layer.thresholds.copy()
    thresholds[:2] = layer.threshold_range  # one always fires, one never does
    return replace(layer, thresholds=thresholds)


def every_read(layer: Layer) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """All patterns of flips (2^n, n), and the rows (2^n, n_outputs, n) that are read under them."""
    flips = np.array(list(itertools.product((False, True), repeat=layer.n_inputs)))
    bits = unpack(layer.weights, layer.n_inputs)
    return flips, (bits[None] ^ flips[:, None]).astype(np.uint8)


def fired(layer: Layer, rows: NDArray[np.uint8], x: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(2^n, n_outputs) decisions on one image."""
    if layer.input == "uint8":
        sums = ((2 * rows.astype(np.int64) - 1) * x).sum(axis=-1)
    else:
        sums = (rows == x).sum(axis=-1)
    return np.asarray(sums >= layer.thresholds)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(("bits", "uint8")), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_tolerated_flips_are_the_least_that_change_a_decision(
    kind: Input, n: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    layer = a_layer(n, 5, kind, rng)
    x = rng.integers(0, 2 if kind == "bits" else 256, (3, n), dtype=np.uint8)
    found = layer_margins(layer, x)
    flips, rows = every_read(layer)
    n_flips = flips.sum(axis=1)
    for i, image in enumerate(x):
        changed = fired(layer, rows, image) != golden.fire(layer, x[i : i + 1])[0].astype(bool)
        for j in range(layer.n_outputs):
            least = n_flips[changed[:, j]].min() if changed[:, j].any() else n + 1
            assert found.tolerated[i, j] == least - 1


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 8),
    st.sampled_from([(0.1, 0.1), (0.02, 0.3), (0.4, 0.0), (0.0, 0.0), (1.0, 0.5)]),
    st.integers(0, 2**32 - 1),
)
def test_the_law_is_the_sum_over_all_patterns(
    n: int, rates: tuple[float, float], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    layer = a_layer(n, 6, "bits", rng)
    x = rng.integers(0, 2, (3, n), dtype=np.uint8)
    found, method = fire_probability(layer, x, *rates)
    flips, rows = every_read(layer)
    stored = unpack(layer.weights, n)

    def summed(p01: float, p10: float) -> NDArray[np.float64]:
        rate = np.where(stored == 1, p10, p01)  # (n_outputs, n)
        chance = np.where(flips[:, None], rate, 1 - rate).prod(axis=-1)  # (2^n, n_outputs)
        return np.stack([(chance * fired(layer, rows, image)).sum(axis=0) for image in x])

    assert method == EXACT
    np.testing.assert_allclose(found, summed(*rates), atol=1e-12)
    swapped, _ = fire_probability(layer, x, *reversed(rates))
    np.testing.assert_allclose(swapped, summed(*reversed(rates)), atol=1e-12)


def test_the_normal_law_of_pixels_holds_where_it_is_used() -> None:
    rng = np.random.default_rng(4)
    layer = random_network((784, 64, 2), "uint8", rng).layers[0]
    images = (rng.integers(0, 256, (4, 784)) * (rng.random((4, 784)) < 0.4)).astype(np.uint8)
    for p01, p10 in ((0.05, 0.05), (0.02, 0.1)):
        found, _ = fire_probability(layer, images, p01, p10)
        bits = unpack(layer.weights, 784)
        rate = np.where(bits == 1, p10, p01)
        seen = np.zeros(found.shape)
        n_draws = 2000
        for _ in range(n_draws):
            read = bits ^ (rng.random(bits.shape) < rate)
            seen += golden.fire(replace(layer, weights=pack(read.astype(np.uint8))), images)
        z = (seen / n_draws - found) / np.sqrt(np.maximum(found * (1 - found), 1e-4) / n_draws)
        assert np.abs(z).max() < 5


def test_tolerated_flips_of_pixels_in_many_blocks() -> None:
    """More lanes than are sorted out at once: the brightest that hurt, one by one."""
    rng = np.random.default_rng(12)
    layer = random_network((200, 8, 2), "uint8", rng).layers[0]
    images = rng.integers(0, 256, (5, 200), dtype=np.uint8)
    images //= 16  # dim: many flips are needed
    found = layer_margins(layer, images)
    signs = 2 * unpack(layer.weights, 200).astype(int) - 1
    assert ((found.tolerated > 64) & (found.tolerated < 200)).any()
    for m, j in itertools.product(range(5), range(8)):
        side = 1 if found.margin[m, j] >= 0 else -1
        moves = np.sort(2 * images[m][signs[j] == side].astype(int))[::-1]
        left = side * (found.margin[m, j] - np.append(0, np.cumsum(side * moves)))
        stands = left >= 0 if side > 0 else left > 0
        expected = 200 if stands.all() else int(stands.argmin()) - 1
        assert found.tolerated[m, j] == expected


def test_the_normal_law_of_equal_pixels_is_continued_to_half_steps() -> None:
    rng = np.random.default_rng(13)
    bits = random_network((400, 60, 2), "bits", rng).layers[0]
    assert bits.thresholds is not None
    pixels = replace(bits, input="uint8", thresholds=2 * bits.thresholds - 400)
    ones = np.ones((1, 400), np.uint8)
    exact, _ = fire_probability(bits, ones, 0.05, 0.05)
    normal, _ = fire_probability(pixels, ones, 0.05, 0.05)
    assert np.abs(exact - normal).max() < 0.005


def test_certificates_hold_for_all_flips_and_are_tight() -> None:
    rng = np.random.default_rng(5)
    n, classes = 7, 2
    n_tight = 0
    for _ in range(30):
        layer = random_network((n, classes), "bits", rng).layers[0]
        x = rng.integers(0, 2, (1, n), dtype=np.uint8)
        clean = golden.raw_scores(layer, x)
        given_class, found = golden.classify(clean)[0], certify(clean)
        bits = unpack(layer.weights, n)
        flips = np.array(list(itertools.product((0, 1), repeat=n * classes)), np.uint8)
        read = bits[None] ^ flips.reshape(-1, classes, n)
        scores = 2 * (read == x[0]).sum(axis=-1).astype(np.int32) - n
        changed = flips.sum(axis=1)[golden.classify(scores) != given_class]
        assert changed.min(initial=99) > found.weights[0]
        n_tight += int(changed.min(initial=99) == found.weights[0] + 1)
        flips = np.array(list(itertools.product((0, 1), repeat=n)), np.uint8)
        scores = golden.raw_scores(layer, x ^ flips)
        changed = flips.sum(axis=1)[golden.classify(scores) != given_class]
        assert changed.min(initial=99) > found.activations[0]
    assert n_tight == 30  # one flip more is always enough somewhere: a looser bound would fail


def test_prediction_is_the_mean_over_chips() -> None:
    rng = np.random.default_rng(6)
    network = random_network((40, 24, 16, 3), "uint8", rng)
    images = rng.integers(0, 256, (40, 40), dtype=np.uint8)
    labels = golden.classify(golden.scores(network, images))
    engine, layout = Engine(network), layout_of(network)
    for p01, p10 in ((0.05, 0.05), (0.02, 0.2)):
        chips = [
            golden.classify(engine.with_faults(Iid(p01, p10, 7).sample(layout, c)).scores(images))
            for c in range(600)
        ]
        by_chip = (np.array(chips) == labels).mean(axis=1)
        drawn = [
            predict(network, np.tile(images, (5, 1)), np.tile(labels, 5), [(p01, p10)], rng)[0]
            for _ in range(40)
        ]
        mean, error = by_chip.mean(), by_chip.std() / 600**0.5
        predicted = np.array([p.accuracy for p in drawn])
        error = np.hypot(error, predicted.std() / 40**0.5)
        assert abs(predicted.mean() - mean) < 4 * error + 0.003
    (clean,) = predict(network, images, labels, [(0.0, 0.0)], rng)
    assert clean.accuracy == 1.0
    only = predict(network, images, labels, [(0.5, 0.5)], rng, layers=frozenset())
    assert only[0].accuracy == 1.0


def a_conv_network(rng: np.random.Generator) -> Network:
    convs = ((5, 3, 1, 1, Pool(2, 2)), (4, 2, 1, 1, Pool(2, 2)))
    return random_conv_network((6, 6, 1), convs, (7, 3), "uint8", rng)


def test_importance_is_what_changing_a_neuron_does() -> None:
    rng = np.random.default_rng(8)
    network = a_conv_network(rng)
    images = rng.integers(0, 256, (60, 36), dtype=np.uint8)
    labels = rng.integers(0, 3, 60)
    found = importance(network, images, labels, estimators=("inversion", "drop"))
    assert [len(i.gap_lost) for i in found] == [5, 5, 4, 4, 7, 7]

    def outcome(maps: NDArray[np.uint8], i: int) -> tuple[float, float]:
        for layer in network.layers[i + 1 : -1]:
            maps = golden.fire(layer, maps)
        scores = golden.raw_scores(network.layers[-1], maps).astype(float)
        own = scores[np.arange(60), labels]
        scores_of_others = scores.copy()
        scores_of_others[np.arange(60), labels] = -np.inf
        right = (golden.classify(scores.astype(np.int32)) == labels).mean()
        return float((own - scores_of_others.max(axis=1)).mean()), float(right)

    x = images
    for i, layer in enumerate(network.layers[:-1]):
        x = golden.fire(layer, x)
        clean = np.array(outcome(x, i))
        for j in range(layer.n_outputs):
            for estimator in found[2 * i : 2 * i + 2]:
                maps = x.reshape(60, -1, layer.n_outputs).copy()
                usual = maps[:, :, j].mean() >= 0.5
                maps[:, :, j] = usual if estimator.estimator == "drop" else 1 - maps[:, :, j]
                assert estimator.accuracy_lost is not None
                lost = clean - outcome(maps.reshape(60, -1), i)
                assert (estimator.gap_lost[j], estimator.accuracy_lost[j]) == pytest.approx(lost)


def test_importance_by_gradient_is_the_derivative_forwards() -> None:
    rng = np.random.default_rng(11)
    network = a_conv_network(rng)
    images = rng.integers(0, 256, (40, 36), dtype=np.uint8)
    labels = rng.integers(0, 3, 40)
    found = importance(network, images, labels, estimators=("gradient",))
    chain = list(steps(network, images))
    scores = golden.scores(network, images).astype(float)
    scores[np.arange(40), labels] = -np.inf
    rivals = scores.argmax(axis=1)
    for i in range(3):
        bits = golden.fire(network.layers[i], _given(network, images, i))
        for j in range(chain[i].layer.n_outputs):
            moved = (2.0 * bits - 1).reshape(40, -1, chain[i].layer.n_outputs)
            moved[:, :, [k for k in range(moved.shape[2]) if k != j]] = 0
            slope: NDArray[Any] = moved.reshape(40, -1)
            for step in chain[i + 1 :]:
                slope = _pushed(step, slope)
            gap = slope[np.arange(40), labels] - slope[np.arange(40), rivals]
            assert found[i].gap_lost[j] == pytest.approx(np.abs(gap).mean(), rel=1e-4, abs=1e-6)


def _given(network: Network, images: NDArray[np.uint8], i: int) -> NDArray[np.uint8]:
    x = images
    for layer in network.layers[:i]:
        x = golden.fire(layer, x)
    return x


def _pushed(step: Step, slope: NDArray[Any]) -> NDArray[np.float64]:
    """Small changes of what a layer is given -> of what it hands on, by the definition."""
    layer = step.layer
    signs = 2.0 * unpack(layer.weights, layer.n_inputs) - 1
    if isinstance(layer, Conv):
        slope = golden.windows(layer.window, slope).reshape(len(slope), -1, layer.n_inputs)
    by_sum = slope @ signs.T
    if layer.thresholds is None:
        return np.asarray(by_sum, np.float64)
    c = layer.n_inputs**0.5
    distance = 2.0 * (step.sums.reshape(by_sum.shape) - layer.thresholds) + 1
    by_bit = by_sum * (np.abs(distance) <= c) / c
    if isinstance(layer, Conv) and layer.pool:
        shape = (len(slope), layer.window.rows, layer.window.columns, layer.n_outputs)
        view = np.lib.stride_tricks.sliding_window_view
        k, stride = layer.pool.kernel, layer.pool.stride
        bits = view(fires(layer, step.sums).reshape(shape), (k, k), axis=(1, 2))
        decides = bits == bits.max(axis=(-2, -1), keepdims=True)
        moves = (view(by_bit.reshape(shape), (k, k), axis=(1, 2)) * decides).sum(axis=(-2, -1))
        by_bit = (moves / decides.sum(axis=(-2, -1)))[:, ::stride, ::stride]
    return np.asarray(by_bit.reshape(len(slope), -1), np.float64)


def test_metrics_name_dead_neurons_and_methods() -> None:
    rng = np.random.default_rng(9)
    network = random_network((30, 20, 10, 3), "bits", rng)
    hidden = network.layers[0]
    dead = replace(hidden, thresholds=np.zeros(20, np.int32))
    images = rng.integers(0, 2, (50, 30), dtype=np.uint8)
    rows = layer_tolerances(network, images, 0.05, 0.05)
    assert [row.method for row in rows] == [EXACT, EXACT]
    all_dead = replace(network, layers=(dead, *network.layers[1:]))
    assert layer_tolerances(all_dead, images, 0.05, 0.05)[0].dead_share == 1.0
    with pytest.raises(InputError, match="p01 must be 0..1, not 1.5"):
        layer_tolerances(network, images, 1.5, 0.0)
    with pytest.raises(InputError, match="images with labels"):
        predict(network, images, np.zeros(3, np.int64), [(0.1, 0.1)], rng)


def test_the_command_draws_and_refuses(tmp_path: Path) -> None:
    rng = np.random.default_rng(10)
    path, images = tmp_path / "net.stoic", tmp_path / "x.npy"
    networks.save(random_network((30, 20, 3), "bits", rng), path)
    np.save(images, rng.integers(0, 2, (9, 30), dtype=np.uint8))
    result = tmp_path / "out.json"
    given_args = ["tolerance", str(path), "--input", str(images), "--n", "9"]
    assert run([*given_args, "--result", str(result)]) == 0
    found = json.loads(result.read_text())
    assert (found["n_images"], found["predicted"]) == (9, [])  # there are no labels
    assert found["layers"][0]["method"] == EXACT
    assert run([*given_args, "--plot", str(tmp_path / "x.svg")]) == 2
    assert run([*given_args, "--ber", "2"]) == 2


def test_the_command_shows_all_of_it_where_there_are_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(14)
    network = a_conv_network(rng)
    path, result, figure = tmp_path / "net.stoic", tmp_path / "out.json", tmp_path / "x.svg"
    networks.save(network, path)
    values = rng.integers(0, 256, (70, 36), dtype=np.uint8)
    labels = golden.classify(golden.scores(network, values))
    labels[40:] = 2
    monkeypatch.setattr(inputs, "images", lambda *_: inputs.Images("a/test", values, labels))
    monkeypatch.setattr(tolerance_commands, "_N_IMAGES", 40)
    monkeypatch.setattr(tolerance_commands, "_PRODUCTS", 0)
    args = ["tolerance", str(path), "--chips", "6", "--plot", str(figure)]
    assert run([*args, "--result", str(result)]) == 0
    found = json.loads(result.read_text())
    assert (found["n_images"], found["n_predicted"], found["n_anchor"]) == (40, 40, 70)
    assert found["accuracy"] == found["metrics"]["accuracy"] == 1.0
    clean = found["predicted"][0]
    assert (clean["accuracy"], clean["agreement"]) == (1.0, 1.0)
    accuracy = (golden.classify(golden.scores(network, values)) == labels).mean()
    assert clean["anchored"] == pytest.approx(accuracy)  # of all images, not only of those drawn
    assert (clean["measured"], clean["off"]) == (pytest.approx(accuracy), pytest.approx(0.0))
    assert found["predicted"][-1]["measured"] != clean["measured"]
    assert all(p["all_but_first"] <= 1.0 for p in found["predicted"])
    assert {f"importance_{e}" for e in ("inversion", "drop", "gradient")} <= set(found["layers"][0])
    assert [row["witnesses"].split()[0] for row in found["certificates"]] == ["2"] * 4
    assert figure.stat().st_size > 1000
