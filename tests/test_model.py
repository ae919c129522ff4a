from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import layouts
import pytest
from layouts import TRUTH
from tflite_files import Output, build, build_crash

from edge_detect.errors import ConfigError, InputMissing, ModelError
from edge_detect.model import best_threads, open_model, read_file, read_labels

Save = Callable[..., Path]
YOLO = Output(layouts.yolov8(TRUTH, (96, 96), 2))
DETECTOR = build([YOLO], size=(96, 96), attachments={"labels.txt": b"cat\ndog\n"})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "home/edge-detect"


def card_of(home: Path) -> Path:
    return next((home / "cards").iterdir())


def test_a_file_comes_with_its_hash(save: Save) -> None:
    path = save(b"TFL3")

    file = read_file(path)

    assert (file.path, file.data, file.sha256) == (path, b"TFL3", hashlib.sha256(b"TFL3").hexdigest())


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "no.tflite"

    with pytest.raises(InputMissing) as caught:
        open_model(path)

    assert str(caught.value) == (
        f"{path}: cannot read the model: No such file or directory; give a .tflite file with --model"
    )


def test_a_name_that_is_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        open_model(tmp_path / "caf\udce9.tflite")

    assert str(caught.value) == f"{tmp_path}/caf\udce9.tflite: expected a name in UTF-8; rename the file"


def test_a_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        open_model(tmp_path)

    assert str(caught.value) == f"{tmp_path}: a directory, expected a .tflite file"


def test_a_saved_model_is_told(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").touch()

    with pytest.raises(ModelError) as caught:
        open_model(tmp_path)

    assert str(caught.value) == f"{tmp_path}: a TensorFlow SavedModel directory, expected a .tflite file"


def test_a_model_that_crashes_the_runtime_is_not_loaded(save: Save) -> None:
    with pytest.raises(ModelError, match=r"^model\.tflite: crashes the runtime \(SIGSEGV\)"):
        open_model(save(build_crash()))


def test_a_model_is_opened_with_its_own_labels(save: Save) -> None:
    model = open_model(save(DETECTOR), threads=1)

    assert model.labels.names == ("cat", "dog")
    assert (model.threads, model.decoder.classes, model.card.family) == (1, 2, "yolov8")


def test_labels_that_were_given_are_taken_first(save: Save) -> None:
    model = open_model(save(DETECTOR), save(b"Katze\nHund\n", "labels.txt"), threads=1)

    assert model.labels.names == ("Katze", "Hund")


def test_labels_that_do_not_fit_are_told(save: Save, caplog: pytest.LogCaptureFixture) -> None:
    labels = save(b"a\nb\nc\n", "labels.txt")

    with caplog.at_level(logging.WARNING):
        open_model(save(DETECTOR), labels, threads=1)

    assert caplog.messages == [f"{labels}: 3 labels for a model of 2 classes: the last 1 are not used"]


def test_labels_that_are_missing_are_told_before_the_model_runs(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"

    with pytest.raises(InputMissing) as caught:
        open_model(tmp_path / "no.tflite", path)

    assert str(caught.value) == f"{path}: cannot read the labels: No such file or directory"


@pytest.mark.parametrize(
    "data", ["cat\ndog\n".encode("utf-16"), b"TFL3\0\0", b""], ids=["UTF-16", "binary", "empty"]
)
def test_a_file_that_holds_no_labels_is_told(save: Save, data: bytes) -> None:
    path = save(data, "labels.txt")

    with pytest.raises(ConfigError) as caught:
        read_labels(path)

    assert str(caught.value).startswith(f"{path}: expected ")


def test_labels_in_latin_1_lose_a_letter_and_no_more(save: Save) -> None:
    assert read_labels(save("Kätzchen\nHund\n".encode("latin-1"), "l.txt")).names == ("K\ufffdtzchen", "Hund")


def test_a_model_that_is_known_is_not_run_in_a_child_again(save: Save, home: Path) -> None:
    path = save(DETECTOR)
    open_model(path, threads=1)
    card = json.loads(card_of(home).read_text())
    card_of(home).write_text(json.dumps(card | {"reason": "kept"}))

    assert open_model(path, threads=1).card.reason == "kept"


@pytest.mark.parametrize("text", ["", "{}", "[]", "half of a li", '{"kind": 5}', "\xff"])
def test_a_damaged_card_is_made_anew(save: Save, home: Path, text: str) -> None:
    path = save(DETECTOR)
    first = open_model(path, threads=1).card
    card_of(home).write_text(text, "latin-1")

    assert open_model(path, threads=1).card == first
    assert json.loads(card_of(home).read_text())["kind"] == "detector"


def test_the_same_name_with_other_bytes_is_another_model(save: Save, home: Path) -> None:
    open_model(save(DETECTOR), threads=1)
    other = build([Output(layouts.yolov8(TRUTH, (96, 96), 3))], size=(96, 96))

    assert open_model(save(other), threads=1).decoder.classes == 3


def test_what_is_no_detector_is_examined_each_time(save: Save, home: Path) -> None:
    with pytest.raises(ModelError):
        open_model(save(build([Output([[0.5, 0.5]])])), threads=1)

    assert not (home / "cards").exists()


@pytest.mark.parametrize("cores", [1, 2])
def test_a_board_of_few_cores_runs_the_model_on_one(
    save: Save, home: Path, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))

    assert best_threads(read_file(save(DETECTOR))) == 1
    assert not home.exists()


def test_the_number_of_threads_is_measured_once(
    save: Save, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    file = read_file(save(DETECTOR))

    with caplog.at_level(logging.INFO):
        first, second = best_threads(file), best_threads(file)

    assert first == second
    assert first in (1, 2, 3)
    assert [message.split(":")[0] for message in caplog.messages] == ["threads"]
    assert [path.read_text() for path in (home / "threads").iterdir()] == [str(first)]


@pytest.mark.parametrize("text", ["4", "0", "many", ""])
def test_a_number_of_threads_that_cannot_be_is_measured_anew(
    save: Save, home: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    file = read_file(save(DETECTOR))
    best_threads(file)
    kept = next((home / "threads").iterdir())
    kept.write_text(text)

    assert best_threads(file) in (1, 2, 3)
    assert kept.read_text() in "123"
