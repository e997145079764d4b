"""Weak labels: significance against its reference values, exact scans, noise that is as asked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stoic.models.weak_labels import (
    Noise,
    alpha_of,
    draw_regions,
    evidence_of_labels,
    fake_source,
    half_square,
    half_square_gradient,
    inject_noise,
    significance,
    thresholds,
)
from stoic.sim.exceptions import InputError

# ---- significance ----


def test_reference_values() -> None:
    found = significance([100, 30, 10], [300, 50, 50], 0.2)
    assert found == pytest.approx([4.2281, 4.4596, 0.0], abs=1e-4)


def test_edges_are_limits_and_a_lack_of_events_is_no_detection() -> None:
    assert significance(0, 0, 0.2) == significance(0, 7, 0.2) == significance(1, 6, 0.2) == 0
    assert significance(9, 0, 0.2) == pytest.approx((2 * 9 * np.log(6)) ** 0.5)
    assert significance(9, 1e-12, 0.2) == pytest.approx(float(significance(9, 0, 0.2)))
    with np.errstate(all="raise"):
        significance([0, 0, 5], [0, 5, 0], 1.0)
    for on, off, alpha in ((-1, 3, 0.2), (1, np.nan, 0.2), (1, 3, 0.0), (1, 3, np.inf)):
        with pytest.raises(InputError, match="not"):
            significance(on, off, alpha)


@given(st.floats(1, 1e4), st.floats(1, 1e4), st.floats(0.01, 2))
def test_the_gradient_is_the_slope(on: float, off: float, alpha: float) -> None:
    h = 1e-4 * min(on, off)
    along_on, along_off = half_square_gradient(on, off, alpha)
    if on - h <= alpha * (off + h) or half_square(on, off, alpha) < 1e-3:
        return
    slope_on = (half_square(on + h, off, alpha) - half_square(on - h, off, alpha)) / (2 * h)
    slope_off = (half_square(on, off + h, alpha) - half_square(on, off - h, alpha)) / (2 * h)
    assert along_on == pytest.approx(slope_on, rel=1e-3, abs=1e-5)
    assert along_off == pytest.approx(slope_off, rel=1e-3, abs=1e-5)


def test_it_is_standard_normal_without_a_source() -> None:
    rng = np.random.default_rng(1)
    on, off = rng.poisson(200, 20_000), rng.poisson(1000, 20_000)
    found = significance(on, off, 0.2)
    for sigmas, tail in ((1, 0.1587), (2, 0.02275), (3, 0.00135)):
        assert np.mean(found > sigmas) == pytest.approx(tail, abs=4 * (tail / 20_000) ** 0.5)


# ---- thresholds ----

SCORES = hnp.arrays(np.float64, st.integers(2, 30), elements=st.integers(-4, 4).map(float))


@settings(max_examples=150, deadline=None)
@given(SCORES, st.integers(0, 2**31), st.floats(0.05, 2))
def test_the_scan_is_the_best_of_all_thresholds(
    scores: np.ndarray, seed: int, alpha: float
) -> None:
    is_on = np.random.default_rng(seed).random(len(scores)) < 0.4
    cut = thresholds.by_significance(scores, is_on, alpha)
    values = np.unique(scores)
    if len(values) == 1:
        assert (cut.value, cut.n_on, cut.n_off) == (-np.inf, 0, 0)
        assert not (scores > cut.threshold).any()
        return
    tried = [scores > value for value in values[:-1]]  # every selection but all and nothing
    best = max(
        float(significance((chosen & is_on).sum(), (chosen & ~is_on).sum(), alpha))
        for chosen in tried
    )
    chosen = scores > cut.threshold
    assert cut.value == best
    assert (cut.n_on, cut.n_off) == ((chosen & is_on).sum(), (chosen & ~is_on).sum())
    assert cut.value == significance(cut.n_on, cut.n_off, alpha)


@settings(max_examples=50, deadline=None)
@given(SCORES, st.floats(0.05, 2))
def test_what_a_model_expects_is_cut_where_it_expects_most(odds: np.ndarray, alpha: float) -> None:
    cut = thresholds.by_expected_significance(odds, alpha)
    gamma = 1 / (1 + np.exp(-odds))
    on = gamma + (1 - gamma) * alpha / (1 + alpha)

    def expected(chosen: np.ndarray) -> float:
        return float(significance(on[chosen].sum(), (1 - on)[chosen].sum(), alpha))

    best = max((expected(odds > value) for value in np.unique(odds)[:-1]), default=-np.inf)
    assert cut.value == pytest.approx(best)
    if np.isfinite(best):
        assert expected(odds > cut.threshold) == pytest.approx(best)


def test_neighbouring_scores_are_told_apart() -> None:
    low = 1.0
    high = float(np.nextafter(low, 2))
    cut = thresholds.by_significance([high, high, low, low], [True, True, False, False], 1.0)
    assert (cut.n_on, cut.n_off) == (2, 0)
    assert low <= cut.threshold < high


def _noisy(p_minus: float, p_plus: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clean labels, weak labels and P(on | x) of 40,000 events with a known optimum."""
    rng = np.random.default_rng(3)
    x = rng.random(40_000)
    clean = x**3
    is_gamma = rng.random(len(x)) < clean
    is_on = inject_noise(is_gamma, p_minus, p_plus, rng)
    return is_gamma, is_on, (1 - p_minus - p_plus) * clean + p_minus


