"""Build: every file in `models/`, from the shared data to the cards, stage by stage.

A stage that is done is not done again, and one that was killed goes on, so the same command
finishes what another began.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_detect import durable
from edge_detect.errors import ConfigError, InputMissing
from edge_detect.lazy import suggest
from edge_detect.workshop.settings import Settings

if TYPE_CHECKING:
    from edge_detect.workshop.convert import Parent

log = logging.getLogger(__name__)

CLASSES = "person,bicycle,car,motorcycle,bus,cat,dog,horse,sheep,cow"
SETS = ("street", "animals", "coco-mini", "vehicles-a", "vehicles-b")
HELD = ("street", "animals")
ANCHOR = "coco_ssd_mobilenet_v1_quant.tflite"
TEACHER = "yolox_nano.tflite"
LABELS = "coco_labels_90.txt"  # of both
DRAWN = 300  # scenes of `pattern:`, so that the demo and the self-check show true boxes


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one of the shipped files is made.

    Attributes:
        file: Its name without ending.
        title: Of its card.
        weights: What to begin with: ImageNet weights, or a stage of another file.
        common: Settings of all stages.
        stages: Settings of each stage by its name; each begins with the best of the one before.
        until: Epoch after which a stage was stopped, by its name; the others went on to their last.
        note: What a reader of its card should know besides.
    """

    file: str
    title: str
    weights: str
    common: dict[str, Any]
    stages: dict[str, dict[str, Any]]
    until: dict[str, int] = field(default_factory=dict)
    note: str = ""


LONG = {"batch": 64, "average": 0.998, "mosaics": 0.3, "validate": 20, "teacher": "accurate-c"}
LOSSES = {"class_loss": "quality", "box_loss": "giou", "box_weight": 2.0, "decay": 0.05}

RECIPES = (
    Recipe(
        "detector",
        "SSDLite MobileNetV2 alpha 1.0, 320 x 320",
        "mobilenet_v2_1.0_imagenet_notop.weights.h5",
        {"alpha": 1.0, "balance": 0.1} | LOSSES,
        {
            "accurate-a": {
                "epochs": 8, "rate": 1e-3, "average": 0.995, "frozen": 13, "remember": 4, "validate": 4,
            },
            "accurate-b": {
                "epochs": 30, "rate": 4e-4, "average": 0.9995, "frozen": 6, "mosaics": 0.4,
                "teacher": TEACHER, "validate": 3,
            },
            "accurate-c": {
                "size": "320", "epochs": 5, "rate": 2.5e-4, "average": 0.998, "frozen": 6, "mosaics": 0.2,
                "teacher": TEACHER, "validate": 3,
            },
            "accurate-d": LONG | {"size": "320", "epochs": 50, "rate": 1e-3},
        },
        until={"accurate-b": 12, "accurate-d": 40},
        note=(
            "Stages a to c ran on two cores with TensorFlow (b 1.45 s, c about 2.1 s a step of 16 pictures),"
            " d on a GPU with\nKERAS_BACKEND=jax (an NVIDIA H200, 7 minutes, two trainings side by side)."
            " It began with, and learnt from, the\nint8 file of stage c: its float run was lost. The recipe"
            " run anew gives another, similar file."
        ),
    ),
    Recipe(
        "detector-fast",
        "SSDLite MobileNetV2 alpha 1.0 with 65 % of its inner channels removed, 320 x 320",
        "accurate-c",
        {"alpha": 1.0, "size": "320", "balance": 0.1} | LOSSES,
        {"fast-a": LONG | {"epochs": 70, "rate": 2e-3, "prune_channels": 0.65}},
        until={"fast-a": 40},
        note=(
            "It ran on a GPU with KERAS_BACKEND=jax (an NVIDIA H200, 7 minutes, two trainings side by side),"
            " and began with,\nand learnt from, the int8 file of stage accurate-c, whose float run was lost."
            " Three more epochs at a falling rate,\nwith the accurate net as teacher, gave nothing. The"
            " recipe run anew gives another, similar file."
        ),
    ),
)  # fmt: skip


def choose(names: Sequence[str]) -> list[Recipe]:
    """The recipes of these files, all without any.

    Raises:
        ConfigError: A name that none has.
    """
    known = {recipe.file: recipe for recipe in RECIPES}
    for name in names:
        if name not in known:
            raise ConfigError(f"unknown model '{name}'{suggest(name, known)}")
    return [recipe for recipe in RECIPES if not names or recipe.file in names]


