"""Convolution, thermometer and ensembles in the engine; faults in place, prefixes, fresh faults."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stoic.models.data import load
from stoic.sim import engine, faults, golden
from stoic.sim.device import GoldenDevice
from stoic.sim.engine import Engine, EngineDevice
from stoic.sim.errors import Bursts, Iid, Transient
from stoic.sim.exceptions import InputError
from stoic.sim.faults import FaultMap
from stoic.sim.layers import Conv, Input, Pool, Window
from stoic.sim.memory import KINDS, Fold, layout_of
from stoic.sim.network import Network
from stoic.sim.random_network import random_conv_network, random_ensemble, random_network

PATHS = engine.available_paths()
Images = NDArray[np.uint8]


def draw_images(network: Network, n: int, rng: np.random.Generator) -> Images:
    return rng.integers(0, network.image_max + 1, (n, network.n_inputs), dtype=np.uint8)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Any geometry; channels on both sides of a word and of a panel."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from([(), (128,), (1, 100, 255)]))
    kind: Input = "bits" if levels else draw(st.sampled_from(("bits", "uint8")))
    image = (draw(st.integers(3, 9)), draw(st.integers(3, 9)), draw(st.integers(1, 9)))
    members = []
    for _ in range(draw(st.integers(1, 2))):  # members of an ensemble may differ in geometry
        height, width = image[:2]
        convs: list[tuple[int, int, int, int, Pool | None]] = []
        for _ in range(draw(st.integers(0 if levels else 1, 2))):
            kernel = draw(st.integers(1, min(4, height, width)))
            stride, pad = draw(st.integers(1, 3)), draw(st.integers(0, kernel - 1))
            window = Window(height, width, 1, kernel, stride, pad)
            k = draw(st.integers(1, min(3, window.rows, window.columns)))
            pool = draw(st.sampled_from([None, Pool(k, 1), Pool(k, 2), Pool(k, 3)]))
            height, width = window.rows, window.columns
            if pool:
                height, width = pool.size(height), pool.size(width)
            channels = draw(st.sampled_from([1, 3, 16, 31, 33, 63, 64, 65, 128, 130]))
            convs.append((channels, kernel, stride, pad, pool))
        members.append(random_conv_network(image, tuple(convs), (33, 5), kind, rng, levels))
    return members[0] if len(members) == 1 else random_ensemble(tuple(members))


@settings(max_examples=150, deadline=None)
@given(networks(), st.integers(0, 20), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_any_network_equals_golden_clean_and_under_faults(
    network: Network, n_images: int, threads: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    images = draw_images(network, n_images, rng)
    layout = layout_of(
        network,
        tuple(Fold(int(rng.integers(1, 6)), int(rng.integers(1, 65))) for _ in network.layers),
    )
    where = KINDS if seed % 2 else KINDS[:1]
    maps: list[FaultMap | None] = [
        None,
        Iid(0.1, 0.1, seed).sample(layout, 0, where),
        Iid(0.05, 0.2, seed).sample(layout, 0, where),
        faults.restrict(
            Iid(0.3, 0.0, seed).sample(layout, 1, where), layers=[len(network.layers) - 1]
        ),
    ]
    for path in PATHS:
        clean = Engine(network, threads, path)
        for map_ in maps:
            read = network if map_ is None else faults.apply(network, map_)
            faulty = clean.with_faults(map_)
            assert (faulty.scores(images) == golden.scores(read, images)).all()
            wrong = 0 if map_ is None else faults.n_changed(network, map_)
            assert faulty.n_changed == wrong
        assert (clean.profile(images)[0] == golden.scores(network, images)).all()


def test_a_large_network_on_the_whole_test_set() -> None:
    rng = np.random.default_rng(7)
    convs = ((64, 3, 1, 1, Pool(2, 2)), (64, 3, 1, 1, Pool(2, 2)))
    network = random_conv_network((28, 28, 1), convs, (2048, 10), "uint8", rng)
    images = load("fashion-mnist", "test").images
    layout = layout_of(network, tuple(Fold(16, 60) for _ in network.layers))
    map_ = Iid(0.01, 0.03).sample(layout, 0, KINDS)
    few = images[:300]
    assert (Engine(network).scores(few) == golden.scores(network, few)).all()
    wanted = Engine(network).with_faults(map_).scores(images)
    assert (wanted[:300] == golden.scores(faults.apply(network, map_), few)).all()
    for path in PATHS:
        assert (Engine(network, 2, path).with_faults(map_).scores(images) == wanted).all()


def changed_pad(network: Network) -> Network:
    """Channel 0 fires differently where its windows reach over the edge: pad +1 in place of -1."""
    conv, *rest = network.layers
    assert isinstance(conv, Conv)
    window = replace(conv.window, pad=0, height=30, width=30)  # pads are then part of the image
    return replace(network, layers=(replace(conv, window=window), *rest))


def test_a_pad_of_plus_one_and_a_wrong_lane_order_are_seen() -> None:
    rng = np.random.default_rng(9)
    network = random_conv_network((28, 28, 2), ((64, 3, 1, 1, None),), (10,), "bits", rng)
    images = draw_images(network, 20, rng)
    scores = Engine(network).scores(images)
    assert (scores == golden.scores(network, images)).all()
    for fill in (0, 1):  # the same network on images that bring their padding
        padded = np.pad(
            images.reshape(-1, 28, 28, 2), ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=fill
        )
        same = Engine(changed_pad(network)).scores(padded)
        assert (same == scores).all() == (fill == 0)
    swapped = images.reshape(-1, 28 * 28, 2)[:, :, ::-1]  # channels in the other order
    assert (Engine(network).scores(swapped) != scores).any()


def test_the_clean_prefix_is_used_and_never_stale() -> None:
    rng = np.random.default_rng(10)
    network = random_ensemble(
        (
            random_conv_network((8, 8, 3), ((64, 3, 1, 1, None),), (70, 5), "uint8", rng),
            random_network((192, 40, 40, 5), "uint8", rng),
        )
    )
    layout = layout_of(network)
    device = EngineDevice(threads=2)
    device.load(network)
    images = draw_images(network, 100, rng)
    map_ = Iid(0.2, 0.1).sample(layout, 0, KINDS)
    cases = [None, map_, *(faults.restrict(map_, layers=[i]) for i in range(len(network.layers)))]

    def check() -> None:
        for case in (*cases, *reversed(cases)):
            device.inject(case)
            read = network if case is None else faults.apply(network, case)
            assert (device.infer(images) == golden.scores(read, images)).all()

    check()
    clean = device._clean_engine
    assert clean is not None and clean._prefix._seen is not None
    places = set(clean._prefix._seen.given)
    assert places >= {(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)}
    images[50, 7] ^= 1  # in place: the same array with other images
    check()
    # What is kept is what is run: a wrong bit in it must come out.
    device.inject(None)
    right = device.infer(images)
    for kept in clean._prefix._seen.given.values():
        kept ^= np.uint64(1)
    assert (device.infer(images) != right).any()
    images[0, 0] ^= 1
    check()
    device.load(replace(network, name="again"))
    check()


def test_the_prefix_keeps_to_its_memory() -> None:
    rng = np.random.default_rng(11)
    network = random_network((100, 640, 640, 5), "bits", rng)
    layout = layout_of(network)
    images = draw_images(network, 64, rng)
    map_ = Iid(0.1, 0.1).sample(layout, 0)
    room = images.nbytes + 640 * 64 // 8 + 100  # for the input of one hidden layer only
    for max_bytes in (1, images.nbytes, room):
        clean = Engine(network, prefix_bytes=max_bytes)
        for layers in ([2], [1], [2], [0], [1, 2]):
            part = faults.restrict(map_, layers=layers)
            scores = clean.with_faults(part).scores(images)
            assert (scores == golden.scores(faults.apply(network, part), images)).all()
            seen = clean._prefix._seen
            held = 0 if seen is None else seen.images.nbytes
            held += sum(kept.nbytes for kept in seen.given.values()) if seen else 0
            assert held <= max_bytes


@pytest.mark.parametrize("path", PATHS)
def test_every_image_meets_faults_of_its_own(path: str) -> None:
    rng = np.random.default_rng(12)
    network = random_ensemble(
        (
            random_conv_network((6, 6, 2), ((20, 3, 1, 1, Pool(2, 2)),), (70, 5), "uint8", rng),
            random_network((72, 40, 5), "uint8", rng),
        )
    )
    layout = layout_of(network, tuple(Fold(3, 36) for _ in network.layers))
    images = draw_images(network, 200, rng)
    for p01, p10, where in ((1e-3, 1e-3, KINDS), (0.05, 0.02, KINDS[:1]), (0.2, 0.2, KINDS[1:])):
        transient = Transient(Iid(p01, p10, persistence="read"), layout, 3, where)
        by_golden, by_engine = GoldenDevice(), EngineDevice(2, path)
        for device in (by_golden, by_engine):
            device.load(network)
            device.inject(transient)
        wanted = by_golden.infer(images)
        scores = by_engine.infer(images)
        assert (scores == wanted).all()
        by_engine.first_image = 150
        assert (by_engine.infer(images[150:]) == wanted[150:]).all()
        by_engine.first_image = 151
        assert (by_engine.infer(images[150:]) != wanted[150:]).any()
        by_engine.inject(None)
        assert (by_engine.infer(images) == golden.scores(network, images)).all()


def test_transient_faults_of_other_models_and_misfits() -> None:
    rng = np.random.default_rng(13)
    network = random_network((40, 30, 5), "bits", rng)
    images = draw_images(network, 20, rng)
    bursts = Bursts(0.1, 0.1, persistence="read")
    transient = Transient(bursts, layout_of(network), 0, KINDS)
    devices = (GoldenDevice(), EngineDevice())
    scores = []
    for device in devices:
        device.load(network)
        device.inject(transient)
        scores.append(device.infer(images))
    assert (scores[0] == scores[1]).all()
    other = layout_of(random_network((41, 30, 5), "bits", rng))
    with pytest.raises(InputError, match="layer shapes"):
        Engine(network).transient_scores(
            images, Transient(Iid(0.1, 0.1, persistence="read"), other, 0)
        )
    with pytest.raises(InputError, match="layer shapes"):
        Engine(network).with_faults(Iid(0.1, 0.1).sample(other, 0))
