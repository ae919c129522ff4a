from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import program
import pytest
from program import run, started
from tflite_files import Output, build

from edge_detect.cli import main

MODELS = Path(__file__).resolve().parents[2] / "models"
MODEL = ("-m", "model.tflite", "-q")
LIVE = f"pattern:?width={program.SIZE[0]}&height={program.SIZE[1]}"
ENDLESS = f"{LIVE}&fps=0"
SEEN = [
    {"label": "person", "class_id": 0, "score": 0.75, "box": [40.0, 20.0, 120.0, 80.0]},
    {"label": "car", "class_id": 1, "score": 0.5, "box": [130.0, 10.0, 190.0, 60.0]},
]
TRACKED = [one | {"track_id": number} for number, one in enumerate(SEEN, 1)]


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def frames_in(video: Path) -> int:
    """Frames that OpenCV can read."""
    capture, count = cv2.VideoCapture(str(video)), 0
    while capture.read()[0]:
        count += 1
    capture.release()
    return count


@pytest.fixture
def disk(desk: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    place = desk / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_every_frame_of_a_file_gets_a_line(desk: Path) -> None:
    end = run("clip.mp4", *MODEL, "--json")

    told = lines(end.stdout)
    assert (end.returncode, end.stderr, len(told)) == (0, "", 20)
    assert told[0] == {
        "source": "clip.mp4", "frame": 0, "time": 0.0, "width": 200, "height": 100, "detections": TRACKED
    }  # fmt: skip
    assert [(row["frame"], row["time"]) for row in told] == [(n, round(n / 12.5, 3)) for n in range(20)]


def test_the_log_goes_to_standard_error(desk: Path) -> None:
    end = run("-m", "model.tflite", "clip.mp4", "--json", "--log-every", "0.0001")

    assert len(lines(end.stdout)) == 20
    assert all(re.match(r"\d\d:\d\d:\d\d INFO ", line) for line in end.stderr.splitlines())
    assert end.stderr.count("limited by: ") > 1


def test_frames_counts_frames_and_not_time(desk: Path) -> None:
    end = run(LIVE, *MODEL, "--json", "--frames", "3")

    assert (end.returncode, len(lines(end.stdout))) == (0, 3)


def test_time_of_a_camera_is_unix_time(desk: Path) -> None:
    before = Path("model.tflite").stat().st_mtime

    told = lines(run(LIVE, *MODEL, "--json", "--frames", "1").stdout)

    assert before - 1 < told[0]["time"] < Path.cwd().stat().st_mtime + 3600


def test_boxes_stay_inside_the_picture(desk: Path) -> None:
    wide = ((-0.5, -0.25, 0.5, 0.5), (0.5, 0.5, 1.5, 1.25))  # y1 x1 y2 x2
    (desk / "wide.tflite").write_bytes(program.detector(boxes=wide))

    told = lines(run("-q", "-m", "wide.tflite", "clip.mp4", "--json", "--frames", "1").stdout)

    assert [seen["box"] for seen in told[0]["detections"]] == [[0, 0, 100, 50], [100, 50, 200, 100]]


@pytest.mark.parametrize("place", ["photo.jpg", "photos", "photos/*.jpg", "file:clip.mp4", "clip.mp4"])
def test_a_source_is_a_picture_a_folder_a_glob_or_a_video(desk: Path, place: str) -> None:
    (desk / "photos/more").mkdir(parents=True)
    for name in ("photos/a.jpg", "photos/b.jpg", "photos/more/c.jpg"):
        (desk / name).write_bytes((desk / "photo.jpg").read_bytes())

    told = lines(run(place, *MODEL, "--json").stdout)

    sources = {"photo.jpg": ["photo.jpg"], "photos": ["photos/a.jpg", "photos/b.jpg", "photos/more/c.jpg"]}
    sources |= {"photos/*.jpg": sources["photos"][:2]}
    assert [row["source"] for row in told] == sources.get(place, ["clip.mp4"] * 20)
    seen = TRACKED if "clip" in place else SEEN  # a picture has no time in which things could move
    assert all(row["detections"] == seen for row in told)


def test_a_picture_that_cannot_be_read_is_named_counted_and_skipped(desk: Path) -> None:
    (desk / "photos").mkdir()
    (desk / "photos/a.jpg").write_bytes((desk / "photo.jpg").read_bytes())
    (desk / "photos/b.jpg").write_bytes(b"no picture")

    end = run("photos", *MODEL, "--json")

    assert (end.returncode, [row["source"] for row in lines(end.stdout)]) == (0, ["photos/a.jpg"])
    assert [line.partition(" ")[2] for line in end.stderr.splitlines()] == [
        "WARNING skipped: photos/b.jpg: not a picture that can be read"
        " (expected JPEG, PNG, BMP, TIFF or WebP)",
        "WARNING 1 of 2 pictures skipped",
    ]


NO_PICTURE = "no picture there (expected JPEG, PNG, BMP, TIFF or WebP)"
NO_FOLDER = "No such file or directory"
IMPOSSIBLE = {
    "no.mp4": (66, "source 'no.mp4': no such file or folder"),
    "no*.jpg": (66, f"source 'no*.jpg': {NO_PICTURE}"),
    "empty": (66, f"source 'empty': {NO_PICTURE}"),
    "v4l2:/dev/video99": (66, "/dev/video99: "),
    "zero.mp4": (1, "zero.mp4: the file is empty"),
    "model.tflite": (1, "model.tflite: not a video that can be read (expected MP4, MKV, AVI, MJPEG ...)"),
    "bad.jpg": (1, "bad.jpg: not a picture that can be read (expected JPEG, PNG, BMP, TIFF or WebP)"),
    "clip.mp4 -m no.tflite": (
        66, f"no.tflite: cannot read the model: {NO_FOLDER}; give a .tflite file with --model"
    ),
    "clip.mp4 -m empty": (1, "empty: a directory, expected a .tflite file"),
    "clip.mp4 -m bad.jpg": (1, "bad.jpg: the file does not begin like a TFLite file"),
    "clip.mp4 -m half.tflite": (
        1, "half.tflite: a damaged or truncated TFLite file; copy or download it again"
    ),
    "clip.mp4 -m class.tflite": (
        1, "class.tflite: outputs [1, 10] look like a classifier, not a detector; use a detector"
    ),
    "clip.mp4 -m state.tflite": (1, "state.tflite: 2 inputs: a stateful model"),
    "clip.mp4 -l no.txt": (66, f"no.txt: cannot read the labels: {NO_FOLDER}"),
    "clip.mp4 -l clip.mp4": (
        2, "clip.mp4: expected a text file with one label a line, got binary data"
    ),
    "clip.mp4 --output no/o.mp4": (74, f"no/o.mp4: cannot write the video: {NO_FOLDER}"),
    "clip.mp4 --output no/o.jsonl": (74, f"no/o.jsonl: cannot write: {NO_FOLDER}"),
    "clip.mp4 --output bad.jpg/o/": (74, "bad.jpg/o/: cannot make the folder: Not a directory"),
    "clip.mp4 --snapshots bad.jpg": (74, "bad.jpg: cannot make the folder: File exists"),
    "clip.mp4 --stats no/o.csv": (74, f"no/o.csv: cannot write: {NO_FOLDER}"),
    "clip.mp4 --stats /dev/full": (74, "/dev/full: cannot write: No space left on device"),
    "photo.jpg --output .": (74, "photo.jpg: is the picture itself; choose another place"),
}  # fmt: skip


@pytest.mark.parametrize("words", IMPOSSIBLE)
def test_what_cannot_be_done_is_told_in_one_line(
    desk: Path, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    (desk / "empty").mkdir()
    (desk / "zero.mp4").touch()
    (desk / "bad.jpg").write_bytes(b"no picture, no model")
    (desk / "half.tflite").write_bytes(program.detector()[:2000])
    (desk / "class.tflite").write_bytes(build([Output(np.zeros((1, 10)))]))
    (desk / "state.tflite").write_bytes(build([Output(np.zeros((1, 10)))], extra_inputs=1))

    code = main([*MODEL, *words.split(), "--json"])

    expected, message = IMPOSSIBLE[words]
    told = capsys.readouterr().err
    assert (code, told.count("\n")) == (expected, 1)
    assert told.startswith(f"edge-detect: error: {message}")


def test_labels_that_do_not_fit_are_told_once(desk: Path) -> None:
    (desk / "three.txt").write_text("a\nb\nc\n")

    end = run("clip.mp4", *MODEL, "-l", "three.txt", "--json")

    assert end.stderr.count("\n") == 1
    assert " WARNING three.txt: 3 labels for a model of 2 classes: the last 1 are not used\n" in end.stderr
    assert {seen["label"] for row in lines(end.stdout) for seen in row["detections"]} == {"a", "b"}


def test_a_camera_that_stays_away_ends_with_69(desk: Path) -> None:
    with subprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE) as silent:
        end = run("-", *MODEL, "--give-up", "0.3", stdin=silent.stdout)
        silent.kill()

    assert (end.returncode, end.stdout) == (69, "")
    assert re.fullmatch(r"edge-detect: error: -: no frame for \d+ s, gave up\n", end.stderr)


def test_several_outputs_are_written_at_once(desk: Path) -> None:
    outputs = ("all/", "o.jsonl", "-", "last.jpg", "o.mp4")

    end = run("clip.mp4", *MODEL, *(word for name in outputs for word in ("-o", name)))

    assert (end.returncode, end.stderr) == (0, "")
    assert (desk / "o.jsonl").read_text() == end.stdout
    assert sorted(path.name for path in (desk / "all").iterdir()) == [f"frame-{n:06d}.jpg" for n in range(20)]
    assert (desk / "last.jpg").read_bytes() == (desk / "all/frame-000019.jpg").read_bytes()
    assert frames_in(desk / "o.mp4") == 20


def test_annotated_video_keeps_the_rate_of_the_file(desk: Path) -> None:
    run("clip.mp4", *MODEL, "--output", "o.mp4")

    capture = cv2.VideoCapture("o.mp4")
    assert capture.get(cv2.CAP_PROP_FPS) == 12.5
    assert (capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)) == program.SIZE


