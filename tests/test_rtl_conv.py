"""Cores of convolutional networks against golden: every score, any geometry, folds, faults."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stoic.sim import golden
from stoic.sim.core import core_of, default_core, from_json, image_cycles, to_json, unit_cycles
from stoic.sim.errors import Iid
from stoic.sim.faults import apply
from stoic.sim.layers import Input, Pool, Window
from stoic.sim.memory import KINDS, Fold, Layout, layout_of, shapes_of
from stoic.sim.network import Network
from stoic.sim.random_network import random_conv_network, random_ensemble
from stoic.sim.rtl import RtlDevice

pytestmark = pytest.mark.verilator


def uint8_network(rng: np.random.Generator) -> Network:
    """Pools that overlap; 3 channels, then 66, more than a word; rows that no window sees."""
    convs = ((66, 3, 1, 1, Pool(3, 2)), (5, 2, 2, 0, None))
    return random_conv_network((8, 9, 3), convs, (7, 4), "uint8", rng)


def thermometer_network(rng: np.random.Generator) -> Network:
    """An ensemble on codes of 3 levels; a pool with gaps; a stride that skips pixels."""
    levels, image = (40, 100, 220), (9, 7, 2)
    members = (
        random_conv_network(image, ((6, 5, 1, 4, Pool(2, 3)),), (3,), "bits", rng, levels),
        random_conv_network(image, ((4, 1, 2, 0, None),), (5, 3), "bits", rng, levels),
    )
    return random_ensemble(members)


def random_geometry(rng: np.random.Generator) -> Network:
    """Kernels 1..5, strides 1..3, any padding, pools whose stride is not their kernel."""
    first = ("uint8", "bits")[int(rng.integers(2))]
    height, width, channels = (int(n) for n in rng.integers((2, 2, 1), (11, 11, 5)))
    levels = tuple(sorted({int(v) for v in rng.integers(1, 256, 3)})) if rng.random() < 0.3 else ()
    convs: list[tuple[int, int, int, int, Pool | None]] = []
    rows, columns = height, width
    for _ in range(int(rng.integers(1, 3))):
        kernel, stride = int(rng.integers(1, 6)), int(rng.integers(1, 4))
        pad = int(rng.integers(0, kernel))
        if kernel > min(rows, columns) + 2 * pad:
            break
        window = Window(rows, columns, 1, kernel, stride, pad)
        rows, columns = window.rows, window.columns
        pool = Pool(int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        is_pooled = pool.kernel <= min(rows, columns) and rng.random() < 0.7
        if is_pooled:
            rows, columns = pool.size(rows), pool.size(columns)
        convs.append(
            (int(rng.choice([1, 3, 8, 12, 65])), kernel, stride, pad, pool if is_pooled else None)
        )
    kind: Input = "bits" if levels or first == "bits" else "uint8"
    sizes = (int(rng.integers(1, 9)), 3)
    return random_conv_network((height, width, channels), tuple(convs), sizes, kind, rng, levels)


def random_layout(network: Network, rng: np.random.Generator) -> Layout:
    """Any folding."""
    folds = [
        Fold(int(rng.integers(1, s.n_outputs + 1)), int(rng.integers(1, min(64, s.n_inputs) + 1)))
        for s in shapes_of(network)
    ]
    return layout_of(network, tuple(folds))


def images_for(network: Network, n: int) -> np.ndarray:
    high = network.image_max
    images = np.random.default_rng(n).integers(0, high + 1, (n, network.n_inputs), dtype=np.uint8)
    images[0], images[1] = 0, high
    return images


@pytest.fixture(scope="module")
def build_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rtl_conv")


def agrees(device: RtlDevice, network: Network, layout: Layout, n_images: int) -> Iterator[bool]:
    """Whether every score is golden's, without faults and under three maps, pairs of each: of the
    first chip on which they change a score, as they do not on every one of a small network."""
    images = images_for(network, n_images)
    device.load(network)
    clean = golden.scores(network, images)
    yield bool((device.infer(images) == clean).all())
    for p01, p10 in ((0.02, 0.02), (0.3, 0.0), (0.0, 0.3)):
        for chip in range(100):
            faults = Iid(p01, p10, seed=1).sample(layout, chip, where=KINDS)
            expected = golden.scores(apply(network, faults), images)
            if (expected != clean).any():
                break
        else:
            pytest.fail("no faults change anything")
        device.inject(faults)
        yield bool((device.infer(images) == expected).all())


@pytest.mark.parametrize("make", [uint8_network, thermometer_network])
def test_every_score_is_golden_s_and_images_come_as_fast_as_planned(
    make: type, build_dir: Path
) -> None:
    network = make(np.random.default_rng(3))
    core = default_core(network, 6000)  # few processing elements, quick to build
    device = RtlDevice(core.layout, build_dir)
    assert all(agrees(device, network, core.layout, 30))
    cycles = []
    for n in (5, 45):
        before = device.counters()["cycles"]
        device.infer(images_for(network, n))
        cycles.append(device.counters()["cycles"] - before)
    assert (cycles[1] - cycles[0]) / 40 == pytest.approx(image_cycles(core), rel=0.01)
    device.close()


def test_a_layer_whose_pages_fill_as_slowly_as_it_works_is_planned_so(build_dir: Path) -> None:
    network = random_conv_network((7, 7, 16), ((16, 1, 1, 0, None),), (3,), "bits", rng())
    layout = layout_of(network, (Fold(16, 4), Fold(3, 64)))
    core = core_of(network, layout)
    assert unit_cycles(core)["layer 0"] == image_cycles(core) == 270  # 49 windows of 4 + 4 + 3 / 2
    device = RtlDevice(layout, build_dir)
    device.load(network)
    cycles = []
    for n in (4, 24):
        before = device.counters()["cycles"]
        images = images_for(network, n)
        np.testing.assert_array_equal(device.infer(images), golden.scores(network, images))
        cycles.append(device.counters()["cycles"] - before)
    assert (cycles[1] - cycles[0]) / 20 == pytest.approx(269.5, abs=0.5)
    device.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(24))
def test_any_geometry_and_folding_agrees(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    network = random_geometry(rng)
    layout = random_layout(network, rng)
    device = RtlDevice(layout, tmp_path)
    assert list(agrees(device, network, layout, 20)) == [True] * 4, (network.layers, layout.folds)
    device.close()


def test_geometry_is_part_of_a_core_and_its_hash() -> None:
    network = uint8_network(np.random.default_rng(0))
    core = core_of(network)
    assert from_json(to_json(core)) == core
    assert core.sha256 not in (core.layout.sha256, core_of(thermometer_network(rng())).sha256)
    assert max(unit_cycles(core).values()) == image_cycles(core)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)
