from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sets

from edge_detect.errors import ConfigError, DatasetError
from edge_detect.workshop.dataset import Dataset, Label, merge
from edge_detect.workshop.sheet import CAPTION, CELL, GAP, sheet


def many(folder: Path, count: int) -> Dataset:
    return merge(sets.one(folder, name=f"{i}.png") for i in range(count))


@pytest.mark.parametrize(
    "there, count, columns, expected",
    [(1, 24, 6, (1, 1)), (5, 24, 3, (3, 2)), (5, 2, 6, (2, 1))],
    ids=["one", "fewer than asked for", "fewer than there are"],
)
def test_a_sheet_is_as_large_as_its_pictures_need(
    tmp_path: Path, there: int, count: int, columns: int, expected: tuple[int, int]
) -> None:
    image = sheet(many(tmp_path, there), count, columns)

    wide, high = CELL[0] + GAP, CELL[1] + CAPTION + GAP
    assert image.shape == (expected[1] * high + GAP, expected[0] * wide + GAP, 3)


def test_the_lot_is_drawn_by_seed(tmp_path: Path) -> None:
    data = many(tmp_path, 20)

    assert (sheet(data, 2, seed=1) == sheet(data, 2, seed=1)).all()
    assert (sheet(data, 2, seed=1) != sheet(data, 2, seed=2)).any()


def test_a_box_is_drawn_where_it_is_and_dashed_where_it_is_to_be_ignored(tmp_path: Path) -> None:
    bare = sheet(sets.one(tmp_path))
    box = (32, 24, 60, 44)
    drawn = [sheet(sets.one(tmp_path, Label("car", box, ignore))) != bare for ignore in (False, True)]
    rows = slice(GAP + 170, GAP + 264)  # along its left side, below the name
    line = [np.any(changed[rows, GAP + 192], axis=-1).mean() for changed in drawn]

    assert line[0] > 0.95
    assert 0.4 < line[1] < 0.9
    assert not drawn[0][GAP : GAP + 100, GAP : GAP + 100].any()


def test_odd_boxes_and_names_are_drawn_all_the_same(tmp_path: Path) -> None:
    boxes = [
        (-90.0, -90.0, 900.0, 900.0),
        (60.0, 40.0, 10.0, 10.0),
        (float("nan"), 0.0, 1e6, 9.0),
        (64.0, 48.0, 64.0, 48.0),
    ]
    data = sets.one(tmp_path, *(Label("car", box) for box in boxes), name="ä" * 90 + ".png")

    assert sheet(data).any()


@pytest.mark.parametrize("content", [None, b"no picture"], ids=["missing", "damaged"])
def test_a_picture_that_cannot_be_read_is_told_in_its_cell(tmp_path: Path, content: bytes | None) -> None:
    data = sets.one(tmp_path)
    whole = sheet(data)
    data.pictures[0].path.unlink()
    if content:
        data.pictures[0].path.write_bytes(content)

    assert (sheet(data) != whole).any()


def test_what_fits_on_no_sheet_is_told(tmp_path: Path) -> None:
    data = many(tmp_path, 2)

    with pytest.raises(DatasetError, match=r"^expected a data set with pictures, got none$"):
        sheet(Dataset((), ()))
    with pytest.raises(ConfigError, match=r"^expected --count and --columns of 1 or more, got 0 and 6$"):
        sheet(data, count=0)
    with pytest.raises(ConfigError, match=r"^a sheet of 90x1 pictures is too large; give a smaller --count$"):
        sheet(replace(data, pictures=data.pictures * 45), count=90, columns=90)
