from __future__ import annotations

from pathlib import Path

import pytest
import sets
import yaml

from edge_detect.errors import DatasetError, InputMissing
from edge_detect.workshop.dataset import Dataset, Label
from edge_detect.workshop.formats import yolo

DATA = "train: images/train\nnames: [person, car]\n"


def build(folder: Path, text: str = DATA, labels: str | None = "1 0.5 0.5 0.25 0.5\n") -> Path:
    """A set of one picture; its data.yaml."""
    sets.draw(folder / "images" / "train" / "a.png")
    (folder / "labels" / "train").mkdir(parents=True)
    if labels is not None:
        (folder / "labels" / "train" / "a.txt").write_text(labels)
    (folder / "data.yaml").write_text(text)
    return folder / "data.yaml"


def boxes(data: Dataset) -> list[tuple[str, tuple[float, ...]]]:
    return [(label.name, label.box) for picture in data.pictures for label in picture.labels]


def faults(data: Dataset, path: Path) -> list[str]:
    return [str(fault).removeprefix(f"{path}/") for fault in data.faults]


@pytest.mark.parametrize(
    "text",
    [
        DATA,
        "path: .\ntrain: images/train\nnames:\n  0: person\n  1: car\n",
        "train: images/train\nnames: {'1': car, '0': person}\n",
        "path: /content/elsewhere\ntrain: images/train\nnames: [person, car]\n",
        "train: ../images/train\nval: images/train\nnc: 2\nnames: ['person', 'car']\n",
        "train: [images/train, images/train]\nnames: [person, car]\n",
        "val: list.txt\nnames: [person, car]\n",
    ],
    ids=["list", "mapping", "quoted", "moved", "Roboflow's", "two folders", "text"],
)
def test_the_forms_of_a_data_yaml_all_find_the_picture_once(tmp_path: Path, text: str) -> None:
    (tmp_path / "list.txt").write_text("./images/train/a.png\n\n./data.yaml\n")

    data = yolo.read(build(tmp_path, text))

    assert boxes(data) == [("car", (24, 12, 40, 36))]
    assert (data.classes, data.numbers) == (("person", "car"), {"person": 0, "car": 1})
    label = data.pictures[0].labels[0]
    assert label.where == f"{tmp_path}/labels/train/a.txt:1"


def test_one_part_can_be_named(tmp_path: Path) -> None:
    path = build(tmp_path, DATA + "val: images/val\n")
    sets.draw(tmp_path / "images" / "val" / "b.png")

    names = {
        part: [p.path.name for p in yolo.read(Path(f"{path}{part}")).pictures]
        for part in ("", ":train", ":val")
    }

    assert names == {"": ["a.png", "b.png"], ":train": ["a.png"], ":val": ["b.png"]}
    with pytest.raises(DatasetError) as error:
        yolo.read(Path(f"{path}:tset"))
    assert str(error.value) == f"{path}: expected 'tset', there is none"


@pytest.mark.parametrize("labels", [None, "", "\n\n"], ids=["no file", "empty file", "empty lines"])
def test_a_picture_without_labels_is_background(tmp_path: Path, labels: str | None) -> None:
    data = yolo.read(build(tmp_path, labels=labels))

    assert (boxes(data), len(data), data.faults) == ([], 1, ())
    assert data.pictures[0].labelled == {"person", "car"}


def test_a_polygon_becomes_its_box(tmp_path: Path) -> None:
    data = yolo.read(build(tmp_path, labels="0 0.25 0.5 0.5 0.25 0.75 1.0\n"))

    assert boxes(data) == [("person", (16, 12, 48, 48))]


@pytest.mark.parametrize(
    "line, message",
    [
        ("2 0.5 0.5 0.1 0.1", "expected a class from 0 to 1, got 2"),
        ("-1 0.5 0.5 0.1 0.1", "expected a class from 0 to 1, got -1"),
        ("0.5 0.5 0.5 0.1 0.1", "expected a class from 0 to 1, got 0.5"),
        ("nan 0.5 0.5 0.1 0.1", "expected a class from 0 to 1, got nan"),
        ("car 0.5 0.5 0.1 0.1", "expected numbers, got 'car 0.5 0.5 0.1 0.1'"),
        ("1 0.5 0.5 0.1", "expected class x y width height, or a polygon, got 4 numbers"),
        ("1", "expected class x y width height, or a polygon, got 1 numbers"),
        ("1 0.5 0.5 0.1 0.1 0.9", "expected class x y width height, or a polygon, got 6 numbers"),
        ("1 320 200 50 60", "expected numbers from 0 to 1, got 320"),
        ("1 0.5 nan 0.1 0.1", "expected numbers from 0 to 1, got nan"),
        ("1 0.5 0.5 -0.1 0.1", "expected numbers from 0 to 1, got -0.1"),
        ("1 0.5 0.5 1e999 0.1", "expected numbers from 0 to 1, got 1e999"),
    ],
)
def test_a_line_that_is_no_label_is_told(tmp_path: Path, line: str, message: str) -> None:
    data = yolo.read(build(tmp_path, labels=f"1 0.5 0.5 0.25 0.5\n{line}\n"))

    assert faults(data, tmp_path) == [f"labels/train/a.txt:2: {message}"]
    assert len(boxes(data)) == 1


