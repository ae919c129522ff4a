from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from kept_words import event
from scenes import scene
from waiting import wait_until

from edge_detect.config import Recorder as Settings
from edge_detect.errors import SinkError
from edge_detect.event_store import EventStore, Row
from edge_detect.events import Event
from edge_detect.records import Records
from edge_detect.shelf import Limits, Shelf
from edge_detect.sinks import recorder as module
from edge_detect.sinks.recorder import Recorder

FAST = Settings(before=1.0, after=0.5, longest=5.0)


@dataclass
class Desk:
    """A recorder, and all that it works with."""

    folder: Path
    store: EventStore
    shelf: Shelf
    recorder: Recorder

    def play(
        self, seconds: float, *words: tuple[float, Event], start: float = 0.0, fps: float = 10.0
    ) -> None:
        """Shows frames that grow brighter, with these events at their times."""
        waiting = sorted(words, key=lambda word: word[0])
        for number in range(round(seconds * fps)):
            now = start + number / fps
            events = tuple(one for at, one in waiting if at <= now + 1e-6)
            waiting = [word for word in waiting if word[0] > now + 1e-6]
            image = np.full((64, 96, 3), min(255, int(now * 20)), np.uint8)
            one = replace(scene(time=now, number=number, image=image), events=events)
            self.store.write(one)
            self.recorder.write(one)

    def end(self) -> dict[str, Row]:
        """Closes the recorder; what is kept then."""
        self.recorder.close()
        return {row.event.id: row for row in self.store.find()}

    def brightness(self, row: Row) -> int:
        """Of the snapshot of an event."""
        image = cv2.imread(str(self.folder / row.snapshot))
        assert image is not None
        return round(float(image.mean()))

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path.suffix in (".jpg", ".mp4", ".part"))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    with ExitStack() as stack:

        def opened(settings: Settings = FAST, limits: Limits = Limits(), *, live: bool = False) -> Desk:  # noqa: B008
            if settings.clips:
                pytest.importorskip("av", reason="needs PyAV, from the extra record")
            store = stack.enter_context(closing(EventStore(tmp_path / "rec/events.db")))
            shelf = stack.enter_context(closing(Shelf(tmp_path / "rec", limits, store.lose)))
            made = Recorder(settings, shelf, store, live=live)
            return Desk(tmp_path / "rec", store, shelf, stack.enter_context(closing(made)))

        yield opened


def frames(path: Path) -> list[tuple[float, int]]:
    """The time and brightness of each picture of a clip."""
    import av

    with av.open(str(path)) as file:
        return [
            (round(float(frame.time), 2), round(float(frame.to_ndarray(format="gray").mean())))
            for frame in file.decode(video=0)
        ]


def test_an_event_has_a_picture_and_a_clip_with_before_and_after(desk: Callable[..., Desk]) -> None:
    one = desk()
    one.play(8, (4.0, event()), (5.0, event(type="end")))
    row = one.end()["a"]
    clip = frames(one.folder / row.clip)

    assert one.brightness(row) == 80
    assert clip[0][0] == 0.0
    assert clip[-1][0] == pytest.approx(
        2.5, abs=0.11
    )  # a second before, one of the event, half a second after
    assert row.clip_at == pytest.approx(1.0, abs=0.11)
    assert clip[10][1] == pytest.approx(80, abs=6)  # the event's own picture is where it should be
    assert one.files() == sorted([row.snapshot, row.clip])


def test_a_clip_has_as_many_pictures_a_second_as_wanted(desk: Callable[..., Desk]) -> None:
    one = desk(replace(FAST, fps=5.0))
    one.play(4, (2.0, event()), (3.0, event(type="end")), fps=30)
    clip = frames(one.folder / one.end()["a"].clip)

    assert 10 <= len(clip) <= 15


def test_a_camera_that_is_not_quite_regular_loses_no_picture(desk: Callable[..., Desk]) -> None:
    one = desk(replace(FAST, fps=10.0))
    late = [0.0, 0.02, -0.01, 0.01, -0.02] * 8
    for number, shift in enumerate(late):
        one.recorder.write(
            scene(time=number / 10 + shift + 1, number=number, image=np.zeros((64, 96, 3), np.uint8))
        )
    one.end()

    assert len(one.recorder.ring.take(0, 1000)) == len(late)


def test_a_recording_that_begins_again_goes_on(desk: Callable[..., Desk]) -> None:
    one = desk()
    one.play(3, (2.0, event()))
    one.play(3, (0.5, event(type="end")))
    row = one.end()["a"]

    assert frames(one.folder / row.clip)[-1][0] == pytest.approx(1.0 + 1.0 + 0.5 + 0.5, abs=0.2)


