"""Sums by matrix products are golden's, on both sides of the bound up to which float32 is exact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stoic.sim import exact_sums, golden
from stoic.sim.bits import pack, unpack
from stoic.sim.exact_sums import Rows, rows_of
from stoic.sim.layers import MAX_INPUTS, Conv, Dense, Input, Layer, Pool
from stoic.sim.network import Network
from stoic.sim.random_network import random_conv_network, random_ensemble, random_network

seeds = st.integers(0, 2**32 - 1)


def networks_of(seed: int) -> list[Network]:
    """Both inputs, pools that overlap, that leave elements over and none, and many chains."""
    rng = np.random.default_rng(seed)
    size, pad = int(rng.integers(6, 9)), int(rng.integers(0, 3))
    pools: list[Pool | None] = [None, Pool(2, 2), Pool(3, 1), Pool(2, 1)]
    found = []
    for kind in ("bits", "uint8"):
        convs = ((int(rng.integers(1, 70)), 3, 1, pad, pools[seed % 4]), (4, 2, 2, 0, None))
        found.append(random_conv_network((size, size + 1, 2), convs, (65, 3), kind, rng))
        found.append(random_network((int(rng.integers(1, 200)), 9, 8, 3), kind, rng))
    found.append(random_ensemble((random_network((10, 7, 3), "bits", rng),) * 2))
    code = ((4, 3, 1, 1, pools[seed // 4 % 4]),)
    thermometer = (30, 90, 200)
    found.append(random_conv_network((5, 5, 1), code, (5, 3), "bits", rng, thermometer=thermometer))
    return found


def images_of(network: Network, n: int, seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, network.image_max + 1, (n, network.n_inputs), np.uint8)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_sums_bits_and_scores_are_goldens(seed: int) -> None:
    for network in networks_of(seed):
        images = images_of(network, 5, seed)
        steps = iter(exact_sums.steps(network, images))
        scores = np.zeros((5, network.n_classes), np.int32)
        for chain in network.chains:
            x = golden.encode(network, images)
            for layer in chain:
                step = next(steps)
                assert step.layer is layer is network.layers[step.number]
                wanted = golden.accumulate(layer, step.x.reshape(-1, layer.n_inputs))
                assert step.sums.shape == (5, layer.n_windows, layer.n_outputs)
                assert (step.sums.reshape(wanted.shape) == wanted).all()
                assert (step.x == exact_sums.seen_by(layer, x)).all()
                if layer.thresholds is not None:
                    x = golden.fire(layer, x)
                    decisions = exact_sums.fires(layer, step.sums)
                    assert (exact_sums.handed_on(layer, decisions) == x).all()
                else:
                    scores += exact_sums.scores_of(layer, step.sums[:, 0])
        assert next(steps, None) is None
        assert (scores == golden.scores(network, images)).all()


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_parts_are_the_whole_and_pooled_sums_fire_as_pooled_bits(seed: int) -> None:
    for network in networks_of(seed):
        for step in exact_sums.steps(network, images_of(network, 5, seed)):
            layer = step.layer
            if layer.thresholds is None:
                continue
            decisions = exact_sums.fires(layer, step.sums)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(exact_sums, "_LANES_AT_ONCE", 2 * layer.n_windows * layer.n_inputs)
                x = step.x if not isinstance(layer, Conv) else images_behind(network, step, seed)
                parts = list(exact_sums.per_image(step.rows, x.reshape(5, -1)))
            assert [len(sums) for sums, _ in parts] == [2, 2, 1]
            assert (np.concatenate([sums for sums, _ in parts]) == step.sums).all()
            tops = np.concatenate([top for _, top in parts])
            fired = exact_sums.bits_of(exact_sums.fires(layer, tops))
            assert (fired == exact_sums.handed_on(layer, decisions)).all()


def images_behind(network: Network, step: exact_sums.Step, seed: int) -> NDArray[np.uint8]:
    """What a convolution is given; its layers lead their only chain."""
    x = golden.encode(network, images_of(network, 5, seed))
    for layer in network.layers[: step.number]:
        x = golden.fire(layer, x)
    return x


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(("bits", "uint8")), seeds)
def test_what_meets_ones_is_counted(kind: Input, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = random_network((int(rng.integers(1, 300)), 9, 2), kind, rng).layers[0]
    x = rng.integers(0, 2 if kind == "bits" else 256, (6, layer.n_inputs), np.uint8)
    ones = unpack(layer.weights, layer.n_inputs)
    rows = rows_of(layer)
    assert (exact_sums.on_ones(rows, x) == x.astype(np.int64) @ ones.T).all()
    assert (rows.zeros == (ones == 0).sum(axis=1)).all()


def a_row(n: int, kind: Input) -> Layer:
    """One neuron of stored ones, and one of which every other is 0."""
    bits = np.ones((2, n), np.uint8)
    bits[1, ::2] = 0
    return Dense("wide", n, pack(bits), None, np.zeros(2, np.bool_), kind)


@pytest.mark.parametrize("n", [65_792, 65_793, 65_794, 70_001])
def test_the_widest_sums_are_exact_on_both_sides_of_the_bound(n: int) -> None:
    """All of them as large as they can be, and one less: 255 * 65793 is the last below 2^24."""
    layer = a_row(n, "uint8")
    x = np.full((3, n), 255, np.uint8)
    x[1, -1], x[2, :7] = 254, 1
    rows, is_narrow = rows_of(layer), n <= 65_793
    assert rows.signs.dtype == (np.float32 if is_narrow else np.float64)
    signs = rows.signs.astype(np.int64)
    wanted = x.astype(np.int64) @ signs.T
    assert (exact_sums.accumulate(rows, x) == wanted).all()
    assert (exact_sums.on_ones(rows, x) == x.astype(np.int64) @ (signs > 0).T).all()
    rounded = Rows(layer, rows.signs.astype(np.float32), rows.zeros)
    assert (exact_sums.accumulate(rounded, x) == wanted).all() == is_narrow  # the bound is tight


def test_the_widest_layers_of_all_are_exact() -> None:
    """On bits float32 serves every layer there can be; on uint8 float64 and int32 do."""
    layer = a_row(MAX_INPUTS, "bits")
    assert exact_sums.bound(layer) < 1 << 24
    x = np.ones((1, MAX_INPUTS), np.uint8)
    rows = rows_of(layer)
    assert rows.signs.dtype == np.float32
    half = MAX_INPUTS // 2
    assert exact_sums.accumulate(rows, x).tolist() == [[MAX_INPUTS, half]]
    x *= 255
    rows = rows_of(a_row(MAX_INPUTS, "uint8"))
    assert rows.signs.dtype == np.float64
    assert exact_sums.accumulate(rows, x)[0, 0] == 255 * MAX_INPUTS <= np.iinfo(np.int32).max
    assert exact_sums.on_ones(rows, x).tolist() == [[255 * MAX_INPUTS, 255 * half]]
