"""Validation: how good a Keras net is on a set, read as the running loop reads its file."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from edge_detect import anchors, detections, pixels
from edge_detect.boxes import clip
from edge_detect.detections import Detections
from edge_detect.fit import letterbox
from edge_detect.frame import Image
from edge_detect.workshop import average_precision, net, samples
from edge_detect.workshop.average_precision import Precision
from edge_detect.workshop.dataset import Dataset, Picture
from edge_detect.workshop.evaluate import scaled
from edge_detect.workshop.net import Architecture
from edge_detect.workshop.targets import VARIANCES


def validate(model: keras.Model, plan: Architecture, held: Dataset, batch: int = 16) -> Precision:
    """How good a net is on a set, before anything is quantized."""
    found: list[Detections] = []
    with ThreadPoolExecutor(os.cpu_count(), "validation") as pool:
        for start in range(0, len(held), batch):
            part = list(pool.map(lambda p: _show(p, plan), held.pictures[start : start + batch]))
            # always of one shape, for which back ends compile the net
            images = np.resize(np.stack([image for image, _ in part]), (batch, *part[0][0].shape))
            answers = model.predict_on_batch(net.normalized(images))
            rows = zip(answers["boxes"], answers["scores"], (size for _, size in part), strict=False)
            answered = pool.map(lambda row: decode(row[0], row[1], plan, row[2]), rows)
            # the labels may be written for the picture at another size
            triples = zip(answered, part, held.pictures[start : start + batch], strict=True)
            found += [scaled(one, size, picture.size) for one, (_, size), picture in triples]
    return average_precision.measure(held, found, plan.classes, held.classes)


def _show(picture: Picture, plan: Architecture) -> tuple[Image, tuple[int, int]]:
    """The picture as the net is shown it, and its own size."""
    sample = samples.load(picture, plan.classes)
    return samples.whole(sample, plan.size).image, sample.size


def decode(
    offsets: Any, logits: Any, plan: Architecture, size: tuple[int, int], least: float = 0.01
) -> Detections:
    """What a net's answer for a picture of `size` means, as the running loop reads it."""
    scores = 1 / (1 + np.exp(-np.asarray(logits, np.float32)))
    rows = np.nonzero(scores.max(1) >= least)[0]
    corners = anchors.decode(np.asarray(offsets, np.float32)[rows], plan.anchors[rows], VARIANCES)
    found = detections.make(
        clip(letterbox(size, plan.size).to_picture(corners, size), *size),
        scores[rows].max(1),
        scores[rows].argmax(1),
    )
    return found.pick(pixels.suppress(found.boxes, found.scores, found.classes, 0.5))
