"""Memory technologies: laws against the authors' raw files, replays against them bit for bit."""

import json
import math
import os
from dataclasses import replace
from functools import cache
from math import log10, sqrt
from pathlib import Path
from statistics import NormalDist
from types import NoneType

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import multivariate_normal

from stoic.hw import cli
from stoic.sim import errors, faults, operating_points
from stoic.sim import network as networks
from stoic.sim.errors import (
    ErrorModel,
    bram_maps,
    dram_voltage,
    measured,
    normal_field,
    rram,
    rram_radar,
    rram_retention,
    sram,
)
from stoic.sim.errors.bram_maps import BramReplay
from stoic.sim.errors.dram import DramLines
from stoic.sim.errors.fefet import FeFet
from stoic.sim.errors.rram import Rram, RramSet
from stoic.sim.errors.rram_radar import RramReplay
from stoic.sim.errors.sram import Sram
from stoic.sim.exceptions import ArtefactError, InputError
from stoic.sim.faults import FaultMap
from stoic.sim.fields import kinds
from stoic.sim.memory import Fold, Layout, Shape
from stoic.sim.random_network import random_network

ROOT = Path(os.environ["STOIC_DATA"]) if "STOIC_DATA" in os.environ else None
measured_data = pytest.mark.skipif(
    ROOT is None or not (ROOT / "bram-undervolting").is_dir(), reason="needs the measured data"
)
# 8 banks of 4096 x 64 bits without pads, 2 Mbit
LAYOUT = Layout((Shape(1024, 2048, "bits", False),), (Fold(8, 64),))
# as large as the board: 890 banks of 1024 x 16
BOARD = Layout((Shape(64, 890 * 256, "bits", False),), (Fold(890, 16),))
NORMAL = NormalDist()


def n_wrong(map_: FaultMap) -> tuple[int, int]:
    """(cells that read 1 when 0 is stored, cells that read 0 when 1 is stored)."""
    return tuple(  # type: ignore[return-value]
        int(np.bitwise_count(map_.flip | getattr(map_, stuck)).sum())
        for stuck in ("stuck1", "stuck0")
    )


def both_fail(rate: float, share: float) -> float:
    """Chance that a cell fails in two programmings: of two normal numbers with this correlation."""
    z = NORMAL.inv_cdf(rate)
    law = multivariate_normal(cov=[[1, share], [share, 1]])  # pyright: ignore[reportArgumentType]
    return float(law.cdf([z, z]))


def wrong(map_: FaultMap) -> NDArray[np.bool_]:
    """(n_cells,) cells in which something is wrong."""
    return map_.cells("flip") + map_.cells("stuck0") + map_.cells("stuck1") > 0


# ---- sampled rates ----

SAMPLED: dict[str, ErrorModel] = {
    "1t1r off the middle": Rram(5.0, 0.35, 3.7, 0.3, "1T1R", 4.4, 0.6, 0.2),
    "1t1r all of the device": Rram(5.0, 0.4, 3.7, 0.4, "1T1R", None, 1.0, 1.0),
    "2t2r": Rram(5.0, 0.5, 3.7, 0.2, "2T2R", None, 0.6, 0.3),
    "2t2r, nothing of the device": Rram(5.0, 0.5, 3.7, 0.2),
    "weak set": RramSet(2.45, "1T1R"),
    "weak set, 2t2r": RramSet(2.45, "2T2R"),
    "300 cycles": rram.after_cycles(300, "1T1R"),
    "sram": Sram(0.49, zeros=0.25, extrapolate=True),
    "dram lines": DramLines("C", 1.1),
    "dram lines, 40 bits": DramLines("B", 1.025, bits_per_line=40),
    "fefet": FeFet(85.0),
    "retention": rram_retention.RramRetention(2, 358, 1e7),
    "stutz": operating_points.parse("stutz-chip2-4.707%").model(0),
    "neuralfuse": operating_points.parse("neuralfuse-1.21%").model(0),
}


