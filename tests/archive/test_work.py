from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import films
import numpy as np
import pytest

from edge_detect import detections
from edge_detect.archive import work as working
from edge_detect.archive.footage import Recording, find
from edge_detect.archive.piece import Length
from edge_detect.archive.shards import Shard, cut
from edge_detect.archive.work import Result, Work, look, note
from edge_detect.frame import Frame
from edge_detect.scene import noted

Footage = Callable[..., list[Recording]]


def shards(recording: Recording, seconds: float = 1.0) -> list[Shard]:
    return cut(recording, Length(2.4, 25), seconds)


def rows(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.lines.splitlines()]


def test_a_shard_becomes_lines_and_an_account(work: Work, footage: Footage) -> None:
    results = [look(work, shard) for shard in shards(footage("a.mp4")[0])]

    assert [result.error for result in results] == ["", "", ""]
    assert [result.account.frames for result in results] == [25, 25, 10]
    assert [row["number"] for row in rows(results[1])] == list(range(25))
    assert [row["time"] for row in rows(results[1])] == pytest.approx(
        [1 + n / 25 for n in range(25)], abs=1e-3
    )
    assert [row["classes"] for row in rows(results[2])] == [[0, 1]] * 10


def test_a_shard_is_the_same_whenever_it_is_looked_at(work: Work, footage: Footage) -> None:
    shard = shards(footage("a.mp4")[0])[1]

    assert look(work, shard) == look(work, shard)


def test_only_some_frames_are_looked_at_when_that_is_wanted(work: Work, footage: Footage) -> None:
    result = look(replace(work, least=0.6, every=0.5), shards(footage("a.mp4")[0], 9)[0])

    assert [(row["number"], row["classes"]) for row in rows(result)] == [
        (n, [0]) for n in (0, 13, 25, 38, 50)
    ]


def test_notes_keep_every_bit(work: Work, footage: Footage) -> None:
    values = np.random.default_rng(0).random((50, 6), np.float32)
    found = detections.make(values[:, :4] * 2000, values[:, 4], np.arange(50))
    frame = Frame(films.picture(0), 1 / 3, 7, "a.mp4")

    again = noted(**json.loads(note(frame, found)))

    assert np.array_equal(again.detections.boxes, found.boxes)
    assert np.array_equal(again.detections.scores, found.scores)
    assert np.array_equal(again.detections.classes, found.classes)
    assert (again.frame.time, again.frame.number, again.frame.size) == (1 / 3, 7, films.SIZE)


def test_pictures_keep_their_numbers_and_those_that_cannot_be_read_are_told(
    work: Work, tmp_path: Path
) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), films.picture(number))
    (tmp_path / "1.png").write_bytes(b"no picture")

    result = look(work, cut(find([str(tmp_path / "*.png")])[0][0], Length(), 1)[0])

    assert [(row["number"], row["name"]) for row in rows(result)] == [
        (0, str(tmp_path / "0.png")), (2, str(tmp_path / "2.png")),
    ]  # fmt: skip
    (told,) = result.account.skipped
    assert told.startswith(f"{tmp_path}/1.png: not a picture")


def test_a_file_that_is_another_here_is_told(work: Work, footage: Footage) -> None:
    shard = shards(footage("a.mp4")[0])[0]
    path = Path(shard.files[0].path)
    size = path.stat().st_size
    here = f"(on {os.uname().nodename})"

    path.write_bytes(b"short")
    assert look(work, shard).error == f"{path}: expected {size} bytes, got 5 {here}"
    path.unlink()
    assert look(work, shard).error == f"{path}: No such file or directory {here}"


def test_another_version_is_told(work: Work, footage: Footage) -> None:
    error = look(replace(work, version="0.0.1"), shards(footage("a.mp4")[0])[0]).error

    assert error.startswith(f"worker {os.uname().nodename}: expected edge_detect 0.0.1, got ")


def test_another_model_is_told(work: Work, footage: Footage) -> None:
    error = look(replace(work, sha256="0" * 64), shards(footage("a.mp4")[0])[0]).error

    assert error == f"{work.model}: is not the model with which this was begun; begin again"


def test_a_model_that_was_sent_is_taken(
    work: Work, footage: Footage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = Path(work.model).rename(tmp_path / "sent.tflite")
    monkeypatch.setitem(working.SENT, work.sha256, sent)

    assert not look(replace(work, every=1.0), shards(footage("a.mp4")[0])[0]).error


def test_a_video_without_frames_is_told(work: Work, footage: Footage) -> None:
    recording = footage("a.mp4")[0]
    path = Path(recording.files[0].path)
    path.write_bytes(b"no video" * 99)

    error = look(work, shards(find([str(path)])[0][0])[0]).error

    assert error == f"{path}: not a video that can be read (expected MP4, MKV, AVI, MJPEG ...)"
