from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_detect.cli import main

ZONES = """
[[zones]]
name = "door"
points = [[0.1, 0.5], [0.4, 0.5], [0.4, 0.9], [0.1, 0.9]]
[[zones]]
name = "kerb"
kind = "line"
points = [[0.6, 0.8], [0.9, 0.8]]
"""


def settings(desk: Path, text: str = ZONES) -> str:
    (desk / "own.toml").write_text(text)
    return str(desk / "own.toml")


@pytest.mark.parametrize("source", ["photo.jpg", "clip.mp4", "pattern:?fps=100&width=200&height=100"])
def test_the_zones_are_drawn_on_a_picture_of_the_source(
    desk: Path, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["zones", "--config", settings(desk), "-s", source, "-o", "z.png"]) == 0
    assert capsys.readouterr().out == "z.png\n"
    drawn = cv2.imread("z.png")
    assert drawn is not None
    assert drawn.shape == (100, 200, 3)


def test_the_picture_is_the_same_where_no_zone_is(desk: Path) -> None:
    main(["zones", "--config", settings(desk), "-s", "photo.jpg", "-o", "z.png"])

    before, after = cv2.imread("photo.jpg"), cv2.imread("z.png")
    assert before is not None
    assert after is not None
    assert np.array_equal(before[:15], after[:15])
    assert not np.array_equal(before[50:90, 20:80], after[50:90, 20:80])
    assert not np.array_equal(before[75:85, 120:180], after[75:85, 120:180])


def private(desk: Path, text: str) -> str:
    """Settings that hide something, with a model that finds a person in every picture."""
    return settings(desk, f'[model]\npath = "model.tflite"\n[privacy]\n{text}\n{ZONES}')


def drawn(source: str, file: str) -> Any:
    """The zones on a picture of a source."""
    assert main(["zones", "--config", file, "-s", source, "-o", "z.png"]) == 0
    return cv2.imread("z.png")


@pytest.mark.parametrize("source", ["photo.jpg", "clip.mp4", "pattern:?fps=100&width=200&height=100"])
def test_who_is_blurred_in_a_run_is_blurred_under_the_zones(desk: Path, source: str) -> None:
    plain, blurred = drawn(source, settings(desk)), drawn(source, private(desk, 'blur = ["person"]'))

    def colours(image: Any) -> int:
        return len(np.unique(image[25:48, 85:115].reshape(-1, 3), axis=0))  # of the person, beside the zone

    assert colours(blurred) <= 20 < colours(plain)


def test_what_is_not_blurred_stays(desk: Path) -> None:
    plain = drawn("photo.jpg", settings(desk))
    blurred = drawn("photo.jpg", private(desk, 'blur = ["person"]'))

    assert np.array_equal(plain[:12], blurred[:12])


@pytest.mark.parametrize("more", ["", '\nblur = ["person"]'])
def test_where_no_picture_may_be_seen_the_zones_are_drawn_on_black(desk: Path, more: str) -> None:
    image = drawn("photo.jpg", private(desk, f"no_pictures = true{more}"))

    assert image.shape == (100, 200, 3)
    assert image.any()  # the zones
    assert not image[:15].any()


@pytest.mark.parametrize(
    "text, words, code, said",
    [
        (
            f"[model]\npath = 'model.tflite'\n[privacy]\nblur = ['persn']\n{ZONES}",
            ["-s", "photo.jpg"],
            78,
            "own.toml:4: privacy.blur = [\"persn\"]: blur: unknown class 'persn', did you mean 'person'?",
        ),
        ("", ["-s", "photo.jpg"], 2, "no zones: write [[zones]] into a settings file"),
        (
            "[[zones]]\nname = 'a'\n",
            ["-s", "photo.jpg"],
            78,
            "own.toml:1: zones: zone 'a': expected 3 points",
        ),
        (ZONES, ["-s", "no.jpg"], 66, "no.jpg"),
        (
            ZONES,
            ["-s", "photo.jpg", "-o", "z.mp4"],
            2,
            "--output z.mp4: expected a picture, such as zones.png",
        ),
        (ZONES, ["-s", "photo.jpg", "-o", "."], 2, "--output .: expected a picture, such as zones.png"),
    ],
)
def test_what_cannot_be_drawn_is_told(
    desk: Path, text: str, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["zones", "--config", settings(desk, text), *words]) == code
    assert said in capsys.readouterr().err
