"""Rpicam, with a stand-in for rpicam-vid that writes frames of one colour."""

from __future__ import annotations

import itertools
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edge_detect.errors import ConfigError, DependencyError, InputMissing, SourceError
from edge_detect.frame import Frame
from edge_detect.settings import build
from edge_detect.sources import rpicam
from edge_detect.sources.rpicam import Rpicam

PROGRAM = f"""#!{sys.executable} -IS
import json, os, signal, sys, time
here = os.path.dirname(os.path.abspath(__file__))
with open(here + "/pids", "a") as file:
    print(os.getpid(), file=file)
with open(here + "/argv", "w") as file:
    json.dump(sys.argv[1:], file)
width, height = (int(sys.argv[sys.argv.index(name) + 1]) for name in ("--width", "--height"))
def halves(upper, lower, size):
    return bytes([upper]) * (size // 2) + bytes([lower]) * (size // 2)
size = width * height
frame = halves(50, 200, size) + halves(110, 150, size // 4) + halves(150, 110, size // 4)
def write(frames):
    for _ in range(frames):
        sys.stdout.buffer.write(frame)
        sys.stdout.buffer.flush()
def say(text):
    print(text, file=sys.stderr, flush=True)
"""


UPPER, LOWER = (18, 41, 81), (239, 205, 175)  # blue, green, red of the two halves; JFIF, section 7


