from __future__ import annotations

import threading
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import layouts
import numpy as np
import program
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_detect import config, detections, logs
from edge_detect.config import Config, Zone
from edge_detect.controls import Choice, Controls
from edge_detect.detections import Detections
from edge_detect.events import Event
from edge_detect.following import FOOTAGE, Clocks, Following, open_lines
from edge_detect.frame import Frame
from edge_detect.journal import Journal
from edge_detect.labels import Labels
from edge_detect.meter import Meter
from edge_detect.pipeline import watch
from edge_detect.rules import Origin
from edge_detect.scene import Scene
from edge_detect.sinks import tell

LABELS = ("person", "car")
LINE = Zone("gate", "line", ((0.5, 0.0), (0.5, 1.0)), anchor="centre")
ALWAYS = replace(Config(), motion=replace(config.Motion(), gate="off"))


class Time:
    """Clocks of a live source."""

    def __init__(self) -> None:
        self.now, self.ahead = 50.0, 1_790_000_000.0

    @property
    def clocks(self) -> Clocks:
        return Clocks(True, lambda: self.now, lambda: self.ahead + self.now, lambda: True)


class Heard(list[Event]):
    """A sink that keeps all events."""

    def write(self, scene: Scene) -> None:
        self.extend(scene.events)

    def tell(self, events: tuple[Event, ...]) -> None:
        self.extend(events)

    def close(self) -> None:
        """Nothing to close."""


def at(x: float) -> Detections:
    return detections.make([[x - 8, 30, x + 8, 70]], [0.8], [0])


def frame(time: float, number: int = 0) -> Frame:
    return Frame(np.zeros((100, 100, 3), np.uint8), time, number)


def follow(settings: Config = ALWAYS, time: Time | None = None, **more: Any) -> Following:
    clocks = time.clocks if time else FOOTAGE
    return Following(settings, LABELS, Origin("cam"), clocks, **more)


def walk(
    following: Following, xs: list[float], start: float = 0.0, controls: Controls | None = None
) -> list[Scene]:
    scenes = []
    for number, x in enumerate(xs):
        one = frame(start + number / 8, number)
        following.wants(one)
        scenes.append(following.scene(one, at(x), controls))
    return scenes


def events(scenes: list[Scene]) -> list[str]:
    return [f"{one.type} {one.kind}" for scene in scenes for one in scene.events if one.type != "update"]


def test_boxes_become_things_and_events() -> None:
    scenes = walk(follow(), [20.0] * 10)

    assert events(scenes) == ["start appeared"]
    assert scenes[-1].numbers == (1,)
    assert scenes[-1].tracks[0].id == 1
    assert scenes[-1].looked


@pytest.mark.parametrize(
    "asked, silent",
    [
        (Config(), False),
        (replace(Config(), output=config.Output(display=True, headless=True)), False),
        (replace(Config(), output=config.Output(json=True)), True),
        (replace(Config(), web=config.Web(listen="127.0.0.1:0")), True),
        (replace(Config(), webhook=config.Webhook(url="https://home.example/")), True),
    ],
    ids=["nothing", "no window", "lines", "page", "webhook"],
)
def test_a_run_that_tells_nobody_tells_the_log(
    asked: Config, silent: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    with ExitStack() as stack:
        sinks = open_lines(asked, stack)
        for scene in walk(follow(replace(ALWAYS, zones=(LINE,))), [30.0, 35, 40, 45, 50, 55, 60, 65, 70, 75]):
            tell(sinks, scene.events)

    assert caplog.messages == ([] if silent else ["person appeared", "person crossed gate out"])


def test_a_service_that_tells_nobody_leaves_the_journal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "to_journal", lambda: True)

    assert open_lines(Config(), ExitStack()) == []


def test_a_recording_counts_from_its_beginning() -> None:
    (start,) = [one for scene in walk(follow(), [20.0] * 10) for one in scene.events]

    assert (start.start_time, start.time) == ("1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00.500Z")
    assert not start.clock_synced


def test_a_recording_that_begins_again_goes_on() -> None:
    following = follow()
    scenes = walk(following, [20.0] * 10) + walk(following, [20.0] * 10)

    assert events(scenes) == ["start appeared"]
    assert following.close()[0].duration_s == pytest.approx(18 / 8)


