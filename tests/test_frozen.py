"""Frozen checkpoints: torch gives golden's integers, and every way to be wrong is noticed."""

import hashlib
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stoic.models.checkpoint import (
    BatchNorm,
    Checkpoint,
    Layer,
    load_checkpoint,
    save_checkpoint,
)
from stoic.models.data import Images, load
from stoic.models.evaluate import accuracy_table
from stoic.models.frozen import (
    FrozenNet,
    TorchDevice,
    float_disagreements,
    freeze,
    integers,
    lanes_of,
)
from stoic.models.nets import build_model, encode
from stoic.models.recipe import from_values, load_recipe
from stoic.sim import faults as fault_maps
from stoic.sim import golden
from stoic.sim.agreement import agree, compare, find_mutants, reference_scores, try_mutants
from stoic.sim.bits import pack, unpack
from stoic.sim.engine import EngineDevice
from stoic.sim.errors import Iid
from stoic.sim.exceptions import ArtefactError, InputError
from stoic.sim.layers import Input
from stoic.sim.memory import KINDS, Fold, layout_of
from stoic.sim.network import save
from stoic.sim.thresholds import sign_of_root_sum

ROOT = Path(os.environ["STOIC_DATA"]) if "STOIC_DATA" in os.environ else None
ZOO = Path(__file__).parent.parent / "models" / "zoo"
NAMES = ("fashion-sfc", "fashion-sfc-plain", "fashion-tfc")


@pytest.fixture(scope="module")
def test_set() -> Images:
    return load("fashion-mnist", "test", ROOT)


def _random_checkpoint(
    sizes: tuple[int, ...], input: Input, seed: int, ties: bool = False
) -> Checkpoint:
    """Random bits; scales of both signs and 0; means on reachable sums where `ties`."""
    rng = np.random.default_rng(seed)
    layers = []
    for i, (n, m) in enumerate(zip(sizes, sizes[1:], strict=False)):
        spread = np.float32(n**0.5 * (147 if input == "uint8" and i == 0 else 1))
        norm = None
        if i < len(sizes) - 2:
            gamma = rng.normal(size=m).astype(np.float32)
            gamma[rng.random(m) < 0.1] = 0
            beta = rng.normal(size=m).astype(np.float32) * (not ties)
            mean = (rng.normal(size=m) * spread).astype(np.float32)
            if ties:
                mean = (2 * np.round(mean / 2) + n % 2).astype(np.float32)
            var = (rng.random(m) * spread**2).astype(np.float32)
            norm = BatchNorm(gamma, beta.astype(np.float32), mean, var, 1e-5)
        layers.append(Layer(f"dense{i}", n, pack(rng.random((m, n)) < 0.5), norm))
    return Checkpoint("random", input, tuple(layers))


def _random_images(network_inputs: int, input: Input, n: int, seed: int) -> NDArray[np.uint8]:
    high = 256 if input == "uint8" else 2
    return np.random.default_rng(seed).integers(0, high, (n, network_inputs), np.uint8)


# ---- exactness ----


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 70), min_size=2, max_size=4).map(tuple),
    domain=st.sampled_from(["bits", "uint8"]),
    seed=st.integers(0, 1 << 30),
    ties=st.booleans(),
)
def test_torch_equals_golden_under_faults_in_every_memory(
    sizes: tuple[int, ...], domain: Input, seed: int, ties: bool
) -> None:
    network = integers(_random_checkpoint(sizes, domain, seed, ties))
    images = _random_images(sizes[0], domain, 20, seed)
    layout = layout_of(network, tuple(Fold(3, 5) for _ in network.layers))
    stuck = Iid(0.2, 0.02, seed).sample(layout, 0, KINDS)
    both = fault_maps.compose(stuck, Iid(0.1, 0.1, seed).sample(layout, 1, KINDS))
    device = TorchDevice()
    maps = [None, stuck, both]
    rows = agree(reference_scores(network, maps, images), device, network, maps, images)
    assert [row.n_mismatches for row in rows] == [0, 0, 0]
    assert device.counters() == {"images": 60}


