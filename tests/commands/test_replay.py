from __future__ import annotations

import json
from pathlib import Path

import pytest
from program import run

from edge_detect.cli import main

ZONE = "[[zones]]\nname = 'all'\npoints = [[0, 0], [1, 0], [1, 1], [0, 1]]\nclasses = ['car', 'tram']\n"
FRAME = {"source": "clip.mp4", "width": 200, "height": 100}
FOUND = [
    {"label": "person", "score": 0.8, "box": [20, 10, 60, 90]}, {"label": "car", "score": 0.5, "box": [100, 30, 180, 80]}
]  # fmt: skip
ALWAYS = {"appeared person", "appeared car"}


def starts(text: str) -> list[str]:
    told = [json.loads(line) for line in text.splitlines()]
    assert sum(one["type"] == "start" for one in told) == sum(one["type"] == "end" for one in told)
    return [f"{one['kind']} {one['label']}" for one in told if one["type"] == "start"]


@pytest.fixture
def recorded(desk: Path) -> Path:
    detections = [dict(one, class_id=number) for number, one in enumerate(FOUND)]
    rows = [dict(FRAME, frame=n, time=round(n / 12.5, 3), detections=detections) for n in range(20)]
    (desk / "seen.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return desk


def test_recorded_detections_give_the_events_that_the_run_gave(recorded: Path) -> None:
    run(
        "clip.mp4",
        "-m",
        "model.tflite",
        "-q",
        "-c",
        "0.1",
        "--events",
        "live.jsonl",
        "--output",
        "seen.jsonl",
    )
    end = run("replay", "seen.jsonl")

    assert (end.returncode, starts(end.stdout)) == (0, starts((recorded / "live.jsonl").read_text()))
    assert end.stderr.splitlines() == ["     1  appeared    car", "     1  appeared    person"]
    assert json.loads(end.stdout.splitlines()[0])["time"] == "1970-01-01T00:00:00.560Z"


def test_other_settings_are_tried_out(recorded: Path) -> None:
    (recorded / "own.toml").write_text("[events]\nconfidence = 0.6\n" + ZONE)
    end = run("replay", "seen.jsonl", "--config", "own.toml")

    assert starts(end.stdout) == ["appeared person"]
    (recorded / "own.toml").write_text(ZONE)
    assert set(starts(run("replay", "seen.jsonl", "--config", "own.toml").stdout)) == ALWAYS | {"entered car"}
    (recorded / "own.toml").write_text("[detect]\nclasses = ['car']\n")
    assert starts(run("replay", "seen.jsonl", "--config", "own.toml").stdout) == ["appeared car"]


def test_a_clip_is_looked_at(recorded: Path) -> None:
    end = run("replay", "clip.mp4", "-m", "model.tflite")

    assert (end.returncode, set(starts(end.stdout))) == (0, ALWAYS)


@pytest.mark.parametrize(
    "text, said",
    [
        (ZONE, "own.toml:1: zones: zone 'all': unknown class 'tram'"),
        ("[detect]\nclasses = ['tram']\n", 'own.toml:2: detect.classes = ["tram"]: classes: unknown class'),
    ],
    ids=["zones", "classes"],
)
def test_a_class_that_the_model_does_not_know_is_told_with_its_place(
    recorded: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (recorded / "own.toml").write_text(text)

    assert main(["replay", "clip.mp4", "-m", "model.tflite", "--config", "own.toml"]) == 78
    assert said in capsys.readouterr().err


def test_nothing_seen_is_said(recorded: Path) -> None:
    (recorded / "none.jsonl").write_text("")

    end = run("replay", "none.jsonl")
    assert (end.returncode, end.stdout, end.stderr) == (0, "", "no event\n")


def test_frames_at_which_nobody_looked_are_no_misses(recorded: Path) -> None:
    rows = [json.loads(line) for line in (recorded / "seen.jsonl").read_text().splitlines()]
    for row in rows[10:]:
        row |= {"predicted": True, "detections": []}
    (recorded / "rest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    assert set(starts(run("replay", "rest.jsonl").stdout)) == ALWAYS


@pytest.mark.parametrize(
    "line, said",
    [
        ('{"v": 1, "duration_s": 1}', "expected detections (run -c 0.1 --json), got an event"),
        ("{", "expected a line of run --json"),
        ("[]", "expected a line of run --json"),
        (
            '{"source": "a", "frame": 0, "time": "x", "width": 1, "height": 1, "detections": []}',
            "expected a line",
        ),
        (
            '{"source": "a", "frame": 0, "time": 0, "width": 0, "height": 1, "detections": []}',
            "expected a line",
        ),
        (
            '{"source": "a", "frame": 0, "time": 0, "width": 1, "height": 1, "detections": [{}]}',
            "expected a line",
        ),
    ],
)
def test_what_is_no_recording_is_told_with_its_line(
    recorded: Path, line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (recorded / "seen.jsonl").open("a") as file:
        file.write(line + "\n")

    assert main(["replay", "seen.jsonl"]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert f"seen.jsonl:21: {said}" in error


@pytest.mark.parametrize(
    "key, value",
    [
        ("time", 1e300),  # which no date has
        ("time", float("nan")),
        ("width", 10**30),
        ("class_id", 1.5),
        ("class_id", True),
        ("box", "1234"),
        ("box", [0, 0, 1, float("nan")]),
        ("box", [0, 0, 1, 1e300]),
    ],
)
def test_values_that_nothing_recorded_has_are_told(
    recorded: Path, key: str, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [json.loads(line) for line in (recorded / "seen.jsonl").read_text().splitlines()]
    (rows[2] if key in rows[2] else rows[2]["detections"][1])[key] = value
    (recorded / "seen.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    assert main(["replay", "seen.jsonl"]) == 2
    assert "seen.jsonl:3: expected a line of run --json" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_told(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (desk / "seen.jsonl").symlink_to("/proc/self/mem")

    assert main(["replay", "seen.jsonl"]) == 66
    assert capsys.readouterr().err == "edge-detect: error: seen.jsonl: cannot read: Input/output error\n"


def test_a_folder_is_no_recording(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "."]) == 66
    assert capsys.readouterr().err == "edge-detect: error: .: expected a file, got a folder or a pipe\n"


def test_a_file_that_is_not_there_ends_with_66(desk: Path) -> None:
    end = run("replay", "no.jsonl")

    assert (end.returncode, end.stderr) == (66, "edge-detect: error: no.jsonl: no such file\n")
    end = run("replay", "rtsp://me:secret@camera/")
    assert (end.returncode, end.stderr) == (66, "edge-detect: error: rtsp://me:***@camera/: no such file\n")
