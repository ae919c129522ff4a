"""Average precision: how good detections are, by the reference implementation's own numbers.

pycocotools does the arithmetic (Lin et al., arXiv:1405.0312; cocodataset.org/#detection-eval).
A box's area is that of its rectangle; COCO's own is that of the outline, which other sets lack.
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
from edge_detect.errors import DependencyError
from edge_detect.workshop.dataset import Dataset

SIZES = ("all", "small", "medium", "large")
MOST = (1, 10, 100)  # detections of a class that count in one picture


@dataclass(frozen=True, slots=True, eq=False)
class Precision:
    """The accuracy of one model on one set.

    Attributes:
        classes: The names that model and set share.
        boxes: (c,) number of true boxes of each.
        table: (iou thresholds, recalls, c, sizes) precision as pycocotools gives it; -1 where there
            is nothing to find.
        recalls: (iou thresholds, c, sizes, `MOST`) the highest recall; -1 where there is nothing to find.
        best: (c, 3) score, precision and recall where F1 is highest at IoU .50; nan where nothing was
            found that is there.
    """

    classes: tuple[str, ...]
    boxes: npt.NDArray[np.int64]
    table: npt.NDArray[np.float64]
    recalls: npt.NDArray[np.float64]
    best: npt.NDArray[np.float64]

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
        return _mean(part)

    def mean_recall(self, *, most: int = 100, size: str = "all") -> float:
        """Mean of the highest recalls over classes and IoU thresholds, 0..1; nan where nothing is to find.

        Args:
            most: Detections of a class that count in one picture, one of `MOST`.
            size: `all`, `small`, `medium`, `large`.
        """
        return _mean(self.recalls[:, :, SIZES.index(size), MOST.index(most)])

    @property
    def ap(self) -> float:
        """COCO's AP: over IoU .50 to .95."""
        return self.mean()

    @property
    def ap50(self) -> float:
        """AP at IoU .50, Pascal VOC's criterion."""
        return self.mean(iou=0)

    def summary(self) -> tuple[float, ...]:
        """COCO's twelve numbers in COCO's order; nan where nothing is to find."""
        return (
            self.ap,
            self.ap50,
            self.mean(iou=5),
            *(self.mean(size=size) for size in SIZES[1:]),
            *(self.mean_recall(most=most) for most in MOST),
            *(self.mean_recall(size=size) for size in SIZES[1:]),
        )


def _mean(values: npt.NDArray[np.float64]) -> float:
    there = values[values > -1]
    return float(there.mean()) if there.size else float("nan")


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

    Raises:
        DependencyError: pycocotools is not installed.
    """
    coco, evaluation = _pycocotools()
    number = {name: i for i, name in enumerate(classes, 1)}
    gold: Any = coco()
    gold.dataset = {
        "images": [{"id": i} for i in range(1, len(truth) + 1)],
        "categories": [{"id": i, "name": name} for name, i in number.items()],
        "annotations": _truth_rows(truth, number),
    }
    rows = _found_rows(truth, found, names, number)
    with contextlib.redirect_stdout(io.StringIO()):  # it tells what it does on standard output
        gold.createIndex()
        answers = gold.loadRes(rows) if len(rows) else _nothing(coco, gold)
        judge = evaluation(gold, answers, "bbox")
        judge.params.imgIds = list(range(1, len(truth) + 1))
        judge.params.catIds = list(number.values())
        judge.params.maxDets = list(MOST)
        judge.evaluate()
        judge.accumulate()
    counts = dict.fromkeys(number.values(), 0)
    for row in gold.dataset["annotations"]:
        counts[row["category_id"]] += not row["iscrowd"]
    pages = len(SIZES) * len(truth)  # of one class; all sizes come first
    return Precision(
        tuple(classes),
        np.array(list(counts.values()), np.int64),
        judge.eval["precision"][..., -1],  # of the last of `MOST`
        judge.eval["recall"],
        np.array(
            [_best(judge.evalImgs[i * pages : i * pages + len(truth)]) for i in range(len(number))]
        ).reshape(-1, 3),
    )


def _pycocotools() -> tuple[Any, Any]:
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise DependencyError(
            "average precision needs pycocotools: pip install 'edge_detect[workshop]'"
        ) from error
    return COCO, COCOeval


def _nothing(coco: Any, gold: Any) -> Any:
    empty = coco()
    empty.dataset = {**gold.dataset, "annotations": []}
    empty.createIndex()
    return empty


def _truth_rows(truth: Dataset, number: dict[str, int]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
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
    truth: Dataset, found: Sequence[Detections], names: Sequence[str], number: dict[str, int]
) -> npt.NDArray[np.float64]:
    """(n, 7) image, x, y, width, height, score, category, as pycocotools reads arrays."""
    parts = [np.zeros((0, 7))]
    table = np.array([*(number.get(name, 0) for name in names), 0])  # the last is for nameless numbers
    for image, (picture, answer) in enumerate(zip(truth.pictures, found, strict=True), 1):
        category = table[np.minimum(answer.classes, len(names))]
        rows = np.isin(category, [number[name] for name in picture.labelled if name in number])
        boxes = answer.boxes[rows].astype(np.float64)
        sides = boxes[:, 2:] - boxes[:, :2]
        parts.append(
            np.column_stack(
                [np.full(len(boxes), image), boxes[:, :2], sides, answer.scores[rows], category[rows]]
            )
        )
    return np.concatenate(parts)


def _best(pages: Sequence[dict[str, Any] | None]) -> tuple[float, float, float]:
    """Score, precision and recall at which the F1 of a class is highest, IoU .50.

    Args:
        pages: What pycocotools matched in each picture, for this class and all sizes.
    """
    there = [page for page in pages if page is not None]
    truths = sum(int((np.asarray(page["gtIgnore"]) == 0).sum()) for page in there)
    scores, right = np.zeros(0), np.zeros(0, bool)
    for page in there:
        counted = page["dtIgnore"][0] == 0
        scores = np.append(scores, np.asarray(page["dtScores"])[counted])
        right = np.append(right, page["dtMatches"][0][counted] > 0)
    if not truths or not right.any():
        return float("nan"), float("nan"), float("nan")
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], right[order].cumsum()
    ends = np.append(scores[1:] < scores[:-1], True)  # a threshold takes all of one score, or none
    total = np.arange(1, len(scores) + 1)
    f1 = np.where(ends, 2 * hits / (total + truths), -1)
    at = int(f1.argmax())
    return float(scores[at]), float(hits[at] / total[at]), float(hits[at] / truths)
