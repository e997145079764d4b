"""One fault map, every world: read this first.

A network is a few thousand stored bits. Memory lies about some of them, and a fault map says which.
Whatever runs the network, integers in numpy, packed words in C++, torch, an ONNX graph or the
hardware, must then give the same integer scores; and if one of them were wrong in a threshold, a
weight bit or a fault, the comparison must notice. `stoic agree` does the same at full size.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stoic.export.lower import lower
from stoic.export.qonnx import export_qonnx
from stoic.hw import devices, settings
from stoic.models.checkpoint import load_checkpoint
from stoic.models.data import load
from stoic.sim import agreement, memory
from stoic.sim import network as networks
from stoic.sim.device import Device, Faults, GoldenDevice
from stoic.sim.errors import Iid
from stoic.sim.exceptions import InputError
from stoic.sim.faults import FaultMap
from stoic.sim.network import Network
from stoic.sim.random_network import random_network

ZOO = Path(__file__).parent.parent / "models" / "zoo"
RATES = ((0.033, 0.033), (0.001, 0.001), (0.10, 0.10), (0.02, 0.10))
N_IMAGES = 48
FOLDS = (memory.Fold(4, 9), memory.Fold(2, 32), memory.Fold(1, 7))


def small_network() -> Network:
    """30 pixels, two hidden layers with odd sizes so that words have pads, 5 classes."""
    return random_network((30, 67, 13, 5), "uint8", np.random.default_rng(1))


def some_images() -> NDArray[np.uint8]:
    return np.random.default_rng(2).integers(0, 256, (N_IMAGES, 30)).astype(np.uint8)


def some_maps(network: Network) -> list[FaultMap | None]:
    """No faults, three rates on the weights, and one that also hits the thresholds."""
    layout = memory.layout_of(network, FOLDS)
    return [
        None,
        Iid(0.001, 0.001).sample(layout, chip=0),
        Iid(0.033, 0.033).sample(layout, chip=1),
        Iid(0.02, 0.10).sample(layout, chip=2),
        Iid(0.05, 0.10).sample(layout, chip=3, where=("weights", "thresholds")),
    ]


@pytest.mark.parametrize("name", ["golden", "engine", "torch", "onnx", "rtl", "virtual"])
def test_every_world_gives_the_same_scores_and_catches_its_mutants(
    name: str, tmp_path: Path
) -> None:
    network, images = small_network(), some_images()
    maps = some_maps(network)
    reference = agreement.reference_scores(network, maps, images)
    mutants = agreement.find_mutants(network, maps[2], images)
    assert [m.kind for m in mutants] == ["threshold", "weight", "dropped fault"]

    path = tmp_path / "small.stoic"
    networks.save(network, path)
    folding = memory.layout_of(network, FOLDS) if name == "rtl" else None  # None: the device's own
    at = settings.Setting(path, network, folding)
    device = devices.open_device(name, at)
    try:
        rows = agreement.agree(reference, device, network, maps, images)
        trials = agreement.try_mutants(mutants, device, network, images)
    finally:
        device.close()
    assert [(r.n_scores, r.n_mismatches) for r in rows] == [(N_IMAGES * 5, 0)] * len(maps)
    assert all(t.is_caught for t in trials)
    assert not any(t.n_unexpected for t in trials)  # the mutant, too, is answered exactly


def test_the_trained_network_agrees_on_every_test_image(tmp_path: Path) -> None:
    """Checkpoint -> QONNX -> integers; all 10,000 images; torch and onnx run their own files."""
    shutil.copy(ZOO / "fashion-sfc.ckpt", tmp_path / "sfc.ckpt")
    export_qonnx(load_checkpoint(tmp_path / "sfc.ckpt"), tmp_path / "sfc.onnx")
    network = lower(tmp_path / "sfc.onnx")
    networks.save(network, tmp_path / "sfc.stoic")
    at = settings.setting(tmp_path / "sfc.stoic", network, "ulx3s-25f")
    assert settings.own_file("torch", at) and settings.own_file("onnx", at)

    images = load("fashion-mnist", "test").images
    assert len(images) == 10_000
    maps = [None, *(Iid(*rates, seed=7).sample(at.layout, chip=0) for rates in RATES)]
    reference = agreement.reference_scores(network, maps, images)
    for name in ("engine", "torch", "onnx", "rtl"):
        device = devices.open_device(name, at)
        n = 2 if name == "rtl" else len(maps)  # no faults and one map: seconds, not a minute
        rows = agreement.agree(reference[:n], device, network, maps[:n], images)
        device.close()
        assert [(r.n_scores, r.n_mismatches) for r in rows] == [(100_000, 0)] * n, name


class ForgetsFaults(GoldenDevice):
    """A world that is right until memory lies."""

    def inject(self, faults: Faults | None) -> None:
        super().inject(None)


class KeepsFirstNetwork(GoldenDevice):
    """A world that cannot be programmed twice."""

    def load(self, network: Network) -> None:
        super().load(self._clean or network)


class OffByOne(GoldenDevice):
    """A world that is wrong in one score of one image."""

    def infer(self, images: NDArray[np.generic]) -> NDArray[np.int32]:
        scores = super().infer(images)
        scores[17, 3] += 2
        return scores


def run(device: Device) -> tuple[list[agreement.Comparison], list[agreement.Trial]]:
    network, images = small_network(), some_images()
    maps = some_maps(network)
    reference = agreement.reference_scores(network, maps, images)
    mutants = agreement.find_mutants(network, maps[2], images)
    rows = agreement.agree(reference, device, network, maps, images)
    return rows, agreement.try_mutants(mutants, device, network, images)


def test_a_world_that_forgets_faults_is_found_out() -> None:
    rows, trials = run(ForgetsFaults())
    assert rows[0].n_mismatches == 0 and all(r.n_mismatches for r in rows[2:])
    assert [t.n_unexpected > 0 for t in trials] == [False, False, True]


def test_a_world_that_keeps_its_first_network_lets_mutants_escape() -> None:
    rows, trials = run(KeepsFirstNetwork())
    assert not any(r.n_mismatches for r in rows)  # the comparison alone would not have noticed
    assert [t.is_caught for t in trials] == [False, False, True]


def test_the_first_wrong_score_is_named() -> None:
    rows, _ = run(OffByOne())
    assert [r.n_mismatches for r in rows] == [1] * len(rows)
    first = rows[0].first_mismatch
    assert first is not None and (first.image, first.class_index) == (17, 3)
    assert first.got == first.expected + 2


@pytest.mark.parametrize("folds", [None, FOLDS])
def test_a_mutant_network_and_its_difference_map_are_the_same(
    folds: tuple[memory.Fold, ...] | None,
) -> None:
    network, images = small_network(), some_images()
    layout = memory.layout_of(network, folds)
    mutants = agreement.find_mutants(network, some_maps(network)[2], images)
    injected = agreement.try_mutants(mutants, GoldenDevice(), network, images, layout)
    assert [t.how for t in injected] == ["injected"] * 3
    assert all(t.is_caught and not t.n_unexpected for t in injected)


def test_images_on_which_no_threshold_matters_give_no_such_mutant(
    caplog: pytest.LogCaptureFixture,
) -> None:
    network = small_network()
    always = [
        layer
        if layer.thresholds is None
        else replace(layer, thresholds=np.full_like(layer.thresholds, layer.threshold_range[0]))
        for layer in network.layers
    ]
    network = replace(network, layers=tuple(always))
    found = agreement.find_mutants(network, None, np.zeros((1, 30), np.uint8))
    assert [mutant.kind for mutant in found] == ["weight"]
    assert "no threshold mutant changes a score" in caplog.text


@pytest.mark.parametrize(
    ("wanted", "says"),
    [({"onxx": 5}, "sample for"), ({"onnx": 0}, "1..48"), ({"onnx": 49}, "1..48")],
)
def test_a_wrong_sample_is_refused(wanted: dict[str, int], says: str) -> None:
    with pytest.raises(InputError, match=says):
        agreement.sample_sizes(wanted, ["engine", "onnx"], N_IMAGES)


@pytest.mark.parametrize(
    "change", [lambda s: s[:, :4], lambda s: s[:-1]], ids=["class missing", "image missing"]
)
def test_missing_scores_are_refused(
    change: Callable[[NDArray[np.int32]], NDArray[np.int32]],
) -> None:
    scores = np.zeros((3, 5), np.int32)
    with pytest.raises(InputError, match="scores must be"):
        agreement.compare(scores, change(scores))