@pytest.mark.parametrize(
    "text, message",
    [
        ("names: [a\ntrain: [", ":2: not YAML: expected ',' or ']', but got ':'"),
        ("names: !!python/object/apply:os.system ['true']", ":1: not YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object/apply:os.system'"),
        ("\x00", ": not YAML: unacceptable character #x0000: special characters are not allowed in"),
        ("[" * 5000, None),
        ("a: 2026-99-99", ": not YAML: month must be in 1..12"),
        ("just words", ": expected 'names' and 'train', got no mapping"),
        ("", ": expected 'names' and 'train', got no mapping"),
        ("train: images/train", ": names: expected a list or mapping of names, got nothing"),
        ("names: 3", ": names: expected a list or mapping of names, got a number"),
        ("names: [yes, no]", ": names: expected names, got yes or no; put them in quotes"),
        ("names: [a, [b]]", ": names: expected names, got a list; put them in quotes"),
        ("names: [a, a]", ": names: 'a' is there twice"),
        ("names: [a, '']", ": names: '' is empty"),
        ("names: {1: a, 2: b}", ": names: expected the numbers 0, 1, 2 ..., got [1, 2]"),
        ("names: [a]", ": expected 'train', 'val' or 'test', there is none"),
        ("names: [a]\ntrain: 3", ": train: expected a folder, got a number"),
        ("names: [a]\ntrain: yes", ": train: expected a folder, got yes or no"),
    ],
)  # fmt: skip
def test_a_data_yaml_that_is_none_is_told_in_one_line(tmp_path: Path, text: str, message: str | None) -> None:
    path = build(tmp_path, text)

    with pytest.raises(DatasetError) as error:
        yolo.read(path)

    assert "\n" not in str(error.value)
    assert message is None or str(error.value).startswith(f"{path}{message}")


def test_a_bomb_of_aliases_is_told_in_few_words(tmp_path: Path) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]

    with pytest.raises(DatasetError) as error:
        yolo.read(build(tmp_path, "\n".join([*rows, "names: *a11", "train: *a11"])))

    assert str(error.value) == f"{tmp_path}/data.yaml: names: expected names, got a list; put them in quotes"


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    path = build(tmp_path, "names: [a]\ntrain: photos\n")
    (tmp_path / "void").mkdir()

    with pytest.raises(InputMissing) as part:
        yolo.read(path)
    with pytest.raises(InputMissing) as nothing:
        yolo.read(tmp_path / "no.yaml:train")
    with pytest.raises(InputMissing) as folder:
        yolo.read(tmp_path / "void")

    assert str(part.value) == f"{path}: train: no such file or folder: {tmp_path}/photos"
    assert str(nothing.value) == f"{tmp_path}/no.yaml: cannot read the data set: no such file or folder"
    assert str(folder.value) == f"{tmp_path}/void: expected data.yaml or classes.txt, there is none"


def test_pictures_that_cannot_be_read_and_binary_labels_are_left_out(tmp_path: Path) -> None:
    path = build(tmp_path)
    (tmp_path / "images" / "train" / "b.jpg").write_bytes(b"junk")
    sets.draw(tmp_path / "images" / "train" / "c.png")
    (tmp_path / "labels" / "train" / "c.txt").write_bytes(b"\xff\x00")

    data = yolo.read(path)

    assert faults(data, tmp_path) == [
        "images/train/b.jpg: cannot read the picture",
        "labels/train/c.txt: expected YOLO labels in UTF-8, got binary data",
    ]
    assert [picture.path.name for picture in data.pictures] == ["a.png"]


@pytest.mark.parametrize("where", ["", "labels/"])
def test_a_folder_of_labelimg_has_its_names_in_classes_txt(tmp_path: Path, where: str) -> None:
    sets.draw(tmp_path / "a.png")
    (tmp_path / where).mkdir(exist_ok=True)
    (tmp_path / where / "classes.txt").write_text("person\ncar\n")
    (tmp_path / where / "a.txt").write_text("1 0.5 0.5 0.25 0.5\n")

    assert boxes(yolo.read(tmp_path)) == [("car", (24, 12, 40, 36))]


def test_an_empty_classes_txt_is_told(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("\n")

    with pytest.raises(DatasetError, match=r"classes.txt: expected one name a line, got an empty file$"):
        yolo.read(tmp_path)


def test_what_is_written_is_what_ultralytics_reads(tmp_path: Path) -> None:
    labels = Label("car", (24, 12, 40, 36)), Label("person", (0, 0, 9, 9), True)
    yolo.write(sets.one(tmp_path / "in", *labels), tmp_path / "out")

    assert yaml.safe_load((tmp_path / "out" / "data.yaml").read_text()) == {
        "path": ".", "train": "images/train", "val": "images/train", "names": {0: "person", 1: "car"},
    }  # fmt: skip
    assert (tmp_path / "out" / "labels" / "train" / "a.txt").read_text() == "1 0.5 0.5 0.25 0.5\n"
    assert boxes(yolo.read(tmp_path / "out")) == [("car", (24, 12, 40, 36))]


def test_names_that_yaml_would_take_for_something_else_come_back(tmp_path: Path) -> None:
    data = Dataset(("no", "1", "null", "a: b", "ä"), sets.one(tmp_path / "in").pictures)

    yolo.write(data, tmp_path / "out")

    assert yolo.read(tmp_path / "out").classes == data.classes