@settings(max_examples=15, deadline=None)
@given(domain=st.sampled_from(["bits", "uint8"]), seed=st.integers(0, 1 << 30), ties=st.booleans())
def test_frozen_decides_as_exact_batch_norm_and_sign(domain: Input, seed: int, ties: bool) -> None:
    """Brute force: the sums in Python integers, the batch norm in fractions."""
    checkpoint = _random_checkpoint((9, 6, 3), domain, seed, ties)
    images = _random_images(9, domain, 8, seed)
    x = [[int(v) if domain == "uint8" else 2 * int(v) - 1 for v in row] for row in images]
    s: list[list[int]] = []
    for layer in checkpoint.layers:
        w = 2 * unpack(layer.weights, layer.n_inputs).astype(int) - 1
        s = [[sum(int(a) * b for a, b in zip(row, u, strict=True)) for row in w] for u in x]
        if (norm := layer.norm) is not None:
            x = [
                [
                    1
                    if sign_of_root_sum(
                        Fraction(float(norm.gamma[j])) * (v - Fraction(float(norm.mean[j]))),
                        Fraction(float(norm.beta[j])),
                        Fraction(float(norm.var[j])) + Fraction(norm.eps),
                    )
                    >= 0
                    else -1
                    for j, v in enumerate(row)
                ]
                for row in s
            ]
    frozen = freeze(checkpoint)
    got = frozen(lanes_of(torch.from_numpy(images), frozen.network))
    assert got.tolist() == s


def test_float_disagreements_are_counted_and_occur_only_at_ties() -> None:
    exact = _random_checkpoint((64, 200, 100, 10), "bits", 1, ties=False)
    tied = _random_checkpoint((64, 200, 100, 10), "bits", 1, ties=True)
    images = _random_images(64, "bits", 500, 1)
    calm, lively = float_disagreements(exact, images), float_disagreements(tied, images)
    assert [layer.n_different for layer in calm.layers] == [0, 0]
    assert calm.n_images_different == calm.n_classes_different == 0
    assert [layer.n_tied_neurons > 100 for layer in lively.layers] == [True, False]
    assert lively.layers[0].n_decisions == 500 * 200
    assert lively.layers[0].n_different > 0 and lively.n_images_different > 0

    # the same count, made another way: by the float model's own activations of the first layer
    model, frozen = build_model(tied), freeze(tied)
    x = encode(torch.from_numpy(images), "bits", model.shapes[0])
    with torch.no_grad():
        own = model.signs[0](model.norms[0](model.layers[0](x))) > 0
    first = frozen.network.layers[0]
    fires = torch.from_numpy(golden.fire(first, images)).bool()
    assert int((own != fires).sum()) == lively.layers[0].n_different


def test_sums_beyond_float32_are_refused() -> None:
    network = integers(_random_checkpoint((70_000, 1, 2), "uint8", 0))
    with pytest.raises(InputError, match=r"70000 inputs exceed 2\^24"):
        FrozenNet(network)


# ---- the zoo ----


@pytest.mark.parametrize("name", NAMES)
def test_a_zoo_network_scores_as_golden_and_its_mutants_are_caught(
    name: str, test_set: Images
) -> None:
    path = ZOO / f"{name}.ckpt"
    network = integers(load_checkpoint(path))
    layout = layout_of(network)
    faults = Iid(0.05, 0.02).sample(layout, 7)
    images = test_set.images[:200]
    for device in (TorchDevice(), TorchDevice(path)):
        maps = [None, faults]
        rows = agree(reference_scores(network, maps, images), device, network, maps, images)
        assert [row.n_mismatches for row in rows] == [0, 0]
    mutants = find_mutants(network, faults, images)
    assert [m.kind for m in mutants] == ["threshold", "weight", "dropped fault"]
    trials = try_mutants(mutants, TorchDevice(), network, images)
    trials += try_mutants(mutants, TorchDevice(path), network, images, layout)
    assert all(trial.is_caught and trial.n_unexpected == 0 for trial in trials)


