"""Topics: where everything of one machine stands at an MQTT broker."""

from __future__ import annotations

import hashlib
import re
import socket
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

PREFIX = "edge_detect"
RESERVED = ("availability", "events", "stats", "confidence", "paused")
"""Levels below the node that no label may have."""
LONGEST = 48  # characters of a level


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one node, `edge_detect/NODE/...`.

    A label or a zone is one level, whatever is written in it: the signs that mean something in a
    topic (`/ + # $`, NUL) never get there.

    Attributes:
        node: Level of the machine.
        labels: Label to its level.
        zones: Zone to its level.
    """

    node: str
    labels: dict[str, str] = field(default_factory=dict)
    zones: dict[str, str] = field(default_factory=dict)

    @property
    def base(self) -> str:
        """What all of them begin with."""
        return f"{PREFIX}/{self.node}"

    @property
    def availability(self) -> str:
        """`online` or `offline`, kept by the broker."""
        return f"{self.base}/availability"

    @property
    def events(self) -> str:
        """Every event."""
        return f"{self.base}/events"

    @property
    def stats(self) -> str:
        """How the run is."""
        return f"{self.base}/stats"

    def state(self, label: str) -> str:
        """`ON` while one is there."""
        return f"{self.base}/{self.labels[label]}/state"

    def count(self, label: str) -> str:
        """How many are there."""
        return f"{self.base}/{self.labels[label]}/count"

    def snapshot(self, label: str) -> str:
        """Picture of the last that came, JPEG."""
        return f"{self.base}/{self.labels[label]}/snapshot"

    def count_in(self, zone: str, label: str) -> str:
        """How many are in a zone."""
        return f"{self.base}/{self.zones[zone]}/{self.labels[label]}/count"

    def control(self, name: str) -> str:
        """State of a control, `confidence` or `paused`."""
        return f"{self.base}/{name}/state"

    def command(self, name: str) -> str:
        """What changes a control; `+` for all."""
        return f"{self.base}/{name}/set"


def topics(node: str, labels: Iterable[str], zones: Iterable[str] = ()) -> Topics:
    """The topics of a machine.

    Args:
        node: Its name; empty for the host's.
        labels: Names of classes.
        zones: Names of zones.
    """
    return Topics(level(node or socket.gethostname()), levels(labels, RESERVED), levels(zones))


def levels(names: Iterable[str], reserved: Iterable[str] = ()) -> dict[str, str]:
    """A level of its own for each name."""
    found: dict[str, str] = {}
    taken = set(reserved)
    for name in names:
        if name not in found:
            wish, number = level(name), 1
            free = wish
            while free in taken:
                number += 1
                free = f"{wish}_{number}"
            taken.add(free)
            found[name] = free
    return found


def level(name: str) -> str:
    """A name in the signs that every broker, topic filter and Home Assistant takes: `a-z 0-9 _ -`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    kept = re.sub(r"[^a-z0-9_-]+", "_", plain).strip("_-")[:LONGEST]
    return kept or f"x{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}"
