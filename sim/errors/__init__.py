"""Error models, one file a technology: frozen dataclasses that sample a FaultMap per chip."""

from .iid import Iid

__all__ = ["Iid"]
