from __future__ import annotations

import logging

import hypothesis
import pytest
from hypothesis import strategies as st
from scenes import LABELS

from edge_detect.controls import Choice, Controls
from edge_detect.notices import orders


@pytest.mark.parametrize(
    "name, payload, then",
    [
        ("confidence", b"0.5", Choice(0.5)),
        ("confidence", b"1", Choice(1.0)),
        ("paused", b"ON", Choice(0.2, paused=True)),
        ("paused", b"OFF", Choice(0.2)),
    ],
)
def test_an_order_is_obeyed_and_told(
    name: str, payload: bytes, then: Choice, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    controls = Controls(Choice(0.2), LABELS)
    orders.obey(controls, name, payload, is_kept=False)

    assert controls.choice == then
    assert caplog.messages[0].startswith(f"mqtt: {name} = ")


def test_an_order_that_the_broker_kept_is_not_taken(caplog: pytest.LogCaptureFixture) -> None:
    controls = Controls(Choice(0.2), LABELS)
    orders.obey(controls, "paused", b"ON", is_kept=True)

    assert controls.choice == Choice(0.2)
    assert caplog.messages == ["mqtt: paused/set: not taken, since it was sent as retained"]


def test_what_is_written_into_the_log_is_short_and_on_one_line(caplog: pytest.LogCaptureFixture) -> None:
    orders.obey(Controls(Choice(0.2), LABELS), "paused", b"ON\nERROR all is lost\x1b[2J" * 9, is_kept=False)

    assert caplog.messages == [r"mqtt: paused/set: not taken: b'ON\nERROR all is lost\x1b[2JON\nERROR'"]


@hypothesis.given(st.sampled_from(orders.NAMES), st.binary(max_size=40))
def test_whatever_comes_the_controls_stay_what_they_can_be(name: str, payload: bytes) -> None:
    controls = Controls(Choice(0.2), LABELS)
    orders.obey(controls, name, payload, is_kept=False)

    assert 0 <= controls.choice.confidence <= 1
    assert controls.choice.paused is (name == "paused" and payload == b"ON")
