from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from edge_detect.errors import ConfigError, SinkError
from edge_detect.workshop import check
from edge_detect.workshop.formats import drawn


def test_drawn_scenes_are_a_sound_set_and_always_the_same(tmp_path: Path) -> None:
    data = drawn.read(Path("pattern:6"), tmp_path / "one")
    again = drawn.read(Path("pattern:6"), tmp_path / "other")

    assert len(data) == 6
    assert [f for f in check.check(data) if "smaller" not in f.what and "reaches out" not in f.what] == []
    assert [p.labels for p in data.pictures] == [p.labels for p in again.pictures]
    assert sum(data.counts().values()) > 0


def test_sizes_are_those_of_the_files(tmp_path: Path) -> None:
    for picture in drawn.read(Path("pattern:4"), tmp_path).pictures:
        image = cv2.imread(str(picture.path))
        assert image is not None
        assert (image.shape[1], image.shape[0]) == picture.size


@pytest.mark.parametrize("count", ["0", "100001", "-1", "x", "", "1.5", "9" * 5000, "\u0663"])
def test_a_count_that_is_none_is_told(tmp_path: Path, count: str) -> None:
    with pytest.raises(ConfigError) as error:
        drawn.read(Path(f"pattern:{count}"), tmp_path)

    assert (
        str(error.value) == f"pattern:{count}: expected pattern:COUNT, a number of pictures from 1 to 100000"
    )


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError) as none:
        drawn.read(Path("pattern:2"))
    with pytest.raises(SinkError) as file:
        drawn.read(Path("pattern:2"), tmp_path / "file")

    assert (
        str(none.value) == "pattern:2: expected a folder for the pictures, got none; write pattern:2=FOLDER"
    )
    assert str(file.value) == f"{tmp_path}/file: cannot write the drawn pictures: File exists"