def test_events_that_overlap_share_a_clip_and_those_of_a_picture_its_file(desk: Callable[..., Desk]) -> None:
    one = desk()
    one.play(
        9, (2.0, event("a")), (2.0, event("b")), (3.0, event("c")), (3.2, event("a", "end")), (3.3, event("b", "end")),
        (4.0, event("c", "end")), (7.0, event("d")), (7.5, event("d", "end")),
    )  # fmt: skip
    rows = one.end()

    assert rows["a"].clip == rows["b"].clip == rows["c"].clip != rows["d"].clip
    assert rows["c"].clip_at == pytest.approx(rows["a"].clip_at + 1.0, abs=0.11)
    assert rows["a"].snapshot == rows["b"].snapshot != rows["c"].snapshot
    assert one.recorder.clips == 2
    assert one.recorder.snapshots == 3


def test_an_event_in_the_last_seconds_of_a_clip_makes_it_longer(desk: Callable[..., Desk]) -> None:
    one = desk(replace(FAST, after=1.0))
    one.play(8, (2.0, event("a")), (3.0, event("a", "end")), (3.5, event("b")), (5.0, event("b", "end")))
    rows = one.end()

    assert rows["a"].clip == rows["b"].clip
    assert frames(one.folder / rows["a"].clip)[-1][0] == pytest.approx(5.0, abs=0.11)  # from 1.0 to 6.0


def test_the_best_picture_is_kept(desk: Callable[..., Desk]) -> None:
    one = desk(replace(FAST, clips=False))
    box = (0.1, 0.1, 0.2, 0.2)
    one.play(
        8, (2.0, event(score=0.5)), (4.0, event(type="update", score=0.9, box=box)),
        (5.0, event(type="update", score=0.7)), (6.0, event(type="end", score=0.3)),
    )  # fmt: skip
    row = one.end()["a"]

    assert one.brightness(row) == 80
    assert row.box == box
    assert one.files() == [row.snapshot]  # the first one went


def test_the_picture_of_the_end_which_shows_nobody_is_not_the_best(desk: Callable[..., Desk]) -> None:
    one = desk(replace(FAST, clips=False))
    one.play(8, (2.0, event(score=0.5)), (6.0, event(type="end", score=0.9)))

    assert one.brightness(one.end()["a"]) == 40


def test_a_long_event_has_a_clip_of_its_begin(desk: Callable[..., Desk]) -> None:
    one = desk(replace(FAST, longest=2.0))
    one.play(12, (2.0, event()), (6.0, event("b")), (7.0, event("b", "end")), (11.0, event(type="end")))
    rows = one.end()

    assert frames(one.folder / rows["a"].clip)[-1][0] == pytest.approx(2.0, abs=0.11)
    assert rows["b"].clip != rows["a"].clip


def test_a_clip_that_is_shorter_than_what_is_wanted_before_shows_its_event(desk: Callable[..., Desk]) -> None:
    one = desk(replace(FAST, before=4.0, longest=2.0))
    one.play(8, (5.0, event()), (5.5, event(type="end")))
    row = one.end()["a"]

    assert row.clip_at == pytest.approx(1.0, abs=0.11)
    assert frames(one.folder / row.clip)[10][1] == pytest.approx(100, abs=6)


def test_what_is_going_on_at_the_end_is_kept(desk: Callable[..., Desk]) -> None:
    one = desk()
    one.play(3, (2.0, event()))
    row = one.end()["a"]

    assert len(frames(one.folder / row.clip)) >= 18


def test_without_clips_nothing_is_encoded_but_the_pictures(desk: Callable[..., Desk]) -> None:
    one = desk(replace(FAST, clips=False))
    one.play(5, (2.0, event()), (3.0, event(type="end")))
    row = one.end()["a"]

    assert (one.files(), row.clip) == ([row.snapshot], "")
    assert one.recorder.ring.size < 5000


def test_without_events_nothing_is_written(desk: Callable[..., Desk]) -> None:
    one = desk()
    one.play(5)

    assert one.end() == {}
    assert one.files() == []


def test_a_picture_is_made_as_small_as_wanted(desk: Callable[..., Desk]) -> None:
    one = desk(replace(FAST, width=48))
    one.play(3, (2.0, event()))
    row = one.end()["a"]

    assert cv2.imread(str(one.folder / row.snapshot)).shape == (32, 48, 3)


def test_an_event_for_which_there_is_no_frame_gets_the_last_one(desk: Callable[..., Desk]) -> None:
    one = desk()
    one.play(3)
    wait_until(lambda: one.recorder.ring.newest and one.recorder.ring.newest.time > 2.8)
    lost = event("lost", kind="camera_lost", label="", box=())
    one.store.tell([lost])
    one.recorder.tell((lost,))
    row = one.end()["lost"]

    assert one.brightness(row) == 58
    assert frames(one.folder / row.clip)[-1][0] == pytest.approx(1.0, abs=0.11)