@pytest.mark.parametrize("model", SAMPLED.values(), ids=SAMPLED)
def test_rates_are_met_per_polarity_and_bank(model: ErrorModel) -> None:
    model = replace(model, seed=5)  # type: ignore[type-var]
    map_ = model.sample(LAYOUT, 3, event=2)
    n_bank = LAYOUT.n_cells // len(LAYOUT.banks)
    for rate, stuck, other in zip(model.rates(), ("stuck1", "stuck0"), ("p01", "p10"), strict=True):
        per_bank = (map_.cells("flip") + map_.cells(stuck)).reshape(-1, n_bank).sum(1)
        # bits of one line are not independent: at most so many times the variance
        spread = 1 + (model.bits_per_line if isinstance(model, DramLines) else 0)
        for found, n in [*((int(k), n_bank) for k in per_bank), (int(per_bank.sum()), 8 * n_bank)]:
            sigma = sqrt(spread * n * rate * (1 - rate))
            assert abs(found - n * rate) <= 4.5 * sigma + 1e-9, (other, found, n * rate)
    if model.persistence == "programming" and getattr(model, "hrs_share", 0) < 1:
        assert model.sample(LAYOUT, 3, event=1).sha256 != map_.sha256
    else:
        assert model.sample(LAYOUT, 3, event=1).sha256 == map_.sha256
    assert model.sample(LAYOUT, 4, event=2).sha256 != map_.sha256


def test_faults_nest_as_the_condition_gets_worse() -> None:
    pairs: list[tuple[ErrorModel, ErrorModel]] = [
        (Sram(0.52, extrapolate=True), Sram(0.5, extrapolate=True)),
        (FeFet(60.0), FeFet(61.0)),
        (DramLines("C", 1.25), DramLines("C", 1.2)),
        (RramSet(2.5), RramSet(2.45)),
        (rram_retention.RramRetention(2, 358, 2e6), rram_retention.RramRetention(2, 358, 3e6)),
        (
            Rram(5.0, 0.5, 3.7, 0.2, "1T1R", None, 0.6, 0.3),
            Rram(4.9, 0.5, 3.8, 0.2, "1T1R", None, 0.6, 0.3),
        ),
    ]
    for better, worse in pairs:
        small, large = better.sample(LAYOUT, 1), worse.sample(LAYOUT, 1)
        assert faults.is_nested(small, large) and small.n_faults < large.n_faults


# ---- RRAM ----


def test_two_devices_are_worth_a_factor_sqrt_2() -> None:
    for single, pair in ((0.01, 0.0005), (0.033, 0.0047)):
        half = -NORMAL.inv_cdf(single)
        assert Rram(half, 1.0, -half, 1.0, "1T1R").rates() == pytest.approx((single, single))
        assert Rram(half, 1.0, -half, 1.0, "2T2R").rates()[0] == pytest.approx(pair, rel=0.01)
    low, high = Rram(5.0, 0.3, 4.0, 0.2, "1T1R", 4.3).rates()
    assert low == pytest.approx(NORMAL.cdf(-0.7 / 0.3)) and high == pytest.approx(
        NORMAL.cdf(-0.3 / 0.2)
    )


