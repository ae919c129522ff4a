"""Station: the newest scene goes out to all who look, encoded once, and only for who is ready."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import time
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import cv2

from edge_detect.detector import Timing
from edge_detect.draw import annotate
from edge_detect.frame import Image
from edge_detect.labels import Labels
from edge_detect.scene import Scene
from edge_detect.web.tally import Histogram

STALL = 10.0  # seconds that a viewer may take for a frame
BOXES = 300  # told of one frame, the best first
_HEAD = struct.Struct(">I")
_compact = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


@dataclass(frozen=True, slots=True)
class View:
    """How scenes are shown.

    Attributes:
        labels: Names of the classes.
        quality: Of JPEG, 1 to 100.
        spent: Counts the seconds of each encoding.
        pictures: Whether they may be shown; only their boxes otherwise.
    """

    labels: Labels
    quality: int
    spent: Histogram
    pictures: bool = True

    def jpeg(self, image: Image) -> bytes:
        """The picture as JPEG."""
        start = time.perf_counter()
        data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, self.quality])[1].tobytes()
        self.spent.add(time.perf_counter() - start)
        return data


class Shot:
    """A scene as viewers get it; each form is made when it is first asked for, and once.

    Attributes:
        paused: Whether nobody looked for anything in it.
    """

    def __init__(self, scene: Scene, timing: Timing, view: View, *, live: bool, paused: bool) -> None:
        self.paused = paused
        self._scene, self._timing, self._view, self._live = scene, timing, view, live

    @cached_property
    def picture(self) -> bytes:
        """JPEG without boxes."""
        return self._view.jpeg(self._scene.frame.image)

    @cached_property
    def drawn(self) -> bytes:
        """JPEG with boxes."""
        return self._view.jpeg(annotate(self._scene, self._view.labels))

    @cached_property
    def message(self) -> bytes:
        """`u32 length of the header, big-endian | header, JSON | JPEG without boxes, if it may be seen`."""
        picture = self.picture if self._view.pictures else b""
        head = _compact(self._header()).encode()
        return b"".join((_HEAD.pack(len(head)), head, picture))

    def _header(self) -> dict[str, object]:
        frame, found, timing = self._scene.frame, self._scene.detections, self._timing
        width, height = frame.size
        classes = found.classes.tolist()
        rows = zip(found.boxes.tolist(), found.scores.tolist(), classes, strict=True)
        return {
            "seq": frame.number,
            "w": width,
            "h": height,
            "paused": self.paused,
            "t_ms": round(frame.time * 1e3, 1) if self._live else None,  # of the monotonic clock
            "age_ms": round((time.monotonic() - frame.time) * 1e3, 1) if self._live else None,
            "infer_ms": round((timing.prepare + timing.invoke + timing.decode) * 1e3, 2),
            "counts": dict(Counter(self._view.labels[number] for number in classes)),
            "boxes": [
                [*(round(side, 1) for side in box), round(score, 3), number] for box, score, number in rows
            ][:BOXES],
        }


class Viewer(Protocol):
    """Who looks."""

    @property
    def peer(self) -> str:
        """Its address."""

    @property
    def ready(self) -> bool:
        """Whether a frame may be sent now."""

    def take(self, shot: Shot) -> None:
        """Sends it; never waits."""

    def tell(self, stats: dict[str, Any]) -> None:
        """Sends how the run is, to who understands it."""

    @property
    def welcome(self) -> bool:
        """Whether it may still look."""

    def stalled(self, now: float) -> bool:
        """Whether the last frame has been on its way for too long."""

    def drop(self) -> None:
        """Ends the connection at once."""


class Station:
    """The newest scene, and who looks at it.

    Attributes:
        viewers: Those who look now, in the thread of the page.
        sent: Frames, over all viewers.
        skipped: Scenes that came while somebody looked and nobody was ready in time.
    """

    def __init__(self, fps: float) -> None:
        self.viewers: dict[Viewer, Shot | None] = {}  # and what each was sent last
        self.sent = self.skipped = 0
        self._interval = 1 / fps
        self._loop: asyncio.AbstractEventLoop | None = None
        self._newest: Shot | None = None
        self._aired: Shot | None = None
        self._called = False
        self._due = 0.0  # loop time before which nothing is sent
        self._timer: asyncio.TimerHandle | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sends from this loop from now on."""
        self._loop = loop

    @property
    def newest(self) -> Shot | None:
        """The newest scene; None before the first."""
        return self._newest

    def publish(self, shot: Shot) -> None:
        """Takes a scene by reference; from any thread, never waits and never raises."""
        if self.viewers and self._newest is not self._aired:
            self.skipped += 1
        self._newest = shot
        if self.viewers and not self._called and self._loop:
            self._called = True
            with contextlib.suppress(RuntimeError):  # the page is closing
                self._loop.call_soon_threadsafe(self._arrived)

    def _arrived(self) -> None:
        self._called = False
        self.wake()

    def join(self, viewer: Viewer) -> None:
        """From now on the viewer gets what it is ready for."""
        self.viewers[viewer] = None

    def leave(self, viewer: Viewer) -> None:
        """The viewer has gone; safe to call twice."""
        self.viewers.pop(viewer, None)

    def wake(self) -> None:
        """Sends the newest scene to all who are ready and have not had it, as soon as it is time."""
        shot = self._newest
        if shot is None or self._loop is None:
            return
        ready = [viewer for viewer, had in self.viewers.items() if had is not shot and viewer.ready]
        if not ready:
            return
        now = self._loop.time()
        if shot is not self._aired:  # a late viewer gets what others have had at once: it is encoded
            if now < self._due:
                if self._timer is None:
                    self._timer = self._loop.call_at(self._due, self._ring)
                return
            self._due = max(self._due + self._interval, now)
            self._aired = shot
        for viewer in ready:
            self.viewers[viewer] = shot
            self.sent += 1
            viewer.take(shot)

    def _ring(self) -> None:
        self._timer = None
        self.wake()

    def sweep(self) -> None:
        """Drops those who have stalled or are no longer welcome."""
        now = time.monotonic()
        for viewer in list(self.viewers):
            if viewer.stalled(now) or not viewer.welcome:
                self._drop(viewer)

    def tell(self, stats: dict[str, Any]) -> None:
        """Tells everybody how the run is."""
        for viewer in list(self.viewers):
            viewer.tell(stats)

    def clear(self) -> None:
        """Drops everybody."""
        for viewer in list(self.viewers):
            self._drop(viewer)

    def _drop(self, viewer: Viewer) -> None:
        self.leave(viewer)
        viewer.drop()
