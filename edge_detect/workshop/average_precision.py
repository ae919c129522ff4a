"""Average precision: how good detections are, by the reference implementation's own numbers.

pycocotools does the arithmetic (Lin et al., arXiv:1405.0312; cocodataset.org/#detection-eval).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_detect.detections import Detections
from edge_detect.workshop.dataset import Dataset

SIZES = ("all", "small", "medium", "large")


@dataclass(frozen=True, slots=True, eq=False)
class Precision:
    """The accuracy of one model on one set.

    Attributes:
        classes: The names that model and set share.
        boxes: (c,) number of true boxes of each.
        table: (iou thresholds, recalls, c, sizes) precision as pycocotools gives it; -1 where there
            is nothing to find.
        scores: Of the same shape: the score at which each precision is reached.
    """

    classes: tuple[str, ...]
    boxes: npt.NDArray[np.int64]
    table: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]

    def mean(self, *, iou: int | None = None, of: str | None = None, size: str = "all") -> float:
        """Mean precision over recalls, classes and IoU thresholds, 0..1; nan where nothing is to find.

        Args:
            iou: Position of one threshold: 0 for 0.50, 5 for 0.75; all by default.
            of: One class; all by default.
            size: `all`, `small`, `medium`, `large`.
        """
        part = self.table[:, :, :, SIZES.index(size)]
        if iou is not None:
            part = part[iou : iou + 1]
        if of is not None:
            part = part[:, :, [self.classes.index(of)]]
        part = part[part > -1]
        return float(part.mean()) if part.size else float("nan")

    @property
    def ap(self) -> float:
        """COCO's AP: over IoU .50 to .95."""
        return self.mean()

    @property
    def ap50(self) -> float:
        """AP at IoU .50, Pascal VOC's criterion."""
        return self.mean(iou=0)


def measure(
    truth: Dataset, found: Sequence[Detections], names: Sequence[str], classes: Sequence[str]
) -> Precision:
    """Compares detections with the truth.

    Pictures in which a class was not looked for do not count for that class.

    Args:
        truth: Pictures with labels.
        found: For each picture, in its pixels.
        names: The model's names by class number.
        classes: Names to be measured.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    number = {name: i for i, name in enumerate(classes, 1)}
    gold: Any = COCO()
    gold.dataset = {
        "images": [{"id": i} for i in range(1, len(truth) + 1)],
        "categories": [{"id": i, "name": name} for name, i in number.items()],
        "annotations": _truth_rows(truth, number),
    }
    rows = _found_rows(truth, found, [number.get(name, 0) for name in names], set(number.values()), number)
    with contextlib.redirect_stdout(io.StringIO()):  # it tells what it does on standard output
        gold.createIndex()
        answers = gold.loadRes(rows) if len(rows) else _nothing(COCO, gold)
        judge = COCOeval(gold, answers, "bbox")
        judge.params.imgIds = [i for i in range(1, len(truth) + 1)]
        judge.params.catIds = list(number.values())
        judge.evaluate()
        judge.accumulate()
    counts = {i: 0 for i in number.values()}
    for row in gold.dataset["annotations"]:
        counts[row["category_id"]] += not row["iscrowd"]
    most = -1  # the last of maxDets: 100
    return Precision(
        tuple(classes),
        np.array(list(counts.values()), np.int64),
        judge.eval["precision"][..., most],
        judge.eval["scores"][..., most],
    )


def _nothing(coco: Any, gold: Any) -> Any:
    empty = coco()
    empty.dataset = {**gold.dataset, "annotations": []}
    empty.createIndex()
    return empty


def _truth_rows(truth: Dataset, number: dict[str, int]) -> list[dict[str, Any]]:
    rows = []
    for image, picture in enumerate(truth.pictures, 1):
        for label in picture.labels:
            if label.name in number and label.name in picture.labelled:
                x1, y1, x2, y2 = label.box
                rows.append(
                    {
                        "id": len(rows) + 1,
                        "image_id": image,
                        "category_id": number[label.name],
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "area": (x2 - x1) * (y2 - y1),
                        "iscrowd": int(label.ignore),
                    }
                )
    return rows


def _found_rows(
    truth: Dataset, found: Sequence[Detections], ids: list[int], wanted: set[int], number: dict[str, int]
) -> npt.NDArray[np.float64]:
    """(n, 7) image, x, y, width, height, score, category, as pycocotools reads arrays."""
    parts = [np.zeros((0, 7))]
    table = np.array([*ids, 0])
    for image, (picture, answer) in enumerate(zip(truth.pictures, found, strict=True), 1):
        category = table[np.minimum(answer.classes, len(ids))]
        looked = {number[name] for name in picture.labelled if name in number}
        rows = np.isin(category, list(wanted & looked))
        boxes = answer.boxes[rows].astype(np.float64)
        parts.append(
            np.column_stack(
                [
                    np.full(len(boxes), image),
                    boxes[:, :2],
                    boxes[:, 2:] - boxes[:, :2],
                    answer.scores[rows],
                    category[rows],
                ]
            )
        )
    return np.concatenate(parts)
