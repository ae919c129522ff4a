from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from happenings import event

from edge_detect.notices import outbox
from edge_detect.notices.outbox import Outbox


def words(box: Outbox, n: int = 1000) -> list[str]:
    """`start 1` for each event that waits."""
    bodies = [json.loads(letter.body) for letter in box.waiting((), n)]
    return [f"{body['type']} {body['id'].removeprefix('event-')}" for body in bodies]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "mqtt.sqlite3"


@pytest.mark.parametrize("on_disk", [True, False], ids=["on disk", "in memory"])
def test_events_wait_in_order_until_they_have_arrived(path: Path, on_disk: bool) -> None:
    with closing(Outbox(path if on_disk else None, 10)) as box:
        box.add([event(1), event(2)])
        box.add([event(1, type="end")])
        first = box.waiting((), 10)[0]
        before = words(box)
        box.arrived([first.row])

        assert before == ["start 1", "start 2", "end 1"]
        assert (words(box), len(box)) == (["start 2", "end 1"], 2)


def test_what_is_on_its_way_is_not_given_twice() -> None:
    with closing(Outbox(None, 10)) as box:
        box.add(event(number) for number in range(5))
        sent = [letter.row for letter in box.waiting((), 2)]

        assert [letter.row for letter in box.waiting(sent, 4)] == [3, 4]
        assert box.waiting(sent, 2) == []


def test_a_start_and_an_end_are_kept_once_even_after_they_arrived(path: Path) -> None:
    with closing(Outbox(path, 10)) as box:
        box.add([event(1), event(1), event(1, type="end")])
        box.arrived([letter.row for letter in box.waiting((), 10)])
    with closing(Outbox(path, 10)) as box:
        box.add([event(1), event(1, type="end"), event(2)])

        assert words(box) == ["start 2"]


def test_of_the_updates_of_an_event_the_newest_waits() -> None:
    with closing(Outbox(None, 10)) as box:
        box.add([event(1), event(1, type="update", score=0.1), event(1, type="update", score=0.2)])
        waiting = box.waiting((), 10)
        box.arrived([letter.row for letter in waiting])
        box.add([event(1, type="update", score=0.3)])

        assert [json.loads(letter.body)["score"] for letter in waiting] == [0.87, 0.2]
        assert [json.loads(letter.body)["score"] for letter in box.waiting((), 10)] == [0.3]
        assert len(box) == 1


def test_updates_make_room_first_then_the_oldest(caplog: pytest.LogCaptureFixture) -> None:
    with closing(Outbox(None, 3)) as box:
        box.add([event(1), event(1, type="update"), event(2), event(3)])
        first = words(box)
        box.add([event(4), event(5)])

        assert first == ["start 1", "start 2", "start 3"]
        assert (words(box), box.dropped, len(box)) == (["start 3", "start 4", "start 5"], 3, 3)
    assert caplog.messages == ["mqtt: 3 events wait for the broker, the oldest are dropped from now on"]


WRITER = """
import sys
from pathlib import Path
from happenings import event
from edge_detect.notices.outbox import Outbox
box = Outbox(Path(sys.argv[1]), 100_000)
for number in range(100_000):
    box.add([event(number), event(number, type="update")])
    print("put", number, flush=True)
    if number % 3 == 0:
        box.arrived([letter.row for letter in box.waiting((), 1)])
        print("arrived", flush=True)
"""


@pytest.mark.parametrize("lines", [1, 2, 40, 333])
def test_a_writer_that_is_killed_loses_nothing_that_it_took(path: Path, lines: int) -> None:
    search = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        env=os.environ | {"PYTHONPATH": search},
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout
        seen = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        seen += child.stdout.readlines()  # what it had done before it knew
    took = sum(line.startswith("put") for line in seen)
    gone = seen.count("arrived\n")

    with closing(Outbox(path, 100_000)) as box:
        starts = [word for word in words(box, 100_000) if word.startswith("start")]
        numbers = [int(word.split()[1]) for word in starts]
    first = numbers[0] if numbers else took  # or all that it had taken have arrived
    end = first + len(numbers)
    assert numbers == list(range(first, end))
    assert end in (took, took + 1)  # the last may have been put before it was told
    assert first <= gone + 1
    assert not path.with_suffix(".broken").exists()


