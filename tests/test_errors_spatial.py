"""Spatial laws: exact mean rates, the patterns they promise and no others, nesting, persistence."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stoic.sim import faults as fault_maps
from stoic.sim import operating_points, spatial
from stoic.sim.errors import (
    Bursts,
    Clusters,
    DataDependent,
    ErrorModel,
    Iid,
    Lines,
    describe,
    from_json,
)
from stoic.sim.errors.mean_rate import scale_of_levels, scale_of_lines
from stoic.sim.exceptions import InputError
from stoic.sim.faults import FaultMap
from stoic.sim.geometry import CellArray
from stoic.sim.memory import KINDS, Bank, Fold, Layout, Shape, stored_bits
from stoic.sim.random_network import random_network

# 784 inputs on 36 lanes and 301 neurons on 2 units leave pads in words and at the end of banks
SHAPES = (Shape(784, 301, "bits", True), Shape(301, 256, "bits", False))
LAYOUT = Layout(SHAPES, (Fold(2, 36), Fold(1, 64)))
TALL = Layout((Shape(4096, 80, "bits", False),), (Fold(1, 32),))  # one bank of 10,240 x 32 cells
SMALL = Layout((Shape(70, 9, "bits", True), Shape(9, 5, "bits", False)), (Fold(2, 12), Fold(1, 4)))
STORED = np.random.default_rng(5).integers(0, 2, LAYOUT.n_cells, np.uint8) * LAYOUT.is_stored
seeds = st.integers(0, 2**32 - 1)
SIGMAS = 5.0

MODELS: list[Any] = [
    Lines(0.02, 0.05, column_sigma=1.0),
    Lines(0.05, 0.02, row_sigma=1.0, words_per_row=4),
    Lines(0.2, 0.3, column_sigma=1.5, row_sigma=1.0, weak_rows=0.1),  # many cells are clipped
    Lines(0.01, 0.01, weak_columns=0.1, weakness=20.0),
    Clusters(0.01, 0.03),
    Clusters(0.3, 0.2, size=6.0, radius=2.0, words_per_row=2),  # clusters overlap
    Bursts(0.02, 0.01),
    Bursts(0.3, 0.2, length=8.0, along="column", words_per_row=4),
    DataDependent(0.02, 0.04, row_coupling=3.0),
    DataDependent(0.3, 0.5, row_coupling=8.0, column_coupling=0.5, words_per_row=4),
]
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda m: f"{m.name}-{m.p01:g}")


def sample(model: Any, layout: Layout = LAYOUT, chip: int = 0, **more: Any) -> FaultMap:
    stored = more.pop("stored", STORED if layout is LAYOUT else np.zeros(layout.n_cells, np.uint8))
    found: FaultMap = model.sample(layout, chip, stored=stored, **more)
    return found


def turns(map_: FaultMap, value: int) -> NDArray[np.bool_]:
    """(n_cells,) True where `value`, if stored, reads as the other."""
    read = map_.read(np.full(map_.layout.n_cells, value, np.uint8))
    return np.asarray(read != value)


def cells_of(bank: Bank) -> slice:
    return slice(bank.first_cell, bank.first_cell + bank.n_words * bank.width)


# ---- the array ----


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 20), st.integers(1, 9), st.integers(1, 5))
def test_cells_and_places_are_one_to_one(n_words: int, width: int, words_per_row: int) -> None:
    array = CellArray(n_words, width, words_per_row)
    cells = np.arange(n_words * width)
    row, column = array.place(cells)
    assert row.max() < array.n_rows and column.max() < array.n_columns
    back, exists = array.cells_at(row, column)
    assert exists.all() and (back == cells).all()
    values = cells + 1
    rows = array.as_rows(values)
    assert (rows[row, column] == values).all() and np.count_nonzero(rows) == len(cells)
    assert (array.as_cells(rows) == values).all()
    r, c = np.mgrid[-1 : array.n_rows + 1, -1 : array.n_columns + 1].reshape(2, -1)
    assert array.cells_at(r, c)[1].sum() == len(cells)
    addresses = cells // width
    same_row = addresses[:, None] // words_per_row == addresses // words_per_row
    assert ((row[:, None] == row) == same_row).all()  # words that share a word line do
    same_bit_line = (cells[:, None] % width == cells % width) & (
        addresses[:, None] % words_per_row == addresses % words_per_row
    )
    assert ((column[:, None] == column) == same_bit_line).all()


# ---- mean rates ----


def variance(model: ErrorModel, p: float) -> float:
    """Of the number of faults among n cells of an array, over n: at most this."""
    if isinstance(model, Bursts):
        rho: float = model.runs_on * (1 - model.start_rate(p))
        return p * (1 - p) * (1 + rho) / (1 - rho)
    if isinstance(model, Clusters):
        reach = range(-2 * int(3 * model.radius), 2 * int(3 * model.radius) + 1)
        return sum(model.covariance(p, r, c) for r in reach for c in reach)
    return p * (1 - p)  # independent once lines or data are given, and no more than binomial


def keeps_its_rates(model: Any, variances: list[float], n_chips: int = 6) -> bool:
    """Whether the faults of each bank and polarity are as many as the model's law allows.

    Args:
        variances: of either polarity, as `variance` gives it.
    """
    wrong = np.zeros((2, LAYOUT.n_cells))
    for chip in range(n_chips):
        map_ = sample(model, chip=chip)
        for value in (0, 1):
            wrong[value] += turns(map_, value)
    assert not wrong[:, ~LAYOUT.is_stored].any()
    for bank, value in itertools.product(LAYOUT.banks, (0, 1)):
        counted = LAYOUT.is_stored[cells_of(bank)].copy()
        if model.needs_data:  # its mean is over the cells that hold the value
            counted &= STORED[cells_of(bank)] == value
        p, n = model.rates()[value], int(counted.sum())
        p *= bank.kind == "weights"
        excess = wrong[value][cells_of(bank)][counted].sum() - p * n * n_chips
        if abs(excess) > SIGMAS * (variances[value] * n * n_chips) ** 0.5:
            return False
    return True


@each_model
def test_mean_rates_hold_in_each_bank_and_polarity(model: Any) -> None:
    assert keeps_its_rates(model, [variance(model, p) for p in model.rates()])


def first_order(p: float, n_stored: float, split: Callable[[float], tuple[float, float]]) -> float:
    return p * n_stored / split(0.0)[1]


@pytest.mark.parametrize(
    ("model", "target", "wrong"),
    [
        (MODELS[2], "stoic.sim.errors.mean_rate.scale", first_order),
        (MODELS[9], "stoic.sim.errors.mean_rate.scale", first_order),
        (MODELS[5], "stoic.sim.errors.clusters.Clusters.centre_rate", lambda m, p: p / m.size),
        (MODELS[7], "stoic.sim.errors.bursts.Bursts.start_rate", lambda m, p: p / m.length),
    ],
)
def test_laws_that_forget_clipping_or_overlap_are_caught(
    model: Any, target: str, wrong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    variances = [variance(model, p) for p in model.rates()]
    assert keeps_its_rates(model, variances, 2)
    monkeypatch.setattr(target, wrong)
    assert not keeps_its_rates(model, variances, 2)


factors = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=12).map(np.array)
rates = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1e-9, 0.5, 1 - 1e-9, 1.0]))


@settings(max_examples=200, deadline=None)
@given(factors, factors, rates, rates, seeds)
def test_the_clipped_mean_is_exact_and_rises_with_the_rate(
    rows: NDArray[np.float64], columns: NDArray[np.float64], a: float, b: float, seed: int
) -> None:
    absent = np.random.default_rng(seed).random((len(rows), len(columns))) < 0.2
    f = np.outer(rows, columns)[~absent]
    i, j = (index.astype(np.int64) for index in np.nonzero(absent))
    before = 0.0
    for p in sorted((a, b)):
        t = scale_of_lines(p, rows, columns, (i, j))
        assert t == pytest.approx(scale_of_levels(p, f, np.ones(f.size, np.int64)), rel=1e-9)
        if f.size:
            assert np.minimum(1.0, t * f).mean() == pytest.approx(p, rel=1e-9, abs=1e-300)
        assert t >= before * (1 - 1e-12)
        before = t


@each_model
def test_rate_1_takes_every_stored_cell_and_rate_0_none(model: Any) -> None:
    for words_per_row in (1, 4):  # SMALL has rows that lack words, and pads of both kinds
        stored = np.random.default_rng(1).integers(0, 2, SMALL.n_cells, np.uint8)
        model = replace(model, words_per_row=words_per_row)
        every = sample(replace(model, p01=1.0, p10=1.0), SMALL, where=KINDS, stored=stored)
        assert ((every.read(stored) != stored) == SMALL.is_stored).all()
        assert model.needs_data or (every.cells("flip") == SMALL.is_stored).all()
        assert sample(replace(model, p01=0.0, p10=0.0), SMALL, where=KINDS).n_faults == 0
        one_way = sample(replace(model, p01=1.0, p10=0.0), SMALL, stored=stored)
        in_weights = np.concatenate([SMALL.weight_cells(k).ravel() for k in range(2)])
        wanted = stored[in_weights] == 0 if model.needs_data else np.ones(len(in_weights), bool)
        assert (one_way.cells("stuck1")[in_weights] == wanted).all()
        assert not (one_way.flip | one_way.stuck0).any()


def test_without_spread_or_coupling_faults_are_those_of_iid() -> None:
    for p01, p10 in ((0.02, 0.05), (0.3, 0.3), (1.0, 0.0)):
        iid = sample(Iid(p01, p10, seed=4), chip=2)
        for model in (
            Lines(p01, p10, seed=4, words_per_row=3),
            Bursts(p01, p10, length=1.0, seed=4),
            DataDependent(p01, p10, row_coupling=1.0, seed=4),
        ):
            map_ = sample(model, chip=2)
            if model.needs_data:  # the map is of this data only
                assert (map_.read(STORED) == iid.read(STORED)).all()
            else:
                assert map_.sha256 == iid.sha256


# ---- patterns ----


def z_of(dispersion: float | None, dof: int) -> float:
    assert dispersion is not None
    return float((dispersion - 1) * (dof / 2) ** 0.5)


def pattern(model: Any, words_per_row: int = 1) -> tuple[bool, bool, bool]:
    """Whether word lines, bit lines and neighbours show more than chance, at 6 sigma."""
    found = [
        spatial.spread_of(sample(model, TALL, chip), TALL.banks, words_per_row) for chip in range(3)
    ]
    s = found[0] + found[1] + found[2]
    assert s.morans_i is not None
    return (
        z_of(s.row_dispersion, s.row_dof) > 6,
        z_of(s.column_dispersion, s.column_dof) > 6,
        s.morans_i * (2 * s.n_stored) ** 0.5 > 6,
    )


def test_each_law_shows_its_pattern_and_no_other() -> None:
    p = 0.03
    assert pattern(Iid(p, p)) == (False, False, False)
    assert pattern(Lines(p, p)) == (False, False, False)
    assert pattern(Lines(p, p, column_sigma=1.0)) == (False, True, True)
    assert pattern(Lines(p, p, weak_columns=0.1)) == (False, True, True)
    assert pattern(Lines(p, p, row_sigma=1.0)) == (True, False, True)
    assert pattern(Lines(p, p, weak_rows=0.1)) == (True, False, True)
    assert pattern(Clusters(p, p, size=6.0, radius=2.0))[2]
    row, column, near = pattern(Bursts(p, p, length=6.0))
    assert row and near
    row, column, near = pattern(Bursts(p, p, length=6.0, along="column"))
    assert column and near and not row
    # a word line that several words share is one row only in its own array
    shared = Lines(p, p, row_sigma=1.0, words_per_row=8)
    assert pattern(shared, 8) == (True, False, True)
    faulty = spatial.faulty_cells(sample(Bursts(p, p, length=2.0, words_per_row=8), TALL))
    for words_per_row, together in ((8, True), (1, False)):  # its neighbours are of other words
        rows = spatial.rows_of(faulty, TALL.banks[0], words_per_row)
        g = spatial.pair_correlation(rows, np.ones_like(rows), 0, 1)
        assert g > 10 if together else 0.8 < g < 1.2


def test_the_smallest_clusters_still_have_neighbours() -> None:
    for radius in (0.3, 0.33):
        assert len(Clusters(0.1, 0.1, size=2.0, radius=radius).offsets) == 4


def test_clusters_correlate_as_their_law_says() -> None:
    model = Clusters(0.04, 0.04, size=5.0, radius=1.2)
    for p in (1e-12, 0.04, 0.9, 1 - 1e-9):
        c = model.centre_rate(p)
        log_sound = np.log1p(-c) + np.log1p(-c * model.chances).sum()
        assert -np.expm1(log_sound) == pytest.approx(p, rel=1e-12)
    n_chips, stored = 6, np.ones((10240, 32), np.bool_)
    arrays = [spatial.rows_of(spatial.faulty_cells(sample(model, TALL, chip)), TALL.banks[0])
              for chip in range(n_chips)]  # fmt: skip
    seen = {}
    for lag in ((0, 1), (1, 0), (1, 1), (1, -1), (2, 1), (0, 3), (9, 0)):
        expected = 1 + model.covariance(0.04, *lag) / 0.04**2
        each = [spatial.pair_correlation(a, stored, *lag) for a in arrays]
        error = np.std(each, ddof=1) / n_chips**0.5
        assert abs(np.mean(each) - expected) < max(SIGMAS * error, 0.01), lag
        seen[lag] = float(np.mean(each))
    assert seen[0, 1] > 3 and abs(seen[9, 0] - 1) < 0.1


def chi2_of_runs(arrays: list[NDArray[np.bool_]], q: float, longest: int) -> float:
    """Chi-square over its mean of run lengths 1..longest or more, against continuation q.

    Runs count that start where at least `longest` more cells of the line follow, so none of them
    is cut short.
    """
    seen = np.zeros(longest)
    for a in arrays:
        before = np.pad(a, ((0, 0), (1, 0)))[:, :-1]
        starts = np.argwhere(a & ~before)
        for row, column in starts[starts[:, 1] < a.shape[1] - longest]:
            run = a[row, column : column + longest]
            seen[longest - 1 if run.all() else int(np.argmin(run)) - 1] += 1
    law = np.append((1 - q) * q ** np.arange(longest - 1), q ** (longest - 1))
    expected = law * seen.sum()
    assert expected.min() > 20
    return float(((seen - expected) ** 2 / expected).sum() / (longest - 1))


@pytest.mark.parametrize("along", ["row", "column"])
def test_runs_have_the_geometric_law(along: Any) -> None:
    model = Bursts(0.05, 0.05, length=3.0, along=along)
    q = 1 - (1 - model.start_rate(0.05)) * (1 - model.runs_on)
    arrays, across = [], []
    for chip in range(2):
        faulty = spatial.rows_of(spatial.faulty_cells(sample(model, TALL, chip)), TALL.banks[0])
        arrays.append(faulty if along == "row" else faulty.T)
        across.append(faulty.T if along == "row" else faulty)
    limit = 1 + 5 * (2 / 7) ** 0.5
    assert chi2_of_runs(arrays, q, 8) < limit < chi2_of_runs(arrays, 1 - 1 / 2.8, 8)
    assert chi2_of_runs(across, 0.05, 3) < 6  # in the other direction the cells are independent


def test_bursts_keep_their_rate_in_a_last_row_that_lacks_words() -> None:
    banks = Layout((Shape(60, 48, "bits", False),), (Fold(16, 20),))  # 9 words on rows of 4 or 64
    p, n_chips = 0.1, 60
    for words_per_row in (4, 64):
        model = Bursts(p, p, length=8.0, words_per_row=words_per_row)
        n = sum(sample(model, banks, chip).n_faults for chip in range(n_chips))
        k = model.runs_on * (1 - model.start_rate(p))
        spread = (p * (1 - p) * (1 + k) / (1 - k) * banks.n_cells * n_chips) ** 0.5
        assert abs(n - p * banks.n_cells * n_chips) < SIGMAS * spread  # from 0 on: 35 % too few


def test_failures_follow_the_stored_bits_and_their_neighbours() -> None:
    model = DataDependent(0.02, 0.05, row_coupling=3.0, column_coupling=0.5, words_per_row=4)
    bank = LAYOUT.banks[0]
    array = CellArray(bank.n_words, bank.width, 4)
    row, column = array.place(np.arange(array.n_cells))
    held = np.full((array.n_rows + 2, array.n_columns + 2), -1)
    held[row + 1, column + 1] = STORED[cells_of(bank)]
    here = held[row + 1, column + 1]

    def opposite(dr: int, dc: int) -> NDArray[np.int64]:
        return np.asarray(held[row + 1 + dr, column + 1 + dc] == 1 - here, np.int64)

    across, along = opposite(0, -1) + opposite(0, 1), opposite(-1, 0) + opposite(1, 0)
    factor = 3.0**across * 0.5**along
    wrong = np.zeros(array.n_cells)
    n_chips = 30
    for chip in range(n_chips):
        read = sample(model, chip=chip).read(STORED)
        wrong += (read != STORED)[cells_of(bank)]
    stored = LAYOUT.is_stored[cells_of(bank)]
    for value, p in ((0, 0.02), (1, 0.05)):
        mine = stored & (here == value)
        t = p / factor[mine].mean()
        for i, j in itertools.product(range(3), range(3)):
            cells = mine & (across == i) & (along == j)
            n, rate = int(cells.sum()) * n_chips, t * 3.0**i * 0.5**j
            assert n > 1000
            assert abs(wrong[cells].sum() - n * rate) < SIGMAS * (n * rate * (1 - rate)) ** 0.5


def test_the_map_of_other_data_is_another_one() -> None:
    model = DataDependent(0.1, 0.1, row_coupling=4.0)
    inverse = (1 - STORED) * LAYOUT.is_stored
    a, b = sample(model), sample(model, stored=inverse.astype(np.uint8))
    assert a.sha256 != b.sha256
    assert a.provenance["stored_sha256"] != b.provenance["stored_sha256"]
    for stored in (None, STORED[1:], STORED.astype(np.int64)):
        with pytest.raises(InputError, match="must know what the cells hold"):
            sample(model, stored=stored)
    network = random_network((70, 9, 5), "bits", np.random.default_rng(0))
    layout = Layout((Shape(70, 9, "bits", True), Shape(9, 5, "bits", False)), SMALL.folds)
    assert sample(model, layout, stored=stored_bits(network, layout)).n_faults


# ---- nesting and persistence ----


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(MODELS), rates, rates, rates, rates, st.integers(0, 3))
def test_faults_nest_in_the_mean_rate(
    model: Any, a: float, b: float, c: float, d: float, chip: int
) -> None:
    (low01, high01), (low10, high10) = sorted((a, b)), sorted((c, d))
    stored = np.random.default_rng(chip).integers(0, 2, SMALL.n_cells, np.uint8)
    small = sample(replace(model, p01=low01, p10=low10), SMALL, chip, stored=stored)
    large = sample(replace(model, p01=high01, p10=high10), SMALL, chip, stored=stored)
    assert fault_maps.is_nested(small, large)
    for value in (0, 1):
        assert (turns(small, value) <= turns(large, value)).all()


@each_model
def test_chips_banks_and_events_differ_as_the_persistence_says(model: Any) -> None:
    first = sample(model)
    assert sample(model, event=3).sha256 == first.sha256 == sample(model).sha256
    assert sample(model, chip=1).sha256 != first.sha256
    assert sample(replace(model, seed=1)).sha256 != first.sha256
    again = replace(model, persistence="programming")
    assert sample(again, event=1).sha256 != sample(again, event=2).sha256
    faulty = spatial.faulty_cells(first)
    one, two = (faulty[cells_of(bank)] for bank in LAYOUT.banks[:2])
    assert (one != two).any()


def test_weak_lines_stay_weak_when_faults_are_drawn_anew() -> None:
    model = Lines(0.05, 0.05, column_sigma=1.0, persistence="programming")
    a, b, other = (
        spatial.rows_of(spatial.faulty_cells(sample(model, TALL, chip, event=e)), TALL.banks[0])
        for chip, e in ((0, 1), (0, 2), (1, 1))
    )
    counts = [x.sum(axis=0) for x in (a, b, other)]
    assert np.corrcoef(counts[0], counts[1])[0, 1] > 0.95
    assert abs(np.corrcoef(counts[0], counts[2])[0, 1]) < 0.7
    assert (a & b).sum() < 0.5 * a.sum()


SCRIPT = """
import numpy as np
from stoic.sim.errors import Bursts, Clusters, DataDependent, Lines
from stoic.sim.memory import Fold, Layout, Shape
layout = Layout((Shape(784, 301, "bits", True),), (Fold(2, 36),))
stored = (np.arange(layout.n_cells) * 7 // 3 % 2).astype(np.uint8)
for model in (
    Lines(0.02, 0.05, 1.0, 0.5, 0.1, 0.1, 10.0, 2, 11),
    Clusters(0.02, 0.05, 4.0, 1.5, 2, 11),
    Bursts(0.02, 0.05, 4.0, "column", 2, 11),
    DataDependent(0.02, 0.05, 2.0, 3.0, 2, 11),
):
    print(model.name, model.sample(layout, 3, stored=stored).sha256)
"""


def test_every_draw_is_a_pure_function_of_model_seed_chip_and_cell() -> None:
    """In other processes, with other vector units; every published map rests on these hashes."""
    for disabled in ("", "AVX512F AVX512_SKX AVX2 FMA3"):
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SCRIPT],
            env={**os.environ, "NPY_DISABLE_CPU_FEATURES": disabled, "PYTHONHASHSEED": "7"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert dict(line.split() for line in ran.stdout.splitlines()) == HASHES


HASHES = {
    "lines": "d6ad3c7495286ff249d0e2900287e550df16a8bdb55d44733fe67460e5bbc2fb",
    "clusters": "5d94e2ad9d158bccde8e9f0568a0c59aa5f7c21650a2fd5545325d6a9fdb1279",
    "bursts": "c09592feb010af14f40515f9b1bbe0f257984009cff2a0e85d77b782362cacae",
    "data-dependent": "69897fedabb022c87e14d8cd8a03162b9f48d3d1a85a524c30fae471a3f4072d",
}


@each_model
def test_models_come_back_from_their_description(model: Any) -> None:
    assert from_json(describe(model)) == model
    provenance = sample(model, chip=5).provenance
    assert (provenance["model"], provenance["chip"]) == (model.name, 5)


def test_every_law_has_a_name_for_the_command_line() -> None:
    made: dict[str, Any] = {
        "bitline": Lines(0.02, 0.02, column_sigma=1.0),
        "wordline": Lines(0.02, 0.02, row_sigma=1.0),
        "cluster": Clusters(0.02, 0.02),
        "burst": Bursts(0.02, 0.02),
        "data": DataDependent(0.02, 0.02),
    }
    for name, model in made.items():
        point = operating_points.parse(f"{name}-2%")
        assert (point.name, point.model(0)) == (f"{name}-2%", model)
        assert point.row()["provisional"] and point.row()["law"] != "independent"
        assert point.model(3) == replace(model, seed=3)


@pytest.mark.parametrize(
    ("model", "values", "message"),
    [
        (Lines, {"p01": 1.1, "p10": 0}, r"p01 must be 0\.\.1"),
        (Lines, {"p01": 0, "p10": 0, "column_sigma": 5}, r"column_sigma must be 0\.\.4"),
        (Lines, {"p01": 0, "p10": 0, "weakness": 0.5}, "weakness must be"),
        (Lines, {"p01": 0, "p10": 0, "weak_rows": -1}, "weak_rows must be"),
        (Clusters, {"p01": 0, "p10": 0, "size": 0.5}, r"size must be 1\.\."),
        (Clusters, {"p01": 0, "p10": 0, "size": 90.0}, r"size must be 1\.\..* at radius 1"),
        (Clusters, {"p01": 0, "p10": 0, "radius": float("nan")}, "radius must be"),
        (Bursts, {"p01": 0, "p10": 0, "length": 0.9}, "length must be"),
        (Bursts, {"p01": 0, "p10": 0, "along": "diagonal"}, "along must be among"),
        (Bursts, {"p01": 0, "p10": 0, "persistence": "day"}, "persistence must be among"),
        (DataDependent, {"p01": 0, "p10": 0, "row_coupling": 0}, "row_coupling must be"),
        (DataDependent, {"p01": 0, "p10": 0, "words_per_row": 0}, "words_per_row must be"),
    ],
)
def test_parameters_that_cannot_be_are_refused(model: Any, values: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model(**values)


# ---- statistics ----


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(2, 7), st.integers(2, 7))
def test_statistics_equal_their_definitions(seed: int, n_rows: int, n_columns: int) -> None:
    rng = np.random.default_rng(seed)
    stored = rng.random((n_rows, n_columns)) < 0.9
    faulty = (rng.random((n_rows, n_columns)) < 0.4) & stored
    s = spatial.spread(faulty, stored)
    cells = [(r, c) for r in range(n_rows) for c in range(n_columns) if stored[r, c]]
    p = s.n_faults / len(cells) if cells else 0.0
    if not 0 < p < 1:
        assert s.morans_i is None and s.row_dispersion is None
        return
    x = {cell: faulty[cell] - p for cell in cells}
    near = [(a, b) for a in cells for b in cells if abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1]
    if near:
        moran = len(cells) / len(near) * sum(x[a] * x[b] for a, b in near)
        moran /= sum(v * v for v in x.values())
        assert s.morans_i == pytest.approx(moran, abs=1e-9)
    lines = [[x[cell] for cell in cells if cell[0] == r] for r in range(n_rows)]
    chi2 = sum(sum(v) ** 2 / (len(v) * p * (1 - p)) for v in lines if v)
    assert s.row_chi2 == pytest.approx(chi2, abs=1e-9)
    turned = spatial.spread(faulty.T, stored.T)
    assert turned.column_chi2 == pytest.approx(chi2, abs=1e-9)
    runs = [len(list(g)) for r in faulty for key, g in itertools.groupby(r) if key]
    counted = spatial.run_lengths(faulty)
    assert counted[0] == 0 and [runs.count(k) for k in range(len(counted))] == counted.tolist()
    pairs = [(faulty[a], faulty[b]) for a in cells for b in cells
             if (b[0] - a[0], b[1] - a[1]) == (1, -1)]  # fmt: skip
    if pairs:
        expected = sum(a and b for a, b in pairs) / len(pairs) / p**2
        assert spatial.pair_correlation(faulty, stored, 1, -1) == pytest.approx(expected, abs=1e-9)


def test_show_tells_weak_columns_from_independent_cells() -> None:
    from stoic.sim.commands import memories

    for model, low, high in ((Iid(0.03, 0.06), 0.5, 1.6), (Lines(0.03, 0.06, 1.0), 5, 1e3)):
        rows = memories(sample(model))
        weights = [row for row in rows if row["kind"] == "weights"]
        for row in weights:
            assert low < row["column_dispersion"] < high and 0.8 < row["row_dispersion"] < 1.2
            assert 1.8 < row["n_1to0"] / row["n_0to1"] < 2.2
        silent = [row for row in rows if row["kind"] == "thresholds"]
        assert all(row["n_0to1"] == 0 and row["morans_i"] is None for row in silent)
