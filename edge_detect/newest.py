"""Newest: a live source read in a thread of its own, of which only the newest frame counts.

A lost source is opened again, with longer and longer waits between the attempts; who watches is
told when it goes and when it is back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from typing import cast

import numpy as np

from edge_detect.errors import EdgeDetectError, InputMissing, SourceError, SourceHangs, SourceLost
from edge_detect.frame import Frame, Image
from edge_detect.heartbeats import Heartbeats
from edge_detect.sources import Source

log = logging.getLogger(__name__)

BACK_OFF = (0.5, 30.0)  # seconds before the first new attempt, and the longest wait


class Newest:
    """The frames of a live source as they are when asked for.

    Attributes:
        captured: Frames that came from the source.
        dropped: Frames that came while an older one was being looked at.
        reopened: Times that the source was lost and came back.
    """

    def __init__(
        self,
        source: Source,
        name: str,
        *,
        shrink: Callable[[Frame], Frame] = lambda frame: frame,
        give_up: float = 0.0,
        back_off: tuple[float, float] = BACK_OFF,
        heartbeats: Heartbeats | None = None,
        replaceable: bool = False,
    ) -> None:
        """Starts to read.

        Args:
            source: A live one.
            name: For messages; without a password.
            shrink: What is done to each frame in the capture thread, while the net is busy.
            give_up: Seconds that the source may stay away before `SourceLost`; 0 for ever.
            back_off: First and longest wait between attempts to open it again, in seconds.
            heartbeats: Learn that the capture thread moves.
            replaceable: Whether a capture thread that hangs ends in `SourceLost`, since somebody
                starts a fresh process: its driver may never come back to this one. A camera that
                is missing from the start is waited for then, since nobody sits there to see it.
        """
        self.captured = self.dropped = self.reopened = 0
        self._source, self._name, self._shrink = source, name, shrink
        self._give_up, self._back_off = give_up, back_off
        self._ready = threading.Condition()
        self._slot: Frame | None = None
        self._error: BaseException | None = None
        self._ended = False
        self._closed = threading.Event()
        self._next = 0  # number of a frame that comes first after an opening
        self._heard = time.monotonic()  # when the last frame came
        self._lost = False
        self._still = _Still(source.freeze)
        self._heartbeats = heartbeats or Heartbeats()
        self._replaceable = replaceable
        # no source blocks for much longer in one attempt: to open, to read and to close
        patience = max(self._heartbeats.patience, 3 * source.patience)
        self._beat = self._heartbeats.expect("capture", patience)
        self._thread = threading.Thread(target=self._run, name=f"capture {name}", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Frame | None]:
        """Frames until the source ends or `close`; None when none came for a moment.

        Raises:
            EdgeDetectError: The source could not be opened the first time.
            SourceLost: It stayed away for too long, or hangs and is replaceable.
        """
        while not self._closed.is_set():
            with self._ready:
                if self._slot is None and not self._ended:
                    self._ready.wait(0.2)
                frame, self._slot = self._slot, None
                if frame is None and self._ended:
                    break
            if frame is None:
                self._check_lost()
            yield frame
        if self._error:
            raise self._error

    @property
    def lost(self) -> bool:
        """Whether the source is away, and waited for."""
        return self._lost

    @property
    def age(self) -> float:
        """Seconds since the last frame came, or since the start."""
        return time.monotonic() - self._heard

    def _check_lost(self) -> None:
        with self._ready:  # no frame comes between the look at the clock and the word
            away = time.monotonic() - self._heard
            if away > self._source.patience:
                self._lose(f"{self._name}: no frame for {away:.0f} s")
        if self._give_up and away > self._give_up:
            raise SourceLost(f"{self._name}: no frame for {away:.0f} s, gave up")
        if self._replaceable and (silence := self._heartbeats.late().get("capture")):
            raise SourceLost(
                f"{self._name}: hangs in its driver for {silence:.0f} s; only a fresh start helps"
            )

    def close(self) -> None:
        """Stops reading and closes the source; safe to call twice."""
        self._closed.set()
        self._heartbeats.forget("capture")
        with self._ready:
            self._ready.notify_all()
        self._thread.join(2)
        if self._thread.is_alive():
            log.debug("%s: does not answer, its thread ends with the program", self._name)

    def _run(self) -> None:
        try:
            self._read_for_ever()
        except BaseException as error:  # noqa: BLE001 carried to the loop, which raises it
            self._error = error
        with self._ready:
            self._ended = True
            self._ready.notify_all()

    def _read_for_ever(self) -> None:
        wait, known = self._back_off[0], True
        while not self._closed.is_set():
            before = self.captured
            if known:
                self._beat()
            try:
                self._read_once()
                if not self._source.reopens:
                    return  # the end of a pipe or a file
                reason = f"{self._name}: the stream ended"
                known = True
            except EdgeDetectError as error:
                awaited = self.captured or (self._replaceable and isinstance(error, InputMissing))
                if not awaited or not self._source.reopens:
                    raise
                reason, known = str(error), not isinstance(error, SourceHangs)
            if self.captured > before:
                wait = self._back_off[0]
            if not self._closed.is_set():
                self._lose(reason)
            if known:  # lost, and waited for: no hang
                self._heartbeats.excuse("capture")
            self._closed.wait(wait)
            wait = min(wait * 2, self._back_off[1])

    def _read_once(self) -> None:
        """Opens the source and puts its frames into the slot until it ends."""
        first = self._next
        with closing(cast("Generator[Frame | None]", iter(self._source))) as frames:
            for frame in frames:
                if self._closed.is_set():
                    return
                self._beat()
                if frame is None:
                    continue
                self._still.check(frame.image, self._name)
                number = first + frame.number
                self._next = number + 1
                self._put(self._shrink(replace(frame, number=number)))

    def _put(self, frame: Frame) -> None:
        with self._ready:
            if self._slot is not None:
                self.dropped += 1
            self._slot = frame
            self.captured += 1
            if self._lost:
                self._lost = False
                self.reopened += 1
                log.warning("camera back: %s after %.1f s", self._name, time.monotonic() - self._heard)
            self._heard = time.monotonic()
            self._ready.notify()

    def _lose(self, reason: str) -> None:
        with self._ready:
            told, self._lost = self._lost, True
        if not told:
            log.warning("camera lost: %s", reason)


class _Still:
    """Notices a camera that repeats its last picture for ever.

    The noise of a sensor never gives the same picture twice. Where it does (a lens cap, a test
    card) opening again does not help, so each time the patience doubles, up to ten minutes.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._last: Image | None = None
        self._since = 0.0

    def check(self, image: Image, name: str) -> None:
        """Raises SourceError when the picture has not changed for too long."""
        if not self._patience:
            return
        now = time.monotonic()
        sample = image[::16, ::16]  # a full comparison only where these agree
        last = self._last
        if last is None or not (np.array_equal(sample, last[::16, ::16]) and np.array_equal(image, last)):
            self._last, self._since = image, now
        elif now - self._since > self._patience:
            seconds, self._last = now - self._since, None
            self._patience = min(self._patience * 2, 600)
            raise SourceError(f"{name}: the very same picture for {seconds:.0f} s, the camera is frozen")
