"""Raw SSD heads: offsets and class scores for every anchor, nothing suppressed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_detect import anchors as anchor_recipes
from edge_detect import detections
from edge_detect.anchors import Anchors
from edge_detect.decoders.signature import Arrays, Signature, rows_of
from edge_detect.detections import Detections
from edge_detect.tensors import Tensor


@dataclass(frozen=True)
class RawSsd:
    """Offsets (n, 4) and scores (n, columns) against n anchors.

    Attributes:
        outputs: The model's outputs.
        anchors: (n, 4) centre y, centre x, height, width in 0..1 of the input.
        boxes, scores: Positions of those outputs.
        variances: Factors of the centre and the size offsets.
        x_first: Whether offsets are tx ty tw th.
        background: Whether column 0 is background.
        activation: `none`, `sigmoid` or `softmax`, still to be applied.
        source: Where the anchors come from, for people.
    """

    outputs: tuple[Tensor, ...]
    anchors: Anchors
    boxes: int
    scores: int
    variances: tuple[float, float]
    x_first: bool
    background: bool
    activation: str
    source: str
    why: str
    suppressed = False

    @property
    def layout(self) -> str:
        return f"raw SSD heads, {len(self.anchors)} anchors ({self.source})"

    @property
    def classes(self) -> int:
        return self.outputs[self.scores].shape[-1] - self.background

    def decode(self, outputs: Arrays, threshold: float) -> Detections:
        tensor = self.outputs[self.scores]
        raw = outputs[self.scores].reshape(-1, tensor.shape[-1])
        if self.activation == "softmax":
            scores = _softmax(tensor.real(raw))
            hits = scores >= threshold
        else:
            hits = raw >= tensor.least(threshold if self.activation == "none" else _logit(threshold))
        if self.background:
            hits[:, 0] = False
        some = np.zeros(len(raw), bool)
        some[hits.ravel().nonzero()[0] // raw.shape[1]] = True
        rows = some.nonzero()[0]
        if not len(rows):
            return detections.none()
        picked = scores[rows] if self.activation == "softmax" else tensor.real(raw[rows])
        if self.activation == "sigmoid":
            picked = (1 / (1 + np.exp(-picked))).astype(np.float32)
        picked = picked[:, int(self.background) :]
        offsets = self.outputs[self.boxes].real(outputs[self.boxes].reshape(-1, 4)[rows])
        return detections.make(
            anchor_recipes.decode(offsets, self.anchors[rows], self.variances, x_first=self.x_first),
            picked.max(1),
            picked.argmax(1),
        )


def _softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    result: npt.NDArray[np.float32] = powers / powers.sum(1, keepdims=True)
    return result


def _logit(score: float) -> float:
    score = min(max(score, 1e-6), 1 - 1e-6)
    return math.log(score / (1 - score))


def match(signature: Signature) -> tuple[str, dict[str, Any]] | None:
    """Settings for two tall outputs of equal length, one of them four wide."""
    parted = _part(signature)
    if parted is None:
        return None
    boxes, scores, given = parted
    n, columns = rows_of(signature.outputs[scores].shape) or (0, 0)
    recipe = anchor_recipes.find(signature.size, n)
    if given:
        source = next(iter(given))
        # files that carry anchors write plain offsets (MediaPipe) unless a recipe says otherwise
        fitting = next((r for r in anchor_recipes.RECIPES if _agrees(r, signature.size, given[source])), None)
        variances = fitting.variances if fitting else (1.0, 1.0) if source == "metadata" else (0.1, 0.2)
        x_first = bool(fitting and fitting.x_first)
    elif recipe:
        source, variances, x_first = recipe.name, recipe.variances, recipe.x_first
    else:
        return None
    low, high = signature.bounds(scores)
    probable = low >= -0.02 and high <= 1.02
    activation = "none" if probable else "softmax" if x_first else "sigmoid"
    if signature.decoding:
        variances, logits = signature.decoding
        activation = "sigmoid" if logits else "none"
    return "ssd", {
        "boxes": boxes,
        "scores": scores,
        "variances": variances,
        "x_first": x_first,
        "background": columns > 1 and signature.classes != columns,
        "activation": activation,
        "source": source,
        "why": f"{n} rows of 4 offsets and {columns} scores; anchors: {source}",
    }


def _agrees(recipe: anchor_recipes.Recipe, size: tuple[int, int], anchors: Anchors) -> bool:
    made = recipe.make(size)
    return made.shape == anchors.shape and bool(np.abs(made - anchors).max() < 0.02)


def _part(signature: Signature) -> tuple[int, int, dict[str, Anchors]] | None:
    """Positions of offsets and scores, and the anchors that the file carries."""
    tall = {i: rows for i, t in enumerate(signature.outputs) if (rows := rows_of(t.shape)) and rows[0] > 1}
    if len(tall) != len(signature.outputs) or len({n for n, _ in tall.values()}) != 1:
        return None
    n = next(iter(tall.values()))[0]
    given = {where: a for where, a in signature.anchors.items() if len(a) == n}
    constant = [int(where.split()[1]) for where in given if where.startswith("output")]
    rest = [i for i in tall if i not in constant]
    if len(rest) != 2:
        return None
    fours = [i for i in rest if tall[i][1] == 4]
    if not fours:
        return None
    boxes = fours[0] if len(fours) == 1 else _boxes_by_look(signature, fours)
    return boxes, next(i for i in rest if i != boxes), given


def _boxes_by_look(signature: Signature, both: list[int]) -> int:
    """Which of two outputs of four columns holds the offsets: by name, else by its values."""
    for i in both:
        if any(word in signature.outputs[i].name.lower() for word in ("box", "loc", "reg")):
            return i
    spans = [signature.bounds(i) for i in both]
    return both[int(np.argmax([high - low for low, high in spans]))]


def constant_anchors(values: npt.NDArray[Any]) -> Anchors:
    """Anchors that a file holds as a constant, as centre y, centre x, height, width.

    Rows whose third value always exceeds the first, and fourth the second, are corners.
    """
    rows = values.reshape(-1, 4).astype(np.float32)
    if (rows[:, 2] > rows[:, 0]).all() and (rows[:, 3] > rows[:, 1]).all():
        return np.concatenate([(rows[:, :2] + rows[:, 2:]) / 2, rows[:, 2:] - rows[:, :2]], 1)
    return rows
