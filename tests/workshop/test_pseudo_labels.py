from __future__ import annotations

from pathlib import Path

import cv2
import layouts
import numpy as np
import program
import pytest

from edge_detect import model
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
