"""Integer thresholds, against batch norm and sign in exact arithmetic at every reachable sum."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stoic.sim.exceptions import InputError
from stoic.sim.layers import Input
from stoic.sim.thresholds import Thresholds, from_batch_norm, sign_of_root_sum

FAN_INS = [1, 7, 63, 64, 65, 100]


@dataclass(frozen=True)
class Norm:
    """One neuron's batch norm, as a file stores it, and its layer."""

    gamma: float
    beta: float
    mean: float
    var: float
    eps: float = 1e-5
    n_inputs: int = 7
    domain: Input = "bits"


Method = Callable[[Norm], Thresholds]


def columns(values: list[float]) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def exact(norm: Norm) -> Thresholds:
    gamma, beta, mean, var = (columns([v]) for v in (norm.gamma, norm.beta, norm.mean, norm.var))
    return from_batch_norm(gamma, beta, mean, var, norm.eps, norm.n_inputs, norm.domain)


def naive(norm: Norm) -> Thresholds:
    """The closed formula in float32, as one would write it."""
    gamma, beta, mean, var = columns([norm.gamma, norm.beta, norm.mean, norm.var])
    value = float(mean - beta / gamma * np.sqrt(var + np.float32(norm.eps)))
    n = norm.n_inputs
    value = -value if gamma < 0 else value
    low, high = (0, n + 1) if norm.domain == "bits" else (-255 * n, 255 * n + 1)
    threshold = ceil((value + n) / 2) if norm.domain == "bits" else ceil(value)
    values = np.array([min(max(threshold, low), high)], np.int32)
    return Thresholds(values, np.array([gamma < 0]), np.zeros(1, np.bool_))


def reachable(norm: Norm) -> range:
    n = norm.n_inputs
    return range(-n, n + 1, 2) if norm.domain == "bits" else range(-255 * n, 255 * n + 1)


def decides_alike(method: Method, norm: Norm, sums: range | list[int]) -> bool:
    """Whether thresholding equals the sign of batch norm at these sums.

    The square root is taken to more digits than float32 parameters can need to tell a non-zero
    value from 0, so this does not share the comparison of squares with the kit.
    """
    found = method(norm)
    theta, is_negated = int(found.values[0]), bool(found.negated[0])
    parameters = [float(np.float32(v)) for v in (norm.gamma, norm.beta, norm.mean, norm.var)]
    tiny = Decimal(10) ** -700
    with localcontext() as context:
        context.prec = 1000
        gamma, beta, mean, var = (Decimal(v) for v in parameters)
        root = (var + Decimal(norm.eps)).sqrt()
        for s in sums:
            value = gamma * (s - mean) + beta * root
            row_sum = -s if is_negated else s  # what the row as stored sums to
            lane = (row_sum + norm.n_inputs) // 2 if norm.domain == "bits" else row_sum
            if (lane >= theta) != (value > -tiny):
                return False
    return True


def around(norm: Norm) -> list[int]:
    """Ends of the range and the neighbourhood of the decision; the rest follows by monotony."""
    sums = reachable(norm)
    theta = int(exact(norm).values[0]) * (-1 if norm.gamma < 0 else 1)
    return [s for s in {sums[0], sums[-1], *range(theta - 3, theta + 4)} if s in sums]


def floats(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, width=32)


scales = st.one_of(floats(-4, 4), st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0**-140, -(2.0**-140)]))
means = st.one_of(floats(-80, 80), st.integers(-70, 70).map(float))
shifts = st.one_of(st.just(0.0), floats(-3, 3), st.sampled_from([2.0**-149, -(2.0**-149), 0.5]))
variances = st.one_of(floats(0, 500), st.sampled_from([0.0, 2.0**-149, 1e-30, 1.0, 4.0]))
norms = st.builds(
    Norm,
    scales,
    shifts,
    means,
    variances,
    st.sampled_from([1e-5, 1e-12, 1.0, 2.0**-20]),
    st.sampled_from(FAN_INS),
)

# Exact ties: the root is rational, or beta is 0 and the mean an integer.
TIES = [
    Norm(1.0, 0.0, 3.0, 1.0),
    Norm(-1.0, 0.0, -3.0, 1.0),
    Norm(0.1, 0.0, 1.0, 0.3),
    Norm(0.5, 0.5, 2.0, 3.0, eps=1.0, n_inputs=64),
    Norm(-0.5, 0.5, 2.0, 3.0, eps=1.0, n_inputs=64),
    Norm(0.0, 0.0, 0.0, 1.0),
]


