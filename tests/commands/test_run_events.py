from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import program
import pytest
from program import run, started
from waiting import killed_in_time, wait_until

MODEL = ("-m", "model.tflite", "-q")
LIVE = f"pattern:?fps=50&width={program.SIZE[0]}&height={program.SIZE[1]}"
WHOLE = """
[[zones]]
name = "all"
points = [[0, 0], [1, 0], [1, 1], [0, 1]]
"""


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def words(told: list[dict[str, Any]]) -> list[str]:
    return [
        f"{one['type']} {one['kind']} {one['label']}{one['zone'] and ' in ' + one['zone']}" for one in told
    ]


def test_the_events_of_a_clip_are_appended_to_a_file(desk: Path) -> None:
    ends = [run("clip.mp4", *MODEL, "--events", "e.jsonl") for _ in range(2)]

    told = events(desk / "e.jsonl")
    assert [(end.returncode, end.stdout, end.stderr) for end in ends] == [(0, "", "")] * 2
    assert words(told) == [
        "start appeared person", "start appeared car", "end appeared person", "end appeared car"
    ] * 2  # fmt: skip
    assert len({one["id"] for one in told}) == 4
    assert told[0].keys() >= {
        "v",
        "id",
        "type",
        "label",
        "kind",
        "time",
        "duration_s",
        "box",
        "zones",
        "track_id",
    }
    assert (told[0]["source"], told[0]["model"], len(told[0]["model_sha256"])) == (
        "clip.mp4",
        "model.tflite",
        12,
    )
    assert told[2]["duration_s"] == pytest.approx(19 / 12.5, abs=0.002)
    assert not list((desk / "state").glob("**/*")) if (desk / "state").exists() else True


def test_events_go_to_standard_output_too(desk: Path) -> None:
    assert len(run("clip.mp4", *MODEL, "--events", "-").stdout.splitlines()) == 4


def test_pictures_have_no_events(desk: Path) -> None:
    end = run("photo.jpg", *MODEL, "--events", "e.jsonl")

    assert (end.returncode, events(desk / "e.jsonl")) == (0, [])


def test_without_a_tracker_there_is_none(desk: Path) -> None:
    (desk / "own.toml").write_text("[tracker]\nenabled = false\n")

    end = run("clip.mp4", *MODEL, "--events", "-", "--json", "--config", "own.toml")
    assert len(end.stdout.splitlines()) == 20
    assert "track_id" not in end.stdout


@pytest.mark.parametrize(
    "text, said",
    [
        (
            "[[zones]]\nname = 'a'\n",
            "own.toml:1: zones: zone 'a': expected 3 points or more for a zone, got 0",
        ),
        (WHOLE + "classes = ['dog']", "own.toml:2: zones: zone 'all': unknown class 'dog'"),
        (
            "[motion]\nmasks = ['0']\n",
            "own.toml:2: motion.masks = [\"0\"]: '0': expected three corners or more",
        ),
        ("[events]\nhits = 7\n", "events.hits: expected 5 or less"),
    ],
)
def test_a_mistake_in_the_settings_ends_the_run_with_its_place(
    desk: Path, home: Path, text: str, said: str
) -> None:
    (desk / "own.toml").write_text(text)

    end = run("clip.mp4", *MODEL, "--config", "own.toml")
    assert end.returncode in (2, 78)
    assert said in end.stderr


def test_a_run_that_is_killed_leaves_no_event_open(desk: Path, home: Path) -> None:
    command = ("run", "--source", LIVE, *MODEL, "--headless", "--events", "e.jsonl")
    with started(*command) as child, killed_in_time(child):
        wait_until(lambda: len(events(desk / "e.jsonl")) >= 2, program.LIMIT)
        child.send_signal(signal.SIGKILL)
        child.wait(program.LIMIT)
    before = events(desk / "e.jsonl")

    assert run(*command, "--frames", "1").returncode == 0
    after = events(desk / "e.jsonl")[len(before) :]
    assert sorted(words(before)) == ["start appeared car", "start appeared person"]
    assert sorted((one["id"], one["type"]) for one in after) == sorted((one["id"], "end") for one in before)
    assert run(*command, "--frames", "1").returncode == 0
    assert len(events(desk / "e.jsonl")) == 4


def test_two_runs_of_one_camera_do_not_end_each_other_s_events(desk: Path, home: Path) -> None:
    command = ("run", "--source", LIVE, *MODEL, "--headless", "--events")
    with started(*command, "e.jsonl") as child, killed_in_time(child):
        wait_until(lambda: len(events(desk / "e.jsonl")) >= 2, program.LIMIT)
        other = run(*command, "other.jsonl", "--frames", "1")
        child.send_signal(signal.SIGTERM)
        child.wait(program.LIMIT)

    assert "another edge-detect holds it" in other.stderr
    assert events(desk / "other.jsonl") == []
    assert sorted(words(events(desk / "e.jsonl")))[:2] == ["end appeared car", "end appeared person"]


def test_sighup_takes_other_zones(desk: Path, home: Path) -> None:
    (desk / "own.toml").write_text("[events]\nevery = 0\n")
    command = ("run", "--source", LIVE, *MODEL, "--headless", "--events", "e.jsonl", "--config", "own.toml")
    with started(*command) as child, killed_in_time(child):
        wait_until(lambda: len(events(desk / "e.jsonl")) >= 2, program.LIMIT)
        (desk / "own.toml").write_text("[events]\nevery = 0\n" + WHOLE)
        child.send_signal(signal.SIGHUP)
        wait_until(lambda: len(events(desk / "e.jsonl")) >= 4, program.LIMIT)
        child.send_signal(signal.SIGTERM)
        child.wait(program.LIMIT)

    told = words(events(desk / "e.jsonl"))
    assert told[2:4] == ["start entered person in all", "start entered car in all"]
    assert sorted(told[4:]) == [
        "end appeared car", "end appeared person", "end entered car in all", "end entered person in all"
    ]  # fmt: skip
