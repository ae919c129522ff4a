from __future__ import annotations

import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

import layouts
import program
import pytest
from program import run

pytest.importorskip("pycocotools", reason="needs the workshop")

COMMAND = ("evaluate", "--threads", "1")
PERSON, CAR = layouts.TRUTH.boxes.tolist()


def write(place: Path, pictures: int = 1, names: tuple[str, ...] = ("person", "car", "dog")) -> None:
    """A COCO file of copies of `photo.jpg`, in each the person and the car that `program.detector` finds."""
    rows = [(i, c, box) for i in range(pictures) for c, box in ((1, PERSON), (2, CAR)) if c <= len(names)]
    width, height = program.SIZE
    document: dict[str, list[Any]] = {
        "categories": [{"id": i, "name": name} for i, name in enumerate(names, 1)],
        "images": [
            {"id": i, "file_name": "photo.jpg", "width": width, "height": height} for i in range(pictures)
        ],
        "annotations": [
            {"id": k, "image_id": i, "category_id": c, "bbox": [x1, y1, x2 - x1, y2 - y1]}
            for k, (i, c, (x1, y1, x2, y2)) in enumerate(rows)
        ],
    }
    lists = [f'"{name}": [\n' + ",\n".join(map(json.dumps, rows)) + "\n]" for name, rows in document.items()]
    place.write_text("{" + ",\n".join(lists) + "}")


@pytest.fixture
def bench(desk: Path) -> Path:
    """The desk, with a data set `val.json` and a second model `other.tflite` that misses the person."""
    write(desk / "val.json")
    (desk / "other.tflite").write_bytes(program.detector(boxes=((0.0, 0.0, 0.1, 0.1),)))
    return desk


def told(*words: object) -> Any:
    end = run(*COMMAND, *words, "--json")
    assert (end.returncode, end.stdout.count("\n")) == (0, 1), end.stderr
    return json.loads(end.stdout)


def test_json_of_one_set_has_each_model(bench: Path) -> None:
    found = told("-m", "model.tflite", "other.tflite", "--data", "val.json")

    assert list(found) == ["models"]
    first, second = found["models"]
    assert (first["file"], first["ap"], first["ap50"]) == ("model.tflite", 1.0, 1.0)
    assert first["classes"] == {
        "person": {"ap": 1.0, "ap50": 1.0, "boxes": 1, "threshold": 0.75},
        "car": {"ap": 1.0, "ap50": 1.0, "boxes": 1, "threshold": 0.5},
    }
    assert (second["file"], second["ap50"], second["classes"]["person"]["ap50"]) == ("other.tflite", 0.5, 0.0)
    assert (first["bytes"], first["pictures"], first["threads"]) == (len(program.detector()), 1, 1)
    assert first["zipped_bytes"] == len(zlib.compress(program.detector(), 9))
    assert first["sha256"] == hashlib.sha256(program.detector()).hexdigest()
    assert 0 < first["invoke_ms"] <= first["invoke_p95_ms"]


def test_models_may_be_named_together_or_one_by_one(bench: Path) -> None:
    found = told("-m", "model.tflite", "-m", "other.tflite", "--data", "val.json")

    assert [row["file"] for row in found["models"]] == ["model.tflite", "other.tflite"]


def test_json_of_two_sets_has_each_set(bench: Path) -> None:
    write(bench / "two.json", 2)

    found = told("-m", "model.tflite", "--data", "val.json", "--data", "two.json")

    assert [(one["data"], one["models"][0]["pictures"]) for one in found["sets"]] == [
        ("val.json", 1),
        ("two.json", 2),
    ]