@pytest.mark.parametrize(
    ("rate", "share"),
    [(0.15, 0.61), (0.01, 0.3), (1e-4, 0.8), (0.4, 0.05), (1e-6, 0.9)],
)
def test_a_share_of_the_variance_stays_with_the_device(rate: float, share: float) -> None:
    classes = normal_field.classes(rate, share)
    assert [p for _, p in classes] == sorted((p for _, p in classes), reverse=True)
    assert classes[-1][0] == 1.0
    weights = np.diff([v for v, _ in classes], prepend=0.0)
    rates = np.array([p for _, p in classes])
    assert weights @ rates == pytest.approx(rate, rel=1e-9)
    both = both_fail(rate, share)
    assert weights @ rates**2 == pytest.approx(both, rel=0.06)  # of classes 1/4 sigma wide

    gap = -2 * NORMAL.inv_cdf(rate)
    model = Rram(gap, 1.0, 0.0, 1.0, "1T1R", None, share, share, seed=2)
    first, second = (wrong(model.sample(LAYOUT, 0, event=e)) for e in (0, 1))
    expected = LAYOUT.n_cells * both
    assert abs(int((first & second).sum()) - expected) < 4.5 * sqrt(expected) + 0.06 * expected
    other = wrong(model.sample(LAYOUT, 1, event=1))  # another chip shares nothing
    apart = LAYOUT.n_cells * rate**2
    assert abs(int((first & other).sum()) - apart) < 4.5 * sqrt(apart) + 1


@pytest.mark.parametrize("rate", [1e-12, 1e-9, 0.5, 1 - 1e-9])
def test_the_mean_of_the_classes_is_the_rate_however_rare(rate: float) -> None:
    for share in (1e-6, 0.01, 0.3, 0.61, 0.99, 1 - 1e-9):
        ends, rates = np.array(normal_field.classes(rate, share)).T
        assert (np.diff(rates) <= 0).all() and rates.max() <= 1.0
        assert rates @ np.diff(ends, prepend=0.0) == pytest.approx(rate, rel=1e-9)


@measured_data
def test_the_log_normal_law_is_the_fit_to_the_measured_cycles() -> None:
    states = rram_radar.cycling(ROOT)
    assert [s.shape for s in states] == [(256, 300)] * 2
    log_cycle = np.log10(np.arange(1, 301))
    laws = ((rram.HRS_MEAN, rram.HRS_SIGMA), (rram.LRS_MEAN, rram.LRS_SIGMA))
    for state, (mean, sigma), share in zip(
        states, laws, (rram.HRS_SHARE, rram.LRS_SHARE), strict=True
    ):
        assert np.polyfit(log_cycle, state.mean(0), 1)[::-1] == pytest.approx(mean, abs=1e-4)
        assert np.polyfit(log_cycle, state.std(0), 1)[::-1] == pytest.approx(sigma, abs=1e-4)
        free = state - state.mean(0)
        within = free.var(1, ddof=1).mean()
        between = free.mean(1).var(ddof=1) - within / 300
        assert between / (between + within) == pytest.approx(share, abs=0.005)
    model = rram.after_cycles(10)
    assert model.hrs_mean == pytest.approx(rram.HRS_MEAN[0] + rram.HRS_MEAN[1] * log10(10))
    # a device that failed fails again as often as the law says
    hrs, lrs = states
    low = hrs < (hrs.mean() + lrs.mean()) / 2
    per_device = low.mean(1)
    again = float((per_device**2).mean() * 300 - per_device.mean()) / 299
    assert again == pytest.approx(both_fail(float(low.mean()), rram.HRS_SHARE), rel=0.05)


