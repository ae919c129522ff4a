"""Start: the architecture and the weights that a training begins with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from edge_detect.errors import ConfigError
from edge_detect.fit import letterbox
from edge_detect.workshop import distil, export, net, prune, qat, samples, targets, transplant
from edge_detect.workshop.dataset import Dataset
from edge_detect.workshop.net import Architecture
from edge_detect.workshop.run import Run
from edge_detect.workshop.settings import Settings, size_of
from edge_detect.workshop.targets import Shapes


def architecture(settings: Settings, data: Dataset) -> Architecture:
    """That of the run or file to begin with, pruned if asked, or a new one.

    Raises:
        ConfigError: It has other classes, or is quantized.
        InputMissing, ModelError: There is none, or not one of ours.
    """
    size = size_of(settings.size)
    if settings.weights.endswith(".tflite"):
        plan = replace(transplant.architecture_of(Path(settings.weights)), size=size)
        if plan.classes != data.classes:
            raise ConfigError(f"--weights: a file with classes {', '.join(plan.classes)}, expected the same")
    elif settings.weights and Path(settings.weights).is_dir():
        base, plan, _ = Run(Path(settings.weights)).settings()
        if plan.classes != data.classes:
            raise ConfigError(f"--weights: a run with classes {', '.join(plan.classes)}, expected the same")
        if base.quantize:
            raise ConfigError(f"--weights: {settings.weights} is a quantized run; expected a float one")
        if settings.prune_channels:
            plan = prune.channels(Run(Path(settings.weights)).model()[0], plan, settings.prune_channels)[1]
        plan = replace(plan, size=size)
    else:
        plan = net.design(size, data.classes, settings.alpha, _shapes(data, size, settings))
    return plan


def _shapes(data: Dataset, size: tuple[int, int], settings: Settings) -> Shapes:
    """Those of a teacher of ours, so that it can teach anchor by anchor; else those that fit the data."""
    known = distil.own_plan(Path(settings.teacher)) if settings.teacher else None
    if known and (known.size, known.classes) == (size, data.classes):
        return known.shapes
    return fit_shapes(data, size, settings)


def fit_shapes(data: Dataset, size: tuple[int, int], settings: Settings) -> Shapes:
    """Anchors for the boxes as training will show them: letterboxed, zoomed in and out."""
    chance = np.random.default_rng(settings.seed)
    sides = []
    for picture in data.pictures:
        fit = letterbox(picture.size, size)
        boxes = np.array([label.box for label in picture.labels if not label.ignore], np.float32)
        if len(boxes):
            inside = fit.to_input(boxes.reshape(-1, 4), picture.size)
            sides.append((inside[:, 2:] - inside[:, :2])[:, ::-1] / chance.uniform(0.5, 1.5))
    every = np.clip(np.concatenate(sides), 0.01, 1)
    if len(every) > 10_000:
        every = every[chance.permutation(len(every))[:10_000]]
    return targets.fit_anchors(every.astype(np.float32), settings.anchors, settings.seed)


def load_weights(model: keras.Model, plan: Architecture, settings: Settings, data: Dataset) -> None:
    """Puts those of `settings.weights` into a net of the architecture.

    Raises:
        InputMissing, ModelError: There are none, or none that fit.
    """
    path = Path(settings.weights)
    if not settings.weights:
        return
    if path.is_dir():
        given, old = Run(path).model()
        if settings.prune_channels:
            given, _ = prune.channels(given, old, settings.prune_channels)
        if settings.quantize:
            qat.load(model, export.fold(given))
        else:
            model.set_weights(given.get_weights())
    elif path.suffix == ".tflite":
        some = data.pictures[:: max(1, len(data) // 64)][:64]
        shown = [samples.whole(samples.load(picture, plan.classes), plan.size).image for picture in some]
        transplant.put(model, plan, transplant.weights_of(path), net.normalized(np.stack(shown)))
    else:
        net.load_backbone(model, plan, path)
