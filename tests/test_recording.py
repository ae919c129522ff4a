from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import program
import pytest

from edge_detect import layers
from edge_detect.event_store import EventStore
from edge_detect.recording import open_kept, store_path

LIVE = f"pattern:?fps=30&width={program.SIZE[0]}&height={program.SIZE[1]}"
PICTURES = (b"\xff\xd8\xff", b"ftypisom", b"\x89PNG")  # JPEG, MP4, PNG


def settings(folder: Path, text: str) -> layers.Settings:
    path = folder / "own.toml"
    path.write_text(text)
    return layers.read(str(path), strict=True)


def test_without_a_wish_nothing_is_kept_and_nothing_imported(desk: Path, home: Path) -> None:
    with ExitStack() as stack:
        kept = open_kept(settings(desk, ""), stack, live=True)

    assert (kept.sinks, kept.records, kept.recorder) == ((), None, None)
    code = "import sys; from edge_detect.cli import main; main(sys.argv[1:]); print(*sys.modules)"
    end = program.subprocess.run(
        [program.sys.executable, "-c", code, "clip.mp4", "-q", "-m", "model.tflite", "--frames", "1"],
        capture_output=True, text=True, check=True, env=program.environment(),
    )  # fmt: skip
    ours = {f"edge_detect.{name}" for name in ("event_store", "records", "shelf", "sinks.recorder", "clip")}
    assert ours & set(end.stdout.split()) == set()
    assert {"av", "sqlite3"} & set(end.stdout.split()) == set()


@pytest.mark.parametrize(
    "text, path",
    [("", None), ('[recorder]\nfolder = "rec"', "rec/events.db"), ('[store]\npath = "e.db"', "e.db"),
     ('[recorder]\nfolder = "rec"\n[store]\npath = "e.db"', "e.db")],
    ids=["nothing", "recorder", "store", "both"],
)  # fmt: skip
def test_the_store_is_where_the_settings_say(desk: Path, home: Path, text: str, path: str | None) -> None:
    assert store_path(settings(desk, text).config) == (Path(path) if path else None)


@pytest.mark.parametrize(
    "more, key",
    [('[recorder]\nfolder = "rec"', "own.toml:4: recorder.folder"), ('[output]\noutputs = ["o.mp4"]', "output.outputs"),
     ('[output]\noutputs = ["all/"]', "output.outputs"), ('[output]\noutputs = ["one.jpg"]', "output.outputs"),
     ('[output]\nsnapshots = "seen"', "output.snapshots"), ("[output]\ndisplay = true", "output.display"),
     ('[mqtt]\nhost = "127.0.0.1"\nsnapshots = true', "own.toml:5: mqtt.snapshots")],
    ids=["recorder", "video", "pictures", "picture", "snapshots", "window", "broker"],
)  # fmt: skip
def test_what_wants_pictures_is_refused_in_one_line(desk: Path, home: Path, more: str, key: str) -> None:
    (desk / "own.toml").write_text(f"[privacy]\nno_pictures = true\n{more}\n")
    end = program.run(LIVE, "-q", "-m", "model.tflite", "--config", "own.toml", "--frames", "3")

    assert end.returncode in (2, 78)
    assert len(end.stderr.splitlines()) == 1
    assert f"{key}: wants pictures, which [privacy] no_pictures = true forbids" in end.stderr
    assert not any((desk / name).exists() for name in ("rec", "o.mp4", "all", "one.jpg", "seen"))


