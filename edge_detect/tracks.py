"""Tracks: the same thing over time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Track:
    """One thing as it is known at one frame; made by `tracker.Tracker` only.

    Attributes:
        id: 1, 2, 3 ... in this run; never used again.
        box: x1 y1 x2 y2 in pixels of the frame; where it is expected while it is not seen.
        class_id: The model's class number that most of its boxes had.
        score: Of its newest box, 0..1.
        top_score: The best so far.
        since: When it was first seen; on the clock of `Frame.time`, as all times here.
        seen: When it was last seen.
        hits: Looks at which it was seen.
        misses: Looks in a row, the newest among them, at which it was not.
        predicted: Whether its box is expected and not seen: nobody looked, or nothing was found.
        still: Whether it has not moved of late.
    """

    id: int
    box: tuple[float, float, float, float]
    class_id: int
    score: float
    top_score: float
    since: float
    seen: float
    hits: int
    misses: int
    predicted: bool
    still: bool = False
