"""Error models, one file a technology: frozen dataclasses that sample a FaultMap per chip."""

from .bursts import Bursts
from .clusters import Clusters
from .data_dependent import DataDependent
from .iid import Iid
from .injector import Injector
from .lines import Lines
from .model import ErrorModel, assemble, describe
from .registry import ALL_MODELS, MODELS, from_json
from .stuck import Stuck
from .transient import Transient

__all__ = [
    "ALL_MODELS",
    "MODELS",
    "Bursts",
    "Clusters",
    "DataDependent",
    "ErrorModel",
    "Iid",
    "Injector",
    "Lines",
    "Stuck",
    "Transient",
    "assemble",
    "describe",
    "from_json",
]
