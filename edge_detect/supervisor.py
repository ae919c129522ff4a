"""Supervisor: tells systemd how the run is, and that it is alive only while every part of it moves."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from edge_detect import board, logs, notify
from edge_detect.frame import Frame
from edge_detect.heartbeats import WATCHDOG, Heartbeats
from edge_detect.notify import Notify
from edge_detect.scene import Scene

log = logging.getLogger(__name__)

STATUS_EVERY = WATCHDOG / 3
"""Seconds between two status lines, and between two looks where no watchdog is set."""
LOADING = 10 * WATCHDOG
"""Seconds that a model may take: a stranger is probed (`probe.LIMIT`), then its threads are measured."""


def find(heartbeats: Heartbeats) -> list[Supervisor]:
    """The supervisor of a run that systemd started; none where nobody would listen."""
    try:
        tell = Notify(os.environ.get("NOTIFY_SOCKET", ""))
    except ValueError as error:
        log.warning("%s; systemd is told nothing", error)
        return []
    return [Supervisor(heartbeats, tell, notify.watchdog())]


class Supervisor:
    """Watches the heartbeats from a thread of its own; a sink, to know of every scene.

    The first scene makes the service ready, and so does a camera that is missing and waited for. A
    capture thread that hangs is the loop's to notice (`Newest`, `replaceable`): it ends the run in
    good order. Everything else that is late could not, so systemd is told to end it, and the log
    where it hangs.
    """

    def __init__(self, heartbeats: Heartbeats, tell: Notify, watchdog: float = WATCHDOG) -> None:
        """Begins to watch.

        Args:
            heartbeats: Of all parts; those that join from now on get the patience that fits `watchdog`.
            tell: Where systemd listens; closed with this.
            watchdog: Seconds within which it expects a sign of life; 0 for none.
        """
        self._heartbeats, self._tell, self._watchdog = heartbeats, tell, watchdog
        if watchdog:
            heartbeats.patience = watchdog / 2
        self._begun = self._reported = time.monotonic()
        self._frames = self._objects = 0
        self._ready = self._told = False
        self._alone = threading.RLock()  # no word of loading after the one that it is ready
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def write(self, scene: Scene) -> None:
        self._frames += 1
        self._objects = len(scene.detections)
        if not self._ready:
            self.ready()

    def unseen(self, frame: Frame) -> None:
        """A frame came and is not looked at, as somebody wishes: that is all that the service is to do."""
        if not self._ready:
            self.ready()

    def ready(self, status: str = "running") -> None:
        """The service does its work."""
        with self._alone:
            self._ready, self._reported = True, time.monotonic()
            self._tell(notify.READY, notify.status(status))

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """While it lasts, the settings are read anew; systemd is not told before the service is ready."""
        was_ready = self._ready
        if was_ready:
            self._tell(*notify.reloading())
        try:
            yield
        finally:
            if was_ready:
                self._tell(notify.READY)

    def close(self) -> None:
        """The run is about to end: systemd's time for a stop begins; safe to call twice."""
        if not self._closed.is_set():
            self._closed.set()
            self._thread.join()
            # camera, broker, page and clips end one after the other, and each may take its time
            self._tell(notify.STOPPING, notify.more_time(WATCHDOG), notify.status("stopping"))
            self._tell.close()

    def _run(self) -> None:
        interval = self._watchdog / 3 or STATUS_EVERY
        while True:
            with self._alone:
                self._look()
            if self._closed.wait(interval):
                break

    def _look(self) -> None:
        """What is to be told now."""
        if not self._ready and self._heartbeats.is_excused("capture"):
            self.ready("waits for a camera")
        elif not self._ready:
            self._ask_for_time()
        elif late := self._late():
            self._tell_late(late)
        else:
            self._told = False
            self._tell(notify.ALIVE)
            if time.monotonic() - self._reported >= STATUS_EVERY * 0.9:
                self._tell(notify.status(self._status()))

    def _ask_for_time(self) -> None:
        """While a model is loaded, and no longer: the loop has to get going by itself."""
        loading = "inference" not in self._heartbeats.ages()
        if loading and time.monotonic() - self._begun < LOADING:
            self._tell(notify.more_time(WATCHDOG), notify.status("loading the model"))

    def _late(self) -> str:
        """The parts that hang, the one that has been silent for longest first; empty for none."""
        late = self._heartbeats.late()
        late.pop("capture", None)
        worst_first = sorted(late, key=lambda part: -late[part])
        return ", ".join(f"{part} for {late[part]:.0f} s" for part in worst_first)

    def _tell_late(self, late: str) -> None:
        self._tell(notify.HANGS, notify.status(f"hangs: {late}"))
        if not self._told:
            self._told = True
            log.critical("hangs: %s", late)
            log.critical("%s", stacks(), extra=logs.MANY)

    def _status(self) -> str:
        """`18.2 fps, 3 objects, 62 C`, of the time since the last one."""
        now = time.monotonic()
        seconds, self._reported = now - self._reported, now
        frames, self._frames = self._frames, 0
        degrees = board.temperature()
        heat = f", {degrees:.0f} C" if degrees is not None else ""
        if not frames:
            return f"no frame was looked at for {seconds:.0f} s{heat}"
        objects = f"{self._objects} object{'s' * (self._objects != 1)}"
        return f"{frames / seconds:.1f} fps, {objects}{heat}"


def stacks() -> str:
    """Where each thread is, for who wants to know why it stays there."""
    frames = sys._current_frames()
    return "\n".join(
        f"thread {thread.name}:\n{''.join(traceback.format_stack(frames[thread.ident])).rstrip()}"
        for thread in threading.enumerate()
        if thread.ident in frames and thread is not threading.current_thread()
    )
