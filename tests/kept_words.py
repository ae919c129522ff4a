"""Kept words: events as the store and the page keep them, made by hand."""

from __future__ import annotations

from typing import Any

from edge_detect.events import Event

TIME = "2026-11-22T01:40:33.120Z"
BOX = (0.25, 0.25, 0.75, 0.75)


def event(id: str = "a", type: str = "start", **more: Any) -> Event:
    """A word on a person who appeared."""
    usual: dict[str, Any] = {
        "kind": "appeared", "label": "person", "source": "porch", "track_id": 1, "score": 0.5, "top_score": 0.5,
        "box": BOX, "zone": "", "zones": (), "direction": "", "start_time": TIME, "time": TIME,
        "duration_s": 0.0, "clock_synced": True,
    }  # fmt: skip
    return Event(id=id, type=type, **(usual | more))
