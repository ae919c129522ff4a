from __future__ import annotations

from pathlib import Path

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


@pytest.mark.parametrize(
    "text, words, code, said",
    [
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
