"""Fault maps: what they do to a memory, how they survive files, and the rates of the iid model."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from stoic.sim import container, faults
from stoic.sim import network as networks
from stoic.sim.bits import n_words, pack, unpack
from stoic.sim.errors import Iid
from stoic.sim.exceptions import ArtefactError, InputError
from stoic.sim.faults import FaultMap
from stoic.sim.memory import KINDS, Fold, Layout, layout_of
from stoic.sim.network import Network
from stoic.sim.random_network import random_network

FOLDS = (Fold(3, 7), Fold(2, 36), Fold(1, 64))
NETWORK = random_network((65, 10, 12, 3), "uint8", np.random.default_rng(3))
LAYOUT = layout_of(NETWORK, FOLDS)
seeds = st.integers(0, 2**32 - 1)


def random_map(seed: int, layout: Layout = LAYOUT) -> FaultMap:
    """Each stored cell is sound, flips, or is stuck at 0 or 1."""
    what = np.random.default_rng(seed).integers(0, 4, layout.n_cells) * layout.is_stored
    return FaultMap(layout, pack(what == 1), pack(what == 2), pack(what == 3), {"seed": seed})


def read_cell(map_: FaultMap, cell: int, stored: int) -> int:
    if map_.cells("stuck1")[cell]:
        return 1
    return 0 if map_.cells("stuck0")[cell] else stored ^ int(map_.cells("flip")[cell])


maps = seeds.map(random_map)


# ---- what a map does ----


@settings(max_examples=20, deadline=None)
@given(maps, seeds)
def test_apply_reads_every_stored_bit_through_its_own_cell(map_: FaultMap, seed: int) -> None:
    seen = faults.apply(NETWORK, map_)
    rng = np.random.default_rng(seed)
    n_wrong = 0
    for k, (was, now) in enumerate(zip(NETWORK.layers, seen.layers, strict=True)):
        cells = LAYOUT.weight_cells(k)
        before, after = unpack(was.weights, was.n_inputs), unpack(now.weights, now.n_inputs)
        n_wrong += int((before != after).sum())
        for j, i in zip(
            rng.integers(0, was.n_outputs, 9), rng.integers(0, was.n_inputs, 9), strict=True
        ):
            assert after[j, i] == read_cell(map_, int(cells[j, i]), int(before[j, i]))
        if was.thresholds is None or now.thresholds is None:
            continue
        width = LAYOUT.shapes[k].threshold_bits
        j = int(rng.integers(was.n_outputs))
        stored = int(was.thresholds[j]) & (1 << width) - 1
        row = LAYOUT.threshold_cells(k)[j].tolist()
        value = sum(read_cell(map_, c, stored >> b & 1) << b for b, c in enumerate(row))
        if was.input == "uint8" and value >> (width - 1):
            value -= 1 << width
        low, high = was.threshold_range
        assert now.thresholds[j] == min(max(value, low), high)
    only_weights = faults.restrict(map_, where=["weights"])
    assert faults.n_changed(NETWORK, only_weights) == n_wrong


def passes_in_sequence(compose: Callable[[FaultMap, FaultMap], FaultMap], a: int, b: int) -> bool:
    """Whether the composed map reads every bit as the two maps do one after the other."""
    first, then = random_map(a), random_map(b)
    both = compose(first, then)
    stored = np.random.default_rng(a).integers(0, 2, LAYOUT.n_cells, dtype=np.uint8)
    return all((both.read(x) == then.read(first.read(x))).all() for x in (stored, 1 - stored))


@settings(max_examples=30, deadline=None)
@given(seeds, seeds)
def test_composed_maps_read_as_one_after_the_other(a: int, b: int) -> None:
    assert passes_in_sequence(faults.compose, a, b)


def test_composing_in_the_wrong_order_is_caught() -> None:
    assert not passes_in_sequence(lambda first, then: faults.compose(then, first), 1, 2)


def test_the_map_without_faults_changes_nothing() -> None:
    none, some = faults.no_faults(LAYOUT), random_map(4)
    assert none.n_faults == faults.n_changed(NETWORK, none) == 0
    assert faults.apply(NETWORK, none).sha256 == NETWORK.sha256
    assert faults.compose(none, some).sha256 == faults.compose(some, none).sha256 == some.sha256
    twice = faults.compose(replace(some, stuck0=some.stuck0 * 0, stuck1=some.stuck1 * 0), none)
    assert faults.compose(twice, twice).n_faults == 0  # a flip undoes itself


def reads_alike_in(layout: Layout, map_: FaultMap, moved: FaultMap) -> bool:
    seen = faults.apply(NETWORK, map_)
    back = faults.readdress(moved, map_.layout)
    return faults.apply(NETWORK, moved).sha256 == seen.sha256 and back.sha256 == map_.sha256


@settings(max_examples=20, deadline=None)
@given(maps, st.integers(1, 5), st.sampled_from([1, 7, 32, 64]))
def test_a_map_reads_alike_in_every_layout(map_: FaultMap, pe: int, simd: int) -> None:
    layout = layout_of(NETWORK, (Fold(pe, simd), Fold(2, 9), Fold(pe, 64)))
    moved = faults.readdress(map_, layout)
    assert moved.layout == layout and moved.n_faults == map_.n_faults
    assert reads_alike_in(layout, map_, moved)


def test_a_map_readdressed_wrongly_is_caught() -> None:
    map_, layout = random_map(6), layout_of(NETWORK)
    right = faults.readdress(map_, layout)
    cell = int(np.flatnonzero(layout.is_stored)[5])
    one_more = np.zeros(layout.n_cells, np.uint8)
    one_more[cell] = 1
    nothing = np.zeros_like(right.flip)
    wrong = faults.compose(right, FaultMap(layout, pack(one_more), nothing, nothing))
    assert reads_alike_in(layout, map_, right) and not reads_alike_in(layout, map_, wrong)


@settings(max_examples=10, deadline=None)
@given(maps)
def test_restrictions_are_disjoint_and_add_up(map_: FaultMap) -> None:
    parts = [faults.restrict(map_, layers=[k], where=[kind]) for k, kind in LAYOUT.memories]
    assert sum(part.n_faults for part in parts) == map_.n_faults
    whole = faults.no_faults(LAYOUT)
    for part, (layer, kind) in zip(parts, LAYOUT.memories, strict=True):
        cells = np.flatnonzero(part.cells("flip") | part.cells("stuck0") | part.cells("stuck1"))
        assert all(
            (bank.layer, bank.kind) == (layer, kind)
            for bank, _, _ in (LAYOUT.locate(int(c)) for c in cells)
        )
        whole = faults.compose(whole, part)
    assert whole.sha256 == map_.sha256
    assert faults.restrict(map_).sha256 == map_.sha256


def test_a_restricted_map_says_all_that_it_was_restricted_to() -> None:
    map_ = Iid(0.1, 0.1).sample(LAYOUT, 3, ("weights",))
    part = faults.restrict(faults.restrict(map_, layers=[1]), banks=["L1.P00.weights"])
    narrowed = {"layers": [1], "banks": ["L1.P00.weights"]}
    assert part.provenance == {**map_.provenance, **narrowed}
    assert part.provenance["where"] == ["weights"]


def test_maps_that_cannot_be_are_refused() -> None:
    zero = np.zeros(n_words(LAYOUT.n_cells), np.uint64)
    one = zero.copy()
    one[0] = 1
    pad = pack((np.arange(LAYOUT.n_cells) == np.flatnonzero(~LAYOUT.is_stored)[0]).astype(np.uint8))
    other = random_network((65, 11, 12, 3), "uint8", np.random.default_rng(1))
    for planes, message in (
        ((one, one, zero), "one of flip"),
        ((zero, pad, zero), "stores no bit"),
        ((zero, zero, zero[1:]), "stuck1 must be uint64"),
        ((zero.astype(np.int64), zero, zero), "flip must be uint64"),
    ):
        with pytest.raises(InputError, match=message):
            FaultMap(LAYOUT, *planes)  # pyright: ignore[reportArgumentType]
    for use in (
        lambda: faults.apply(other, random_map(1)),
        lambda: faults.check_for(other, random_map(1)),
        lambda: faults.readdress(random_map(1), layout_of(other)),
        lambda: faults.compose(random_map(1), random_map(1, layout_of(NETWORK))),
    ):
        with pytest.raises(InputError, match="shapes|layouts"):
            use()


# ---- independent errors ----


def turns(map_: FaultMap, stored: int) -> NDArray[np.uint8]:
    """(n_cells,) 1 where a stored 0 (or 1) reads as the other."""
    return map_.read(np.full(LAYOUT.n_cells, stored, np.uint8)) ^ np.uint8(stored)


rates = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, 1e-4]))


@settings(max_examples=40, deadline=None)
@given(rates, rates, rates, rates, st.integers(0, 5))
def test_faults_nest_in_the_rate(a: float, b: float, c: float, d: float, chip: int) -> None:
    (low01, high01), (low10, high10) = sorted((a, b)), sorted((c, d))
    small = Iid(low01, low10).sample(LAYOUT, chip, KINDS)
    large = Iid(high01, high10).sample(LAYOUT, chip, KINDS)
    assert faults.is_nested(small, large)
    for stored in (0, 1):
        assert (turns(small, stored) <= turns(large, stored)).all()


def test_chips_and_seeds_do_not_nest() -> None:
    large = Iid(0.3, 0.3).sample(LAYOUT, 0)
    assert not faults.is_nested(Iid(0.1, 0.1).sample(LAYOUT, 1), large)
    assert not faults.is_nested(Iid(0.1, 0.1, seed=1).sample(LAYOUT, 0), large)


BIG = random_network((784, 256, 256, 10), "bits", np.random.default_rng(0))
BIG_LAYOUT = layout_of(BIG, (Fold(4, 36), Fold(4, 32), Fold(1, 32)))


def keeps_its_rates(map_: FaultMap, p01: float, p10: float) -> bool:
    """Whether in each bank and polarity the count is within 5 sigma of the binomial's mean."""
    layout = map_.layout
    for stored, rate in ((0, p01), (1, p10)):
        wrong = map_.read(np.full(layout.n_cells, stored, np.uint8)) != stored
        for bank in layout.banks:
            cells = slice(bank.first_cell, bank.first_cell + bank.n_words * bank.width)
            n = int(layout.is_stored[cells].sum())
            expected = rate * n if bank.kind == "weights" else 0
            sigma = (expected * (1 - rate)) ** 0.5
            if abs(int(wrong[cells].sum()) - expected) > 5 * sigma:
                return False
    return True


