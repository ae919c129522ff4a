from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import scenes

from edge_detect.errors import SinkError
from edge_detect.events import Event, to_json
from edge_detect.sinks import Listener
from edge_detect.sinks.event_lines import EventLines

STAMP = "2026-11-22T01:40:33.120Z"
ONE = Event(
    "a",
    "start",
    "appeared",
    "person",
    "cam",
    3,
    0.5,
    0.75,
    (0.1, 0.2, 0.3, 0.4),
    "",
    (),
    "",
    STAMP,
    STAMP,
    0.5,
    True,
)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_word_is_a_line_at_once(tmp_path: Path) -> None:
    sink = EventLines(str(tmp_path / "e.jsonl"))
    sink.write(replace(scenes.scene(), events=(ONE, replace(ONE, type="end"))))

    assert [(row["type"], row["label"]) for row in lines(tmp_path / "e.jsonl")] == [
        ("start", "person"),
        ("end", "person"),
    ]
    assert lines(tmp_path / "e.jsonl")[0] == json.loads(json.dumps(to_json(ONE)))
    sink.close()


def test_a_file_goes_on(tmp_path: Path) -> None:
    for number in range(3):
        sink = EventLines(str(tmp_path / "e.jsonl"))
        sink.tell((replace(ONE, id=str(number)),))
        sink.close()
        sink.close()

    assert [row["id"] for row in lines(tmp_path / "e.jsonl")] == ["0", "1", "2"]


def test_a_line_that_was_cut_off_does_not_spoil_the_next(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text('{"v":1}\n{"v":1,"i')
    sink = EventLines(str(tmp_path / "e.jsonl"))
    sink.tell((ONE,))
    sink.close()

    assert json.loads((tmp_path / "e.jsonl").read_text().splitlines()[2])["id"] == "a"


def test_it_hears_of_events_without_a_frame(tmp_path: Path) -> None:
    sink = EventLines(str(tmp_path / "e.jsonl"))
    sink.close()

    assert isinstance(sink, Listener)


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"no/e\.jsonl: cannot write: No such file or directory"):
        EventLines(str(tmp_path / "no/e.jsonl"))
