from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_detect import config, detections, rules
from edge_detect.config import Zone
from edge_detect.errors import ConfigError
from edge_detect.events import KINDS, Event
from edge_detect.moment import Moment
from edge_detect.rules import Origin, Rules
from edge_detect.tracker import Tracker

SIZE = (100, 100)
ALL = replace(config.Events(), kinds=KINDS, every=0.0)
RIGHT = Zone("right", points=((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)))
MIDDLE = Zone("middle", "line", ((0.5, 0.0), (0.5, 1.0)), anchor="centre")
WALL = 1_790_000_000.0


class Street:
    """Tracker and rules over frames that come eight times a second."""

    def __init__(self, settings: config.Events = ALL, *places: Zone, **more: Any) -> None:
        self.rules = Rules(settings, places, ["person", "car"], Origin("cam", "pi"), **more)
        self.tracker = Tracker(replace(config.Tracker(), keep=1.0))
        self.now = 100.0

    def see(
        self, *boxes: list[float], score: float = 0.8, classes: Any = None, wall: float = WALL
    ) -> list[Event]:
        """A look; the boxes are in pixels of `SIZE`."""
        self.now += 0.125
        found = detections.make(boxes, [score] * len(boxes), classes or [0] * len(boxes))
        return list(self.rules.judge(self.tracker.update(found, self.now), SIZE, self.moment(wall)))

    def moment(self, wall: float = WALL) -> Moment:
        return Moment(self.now, wall + self.now, True)

    def walk(self, places: Iterable[float | None], **how: Any) -> list[Event]:
        """A thing at one x after another; None: it is not seen."""
        return [event for x in places for event in self.see(*([] if x is None else [at(x)]), **how)]


def at(x: float) -> list[float]:
    return [x - 5, 40, x + 5, 60]


def words(events: Iterable[Event]) -> list[str]:
    return [f"{one.type} {one.kind}{' ' + one.zone if one.zone else ''}" for one in events]


def test_who_comes_and_goes_is_told_once() -> None:
    street = Street(config.Events())
    told = street.walk([20.0] * 20 + [None] * 20)

    assert words(told) == ["start appeared", "end appeared"]
    start, end = told
    assert (start.id, start.label, start.track_id, start.source, start.node) == (
        end.id,
        "person",
        1,
        "cam",
        "pi",
    )
    assert start.duration_s == pytest.approx(0.5)
    assert end.duration_s == pytest.approx(2.375)
    assert start.box == (0.15, 0.4, 0.25, 0.6)


def test_all_kinds_of_a_visit_come_in_order() -> None:
    street = Street(ALL, replace(RIGHT, stay=1.0), MIDDLE)
    told = street.walk([*range(10, 90, 2), *[90] * 10, *range(90, 10, -2), *[None] * 20])

    assert words(told) == [
        "start appeared",
        "start entered right", "start crossed middle", "end crossed middle",
        "start stayed right",
        "end entered right", "start left right", "end left right", "end stayed right",
        "start crossed middle", "end crossed middle",
        "end appeared", "start gone", "end gone",
    ]  # fmt: skip
    moments = [one for one in told if one.kind in ("crossed", "left", "gone")]
    assert {one.duration_s for one in moments} == {0.0}
    assert [one.direction for one in told if one.kind == "crossed"] == ["out", "out", "in", "in"]
    assert street.rules.counts == {("middle", "person", "out"): 1, ("middle", "person", "in"): 1}


@pytest.mark.parametrize(
    "looks, confirmed",
    [("111", False), ("111111", True), ("1001001001", False), ("10101011", True), ("1110000000000", False)],
)
def test_a_thing_counts_when_it_was_seen_often_enough(looks: str, confirmed: bool) -> None:
    told = Street(config.Events()).walk([20.0 if look == "1" else None for look in looks])

    assert bool(told) == confirmed


def test_a_thing_that_is_not_sure_is_not_told() -> None:
    assert Street(ALL).walk([20.0] * 30, score=0.39) == []
    assert Street(replace(ALL, confidence=0.9)).walk([20.0] * 30) == []
    assert Street(replace(ALL, thresholds=("person=0.9",))).walk([20.0] * 30) == []
    assert words(Street(replace(ALL, thresholds=("car=0.9",))).walk([20.0] * 30)) == ["start appeared"]


def test_a_thing_of_the_wrong_size_is_not_told() -> None:
    assert Street(replace(ALL, min_size=0.03)).walk([20.0] * 30) == []
    assert Street(replace(ALL, max_size=0.01)).walk([20.0] * 30) == []
    assert Street(ALL, replace(RIGHT, min_size=0.03)).walk([80.0] * 30)[-1].kind == "appeared"


def test_a_zone_is_for_its_classes_and_its_own_confidence() -> None:
    for zone in (replace(RIGHT, classes=("car",)), replace(RIGHT, confidence=0.9)):
        assert words(Street(ALL, zone).walk([80.0] * 30)) == ["start appeared"]
    assert (
        words(Street(ALL, replace(RIGHT, classes=("person",))).walk([80.0] * 30))[-1] == "start entered right"
    )


