from __future__ import annotations

import hashlib
import json
from pathlib import Path

import program
import pytest
from program import run

QUICK = ("bench", "-m", "model.tflite", "--rounds", "1")
PROMISED = (
    "loop_cpu_ratio", "live_rate_ratio", "capture_age_p95_ms", "invoke_p50_ms", "invoke_p95_ms",
    "frame_interval_ms", "startup_ratio",
)  # fmt: skip


def test_json_has_every_figure_and_what_it_was_measured_on(desk: Path) -> None:
    end = run(*QUICK, "-s", "clip.mp4", "--starts", "1", "--json")

    report = json.loads(end.stdout)
    assert (end.returncode, end.stderr) == (0, "")
    assert [name for name in PROMISED if not report[name] >= 0] == []  # the tiny net takes 0.00 ms
    assert report["runtime"].split()[0] in ("ai-edge-litert", "tflite-runtime")
    assert report["model_sha256"] == hashlib.sha256(program.detector()).hexdigest()
    assert (report["size"], report["rounds"]) == ([200, 100], 1)


def test_words_tell_the_same_and_leave_out_what_was_not_measured(desk: Path) -> None:
    text = run(*QUICK, "-s", "clip.mp4", "--starts", "0").stdout

    starts = [line.split("  ")[0] for line in text.splitlines()]
    assert starts[0].startswith("model.tflite (")
    assert starts[1].startswith("clip.mp4 at 200x100 on ")
    assert starts[2:] == ["loop CPU", "live rate", "capture age", "invoke", "stages, ms a frame"]


@pytest.mark.parametrize("place, code", [("no.mp4", 66), (".", 66), ("zero.mp4", 1), ("model.tflite", 1)])
def test_what_is_no_video_is_told_in_one_line(desk: Path, place: str, code: int) -> None:
    (desk / "zero.mp4").touch()

    end = run(*QUICK, "-s", place)

    assert (end.returncode, end.stdout, end.stderr.count("\n")) == (code, "", 1)
