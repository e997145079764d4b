"""Protections: codes checked exhaustively, memories a bit at a time, what a network still sees."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoic.sim import faults, physical
from stoic.sim.bits import n_words, pack, unpack
from stoic.sim.errors import Iid
from stoic.sim.exceptions import InputError
from stoic.sim.faults import FaultMap
from stoic.sim.memory import KINDS, Fold, Layout, layout_of, stored_bits, to_json
from stoic.sim.protection import (
    PROTECTIONS,
    Compose,
    Interleaved,
    Nothing,
    Protection,
    Secded,
    describe,
    from_json,
    label,
)
from stoic.sim.protection.hsiao import Code, code
from stoic.sim.random_network import random_network

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
)
ids: Callable[[Protection], str] = label


@pytest.mark.parametrize("p", ALL, ids=ids)
def test_without_faults_a_network_reads_back_whole(p: Protection) -> None:
    for network, base in ((NETWORK, BASE), (SFC, SFC_BASE)):
        layout = p.layout(network, base)
        assert p.effective(network, base, faults.no_faults(layout)).n_faults == 0
        stored = p.stored(network, base)
        assert stored.shape == (layout.n_cells,) and not (stored & ~layout.is_stored).any()
        n_stored = int(layout.is_stored.sum()) - int(base.is_stored.sum())
        assert p.overhead(network, base) >= n_stored >= 0


@pytest.mark.parametrize("p", ALL, ids=ids)
def test_protections_come_back_from_json(p: Protection) -> None:
    assert from_json(describe(p)) == p
    assert p.name in PROTECTIONS


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
        ({"name": "interleave", "degree": "x"}, "protection 'interleave'"),
        ({"name": "compose", "of": ["secded"]}, "two or more"),
        ({"name": "compose"}, "protection 'compose'"),
        ({"degree": 3}, "name must be among"),
    ):
        with pytest.raises(InputError, match=message):
            from_json(values)


def test_overhead_counts_stored_cells_only() -> None:
    n_used = sum(2048 * -(-n // w) for n, w in ((784, 49), (2048, 64))) + 10 * 32
    n_wide = 2048 * 16 * 7 + (2048 + 10) * 32 * 8
    assert n_used == 98624 and Secded().overhead(SFC, SFC_BASE) == n_wide
    both = Compose((Secded(), Interleaved(4)))
    assert both.overhead(SFC, SFC_BASE) == n_wide


# ---- physical memories as files ----


def test_a_map_of_a_physical_memory_survives_its_file(tmp_path: Path) -> None:
    for p in ALL[1:]:
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
        from stoic.sim import memory

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
