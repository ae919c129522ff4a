"""Ring: the last pictures as JPEG in memory, from which a clip takes what was before its event."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from itertools import islice


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that was encoded once.

    Attributes:
        number: 0, 1, 2 ... without gaps.
        time: Seconds, as `Frame.time`.
        data: JPEG.
    """

    number: int
    time: float
    data: bytes


class Ring:
    """Keeps so many bytes of pictures and drops the oldest; one thread adds, others read.

    Attributes:
        size: Bytes that are kept now.
    """

    def __init__(self, limit: int, seconds: float = float("inf")) -> None:
        """Is empty.

        Args:
            limit: Most bytes; the newest picture is kept whatever its size.
            seconds: How much older than the newest picture one may be.
        """
        self.size = 0
        self._limit, self._seconds = limit, seconds
        self._pictures: deque[Picture] = deque()
        self._alone = threading.Lock()
        self._next = 0

    def append(self, time: float, data: bytes) -> Picture:
        """Adds a picture and returns it with its number."""
        with self._alone:
            picture = Picture(self._next, time, data)
            self._next += 1
            self._pictures.append(picture)
            self.size += len(data)
            while len(self._pictures) > 1 and self._is_over(time):
                self.size -= len(self._pictures.popleft().data)
        return picture

    def _is_over(self, now: float) -> bool:
        return self.size > self._limit or self._pictures[0].time < now - self._seconds

    @property
    def newest(self) -> Picture | None:
        """The picture that came last; None before the first."""
        with self._alone:
            return self._pictures[-1] if self._pictures else None

    def since(self, time: float) -> int:
        """Number of the first picture that is not older than `time`; of the next one where all are."""
        with self._alone:
            return next((picture.number for picture in self._pictures if picture.time >= time), self._next)

    def take(self, number: int, most: int) -> list[Picture]:
        """Pictures from this number on, oldest first; those that are gone already are left out."""
        with self._alone:
            if not self._pictures:
                return []
            first = max(0, number - self._pictures[0].number)
            return list(islice(self._pictures, first, first + most))
