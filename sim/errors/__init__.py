"""Error models, one file a technology: a frozen dataclass with `sample(layout, chip) -> FaultMap`."""

from .iid import Iid

__all__ = ["Iid"]
