from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from waiting import take, wait_until

from edge_detect.errors import EdgeDetectError, InputMissing, SourceError, SourceHangs, SourceLost
from edge_detect.frame import Frame, Image
from edge_detect.heartbeats import Heartbeats
from edge_detect.newest import Newest

QUICK = (0.01, 0.02)
CUT = SourceError("camera: the cable was cut")


class Still(list[Image]):
    """Pictures that a camera shows in turn for ever."""


class Silence(list[None]):
    """A camera that says for ever that no frame came."""


@dataclass
class Camera:
    """A source that does, in each opening, what it was told; the last time for ever.

    Attributes:
        openings: Steps of each opening: a number of frames, a frame, an error, an event to wait
            for, `Still` or `Silence`.
        opened: When it was opened, each time.
        closed: How often it was closed.
    """

    openings: tuple[list[Any], ...]
    patience: float = 5.0
    freeze: float = 0.0
    reopens: bool = True
    opened: list[float] = field(default_factory=list)
    closed: int = 0
    live = True
    fps = 0.0

    def __iter__(self) -> Iterator[Frame | None]:
        steps = self.openings[min(len(self.opened), len(self.openings) - 1)]
        self.opened.append(time.monotonic())
        try:
            for number, picture in enumerate(picture for step in steps for picture in play(step)):
                if isinstance(picture, Frame) or picture is None:
                    yield picture
                else:
                    yield Frame(picture, time.monotonic(), number)
        finally:
            self.closed += 1

    @property
    def waits(self) -> list[float]:
        """Seconds from each opening to the next."""
        return [after - before for before, after in pairwise(self.opened)]


def play(step: Any) -> Iterator[Image | Frame | None]:
    if isinstance(step, BaseException):
        raise step
    if isinstance(step, threading.Event):
        assert step.wait(5)
    elif isinstance(step, Still | Silence):
        while True:
            time.sleep(0.002)
            yield from step
    elif isinstance(step, Frame):
        yield step
    else:
        yield from np.random.default_rng().integers(0, 256, (step, 4, 4, 3), np.uint8)


