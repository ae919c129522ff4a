"""Moment: when something is judged, on the clock that nobody sets and on the one that people read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Moment:
    """When something is judged.

    Attributes:
        now: Seconds of a clock that never goes back.
        wall: Unix time for stamps; it may jump.
        synced: Whether `wall` can be trusted.
    """

    now: float
    wall: float
    synced: bool = False

    def stamp(self, ago: float = 0.0) -> str:
        """UTC as events have it, some seconds ago."""
        then = _EPOCH + timedelta(seconds=self.wall - ago)
        return then.strftime("%Y-%m-%dT%H:%M:%S.") + f"{then.microsecond // 1000:03d}Z"
