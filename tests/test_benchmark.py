from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from edge_detect import benchmark
from edge_detect.benchmark import Report
from edge_detect.errors import SourceError
from edge_detect.model import open_model


@pytest.fixture
def report(desk: Path) -> Report:
    model = open_model(desk / "model.tflite", threads=1)
    return benchmark.measure(model, "clip.mp4", confidence=0.2, rounds=1, starts=0)


def test_ratios_are_those_of_the_times(report: Report) -> None:
    assert report.loop_cpu_ratio == pytest.approx(report.loop_cpu_ms / report.bare_cpu_ms, rel=0.2)
    assert (report.startup_ratio, report.startup_s, report.startup_bare_s) == (0, 0, 0)
    assert report.capture_age_p50_ms <= report.capture_age_p95_ms
    assert report.invoke_p50_ms <= report.invoke_p95_ms


def test_the_report_names_what_was_measured_on_what(report: Report) -> None:
    assert (report.model, report.source, report.size) == ("model.tflite", "clip.mp4", (200, 100))
    assert list(report.stages_ms) == ["capture", "prepare", "invoke", "decode", "output"]
    assert set(report.versions) == {"edge_detect", "python", "numpy", "opencv"}
    assert json.loads(json.dumps(asdict(report)))["size"] == [200, 100]


def test_a_video_that_cannot_be_read_is_told(desk: Path) -> None:
    model = open_model(desk / "model.tflite", threads=1)
    (desk / "zero.mp4").touch()

    with pytest.raises(SourceError, match=r"^zero\.mp4: the file is empty"):
        benchmark.measure(model, "zero.mp4", confidence=0.2, rounds=1, starts=0)


def test_a_start_is_timed_to_its_first_line() -> None:
    slow = "import sys; print('ready', flush=True); sys.stdin.read()"

    assert 0 < benchmark._first_line([sys.executable, "-c", slow]) < 60


def test_a_start_that_fails_is_an_error() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)gave nothing: .*ZeroDivisionError"):
        benchmark._first_line([sys.executable, "-c", "1 / 0"])
