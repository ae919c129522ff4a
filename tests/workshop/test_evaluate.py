from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import layouts
import numpy as np
import program
import pytest

from edge_detect import detections
from edge_detect.errors import DatasetError, InputMissing
from edge_detect.workshop import evaluate
from edge_detect.workshop.dataset import Dataset, Label, Picture

NAMES = ("person", "car")
PERSON, CAR = layouts.TRUTH.boxes.tolist()


def labelled(path: Path, *names: str, scale: float = 1.0) -> Picture:
    """The picture with what `program.detector` finds in each, in pixels of a picture `scale` times as large."""
    size = (round(program.SIZE[0] * scale), round(program.SIZE[1] * scale))
    places = {"person": PERSON, "car": CAR}
    labels = [Label(name, tuple(side * scale for side in places[name])) for name in names]
    return Picture(path, size, tuple(labels), frozenset(NAMES), where="val.json:7")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / "photo.png"), program.picture())
    return tmp_path / "photo.png"


@pytest.fixture
def model(save: Callable[..., Path]) -> Path:
    return save(program.detector())


def run(path: Path, *pictures: Picture, names: tuple[str, ...] = NAMES) -> evaluate.Result:
    return evaluate.evaluate([path], Dataset(names, pictures), threads=1)[0]


def test_a_model_that_finds_all_has_an_average_precision_of_one(model: Path, photo: Path) -> None:
    result = run(model, labelled(photo, "person", "car"))

    assert (result.precision.ap, result.path, result.bytes) == (
        pytest.approx(1),
        model,
        len(program.detector()),
    )
    assert 0 < result.invoke_ms <= result.invoke_p95_ms


def test_boxes_are_compared_in_the_pixels_of_the_labels(model: Path, photo: Path) -> None:
    result = run(model, labelled(photo, "person", "car", scale=3))

    assert result.precision.ap == pytest.approx(1)
    np.testing.assert_allclose(result.found[0].boxes, layouts.TRUTH.boxes * 3, atol=0.2)


def test_a_class_without_a_box_is_null_in_json(model: Path, photo: Path) -> None:
    data = Dataset(NAMES, (labelled(photo, "person"),))

    (row,) = evaluate.to_json(evaluate.compare(evaluate.open_models([model], threads=1), data))["models"]

    assert row["classes"] == {
        "person": {"ap": 1.0, "ap50": 1.0, "boxes": 1, "threshold": 0.75},
        "car": {"ap": None, "ap50": None, "boxes": 0, "threshold": None},
    }
    assert (row["ap50"], row["ap50_enough_boxes"]) == (1.0, None)
    assert row["sizes"] == {"small": None, "medium": 1.0, "large": None}


def test_a_threshold_in_json_still_takes_the_detection_that_set_it(model: Path, photo: Path) -> None:
    result = run(model, labelled(photo, "person"))
    best = result.precision.best.copy()
    best[0, 0] = 0.123456
    exact = replace(result, precision=replace(result.precision, best=best))
    data = Dataset(NAMES, (labelled(photo, "person"),))

    row = evaluate.to_json(evaluate.Evaluation("", data, (exact,)))["models"][0]

    assert row["classes"]["person"]["threshold"] == 0.1234


def test_the_mean_over_classes_with_enough_boxes_leaves_out_the_rare(model: Path, photo: Path) -> None:
    many = [labelled(photo, "person")] * (evaluate.ENOUGH - 1) + [labelled(photo, "person", "car")]

    few, precision = run(model, *many[1:]).precision, run(model, *many).precision

    assert precision.boxes.tolist() == [20, 1]
    assert math.isnan(evaluate.enough(few))
    assert evaluate.enough(precision) == precision.mean(iou=0, of="person")
    assert evaluate.enough(precision) > precision.ap50


def test_models_take_turns_and_the_order_turns_round(save: Callable[..., Path], photo: Path) -> None:
    paths = [save(program.detector(), f"{name}.tflite") for name in "abc"]
    opened = evaluate.open_models(paths, threads=1)
    order: list[str] = []
    for one in opened:
        name, run_net = one.file.path.stem, one.interpreter.run
        one.interpreter.run = lambda name=name, run_net=run_net: (order.append(name), run_net())  # type: ignore

    evaluate.detect_all(opened, Dataset(NAMES, (labelled(photo),) * 3))

    assert "".join(order) == "abc" + "cba" + "abc" + "cba"  # the first run of each is not timed


