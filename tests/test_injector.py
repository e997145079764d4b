"""Transient read errors: what the definition draws, and that the fast form draws the same."""

from itertools import product

import numpy as np
import pytest

from stoic.sim import injected
from stoic.sim.core import FORMS, Core, Form
from stoic.sim.exceptions import InputError
from stoic.sim.golden import scores as clean_scores
from stoic.sim.injector import (
    ReadErrors,
    image_words,
    next_word,
    read_index,
    word_errors,
)
from stoic.sim.layers import Input
from stoic.sim.memory import Fold, Layout, layout_of, stored_bits
from stoic.sim.network import Network
from stoic.sim.random_network import random_network

STATE_BITS = 127


def small(first: Input, folds: tuple[Fold, ...]) -> tuple[Network, Layout]:
    network = random_network((70, 11, 9, 4), first, np.random.default_rng(3))
    return network, layout_of(network, folds)


CASES: list[tuple[Input, tuple[Fold, ...]]] = [
    ("bits", (Fold(3, 36), Fold(2, 1), Fold(4, 5))),
    ("uint8", (Fold(11, 64), Fold(5, 3), Fold(1, 7))),
]


def plain_masks(
    errors: ReadErrors, layer: int, image: int
) -> dict[tuple[int, ...], tuple[int, int]]:
    """What every read of one image meets, by the definition."""
    layout = errors.core.layout
    words = list(errors.start(layer))
    for _ in range((image + 1) * image_words(errors.core, layer)):
        words.append(next_word(words))
    fold, n_planes = layout.folds[layer], 8 if layout.shapes[layer].input == "uint8" else 1
    found: dict[tuple[int, ...], tuple[int, int]] = {}
    for f, b, w in product(
        range(layout.n_folds(layer)), range(n_planes), range(layout.n_steps(layer))
    ):
        at = image * image_words(errors.core, layer) + read_index(errors.core, layer, f, b, w)
        for pe in range(fold.pe):
            is_off = f"L{layer}.P{pe:02d}.weights" in errors.off
            found[f, n_planes - 1 - b, w, pe] = (
                (0, 0)
                if is_off
                else word_errors(
                    words[at : at + 4], errors.rates(layer), errors.form, fold.simd, pe
                )
            )
    return found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("first, folds", CASES)
def test_arrays_hold_what_the_definition_draws(
    form: Form, first: Input, folds: tuple[Fold, ...]
) -> None:
    _, layout = small(first, folds)
    for p01, p10 in ((0.5, 0.013), (0.11, 0.25)):
        errors = ReadErrors(Core(layout, injector=form), p01, p10, seed=7, off=("L0.P01.weights",))
        for layer in range(3):
            reads01, reads10 = injected.masks(errors, layer, 2, 2)
            for image in (2, 3):
                for at, (m01, m10) in plain_masks(errors, layer, image).items():
                    assert (reads01[image - 2][at], reads10[image - 2][at]) == (m01, m10)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("first, folds", CASES)