def test_snapshots_come_once_a_second_of_the_clip(desk: Path) -> None:
    run("clip.mp4", *MODEL, "--snapshots", "seen")

    assert sorted(path.name for path in (desk / "seen").iterdir()) == [
        "000000.000s-car-person.jpg",
        "000001.040s-car-person.jpg",
    ]


def test_no_snapshot_is_taken_of_nothing(desk: Path) -> None:
    run("clip.mp4", *MODEL, "--snapshots", "seen", "-c", "0.8")

    assert list((desk / "seen").iterdir()) == []


def test_stats_have_a_row_for_each_health_line(desk: Path) -> None:
    end = run("clip.mp4", "-m", "model.tflite", "--stats", "s.csv", "--log-every", "0.0001")

    with (desk / "s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == end.stderr.count("limited by: ") > 1
    assert sum(int(row["frames"]) for row in rows) == 20
    assert all(float(row["invoke_ms"]) > 0 and row["limited_by"] for row in rows)


def test_a_full_disk_ends_a_video_that_can_be_played(disk: Path) -> None:
    end = run("pattern:?fps=0", *MODEL, "--output", "disk/o.mp4", "--json")

    assert (end.returncode, end.stderr) == (
        74, "edge-detect: error: disk/o.mp4: disk full (0 MB left in disk); the video ends here\n"
    )  # fmt: skip
    assert frames_in(disk / "o.mp4") == len(lines(end.stdout)) - 1 > 20


@pytest.mark.parametrize(
    "words, name",
    [
        ("--output disk/o/", r"disk/o/frame-\d{6}\.jpg"),
        ("--output disk/o.jsonl", r"disk/o\.jsonl"),
        ("--stats disk/o.csv --log-every 0.0001", r"disk/o\.csv"),
    ],
)
def test_a_full_disk_is_told(disk: Path, words: str, name: str) -> None:
    (disk / "fill").write_bytes(bytes(1_950_000))

    end = run(ENDLESS, *MODEL, *words.split())

    assert end.returncode == 74
    assert re.fullmatch(f"edge-detect: error: {name}: cannot write: No space left on device\n", end.stderr)


@pytest.mark.parametrize(
    "words, message",
    [
        ("--output disk/o.mp4", "disk/o.mp4: cannot write the video: no such folder, or no permission"),
        ("--output disk/o/", "disk/o/: cannot make the folder: Read-only file system"),
        ("--output disk/o.jpg", "disk/o.jpg: cannot write: Read-only file system"),
        ("--output disk/o.jsonl", "disk/o.jsonl: cannot write: Read-only file system"),
        ("--stats disk/o.csv", "disk/o.csv: cannot write: Read-only file system"),
    ],
)
def test_a_disk_that_is_read_only_is_told(
    disk: Path, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)

    code = main(["clip.mp4", *MODEL, *words.split()])

    assert (code, capsys.readouterr().err) == (74, f"edge-detect: error: {message}\n")


@pytest.mark.parametrize("source", [LIVE, ENDLESS], ids=["live", "recorded"])
@pytest.mark.parametrize(
    "number, code",
    [(signal.SIGINT, 130), (signal.SIGTERM, 0), (signal.SIGHUP, 0)],
    ids=["SIGINT", "SIGTERM", "SIGHUP"],
)
def test_a_signal_ends_the_run_and_finishes_the_video(
    desk: Path, source: str, number: int, code: int
) -> None:
    with started(source, "-m", "model.tflite", "--json", "--output", "o.mp4", "--stats", "s.csv") as child:
        assert child.stdout
        first = child.stdout.readline()
        child.send_signal(number)
        rest, log = program.end_of(child)

    assert child.returncode == code
    assert "Traceback" not in log
    told, written = lines(first + rest), re.search(r"o\.mp4: (\d+) frames written", log)
    assert written
    assert frames_in(desk / "o.mp4") == int(written[1]) > 0
    assert source == LIVE or int(written[1]) == len(told)
    assert len((desk / "s.csv").read_text().splitlines()) == 2


def test_a_second_sigint_ends_at_once(desk: Path) -> None:
    # the loop waits in a write, since nobody reads, and so cannot end by itself
    with started(ENDLESS, *MODEL, "--json") as child:
        assert child.stdout
        child.stdout.readline()
        wait_until_it_sleeps(child.pid)
        child.send_signal(signal.SIGINT)
        wait_until_it_sleeps(child.pid)
        child.send_signal(signal.SIGINT)

        assert child.wait(program.LIMIT) == 130


def wait_until_it_sleeps(pid: int) -> None:
    """Returns when a process has waited for something, always the same, for a while."""
    looks, tick = 0, threading.Event()
    while looks < 20:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        looks = looks + 1 if state == "S" else 0
        tick.wait(0.01)


def test_nohup_keeps_it_running(desk: Path) -> None:
    line = f"trap '' HUP; exec {sys.executable} -m edge_detect '{ENDLESS}' -m model.tflite -q --json"
    with subprocess.Popen(["sh", "-c", line], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        child.stdout.readline()
        child.send_signal(signal.SIGHUP)
        more = [child.stdout.readline() for _ in range(1000)]
        child.terminate()

    assert all(more)


def test_head_ends_the_run_and_finishes_the_video(desk: Path) -> None:
    line = f"{sys.executable} -m edge_detect '{ENDLESS}' -m model.tflite --json --output o.mp4 | head -1"

    command = ["bash", "-o", "pipefail", "-c", line]
    end = subprocess.run(command, capture_output=True, text=True, timeout=program.LIMIT, check=False)

    written = re.search(r"o\.mp4: (\d+) frames written", end.stderr)
    assert (end.returncode, len(lines(end.stdout)), "Traceback" in end.stderr) == (0, 1, False)
    assert written
    assert frames_in(desk / "o.mp4") == int(written[1]) > 0


def start_and_tell_imports(desk: Path, model: str = "model.tflite") -> set[str]:
    """What a run over one frame has imported."""
    script = (
        "import sys; from edge_detect.cli import main\n"
        f"main('clip.mp4 -q --frames 1 -m {model}'.split())\n"
        "print(*sys.modules)"
    )
    environment = program.environment(XDG_CACHE_HOME=str(desk / "cache"))
    told = subprocess.check_output([sys.executable, "-c", script], env=environment, text=True)
    return set(told.split())


EXAMINATION = {"edge_detect.probe", "edge_detect.graph"}


def test_a_model_that_is_known_starts_without_a_child(desk: Path) -> None:
    first, second = start_and_tell_imports(desk), start_and_tell_imports(desk)

    assert (first & EXAMINATION, second & EXAMINATION) == (EXAMINATION, set())


def test_a_video_starts_without_what_only_other_sources_and_runs_need(desk: Path) -> None:
    imported = start_and_tell_imports(desk, f"{MODELS / 'detector-fast.tflite'}")

    assert imported >= {"edge_detect.sources.video", "edge_detect.decoders.ssd", "edge_detect.following"}
    itself = {"numpy.ma"} if np.__version__ < "2" else set()  # numpy 1 brings it along
    assert imported & {"imutils", "urllib.request", "numpy.ma"} == itself


def test_a_run_has_no_thread_that_nobody_asked_for(desk: Path) -> None:
    """Of the run itself: OpenBLAS would start one for each core when numpy is imported."""
    script = (
        "import gc, os; from edge_detect.cli import main\n"
        "main('clip.mp4 -q --frames 1 --threads 1 -m model.tflite'.split())\n"
        "print(len(os.listdir('/proc/self/task')), os.environ.get('OPENBLAS_NUM_THREADS'), gc.isenabled())"
    )
    environment = program.environment()
    environment.pop("OPENBLAS_NUM_THREADS", None)

    told = subprocess.check_output([sys.executable, "-c", script], env=environment, text=True)

    assert told == "1 None True\n"


def test_a_model_that_only_another_runtime_knows_is_examined_anew(desk: Path) -> None:
    start_and_tell_imports(desk)
    (card,) = (desk / "cache/edge-detect/cards").iterdir()
    card.rename(card.with_name(re.sub(r"\d+\.\d+\.\d+", "0.0.1", card.name)))

    assert start_and_tell_imports(desk) >= EXAMINATION


def test_a_cache_that_cannot_be_written_is_no_error(desk: Path) -> None:
    end = run("clip.mp4", *MODEL, "--json", env={"XDG_CACHE_HOME": "/proc/nowhere"})

    assert (end.returncode, end.stderr, len(lines(end.stdout))) == (0, "", 20)


@pytest.mark.slow
def test_memory_threads_and_files_do_not_grow(desk: Path) -> None:
    outputs = ("--json", "-o", "o.jsonl", "-o", "last.jpg", "--stats", "s.csv", "--log-every", "0.5")
    with started("pattern:?fps=0&width=64&height=48", *MODEL, "--frames", "10000", *outputs) as child:
        assert child.stdout
        early, late = {}, {}
        for number, _ in enumerate(child.stdout):
            if number == 2000:
                early = usage(child.pid)
            if number == 9700:
                late = usage(child.pid)

    assert number == 9999
    assert (late["threads"], late["files"]) == (early["threads"], early["files"])
    assert late["rss"] - early["rss"] < 3e6


def usage(pid: int) -> dict[str, float]:
    status = Path(f"/proc/{pid}/status").read_text()
    found = {key: int(re.search(rf"{key}:\s+(\d+)", status)[1]) for key in ("VmRSS", "Threads")}  # type: ignore[index]
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return {"rss": found["VmRSS"] * 1024, "threads": found["Threads"], "files": files}