@pytest.mark.parametrize("name", sorted(path.stem for path in ZOO.glob("*.ckpt")))
def test_a_zoo_network_is_of_the_recipe_and_hash_it_is_listed_with(name: str) -> None:
    checkpoint = load_checkpoint(ZOO / f"{name}.ckpt")
    assert checkpoint.name == name
    assert from_values(checkpoint.recipe) == load_recipe(name)
    line = next(s for s in (ZOO / "README.md").read_text().splitlines() if f"`{name}`" in s)
    assert checkpoint.sha256[:16] in line and f"--seed {checkpoint.seed}" in line
    assert (ZOO / f"{name}.ckpt").stat().st_size < 1_000_000


def test_the_zoo_reaches_the_accuracies_that_the_kit_promises(test_set: Images) -> None:
    checkpoints = [load_checkpoint(ZOO / f"{name}.ckpt") for name in NAMES[:2]]
    table = accuracy_table(checkpoints, test_set, EngineDevice(), (0.0, 0.033, 0.05, 0.1))
    robust, plain = (
        [point["accuracy_percent"] for point in entry["points"]] for entry in table["models"]
    )
    assert all(a >= least for a, least in zip(robust, (88.0, 87.7, 87.3, 85.3), strict=True))
    assert robust[-1] - plain[-1] >= 3
    for entry in table["models"]:
        assert [len(point["chips_percent"]) for point in entry["points"]] == [1, 5, 5, 5]
        assert entry["float_disagreements"]["n_images"] == 10_000


# ---- the device and the file ----


def test_the_torch_device_refuses_what_does_not_fit(tmp_path: Path) -> None:
    small = _random_checkpoint((6, 5, 3), "bits", 0)
    save_checkpoint(small, tmp_path / "small.ckpt")
    network = integers(_random_checkpoint((6, 4, 3), "bits", 0))
    with pytest.raises(InputError, match="'random'.*shapes"):
        TorchDevice(tmp_path / "small.ckpt").load(network)
    with pytest.raises(InputError, match="load a network"):
        TorchDevice().infer(np.zeros((1, 6), np.uint8))
    device = TorchDevice()
    device.load(network)
    with pytest.raises(InputError, match="fault map"):
        device.inject(Iid(0.1, 0.1).sample(layout_of(integers(small)), 0))
    with pytest.raises(InputError, match=r"0\.\.1"):
        device.infer(np.full((1, 6), 2))


def test_a_checkpoint_survives_its_file_and_no_change_of_it_goes_unnoticed(tmp_path: Path) -> None:
    checkpoint = replace(_random_checkpoint((70, 9, 3), "uint8", 4), recipe={"a": [1]}, seed=9)
    path = tmp_path / "x.ckpt"
    save_checkpoint(checkpoint, path)
    again = load_checkpoint(path)
    assert again.sha256 == checkpoint.sha256
    assert (again.recipe, again.seed, again.sizes) == ({"a": [1]}, 9, (70, 9, 3))
    images = _random_images(70, "uint8", 30, 4)
    scores = [golden.scores(integers(c), images) for c in (checkpoint, again)]
    assert compare(*scores)[0] == 0

    whole = path.read_bytes()
    digests = {hashlib.sha256(whole).hexdigest()}
    for _ in range(5):  # equal contents, equal bytes
        save_checkpoint(checkpoint, path)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1

    n_header = 8 + int.from_bytes(whole[:8], "little")
    for position in range(n_header, len(whole), 7):  # one bit of an array
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        with pytest.raises(ArtefactError, match=r"x\.ckpt"):
            load_checkpoint(path)
    for content in (whole[:-1], whole[: n_header - 3], b"", b"not a checkpoint at all"):
        path.write_bytes(content)
        with pytest.raises(ArtefactError, match=r"x\.ckpt"):
            load_checkpoint(path)
    path.write_bytes(whole.replace(b'"version":"1"', b'"version":"2"'))
    with pytest.raises(ArtefactError, match="version 2, this kit reads version 1"):
        load_checkpoint(path)
    save(integers(checkpoint), path)
    with pytest.raises(ArtefactError, match="'stoic-network' file, not 'stoic-checkpoint'"):
        load_checkpoint(path)
    with pytest.raises(ArtefactError, match="no such file"):
        load_checkpoint(tmp_path / "none.ckpt")
