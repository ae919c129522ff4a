from __future__ import annotations

import json
from pathlib import Path

import cv2
import program
import pytest
import sets
from program import run

pytest.importorskip("PIL", reason="needs the workshop")

from edge_detect.workshop import formats
from edge_detect.workshop.dataset import Label, merge

CAR = Label("car", (10, 5, 30, 40))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with `set.json` of ten pictures."""
    rows = (
        sets.one(tmp_path / "images", CAR, Label("person", (0, 0, 64, 48)), name=f"{i}.png") for i in range(9)
    )
    last = sets.one(tmp_path / "images", name="9.png")
    for i, picture in enumerate((data := merge([*rows, last])).pictures):
        sets.draw(picture.path, seed=i)
    formats.write(data, str(tmp_path / "set.json"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_not_installed_is_told_before_the_work(place: Path) -> None:
    (place / "none").mkdir()
    (place / "none/sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'PIL' else find(name, *a)\n"
    )

    end = run("dataset", "label", "images", "-o", "more.json", env=program.before_all(place / "none"))

    assert (end.returncode, end.stderr) == (
        1,
        "edge-detect: error: dataset needs pillow: pip install 'pillow', or 'edge_detect[workshop]'\n",
    )


def test_a_sound_set_passes_the_check(place: Path) -> None:
    end = run("dataset", "check", "set.json")

    assert (end.returncode, end.stdout, end.stderr) == (0, "", "10 pictures, 1 without labels: no fault\n")


def test_faults_are_told_one_a_line_and_counted(place: Path) -> None:
    text = Path("set.json").read_text().replace('"bbox": [10, 5, 20, 35]', '"bbox": [10, 5, 0, 35]', 1)
    Path("set.json").write_text(text)
    line = next(i for i, row in enumerate(text.splitlines(), 1) if ", 0, 35]" in row)

    end = run("dataset", "check", "set.json")

    assert (end.returncode, end.stderr) == (1, "10 pictures, 1 without labels: 1 fault\n")
    assert end.stdout == f"set.json:{line}: car: the box is empty: 10 5 10 40\n"
    report = json.loads(run("dataset", "check", "set.json", "--json").stdout)
    assert report == {
        "pictures": 10, "without_labels": 1,
        "faults": [{"where": f"set.json:{line}", "what": "car: the box is empty: 10 5 10 40"}],
    }  # fmt: skip


def test_a_check_of_two_sets_tells_what_they_share(place: Path) -> None:
    end = run("dataset", "check", "set.json", "set.json")

    assert (end.returncode, end.stdout.count("\n")) == (1, 10)
    assert end.stdout.splitlines()[0].endswith(": leak: 0.png is the same picture as 0.png at set.json:8")


def test_a_description_is_a_table_or_json(place: Path) -> None:
    end = run("dataset", "describe", "set.json", "set.json", "--classes", "car")
    report = json.loads(run("dataset", "describe", "set.json", "--json").stdout)

    assert (end.returncode, end.stderr) == (0, "")
    assert end.stdout.splitlines()[0] == "20 pictures, 2 without labels"
    assert end.stdout.splitlines()[-1].split() == ["car", "18", "18", "20", "22.79%", "0"]
    assert (report["boxes"], list(report["classes"])) == (18, ["person", "car"])


@pytest.mark.parametrize(
    "words", [("voc", "--to", "voc"), ("yolo", "--to", "yolo"), ("b.tfrecord",), ("b.json",)]
)
def test_a_set_is_converted(place: Path, words: tuple[str, ...]) -> None:
    end = run("dataset", "convert", "set.json", "--map", "car=auto,person=", "-o", *words)

    assert (end.returncode, end.stderr) == (0, "")
    assert end.stdout == f"{words[0]}: 10 pictures, 9 boxes\n"
    back = formats.read(words[0])
    assert (back.classes, len(back), dict(back.counts())) == (("auto",), 10, {"auto": 9})


def test_a_split_parts_the_set_and_check_finds_no_leak(place: Path) -> None:
    end = run("dataset", "split", "set.json", "--share", "0.3", "--seed", "1", "-o", "train.json", "val.json")

    assert (end.returncode, end.stderr) == (0, "")
    assert [line.split()[1] for line in end.stdout.splitlines()] == ["7", "3"]
    assert run("dataset", "check", "train.json", "val.json").returncode == 0


def test_a_sheet_is_drawn(place: Path) -> None:
    end = run("dataset", "sheet", "set.json", "-o", "sheet.png", "--count", "4", "--columns", "2")

    assert (end.returncode, end.stdout, end.stderr) == (0, "sheet.png: 4 of 10 pictures\n", "")
    assert cv2.imread("sheet.png") is not None


def test_drawn_scenes_are_a_set(place: Path) -> None:
    end = run("dataset", "convert", "pattern:2=drawn", "-o", "drawn.json")

    assert (end.returncode, end.stderr) == (0, "")
    assert len(formats.read("drawn.json")) == 2


@pytest.mark.parametrize(
    "words, code, message",
    [
        (("check", "no.json"), 66, "no.json: cannot read the data set: no such file or folder"),
        (("check", "images"), 1, "images: expected a COCO .json, a folder of Pascal VOC .xml, a YOLO data.yaml or a .tfrecord"),
        (("check", "images/0.png"), 1, "images/0.png: expected a COCO .json, a folder of Pascal VOC .xml, a YOLO data.yaml or a .tfrecord"),
        (("check", "images/0.png", "--from", "coco"), 1, "images/0.png: expected JSON in UTF-8, got binary data"),
        (("check", "set.json", "--from", "tfrecord"), 1, "set.json: record 1: expected a TFRecord, got something else (the checksum of its length is wrong)"),
        (("check", "set.json", "--from", "voc"), 1, "set.json:1: not XML: not well-formed (invalid token)"),
        (("check", "set.json", "--map", "cra=x"), 1, "--map: the set has no class 'cra', did you mean 'car'?"),
        (("check", "set.json", "--map", "car"), 2, "argument --map: expected OLD=NEW, each OLD once, got 'car' (see edge-detect dataset check --help)"),
        (("check", "set.json", "--classes", "zoo"), 1, "--classes: the set has no class 'zoo', expected one of: car, person"),
        (("check",), 2, "the following arguments are required: PLACE[=PICTURES] (see edge-detect dataset check --help)"),
        ((), 2, "the following arguments are required: ACT (see edge-detect dataset --help)"),
        (("check", "set.json", "--jsno"), 2, "unknown argument '--jsno' (see edge-detect dataset --help)"),
        (("convert", "set.json", "-o", "x"), 2, "x: expected .json or .tfrecord, or --to coco|voc|yolo|tfrecord"),
        (("convert", "set.json", "-o", "images", "--to", "voc"), 1, "images: exists and is not empty; give a new folder"),
        (("convert", "set.json", "-o", "no/x.json"), 74, "no/x.json: cannot write: No such file or directory"),
        (("sheet", "set.json", "-o", "x.txt"), 2, "--output: expected a .png, got 'x.txt'"),
        (("sheet", "set.json", "-o", "no/x.png"), 74, "no/x.png: cannot write: No such file or directory"),
        (("split", "set.json", "-o", "a.json", "a.json"), 2, "--output: expected two places, got 'a.json' twice"),
        (("split", "set.json", "-o", "a.json", "./a.json"), 2, "--output: expected two places, got 'a.json' twice"),
        (("split", "set.json", "-o", "a", "images", "--to", "voc"), 1, "images: exists and is not empty; give a new folder"),
        (("split", "set.json", "--share", "0", "-o", "a.json", "b.json"), 1, "--share: expected a number between 0 and 1, got 0"),
        (("describe", "pattern:9"), 2, "pattern:9: expected a folder for the pictures, got none; write pattern:9=FOLDER"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_told_in_one_line(
    place: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    end = run("dataset", *words)

    assert (end.returncode, end.stdout, end.stderr) == (code, "", f"edge-detect: error: {message}\n")
    assert not (place / "a").exists()


def test_labels_that_were_left_out_are_told(place: Path) -> None:
    Path("set.json").write_text(Path("set.json").read_text().replace('"image_id": 1,', '"image_id": 99,'))

    end = run("dataset", "convert", "set.json", "-o", "b.json")

    assert (end.returncode, end.stderr) == (0, "2 faults left out: edge-detect dataset check tells them\n")
    assert end.stdout == "b.json: 10 pictures, 16 boxes\n"


@pytest.mark.parametrize("act", ["check", "describe", "convert", "sheet", "split"])
def test_help_of_every_act_names_the_messages_options(act: str) -> None:
    text = run("dataset", act, "--help").stdout

    assert text.startswith(f"usage: edge-detect dataset {act} ")
    assert "--verbose" in text


def test_an_act_can_be_quiet(place: Path) -> None:
    loud = run("dataset", "convert", "set.json", "--classes", "car", "--to", "yolo", "-o", "a")
    partly = (
        Path("set.json")
        .read_text()
        .replace('"labelled_category_ids": [1, 2]', '"labelled_category_ids": [2]', 1)
    )
    Path("set.json").write_text(partly)
    told = run("dataset", "convert", "set.json", "--to", "yolo", "-o", "b")

    assert (loud.stderr, told.stderr.count("\n")) == ("", 1)
    assert run("dataset", "describe", "set.json", "-q").returncode == 0


def test_a_detector_labels_what_nobody_did(place: Path) -> None:
    Path("two.tflite").write_bytes(program.detector())
    Path("seen").mkdir()
    for i in range(2):
        cv2.imwrite(f"seen/{i}.png", program.picture(i))

    end = run(
        "dataset", "label", "seen", "-m", "two.tflite", "--sure", 0.6, "--map", "car=auto", "-o", "made.json"
    )

    assert (end.returncode, end.stdout) == (0, "made.json: 2 pictures, 2 boxes\n"), end.stderr
    data = formats.read("made.json")
    assert data.classes == ("person", "auto")
    assert [[(x.name, x.ignore) for x in p.labels] for p in data.pictures] == [
        [("person", False), ("auto", True)]
    ] * 2


def test_a_folder_without_pictures_cannot_be_labelled(place: Path) -> None:
    Path("two.tflite").write_bytes(program.detector())
    Path("empty").mkdir()

    end = run("dataset", "label", "empty", "-m", "two.tflite", "-o", "made.json")

    assert (end.returncode, end.stdout) == (1, "")
    assert end.stderr == "edge-detect: error: PICTURES: empty: expected pictures or a data set, got neither\n"
