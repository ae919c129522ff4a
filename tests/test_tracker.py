from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from crowd import Look, measure, scenes

from edge_detect import config, detections
from edge_detect.detections import Detections
from edge_detect.tracker import Tracker
from edge_detect.tracks import Track

FPS = 10


def box(x: float, y: float = 100.0, width: float = 40.0, height: float = 100.0) -> list[float]:
    return [x, y, x + width, y + height]


def found(*boxes: list[float], score: float = 0.8, classes: Any = None) -> Detections:
    return detections.make(boxes, [score] * len(boxes), classes or [0] * len(boxes))


def follow(looks: list[Detections | None], tracker: Tracker | None = None) -> list[tuple[Track, ...]]:
    """The tracks after each look at 10 frames a second; None is a frame at which nobody looked."""
    tracker = tracker or Tracker(config.Tracker())
    return [
        tracker.predict(number / FPS) if look is None else tracker.update(look, number / FPS)
        for number, look in enumerate(looks)
    ]


def ids(tracks: tuple[Track, ...]) -> list[int]:
    return [track.id for track in tracks]


def test_a_thing_that_moves_keeps_its_number() -> None:
    tracks = follow([found(box(10 * n)) for n in range(20)])

    assert {tuple(ids(one)) for one in tracks} == {(1,)}
    assert (tracks[-1][0].hits, tracks[-1][0].since, tracks[-1][0].seen) == (20, 0.0, 1.9)


def test_two_things_that_pass_each_other_keep_theirs() -> None:
    looks = [found(box(12 * n, 100), box(400 - 12 * n, 112)) for n in range(34)]

    last = follow(looks)[-1]
    assert ids(last) == [1, 2]
    assert last[0].box[0] > last[1].box[0]


@pytest.mark.parametrize("gap", [1, 5, 10])
def test_a_thing_that_is_missed_for_a_while_is_the_same_afterwards(gap: int) -> None:
    looks = [found(box(5 * n)) if not 20 <= n < 20 + gap else found() for n in range(40)]

    tracks = follow(looks)
    assert ids(tracks[20 + gap - 1]) == [1]
    assert tracks[20 + gap - 1][0].predicted
    assert ids(tracks[-1]) == [1]


def test_a_weak_box_keeps_a_thing_and_starts_none() -> None:
    looks = [found(box(0))] * 5 + [found(box(0), score=0.15)] * 5
    tracks = follow(looks)

    assert ids(tracks[-1]) == [1]
    assert tracks[-1][0].misses == 0
    assert follow([found(box(0), score=0.34)] * 5)[-1] == ()


def test_a_box_below_all_limits_counts_as_none() -> None:
    assert follow([found(box(0)), found(box(0), score=0.09)])[-1][0].misses == 1


def test_between_two_looks_a_thing_is_where_it_is_expected() -> None:
    looks: list[Detections | None] = [found(box(10 * n)) for n in range(20)]
    tracks = follow([*looks, None, None])

    (last,) = tracks[-1]
    assert last.predicted
    assert last.misses == 0
    assert last.box[0] == pytest.approx(210, abs=3)


def test_a_thing_seen_once_is_not_waited_for_as_long_as_one_that_stayed() -> None:
    once = follow([found(box(0)), *[found()] * 6])
    long = follow([*[found(box(n)) for n in range(20)], *[found()] * 15, *[found()] * 10])

    assert ids(once[-2]) == [1]
    assert ids(once[-1]) == []
    assert ids(long[34]) == [1]
    assert ids(long[-1]) == []


def test_a_parked_car_is_waited_for_longer() -> None:
    looks = [found(box(0))] * 40 + [found()] * 300 + [found(box(0))]

    tracks = follow(looks)
    assert tracks[39][0].still
    assert ids(tracks[-1]) == [1]
    assert ids(follow([*[found(box(0))] * 40, *[found()] * 302])[-1]) == []


