"""Event lists of telescopes: chosen columns of HDF5 files of ctapipe and pyfact, and regions.

A column is named by its place in the file, TABLE/COLUMN. ctapipe keeps a table as one data set of
records, which PyTables writes; pyfact as a group with a data set for each column. Both read alike.
Which columns are features and how large a region is, no file tells: both are arguments.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...sim.exceptions import ArtefactError, InputError, ToolError

Floats = NDArray[np.float64]
OUTSIDE = -1
"""Number of no region; see `noise.ON` for the others."""
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)  # what h5py says of it
_MOST_EXACT = 1 << 53  # smaller whole numbers are exact in float64
_KEYS = ("obs_id", "event_id", "tel_id")  # that name an event of ctapipe


def read(path: Path, columns: Sequence[str], valid: Sequence[str] = ()) -> Floats:
    """Columns (n, n_columns) of an event list, a row for each event.

    Args:
        columns: TABLE/COLUMN, of one number an event; several tables where their rows are the same
            events.
        valid: TABLE/COLUMN of truth values; events stay where all of them are true.

    Raises:
        InputError: no such column, not one number an event, tables of other events, or, in an
            event that stays, a number that is not finite or too large to be exact.
        ArtefactError: the file is missing, damaged or not HDF5.
        ToolError: h5py or hdf5plugin is not installed.

    Source: `HDF5TableWriter` of ctapipe 0.28, `to_h5py` of pyfact 0.26.2. Left out: values that
    ctapipe stores as scaled integers, which it does with images, and pandas' own HDF5 files.
    """
    try:
        import h5py
        import hdf5plugin  # noqa: F401  Blosc, with which both packages compress
    except ImportError as error:
        raise ToolError(f"event lists need {error.name!r}; install stoic[events]") from error
    columns, valid = _names("columns", columns), _names("valid", valid)
    if not columns:
        raise InputError("an event list is read by its columns; give at least one name")
    names = [*columns, *valid]
    try:
        with h5py.File(path, "r") as file:
            found = [_column(file, path, name) for name in names]
            _check_same_events(file, path, names, [len(values) for values in found])
    except _DAMAGE as error:
        why = " ".join(str(error).split())  # HDF5 breaks lines
        raise ArtefactError(f"{path}: missing, damaged or not HDF5 ({why})") from error
    stays = np.ones(len(found[0]), np.bool_)
    for name, values in zip(valid, found[len(columns) :], strict=True):
        if not np.isin(values, (0, 1)).all():
            raise InputError(f"{path}: {name} must hold truth values, to tell what is valid")
        stays &= values.astype(np.bool_)
    chosen = np.column_stack(found[: len(columns)]).astype(np.float64)[stays]
    for name, values, stored in zip(columns, chosen.T, found, strict=False):
        if stored.dtype.kind in "iu" and (np.abs(values) >= _MOST_EXACT).any():
            raise InputError(f"{path}: {name} has numbers beyond 2^53, which are no feature")
        if n_bad := int((~np.isfinite(values)).sum()):
            raise InputError(
                f"{path}: {name} is not finite in {n_bad} of {len(values)} events; "
                "cut them, or name the column that tells valid ones"
            )
    return chosen


def _names(what: str, names: Sequence[str]) -> list[str]:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{what} must be a list of names, not {names!r}")
    return list(names)


def regions(distances_deg: ArrayLike, radius_deg: float) -> NDArray[np.int64]:
    """The region (n,) that each event lies in: 0 is on, 1 .. R are off, `OUTSIDE` is none.

    Args:
        distances_deg: (n, R + 1) from an event's origin to the middle of each region, the source
            first: theta_deg, theta_deg_off_1, ... of FACT, or what `reflected` makes.
        radius_deg: of a region; its edge belongs to it.

    Raises:
        InputError: another shape, numbers that are negative or not finite, or an event in two
            regions.

    Source: `split_on_off_source_independent` of pyfact; it counts an event in two regions twice.
    """
    distances = _numbers("distances", distances_deg)
    if distances.ndim != 2 or distances.shape[1] < 2:
        raise InputError(f"distances must be (n, R + 1) with R >= 1, not {distances.shape}")
    if n_bad := int((~((distances >= 0) & (distances < np.inf))).sum()):
        raise InputError(f"distances must be 0 or more and finite; {n_bad} are not")
    if not 0 < radius_deg < 180:
        raise InputError(f"the radius of a region must be in (0, 180) degrees, not {radius_deg!r}")
    is_in = distances <= radius_deg
    if n_twice := int((is_in.sum(1) > 1).sum()):
        raise InputError(
            f"{n_twice} events lie in two regions; {radius_deg} degrees is too large a radius"
        )
    return np.where(is_in.any(1), is_in.argmax(1), OUTSIDE)


def reflected(
    origins_deg: ArrayLike, pointing_deg: ArrayLike, source_deg: ArrayLike, n_off_regions: int
) -> Floats:
    """Degrees (n, R + 1) from the origin of each event to the source and to R off positions.

    Off positions are the source turned about the pointing by equal angles: the telescope sees
    hadrons from all of them alike.

    Args:
        origins_deg: (n, 2) latitude and longitude: altitude and azimuth of ctapipe, or declination
            and right ascension; of all three in one frame.
        pointing_deg, source_deg: (2,) or (n, 2) likewise.

    Raises:
        InputError: other shapes, numbers that are not finite, a latitude beyond 90, no off region,
            or a source that is the pointing.

    Source: reflected regions, Berge, Funk and Hinton 2007, A&A 466, p. 1219.
    """
    if n_off_regions < 1 or n_off_regions % 1:
        raise InputError(f"off regions must be a whole number from 1 on, not {n_off_regions}")
    origin, axis, source = (_unit(values) for values in (origins_deg, pointing_deg, source_deg))
    if len(lengths := {len(origin), len(axis), len(source)} - {1}) > 1:
        raise InputError(f"directions must be one or as many as events, not {sorted(lengths)}")
    along = (axis * source).sum(-1, keepdims=True) * axis
    across, aside = source - along, np.cross(axis, source)
    if (np.linalg.norm(across, axis=-1) < 1e-9).any():
        raise InputError("the source is where the telescope points: it has no off positions")
    turns = 2 * np.pi * np.arange(n_off_regions + 1) / (n_off_regions + 1)
    centres = [along + np.cos(turn) * across + np.sin(turn) * aside for turn in turns]
    chords = [np.linalg.norm(origin - centre, axis=-1) for centre in centres]
    return np.asarray(np.degrees(2 * np.arcsin(np.clip(np.stack(chords, 1) / 2, 0, 1))), np.float64)


def _numbers(what: str, values: ArrayLike) -> Floats:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} must be numbers in rows of one length ({error})") from error


def _unit(directions_deg: ArrayLike) -> Floats:
    """Unit vectors (n, 3), n = 1 of a single direction."""
    values = np.atleast_2d(_numbers("directions", directions_deg))
    if values.ndim != 2 or values.shape[1] != 2 or not np.isfinite(values).all():
        raise InputError(f"directions must be finite, (n, 2) or (2,), not {values.shape}")
    if (np.abs(values[:, 0]) > 90).any():
        raise InputError("a latitude must be in -90..90 degrees; altitude comes before azimuth")
    latitude, longitude = np.radians(values.T)
    flat = np.cos(latitude)
    return np.stack([flat * np.cos(longitude), flat * np.sin(longitude), np.sin(latitude)], 1)


def _column(file: Any, path: Path, name: str) -> NDArray[Any]:
    place, _, column = name.strip("/").rpartition("/")
    table = file.get(place) if place else None
    if table is None:
        raise InputError(f"{path} has no table {place!r}; a column is named TABLE/COLUMN")
    is_record = bool(getattr(getattr(table, "dtype", None), "names", None))
    present = list(table.dtype.names if is_record else getattr(table, "keys", list)())
    if column not in present:
        raise InputError(
            f"{path}: {place} has no column {column!r}, but {', '.join(present) or 'none'}"
        )
    if is_record and f"CTAFIELD_{present.index(column)}_TRANSFORM_SCALE" in table.attrs:
        raise InputError(f"{path}: {name} holds scaled integers; ctapipe reads them")
    rows = table if is_record else table[column]
    kind = table.dtype[column] if is_record else getattr(rows, "dtype", np.dtype("V"))
    if kind.kind not in "biuf" or getattr(rows, "ndim", 0) != 1:
        raise InputError(f"{path}: {name} is not one number an event")
    return np.asarray(table[column][:])


def _check_same_events(file: Any, path: Path, names: Sequence[str], lengths: list[int]) -> None:
    """Refuse tables whose rows are not the same events, by ctapipe's keys and by their number."""
    first = names[0].strip("/").rpartition("/")[0]
    known = dict[str, NDArray[Any]]()
    for place in dict.fromkeys(name.strip("/").rpartition("/")[0] for name in names):
        has = getattr(file[place].dtype, "names", ()) if hasattr(file[place], "dtype") else ()
        for key in (key for key in _KEYS if key in has):
            values = file[place][key][:]
            if not np.array_equal(known.setdefault(key, values), values):
                raise InputError(f"{path}: {place} and {first} differ in {key}: other events")
    for name, length in zip(names, lengths, strict=True):
        if length != lengths[0]:
            raise InputError(f"{path}: {name} has {length} rows, {names[0]} {lengths[0]}")
