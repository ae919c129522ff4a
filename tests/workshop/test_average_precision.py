from __future__ import annotations

import contextlib
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from edge_detect import detections
from edge_detect.detections import Detections
from edge_detect.workshop import average_precision
from edge_detect.workshop.average_precision import Precision
from edge_detect.workshop.dataset import Box, Dataset, Label, Picture

NAMES = ("person", "car")


def picture(*labels: Label, labelled: tuple[str, ...] = NAMES) -> Picture:
    return Picture(Path("a.jpg"), (200, 200), labels, frozenset(labelled))


def person(*box: float, ignore: bool = False) -> Label:
    return Label("person", (box[0], box[1], box[2], box[3]), ignore)


def measure(pictures: list[Picture], *found: Detections) -> Precision:
    return average_precision.measure(Dataset(NAMES, tuple(pictures)), found, NAMES, NAMES)


NEAR, FAR, NOWHERE = (10, 10, 60, 60), (100, 100, 180, 180), (10, 120, 50, 160)


def test_one_of_two_found_fills_the_recalls_up_to_a_half() -> None:
    both = picture(person(*NEAR), person(*FAR))

    found = measure([both], detections.make([NEAR], [0.9], [0]))

    assert found.ap50 == pytest.approx(51 / 101)  # precision 1 at the recalls 0, .01 ... .50
    assert found.ap == pytest.approx(51 / 101)
    assert found.mean_recall() == 0.5
    assert found.best[0].tolist() == pytest.approx([0.9, 1, 0.5])


def test_a_wrong_one_before_the_right_ones_lowers_the_precision() -> None:
    both = picture(person(*NEAR), person(*FAR))

    found = measure([both], detections.make([NOWHERE, NEAR, FAR], [0.9, 0.8, 0.7], [0, 0, 0]))

    assert found.ap50 == pytest.approx(2 / 3)  # 2 of 3 at the end; precision never rises with recall
    assert found.best[0].tolist() == pytest.approx([0.7, 2 / 3, 1])


def test_a_box_a_little_off_counts_at_low_thresholds_only() -> None:
    # 40 of 50 pixels are shared, 60 covered: IoU 2/3
    found = measure([picture(person(10, 10, 60, 60))], detections.make([(20, 10, 70, 60)], [0.9], [0]))

    assert found.ap50 == pytest.approx(1)
    assert found.mean(iou=5) == 0  # at 0.75
    assert found.ap == pytest.approx(0.4)  # 0.50 0.55 0.60 0.65 of ten


def test_nothing_found_is_zero_and_nothing_to_find_is_no_number() -> None:
    found = measure([picture(person(*NEAR))], detections.none())

    assert (found.ap, found.mean(of="person")) == (0, 0)
    assert math.isnan(found.mean(of="car"))
    assert found.boxes.tolist() == [1, 0]
    assert np.isnan(found.best).all()


def test_pictures_without_a_box_have_no_number_at_all() -> None:
    found = measure([picture()], detections.make([NEAR], [0.9], [0]))

    assert all(math.isnan(value) for value in found.summary())


def test_a_region_to_ignore_is_neither_found_nor_missed() -> None:
    crowd = picture(person(*NEAR), person(*FAR, ignore=True))

    # three inside the crowd, one of them before the right one
    found = measure([crowd], detections.make([(110, 110, 140, 140), NEAR, FAR], [0.9, 0.8, 0.7], [0, 0, 0]))

    assert (found.ap, found.boxes.tolist()) == (pytest.approx(1), [1, 0])
    assert found.best[0].tolist() == pytest.approx([0.8, 1, 1])


def test_a_picture_in_which_a_class_was_not_looked_for_does_not_count_for_it() -> None:
    known, unknown = picture(person(*NEAR)), picture(person(*FAR), labelled=("car",))

    found = measure(
        [known, unknown], detections.make([NEAR], [0.5], [0]), detections.make([NEAR], [0.9], [0])
    )

    assert (found.ap, found.boxes.tolist()) == (pytest.approx(1), [1, 0])


def test_a_class_number_without_a_name_is_left_out() -> None:
    found = measure([picture(person(*NEAR))], detections.make([NEAR, NEAR], [0.9, 0.8], [7, 0]))

    assert found.ap == pytest.approx(1)


def test_equal_scores_are_all_taken_by_a_threshold() -> None:
    found = measure([picture(person(*NEAR))], detections.make([NEAR, NOWHERE], [0.9, 0.9], [0, 0]))

    assert found.best[0].tolist() == pytest.approx([0.9, 0.5, 1])


def reference(pictures: list[Picture], found: list[Detections]) -> list[float]:
    """COCO's twelve numbers, from a COCO file and a list of results, as pycocotools prints them."""
    rows: list[dict[str, Any]] = []
    for image, one in enumerate(pictures, 1):
        for label in one.labels:
            x1, y1, x2, y2 = label.box
            rows.append({"image_id": image, "category_id": NAMES.index(label.name) + 1, "id": len(rows) + 1})
            rows[-1] |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
            rows[-1]["iscrowd"] = int(label.ignore)
    answers = [
        {"image_id": image, "category_id": int(c) + 1, "score": float(s), "bbox": [*b[:2], *(b[2:] - b[:2])]}
        for image, one in enumerate(found, 1)
        for b, s, c in zip(one.boxes.astype(float), one.scores, one.classes, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        gold = COCO()
        gold.dataset = {
            "info": {},
            "images": [{"id": i + 1} for i in range(len(pictures))],
            "annotations": rows,
        }
        gold.dataset["categories"] = [{"id": 1, "name": "person"}, {"id": 2, "name": "car"}]
        gold.createIndex()
        judge = COCOeval(gold, gold.loadRes(answers), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return [float("nan") if value == -1 else float(value) for value in judge.stats]


def scene(chance: np.random.Generator) -> tuple[Picture, Detections]:
    """Boxes of all sizes, some of them crowds, and answers that are near them or anywhere."""
    corners = chance.uniform(0, 100, (6, 2))
    true = np.concatenate([corners, corners + chance.uniform(5, 150, (6, 2))], 1).round(1)
    labels = []
    for box in true.tolist():
        place: Box = (box[0], box[1], box[2], box[3])
        labels.append(Label(NAMES[int(chance.integers(2))], place, bool(chance.random() < 0.15)))
    near = np.concatenate([true + chance.normal(0, 4, true.shape), true[:3] + 30])
    scores = chance.uniform(0, 1, 9).round(1)  # with equal ones among them
    return picture(*labels), detections.make(near, scores, chance.integers(0, 2, 9))


@pytest.mark.parametrize("seed", range(4))
def test_all_twelve_numbers_are_those_of_pycocotools(seed: int) -> None:
    chance = np.random.default_rng(seed)
    pictures, found = map(list, zip(*(scene(chance) for _ in range(12)), strict=True))

    told = measure(pictures, *found).summary()

    np.testing.assert_array_equal(told, reference(pictures, found))


def test_where_nothing_is_large_its_numbers_are_missing_as_with_pycocotools() -> None:
    pictures, found = [picture(person(*NEAR))], [detections.make([NEAR], [0.9], [0])]

    told = measure(pictures, *found).summary()

    assert [math.isnan(value) for value in told] == [False] * 3 + [True, False, True] + [False] * 3 + [
        True,
        False,
        True,
    ]
    np.testing.assert_array_equal(told, reference(pictures, found))
