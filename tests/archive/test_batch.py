from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import films
import pytest

from edge_detect.archive.batch import Batch
from edge_detect.archive.footage import Recording, find
from edge_detect.archive.ledger import Ledger
from edge_detect.archive.merge import Judge
from edge_detect.archive.progress import Progress
from edge_detect.archive.shards import Shard
from edge_detect.archive.work import Result, Work, look
from edge_detect.config import Config
from edge_detect.errors import SourceLost
from edge_detect.labels import Labels

JUDGE = Judge(Config(), Labels(("person", "car")), "model.tflite", "0" * 64, follows=True)
Footage = Callable[..., list[Recording]]


class Hands:
    """A crew that works while nobody looks; shards in `deadly` crash it so many times, with all it has in hand."""

    count = 2

    def __init__(self, work: Work, deadly: dict[str, int] | None = None) -> None:
        self.work, self.deadly = work, dict(deadly or {})
        self.done: list[str] = []
        self.renewed = 0
        self._hands: list[tuple[Future[Result], Shard]] = []
        self._broken = False

    def submit(self, shard: Shard) -> Future[Result]:
        if self._broken:
            raise BrokenProcessPool("broken")
        future: Future[Result] = Future()
        self._hands.append((future, shard))
        name = str(shard).rpartition("/")[2]
        if self.deadly.get(name, 0):
            self.deadly[name] -= 1
            self._broken = True
            for one, _ in self._hands:
                one.set_exception(BrokenProcessPool("a child died"))
            self._hands = []
        elif not self.deadly:
            self.check()
        return future

    def check(self) -> None:
        for future, shard in self._hands:
            self.done.append(str(shard).rpartition("/")[2])
            future.set_result(look(self.work, shard))
        self._hands = []

    def renew(self) -> None:
        self.renewed += 1
        self._broken = False

    def close(self) -> None: ...


def begin(recordings: list[Recording], folder: Path, seconds: float = 1.0) -> Batch:
    ledger = Ledger(folder)
    ledger.begin({"model": "m"})
    return Batch(recordings, ledger, seconds)


def do(batch: Batch, crew: Hands) -> bool:
    return batch.work(crew, Progress(quiet=True), threading.Event())


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "detections.jsonl").read_text().splitlines()]


def test_all_is_done_once_and_put_together_in_order(work: Work, footage: Footage, tmp_path: Path) -> None:
    batch, crew = begin(footage("b.mp4", "a.mp4"), tmp_path / "out"), Hands(work)

    assert do(batch, crew)
    tallies = batch.finish(tmp_path / "out", JUDGE)

    assert crew.done == [
        f"{name}.mp4: {part}" for name in "ab" for part in ("0 to 1 s", "1 to 2 s", "from 2 s")
    ]
    rows = lines(tmp_path / "out")
    assert [row["frame"] for row in rows] == [*range(60), *range(60)]
    assert [str(row["source"])[-5:] for row in rows] == ["a.mp4"] * 60 + ["b.mp4"] * 60
    assert [(tally.frames, tally.problems) for tally in tallies] == [(60, ())] * 2


def test_what_is_done_is_not_done_again(work: Work, footage: Footage, tmp_path: Path) -> None:
    recordings = footage("a.mp4")
    do(begin(recordings, tmp_path / "out"), Hands(work))

    again, crew = begin([*recordings, *footage("b.mp4")], tmp_path / "out"), Hands(work)
    assert do(again, crew)

    assert [name[:5] for name in crew.done] == ["b.mp4"] * 3


