"""The reference answer, against triple loops over Python integers."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stoic.sim import golden
from stoic.sim.bits import pack, unpack
from stoic.sim.exceptions import InputError
from stoic.sim.layers import MAX_INPUTS, Dense, Input
from stoic.sim.network import Network
from stoic.sim.random_network import random_network

FAN_INS = [1, 7, 63, 64, 65, 100]
Scorer = Callable[[Network, NDArray[np.uint8]], NDArray[np.int32]]


def brute_force(network: Network, images: NDArray[np.uint8]) -> list[list[int]]:
    """Scores by the definition: sums of products of +-1 with +-1 or with pixels."""
    result = []
    for image in images.tolist():
        values = image
        for layer in network.layers:
            is_bits = layer.input == "bits"
            x = [2 * v - 1 for v in values] if is_bits else values
            sums = []
            for row in unpack(layer.weights, layer.n_inputs).tolist():
                total = 0
                for w, v in zip(row, x, strict=True):
                    total += (2 * w - 1) * v
                sums.append(total)
            if layer.thresholds is None:
                values = sums
                continue
            # The threshold on bits counts agreements: P = (s + n) / 2.
            domain = [(s + layer.n_inputs) // 2 for s in sums] if is_bits else sums
            values = [int(p >= t) for p, t in zip(domain, layer.thresholds.tolist(), strict=True)]
        result.append(values)
    return result


@st.composite
def cases(draw: st.DrawFn) -> tuple[Network, NDArray[np.uint8]]:
    """A network with some constant neurons, some ties, and images with some extreme pixels."""
    kind: Input = draw(st.sampled_from(("bits", "uint8")))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = (*draw(st.lists(st.sampled_from(FAN_INS), min_size=1, max_size=3)), 3)
    network = random_network(sizes, kind, rng)
    high = 256 if kind == "uint8" else 2
    images = rng.integers(0, high, (3, sizes[0]), dtype=np.uint8)
    images[0] = draw(st.sampled_from((0, high - 1)))
    layers = []
    x = images
    for layer in network.layers:
        if layer.thresholds is not None:
            thresholds = layer.thresholds.copy()
            special = draw(st.integers(0, 3))
            if special < 2:
                thresholds[0] = layer.threshold_range[special]
            elif special == 2:
                thresholds[0] = golden.accumulate(layer, x)[1, 0]  # a tie
            layer = replace(layer, thresholds=thresholds)
            x = golden.fire(layer, x)
        layers.append(layer)
    return replace(network, layers=tuple(layers)), images


def equals_brute_force(scorer: Scorer, network: Network, images: NDArray[np.uint8]) -> bool:
    return bool(scorer(network, images).tolist() == brute_force(network, images))


@settings(max_examples=60, deadline=None)
@given(cases())
def test_scores_equal_brute_force(case: tuple[Network, NDArray[np.uint8]]) -> None:
    assert equals_brute_force(golden.scores, *case)


def one_neuron(n: int, kind: Input, threshold: int) -> Network:
    """All weights +1; the score is +1 where the neuron fires and -1 where not."""
    ones = pack(np.ones((1, n), np.uint8))
    no = np.zeros(1, np.bool_)
    hidden = Dense("hidden", n, ones, np.array([threshold], np.int32), no, kind)
    return Network("one", (hidden, Dense("out", 1, np.ones((1, 1), np.uint64), None, no)))


@pytest.mark.parametrize("n", FAN_INS)
def test_neurons_fire_from_their_threshold_on_and_constants_never_change(n: int) -> None:
    bits = np.tri(n + 1, n, -1, dtype=np.uint8)  # row p has p ones
    for threshold in range(n + 2):
        fired = golden.scores(one_neuron(n, "bits", threshold), bits)[:, 0] == 1
        assert fired.tolist() == [p >= threshold for p in range(n + 1)]
    white = np.full((1, n), 255, np.uint8)
    for threshold, fires in ((255 * n, True), (255 * n + 1, False), (-255 * n, True)):
        assert (golden.scores(one_neuron(n, "uint8", threshold), white) == 1).all() == fires


def test_mutants_of_golden_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    bits = np.tri(66, 65, -1, dtype=np.uint8)
    pixels = np.full((1, 65), 255, np.uint8)
    tie, white = one_neuron(65, "bits", 33), one_neuron(65, "uint8", 65 * 128)

    def strict(layer: Dense, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
        assert layer.thresholds is not None
        return (golden.accumulate(layer, x) > layer.thresholds).astype(np.uint8)

    def counts_pads(n_bits: int) -> NDArray[np.uint64]:
        return np.full(-(-n_bits // 64), 2**64 - 1, np.uint64)

    mutants: list[tuple[str, object, Network, NDArray[np.uint8]]] = [
        ("fire", strict, tie, bits),
        ("lane_mask", counts_pads, tie, bits),
        ("_PLANES", 7, white, pixels),
    ]
    for name, mutant, network, images in mutants:
        assert equals_brute_force(golden.scores, network, images)
        with monkeypatch.context() as patch:
            patch.setattr(golden, name, mutant)
            assert not equals_brute_force(golden.scores, network, images), name


def test_garbage_in_pad_lanes_is_refused() -> None:
    no = np.zeros(1, np.bool_)
    with pytest.raises(InputError, match="pad bits"):
        Dense("a", 63, np.array([[1 << 63]], np.uint64), None, no)
    with pytest.raises(InputError, match="fan-in"):
        Dense("a", MAX_INPUTS + 1, np.zeros((1, 1), np.uint64), None, no)


@pytest.mark.parametrize("kind", ["bits", "uint8"])
@pytest.mark.parametrize("beyond", [-1, 1])
def test_thresholds_outside_the_canonical_range_are_refused(kind: Input, beyond: int) -> None:
    layer = one_neuron(9, kind, 0).layers[0]
    end = layer.threshold_range[beyond > 0]
    replace(layer, thresholds=np.array([end], np.int32))
    with pytest.raises(InputError, match="must lie in"):
        replace(layer, thresholds=np.array([end + beyond], np.int32))


def test_the_lowest_index_wins_a_tie() -> None:
    scores = np.array([[1, 7, 7], [5, 5, 5], [-3, -9, -2]], np.int32)
    assert golden.classify(scores).tolist() == [1, 0, 2]
    assert golden.margin(scores).tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 9), np.float32),
        np.full((2, 9), np.nan),
        np.zeros((2, 8), np.uint8),
        np.zeros(9, np.uint8),
        np.full((2, 9), 2, np.uint8),
        np.full((2, 9), -1, np.int64),
        np.zeros((2, 9), np.complex64),
        np.full((2, 9), "0"),
    ],
    ids=lambda a: f"{a.dtype}-{a.shape}",
)
def test_images_that_do_not_fit_are_refused(images: NDArray[np.generic]) -> None:
    with pytest.raises(InputError, match="images must"):
        golden.scores(one_neuron(9, "bits", 5), images)


def test_the_margin_is_over_the_second_class_if_there_is_one() -> None:
    scores = np.array([[3, -1, 2], [5, 5, 0]], np.int32)
    assert golden.margin(scores).tolist() == [1, 0]
    assert golden.margin(scores[:, :1]).tolist() == [0, 0]
