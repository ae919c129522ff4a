from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import sets

from edge_detect.workshop import check
from edge_detect.workshop.dataset import Dataset, Fault, Label, Picture, merge


def told(data: Dataset) -> list[str]:
    return list(map(str, check.check(data)))


def test_a_sound_set_has_no_fault(tmp_path: Path) -> None:
    assert told(sets.one(tmp_path, Label("car", (0, 0, 64, 48)), Label("car", (-1, -0.5, 65, 49)))) == []
    assert told(sets.one(tmp_path)) == []
    assert told(Dataset((), ())) == []


@pytest.mark.parametrize(
    "box, what",
    [
        ((10, 10, 10, 20), "the box is empty: 10 10 10 20"),
        ((10, 10, 20, 5), "the box is empty: 10 10 20 5"),
        ((math.nan, 0, 9, 9), "the box is not finite: nan 0 9 9"),
        ((0, 0, math.inf, 9), "the box is not finite: 0 0 inf 9"),
        ((64, 0, 80, 9), "the box is outside the picture of 64x48: 64 0 80 9"),
        ((-20, 0, 0, 9), "the box is outside the picture of 64x48: -20 0 0 9"),
        ((0, 0, 65.5, 9), "the box reaches out of the picture of 64x48: 0 0 65.5 9"),
        ((0, -1.5, 9, 9), "the box reaches out of the picture of 64x48: 0 -1.5 9 9"),
        ((0, 0, 9, 49.5), "the box reaches out of the picture of 64x48: 0 0 9 49.5"),
        ((3, 3, 4.5, 30), "the box is smaller than 2 pixels: 3 3 4.5 30"),
    ],
)
def test_a_wrong_box_is_told_with_its_line(
    tmp_path: Path, box: tuple[float, float, float, float], what: str
) -> None:
    data = sets.one(tmp_path, Label("car", box, where="a.json:7"))

    assert told(data) == [f"a.json:7: car: {what}"]


def test_the_same_box_twice_is_told_where_both_are(tmp_path: Path) -> None:
    box = (1.0, 1.0, 9.0, 9.0)
    data = sets.one(
        tmp_path,
        Label("car", box, where="f:1"),
        Label("person", box, where="f:2"),
        Label("car", box, where="f:3"),
    )

    assert told(data) == ["f:3: car: the same box is there twice, first at f:1"]


def test_a_class_that_was_not_looked_for_is_told(tmp_path: Path) -> None:
    data = sets.one(tmp_path, Label("car", (1, 1, 9, 9), where="f:4"), labelled=frozenset({"person"}))

    assert told(data) == ["f:4: car is not among the classes that were looked for"]


def test_missing_damaged_and_resized_pictures_are_told(tmp_path: Path) -> None:
    data = sets.one(tmp_path)
    picture = data.pictures[0]
    (tmp_path / "bad.png").write_bytes(picture.path.read_bytes()[:40])
    rows = (
        replace(picture, path=tmp_path / "no.png", where="f:1"),
        replace(picture, path=tmp_path / "bad.png", where="f:2"),
        replace(picture, path=tmp_path, where="f:3"),
        replace(picture, size=(640, 480), where="f:4"),
    )

    assert told(replace(data, pictures=rows)) == [
        f"f:1: cannot read the picture {tmp_path}/no.png: No such file or directory",
        f"f:2: {tmp_path}/bad.png: not a picture that can be read",
        f"f:3: cannot read the picture {tmp_path}: Is a directory",
        "f:4: a.png is 64x48, the labels say 640x480",
    ]


def test_a_picture_that_is_there_twice_is_told_once(tmp_path: Path) -> None:
    data = sets.one(tmp_path)
    twin = replace(data.pictures[0], path=sets.draw(tmp_path / "twin.png"), where="f:2")
    again = replace(data.pictures[0], where="f:3")

    assert told(replace(data, pictures=(*data.pictures, twin, again))) == [
        "f:2: twin.png is the same picture as a.png at set:1",
        "f:3: a.png is there twice, first at set:1",
    ]


def test_what_reading_found_comes_first(tmp_path: Path) -> None:
    data = replace(sets.one(tmp_path, Label("car", (1, 1, 1, 1), where="f:2")), faults=(Fault("f:9", "odd"),))

    assert told(data) == ["f:9: odd", "f:2: car: the box is empty: 1 1 1 1"]


def test_leaks_are_pictures_of_the_same_bytes_and_shared_groups(tmp_path: Path) -> None:
    train = sets.one(tmp_path / "train", group="clip")
    val = sets.one(tmp_path / "val", name="b.png", where="val:1")
    other = sets.draw(tmp_path / "val" / "c.png", seed=1)
    rows = tuple(Picture(other, (64, 48), (), frozenset(), "clip", f"val:{i}") for i in (2, 3))

    found = check.leaks(train, replace(val, pictures=(*val.pictures, *rows)))

    assert list(map(str, found)) == [
        "val:1: leak: b.png is the same picture as a.png at set:1",
        "val:2: leak: group 'clip' is also at set:1",
    ]


def test_missing_pictures_are_no_leak(tmp_path: Path) -> None:
    data = sets.one(tmp_path)
    gone = replace(data, pictures=(replace(data.pictures[0], path=tmp_path / "no.png"),))

    assert check.leaks(gone, gone) == []


def test_description_counts_boxes_pictures_and_ignore_regions_apart(tmp_path: Path) -> None:
    labels = Label("car", (0, 0, 32, 24)), Label("car", (0, 0, 64, 48)), Label("person", (0, 0, 9, 9), True)
    report = check.describe(merge([sets.one(tmp_path, *labels), sets.one(tmp_path)]))

    assert report["classes"] == {
        "person": {"boxes": 0, "pictures": 0, "looked_for_in": 2, "median_area_share": 0.0, "ignore": 1},
        "car": {"boxes": 2, "pictures": 1, "looked_for_in": 2, "median_area_share": 0.625, "ignore": 0},
    }
    assert {name: report[name] for name in ("pictures", "without_labels", "boxes", "ignore", "groups")} == {
        "pictures": 2, "without_labels": 1, "boxes": 2, "ignore": 1, "groups": 0,
    }  # fmt: skip
    assert report["boxes_per_picture"] == {"median": 1.0, "most": 2}
    assert (report["sizes"], report["labelled"]) == ({"64x48": 2}, ["person", "car"])


def test_table_leaves_out_what_nobody_looked_for(tmp_path: Path) -> None:
    data = sets.one(tmp_path, Label("car", (0, 0, 32, 24)), labelled=frozenset({"car"}))

    assert check.table(check.describe(data)) == (
        "1 pictures, 0 without labels\n"
        "1 boxes, 1 in the median picture, 1 at most; 0 regions to ignore\n"
        "sizes: 64x48 (1)\n"
        "class    boxes  pictures       of     area  ignore\n"
        "car          1         1        1   25.00%       0"
    )


def test_an_empty_set_can_be_described() -> None:
    assert check.table(check.describe(Dataset((), ()))).startswith("0 pictures, 0 without labels\n")


@pytest.mark.parametrize("name", ["street", "animals", "vehicles-a"])
def test_the_shared_sets_have_no_fault(shared: Path, name: str) -> None:
    from edge_detect.workshop import formats

    assert told(formats.read(str(shared / "data" / name / "val.json"))) == []