def test_before_the_first_frame_there_is_nothing_to_record(desk: Callable[..., Desk]) -> None:
    one = desk()
    one.recorder.tell((event(), event(type="end")))
    one.recorder.tell(())

    one.end()
    assert one.files() == []


def test_what_breaks_a_thread_of_the_recorder_reaches_the_loop(desk: Callable[..., Desk]) -> None:
    made = desk(replace(FAST, clips=False))
    empty = replace(scene(image=np.zeros((0, 0, 3), np.uint8)), events=(event(),))

    with pytest.raises(cv2.error):
        wait_until(lambda: made.recorder.write(empty))
    made.recorder.close()


def test_a_live_camera_never_waits(desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch) -> None:
    one = desk(live=True)
    real = one.recorder._jpeg
    monkeypatch.setattr(one.recorder, "_jpeg", lambda image: time.sleep(0.2) or real(image))
    one.play(4, (0.0, event()), start=time.monotonic())

    assert one.recorder.skipped > 20  # of 40: it waited for none of them


def test_the_clip_of_a_live_camera_ends_when_the_camera_is_away(desk: Callable[..., Desk]) -> None:
    one = desk(replace(FAST, longest=1.0), live=True)
    one.play(1, (0.9, event()), start=time.monotonic() - 1)

    wait_until(lambda: one.recorder.clips == 1)


def test_a_full_disk_stops_nothing_and_is_told_once_a_minute(
    desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(name: str, data: bytes) -> None:
        raise SinkError("rec: cannot write: No space left on device")

    one = desk()
    monkeypatch.setattr(one.shelf, "write", full)
    caplog.set_level(logging.WARNING)
    one.play(9, *((at / 2, event(str(at), kind)) for at in range(2, 15) for kind in ("start", "end")))
    rows = one.end()

    assert len(rows) == 13
    assert one.recorder.failed >= 13
    told = [row.getMessage() for row in caplog.records]
    assert told == ["not recorded: rec: cannot write: No space left on device"]


def test_more_words_than_can_wait_are_counted(
    desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WORDS", 3)
    one = desk(live=True)
    real = one.recorder._jpeg
    monkeypatch.setattr(one.recorder, "_jpeg", lambda image: time.sleep(0.3) or real(image))
    one.play(0.1, (0.0, event("first")), start=time.monotonic())
    for number in range(20):
        one.recorder.tell((event(str(number)),))

    assert one.recorder.failed >= 10


def test_it_closes_twice_and_leaves_no_thread(desk: Callable[..., Desk]) -> None:
    one = desk()
    one.recorder.close()
    one.recorder.close()

    assert not any(thread.is_alive() for thread in one.recorder._threads)


def test_what_was_wanted_of_an_event_before_its_clip_is_done_to_the_clip(desk: Callable[..., Desk]) -> None:
    one = desk()
    one.play(3, (1.0, event("a")), (1.0, event("b")), (2.0, event("a", "end")), (2.9, event("b", "end")))
    records = Records(one.store, one.shelf)
    wait_until(lambda: all((row := one.store.get(id)) and row.event.type == "end" for id in "ab"))
    records.protect("a", True)
    assert records.delete("b")
    rows = one.end()

    assert set(rows) == {"a"}
    assert not (one.folder / rows["a"].clip).stat().st_mode & 0o222


def test_the_clip_of_events_that_are_deleted_is_not_kept(desk: Callable[..., Desk]) -> None:
    one = desk()
    one.play(3, (1.0, event()), (2.9, event(type="end")))
    wait_until(lambda: (row := one.store.get("a")) and row.event.type == "end" and row.snapshot)
    assert Records(one.store, one.shelf).delete("a")
    one.end()

    assert one.files() == []


def test_records_protect_and_delete_what_events_share(desk: Callable[..., Desk]) -> None:
    one = desk()
    one.play(5, (2.0, event("a")), (2.0, event("b")), (3.0, event("a", "end")), (3.0, event("b", "end")))
    row = one.end()["a"]
    shelf = Shelf(one.folder, Limits(size=1))
    with closing(shelf):
        records = Records(one.store, shelf)
        protected: Any = records.protect("a", True)
        with pytest.raises(SinkError, match="protected"):
            records.delete("a")
        with pytest.raises(SinkError):
            shelf.make_room()
        assert one.files() == sorted([row.snapshot, row.clip])
        assert records.delete("b")
        assert one.files() == sorted([row.snapshot, row.clip])
        records.protect("a", False)
        assert records.delete("a")

    assert protected["protected"] is True
    assert one.files() == []
    assert records.delete("a") is False
    assert records.protect("a", True) is None
