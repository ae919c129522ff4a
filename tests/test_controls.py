from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_detect import detections
from edge_detect.config import Zone
from edge_detect.controls import Choice, Controls
from edge_detect.detections import Detections
from edge_detect.errors import ConfigError
from edge_detect.labels import Labels

LABELS = Labels(("person", "", "car"))


def found() -> Detections:
    """A person, something without a name, a car; each less sure."""
    return detections.make([[0, 0, 9, 9]] * 3, [0.9, 0.6, 0.3], [0, 1, 2])


def classes(controls: Controls) -> list[int]:
    return controls(found()).classes.tolist()


def test_all_that_is_sure_enough_is_wanted_at_first() -> None:
    assert classes(Controls(Choice(0.0), LABELS)) == [0, 1, 2]
    assert classes(Controls(Choice(0.5), LABELS)) == [0, 1]


def test_a_score_at_the_threshold_is_enough() -> None:
    score = float(np.float32(0.6))

    assert classes(Controls(Choice(score), LABELS)) == [0, 1]


@pytest.mark.parametrize(
    "change, left",
    [
        ({"confidence": 0.7}, [0]),
        ({"classes": ["car"]}, [2]),
        ({"classes": ["car", "person"], "confidence": 0.5}, [0]),
        ({"classes": []}, [0, 1, 2]),
        ({"paused": True}, [0, 1, 2]),
        ({}, [0, 1, 2]),
    ],
)
def test_a_change_holds_for_the_next_frame(change: dict[str, Any], left: list[int]) -> None:
    controls = Controls(Choice(0.1), LABELS)
    controls.change(**change)

    assert classes(controls) == left


def test_what_is_not_named_stays() -> None:
    controls = Controls(Choice(0.1, ("car",)), LABELS)

    assert controls.change(paused=True) == Choice(0.1, ("car",), paused=True) == controls.choice


def test_a_class_named_twice_counts_once() -> None:
    controls = Controls(Choice(0.1), LABELS)

    assert controls.change(classes=["car", "person", "car"]).classes == ("car", "person")


@pytest.mark.parametrize(
    "change, said",
    [
        ({"confidence": 1.5}, "confidence: expected 0 to 1, got 1.5"),
        ({"confidence": float("nan")}, "confidence: expected 0 to 1, got nan"),
        ({"classes": ["cra"], "confidence": 0.9}, "classes: unknown class 'cra', did you mean 'car'?"),
    ],
)
def test_what_cannot_be_changes_nothing(change: dict[str, Any], said: str) -> None:
    told: list[Choice] = []
    controls = Controls(Choice(0.1), LABELS, told.append)

    with pytest.raises(ConfigError) as caught:
        controls.change(**change)
    assert (str(caught.value), controls.choice, told) == (said, Choice(0.1), [])


def test_a_choice_that_cannot_be_is_none_to_begin_with() -> None:
    with pytest.raises(ConfigError, match="unknown class 'dog'"):
        Controls(Choice(0.1, ("dog",)), LABELS)


def test_whoever_keeps_the_choice_is_told_of_every_change_in_order() -> None:
    told: list[Choice] = []
    controls = Controls(Choice(0.0), LABELS, told.append)
    threads = [
        threading.Thread(target=lambda n=n: [controls.change(confidence=n / 8 + m / 800) for m in range(50)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(told) == 200
    assert told[-1] == controls.choice


def test_nothing_found_is_nothing_wanted() -> None:
    assert len(Controls(Choice(0.1, ("car",)), LABELS)(detections.none())) == 0


def test_zones_change_as_a_whole_or_not_at_all() -> None:
    controls = Controls(Choice(0.5), LABELS)
    door = Zone("door", points=((0, 0), (1, 0), (1, 1)))
    controls.change(zones=[door])
    with pytest.raises(ConfigError, match="zone 'door': unknown class 'persn', did you mean 'person'"):
        controls.change(zones=[replace(door, classes=("persn",))])
    with pytest.raises(ConfigError, match="twice"):
        controls.change(zones=[door, door])

    assert controls.choice.zones == (door,)
    assert controls.change(zones=[]).zones == ()
