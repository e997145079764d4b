"""What a batch norm of negative scale becomes when its sign is not looked at. Needs nothing else.

Each rule is what public code computes, written out here; the reference is exact.
"""

from fractions import Fraction
from random import Random

N = 64  # fan-in; sums are -N, -N + 2, ..., N


def exact(gamma: Fraction, beta: Fraction, mean: Fraction, sigma: Fraction, s: int) -> bool:
    """Whether the neuron fires."""
    return gamma * (s - mean) / sigma + beta >= 0


def threshold(gamma: Fraction, beta: Fraction, mean: Fraction, sigma: Fraction) -> Fraction:
    """Where the batch norm is 0."""
    return mean - beta * sigma / gamma


def by_threshold_alone(gamma: Fraction, at: Fraction, s: int) -> bool:
    """fastinference, optimizers/neuralnet/merge_nodes.py: threshold - bias / scale, no sign kept.

    The same omission: LTA-BNN, code/python/TLU_Utils.py, extract_and_set_thresholds.
    """
    return s >= at


def by_negated_row(gamma: Fraction, at: Fraction, s: int) -> bool:
    """BNN-PYNQ, finnthesizer.py: weights and threshold times sign(gamma), which for 0 is 0."""
    sign = (gamma > 0) - (gamma < 0)
    return sign * s >= sign * at


def main() -> None:
    """Count wrong decisions over random neurons, all sums."""
    rng = Random(0)
    for name, signs in (("positive", (1,)), ("negative", (-1,)), ("both", (-1, 1))):
        wrong = {by_threshold_alone: 0, by_negated_row: 0}
        total = 0
        for _ in range(500):
            gamma = rng.choice(signs) * Fraction(rng.randint(1, 64), 16)
            beta, mean = Fraction(rng.randint(-64, 64), 16), Fraction(rng.randint(-512, 512), 16)
            sigma = Fraction(rng.randint(16, 256), 16)
            at = threshold(gamma, beta, mean, sigma)
            for s in range(-N, N + 1, 2):
                total += 1
                for rule in wrong:
                    wrong[rule] += rule(gamma, at, s) != exact(gamma, beta, mean, sigma, s)
        counts = ", ".join(f"{rule.__name__} {count}" for rule, count in wrong.items())
        print(f"{name} scales: wrong of {total}: {counts}")
    zero = [by_negated_row(Fraction(0), Fraction(5), s) for s in range(-N, N + 1, 2)]
    print(
        f"scale 0, beta -1 (never fires): finnthesizer's rule fires at {sum(zero)} of {len(zero)}"
    )


if __name__ == "__main__":
    main()