def test_scores_are_those_of_reading_bit_by_bit(
    form: Form, first: Input, folds: tuple[Fold, ...]
) -> None:
    network, layout = small(first, folds)
    high = 255 if first == "uint8" else 1
    images = np.random.default_rng(1).integers(0, high + 1, (3, 70), dtype=np.uint8)
    errors = ReadErrors(Core(layout, injector=form), 0.06, 0.02, seed=1)
    got = injected.scores(network, images, errors, first=4)
    assert (got != clean_scores(network, images)).any()
    cells = stored_bits(network, layout)
    for row, image in enumerate(images):
        x, sums = image.astype(int), list[int]()
        for i, layer in enumerate(network.layers):
            fold, masks, sums = layout.folds[i], plain_masks(errors, i, 4 + row), []
            stored, n_planes = layout.rows(cells, i, "weights"), 8 if layer.input == "uint8" else 1
            for j in range(layer.n_outputs):
                total = 0
                for lane, b in product(range(layer.n_inputs), range(n_planes)):
                    at = (j // fold.pe, n_planes - 1 - b, lane // fold.simd, j % fold.pe)
                    m01, m10 = (m >> lane % fold.simd & 1 for m in masks[at])
                    bit = int(stored[j, lane]) ^ (m10 if stored[j, lane] else m01)
                    x_bit = int(x[lane]) >> b & 1
                    if layer.input == "uint8":
                        total += (2 * bit - 1) * x_bit << b
                    else:
                        total += bit == x_bit
                sums.append(total)
            if layer.thresholds is not None:
                x = (np.array(sums) >= layer.thresholds).astype(int)
        last = network.layers[-1]
        expected = sums if last.input == "uint8" else [2 * s - last.n_inputs for s in sums]
        assert got[row].tolist() == expected


def test_rates_are_exact_in_steps_of_two_to_the_minus_16() -> None:
    _, layout = small(*CASES[0])
    for p01, p10 in ((0.5, 0.5), (0.5 - 2.0**-16, 2.0**-16), (0.1, 0.0), (2.0**-16, 3 * 2.0**-16)):
        for layer in range(3):
            rates = ReadErrors(Core(layout, injector="ring"), p01, p10).rates(layer)
            assert abs(rates.p01 - p01) <= 2.0**-17 and abs(rates.p10 - p10) <= 2.0**-17
            if (p01 * 65536).is_integer() and (p10 * 65536).is_integer():
                assert (rates.p01, rates.p10) == (p01, p10)
            assert max(rates.t01, rates.t10) <= 1 << 15


def exact_rate(t: int, care: int) -> float:
    """Chance of lane 5 to be hit, counted over all values of the bits that decide."""
    hits = 0
    for v, u in product(range(16), range(2048)):
        hits += 2 * v < 2 * (t >> 11) + (u < t & 0x7FF)
    return hits / (16 * 2048) * 0.5 ** (1 + care.bit_count())


def test_registers_give_the_rate_that_they_claim() -> None:
    _, layout = small(*CASES[0])
    for p01, p10 in ((0.5, 0.033), (0.1, 0.0007)):
        rates = ReadErrors(Core(layout, injector="ring"), p01, p10).rates(0)
        assert exact_rate(rates.t01, rates.care) == rates.p01
        assert exact_rate(rates.t10, rates.care) == rates.p10


def forms_of_state(n: int) -> list[list[int]]:
    """For n cycles, each bit of the state as a sum of bits of the first state: 127 bits."""
    words = [[1 << (32 * (3 - w) + b) for b in range(32)] for w in range(4)]
    words[0][31] = 0  # no bit of the state
    while len(words) < n + 3:
        shifted = [words[-3][31], *words[-4][:31]]
        words.append([a ^ b for a, b in zip(words[-2], shifted, strict=True)])
    return [
        [bit for w in range(3, -1, -1) for bit in words[at + w]][:STATE_BITS] for at in range(n)
    ]


def rank(vectors: list[int]) -> int:
    """Of vectors over the field of two elements."""
    pivots: dict[int, int] = {}
    for vector in vectors:
        while vector:
            top = vector.bit_length()
            if top not in pivots:
                pivots[top] = vector
                break
            vector ^= pivots[top]
    return len(pivots)


def deciding(state: list[int], form: Form, simd: int, pe: int, lane: int) -> list[int]:
    """The sums of state bits that decide about a lane: lane ^ flip, v, place; without the carry."""
    index = pe if form == "independent" else 0
    own = [state[75 + k] ^ state[86 + (k + index) % 41] for k in range(11)]
    return [state[(lane + pe) % simd] ^ own[4], *own[:4], *own[5:]]


@pytest.mark.parametrize("form", FORMS)
def test_reads_of_different_words_are_independent(form: Form) -> None:
    """All that decides about two reads, of up to 128 words apart, is independent bit for bit."""
    rng = np.random.default_rng(5)
    states = forms_of_state(129)
    for simd in (1, 7, 36, 64):
        for later in range(1, 129):
            for _ in range(4):
                (i, j), (p, q) = rng.integers(0, simd, 2), rng.integers(0, 41, 2)
                one = [*deciding(states[0], form, simd, p, i), *states[0][64:75]]
                other = [*deciding(states[later], form, simd, q, j), *states[later][64:75]]
                assert rank([*one, *other]) == 44, (simd, later, i, j, p, q)


def test_elements_of_the_independent_form_share_the_carry_alone() -> None:
    state = forms_of_state(1)[0]
    rng = np.random.default_rng(6)
    for p, q in product(range(41), repeat=2):
        if p != q:
            i, j = rng.integers(0, 36, 2)
            for lane in (j, (i + p - q) % 36):  # any, and the one of the same random bit
                bits = deciding(state, "independent", 36, p, i)
                bits += deciding(state, "independent", 36, q, lane)
                assert rank([*bits, *state[64:75]]) == 22 + 11


def shared_lanes(n_care: int, n_lanes: int = 32) -> float:
    """P(a second lane is in the subset of the place, if one is), mean over second lanes."""
    care = (1 << n_care) - 1
    others = [i ^ j for i, j in product(range(n_lanes), repeat=2) if i != j]
    return sum((other & care) == 0 for other in others) / len(others)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("p01, p10", [(0.5, 0.5), (0.1, 0.01), (0.004, 0.04), (0.0005, 0.3)])
def test_statistics(form: Form, p01: float, p10: float) -> None:
    """Rates of both directions and all lanes, variance of errors of a word, what is shared."""
    layout = layout_of(random_network((256, 24), "bits", np.random.default_rng(0)), (Fold(12, 32),))
    errors = ReadErrors(Core(layout, injector=form), p01, p10, seed=11)
    rates = errors.rates(0)
    n_care = rates.care.bit_count()
    for masks, p, t in zip(
        injected.masks(errors, 0, 0, 600),
        (rates.p01, rates.p10),
        (rates.t01, rates.t10),
        strict=True,
    ):
        words = masks.reshape(-1, 12)
        hit = (words[..., None] >> np.arange(32, dtype=np.uint64)) & np.uint64(1)
        n_errors = hit.sum(axis=2).astype(float)
        drawn = words.size if form == "independent" else len(words)
        # given a word that is hit, a lane is hit with s, two with s / 2 or never
        s = 0.5 ** (1 + n_care)
        variance = 32 * p + 32 * 31 * p * shared_lanes(n_care) / 2 - (32 * p) ** 2
        n_hit = drawn * p / s
        assert n_errors.mean() == pytest.approx(32 * p, abs=5 * np.sqrt(variance / drawn))
        assert n_errors.var() == pytest.approx(variance, rel=8 / np.sqrt(n_hit))
        for rows in (hit[:, 0], hit[:, 5]):
            spread = np.sqrt(p * (1 - p) / len(words))
            assert np.abs(rows.mean(axis=0) - p).max() < 5 * spread
        # neighbours in time have nothing in common; two elements a carry, or in the ring the word
        noise = 5 / np.sqrt(len(words))
        assert abs(np.corrcoef(n_errors[:-1, 0], n_errors[1:, 0])[0, 1]) < noise
        chance = (t & 0x7FF) / 0x800
        carried = chance * (1 - chance) / 256 * (32 * s) ** 2 / variance
        across = np.corrcoef(n_errors.T)[np.triu_indices(12, 1)].mean()
        assert across == pytest.approx(1 if form == "ring" else carried, abs=noise / 2)


def test_bounds_of_what_rtl_readme_says_of_the_statistics() -> None:
    """Variance of the errors of a word at equal rates, and correlation of elements."""
    core = Core(small(*CASES[0])[1], injector="independent")
    for n_lanes in (8, 32, 64):
        shared = [shared_lanes(n_care, n_lanes) for n_care in range(7)]
        for n in range(1, 1 << 10):
            rates = ReadErrors(core, n / 2048, n / 2048).rates(0)
            p, pairs = rates.p01, n_lanes * (n_lanes - 1)
            mean = n_lanes * p
            variance = mean + pairs * p * shared[rates.care.bit_count()] / 2 - mean**2
            most = 2.6 if p <= 1 / 16 else 22
            assert 0.5 <= variance / (mean * (1 - p)) <= most, (n_lanes, p)
    chance = np.arange(1, 2048) / 2048
    for v in range(16):  # a word is hit below v of 16, and at v with this chance
        q = (v + chance) / 16
        common = chance * (1 - chance) / 256
        assert (common / (q * (1 - q)) < 1 / 16).all()
        for s in 0.5 ** np.arange(1, 8):
            assert (common * s * s / (q * s * (1 - q * s)) < s / 16).all()


def test_what_a_read_meets_is_other_for_another_seed_layer_or_image() -> None:
    _, layout = small(*CASES[0])
    errors = [ReadErrors(Core(layout, injector="ring"), 0.2, 0.2, seed) for seed in (0, 1)]
    drawn = [injected.masks(e, 0, image, 1)[0].tobytes() for e in errors for image in (0, 1)]
    assert len(set(drawn)) == 4
    assert errors[0].start(0) != errors[0].start(1)


def test_illegal_settings_are_refused() -> None:
    _, layout = small(*CASES[0])
    wide = layout_of(random_network((8, 50), "bits", np.random.default_rng(0)), (Fold(42, 8),))
    ring, wide_core = Core(layout, injector="ring"), Core(wide, injector="independent")
    for why, make in (
        ("0..0.5, not p01 0.6", lambda: ReadErrors(ring, 0.6, 0.0)),
        ("seed must be 0 or more", lambda: ReadErrors(ring, 0.0, 0.0, -1)),
        ("'L9' is not a weight bank", lambda: ReadErrors(ring, 0.0, 0.0, off=("L9",))),
        ("no injectors", lambda: ReadErrors(Core(layout), 0.0, 0.0)),
        ("serves 41 processing elements a layer, not 42", lambda: ReadErrors(wide_core, 0, 0)),
    ):
        with pytest.raises(InputError, match=why):
            make()  # type: ignore[no-untyped-call]
