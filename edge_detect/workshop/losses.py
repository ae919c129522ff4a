"""Losses: how far a net's answer is from its targets, in the words of any Keras back end.

All are sums over a batch divided by the number of anchors that have a box, as in SSD.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from keras import ops

from edge_detect.workshop.targets import VARIANCES

Array: TypeAlias = Any  # of the back end


def cross_entropy(logits: Array, scores: Array) -> Array:
    """Binary cross-entropy of each class apart; `scores` may lie between 0 and 1."""
    return ops.maximum(logits, 0) - logits * scores + ops.log1p(ops.exp(-ops.abs(logits)))


def focal(logits: Array, scores: Array, care: Array, *, alpha: float = 0.25, gamma: float = 2.0) -> Array:
    """Focal loss: what is known already counts little, so that no background must be left out.

    Args:
        logits: (batch, n, c).
        scores: (batch, n, c) in 0..1; between the ends the modulating factor is the distance.
        care: (batch, n, c) weights.
        alpha: Weight of what is there; 1 - alpha of what is not.
        gamma: How fast the known fades.

    Source: Lin et al., arXiv:1708.02002, equation 5; for soft scores Li et al., Generalized Focal
    Loss, arXiv:2006.04388, equation 5.
    """
    chance = ops.sigmoid(logits)
    balance = alpha * scores + (1 - alpha) * (1 - scores)
    fading = ops.abs(scores - chance) ** gamma
    return ops.sum(care * balance * fading * cross_entropy(logits, scores))


def quality_focal(logits: Array, scores: Array, care: Array, fits: Array, *, gamma: float = 2.0) -> Array:
    """Focal loss whose wanted score is how well the predicted box fits: the surest box is the best one.

    Args:
        logits: (batch, n, c).
        scores: (batch, n, c) in 0..1.
        care: (batch, n, c) weights.
        fits: (batch, n) IoU of the predicted box with its own, 1 at anchors that have none.
        gamma: How fast the known fades.

    Source: Li et al., Generalized Focal Loss, arXiv:2006.04388, equation 5.
    """
    wanted = scores * ops.stop_gradient(fits)[..., None]
    distance = ops.abs(wanted - ops.sigmoid(logits))
    return ops.sum(care * distance**gamma * cross_entropy(logits, wanted))


def hard_negatives(logits: Array, scores: Array, care: Array, positive: Array, ratio: float = 3.0) -> Array:
    """Cross-entropy on anchors with a box, and on those without that the net mistakes most.

    Source: Liu et al., SSD, arXiv:1512.02325, section 2.2 (hard negative mining, 3 to 1). Here each
    class has a sigmoid of its own, so that classes which a set does not label can be left out.
    """
    each = ops.sum(care * cross_entropy(logits, scores), axis=-1)  # (batch, n)
    background = each * (1 - positive)
    wanted = ops.maximum(ops.sum(positive, axis=1, keepdims=True) * ratio, 8.0)
    falling = ops.flip(ops.sort(background, axis=1), axis=1)
    last = ops.cast(ops.minimum(wanted, ops.cast(ops.shape(background)[1], wanted.dtype)) - 1, "int32")
    bound = ops.take_along_axis(falling, last, axis=1)
    hard = ops.cast(background >= ops.maximum(bound, 1e-6), each.dtype)
    return ops.sum(each * ops.stop_gradient(ops.maximum(hard * (1 - positive), positive)))


def smooth_l1(offsets: Array, wanted: Array, positive: Array) -> Array:
    """Huber loss of the offsets, quadratic below 1.

    Source: Girshick, Fast R-CNN, arXiv:1504.08083, equation 3.
    """
    distance = ops.abs(offsets - wanted)
    each = ops.where(distance < 1, 0.5 * distance**2, distance - 0.5)
    return ops.sum(ops.sum(each, axis=-1) * positive)


def giou(offsets: Array, wanted: Array, positive: Array, anchors: Array) -> Array:
    """1 - generalized intersection over union of the boxes that the offsets mean.

    Args:
        offsets: (batch, n, 4) ty tx th tw.
        wanted: (batch, n, 4) likewise.
        positive: (batch, n) weights.
        anchors: (n, 4) centre y, centre x, height, width.

    Source: Rezatofighi et al., arXiv:1902.09630, algorithm 1.
    """
    overlap, union = _overlap(offsets, wanted, anchors)
    (low, high), (low_true, high_true) = _box(offsets, anchors), _box(wanted, anchors)
    hull = ops.prod(ops.maximum(high, high_true) - ops.minimum(low, low_true), axis=-1)
    value = overlap - (hull - union) / ops.maximum(hull, 1e-9)
    return ops.sum((1 - value) * positive)


def imitation(
    logits: Array, offsets: Array, taught: Array, taught_offsets: Array, anchors: Array, *, least: float = 0.1
) -> tuple[Array, Array]:
    """How far the scores and the boxes are from those of a teacher with the same anchors.

    Each is a sum divided by the teacher's own scores; boxes count where and as much as the teacher is sure.

    Args:
        logits: (batch, n, c).
        offsets: (batch, n, 4) ty tx th tw.
        taught: (batch, n, c) logits of the teacher.
        taught_offsets: (batch, n, 4) its offsets.
        anchors: (n, 4) centre y, centre x, height, width.
        least: Score below which the teacher's boxes count nothing.

    Source: Hinton et al., arXiv:1503.02531, section 2 (soft targets), here with the focus of
    arXiv:2006.04388, equation 5.
    """
    wanted = ops.sigmoid(taught)
    sure = ops.max(wanted, axis=-1)
    sure = ops.where(sure > least, sure, 0.0)
    count = ops.maximum(ops.sum(sure), 1.0)
    everywhere = ops.ones_like(sure)
    scores = quality_focal(logits, wanted, ops.ones_like(wanted), everywhere)
    return scores / count, giou(offsets, taught_offsets, sure, anchors) / count


def fits(offsets: Array, wanted: Array, positive: Array, anchors: Array) -> Array:
    """(batch, n) IoU of predicted and wanted boxes, 1 at anchors without one; arguments as of `giou`."""
    return ops.where(positive > 0, _overlap(offsets, wanted, anchors)[0], 1.0)


def _overlap(offsets: Array, wanted: Array, anchors: Array) -> tuple[Array, Array]:
    """(batch, n) intersection over union, and the union."""
    (low, high), (low_true, high_true) = _box(offsets, anchors), _box(wanted, anchors)
    area, true = ops.prod(high - low, axis=-1), ops.prod(high_true - low_true, axis=-1)
    sides = ops.maximum(ops.minimum(high, high_true) - ops.maximum(low, low_true), 0.0)
    shared = ops.prod(sides, axis=-1)
    union = area + true - shared
    return shared / ops.maximum(union, 1e-9), union


def _box(offsets: Array, anchors: Array) -> tuple[Array, Array]:
    centres = offsets[..., :2] * VARIANCES[0] * anchors[:, 2:] + anchors[:, :2]
    half = ops.exp(ops.clip(offsets[..., 2:] * VARIANCES[1], -6, 6)) * anchors[:, 2:] / 2
    return centres - half, centres + half
