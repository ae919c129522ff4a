from __future__ import annotations

import csv
import logging
import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import scenes

from edge_detect import board
from edge_detect.detector import Timing
from edge_detect.errors import SinkError
from edge_detect.frame import Frame
from edge_detect.meter import AGES, Meter

TIMING = Timing(prepare=0.002, invoke=0.05, decode=0.001)


@dataclass
class Camera:
    """What a meter asks of Newest."""

    dropped: int = 0
    reopened: int = 0


@pytest.fixture(autouse=True)
def cool(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that tells nothing of its heat."""
    heat(monkeypatch, None, None)


def heat(monkeypatch: pytest.MonkeyPatch, degrees: float | None, bits: int | None) -> None:
    monkeypatch.setattr(board, "temperature", lambda: degrees)
    monkeypatch.setattr(board, "throttled", lambda: bits)


def frame(age: float = 0.0) -> Frame:
    return Frame(scenes.picture(), time.monotonic() - age, 0)


def test_times_are_means_in_milliseconds() -> None:
    meter = Meter(0)
    meter.add(frame(), TIMING, 0.01, 0.004)
    meter.add(frame(), Timing(0.004, 0.07, 0.003), 0.03, 0.008)

    health = meter.report()
    stages = (health.capture_ms, health.prepare_ms, health.invoke_ms, health.decode_ms, health.output_ms)
    assert stages == (20.0, 3.0, 60.0, 2.0, 6.0)
    assert (health.frames, health.limited_by) == (2, "inference")


def test_drawing_is_told_apart_from_the_rest_of_the_output() -> None:
    spent = iter([1.0, 1.006, 2.0])
    meter = Meter(0, drawing=lambda: next(spent))
    for _ in range(2):
        meter.add(frame(), TIMING, 0, 0.005)

    health = meter.report()
    assert (health.draw_ms, health.output_ms) == (3.0, 2.0)


def test_age_is_from_capture_to_the_result() -> None:
    meter = Meter(0, newest=Camera())  # type: ignore[arg-type]
    for age in (20, 20, 90):
        meter.add(frame(age), TIMING, 0, 15)

    health = meter.report()
    assert 5_000 <= health.age_p50_ms < 15_000 < health.age_p95_ms < 80_000


def test_a_recorded_source_has_no_age() -> None:
    meter = Meter(0)
    meter.add(Frame(scenes.picture(), 3.2, 80), TIMING, 0, 0)

    assert (meter.report().age_p95_ms, meter.report().fps) == (0.0, 0.0)


def test_what_was_dropped_counts_from_the_last_line() -> None:
    camera = Camera(dropped=5)
    meter = Meter(0, newest=camera)  # type: ignore[arg-type]

    camera.dropped, camera.reopened = 8, 1
    first = meter.report()
    camera.dropped = 9
    second = meter.report()

    assert (first.dropped, second.dropped, first.reopened) == (3, 1, 1)


def test_the_process_is_measured() -> None:
    meter = Meter(0)
    begun = time.process_time()
    while time.process_time() - begun < 0.05:
        pass
    meter.add(frame(), TIMING, 0, 0)

    health = meter.report()
    assert 0 < health.cpu_percent < 100 * (os.cpu_count() or 1) + 1
    assert health.rss_mb == pytest.approx(psutil.Process().memory_info().rss / 1e6, rel=0.1)
    assert health.fps == pytest.approx(1 / health.seconds, rel=0.02)


def test_the_board_tells_of_heat_and_power(monkeypatch: pytest.MonkeyPatch) -> None:
    heat(monkeypatch, 84.6, 0x50005)
    meter = Meter(0)
    meter.add(frame(), TIMING, 0, 0)

    health = meter.report()
    assert (health.temperature, health.limited_by) == (84.6, "heat")
    assert health.flags == "under-voltage, throttled, under-voltage before, throttled before"


def test_a_line_is_logged_for_each_interval(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), closing(Meter(1e-9)) as meter:
        meter.add(frame(), TIMING, 0, 0)
        meter.tick()

    assert len(caplog.messages) == 2
    assert all("fps | ms: " in line and " | limited by: " in line for line in caplog.messages)


def test_no_line_is_logged_before_it_is_due(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for every in (0, 1000):
            meter = Meter(every)
            meter.add(frame(), TIMING, 0, 0)
            meter.tick()

    assert caplog.messages == []


def test_closing_tells_the_rest_once(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    meter = Meter(0, stats=str(tmp_path / "s.csv"))
    meter.add(frame(), TIMING, 0, 0)
    with caplog.at_level(logging.INFO):
        meter.close()
        meter.close()

    with (tmp_path / "s.csv").open(newline="") as file:
        assert [row["frames"] for row in csv.DictReader(file)] == ["1"]
    assert len(caplog.messages) == 1


def test_closing_tells_nothing_when_nothing_was_seen(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        Meter(0).close()

    assert caplog.messages == []


def test_a_row_that_cannot_be_written_closes_the_table(tmp_path: Path) -> None:
    def full(_: Any) -> Iterator[None]:
        raise SinkError("s.csv: cannot write: No space left on device")

    meter = Meter(0, stats=str(tmp_path / "s.csv"))
    table = meter._table
    assert table
    table.write = full  # type: ignore[method-assign]
    meter.add(frame(), TIMING, 0, 0)

    with pytest.raises(SinkError):
        meter.close()
    meter.close()

    assert table._file.closed


def test_an_interval_without_end_keeps_no_more_than_it_needs() -> None:
    meter = Meter(0, newest=Camera())  # type: ignore[arg-type]
    one = frame()
    for _ in range(AGES + 5):
        meter.add(one, TIMING, 0, 0)

    assert len(meter._ages) == AGES
    assert meter.report().frames == AGES + 5
