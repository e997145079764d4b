"""The result store: campaign rows in one SQLite file, addressed by the hash of what decides them.

A row is written in one transaction as soon as it is known, so a killed run loses the unit in flight
and nothing else. Several processes may work on one store: one that computes a unit holds a byte
lock in the file `<store>.lock`, which the operating system drops when the process dies.
"""

import fcntl
import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .exceptions import ArtefactError

KIT_FORMAT = 2
"""Format of the keys: raised whenever the same unit would give another row."""

_VERSION = 1
_APPLICATION_ID = 0x53544F49  # "STOI"
_BUSY_S = 60.0


@dataclass(frozen=True)
class Unit:
    """Everything that decides a row: what is run, on what, with which faults.

    Attributes:
        device: name of the device; of hardware with the hash of its gates.
        layout_sha256: of the layout whose cells the faults address.
        errors: the error model and its parameters as JSON values, without the chip.
        images_name: e.g. "fashion-mnist/test".
        images_sha256: of the images and labels, see `data_sha256`.
    """

    network_sha256: str
    device: str
    layout_sha256: str
    errors: dict[str, Any]
    chip: int
    images_name: str
    images_sha256: str
    n_images: int

    @property
    def key(self) -> str:
        """Address of its row, hexadecimal."""
        values = {**asdict(self), "kit_format": KIT_FORMAT}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Row:
    """What came out.

    Attributes:
        confusion: [true class][given class] counts of images.
        scores_sha256: of the int32 scores, so that rows of two devices compare exactly.
        n_faults: cells in which something is wrong.
        n_changed_bits: stored bits of this network that read wrong.
        wall_time_s: injecting and inferring.
    """

    unit: Unit
    network_name: str
    n_correct: int
    confusion: list[list[int]]
    scores_sha256: str
    faults_sha256: str
    n_faults: int
    n_changed_bits: int
    wall_time_s: float
    kit_version: str
    computed_at_utc: str

    @property
    def accuracy(self) -> float:
        """Share of the images that were classified correctly, 0..1."""
        return self.n_correct / self.unit.n_images


def data_sha256(images: NDArray[np.uint8], labels: NDArray[np.generic]) -> str:
    """Hash of shapes and values of images and labels."""
    digest = hashlib.sha256(f"{images.shape};{labels.shape};".encode())
    digest.update(np.ascontiguousarray(images).data)
    digest.update(labels.astype("<i8").tobytes())
    return digest.hexdigest()


_UNIT = tuple(field.name for field in fields(Unit))
_RESULT = tuple(field.name for field in fields(Row) if field.name != "unit")
_JSON = ("errors", "confusion")
_INTEGER = ("chip", "n_images", "n_correct", "n_faults", "n_changed_bits")


def _schema() -> str:
    kinds = {**dict.fromkeys(_INTEGER, "INTEGER"), "wall_time_s": "REAL"}
    columns = ", ".join(f"{c} {kinds.get(c, 'TEXT')} NOT NULL" for c in (*_UNIT, *_RESULT))
    return f"CREATE TABLE rows (key TEXT PRIMARY KEY, {columns}) WITHOUT ROWID"


class Store:
    """An open store; close it, or use it as a context.

    Raises:
        ArtefactError: not there and not to be created, corrupt, of another program, or newer.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self.path = path
        if not create and not path.is_file():
            raise ArtefactError(f"{path}: no such result store; `stoic campaign run` makes it")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
            try:
                self._open()
            except BaseException:
                self._db.close()
                raise
            self._lock = path.with_name(path.name + ".lock").open("ab")
        except (sqlite3.DatabaseError, OSError) as error:
            raise ArtefactError(f"{path}: not a usable result store ({error})") from error

    def _open(self) -> None:
        with self._transaction():
            (found,) = self._db.execute("PRAGMA application_id").fetchone()
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            (tables,) = self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            if found == 0 and not tables:
                self._db.execute(_schema())
                self._db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                self._db.execute(f"PRAGMA user_version = {_VERSION}")
            elif found != _APPLICATION_ID:
                raise ArtefactError(
                    f"{self.path}: an SQLite file, but not a result store of this kit"
                )
            elif version != _VERSION:
                raise ArtefactError(
                    f"{self.path}: store version {version}, this kit reads version {_VERSION}"
                )
        self._use_wal()
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
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
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

    def put(self, row: Row) -> None:
        """Add a row; one that is there already stays as it is."""
        values = {**asdict(row.unit), **asdict(row)}
        cells = [json.dumps(values[c]) if c in _JSON else values[c] for c in (*_UNIT, *_RESULT)]
        marks = ", ".join("?" * (1 + len(cells)))
        try:
            with self._transaction():
                self._db.execute(
                    f"INSERT OR IGNORE INTO rows VALUES ({marks})", (row.unit.key, *cells)
                )
        except sqlite3.DatabaseError as error:
            raise ArtefactError(f"{self.path}: cannot be written ({error})") from error

    @contextmanager
    def claim(self, unit: Unit, *, wait: bool) -> Iterator[bool]:
        """Hold a unit while it is computed; gives False when another process holds it.

        Args:
            wait: until the other process is done with it, or dead.
        """
        offset = int(unit.key[:15], 16)
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, offset)
        except BlockingIOError:
            yield False
            return
        try:
            yield True
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN, 1, offset)

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
        except (ValueError, TypeError) as error:
            raise ArtefactError(f"{self.path}: row {values[0]!r} is corrupt ({error})") from error
        if unit.key != values[0]:
            raise ArtefactError(f"{self.path}: row {values[0][:12]} is not what its key says")
        return Row(unit, **named)

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
