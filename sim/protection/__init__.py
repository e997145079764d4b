"""Protections of stored bits, one file each: frozen dataclasses that change memory, not networks.

A protection makes a physical memory of a plain layout, and brings the faults of that memory down to
the faults that a network still sees; see `protection.py`.
"""

from .compose import Compose
from .interleave import Interleaved
from .nothing import Nothing
from .polarity import Polarity
from .protection import Known, Protection
from .registry import PROTECTIONS, describe, from_json, label
from .replicate import Replicate
from .secded import Secded
from .thresholds import Thresholds

__all__ = [
    "PROTECTIONS",
    "Compose",
    "Interleaved",
    "Known",
    "Nothing",
    "Polarity",
    "Protection",
    "Replicate",
    "Secded",
    "Thresholds",
    "describe",
    "from_json",
    "label",
]
