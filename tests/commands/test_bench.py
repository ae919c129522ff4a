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


@pytest.mark.parametrize(
    "words, message",
    [
        (("--viewers", "3"), "--viewers: expected 4 or more, got 3"),
        ((), "the following arguments are required: -s/--source (see edge-detect bench --help)"),
        (("--rounds", "0"), "--rounds: expected 1 or more, got 0"),
    ],
)
def test_what_cannot_be_measured_is_told(desk: Path, words: tuple[str, ...], message: str) -> None:
    end = run("bench", "-m", "model.tflite", *words)

    assert (end.returncode, end.stderr) == (2, f"edge-detect: error: {message}\n")


def test_words_tell_what_viewers_cost() -> None:
    pytest.importorskip("tornado", reason="needs tornado, from the extra web")
    from edge_detect.commands.bench import viewers_text
    from edge_detect.viewing import Report

    report = Report(
        10, 1, 2, 4, 0.99, 99.0, 100.0, 9.0, 15.0, 350.0, 400.0, 5.0, 1.25, [10.5, None], 2.0, "m", "ab", "b"
    )

    text = viewers_text(report)
    assert "inference rate   0.990 x without viewers (99.0 / 100.0 a second)" in text
    assert "stalled viewers  closed after 10.5 s, never" in text
    assert "memory           +1.2 MB" in text