@pytest.mark.parametrize("damage", ["other", "cut", "middle"])
def test_a_damaged_file_is_set_aside(path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    with closing(Outbox(path, 1000)) as box:
        box.add(event(number) for number in range(300))
    whole = path.read_bytes()
    path.write_bytes(
        {
            "other": b"not a database, but long enough to look at" * 100,
            "cut": whole[: len(whole) // 2],
            "middle": whole[:4096] + b"\xff" * 8192 + whole[12288:],
        }[damage]
    )
    with closing(Outbox(path, 1000)) as box:
        box.add([event(1)])

        assert words(box) == ["start 1"]
    assert path.with_suffix(".broken").exists()
    assert "damaged" in caplog.text


def test_two_at_once_do_not_share_a_file(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(Outbox(path, 10)) as first, closing(Outbox(path, 10)) as second:
        first.add([event(1)])
        second.add([event(2)])

        assert (words(first), words(second)) == (["start 1"], ["start 2"])
    assert "events wait in memory only" in caplog.text
    with closing(Outbox(path, 10)) as box:
        assert words(box) == ["start 1"]


def test_a_folder_that_cannot_be_made_is_no_reason_to_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with closing(Outbox(tmp_path / "file" / "mqtt.sqlite3", 10)) as box:
        box.add([event(1)])

        assert words(box) == ["start 1"]
    assert caplog.messages[0].startswith("events wait in memory only: ")


def test_a_disk_that_is_full_is_told_once_and_nothing_that_waits_is_lost(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(Outbox(path, 10_000)) as box:
        box.add([event(1)])
        pages = box._database.execute("PRAGMA page_count").fetchone()[0]
        box._database.execute(f"PRAGMA max_page_count={pages + 1}")
        for number in range(2, 100):
            box.add([event(number)])
        kept = words(box)

    assert kept[0] == "start 1"
    assert kept[-1] == "start 99"
    assert len(kept) == 99
    assert len(caplog.messages) == 1
    assert caplog.messages[0].endswith("database or disk is full; events wait in memory only")


def test_what_arrived_is_forgotten_after_a_while(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "REMEMBERED", 10)
    with closing(Outbox(path, 1000)) as box:
        for number in range(100):
            box.add([event(number)])
            box.arrived([letter.row for letter in box.waiting((), 10)])
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*), max(length(body)) FROM outbox").fetchone() == (10, 0)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small one."""
    if os.geteuid() != 0 or not Path("/bin/mount").exists():
        pytest.skip("needs root, to mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount: {mounted.stderr.decode()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_events_on_a_disk_that_is_full_at_the_start_wait_for_another(
    disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = disk / "mqtt.sqlite3"
    with closing(Outbox(path, 100)) as box:
        box.add([event(1)])
    with suppress(OSError), (disk / "recordings").open("wb", buffering=0) as recordings:
        while True:
            recordings.write(bytes(4096))
    with closing(Outbox(path, 100)) as box:
        box.add([event(2)])
        now = words(box)
    (disk / "recordings").unlink()

    with closing(Outbox(path, 100)) as box:
        assert (now, words(box)) == (["start 2"], ["start 1"])
    assert [message.partition(": cannot open")[0] for message in caplog.messages] == [
        f"events wait in memory only: {path}"
    ]


def test_a_real_disk_that_is_full_costs_nothing(disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(Outbox(disk / "mqtt.sqlite3", 10_000)) as box:
        for number in range(600):
            box.add([event(number)])
        kept = words(box)

    assert kept == [f"start {number}" for number in range(600)]
    assert [message.partition(": ")[2] for message in caplog.messages] == [
        "cannot write: database or disk is full; events wait in memory only"
    ]
