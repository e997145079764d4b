"""Cores with check bits, members, threshold tables and registers: scores, and what they count."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from stoic.models.ensembles import CROSS_ENTROPY, Ensemble, Gncl, Schedule, fit, network_of
from stoic.models.nets import BinaryNet
from stoic.models.topology import LayerShape
from stoic.sim import golden
from stoic.sim.bits import pack
from stoic.sim.core import core_of, planes
from stoic.sim.errors import Iid
from stoic.sim.exceptions import InputError
from stoic.sim.faults import FaultMap, apply, no_faults
from stoic.sim.hardware import hardware_layout, seen, take_apart, written
from stoic.sim.memory import Fold, Kind, Layout, bank_words, layout_of
from stoic.sim.network import Network, select
from stoic.sim.physical import extend
from stoic.sim.physical_steps import Interleave
from stoic.sim.protection import Secded, hsiao
from stoic.sim.random_network import random_ensemble, random_network, with_random_tables
from stoic.sim.rtl import RtlDevice
from stoic.sim.rtl_core import core_verilog

WHERE: tuple[Kind, ...] = ("weights", "thresholds")
N_IMAGES = 60
N_TABLES = 3


def an_ensemble() -> Network:
    """Three members on uint8, one of them a single layer: scores of both kinds are added."""
    rng = np.random.default_rng(11)
    sizes = ((40, 11, 6), (40, 6), (40, 7, 5, 6))
    members = tuple(random_network(s, "uint8", rng) for s in sizes)
    return with_random_tables(random_ensemble(members), N_TABLES - 1, rng)


FOLDS = (Fold(4, 7), Fold(2, 5), Fold(1, 57), Fold(2, 12), Fold(2, 3), Fold(1, 9))


def images_for(network: Network, seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (N_IMAGES, network.n_inputs), dtype=np.uint8)


@pytest.fixture(scope="module")
def case(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[RtlDevice, Network, Layout]]:
    network = an_ensemble()
    layout = hardware_layout(layout_of(network, FOLDS), N_TABLES, secded=True)
    device = RtlDevice(layout, tmp_path_factory.mktemp("rtl"))
    yield device, network, layout
    device.close()


def decoded_words(network: Network, layout: Layout, faults: FaultMap) -> list[tuple[int, int]]:
    """(corrected, detected) weight words of each layer, each as often as an image reads it."""
    plain = take_apart(layout).plain
    found = [[0, 0] for _ in layout.shapes]
    for bank, words in zip(
        layout.banks, bank_words(written(network, layout, faults), layout), strict=True
    ):
        if bank.kind != "weights":
            continue
        k = plain.folds[bank.layer].simd
        data = words & np.uint64((1 << k) - 1)
        checks = (words >> np.uint64(k)).astype(np.uint16)
        _, corrected, detected = hsiao.code(k).decode(data[:, None], checks)
        n = planes(layout.shapes[bank.layer])
        found[bank.layer][0] += n * int(corrected.sum())
        found[bank.layer][1] += n * int(detected.sum())
    return [(a, b) for a, b in found]


def test_what_the_datapath_sees_is_what_the_protection_says() -> None:
    network = replace(an_ensemble(), tables=())
    plain = layout_of(network, FOLDS)
    layout = hardware_layout(plain, secded=True)
    secded = Secded()
    assert layout == secded.layout(network, plain)
    faults = Iid(0.02, 0.03, seed=5).sample(layout, 0, where=WHERE)
    effective = secded.effective(network, plain, faults)
    assert seen(network, layout, faults).sha256 == apply(network, effective).sha256
    on_plain = Iid(0.02, 0.03, seed=5).sample(plain, 0, where=WHERE)
    assert seen(network, layout, on_plain).sha256 == apply(network, on_plain).sha256


def test_every_score_and_count_under_maps_of_the_physical_memory(
    case: tuple[RtlDevice, Network, Layout],
) -> None:
    device, network, layout = case
    images = images_for(network, 1)
    device.load(network)
    wanted = clean = golden.scores(network, images)
    np.testing.assert_array_equal(device.infer(images), clean)
    before = device.registers()
    assert not any(before.corrected_words) and not any(before.detected_words)
    single = Iid(0.001, 0.001, seed=3)
    for chip, model in enumerate((single, Iid(0.02, 0.03, seed=3), Iid(0.2, 0.1, seed=3))):
        faults = model.sample(layout, chip, where=WHERE)
        device.inject(faults)
        wanted = golden.scores(seen(network, layout, faults), images)
        np.testing.assert_array_equal(device.infer(images), wanted)
        after = device.registers()
        counted = zip(
            np.subtract(after.corrected_words, before.corrected_words).tolist(),
            np.subtract(after.detected_words, before.detected_words).tolist(),
            strict=True,
        )
        each = decoded_words(network, layout, faults)
        assert list(counted) == [(N_IMAGES * a, N_IMAGES * b) for a, b in each]
        assert sum(a for a, _ in each) > 0
        before = after
    assert (wanted != clean).any() and sum(before.detected_words) > 0


def test_a_double_error_is_detected_and_a_single_one_does_no_harm(
    case: tuple[RtlDevice, Network, Layout],
) -> None:
    """The same two flips in one word, or in two words of the weights of the scores."""
    device, network, layout = case
    images = images_for(network, 2)
    device.load(network)
    clean = golden.scores(network, images)
    bank = next(b for b in layout.banks if b.layer == 1 and b.kind == "weights")
    for second, detected in ((bank.first_cell + 1, 1), (bank.first_cell + 1 + bank.width, 0)):
        flip = np.zeros(layout.n_cells, np.uint8)
        flip[[bank.first_cell, second]] = 1
        none = no_faults(layout)
        faults = FaultMap(layout, pack(flip), none.stuck0, none.stuck1)
        before = device.registers()
        device.inject(faults)
        scores = device.infer(images)
        after = device.registers()
        assert (scores != clean).any() == bool(detected)
        np.testing.assert_array_equal(scores, golden.scores(seen(network, layout, faults), images))
        assert after.detected_words[1] - before.detected_words[1] == detected * N_IMAGES
        assert after.corrected_words[1] - before.corrected_words[1] == 2 * (1 - detected) * N_IMAGES


def test_every_table_gives_golden_s_scores(case: tuple[RtlDevice, Network, Layout]) -> None:
    device, network, layout = case
    images = images_for(network, 4)
    device.load(network)
    names = [None, *(table.name for table in network.tables)]
    for faults in (None, Iid(0.02, 0.03, seed=8).sample(layout, 0, where=WHERE)):
        device.inject(faults)
        read = seen(network, layout, faults)
        found = []
        for name in (*names, None):
            device.select(name)
            found.append(device.infer(images))
            wanted = golden.scores(select(read, name) if name else read, images)
            np.testing.assert_array_equal(found[-1], wanted)
        assert len({scores.tobytes() for scores in found}) == len(names)
    with pytest.raises(InputError, match="has no table 'other'"):
        device.select("other")


def test_a_table_of_a_plain_map_is_that_of_the_selected_network(
    case: tuple[RtlDevice, Network, Layout],
) -> None:
    """As for every device: the faults that a datapath sees do not ask which table is in use."""
    device, network, layout = case
    images = images_for(network, 5)
    device.load(network)
    faults = Iid(0.05, 0.1, seed=9).sample(layout_of(network), 0, where=WHERE)
    device.inject(faults)
    for table in network.tables:
        device.select(table.name)
        wanted = golden.scores(apply(select(network, table.name), faults), images)
        np.testing.assert_array_equal(device.infer(images), wanted)
    device.select(None)


def test_margins_are_counted_against_the_bound(case: tuple[RtlDevice, Network, Layout]) -> None:
    device, network, _ = case
    device.load(network)
    images = images_for(network, 3)
    margins = golden.margin(golden.scores(network, images))
    bound = int(np.sort(margins)[N_IMAGES // 3])
    before = device.registers()
    device.bound_margins(bound)
    device.infer(images)
    after = device.registers()
    assert after.margin_bound == bound
    assert after.images - before.images == N_IMAGES
    assert after.margin_sum - before.margin_sum == margins.sum()
    assert after.low_margins - before.low_margins == (margins < bound).sum() > 0
    assert after.margin_min is not None and after.margin_min <= margins.min()
    assert after.margin_max is not None and after.margin_max >= margins.max()


def test_what_no_core_has_is_refused() -> None:
    network = random_network((64, 8, 3), "bits", np.random.default_rng(0))
    with pytest.raises(InputError, match="must fit 64 bits, not 66; 57 lanes do"):
        hardware_layout(layout_of(network, (Fold(1, 58), Fold(1, 8))), secded=True)
    plain = layout_of(network, (Fold(1, 16), Fold(1, 8)))
    other = extend(plain, Interleave((2,) * len(plain.banks)))
    with pytest.raises(InputError, match="not steps interleave"):
        core_verilog(core_of(network, other))
    more = with_random_tables(network, 3, np.random.default_rng(0))
    with pytest.raises(InputError, match="has 2 threshold tables, network 'random' needs 4"):
        written(more, hardware_layout(plain, 2))
    faults = Iid(0.1, 0.1).sample(other, 0)
    with pytest.raises(InputError, match="physical layout has no rows"):
        written(network, hardware_layout(plain, secded=True), faults)


def test_a_trained_ensemble_scores_as_golden_under_faults(
    case: tuple[RtlDevice, Network, Layout],
) -> None:
    device, like, layout = case
    images = images_for(like, 7)
    rng = torch.Generator().manual_seed(1)
    members = []
    for chain in like.chains:
        net = BinaryNet(tuple(LayerShape(la.n_inputs, la.n_outputs) for la in chain))
        for layer in net.binary_layers:
            layer.set_rows(torch.rand(layer.weight.shape, generator=rng) - 0.5)
        members.append(net)
    classes = torch.from_numpy(images[:, :6].argmax(1))
    method, schedule = Gncl(CROSS_ENTROPY, 0.5), Schedule(2, 20)
    fit(Ensemble(members, 0.05), method, torch.from_numpy(images), classes, schedule, rng)
    trained = with_random_tables(network_of(members), N_TABLES - 1, np.random.default_rng(1))
    device.load(trained)
    faults = Iid(0.05, 0.1, seed=2).sample(layout, 1)
    for read, injected in ((trained, None), (seen(trained, layout, faults), faults)):
        device.inject(injected)
        wanted = golden.scores(read, images)
        np.testing.assert_array_equal(device.infer(images), wanted)
        first = golden.scores(Network("first", read.chains[0]), images)
        assert (wanted != first).any()  # the members do add up
