"""The error models by name; a new one is one line here."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from ..exceptions import InputError
from ..fields import checked
from .bram_maps import BramReplay
from .bursts import Bursts
from .clusters import Clusters
from .data_dependent import DataDependent
from .dram import DramLines, DramRetention
from .fefet import FeFet
from .iid import Iid
from .injector import Injector
from .lines import Lines
from .model import ErrorModel
from .rram import Rram, RramSet
from .rram_radar import RramReplay
from .rram_retention import RramRetention
from .sram import Sram
from .stuck import Stuck

MODELS: dict[str, type[ErrorModel]] = {
    Iid.name: Iid,
    Stuck.name: Stuck,
    Rram.name: Rram,
    RramSet.name: RramSet,
    RramRetention.name: RramRetention,
    RramReplay.name: RramReplay,
    Sram.name: Sram,
    BramReplay.name: BramReplay,
    DramLines.name: DramLines,
    DramRetention.name: DramRetention,
    FeFet.name: FeFet,
    Lines.name: Lines,
    Clusters.name: Clusters,
    Bursts.name: Bursts,
    DataDependent.name: DataDependent,
}
"""Those that draw fault maps."""
ALL_MODELS: dict[str, type[ErrorModel]] = {**MODELS, Injector.name: Injector}


def from_json(values: dict[str, Any], data_root: Path | None = None) -> ErrorModel:
    """The model that `describe` wrote down.

    Args:
        data_root: folder of measured data, for a model that replays them.

    Raises:
        InputError: an unknown model, or fields that are missing, unknown or out of range.
    """
    name = values.get("model")
    if not isinstance(name, str) or name not in ALL_MODELS:
        raise InputError(f"errors: model must be among {sorted(ALL_MODELS)}, not {name!r}")
    known = {f.name for f in fields(ALL_MODELS[name])}  # type: ignore[arg-type]
    given = {k: v for k, v in values.items() if k != "model"}
    for added in {"p01", "p10", "provisional"} - known:  # by `describe`
        given.pop(added, None)
    if unknown := sorted(set(given) - known):
        raise InputError(f"errors: {name} takes {sorted(known)}, not {unknown}")
    if "data_root" in given:  # it is of this machine, and in no file
        raise InputError(f"errors: {name} takes no data_root; give --data-root")
    given = checked(ALL_MODELS[name], given, f"errors: {name}")
    if "data_root" in known:
        given["data_root"] = data_root
    if given.get("seed", 0) < 0:
        raise InputError(f"errors: {name}: seed must be 0 or more, not {given['seed']}")
    try:
        return ALL_MODELS[name](**given)
    except TypeError as error:
        raise InputError(f"errors: {name}: {error}") from error
