from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import films
import program
import psutil
import pytest
from program import run, started
from waiting import killed_in_time, wait_until

FRAMES, SHARDS = 1200, 24
RESULTS = ("detections.jsonl", "events.jsonl", "summary.csv", "timeline.png")
BATCH = ("batch", "long.mp4", "-m", "model.tflite", "--shard", "2", "-o", "out")


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Most of a minute of video, long enough to be disturbed in the middle."""
    return films.plain(tmp_path_factory.mktemp("long") / "long.mp4", FRAMES, size=(320, 240))


@pytest.fixture(scope="module")
def undisturbed(long_video: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The results of `BATCH` where nothing happens."""
    folder = tmp_path_factory.mktemp("undisturbed")
    prepare(folder, long_video)
    assert run(*BATCH, cwd=folder).returncode == 0
    return results(folder)


@pytest.fixture
def yard(tmp_path: Path, long_video: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: `long.mp4` and a model that sees two things in every frame."""
    prepare(tmp_path, long_video)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def prepare(folder: Path, video: Path) -> None:
    (folder / "model.tflite").write_bytes(program.detector())
    os.link(video, folder / "long.mp4")


def results(folder: Path) -> dict[str, bytes]:
    return {name: (folder / "out" / name).read_bytes() for name in RESULTS}


def shards_done() -> int:
    return len(list(Path("out/shards").glob("*.jsonl")))


def begun(child: subprocess.Popen[str]) -> None:
    """Returns when some shards are done, and most are not."""
    wait_until(lambda: shards_done() >= 3 or child.poll() is not None, 30)
    assert child.poll() is None
    assert shards_done() < SHARDS / 2


def workers(child: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(child.pid).children(recursive=True)
    return [one for one in children if "spawn_main" in " ".join(one.cmdline())]


def test_results_are_those_of_a_run(desk: Path) -> None:
    end = run("batch", "clip.mp4", "-m", "model.tflite", "-o", "out", "--shard", "0.5")

    once = run("run", "clip.mp4", "-m", "model.tflite", "--json", "--headless")
    assert end.returncode == 0, end.stderr
    assert (desk / "out/detections.jsonl").read_text() == once.stdout
    assert list(csv.reader((desk / "out/summary.csv").read_text().splitlines())) == [
        ["file", "label", "frames", "frames_with", "most_at_once", "first_s", "last_s", "problem"],
        ["clip.mp4", "car", "20", "20", "1", "0.000", "1.520", ""],
        ["clip.mp4", "person", "20", "20", "1", "0.000", "1.520", ""],
    ]
    assert end.stdout.splitlines() == [
        "file      label   frames  with it  at once   first    last",
        "clip.mp4  car         20       20        1  0:00.0  0:01.5",
        "          person      20       20        1  0:00.0  0:01.5",
        *(f"out/{name}" for name in RESULTS),
    ]
    assert cv2.imread("out/timeline.png").shape[1] == 1600
    events = [json.loads(line) for line in (desk / "out/events.jsonl").read_text().splitlines()]
    assert [(one["type"], one["kind"], one["label"], one["source"]) for one in events] == [
        (word, "appeared", label, "clip.mp4") for word in ("start", "end") for label in ("person", "car")
    ]


def test_every_shard_and_frame_is_there(undisturbed: dict[str, bytes]) -> None:
    rows = [json.loads(line) for line in undisturbed["detections.jsonl"].splitlines()]

    assert [row["frame"] for row in rows] == list(range(FRAMES))
    assert [row["time"] for row in rows] == pytest.approx([n / 25 for n in range(FRAMES)], abs=1e-3)


def test_a_killed_worker_costs_nothing_but_time(yard: Path, undisturbed: dict[str, bytes]) -> None:
    with started(*BATCH) as child, killed_in_time(child, 60):
        begun(child)
        workers(child)[0].kill()
        log = program.end_of(child)[1]

    assert child.returncode == 0, log
    assert "crashed its worker; tried again" in log
    assert results(yard) == undisturbed


def test_a_killed_batch_goes_on(yard: Path, undisturbed: dict[str, bytes]) -> None:
    with started(*BATCH) as child:
        begun(child)
        orphans = workers(child)
        child.kill()
        child.wait()
        wait_until(lambda: not any(one.is_running() and one.status() != "zombie" for one in orphans))
    done = shards_done()

    end = run(*BATCH)

    assert end.returncode == 0, end.stderr
    assert f"out: 1 recordings, {SHARDS - done} shards to look at" in end.stderr
    assert results(yard) == undisturbed


@pytest.mark.slow
def test_ctrl_c_ends_at_once_and_the_same_command_goes_on(yard: Path, undisturbed: dict[str, bytes]) -> None:
    with started(*BATCH, start_new_session=True) as child, killed_in_time(child, 60):
        begun(child)
        mine = workers(child)
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to all of them
        child.wait(10)
        assert not any(one.is_running() and one.status() != "zombie" for one in mine)
        log = program.end_of(child)[1]

    assert child.returncode == 130
    assert log.splitlines()[-1].endswith("shards left; the same command goes on")
    assert "Traceback" not in log
    assert run(*BATCH).returncode == 0
    assert results(yard) == undisturbed


def test_nothing_is_done_twice(desk: Path) -> None:
    words = ("batch", "clip.mp4", "photo.jpg", "-m", "model.tflite", "-o", "out", "--workers", "1")
    first = run(*words)
    before = results(desk)

    again = run(*words)

    assert program.codes(first, again) == [0, 0]
    assert again.stderr.endswith("out: 2 recordings, nothing is left to do\n")
    assert (again.stdout, results(desk)) == (first.stdout, before)


def test_other_settings_are_refused_or_begin_anew(desk: Path) -> None:
    words = ("batch", "clip.mp4", "-m", "model.tflite", "-o", "out", "--workers", "1")
    run(*words)

    refused, anew = run(*words, "--fit", "stretch"), run(*words, "--fit", "stretch", "--anew")

    assert program.codes(refused, anew) == [2, 0]
    assert refused.stderr == (
        'edge-detect: error: out: was begun with fit "letterbox", not "stretch"; --anew begins again,'
        " or choose another folder\n"
    )


def test_other_thresholds_need_no_other_look(desk: Path) -> None:
    words = ("batch", "clip.mp4", "-m", "model.tflite", "-o", "out", "--workers", "1")
    run(*words)

    end = run(*words, "-c", "0.6")

    assert end.stderr.endswith("out: 1 recordings, nothing is left to do\n")
    once = run("run", "clip.mp4", "-m", "model.tflite", "--json", "--headless", "-c", "0.6")
    assert (desk / "out/detections.jsonl").read_text() == once.stdout
    assert '"car"' not in once.stdout


def test_settings_files_count(desk: Path) -> None:
    (desk / "a.toml").write_text('[model]\npath = "model.tflite"\n[detect]\nclasses = ["car"]\n')

    end = run("batch", "clip.mp4", "--config", "a.toml", "-o", "out", "--workers", "1")

    assert end.returncode == 0, end.stderr
    assert "person" not in (desk / "out/detections.jsonl").read_text()


@pytest.mark.parametrize(
    "text, code, said",
    [
        ("[events]\nhits = 6\n", 2, "events.hits: expected 5 or less, as among says, got 6"),
        ("[detect]\nclasses = ['cat']\n", 78, "a.toml:2: detect.classes = [\"cat\"]: classes: unknown class 'cat'"),
        ("[[zones]]\nname = 'a'\n", 78, "a.toml:1: zones: zone 'a': expected 3 points or more for a zone, got 0"),
    ],
    ids=["events", "classes", "zones"],
)  # fmt: skip
def test_wrong_settings_are_told_before_anybody_looks(desk: Path, text: str, code: int, said: str) -> None:
    (desk / "a.toml").write_text(text)

    end = run("batch", "clip.mp4", "-m", "model.tflite", "--config", "a.toml", "-o", "out")

    assert (end.returncode, end.stderr.count("\n")) == (code, 1)
    assert end.stderr.startswith(f"edge-detect: error: {said}")
    assert not (desk / "out").exists()


def test_what_is_broken_or_missing_is_told_and_the_rest_is_done(desk: Path) -> None:
    (desk / "bad.mp4").write_bytes(b"no video" * 99)
    (desk / "photos").mkdir()
    (desk / "photos/bad.jpg").write_bytes(b"no picture")
    cv2.imwrite("photos/good.jpg", program.picture())

    end = run(
        "batch",
        "bad.mp4",
        "clip.mp4",
        "photos",
        "no.mp4",
        "-m",
        "model.tflite",
        "-o",
        "out",
        "--workers",
        "1",
    )

    assert end.returncode == 1
    assert "ERROR no.mp4: no such file or folder\n" in end.stderr
    assert "ERROR bad.mp4: not a video that can be read (expected MP4, MKV, AVI, MJPEG ...)\n" in end.stderr
    assert [line for line in end.stdout.splitlines() if line.startswith("!")] == [
        "! bad.mp4: not a video that can be read (expected MP4, MKV, AVI, MJPEG ...)",
        "! photos/bad.jpg: not a picture that can be read (expected JPEG, PNG, BMP, TIFF or WebP)",
    ]
    rows = list(csv.DictReader((desk / "out/summary.csv").read_text().splitlines()))
    assert [(row["file"], row["label"], row["frames"]) for row in rows] == [
        ("bad.mp4", "", ""), ("clip.mp4", "car", "20"), ("clip.mp4", "person", "20"),
        ("photos/", "car", "1"), ("photos/", "person", "1"),
    ]  # fmt: skip


def test_an_empty_folder_is_told(desk: Path) -> None:
    (desk / "empty").mkdir()

    end = run("batch", "empty", "-o", "out")

    assert (end.returncode, end.stdout) == (66, "")
    assert end.stderr.endswith(" ERROR empty: no video or picture there\n")
    assert not (desk / "out").exists()


@pytest.mark.parametrize(
    "words, code, said",
    [
        (("--shard", "0"), 2, "--shard 0: expected 0.1 to 3600 seconds"),
        (("--executor", "spark"), 2, "--executor spark: expected process or dask://HOST:PORT"),
        (("--executor", "dask://here"), 2, "--executor dask://here: expected process or dask://HOST:PORT"),
        (("--workers", "999"), 2, "--workers 999: expected at most 256"),
        (("--classes", "cat"), 2, "classes: unknown class 'cat', did you mean 'car'?"),
        (("-m", "no.tflite"), 66, "no.tflite: cannot read the model: No such file or directory; give a .tflite file"
                                  " with --model"),
    ],
)  # fmt: skip
def test_wrong_words_are_answered_in_one_line(
    desk: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    end = run("batch", "clip.mp4", "-m", "model.tflite", "-o", "out", "-q", *words)

    assert (end.returncode, end.stderr) == (code, f"edge-detect: error: {said}\n")


def test_two_at_once_in_one_folder_are_refused(yard: Path) -> None:
    with started(*BATCH) as child:
        begun(child)
        end = run(*BATCH)

    assert end.returncode == 74
    assert end.stderr == (
        "edge-detect: error: out/.lock: another edge-detect holds it; try again when that is done\n"
    )


@contextmanager
def cluster(folder: Path, count: int) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """The address of a Dask scheduler, and its workers, each a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"

    def start(stack: ExitStack, *words: str) -> subprocess.Popen[bytes]:
        dask = (sys.executable, "-m", "dask")
        log = stack.enter_context((folder / f"{words[0]}.log").open("ab"))
        child = stack.enter_context(subprocess.Popen([*dask, *words], stdout=log, stderr=log, cwd=folder))
        stack.callback(child.kill)
        return child

    with ExitStack() as stack:
        host, _, port = address.partition(":")
        start(stack, "scheduler", "--host", host, "--port", port, "--no-dashboard")
        worker = ("worker", f"tcp://{address}", "--nthreads", "1", "--no-nanny", "--no-dashboard")
        children = [start(stack, *worker, "--local-directory", str(folder)) for _ in range(count)]
        yield address, children


@pytest.mark.slow
def test_a_cluster_loses_and_doubles_nothing_when_a_worker_is_killed(
    yard: Path, undisturbed: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    pytest.importorskip("distributed")
    with (
        cluster(tmp_path_factory.mktemp("dask"), 2) as (address, dask),
        started(*BATCH, "--executor", f"dask://{address}") as child,
        killed_in_time(child, 100),
    ):
        wait_until(lambda: shards_done() >= 3 or child.poll() is not None, 60)
        assert child.poll() is None
        dask[0].kill()
        log = program.end_of(child)[1]

    assert child.returncode == 0, log
    assert results(yard) == undisturbed


@pytest.mark.slow
def test_a_scheduler_that_goes_away_ends_it_and_the_same_command_goes_on(
    yard: Path, undisturbed: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    pytest.importorskip("distributed")
    with (
        cluster(tmp_path_factory.mktemp("dask"), 1) as (address, _),
        started(*BATCH, "--executor", f"dask://{address}") as child,
        killed_in_time(child, 100),
    ):
        wait_until(lambda: shards_done() >= 3 or child.poll() is not None, 60)
        for one in psutil.Process().children():
            if "scheduler" in one.cmdline():
                one.kill()
        log = program.end_of(child)[1]

    assert child.returncode == 69, log
    assert log.splitlines()[-1].endswith("the same command goes on")
    assert run(*BATCH).returncode == 0
    assert results(yard) == undisturbed


@pytest.mark.slow
def test_no_scheduler_is_told(desk: Path) -> None:
    pytest.importorskip("distributed")
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        port = deaf.getsockname()[1]
        words = ("batch", "clip.mp4", "-m", "model.tflite", "-o", "out", "-q")
        end = run(*words, "--executor", f"dask://127.0.0.1:{port}")

    assert end.returncode == 69
    assert end.stderr == f"edge-detect: error: dask://127.0.0.1:{port}: no Dask scheduler answers there\n"
