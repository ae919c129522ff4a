from __future__ import annotations

from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")

import small_nets

from edge_detect.workshop import losses
from edge_detect.workshop.settings import Settings
from edge_detect.workshop.trainee import Statistics, Trainee, cosine

pytestmark = small_nets.LIBRARIES

AROUND = np.full((3, 4), 0.5, np.float32)


def trainee(**settings: Any) -> Trainee:
    """One whose net does not matter."""
    image = keras.Input((2,))
    core = keras.Model(image, {"scores": keras.layers.Dense(1)(image)})
    return Trainee(core, Settings("a.json", **settings), AROUND)


def answers(positive: tuple[int, ...] = (1, 1, 0)) -> tuple[dict[str, Any], dict[str, Any]]:
    """Targets, and what a net said."""
    chance = np.random.default_rng(0)
    rows = chance.normal(0, 1, (2, 1, 3, 4)).astype(np.float32)
    known = np.array([[positive]], np.float32).reshape(1, 3)
    wanted = {"scores": known[..., None], "care": np.ones((1, 3, 1), np.float32), "positive": known}
    return wanted | {"offsets": rows[0]}, {"boxes": rows[1], "scores": rows[1][..., :1]}


@pytest.mark.parametrize("classes", ["focal", "hard-negatives", "quality"])
@pytest.mark.parametrize("boxes", ["smooth-l1", "giou"])
def test_the_loss_is_the_weighted_sum_for_each_box(classes: str, boxes: str) -> None:
    wanted, said = answers()
    model = trainee(class_loss=classes, box_loss=boxes, box_weight=0.5)

    loss = model.compute_loss(y=wanted, y_pred=said)

    scores = (said["scores"], wanted["scores"], wanted["care"])
    rows = (said["boxes"], wanted["offsets"], wanted["positive"])
    first = {
        "focal": lambda: losses.focal(*scores),
        "hard-negatives": lambda: losses.hard_negatives(*scores, wanted["positive"]),
        "quality": lambda: losses.quality_focal(*scores, losses.fits(*rows, AROUND)),
    }[classes]()
    second = losses.smooth_l1(*rows) if boxes == "smooth-l1" else losses.giou(*rows, AROUND)
    assert float(loss) == pytest.approx(float(first) / 2 + 0.5 * float(second) / 2, rel=1e-5)
    assert float(model.parts["classes"].result()) == pytest.approx(float(first) / 2, rel=1e-5)
    assert float(model.parts["boxes"].result()) == pytest.approx(float(second) / 2, rel=1e-5)


class Sayer:
    """A teacher who always says the same."""

    def __init__(self, **said: Any) -> None:
        self.said = said

    def __call__(self, x: Any, training: bool) -> dict[str, Any]:
        assert not training
        return self.said


def test_a_teacher_beside_has_its_share_in_the_loss() -> None:
    wanted, said = answers()
    other = answers()[1] | {"scores": said["scores"] + 1}
    alone, both = (trainee(teacher_weight=0.25, box_weight=0.5, box_loss="giou") for _ in range(2))
    both.teacher = Sayer(**other)

    loss = both.compute_loss(x=np.zeros((1, 2)), y=wanted, y_pred=said)

    taught = losses.imitation(said["scores"], said["boxes"], other["scores"], other["boxes"], AROUND)
    own = float(alone.compute_loss(y=wanted, y_pred=said))
    expected = 0.75 * own + 0.25 * (float(taught[0]) + 0.5 * float(taught[1]))
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_without_a_box_the_loss_is_finite() -> None:
    wanted, said = answers((0, 0, 0))

    assert 0 < float(trainee().compute_loss(y=wanted, y_pred=said)) < 10


def test_the_rate_rises_then_falls_to_a_hundredth() -> None:
    rates = [cosine(step, 100, 0.5, 0.1) for step in range(101)]

    assert rates[:10] == pytest.approx(np.linspace(0.05, 0.5, 10).tolist())
    assert rates[10] == 0.5
    assert rates[55] == pytest.approx(0.5 * (0.01 + 0.99 / 2))
    assert rates[100] == pytest.approx(0.005)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_a_training_of_one_step_has_a_rate() -> None:
    assert cosine(0, 1, 0.5, 0) == 0.5


def test_statistics_are_averaged_and_exchanged() -> None:
    image = keras.Input((2,))
    norm, frozen = keras.layers.BatchNormalization(name="a"), keras.layers.BatchNormalization(name="b")
    core = keras.Model(image, frozen(norm(image)))
    frozen.trainable = False
    averages = Statistics(core, 0.75)
    norm.moving_mean.assign([4.0, 8.0])
    averages.follow()

    averages.swap()
    shown = [values.tolist() for values in norm.get_weights()[2:]]
    averages.swap()

    assert shown == [[1.0, 2.0], [1.0, 1.0]]
    assert norm.get_weights()[2].tolist() == [4.0, 8.0]
    assert [
        values.tolist() for values in averages.averages
    ] == shown  # those of the frozen one are left alone


def test_without_averages_there_are_no_statistics() -> None:
    assert Statistics(None, 0.0).averages == []
