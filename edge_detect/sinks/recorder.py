"""Recorder: a picture and a clip of each event, with what was before it."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import cv2

from edge_detect import config
from edge_detect.errors import SinkError
from edge_detect.event_store import EventStore
from edge_detect.events import Event
from edge_detect.filming import Filming
from edge_detect.frame import Frame, Image
from edge_detect.lazy import load
from edge_detect.logs import Minutely
from edge_detect.ring import Picture, Ring
from edge_detect.scene import Scene
from edge_detect.shelf import Shelf

log = logging.getLogger(__name__)

FRAMES = 8  # that may wait to be encoded
WORDS = 1000  # of events that may wait
LAG = 8.0  # seconds of pictures that wait for a slow card, besides those before an event
TIDY = 60.0  # seconds between two looks at the limits
PATIENCE = 5.0  # seconds that a recorded source waits for us
BEHIND = 100  # pictures that the clip of a recorded source may be behind
NICENESS = 10  # of our threads: the net comes first


@dataclass(slots=True)
class _Shot:
    """The picture of an event that is not over.

    Attributes:
        score: Of the event when the best picture so far was taken.
        box: Where the thing was in it.
        name: Of its file; empty where the disk did not take it.
        better: A picture with a better score, written when the event is over.
    """

    score: float
    box: tuple[float, ...]
    name: str = ""
    better: Picture | None = None


class Recorder:
    """Records events; the loop never waits for it.

    One thread encodes pictures into a ring in memory, each once and not more than `fps` a second.
    Another takes them from there: for the snapshot of an event, its best picture in the end, and
    for a clip. Events that overlap share a clip, so that there is one encoder at most. A clip is
    on the disk when it is whole: whoever kills the program finds whole clips or none.

    Attributes:
        snapshots: Written so far.
        clips: Likewise.
        skipped: Frames that came too fast.
        failed: Recordings that the disk did not take.
    """

    def __init__(self, settings: config.Recorder, shelf: Shelf, store: EventStore, *, live: bool) -> None:
        """Starts the threads.

        Args:
            settings: What to record.
            shelf: Where the files go; closed with us.
            store: Learns which file belongs to which event; it gets the events before we do.
            live: Whether `Frame.time` is the monotonic clock; a recorded source waits for us.

        Raises:
            DependencyError: Clips are wanted, and PyAV is not installed.
        """
        self.shelf = shelf
        self.snapshots = self.clips = self.skipped = self.failed = 0
        self._settings, self._store, self._live = settings, store, live
        memory = settings.memory << 20 if settings.clips else 0  # without clips the newest picture is enough
        self.ring = Ring(memory, settings.before + LAG if live else float("inf"))
        self._frames: queue.Queue[tuple[Frame | None, tuple[Event, ...]]] = queue.Queue(WORDS)
        self._words: queue.Queue[tuple[Picture | None, tuple[Event, ...]]] = queue.Queue(WORDS)
        self._due = float("-inf")  # when a clip wants its next picture
        self._before: float | None = None  # time of the last frame
        self._shift = 0.0  # added to the time of a recording that was begun again
        self._shots: dict[str, _Shot] = {}
        self._last = (-1, "")  # number of the picture that was written last, and its file
        self._filming: Filming | None = None
        if settings.clips:
            clip = load("edge_detect.clip:Clip")
            clip().close()  # tells at once what is missing
            self._filming = Filming(settings, self.ring, clip, self._save_clip, live=live)
        self._tidied = float("-inf")
        self._complain = Minutely(log.warning)
        self._closed = False
        self._error: Exception | None = None
        self._done = threading.Event()
        self._threads = [
            threading.Thread(target=partial(self._guard, act), name=name, daemon=True)
            for name, act in (("pictures", self._encode), ("recorder", self._record))
        ]
        for thread in self._threads:
            thread.start()

    # ---- called by the loop

    def write(self, scene: Scene) -> None:
        """Takes a frame when it is time for one, and its events."""
        wanted, step, now = bool(scene.events), 1 / self._settings.fps, scene.frame.time
        if self._before is not None and now < self._before:  # a recording that begins again
            self._shift += self._before - now + step
        self._before = now
        now += self._shift
        if self._filming and now >= self._due:
            wanted, self._due = True, max(now, self._due + step)
        if wanted:
            self._put(replace(scene.frame, time=now), scene.events)

    def tell(self, events: tuple[Event, ...]) -> None:
        """Takes events for which there is no frame."""
        if events:
            self._put(None, events)

    def _put(self, frame: Frame | None, events: tuple[Event, ...]) -> None:
        if self._error:
            raise self._error
        if frame is not None and (self._frames.qsize() >= FRAMES if self._live else not self._wait()):
            self.skipped += 1
            frame = None
        if frame is not None or events:
            try:
                self._frames.put_nowait((frame, events))
            except queue.Full:
                self.failed += len(events)

    def _wait(self) -> bool:
        """Lets a recorded source wait until there is room; nobody misses its time."""
        end = time.monotonic() + PATIENCE
        while (late := self._is_late()) and time.monotonic() < end:
            time.sleep(0.002)
        return not late

    def _is_late(self) -> bool:
        return self._frames.qsize() >= FRAMES or (self._filming is not None and self._filming.behind > BEHIND)

    def close(self) -> None:
        """Finishes the clip that is being made; safe to call twice."""
        if not self._closed:
            self._closed = True
            _wake(self._frames)
            for thread in self._threads:
                thread.join(10)
            self.shelf.close()

    # ---- the threads

    def _guard(self, act: Callable[[], None]) -> None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        try:
            act()
        except Exception as error:  # noqa: BLE001 carried to the loop, which raises it
            self._error = error
        finally:
            self._done.set()

    def _encode(self) -> None:
        """Encodes the frames that wait."""
        while not (self._closed and self._frames.empty()):
            try:
                frame, events = self._frames.get(timeout=0.2)
            except queue.Empty:
                continue
            picture = self.ring.append(frame.time, self._jpeg(frame.image)) if frame else self.ring.newest
            if events:
                try:
                    self._words.put((picture, events), timeout=PATIENCE)
                except queue.Full:
                    self.failed += len(events)
        self._done.set()
        _wake(self._words)

    def _jpeg(self, image: Image) -> bytes:
        height, width = image.shape[:2]
        if (most := self._settings.width) and width > most:
            size = most, max(1, round(height * most / width))
            image = cast(Image, cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, self._settings.quality])[1].tobytes()

    def _record(self) -> None:
        """Follows the events, and the clip while there is one; what is said comes before the clip."""
        while True:
            done = self._done.is_set()  # before the look: nothing comes after it
            while self._listen():
                pass
            more = self._filming is not None and self._filming.shoot()
            if not more and not self._listen(0.1) and done:
                break
            self._tidy()
        for id in list(self._shots):
            self._keep_best(id)
        if self._filming:
            self._filming.cut()

    # ---- events

    def _listen(self, wait: float = 0.0) -> bool:
        """Hears the next words; whether there were some."""
        try:
            picture, events = self._words.get(timeout=wait) if wait else self._words.get_nowait()
        except queue.Empty:
            return False
        for event in events:
            self._hear(event, picture)
        return True

    def _hear(self, event: Event, picture: Picture | None) -> None:
        if picture is None:  # before the first frame
            return
        if event.type == "start" and event.id not in self._shots:
            self._shots[event.id] = _Shot(event.score, event.box)
            self._snapshot(event.id, picture)
            if self._filming:
                self._filming.begin(event.id, picture.time)
        shot = self._shots.get(event.id)
        if event.type == "update" and shot and event.score > shot.score:
            shot.score, shot.box, shot.better = event.score, event.box, picture
        if event.type == "end":  # its picture shows nobody: who has gone was waited for
            self._keep_best(event.id)
            if self._filming:
                self._filming.end(event.id, picture.time)

    def _snapshot(self, id: str, picture: Picture) -> None:
        """Gives an event its picture; events of one picture have one file."""
        shot = self._shots[id]
        number, name = self._last
        if number != picture.number:
            name = self.shelf.name(".jpg")
            if not self._save(name, picture.data):
                return
            self.snapshots += 1
            self._last = picture.number, name
        before, shot.name = shot.name, name
        self._store.add_snapshot(id, name, shot.box)
        self._settle(name)
        if before and not self._store.has(before):
            self.shelf.delete(before)

    def _keep_best(self, id: str) -> None:
        if (shot := self._shots.get(id)) and shot.better:
            self._snapshot(id, shot.better)
        self._shots.pop(id, None)

    def _save(self, name: str, data: bytes) -> bool:
        try:
            self.shelf.write(name, data)
            return True
        except SinkError as error:
            self.failed += 1
            self._complain("not recorded: %s", error)
            return False

    def _settle(self, name: str) -> None:
        """Does with a new file what a person wanted of its events before it was there."""
        if not self._store.has(name):
            self.shelf.delete(name)
        elif self._store.has(name, protected=True):
            self.shelf.protect(name, True)

    def _tidy(self) -> None:
        now = time.monotonic()
        if now - self._tidied > TIDY:
            self._tidied = now
            try:
                self.shelf.make_room()
            except SinkError as error:
                self._complain("%s", error)

    def _save_clip(self, data: bytes, events: Mapping[str, float]) -> None:
        """Writes a clip of these events, which begin so many seconds behind its begin."""
        name = self.shelf.name(".mp4")
        if self._save(name, data):
            self.clips += 1
            for id, at in events.items():
                self._store.add_clip(id, name, at)
            self._settle(name)


def _wake(waiting: queue.Queue[Any]) -> None:
    """Lets who waits for a queue look at what has changed; one that is full is looked at anyway."""
    with contextlib.suppress(queue.Full):
        waiting.put_nowait((None, ()))
