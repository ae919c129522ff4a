"""Desk: opens the notices that the settings ask for, and hands every event to all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any, Protocol

from edge_detect import config, events, places
from edge_detect.controls import Controls
from edge_detect.heartbeats import Heartbeats
from edge_detect.layers import Settings
from edge_detect.lazy import load
from edge_detect.notices.filter import Filter, check
from edge_detect.scene import Scene
from edge_detect.web.facts import Facts

TYPES = ("start", "update", "end")
KEYS = {"mqtt": "host", "webhook": "url", "exec": "command", "gpio": "pin"}
"""Section of the settings to the one that asks for a notice."""


class Notice(Protocol):
    """A sink of events that has a thread of its own."""

    @property
    def name(self) -> str:
        """In the log and the metrics."""

    @property
    def dropped(self) -> int:
        """Events that were wanted and did not arrive."""

    def write(self, scene: Scene) -> None:
        """Takes a scene; never waits."""

    def tell(self, events: tuple[events.Event, ...]) -> None:
        """Takes events without a frame; never waits."""

    def stop(self) -> None:
        """Begins to end; returns at once."""

    def close(self) -> None:
        """Ends; safe to call twice."""


class Notices:
    """One sink that hands everything to each notice.

    Attributes:
        all: The notices.
    """

    def __init__(self, all: Sequence[Notice] = ()) -> None:
        self.all = tuple(all)

    def write(self, scene: Scene) -> None:
        """Hands on a scene."""
        for one in self.all:
            one.write(scene)

    def tell(self, events: tuple[events.Event, ...]) -> None:
        """Hands on events without a frame."""
        for one in self.all:
            one.tell(events)

    def close(self) -> None:
        """Ends all of them at the same time; safe to call twice."""
        for one in self.all:
            one.stop()
        with ExitStack() as stack:
            for one in self.all:
                stack.callback(one.close)


def open_notices(
    settings: Settings,
    controls: Controls,
    facts: Facts,
    heartbeats: Heartbeats,
    zones: Mapping[str, Sequence[str]] | None = None,
) -> Notices:
    """Opens those that the settings ask for; all of them, or none.

    Args:
        settings: Which, and of what they tell.
        controls: What the broker's clients may change.
        facts: Of the run.
        heartbeats: Learn that threads move.
        zones: Name of each zone to its classes; none for all.

    Raises:
        ConfigError: A setting that cannot be.
        DependencyError: A package is not installed.
        SinkError: A pin that cannot be had.
    """
    chosen, zones = settings.config, zones or {}
    examine(settings, controls.labels.names, zones)
    openers: dict[str, Callable[[Filter], Notice]] = {
        "mqtt": lambda wanted: _open_mqtt(chosen, wanted, controls, facts, heartbeats, zones),
        "webhook": lambda wanted: load("edge_detect.notices.webhook:open_webhook")(chosen.webhook, wanted),
        "exec": lambda wanted: load("edge_detect.notices.command:open_command")(chosen.exec, wanted),
        "gpio": lambda wanted: load("edge_detect.notices.gpio:Gpio")(chosen.gpio, wanted),
    }
    opened: list[Notice] = []
    with ExitStack() as undo:
        for section in asked(chosen):
            with settings.blame(f"{section}.{KEYS[section]}"):
                one = openers[section](wanted_by(getattr(chosen, section)))
            opened.append(undo.enter_context(closing(one)))
        undo.pop_all()
    return Notices(opened)


def asked(chosen: config.Config) -> Iterator[str]:
    """The sections that ask for a notice."""
    nothing = config.Config()
    for section, key in KEYS.items():
        if getattr(getattr(chosen, section), key) != getattr(getattr(nothing, section), key):
            yield section


def wanted_by(section: Any) -> Filter:
    """The events that a section of the settings asks for."""
    return Filter(section.kinds, getattr(section, "types", ("start",)), section.labels, section.zones)


def examine(settings: Settings, labels: Sequence[str], zones: Mapping[str, Sequence[str]]) -> None:
    """Checks the names in the sections that ask for a notice.

    Raises:
        ConfigError: One that is not known.
    """
    known = {"kinds": events.KINDS, "types": TYPES, "labels": labels, "zones": tuple(zones)}
    for section in asked(settings.config):
        for key, names in known.items():
            with settings.blame(f"{section}.{key}"):
                check(getattr(getattr(settings.config, section), key, ()), names, key[:-1])


def _open_mqtt(
    chosen: config.Config,
    wanted: Filter,
    controls: Controls,
    facts: Facts,
    heartbeats: Heartbeats,
    zones: Mapping[str, Sequence[str]],
) -> Notice:
    from edge_detect.notices import topics
    from edge_detect.notices.mqtt import Mqtt, Surroundings

    labels = chosen.mqtt.labels or chosen.detect.classes or controls.labels.names
    areas = [(zone, label) for zone, only in zones.items() for label in only or labels if label in labels]
    around = Surroundings(
        controls,
        facts,
        topics.topics(chosen.mqtt.node, labels, zones),
        tuple(areas),
        places.state_folder(),
    )
    return Mqtt(chosen.mqtt, wanted, around, heartbeats)
