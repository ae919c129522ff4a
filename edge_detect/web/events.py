"""Events: what has happened of late, for the page and for programs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from edge_detect.events import Event, to_json

KEPT = 200


class Events:
    """The last events and messages of the run, newest first; of the page's thread alone.

    A message has what all of `/api/events` have in common: `id`, `seq` (grows with every change),
    `type`, `label` and `time` (UTC); and a `text`.
    """

    def __init__(self, kept: Callable[[], int] = lambda: 0) -> None:
        """Knows of nothing yet.

        Args:
            kept: Gives the newest `seq` of those that are kept elsewhere.
        """
        self._records: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._kept, self._seq = kept, 0

    def add(self, kind: str, text: str, label: str = "") -> None:
        """Tells that something of a kind has happened."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        seq = self._next()
        record = {
            "v": 1,
            "id": seq,
            "seq": seq,
            "type": kind,
            "label": label,
            "text": text,
            "time": now,
        }
        self._records.appendleft(record)

    def take(self, events: Iterable[Event]) -> None:
        """Takes the newest word on each event."""
        for event in events:
            for old in [row for row in self._records if row["id"] == event.id]:
                self._records.remove(old)
            self._records.appendleft(to_json(event) | {"seq": self._next()})

    def _next(self) -> int:
        """Grows over a restart too, and past what is kept: who asks `after` any of them misses nothing."""
        self._seq = max(self._seq + 1, self._kept() + 1, time.time_ns() // 1_000_000)
        return self._seq

    @property
    def last(self) -> int:
        """The `seq` of the newest one; 0 for none."""
        return int(self._records[0]["seq"]) if self._records else 0

    def find(self, *, after: int = 0, label: str = "", limit: int = KEPT) -> list[dict[str, Any]]:
        """The newest ones that are newer than `after` and of a label, newest first."""
        wanted = (row for row in self._records if row["seq"] > after and label in ("", row["label"]))
        return list(islice(wanted, limit))
