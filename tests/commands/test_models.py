from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import http_site
import numpy as np
import program
import pytest
from http_site import Site, cut, ranges, site, stall, status
from program import run
from tflite_files import Output, build
from waiting import wait_until

from edge_detect import store
from edge_detect.cli import main
from edge_detect.commands.arguments import MODELS
from edge_detect.commands.models import progress_line

DETECTOR = program.detector(b"")
OTHER = program.detector()
SHIPPED = {"detector", "detector-fast"}
Catalogue = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def _alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of our own, and no proxy."""
    monkeypatch.chdir(home)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    """Writes a catalogue of one model, `tiny`; the option that names it."""

    def write(place: Site, data: bytes = DETECTOR) -> list[str]:
        (tmp_path / "names.txt").write_text("cat\ndog\n")
        (tmp_path / "c.toml").write_text(
            '[tiny]\nabout = "a"\nlicence = "MIT"\nlayout = "ssd-postprocess-tf1"\ninput = [64, 32]\n'
            f'bytes = {len(data)}\nsha256 = "{hashlib.sha256(data).hexdigest()}"\nurls = ["{place.url}"]\n'
            'labels = "names.txt"\n'
        )
        return ["--catalogue", str(tmp_path / "c.toml")]

    return write


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Does `edge-detect models WORDS` here; its exit code and what it told."""

    def do(*words: object) -> tuple[int, str, str]:
        code = main(["models", *map(str, words)])
        return (code, *capsys.readouterr())

    return do


Told = Callable[..., tuple[int, str, str]]


def rows(told: Told, *words: str) -> dict[str, dict[str, Any]]:
    code, out, error = told("list", "--json", *words)
    assert (code, error) == (0, "")
    return {row["name"]: row for row in json.loads(out)["models"]}


def active(told: Told) -> list[str]:
    return [name for name, row in rows(told).items() if row["active"]]


def test_the_list_shows_the_catalogue_and_the_shipped_model_runs(told: Told) -> None:
    found = rows(told)

    assert {name for name, row in found.items() if row["state"] == "shipped"} == SHIPPED
    assert active(told) == ["detector"]
    assert found["yolox-nano"]["licence"] == "Apache-2.0"
    assert found["yolox-nano"]["input"] == [416, 416]


def test_the_list_for_people_marks_the_active_one(told: Told, tmp_path: Path) -> None:
    (tmp_path / "mine.tflite").write_bytes(OTHER)
    told("install", "mine.tflite")

    lines = told("list")[1].splitlines()

    assert [line.split() for line in lines if line.startswith("*")][:1] == [
        ["*", "mine", "0.0", "64x32", "ssd-postprocess-tf1", "installed,", "to", "run,", "on", "trial"]
    ]
    shipped = tomllib.loads((MODELS / "catalogue.toml").read_text())["detector"]
    row = ["detector", f"{shipped['bytes'] / 1e6:.1f}", "320x320", f"{shipped['ap50']:.3f}", "ssd-raw"]
    assert row in [line.split()[:5] for line in lines]


def test_a_shipped_model_is_pulled_without_a_network(told: Told) -> None:
    code, out, _ = told("pull", "detector-fast")

    assert code == 0
    assert out.endswith(": ssd-raw, 320x320, runs from the next start on\n")
    assert active(told) == ["detector-fast"]


def test_a_model_is_pulled_and_run_with_its_labels(told: Told, catalogue: Catalogue, desk: Path) -> None:
    with site(ranges(DETECTOR)) as place:
        assert told("pull", "tiny", *catalogue(place))[0] == 0

    end = run("photo.jpg", "--json")

    assert [seen["label"] for seen in json.loads(end.stdout)["detections"]] == ["cat", "dog"]
    assert rows(told)["tiny"]["state"] == "installed, to run"  # no longer on trial
    assert rows(told)["tiny"]["origin"] == place.url


def test_a_file_beside_the_catalogue_must_be_the_one_that_is_meant(
    told: Told, catalogue: Catalogue, tmp_path: Path
) -> None:
    with site(status(404)) as place:
        words = catalogue(place)
    path = tmp_path / "c.toml"
    path.write_text(path.read_text() + 'file = "tiny.tflite"\n')
    (tmp_path / "tiny.tflite").write_bytes(OTHER)

    assert told("pull", "tiny", *words) == (
        1, "", f"edge-detect: error: {tmp_path}/tiny.tflite: SHA-256 differs from the catalogue's; copy it again\n"
    )  # fmt: skip
    (tmp_path / "tiny.tflite").write_bytes(DETECTOR)
    assert told("pull", "tiny", *words)[0] == 0


def test_what_is_installed_is_not_downloaded_again(told: Told, catalogue: Catalogue) -> None:
    with site(ranges(DETECTOR)) as place:
        told("pull", "tiny", *catalogue(place))
    told("pull", "detector-fast")

    assert told("pull", "tiny", *catalogue(place))[0] == 0
    assert active(told) == ["tiny"]


