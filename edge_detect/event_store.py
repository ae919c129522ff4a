"""Event store: what happened, in SQLite: written in batches, read at once, never worth a crash."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from edge_detect import durable
from edge_detect.events import Event, to_json
from edge_detect.logs import Minutely
from edge_detect.scene import Scene

log = logging.getLogger(__name__)

COMMIT = 5.0  # seconds between two writes to the disk
WAITING = 10_000  # events that may wait for a disk that does not answer
KEPT = 50_000  # events; the oldest unprotected ones are forgotten
SMALL = 8 << 20  # bytes of a store that is checked whole at every start
VERSION = 1
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS events (
    id TEXT PRIMARY KEY, seq INTEGER NOT NULL UNIQUE, type TEXT NOT NULL, label TEXT NOT NULL,
    start_time TEXT NOT NULL, word TEXT NOT NULL,
    snapshot TEXT NOT NULL DEFAULT '', box TEXT NOT NULL DEFAULT '[]',
    clip TEXT NOT NULL DEFAULT '', clip_at REAL NOT NULL DEFAULT 0, protected INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_clip ON events(clip) WHERE clip != '';
CREATE INDEX IF NOT EXISTS by_snapshot ON events(snapshot) WHERE snapshot != '';
CREATE INDEX IF NOT EXISTS still_open ON events(type) WHERE type != 'end';
PRAGMA user_version = {VERSION};
"""
_FIELDS = {field.name for field in fields(Event)}
Change: TypeAlias = Callable[[sqlite3.Connection], object]
T = TypeVar("T")
_compact = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


@dataclass(frozen=True, slots=True)
class Row:
    """An event as it is kept.

    Attributes:
        event: The newest word on it.
        seq: Grows with every change of any event, over restarts too.
        snapshot: Name of its picture's file; empty without.
        box: Where the thing is in that picture, x1 y1 x2 y2 in 0..1; empty for nowhere.
        clip: Name of its clip's file; empty without.
        clip_at: Seconds from the begin of the clip to that of the event.
        protected: Whether it is kept whatever comes.
    """

    event: Event
    seq: int
    snapshot: str
    box: tuple[float, ...]
    clip: str
    clip_at: float
    protected: bool


