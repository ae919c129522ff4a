"""Events: what has happened of late, for the page and for programs."""

from __future__ import annotations

import time
from collections import deque
from datetime import UTC, datetime
from itertools import islice
from typing import Any

KEPT = 200


class Events:
    """The last events, newest first; added to and read in the thread of the page.

    A record has what the events of `/api/events` have in common: `id` (grows), `type`, `label`,
    `text` and `time` (UTC).
    """

    def __init__(self) -> None:
        self._records: deque[dict[str, Any]] = deque(maxlen=KEPT)
        # ids grow over a restart too, so that who asks `after` the last one misses nothing
        self._next = time.time_ns() // 1_000_000

    def add(self, kind: str, text: str, label: str = "") -> None:
        """Tells that something of a kind has happened."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record = {"v": 1, "id": self._next, "type": kind, "label": label, "text": text, "time": now}
        self._records.appendleft(record)
        self._next += 1

    @property
    def last(self) -> int:
        """The id of the newest one; 0 for none."""
        return int(self._records[0]["id"]) if self._records else 0

    def find(self, *, after: int = 0, label: str = "", limit: int = KEPT) -> list[dict[str, Any]]:
        """The newest ones that are newer than `after` and of a label, newest first."""
        wanted = (row for row in self._records if row["id"] > after and label in ("", row["label"]))
        return list(islice(wanted, limit))
