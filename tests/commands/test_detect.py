from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import program
import pytest
from program import run

MODEL = ("-m", "model.tflite")


def test_a_picture_is_told_in_words(desk: Path) -> None:
    end = run("detect", "photo.jpg", *MODEL)

    assert (end.returncode, end.stderr) == (0, "")
    assert end.stdout == (
        "photo.jpg: 200x100, 2 found\n"
        "  person            75%   x 40..120   y 20..80\n"
        "  car               50%   x 130..190   y 10..60\n"
    )


def test_nothing_found_is_told_too(desk: Path) -> None:
    assert run("detect", "photo.jpg", *MODEL, "-c", "0.8").stdout == "photo.jpg: 200x100, nothing found\n"


def test_names_forge_no_result_and_paint_no_terminal(desk: Path) -> None:
    (desk / "photo.jpg").rename(desk / "a\nb.jpg: 1x1, 1 found")
    (desk / "labels.txt").write_text("per\x1b[31mson\ncar\n")
    words = ("-l", "labels.txt", *MODEL)

    told = run("detect", "a\nb.jpg: 1x1, 1 found", *words).stdout.splitlines()
    known = run("inspect", "model.tflite", "-l", "labels.txt").stdout

    assert told[0] == r"a\nb.jpg: 1x1, 1 found: 200x100, 2 found"
    assert told[1].startswith(r"  per\x1b[31mson ")
    assert r"0 = per\x1b[31mson, 1 = car" in known


def test_json_has_a_line_for_each_picture_and_nothing_else(desk: Path) -> None:
    end = run("detect", "photo.jpg", "photo.jpg", *MODEL, "--json", "-c", "0.6")

    assert [json.loads(line) for line in end.stdout.splitlines()] == [
        {
            "source": "photo.jpg", "frame": number, "time": 0.0, "width": 200, "height": 100,
            "detections": [{"label": "person", "class_id": 0, "score": 0.75, "box": [40, 20, 120, 80]}],
        }
        for number in range(2)
    ]  # fmt: skip
    assert (end.returncode, end.stderr) == (0, "")


def test_boxes_are_in_pixels_of_a_picture_of_any_size(desk: Path) -> None:
    cv2.imwrite("tall.png", np.zeros((4000, 30, 3), np.uint8))

    told = json.loads(run("detect", "tall.png", *MODEL, "--json").stdout)

    assert (told["width"], told["height"]) == (30, 4000)
    for x1, y1, x2, y2 in (seen["box"] for seen in told["detections"]):
        assert 0 <= x1 < x2 <= 30
        assert 0 <= y1 < y2 <= 4000


def test_what_cannot_be_read_is_skipped_and_told_in_the_exit_code(desk: Path) -> None:
    (desk / "bad.jpg").write_bytes(b"no picture")

    broken = run("detect", "bad.jpg", "photo.jpg", *MODEL)
    missing = run("detect", "no.jpg", "photo.jpg", *MODEL)

    assert program.codes(broken, missing) == [1, 66]
    assert broken.stdout == missing.stdout != ""
    assert broken.stderr.endswith(
        " ERROR skipped: bad.jpg: not a picture that can be read (expected JPEG, PNG, BMP, TIFF or WebP)\n"
    )
    assert missing.stderr.endswith(" ERROR skipped: no.jpg: no picture there\n")


@pytest.mark.parametrize("words", [("detect",), ("bench", "-s"), ("run",)])
def test_the_password_of_what_is_no_picture_is_not_told(desk: Path, words: tuple[str, ...]) -> None:
    end = run(*words, " http://pi:S3cret@cam/a.jpg?b", *MODEL)

    assert end.returncode == 66
    assert " http://pi:***@cam/a.jpg?b" in end.stderr
    assert "S3cret" not in end.stderr


def test_nothing_to_look_at_needs_no_model(desk: Path) -> None:
    end = run("detect", "no*.jpg")

    assert (end.returncode, end.stdout) == (66, "")
    assert end.stderr.endswith(" ERROR skipped: no*.jpg: no picture there\n")


def test_annotated_pictures_keep_their_names(desk: Path) -> None:
    (desk / "photos").mkdir()
    for name in ("photos/a.jpg", "photos/b.jpg"):
        (desk / name).write_bytes((desk / "photo.jpg").read_bytes())

    run("detect", "photos", "photo.jpg", *MODEL, "-o", "seen")

    assert sorted(path.name for path in (desk / "seen").iterdir()) == ["a.jpg", "b.jpg", "photo.jpg"]
    assert not np.array_equal(cv2.imread("seen/photo.jpg"), cv2.imread("photo.jpg"))


def test_one_picture_may_be_named(desk: Path) -> None:
    end = run("detect", "photo.jpg", *MODEL, "-o", "seen.png")

    assert end.returncode == 0
    assert cv2.imread("seen.png").shape == (100, 200, 3)


def test_a_picture_is_not_overwritten_with_its_boxes(desk: Path) -> None:
    before = (desk / "photo.jpg").read_bytes()

    ends = [run("detect", "photo.jpg", *MODEL, "-o", place) for place in (".", "photo.jpg")]

    assert program.codes(*ends) == [74, 74]
    assert ends[1].stderr == (
        "edge-detect: error: photo.jpg: is the picture itself; choose another place for the annotated one\n"
    )
    assert (desk / "photo.jpg").read_bytes() == before