def shortened(recipe: Recipe, factor: float) -> Recipe:
    """The recipe with so many times its epochs, at least one in each stage."""

    def times(epochs: int) -> int:
        return max(1, round(epochs * factor))

    stages = {name: own | {"epochs": times(own["epochs"])} for name, own in recipe.stages.items()}
    return replace(recipe, stages=stages, until={name: times(last) for name, last in recipe.until.items()})


def settings_of(recipe: Recipe, shared: Path, runs: Path) -> dict[str, Settings]:
    """The settings of each stage.

    Args:
        recipe: What to make.
        shared: Folder with `data/`, `models/` and `weights/`.
        runs: Folder of the runs.
    """
    data = ",".join(str(shared / "data" / name / "train.json") for name in SETS)
    common = {
        "data": f"{data},pattern:{DRAWN}={runs / 'drawn'}",
        "validation": ",".join(str(shared / "data" / name / "val.json") for name in HELD),
        "classes": CLASSES, "anchors": 5, "seed": 1,
    }  # fmt: skip
    imagenet = recipe.weights.endswith(".h5")
    begin, made = str((shared / "weights" if imagenet else runs) / recipe.weights), {}
    for name, own in recipe.stages.items():
        one = Settings(**{**common, **recipe.common, **own, "weights": begin})
        if one.teacher == TEACHER:
            place = shared / "models"
            one = replace(one, teacher=str(place / one.teacher), teacher_labels=str(place / LABELS))
        elif one.teacher:
            one = replace(one, teacher=str(runs / one.teacher))
        made[name] = one
        begin = str(runs / name)
    return made


def build(recipes: Sequence[Recipe], shared: Path, runs: Path, models: Path) -> None:
    """Trains and quantizes the files, measures them side by side, and writes their cards.

    Raises:
        InputMissing: The shared data is not there, or the run to begin with.
    """
    from edge_detect.workshop import train

    if not (shared / "data").is_dir():
        raise InputMissing(f"{shared}: expected data and weights there; name it with --shared")
    paths = []
    for recipe in recipes:
        for name, settings in settings_of(recipe, shared, runs).items():
            log.info("%s: stage %s", recipe.file, name)
            train.train(settings, runs / name, until=recipe.until.get(name, 0))
        paths.append(finish(recipe, shared, runs, models))
    found = measure(paths, shared, runs)
    durable.write(runs / "measured.json", json.dumps(found, indent=1).encode())
    for recipe, path in zip(recipes, paths, strict=True):
        text = card(recipe, path, found, settings_of(recipe, shared, runs))
        durable.write(path.with_suffix(".md"), text.encode())
        log.info("%s: %d bytes", path, path.stat().st_size)


def finish(recipe: Recipe, shared: Path, runs: Path, models: Path) -> Path:
    """The int8 file of a recipe's last run, with its labels; its float parent stays beside the runs."""
    from edge_detect.workshop import convert

    parent = convert.open_parent(runs / next(reversed(recipe.stages)))
    parent = replace(parent, about=replace(parent.about, name=recipe.file))
    durable.make_folder(models)
    path = models / f"{recipe.file}.tflite"
    durable.write(path, _best(parent, shared))
    labels = "".join(f"{name}\n" for name in parent.about.labels)
    durable.write(models / f"{recipe.file}.txt", labels.encode())
    durable.write(runs / f"{recipe.file}-float32.tflite", convert.described(parent))
    return path


def _best(parent: Parent, shared: Path) -> bytes:
    """The int8 file of the calibration method that loses least on the held sets."""
    from edge_detect.workshop import calibration, convert, dataset, formats, measure

    held = [formats.read(str(shared / "data" / name / "val.json")) for name in HELD]
    truth = dataset.keep(dataset.merge(held), CLASSES.split(","))
    batch = calibration.pictures(str(shared / "data" / "street" / "train.json"), parent.input, 200)
    seen = convert.watch(parent, batch)
    made = {}
    for method in calibration.METHODS:
        data = convert.convert(
            parent, convert.Options(method=method), convert.ranges_of(parent, seen, method)
        )
        measured = measure.ap50(data, truth)
        made[measured] = data
        log.info("%s: calibrated by %s: AP50 %.4f", parent.about.name, method, measured)
        if parent.grids:  # trained with its ranges: nothing to choose
            break
    return made[max(made)]


