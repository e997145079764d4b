"""The engine gives golden's scores on every path, whatever the shapes, threads and faults."""

import ctypes
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stoic.models import bench_engine
from stoic.sim import engine, faults, golden, native
from stoic.sim.bits import pack
from stoic.sim.engine import Engine, EngineDevice
from stoic.sim.engine_layers import CChain, CLayer, CStored
from stoic.sim.errors import Iid
from stoic.sim.exceptions import InputError, StoicError, ToolError
from stoic.sim.faults import FaultMap
from stoic.sim.layers import Dense, Input
from stoic.sim.memory import KINDS, Fold, layout_of
from stoic.sim.network import Network
from stoic.sim.random_network import random_network

PATHS = engine.available_paths()
Images = NDArray[np.uint8]
Scorer = Callable[[Network, Images], NDArray[np.int32]]


def draw_images(network: Network, n: int, rng: np.random.Generator) -> Images:
    high = 256 if network.layers[0].input == "uint8" else 2
    return rng.integers(0, high, (n, network.n_inputs), dtype=np.uint8)


def n_differing(scorer: Scorer, network: Network, images: Images) -> int:
    return int((scorer(network, images) != golden.scores(network, images)).sum())


sizes = st.lists(
    st.sampled_from([1, 7, 16, 17, 32, 33, 63, 64, 65, 100, 129]), min_size=2, max_size=4
)


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=40, deadline=None)
@given(
    sizes.map(tuple),
    st.sampled_from(("bits", "uint8")),
    st.integers(0, 150),
    st.integers(1, 4),
    st.integers(0, 2**32 - 1),
)
def test_scores_equal_golden_with_and_without_faults(
    path: str, shape: tuple[int, ...], kind: Input, n_images: int, threads: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(shape, kind, rng)
    images = draw_images(network, n_images, rng)
    clean = Engine(network, threads, path)
    assert (clean.scores(images) == golden.scores(network, images)).all()
    layout = layout_of(network, tuple(Fold(3, 36) for _ in network.layers))
    map_ = Iid(0.05, 0.2, seed).sample(layout, 0, KINDS)
    faulty = faults.apply(network, map_)
    assert (clean.with_faults(map_).scores(images) == golden.scores(faulty, images)).all()
    assert (clean.with_faults(None).scores(images) == golden.scores(network, images)).all()


# Around the ends of the blocks in which counts are kept in 8 bits (31 words) and 16 bits (128, 256
# pixels), and of words and panels.
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("n", [127, 128, 129, 255, 256, 257, 512, 1984, 1985, 2048, 3968, 3969])
@pytest.mark.parametrize("kind", ["bits", "uint8"])
def test_the_largest_counts_do_not_overflow(path: str, n: int, kind: Input) -> None:
    rng = np.random.default_rng(n)
    rows = np.stack([np.ones(n), np.zeros(n), np.arange(n) % 2, rng.integers(0, 2, n)]).astype(
        np.uint8
    )
    layer = Dense("scores", n, pack(rows), None, np.zeros(4, np.bool_), kind)
    network = Network("extreme", (layer,))
    high = 255 if kind == "uint8" else 1
    images = np.concatenate([rows * high, draw_images(network, 5, rng)])
    assert n_differing(partial(engine.scores, path=path), network, images) == 0
    most = 255 * n if kind == "uint8" else n
    assert engine.scores(network, images, path=path)[0, :2].tolist() == [most, -most]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("n_images", [0, 1, 7, 8, 9, 127, 128, 129, 300])
def test_every_image_gets_its_own_scores(path: str, n_images: int) -> None:
    rng = np.random.default_rng(n_images)
    network = random_network((100, 70, 11), "uint8", rng)
    images = draw_images(network, n_images, rng)
    for threads in (1, 2, 16):
        scores = engine.scores(network, images, threads, path)
        assert scores.shape == (n_images, 11) and scores.dtype == np.int32
        assert (scores == golden.scores(network, images)).all()


@pytest.mark.parametrize("path", PATHS)
def test_one_threshold_weight_or_fault_less_is_caught(path: str) -> None:
    rng = np.random.default_rng(1)
    network = random_network((65, 33, 5), "bits", rng)
    images = draw_images(network, 20, rng)
    hidden, last = network.layers
    tie = golden.accumulate(hidden, images)[7, 3]  # image 7 just makes neuron 3 fire
    thresholds = np.array(hidden.thresholds)
    thresholds[3] = tie
    network = replace(network, layers=(replace(hidden, thresholds=thresholds), last))

    def by_engine_on(mutate: Callable[[Network], Network]) -> Scorer:
        return lambda network, images: engine.scores(mutate(network), images, path=path)

    def one_threshold(network: Network) -> Network:
        hidden, last = network.layers
        higher = np.array(hidden.thresholds)
        higher[3] += 1
        return replace(network, layers=(replace(hidden, thresholds=higher), last))

    def one_weight(network: Network) -> Network:
        hidden, last = network.layers
        weights = last.weights.copy()
        weights[4, 0] ^= np.uint64(1 << 32)
        return replace(network, layers=(hidden, replace(last, weights=weights)))

    assert n_differing(by_engine_on(lambda network: network), network, images) == 0
    for mutant in (one_threshold, one_weight):
        assert n_differing(by_engine_on(mutant), network, images) > 0, mutant.__name__

    layout = layout_of(network)
    cells = layout.weight_cells(1).ravel()[[3, 40, 100]]
    maps = []
    for kept in (cells, cells[:-1]):
        flip = np.zeros(layout.n_cells, np.uint8)
        flip[kept] = 1
        zero = np.zeros_like(pack(flip))
        maps.append(FaultMap(layout, pack(flip), zero, zero))
    seen = golden.scores(faults.apply(network, maps[0]), images)
    prepared = Engine(network, path=path)
    assert (prepared.with_faults(maps[0]).scores(images) == seen).all()
    assert (prepared.with_faults(maps[1]).scores(images) != seen).any()


def test_images_may_come_in_any_integer_type_shape_and_order() -> None:
    rng = np.random.default_rng(2)
    network = random_network((36, 20, 3), "bits", rng)
    images = draw_images(network, 30, rng)
    wanted = golden.scores(network, images)
    for same in (
        images.astype(np.int64),
        images.astype(np.bool_),
        images.reshape(30, 6, 6),
        np.asfortranarray(images),
        np.repeat(images, 2, axis=0)[::2],
    ):
        assert (engine.scores(network, same) == wanted).all()


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 9), np.float32),
        np.full((2, 9), np.nan),
        np.zeros((2, 8), np.uint8),
        np.zeros(9, np.uint8),
        np.full((2, 9), 2, np.uint8),
        np.full((2, 9), -1, np.int8),
    ],
    ids=lambda a: f"{a.dtype}-{a.shape}",
)
def test_images_that_do_not_fit_are_refused(images: NDArray[np.generic]) -> None:
    network = random_network((9, 3), "bits", np.random.default_rng(0))
    with pytest.raises(InputError, match="images must"):
        engine.scores(network, images)