def test_corrected_f1_finds_the_clean_optimum_and_the_default_does_not() -> None:
    is_gamma, is_on, scores = _noisy(0.4, 0.3)

    def f1(threshold: float) -> float:
        chosen = scores > threshold
        return float(2 * (chosen & is_gamma).sum() / (chosen.sum() + is_gamma.sum()))

    best = max(f1(t) for t in np.quantile(scores, np.linspace(0, 0.999, 300)))
    for noise in (Noise(0.4, 0.3), Noise(0.4), Noise()):
        assert f1(thresholds.by_menon_f1(scores, is_on, noise).threshold) > best - 0.01
    assert f1(thresholds.by_default_f1(scores, is_on).threshold) < best - 0.03


@pytest.mark.parametrize("rule", thresholds.RULES)
def test_every_rule_selects_gammas_of_separate_classes(rule: str) -> None:
    rng = np.random.default_rng(5)
    is_gamma = rng.random(5000) < 0.3
    is_on = inject_noise(is_gamma, 1 / 6, 0.0, rng)
    scores = np.where(is_gamma, 0.9, 0.1) + 0.05 * rng.random(5000)
    cut = thresholds.choose(rule, scores, is_on, Noise.of_regions(0.2))
    assert ((scores > cut.threshold) == is_gamma).mean() > 0.97
    with pytest.raises(InputError, match="one of significance"):
        thresholds.choose("best", scores, is_on, Noise())
    with pytest.raises(InputError, match="needs p_minus"):
        thresholds.choose("significance", scores, is_on, Noise())


# ---- noise ----


def test_regions_have_the_rates_that_geometry_says() -> None:
    rng = np.random.default_rng(7)
    is_gamma = rng.random(60_000) < 0.5
    regions = draw_regions(is_gamma, 5, 0.1, rng)
    is_on = regions == 0
    assert Noise.of_regions(0.2).p_minus == pytest.approx(1 / 6)
    assert alpha_of(1 / 6) == pytest.approx(0.2)
    assert is_on[~is_gamma].mean() == pytest.approx(1 / 6, abs=0.01)
    assert is_on[is_gamma].mean() == pytest.approx(0.9, abs=0.01)
    counts = np.bincount(regions[~is_gamma], minlength=6)
    assert counts / counts.sum() == pytest.approx([1 / 6] * 6, abs=0.01)
    remain, plays_on = fake_source(regions)
    assert (remain == ~is_on).all() and plays_on.mean() == pytest.approx(1 / 5, abs=0.01)


def test_rates_that_say_nothing_are_refused_and_labels_that_say_something_are_seen() -> None:
    with pytest.raises(InputError, match="say nothing"):
        Noise(0.6, 0.4)
    with pytest.raises(InputError, match="p_plus"):
        Noise(None, 1.5)
    assert evidence_of_labels(60, 100, 1 / 6) > 5
    assert evidence_of_labels(17, 102, 1 / 6) == 0