@measured_data
def test_rram_replay_has_every_measured_read_once() -> None:
    layout = Layout((Shape(64, 4, "bits", False),), (Fold(2, 32),))  # 256 cells in two banks
    hrs, lrs = rram_radar.cycling(ROOT)
    limit = rram_radar.reference(hrs, lrs)
    single = [n_wrong(RramReplay("1T1R", 0, ROOT).sample(layout, 0, event=e)) for e in range(300)]
    assert single == [
        (int((hrs[:, e] < limit).sum()), int((lrs[:, e] >= limit).sum())) for e in range(300)
    ]
    assert tuple(np.sum(single, 0)) == rram_radar.WRONG["1T1R"] == (12_312, 191)
    assert sum(rram_radar.WRONG["1T1R"]) / 2 / 76_800 == pytest.approx(8.1e-2, rel=0.01)

    pairs = 0
    for cycle in range(300):
        table = lrs[:, cycle][:, None] >= hrs[:, cycle][None]
        pairs += int(table.sum() - np.trace(table))
    assert (pairs, pairs) == rram_radar.WRONG["2T2R"]
    assert RramReplay("2T2R").rates()[0] == pairs / (300 * 256 * 255)
    first, second = np.arange(0, 512, 2) % 256, np.arange(1, 512, 2) % 256
    n_found = 0
    for e in range(0, 300, 3):
        map_ = RramReplay("2T2R", 0, ROOT).sample(layout, 0, event=e)
        turns1, turns0 = (map_.cells("flip") | map_.cells(s) for s in ("stuck1", "stuck0"))
        assert (turns1 == (hrs[first, e] <= lrs[second, e])).all()
        assert (turns0 == (lrs[first, e] >= hrs[second, e])).all()
        n_found += map_.n_faults
    assert n_found > 20
    for chip in (0, 1):
        one, other = RramReplay("2T2R", 3).devices(LAYOUT.banks[1], chip)
        assert (one != other).all() and one.max() < 256 and other.max() < 256

    for read in rram_radar.READS:  # other chips draw devices: the rate of the cycle
        model = RramReplay(read, 4, ROOT)
        found = n_wrong(model.sample(LAYOUT, 2, event=150))
        assert (
            model.sample(LAYOUT, 3, event=150).sha256 != model.sample(LAYOUT, 2, event=150).sha256
        )
        if read == "1T1R":
            expected = [(hrs[:, 150] < limit).mean(), (lrs[:, 150] >= limit).mean()]
        else:
            table = lrs[:, 150][:, None] >= hrs[:, 150][None]
            expected = [(table.sum() - np.trace(table)) / (256 * 255)] * 2
        for count, rate in zip(found, expected, strict=True):
            sigma = sqrt(LAYOUT.n_cells * rate * (1 - rate))
            assert abs(count - LAYOUT.n_cells * rate) < 4.5 * sigma + 1
    with pytest.raises(InputError, match="event must be 0..299"):
        RramReplay("1T1R", 0, ROOT).sample(layout, 0, event=300)


@measured_data
def test_set_failures_are_those_of_the_measured_sweep() -> None:
    sweep = rram_radar.sweep(ROOT)
    voltage, before, after = sweep[:, 3], sweep[:, 4], sweep[:, 5]
    assert len(np.unique(sweep[:, 0])) == 14
    assert (before < rram_radar.SWEEP_OHM).mean() == rram_radar.SWEEP_P01
    for volt, counts in rram_radar.SET_FAILURES.items():
        near = np.abs(voltage - volt) < rram_radar.SWEEP_WINDOW_V + 1e-6
        assert near.sum() == rram_radar.SWEEP_PULSES
        fails = int((after[near] > rram_radar.SWEEP_OHM).sum())
        pairs = int((before[near][None] <= after[near][:, None]).sum())
        assert (fails, pairs) == counts
    assert [round(RramSet(v).rates()[1], 4) for v in (2.4, 2.45, 2.5, 2.55, 2.6)] == [
        *(0.32, 0.1064, 0.0317, 0.0091, 0.0008)
    ]


@measured_data
def test_retention_table_is_the_authors_file() -> None:
    assert rram_retention.read_table(ROOT) == rram_retention.BER
    rates = [rram_retention.rate_of(2, 358, s) for s in (1e7, 1.2e7, 1.9e7, 2e7)]
    assert rates == sorted(rates) and rates[0] == 0.00210191 and rates[-1] == 0.00547839
    middle = rram_retention.rate_of(2, 358, sqrt(2) * 1e7)  # half way in log time
    assert middle == pytest.approx(sqrt(0.00210191 * 0.00547839))


# ---- undervolted SRAM ----


