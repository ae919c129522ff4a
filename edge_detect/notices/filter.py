"""Filter: which events somebody wants to hear of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_detect.errors import ConfigError
from edge_detect.events import Event
from edge_detect.lazy import suggest


@dataclass(frozen=True, slots=True)
class Filter:
    """What an event has to be; what is empty lets all pass.

    The camera's own events have neither label nor zone: where these are asked for, a camera is
    heard of only when `kinds` names it.

    Attributes:
        kinds: Of `events.KINDS`.
        types: `start`, `update`, `end`.
        labels: Names of classes.
        zones: The one it is about, or one in which the thing is.
    """

    kinds: Sequence[str] = ()
    types: Sequence[str] = ()
    labels: Sequence[str] = ()
    zones: Sequence[str] = ()

    def __call__(self, event: Event) -> bool:
        """Whether it is wanted."""
        if (self.kinds and event.kind not in self.kinds) or (self.types and event.type not in self.types):
            return False
        if not event.label:
            return bool(self.kinds) or not (self.labels or self.zones)
        return (not self.labels or event.label in self.labels) and (
            not self.zones or not {event.zone, *event.zones}.isdisjoint(self.zones)
        )


def check(given: Iterable[str], known: Iterable[str], what: str) -> None:
    """Refuses names that do not exist.

    Raises:
        ConfigError: One of them is not known; the message suggests the nearest.
    """
    names = list(known)
    for name in given:
        if name not in names:
            raise ConfigError(f"unknown {what} '{name}'{suggest(name, names)}")
