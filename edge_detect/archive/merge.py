"""Merge: from the notes of the shards to scenes, as if one had looked from beginning to end.

What is told of what was found is decided here: by confidence, classes, tracker and rules. To decide
otherwise nobody has to look again.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeAlias

from edge_detect import config
from edge_detect.archive.footage import Recording
from edge_detect.archive.ledger import Ledger
from edge_detect.archive.shards import Account, Shard
from edge_detect.config import Config
from edge_detect.controls import Choice, Controls
from edge_detect.events import Event
from edge_detect.following import FOOTAGE, Following
from edge_detect.labels import Labels
from edge_detect.rules import Origin
from edge_detect.scene import Scene, noted

Judged: TypeAlias = tuple[Scene, tuple[Event, ...]]
"""A frame, and the events that are told with it."""


def scenes(ledger: Ledger, parts: list[tuple[Shard, Account]]) -> Iterator[Scene]:
    """What was found in one recording, frame by frame; of the pictures only the size is there.

    Args:
        ledger: Has the shards.
        parts: All of them, in order, with their accounts.
    """
    before = 0
    for shard, account in parts:
        for note in ledger.notes(shard):
            note["number"] += before if shard.video else 0
            yield noted(**note)
        before += account.frames


@dataclass(frozen=True, slots=True)
class Judge:
    """What of it is told, the same for every recording.

    Attributes:
        settings: `detect`, `tracker`, `events` and `zones` of them.
        labels: Names of the classes.
        model: Name of its file.
        sha256: Of that file.
        follows: Whether things are followed from frame to frame and judged by the rules.
    """

    settings: Config
    labels: Labels
    model: str
    sha256: str
    follows: bool

    def __call__(self, recording: Recording, found: Iterator[Scene]) -> Iterator[Judged]:
        """What is told of each frame, and of events with it; the last ones end with the recording."""
        detect = self.settings.detect
        controls = Controls(Choice(detect.confidence, detect.classes), self.labels)
        if not (self.follows and recording.video):
            for one in found:
                yield Scene(one.frame, controls(one.detections)), ()
            return
        following = self._following(recording)
        last: Judged | None = None
        for one in found:
            if last:
                yield last
            following.wants(one.frame)
            told = following.scene(one.frame, one.detections, controls)
            last = told, told.events
        if last:
            yield last[0], last[1] + following.close()

    def _following(self, recording: Recording) -> Following:
        settings = config.change(self.settings, {"motion.gate": "off"})
        origin = Origin(recording.name, socket.gethostname(), self.model, self.sha256[:12])
        token = sha256(recording.name.encode()).hexdigest()[:12]
        return Following(settings, self.labels.names, origin, FOOTAGE, token=token)
