from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from kept_words import event
from waiting import wait_until

from edge_detect import event_store
from edge_detect.errors import SinkError
from edge_detect.event_store import EventStore

Open = Callable[..., EventStore]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens the store of this test, as often as wanted."""
    with ExitStack() as stack:
        yield lambda every=60.0: stack.enter_context(
            closing(EventStore(tmp_path / "kept/events.db", every=every))
        )


def ids(store: EventStore, **more: object) -> list[str]:
    return [row.event.id for row in store.find(**more)]  # type: ignore[arg-type]


def test_an_event_is_the_newest_word_on_it(opened: Open) -> None:
    store = opened()
    store.tell([event(), event("b", label="car"), event(type="update", score=0.9, zones=("door",))])

    assert ids(store) == ["a", "b"]
    row = store.get("a")
    assert row is not None
    assert (row.event.type, row.event.score, row.event.zones) == ("update", 0.9, ("door",))
    assert store.get("c") is None


def test_events_are_found_by_label_and_by_what_has_changed_since(opened: Open) -> None:
    store = opened()
    store.tell([event("a"), event("b", label="car"), event("c")])
    middle = store.find()[1].seq
    store.tell([event("a", type="end")])

    assert ids(store, label="car") == ["b"]
    assert ids(store, after=middle) == ["a", "c"]
    assert ids(store, limit=1) == ["a"]
    assert ids(store, limit=-1) == []
    assert ids(store, label="' OR 1=1 --") == []


def test_an_event_that_is_over_stays_so(opened: Open) -> None:
    store = opened()
    store.tell([event(), event(type="end", duration_s=3.0), event(type="update", duration_s=9.0)])

    assert store.find()[0].event == event(type="end", duration_s=3.0)


def test_all_is_there_after_a_restart_and_numbers_grow(opened: Open) -> None:
    store = opened()
    store.tell([event(type="end")])
    store.add_snapshot("a", "20261122T014033.120Z-000001.jpg", (0.1, 0.2, 0.3, 0.4))
    store.add_clip("a", "20261122T014033.120Z-000002.mp4", 4.5)
    store.protect("a", True)
    before = store.find()[0]
    store.close()
    again = opened()
    again.tell([event("b")])

    assert again.get("a") == before
    assert (before.box, before.clip_at, before.protected) == ((0.1, 0.2, 0.3, 0.4), 4.5, True)
    assert again.find()[0].seq > before.seq
    assert not (again.path.parent / "events.db.corrupt").exists()


def test_what_a_run_left_open_has_an_end(opened: Open) -> None:
    store = opened()
    store.tell([event(), event(type="update", duration_s=7.0), event("b", type="end")])
    store.close()
    again = opened()

    assert again.closed == (event(type="end", duration_s=7.0),)
    assert {row.event.type for row in again.find()} == {"end"}
    again.close()
    assert opened().closed == ()


@pytest.mark.parametrize(
    "damage", ["empty", "zeros", "text", "half", "middle", "another version", "a folder's worth"]
)
def test_a_store_that_cannot_be_read_is_set_aside(
    opened: Open, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened()
    store.tell([event(str(number), type="end") for number in range(500)])
    store.close()
    path, data = store.path, store.path.read_bytes()
    if damage == "another version":
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA user_version = 99")
    else:
        middle = data[:4096] + b"\xff" * 20_000 + data[24_096:]
        path.write_bytes({
            "empty": b"", "zeros": bytes(5000), "text": b"not a database, but long enough" * 100,
            "half": data[: len(data) // 2], "middle": middle, "a folder's worth": data[:100],
        }[damage])  # fmt: skip
    again = opened()
    again.tell([event("new")])
    again.commit()

    assert ids(again)[0] == "new"
    aside = path.with_name("events.db.corrupt")
    assert aside.exists() == (damage != "empty")  # an empty file is an empty store
    assert ("is events.db.corrupt now" in caplog.text) == (damage != "empty")


def test_a_store_that_breaks_in_the_run_is_begun_anew(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    store = opened()
    store.tell([event(str(number)) for number in range(300)])
    store.commit()
    assert store._database
    store._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.path.write_bytes(b"\xff" * store.path.stat().st_size)
    store._database.execute("PRAGMA shrink_memory")
    store.tell([event("new")])
    for _ in range(3):
        store.find()
    store.tell([event("newer")])

    assert "newer" in ids(store)
    assert "a new one is begun" in caplog.text


def test_the_loop_does_not_wait_for_the_disk(opened: Open) -> None:
    store = opened()
    with store._alone:  # as in a commit that takes long
        store.tell([event()])

    assert ids(store) == ["a"]


def test_events_wait_for_a_disk_that_does_not_take_them(
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened()
    store.tell([event("a")])
    store.commit()
    assert store._database
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    many = [event(f"b{number}", source="x" * 1000) for number in range(100)]
    store.tell(many)
    for _ in range(5):
        store.commit()
    assert ids(store) == ["a"]  # what is there can still be read
    store._database.execute("PRAGMA max_page_count = 100000")

    assert len(ids(store)) == 101
    assert store.dropped == 0
    assert len([row for row in caplog.records if "full" in row.getMessage()]) == 1  # a line a minute


def test_so_many_wait_and_no_more(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_store, "WAITING", 5)
    store = opened()
    with store._alone:
        store.tell([event(str(number)) for number in range(9)])

    assert (len(ids(store)), store.dropped) == (5, 4)


def test_the_oldest_are_forgotten_and_the_protected_stay(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_store, "KEPT", 100)
    store = opened()
    store.tell([event("000", type="end")])
    store.protect("000", True)
    store.tell([event(f"{number:03}", type="end") for number in range(1, 120)])
    store.commit()

    assert len(ids(store)) == 99
    assert {"000", "119"} <= set(ids(store))
    assert "001" not in ids(store)


def test_it_commits_by_itself(opened: Open) -> None:
    store = opened(every=0.01)
    store.tell([event()])

    def seen() -> int:
        with closing(sqlite3.connect(store.path)) as database:
            return int(database.execute("SELECT count(*) FROM events").fetchone()[0])

    wait_until(lambda: seen() == 1)
    assert store.written > 100


def test_another_process_cannot_have_it(opened: Open) -> None:
    store = opened()

    with pytest.raises(SinkError, match=r"another edge-detect holds it"):
        opened()
    store.close()
    opened()


def test_closed_twice_it_takes_and_gives_nothing(opened: Open) -> None:
    store = opened()
    store.close()
    store.close()
    store.tell([event()])

    assert store.find() == []


def test_a_file_is_whose_it_is(opened: Open) -> None:
    store = opened()
    store.tell([event("a"), event("b")])
    for id in "ab":
        store.add_clip(id, "one.mp4", 0.0)
    store.protect("b", True)
    assert store.has("one.mp4", protected=True)
    store.delete("b")

    assert store.has("one.mp4")
    assert not store.has("one.mp4", protected=True)
    store.lose("one.mp4")
    assert not store.has("one.mp4")


def test_a_place_where_nothing_can_be_made_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    caplog.set_level(logging.WARNING)

    with pytest.raises(SinkError, match="cannot write"):
        EventStore(tmp_path / "file/events.db")