def test_a_damaged_model_is_downloaded_again(told: Told, catalogue: Catalogue) -> None:
    with site(ranges(DETECTOR)) as place:
        told("pull", "tiny", *catalogue(place))
        manifest = store.active()
        assert manifest
        manifest.model.write_bytes(b"")

        assert told("pull", "tiny", *catalogue(place))[0] == 0
    assert manifest.fault() == ""


FAILURES = {
    "wrong bytes": (ranges(bytes(len(DETECTOR))), 1, "not the file that was meant, and not installed"),
    "no network": (http_site.silent, 69, "silent for 0.2 s (1 tries); the same command goes on from there"),
    "stalled": (stall(DETECTOR, 100), 69, "silent for 0.2 s (1 tries)"),
    "cut": (cut(DETECTOR, 100), 69, f"cut after 100 of {len(DETECTOR)} bytes (1 tries)"),
    "length": (cut(DETECTOR + b"x", 100), 69, f"has {len(DETECTOR) + 1} bytes, expected {len(DETECTOR)}"),
    "http": (
        status(302, Location="http://localhost/"),
        69,
        "redirected to http://localhost/, expected https",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_download_that_fails_is_one_line_and_the_old_model_runs(
    told: Told, catalogue: Catalogue, name: str
) -> None:
    answer, expected, message = FAILURES[name]
    with site(answer) as place:
        code, out, error = told("pull", "tiny", "--patience", "0.2", "--tries", "1", *catalogue(place))

    assert (code, out, error.count("\n")) == (expected, "", 1)
    assert error.startswith("edge-detect: error: ")
    assert message in error
    assert active(told) == ["detector"]


def test_a_download_that_is_killed_is_resumed(told: Told, catalogue: Catalogue, home: Path) -> None:
    with site(stall(DETECTOR, 100), ranges(DETECTOR)) as place:
        with program.started("models", "pull", "tiny", *catalogue(place)) as child:
            part = home / "data/edge-detect/models/partial"
            wait_until(lambda: place.asked and list(part.glob("*.tag")), 20)
            child.send_signal(signal.SIGKILL)
            child.wait(program.LIMIT)
        assert told("pull", "tiny", *catalogue(place))[0] == 0

    assert active(told) == ["tiny"]
    assert not part.exists()


def test_two_pulls_at_once_are_refused(told: Told, catalogue: Catalogue) -> None:
    with site(stall(DETECTOR, 100)) as place:
        words = catalogue(place)
        with program.started("models", "pull", "tiny", *words) as child:
            wait_until(lambda: place.asked, 20)
            code, _, error = told("pull", "detector-fast")
            child.send_signal(signal.SIGINT)
            _, log = program.end_of(child)

    assert (code, child.returncode, log) == (74, 130, "")
    assert "another edge-detect holds it" in error


def test_progress_is_shown_on_a_terminal_only(catalogue: Catalogue) -> None:
    with site(ranges(DETECTOR)) as place:
        words = program.command("models", "pull", "tiny", *catalogue(place))
        mine, theirs = os.openpty()
        subprocess.run(words, stderr=theirs, stdout=subprocess.DEVNULL, timeout=program.LIMIT, check=True)
        os.close(theirs)
        shown = os.read(mine, 10000).decode()
        os.close(mine)

    assert shown.startswith("\rtiny  0.0 of 0.0 MB  ")
    assert "100%" in shown


@pytest.mark.parametrize(
    "values, line",
    [
        ((1_200_000, 3_500_000, 600_000.0), "a  1.2 of 3.5 MB  34%  0.6 MB/s  0:04 left"),
        ((1_200_000, 0, 600_000.0), "a  1.2 MB  0.6 MB/s"),
        ((0, 3_500_000, 0.0), "a  0.0 of 3.5 MB  0%"),
        ((0, 90_000_000, 1e6), "a  0.0 of 90.0 MB  0%  1.0 MB/s  1:30 left"),
    ],
    ids=["all known", "no length", "begin", "minutes"],
)
def test_a_line_of_progress(values: tuple[int, int, float], line: str) -> None:
    assert progress_line("a", *values) == line


def test_a_file_is_installed_under_its_name_or_another(told: Told, tmp_path: Path) -> None:
    (tmp_path / "mine.tflite").write_bytes(DETECTOR)
    (tmp_path / "names.txt").write_text("cat\ndog\n")

    assert told("install", "mine.tflite", "-l", "names.txt")[0] == 0
    assert told("install", "mine.tflite", "--name", "yours")[0] == 0

    assert {"mine", "yours"} < rows(told).keys()
    assert active(told) == ["yours"]


INSTALLATIONS = {
    "no.tflite": (66, "no.tflite: cannot read the model: No such file or directory"),
    ".": (66, ".: cannot read the model: Is a directory"),
    "good.tflite -l no.txt": (66, "no.txt: cannot read the labels: No such file or directory"),
    "good.tflite -l good.tflite": (2, "{place}/labels.txt: expected a text file with one label a line, got binary data"),
    "good.tflite --name ../x": (2, "model name '../x': expected letters, digits, '.', '_', '-', at most 64"),
    "huge.tflite": (1, "huge.tflite: more than 256 MB, expected a model for a small machine"),
    "class.tflite": (1, "class.tflite: outputs [1, 10] look like a classifier, not a detector; use a detector"),
    "text.tflite": (1, "text.tflite: the file does not begin like a TFLite file, not a TFLite model; expected a .tflite file"),
}  # fmt: skip


@pytest.mark.parametrize("words", INSTALLATIONS)
def test_what_cannot_be_installed_is_told_in_one_line(told: Told, tmp_path: Path, words: str) -> None:
    (tmp_path / "good.tflite").write_bytes(DETECTOR)
    (tmp_path / "class.tflite").write_bytes(build([Output(np.zeros((1, 10)))]))
    (tmp_path / "text.tflite").write_text("no model")
    (tmp_path / "huge.tflite").touch()
    os.truncate(tmp_path / "huge.tflite", 2**28 + 1)

    code, out, error = told("install", *words.split())

    expected, message = INSTALLATIONS[words]
    assert (code, out, error.count("\n")) == (expected, "", 1)
    assert message.removeprefix("{place}") in error
    assert active(told) == ["detector"]


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "yolox_nano"])
def test_a_name_that_the_catalogue_does_not_know_is_told(told: Told, name: str) -> None:
    code, out, error = told("pull", name)

    assert (code, out, error.count("\n")) == (2, "", 1)
    assert error.startswith(f"edge-detect: error: no model '{name}' in the catalogue, ")
    assert ("did you mean 'yolox-nano'?" in error) == (name == "yolox_nano")