def test_paths_and_threads_that_cannot_be_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    network = random_network((9, 3), "bits", np.random.default_rng(0))
    with pytest.raises(InputError, match="threads must be 1 or more, not 0"):
        Engine(network, threads=0)
    with pytest.raises(InputError, match="no engine path 'sse'"):
        EngineDevice(path="sse")
    monkeypatch.setattr(engine, "available_paths", lambda: ("portable",))
    assert Engine(network).path == "portable"
    with pytest.raises(InputError, match="this processor lacks engine path 'avx512'"):
        Engine(network, path="avx512")


def test_a_library_of_another_version_or_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = native.library.__wrapped__
    monkeypatch.setattr(native, "_ABI", -1)
    with pytest.raises(ToolError, match="another version of the kit"):
        load()
    monkeypatch.setattr(native, "__file__", str(tmp_path / "native.py"))
    with pytest.raises(ToolError, match="not built"):
        load()


def test_the_layer_struct_is_that_of_the_library() -> None:
    assert ctypes.sizeof(CLayer) == 13 * 8
    assert ctypes.sizeof(CChain) == 9 * 8 and ctypes.sizeof(CStored) == 9 * 8


def test_an_engine_may_be_shared_by_threads() -> None:
    rng = np.random.default_rng(3)
    network = random_network((100, 64, 10), "uint8", rng)
    shared = Engine(network, threads=2)
    batches = [draw_images(network, 200, rng) for _ in range(8)]
    with ThreadPoolExecutor(4) as pool:
        for batch, scores in zip(batches, pool.map(shared.scores, batches), strict=True):
            assert (scores == golden.scores(network, batch)).all()


