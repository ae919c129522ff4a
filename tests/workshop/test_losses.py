from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

import small_nets

from edge_detect.workshop import losses, targets

pytestmark = small_nets.LIBRARIES

ANCHOR = np.array([[0.5, 0.5, 0.4, 0.2]], np.float32)  # centre y, centre x, height, width


def batch(*rows: Any) -> Any:
    return np.array([rows], np.float32)


def slope(loss: Any, logits: Any) -> Any:
    """The gradient of a loss of logits."""
    given = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(given)
        value = loss(given)
    return tape.gradient(value, given).numpy()


def offsets(*box: float) -> Any:
    """What a head should give for a box x1 y1 x2 y2."""
    return targets.encode(np.array([box], np.float32), ANCHOR)[None]


def giou(a: Any, b: Any) -> float:
    return float(losses.giou(a, b, batch(1.0), ANCHOR))


@pytest.mark.parametrize("logit, score", [(0.0, 1.0), (0.0, 0.0), (2.0, 0.3), (-3.0, 1.0)])
def test_cross_entropy_is_that_of_the_definition(logit: float, score: float) -> None:
    chance = 1 / (1 + math.exp(-logit))

    entropy = losses.cross_entropy(np.float32(logit), np.float32(score))

    assert float(entropy) == pytest.approx(
        -score * math.log(chance) - (1 - score) * math.log(1 - chance), rel=1e-5
    )


def test_cross_entropy_of_a_huge_logit_is_finite() -> None:
    assert float(losses.cross_entropy(np.float32(-1000), np.float32(1))) == 1000


def test_focal_loss_is_worked_by_hand() -> None:
    # there: .25 x .5^2 x ln 2; not there: .75 x .5^2 x ln 2
    both = losses.focal(batch([0, 0]), batch([1, 0]), batch([1, 1]))

    assert float(both) == pytest.approx(0.25 * math.log(2), rel=1e-6)


def test_focal_loss_of_a_soft_score_is_nothing_when_it_is_met() -> None:
    assert float(losses.focal(batch([0]), batch([0.5]), batch([1]))) == 0


def test_focal_loss_of_what_nobody_knows_has_no_gradient() -> None:
    care = batch([1, 0], [0, 1])

    got = slope(lambda x: losses.focal(x, batch([1, 1], [0, 0]), care), batch([1, 2], [3, 4]))

    np.testing.assert_array_equal(got != 0, care != 0)


def test_quality_focal_loss_is_worked_by_hand() -> None:
    # a box that fits by half wants .5, which is met; the other class is wrong by .5; no box: by .5 too
    value = losses.quality_focal(
        batch([0, 0], [0, 0]), batch([1, 0], [0, 0]), batch([1, 1], [1, 0]), batch(0.5, 1)
    )

    assert float(value) == pytest.approx(2 * 0.25 * math.log(2), rel=1e-6)


def test_the_wanted_quality_teaches_no_box() -> None:
    offset = tf.Variable(offsets(0.3, 0.2, 0.7, 0.9))
    with tf.GradientTape() as tape:
        fits = losses.fits(offset, offsets(0.3, 0.2, 0.7, 0.7), batch(1.0), ANCHOR)
        value = losses.quality_focal(batch([1]), batch([1]), batch([1]), fits)

    assert float(fits[0, 0]) == pytest.approx(5 / 7, rel=1e-4)
    assert tape.gradient(value, offset) is None


def test_an_anchor_without_a_box_fits() -> None:
    rows = np.concatenate([offsets(0.1, 0.1, 0.3, 0.3), offsets(0.1, 0.1, 0.3, 0.3)], 1)
    wanted = np.concatenate([offsets(0.2, 0.1, 0.4, 0.3)] * 2, 1)

    assert np.array(losses.fits(rows, wanted, batch(1, 0), ANCHOR)).ravel().tolist() == pytest.approx(
        [1 / 3, 1], rel=1e-4
    )


def hard(logits: Any, positive: Any, care: Any = None) -> Any:
    """Which of the anchors have a gradient under hard negatives; one class, targets 0."""
    known = np.ones_like(logits) if care is None else care
    wanted = positive[..., None]
    got = slope(lambda x: losses.hard_negatives(x, wanted, known, positive), logits)
    return (got[..., 0] != 0).tolist()


def test_hard_negatives_are_the_three_worst_for_each_box() -> None:
    logits = np.linspace(-2, 2, 60, dtype=np.float32).reshape(1, 60, 1)
    positive = np.zeros((1, 60), np.float32)
    positive[0, :4] = 1

    assert hard(logits, positive) == [[True] * 4 + [False] * 44 + [True] * 12]