def test_rates_hold_in_each_bank_and_polarity() -> None:
    for chip, (p01, p10) in enumerate([(0.02, 0.1), (0.1, 0.0), (0.033, 0.033), (0.5, 1.0)]):
        map_ = Iid(p01, p10, seed=7).sample(BIG_LAYOUT, chip)
        assert keeps_its_rates(map_, p01, p10)
        if p01 != p10:
            swapped = Iid(p10, p01, seed=7).sample(BIG_LAYOUT, chip)
            assert not keeps_its_rates(swapped, p01, p10)


def test_banks_are_independent() -> None:
    wrong = Iid(0.3, 0.3).sample(BIG_LAYOUT, 0).cells("flip")
    first, second = BIG_LAYOUT.banks[:2]
    n = first.n_words * first.width
    both = (wrong[:n] & wrong[second.first_cell : second.first_cell + n]).sum()
    assert abs(int(both) - 0.09 * n) < 5 * (0.09 * 0.91 * n) ** 0.5


def test_every_draw_is_a_pure_function_of_seed_chip_and_cell() -> None:
    """These hashes are what every published map rests on: they may never change."""
    map_ = Iid(0.02, 0.05, seed=11).sample(LAYOUT, 3, ("weights", "thresholds"))
    assert map_.n_faults == 43
    assert map_.sha256 == ("41af44f94e90294d180d03a75c39c4d059357fc5f6f46608c9054857df03b5e6")
    assert Iid(0.02, 0.05, seed=11).sample(LAYOUT, 3, KINDS).sha256 == map_.sha256
    weights = Iid(0.02, 0.05, seed=11).sample(LAYOUT, 3)
    assert weights.sha256 == faults.restrict(map_, where=["weights"]).sha256


