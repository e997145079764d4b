"""The cell field: C++ equals its statement bit for bit, which is uniform and independent."""

import hashlib
from collections.abc import Callable
from decimal import Decimal, getcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stoic.sim import cell_field, faults, sampling
from stoic.sim.bits import Words, n_words, pack, unpack
from stoic.sim.cell_field import LEVELS, RARE, RARE_SKIP, SKIPS, Key
from stoic.sim.errors import ErrorModel, Iid, Stuck
from stoic.sim.exceptions import InputError
from stoic.sim.faults import FaultMap
from stoic.sim.memory import KINDS, Fold, layout_of
from stoic.sim.random_network import random_network

BOUNDS = (RARE, *(high for _, high in LEVELS))
NEAR_BOUNDS = [float(np.nextafter(b, s)) for b in BOUNDS for s in (0.0, 1.0)]
words = st.integers(0, 2**64 - 1)
keys = st.builds(Key, words, words)
rates = st.one_of(
    st.sampled_from([0.0, 1.0, 0.5, 0.75, 5e-324, *BOUNDS, *NEAR_BOUNDS]),
    st.floats(0, 1),
    st.floats(-40, 0).map(lambda e: 2.0**e),
)
sizes = st.one_of(st.integers(0, 700), st.sampled_from([64, 4096, 32768, 40_000, 70_001]))


# ---- the same field everywhere ----


def agrees_with_the_statement(key: Key, n: int, p: float) -> bool:
    """Whether every path gives the plane and the cells of `cell_field`, bit for bit."""
    u = cell_field.field(key, n, p)
    cells = np.flatnonzero(u < p)
    for path in sampling.available_paths():
        found, their_u = sampling.below(key, n, p, path=path)
        if not (
            np.array_equal(sampling.plane(key, n, p, path=path), pack(u < p))
            and np.array_equal(found, cells)
            and np.array_equal(their_u, u[cells])
        ):
            return False
    return True


@settings(max_examples=150, deadline=None)
@given(keys, sizes, rates)
def test_every_path_draws_the_stated_field(key: Key, n: int, p: float) -> None:
    assert agrees_with_the_statement(key, n, p)


@pytest.mark.parametrize("p", [1e-4, 0.01, 0.3])
def test_every_path_draws_the_stated_field_at_real_size(p: float) -> None:
    assert agrees_with_the_statement(sampling.key("real"), 1_605_632, p)


def test_no_guess_of_a_path_is_wrong() -> None:
    n = 100_000_000  # two million hits of all levels; a gap that is wrong moves every hit after it
    first, *others = (
        sampling.plane(sampling.key("many"), n, 1.5 * 2.0**-7, path=path)
        for path in sampling.available_paths()
    )
    assert all((first == other).all() for other in others)


@settings(max_examples=40, deadline=None)
@given(keys, sizes, sizes, rates, rates)
def test_one_field_for_all_sizes_and_rates(key: Key, n: int, m: int, p: float, q: float) -> None:
    (n, m), (p, q) = sorted((n, m)), sorted((p, q))
    large = unpack(sampling.plane(key, m, q), m)
    assert (unpack(sampling.plane(key, n, q), n) == large[:n]).all()  # more cells, the same cells
    assert (unpack(sampling.plane(key, m, p), m) <= large).all()  # nested in the rate
    cells, u = sampling.below(key, m, q)
    assert (np.flatnonzero(large) == cells).all() and (u >= 0).all() and (u < q).all()
    assert pack(np.isin(np.arange(m), cells[u < p])).tolist() == sampling.plane(key, m, p).tolist()


