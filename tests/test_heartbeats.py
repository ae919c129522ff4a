from __future__ import annotations

import pytest

from edge_detect.heartbeats import Heartbeats


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def heartbeats(clock: Clock) -> Heartbeats:
    return Heartbeats(clock, patience=15.0)


def test_a_part_is_late_after_its_patience_and_not_before(clock: Clock, heartbeats: Heartbeats) -> None:
    heartbeats.expect("inference")
    heartbeats.expect("web", 5.0)
    clock.now += 15

    assert heartbeats.late() == {"web": 15.0}
    clock.now += 1
    assert heartbeats.late() == {"inference": 16.0, "web": 16.0}


def test_a_beat_makes_up_for_the_silence(clock: Clock, heartbeats: Heartbeats) -> None:
    beat = heartbeats.expect("inference")
    clock.now += 20
    beat()
    clock.now += 1

    assert (heartbeats.late(), heartbeats.ages()) == ({}, {"inference": 1.0})


def test_an_excuse_holds_until_the_next_beat(clock: Clock, heartbeats: Heartbeats) -> None:
    beat = heartbeats.expect("capture")
    assert not heartbeats.is_excused("capture")
    heartbeats.excuse("capture")
    clock.now += 1000
    assert (heartbeats.late(), heartbeats.is_excused("capture")) == ({}, True)
    beat()
    clock.now += 16

    assert (heartbeats.late(), heartbeats.is_excused("capture")) == ({"capture": 16.0}, False)


def test_a_part_that_has_ended_is_never_late(clock: Clock, heartbeats: Heartbeats) -> None:
    beat = heartbeats.expect("outputs")
    heartbeats.forget("outputs")
    beat()
    heartbeats.excuse("outputs")
    clock.now += 1000

    assert (heartbeats.late(), heartbeats.ages()) == ({}, {})
    assert not heartbeats.is_excused("outputs")
