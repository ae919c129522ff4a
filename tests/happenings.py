"""Happenings: events made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edge_detect.events import Event

PERSON = Event(
    id="20261122T014033.120Z-cam1-7f3a",
    type="start",
    kind="appeared",
    label="person",
    source="cam1",
    track_id=12,
    score=0.87,
    top_score=0.93,
    box=(0.1, 0.2, 0.3, 0.4),
    zone="",
    zones=("door",),
    direction="",
    start_time="2026-11-22T01:40:33.120Z",
    time="2026-11-22T01:40:33.120Z",
    duration_s=0.0,
    clock_synced=True,
    node="porch",
)
LOST = replace(PERSON, id="lost", kind="camera_lost", label="", track_id=0, box=(), zones=())


def event(number: int = 0, **changes: Any) -> Event:
    """That a person appeared, with an id of its own for each number."""
    return replace(PERSON, **({"id": f"event-{number}", "track_id": number} | changes))
