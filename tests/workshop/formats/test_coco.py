from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sets

from edge_detect.errors import DatasetError, InputMissing, SinkError
from edge_detect.workshop.dataset import Dataset, Label, merge
from edge_detect.workshop.formats import coco

CATEGORY = '{"id": 3, "name": "car"}'
IMAGE = '{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}'
LABEL = '{"id": 5, "image_id": 1, "category_id": 3, "bbox": [1, 2, 10, 20]}'


def text(images: str = IMAGE, annotations: str = LABEL, categories: str = CATEGORY, more: str = "") -> str:
    """A COCO file: images from line 2, annotations from line 4, categories from line 6 on."""
    return f'{{"images": [\n{images}\n], "annotations": [\n{annotations}\n], "categories": [\n{categories}\n]{more}}}'


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], Dataset]:
    """Reads a text as `set.json`."""

    def parse(content: str) -> Dataset:
        (tmp_path / "set.json").write_text(content, "utf-8")
        return coco.read(tmp_path / "set.json")

    return parse


def told(data: Dataset, folder: Path) -> list[str]:
    return [str(fault).removeprefix(f"{folder}/") for fault in data.faults]


def test_boxes_become_corners_with_their_lines(read: Callable[[str], Dataset], tmp_path: Path) -> None:
    data = read(text(annotations=LABEL.replace("}", ', "iscrowd": 1}')))

    picture = data.pictures[0]
    assert (data.classes, data.numbers, data.faults) == (("car",), {"car": 3}, ())
    assert picture.labels == (Label("car", (1, 2, 11, 22), True, f"{tmp_path}/set.json:4"),)
    assert (picture.path, picture.size) == (tmp_path / "a.jpg", (64, 48))
    assert (picture.where, picture.labelled, picture.group) == (f"{tmp_path}/set.json:2", {"car"}, "")