def test_a_run_without_pictures_gives_none_away(desk: Path, home: Path) -> None:
    pytest.importorskip("tornado")
    before = {path for path in desk.rglob("*") if path.is_file()}
    (desk / "own.toml").write_text(
        '[privacy]\nno_pictures = true\n[store]\npath = "kept/events.db"\n[web]\nlisten = "127.0.0.1:0"\n'
        '[output]\noutputs = ["seen.jsonl"]\n[events]\nfile = "events.jsonl"\nmin_duration = 0\n[detect]\nconfidence = 0.4\n'
    )
    with program.started(LIVE, "-m", "model.tflite", "--config", "own.toml") as child:
        assert child.stderr
        line = next(line for line in child.stderr if "live page" in line)
        url = re.findall(r"http://\S+/", line)[0]
        rows: list[Any] = []
        while not any(row.get("kind") for row in rows):
            rows = json.loads(get(url, "api/events")[1])["events"]
        state = json.loads(get(url, "api/state")[1])
        event = next(row["id"] for row in rows if row.get("kind"))
        refused = {
            path: get(url, path)
            for path in ("snapshot.jpg", "snapshot.jpg?overlay=0", "stream.mjpg", f"api/events/{event}/snapshot.jpg",
                         f"api/events/{event}/clip.mp4")
        }  # fmt: skip
        child.terminate()
        program.end_of(child)

    assert state["privacy"] == {"no_pictures": True, "blur": []}
    assert {status for status, _ in refused.values()} == {403}
    written = [path for path in desk.rglob("*") if path.is_file() and path not in before]
    assert {path.name for path in written} >= {"seen.jsonl", "events.jsonl", "events.db"}
    for data in [path.read_bytes() for path in written] + [body for _, body in refused.values()]:
        assert not any(mark in data for mark in PICTURES)


def get(url: str, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url + path, timeout=5) as answer:
            return answer.status, answer.read(10_000_000)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_a_run_keeps_events_with_pictures_and_clips(desk: Path, home: Path) -> None:
    pytest.importorskip("av", reason="needs PyAV, from the extra record")
    (desk / "own.toml").write_text(
        '[recorder]\nfolder = "rec"\nafter = 0.2\n[events]\nmin_duration = 0\n[detect]\nconfidence = 0.4\n'
    )
    end = program.run(
        LIVE, "-q", "-m", "model.tflite", "--headless", "--config", "own.toml", "--frames", "60"
    )
    with closing(EventStore(desk / "rec/events.db")) as store:
        rows = store.find()

    assert end.returncode == 0, end.stderr
    assert {row.event.label for row in rows} == {"person", "car"}
    assert {row.event.type for row in rows} == {"end"}
    assert all((desk / "rec" / row.snapshot).exists() and (desk / "rec" / row.clip).exists() for row in rows)


def test_a_class_to_blur_that_there_is_not_is_told_with_its_place(desk: Path, home: Path) -> None:
    (desk / "own.toml").write_text('[privacy]\nblur = ["persn"]\n')
    end = program.run(LIVE, "-q", "-m", "model.tflite", "--headless", "--config", "own.toml", "--frames", "3")

    assert end.returncode == 78
    assert "own.toml:2: privacy.blur" in end.stderr
    assert "did you mean 'person'?" in end.stderr


def test_what_is_blurred_is_blurred_in_every_output(desk: Path, home: Path) -> None:
    import cv2
    import numpy as np

    noise = np.random.default_rng(0).integers(0, 256, (program.SIZE[1], program.SIZE[0], 3), np.uint8)
    cv2.imwrite("noise.png", noise)
    for name, text in (("clear", ""), ("blurred", '[privacy]\nblur = ["person"]\n')):
        (desk / "own.toml").write_text(
            f'{text}[output]\noutputs = ["{name}.png"]\n[detect]\nconfidence = 0.9\n'
        )
        program.run("noise.png", "-q", "-m", "model.tflite", "--config", "own.toml")
    x1, y1, x2, y2 = 45, 25, 115, 75  # well inside of the person that the model sees everywhere
    detail = [
        np.abs(np.diff(cv2.imread(f"{name}.png")[y1:y2, x1:x2].astype(int), axis=1)).mean()
        for name in ("clear", "blurred")
    ]

    assert detail[1] < detail[0] / 4  # although the threshold leaves the person out
