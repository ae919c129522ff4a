"""Filming: the pictures of a ring become clips of events; those that overlap share one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge_detect import config
from edge_detect.errors import SinkError
from edge_detect.logs import Minutely
from edge_detect.ring import Ring

if TYPE_CHECKING:
    from edge_detect.clip import Clip

log = logging.getLogger(__name__)

BURST = 16  # pictures at once: between two of these others are heard


@dataclass(slots=True)
class _Film:
    """A clip that is being made.

    Attributes:
        clip: Takes the pictures.
        next: Number of the picture that comes next.
        begun: Time of the first one.
        until: Time of the last one; endless while an event goes on.
        events: Id of each event in it, to when it began.
        open: Those of them that are not over.
    """

    clip: Clip
    next: int
    begun: float
    until: float = float("inf")
    events: dict[str, float] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)

    def end(self, longest: float) -> float:
        """Time of the last picture, as far as it is known."""
        return min(self.until, self.begun + longest)


class Filming:
    """Makes one clip at a time; of one thread alone, but for `behind`."""

    def __init__(
        self,
        settings: config.Recorder,
        ring: Ring,
        clip: Callable[[], Clip],
        done: Callable[[bytes, Mapping[str, float]], None],
        *,
        live: bool,
    ) -> None:
        """Makes none yet.

        Args:
            settings: How long clips are.
            ring: Has the pictures, those before an event too.
            clip: Makes an empty one.
            done: Gets the file, and the seconds from its begin to that of each of its events.
            live: Whether times are those of the monotonic clock.
        """
        self._settings, self._ring, self._make, self._done, self._live = settings, ring, clip, done, live
        self._film: _Film | None = None
        self._complain = Minutely(log.warning)

    @property
    def behind(self) -> int:
        """Pictures that the clip has still to take."""
        film, newest = self._film, self._ring.newest
        return newest.number - film.next if film and newest else 0

    def begin(self, id: str, now: float) -> None:
        """An event has begun: it gets into the clip, a new one where none is being made."""
        while self._film and now > self._film.end(self._settings.longest):
            if not self.shoot() and self._film:  # a clip that was over before, and we were behind
                self.cut()
        if self._film is None:
            # a short clip has its event in it all the same
            before = min(self._settings.before, self._settings.longest / 2)
            first = self._ring.since(now - before)
            begun = next((picture.time for picture in self._ring.take(first, 1)), now)
            self._film = _Film(self._make(), first, begun)
        self._film.events[id] = now
        self._film.open.add(id)
        self._film.until = float("inf")

    def end(self, id: str, now: float) -> None:
        """An event is over: the clip ends a while after the last one."""
        if self._film and id in self._film.open:
            self._film.open.remove(id)
            if not self._film.open:
                self._film.until = now + self._settings.after

    def shoot(self) -> bool:
        """Puts what has come into the clip, and ends it when it is time; whether there may be more."""
        if (film := self._film) is None:
            return False
        end = film.end(self._settings.longest)
        pictures = self._ring.take(film.next, BURST)
        for picture in pictures:
            if picture.time > end:
                self.cut()
                return False
            film.clip.add(picture.data, picture.time)
            film.next = picture.number + 1
        if self._live and not pictures and time.monotonic() > end + 1:  # the camera is away
            self.cut()
        return len(pictures) == BURST

    def cut(self) -> None:
        """Ends the clip, if one is being made, and hands it over."""
        film, self._film = self._film, None
        if film is None:
            return
        try:
            data = film.clip.finish()
        except SinkError as error:
            self._complain("not recorded: %s", error)
            return
        finally:
            film.clip.close()
        if data:
            self._done(data, {id: round(max(0.0, at - film.begun), 2) for id, at in film.events.items()})
