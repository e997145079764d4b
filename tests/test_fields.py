"""Values of files reach a frozen dataclass as what they are, or not at all."""

from dataclasses import fields
from math import inf, nan
from typing import Any

import pytest

from stoic.sim import errors
from stoic.sim import protection as protections
from stoic.sim.exceptions import InputError

MODELS: dict[str, dict[str, Any]] = {
    "iid": {"p01": 0.01, "p10": 0.02},
    "stuck": {"rate": 0.01},
    "lines": {"p01": 0.01, "p10": 0.02},
    "clusters": {"p01": 0.01, "p10": 0.02},
    "bursts": {"p01": 0.01, "p10": 0.02},
    "data-dependent": {"p01": 0.01, "p10": 0.02},
    "rram": {
        "hrs_mean": 5.0,
        "hrs_sigma": 0.3,
        "lrs_mean": 4.0,
        "lrs_sigma": 0.2,
        "read": "1T1R",
        "reference": 4.5,
    },
    "rram-set": {"voltage": 2.4},
    "rram-retention": {"bits_per_cell": 2, "kelvin": 338, "seconds": 1e8},
    "rram-replay": {"read": "1T1R"},
    "sram": {"voltage": 0.53},
    "bram-replay": {"voltage": 0.53},
    "dram-lines": {"module": "B", "voltage": 1.05},
    "dram-retention": {"celsius": 70, "interval_ms": 512, "voltage": 1.35},
    "fefet": {"celsius": 40.0},
}
NEVER = (nan, inf, -inf, [[[1]]], {"a": 1}, True)


def _of(kind: type[Any]) -> list[str]:
    return [f.name for f in fields(kind) if f.name != "data_root"]


def test_every_field_of_every_error_model_is_checked() -> None:
    """No value of another type, and no number that is not finite, makes a model."""
    assert set(MODELS) == set(errors.MODELS)
    for name, values in MODELS.items():
        errors.from_json({"model": name, **values})
        for field in [*_of(errors.MODELS[name]), "nope"]:
            for value in NEVER:
                if field == "extrapolate" and value is True:
                    continue
                with pytest.raises(InputError, match=r"\w"):
                    errors.from_json({"model": name, **values, field: value})


def test_every_field_of_every_protection_is_checked() -> None:
    """As of error models."""
    for name, kind in protections.PROTECTIONS.items():
        needed = {"of": ["none", "secded"]} if name == "compose" else {}
        protections.from_json({"name": name, **needed})
        for field in [*_of(kind), "nope"]:
            for value in NEVER:
                with pytest.raises(InputError, match=r"\w"):
                    protections.from_json({"name": name, **needed, field: value})
    strange: tuple[Any, ...] = (3, [], None, {})
    for wrong in strange:
        with pytest.raises(InputError, match="protection"):
            protections.from_json({"name": "compose", "of": ["none", wrong]})


def test_an_integer_where_a_number_is_wanted_is_that_number() -> None:
    """1 and 1.0 must not be two conditions with two keys."""
    whole = errors.from_json({"model": "iid", "p01": 0, "p10": 1})
    assert repr(errors.describe(whole)) == repr(
        errors.describe(errors.from_json({"model": "iid", "p01": 0.0, "p10": 1.0}))
    )


@pytest.mark.parametrize("given", [{"model": "fefet"}, {"model": "bram-replay", "voltage": 0.53}])
def test_what_is_missing_or_not_of_the_file_is_named(given: dict[str, Any]) -> None:
    """A needed field; the folder of data, which is of this machine."""
    with pytest.raises(InputError, match="finite"):
        errors.from_json({"model": "iid", "p01": 10**400, "p10": 0})
    wrong = given if len(given) == 1 else {**given, "data_root": "/"}
    with pytest.raises(InputError, match=r"celsius|data_root"):
        errors.from_json(wrong)