def test_a_crash_costs_only_the_time(
    work: Work, footage: Footage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    batch, crew = begin(footage("a.mp4"), tmp_path / "out"), Hands(work, {"a.mp4: 1 to 2 s": 1})

    assert do(batch, crew)

    assert crew.renewed == 1
    assert not batch.finish(tmp_path / "out", JUDGE)[0].problems
    assert [row["frame"] for row in lines(tmp_path / "out")] == list(range(60))
    assert "crashed its worker; tried again" in caplog.text


def test_what_crashes_every_worker_is_given_up_and_the_innocent_are_not(
    work: Work, footage: Footage, tmp_path: Path
) -> None:
    recordings = footage("a.mp4", "b.mp4", "c.mp4")
    batch, crew = begin(recordings, tmp_path / "out", 9), Hands(work, {"b.mp4: from 0 s": 3})

    assert do(batch, crew)
    tallies = batch.finish(tmp_path / "out", JUDGE)

    assert [tally.failed for tally in tallies] == [False, True, False]
    (problem,) = tallies[1].problems
    assert problem.endswith("b.mp4: from 0 s: crashed its worker, 3 times")
    assert [str(row["source"])[-5:] for row in lines(tmp_path / "out")] == ["a.mp4"] * 60 + ["c.mp4"] * 60


def test_a_suspect_is_tried_while_nothing_else_is(work: Work, footage: Footage, tmp_path: Path) -> None:
    class Watched(Hands):
        def submit(self, shard: Shard) -> Future[Result]:
            future = super().submit(shard)
            beside.append([str(other).rpartition("/")[2] for _, other in self._hands])
            return future

    beside: list[list[str]] = []
    recordings = footage("a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4", "f.mp4")
    crew = Watched(work, {"a.mp4: from 0 s": 1})

    assert do(begin(recordings, tmp_path / "out", 9), crew)
    again = [names for names in beside if "a.mp4: from 0 s" in names]
    assert again == [["a.mp4: from 0 s"]]


def test_a_video_that_cannot_be_cut_is_looked_at_in_one_piece(
    work: Work, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("av")
    times = [number / 25 for number in range(100)]
    path = films.stamped(tmp_path / "a.avi", times, "mpeg4", 25, g="50", bf="2")
    recordings = find([str(path)])[0]
    batch, crew = begin(recordings, tmp_path / "out", 0.7), Hands(work)

    assert do(batch, crew)
    batch.finish(tmp_path / "out", JUDGE)

    assert [row["frame"] for row in lines(tmp_path / "out")] == list(range(100))
    assert crew.done[-1] == "a.avi: from 0 s"
    assert f"{path}: cannot be cut between two frames; looked at in one piece" in caplog.messages
    assert begin(recordings, tmp_path / "out", 0.7).left() == []


def test_a_broken_file_is_a_line_and_not_the_end(
    work: Work, footage: Footage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video" * 99)
    recordings = footage("a.mp4") + find([str(tmp_path / "bad.mp4")])[0]
    batch = begin(recordings, tmp_path / "out")

    assert do(batch, Hands(work))
    good, bad = batch.finish(tmp_path / "out", JUDGE)

    assert (good.frames, good.problems, bad.failed) == (60, (), True)
    assert bad.problems == (
        f"{tmp_path}/bad.mp4: not a video that can be read (expected MP4, MKV, AVI, MJPEG ...)",
    )
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == [*bad.problems]


def test_a_video_that_was_cut_off_is_told_and_its_beginning_kept(
    work: Work, footage: Footage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = films.plain(tmp_path / "half.mkv", 100)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    recordings = footage("a.mp4") + find([str(path)])[0]
    batch = begin(recordings, tmp_path / "out")

    assert do(batch, Hands(work))
    whole, half = sorted(batch.finish(tmp_path / "out", JUDGE), key=lambda tally: tally.name)

    assert (whole.frames, whole.problems) == (60, ())
    assert 0 < half.frames < 60
    (line,) = half.problems
    assert line.startswith(f"{path}: ends at ")
    assert line.endswith(" of 4.0 s: cut off or damaged")
    assert line in caplog.messages


def test_a_file_that_changes_meanwhile_is_told(work: Work, footage: Footage, tmp_path: Path) -> None:
    batch = begin(footage("a.mp4", "b.mp4"), tmp_path / "out")
    (tmp_path / "a.mp4").write_bytes(b"gone")

    assert do(batch, Hands(work))

    bad, good = batch.finish(tmp_path / "out", JUDGE)
    assert bad.problems[0].startswith(f"{tmp_path}/a.mp4: expected ")
    assert good.frames == 60


def test_it_stops_when_it_is_told_to(work: Work, footage: Footage, tmp_path: Path) -> None:
    batch, stop = begin(footage("a.mp4"), tmp_path / "out"), threading.Event()
    stop.set()

    assert not batch.work(Hands(work), Progress(quiet=True), stop)
    assert len(batch.left()) == 3


def test_a_crew_that_is_lost_ends_it(work: Work, footage: Footage, tmp_path: Path) -> None:
    class Lost(Hands):
        def submit(self, shard: Shard) -> Future[Result]:
            future: Future[Result] = Future()
            future.cancel()
            future.set_running_or_notify_cancel()
            return future

    with pytest.raises(SourceLost, match="the same command goes on"):
        do(begin(footage("a.mp4"), tmp_path / "out"), Lost(work))