@settings(max_examples=60, deadline=None)
@given(keys, sizes, st.lists(rates, min_size=1, max_size=12), st.integers(1, 90))
def test_each_run_of_cells_may_have_its_limit(
    key: Key, n: int, limits: list[float], run: int
) -> None:
    run = max(run, -(-n // len(limits)))
    of_cell = np.repeat(limits, run)[:n]
    u = cell_field.field(key, n)
    for path in sampling.available_paths():
        cells, their_u = sampling.below(key, n, np.array(limits), run, path=path)
        assert np.array_equal(cells, np.flatnonzero(u < of_cell))
        assert np.array_equal(their_u, u[cells])


@settings(max_examples=60, deadline=None)
@example(Key(1, 2), [(0, 0), (0, 70)], 0.5, 0)
@given(
    keys, st.lists(st.tuples(st.integers(0, 200), st.integers(0, 900)), max_size=6), rates, words
)
def test_banks_stand_where_they_belong(
    root: Key, gaps_and_sizes: list[tuple[int, int]], p: float, seed: int
) -> None:
    banks, end = [], 0
    for i, (gap, size) in enumerate(gaps_and_sizes):
        banks.append((f"bank {i}", end + gap, size))
        end += gap + size
    mask = np.random.default_rng(seed).integers(0, 2**63, n_words(end + 9), np.uint64)
    expected = np.zeros(end + 9, np.uint8)
    for name, first, size in banks:
        key = cell_field.join(root, sampling.key(name))
        expected[first : first + size] = cell_field.field(key, size, p) < p
    for path in sampling.available_paths():
        table = sampling.bank_table(reversed(banks))
        found = sampling.planes(root, table, p, end + 9, path=path)
        assert (found == pack(expected)).all()
        table = sampling.bank_table(reversed(banks), mask)
        masked = sampling.planes(root, table, p, end + 9, path=path)
        assert (masked == pack(expected) & mask).all()


MUTANTS: dict[str, Callable[[Any], object]] = {
    "the rate of a level forgets the levels below": lambda m: m.setattr(
        cell_field, "SKIPS", tuple(-1 / np.log1p(b - a) for b, a in LEVELS)
    ),
    "planes count from the LSB": lambda m: m.setattr(
        cell_field,
        "unpack",
        lambda plane, n, old=unpack: old(plane, n)[::-1],
    ),
    "a mark is the word of its gap": lambda m: m.setattr(cell_field, "MARKS", cell_field.GAPS),
    "planes are the plain uniforms": lambda m: m.setattr(cell_field, "PLANES", cell_field.UNIFORMS),
    "the second word of the key does nothing": lambda m: m.setattr(
        cell_field, "draw", lambda key, s, i, old=cell_field.draw: old(Key(key.first, 0), s, i)
    ),
    "two levels share a stream": lambda m: m.setattr(
        cell_field, "draw", lambda key, s, i, old=cell_field.draw: old(key, max(s, 2), i)
    ),
    "the logarithm is off by 1e-5": lambda m: m.setattr(
        cell_field, "minus_log", lambda u: -np.log(u) * (1 + 1e-5)
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_another_field_is_caught(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key, n = sampling.key("mutant", 1), 700_000
    MUTANTS[mutant](monkeypatch)
    assert not agrees_with_the_statement(key, n, 0.02)


def field_sha256(path: str) -> str:
    digest = hashlib.sha256()
    for i, p in enumerate((1e-5, 2e-4, 3e-3, 0.01, 0.033, 0.5)):
        digest.update(sampling.plane(sampling.key("golden", i), 300_001, p, path=path).tobytes())
    cells, u = sampling.below(sampling.key("golden"), 100_000, 0.05, path=path)
    digest.update(cells.astype("<i8").tobytes() + u.astype("<f8").tobytes())
    digest.update(sampling.uniforms(sampling.key("golden"), 1000).astype("<f8").tobytes())
    return digest.hexdigest()


def test_the_field_never_changes() -> None:
    """Every published fault map rests on it: a machine that gives another hash must not be used."""
    for path in sampling.available_paths():
        assert field_sha256(path) == GOLDEN, path
    assert sampling.key("a", 1) == Key(KEY_FIRST, KEY_SECOND)


# ---- the statement is exact ----


def levels_add_up(skips: tuple[float, ...], rare_skip: float) -> bool:
    """Whether hits of the levels up to each bound have the chance of that bound, to 1e-15."""
    getcontext().prec = 50
    missed = Decimal(1)  # chance that no level so far hits a cell
    for skip, bound in zip((rare_skip, *skips), BOUNDS, strict=True):
        missed *= (Decimal(-1) / Decimal(skip)).exp()
        if abs((1 - missed) / Decimal(bound) - 1) > Decimal("1e-15"):
            return False
    return True


def test_levels_add_up_to_their_rates() -> None:
    assert levels_add_up(SKIPS, RARE_SKIP)
    wrong = tuple(float(-1 / (1 - Decimal(a) + Decimal(b)).ln()) for b, a in LEVELS)
    assert not levels_add_up(wrong, RARE_SKIP)


def test_the_logarithm_is_right_everywhere() -> None:
    getcontext().prec = 50
    rng = np.random.default_rng(0)
    m = rng.integers(0, 2**52, 3000, np.uint64) >> rng.integers(0, 52, 3000, np.uint64)
    odd = np.unique(np.concatenate((2 * m + 1, 2**53 - 2 * m - 1)))
    u = odd.astype(np.float64) * 2.0**-53
    for value, log in zip(u.tolist(), cell_field.minus_log(u).tolist(), strict=True):
        exact = -Decimal(value).ln()
        assert abs(Decimal(log) - exact) <= Decimal("2e-13") * exact


# ---- uniform and independent ----

MANY = 4_000_000


def z_of(count: float, n: float, p: float) -> float:
    return float((count - n * p) / (n * p * (1 - p)) ** 0.5)


def chi_square_z(counts: NDArray[np.int64], expected: NDArray[np.float64]) -> float:
    """How many sigmas chi-square is off its mean, for many bins."""
    dof = counts.size - 1
    return float((((counts - expected) ** 2 / expected).sum() - dof) / (2 * dof) ** 0.5)


def test_u_is_uniform() -> None:
    """Over 1024 equal bins, and over bins that halve towards 0."""
    total = np.zeros(1024, np.int64)
    tail = np.zeros(20, np.int64)
    for chip in range(4):
        u = cell_field.field(sampling.key("uniform", chip), MANY)
        total += np.bincount((u * 1024).astype(np.int64), minlength=1024)
        tail += [(u < 2.0**-k).sum() for k in range(20)]
    n = 4 * MANY
    assert abs(chi_square_z(total, np.full(1024, n / 1024))) < 4
    assert all(abs(z_of(c, n, 2.0**-k)) < 4 for k, c in enumerate(tail.tolist()) if k)


@pytest.mark.parametrize("p", [3e-4, 0.01, 0.1, 0.5])
def test_cells_banks_and_chips_are_independent(p: float) -> None:
    """Pairs of cells at many distances, and the same cell of other banks and chips."""
    plane = sampling.plane(sampling.key("pairs"), MANY, p)
    bits = unpack(plane, MANY)
    for lag in (1, 2, 3, 7, 8, 32, 63, 64, 65, 128, 512, 4096, 32768):
        assert abs(z_of((bits[lag:] & bits[:-lag]).sum(), MANY - lag, p * p)) < 4, lag
    root, other = sampling.key("cell", 0, 1), sampling.key("cell", 0, 2)
    first = sampling.plane(sampling.join(root, sampling.key("L0.P00.weights")), MANY, p)
    for key in (
        sampling.join(root, sampling.key("L0.P01.weights")),  # another bank
        sampling.join(other, sampling.key("L0.P00.weights")),  # another chip
        sampling.key("cell", 0, 1),
        Key(1, 2),
        Key(2, 2),  # words that differ in little
        Key(1, 3),
    ):
        both = np.bitwise_count(first & sampling.plane(key, MANY, p)).sum()
        assert abs(z_of(both, MANY, p * p)) < 4
    a, b = (sampling.plane(Key(1, k), MANY, p) for k in (2, 3))
    assert abs(z_of(np.bitwise_count(a & b).sum(), MANY, p * p)) < 4


def streams_are_independent() -> bool:
    """Whether gaps of one level say nothing of their marks, nor of the gaps of another level."""
    key, n = sampling.key("streams"), 200_000
    index = np.arange(n, dtype=np.uint64)
    draws = [
        (cell_field.draw(key, s, index) >> np.uint64(11)).astype(np.float64)
        for s in (*range(8), *range(cell_field.MARKS, cell_field.MARKS + 8), cell_field.UNIFORMS)
    ]
    correlations = np.asarray(np.corrcoef(draws))[np.triu_indices(len(draws), 1)]
    return bool((np.abs(correlations) < 4.5 / n**0.5).all())


def test_streams_are_independent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert streams_are_independent()
    MUTANTS["two levels share a stream"](monkeypatch)
    assert not streams_are_independent()


def test_runs_of_a_plane_are_geometric() -> None:
    """The distance from one hit to the next, over all levels together."""
    p = 0.01
    cells, _ = sampling.below(sampling.key("runs"), 4 * MANY, p)
    gaps = np.diff(cells)
    edges = 1 + np.unique((np.log1p(-np.arange(100) / 100) / np.log1p(-p)).astype(np.int64))
    counts = np.histogram(gaps, [*edges, 10**9])[0]
    survival = (1 - p) ** (edges - 1.0)
    assert abs(chi_square_z(counts, len(gaps) * -np.diff([*survival, 0.0]))) < 4


def test_every_bit_of_a_word_is_even_and_follows_every_bit_of_index_and_key() -> None:
    """Avalanche: turning one input bit turns each output bit with chance one half, to 5.6 sigma."""
    rng = np.random.default_rng(5)
    n = 1 << 14
    for turned in range(192):
        index = rng.integers(0, 2**56, n, np.uint64)
        key = Key(*(int(k) for k in rng.integers(0, 2**64, 2, np.uint64)))
        bit = 1 << turned % 64
        if turned < 56:
            after = cell_field.draw(key, 0, index ^ np.uint64(bit))
        elif 64 <= turned < 128:
            after = cell_field.draw(Key(key.first ^ bit, key.second), 0, index)
        elif turned >= 128:
            after = cell_field.draw(Key(key.first, key.second ^ bit), 0, index)
        else:
            continue
        change = (cell_field.draw(key, 0, index) ^ after).view(np.uint8).reshape(n, 8)
        shares = np.unpackbits(change, axis=1).mean(axis=0)
        assert (np.abs(shares - 0.5) < 0.022).all(), turned


# ---- the models keep their rates ----

NETWORK = random_network((784, 256, 256, 10), "bits", np.random.default_rng(0))
LAYOUT = layout_of(NETWORK, (Fold(4, 36), Fold(4, 32), Fold(1, 32)))
RATES = (1e-4, 1.3e-4, 3e-4, 1e-3, 2e-3, 5e-3, 7.8125e-3, 0.01, 0.0118, 0.033, 0.1, 0.3, 0.9)
MODELS: list[ErrorModel] = [
    *(Iid(p, p, seed=3) for p in RATES),
    *(Iid(p, 1.7 * p, seed=4) for p in RATES[:-1]),
    *(Iid(1.1 * p, p, seed=5, persistence="programming") for p in RATES),
    *(Stuck(p, 0.3, seed=6) for p in RATES),
]


def turns(map_: FaultMap, stored: int) -> NDArray[np.bool_]:
    return np.asarray(map_.read(np.full(map_.layout.n_cells, stored, np.uint8)) != stored)


@pytest.mark.parametrize("chips", [range(6)])
def test_rates_hold_in_each_bank_and_polarity(chips: range) -> None:
    """|z| < 4 over chips for each of the 51 models, and < 5 for each of their banks."""
    assert len(MODELS) >= 50
    stored = LAYOUT.is_stored
    for model in MODELS:
        maps = [model.sample(LAYOUT, chip, event=chip) for chip in chips]
        for value, rate in enumerate(model.rates()):
            wrong = np.sum([turns(m, value) for m in maps], axis=0)
            n_all = n_wrong = 0
            for bank in LAYOUT.banks:
                cells = slice(bank.first_cell, bank.first_cell + bank.n_words * bank.width)
                n, count = len(chips) * int(stored[cells].sum()), int(wrong[cells].sum())
                assert not wrong[cells][~stored[cells]].any()
                if bank.kind != "weights":
                    assert count == 0
                    continue
                n_all, n_wrong = n_all + n, n_wrong + count
                assert abs(z_of(count, n, rate)) < 5, (model, bank.name)
            assert abs(z_of(n_wrong, n_all, rate)) < 4, model


def test_maps_of_the_samplers_stand_up_to_the_checks_that_they_skip() -> None:
    map_ = Iid(0.02, 0.1).sample(LAYOUT, 0, KINDS)
    stuck = Stuck(0.2, 0.4).sample(LAYOUT, 1, KINDS)
    both = faults.compose(map_, stuck)
    moved = faults.readdress(both, layout_of(NETWORK))
    for m in (
        map_,
        stuck,
        both,
        moved,
        faults.restrict(both, layers=[1]),
        faults.no_faults(LAYOUT),
        *(model.sample(LAYOUT, 2, KINDS) for model in MODELS),
    ):
        again = FaultMap(m.layout, m.flip, m.stuck0, m.stuck1)
        assert again.sha256 == m.sha256 and again.n_faults == m.n_faults
    plane = stuck.stuck0 | stuck.stuck1
    for bad in ({"flip": plane, "stuck0": stuck.stuck0}, {"flip": ~np.zeros_like(plane)}):
        m = faults.trusted(LAYOUT, {}, **bad)
        with pytest.raises(InputError):
            FaultMap(m.layout, m.flip, m.stuck0, m.stuck1)


def test_stuck_cells_keep_their_value_when_rate_and_share_grow() -> None:
    low, high = Stuck(0.01, 0.5).sample(LAYOUT, 0), Stuck(0.1, 0.5).sample(LAYOUT, 0)
    more_ones = Stuck(0.1, 0.7).sample(LAYOUT, 0)
    assert not (low.stuck0 & ~high.stuck0).any() and not (low.stuck1 & ~high.stuck1).any()
    assert not (high.stuck1 & ~more_ones.stuck1).any()
    assert (high.stuck0 | high.stuck1 == more_ones.stuck0 | more_ones.stuck1).all()
    weak = Iid(0.1, 0.1).sample(LAYOUT, 0).flip
    assert (weak == high.stuck0 | high.stuck1).all()  # the same weak cells in every model


def test_persistence_decides_what_is_drawn_anew() -> None:
    def drawn(persistence: Any, event: int) -> Words:
        return Iid(0.05, 0.05, 1, persistence).sample(LAYOUT, 0, event=event).flip

    assert (drawn("chip", 0) == drawn("chip", 9)).all()
    for persistence in ("programming", "read"):
        assert (drawn(persistence, 9) == drawn(persistence, 9)).all()
        both = np.bitwise_count(drawn(persistence, 0) & drawn(persistence, 9)).sum()
        assert abs(z_of(both, int(LAYOUT.is_stored.sum()) - 256 * 9 * 2, 0.05**2)) < 5


def test_what_cannot_be_drawn_is_refused() -> None:
    key = Key(1, 2)
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match=r"a rate must be 0\.\.1"):
            sampling.plane(key, 10, p)
        with pytest.raises(InputError, match=r"a rate must be 0\.\.1"):
            sampling.below(key, 10, p)
    with pytest.raises(InputError, match="number of cells must be 0 or more, not -1"):
        sampling.plane(key, -1, 0.5)
    with pytest.raises(InputError, match="no path 'sse' here"):
        sampling.plane(key, 1, 0.5, path="sse")
    with pytest.raises(InputError, match=r"a rate must be 0\.\.1, not 1\.1"):
        sampling.below(key, 10, np.array([0.1, 1.1]), 5)
    with pytest.raises(InputError, match="2 limits of 4 cells each are too few for 10 cells"):
        sampling.below(key, 10, np.array([0.1, 0.2]), 4)
    for banks in ([("a", 0, 5), ("b", 4, 5)], [("a", -1, 5)]):
        with pytest.raises(InputError, match="must not overlap"):
            sampling.bank_table(banks)


GOLDEN = "1289eb4d8d521f0666953a01f2500853ffc6f4f0e90929d86f7a951b265ebc1e"
KEY_FIRST, KEY_SECOND = 0xCC811B91D6AB054E, 0xA89A59C9FB5726A4
