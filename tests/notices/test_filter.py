from __future__ import annotations

import pytest
from happenings import LOST, event

from edge_detect.errors import ConfigError
from edge_detect.notices.filter import Filter, check


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(),
        Filter(kinds=("gone", "appeared")),
        Filter(types=("start",)),
        Filter(labels=("person",)),
        Filter(zones=("door",)),
        Filter(kinds=("appeared",), types=("start",), labels=("person", "car"), zones=("path", "door")),
    ],
    ids=["nothing asked", "its kind", "its type", "its label", "its zone", "all of it"],
)
def test_an_event_that_is_all_that_is_asked_passes(wanted: Filter) -> None:
    assert wanted(event())


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(kinds=("gone",)),
        Filter(types=("end", "update")),
        Filter(labels=("car",)),
        Filter(zones=("path",)),
        Filter(labels=("person",), zones=("path",)),
    ],
    ids=["kind", "type", "label", "zone", "one of two"],
)
def test_an_event_of_another_sort_does_not_pass(wanted: Filter) -> None:
    assert not wanted(event())


def test_the_zone_that_an_event_is_about_counts_when_the_thing_has_left_it() -> None:
    assert Filter(zones=("path",))(event(kind="left", zone="path", zones=("door",)))


@pytest.mark.parametrize(
    "wanted, passes",
    [
        (Filter(), True),
        (Filter(labels=("person",)), False),
        (Filter(zones=("door",)), False),
        (Filter(kinds=("camera_lost",), labels=("person",)), True),
    ],
    ids=["nothing asked", "a label", "a zone", "its kind beside a label"],
)
def test_a_camera_has_neither_label_nor_zone(wanted: Filter, passes: bool) -> None:
    assert wanted(LOST) is passes


def test_a_name_that_is_not_known_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"^unknown label 'persn', did you mean 'person'\?$"):
        check(["car", "persn"], iter(["car", "person"]), "label")
