"""Discovery: how Home Assistant learns of the machine, in one message.

Source: Home Assistant, MQTT integration, "device discovery".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edge_detect import __version__
from edge_detect.notices.topics import Topics

STATS_EXPIRE = 100  # seconds after which a figure is unknown; three of the messages


def topic(prefix: str, topics: Topics) -> str:
    """Where the message goes."""
    return f"{prefix}/device/edge_detect_{topics.node}/config"


def status(prefix: str) -> str:
    """Where Home Assistant tells that it has started: `online`."""
    return f"{prefix}/status"


def message(
    topics: Topics,
    areas: Iterable[tuple[str, str]] = (),
    *,
    commands: bool = True,
    snapshots: bool = False,
    model: str = "",
) -> dict[str, Any]:
    """The message.

    Args:
        topics: Of the machine; each of its labels becomes a presence and a count.
        areas: Zone and label of each count of its own.
        commands: Whether there are a switch and a threshold.
        snapshots: Whether each label has a picture.
        model: For people.
    """
    own = f"edge_detect_{topics.node}"
    components = _stats(topics)
    for label in topics.labels:
        components |= _of_label(topics, label, snapshots=snapshots)
    for zone, label in areas:
        components |= _of_zone(topics, zone, label)
    if commands:
        components |= _controls(topics)
    return {
        "device": {
            "identifiers": [own],
            "name": f"edge_detect {topics.node}",
            "manufacturer": "edge_detect",
            "model": model or "edge_detect",
            "sw_version": __version__,
        },
        "origin": {"name": "edge_detect", "sw_version": __version__},
        "availability": [{"topic": topics.availability}],
        "components": {
            name: one | {"unique_id": f"{own}_{name}"} for name, one in sorted(components.items())
        },
    }


def _of_label(topics: Topics, label: str, *, snapshots: bool) -> dict[str, Any]:
    level, name = topics.labels[label], _shown(label)
    found: dict[str, Any] = {
        f"label_{level}_occupancy": {
            "platform": "binary_sensor",
            "name": name,
            "device_class": "occupancy",
            "state_topic": topics.state(label),
        },
        f"label_{level}_count": _counter(f"{name} count", topics.count(label)),
    }
    if snapshots:
        found[f"label_{level}_snapshot"] = {
            "platform": "image",
            "name": f"{name} snapshot",
            "image_topic": topics.snapshot(label),
            "content_type": "image/jpeg",
        }
    return found


def _of_zone(topics: Topics, zone: str, label: str) -> dict[str, Any]:
    name = f"{_shown(zone)} {_shown(label).lower()} count"
    key = f"zone_{topics.zones[zone]}_{topics.labels[label]}_count"
    return {key: _counter(name, topics.count_in(zone, label))}


def _counter(name: str, topic: str) -> dict[str, Any]:
    return {"platform": "sensor", "name": name, "state_topic": topic, "state_class": "measurement"}


def _stats(topics: Topics) -> dict[str, Any]:
    usual = {"state_topic": topics.stats, "entity_category": "diagnostic", "expire_after": STATS_EXPIRE}
    return {
        "fps": usual
        | {
            "platform": "sensor",
            "name": "Frames per second",
            "unit_of_measurement": "fps",
            "state_class": "measurement",
            "value_template": "{{ value_json.fps }}",
        },
        "temperature": usual
        | {
            "platform": "sensor",
            "name": "Processor temperature",
            "device_class": "temperature",
            "unit_of_measurement": "°C",
            "state_class": "measurement",
            "value_template": "{{ value_json.temperature }}",
        },
        "undervoltage": usual
        | {
            "platform": "binary_sensor",
            "name": "Under-voltage",
            "device_class": "problem",
            "value_template": "{{ value_json.undervoltage }}",
        },
        "camera": usual
        | {
            "platform": "binary_sensor",
            "name": "Camera",
            "device_class": "connectivity",
            "value_template": "{{ value_json.camera }}",
        },
    }


def _controls(topics: Topics) -> dict[str, Any]:
    return {
        "confidence": {
            "platform": "number",
            "name": "Confidence",
            "entity_category": "config",
            "state_topic": topics.control("confidence"),
            "command_topic": topics.command("confidence"),
            "min": 0,
            "max": 1,
            "step": 0.01,
            "mode": "slider",
        },
        "paused": {
            "platform": "switch",
            "name": "Paused",
            "state_topic": topics.control("paused"),
            "command_topic": topics.command("paused"),
        },
    }


def _shown(text: str) -> str:
    """A name for people, without what a screen cannot show."""
    kept = "".join(c if c.isprintable() else " " for c in text).strip()[:64] or "?"
    return kept[:1].upper() + kept[1:]