def test_a_step_over_the_edge_and_back_is_no_visit_of_a_zone() -> None:
    told = Street(ALL, RIGHT, MIDDLE).walk([*[48.0] * 10, *[51.0, 51.0, 48.0] * 5])

    assert words(told) == ["start appeared"]


def test_who_is_cut_off_by_the_lower_edge_is_in_a_zone_that_reaches_it() -> None:
    street = Street(config.Events(), RIGHT)
    told = [one for _ in range(20) for one in street.see([70, 40, 80, 100])]

    assert words(told) == ["start appeared", "start entered right"]


def test_what_has_stayed_is_told_once() -> None:
    told = Street(ALL, replace(RIGHT, stay=1.0)).walk([80.0] * 50)

    assert words(told) == ["start appeared", "start entered right", "start stayed right"]
    assert told[-1].duration_s == pytest.approx(1.0)


def test_a_cool_down_delays_what_lasts_and_drops_what_does_not() -> None:
    street = Street(replace(ALL, cooldown=5.0), MIDDLE)
    first = street.walk([20.0] * 10)
    street.walk([None] * 20)
    second = street.walk([20.0] * 30)

    assert words(first) == ["start appeared"]
    assert words(second) == ["start appeared"]
    told = street.walk([*range(20, 80, 2), *range(80, 20, -2)])
    assert words(told) == ["start crossed middle", "end crossed middle"]
    assert sum(street.rules.counts.values()) == 2


def test_a_zone_may_have_its_own_cool_down() -> None:
    street = Street(replace(ALL, cooldown=60.0), replace(MIDDLE, cooldown=0.0))

    told = street.walk([*range(20, 80), *range(80, 20, -1)])
    assert words(told).count("start crossed middle") == 2


def test_updates_come_now_and_then_and_when_zones_change() -> None:
    street = Street(replace(ALL, every=2.0, kinds=("appeared",)), RIGHT)

    told = street.walk([20.0] * 40 + [80.0 - n for n in range(60, -1, -3)])
    assert words(told)[:2] == ["start appeared", "update appeared"]
    assert told[1].time > told[0].time
    assert [one.zones for one in told if one.type == "update"][-1] == ("right",)
    assert len({one.id for one in told}) == 1


def test_a_lost_camera_ends_all_and_is_an_event_itself() -> None:
    street = Street(ALL, RIGHT)
    street.walk([80.0] * 10)

    lost = street.rules.camera(street.moment(), lost=True)
    assert words(lost) == [
        "end entered right", "start left right", "end left right", "end appeared", "start gone", "end gone",
        "start camera_lost",
    ]  # fmt: skip
    assert street.rules.camera(street.moment(), lost=True) == ()
    street.now += 7
    back = street.rules.camera(street.moment(), lost=False)
    assert words(back) == ["end camera_lost", "start camera_back", "end camera_back"]
    assert back[0].id == lost[-1].id
    assert back[0].duration_s == pytest.approx(7)
    assert (back[0].label, back[0].box, back[0].track_id) == ("", (), 0)
    assert street.rules.camera(street.moment(), lost=False) == ()


def test_what_the_camera_does_is_told_within_a_cool_down_too() -> None:
    street = Street(replace(ALL, cooldown=60.0))
    told = [street.rules.camera(street.moment(), lost=lost) for lost in (True, False, True, False)]

    assert [len(events) for events in told] == [1, 3, 1, 3]


def test_of_what_is_not_seen_there_is_no_news() -> None:
    street = Street(replace(ALL, every=0.1, kinds=("appeared",)))
    told = street.walk([20.0] * 10)

    assert "update appeared" in words(told)
    assert street.walk([None] * 5) == []


def test_the_end_of_a_run_ends_everything() -> None:
    street = Street(config.Events(), RIGHT)
    street.walk([80.0] * 10)

    assert words(street.rules.finish(street.moment())) == ["end entered right", "end appeared"]
    assert street.rules.finish(street.moment()) == ()


def test_a_zone_that_is_taken_away_is_left() -> None:
    street = Street(config.Events(), RIGHT)
    street.walk([80.0] * 10)
    street.rules.change(config.Events(), [MIDDLE])

    assert words(street.walk([80.0]))[0] == "end entered right"
    assert street.rules.inside == {}


def test_a_zone_that_becomes_a_line_is_left() -> None:
    street = Street(config.Events(), RIGHT)
    street.walk([80.0] * 10)
    street.rules.change(config.Events(), [replace(RIGHT, kind="line")])

    assert words(street.walk([80.0]))[0] == "end entered right"


def test_zones_that_are_put_back_before_the_next_look_were_never_left() -> None:
    street = Street(config.Events(), RIGHT)
    street.walk([80.0] * 10)
    street.rules.change(config.Events(), [])
    street.rules.change(config.Events(), [RIGHT])

    assert "end entered right" not in words(street.walk([80.0] * 10))


def test_a_line_that_comes_back_was_not_crossed_before() -> None:
    street = Street(ALL, MIDDLE)
    street.walk([30.0] * 10)
    street.rules.change(ALL, [])
    street.walk(range(31, 71))
    street.rules.change(ALL, [MIDDLE])

    assert words(street.walk([70.0] * 10)) == []
    assert words(street.walk(range(69, 30, -1))) == ["start crossed middle", "end crossed middle"]


