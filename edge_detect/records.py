"""Records: the events that are kept, and their files, for who looks at them later."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, cast

import cv2
import numpy as np

from edge_detect.errors import SinkError
from edge_detect.event_store import EventStore, Row
from edge_detect.events import to_json
from edge_detect.frame import Image
from edge_detect.shelf import Shelf

SMALL = 192  # pixels across: of a picture in a list


@dataclass(frozen=True, slots=True)
class Records:
    """What the page asks: the store says which file is whose, and only the shelf opens one.

    Attributes:
        store: The events.
        shelf: Their files; None where nothing is recorded.
    """

    store: EventStore
    shelf: Shelf | None = None

    def find(self, *, after: int, label: str, limit: int) -> list[dict[str, Any]]:
        """The events that have changed since, the newest change first."""
        return [told(row) for row in self.store.find(after=after, label=label, limit=limit)]

    @property
    def last(self) -> int:
        """Another number when an event is new or has changed; asks no disk."""
        return self.store.last

    def snapshot(self, id: str, *, drawn: bool = False, small: bool = False) -> bytes | None:
        """The picture of an event as JPEG, with its box or small where that is asked for; None without."""
        row = self.store.get(id)
        if row is None or self.shelf is None or not row.snapshot:
            return None
        try:
            handle = self.shelf.open(row.snapshot)
        except FileNotFoundError:
            return None
        with open(handle, "rb") as file:
            data = file.read()
        return _changed(data, row.box if drawn else (), SMALL if small else 0) if drawn or small else data

    def clip(self, id: str) -> int | None:
        """A descriptor of the clip of an event, to be closed by who asked; None without."""
        row = self.store.get(id)
        if row is None or self.shelf is None or not row.clip:
            return None
        try:
            return self.shelf.open(row.clip)
        except FileNotFoundError:
            return None

    def protect(self, id: str, protected: bool) -> dict[str, Any] | None:
        """Keeps an event and its files whatever comes, or no longer; the event, None without."""
        row = self.store.get(id)
        if row is None:
            return None
        self.store.protect(id, protected)
        for name in (row.snapshot, row.clip):
            if name and self.shelf:  # a clip may be that of other events as well
                self.shelf.protect(name, protected or self.store.has(name, protected=True))
        return told(replace(row, protected=protected))

    def delete(self, id: str) -> bool:
        """Forgets an event that is over, and deletes its files unless others have them too.

        Raises:
            SinkError: It is protected, or not over.
        """
        row = self.store.get(id)
        if row is None:
            return False
        if row.protected:
            raise SinkError("the event is protected")
        if row.event.type != "end":
            raise SinkError("the event is not over")
        self.store.delete(id)
        for name in (row.snapshot, row.clip):
            if name and self.shelf and not self.store.has(name):
                self.shelf.delete(name)
        return True


def told(row: Row) -> dict[str, Any]:
    """The event as everywhere, with where its files are to be had and when it last changed."""
    place = f"/api/events/{row.event.id}"
    event = replace(
        row.event,
        snapshot=f"{place}/snapshot.jpg" if row.snapshot else "",
        clip=f"{place}/clip.mp4" if row.clip else "",
    )
    return to_json(event) | {"seq": row.seq, "clip_at": row.clip_at, "protected": row.protected}


def _changed(data: bytes, box: tuple[float, ...], width: int) -> bytes:
    """The JPEG with a box, x1 y1 x2 y2 in 0..1, if there is one, and of this width unless it is 0."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        return data
    height = image.shape[0]
    if width and width < image.shape[1]:
        height = max(1, round(height * width / image.shape[1]))
        image = cast(Image, cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
    if len(box) == 4:
        sides = (image.shape[1], height) * 2
        x1, y1, x2, y2 = (round(share * side) for share, side in zip(box, sides, strict=True))
        line = max(2, round(image.shape[1] / 320))
        cv2.rectangle(image, (x1, y1), (x2, y2), (0, 0, 0), line + 2)
        cv2.rectangle(image, (x1, y1), (x2, y2), (80, 220, 80), line)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def size_of(handle: int) -> int:
    """Bytes of an open file."""
    return os.fstat(handle).st_size
