from __future__ import annotations

import json
import logging
import resource
from dataclasses import replace
from pathlib import Path

import pytest

from edge_detect.events import Event
from edge_detect.journal import LARGEST, Journal

STAMP = "2026-11-22T01:40:33.120Z"
START = Event(
    "one", "start", "entered", "person", "cam", 3, 0.5, 0.75, (0.1, 0.2, 0.3, 0.4), "door", ("door", "path"), "", STAMP,
    STAMP, 0.5, True,
)  # fmt: skip
COUNTS = {("gate", "person", "in"): 3}


def test_what_is_open_is_there_after_a_crash(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.note([START, replace(START, id="two")], {})
    journal.note([replace(START, type="update", duration_s=4.0)], COUNTS)
    journal.note([replace(START, id="two", type="end")], COUNTS)

    again = Journal(tmp_path / "j")  # the first one was never closed
    assert again.open == {"one": replace(START, type="update", duration_s=4.0)}
    assert again.counts == COUNTS


def test_what_has_ended_is_not_open(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.note([START, replace(START, type="end")], COUNTS)
    journal.close()
    journal.close()

    again = Journal(tmp_path / "j")
    assert (again.open, again.counts) == ({}, COUNTS)


def test_nothing_is_written_where_nothing_happens(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "new/j")
    journal.note([], {})
    journal.close()

    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_that_was_cut_off_costs_only_itself(
    tmp_path: Path, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path / "j")
    journal.note([START], COUNTS)
    journal.note([replace(START, id="two")], COUNTS)
    data = (tmp_path / "j").read_bytes()
    (tmp_path / "j").write_bytes(data[:-cut])

    again = Journal(tmp_path / "j")
    assert list(again.open) == (["one", "two"] if cut == 1 else ["one"])
    assert [record.levelno for record in caplog.records] == ([] if cut == 1 else [logging.WARNING])


def test_rubbish_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(b'\x00\xff\n[]\n{"event": 3}\n{"counts": [[1]]}\n{"event": {"id": "x"}}\n')

    journal = Journal(tmp_path / "j")
    assert (journal.open, journal.counts) == ({}, {})
    journal.note([START], COUNTS)
    assert list(Journal(tmp_path / "j").open) == ["one"]


def test_the_file_stays_small(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    for number in range(1000):
        journal.note([replace(START, id=str(number)), replace(START, id=str(number), type="end")], COUNTS)
        assert (tmp_path / "j").stat().st_size < LARGEST + 2000
    journal.close()

    assert [json.loads(line) for line in (tmp_path / "j").read_text().splitlines()] == [
        {"counts": [["gate", "person", "in", 3]]}
    ]


@pytest.mark.parametrize("room", [0, 100])
def test_what_a_full_disk_did_not_take_is_there_when_it_has_room(
    tmp_path: Path, room: int, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path / "j")
    journal.note([START], COUNTS)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "j").stat().st_size + room, limits[1]))
    try:
        journal.note([replace(START, id="two"), replace(START, type="end")], COUNTS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    journal.note([replace(START, id="three")], COUNTS)

    assert list(Journal(tmp_path / "j").open) == ["two", "three"]
    assert [record.getMessage()[:37] for record in caplog.records] == [
        "open events are not kept for a crash:"
    ]


def test_what_cannot_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    journal = Journal(tmp_path / "file/j")
    for number in range(3):
        journal.note([replace(START, id=str(number))], COUNTS)
    journal.close()

    told = [record.getMessage() for record in caplog.records]
    assert [line.partition(": ")[0] for line in told] == [
        f"{tmp_path}/file/j",
        "open events are not kept for a crash",
    ]