@pytest.mark.parametrize(
    "content, message",
    [
        ({"annotations": "7"}, "set.json:4: expected an annotation, got 7"),
        ({"annotations": LABEL.replace('"image_id": 1', '"image_id": 2')}, "set.json:4: annotation 5: no image 2"),
        ({"annotations": LABEL.replace('"image_id": 1', '"image_id": true')}, "set.json:4: annotation 5: no image True"),
        ({"annotations": LABEL.replace(": 3", ": [3]")}, "set.json:4: annotation 5: unknown category [3]"),
        ({"annotations": LABEL.replace(": 3", ": true")}, "set.json:4: annotation 5: unknown category True"),
        ({"annotations": LABEL + ",\n" + LABEL}, "set.json:5: annotation 5 is there twice, first at {}/set.json:4"),
        ({"annotations": LABEL.replace("20]", "NaN]")}, "set.json:4: annotation 5: expected 'bbox' with 4 numbers, got [1, 2, 10, nan]"),
        ({"annotations": LABEL.replace("20]", "1e400]")}, "set.json:4: annotation 5: expected 'bbox' with 4 numbers, got [1, 2, 10, inf]"),
        ({"annotations": LABEL.replace("20]", "true]")}, "set.json:4: annotation 5: expected 'bbox' with 4 numbers, got [1, 2, 10, True]"),
        ({"annotations": LABEL.replace("[1, 2, 10, 20]", "null")}, "set.json:4: annotation 5: expected 'bbox' with 4 numbers, got None"),
        ({"images": IMAGE + ",\n{}"}, "set.json:3: an image without 'id' or 'file_name'"),
        ({"images": IMAGE + ",\n" + IMAGE}, "set.json:3: image 1 is there twice"),
        ({"images": IMAGE + ",\n" + IMAGE.replace("1,", "2,").replace("64", "true")}, "set.json:3: image 2: expected 'width' and 'height' in pixels"),
        ({"images": IMAGE + ",\n" + IMAGE.replace("1,", "2,").replace("64", "-64")}, "set.json:3: image 2: expected 'width' and 'height' in pixels"),
        ({"images": IMAGE + ",\n" + IMAGE.replace("1,", "2,").replace("64", "9" * 30)}, "set.json:3: image 2: expected 'width' and 'height' in pixels"),
        ({"images": IMAGE + ",\n" + IMAGE.replace("1,", "2,").replace("a.jpg", "../../etc/passwd")}, "set.json:3: image 2: file_name '../../etc/passwd' leads out of {}"),
        ({"images": IMAGE + ",\n" + IMAGE.replace("1,", "2,").replace("a.jpg", "/etc/passwd")}, "set.json:3: image 2: file_name '/etc/passwd' leads out of {}"),
        ({"images": IMAGE + ",\n" + IMAGE.replace("1,", "2,").replace("a.jpg", "C:\\\\a.jpg")}, "set.json:3: image 2: file_name 'C:\\a.jpg' leads out of {}"),
        ({"images": IMAGE + ",\n" + IMAGE.replace("1,", "2,").replace("a.jpg", "x\\\\..\\\\..\\\\a")}, "set.json:3: image 2: file_name 'x\\..\\..\\a' leads out of {}"),
        ({"categories": CATEGORY + ",\n" + CATEGORY}, "set.json:7: category 3 'car' is there twice"),
        ({"categories": CATEGORY + ',\n{"id": true, "name": "dog"}'}, "set.json:7: a category without a number 'id' or a 'name'"),
        ({"categories": CATEGORY + ',\n{"id": 4, "name": ["dog"]}'}, "set.json:7: a category without a number 'id' or a 'name'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_left_out_and_told_with_its_line(
    read: Callable[[str], Dataset], tmp_path: Path, content: dict[str, str], message: str
) -> None:
    data = read(text(**content))

    assert told(data, tmp_path) == [message.replace("{}", str(tmp_path))]
    assert len(data) == 1


@pytest.mark.parametrize("size", ["", ', "width": null, "height": 48', ', "width": 0, "height": 0'])
def test_a_size_that_is_none_is_taken_from_the_picture(
    read: Callable[[str], Dataset], tmp_path: Path, size: str
) -> None:
    sets.draw(tmp_path / "a.png")

    data = read(text(images=f'{{"id": 1, "file_name": "a.png"{size}}}'))

    assert ([p.size for p in data.pictures], data.faults) == ([(64, 48)], ())


def test_whole_numbers_may_be_written_with_a_point(read: Callable[[str], Dataset]) -> None:
    content = text()

    data = read(re.sub(r"(\d)([,}\]])", r"\1.0\2", content))

    assert ".0" not in content
    assert (data, data.faults) == (read(content), ())


@pytest.mark.parametrize(
    "content, message",
    [
        ("", ":1: expected a COCO file, a JSON object with 'images'"),
        ("[]", ":1: expected a COCO file, a JSON object with 'images'"),
        ("{}", ": expected a COCO file with a list 'images', there is none"),
        ('{"images": 3}', ": expected a COCO file with a list 'images', there is none"),
        ('{"images": [],\n"annotations": []}', ": expected a COCO file with a list 'categories', there is none"),
        ('{\n"images": [\n{"id": 1', ":3:9: not JSON: Expecting ',' delimiter"),
        ('{\n"images": [\n{}', ":3:3: not JSON: expected ',' or ']'; is the file cut off?"),
        ('{\n"images"', ":2:9: not JSON: expected ':'"),
        ("{1: 2}", ":1:2: not JSON: expected a name in quotes"),
        ('{[1]: 2}', ":1:2: not JSON: expected a name in quotes"),
        ('{"a": 1, "a": 2}', ":1:10: 'a' is there twice"),
        ("{}\n{}", ":2: not JSON: expected the end of the file"),
        ('{"a":\n' + "9" * 5000 + "}", ":2: a number of too many digits"),
        ('{"a":' + "[" * 100_000, ":1:7: JSON nested too deeply for a data set"),
    ],
    ids=lambda value: repr(value)[:24],
)  # fmt: skip
def test_what_is_no_coco_file_is_told_in_one_line(
    read: Callable[[str], Dataset], tmp_path: Path, content: str, message: str
) -> None:
    with pytest.raises(DatasetError) as error:
        read(content)

    assert str(error.value).partition(" (char")[0] == f"{tmp_path}/set.json{message}"


def test_binary_data_a_folder_and_nothing_are_told(tmp_path: Path) -> None:
    (tmp_path / "binary.json").write_bytes(b"\xff\x00\x81")

    with pytest.raises(DatasetError) as binary:
        coco.read(tmp_path / "binary.json")
    with pytest.raises(InputMissing) as folder:
        coco.read(tmp_path)
    with pytest.raises(InputMissing) as nothing:
        coco.read(tmp_path / "no.json")

    assert str(binary.value) == f"{tmp_path}/binary.json: expected JSON in UTF-8, got binary data"
    assert str(folder.value) == f"{tmp_path}: cannot read the data set: Is a directory"
    assert str(nothing.value) == f"{tmp_path}/no.json: cannot read the data set: No such file or directory"


def test_lines_are_those_that_an_editor_counts(tmp_path: Path) -> None:
    name = IMAGE.replace("a.jpg", "a\u2028\x85b.jpg")
    (tmp_path / "set.json").write_bytes(
        b"\xef\xbb\xbf" + text(images=name, annotations="7").replace("\n", "\r\n").encode()
    )

    assert told(coco.read(tmp_path / "set.json"), tmp_path) == ["set.json:4: expected an annotation, got 7"]


def test_in_a_file_of_one_line_the_column_tells_the_place(
    read: Callable[[str], Dataset], tmp_path: Path
) -> None:
    content = text(annotations=f"{LABEL},7").replace("\n", "")

    assert told(read(content), tmp_path) == [
        f"set.json:1:{content.index(',7') + 2}: expected an annotation, got 7"
    ]


def test_what_was_looked_for_is_told_for_all_or_for_one_image(read: Callable[[str], Dataset]) -> None:
    second = IMAGE.replace('"id": 1', '"id": 2, "labelled_category_ids": [4, [], 99]')
    data = read(
        text(
            images=f"{IMAGE},\n{second}",
            categories=CATEGORY + ',{"id": 4, "name": "dog"}',
            more=', "info": {"labelled_category_ids": [3]}',
        )
    )

    assert [set(picture.labelled) for picture in data.pictures] == [{"car"}, {"dog"}]


@pytest.mark.parametrize(
    "told_as, group", [('"clip"', "clip"), ("7", "7"), ("null", ""), ("true", ""), ("[1]", "")]
)
def test_a_group_is_a_word_or_a_number(read: Callable[[str], Dataset], told_as: str, group: str) -> None:
    data = read(text(images=IMAGE.replace('"id"', f'"group": {told_as}, "id"')))

    assert data.pictures[0].group == group


@pytest.mark.parametrize("place", ["a.jpg", "images/a.jpg", "images/images/a.jpg", "photos/a.jpg"])
def test_pictures_are_found_where_they_are(tmp_path: Path, place: str) -> None:
    sets.draw(tmp_path / place)
    (tmp_path / "images").mkdir(exist_ok=True)
    name = place if place != "images/images/a.jpg" else "images/a.jpg"
    (tmp_path / "set.json").write_text(text(images=IMAGE.replace("a.jpg", name)))

    assert coco.read(tmp_path / "set.json").pictures[0].path.samefile(tmp_path / place)


def test_a_set_in_other_folders_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = merge([sets.one(tmp_path / "one" / "images"), sets.one(tmp_path / "two")])
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")

    coco.write(data, Path("set.json"))

    document = json.loads(Path("set.json").read_text())
    assert document["info"]["images"] == ".."
    assert [row["file_name"] for row in document["images"]] == ["one/images/a.png", "two/a.png"]
    assert all(picture.path.is_file() for picture in coco.read(Path("set.json")).pictures)


def test_pictures_beside_the_file_are_named_plainly(tmp_path: Path) -> None:
    coco.write(sets.one(tmp_path / "images"), tmp_path / "set.json")

    document = json.loads((tmp_path / "set.json").read_text())
    assert (document["info"]["images"], document["images"][0]["file_name"]) == ("images", "a.png")


def test_all_comes_back_as_it_was_written(tmp_path: Path) -> None:
    labels = Label("car", (1.25, 2, 30.5, 40)), Label("person", (0, 0, 64, 48), True)
    some = sets.one(tmp_path / "images", *labels, group="clip")
    data = merge([some, sets.one(tmp_path / "images", name="b.png", labelled=frozenset({"car"}))])
    data = replace(data, numbers={"person": 1, "car": 3})

    coco.write(data, tmp_path / "set.json")
    back = coco.read(tmp_path / "set.json")

    assert (back.classes, back.numbers, back.faults) == (data.classes, data.numbers, ())
    for one, other in zip(data.pictures, back.pictures, strict=True):
        assert (one.path, one.size, one.labelled, one.group) == (
            other.path,
            other.size,
            other.labelled,
            other.group,
        )
        assert [(label.name, label.box, label.ignore) for label in one.labels] == [
            (label.name, label.box, label.ignore) for label in other.labels
        ]


@pytest.mark.parametrize("data", [Dataset((), ()), Dataset(("car",), ())], ids=["nothing", "no pictures"])
def test_an_empty_set_comes_back_empty(tmp_path: Path, data: Dataset) -> None:
    coco.write(data, tmp_path / "set.json")

    assert (coco.read(tmp_path / "set.json").classes, len(coco.read(tmp_path / "set.json"))) == (
        data.classes,
        0,
    )


def test_where_nothing_can_be_written_is_told_and_nothing_left(tmp_path: Path) -> None:
    (tmp_path / "set.json").mkdir()

    with pytest.raises(SinkError) as folder:
        coco.write(sets.one(tmp_path), tmp_path / "set.json")
    with pytest.raises(SinkError) as nowhere:
        coco.write(sets.one(tmp_path), tmp_path / "no" / "set.json")

    assert str(folder.value) == f"{tmp_path}/set.json: cannot write: Is a directory"
    assert str(nowhere.value) == f"{tmp_path}/no/set.json: cannot write: No such file or directory"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "set.json"]


def test_a_document_that_cannot_be_built_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coco.write(sets.one(tmp_path), tmp_path / "set.json")
    before = (tmp_path / "set.json").read_bytes()

    def fill(self: Path, *_: Any) -> None:
        self.write_bytes(b"{")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fill)
    with pytest.raises(SinkError, match=r"set.json: cannot write: No space left on device$"):
        coco.write(sets.one(tmp_path, Label("car", (1, 1, 9, 9))), tmp_path / "set.json")

    assert (tmp_path / "set.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "set.json"]
