"""When a point has enough chips: a two-stage rule after Stein that looks again when it must.

The first `min_chips` chips give a standard deviation s0. Stein's interval for the mean of n chips,

    mean +- t_{min_chips - 1} s0 / sqrt(n),

covers exactly as often as it says however n depends on s0, for chips that are normal; that is why
a plain t interval, looked at after every chip until it is narrow, is too narrow and this is not. So

    n1 = ceil((t s0 / wanted half-width)^2)

chips are drawn, in one go. Accuracies lean to the left, and a first stage that saw no bad chip has
a small s0; so the interval given is the wider one of Stein's and Student's over all chips drawn,
and where that is still too wide, more chips follow by the same formula. Chips are taken in the
order of their numbers, so the chips of a point depend on the rows alone, never on who ran them.

Coverage of the nominal 95 % (`tests/test_campaign_points.py`): normal chips 95 to 97 %; chips with
the skew of an exponential 89 to 92 %; the t interval of 20 such chips without any rule has 92 %.

Source: Stein 1945, Ann. Math. Statist. 16 (3), 243-258.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..exceptions import InputError
from ..intervals import Interval, over_chips, quantile_t, spread

MAX_CHIPS = 1_000_000
"""Of a point. Its units are held in memory: 1e5 take 5 s and 70 MB before the first one runs."""
METHOD = "wider of Stein's two-stage t and Student t over chips"


@dataclass(frozen=True)
class StopRule:
    """How many chips a point gets.

    Attributes:
        min_chips: of the first stage, or of every point when there is no wanted half-width.
        max_chips: never more, however wide the interval.
        half_width: wanted, of the 95 % interval of the mean accuracy, 0..1; None: `min_chips`.
    """

    min_chips: int
    max_chips: int
    half_width: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.min_chips <= MAX_CHIPS:
            raise InputError(f"chips must be 1..{MAX_CHIPS}, not {self.min_chips}")
        if self.half_width is None:
            if self.max_chips != self.min_chips:
                raise InputError("max_chips needs a wanted stop_half_width")
            return
        if not 0 < self.half_width < 1:
            raise InputError(f"stop_half_width must be above 0 and below 1, not {self.half_width}")
        if not 2 <= self.min_chips <= self.max_chips:
            raise InputError(
                f"min_chips must be 2..max_chips, not {self.min_chips} of {self.max_chips}"
            )
        if self.max_chips > MAX_CHIPS:
            raise InputError(f"max_chips must be at most {MAX_CHIPS}, not {self.max_chips}")

    def wanted(self, accuracy: Sequence[float], n_images: int) -> int:
        """Chips that the point shall have, once it has these; as many as it has: it is finished."""
        n = len(accuracy)
        if n < self.min_chips:
            return self.min_chips
        if self.half_width is None or n >= self.max_chips:
            return n
        ratio = self._scale(accuracy, n_images) / self.half_width
        if ratio >= math.sqrt(self.max_chips):  # also where its square is no number
            return self.max_chips
        return max(n, math.ceil(ratio**2))

    def interval(self, accuracy: Sequence[float], n_images: int) -> Interval:
        """95 % interval of the mean of the chips that the rule asked for."""
        n = len(accuracy)
        if self.half_width is None or n < self.min_chips or n_images == 1:
            return over_chips(accuracy, n_images)
        reach, mean = self._scale(accuracy, n_images) / math.sqrt(n), float(np.mean(accuracy))
        return Interval(max(0.0, mean - reach), min(1.0, mean + reach), 0.95, METHOD)

    def _scale(self, accuracy: Sequence[float], n_images: int) -> float:
        """Half-width of the interval times sqrt(n)."""
        if n_images == 1:
            reach = over_chips(accuracy, n_images).half_width or 1.0
            return reach * math.sqrt(len(accuracy))
        stages = (accuracy[: self.min_chips], accuracy)
        return max(quantile_t(len(stage)) * spread(stage, 1 / n_images) for stage in stages)


def fixed(n_chips: int) -> StopRule:
    """The rule that gives every point so many chips."""
    return StopRule(n_chips, n_chips)
