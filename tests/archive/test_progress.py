from __future__ import annotations

import io
import logging

import pytest

from edge_detect.archive.progress import Progress, span


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_terminal_has_one_line_that_renews_itself() -> None:
    terminal, clock = Terminal(), Clock()
    progress = Progress(terminal, clock)

    progress.show(0, 10, 0.0, 0.0, 1000.0)
    clock.now += 10
    progress.show(2, 10, 200.0, 0.0, 1000.0)
    assert not progress.due
    clock.now += 0.5
    assert progress.due
    progress.clear()

    assert terminal.getvalue() == (
        "\r\x1b[K0%, 0 of 10 shards\r\x1b[K20%, 2 of 10 shards, 20 frames/s, 40 s left\r\x1b[K"
    )


def test_what_was_done_before_does_not_count_as_speed() -> None:
    terminal, clock = Terminal(), Clock()
    progress = Progress(terminal, clock)
    clock.now += 10

    progress.show(6, 10, 600.0, 500.0, 1000.0)

    assert terminal.getvalue().endswith("60%, 6 of 10 shards, 10 frames/s, 40 s left")


def test_a_log_has_a_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, clock)

    for _ in range(250):
        clock.now += 0.5
        if progress.due:
            progress.show(1, 10, 100.0, 0.0, 1000.0)

    assert stream.getvalue() == ""
    assert [record.message for record in caplog.records] == [
        "10%, 1 of 10 shards, 2 frames/s, 9 min left",
        "10%, 1 of 10 shards, 1 frames/s, 18 min left",
    ]


@pytest.mark.parametrize(
    "seconds, text", [(0.2, "0 s"), (99.4, "99 s"), (100, "2 min"), (5940, "99 min"), (12000, "3 h 20 min")]
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert span(seconds) == text