def test_verify_finds_a_flipped_bit(told: Told) -> None:
    assert told("verify") == (0, "", "")
    told("pull", "detector")
    told("pull", "detector-fast")
    manifest = store.active()
    assert manifest
    data = bytearray(manifest.model.read_bytes())
    data[1000] ^= 4
    manifest.model.write_bytes(data)

    code, out, _ = told("verify")

    assert code == 1
    lines = sorted(out.splitlines())
    assert lines[0].endswith(": ok")
    assert lines[1].startswith(f"{manifest.key}: BAD: detector-fast.tflite: SHA-256 ")


def test_verify_finds_a_manifest_that_was_cut(told: Told) -> None:
    told("pull", "detector-fast")
    manifest = store.active()
    assert manifest
    (manifest.model.parent / "manifest.json").write_text('{"name"')

    assert told("verify")[:2] == (1, f"{manifest.key}: BAD: manifest.json: damaged; install it again\n")
    assert rows(told)["detector-fast"]["state"] == "manifest damaged, to run, on trial"
    assert active(told) == ["detector"]


def test_rollback_and_remove(told: Told) -> None:
    assert told("rollback")[0] == 2
    told("pull", "detector")
    told("pull", "detector-fast")

    assert told("remove", "detector-fast")[0] == 2
    assert told("rollback")[0] == 0
    assert active(told) == ["detector"]
    code, out, _ = told("remove", "detector-fast")

    assert (code, out.endswith(": removed\n")) == (0, True)
    assert told("rollback")[1].endswith("detector.tflite: the shipped model runs from the next start on\n")


KILLS = "import os\nos.kill(os.getpid(), 9)\n"
DEADLY = {
    "when loaded": {"ai_edge_litert/__init__.py": "", "ai_edge_litert/interpreter.py": KILLS},
    "at its first picture": {
        "sitecustomize.py": "import os\nfrom edge_detect.detector import Detector\n"
        "Detector.__call__ = lambda *_: os.kill(os.getpid(), 9)\n"
    },
}


@pytest.mark.parametrize("when", DEADLY)
def test_a_new_model_that_kills_the_program_is_rolled_back(told: Told, desk: Path, when: str) -> None:
    told("pull", "detector-fast")
    for name, text in DEADLY[when].items():
        (desk / "deadly" / name).parent.mkdir(parents=True, exist_ok=True)
        (desk / "deadly" / name).write_text(text)
    deadly = program.before_all(desk / "deadly")

    ends = [run("photo.jpg", "--json", env=deadly) for _ in range(2)]
    last = run("photo.jpg")

    assert program.codes(*ends) == [-9, -9]
    assert last.returncode == 0
    assert "began 2 times and never looked at a picture; rolled back to the shipped model" in last.stderr
    assert " detector.tflite: " in last.stderr


def test_a_camera_that_is_away_is_not_held_against_a_new_model(told: Told) -> None:
    told("pull", "detector-fast")

    end = run("v4l2:/dev/video99")

    assert end.returncode == 66
    assert rows(told)["detector-fast"]["state"] in ("installed, to run", "installed, to run, on trial")
    assert list(store.read_state().trials.values()) in ([], [0])
