from __future__ import annotations

import logging
from pathlib import Path

import cv2
import layouts
import numpy as np
import program
import pytest

from edge_detect import model
from edge_detect.errors import DatasetError
from edge_detect.workshop import pseudo_labels


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    """A file that finds `layouts.TRUTH` in every picture."""
    (place := tmp_path / "t.tflite").write_bytes(program.detector())
    return place


def test_sure_finds_become_labels_and_half_sure_ones_regions(tmp_path: Path, detector: Path) -> None:
    cv2.imwrite(str(place := tmp_path / "a.png"), program.picture())

    data = pseudo_labels.label([place], model.open_model(detector, threads=1), 0.6)

    (picture,) = data.pictures
    assert (data.classes, picture.size, picture.labelled) == (
        ("person", "car"), program.SIZE, frozenset({"person", "car"}),
    )  # fmt: skip
    assert [(label.name, label.ignore) for label in picture.labels] == [("person", False), ("car", True)]
    np.testing.assert_allclose([la.box for la in picture.labels], layouts.TRUTH.boxes, atol=0.05)


def test_no_pictures_make_an_empty_set(detector: Path) -> None:
    assert len(pseudo_labels.label([], model.open_model(detector, threads=1), 0.6)) == 0


@pytest.mark.parametrize("labels", [b"person\n", b"person\n???\n", b"person\nperson\n"])
def test_a_find_without_a_name_of_its_own_is_no_label(tmp_path: Path, labels: bytes) -> None:
    (file := tmp_path / "t.tflite").write_bytes(program.detector(labels))
    cv2.imwrite(str(place := tmp_path / "a.png"), program.picture())

    data = pseudo_labels.label([place], model.open_model(file, threads=1), 0.6)

    assert data.classes == ("person",)
    assert {label.name for label in data.pictures[0].labels} == {"person"}


def test_a_detector_without_names_is_told(tmp_path: Path) -> None:
    (file := tmp_path / "t.tflite").write_bytes(program.detector(b""))

    with pytest.raises(DatasetError) as caught:
        pseudo_labels.label([], model.open_model(file, threads=1), 0.6)

    assert str(caught.value) == "t.tflite: has no names of its classes; give them with --labels FILE"


def test_a_picture_that_cannot_be_read_is_told_and_the_others_are_labelled(
    tmp_path: Path, detector: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cv2.imwrite(str(place := tmp_path / "a.png"), program.picture())
    (bad := tmp_path / "b.png").write_bytes(b"\x89PNG junk")

    with caplog.at_level(logging.WARNING):
        data = pseudo_labels.label([bad, place], model.open_model(detector, threads=1), 0.6)

    assert [picture.path for picture in data.pictures] == [place]
    assert [record.getMessage() for record in caplog.records] == [
        f"left out: {bad}: not a picture that can be read (expected JPEG, PNG, BMP, TIFF or WebP)"
    ]