def test_rates_chips_and_memories_that_cannot_be_are_refused() -> None:
    for p01, p10 in ((-0.1, 0), (0, 1.1), (float("nan"), 0)):
        with pytest.raises(InputError, match=r"must be 0\.\.1"):
            Iid(p01, p10)
    with pytest.raises(InputError, match="chip must be"):
        Iid(0, 0).sample(LAYOUT, -1)
    with pytest.raises(InputError, match="where must be"):
        Iid(0, 0).sample(LAYOUT, 0, ("wieghts",))  # type: ignore[arg-type]


# ---- files ----

Load = Callable[[Path], "FaultMap | Network"]
MAP = random_map(8, layout_of(random_network((9, 4, 2), "uint8", np.random.default_rng(0))))
SMALL = random_network((9, 4, 2), "uint8", np.random.default_rng(0))
FILES: list[tuple[str, Load]] = [("map.faults", faults.load), ("net.stoic", networks.load)]


@pytest.fixture(params=FILES, ids=lambda f: f[0])
def artefact(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Load]:
    name, load = request.param
    faults.save(MAP, tmp_path / "map.faults")
    networks.save(SMALL, tmp_path / "net.stoic")
    return tmp_path / name, load


def test_files_come_back_as_they_were(tmp_path: Path) -> None:
    faults.save(MAP, tmp_path / "a.faults")
    again = faults.load(tmp_path / "a.faults")
    assert (again.sha256, again.layout, again.provenance) == (
        MAP.sha256,
        MAP.layout,
        MAP.provenance,
    )
    network = replace(SMALL, source_sha256="ab", notes={"ties": [1, 2]})
    networks.save(network, tmp_path / "a.stoic")
    back = networks.load(tmp_path / "a.stoic")
    assert (back.sha256, back.name, back.source_sha256) == (SMALL.sha256, SMALL.name, "ab")
    assert back.notes == network.notes and not list(tmp_path.glob("*.part"))


