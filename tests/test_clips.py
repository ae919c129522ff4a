"""The shared clips: what a person sees in them, and what the program with its shipped detector tells.

The truth was counted by eye, on contact sheets of the clips; the ranges are the frames in which some
of the thing can be seen.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import program
import pytest

pytestmark = pytest.mark.slow

ONE_BY_ONE = "one-by-one-person-detection.mp4"
STORE = "store-aisle-detection-480p-from-gif.mp4"
STREET = "person-bicycle-car-detection-480p-from-gif.mp4"


@dataclass(frozen=True)
class Thing:
    """A thing that a person sees, and from which frame to which."""

    label: str
    first: int
    last: int


TRUTH = {
    # 10 frames a second; each comes from below, stands at the table and leaves to the right, alone
    ONE_BY_ONE: [
        Thing("person", 59, 199),  # a woman in grey
        Thing("person", 225, 450),  # a man in black
        Thing("person", 502, 703),  # a fair woman
        Thing("person", 744, 870),  # a man in a black shirt
        Thing("person", 919, 1200),  # a dark woman in grey
        Thing("person", 1233, 1362),  # a man in a light shirt
    ],
    # 15 frames a second; a man and a woman stand in the aisle, a second woman comes from below
    STORE: [Thing("person", 0, 66), Thing("person", 0, 66), Thing("person", 16, 66)],
    # 12 frames a second; one car turns. At the upper edge walks somebody of whom only the legs can be
    # seen (0..18), and a cyclist, 35 pixels high, pushes a bicycle: both are too small for the detector
    # to be sure, and no event is expected of them
    STREET: [Thing("car", 0, 40)],
}
FPS = {ONE_BY_ONE: 10, STORE: 15, STREET: 12}


def events(clip: Path, tmp_path: Path, *words: str) -> list[dict[str, Any]]:
    """What a run over a clip writes into its file of events."""
    path = tmp_path / f"{clip.stem}.jsonl"
    end = program.run("run", clip, "--headless", "-q", "--events", path, *words)
    assert (end.returncode, end.stderr) == (0, "")
    return [json.loads(line) for line in path.read_text().splitlines()]


def appeared(told: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        (one["type"], one["label"]) for one in told if one["kind"] == "appeared" and one["type"] != "update"
    ]


@pytest.mark.parametrize("clip", TRUTH)
def test_the_things_in_a_clip_are_told_exactly_once_each(shared: Path, tmp_path: Path, clip: str) -> None:
    told = events(shared / "clips" / clip, tmp_path)

    starts = [one for one in told if one["type"] == "start"]
    assert Counter(one["label"] for one in starts) == Counter(one.label for one in TRUTH[clip])
    assert {one["kind"] for one in starts} == {"appeared"}
    assert len({one["id"] for one in starts}) == len(starts)
    ends = {one["id"]: one for one in told if one["type"] == "end"}
    assert ends.keys() == {one["id"] for one in starts}
    for start, thing in zip(starts, TRUTH[clip], strict=True):
        seen = (thing.last - thing.first) / FPS[clip]
        assert ends[start["id"]]["duration_s"] == pytest.approx(seen, abs=2.0)


@pytest.mark.parametrize("clip", TRUTH)
def test_the_motion_gate_loses_no_event(shared: Path, tmp_path: Path, clip: str) -> None:
    settings = tmp_path / "gate.toml"
    settings.write_text('[motion]\ngate = "on"\n')

    told = events(shared / "clips" / clip, tmp_path, "--config", str(settings))

    starts = [label for kind, label in appeared(told) if kind == "start"]
    assert Counter(starts) == Counter(one.label for one in TRUTH[clip])
