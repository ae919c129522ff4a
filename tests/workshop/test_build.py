from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("keras")
pytest.importorskip("ai_edge_quantizer")

import small_nets
import squares

from edge_detect import model
from edge_detect.errors import ConfigError, InputMissing
from edge_detect.workshop import build, metadata

pytestmark = small_nets.LIBRARIES

SHARED, RUNS = Path("shared"), Path("runs")
ACCURATE = build.choose(["detector"])[0]


def test_without_a_name_all_are_made() -> None:
    assert [recipe.file for recipe in build.choose([])] == [recipe.file for recipe in build.RECIPES]


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown model 'detector-fats', did you mean 'detector-fast'"):
        build.choose(["detector-fats"])


@pytest.mark.parametrize("recipe", build.RECIPES, ids=lambda recipe: str(recipe.file))
def test_each_stage_begins_with_the_one_before(recipe: build.Recipe) -> None:
    stages = build.settings_of(recipe, SHARED, RUNS)

    begins = [settings.weights for settings in stages.values()]
    assert begins[0].startswith(("shared/weights/mobilenet_v2_", "runs/accurate-"))
    assert begins[1:] == [str(RUNS / name) for name in list(stages)[:-1]]
    assert {settings.classes for settings in stages.values()} == {build.CLASSES}
    assert all("street/train.json" in settings.data for settings in stages.values())
    # nothing is learnt from what is measured on
    assert not any("val.json" in settings.data for settings in stages.values())


def test_the_teacher_is_the_shared_file_or_a_run() -> None:
    teachers = {name: one.teacher for name, one in build.settings_of(ACCURATE, SHARED, RUNS).items()}

    assert teachers["accurate-a"] == ""
    assert teachers["accurate-c"] == "shared/models/yolox_nano.tflite"
    assert teachers["accurate-d"] == "runs/accurate-c"


def test_what_a_recipe_begins_or_learns_with_is_made_before_it() -> None:
    made: set[str] = set()
    for recipe in build.RECIPES:
        for name, one in build.settings_of(recipe, SHARED, RUNS).items():
            needed = {Path(path).name for path in (one.weights, one.teacher) if path.startswith("runs/")}
            assert needed <= made, name
            made.add(name)


def test_a_factor_shortens_every_stage() -> None:
    short = build.shortened(ACCURATE, 0.1)

    assert {name: own["epochs"] for name, own in short.stages.items()} == {
        "accurate-a": 1, "accurate-b": 3, "accurate-c": 1, "accurate-d": 5,
    }  # fmt: skip
    assert short.until == {"accurate-b": 1, "accurate-d": 4}
    assert build.shortened(ACCURATE, 1.0) == ACCURATE


def test_missing_data_is_told_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="expected data and weights there; name it with --shared"):
        build.build(build.RECIPES, tmp_path / "none", tmp_path / "runs", tmp_path / "models")

    assert not list(tmp_path.iterdir())


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
    stages = build.settings_of(ACCURATE, SHARED, RUNS)
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


TINY = {"alpha": 0.35, "size": "64", "batch": 8, "epochs": 1, "anchors": 2, "validate": 2}
STAGES = {
    "whole-a": TINY | {"teacher": build.TEACHER, "frozen": 6},
    "whole-b": TINY | {"teacher": "whole-a", "epochs": 2},
}


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_files_and_cards_are_made_from_data(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, runs, models = tmp_path / "shared", tmp_path / "runs", tmp_path / "models"
    for name in build.HELD:
        for part in ("train", "val"):
            path = Path(squares.write(place / "data" / name, 8 if part == "train" else 2, f"{part}.json"))
            document = json.loads(path.read_text())
            names = [row["name"] for row in document["categories"]]
            more = [name for name in build.CLASSES.split(",") if name not in names]
            document["categories"] += [{"id": 10 + i, "name": name} for i, name in enumerate(more)]
            path.write_text(json.dumps(document))
    for name in ("models", "weights"):
        (place / name).symlink_to((shared / name).absolute())
    monkeypatch.setattr(build, "SETS", build.HELD)
    monkeypatch.setattr(build, "DRAWN", 2)
    whole = build.Recipe(
        "whole", "A small net", "mobilenet_v2_0.35_imagenet_notop.weights.h5", build.LOSSES, STAGES,
        until={"whole-b": 1},
    )  # fmt: skip
    half = build.Recipe(
        "half", "Half of it", "whole-a", build.LOSSES, {"half-a": TINY | {"prune_channels": 0.5}}
    )

    build.build([whole, half], place, runs, models)

    assert sorted(path.name for path in models.iterdir()) == [
        f"{name}.{kind}" for name in ("half", "whole") for kind in ("md", "tflite", "txt")
    ]
    assert (models / "half.tflite").stat().st_size < (models / "whole.tflite").stat().st_size
    assert model.open_model(models / "half.tflite").labels.names == tuple(build.CLASSES.split(","))
    text = (models / "whole.md").read_text()
    assert "| whole-b | 64 | 1 of 2 | 0.001 | 0 | 0% | whole-a | 1 |\n" in text
    assert "| animals/val | COCO SSD MobileNet v1 | " in text