@cache
def hex_text(voltage: float) -> str:
    """The authors' text of one voltage, as it is."""
    file = measured.File("bram-undervolting", f"KC705B-{voltage}.bin", "KC705B-raw.tar.xz", "", "")
    assert ROOT is not None
    file = replace(file, sha256=bram_maps.SHA256[voltage])
    return measured.read(file, ROOT).decode()


@measured_data
def test_bram_replay_is_the_measured_board_bit_for_bit() -> None:
    maps = {v: BramReplay(v, 7, ROOT).sample(BOARD, 0) for v in bram_maps.FAULTS}
    for voltage, map_ in maps.items():
        assert n_wrong(map_) == (0, bram_maps.FAULTS[voltage])
        assert BramReplay(voltage, 7, ROOT).sample(BOARD, 1).n_faults == bram_maps.FAULTS[voltage]
        raw = hex_text(voltage)
        assert len(raw) == 890 * 1024 * 4
        assert bram_maps.FAULTS[voltage] == sum(
            (int(digit, 16) ^ 15).bit_count() * raw.count(digit) for digit in "0123456789ABCDE"
        )
    assert bram_maps.N_BITS == BOARD.n_cells == 14_581_760

    cells = np.flatnonzero(maps[0.53].cells("stuck0"))
    raw = hex_text(0.53)
    for cell in cells[::23].tolist() + list(range(0, BOARD.n_cells, 999_983)):
        bank, address, bit = BOARD.locate(cell)
        word = int(raw[4 * (bank.pe * 1024 + address) :][:4], 16)
        assert (cell in cells) == (not word >> bit & 1)
    assert all(raw[i : i + 2] == raw[i + 2 : i + 4] for i in range(0, len(raw), 4))  # bytes equal

    missing = {}
    steps = sorted(bram_maps.FAULTS, reverse=True)
    for high, low in zip(steps, steps[1:], strict=False):
        missing[low] = int((wrong(maps[high]) & ~wrong(maps[low])).sum())
    assert missing == {0.58: 0, 0.57: 0, 0.56: 0, 0.55: 0, 0.54: 4, 0.53: 8}


@measured_data
def test_banks_lie_over_as_many_block_rams_as_they_need() -> None:
    # 10 banks of 1500 x 24: two block RAMs down, two across
    layout = Layout((Shape(24, 15_000, "bits", False),), (Fold(10, 24),))
    board = bram_maps.faulty(0.53, ROOT)
    for chip in (0, 5):
        map_ = BramReplay(0.53, 3, ROOT).sample(layout, chip)
        order = bram_maps.tile_order(3, chip, 40)
        assert (order == np.arange(40)).all() == (chip == 0) and len(set(order)) == 40
        for bank in layout.banks:
            found = map_.cells("stuck0")[bank.first_cell :][: 1500 * 24].reshape(1500, 24)
            tiles = board[order[4 * bank.pe : 4 * bank.pe + 4]]
            whole = np.block([[tiles[0], tiles[1]], [tiles[2], tiles[3]]])
            assert (found == whole[:1500, :24]).all()
    only = BramReplay(0.53, 3, ROOT).sample(layout, 5, ("thresholds",))
    assert only.n_faults == 0
    assert sorted(bram_maps.tile_order(3, 1, 2000)[:890]) == list(range(890))


@measured_data
def test_faults_of_sram_sit_on_as_few_bit_lines_as_measured() -> None:
    counts = bram_maps.faulty(0.53, ROOT)[:, :, :8].sum(1).ravel()  # the bytes are equal
    assert (counts > 0).sum() == 306 and counts.sum() == 1137
    z = np.linspace(-9, 9, 2001)
    weight = np.exp(-(z**2) / 2)
    factor = np.exp(sram.COLUMN_SIGMA * z - sram.COLUMN_SIGMA**2 / 2)
    hit = weight @ (1 - np.exp(-counts.mean() * factor)) / weight.sum()
    assert hit * counts.size == pytest.approx(306, rel=0.01)
    worse = replace(Sram(0.53), column_sigma=0.0)
    lined, even = (
        wrong(m.sample(BOARD, 1)).reshape(890, 1024, 16).any(1).sum() for m in (Sram(0.53), worse)
    )
    assert lined < 0.75 * even  # not 306 / 1137: every bank keeps its mean rate


