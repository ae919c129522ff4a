from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path

import pytest
import sets
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_detect.errors import ConfigError, DatasetError, InputMissing
from edge_detect.workshop import formats, samples
from edge_detect.workshop.dataset import Dataset, Label, Picture, merge
from edge_detect.workshop.formats import files

PLACES = {"coco": "set.json", "voc": "voc", "yolo": "yolo", "tfrecord": "set.tfrecord"}
CAR = Label("car", (10, 5, 30, 40))


@settings(max_examples=12)
@given(
    rows=st.lists(st.lists(sets.labels(), max_size=4), min_size=1, max_size=3),
    way=st.permutations(list(PLACES)),
)
def test_a_set_stays_the_same_through_all_forms(rows: list[list[Label]], way: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = merge(sets.one(folder / "in", *row, name=f"{i}.png") for i, row in enumerate(rows))
        expected = sets.bare(data)
        for number, form in enumerate(way):
            place = folder / str(number) / PLACES[form]
            place.parent.mkdir()
            formats.write(data, str(place), form)
            data = formats.read(str(place))
            if form == "yolo":  # it has no word for them
                expected = sorted((size, [row for row in boxes if not row[2]]) for size, boxes in expected)  # type: ignore[attr-defined]

            assert sets.bare(data) == expected
            assert data.faults == ()


@pytest.mark.parametrize("form", PLACES)
def test_every_form_is_told_by_what_is_there(tmp_path: Path, form: str) -> None:
    formats.write(sets.one(tmp_path / "in", CAR), str(tmp_path / PLACES[form]), form)

    assert formats.form_of(str(tmp_path / PLACES[form])) == form


@pytest.mark.parametrize("form", ["voc", "yolo"])
def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, form: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    (tmp_path / "file").touch()
    (tmp_path / "void").mkdir()
    data = sets.one(tmp_path / "in", CAR)

    with pytest.raises(DatasetError) as full:
        formats.write(data, str(tmp_path / "full"), form)
    with pytest.raises(DatasetError) as file:
        formats.write(data, str(tmp_path / "file"), form)
    formats.write(data, str(tmp_path / "void"), form)

    assert str(full.value) == f"{tmp_path}/full: exists and is not empty; give a new folder"
    assert str(file.value) == f"{tmp_path}/file: expected a folder, there is a file; give a new folder"
    assert len(formats.read(str(tmp_path / "void"))) == 1


@pytest.mark.parametrize("form", ["voc", "yolo", "tfrecord"])
@pytest.mark.parametrize("content", [None, b"root:x:0:0"], ids=["missing", "no picture"])
def test_a_picture_that_is_none_is_not_copied_and_nothing_is_left(
    tmp_path: Path, form: str, content: bytes | None
) -> None:
    data = merge([sets.one(tmp_path / "in", CAR), sets.one(tmp_path / "in", CAR, name="b.png")])
    path = data.pictures[1].path
    path.unlink()
    if content:
        path.write_bytes(content)

    with pytest.raises(DatasetError if content else InputMissing) as error:
        formats.write(data, str(tmp_path / PLACES[form]), form)

    what = (
        f"expected a picture, {path} is none"
        if content
        else f"cannot read the picture {path}: No such file or directory"
    )
    assert str(error.value) == f"set:1: {what}"
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("form", ["voc", "yolo"])
def test_where_nothing_can_be_written_is_told(tmp_path: Path, form: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(OSError, match=r"file/x: cannot write: Not a directory$"):
        formats.write(sets.one(tmp_path, CAR), str(tmp_path / "file" / "x"), form)


def test_what_a_form_has_no_word_for_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ignored = Label("car", (1, 1, 9, 9), True)
    data = sets.one(tmp_path / "in", CAR, ignored, group="clip", labelled=frozenset({"car"}))

    with caplog.at_level(logging.WARNING):
        formats.write(data, str(tmp_path / "yolo"), "yolo")
        formats.write(data, str(tmp_path / "set.json"))

    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}/yolo: yolo cannot tell what was not looked for: it will count as background",
        f"{tmp_path}/yolo: yolo has no groups: split before it is converted",
        f"{tmp_path}/yolo: yolo has no regions to ignore: 1 are left out",
    ]


