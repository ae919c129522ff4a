"""What recordings stand: a process that is killed at any point, and a disk that is full."""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import program
import pytest
from kept_words import event
from scenes import scene

from edge_detect.config import Recorder as Settings
from edge_detect.event_store import EventStore
from edge_detect.records import Records
from edge_detect.shelf import Limits, Shelf
from edge_detect.sinks.recorder import Recorder

av = pytest.importorskip("av", reason="needs PyAV, from the extra record")

TESTS = Path(__file__).parent
LONGEST = 1.2  # seconds until a child is killed


def kill_in_the_middle(folder: Path, after: float) -> None:
    """Lets a child record into a folder and kills it at a moment of its work."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    command = [sys.executable, str(TESTS / "recording_child.py"), str(folder)]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        time.sleep(after)  # the point is to strike anywhere
        child.kill()
    assert child.returncode == -9


def plays(path: Path) -> bool:
    with av.open(str(path)) as file:
        return sum(1 for _ in file.decode(video=0)) > 0


@pytest.mark.slow
def test_whatever_is_killed_leaves_whole_files_and_events_with_an_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chance, seen = random.Random(7), {"events": 0, "clips": 0, "drafts": 0, "closed": 0}
    for _ in range(10):
        kill_in_the_middle(tmp_path, chance.uniform(0.05, LONGEST))
        seen["drafts"] += len(list(tmp_path.glob(".*.part")))
        with (
            closing(EventStore(tmp_path / "events.db")) as store,
            closing(Shelf(tmp_path, Limits())) as shelf,
        ):
            records, rows = Records(store, shelf), store.find(limit=100_000)
            seen["events"], seen["closed"] = len(rows), seen["closed"] + len(store.closed)
            assert {row.event.type for row in rows} <= {"end"}
            assert list(tmp_path.glob(".*.part")) == []
            for row in rows:  # what an event has is there whole, or is gone
                if (handle := records.clip(row.event.id)) is not None:
                    os.close(handle)
                picture = records.snapshot(row.event.id)
                assert picture is None or picture.endswith(b"\xff\xd9")  # JPEG's last two bytes
        clips, pictures = list(tmp_path.glob("*.mp4")), list(tmp_path.glob("*.jpg"))
        assert all(map(plays, clips))
        assert all(cv2.imread(str(path)) is not None for path in pictures)
        seen["clips"] += len(clips)

    assert list(tmp_path.glob("*.corrupt*")) == []
    assert "cannot be read" not in caplog.text
    assert seen["events"] > 20
    assert seen["clips"] > 5
    assert seen["closed"] > 0


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("needs root, to mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Somebody else takes all that is left of a disk."""
    ballast = disk / "ballast"
    try:
        with ballast.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError:
        pass
    return ballast


def play(store: EventStore, recorder: Recorder, prefix: str, n: int = 12) -> None:
    """Shows events, each with a picture of some 30 KB."""
    noise = np.random.default_rng(0).integers(0, 256, (120, 200, 3), np.uint8)
    for number in range(n * 20):
        words = {0: "start", 10: "end"}
        events = (event(f"{prefix}{number // 20:03}", words[number % 20]),) if number % 20 in words else ()
        one = replace(scene(time=len(prefix) * 1000 + number / 10, number=number, image=noise), events=events)
        store.write(one)
        recorder.write(one)


def test_on_a_full_disk_the_oldest_go_the_protected_stay_and_it_goes_on(
    tiny: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    store = EventStore(tiny / "rec/events.db", every=0.05)
    shelf = Shelf(tiny / "rec", Limits(free=1 << 30), store.lose)
    recorder = Recorder(Settings(before=0.5, after=0.5), shelf, store, live=False)
    with closing(store), closing(shelf), closing(recorder):
        records = Records(store, shelf)
        play(store, recorder, "a", 2)
        while recorder.clips < 1 or not store.get("a000") or not store.get("a000").clip:  # type: ignore[union-attr]
            time.sleep(0.01)
        records.protect("a000", True)
        play(store, recorder, "bb", 40)
        for number in range(5):  # whatever we delete, somebody else takes
            ballast = fill(tiny)
            play(store, recorder, "ccc" + "c" * number, 4)
        failed = recorder.failed
        ballast.unlink()
        play(store, recorder, "d" * 9, 5)
        recorder.close()
        rows = {row.event.id: row for row in store.find(limit=1000)}

    assert shelf.deleted["free"] > 10
    assert rows["a000"].snapshot
    assert (tiny / "rec" / rows["a000"].clip).exists()
    assert rows["bb000"].snapshot == ""  # the oldest that nobody protects
    assert len(rows) == 67  # every event is told of
    assert failed > 0
    assert rows["d" * 9 + "004"].clip  # with room again it goes on
    told = [row.getMessage().partition(":")[0] for row in caplog.records]
    assert len(told) == len(set(told)) <= 3  # a line a minute for each trouble


def test_a_run_on_a_full_disk_detects_to_the_end(tiny: Path, desk: Path) -> None:
    fill(tiny)
    (desk / "own.toml").write_text(
        f'[recorder]\nfolder = "{tiny}/rec"\n[detect]\nconfidence = 0.4\n[events]\nfile = "-"\nmin_duration = 0\n'
    )
    uri = f"pattern:?fps=50&width={program.SIZE[0]}&height={program.SIZE[1]}"
    end = program.run(uri, "-m", "model.tflite", "--headless", "--config", "own.toml", "--frames", "120")

    events = [json.loads(line) for line in end.stdout.splitlines()]
    assert end.returncode == 0, end.stderr
    assert {row["type"] for row in events} >= {"start", "end"}
    assert end.stderr.count("database or disk is full") == 1
    assert end.stderr.count("nothing is left to delete") == 1
