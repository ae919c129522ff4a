"""Tracker: which boxes of different frames are the same thing.

The idea is ByteTrack's: boxes with good scores are matched with known things first, what is left of
the things is looked for among the weak boxes, and weak boxes start nothing. Where a thing is expected
is predicted by a Kalman filter of constant velocity, as in SORT.

Source: Zhang et al., ByteTrack, arXiv:2110.06864, algorithm 1; Bewley et al., SORT, arXiv:1602.00763.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edge_detect import boxes as rectangles
from edge_detect.config import Tracker as Settings
from edge_detect.detections import Detections
from edge_detect.tracks import Track

Rows: TypeAlias = npt.NDArray[np.intp]
Floats: TypeAlias = npt.NDArray[np.float64]

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
    """The things that are known now, as arrays with a row for each.

    Attributes:
        settings: May be exchanged between two frames.
        numbers: (n,) of each box of the last look, the id of its thing; 0 for none.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.numbers: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._now = 0.0
        self._last_id = 0
        self._rows = _Table()

    def update(self, found: Detections, time: float) -> tuple[Track, ...]:
        """The things after a look, those that are waited for among them.

        Args:
            found: All boxes from `settings.low` on.
            time: Of the frame; one before that of the last frame counts as the same.
        """
        self._move(time)
        settings = self.settings
        self.numbers = np.zeros(len(found), np.int64)
        strong = np.flatnonzero(found.scores >= settings.start)
        weak = np.flatnonzero((found.scores < settings.start) & (found.scores >= settings.low))
        things: Rows = np.arange(len(self._rows))
        things, strong = self._match(things, strong, found, settings.overlap)
        things, weak = self._match(things, weak, found, max(OVERLAP_WEAK, settings.overlap))
        things, strong = self._match(things, strong, found, OVERLAP_OTHER, any_class=True)
        self._rows.miss(things, self._now)
        self._forget()
        self._begin(found, self._new(strong, found))
        return self.tracks

    def predict(self, time: float) -> tuple[Track, ...]:
        """The things at a frame at which nobody looked: where they are expected."""
        self._move(time)
        self._rows.predicted[:] = True
        return self.tracks

    @property
    def settled(self) -> bool:
        """Whether each thing was found at the last look, and not for the first times, or is still."""
        rows = self._rows
        return bool((((rows.misses == 0) & (rows.hits >= SURE)) | rows.still).all())

    def clear(self) -> None:
        """Forgets all things; their numbers are not used again."""
        self._rows = _Table()

    def _move(self, time: float) -> None:
        seconds = max(0.0, time - self._now)
        self._now = max(self._now, time)
        self._rows.move(seconds)

    def _match(
        self, things: Rows, found_rows: Rows, found: Detections, least: float, *, any_class: bool = False
    ) -> tuple[Rows, Rows]:
        """Gives boxes to things, best overlap first; returns the things and the boxes that are left."""
        if not len(things) or not len(found_rows):
            return things, found_rows
        rows = self._rows
        overlap = rectangles.iou(rows.boxes(things), found.boxes[found_rows])
        fits = overlap >= least
        if not any_class:
            fits &= rows.classes[things][:, None] == found.classes[found_rows][None, :]
        thing, box = np.nonzero(fits)
        order = (-overlap[thing, box]).argsort(kind="stable")
        pairs: dict[int, int] = {}
        taken: set[int] = set()
        for one, other in zip(thing[order].tolist(), box[order].tolist(), strict=True):
            if one not in pairs and other not in taken:
                pairs[one] = other
                taken.add(other)
        if not pairs:
            return things, found_rows
        mine, theirs = list(pairs), list(pairs.values())
        rows.see(things[mine], found.pick(found_rows[theirs]), self._now)
        self.numbers[found_rows[theirs]] = rows.ids[things[mine]]
        return np.delete(things, mine), np.delete(found_rows, theirs)

    def _new(self, found_rows: Rows, found: Detections) -> Rows:
        """Those of the boxes that are no second box of a thing: of one just seen, or of a better new one."""
        seen = np.flatnonzero(self._rows.misses == 0)
        new: list[int] = []
        known = self._rows.boxes(seen)
        for row in found_rows[(-found.scores[found_rows]).argsort(kind="stable")].tolist():
            box = found.boxes[row : row + 1]
            if not (rectangles.iou(known, box) >= OVERLAP_OTHER).any():
                known = np.concatenate([known, box])
                new.append(row)
        return np.array(new, np.intp)

    def _begin(self, found: Detections, found_rows: Rows) -> None:
        if len(found_rows):
            ids = self._last_id + 1 + np.arange(len(found_rows))
            self._last_id = int(ids[-1])
            self.numbers[found_rows] = ids
            self._rows.add(ids, found.pick(found_rows), self._now)

    def _forget(self) -> None:
        """Drops what was waited for long enough: no longer than it had been seen, and than is set."""
        rows = self._rows
        if (rows.misses == 0).all():
            return
        patience = np.clip(rows.seen - rows.since, min(YOUNG, self.settings.keep), self.settings.keep)
        patience[rows.still] = max(self.settings.keep_still, self.settings.keep)
        rows.keep((rows.misses == 0) | (self._now - rows.missed < patience))

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The things, eldest first."""
        return self._rows.tracks()


class _Table:
    """What is known of each thing, a row each; boxes as centre x, centre y, width, height."""

    def __init__(self) -> None:
        n = 0
        self.ids = np.zeros(n, np.int64)
        self.state = np.zeros((n, 4))
        self.speed = np.zeros((n, 2))  # of the centre, pixels a second
        self.spread = np.zeros((n, 3))  # covariance of place and speed, the same for x and y: pp, pv, vv
        self.classes = np.zeros(n, np.int64)
        self.votes = np.zeros(n)  # for the class, by score
        self.scores = np.zeros(n)
        self.top = np.zeros(n)
        self.since = np.zeros(n)
        self.seen = np.zeros(n)
        self.missed = np.zeros(n)  # when the first look in a row found nothing
        self.hits = np.zeros(n, np.int64)
        self.misses = np.zeros(n, np.int64)
        self.predicted = np.zeros(n, bool)
        self.still = np.zeros(n, bool)
        self.place = np.zeros((n, 4), np.float32)  # x1 y1 x2 y2 where it was at `placed`
        self.placed = np.zeros(n)

    def __len__(self) -> int:
        return len(self.ids)

    def boxes(self, rows: Rows) -> rectangles.Boxes:
        """x1 y1 x2 y2 of some rows."""
        return rectangles.from_centres(self.state[rows])

    def move(self, seconds: float) -> None:
        """Predicts all of them; one that was not found slows down."""
        if not len(self) or not seconds:
            return
        speed = self.speed * np.where(self.misses > 0, np.exp(-seconds), 1.0)[:, None]
        self.state[:, :2] += speed * seconds
        self.speed = speed
        noise = (WANDERING * self.state[:, 3]) ** 2
        pp, pv, vv = self.spread.T
        self.spread = np.stack(
            [
                pp + 2 * seconds * pv + seconds**2 * vv + noise * seconds**3 / 3,
                pv + seconds * vv + noise * seconds**2 / 2,
                vv + noise * seconds,
            ],
            1,
        )

    def see(self, rows: Rows, found: Detections, now: float) -> None:
        """Corrects some rows by the boxes that were found."""
        corners = found.boxes.astype(np.float64)
        size = corners[:, 2:] - corners[:, :2]
        centre = corners[:, :2] + size / 2
        pp, pv, vv = self.spread[rows].T
        gain_place, gain_speed = (one / (pp + (MEASURED * size[:, 1]) ** 2) for one in (pp, pv))
        error = centre - self.state[rows, :2]
        self.state[rows, :2] += gain_place[:, None] * error
        self.speed[rows] += gain_speed[:, None] * error
        self.state[rows, 2:] += 0.5 * (size - self.state[rows, 2:])
        kept = 1 - gain_place
        self.spread[rows] = np.stack([kept * pp, kept * pv, vv - gain_speed * pv], 1)
        self._vote(rows, found)
        self.scores[rows] = found.scores
        self.top[rows] = np.maximum(self.top[rows], found.scores)
        self.seen[rows] = now
        self.hits[rows] += 1
        self.misses[rows] = 0
        self.predicted[rows] = False
        self._rest(rows, found.boxes, now)

    def _vote(self, rows: Rows, found: Detections) -> None:
        """The class of most boxes, weighed by score, holds (the majority vote of Boyer and Moore)."""
        same = self.classes[rows] == found.classes
        votes = self.votes[rows] + np.where(same, found.scores, -found.scores)
        self.classes[rows] = np.where(votes < 0, found.classes, self.classes[rows])
        self.votes[rows] = np.minimum(np.abs(votes), 10.0)  # so that it can be outvoted in time

    def _rest(self, rows: Rows, corners: rectangles.Boxes, now: float) -> None:
        """Tells what has not moved for a while from what has."""
        place = self.place[rows]
        sides = np.minimum(place[:, 2:], corners[:, 2:]) - np.maximum(place[:, :2], corners[:, :2])
        shared = np.maximum(sides, 0).prod(1)
        union = rectangles.areas(place) + rectangles.areas(corners) - shared
        moved = shared < STILL_OVERLAP * union
        self.still[rows] = ~moved & (self.still[rows] | (now - self.placed[rows] >= STILL_AFTER))
        self.place[rows[moved]] = corners[moved]
        self.placed[rows[moved]] = now

    def miss(self, rows: Rows, now: float) -> None:
        """Notes that some were not found."""
        first = rows[self.misses[rows] == 0]
        self.missed[first] = now
        self.misses[rows] += 1
        self.predicted[rows] = True

    def add(self, ids: npt.NDArray[np.int64], found: Detections, now: float) -> None:
        """Begins a row for each box."""
        n = len(ids)
        corners = found.boxes.astype(np.float64)
        size = corners[:, 2:] - corners[:, :2]
        height = size[:, 1]
        new = {
            "ids": ids,
            "state": np.concatenate([corners[:, :2] + size / 2, size], 1),
            "speed": np.zeros((n, 2)),
            "spread": np.stack([(2 * MEASURED * height) ** 2, np.zeros(n), height**2], 1),
            "classes": found.classes,
            "votes": found.scores,
            "scores": found.scores,
            "top": found.scores,
            "since": np.full(n, now),
            "seen": np.full(n, now),
            "missed": np.zeros(n),
            "hits": np.ones(n, np.int64),
            "misses": np.zeros(n, np.int64),
            "predicted": np.zeros(n, bool),
            "still": np.zeros(n, bool),
            "place": found.boxes,
            "placed": np.full(n, now),
        }
        for name, values in vars(self).items():
            setattr(self, name, np.concatenate([values, new[name].astype(values.dtype)]))

    def keep(self, rows: npt.NDArray[np.bool_]) -> None:
        """Drops all others."""
        if not rows.all():
            for name, values in vars(self).items():
                setattr(self, name, values[rows])

    def tracks(self) -> tuple[Track, ...]:
        """All rows as values."""
        half = self.state[:, 2:] / 2
        corners = np.concatenate([self.state[:, :2] - half, self.state[:, :2] + half], 1)
        columns = (
            self.classes, self.scores, self.top, self.since, self.seen, self.hits, self.misses,
            self.predicted, self.still,
        )  # fmt: skip
        lists = (column.tolist() for column in columns)
        return tuple(
            Track(number, tuple(box), *rest)
            for number, box, *rest in zip(self.ids.tolist(), corners.tolist(), *lists, strict=True)
        )
