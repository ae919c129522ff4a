from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_detect.errors import ConfigError
from edge_detect.workshop import build, metadata

SHARED, RUNS = Path("shared"), Path("runs")
ACCURATE = build.choose(["detector"])[0]


def test_without_a_name_all_are_made() -> None:
    assert [recipe.file for recipe in build.choose([])] == [recipe.file for recipe in build.RECIPES]


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown model 'detector-fats', did you mean 'detector-fast'"):
        build.choose(["detector-fats"])


@pytest.mark.parametrize("recipe", build.RECIPES, ids=lambda recipe: str(recipe.file))
def test_each_stage_begins_with_the_one_before(recipe: build.Recipe) -> None:
    stages = build.settings_of(recipe, SHARED, RUNS, 1.0)

    begins = [settings.weights for settings in stages.values()]
    assert begins[0].startswith(("shared/weights/mobilenet_v2_", "runs/accurate-"))
    assert begins[1:] == [str(RUNS / name) for name in list(stages)[:-1]]
    assert {settings.classes for settings in stages.values()} == {build.CLASSES}
    assert all("street/train.json" in settings.data for settings in stages.values())
    # nothing is learnt from what is measured on
    assert not any("val.json" in settings.data for settings in stages.values())


def test_the_teacher_is_the_shared_file_or_a_run() -> None:
    teachers = {name: one.teacher for name, one in build.settings_of(ACCURATE, SHARED, RUNS, 1.0).items()}

    assert teachers["accurate-a"] == ""
    assert teachers["accurate-c"] == "shared/models/yolox_nano.tflite"
    assert teachers["accurate-d"] == "runs/accurate-c"


def test_what_a_recipe_begins_or_learns_with_is_made_before_it() -> None:
    made: set[str] = set()
    for recipe in build.RECIPES:
        for name, one in build.settings_of(recipe, SHARED, RUNS, 1.0).items():
            needed = {Path(path).name for path in (one.weights, one.teacher) if path.startswith("runs/")}
            assert needed <= made, name
            made.add(name)


def test_a_factor_shortens_every_stage() -> None:
    whole, short = (build.settings_of(ACCURATE, SHARED, RUNS, factor) for factor in (1.0, 0.1))

    assert [one.epochs for one in short.values()] == [
        max(1, round(one.epochs * 0.1)) for one in whole.values()
    ]


def row(file: str, ap50: float) -> dict[str, Any]:
    classes = {
        name: {"ap": 0.1, "ap50": ap50, "boxes": 30 if name == "cat" else 0}
        for name in build.CLASSES.split(",")
    }
    return {
        "file": file, "ap": ap50 / 2, "ap50": ap50, "ap50_enough_boxes": ap50, "classes": classes,
        "invoke_ms": 12.5, "bytes": 1000,
    }  # fmt: skip


def test_the_card_says_what_was_measured_and_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "detector.tflite"
    path.write_bytes(bytes(1000))
    origin = {
        "pictures": 7, "data": ["a", "b"], "boxes": {"cat": 3}, "calibration": "mse, 200 pictures",
        "parent_sha256": "ab12", "versions": {"keras": "3.0"},
    }  # fmt: skip
    monkeypatch.setattr(metadata, "origin", lambda data: origin)
    floats = row("runs/detector-float32.tflite", 0.51) | {"ap50_enough_boxes": None}
    rows = [row(str(path), 0.5), floats, row(build.ANCHOR, 0.6)]
    stages = build.settings_of(ACCURATE, SHARED, RUNS, 1.0)
    stages["accurate-c"] = replace(stages["accurate-c"], prune_channels=0.5)

    lines = build.card(ACCURATE, path, {"street": {"models": rows}}, stages).splitlines()

    assert "| street/val | this file | 0.250 | 0.500 | 0.500 | 12.5 | 1000 |" in lines
    assert "| street/val | its float32 parent | 0.255 | 0.510 | none | 12.5 | 1000 |" in lines
    assert "| street/val | COCO SSD MobileNet v1 | 0.300 | 0.600 | 0.600 | 12.5 | 1000 |" in lines
    assert [line for line in lines if line.startswith("| street/val | cat |")] == [
        "| street/val | cat | 30 | 0.500 | 0.600 |"
    ]
    assert not [line for line in lines if line.startswith("| street/val | dog |")]
    assert [line for line in lines if line.startswith("| accurate-c |")] == [
        "| accurate-c | 320 | 5 of 5 | 0.00025 | 6 | 50% | yolox_nano | 1 |"
    ]
    assert [line for line in lines if line.startswith("| accurate-d |")] == [
        "| accurate-d | 320 | 40 of 50 | 0.001 | 0 | 0% | accurate-c | 1 |"
    ]
    assert [line for line in lines if line.startswith("| accurate-b |")] == [
        "| accurate-b | 256 | 12 of 30 | 0.0004 | 6 | 0% | yolox_nano | 1 |"
    ]