def test_who_is_here_is_counted() -> None:
    street = Street(config.Events(), RIGHT)
    for _ in range(10):
        street.see(at(20), at(80), classes=[0, 1])

    assert street.rules.present == {"person": 1, "car": 1}
    assert street.rules.inside == {"right": {"car": 1}}


def test_counts_go_on_from_those_of_earlier_runs() -> None:
    street = Street(ALL, MIDDLE, counts={("middle", "person", "out"): 41})
    street.walk([float(x) for x in range(20, 80)])

    assert street.rules.counts == {("middle", "person", "out"): 42}


def test_stamps_are_utc_and_durations_do_not_follow_them() -> None:
    street = Street(config.Events())
    told = street.walk([20.0] * 10)
    told += street.walk([None] * 20, wall=WALL - 86400)

    assert told[0].start_time == "2026-09-21T14:15:00.125Z"
    assert told[1].time < told[0].time
    assert told[1].duration_s == pytest.approx(1.125)
    assert told[0].id.startswith("20260921T141500.125Z-0-")


def test_an_event_that_a_crash_left_open_is_closed() -> None:
    (start,) = Street(config.Events()).walk([20.0] * 10)

    end = rules.interrupted(start, Moment(0.0, WALL + 999))
    assert (end.id, end.type, end.duration_s, end.clock_synced) == (start.id, "end", start.duration_s, False)


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"kinds": ("apeared",)}, "events.kinds: unknown kind 'apeared', did you mean 'appeared'?"),
        ({"hits": 6}, "events.hits: expected 5 or less, as among says, got 6"),
        ({"min_size": 0.5, "max_size": 0.1}, "events.min_size: expected max_size or less, got 0.5"),
        ({"thresholds": ("cat",)}, "events.thresholds: expected a class and a number from 0 to 1, 'cat=0.6', got 'cat'"),
        ({"thresholds": ("cra=1",)}, "events.thresholds: unknown class 'cra', did you mean 'car'?"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_told_and_change_nothing(wrong: dict[str, Any], said: str) -> None:
    street = Street(config.Events())
    with pytest.raises(ConfigError) as caught:
        street.rules.change(replace(config.Events(), **wrong), ())

    assert str(caught.value) == said
    assert words(street.walk([20.0] * 10)) == ["start appeared"]


FRAMES = st.lists(
    st.tuples(
        st.lists(
            st.tuples(st.integers(0, 9), st.integers(0, 1), st.sampled_from([0.15, 0.5, 0.9])), max_size=3
        ),
        st.sampled_from([0.1, 0.1, 0.1, 0.0, 0.3, 2.0, 40.0]),  # seconds to the next frame
        st.sampled_from([0.0, 0.0, 0.0, 3600.0, -86400.0]),  # of a jump of the wall clock
        st.sampled_from(["look", "look", "look", "look", "rest", "lost", "finish"]),
    ),
    max_size=120,
)


@given(FRAMES, st.sampled_from([0.0, 0.7, 5.0]), st.sampled_from([1, 3]))
def test_whatever_happens_every_start_has_one_end(frames: Any, cooldown: float, hits: int) -> None:
    settings = replace(ALL, cooldown=cooldown, hits=hits, min_duration=0.1, every=1.0)
    street = Street(settings, replace(RIGHT, stay=0.3, inertia=1), replace(MIDDLE, inertia=1))
    wall, told, starts = WALL, [], {}
    for number, (others, step, jump, act) in enumerate(frames):
        things = [(2 + number % 20 * 0.3, 0, 0.9), *others]  # one of them walks
        street.now, wall = street.now + step, wall + jump
        moment = Moment(street.now, wall + street.now)
        if act in ("lost", "finish"):
            news = street.rules.camera(moment, lost=True) if act == "lost" else street.rules.finish(moment)
            street.tracker.clear()
        else:
            found = detections.make(
                [at(10 * x + 5) for x, _, _ in things], [s for _, _, s in things], [c for _, c, _ in things]
            )
            looked = act == "look"
            tracks = (
                street.tracker.update(found, street.now) if looked else street.tracker.predict(street.now)
            )
            news = street.rules.camera(moment, lost=False)
            news += street.rules.judge(tracks, SIZE, moment, looked=looked)
        for one in news:
            key = (one.kind, one.label, one.zone)
            if one.type == "start" and not one.kind.startswith("camera"):
                assert street.now - starts.get(key, -1e9) >= cooldown
                starts[key] = street.now
        told += news
    told += street.rules.finish(Moment(street.now, wall))

    by_id: dict[str, list[Event]] = {}
    for one in told:
        by_id.setdefault(one.id, []).append(one)
        assert one.duration_s >= 0
    for words_of_one in by_id.values():
        types = [one.type for one in words_of_one]
        assert (types[0], types[-1]) == ("start", "end")
        assert Counter(types)["start"] == Counter(types)["end"] == 1
        assert len({(one.kind, one.label, one.zone, one.start_time) for one in words_of_one}) == 1