def test_what_the_controls_leave_out_is_not_shown_but_followed_when_weak() -> None:
    following, controls = follow(), Controls(Choice(0.5), Labels(LABELS))
    weak = detections.make([[10, 30, 26, 70], [60, 30, 76, 70]], [0.8, 0.3], [0, 0])
    following.wants(frame(0))
    following.scene(frame(0), detections.make(weak.boxes, [0.8, 0.8], [0, 0]), controls)
    following.wants(frame(0.125))

    scene = following.scene(frame(0.125), weak, controls)
    assert len(scene.detections) == 1
    assert scene.numbers == (1,)
    assert [track.misses for track in scene.tracks] == [0, 0]


def test_a_class_that_is_not_wanted_is_not_followed() -> None:
    scenes = walk(follow(), [20.0] * 10, controls=Controls(Choice(0.2, ("car",)), Labels(LABELS)))

    assert events(scenes) == []
    assert scenes[-1].tracks == ()


def test_where_the_net_rests_the_things_are_where_they_are_expected() -> None:
    following = follow()
    walk(following, [20.0 + n for n in range(20)])
    following.wants(frame(2.5))
    scene = following.scene(frame(2.5), None)

    assert not scene.looked
    assert scene.numbers == (1,)
    assert scene.tracks[0].predicted
    assert scene.detections.boxes[0, 0] == pytest.approx(32, abs=1.5)


def test_a_pause_ends_what_has_begun() -> None:
    following = follow()
    walk(following, [20.0] * 10)

    assert [one.type for one in following.wait(paused=True)] == ["end"]
    assert following.wait(paused=True) == ()
    scenes = walk(following, [20.0] * 10, start=2.0)
    assert events(scenes) == ["start appeared"]
    assert scenes[-1].numbers == (2,)  # who knows who it is after a pause


def test_a_lost_camera_is_told_while_no_frame_comes_and_its_return_with_the_next() -> None:
    time, away = Time(), threading.Event()
    following = follow(time=time, lost=away.is_set)
    walk(following, [20.0] * 10, start=50.0)
    time.now = 60.0
    assert following.wait() == ()

    away.set()
    lost = following.wait()
    assert [(one.type, one.kind) for one in lost] == [("end", "appeared"), ("start", "camera_lost")]
    time.now = 72.0
    back = [one for scene in walk(following, [20.0], start=72.0) for one in scene.events]
    assert [(one.type, one.kind) for one in back] == [
        ("end", "camera_lost"), ("start", "camera_back"), ("end", "camera_back")
    ]  # fmt: skip
    assert back[0].duration_s == pytest.approx(12.0)


def test_a_camera_that_is_back_while_paused_is_told() -> None:
    away = threading.Event()
    following = follow(time=Time(), lost=away.is_set)
    away.set()
    following.wait()

    assert [(one.type, one.kind) for one in following.wait(paused=True)] == [
        ("end", "camera_lost"), ("start", "camera_back"), ("end", "camera_back")
    ]  # fmt: skip


@given(st.lists(st.sampled_from([0.0, 0.125, 0.125, 0.125, 5.0, -3.0, -1e6, 1e6]), max_size=60))
def test_whatever_the_time_of_frames_does_every_start_has_one_end_and_no_negative_duration(
    steps: list[float],
) -> None:
    following, told, time = follow(replace(ALWAYS, zones=(LINE,))), [], 0.0
    for number, step in enumerate(steps):
        time += step
        following.wants(frame(time))
        told += following.scene(frame(time), at(20.0 + 2 * (number % 30))).events
    told += following.close()

    starts = Counter(one.id for one in told if one.type == "start")
    assert starts == Counter(one.id for one in told if one.type == "end")
    assert all(number == 1 for number in starts.values())
    assert all(one.duration_s >= 0 for one in told)


def test_a_clock_that_is_set_in_between_changes_no_duration() -> None:
    time = Time()
    following = follow(time=time)
    (start,) = [one for scene in walk(following, [20.0] * 10, start=50.0) for one in scene.events]
    time.now, time.ahead = 52.0, 1.8e9
    (end,) = following.close()

    assert (start.time[:4], end.time[:4]) == ("2026", "2027")
    assert end.duration_s == pytest.approx(9 / 8)


