"""GPIO: a pin that is on for a while after an event, for a lamp, a buzzer or a relay."""

from __future__ import annotations

import importlib
import logging
import threading
import time
import warnings
from typing import Any, Protocol, cast

from edge_detect import recipients
from edge_detect.errors import DependencyError, SinkError, words
from edge_detect.events import Event
from edge_detect.notices.filter import Filter
from edge_detect.scene import Scene

log = logging.getLogger(__name__)

LIMIT = 2.0  # seconds that switching a pin may take


class Pin(Protocol):
    """What is asked of `gpiozero.DigitalOutputDevice`."""

    def on(self) -> None:
        """Switches on."""

    def off(self) -> None:
        """Switches off."""

    def close(self) -> None:
        """Gives the pin back."""


class Gpio:
    """A sink that switches a pin, in a thread of its own.

    Attributes:
        name: In the log and the metrics.
        dropped: Events for which the pin could not be switched.
        wanted: Which events; may be exchanged.
    """

    name = "gpio"

    def __init__(self, settings: recipients.Gpio, wanted: Filter) -> None:
        """Takes the pin, which is off.

        Raises:
            DependencyError: gpiozero is not installed.
            SinkError: There is no such pin here, or it belongs to another program.
        """
        self.dropped = 0
        self._seconds, self.wanted = settings.seconds, wanted
        self._pin = _open(settings)
        self._number = settings.pin
        self._until, self._ended, self._failing = 0.0, False, False
        self._ready = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="gpio", daemon=True)
        self._thread.start()

    def write(self, scene: Scene) -> None:
        """Takes the events of a scene."""
        if scene.events:
            self.tell(scene.events)

    def tell(self, events: tuple[Event, ...]) -> None:
        """Takes events; never waits."""
        if any(event.type == "start" and self.wanted(event) for event in events):
            with self._ready:
                self._until = time.monotonic() + self._seconds
                self._ready.notify()

    def stop(self) -> None:
        """Takes no more events; returns at once."""
        with self._ready:
            self._ended = True
            self._ready.notify()

    def close(self) -> None:
        """Switches off and gives the pin back; safe to call twice."""
        self.stop()
        self._thread.join(LIMIT)

    def _run(self) -> None:
        try:
            while self._wait_for_event():
                if self._switch(on=True):
                    self._wait_for_end()
                    self._switch(on=False)
        finally:
            self._pin.close()

    def _wait_for_event(self) -> bool:
        """Whether one came, and not the end."""
        with self._ready:
            self._ready.wait_for(lambda: self._ended or self._until)
            return not self._ended

    def _wait_for_end(self) -> None:
        with self._ready:
            while not self._ended and (left := self._until - time.monotonic()) > 0:
                self._ready.wait(left)
            self._until = 0.0

    def _switch(self, *, on: bool) -> bool:
        try:
            self._pin.on() if on else self._pin.off()
        except Exception as error:  # noqa: BLE001 each driver has its own
            self.dropped += 1
            self._until = 0.0
            if not self._failing:
                log.error("gpio: pin %d: cannot be switched: %s", self._number, words(error))
            self._failing = True
            return False
        self._failing = False
        return True


def _open(settings: recipients.Gpio) -> Pin:
    try:
        gpiozero: Any = importlib.import_module("gpiozero")
    except ImportError as error:
        fix = "sudo apt install python3-gpiozero python3-lgpio, or pip install 'edge_detect[gpio]'"
        raise DependencyError(f"gpio.pin needs gpiozero: {fix}") from error
    where = f"gpio: pin {settings.pin}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one for each driver that it tries
            made = gpiozero.DigitalOutputDevice(settings.pin, active_high=settings.active_high)
    except gpiozero.BadPinFactory as error:
        fix = "sudo apt install python3-lgpio, and a user in the group gpio"
        raise SinkError(f"{where}: no GPIO that works on this machine: {fix}") from error
    except Exception as error:  # a driver raises anything
        raise SinkError(f"{where}: cannot be used: {words(error)}") from error
    return cast(Pin, made)
