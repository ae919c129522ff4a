"""Shards: pieces of work that are the same whoever does them, and when."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass

from edge_detect.archive.footage import File, Recording
from edge_detect.sources.video import Length

ALBUM = 100
"""Pictures in a shard."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of a recording.

    Attributes:
        recording: Its name.
        files: The video, or the pictures.
        video: Which of the two.
        start: Seconds in the video, where it begins.
        end: Seconds, where the next one begins; infinite for the last, which goes on to the end of the file.
        number: Of the first picture in its folder.
        weight: Frames that are expected.
    """

    recording: str
    files: tuple[File, ...]
    video: bool
    start: float = 0.0
    end: float = math.inf
    number: int = 0
    weight: float = 1.0

    def key(self, settings: str) -> str:
        """A name that another shard, another file or other settings never have."""
        files = [[file.name, file.size, file.changed] for file in self.files]
        whole = json.dumps([settings, files, self.start, self.end, self.number])
        return hashlib.sha256(whole.encode()).hexdigest()[:24]

    def __str__(self) -> str:
        if not self.video:
            return f"{self.recording}: {len(self.files)} pictures from {self.files[0].name}"
        if self.end == math.inf:
            return f"{self.recording}: from {self.start:g} s"
        return f"{self.recording}: {self.start:g} to {self.end:g} s"


def cut(recording: Recording, length: Length, seconds: float, *, whole: bool = False) -> list[Shard]:
    """The shards of a recording, in order.

    Args:
        recording: What is cut.
        length: Of the video; one of unknown length stays whole.
        seconds: Of a shard.
        whole: It cannot be cut.
    """
    files, name = recording.files, recording.name
    if not recording.video:
        return [
            Shard(name, part, video=False, number=first, weight=len(part))
            for first in range(0, len(files), ALBUM)
            if (part := files[first : first + ALBUM])
        ]
    n = 1 if whole else max(1, math.ceil(length.seconds / seconds))
    ends = [number * seconds for number in range(1, n)] + [math.inf]
    starts = [0.0, *ends[:-1]]
    rate = length.fps or 25.0
    return [
        Shard(name, files, video=True, start=start, end=end,
              weight=max(1.0, (min(end, length.seconds) - start) * rate))
        for start, end in zip(starts, ends, strict=True)
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Account:
    """What is known of a shard that is done, besides what was found.

    Attributes:
        frames: In it, whether looked at or not.
        first: Mark of its first frame.
        after: Mark of the frame after it.
        ordered: Whether its frames came in the order of their times.
        skipped: A line for each picture that could not be read.
    """

    frames: int = 0
    first: str = ""
    after: str = ""
    ordered: bool = True
    skipped: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """All of it."""
        return asdict(self)


def join(accounts: list[Account]) -> bool:
    """Whether the shards of a video, in order, hold each frame exactly once.

    The frame after each shard is the first of the next one that has any: the same time, the same pixels.
    """
    if len(accounts) == 1:
        return True
    follows = ""
    for account in reversed(accounts):
        if not account.ordered or account.after != follows:
            return False
        follows = account.first or follows
    return True
