"""Desk: opens the notices that the settings ask for, and hands every event to all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import Any, Protocol

from edge_detect import config, events, places
from edge_detect.controls import Controls
from edge_detect.facts import Facts
from edge_detect.heartbeats import Heartbeats
from edge_detect.layers import Settings
from edge_detect.lazy import load
from edge_detect.notices.courier import Courier
from edge_detect.notices.filter import Filter, check
from edge_detect.scene import Scene

TYPES = ("start", "update", "end")
_DELIVERIES = {"webhook": "edge_detect.notices.webhook:Post", "exec": "edge_detect.notices.command:Command"}


class Notice(Protocol):
    """A sink of events that has a thread of its own.

    Attributes:
        wanted: Which events; may be exchanged.
    """

    wanted: Filter

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

    def prepare(self, old: config.Config, new: config.Config) -> Callable[[], None]:
        """Reads what has changed of what each is told, and how; returns what makes it so.

        What waits for a notice, or is on its way, stays there.

        Raises:
            ConfigError: One that cannot be; all stay as they are.
        """
        chosen = {one: getattr(new, one.name) for one in self.all}
        changed = [one for one in self.all if chosen[one] != getattr(old, one.name)]
        couriers = [one for one in changed if isinstance(one, Courier)]
        deliveries = [load(_DELIVERIES[one.name])(chosen[one]) for one in couriers]

        def exchange() -> None:
            for one in changed:
                one.wanted = wanted_by(chosen[one])
            for courier, deliver in zip(couriers, deliveries, strict=True):
                courier.deliver = deliver

        return exchange

    def close(self) -> None:
        """Ends all of them at the same time; safe to call twice."""
        for one in self.all:
            one.stop()
        with ExitStack() as stack:
            for one in self.all:
                stack.callback(one.close)


def open_notices(settings: Settings, controls: Controls, facts: Facts, heartbeats: Heartbeats) -> Notices:
    """Opens those that the settings ask for; all of them, or none.

    Args:
        settings: Which, and of what they tell.
        controls: What the broker's clients may change.
        facts: Of the run.
        heartbeats: Learn that threads move.

    Raises:
        ConfigError: A setting that cannot be.
        DependencyError: A package is not installed.
        SinkError: A pin that cannot be had.
    """
    chosen = settings.config
    for key, check_it in checks(chosen, controls.labels.names).items():
        with settings.blame(key):
            check_it()
    openers: dict[str, Callable[[Filter], Notice]] = {
        "mqtt": lambda wanted: _open_mqtt(chosen, wanted, controls, facts, heartbeats),
        "webhook": lambda wanted: load("edge_detect.notices.webhook:open_webhook")(chosen.webhook, wanted),
        "exec": lambda wanted: load("edge_detect.notices.command:open_command")(chosen.exec, wanted),
        "gpio": lambda wanted: load("edge_detect.notices.gpio:Gpio")(chosen.gpio, wanted),
    }
    opened: list[Notice] = []
    with ExitStack() as undo:
        for section, name in config.notices(chosen).items():
            with settings.blame(f"{section}.{name}"):
                one = openers[section](wanted_by(getattr(chosen, section)))
            opened.append(undo.enter_context(closing(one)))
        undo.pop_all()
    return Notices(opened)


def checks(chosen: config.Config, labels: Sequence[str] | None = None) -> dict[str, Callable[[], object]]:
    """What can be checked of the sections that ask for a notice, by the key of the setting.

    Args:
        chosen: The settings.
        labels: Names of the classes; None where the model is not known yet.
    """
    known = {"kinds": events.KINDS, "types": TYPES, "zones": [zone.name for zone in chosen.zones]}
    if labels is not None:
        known["labels"] = labels
    found: dict[str, Callable[[], object]] = {}
    for section in config.notices(chosen):
        for name, names in known.items():
            given = getattr(getattr(chosen, section), name, ())
            found[f"{section}.{name}"] = partial(check, given, names, name[:-1])
    if chosen.webhook.url:
        checked = load("edge_detect.notices.webhook:checked")
        found["webhook.url"] = partial(checked, chosen.webhook.url, allow_http=chosen.webhook.allow_http)
    if chosen.exec.command:
        found["exec.command"] = partial(load("edge_detect.notices.command:Command"), chosen.exec)
    return found


def wanted_by(section: Any) -> Filter:
    """The events that a section of the settings asks for."""
    return Filter(section.kinds, getattr(section, "types", ("start",)), section.labels, section.zones)


def _open_mqtt(
    chosen: config.Config, wanted: Filter, controls: Controls, facts: Facts, heartbeats: Heartbeats
) -> Notice:
    from edge_detect.notices import topics
    from edge_detect.notices.mqtt import Mqtt, Surroundings

    labels = chosen.mqtt.labels or chosen.detect.classes or controls.labels.names
    zones = [zone for zone in chosen.zones if zone.kind == "zone"]
    areas = [(zone.name, label) for zone in zones for label in zone.classes or labels if label in labels]
    ours = topics.topics(chosen.mqtt.node, labels, [zone.name for zone in zones])
    around = Surroundings(controls, facts, ours, tuple(areas), places.state_folder())
    return Mqtt(chosen.mqtt, wanted, around, heartbeats)
