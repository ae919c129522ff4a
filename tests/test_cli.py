from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import program
import pytest
from program import run

import edge_detect
from edge_detect.cli import main

COMMANDS = (
    "run",
    "detect",
    "batch",
    "inspect",
    "config",
    "doctor",
    "bench",
    "models",
    "dataset",
    "evaluate",
    "train",
    "convert",
)
HEAVY = {"numpy", "cv2", "imutils", "psutil", "pygame", "picamera2", "ai_edge_litert", "tflite_runtime"}
HEAVY |= {
    "distributed",
    "keras",
    "tensorflow",
    "ai_edge_quantizer",
    "pycocotools",
    "matplotlib",
    "flatbuffers",
}
MODEL = ("-m --model", "-l --labels")
RUNNING = (*MODEL, "-c --confidence", "--threads", "--fit")
OPTIONS = {
    "run": (
        *RUNNING, "-s --source", "--frames", "--give-up", "--display", "--headless", "-o --output", "--json",
        "--snapshots", "--log-every", "--stats", "--config", "--classes", "--web", "--log-format",
    ),
    "config": ("init", "check", "show", "schema"),
    "detect": (*RUNNING, "--json", "-o --output"),
    "batch": (
        *MODEL, "-c --confidence", "--fit", "--config", "--classes", "-o --output", "--anew", "--every",
        "--shard", "--executor", "--workers",
    ),
    "inspect": ("-l --labels", "-i --image", "--json"),
    "doctor": (*MODEL, "--json"),
    "bench": (*RUNNING, "-s --source", "--rounds", "--starts", "--json"),
    "models": ("list", "pull", "install", "verify", "rollback", "remove"),
    "dataset": ("check", "describe", "convert", "sheet", "split"),
    "evaluate": (
        *MODEL, "--threads", "--fit", "--data", "--images", "--classes", "--limit", "--json", "--curves",
        "--report",
    ),
    "train": (
        "-o --output", "--data", "--validation", "--classes", "--size", "--alpha", "--anchors", "--weights",
        "--epochs", "--batch", "--rate", "--frozen", "--precision", "--teacher", "--quantize", "--prune",
        "--patience", "--seed",
    ),
    "convert": (
        "-o --output", "--scheme", "--size", "-l --labels", "--mean", "--std", "--postprocess", "--calibrate",
        "--pictures", "--method", "--per-tensor", "--weights", "--wider", "--max-drop", "--max-drop-bits",
        "--validate", "--layers",
    ),
}  # fmt: skip