def gray(value: int = 0, number: int = 0) -> Frame:
    return Frame(np.full((32, 32, 3), value, np.uint8), 0.0, number)


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """The point at which a camera stays until the end of the test."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def newest(held: threading.Event) -> Iterator[Callable[..., Newest]]:
    """Opens a camera as the program does."""
    opened: list[Newest] = []

    def open_camera(camera: Camera, **options: Any) -> Newest:
        opened.append(Newest(camera, "camera", **({"back_off": QUICK} | options)))
        return opened[-1]

    yield open_camera
    held.set()
    for each in opened:
        each.close()


Open = Callable[..., Newest]
Log = pytest.LogCaptureFixture


def told(caplog: Log) -> list[str]:
    """What the log says of the camera, without the seconds."""
    return [record.getMessage().partition(" after ")[0] for record in caplog.records]


def test_slow_reader_gets_the_newest_frame(newest: Open, held: threading.Event) -> None:
    frames = newest(Camera(([5, held],)))
    wait_until(lambda: frames.captured == 5)

    assert [frame.number for frame in take(frames)] == [4]
    assert frames.dropped == 4


def test_each_frame_is_taken_or_counted_as_dropped(newest: Open) -> None:
    seen, numbers = threading.Event(), []
    frames = newest(Camera(([50, seen, 50],), reopens=False))
    for frame in frames:
        if frame is not None:
            numbers.append(frame.number)
            seen.set()
            wait_until(lambda: frames.captured == 100)

    assert frames.captured == 100 == len(numbers) + frames.dropped
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 99


def test_no_frame_for_a_moment_is_none(newest: Open, held: threading.Event) -> None:
    assert next(iter(newest(Camera(([held],))))) is None


def test_end_of_a_source_that_does_not_reopen_ends_the_loop(newest: Open) -> None:
    camera = Camera(([3],), reopens=False)

    assert [frame.number for frame in newest(camera) if frame][-1] == 2
    assert (len(camera.opened), camera.closed) == (1, 1)


@pytest.mark.parametrize("error, reopens", [(CUT, False), (ZeroDivisionError("a bug"), True)], ids=str)
def test_error_comes_after_the_last_good_frame(newest: Open, error: Exception, reopens: bool) -> None:
    numbers: list[int] = []

    def watch() -> None:
        for frame in newest(Camera(([1, error],), reopens=reopens)):
            numbers.extend([frame.number] if frame else [])

    with pytest.raises(type(error)) as caught:
        watch()

    assert caught.value is error
    assert numbers == [0]


@pytest.mark.parametrize("error", [InputMissing("no such camera"), CUT], ids=str)
def test_camera_that_cannot_be_opened_at_first_is_told_at_once(newest: Open, error: EdgeDetectError) -> None:
    camera = Camera(([error],))

    with pytest.raises(type(error)) as caught:
        take(newest(camera))

    assert caught.value is error
    assert len(camera.opened) == 1


def test_camera_that_is_missing_from_the_start_is_waited_for_by_a_service(
    newest: Open, held: threading.Event, caplog: Log
) -> None:
    missing = InputMissing("no such camera")
    frames = newest(Camera(([missing], [missing], [1, held])), replaceable=True)
    take(frames)

    assert told(caplog) == ["camera lost: no such camera", "camera back: camera"]
    assert not frames.lost


def test_camera_that_is_missing_from_the_start_may_come_too_late(newest: Open) -> None:
    with pytest.raises(SourceLost, match="camera: no frame for 0 s, gave up"):
        take(newest(Camera(([InputMissing("no such camera")],)), replaceable=True, give_up=0.05))


def test_camera_that_refuses_a_service_at_first_is_told_at_once(newest: Open) -> None:
    with pytest.raises(SourceError, match="the cable was cut"):
        take(newest(Camera(([CUT],)), replaceable=True))


def test_lost_camera_is_opened_again_and_both_are_told_once(
    newest: Open, held: threading.Event, caplog: Log
) -> None:
    camera = Camera(([1, CUT], [CUT], [InputMissing("gone")], [2, held]))
    frames = newest(camera)
    take(frames)
    wait_until(lambda: len(caplog.records) == 2)

    assert told(caplog) == ["camera lost: camera: the cable was cut", "camera back: camera"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert (len(camera.opened), camera.closed, frames.reopened) == (4, 3, 1)


def test_stream_that_ends_is_opened_again(newest: Open, held: threading.Event, caplog: Log) -> None:
    newest(Camera(([1], [1, held])))
    wait_until(lambda: len(caplog.records) == 2)

    assert told(caplog) == ["camera lost: camera: the stream ended", "camera back: camera"]


def test_waits_double_up_to_the_longest(newest: Open) -> None:
    camera = Camera(([1, CUT], [CUT]))
    newest(camera, back_off=(0.02, 0.08))
    wait_until(lambda: len(camera.opened) == 12)  # if they doubled for ever: 20 s

    assert all(np.greater_equal(camera.waits[:5], [0.02, 0.04, 0.08, 0.08, 0.08]))


def test_waits_begin_anew_when_a_frame_has_come(newest: Open, held: threading.Event) -> None:
    camera = Camera(([1, CUT], [CUT], [CUT], [CUT], [1, CUT], [held]))
    newest(camera, back_off=(0.03, 30))
    wait_until(lambda: len(camera.opened) == 6)

    assert 0.03 <= camera.waits[4] < camera.waits[3]


@pytest.mark.parametrize("steps", [[1, CUT], [1], [0]], ids=["a frame and an error", "a frame", "no frame"])
def test_camera_that_flaps_is_not_opened_without_pause(newest: Open, steps: list[Any]) -> None:
    camera = Camera((steps,))
    newest(camera, back_off=(0.03, 0.03))
    wait_until(lambda: len(camera.opened) == 6)

    assert min(camera.waits) >= 0.03


def test_numbers_grow_over_openings(newest: Open, held: threading.Event) -> None:
    frames = newest(Camera(([gray(number=0), gray(number=9), CUT], [gray(number=0), gray(number=3), held])))
    wait_until(lambda: frames.captured == 4)

    assert take(frames)[0].number == 13


def test_frozen_camera_is_opened_again(newest: Open, held: threading.Event, caplog: Log) -> None:
    newest(Camera(([Still([gray().image])], [1, held]), freeze=0.05))
    wait_until(lambda: len(caplog.records) == 2)

    lost = "camera lost: camera: the very same picture for 0 s, the camera is frozen"
    assert told(caplog) == [lost, "camera back: camera"]


def test_camera_that_may_freeze_is_left_alone(newest: Open) -> None:
    camera = Camera(([Still([gray().image])],), freeze=0)
    frames = newest(camera)
    wait_until(lambda: frames.captured >= 100)

    assert len(camera.opened) == 1


def test_least_change_of_a_picture_is_a_change(newest: Open) -> None:
    other = gray().image
    other[1, 1, 1] = 1
    camera = Camera(([Still([gray().image, other])],), freeze=0.05)
    frames = newest(camera)
    wait_until(lambda: frames.captured > 100)

    assert len(camera.opened) == 1
    assert time.monotonic() - camera.opened[0] > 0.1


def test_patience_with_a_still_scene_doubles(newest: Open) -> None:
    camera = Camera(([Still([gray().image])],), freeze=0.03)
    newest(camera, back_off=(0.0, 0.0))
    wait_until(lambda: len(camera.opened) == 5)

    assert all(np.greater(camera.waits, [0.03, 0.06, 0.12, 0.24]))


def test_silent_camera_is_lost_once_and_back_once(newest: Open, held: threading.Event, caplog: Log) -> None:
    speaks = threading.Event()
    camera = Camera(([1, speaks, 1, held],), patience=0.5)
    frames = newest(camera)
    moments = iter(frames)
    wait_until(lambda: next(moments) is None and caplog.records)
    assert next(moments) is None
    speaks.set()
    take(frames)
    assert next(moments) is None

    assert told(caplog) == ["camera lost: camera: no frame for 1 s", "camera back: camera"]
    assert (len(camera.opened), frames.reopened) == (1, 1)


def test_camera_that_stays_away_is_given_up(newest: Open) -> None:
    frames = newest(Camera(([1, CUT], [CUT])), give_up=0.3)

    with pytest.raises(SourceLost) as caught:
        take(frames, 2)

    assert str(caught.value) == "camera: no frame for 0 s, gave up"
    assert caught.value.exit_code == 69


def test_camera_that_comes_back_in_time_is_not_given_up(newest: Open, held: threading.Event) -> None:
    frames = newest(Camera(([1, CUT], [CUT], [1, held])), give_up=5)

    wait_until(lambda: frames.reopened)

    assert [frame.number for frame in take(frames)] == [1]


def test_small_picture_is_made_in_the_capture_thread(newest: Open, held: threading.Event) -> None:
    threads: list[str] = []

    def shrink(frame: Frame) -> Frame:
        threads.append(threading.current_thread().name)
        return replace(frame, small=frame.image[:1])

    frame = take(newest(Camera(([1, held],)), shrink=shrink))[0]

    assert frame.small is not None
    assert threads == ["capture camera"]


def test_close_ends_the_loop_the_thread_and_the_camera() -> None:
    camera = Camera(([Still([gray().image])],))
    frames = Newest(camera, "camera")
    take(frames, 3)
    frames.close()
    frames.close()

    assert list(frames) == []
    assert camera.closed == 1
    assert "capture camera" not in [thread.name for thread in threading.enumerate()]


def test_close_interrupts_the_wait_for_the_next_opening() -> None:
    frames = Newest(Camera(([1, CUT], [CUT])), "camera", back_off=(30, 30))
    take(frames)
    frames.close()

    assert "capture camera" not in [thread.name for thread in threading.enumerate()]


def test_camera_that_has_nothing_for_a_moment_can_be_closed() -> None:
    camera = Camera(([Silence([None])],))
    with closing(Newest(camera, "camera")) as frames:
        assert next(iter(frames)) is None

    assert (frames.captured, camera.closed) == (0, 1)


def test_close_does_not_wait_for_ever_for_a_camera_that_hangs(held: threading.Event) -> None:
    camera = Camera(([1, held],))
    frames = Newest(camera, "camera")
    take(frames)
    begun = time.monotonic()
    frames.close()

    assert time.monotonic() - begun < 4
    held.set()
    wait_until(lambda: camera.closed)


def test_loop_in_another_thread_ends_when_closed(newest: Open, held: threading.Event) -> None:
    frames = newest(Camera(([held],)))
    loop = threading.Thread(target=lambda: list(frames))
    loop.start()
    held.set()
    frames.close()
    loop.join(5)

    assert not loop.is_alive()


def test_a_capture_thread_that_hangs_ends_the_run_where_it_is_replaceable(
    newest: Open, held: threading.Event
) -> None:
    heartbeats = Heartbeats(patience=0.05)
    frames = newest(Camera(([1, held],), patience=0.01), heartbeats=heartbeats, replaceable=True)

    with pytest.raises(SourceLost, match="camera: hangs in its driver for 0 s; only a fresh start helps"):
        take(frames, 2)


def test_a_capture_thread_that_hangs_is_waited_for_where_nobody_starts_another(
    newest: Open, held: threading.Event
) -> None:
    heartbeats = Heartbeats(patience=0.05)
    frames = newest(Camera(([1, held, 1],), patience=0.01), heartbeats=heartbeats)
    first = take(frames)
    wait_until(lambda: "capture" in heartbeats.late())
    assert next(iter(frames)) is None
    held.set()

    assert len(first + take(frames)) == 2


def test_a_camera_that_is_known_to_be_lost_is_no_hang(newest: Open) -> None:
    heartbeats = Heartbeats(patience=0.05)
    camera = Camera(([1, CUT], [1]), patience=0.01)
    frames = newest(camera, heartbeats=heartbeats, replaceable=True, back_off=(0.5, 0.5))

    assert len(take(frames, 2)) == 2
    assert camera.waits[0] >= 0.5


def test_a_camera_that_says_that_no_frame_came_is_no_hang(newest: Open) -> None:
    heartbeats = Heartbeats(patience=0.1)
    frames = newest(Camera(([1, Silence([None])],), patience=0.01), heartbeats=heartbeats, replaceable=True)
    looks = [frame for frame, _ in zip(frames, range(4), strict=False)]

    assert sum(frame is None for frame in looks) == 3


def test_a_driver_that_never_comes_back_is_a_hang_however_often_it_is_asked(newest: Open) -> None:
    camera = Camera(([1, CUT], [SourceHangs("camera 0: still does not close")]), patience=0.01)
    frames = newest(camera, heartbeats=Heartbeats(patience=0.1), replaceable=True)

    with pytest.raises(SourceLost, match="hangs in its driver"):
        take(frames, 2)
    assert len(camera.opened) > 2


def test_a_camera_that_was_closed_is_expected_to_do_nothing(newest: Open) -> None:
    heartbeats = Heartbeats()
    frames = newest(Camera(([Still([gray().image])],)), heartbeats=heartbeats)
    take(frames)
    expected = set(heartbeats.ages())
    frames.close()

    assert (expected, heartbeats.ages()) == ({"capture"}, {})


def test_a_patient_source_is_given_three_times_its_patience(newest: Open, held: threading.Event) -> None:
    heartbeats = Heartbeats(patience=0.01)
    frames = newest(Camera(([1, held],), patience=5.0), heartbeats=heartbeats, replaceable=True)
    take(frames)
    wait_until(lambda: heartbeats.ages()["capture"] > 0.05)

    assert heartbeats.late() == {}
