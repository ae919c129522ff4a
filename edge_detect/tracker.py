"""Tracker: which boxes of different frames are the same thing.

The idea is ByteTrack's: boxes with good scores are matched with known things first, what is left of
the things is looked for among the weak boxes, and weak boxes start nothing. Where a thing is expected
is predicted by a Kalman filter of constant velocity, as in SORT.

Source: Zhang et al., ByteTrack, arXiv:2110.06864, algorithm 1; Bewley et al., SORT, arXiv:1602.00763.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edge_detect import boxes as rectangles
from edge_detect.config import Tracker as Settings
from edge_detect.detections import Detections
from edge_detect.tracks import Track

OVERLAP_WEAK = 0.3  # least IoU of a known thing and a weak box: more than of a strong one, which is surer
OVERLAP_OTHER = 0.6  # of a thing and a box of another class: one thing under two names
SURE = 5  # looks at which a thing has been seen
YOUNG = 0.5  # seconds that even a thing seen but once is waited for
STILL_AFTER = 3.0  # seconds over which a thing must not have moved to be still
STILL_OVERLAP = 0.7  # IoU with the place where it was then

# of the filter, in heights of the box: ByteTrack's 1/20 for what is measured; a thing may change its
# speed by about two heights a second within a second
MEASURED, WANDERING = 0.05, 2.0


class Tracker:
    """The things that are known now.

    They are few: arithmetic on each is several times as fast as on arrays with a row for each, where a
    line costs a microsecond however few there are. Only the overlap of all things with all boxes, which
    grows with the square, is an array.

    Attributes:
        settings: May be exchanged between two frames.
        numbers: (n,) of each box of the last look, the id of its thing; 0 for none.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.numbers: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._now = 0.0
        self._last_id = 0
        self._things: list[_Thing] = []  # eldest first

    def update(self, found: Detections, time: float) -> tuple[Track, ...]:
        """The things after a look, those that are waited for among them.

        Args:
            found: All boxes from `settings.low` on.
            time: Of the frame; one before that of the last frame counts as the same.
        """
        self._move(time)
        settings = self.settings
        self.numbers = np.zeros(len(found), np.int64)
        is_strong = found.scores >= settings.start
        strong = set(is_strong.nonzero()[0].tolist())
        weak = set((~is_strong & (found.scores >= settings.low)).nonzero()[0].tolist())
        seen = list(zip(found.boxes.tolist(), found.scores.tolist(), found.classes.tolist(), strict=True))
        pairs = self._pairs(found)
        self._match(pairs, strong, seen, settings.overlap)
        self._match(pairs, weak, seen, max(OVERLAP_WEAK, settings.overlap))
        self._match(pairs, strong, seen, OVERLAP_OTHER, any_class=True)
        for thing in self._things:
            if thing.predicted:
                thing.miss(self._now)
        self._things = [thing for thing in self._things if not self._is_over(thing)]
        for row in self._new(strong, found):
            self._last_id += 1
            self.numbers[row] = self._last_id
            self._things.append(_Thing(self._last_id, *seen[row], self._now))
        return self.tracks

    def predict(self, time: float) -> tuple[Track, ...]:
        """The things at a frame at which nobody looked: where they are expected."""
        self._move(time)
        return self.tracks

    @property
    def settled(self) -> bool:
        """Whether each thing was found at the last look, and not for the first times, or is still."""
        return all(thing.still or (not thing.misses and thing.hits >= SURE) for thing in self._things)

    def clear(self) -> None:
        """Forgets all things; their numbers are not used again."""
        self._things = []

    def _move(self, time: float) -> None:
        seconds = max(0.0, time - self._now)
        self._now = max(self._now, time)
        for thing in self._things:
            thing.move(seconds)

    def _pairs(self, found: Detections) -> list[_Pair]:
        """The things and boxes that may be the same, best overlap first."""
        if not self._things or not len(found):
            return []
        overlap = rectangles.iou(_boxes(self._things), found.boxes)
        things, boxes = (overlap >= min(self.settings.overlap, OVERLAP_OTHER)).nonzero()
        pairs = zip(overlap[things, boxes].tolist(), things.tolist(), boxes.tolist(), strict=True)
        return sorted(pairs, key=lambda pair: -pair[0])

    def _match(
        self, pairs: list[_Pair], boxes: set[int], seen: list[_Seen], least: float, *, any_class: bool = False
    ) -> None:
        """Gives some of the boxes to things that have none yet, best overlap first."""
        for overlap, number, row in pairs:
            thing = self._things[number]
            if not thing.predicted or row not in boxes or overlap < least:
                continue
            if any_class or thing.class_id == seen[row][2]:
                thing.see(*seen[row], self._now)
                self.numbers[row] = thing.id
                boxes.remove(row)

    def _is_over(self, thing: _Thing) -> bool:
        """Whether it was waited for long enough: no longer than it had been seen, and than is set."""
        keep = self.settings.keep
        patience = min(max(thing.seen - thing.since, min(YOUNG, keep)), keep)
        if thing.still:
            patience = max(self.settings.keep_still, keep)
        return thing.misses > 0 and self._now - thing.missed >= patience

    def _new(self, rows: set[int], found: Detections) -> list[int]:
        """Those of the boxes that are no second box of a thing: of one just seen, or of a better new one."""
        if not rows:
            return []
        new: list[int] = []
        known = _boxes(thing for thing in self._things if not thing.misses)
        for row in sorted(rows, key=lambda row: (-found.scores[row], row)):
            box = found.boxes[row : row + 1]
            if not (rectangles.iou(known, box) >= OVERLAP_OTHER).any():
                known = np.concatenate([known, box])
                new.append(row)
        return new

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The things, eldest first."""
        return tuple(thing.track() for thing in self._things)


_Pair: TypeAlias = tuple[float, int, int]
"""Overlap, place of a thing and row of a box."""
_Corners: TypeAlias = list[float]
"""x1 y1 x2 y2."""
_Seen: TypeAlias = tuple[_Corners, float, int]
"""Box, score and class of a detection."""


class _Thing:
    """What is known of one thing."""

    def __init__(self, number: int, corners: _Corners, score: float, class_id: int, now: float) -> None:
        x1, y1, x2, y2 = corners
        self.id = number
        self.width, self.height = x2 - x1, y2 - y1
        self.x, self.y = x1 + self.width / 2, y1 + self.height / 2  # of the centre
        self.speed_x = self.speed_y = 0.0  # pixels a second
        # covariance of place and speed, the same for x and y
        self.pp, self.pv, self.vv = (2 * MEASURED * self.height) ** 2, 0.0, self.height**2
        self.class_id, self.votes = class_id, score  # for the class, by score
        self.score = self.top_score = score
        self.since = self.seen = now
        self.missed = 0.0  # when the first look in a row found nothing
        self.hits, self.misses = 1, 0
        self.predicted = self.still = False
        self.place, self.placed = corners, now  # where it was when it last moved

    def move(self, seconds: float) -> None:
        """Predicts where it is; one that was not found slows down."""
        self.predicted = True
        if self.misses:
            slower = math.exp(-seconds)
            self.speed_x *= slower
            self.speed_y *= slower
        self.x += self.speed_x * seconds
        self.y += self.speed_y * seconds
        noise = (WANDERING * self.height) ** 2
        self.pp += 2 * seconds * self.pv + seconds**2 * self.vv + noise * seconds**3 / 3
        self.pv += seconds * self.vv + noise * seconds**2 / 2
        self.vv += noise * seconds

    def see(self, corners: _Corners, score: float, class_id: int, now: float) -> None:
        """Corrects it by the box that was found."""
        x1, y1, x2, y2 = corners
        width, height = x2 - x1, y2 - y1
        doubt = self.pp + (MEASURED * height) ** 2
        gain_place, gain_speed = self.pp / doubt, self.pv / doubt
        error_x, error_y = x1 + width / 2 - self.x, y1 + height / 2 - self.y
        self.x += gain_place * error_x
        self.y += gain_place * error_y
        self.speed_x += gain_speed * error_x
        self.speed_y += gain_speed * error_y
        self.width += 0.5 * (width - self.width)
        self.height += 0.5 * (height - self.height)
        self.vv -= gain_speed * self.pv
        self.pp *= 1 - gain_place
        self.pv *= 1 - gain_place
        self._vote(class_id, score)
        self.score, self.top_score = score, max(self.top_score, score)
        self.seen = now
        self.hits += 1
        self.misses = 0
        self.predicted = False
        self._rest(corners, now)

    def _vote(self, class_id: int, score: float) -> None:
        """The class of most boxes, weighed by score, holds (the majority vote of Boyer and Moore)."""
        self.votes += score if class_id == self.class_id else -score
        if self.votes < 0:
            self.class_id = class_id
        self.votes = min(abs(self.votes), 10.0)  # so that it can be outvoted in time

    def _rest(self, corners: _Corners, now: float) -> None:
        """Tells whether it has not moved for a while."""
        shared = _area(*map(max, self.place[:2], corners[:2]), *map(min, self.place[2:], corners[2:]))
        union = _area(*self.place) + _area(*corners) - shared
        if shared < STILL_OVERLAP * union:
            self.place, self.placed, self.still = corners, now, False
        else:
            self.still = self.still or now - self.placed >= STILL_AFTER

    def miss(self, now: float) -> None:
        """Notes that it was not found."""
        if not self.misses:
            self.missed = now
        self.misses += 1

    def corners(self) -> tuple[float, float, float, float]:
        """x1 y1 x2 y2."""
        x, y = self.width / 2, self.height / 2
        return self.x - x, self.y - y, self.x + x, self.y + y

    def track(self) -> Track:
        """It as a value."""
        return Track(
            self.id, self.corners(), self.class_id, self.score, self.top_score, self.since, self.seen,
            self.hits, self.misses, self.predicted, self.still,
        )  # fmt: skip


def _area(x1: float, y1: float, x2: float, y2: float) -> float:
    return max(0.0, x2 - x1) * max(0.0, y2 - y1)


def _boxes(things: Iterable[_Thing]) -> rectangles.Boxes:
    return np.array([thing.corners() for thing in things], np.float32).reshape(-1, 4)
