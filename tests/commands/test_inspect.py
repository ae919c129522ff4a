from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import program
import pytest
from program import run
from tflite_files import Output, build


def report(*words: object) -> dict[str, object]:
    end = run("inspect", *words, "--json")
    assert (end.returncode, end.stdout.count("\n")) == (0, 1)
    found: dict[str, object] = json.loads(end.stdout)
    return found


def test_a_detector_is_described_in_json(desk: Path) -> None:
    found = report("model.tflite")

    assert (found["kind"], found["layout"]) == ("detector", "ssd-postprocess-tf1")
    assert found["input"] == {
        "name": "picture", "shape": [1, 32, 64, 3], "dtype": "uint8", "scale": 1 / 128, "zero_point": 128,
        "colour": "RGB", "mean": [127.5], "std": [127.5], "padding": 128,
    }  # fmt: skip
    assert (found["labels"], found["classes"], found["label_mismatch"]) == (["person", "car"], 2, "")
    assert found["reason"] == "shapes, and values: class numbers are whole, scores are not"


def test_a_detector_is_described_in_words(desk: Path) -> None:
    text = run("inspect", "model.tflite").stdout

    assert text.startswith("model.tflite: detector\n  why      shapes, and values")
    for line in (
        "  layout   SSD with TFLite_Detection_PostProcess, TF1 order",
        "  input    [1, 32, 64, 3] uint8, scale 0.0078125, zero point 128  picture",
        "           RGB, (pixel - 127.5) / 127.5",
        "  labels   2 (one name a line) 0 = person, 1 = car",
    ):
        assert f"\n{line}\n" in text


@pytest.mark.parametrize(
    "name, data, kind, reason",
    [
        (
            "class.tflite",
            build([Output(np.zeros((1, 10)))]),
            "classifier",
            "outputs [1, 10] look like a classifier, not a detector; use a detector",
        ),
        (
            "state.tflite",
            build([Output(np.zeros((1, 10)))], variable=True),
            "unsupported",
            "1 variable tensors: a stateful model, which remembers earlier pictures;"
            " use a detector without state",
        ),
        (
            "rubbish.tflite",
            b"rubbish",
            "unsupported",
            "the file does not begin like a TFLite file, not a TFLite model; expected a .tflite file",
        ),
        (
            "half.tflite",
            program.detector()[:2000],
            "unsupported",
            "a damaged or truncated TFLite file; copy or download it again",
        ),
    ],
    ids=["classifier", "stateful", "rubbish", "truncated"],
)
def test_what_is_no_detector_is_told_and_no_error(
    desk: Path, name: str, data: bytes, kind: str, reason: str
) -> None:
    (desk / name).write_bytes(data)

    found = report(name)

    assert (found["kind"], found["layout"], found["reason"]) == (kind, None, reason)
    assert {"input", "labels"} <= found.keys()


def test_a_folder_is_told_and_no_error(desk: Path) -> None:
    found = report(".")

    assert (found["kind"], found["reason"]) == ("unsupported", "a directory, expected a .tflite file")
    assert (found["input"], found["labels"]) == (None, [])


def test_a_missing_model_ends_with_66(desk: Path) -> None:
    end = run("inspect", "no.tflite", "--json")

    assert (end.returncode, end.stdout, end.stderr.count("\n")) == (66, "", 1)


def test_a_picture_is_tried_with_each_colour_order_and_fit(desk: Path) -> None:
    (desk / "three.txt").write_text("background of old\nperson\ncar\n")

    found = report("model.tflite", "-i", "photo.jpg", "-l", "three.txt")

    trials = found["trials"]
    assert isinstance(trials, list)
    assert {(row["colour"], row["fit"]) for row in trials} == {
        (colour, fit) for colour in ("RGB", "BGR") for fit in ("letterbox", "stretch")
    }
    assert trials[0]["best_score"] == 0.75
    assert trials[0]["label_by_offset"] == {"-1": "class -1", "0": "background of old", "+1": "person"}
    assert found["label_mismatch"] == "3 labels for a model of 2 classes: the last 1 are not used"


def test_labels_that_do_not_fit_are_told_once(desk: Path) -> None:
    (desk / "three.txt").write_text("a\nb\nc\n")

    end = run("inspect", "model.tflite", "-l", "three.txt", "-i", "photo.jpg")

    assert (end.stdout + end.stderr).count("3 labels for a model of 2 classes") == 1
