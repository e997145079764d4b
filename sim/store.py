"""The result store: campaign rows in one SQLite file, addressed by the hash of what decides them.

A row is written in one transaction as soon as it is known, so a killed run loses the units in
flight and nothing else. Several processes may work on one store: one that computes a unit holds a
byte lock in the file `<store>.lock`, which the operating system drops when the process dies.
"""

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from .exceptions import ArtefactError
from .rows import Row, Unit

VERSION = 2
_APPLICATION_ID = 0x53544F49  # "STOI"
_BUSY_S = 60.0

_UNIT = tuple(field.name for field in fields(Unit))
_RESULT = tuple(field.name for field in fields(Row) if field.name != "unit")
_JSON = ("errors", "protection", "confusion")
_INTEGER = (
    *("chip", "event", "n_images", "overhead_bits", "n_stored_bits"),
    *("n_correct", "n_faults", "n_changed_bits"),
)
_KINDS = {
    **dict.fromkeys(_INTEGER, "INTEGER"),
    **dict.fromkeys(("p01", "p10", "wall_time_s"), "REAL"),
}
_MAY_BE_NULL = ("faults_sha256", "n_faults", "n_changed_bits")


def _schema() -> str:
    columns = ", ".join(
        f"{c} {_KINDS.get(c, 'TEXT')}{'' if c in _MAY_BE_NULL else ' NOT NULL'}"
        for c in (*_UNIT, *_RESULT)
    )
    return f"CREATE TABLE rows (key TEXT PRIMARY KEY, {columns}) WITHOUT ROWID"