def test_without_a_box_the_eight_worst_are_kept() -> None:
    logits = np.linspace(-2, 2, 30, dtype=np.float32).reshape(1, 30, 1)

    assert hard(logits, np.zeros((1, 30), np.float32)) == [[False] * 22 + [True] * 8]


def test_hard_negatives_are_chosen_picture_by_picture() -> None:
    logits = np.stack([np.linspace(-2, 2, 30), np.linspace(9, 5, 30)]).astype(np.float32)[..., None]

    assert hard(logits, np.zeros((2, 30), np.float32)) == [
        [False] * 22 + [True] * 8,
        [True] * 8 + [False] * 22,
    ]


def test_of_few_anchors_all_are_hard() -> None:
    assert hard(batch([1], [2]), batch(0, 0)) == [[True, True]]


def test_hard_negatives_leave_alone_what_nobody_knows() -> None:
    assert hard(batch([1], [2], [3]), batch(1, 0, 0), batch([1], [1], [0])) == [[True, True, False]]


def test_hard_negatives_sum_the_cross_entropy() -> None:
    value = losses.hard_negatives(batch([0], [0]), batch([1], [0]), batch([1], [1]), batch(1, 0))

    assert float(value) == pytest.approx(2 * math.log(2), rel=1e-6)


def test_smooth_l1_is_worked_by_hand() -> None:
    # .5 x .5^2 + (3 - .5) + 0 + .5, and an anchor without a box
    value = losses.smooth_l1(
        batch([0.5, -3, 0, 1], [9, 9, 9, 9]), np.zeros((1, 2, 4), np.float32), batch(1, 0)
    )

    assert float(value) == pytest.approx(0.125 + 2.5 + 0.5)


def test_giou_of_the_same_box_is_no_loss() -> None:
    box = offsets(0.3, 0.2, 0.7, 0.9)

    assert giou(box, box) == pytest.approx(0, abs=1e-5)


def test_giou_of_boxes_apart_grows_beyond_one() -> None:
    # .2 x .2 each, .2 between them: union .08, hull .6 x .2
    assert giou(offsets(0.1, 0.1, 0.3, 0.3), offsets(0.5, 0.1, 0.7, 0.3)) == pytest.approx(
        1 + 1 / 3, rel=1e-4
    )


def test_giou_of_a_nested_box_is_one_less_the_share() -> None:
    assert giou(offsets(0.2, 0.2, 0.6, 0.6), offsets(0.3, 0.3, 0.5, 0.5)) == pytest.approx(0.75, rel=1e-4)


def test_giou_without_a_box_is_nothing() -> None:
    assert float(losses.giou(offsets(0, 0, 1, 1), offsets(0, 0, 0.1, 0.1), batch(0.0), ANCHOR)) == 0


def test_who_says_what_the_teacher_says_has_no_box_loss_and_the_least_score_loss() -> None:
    taught, box = batch([2.0, -3.0]), offsets(0.3, 0.4, 0.7, 0.8)

    scores, boxes = losses.imitation(taught, box, taught, box, ANCHOR)

    assert float(scores) == pytest.approx(0, abs=1e-6)
    assert float(boxes) == pytest.approx(0, abs=1e-5)


def test_imitation_is_worked_by_hand() -> None:
    sure = 1 / (1 + math.exp(-2.0))

    scores, boxes = losses.imitation(
        batch([0.0]), offsets(0.3, 0.4, 0.7, 0.6), batch([2.0]), offsets(0.3, 0.4, 0.7, 0.8), ANCHOR
    )

    # at a score of a half the entropy is ln 2 whatever is wanted; both are divided by what the teacher says
    assert float(scores) == pytest.approx((sure - 0.5) ** 2 * math.log(2) / max(sure, 1), rel=1e-5)
    assert float(boxes) == pytest.approx(sure * (1 - 0.5) / max(sure, 1), rel=1e-4)


def test_boxes_of_a_teacher_who_sees_nothing_do_not_count() -> None:
    _, boxes = losses.imitation(
        batch([0.0]), offsets(0, 0, 0.1, 0.1), batch([-5.0]), offsets(0.3, 0.4, 0.7, 0.8), ANCHOR
    )

    assert float(boxes) == 0


def test_imitation_pulls_each_score_towards_the_teacher() -> None:
    box = offsets(0.3, 0.4, 0.7, 0.8)

    pull = slope(lambda x: losses.imitation(x, box, batch([2.0, -2.0]), box, ANCHOR)[0], batch([0.0, 0.0]))

    assert pull[0, 0, 0] < 0 < pull[0, 0, 1]