def test_counts_survive_a_restart_and_a_crash_leaves_no_event_open(tmp_path: Path) -> None:
    time, settings = Time(), replace(ALWAYS, zones=(LINE,))
    killed = follow(settings, time, token="a", journal=Journal(tmp_path / "j"))
    (start,) = [
        one for scene in walk(killed, [20.0 + 2 * n for n in range(25)], start=50.0) for one in scene.events
        if (one.type, one.kind) == ("start", "appeared")
    ]  # fmt: skip

    again = follow(settings, time, token="b", journal=Journal(tmp_path / "j"))
    ends = again.begin()
    assert [(one.id, one.type) for one in ends] == [(start.id, "end")]
    assert again.begin() == ()
    assert again.counts()["lines"] == {"gate": {"person": {"in": 0, "out": 1}}}
    walk(again, [20.0 + 2 * n for n in range(25)], start=60.0)
    again.close()
    assert Journal(tmp_path / "j").counts == {("gate", "person", "out"): 2}


def test_zones_are_changed_in_a_run() -> None:
    following = follow()
    scenes = walk(following, [20.0] * 10)
    following.change(replace(ALWAYS, zones=(Zone("all", points=((0, 0), (1, 0), (1, 1), (0, 1))),)))

    assert "start entered" in events(walk(following, [20.0] * 10, start=2.0))
    assert "start entered" not in events(scenes)
    assert following.counts() == {"present": {"person": 1}, "zones": {"all": {"person": 1}}, "lines": {}}


def test_zones_may_come_from_elsewhere_at_any_time() -> None:
    now: list[tuple[Zone, ...]] = [()]
    following = follow(zones_now=lambda: now[0])
    walk(following, [20.0] * 10)
    now[0] = (Zone("all", points=((0, 0), (1, 0), (1, 1), (0, 1))),)

    assert "start entered" in events(walk(following, [20.0] * 10, start=2.0))


def test_all_listeners_are_told_in_their_order_though_one_fails() -> None:
    lengths: list[int] = []

    class Broken(Heard):
        def tell(self, events: tuple[Event, ...]) -> None:
            lengths.extend([len(heard), len(other)])
            raise OSError("full")

    following, heard, other = follow(), Heard(), Heard()
    walk(following, [20.0] * 10)
    with pytest.raises(OSError, match="full"):
        tell([heard, Broken(), other], following.close())

    assert [one.type for one in heard] == [one.type for one in other] == ["end"]
    assert lengths == [1, 0]


def test_the_loop_tells_sinks_of_everything_and_ends_what_is_open(open_detector: Any) -> None:
    detect, heard = open_detector(program.detector()), Heard()
    controls = Controls(Choice(0.2), Labels(LABELS))
    frames = [Frame(layouts.FRAME.image, number / 8, number) for number in range(20)]
    watch(
        [*frames[:10], None, *frames[10:]], detect, [heard], Meter(0), stop=threading.Event(), controls=controls,
        following=follow(),
    )  # fmt: skip

    assert [(one.type, one.kind, one.label) for one in heard] == [
        ("start", "appeared", "person"), ("start", "appeared", "car"),
        ("end", "appeared", "person"), ("end", "appeared", "car"),
    ]  # fmt: skip


def test_the_loop_looks_only_where_the_gate_says_so(open_detector: Any) -> None:
    detect, looked = open_detector(program.detector()), []

    class Kept(Heard):
        def write(self, scene: Scene) -> None:
            looked.append((scene.looked, len(scene.detections), detect.timing.invoke > 0))

    gated = replace(Config(), motion=replace(config.Motion(), gate="on"))
    frames = [Frame(layouts.FRAME.image, number / 8, number) for number in range(80)]
    watch(frames, detect, [Kept()], Meter(0), stop=threading.Event(), following=follow(gated))

    assert len(looked) == 80
    assert 4 <= sum(one[0] for one in looked) <= 25
    assert all(seen == 2 for _, seen, _ in looked)
    assert all(invoked == is_look for is_look, _, invoked in looked)