def test_truncated_files_are_refused(artefact: tuple[Path, Load]) -> None:
    path, load = artefact
    whole = path.read_bytes()
    for size in {0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1}:
        path.write_bytes(whole[:size])
        with pytest.raises(ArtefactError, match=path.name):
            load(path)


def test_a_damaged_byte_is_refused(artefact: tuple[Path, Load]) -> None:
    path, load = artefact
    whole = path.read_bytes()
    rng = np.random.default_rng(2)
    positions = rng.permutation(len(whole))[:400]
    for position in positions:
        damaged = bytearray(whole)
        damaged[position] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        with pytest.raises(ArtefactError):
            load(path)


def edited(
    path: Path, edit: Callable[[dict[str, str], dict[str, NDArray[np.generic]]], object]
) -> None:
    """Write the file again with its stamp or arrays changed, and a hash that fits."""
    size = int.from_bytes(path.read_bytes()[:8], "little")
    stamp = json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]
    arrays = load_file(path)
    edit(stamp, arrays)
    if "header" in stamp:
        stamp["content_sha256"] = container.content_sha256(stamp["header"], arrays)
    save_file(arrays, path, metadata=stamp)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda stamp, _: stamp.update(version="99"), "format version 99, this kit reads version"),
        (lambda stamp, _: stamp.update(format="weather"), "is a 'weather' file"),
        (lambda stamp, _: stamp.clear(), "foreign"),
        (lambda stamp, _: stamp.update(header="[]"), "header must be a JSON object"),
        (lambda stamp, _: stamp.update(header="{"), "header is not JSON"),
        (lambda stamp, _: stamp.update(header="{}"), "not a valid"),
        (lambda _, arrays: arrays.popitem(), "not a valid"),
        (
            lambda stamp, _: stamp.update(header=stamp["header"].replace("sha256", "sha")),
            "not a valid",
        ),
        (lambda _, arrays: [a.fill(0) for a in arrays.values()], "hash to"),
    ],
)
def test_newer_foreign_and_changed_files_are_refused(
    artefact: tuple[Path, Load],
    edit: Callable[[dict[str, str], dict[str, NDArray[np.generic]]], object],
    message: str,
) -> None:
    path, load = artefact
    edited(path, edit)
    with pytest.raises(ArtefactError, match=message):
        load(path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    networks.save(SMALL, tmp_path / "a.stoic")
    with pytest.raises(ArtefactError, match="is a 'stoic-network' file, not 'stoic-faults'"):
        faults.load(tmp_path / "a.stoic")
    (tmp_path / "b.faults").write_bytes(b"PK\x03\x04" * 100)
    for path in (tmp_path / "b.faults", tmp_path, tmp_path / "none"):
        with pytest.raises(ArtefactError, match="corrupt|no such file|a folder"):
            container.read(path, faults.FORMAT, faults.VERSION)
