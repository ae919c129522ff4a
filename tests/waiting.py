"""Waiting: for a condition, with a limit."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from edge_detect.frame import Frame

LIMIT = 5.0  # seconds


def wait_until(condition: Callable[[], object], limit: float = LIMIT) -> None:
    """Returns as soon as the condition holds; AssertionError when it does not in time."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.002)


def take(frames: Iterable[Frame | None], n: int = 1, limit: float = LIMIT) -> list[Frame]:
    """The next `n` frames of a live source."""
    taken: list[Frame] = []

    def enough(frame: Frame) -> bool:
        taken.append(frame)
        return len(taken) == n

    watch(frames, enough, limit)
    return taken


def watch(frames: Iterable[Frame | None], enough: Callable[[Frame], object], limit: float = LIMIT) -> None:
    """Looks at frames until one is `enough`; AssertionError when none is in time."""
    end = time.monotonic() + limit
    for frame in frames:
        if frame is not None and enough(frame):
            return
        assert time.monotonic() < end, "it did not come in time"
    raise AssertionError("the frames ended")


@contextmanager
def killed_in_time(child: subprocess.Popen[str], limit: float = 4 * LIMIT) -> Iterator[None]:
    """A process is killed at the end, or when it hangs, so that who reads its outputs comes to theirs."""
    timer = threading.Timer(limit, child.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        child.kill()