@pytest.mark.parametrize("kind", ["bits", "uint8"])
def test_a_room_has_one_reader_at_a_time_and_nothing_of_the_last_one(kind: Input) -> None:
    rng = np.random.default_rng(5)
    network = random_network((70, 65, 33, 10), kind, rng)
    images = draw_images(network, 50, rng)
    layout = layout_of(network)
    maps = [Iid(p, p, seed=6).sample(layout, chip, KINDS) for chip in range(4) for p in (0.3, 0.01)]
    maps += [faults.restrict(maps[0], layers=[i]) for i in range(3)]
    expected = [golden.scores(faults.apply(network, map_), images) for map_ in maps]
    clean = Engine(network)

    def is_right(i: int) -> bool:
        return bool((clean.with_faults(maps[i]).scores(images) == expected[i]).all())

    together = [clean.with_faults(map_) for map_ in maps[:3]]
    pairs = zip(together, expected, strict=False)
    assert all((one.scores(images) == scores).all() for one, scores in pairs)
    second = together[1].with_faults(maps[4])
    del together, pairs  # their rooms go back; that of `second` does not
    assert all(is_right(i) for i in range(len(maps)))
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(is_right, list(range(len(maps))) * 20))
    assert (second.scores(images) == expected[4]).all()
    assert (clean.scores(images) == golden.scores(network, images)).all()


def test_the_profile_names_every_layer_and_changes_no_score() -> None:
    rng = np.random.default_rng(4)
    network = random_network((64, 64, 64, 4), "bits", rng)
    images = draw_images(network, 500, rng)
    scores, seconds = Engine(network, threads=2).profile(images)
    assert (scores == golden.scores(network, images)).all()
    assert seconds.shape == (3,) and (seconds > 0).all()


def test_the_engine_is_a_device() -> None:
    rng = np.random.default_rng(5)
    first, second = (random_network((40, 30, 4), "uint8", rng) for _ in range(2))
    images = draw_images(first, 25, rng)
    map_ = Iid(0.2, 0.2).sample(layout_of(first), 0, KINDS)
    device = EngineDevice(threads=2)
    with pytest.raises(InputError, match="load a network into the engine device first"):
        device.infer(images)
    device.load(first)
    for given_map in (None, map_, None):
        device.inject(given_map)
        seen = first if given_map is None else faults.apply(first, given_map)
        assert (device.infer(images) == golden.scores(seen, images)).all()
    device.load(second)
    assert (device.infer(images) == golden.scores(second, images)).all()
    assert device.name == "engine" and device.counters() == {"images": 100}
    device.close()


def test_the_benchmark_writes_its_keys_and_refuses_wrong_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)  # other tests want theirs
    arguments = ["--images", "40", "--rounds", "1", "--json", str(tmp_path / "r.json")]
    assert bench_engine.main(arguments) == 0
    result = json.loads((tmp_path / "r.json").read_text())
    assert {
        "engine_vs_torch",
        "popcount_limit_fraction",
        "engine_images_per_s",
        "torch_images_per_s",
        "popcount_limit_gbops",
        "path",
        "threads",
        "command",
        "kit_version",
        "seeds",
    } <= set(result)
    right = Engine.scores
    monkeypatch.setattr(Engine, "scores", lambda self, images: right(self, images) + 2)
    with pytest.raises(StoicError, match="engine and torch differ in 400 of 400 scores"):
        bench_engine.main(arguments)