def test_only_the_classes_that_all_models_find_are_measured(
    save: Callable[..., Path], photo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [
        save(program.detector(b"person\ncar\n"), "a.tflite"),
        save(program.detector(b"dog\ncar\n"), "b.tflite"),
    ]
    data = Dataset(NAMES, (labelled(photo, "person", "car"),))

    with caplog.at_level(logging.INFO, evaluate.log.name):
        results = evaluate.evaluate(paths, data, threads=1)

    assert [result.precision.classes for result in results] == [("car",), ("car",)]
    assert caplog.messages == ["val.json: not measured, as not every model finds them: person"]


def test_labels_are_for_models_without_names_of_their_own(
    save: Callable[..., Path], photo: Path, tmp_path: Path
) -> None:
    paths = [
        save(program.detector(b""), "bare.tflite"),
        save(program.detector(b"car\nperson\n"), "named.tflite"),
    ]
    (tmp_path / "labels.txt").write_text("person\ncar\n")

    opened = evaluate.open_models(paths, tmp_path / "labels.txt", 1)

    assert [model.labels.names for model in opened] == [("person", "car"), ("car", "person")]


@pytest.mark.parametrize(
    "labels, classes, message",
    [
        (b"", NAMES, "model.tflite: has no names of its classes; give them with --labels FILE"),
        (
            b"dog\ncat\n",
            NAMES,
            "model.tflite: finds dog, cat, the set labels person, car: no class in common;"
            " give the right --labels, or rename the set's classes",
        ),
        (
            b"dog\ncat\n",
            (),
            "model.tflite: finds dog, cat, the set labels nothing: no class in common;"
            " give the right --labels, or rename the set's classes",
        ),
    ],
    ids=["no names", "other names", "a set without classes"],
)
def test_a_model_that_shares_no_class_is_told(
    save: Callable[..., Path], photo: Path, labels: bytes, classes: tuple[str, ...], message: str
) -> None:
    path = save(program.detector(labels))

    with pytest.raises(DatasetError) as caught:
        run(path, labelled(photo), names=classes)

    assert str(caught.value) == message


def test_models_that_share_no_class_with_each_other_are_told(save: Callable[..., Path], photo: Path) -> None:
    paths = [
        save(program.detector(b"person\ndog\n"), "a.tflite"),
        save(program.detector(b"cat\ncar\n"), "b.tflite"),
    ]

    with pytest.raises(DatasetError) as caught:
        evaluate.evaluate(paths, Dataset(NAMES, (labelled(photo),)), threads=1)

    assert str(caught.value) == "val.json: no class that all models find: person / car"


def test_a_set_without_pictures_is_told(model: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        run(model)

    assert str(caught.value) == "data: expected a data set with pictures, got none"


def test_a_picture_that_is_not_there_is_told_with_the_line_that_names_it(model: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone.jpg"

    with pytest.raises(InputMissing) as caught:
        run(model, labelled(gone, "person"))

    assert str(caught.value) == f"val.json:7: {gone}: cannot read the picture: No such file or directory"


@pytest.mark.parametrize(
    "where, place", [("a/val.json:7", "a/val.json"), ("val.json:1:205", "val.json"), ("", "b")]
)
def test_a_set_without_a_name_has_that_of_the_file_or_folder_of_its_pictures(where: str, place: str) -> None:
    data = Dataset((), (Picture(Path("b/c.jpg"), (1, 1), (), frozenset(), where=where),))

    assert evaluate.place_of(data) == place


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path, photo: Path) -> None:
    paths = [tmp_path / "a" / "model.tflite", tmp_path / "b" / "model.tflite", tmp_path / "other.tflite"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(program.detector())
    data = Dataset(NAMES, (labelled(photo, "person"),))

    titles = evaluate.compare(evaluate.open_models(paths, threads=1), data).titles

    assert titles == [str(paths[0]), str(paths[1]), "other.tflite"]


def test_how_far_it_is_is_told_now_and_then(
    model: Path, photo: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "TELL", 0.0)

    with caplog.at_level(logging.INFO, evaluate.log.name):
        run(model, labelled(photo, "person"), labelled(photo, "person"))

    assert caplog.messages == ["evaluated 1 of 2 pictures", "evaluated 2 of 2 pictures"]


def test_detections_are_scaled_on_each_axis() -> None:
    found = evaluate.scaled(detections.make([[10, 20, 30, 40]], [0.5], [0]), (100, 100), (200, 50))

    assert found.boxes.tolist() == [[20, 10, 60, 20]]