class Program:
    """The stand-in on the PATH.

    Attributes:
        folder: Where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def does(self, script: str, name: str = "rpicam-vid") -> None:
        """Makes the program run `script`, which can `write(frames)` and `say(text)`."""
        path = self.folder / name
        path.write_text(PROGRAM + script, "utf-8")
        path.chmod(0o755)

    @property
    def argv(self) -> list[str]:
        """Arguments of its last start."""
        return list(json.loads((self.folder / "argv").read_text("utf-8")))

    def alive(self) -> list[int]:
        """Processes of it that still run or were not reaped."""
        pids = [int(line) for line in (self.folder / "pids").read_text("utf-8").split()]
        return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    monkeypatch.setenv("PATH", str(tmp_path))
    made = Program(tmp_path)
    made.does("write(10**9)")
    return made


def first(source: Rpicam, n: int = 1) -> list[Frame]:
    with closing(iter(source)) as frames:  # type: ignore[type-var]
        return list(itertools.islice(frames, n))


def handles() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_frames_are_numbered_and_of_the_size_asked_for(program: Program) -> None:
    frames = first(Rpicam(width=256, height=64), 3)

    assert [(frame.number, frame.size, frame.name) for frame in frames] == [
        (0, (256, 64), "rpicam:0"),
        (1, (256, 64), "rpicam:0"),
        (2, (256, 64), "rpicam:0"),
    ]


def test_full_range_colours_arrive_as_blue_green_red(program: Program) -> None:
    image = first(Rpicam(width=128, height=64))[0].image

    assert np.allclose(image[:30], UPPER, atol=1)
    assert np.allclose(image[34:], LOWER, atol=1)


def test_frame_keeps_its_picture_when_the_next_one_comes(program: Program) -> None:
    with closing(iter(Rpicam(width=128, height=64))) as frames:  # type: ignore[type-var]
        kept = next(frames)
        before = kept.image.copy()
        later = next(frames)

    assert np.array_equal(kept.image, before)
    assert not np.shares_memory(kept.image, later.image)


def test_time_is_monotonic_and_now(program: Program) -> None:
    before = time.monotonic()
    frames = first(Rpicam(width=128, height=64), 3)

    assert before <= frames[0].time <= frames[1].time <= frames[2].time <= time.monotonic()


def test_program_is_asked_for_raw_frames_on_its_output(program: Program) -> None:
    first(Rpicam(address="1", width=640, height=480, fps=12.5))

    assert " ".join(program.argv) == (
        "-t 0 -n --camera 1 --codec yuv420 --width 640 --height 480 --framerate 12.5 --flush -o -"
    )


def test_sensor_mode_is_handed_on(program: Program) -> None:
    first(Rpicam(width=128, height=64, mode="1640:1232"))

    assert program.argv[program.argv.index("--mode") + 1] == "1640:1232"


@pytest.mark.parametrize(
    ("rotation", "flip", "flags"),
    [
        (0, "", []),
        (0, "h", ["--hflip"]),
        (0, "v", ["--vflip"]),
        (0, "hv", ["--hflip", "--vflip"]),
        (180, "", ["--hflip", "--vflip"]),
        (180, "h", ["--vflip"]),
        (180, "hv", []),
        (90, "h", []),
        (270, "", []),
    ],
)
def test_camera_mirrors_what_it_can(program: Program, rotation: int, flip: str, flags: list[str]) -> None:
    first(Rpicam(width=128, height=64, rotation=rotation, flip=flip))

    assert [word for word in program.argv if word.endswith("flip")] == flags


def test_quarter_turns_are_done_here(program: Program) -> None:
    frame = first(Rpicam(width=256, height=64, rotation=90))[0]

    assert frame.size == (64, 256)
    assert np.allclose(frame.image[:, 34:], UPPER, atol=1)  # now the right half


@pytest.mark.parametrize(("asked", "made"), [(640, 640), (641, 768), (300, 384), (320, 384), (1280, 1280)])
def test_width_becomes_a_multiple_of_128(asked: int, made: int) -> None:
    assert Rpicam(width=asked).width == made


def test_rounded_width_is_told_once(caplog: pytest.LogCaptureFixture, program: Program) -> None:
    with caplog.at_level(logging.INFO):
        source = Rpicam(width=300, height=64)
        first(source)
        first(source)

    assert caplog.messages == ["rpicam: width 384 instead of 300: a multiple of 128"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("address", "front", "rpicam: address: expected the number of a camera, got 'front'"),
        ("height", "481", "rpicam: height: expected an even number, got 481"),
        ("width", "0", "rpicam: width: expected 16 to 8192, got 0"),
        ("fps", "0", "rpicam: fps: expected 0.1 to 1000, got 0.0"),
        ("rotation", "45", "rpicam: rotation: expected 0, 90, 180 or 270, got 45"),
        ("mode", "wide", "rpicam: mode: expected width:height, got 'wide'"),
        ("patience", "0", "rpicam: patience: expected 0.5 to 600, got 0.0"),
    ],
)
def test_wrong_setting_is_named(name: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(Rpicam, {name: value}, "rpicam")

    assert str(caught.value) == message


def test_older_name_of_the_program_is_found(program: Program) -> None:
    (program.folder / "rpicam-vid").unlink()
    program.does("write(10**9)", "libcamera-vid")

    assert first(Rpicam(width=128, height=64))[0].size == (128, 64)


def test_missing_program_names_the_package(program: Program) -> None:
    (program.folder / "rpicam-vid").unlink()
    with pytest.raises(DependencyError) as caught:
        first(Rpicam())

    assert str(caught.value) == "source 'rpicam' needs rpicam-vid: sudo apt install rpicam-apps"


def test_program_that_cannot_be_started_is_named(program: Program) -> None:
    (program.folder / "rpicam-vid").write_bytes(b"\x7fELF of another machine")
    with pytest.raises(SourceError) as caught:
        first(Rpicam())

    assert str(caught.value) == f"{program.folder}/rpicam-vid: cannot be started: Exec format error"


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        (
            "ERROR: *** no cameras available ***",
            InputMissing,
            "no camera 0: check the ribbon cable, then rpicam-hello --list-cameras",
        ),
        (
            "ERROR: *** selected camera is not available ***",
            InputMissing,
            "no camera 0: check the ribbon cable, then rpicam-hello --list-cameras",
        ),
        (
            "ERROR: *** failed to acquire camera /base/soc/imx219@10 ***",
            SourceError,
            "camera 0 is in use by another program",
        ),
        (
            "[1:2] ERROR RPI Could not open any dmaHeap device",
            SourceError,
            "camera 0: no permission: sudo usermod -aG video $USER, then log in again",
        ),
        (
            "INFO configuring\\nERROR: *** failed to start camera ***\\nbye",
            SourceError,
            "camera 0: rpicam-vid ended: failed to start camera",
        ),
        ("Segmentation fault", SourceError, "camera 0: rpicam-vid ended: Segmentation fault"),
    ],
)
def test_last_words_become_the_message(
    program: Program, said: str, kind: type[Exception], message: str
) -> None:
    program.does(f'say("{said}"); sys.exit(255)')
    with pytest.raises(kind) as caught:
        first(Rpicam())

    assert str(caught.value) == message


def test_end_without_a_word_gives_the_exit_code(program: Program) -> None:
    program.does("sys.exit(3)")
    with pytest.raises(SourceError) as caught:
        first(Rpicam())

    assert str(caught.value) == "camera 0: rpicam-vid ended: exit code 3"


def test_words_that_come_after_the_output_closed_are_heard(program: Program) -> None:
    program.does('os.close(1); time.sleep(0.1); say("ERROR: *** no cameras available ***"); os._exit(255)')

    with pytest.raises(InputMissing):
        first(Rpicam())


def test_death_in_the_middle_of_a_frame_comes_after_the_whole_ones(program: Program) -> None:
    program.does("write(2); os.write(1, frame[:1000]); os.kill(os.getpid(), 9)")
    frames = iter(Rpicam(width=128, height=64))
    numbers = [next(frames).number, next(frames).number]
    with pytest.raises(SourceError) as caught:
        next(frames)

    assert numbers == [0, 1]
    assert str(caught.value) == "camera 0: rpicam-vid ended: exit code -9"


@pytest.mark.parametrize("script", ["time.sleep(60)", "os.write(1, frame[:1000]); time.sleep(60)"])
def test_silence_is_lost_after_the_patience(program: Program, script: str) -> None:
    program.does(script)
    begun = time.monotonic()
    with pytest.raises(SourceError) as caught:
        first(Rpicam(width=128, height=64, patience=0.5))

    assert str(caught.value) == "camera 0: no frame for 0.5 s: check the ribbon cable"
    assert 0.5 <= time.monotonic() - begun < 3
    assert program.alive() == []


def test_closed_error_output_does_not_shorten_the_patience(program: Program) -> None:
    program.does("os.close(2); time.sleep(60)")
    begun, work = time.monotonic(), time.process_time()
    with pytest.raises(SourceError):
        first(Rpicam(width=128, height=64, patience=0.5))

    assert time.monotonic() - begun >= 0.5
    assert time.process_time() - work < 0.3  # it waits, it does not spin


def test_program_that_talks_without_end_does_not_block(program: Program) -> None:
    program.does('say("x" * 300_000); write(2); sys.exit("y" * 100_000 + "the end")')
    frames = iter(Rpicam(width=128, height=64))
    assert [next(frames).number, next(frames).number] == [0, 1]
    with pytest.raises(SourceError) as caught:
        next(frames)

    assert len(str(caught.value)) < 5000
    assert str(caught.value).endswith("the end")


def test_program_that_will_not_end_is_killed(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpicam, "ENDING", 0.2)
    program.does("signal.signal(signal.SIGTERM, signal.SIG_IGN); write(1); time.sleep(60)")

    first(Rpicam(width=128, height=64))

    assert program.alive() == []


def test_lost_camera_opens_again(program: Program) -> None:
    source = Rpicam(width=128, height=64, patience=0.5)
    program.does("write(1); time.sleep(60)")
    with pytest.raises(SourceError):
        first(source, 2)
    program.does("write(10**9)")

    assert len(first(source, 3)) == 3


def test_hundred_openings_leave_nothing_behind(program: Program) -> None:
    first(Rpicam(width=128, height=64))
    before = handles()
    for _ in range(100):
        first(Rpicam(width=128, height=64))

    assert handles() == before
    assert program.alive() == []


def test_hundred_failures_leave_nothing_behind(program: Program) -> None:
    program.does('say("ERROR: *** no cameras available ***"); sys.exit(255)')
    before = handles()
    for _ in range(100):
        with pytest.raises(InputMissing):
            first(Rpicam(width=128, height=64))

    assert handles() == before
    assert program.alive() == []


def test_nothing_is_started_before_the_first_frame_is_asked_for(program: Program) -> None:
    frames: Iterator[Frame] = iter(Rpicam())

    assert frames is not None
    assert not (program.folder / "argv").exists()