class EventStore:
    """The events of all runs; a sink that never waits for the disk.

    A row is the newest word on an event. A store that cannot be read is renamed and a new one begun.

    Attributes:
        closed: Events that a run before left open when it died; they were given an end.
        dropped: Events that are lost since the disk did not take them.
        written: Bytes of events that went to the disk.
    """

    def __init__(self, path: Path, *, every: float = COMMIT) -> None:
        """Opens the store, or begins one.

        Args:
            path: The file; its folder is made.
            every: Seconds between two commits.

        Raises:
            SinkError: It cannot be made, or another process has it.
        """
        self.path = path
        self.closed: tuple[Event, ...] = ()
        self.dropped = self.written = 0
        self._every = every
        self._waiting: deque[Change] = deque()
        self._uncommitted: list[Change] = []
        self._alone = threading.Lock()
        self._stop = threading.Event()
        self._database: sqlite3.Connection | None = None
        self._shut = False
        self._seq = 0
        self._complain = Minutely(log.warning)
        with ExitStack() as stack:
            durable.make_folder(path.parent)
            stack.enter_context(durable.locked(path.with_name(f".{path.name}.lock")))
            self._waiting.append(self._close_open)
            self.commit()
            self._held = stack.pop_all()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    # ---- written by the loop

    def write(self, scene: Scene) -> None:
        """Takes the events of a scene."""
        self.tell(scene.events)

    def tell(self, events: Iterable[Event]) -> None:
        """Takes events, from any thread; never waits."""
        for event in events:
            self._take(partial(self._put, event))

    def _take(self, change: Change) -> None:
        if len(self._waiting) < WAITING:
            self._waiting.append(change)
        else:
            self.dropped += 1

    def close(self) -> None:
        """Writes what is not written yet; safe to call twice."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join(10)
        with self._alone, contextlib.suppress(sqlite3.Error):
            self._shut = True
            if self._database:
                self._database.close()  # which puts its log into the file
        self._held.close()

    def _run(self) -> None:
        ended = False
        while not ended:
            ended = self._stop.wait(self._every)
            self.commit()

    def commit(self) -> None:
        """Writes what has changed to the disk; what it does not take is tried again the next time."""

        def act(database: sqlite3.Connection) -> None:
            _forget(database)
            database.commit()
            self._uncommitted.clear()

        self._with(act, None)

    # ---- asked by recorder and page

    def find(self, *, after: int = 0, label: str = "", limit: int = 200) -> list[Row]:
        """The events that have changed since `after`, or were of a label; the newest change first."""
        words = "SELECT * FROM events WHERE seq > ? AND (? = '' OR label = ?) ORDER BY seq DESC LIMIT ?"
        values = (after, label, label, max(0, limit))
        return self._with(lambda database: _rows(database.execute(words, values)), [])

    def get(self, id: str) -> Row | None:
        """The event of an id; None where there is none."""
        words = "SELECT * FROM events WHERE id = ?"
        nothing: list[Row] = []
        return next(iter(self._with(lambda database: _rows(database.execute(words, (id,))), nothing)), None)

    @property
    def last(self) -> int:
        """The newest `seq`, or more where changes wait to be made; never waits."""
        return self._seq + len(self._waiting)

    def add_snapshot(self, id: str, name: str, box: tuple[float, ...]) -> None:
        """The picture of an event is in this file, and the thing in it here."""
        values = name, _compact(box), id
        self._change("UPDATE events SET seq = ?, snapshot = ?, box = ? WHERE id = ?", *values)

    def add_clip(self, id: str, name: str, at: float) -> None:
        """The clip of an event is in this file, and the event `at` seconds behind its begin."""
        self._change("UPDATE events SET seq = ?, clip = ?, clip_at = ? WHERE id = ?", name, at, id)

    def protect(self, id: str, protected: bool) -> None:
        """Keeps an event whatever comes, or no longer."""
        self._change("UPDATE events SET seq = ?, protected = ? WHERE id = ?", protected, id)

    def delete(self, id: str) -> None:
        """Forgets an event."""
        self._take(lambda database: database.execute("DELETE FROM events WHERE id = ?", (id,)))

    def lose(self, name: str) -> None:
        """A file is gone: no event has it any more."""
        self._change(
            f"UPDATE events SET seq = seq + 0 * ?, {_column(name)} = '' WHERE {_column(name)} = ?", name
        )

    def has(self, name: str, *, protected: bool = False) -> bool:
        """Whether an event, or one that is protected, has a file; where nobody can tell, one has."""
        words = f"SELECT 1 FROM events WHERE {_column(name)} = ? AND protected >= ? LIMIT 1"

        def act(database: sqlite3.Connection) -> bool:
            return bool(self._waiting or database.execute(words, (name, protected)).fetchall())

        return self._with(act, True)

    # ---- changes, made in the order in which they were told

    def _change(self, words: str, *values: object) -> None:
        self._take(lambda database: database.execute(words, (self._next(), *values)))

    def _put(self, event: Event, database: sqlite3.Connection) -> None:
        word = _compact(to_json(event))
        database.execute(
            "INSERT INTO events (id, seq, type, label, start_time, word) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, type = excluded.type, word = excluded.word"
            " WHERE type != 'end'",
            (event.id, self._next(), event.type, event.label, event.start_time, word),
        )
        self.written += len(word)

    def _close_open(self, database: sqlite3.Connection) -> None:
        """Gives the events that a run left open an end, with the duration that is known."""
        rows = _rows(database.execute("SELECT * FROM events WHERE type != 'end'"))
        self.closed = tuple(replace(row.event, type="end") for row in rows)
        for event in self.closed:
            self._put(event, database)

    # ---- the database

    def _with(self, act: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Acts on the store, which has all that was told by then; `otherwise` where it cannot."""
        with self._alone:
            try:
                if self._shut:
                    return otherwise
                if self._database is None:
                    self._database = self._open()
                with self._forgiven():
                    self._drain(self._database)
                with self._forgiven():
                    return act(self._database)
            except sqlite3.OperationalError as error:
                self._complain("%s: cannot be opened: %s; events wait in memory", self.path, error)
            except (sqlite3.DatabaseError, ValueError, TypeError, KeyError) as error:
                self._set_aside(str(error))
        return otherwise

    @contextmanager
    def _forgiven(self) -> Iterator[None]:
        """Takes back what a full or read-only disk did not take: it waits for the next time."""
        try:
            yield
        except sqlite3.OperationalError as error:
            self._complain("%s: cannot write: %s; events wait in memory", self.path, error)
            self._waiting.extendleft(reversed(self._uncommitted))
            self._uncommitted.clear()
            if self._database is not None:
                self._database.rollback()

    def _drain(self, database: sqlite3.Connection) -> None:
        while self._waiting:
            change = self._waiting.popleft()
            self._uncommitted.append(change)
            change(database)

    def _next(self) -> int:
        # beside those of the page's own messages, which begin at this clock too
        self._seq = max(self._seq + 1, time.time_ns() // 1_000_000)
        return self._seq

    def _open(self) -> sqlite3.Connection:
        try:
            return self._opened()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            self._set_aside(str(error))
            return self._opened()

    def _opened(self) -> sqlite3.Connection:
        log_file = self.path.with_name(f"{self.path.name}-wal")
        died = log_file.exists() and log_file.stat().st_size > 0
        small = not self.path.exists() or self.path.stat().st_size < SMALL
        database = sqlite3.connect(self.path, timeout=1, check_same_thread=False)
        try:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, VERSION):
                raise sqlite3.DatabaseError(f"version {version}, expected {VERSION}")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("PRAGMA wal_autocheckpoint = 256")  # pages: 1 MB
            database.execute("PRAGMA journal_size_limit = 1048576")
            if (died or small) and (said := database.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(said)
            database.executescript(_SCHEMA)
            last = database.execute("SELECT max(seq) FROM events").fetchone()[0] or 0
            _rows(database.execute("SELECT * FROM events ORDER BY seq DESC LIMIT 1"))
        except BaseException:
            database.close()
            raise
        self._seq = max(self._seq, last)
        return database

    def _set_aside(self, why: str) -> None:
        """Renames a store that cannot be read, so that a person can look at it."""
        database, self._database = self._database, None
        with contextlib.suppress(sqlite3.Error):
            if database:
                database.close()
        aside = self.path.with_name(f"{self.path.name}.corrupt")
        for ending in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                os.replace(f"{self.path}{ending}", f"{aside}{ending}")
        log.error("%s: cannot be read: %s; it is %s now, and a new one is begun", self.path, why, aside.name)


def _rows(found: Iterable[tuple[Any, ...]]) -> list[Row]:
    return [
        Row(_event(word), seq, snapshot, tuple(json.loads(box)), clip, clip_at, bool(protected))
        for _, seq, _, _, _, word, snapshot, box, clip, clip_at, protected in found
    ]


def _event(word: str) -> Event:
    """The event of its flat object.

    Raises:
        ValueError, TypeError: It is none.
    """
    values = {name: value for name, value in json.loads(word).items() if name in _FIELDS}
    listed = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return Event(**values | listed)


def _column(name: str) -> str:
    """That of a file."""
    return "clip" if name.endswith(".mp4") else "snapshot"


def _forget(database: sqlite3.Connection) -> None:
    """Forgets the oldest events where there are too many of them; their files go by their age."""
    if (over := database.execute("SELECT count(*) FROM events").fetchone()[0] - KEPT) > 0:
        words = "SELECT id FROM events WHERE NOT protected AND type = 'end' ORDER BY seq LIMIT ?"
        database.execute(f"DELETE FROM events WHERE id IN ({words})", (over + KEPT // 100,))
