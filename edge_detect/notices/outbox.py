"""Outbox: events that have not arrived yet, oldest first, in SQLite; on disk they survive the process."""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from edge_detect import durable
from edge_detect.errors import SinkError
from edge_detect.events import Event, to_json

log = logging.getLogger(__name__)

REMEMBERED = 2000  # events that arrived and are known by their keys, so that none is sent twice
LAZY = 5.0  # seconds that an update may wait for the disk; an SD card is not for ever
_OF_THE_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
"""Errors that say nothing against the file: when there is room again, what waits in it is sent."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    is_update INTEGER NOT NULL,
    arrived INTEGER NOT NULL DEFAULT 0,
    body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS waiting ON outbox (row) WHERE NOT arrived;
"""


class Letter(NamedTuple):
    """An event that waits."""

    row: int
    body: str


class Outbox:
    """Events in the order in which they came, each start and each end once, of the updates the newest.

    Used by one thread. A disk that fails is told of once; the events go on in memory.

    Attributes:
        dropped: Events that made room for others, updates first.
    """

    def __init__(self, path: Path | None, size: int) -> None:
        """Opens it; a file that is damaged is set aside.

        Args:
            path: The file; None keeps them in memory.
            size: Most events that wait.
        """
        self.dropped, self._size, self._path = 0, size, path
        self._lock = ExitStack()
        self._changed_at = 0.0  # 0: nothing to commit
        self._is_full = False
        self._database = self._open(path)
        self._count = self._number("SELECT count(*) FROM outbox WHERE NOT arrived")

    def _open(self, path: Path | None) -> sqlite3.Connection:
        if path is None:
            return _connect(":memory:")
        try:
            durable.make_folder(path.parent)
            self._lock.enter_context(durable.locked(path.with_suffix(".lock")))
            try:
                return _connect(str(path))
            except sqlite3.DatabaseError as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_THE_DISK:
                    raise SinkError(f"{path}: cannot open: {error}") from error
                aside = path.with_suffix(".broken")
                log.error("%s: damaged (%s); set aside as %s", path, error, aside.name)
                _set_aside(path, aside)
                return _connect(str(path))
        except (SinkError, OSError, sqlite3.Error) as error:
            log.warning("events wait in memory only: %s", error)
            return _connect(":memory:")

    def __len__(self) -> int:
        return self._count

    def add(self, events: Iterable[Event]) -> None:
        """Takes events; a start or an end that it has had already is left out."""
        events = list(events)

        def put() -> bool:
            for event in events:
                self._put(event)
            self._make_room()
            return any(event.type != "update" for event in events)

        self._change(put)

    def _put(self, event: Event) -> None:
        is_update = event.type == "update"
        if is_update:  # the newest says all
            gone = self._database.execute(
                "DELETE FROM outbox WHERE key = ? RETURNING arrived", (_key(event),)
            ).fetchall()
            self._count -= sum(not arrived for (arrived,) in gone)
        put = self._database.execute(
            "INSERT OR IGNORE INTO outbox (key, is_update, body) VALUES (?, ?, ?)",
            (_key(event), is_update, json.dumps(to_json(event), separators=(",", ":"))),
        )
        self._count += put.rowcount

    def _make_room(self) -> None:
        too_many = self._count - self._size
        if too_many > 0:
            self._database.execute(
                "DELETE FROM outbox WHERE row IN"
                " (SELECT row FROM outbox WHERE NOT arrived ORDER BY is_update DESC, row LIMIT ?)",
                (too_many,),
            )
            self._count -= too_many
            self.dropped += too_many
        if too_many > 0 and not self._is_full:
            log.warning("mqtt: %d events wait for the broker, the oldest are dropped from now on", self._size)
        self._is_full = self._count >= self._size

    def waiting(self, sent: Collection[int], n: int) -> list[Letter]:
        """The next events that have not arrived.

        Args:
            sent: Rows that are on their way.
            n: Most that are on their way then.
        """
        if self._count <= len(sent) or len(sent) >= n:
            return []
        rows = self._database.execute(
            "SELECT row, body FROM outbox WHERE NOT arrived ORDER BY row LIMIT ?", (n,)
        )
        return [Letter(row, body) for row, body in rows if row not in sent][: n - len(sent)]

    def arrived(self, rows: Collection[int]) -> None:
        """These events have arrived."""

        def mark() -> bool:
            updates = [self._mark(row) for row in rows]  # all of them, whatever the first was
            return not all(updates)

        if rows:
            self._change(mark)

    def _mark(self, row: int) -> bool:
        """Marks one as arrived; whether it was an update, or is not known any more."""
        done = self._database.execute(
            "UPDATE outbox SET arrived = 1, body = '' WHERE row = ? AND NOT arrived RETURNING is_update",
            (row,),
        ).fetchall()
        self._count -= len(done)
        self._database.execute("DELETE FROM outbox WHERE arrived AND row <= ?", (row - REMEMBERED,))
        return all(is_update for (is_update,) in done)

    def flush(self, *, urgent: bool = False) -> None:
        """Gives the disk what it should have by now."""
        if self._changed_at:
            self._change(lambda: urgent)

    def close(self) -> None:
        """Everything is on the disk then."""
        self.flush(urgent=True)
        self._database.close()
        self._lock.close()

    def _change(self, change: Callable[[], bool]) -> None:
        """Makes a change, which tells whether it is urgent; where the disk refuses it, in memory."""
        self._changed_at = self._changed_at or time.monotonic()
        try:
            self._commit(change())
        except sqlite3.Error as error:
            self._move(error)
            self._commit(change())

    def _commit(self, urgent: bool) -> None:
        if urgent or time.monotonic() - self._changed_at > LAZY:
            self._database.commit()
            self._changed_at = 0.0

    def _move(self, error: sqlite3.Error) -> None:
        """Goes on in memory with what can still be read."""
        log.error("%s: cannot write: %s; events wait in memory only", self._path, error)
        old, self._database = self._database, _connect(":memory:")
        try:
            old.rollback()
            old.backup(self._database)
        except sqlite3.Error:
            self._database = _connect(":memory:")
        old.close()
        self._count = self._number("SELECT count(*) FROM outbox WHERE NOT arrived")

    def _number(self, query: str) -> int:
        return int(self._database.execute(query).fetchone()[0])


def _key(event: Event) -> str:
    return f"{event.type} {event.id}"


def _connect(place: str) -> sqlite3.Connection:
    """An open database in which the table is there and whole.

    Raises:
        sqlite3.DatabaseError: It is damaged.
    """
    database = sqlite3.connect(place, timeout=1.0)
    try:
        database.execute("PRAGMA journal_mode=WAL")
        # a killed process loses nothing, a power cut the last moment
        database.execute("PRAGMA synchronous=NORMAL")
        if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("quick_check finds a fault")
        database.executescript(_SCHEMA)
        database.execute("SELECT row, key, is_update, arrived, body FROM outbox LIMIT 1")
    except sqlite3.Error:
        database.close()
        raise
    return database


def _set_aside(path: Path, aside: Path) -> None:
    path.replace(aside)
    for ending in ("-wal", "-shm"):
        Path(f"{path}{ending}").unlink(missing_ok=True)
