from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import layouts
import numpy as np
import program
import pytest
from layouts import assert_found

from edge_detect.config import Privacy
from edge_detect.controls import Choice, Controls
from edge_detect.detector import Detector
from edge_detect.errors import SinkError, SourceError
from edge_detect.frame import Frame
from edge_detect.heartbeats import Heartbeats
from edge_detect.labels import Labels
from edge_detect.meter import Meter
from edge_detect.newest import Newest
from edge_detect.pipeline import frames_of, watch
from edge_detect.scene import Scene
from edge_detect.sources.pattern import Pattern
from edge_detect.veil import Veil

Open = Callable[..., Detector]
STREET = {"width": program.SIZE[0], "height": program.SIZE[1]}


@pytest.fixture
def detect(open_detector: Open) -> Detector:
    return open_detector(program.detector())


class Kept(list[Scene]):
    """A sink that keeps every scene; it can be told to fail."""

    def __init__(self, fails_at: int = -1) -> None:
        self._fails_at = fails_at

    def write(self, scene: Scene) -> None:
        if len(self) == self._fails_at:
            raise SinkError("o.mp4: disk full")
        self.append(scene)

    def close(self) -> None:
        """Nothing to close."""


class Camera:
    """Yields what it is given, raises the errors among it, and knows whether it is open."""

    live, fps, patience, freeze, reopens = False, 0.0, 5.0, 0.0, False

    def __init__(self, *given: Any) -> None:
        self.given, self.open = given, False

    def __iter__(self) -> Iterator[Frame]:
        self.open = True
        try:
            for one in self.given:
                if isinstance(one, Exception):
                    raise one
                yield one
        finally:
            self.open = False


def frame(number: int) -> Frame:
    return Frame(layouts.FRAME.image, number / 25, number)


def test_every_frame_of_a_recording_reaches_every_sink(detect: Detector) -> None:
    first, second = Kept(), Kept()
    with frames_of(Pattern(**STREET, fps=0, frames=5), "pattern:") as frames:
        count = watch(frames, detect, [first, second], Meter(0), stop=threading.Event())

    assert count == 5
    assert [scene.frame.number for scene in first] == list(range(5))
    assert all(one is other for one, other in zip(first, second, strict=True))
    for scene in first:
        assert_found(scene.detections, layouts.of_classes(0, 1), pixels=0.1)


def test_a_live_source_gives_its_newest_frames(detect: Detector) -> None:
    kept = Kept()
    with frames_of(Pattern(**STREET, fps=200), "pattern:", shrink=detect.shrink) as frames:
        assert isinstance(frames, Newest)
        watch(frames, detect, [kept], Meter(0, newest=frames), stop=threading.Event(), limit=5)

    assert all(one.frame.time < other.frame.time for one, other in pairwise(kept))
    assert all(scene.frame.small is not None for scene in kept)
    assert not any(thread.name.startswith("capture") for thread in threading.enumerate())


def test_the_limit_counts_frames(detect: Detector) -> None:
    kept = Kept()

    count = watch([frame(n) for n in range(9)], detect, [kept], Meter(0), stop=threading.Event(), limit=3)

    assert (count, len(kept)) == (3, 3)


def test_the_frame_after_the_limit_is_not_asked_for(detect: Detector) -> None:
    frames = iter([frame(0), frame(1), frame(2)])
    watch(frames, detect, [], Meter(0), stop=threading.Event(), limit=2)

    assert [one.number for one in frames] == [2]


def test_a_stop_ends_it_before_the_next_frame(detect: Detector) -> None:
    kept, stop = Kept(), threading.Event()

    def frames() -> Iterator[Frame]:
        yield frame(0)
        stop.set()
        yield frame(1)

    assert watch(frames(), detect, [kept], Meter(0), stop=stop) == 1


def test_a_moment_without_a_frame_is_not_counted(detect: Detector) -> None:
    idle: list[int] = []
    frames = [None, frame(0), None, frame(1)]

    count = watch(
        frames, detect, [], Meter(0), stop=threading.Event(), idle=lambda: idle.append(1)
    )  # fmt: skip

    assert (count, len(idle)) == (2, 2)


def test_only_what_the_controls_want_reaches_the_sinks(detect: Detector) -> None:
    kept, controls = Kept(), Controls(Choice(0.1), Labels(("person", "car")))
    changes: list[dict[str, Any]] = [{"classes": ["car"]}, {"classes": [], "confidence": 0.6}, {}]

    def frames() -> Iterator[Frame]:
        for number, change in enumerate(changes):
            controls.change(**change)
            yield frame(number)

    watch(frames(), detect, [kept], Meter(0), stop=threading.Event(), controls=controls)

    assert [scene.detections.classes.tolist() for scene in kept] == [[1], [0], [0]]
    assert detect.confidence == 0.6


