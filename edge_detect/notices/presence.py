"""Presence: who is there, and in which zones, from events that have begun and not ended."""

from __future__ import annotations

from collections import Counter

from edge_detect.events import Event

MOST = 4096  # open events; more than any picture holds, should ends ever be missing


class Presence:
    """Counts the things about which an event is open."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}  # id of the event to number of the thing
        self._things: dict[int, tuple[str, tuple[str, ...]]] = {}  # to label and zones

    def tell(self, event: Event) -> None:
        """Takes an event; the camera's own are about nobody."""
        if not event.label:
            return
        if event.type == "end":
            if self._open.pop(event.id, None) is None:
                return
        else:
            self._open.pop(event.id, None)
            self._open[event.id] = event.track_id
            if len(self._open) > MOST:
                self._open.pop(next(iter(self._open)))
        self._things[event.track_id] = (event.label, event.zones)
        self._forget()

    def _forget(self) -> None:
        here = set(self._open.values())
        for number in [number for number in self._things if number not in here]:
            del self._things[number]

    def counts(self) -> Counter[str]:
        """Things by label."""
        return Counter(label for label, _ in self._things.values())

    def counts_in(self) -> Counter[tuple[str, str]]:
        """Things by zone and label."""
        return Counter((zone, label) for label, zones in self._things.values() for zone in set(zones))
