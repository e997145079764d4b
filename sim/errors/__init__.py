"""Error models, one file a technology: frozen dataclasses that sample a FaultMap per chip."""

from .iid import Iid
from .model import ErrorModel, assemble, describe
from .registry import MODELS, from_json
from .stuck import Stuck
from .transient import Transient

__all__ = [
    "MODELS",
    "ErrorModel",
    "Iid",
    "Stuck",
    "Transient",
    "assemble",
    "describe",
    "from_json",
]