@settings(max_examples=150, deadline=None)
@given(norms)
@example(Norm(1.0, 2.0**-149, 3.0, 2.0**-149, 1e-12))
@example(Norm(2.0**-140, 0.5, 3.0, 500.0))
def test_thresholds_on_bits_decide_as_batch_norm_does_at_every_sum(norm: Norm) -> None:
    assert decides_alike(exact, norm, reachable(norm))


@settings(max_examples=60, deadline=None)
@given(norms, floats(-200, 200))
def test_thresholds_on_pixels_decide_as_batch_norm_does(norm: Norm, mean: float) -> None:
    pixels = Norm(norm.gamma, norm.beta, 50 * mean, norm.var, norm.eps, norm.n_inputs, "uint8")
    assert decides_alike(exact, pixels, around(pixels))


@pytest.mark.parametrize("gamma", [0.7, -0.7, 0.0])
def test_thresholds_on_pixels_decide_so_at_every_sum_of_a_small_layer(gamma: float) -> None:
    norm = Norm(gamma, -0.3, 17.0, 900.0, n_inputs=7, domain="uint8")
    assert decides_alike(exact, norm, reachable(norm))


@pytest.mark.parametrize("norm", TIES)
def test_ties_fire_and_are_counted(norm: Norm) -> None:
    assert decides_alike(exact, norm, reachable(norm))
    assert exact(norm).is_tie.all()
    off = Norm(norm.gamma, norm.beta + 2.0**-20, norm.mean, norm.var, norm.eps, norm.n_inputs)
    assert not exact(off).is_tie.any()


def test_the_closed_formula_in_floats_is_caught() -> None:
    rng = np.random.default_rng(5)
    caught = []
    for _ in range(300):
        # Means next to an integer, where rounding decides; beta small against it.
        mean = float(np.nextafter(np.float32(rng.integers(-60, 60)), np.float32(1e9)))
        gamma, beta = float(rng.choice([-0.7, 0.3])), float(rng.normal() * 1e-7)
        norm = Norm(gamma, beta, mean, float(rng.random() + 0.1), n_inputs=64)
        assert decides_alike(exact, norm, reachable(norm))
        caught.append(not decides_alike(naive, norm, reachable(norm)))
    assert 0 < sum(caught) < 300  # wrong now and then, which is why nobody notices


@pytest.mark.parametrize("n", FAN_INS)
@pytest.mark.parametrize("gamma", [1.0, -1.0, 0.0])
def test_constant_neurons_get_the_ends_of_the_canonical_range(n: int, gamma: float) -> None:
    for domain, low, high in (("bits", 0, n + 1), ("uint8", -255 * n, 255 * n + 1)):
        always = Norm(gamma, 3e4 * n, 0.0, 1.0, n_inputs=n, domain=domain)  # type: ignore[arg-type]
        never = Norm(gamma, -3e4 * n, 0.0, 1.0, n_inputs=n, domain=domain)  # type: ignore[arg-type]
        assert (exact(always).values[0], exact(never).values[0]) == (low, high)


@settings(deadline=None)
@given(norms, st.sampled_from([1, 2, 8]))
def test_scaled_weights_are_the_same_as_a_scaled_norm(norm: Norm, k: int) -> None:
    """With weights of 1 / k the norm sees s / k; gamma / k and k mean say the same, exactly."""
    gamma, beta, mean, var = (columns([v]) for v in (norm.gamma, norm.beta, norm.mean, norm.var))
    rest = (norm.eps, norm.n_inputs, norm.domain)
    scaled = from_batch_norm(gamma, beta, mean, var, *rest, Fraction(1, k))
    plain = from_batch_norm(gamma, beta * np.float32(k), mean * np.float32(k), var, *rest)
    assert (scaled.values == plain.values).all()


@given(st.fractions(), st.fractions(), st.fractions(0, 100))
def test_sign_of_root_sum_is_the_sign(a: Fraction, b: Fraction, root: Fraction) -> None:
    value = a + b * root
    assert sign_of_root_sum(a, b, root * root) == (value > 0) - (value < 0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_parameters_that_are_not_finite_are_refused(bad: float) -> None:
    good = columns([1.0, 1.0])
    with pytest.raises(InputError, match=r"mean\[1\] must be finite"):
        from_batch_norm(good, good, columns([0.0, bad]), good, 1e-5, 7, "bits")


def test_other_shapes_and_no_variance_are_refused() -> None:
    good = columns([1.0])
    with pytest.raises(InputError, match="beta must be"):
        from_batch_norm(good, columns([1.0, 2.0]), good, good, 1e-5, 7, "bits")
    with pytest.raises(InputError, match="must be positive"):
        from_batch_norm(good, good, good, columns([-1.0]), 1e-5, 7, "bits")
