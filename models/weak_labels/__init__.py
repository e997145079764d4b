"""Learning from weak labels: significance of a detection instead of classes of events.

The estimators stand in modules of their own, which need scikit-learn (extra `weak`) and, for the
network, torch (extra `train`).
"""

from .noise import Noise, alpha_of, draw_regions, evidence_of_labels, fake_source, inject_noise
from .significance import half_square, half_square_gradient, significance
from .thresholds import RULES, Cut, by_significance, choose, scan

__all__ = [
    "RULES",
    "Cut",
    "Noise",
    "alpha_of",
    "by_significance",
    "choose",
    "draw_regions",
    "evidence_of_labels",
    "fake_source",
    "half_square",
    "half_square_gradient",
    "inject_noise",
    "scan",
    "significance",
]
