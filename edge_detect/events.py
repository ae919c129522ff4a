"""Events: what a person cares about, as one flat object that is the same everywhere."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["appeared", "entered", "left", "crossed", "stayed", "gone", "camera_lost", "camera_back"]
Type = Literal["start", "update", "end"]

KINDS: tuple[Kind, ...] = (
    "appeared", "entered", "left", "crossed", "stayed", "gone", "camera_lost", "camera_back"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """One word about one thing: that it began, has changed, or is over.

    Attributes:
        id: The same for the start, the updates and the end of one event; never used again.
        type: `start`, `update` or `end`.
        kind: What happened.
        label: Name of the class; empty for the camera's own events.
        source: Where the pictures come from, without a password.
        track_id: Number of the thing in this run; 0 for the camera's own events.
        score: Of the newest detection, 0..1.
        top_score: The best so far.
        box: x1 y1 x2 y2 in 0..1 of the picture; empty for the camera's own events.
        zone: The zone or line that it is about; empty for the whole picture.
        zones: All zones in which the thing is now.
        direction: `in` or `out` for `crossed`, else empty.
        start_time: When the event began, UTC, `2026-11-22T01:40:33.120Z`.
        time: When this was said, likewise.
        duration_s: Since the start, by a clock that nobody sets.
        clock_synced: Whether the wall clock could be trusted.
        snapshot: Where its picture is to be had; empty without.
        clip: Where its clip is to be had; empty without.
        node: Name of the machine.
        model: Name of the model's file.
        model_sha256: First 12 digits of its hash.
    """

    id: str
    type: Type
    kind: Kind
    label: str
    source: str
    track_id: int
    score: float
    top_score: float
    box: tuple[float, ...]
    zone: str
    zones: tuple[str, ...]
    direction: str
    start_time: str
    time: str
    duration_s: float
    clock_synced: bool
    snapshot: str = ""
    clip: str = ""
    node: str = ""
    model: str = ""
    model_sha256: str = ""


def to_json(event: Event) -> dict[str, Any]:
    """The flat object, with the version of its form in front."""
    return {"v": 1} | asdict(event)
