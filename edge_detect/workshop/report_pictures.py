"""Report pictures: the pictures of a report on which opinions differ most, as each party sees them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import combinations

import cv2
import numpy as np

from edge_detect import boxes, detections, draw
from edge_detect.detections import Detections
from edge_detect.frame import Frame, Image
from edge_detect.labels import Labels
from edge_detect.scene import Scene
from edge_detect.workshop.dataset import Picture
from edge_detect.workshop.evaluate import Evaluation, Result, read, scaled, thresholds

SAMPLES = 6
SIDE = 480  # longest side of a sample, in pixels
THRESHOLD = 0.3  # of classes that have no best one
SAME = 0.5  # IoU from which two boxes of a class are one thing


def figure(uri: str, text: str, caption: str = "") -> str:
    """A picture with its words."""
    words = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure><img src="{uri}" alt="{escape(text)}">{words}</figure>'


def uri_of(data: bytes, kind: str) -> str:
    """A picture's bytes as an address that holds them."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


@dataclass(frozen=True, slots=True, eq=False)
class _Party:
    """One opinion on all pictures: a model's, or that of the labels.

    Attributes:
        title: Whose.
        found: For each picture, with the classes numbered as in the evaluation.
    """

    title: str
    found: tuple[Detections, ...]


def _parties(evaluation: Evaluation) -> list[_Party]:
    """The labels, then each model at its best thresholds."""
    classes = evaluation.classes
    truth = tuple(_truth(picture, classes) for picture in evaluation.data.pictures)
    models = [
        _Party(title, tuple(shown(result, found) for found in result.found))
        for title, result in zip(evaluation.titles, evaluation.results, strict=True)
    ]
    return [_Party("labels of the set", truth), *models]


def _truth(picture: Picture, classes: Sequence[str]) -> Detections:
    number = {name: i for i, name in enumerate(classes) if name in picture.labelled}
    there = [label for label in picture.labels if label.name in number and not label.ignore]
    numbers = [number[label.name] for label in there]
    return detections.make([label.box for label in there], [1.0] * len(there), numbers)


def shown(result: Result, found: Detections) -> Detections:
    """What a model finds at its best thresholds, with the classes numbered as they were measured."""
    classes = result.precision.classes
    best = thresholds(result.precision)
    limits = np.array([best[name][0] if name in best else THRESHOLD for name in classes] + [np.inf])
    number = {name: i for i, name in enumerate(classes)}
    table = np.array([number.get(name, -1) for name in result.model.labels.names] + [-1], np.int32)
    renamed = table[np.minimum(found.classes, len(table) - 1)]
    return Detections(found.boxes, found.scores, renamed).pick(found.scores >= limits[renamed])


def apart(a: Detections, b: Detections) -> int:
    """How many things only one of two has found."""
    if not len(a) or not len(b):
        return len(a) + len(b)
    same = (boxes.iou(a.boxes, b.boxes) >= SAME) & (a.classes[:, None] == b.classes[None, :])
    return int((~same.any(1)).sum() + (~same.any(0)).sum())


def most_disputed(parties: Sequence[Sequence[Detections]], count: int = SAMPLES) -> list[int]:
    """The pictures on which opinions differ most; the first of those that are alike."""
    if not parties:
        return []
    pictures = range(len(parties[0]))
    scores = [sum(apart(a[i], b[i]) for a, b in combinations(parties, 2)) for i in pictures]
    return sorted(pictures, key=lambda i: (-scores[i], i))[:count]


def samples(evaluation: Evaluation) -> str:
    """Pictures on which the models disagree most, as each sees them."""
    parties = _parties(evaluation)
    models = parties[1:] if len(parties) > 2 else parties
    chosen = most_disputed([party.found for party in models])
    names = Labels(evaluation.classes)
    rows = [_sample(evaluation.data.pictures[i], i, parties, names) for i in chosen]
    whom = "the models disagree" if len(parties) > 2 else "model and labels disagree"
    return (
        f'<p class="dim">Those on which {whom} most; boxes from the best threshold of each class on,'
        f" {THRESHOLD} where there is none. Labels are drawn with 100 %.</p>\n" + "\n".join(rows)
    )


def _sample(picture: Picture, number: int, parties: Sequence[_Party], names: Labels) -> str:
    """One picture as each party sees it, side by side."""
    image, name = read(picture), picture.path.name
    figures = "\n".join(
        figure(_drawn(image, picture, party.found[number], names), f"{name}: {party.title}", party.title)
        for party in parties
    )
    return f'<h4>{escape(name)}</h4>\n<div class="row">\n{figures}\n</div>'


def _drawn(image: Image, picture: Picture, found: Detections, names: Labels) -> str:
    size = (image.shape[1], image.shape[0])
    scene = Scene(Frame(image, 0.0, 0), scaled(found, picture.size, size))
    width = max(1, round(SIDE * size[0] / max(size)))
    done, data = cv2.imencode(".jpg", draw.annotate(scene, names, width), [cv2.IMWRITE_JPEG_QUALITY, 82])
    assert done  # any picture of bytes can be a JPEG
    return uri_of(data.tobytes(), "jpeg")
