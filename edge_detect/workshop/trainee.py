"""Trainee: a net that knows its losses, and how fast it is to learn."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from keras.layers import BatchNormalization

from edge_detect.anchors import Anchors
from edge_detect.workshop import losses
from edge_detect.workshop.settings import Settings


class Trainee(keras.Model):
    """A net that knows its losses.

    Both are sums over the batch divided by the number of anchors with a box. A teacher with the same
    anchors has its share in them.
    """

    def __init__(
        self, core: keras.Model, settings: Settings, around: Anchors, teacher: keras.Model | None = None
    ) -> None:
        super().__init__(inputs=core.inputs, outputs=core.outputs)
        self.core = core
        self.teacher = teacher
        self._settings = settings
        self._around = around
        self.parts = {name: keras.metrics.Mean(name=name) for name in ("classes", "boxes")}

    @property
    def metrics(self) -> list[Any]:
        """The means of the two losses since they were last reset."""
        return [*super().metrics, *self.parts.values()]

    def call(self, image: Any, training: bool = False) -> Any:
        return self.core(image, training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The loss of a batch; `y` holds the fields of `Targets`."""
        y = {name: ops.convert_to_tensor(value) for name, value in y.items()}
        around = ops.convert_to_tensor(self._around)
        positive, wanted = y["positive"], y["offsets"]
        count = ops.maximum(ops.sum(positive), 1.0)
        scores = ops.cast(y_pred["scores"], "float32")
        offsets = ops.cast(y_pred["boxes"], "float32")
        match self._settings.class_loss:
            case "focal":
                classes = losses.focal(scores, y["scores"], y["care"])
            case "quality":
                fits = losses.fits(offsets, wanted, positive, around)
                classes = losses.quality_focal(scores, y["scores"], y["care"], fits)
            case _:
                classes = losses.hard_negatives(scores, y["scores"], y["care"], positive)
        if self._settings.box_loss == "giou":
            boxes = losses.giou(offsets, wanted, positive, around)
        else:
            boxes = losses.smooth_l1(offsets, wanted, positive)
        classes, boxes = classes / count, boxes / count
        if self.teacher:
            said, share = self.teacher(x, training=False), self._settings.teacher_weight
            taught = losses.imitation(scores, offsets, said["scores"], said["boxes"], around)
            classes = (1 - share) * classes + share * taught[0]
            boxes = (1 - share) * boxes + share * taught[1]
        self.parts["classes"].update_state(classes)
        self.parts["boxes"].update_state(boxes)
        return classes + self._settings.box_weight * boxes


class Statistics:
    """Averages of what batch normalization has seen, to go with the averages of the weights.

    The optimizer averages what it trains alone, and averaged weights with the newest statistics are a
    worse net than either.

    Attributes:
        averages: Of each moving mean and variance.
    """

    def __init__(self, core: keras.Model | None, memory: float) -> None:
        """Begins with the statistics of a net; without one there is nothing to average."""
        norms = [layer for layer in (core.layers if core else ()) if isinstance(layer, BatchNormalization)]
        self._moving = [
            variable
            for layer in norms
            if layer.trainable
            for variable in (layer.moving_mean, layer.moving_variance)
        ]
        self._memory = memory
        self.averages = [ops.convert_to_numpy(variable).copy() for variable in self._moving]

    def follow(self) -> None:
        """Takes the statistics after a step."""
        for i, variable in enumerate(self._moving):
            mine = self.averages[i]
            self.averages[i] = mine + (1 - self._memory) * (ops.convert_to_numpy(variable) - mine)

    def swap(self) -> None:
        """Exchanges averages and statistics."""
        for i, variable in enumerate(self._moving):
            newest = ops.convert_to_numpy(variable).copy()
            variable.assign(self.averages[i])
            self.averages[i] = newest


def cosine(step: int, total: int, rate: float, warmup: float) -> float:
    """The learning rate of a step: a linear rise, then half a cosine down to a hundredth.

    Source: Loshchilov and Hutter, SGDR, arXiv:1608.03983, equation 5, without restarts.
    """
    rise = max(1, round(total * warmup))
    if step < rise:
        return rate * (step + 1) / rise
    along = (step - rise) / max(1, total - rise)
    return float(rate * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * along))))