def test_the_sram_law_passes_through_the_published_points() -> None:
    for voltage, n in bram_maps.FAULTS.items():
        assert Sram(voltage).rates() == (0.0, n / 14_581_760)
    middle = sram.rate_of(0.535)
    assert middle == pytest.approx(sqrt(sram.rate_of(0.53) * sram.rate_of(0.54)))
    grid = [sram.rate_of(v) for v in np.linspace(0.53, 0.59, 61).tolist()]
    assert grid == sorted(grid, reverse=True)
    beyond = Sram(0.52, zeros=0.5, extrapolate=True)
    assert beyond.rates()[1] == pytest.approx(sram.rate_of(0.53) ** 2 / sram.rate_of(0.54))
    assert beyond.rates()[0] == beyond.rates()[1] / 2
    assert beyond.provisional and not Sram(0.55).provisional


# ---- DRAM ----


@measured_data
def test_dram_tables_are_those_of_the_authors_files() -> None:
    modules = dram_voltage.read_lines(ROOT)
    assert len(modules) == 30
    table = dram_voltage.vendor_lines(modules)
    assert {v: list(t) for v, t in table.items()} == {
        v: list(t) for v, t in dram_voltage.VENDOR_LINES.items()
    }
    for vendor, shares in dram_voltage.VENDOR_LINES.items():
        assert table[vendor] == pytest.approx(shares, rel=1e-3)
    errors_of = dram_voltage.read_retention(ROOT)
    lost = {at: t for at, t in errors_of.items() if any(t.values())}
    assert lost.keys() == dram_voltage.RETENTION_ERRORS.keys()
    for at, by_voltage in dram_voltage.RETENTION_ERRORS.items():
        assert lost[at] == pytest.approx(by_voltage, rel=1e-3)
    # the smallest share of the file is one line of a module
    smallest = min(s for t in modules.values() for s in t.values() if s)
    assert smallest * dram_voltage.MODULE_BITS / 512 == pytest.approx(1.0)
    module = DramLines("B7", 1.05, seed=1, data_root=ROOT)
    assert module.line_share == pytest.approx(0.131186842918e-2)
    assert errors.describe(module).keys() >= {"module", "provisional"}
    assert "data_root" not in errors.describe(module)
    with pytest.raises(InputError, match="B7 was measured at 1.025, 1.05"):
        DramLines("B7", 1.06, data_root=ROOT).rates()


def test_a_faulty_dram_line_has_its_bits_in_one_line() -> None:
    map_ = DramLines("C", 1.1, seed=3).sample(LAYOUT, 0)
    per_line = wrong(map_).reshape(-1, 512).sum(1)
    assert set(per_line) == {0, 1}
    assert (map_.stuck0 == 0).all() and (map_.stuck1 == 0).all()
    share = per_line.mean()
    assert abs(share - 0.4995) < 4.5 * sqrt(0.25 / per_line.size)
    many = wrong(DramLines("C", 1.1, bits_per_line=8, seed=3).sample(LAYOUT, 0))
    lines = many.reshape(-1, 512).sum(1)
    assert lines.max() == 8 and ((lines > 0).sum() == (per_line > 0).sum())


# ---- operating points ----

POINTS = [p for group in operating_points.named().values() for p in group.values()]


