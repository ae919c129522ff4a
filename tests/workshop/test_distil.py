from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras")
pytest.importorskip("ai_edge_quantizer")

import layouts
import program
import small_nets

from edge_detect import detections
from edge_detect.errors import ConfigError, InputMissing
from edge_detect.workshop import distil, targets
from edge_detect.workshop.samples import Sample
from edge_detect.workshop.targets import Targets

pytestmark = small_nets.LIBRARIES

AROUND = np.array([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], [0, 0.5, 0.5, 1]], np.float32)
BOTH = np.array([0, 1])


def truth(*scores: tuple[float, float], care: float = 1.0) -> Targets:
    """At the three anchors."""
    rows = np.array(scores, np.float32)
    return Targets(np.zeros((3, 4), np.float32), rows, np.full((3, 2), care, np.float32), rows.max(1))


NOTHING = truth((0, 0), (0, 0), (0, 0))
PERSON = truth((1, 0), (0, 0), (0, 0))


def mixed(
    wanted: Targets, *found: tuple[Any, float, int], mapping: Any = BOTH, weight: float = 0.25
) -> Targets:
    boxes, scores, classes = zip(*found, strict=True) if found else ([], [], [])
    seen = detections.make(list(boxes), list(scores), list(classes)) if found else detections.none()
    return distil.mixed(wanted, seen, mapping, AROUND, (100, 100), weight)


def test_where_both_see_a_thing_the_scores_are_mixed() -> None:
    got = mixed(PERSON, ((0, 0, 50, 50), 0.6, 0))

    np.testing.assert_allclose(got.scores, [[0.75 + 0.25 * 0.6, 0], [0, 0], [0, 0]], atol=1e-6)
    assert (got.care == 1).all()


def test_what_the_teacher_does_not_see_loses_its_share() -> None:
    np.testing.assert_allclose(mixed(PERSON).scores, [[0.75, 0], [0, 0], [0, 0]])


def test_what_the_teacher_alone_sees_counts_by_its_weight() -> None:
    got = mixed(NOTHING, ((50, 50, 100, 100), 0.8, 1))

    np.testing.assert_allclose(got.scores, [[0, 0], [0, 0.2], [0, 0]], atol=1e-6)


def test_where_nobody_looked_the_teacher_is_believed_by_its_weight() -> None:
    got = mixed(replace(NOTHING, care=NOTHING.care * 0), ((50, 50, 100, 100), 0.8, 1))

    np.testing.assert_allclose(got.scores, [[0, 0], [0, 0.8], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(got.care, [[0, 0], [0, 0.25], [0, 0]])


def test_the_surest_of_two_finds_counts() -> None:
    got = mixed(NOTHING, ((0, 0, 50, 50), 0.8, 1), ((0, 0, 48, 50), 0.4, 1), weight=1)

    assert got.scores[0, 1] == pytest.approx(0.8)


def test_boxes_and_offsets_stay_those_of_the_truth() -> None:
    got = mixed(PERSON, ((50, 50, 100, 100), 0.8, 1))

    assert got.offsets is PERSON.offsets
    assert got.positive is PERSON.positive


@pytest.mark.parametrize("number", [0, 2, 7, -1], ids=["unlearnt", "beyond", "far beyond", "below"])
def test_classes_that_are_not_learnt_are_left_out(number: int) -> None:
    got = mixed(NOTHING, ((0, 0, 50, 50), 0.8, number), mapping=np.array([-1, 1]))

    assert not got.scores.any()


def test_a_class_that_the_teacher_does_not_know_keeps_the_truth() -> None:
    wanted = truth((1, 0), (0, 1), (0, 0))

    got = mixed(wanted, ((0, 0, 50, 50), 0.6, 1), mapping=np.array([-1, 0]), weight=1)

    np.testing.assert_allclose(got.scores, [[0.6, 0], [0, 1], [0, 0]], atol=1e-6)


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    """A file that sees a person and a car in every picture."""
    (place := tmp_path / "t.tflite").write_bytes(program.detector())
    return place


def test_a_teacher_changes_the_targets_where_it_sees_things(detector: Path) -> None:
    plan = replace(small_nets.PLAN, classes=("car",), size=(64, 32))
    none = Sample(np.zeros((32, 64, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, np.int32),
                  np.zeros(0, bool), np.ones(1, np.float32))  # fmt: skip
    wanted = targets.match(none, plan.anchors)

    got = distil.teacher(detector, plan, 0.5)(none, wanted)

    car = layouts.in_input(layouts.TRUTH.boxes, (64, 32))[1:]
    fits = distil.rectangles.iou(targets.corners(plan.anchors), car)[:, 0] >= 0.5
    np.testing.assert_allclose(got.scores[:, 0], np.where(fits, 0.25, 0), atol=0.01)


def test_a_teacher_of_other_classes_is_told(detector: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        distil.teacher(detector, replace(small_nets.PLAN, classes=("dog", "cat")), 0.5)

    assert str(caught.value) == (
        "--teacher: t.tflite finds person, car ..., expected one of dog, cat; give --teacher-labels FILE"
    )


def test_a_teacher_can_be_given_names(detector: Path) -> None:
    (names := detector.with_name("names.txt")).write_text("dog\ncat\n")

    assert callable(distil.teacher(detector, replace(small_nets.PLAN, classes=("cat",)), 0.5, names))


def test_a_missing_teacher_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputMissing):
        distil.open_teacher(tmp_path / "no.tflite")


def test_a_run_can_teach(tmp_path: Path) -> None:
    opened = distil.open_teacher(small_nets.run(tmp_path, small_nets.float_net()))

    assert opened.labels.names == small_nets.CLASSES


def test_a_net_of_ours_with_the_same_anchors_teaches_beside_the_pupil(tmp_path: Path) -> None:
    run = small_nets.run(tmp_path, small_nets.float_net())
    shown = small_nets.pictures(3)

    beside = distil.twin(run, replace(small_nets.PLAN, hidden=(16,) * 16))

    assert beside is not None
    assert not beside.trainable_variables
    said, wanted = beside.predict_on_batch(shown), small_nets.float_net().predict_on_batch(shown)
    for name in ("boxes", "scores"):
        np.testing.assert_allclose(said[name], wanted[name], atol=1e-3)


@pytest.mark.parametrize(
    "other", [{"size": (96, 96)}, {"classes": ("cat", "dog")}, {"shapes": (((0.5, 0.5),),) * 5}],
    ids=["size", "classes", "anchors"],
)  # fmt: skip
def test_a_pupil_with_another_form_of_answer_has_no_twin(tmp_path: Path, other: dict[str, Any]) -> None:
    run = small_nets.run(tmp_path, small_nets.float_net())

    assert distil.twin(run, replace(small_nets.PLAN, **other)) is None


def test_a_file_of_others_has_no_plan_of_ours(detector: Path) -> None:
    assert distil.own_plan(detector) is None
    assert distil.twin(detector, small_nets.PLAN) is None


def test_a_simulated_net_does_not_teach_beside(tmp_path: Path) -> None:
    run = small_nets.run(tmp_path, small_nets.rounded_net(), "int8")

    assert distil.own_plan(run) is None