class Store:
    """An open store; close it, or use it as a context.

    Args:
        create: whether it is to be written, and made where it is not; else one that lies where
            nothing can be written is read all the same.

    Raises:
        ArtefactError: not there and not to be created, corrupt, of another program, or newer.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self.path = path
        if not create and not path.is_file():
            raise ArtefactError(f"{path}: no such result store; `stoic campaign run` makes it")
        is_fixed = path.is_file() and not all(os.access(p, os.W_OK) for p in (path, path.parent))
        if is_fixed and create:
            raise ArtefactError(f"{path}: it or its folder cannot be written; a run writes both")
        if (
            is_fixed
            and (log := path.with_name(path.name + "-wal")).is_file()
            and log.stat().st_size
        ):
            raise ArtefactError(
                f"{path}: has rows in {log.name} and cannot be written; copy both to where they can"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            name = f"{path.resolve().as_uri()}?immutable=1" if is_fixed else path
            self._db = sqlite3.connect(name, timeout=_BUSY_S, isolation_level=None, uri=is_fixed)
            try:
                self._open("DEFERRED" if is_fixed else "IMMEDIATE")
                if not is_fixed:
                    self._use_wal()
            except BaseException:
                self._db.close()
                raise
            lock = Path(os.devnull) if is_fixed else path.with_name(path.name + ".lock")
            self._lock = lock.open("ab")
        except (sqlite3.DatabaseError, OSError, ValueError) as error:  # ValueError: a NUL in it
            raise ArtefactError(f"{path}: not a usable result store ({error})") from error

    def _open(self, how: str) -> None:
        with self._transaction(how):
            (found,) = self._db.execute("PRAGMA application_id").fetchone()
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            (tables,) = self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            if found == 0 and not tables:
                self._db.execute(_schema())
                self._db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                self._db.execute(f"PRAGMA user_version = {VERSION}")
            elif found != _APPLICATION_ID:
                raise ArtefactError(
                    f"{self.path}: an SQLite file, but not a result store of this kit"
                )
            elif version < VERSION:
                raise ArtefactError(
                    f"{self.path}: store version {version}, this kit reads version {VERSION}; the "
                    "rows of that kit drew other chips: move the file away and run again"
                )
            elif version > VERSION:
                raise ArtefactError(
                    f"{self.path}: store version {version} of a newer kit, this one reads version "
                    f"{VERSION}; use the newer kit or name another store"
                )
        self._db.execute("PRAGMA synchronous = NORMAL")

    def _use_wal(self) -> None:
        # Another process that opens the same new store makes this fail at once, timeout or not.
        deadline = time.monotonic() + _BUSY_S
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    @contextmanager
    def _transaction(self, how: str = "IMMEDIATE") -> Iterator[None]:
        self._db.execute(f"BEGIN {how}")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def get(self, key: str) -> Row | None:
        """The row of a unit, or None while it is not computed."""
        found = self._select("WHERE key = ?", key)
        return self._row(found[0]) if found else None

    def rows(self, units: Iterable[Unit] | None = None) -> list[Row]:
        """The rows of these units that exist, in their order; without units every row."""
        if units is None:
            return [self._row(values) for values in self._select("ORDER BY computed_at_utc, key")]
        return [row for unit in units if (row := self.get(unit.key)) is not None]

    def put(self, row: Row, *, replace: bool = False) -> None:
        """Add a row; one that is there already stays as it is, unless it is to be replaced."""
        values = {**vars(row.unit), **vars(row)}
        cells = [json.dumps(values[c]) if c in _JSON else values[c] for c in (*_UNIT, *_RESULT)]
        marks = ", ".join("?" * (1 + len(cells)))
        how = "REPLACE" if replace else "ABORT"
        stays = "" if replace else " ON CONFLICT (key) DO NOTHING"
        try:
            with self._transaction():
                self._db.execute(
                    f"INSERT OR {how} INTO rows VALUES ({marks}){stays}", (row.unit.key, *cells)
                )
        except sqlite3.DatabaseError as error:
            raise ArtefactError(f"{self.path}: cannot be written ({error})") from error

    def hold(self, unit: Unit, *, wait: bool) -> bool:
        """Keep other processes from computing a unit until `release`; False when one does already.

        Args:
            wait: until the other process is done with it, or dead.
        """
        how = fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)
        try:
            fcntl.lockf(self._lock, how, 1, _offset(unit))
        except BlockingIOError:
            return False
        return True

    def release(self, unit: Unit) -> None:
        """Give back what `hold` took."""
        fcntl.lockf(self._lock, fcntl.LOCK_UN, 1, _offset(unit))

    @contextmanager
    def claim(self, unit: Unit, *, wait: bool) -> Iterator[bool]:
        """`hold` as a context; gives False when another process holds the unit."""
        is_ours = self.hold(unit, wait=wait)
        try:
            yield is_ours
        finally:
            if is_ours:
                self.release(unit)

    def _select(self, clause: str, *parameters: str) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(f"SELECT * FROM rows {clause}", parameters).fetchall()
        except sqlite3.DatabaseError as error:
            raise ArtefactError(f"{self.path}: cannot be read ({error})") from error

    def _row(self, values: tuple[Any, ...]) -> Row:
        try:
            named = dict(zip((*_UNIT, *_RESULT), values[1:], strict=True))
            named |= {name: json.loads(named[name]) for name in _JSON}
            unit = Unit(**{name: named.pop(name) for name in _UNIT})
            row = Row(unit, **named)
            if wrong := _wrong(row):
                raise ValueError(wrong)
        except (ValueError, TypeError) as error:
            raise ArtefactError(f"{self.path}: row {values[0]!r} is corrupt ({error})") from error
        if unit.key != values[0]:
            raise ArtefactError(f"{self.path}: row {values[0][:12]} is not what its key says")
        return row

    def close(self) -> None:
        """Close the file; nothing is pending."""
        self._lock.close()
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_TYPES: dict[str, type] = {"INTEGER": int, "REAL": float, "TEXT": str}


def _wrong(row: Row) -> str:
    """What of a row no run can have written; "" where nothing is."""
    for name, value in (vars(row.unit) | vars(row)).items():
        if name in _UNIT or name in _RESULT:
            wanted: type = dict if name in ("errors", "protection") else list
            if name not in _JSON:
                wanted = _TYPES[_KINDS.get(name, "TEXT")]
            if not isinstance(value, wanted) and not (value is None and name in _MAY_BE_NULL):
                return f"{name} is {value!r}"
    counts = np.array(row.confusion)
    if counts.dtype.kind != "i" or counts.ndim != 2 or len(set(counts.shape)) != 1:
        return "confusion is no square of counts"
    if counts.sum() != row.unit.n_images or np.trace(counts) != row.n_correct:
        return f"confusion does not count {row.n_correct} of {row.unit.n_images}"
    return ""


def _offset(unit: Unit) -> int:
    """Byte of the lock file that stands for a unit; two units in 2^60 share one and take turns."""
    return int(unit.key[:15], 16)