def test_words_tell_a_table_of_models_and_one_of_classes(bench: Path) -> None:
    end = run(*COMMAND, "-q", "-m", "model.tflite", "other.tflite", "--data", "val.json")

    lines = end.stdout.splitlines()
    assert (end.returncode, end.stderr) == (0, "")
    assert lines[0].startswith("val.json: 1 pictures, 2 boxes, 2 classes; ")
    assert lines[2].split("  ")[0] == "model"
    rows = [line.split() for line in lines[3:5]]
    assert [(row[0], row[1], *row[5:]) for row in rows] == [
        ("model.tflite", str(len(program.detector())), "1.000", "1.000", "-", "-", "1.000", "-"),
        ("other.tflite", rows[1][1], "0.500", "0.500", "-", "-", "0.500", "-"),
    ]
    assert len({len(line) for line in lines[2:5]}) == 1
    assert [line.split() for line in lines[6:]] == [
        ["AP50", "by", "class,", "in", "brackets", "the", "threshold", "of", "the", "best", "F1"],
        ["class", "boxes", "model.tflite", "other.tflite"],
        ["person", "1", "1.000", "(0.75)", "0.000"],
        ["car", "1", "1.000", "(0.50)", "1.000", "(0.50)"],
    ]


def test_a_class_without_a_box_is_a_dash(bench: Path) -> None:
    write(bench / "val.json", names=("person",))
    text = (
        (bench / "val.json")
        .read_text()
        .replace('"categories": [', '"categories": [{"id": 9, "name": "car"}, ')
    )
    (bench / "val.json").write_text(text)

    lines = run(*COMMAND, "-m", "model.tflite", "--data", "val.json").stdout.splitlines()

    assert lines[-2].split() == ["car", "0", "-"]


def test_classes_are_those_that_are_asked_for(bench: Path) -> None:
    found = told("-m", "model.tflite", "--data", "val.json", "--classes", " car ,car,")

    assert list(found["models"][0]["classes"]) == ["car"]


def test_a_limit_takes_pictures_from_all_over_the_set(bench: Path) -> None:
    write(bench / "val.json", 6)
    text = (
        (bench / "val.json")
        .read_text()
        .replace('"id": 3, "file_name": "photo.jpg"', '"id": 3, "file_name": "x"')
    )
    (bench / "val.json").write_text(text)

    assert told("-m", "model.tflite", "--data", "val.json", "--limit", "3")["models"][0]["pictures"] == 3
    assert (
        run(*COMMAND, "-m", "model.tflite", "--data", "val.json", "--limit", "2").returncode == 66
    )  # 0 and 3


def test_labels_are_for_models_without_names(bench: Path) -> None:
    (bench / "bare.tflite").write_bytes(program.detector(b""))
    (bench / "labels.txt").write_text("person\ncar\n")

    found = told("-m", "bare.tflite", "model.tflite", "-l", "labels.txt", "--data", "val.json")

    assert [row["ap50"] for row in found["models"]] == [1.0, 1.0]


def test_pictures_may_lie_elsewhere(bench: Path) -> None:
    (bench / "elsewhere").mkdir()
    (bench / "photo.jpg").rename(bench / "elsewhere" / "photo.jpg")

    assert (
        told("-m", "model.tflite", "--data", "val.json", "--images", "elsewhere")["models"][0]["ap50"] == 1.0
    )


def test_curves_and_report_are_written(bench: Path) -> None:
    end = run(*COMMAND, "-m", "model.tflite", "--data", "val.json", "--curves", "c.png", "--report", "r.html")

    assert end.returncode == 0
    assert [line.partition(" INFO ")[2] for line in end.stderr.splitlines()] == [
        "written: c.png",
        "written: r.html",
    ]
    assert (bench / "c.png").read_bytes().startswith(b"\x89PNG")
    assert "<h1>Detectors on val.json</h1>" in (bench / "r.html").read_text("utf-8")