def test_every_point_survives_its_description() -> None:
    assert len(POINTS) > 60 and len({p.name for p in POINTS}) == len(POINTS)
    for point in POINTS:
        assert operating_points.parse(point.name) == point
        model = point.model(9, ROOT)
        told = json.loads(json.dumps(errors.describe(model)))
        assert errors.from_json(told, ROOT) == model and told["seed"] == 9
        assert (told["p01"], told["p10"]) == model.rates() == (point.p01, point.p10)
        assert 0 <= point.p01 < 0.5 and 0 <= point.p10 < 0.5 and point.p01 + point.p10 > 0
        assert point.source and point.law and point.persistence in ("chip", "programming")
        json.dumps(point.row())


def test_equal_models_have_one_description_and_one_key() -> None:
    values = {"model": "lines", "p01": 0, "p10": 1, "column_sigma": 2, "seed": 3}
    made = errors.Lines(-0.0, np.float64(1), np.float32(2), seed=np.int64(3))  # type: ignore[arg-type]
    told = [json.dumps(errors.describe(m)) for m in (errors.from_json(values), made)]
    assert told[0] == told[1] and '"p01": 0.0' in told[0] and '"seed": 3' in told[0]


def test_values_of_another_kind_are_refused() -> None:
    wrong = {str: "x", bool: True, float: 1.5, NoneType: None, list: [1]}
    refused = [
        (name, field, value)
        for name, model in errors.MODELS.items()
        for field, kind in kinds(model).items()
        for of, value in (*wrong.items(), (None, math.nan), (None, math.inf))
        if kind and of not in kind
    ]
    assert len(refused) > 300
    for name, field, value in refused:
        with pytest.raises(InputError, match=f"{name}: {field} must be"):
            errors.from_json({"model": name, field: value})


def test_what_has_no_source_says_so_wherever_it_is_told() -> None:
    unsourced = {p.name for p in POINTS if p.provisional}
    assert {"rram-low-energy", "rram-strong", "fefet-85C", "dram-B-1.05V"} <= unsourced
    assert not unsourced & {"rram-3.3%", "sram-0.53V", "bram-0.53V", "stutz-chip1-2.744%"}
    for name in ("fefet-85C", "sram-0.50V-extrapolated", "dram-B-1.05V"):
        point = operating_points.parse(name)
        assert point.row()["provisional"] == point.provisional
        assert errors.describe(point.base)["provisional"]
        drawn = point.model(1).sample(LAYOUT, 0)
        assert drawn.provenance["provisional"] == point.provisional


@pytest.mark.parametrize(
    ("name", "p01", "p10", "model"),
    [
        ("rram-3.3%", 0.033, 0.033, "iid"),
        ("stuck-3.3%", 0.0165, 0.0165, "stuck"),
        ("transient-0.1%", 0.001, 0.001, "iid"),
        ("sram-0.53V", 0.0, 2274 / 14_581_760, "sram"),
        ("bram-0.59V", 0.0, 2 / 14_581_760, "bram-replay"),
        ("stutz-chip1-0.866%", 0.0038, 0.0049, "iid"),
        ("stutz-chip2-1.01%", 0.0082, 0.0019, "lines"),
        ("bitline-1%", 0.01, 0.01, "lines"),
        ("wordline-1%", 0.01, 0.01, "lines"),
        ("cluster-0.1%", 0.001, 0.001, "clusters"),
        ("burst-0.1%", 0.001, 0.001, "bursts"),
        ("data-2%", 0.02, 0.02, "data-dependent"),
        ("neuralfuse-1.21%", 0.01212883 / 2, 0.01212883 / 2, "stuck"),
        ("rram-3bpc-373K-1e6s", 0.0382294, 0.0382294, "rram-retention"),
        ("fefet-85C", 0.02, 0.01, "fefet"),
        ("dram-70C-2048ms-1.2V", 3444 / 2**34, 3444 / 2**34, "dram-retention"),
    ],
)
def test_points_have_their_published_rates(name: str, p01: float, p10: float, model: str) -> None:
    point = operating_points.parse(name)
    assert (point.p01, point.p10) == pytest.approx((p01, p10), rel=1e-12)
    assert (point.name, point.base.name) == (name, model)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sram-0.5V", "0.53..0.59"),
        ("sram-1.2V-extrapolated", "at most 1.0, not 1.2"),
        ("bram-0.52V", "bram-0.53V"),
        ("fefet-90C", "25..85"),
        ("rram-1t1r-400cycles", "1..300"),
        ("rram-2bpc-300K-1e7s", "338"),
        ("rram-2bpc-358K-1e9s", "2e"),
        ("dram-50C-64ms-1.35V", "measured at"),
        ("dram-70C-2048ms-1.0V", "1.15"),
        ("stuck-101%", "0..1"),
        ("rram-3.4%", "rram-3.3%"),
        ("iid-٣%", "one of rram-3.3%"),
    ],
)
def test_unknown_points_are_refused(name: str, words: str) -> None:
    with pytest.raises(InputError) as refused:
        operating_points.parse(name)
    assert words in str(refused.value) and "\n" not in str(refused.value)