def measure(paths: list[Path], shared: Path, runs: Path) -> dict[str, Any]:
    """What `evaluate` says of the files, their float parents and the anchor, set by set, in one run."""
    from edge_detect.workshop import dataset, evaluate, formats

    parents = [runs / f"{path.stem}-float32.tflite" for path in paths]
    anchor = shared / "models" / ANCHOR
    opened = evaluate.open_models([*paths, *parents, anchor], shared / "models" / LABELS)
    found = {}
    for name in HELD:
        truth = dataset.keep(formats.read(str(shared / "data" / name / "val.json")), CLASSES.split(","))
        found[name] = evaluate.to_json(evaluate.compare(opened, truth))
    return found


def card(recipe: Recipe, path: Path, found: dict[str, Any], stages: dict[str, Settings]) -> str:
    """The model card, in Markdown."""
    from edge_detect.workshop import metadata

    origin = metadata.origin(path.read_bytes())
    files, classes = [], []
    for name, answer in found.items():
        rows = {Path(row["file"]).name: row for row in answer["models"]}
        mine, anchor = rows[path.name], rows[ANCHOR]
        for title, row in (
            ("this file", mine),
            ("its float32 parent", rows[f"{path.stem}-float32.tflite"]),
            ("COCO SSD MobileNet v1", anchor),
        ):
            kinds = ("ap", "ap50", "ap50_enough_boxes")
            numbers = " | ".join("none" if row[kind] is None else f"{row[kind]:.3f}" for kind in kinds)
            files.append(f"| {name}/val | {title} | {numbers} | {row['invoke_ms']:.1f} | {row['bytes']} |")
        for label, one in mine["classes"].items():
            if one["boxes"]:
                other = anchor["classes"][label]["ap50"]
                classes.append(f"| {name}/val | {label} | {one['boxes']} | {one['ap50']:.3f} | {other:.3f} |")
    return CARD.format(
        file=path.name,
        title=recipe.title,
        bytes=path.stat().st_size,
        names=CLASSES.replace(",", ", "),
        files="\n".join(files),
        classes="\n".join(classes),
        pictures=origin["pictures"],
        data=", ".join(origin["data"]),
        boxes=", ".join(f"{name} {count}" for name, count in origin["boxes"].items()),
        stages="\n".join(
            f"| {name} | {s.size} | {recipe.until.get(name, s.epochs)} of {s.epochs} | {s.rate:g}"
            f" | {s.frozen} | {s.prune_channels:.0%} | {Path(s.teacher).stem or 'none'} | {s.seed} |"
            for name, s in stages.items()
        ),
        calibration=origin["calibration"],
        parent=origin["parent_sha256"],
        note=recipe.note,
        versions=", ".join(f"{name} {version}" for name, version in origin["versions"].items()),
    )


CARD = """# {file}

{title}; int8, {bytes} bytes. Finds {names}.

## Measured

`scripts/build_models` measured all rows of a set in one run, the models taking turns on each picture; times
are of a shared 2-core x86-64 machine and are worth their ratios only. AP50 (20) is the mean over the
classes with at least 20 boxes.

| set | file | AP | AP50 | AP50 (20) | ms | bytes |
|---|---|---|---|---|---|---|
{files}

| set | class | boxes | AP50 | AP50 of COCO SSD MobileNet v1 |
|---|---|---|---|---|
{classes}

## Data

{pictures} pictures from {data}: photos of Pascal VOC 2007 test and VOC 2012, COCO 2017, two sets of
vehicles, and drawn scenes. Boxes: {boxes}. VOC2007 test was trained on: report no VOC2007 mAP of this file.
The photos are Flickr pictures under their own terms and are not part of this repository.

## Recipe

`scripts/build_models`; each stage begins with the best state of the one before, the first with ImageNet
weights of `keras.applications.MobileNetV2`. The best state is the one with the highest AP50 on street/val
and animals/val together; of the three ways to calibrate the one with the highest AP50 there was taken:
{calibration}. `edge_detect/workshop/build.py` has the other settings of each stage.

| stage | px | epochs | rate | frozen before block | channels removed | teacher | seed |
|---|---|---|---|---|---|---|---|
{stages}

{note}

Float parent SHA-256 `{parent}`. Software: {versions}.

## Limits

It knows ten classes and calls nothing else by name: a truck may be a bus or a car. Small things (less than
about a tenth of the picture's height) are mostly missed. Trained on photos taken by people, by day: a
camera high on a wall, night or infrared pictures are outside of what it saw. Not for anything on which
safety depends.
"""