def test_labels_that_were_left_out_are_told_once(bench: Path) -> None:
    text = (bench / "val.json").read_text().replace('"annotations": [', '"annotations": [\n7,\n8,')
    (bench / "val.json").write_text(text)

    end = run(*COMMAND, "-q", "-m", "model.tflite", "--data", "val.json")

    assert end.returncode == 0
    assert end.stderr.partition(" WARNING ")[2] == (
        "left out: val.json:10: expected an annotation, got 7, and 1 more; edge-detect dataset check tells all\n"
    )


MODEL, DATA = ("-m", "model.tflite"), ("--data", "val.json")


@pytest.mark.parametrize(
    "words, code, message",
    [
        ((*MODEL,), 2, "the following arguments are required: --data (see edge-detect evaluate --help)"),
        (("-m", "no.tflite", *DATA), 66, "no.tflite: cannot read the model: No such file or directory; give a .tflite file with --model"),
        ((*MODEL, "./model.tflite", *DATA), 2, "--model model.tflite: expected each file once, got it twice"),
        ((*MODEL, *DATA, *DATA), 2, "--data val.json: expected each set once, got it twice"),
        ((*MODEL, "--data", "no.json"), 66, "no.json: cannot read the data set: no such file or folder"),
        ((*MODEL, *DATA, "--classes", "cra"), 1, "--classes: the set has no class 'cra', did you mean 'car'?"),
        ((*MODEL, *DATA, "--classes", " , "), 2, "--classes: expected names with commas between, got ' , '"),
        ((*MODEL, *DATA, "--limit", "0"), 2, "--limit: expected 1 or more, got 0"),
        ((*MODEL, *DATA, "--images", ".", "--images", "."), 2, "--images: expected 1, got 2; one for all sets, or one for each"),
        ((*MODEL, *DATA, "--report", "no/r.html"), 74, "no/r.html: cannot write: no folder no; make it first"),
        ((*MODEL, *DATA, "--curves", "."), 74, ".: cannot write: a folder, expected a file"),
        ((*MODEL, "--data", "empty.json"), 1, "empty.json: expected a data set with pictures, got none"),
        (
            ("-m", "bare.tflite", "-l", "wrong.txt", *DATA),
            1,
            "bare.tflite: finds cat, cow, the set labels person, car, dog: no class in common;"
            " give the right --labels, or rename the set's classes",
        ),
        (("-m", "bare.tflite", *DATA), 1, "bare.tflite: has no names of its classes; give them with --labels FILE"),
        (("-m", "bare.tflite", "-l", "no.txt", *DATA), 66, "no.txt: cannot read the labels: No such file or directory"),
    ],
    ids=[
        "no data", "missing model", "model twice", "data twice", "missing data", "unknown class", "no class", "limit",
        "images", "no folder", "a folder", "no pictures", "wrong labels", "no labels", "missing labels",
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_line(
    bench: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    (bench / "bare.tflite").write_bytes(program.detector(b""))
    (bench / "wrong.txt").write_text("cat\ncow\n")
    write(bench / "empty.json", 0)

    end = run(*COMMAND, *words)

    assert (end.returncode, end.stdout, end.stderr) == (code, "", f"edge-detect: error: {message}\n")


def test_a_picture_that_is_gone_is_told_with_the_line_that_names_it(bench: Path) -> None:
    (bench / "photo.jpg").unlink()

    end = run(*COMMAND, *MODEL, *DATA)

    assert (end.returncode, end.stdout) == (66, "")
    assert end.stderr == (
        "edge-detect: error: val.json:7: photo.jpg: cannot read the picture: No such file or directory\n"
    )


def test_a_package_that_is_missing_is_told_before_the_work(bench: Path) -> None:
    hidden = bench / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'matplotlib' else find(name, *a)\n"
    )

    end = run(*COMMAND, *MODEL, *DATA, "--report", "r.html", env=program.before_all(hidden))

    assert (end.returncode, end.stdout) == (1, "")
    assert end.stderr == (
        "edge-detect: error: evaluate needs matplotlib: pip install 'matplotlib', or 'edge_detect[workshop]'\n"
    )