@pytest.mark.parametrize("name", ["a\nb", " a", "", "a\x00"])
@pytest.mark.parametrize("form", ["voc", "yolo", "tfrecord"])
def test_a_class_name_that_would_not_come_back_is_told(tmp_path: Path, form: str, name: str) -> None:
    with pytest.raises(DatasetError) as error:
        formats.write(Dataset((name,), ()), "out", form)

    assert str(error.value) == f"out: {form} cannot hold the class name {name!r}; rename it with --map"


@pytest.mark.parametrize(
    "place, form, message",
    [
        ("out", "", "out: expected .json or .tfrecord, or --to coco|voc|yolo|tfrecord"),
        ("out", "vco", "unknown format 'vco', did you mean 'voc'?"),
        ("out", "drawn", "unknown format 'drawn', expected one of: coco, tfrecord, voc, yolo"),
    ],
)
def test_a_form_that_cannot_be_written_is_told(place: str, form: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        formats.write(Dataset((), ()), place, form)

    assert str(error.value) == message


def test_what_is_no_set_is_told(tmp_path: Path) -> None:
    sets.draw(tmp_path / "a.png")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "val.json").touch()
    expected = "expected a COCO .json, a folder of Pascal VOC .xml, a YOLO data.yaml or a .tfrecord"

    told = []
    for place in ("a.png", "deep", "no", "a\0b"):
        with pytest.raises((DatasetError, InputMissing)) as error:
            formats.read(f"{tmp_path}/{place}")
        told.append(str(error.value).replace(f"{tmp_path}/", ""))

    assert told == [
        f"a.png: {expected}",
        f"deep: {expected}; is it deep/val.json?",
        "no: cannot read the data set: no such file or folder",
        "'a\\x00b': cannot read the data set: no such file or folder",
    ]


def test_places_may_name_their_pictures(tmp_path: Path) -> None:
    formats.write(sets.one(tmp_path / "in", CAR), str(tmp_path / "a=b.json"))
    shutil.copytree(tmp_path / "in", tmp_path / "other")
    place = str(tmp_path / "a=b.json")

    each = formats.read_each([place, f"{place}={tmp_path}/other", ""], tmp_path / "third")

    assert [data.pictures[0].path.parent.name for data in each] == ["third", "other"]
    assert len(formats.read_all(f"{place},{place}={tmp_path}/other")) == 2
    assert len(formats.read_all(f"pattern:2={tmp_path}/drawn")) == 2
    assert len(formats.read_all("")) == 0


def test_what_a_list_of_sets_leaves_out_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = tmp_path / "set.json"
    formats.write(sets.one(tmp_path / "in", CAR), str(place))
    place.write_text(place.read_text().replace('"annotations": [', '"annotations": [\n7,\n8,'))

    formats.read_all(str(place))

    assert [record.getMessage() for record in caplog.records] == [
        f"left out: {place}:11: expected an annotation, got 7, and 1 more; edge-detect dataset check tells all"
    ]


@pytest.mark.parametrize(
    "name", ["", "/", "../a", "a/../../b", "/etc/passwd", "C:\\a", "\\a", "..\\a", "a\0b", "C:a"]
)
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    assert files.inside(tmp_path, name) is None


def test_a_name_with_backslashes_means_folders_unless_there_is_such_a_file(tmp_path: Path) -> None:
    assert files.inside(tmp_path, "a\\b.jpg") == tmp_path / "a" / "b.jpg"
    (tmp_path / "a\\b.jpg").touch()
    assert files.inside(tmp_path, "a\\b.jpg") == tmp_path / "a\\b.jpg"


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_size_of_a_picture_is_that_of_the_one_that_a_net_is_shown(
    tmp_path: Path, ending: str, orientation: int
) -> None:
    from PIL import Image

    exif, path = Image.Exif(), tmp_path / f"a.{ending}"
    exif[0x0112] = orientation
    Image.new("RGB", (64, 48)).save(path, exif=exif)

    size = files.size_of(path)

    assert size is not None
    assert size == samples.load(Picture(path, size, (), frozenset()), ()).size


def test_the_size_of_a_picture_is_that_of_the_upright_one(tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 48)).save(tmp_path / "a.jpg", exif=exif)

    assert files.size_of(tmp_path / "a.jpg") == (48, 64)
    assert files.size_of(tmp_path) is None
    assert files.size_of(tmp_path / "no") is None
