"""SSD with `TFLite_Detection_PostProcess`: the model decodes and suppresses by itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_detect import boxes, detections
from edge_detect.decoders.signature import Arrays, Signature
from edge_detect.detections import Detections
from edge_detect.tensors import Tensor

ROLES = ("boxes", "classes", "scores", "count")
# what the number behind the name means in files of the two TensorFlow generations
_TF1 = {"": "boxes", ":1": "classes", ":2": "scores", ":3": "count"}
_TF2 = {":3": "boxes", ":2": "classes", ":1": "scores", ":0": "count"}
_WORDS = (("box", "boxes"), ("class", "classes"), ("score", "scores"), ("num", "count"), ("count", "count"))


@dataclass(frozen=True)
class PostProcess:
    """Boxes y1 x1 y2 x2 in 0..1, class numbers without background, scores, count.

    Attributes:
        outputs: The model's outputs.
        boxes, scores, labels: Positions of those outputs; `labels` holds the class numbers.
        count: Position of the count, -1 where there is none.
        order: `TF1` or `TF2`, for people.
        classes: Number of classes, 0 when unknown.
        why: What gave it away.
    """

    outputs: tuple[Tensor, ...]
    boxes: int
    labels: int
    scores: int
    count: int
    order: str
    classes: int
    why: str
    suppressed = True

    @property
    def layout(self) -> str:
        return f"SSD with TFLite_Detection_PostProcess, {self.order} order"

    def decode(self, outputs: Arrays, threshold: float) -> Detections:
        tensors = self.outputs
        least = tensors[self.scores].least(threshold)
        # ten numbers or a hundred: a list is done before numpy has begun, and most frames end here
        scores: list[float] = outputs[self.scores].ravel().tolist()
        rows = [row for row, score in enumerate(scores) if score >= least]
        if rows and self.count >= 0:
            count = tensors[self.count].real(outputs[self.count].reshape(-1)[:1])[0]
            rows = [row for row in rows if row < count]
        if not rows:
            return detections.none()
        corners = tensors[self.boxes].real(outputs[self.boxes].reshape(-1, 4)[rows])
        classes = tensors[self.labels].real(outputs[self.labels].reshape(-1)[rows])
        return Detections(
            boxes.swap_axes(corners),
            tensors[self.scores].real(outputs[self.scores].reshape(-1)[rows]),
            np.rint(classes).astype(np.int32),
        )


def match(signature: Signature) -> tuple[str, dict[str, Any]] | None:
    """Settings for a model whose outputs are boxes, classes, scores and perhaps a count."""
    found = _from_graph(signature) or _from_outputs(signature)
    if found is None:
        return None
    roles, why = found
    return "postprocess", {
        "boxes": roles["boxes"],
        "labels": roles["classes"],
        "scores": roles["scores"],
        "count": roles.get("count", -1),
        "order": "TF1" if roles["boxes"] < roles["scores"] else "TF2",
        "classes": signature.classes,
        "why": why,
    }


def _from_graph(signature: Signature) -> tuple[dict[str, int], str] | None:
    if {"boxes", "classes", "scores"} <= signature.roles.keys():
        return signature.roles, "the graph's TFLite_Detection_PostProcess operator names its outputs"
    return None


def _from_outputs(signature: Signature) -> tuple[dict[str, int], str] | None:
    """By shape for boxes and count, by values, then by names for the two that look alike."""
    shapes = [tuple(side for side in t.shape if side != 1) for t in signature.outputs]
    sizes = [int(np.prod(t.shape)) for t in signature.outputs]
    tall = [i for i, t in enumerate(signature.outputs) if t.shape and t.shape[-1] == 4 and len(t.shape) >= 2]
    for box in tall:
        n = sizes[box] // 4
        lists = [i for i, size in enumerate(sizes) if i != box and size == n and len(shapes[i]) <= 1]
        counts = [i for i, size in enumerate(sizes) if i != box and size == 1 and i not in lists]
        if n == 1 and len(lists) == 3:  # one detection: the count is of the same size
            lists, counts = _part_count(signature, lists)
        if len(lists) != 2 or len(counts) > 1 or len(signature.outputs) != 3 + len(counts):
            continue
        roles = {"boxes": box} | ({"count": counts[0]} if counts else {})
        by_name = _by_names(signature.outputs, box)
        by_value = _by_values(signature, *lists)
        if by_value:
            return roles | by_value, "shapes, and values: class numbers are whole, scores are not"
        if by_name and set(by_name.values()) >= set(lists):
            return roles | {
                k: by_name[k] for k in ("classes", "scores")
            }, "shapes, and the names of the outputs"
    return None


def _part_count(signature: Signature, lists: list[int]) -> tuple[list[int], list[int]]:
    named = _by_names(signature.outputs, -1)
    if named and named.get("count") in lists:
        return [i for i in lists if i != named["count"]], [named["count"]]
    return lists, []


def _by_values(signature: Signature, a: int, b: int) -> dict[str, int] | None:
    whole = {i: _is_whole(signature.real(i)) for i in (a, b)}
    if whole[a] == whole[b]:
        return None
    classes, scores = (a, b) if whole[a] else (b, a)
    held = signature.real(scores)
    return {"classes": classes, "scores": scores} if ((held >= -0.01) & (held <= 1.01)).all() else None


def _is_whole(values: npt.NDArray[np.float32]) -> bool:
    return bool((np.abs(values - np.rint(values)) < 1e-3).all())


def _by_names(outputs: tuple[Tensor, ...], box: int) -> dict[str, int] | None:
    """Roles by words in the names, or by the number behind a common stem."""
    words: dict[str, int] = {}
    for position, tensor in enumerate(outputs):
        stem = tensor.name.lower().replace("postprocess", "").replace("detection", "")
        role = next((role for word, role in _WORDS if word in stem), None)
        if role and role not in words:
            words[role] = position
    if {"classes", "scores"} <= words.keys():
        return words
    suffixes = [re.search(r"(:\d+)?$", t.name) for t in outputs]
    for table in (_TF1, _TF2):
        roles = {table[m[0]]: i for i, m in enumerate(suffixes) if m and m[0] in table}
        if len(roles) == len(outputs) and box in (-1, roles.get("boxes")):
            return roles
    return None
