from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pytest

gpiozero = pytest.importorskip("gpiozero", reason="needs gpiozero, from the extra gpio")

from gpiozero.pins.mock import MockFactory, MockPin
from happenings import event
from scenes import scene
from waiting import wait_until

from edge_detect import recipients
from edge_detect.errors import DependencyError, SinkError
from edge_detect.notices.filter import Filter
from edge_detect.notices.gpio import Gpio
from edge_detect.scene import Scene


@pytest.fixture
def factory(monkeypatch: pytest.MonkeyPatch) -> Iterator[MockFactory]:
    """gpiozero's machine without hardware."""
    with closing(MockFactory()) as made:
        monkeypatch.setattr(gpiozero.Device, "pin_factory", made)
        yield made


def opened(wanted: Filter | None = None, **settings: Any) -> Gpio:
    return Gpio(recipients.Gpio(pin=17, **({"seconds": 0.05} | settings)), wanted or Filter())


def changes(pin: MockPin) -> list[bool]:
    """The states of a pin, one after the other."""
    return [bool(state.state) for state in pin.states]


def test_the_pin_is_on_for_a_while_after_an_event(factory: MockFactory) -> None:
    pin = factory.pin(17)
    with closing(opened()) as gpio:
        gpio.write(Scene(scene().frame, scene().detections, (event(1),)))
        wait_until(lambda: changes(pin) == [False, True, False])
        on, off = pin.states[1:3]

    assert 0.04 < off.timestamp - on.timestamp < 1
    assert gpio.dropped == 0


def test_another_event_makes_it_longer_and_not_on_twice(factory: MockFactory) -> None:
    pin = factory.pin(17)
    with closing(opened(seconds=0.3)) as gpio:
        gpio.tell((event(1),))
        wait_until(lambda: pin.state)
        gpio.tell((event(2), event(3)))
        wait_until(lambda: not pin.state)

    assert changes(pin) == [False, True, False]


def test_only_the_beginning_of_what_is_wanted_switches_it(factory: MockFactory) -> None:
    pin = factory.pin(17)
    with closing(opened(Filter(labels=("person",)))) as gpio:
        gpio.tell((event(1, label="car"), event(1, type="update"), event(1, type="end")))
        assert gpio._until == 0
        gpio.tell((event(1),))
        wait_until(lambda: changes(pin) == [False, True, False])


def test_a_relay_that_is_on_when_the_pin_is_low(factory: MockFactory) -> None:
    pin = factory.pin(17)
    with closing(opened(active_high=False)) as gpio:
        assert pin.state
        gpio.tell((event(1),))
        wait_until(lambda: not pin.state)
        wait_until(lambda: pin.state)


def test_the_end_switches_it_off_at_once_and_gives_it_back(factory: MockFactory) -> None:
    pin = factory.pin(17)
    gpio = opened(seconds=3600)
    gpio.tell((event(1),))
    wait_until(lambda: pin.state)
    gpio.close()
    gpio.close()

    assert (pin.state, pin.function) == (0, "input")
    assert not any(thread.name == "gpio" for thread in threading.enumerate())
    opened().close()  # it is free again


def test_a_driver_that_fails_is_told_once(
    factory: MockFactory, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.ERROR)
    with closing(opened()) as gpio:
        with monkeypatch.context() as patch:
            patch.setattr(MockPin, "_set_state", _break)
            for number in (1, 2):
                gpio.tell((event(number),))
                wait_until(lambda number=number: gpio.dropped == number)
        gpio.tell((event(3),))
        wait_until(lambda: changes(factory.pin(17)) == [False, True, False])

    assert caplog.messages == ["gpio: pin 17: cannot be switched: lgpio: chip is gone"]


def _break(*_: object) -> None:
    raise OSError(19, "lgpio: chip is gone")


def test_a_pin_that_is_taken_is_told(factory: MockFactory) -> None:
    with closing(opened()), pytest.raises(SinkError, match=r"^gpio: pin 17: cannot be used: .*in use"):
        opened()


def test_without_the_package_one_line_tells_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gpiozero", None)
    with pytest.raises(DependencyError) as caught:
        opened()

    assert str(caught.value) == (
        "gpio.pin needs gpiozero: sudo apt install python3-gpiozero python3-lgpio,"
        " or pip install 'edge_detect[gpio]'"
    )


def test_without_hardware_one_line_tells_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpiozero.Device, "pin_factory", None)
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "")
    with suppress(SinkError):
        opened().close()
        pytest.skip("this machine has GPIO")
    with pytest.raises(SinkError) as caught:
        opened()

    assert str(caught.value) == (
        "gpio: pin 17: no GPIO that works on this machine: sudo apt install python3-lgpio,"
        " and a user in the group gpio"
    )