def test_a_pause_takes_frames_and_looks_at_none(detect: Detector) -> None:
    kept, controls, unseen = Kept(), Controls(Choice(0.1), Labels(("person", "car"))), []
    pauses = [False, True, True, False]

    def frames() -> Iterator[Frame]:
        for number, paused in enumerate(pauses):
            controls.change(paused=paused)
            yield frame(number)

    meter = Meter(0)
    count = watch(
        frames(), detect, [kept], meter, stop=threading.Event(), controls=controls, unseen=unseen.append
    )  # fmt: skip

    assert [scene.frame.number for scene in kept] == [0, 3]
    assert [frame.number for frame in unseen] == [1, 2]
    assert (count, meter.report().frames) == (2, 2)


def test_what_nobody_may_see_is_hidden_from_sinks_and_in_a_pause(detect: Detector) -> None:
    controls, kept = Controls(Choice(0.2), Labels(("person", "car"))), Kept()
    unseen: list[Frame] = []
    veil = Veil(Privacy(no_pictures=True))

    def frames() -> Iterator[Frame]:
        for number, paused in enumerate([False, True]):
            controls.change(paused=paused)
            yield Frame(np.full((64, 96, 3), 200, np.uint8), 0.0, number)

    watch(
        frames(), detect, [kept], Meter(0), stop=threading.Event(), controls=controls, unseen=unseen.append, veil=veil
    )  # fmt: skip

    assert len(kept) == len(unseen) == 1
    assert not kept[0].frame.image.any()
    assert not unseen[0].image.any()


def test_the_meter_learns_how_long_everything_took(detect: Detector) -> None:
    meter = Meter(0)
    watch([frame(0), frame(1)], detect, [Kept()], meter, stop=threading.Event())

    health = meter.report()
    assert health.frames == 2
    assert min(health.prepare_ms, health.invoke_ms, health.decode_ms) > 0


def test_a_sink_that_fails_ends_the_run_and_closes_the_source(detect: Detector) -> None:
    camera, kept = Camera(frame(0), frame(1), frame(2)), Kept(fails_at=1)

    with pytest.raises(SinkError, match="disk full"), frames_of(camera, "camera") as frames:
        watch(frames, detect, [kept], Meter(0), stop=threading.Event())

    assert (len(kept), camera.open) == (1, False)


def test_a_sink_that_fails_keeps_no_scene_from_the_others_and_they_get_it_in_order(detect: Detector) -> None:
    order: list[str] = []

    class Ordered(Kept):
        def write(self, scene: Scene) -> None:
            order.append("first" if self is first else "last")
            super().write(scene)

    first, last = Ordered(fails_at=0), Ordered()
    with pytest.raises(SinkError, match="disk full"):
        watch([frame(0)], detect, [first, last], Meter(0), stop=threading.Event())

    assert (order, len(last)) == (["first", "last"], 1)


def test_a_source_that_fails_is_closed_after_the_frames_it_gave(detect: Detector) -> None:
    camera, kept = Camera(frame(0), SourceError("clip.mp4: damaged")), Kept()

    with pytest.raises(SourceError, match="damaged"), frames_of(camera, "camera") as frames:
        watch(frames, detect, [kept], Meter(0), stop=threading.Event())

    assert (len(kept), camera.open) == (1, False)


def test_a_recording_that_was_not_read_to_its_end_is_closed() -> None:
    camera = Camera(frame(0), frame(1))
    with frames_of(camera, "camera") as frames:
        next(iter(frames))
        assert camera.open

    assert not camera.open


class Beats(Heartbeats):
    """Keeps who beat, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.beaten: list[str] = []

    def beat(self, part: str) -> None:
        self.beaten.append(part)
        super().beat(part)


def test_inference_and_outputs_tell_that_they_move_with_and_without_a_frame(detect: Detector) -> None:
    beats = Beats()
    watch([frame(0), None], detect, [Kept()], Meter(0), stop=threading.Event(), heartbeats=beats)

    assert beats.beaten == ["inference", "outputs"] * 2


def test_an_output_that_hangs_is_silent_for_longer_than_the_inference(detect: Detector) -> None:
    beats, seen = Heartbeats(), []

    class Hanging(Kept):
        def write(self, scene: Scene) -> None:
            seen.append(beats.ages())

    watch([frame(0)], detect, [Hanging()], Meter(0), stop=threading.Event(), heartbeats=beats)

    assert seen[0]["outputs"] > seen[0]["inference"]