# ---- where the data are found ----


def test_missing_and_changed_data_are_told_from_each_other(tmp_path: Path) -> None:
    model = BramReplay(0.53)
    with pytest.raises(InputError, match=r"KC705B-0.53.bin of .*--data-root"):
        model.sample(LAYOUT, 0)
    with pytest.raises(InputError, match=r"has no KC705B-0.53.bin \(or KC705B-raw.tar.xz\)"):
        replace(model, data_root=tmp_path).sample(LAYOUT, 0)
    folder = tmp_path / "bram-undervolting" / "RawData"
    folder.mkdir(parents=True)
    (folder / "KC705B-0.53.bin").write_text("FFFF" * 890 * 1024)
    with pytest.raises(ArtefactError, match="hashes to"):
        replace(model, data_root=tmp_path).sample(LAYOUT, 0)
    (folder.parent / "KC705B-raw.tar.xz").write_bytes(b"no archive")
    with pytest.raises(ArtefactError, match="not a readable"):
        replace(model, voltage=0.54, data_root=tmp_path).sample(LAYOUT, 0)


@measured_data
def test_loose_files_are_found_like_those_in_an_archive(tmp_path: Path) -> None:
    folder = tmp_path / "bram-undervolting" / "KC705-B" / "RawData"
    folder.mkdir(parents=True)
    (folder / "KC705B-0.53.bin").write_text(hex_text(0.53))
    loose = BramReplay(0.53, 0, tmp_path).sample(BOARD, 2)
    assert loose.sha256 == BramReplay(0.53, 0, ROOT).sample(BOARD, 2).sha256


def test_the_command_line_draws_and_lists_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    net, out = tmp_path / "net.stoic", tmp_path / "map.faults"
    networks.save(random_network((64, 40, 10), "bits", np.random.default_rng(1)), net)
    monkeypatch.delenv("STOIC_DATA", raising=False)
    sample = ("faults", "sample", str(net), "-o", str(out), "--json", "--errors")
    assert cli.run([*sample, "fefet-85C"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["provisional"] == told["provenance"]["provisional"] == "rates"
    assert cli.run([*sample, "bram-0.53V"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "STOIC_DATA" in error and "KC705B-0.53.bin" in error
    if ROOT is not None:
        for name in ("bram-0.53V", "rram-replay-2t2r"):
            assert cli.run([*sample, name, "--data-root", str(ROOT), "--event", "7"]) == 0
            assert faults.load(out).provenance["model"].endswith("-replay")
            capsys.readouterr()
    assert cli.run(["faults", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    rows = [row for group in ("RRAM", "SRAM", "DRAM", "FeFET") for row in listed[group]]
    assert len(rows) == len(POINTS)
    assert {row["name"] for row in rows if row["provisional"]} >= {"fefet-85C"}
    assert {row["source"] for row in rows} <= set(listed["sources"])
    assert cli.run(["faults", "list"]) == 0
    assert "provisional" in capsys.readouterr().out
