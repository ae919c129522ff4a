from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing

import pytest
from happenings import event
from scenes import scene
from waiting import wait_until

from edge_detect.errors import SinkError
from edge_detect.events import Event
from edge_detect.notices import courier
from edge_detect.notices.courier import Courier
from edge_detect.notices.filter import Filter
from edge_detect.scene import Scene


class Post:
    """Delivers when it is allowed to, and breaks where it is asked to."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self.error: Exception | None = None

    def __call__(self, one: Event, give_up: threading.Event) -> None:
        while not self.open.wait(0.005):
            if give_up.is_set():
                raise SinkError("given up")
        if self.error:
            raise self.error
        self.came.append(one.id)


def opened(post: Callable[[Event, threading.Event], None], size: int = 10, **more: int) -> Courier:
    return Courier("post", post, Filter(types=("start",)), size, **more)


def test_the_events_of_a_scene_and_those_without_one_arrive_in_order() -> None:
    post = Post()
    with closing(opened(post)) as sink:
        sink.write(Scene(scene().frame, scene().detections, (event(1), event(2, type="end"))))
        sink.tell((event(3),))
        sink.write(scene())

    assert (post.came, sink.dropped) == (["event-1", "event-3"], 0)


def test_who_tells_does_not_wait_and_the_oldest_makes_room(caplog: pytest.LogCaptureFixture) -> None:
    post = Post()
    post.open.clear()
    with closing(opened(post, size=3)) as sink:
        sink.tell((event(0),))
        wait_until(lambda: not sink._waiting)
        began = time.monotonic()
        for number in range(1, 101):
            sink.tell((event(number),))
        took = time.monotonic() - began
        post.open.set()

    assert post.came == ["event-0", "event-98", "event-99", "event-100"]
    assert sink.dropped == 97
    assert took < 0.5
    assert caplog.messages == ["post: 3 events wait, the oldest are dropped from now on"]


def test_trouble_is_told_when_it_begins_and_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    post = Post()
    with closing(opened(post)) as sink:
        post.error = SinkError("no one there")
        sink.tell((event(1), event(2)))
        wait_until(lambda: sink.dropped == 2)
        post.error = None
        sink.tell((event(3),))
        wait_until(lambda: post.came)

    assert caplog.messages == [
        "post: an event is lost: no one there",
        "post: delivers again; 2 events were lost so far",
    ]


def test_a_bug_costs_one_event_and_not_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    post = Post()
    with closing(opened(post)) as sink:
        post.error = ZeroDivisionError("by zero")
        sink.tell((event(1),))
        wait_until(lambda: sink.dropped)
        post.error = None
        sink.tell((event(2),))

    assert post.came == ["event-2"]
    assert caplog.messages == ["post: an event is lost: ZeroDivisionError: by zero"]


def test_the_end_gives_up_what_hangs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(courier, "GRACE", 0.05)
    post = Post()
    post.open.clear()
    sink = opened(post)
    sink.tell((event(1), event(2), event(3)))
    began = time.monotonic()
    sink.close()
    sink.close()

    assert time.monotonic() - began < 2
    assert (post.came, sink.dropped) == ([], 3)
    assert "post: 2 events were not delivered before the end" in caplog.messages
    assert not any(thread.name.startswith("post-") for thread in threading.enumerate())


def test_after_the_end_nothing_is_taken() -> None:
    post = Post()
    sink = opened(post)
    sink.close()
    sink.tell((event(1),))

    assert (post.came, sink.dropped) == ([], 0)


def test_several_are_delivered_at_once() -> None:
    both = threading.Barrier(2, timeout=5)
    came = []

    def meet(one: Event, give_up: threading.Event) -> None:
        both.wait()
        came.append(one.id)

    with closing(opened(meet, threads=2)) as sink:
        sink.tell((event(1), event(2)))

    assert sorted(came) == ["event-1", "event-2"]
