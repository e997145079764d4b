"""Protections: codes checked exhaustively, memories a bit at a time, what a network still sees."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoic.sim import engine, faults, golden, memory, physical
from stoic.sim.bits import n_words, pack, unpack
from stoic.sim.errors import Iid
from stoic.sim.exceptions import ArtefactError, InputError
from stoic.sim.faults import FaultMap
from stoic.sim.layers import Conv, Pool
from stoic.sim.memory import KINDS, Fold, Layout, layout_of, stored_bits, to_json
from stoic.sim.network import Network
from stoic.sim.protection import (
    PROTECTIONS,
    Compose,
    Interleaved,
    Known,
    Nothing,
    Polarity,
    Protection,
    Replicate,
    Secded,
    Thresholds,
    describe,
    from_json,
    importance,
    label,
)
from stoic.sim.protection.hsiao import Code, code
from stoic.sim.protection.importance import most_harmful, row_harm
from stoic.sim.protection.moments import Moments, moments
from stoic.sim.protection.thresholds import agreeing
from stoic.sim.random_network import random_conv_network, random_network
from stoic.sim.report.front import front
from stoic.sim.report.front import protections as protections_section
from stoic.sim.report.results import read
from stoic.sim.rtl import RtlDevice

FOLDS = (Fold(3, 7), Fold(2, 36), Fold(1, 64))
NETWORK = random_network((65, 10, 12, 3), "uint8", np.random.default_rng(3))
BASE = layout_of(NETWORK, FOLDS)
SFC = random_network((784, 2048, 2048, 10), "uint8", np.random.default_rng(4))
SFC_BASE = layout_of(SFC, (Fold(16, 49), Fold(32, 64), Fold(10, 64)))
seeds = st.integers(0, 2**32 - 1)


def random_map(seed: int, layout: Layout, rate: float = 0.2) -> FaultMap:
    """Each stored cell flips, or is stuck at 0 or 1, with the rate of each kind a third."""
    u = np.random.default_rng(seed).random(layout.n_cells)
    what = np.where(u < rate, 1 + (3 * u / rate).astype(int), 0) * layout.is_stored
    return FaultMap(layout, pack(what == 1), pack(what == 2), pack(what == 3), {"seed": seed})


# ---- the code ----

WIDTHS = (1, 2, 3, 4, 7, 8, 11, 16, 20, 32, 49, 57, 64, 128)


def keeps_its_promise(c: Code, n_errors: int, seed: int = 0) -> bool:
    """Whether each single error is corrected, or each double one detected and left as it is."""
    n = c.n_data + c.n_checks
    hit = np.array(list(combinations(range(n), n_errors)), np.int64)
    rng = np.random.default_rng(seed)
    data = rng.integers(0, 2, (len(hit), c.n_data), dtype=np.uint8)
    checks = c.checks(pack(data))
    word = np.hstack([data, (checks[:, None] >> np.arange(c.n_checks) & 1).astype(np.uint8)])
    np.put_along_axis(word, hit, 1 - np.take_along_axis(word, hit, 1), axis=1)
    read = word[:, : c.n_data]
    wrong_checks = pack(word[:, c.n_data :])[:, 0].astype(np.uint16)
    decoded, corrected, detected = c.decode(pack(read), wrong_checks)
    wanted = data if n_errors <= 1 else read
    is_right = (unpack(decoded, c.n_data) == wanted).all()
    return bool(
        is_right and (corrected == (n_errors == 1)).all() and (detected == (n_errors == 2)).all()
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_every_single_error_is_corrected_and_every_double_one_detected(width: int) -> None:
    for n_errors in (0, 1, 2):
        assert keeps_its_promise(code(width), n_errors)


def test_a_repeated_or_an_even_column_is_caught() -> None:
    for width in WIDTHS[1:]:
        good = code(width)
        repeated = replace(good, columns=(*good.columns[:-1], good.columns[0]))
        even = replace(good, columns=(*good.columns[:-1], 3))
        assert not keeps_its_promise(repeated, 1)
        assert not keeps_its_promise(even, 1) or not keeps_its_promise(even, 2)


def test_the_columns_are_odd_and_different_and_the_parities_short_and_even() -> None:
    for width in range(1, 129):
        c = code(width)
        weights = [column.bit_count() for column in c.columns]
        assert len(set(c.columns)) == width and all(w % 2 and w >= 3 for w in weights)
        assert 2 ** (c.n_checks - 2) - (c.n_checks - 1) < width or c.n_checks == 3
        assert weights == sorted(weights)
    ones = np.bitwise_count(code(64).parities).sum(axis=1)
    assert (ones + 1).tolist() == [27] * 8  # Hsiao's (72, 64): 216 ones
    assert code(16).columns == (7, 56, 11, 52, 13, 50, 14, 49, 19, 44, 21, 42, 22, 41, 25, 38)


def plain_decode(columns: tuple[int, ...], bits: list[int], *, is_kept: bool) -> list[int]:
    """What the decoder hands on, in the words of its definition.

    Args:
        bits: of a code word as read, data then check bits.
    """
    n, r = len(columns), len(bits) - len(columns)
    syndrome = 0
    for column, bit in zip((*columns, *(1 << m for m in range(r))), bits, strict=True):
        syndrome ^= column * bit
    data = bits[:n]
    if syndrome in columns:
        data[columns.index(syndrome)] ^= 1
    elif syndrome.bit_count() != 1 and syndrome and not is_kept:
        data = [0] * n
    return data


def test_triple_errors_miscorrect_as_the_decoder_does() -> None:
    """All triples of (22, 16), against the definition; most look like a single error."""
    c, n = code(16), 22
    hit = np.array(list(combinations(range(n), 3)))
    word = np.zeros((len(hit), n), np.uint8)
    np.put_along_axis(word, hit, 1, axis=1)
    checks = pack(word[:, 16:])[:, 0].astype(np.uint16)
    decoded, corrected, detected = c.decode(pack(word[:, :16]), checks)
    plain = [plain_decode(c.columns, w, is_kept=True) for w in word.tolist()]
    assert (unpack(decoded, 16) == plain).all()
    assert (corrected ^ detected).all() and 0.6 < corrected.mean() < 1


# ---- memories, a bit at a time ----


def secded_reads(p: Secded, base: Layout, map_: FaultMap, stored: list[int]) -> dict[int, int]:
    """Cell of the plain layout -> bit handed on, by walking over every code word of every bank."""
    handed: dict[int, int] = {}
    read = map_.read(np.array(stored, np.uint8)).tolist()
    for bank, wide in zip(base.banks, map_.layout.banks, strict=True):
        if bank.kind not in p.where:
            continue
        c = code(bank.width * p.words)
        extra = wide.width - bank.width
        for first in range(0, wide.n_words, p.words):
            starts = [wide.first_cell + (first + k) * wide.width for k in range(p.words)]
            data = [read[s + b] for s in starts for b in range(bank.width)]
            checks = [read[s + bank.width + b] for s in starts for b in range(extra)]
            bits = plain_decode(
                c.columns, data + checks[: c.n_checks], is_kept=p.on_detect == "keep"
            )
            for i, bit in enumerate(bits):
                address, b = first + i // bank.width, i % bank.width
                if address < bank.n_words:
                    handed[bank.first_cell + address * bank.width + b] = bit
    return handed


secdeds = st.builds(
    Secded,
    st.integers(1, 3),
    st.sampled_from(["keep", "zero"]),
    st.sampled_from([KINDS[:1], KINDS]),
)


@settings(max_examples=12, deadline=None)
@given(secdeds, seeds, st.sampled_from([0.01, 0.1]))
def test_secded_hands_on_what_its_decoder_makes_of_every_word(
    p: Secded, seed: int, rate: float
) -> None:
    layout = p.layout(NETWORK, BASE)
    map_ = random_map(seed, layout, rate)
    effective = p.effective(NETWORK, BASE, map_)
    stored = stored_bits(NETWORK, BASE)
    seen = effective.read(stored)
    handed = secded_reads(p, BASE, map_, p.stored(NETWORK, BASE).tolist())
    for cell, bit in handed.items():
        assert not BASE.is_stored[cell] or seen[cell] == bit
    others = np.array([c for c in range(BASE.n_cells) if c not in handed], np.int64)
    last = layout.banks[-1]
    if p.where != KINDS:  # the thresholds read as they do without a code
        n = len(others)
        unprotected = map_.read(p.stored(NETWORK, BASE))[
            last.first_cell + last.n_words * last.width - n :
        ]
        assert (seen[others] == unprotected).all()


def test_interleaving_puts_neighbours_of_a_row_into_different_words() -> None:
    for degree in (1, 3, 4):
        p = Interleaved(degree)
        layout = p.layout(NETWORK, BASE)
        cells = p.encode(NETWORK, BASE, np.arange(BASE.n_cells) % 251)  # type: ignore[arg-type]
        for bank, row in zip(BASE.banks, layout.banks, strict=True):
            d = degree if bank.kind == "weights" else 1
            assert (row.n_words, row.width) == (-(-bank.n_words // d), bank.width * d)
            for address in range(bank.n_words):
                for b in range(bank.width):
                    old = bank.first_cell + address * bank.width + b
                    new = row.first_cell + address // d * row.width + b * d + address % d
                    assert cells[new] == old % 251
        assert p.overhead(NETWORK, BASE) == 0


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 8), seeds)
def test_after_secded_a_burst_as_long_as_the_degree_does_no_harm(degree: int, seed: int) -> None:
    both = Compose((Secded(where=KINDS), Interleaved(degree, where=KINDS)))
    layout = both.layout(NETWORK, BASE)
    rng = np.random.default_rng(seed)
    hit = np.zeros(layout.n_cells, np.bool_)
    for bank in layout.banks:  # one burst in each row
        start = rng.integers(0, bank.width - degree, bank.n_words)
        row = bank.first_cell + np.arange(bank.n_words) * bank.width + start
        hit[row[:, None] + np.arange(degree)] = True
    zero = np.zeros(n_words(layout.n_cells), np.uint64)
    burst = FaultMap(layout, pack(hit & layout.is_stored), zero, zero)
    assert burst.n_faults > 50 and both.effective(NETWORK, BASE, burst).n_faults == 0
    longer = pack(np.roll(hit, 1) & layout.is_stored) | burst.flip
    assert both.effective(NETWORK, BASE, replace(burst, flip=longer)).n_faults > 0
    alone = Secded(where=KINDS)
    flat = alone.layout(NETWORK, BASE)
    straight = replace(
        faults.no_faults(flat), flip=pack(np.resize(hit, flat.n_cells) & flat.is_stored)
    )
    assert alone.effective(NETWORK, BASE, straight).n_faults > 0


# ---- every protection ----

ALL: tuple[Protection, ...] = (
    Nothing(),
    Secded(),
    Secded(words=2, on_detect="zero", where=KINDS),
    Interleaved(4),
    Compose((Secded(), Interleaved(4))),
    Replicate(0.2),
    Polarity("row", "bits"),
    Polarity("row", "turns"),
    Polarity("layer", "bits"),
    Thresholds(),
    Thresholds("data", chips=1),
    Compose((Polarity("row", "bits"), Replicate(0.1, copies=5), Secded(), Interleaved(2))),
    Compose((Polarity(), Replicate(0.1), Secded(words=2, where=KINDS), Thresholds("data"))),
    Compose((Secded(), Replicate(0.3), Thresholds("data", chips=2))),
)
ids: Callable[[Protection], str] = label


def known_for(network: Network, p01: float = 0.02, p10: float = 0.1, n: int = 40) -> Known:
    images = np.random.default_rng(5).integers(0, 256, (n, network.n_inputs), np.uint8)
    return Known(p01, p10, images, golden.classify(golden.scores(network, images)))


@pytest.mark.parametrize("p", ALL, ids=ids)
def test_without_faults_a_network_reads_back_whole(p: Protection) -> None:
    for network, base in ((NETWORK, BASE), (SFC, SFC_BASE)):
        if network is SFC and "data" in label(p):
            continue
        fitted = p.fit(network, base, known_for(network))
        adapted = fitted.adapt(network)
        layout = fitted.layout(adapted, base)
        assert fitted.effective(adapted, base, faults.no_faults(layout)).n_faults == 0
        stored = fitted.stored(adapted, base)
        assert stored.shape == (layout.n_cells,) and not (stored & ~layout.is_stored).any()
        n_stored = int(layout.is_stored.sum()) - int(base.is_stored.sum())
        assert fitted.overhead(adapted, base) >= n_stored >= 0


@pytest.mark.parametrize("p", ALL, ids=ids)
def test_protections_come_back_from_json(p: Protection) -> None:
    fitted = p.fit(NETWORK, BASE, known_for(NETWORK))
    for one in (p, fitted):
        again = from_json(json.loads(json.dumps(describe(one))))
        assert again == one and label(again) == label(p)
    assert fitted.fit(NETWORK, BASE, Known()) == fitted and p.name in PROTECTIONS


def test_names_and_parameters_that_there_are_not_are_refused() -> None:
    for values, message in (
        ("raid", "name must be among"),
        (
            {"name": "secded", "width": 3},
            r"takes \['on_detect', 'where', 'words'\], not \['width'\]",
        ),
        ({"name": "secded", "on_detect": "pray"}, "on_detect must be"),
        ({"name": "secded", "where": ["weight"]}, "where must be among"),
        ({"name": "interleave", "degree": 0}, "degree must be"),
        ({"name": "interleave", "degree": "x"}, "'interleave': degree must be a whole number"),
        ({"name": "interleave", "degree": True}, "'interleave': degree must be a whole number"),
        ({"name": "compose", "of": ["secded"]}, "two or more"),
        ({"name": "compose"}, "protection 'compose'"),
        ({"name": "compose", "of": ["none", describe(ALL[4])]}, "write all in one list"),
        ({"name": "replicate", "fraction": 2}, "fraction must be"),
        ({"name": "replicate", "copies": 4}, "odd number"),
        ({"name": "polarity", "per": "bit"}, "per must be"),
        ({"name": "polarity", "per": "row"}, "by of a row must be"),
        ({"name": "thresholds", "by": "luck"}, "by must be"),
        ({"degree": 3}, "name must be among"),
    ):
        with pytest.raises(InputError, match=message):
            from_json(values)


def test_equal_protections_have_one_description() -> None:
    made = [Replicate(1), Replicate(1.0), from_json({"name": "replicate", "fraction": 1})]
    assert len({json.dumps(describe(one)) for one in made}) == 1


def test_overhead_counts_stored_cells_only() -> None:
    """By hand, for the layers 784-2048-2048-10 in words of 49 and 64 bits."""
    checks = 2048 * 16 * 7 + (2048 + 10) * 32 * 8
    assert Secded().overhead(SFC, SFC_BASE) == checks
    assert Compose((Secded(), Interleaved(4))).overhead(SFC, SFC_BASE) == checks
    # 10 rows on 3 PEs, the last slots empty: 10 words of 7 bits each; then 12 of 36, 3 of 64 bits
    assert Secded().overhead(NETWORK, BASE) == 10 * 10 * 5 + 12 * 7 + 3 * 8
    assert Secded(words=2).overhead(NETWORK, BASE) == 10 * 5 * 6 + 6 * 8 + 2 * 9
    rows = ((0, 5, 2047), (), (9,))
    bits = 3 * 784 + 2048
    replicate = Replicate(rows=rows)
    assert replicate.overhead(SFC, SFC_BASE) == 2 * bits
    assert Polarity("row", "bits", inverted=rows).overhead(SFC, SFC_BASE) == 2 * 2048 + 10
    assert Polarity(inverted=((), (), ())).overhead(SFC, SFC_BASE) == 3
    words_copied = 3 * 16 * 7 + 32 * 8
    both = Compose((replicate, Secded()))
    assert both.overhead(SFC, SFC_BASE) == 2 * bits + checks + 2 * words_copied
    tables = Thresholds().fit(SFC, SFC_BASE, Known())
    assert tables.overhead(SFC, SFC_BASE) == 2048 * (19 + 12)


def test_what_is_not_fitted_or_out_of_order_is_refused() -> None:
    rows = ((0,), (), ())
    for p in (Replicate(), Polarity(), Thresholds()):
        with pytest.raises(InputError, match="must be fitted before"):
            p.adapt(NETWORK) if isinstance(p, Thresholds) else p.layout(NETWORK, BASE)
    for late in (Replicate(rows=rows), Polarity(inverted=rows)):
        with pytest.raises(InputError, match="put it before 'interleave'"):
            Compose((Interleaved(2), late)).layout(NETWORK, BASE)
    for wrong in (((0,),), ((99,), (), ()), ((1, 0), (), ()), ((-1,), (), ())):
        with pytest.raises(InputError, match="rows must rise"):
            Replicate(rows=wrong).layout(NETWORK, BASE)
    twice = Compose((Replicate(rows=rows), Replicate(rows=rows)))
    with pytest.raises(InputError, match="cannot be taken again"):
        twice.layout(NETWORK, BASE)
    with pytest.raises(InputError, match="use by = 'data'"):
        Compose((Polarity(inverted=rows), Thresholds())).fit(NETWORK, BASE, known_for(NETWORK))
    with pytest.raises(InputError, match="needs images"):
        Thresholds("data").fit(NETWORK, BASE, Known(0.1, 0.1))
    with pytest.raises(InputError, match="importance must be"):
        Replicate().chosen(NETWORK, [np.ones(3)])


# ---- replication and polarity, a bit at a time ----


@settings(max_examples=8, deadline=None)
@given(seeds, st.sampled_from([3, 5]))
def test_each_bit_of_a_copied_row_is_what_most_of_its_copies_read(seed: int, copies: int) -> None:
    rng = np.random.default_rng(seed)
    p = Replicate(0.3, copies).chosen(NETWORK, [rng.random(n) for n in (10, 12, 3)])
    assert p.rows is not None and any(p.rows)
    layout = p.layout(NETWORK, BASE)
    map_ = random_map(seed, layout, 0.3)
    seen = p.effective(NETWORK, BASE, map_).read(stored_bits(NETWORK, BASE))
    read = map_.read(p.stored(NETWORK, BASE))
    by_name = {bank.name: bank for bank in layout.banks}
    n_turned = 0
    for k, (layer, fold) in enumerate(zip(NETWORK.layers, FOLDS, strict=True)):
        cells = BASE.weight_cells(k)
        for j in range(layer.n_outputs):
            name = f"L{k}.P{j % fold.pe:02d}.weights"
            place = [r for r in p.rows[k] if r % fold.pe == j % fold.pe]
            for i in range(layer.n_inputs):
                votes = [int(read[cells[j, i]])]
                if j in p.rows[k]:
                    lanes = BASE.n_steps(k) * fold.simd
                    at = place.index(j) * lanes + i
                    for c in range(1, copies):
                        votes.append(int(read[by_name[f"{name}.copy{c}"].first_cell + at]))
                assert seen[cells[j, i]] == (sum(votes) > len(votes) // 2)
                n_turned += seen[cells[j, i]] != votes[0]
    assert n_turned > 10  # the copies decide


@settings(max_examples=8, deadline=None)
@given(seeds, st.sampled_from(["row", "layer"]))
def test_an_inverted_row_reads_through_its_flag(seed: int, per: Literal["row", "layer"]) -> None:
    rng = np.random.default_rng(seed)
    rows = tuple(tuple(np.flatnonzero(rng.integers(0, 2, n)).tolist()) for n in (10, 12, 3))
    if per == "layer":
        rows = tuple(tuple(range(n)) if rng.integers(2) else () for n in (10, 12, 3))
    p = Polarity(per, "bits", inverted=rows)
    layout = p.layout(NETWORK, BASE)
    map_ = random_map(seed, layout, 0.3)
    seen = p.effective(NETWORK, BASE, map_).read(stored_bits(NETWORK, BASE))
    stored = p.stored(NETWORK, BASE)
    read = map_.read(stored)
    flags = {bank.name: bank.first_cell for bank in layout.banks}
    for k, (layer, fold) in enumerate(zip(NETWORK.layers, FOLDS, strict=True)):
        bits = unpack(layer.weights, layer.n_inputs)
        cells = BASE.weight_cells(k)
        for j in range(layer.n_outputs):
            flag = flags[f"L{k}.P00.polarity"]
            if per == "row":
                flag = flags[f"L{k}.P{j % fold.pe:02d}.polarity"] + j // fold.pe
            assert stored[flag] == (j in rows[k])
            assert (stored[cells[j]] == bits[j] ^ (j in rows[k])).all()
            assert (seen[cells[j]] == read[cells[j]] ^ read[flag]).all()


def test_polarity_by_bits_leaves_the_fewest_wrong_bits() -> None:
    for p01, p10 in ((0.02, 0.1), (0.1, 0.02)):
        p = Polarity("row", "bits").fit(NETWORK, BASE, Known(p01, p10))
        assert p.inverted is not None
        for layer, inverted in zip(NETWORK.layers, p.inverted, strict=True):
            ones = unpack(layer.weights, layer.n_inputs).sum(axis=1, dtype=np.int64)
            zeros = layer.n_inputs - ones
            better = ones * p01 + zeros * p10 < ones * p10 + zeros * p01
            assert np.flatnonzero(better).tolist() == list(inverted)


# ---- estimates ----


def test_moments_are_those_of_all_ways_to_fail() -> None:
    """Every one of the 2^n outcomes, weighted with its chance."""
    rng = np.random.default_rng(6)
    for kind in ("bits", "uint8"):
        layer = random_network((7, 3, 2), kind, rng).layers[0]
        x = rng.integers(0, 2 if kind == "bits" else 256, (4, 7)).astype(np.uint8)
        p01, p10 = np.array([0.1, 0.2, 0.0]), np.array([0.3, 0.2, 0.4])
        found = moments(layer, x, p01, p10)
        w = unpack(layer.weights, 7)
        outcomes = np.array(list(product((0, 1), repeat=7)), np.uint8)
        for j in range(3):
            one = np.where(w[j] == 1, 1 - p10[j], p01[j])  # chance to read 1
            chance = np.where(outcomes == 1, one, 1 - one).prod(axis=1)
            read = replace(
                layer,
                weights=pack(outcomes),
                negated=np.zeros(128, np.bool_),
                thresholds=np.zeros(128, np.int32),
            )
            sums = golden.accumulate(read, x)
            mean = sums @ chance
            std = np.sqrt((sums - mean[:, None]) ** 2 @ chance)
            assert np.allclose(found.mean[:, j], mean) and np.allclose(found.std[:, j], std)
        assert (found.clean == golden.accumulate(layer, x)).all()


def test_what_matters_is_traced_back_through_windows_and_pools() -> None:
    rng = np.random.default_rng(7)
    pool = Pool(2, 1)
    network = random_conv_network((6, 5, 2), ((3, 3, 2, 1, pool),), (4,), "uint8", rng)
    layer = network.layers[0]
    assert isinstance(layer, Conv) and layer.thresholds is not None
    x = rng.integers(0, 256, (3, 60)).astype(np.uint8)
    seen = golden.windows(layer.window, x).reshape(-1, 18)
    y = rng.random((len(seen), 18))
    assert np.isclose((seen * y).sum(), (x * importance._to_map(layer, y)).sum())
    sums = golden.accumulate(layer, seen).astype(np.float64)
    fired = (sums >= layer.thresholds).reshape(3, 3, 3, 3).astype(np.uint8)
    g = rng.random((3, layer.n_elements_out))
    before = importance._before_pool(layer, Moments(sums, sums, sums), g).reshape(fired.shape)
    for place in np.ndindex(fired.shape):
        on, off = fired.copy(), fired.copy()
        on[place], off[place] = 1, 0
        step = golden.or_pool(pool, on).astype(int) - golden.or_pool(pool, off)
        assert np.isclose(before[place], (step.reshape(3, -1) * g).sum())
    harm = row_harm(network, x, None, 0.1, 0.1)
    assert [len(h) for h in harm] == [3, 4] and all((h >= 0).all() for h in harm)


def test_rows_that_decide_nothing_do_no_harm() -> None:
    known = known_for(NETWORK)
    assert known.images is not None and known.labels is not None
    first = NETWORK.layers[0]
    assert first.thresholds is not None
    thresholds = first.thresholds.copy()
    thresholds[3] = first.threshold_range[1]  # never fires
    network = replace(NETWORK, layers=(replace(first, thresholds=thresholds), *NETWORK.layers[1:]))
    harm = row_harm(network, known.images, known.labels, 0.01, 0.01)
    assert harm[0][3] < 1e-3 * harm[0].max()
    rows = most_harmful(network, harm, 0.5)
    assert 3 not in rows[0]
    taken = sum(len(r) * la.n_inputs for r, la in zip(rows, network.layers, strict=True))
    assert 0.4 * network.n_weight_bits < taken <= 0.5 * network.n_weight_bits


# ---- thresholds ----


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-9, 9), st.booleans()), min_size=1, max_size=12),
    st.integers(-12, 12),
)
def test_the_threshold_from_data_is_the_best_and_nearest(
    samples: list[tuple[int, bool]], old: int
) -> None:
    sums, fires = (np.array(column) for column in zip(*samples, strict=True))
    found = agreeing(sums, fires.astype(np.bool_), old)
    wrong = {t: int(((sums >= t) != fires).sum()) for t in range(-30, 31)}
    best = [t for t in wrong if wrong[t] == min(wrong.values())]
    assert wrong[found] == min(wrong.values())
    assert abs(found - old) == min(abs(t - old) for t in best)


def test_the_closed_form_keeps_the_mean_distance_to_the_threshold() -> None:
    """Against `moments`, which knows each row and each image."""
    network = random_network((100, 90, 80, 5), "uint8", np.random.default_rng(8))
    base = layout_of(network)
    known = known_for(network, 0.03, 0.2, n=64)
    assert known.images is not None
    moved = Thresholds().fit(network, base, known).adapt(network)
    x = known.images.astype(np.uint8)
    for was, now in zip(network.layers[:-1], moved.layers[:-1], strict=True):
        assert was.thresholds is not None and now.thresholds is not None
        rates = np.full(was.n_outputs, 0.03), np.full(was.n_outputs, 0.2)
        m = moments(was, x, *rates)
        low, high = was.threshold_range
        inner = (now.thresholds > low + 1) & (now.thresholds < high - 1)
        before = 0.77 * (m.clean - (was.thresholds - 0.5)).mean(axis=0)
        after = (m.mean - (now.thresholds - 0.5)).mean(axis=0)
        assert inner.sum() > 70 and (np.abs(after - before)[inner] <= 0.5 + 1e-9).all()
        assert np.abs(now.thresholds - was.thresholds)[inner].max() > 3
        x = golden.fire(was, x)
    for rates_ in ((0.0, 0.0), (0.2, 0.2)):
        same = Thresholds().fit(network, base, Known(*rates_)).adapt(network)
        assert (same.sha256 == network.sha256) == (rates_ == (0.0, 0.0))


def test_thresholds_from_data_bring_back_what_fires_without_errors() -> None:
    """On a chip and on images that the tables were not made from."""
    network = random_network((256, 300, 10), "bits", np.random.default_rng(9))
    base = layout_of(network)
    images = (np.random.default_rng(10).random((400, 256)) < 0.8).astype(np.uint8)
    known = Known(0.0, 0.1, images[:200])
    wanted = golden.fire(network.layers[0], images[200:])
    agreement = []
    for p in (Nothing(), Thresholds("data"), Compose((Replicate(0.3), Thresholds("data")))):
        fitted = p.fit(network, base, known)
        adapted = fitted.adapt(network)
        map_ = Iid(0.0, 0.1, seed=3).sample(fitted.layout(adapted, base), 0)
        seen = faults.apply(adapted, fitted.effective(adapted, base, map_))
        agreement.append(float((golden.fire(seen.layers[0], images[200:]) == wanted).mean()))
    assert agreement[0] + 0.05 < agreement[1] < agreement[2]


def test_thresholds_in_a_composition_are_for_the_errors_left_over() -> None:
    known = Known(0.01, 0.01)
    alone = Thresholds().fit(SFC, SFC_BASE, known)
    both = Compose((Secded(), Thresholds())).fit(SFC, SFC_BASE, known)
    other = Compose((Thresholds(), Secded())).fit(SFC, SFC_BASE, known)
    after = both.of[1]
    assert isinstance(after, Thresholds) and other.of[0] == after
    assert alone.tables is not None and after.tables is not None
    assert both.needs == alone.needs and not Secded().needs

    def shift(tables: tuple[tuple[int, ...], ...]) -> int:
        pairs = zip(tables[:-1], SFC.layers[:-1], strict=True)
        return sum(int(np.abs(np.array(t) - la.thresholds).sum()) for t, la in pairs)

    assert 0 < shift(after.tables) < 0.7 * shift(alone.tables)


# ---- all worlds ----


def test_every_world_agrees_on_a_protected_network(tmp_path: Path) -> None:
    """Golden, engine and RTL run a protected network without knowing of it."""
    network = random_network((65, 20, 12, 3), "uint8", np.random.default_rng(11))
    base = layout_of(network, FOLDS)
    known = known_for(network)
    images = np.random.default_rng(12).integers(0, 256, (20, 65), np.uint8)
    device = RtlDevice(base, tmp_path)
    different = set()
    for p in ALL:
        p = p.fit(network, base, known)
        adapted = p.adapt(network)
        map_ = Iid(0.05, 0.15).sample(p.layout(adapted, base), 1, KINDS)
        seen = p.effective(adapted, base, map_)
        scores = golden.scores(faults.apply(adapted, seen), images)
        different.add(scores.tobytes())
        assert (engine.Engine(adapted).with_faults(seen).scores(images) == scores).all()
        device.load(adapted)
        device.inject(seen)
        assert (device.infer(images) == scores).all()
    assert len(different) > len(ALL) // 2
    device.close()


# ---- the report's front ----


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_the_front_holds_what_nothing_else_beats(values: list[tuple[int, int]]) -> None:
    points = [{"overhead": o, "mean": m} for o, m in values]
    found = [(p["overhead"], p["mean"]) for p in front(points)]
    beaten = {
        (o, m) for o, m in values for a, b in values if a <= o and b >= m and (a, b) != (o, m)
    }
    assert found == sorted(set(values) - beaten)


def test_the_page_draws_the_front_and_tells_every_point(tmp_path: Path) -> None:
    points = [
        {
            "network": "n",
            "condition": condition,
            "protection": name,
            "overhead": overhead,
            "p01": rate,
            "p10": rate,
            "method": "t",
            **dict.fromkeys(("mean", "low", "high"), mean),
        }
        for condition, rate in (("clean", 0.0), ("iid-1%", 0.01), ("iid-5%", 0.05))
        for name, overhead, mean in (("none", 0.0, 0.5), ("secded", 0.125, 0.75), ("x", 0.2, 0.7))
    ]
    values = {
        "points": points,
        "n_rows": 9,
        "n_images": 10,
        "images": "i",
        "device": "engine",
        "seeds": [1],
    }
    (tmp_path / "protections.json").write_text(json.dumps(values))
    text = str(protections_section(read(tmp_path)))
    assert text.count("<svg") == 1 and text.count(">12.50<") == 2 and "clean" not in text
    assert text.count(">yes<") == 4
    (tmp_path / "protections.json").write_text(json.dumps({**values, "points": [{}]}))
    with pytest.raises(ArtefactError, match="make protections makes it again"):
        protections_section(read(tmp_path))


# ---- physical memories as files ----


def test_a_map_of_a_physical_memory_survives_its_file(tmp_path: Path) -> None:
    for p in (p.fit(NETWORK, BASE, known_for(NETWORK)) for p in ALL[1:10]):
        layout = p.layout(NETWORK, BASE)
        map_ = Iid(0.05, 0.02).sample(layout, 2)
        faults.save(map_, tmp_path / "a.faults")
        again = faults.load(tmp_path / "a.faults")
        assert (again.layout, again.sha256) == (layout, map_.sha256)
        assert p.effective(NETWORK, BASE, again).sha256 == p.effective(NETWORK, BASE, map_).sha256


def test_a_physical_map_is_not_taken_for_a_map_of_the_network() -> None:
    p = Secded()
    map_ = Iid(0.1, 0.1).sample(p.layout(NETWORK, BASE), 0)
    for use in (
        lambda: faults.apply(NETWORK, map_),
        lambda: faults.readdress(map_, BASE),
        lambda: map_.layout.weight_cells(0),
        lambda: map_.layout.threshold_cells(0),
    ):
        with pytest.raises(InputError, match="no rows of a network"):
            use()
    with pytest.raises(InputError, match="not of the memory that 'secded' makes"):
        p.effective(NETWORK, BASE, Iid(0.1, 0.1).sample(BASE, 0))
    with pytest.raises(InputError, match="no \\['steps'\\]"):
        memory.from_json(to_json(map_.layout))


def test_forged_steps_are_refused() -> None:
    good = to_json(Secded().layout(NETWORK, BASE))
    assert physical.from_json(good).banks[0].width == 7 + 5
    checks = list(good["steps"][0]["checks"])
    for step in (
        {"step": "widen", "checks": checks[:-1]},
        {"step": "widen", "checks": [-1, *checks[1:]]},
        {"step": "widen", "checks": checks, "group": 0},
        {"step": "interleave", "degrees": [0] * len(checks)},
        {"step": "copy", "blocks": [[0, 0, 10**6]], "n_copies": 2},
        {"step": "copy", "blocks": [], "n_copies": 2},
        {"step": "flags", "banks": [[9, 0, 1, 1]], "label": "x"},
        {"step": "fold"},
    ):
        with pytest.raises(InputError, match=r"does not fit|unknown to this kit"):
            physical.from_json({**good, "steps": [step]})
