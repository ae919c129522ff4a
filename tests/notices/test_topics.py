from __future__ import annotations

import re

import hypothesis
import pytest
from hypothesis import strategies as st

from edge_detect.notices import topics
from edge_detect.notices.topics import RESERVED, level, levels

SAFE = re.compile(r"[a-z0-9_-]{1,60}")


@pytest.mark.parametrize(
    "name, expected",
    [
        ("person", "person"),
        ("Traffic Light", "traffic_light"),
        ("pi-porch", "pi-porch"),
        ("Fußgänger", "fuganger"),
        ("a/b", "a_b"),
        ("#", "x334359b9"),
        ("+/set", "set"),
        ("../../x", "x"),
        ("$SYS/broker", "sys_broker"),
        ("a\0b\r\nc", "a_b_c"),
    ],
)
def test_a_name_becomes_one_level_without_signs(name: str, expected: str) -> None:
    assert level(name) == expected


@hypothesis.given(st.text())
def test_whatever_is_written_a_level_is_safe(name: str) -> None:
    assert SAFE.fullmatch(level(name))


@hypothesis.given(st.lists(st.text(max_size=4)))
def test_each_name_has_a_level_of_its_own(names: list[str]) -> None:
    found = levels(names, RESERVED)

    assert set(found) == set(names)
    assert len(set(found.values())) == len(found)
    assert not set(found.values()) & set(RESERVED)


def test_no_label_stands_where_a_control_does() -> None:
    ours = topics.topics("porch", ["paused", "Paused", "events"])

    assert ours.state("paused") == "edge_detect/porch/paused_2/state"
    assert ours.state("Paused") == "edge_detect/porch/paused_3/state"
    assert ours.control("paused") == "edge_detect/porch/paused/state"


def test_a_machine_without_a_name_has_that_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Pi.Porch")

    assert topics.topics("", []).availability == "edge_detect/pi_porch/availability"


def test_all_topics_stand_below_the_machine() -> None:
    ours = topics.topics("porch", ["traffic light"], ["front door"])

    assert ours.events == "edge_detect/porch/events"
    assert ours.count("traffic light") == "edge_detect/porch/traffic_light/count"
    assert ours.snapshot("traffic light") == "edge_detect/porch/traffic_light/snapshot"
    assert ours.count_in("front door", "traffic light") == "edge_detect/porch/front_door/traffic_light/count"
    assert ours.command("+") == "edge_detect/porch/+/set"