@pytest.mark.parametrize("words", [(), *((name,) for name in COMMANDS)], ids=" ".join)
def test_help_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    script = (
        "import sys; from edge_detect.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )

    end = subprocess.run([sys.executable, "-c", script, *words, "--help"], capture_output=True, text=True)

    assert end.stdout.startswith("usage: edge-detect")
    assert set(end.stderr.split()) & HEAVY == set()
    assert "argparse" in end.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_every_option(name: str) -> None:
    end = run(name, "--help", env={"COLUMNS": "100"})

    lines = [line.strip() for line in end.stdout.splitlines()]
    for words in ("-h --help", "-v --verbose", "-q --quiet", *OPTIONS[name]):
        assert any(
            all(f"{word} " in f"{line} ".replace(",", " ") for word in words.split()) for line in lines
        )


@pytest.mark.parametrize("word", ["--help", "-h", "help"])
def test_help_of_the_program_names_every_command_and_exit_code(word: str) -> None:
    text = run(word).stdout

    assert [name for name in COMMANDS if f"\n  {name} " not in text] == []
    assert all(f" {code} " in text for code in (0, 1, 2, 66, 69, 74, 78, 130))


@pytest.mark.parametrize("word", ["--version", "-V"])
def test_version_is_that_of_the_package(word: str) -> None:
    assert run(word).stdout == f"edge-detect {edge_detect.__version__}\n"


def test_run_is_implied(desk: Path) -> None:
    words = ("-m", "model.tflite", "clip.mp4", "--json", "--frames", "2")

    short, long = run(*words), run("run", *words)

    assert program.codes(short, long) == [0, 0]
    assert short.stdout == long.stdout
    assert short.stdout.count("\n") == 2


@pytest.mark.parametrize(
    "words, message",
    [
        ("rnu", "unknown command 'rnu', did you mean 'run'?"),
        ("inspekt model.tflite", "unknown command 'inspekt', did you mean 'inspect'?"),
        ("--confidense 1", "unknown argument '--confidense', did you mean '--confidence'?"),
        ("--ouptut=x", "unknown argument '--ouptut', did you mean '--output'?"),
        ("bench --conf 0.5 -s x", "unknown argument '--conf', did you mean '--confidence'?"),
        ("-x", "unknown argument '-x'"),
        ("--bogus", "unknown argument '--bogus' (see "),
        ("--threads 1025", "argument --threads: expected a whole number from 0 to 1024, got '1025'"),
        ("evaluate --threads x", "argument --threads: expected a whole number from 0 to 1024, got 'x'"),
        ("detect", "the following arguments are required: PICTURE"),
        ("bench", "the following arguments are required: -s/--source"),
        ("dataset", "the following arguments are required: ACT"),
        ("evaluate", "the following arguments are required: --data"),
        ("train", "the following arguments are required: -o/--output"),
        ("convert", "the following arguments are required: MODEL, -o/--output"),
        ("convert a -o b --method best", "argument --method: invalid choice: 'best' (choose from "),
        ("--frames", "argument --frames: expected one argument"),
        ("--frames -1", "argument --frames: expected a whole number, 0 or more, got '-1'"),
        ("--frames 1.5", "argument --frames: expected a whole number, 0 or more, got '1.5'"),
        ("-c 1.5", "argument -c/--confidence: expected a number from 0 to 1, got '1.5'"),
        ("-c nan", "argument -c/--confidence: expected a number from 0 to 1, got 'nan'"),
        ("--give-up=-1", "argument --give-up: expected seconds, 0 or more, got '-1'"),
        ("--log-every soon", "argument --log-every: expected seconds, 0 or more, got 'soon'"),
        ("--fit crop", "argument --fit: invalid choice: 'crop' (choose from "),
    ],
)
def test_words_that_make_no_sense_are_answered_in_one_line(
    capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    code = main(words.split())

    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    assert told.err.startswith(f"edge-detect: error: {message}")
    assert told.err.count("\n") == 1


@pytest.mark.parametrize(
    "words, message",
    [
        ("patern:", "unknown source 'patern', did you mean 'pattern'?"),
        ("pattern:?widht=9", "source 'pattern:?widht=9': unknown setting 'widht', did you mean 'width'?"),
        ("pattern:?width=x", "source 'pattern:?width=x': width: expected int, got 'x'"),
        ("pattern:?fps=-1", "source 'pattern:?fps=-1': fps: expected 0 to 1000, got -1.0"),
        ("clip.mp4 -s photo.jpg", "two sources: 'clip.mp4' and --source 'photo.jpg', expected one"),
        ("bench -s clip.mp4 --rounds 0", "--rounds: expected 1 or more, got 0"),
        (
            "clip.mp4 --output out.gif",
            "--output out.gif: expected a video (.mp4), a picture (.jpg), JSON Lines (.jsonl or -),"
            " or a folder/",
        ),
        ("clip.mp4 --output clip.mp4", "--output clip.mp4: is the source itself; choose another file"),
        ("detect photo.jpg -o out.mp4", "--output out.mp4: expected a folder/ or a picture (.jpg)"),
        ("detect photo.jpg photo.jpg -o o.jpg", "--output o.jpg: expected a folder/ for 2 pictures"),
    ],
)
def test_what_cannot_be_meant_is_answered_in_one_line(
    desk: Path, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    code = main([*words.split(), "--model", "model.tflite"])

    assert code == 2
    assert capsys.readouterr() == ("", f"edge-detect: error: {message}\n")


def test_an_error_is_one_line_and_a_code(desk: Path) -> None:
    end = run("-q", "nothing.mp4", "-m", "model.tflite")

    assert (end.returncode, end.stdout) == (66, "")
    assert end.stderr == "edge-detect: error: source 'nothing.mp4': no such file or folder\n"


PRINTING = [
    "--help", "run --help", "doctor", "detect photo.jpg -m model.tflite", "clip.mp4 -q -m model.tflite --json"
]  # fmt: skip


@pytest.mark.parametrize("words", PRINTING)
def test_a_full_disk_behind_standard_output_ends_with_74(desk: Path, words: str) -> None:
    with open("/dev/full", "w") as full:
        end = run(*words.split(), stdout=full)

    assert end.stderr == "edge-detect: error: stdout: cannot write: No space left on device\n"
    assert end.returncode == 74


@pytest.mark.parametrize("words", PRINTING)
def test_a_reader_that_has_gone_is_a_clean_end(desk: Path, words: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        end = run(*words.split(), stdout=pipe)

    assert (end.returncode, end.stderr) == (0, "")


def test_a_reader_of_the_log_that_has_gone_is_a_clean_end(desk: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    line = (sys.executable, "-m", "edge_detect", "clip.mp4", "-m", "model.tflite", "--output", "o.jsonl")
    end = subprocess.run(line, stderr=writer, timeout=program.LIMIT)
    os.close(writer)

    assert end.returncode == 0
    assert (desk / "o.jsonl").read_text().count("\n") == 20


def test_no_standard_output_at_all_is_no_error(desk: Path) -> None:
    line = f"{sys.executable} -m edge_detect clip.mp4 -q -m model.tflite --json --output o.jsonl >&-"
    end = subprocess.run(["sh", "-c", line], stderr=subprocess.PIPE, text=True, timeout=program.LIMIT)

    assert (end.returncode, end.stderr) == (0, "")
    assert (desk / "o.jsonl").read_text().count("\n") == 20


def test_what_was_told_before_an_error_is_not_lost(desk: Path) -> None:
    (desk / "bad.jpg").write_bytes(b"no picture")

    end = run("detect", "photo.jpg", "bad.jpg", "-m", "model.tflite")

    assert end.returncode == 1
    assert end.stdout.startswith("photo.jpg: 200x100, 2 found\n")


def test_a_name_that_the_terminal_cannot_show_is_escaped(desk: Path) -> None:
    (desk / "labels.txt").write_text("Öl\nAuto\n", "utf-8")
    words = ("detect", "photo.jpg", "-m", "model.tflite", "-l", "labels.txt")

    end = run(*words, env={"PYTHONIOENCODING": "ascii:strict"})

    assert (end.returncode, end.stderr) == (0, "")
    assert "  \\xd6l " in end.stdout


@pytest.mark.parametrize("package", ["numpy", "cv2", "psutil"])
def test_a_broken_package_is_told_in_one_line(desk: Path, package: str) -> None:
    (desk / "broken").mkdir()
    (desk / f"broken/{package}.py").write_text(
        "raise ImportError('libGL.so.1: cannot open shared object file')"
    )

    end = run("-m", "model.tflite", "-q", "clip.mp4", env=program.before_all(desk / "broken"))

    assert end.returncode == 1
    assert end.stderr == (
        "edge-detect: error: libGL.so.1: cannot open shared object file:"
        " a package is missing or broken, edge-detect doctor tells which\n"
    )


def test_who_debugs_gets_the_whole_error() -> None:
    end = run("patern:", "-m", __file__, env={"EDGE_DETECT_DEBUG": "1"})

    assert end.returncode == 1
    assert "Traceback" in end.stderr
    assert end.stderr.endswith("ConfigError: unknown source 'patern', did you mean 'pattern'?\n")


def test_a_dash_with_settings_is_standard_input_in_any_place(desk: Path) -> None:
    data = program.picture().tobytes()
    words = ("-m", "model.tflite", "-q", "--json")
    settings = "-?format=bgr&width=200&height=100&live=0"

    ends = [
        subprocess.run(
            program.command(*words, *place), input=data * 2, capture_output=True, timeout=program.LIMIT
        )
        for place in (("--source", settings), (settings,))
    ]

    assert [(end.returncode, end.stdout.count(b"\n"), end.stderr) for end in ends] == [(0, 2, b"")] * 2


def test_quiet_leaves_results_and_warnings(desk: Path) -> None:
    words = ("-m", "model.tflite", "clip.mp4", "--json")

    quiet, usual = run(*words, "-q"), run(*words)

    assert quiet.stdout == usual.stdout
    assert (quiet.stderr, " INFO " in usual.stderr) == ("", True)