def test_what_moves_is_not_still() -> None:
    assert not any(one[0].still for one in follow([found(box(3 * n)) for n in range(60)]))


def test_one_thing_under_two_names_is_one() -> None:
    both = found(box(0), box(1), classes=[0, 3])

    assert len(follow([both] * 5)[-1]) == 1


def test_the_name_that_most_looks_give_wins() -> None:
    looks = [found(box(0), classes=[3])] + [found(box(0), classes=[0])] * 3

    tracks = follow(looks)
    assert [(one[0].id, one[0].class_id) for one in tracks] == [(1, 3), (1, 3), (1, 0), (1, 0)]


def test_the_number_of_each_box_is_told() -> None:
    tracker = Tracker(config.Tracker())
    tracker.update(found(box(0), box(300)), 0.0)
    look = detections.make([box(300), box(600), box(0)], [0.8, 0.2, 0.8], [0, 0, 0])

    tracker.update(look, 0.1)
    assert tracker.numbers.tolist() == [2, 0, 1]


def test_a_time_that_goes_back_does_no_harm() -> None:
    tracker = Tracker(config.Tracker())
    for time in (5.0, 5.1, 1.0, 5.2):
        tracks = tracker.update(found(box(0)), time)

    assert ids(tracks) == [1]
    assert np.isfinite(tracks[0].box).all()


def test_nothing_is_settled_before_it_was_seen_some_times() -> None:
    tracker = Tracker(config.Tracker())

    told = []
    for n in range(6):
        tracker.update(found(box(9 * n)), n / FPS)
        told.append(tracker.settled)
    assert told == [False] * 4 + [True] * 2
    tracker.update(found(), 0.6)
    assert not tracker.settled


def test_after_a_clear_numbers_go_on() -> None:
    tracker = Tracker(config.Tracker())
    tracker.update(found(box(0)), 0.0)
    tracker.clear()

    assert ids(tracker.update(found(box(0)), 0.1)) == [2]


def ours(looks: list[Look]) -> Iterator[tuple[Any, Any]]:
    tracker = Tracker(config.Tracker())
    for number, look in enumerate(looks):
        tracks = [
            track for track in tracker.update(look.found, number / 15) if track.hits >= 3 and not track.misses
        ]
        yield [track.box for track in tracks], ids(tuple(tracks))


def theirs(looks: list[Look]) -> Iterator[tuple[Any, Any]]:
    import supervision
    from trackers import ByteTrackTracker

    tracker = ByteTrackTracker(
        30, 15.0, track_activation_threshold=0.4, minimum_consecutive_frames=3, high_conf_det_threshold=0.4
    )
    for look in looks:
        given = supervision.Detections(
            look.found.boxes, confidence=look.found.scores, class_id=look.found.classes
        )
        told = tracker.update(given)
        sure = told.tracker_id >= 0
        yield told.xyxy[sure], told.tracker_id[sure].tolist()


def test_a_crowd_keeps_its_numbers() -> None:
    scores = [measure(looks, ours(looks)) for looks in (scenes(seed) for seed in range(3))]

    assert min(score.mota for score in scores) >= 0.75


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("trackers"), reason="needs trackers (pip install trackers)")
@pytest.mark.filterwarnings("ignore")
def test_identities_are_kept_as_well_as_by_another_bytetrack() -> None:
    crowds = [scenes(seed, misses=misses) for seed in range(8) for misses in (0.05, 0.2)]

    our_scores = [measure(looks, ours(looks)) for looks in crowds]
    their_scores = [measure(looks, theirs(looks)) for looks in crowds]

    print("switches", sum(s.switches for s in our_scores), sum(s.switches for s in their_scores))
    print("MOTA", np.mean([s.mota for s in our_scores]), np.mean([s.mota for s in their_scores]))
    assert sum(s.switches for s in our_scores) <= sum(s.switches for s in their_scores)
    assert np.mean([s.mota for s in our_scores]) >= np.mean([s.mota for s in their_scores])
