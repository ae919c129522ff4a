from __future__ import annotations

import json
from typing import Any

import pytest

from edge_detect.notices import discovery
from edge_detect.notices.topics import topics

TOPICS = topics("porch", ["person", "Traffic Light"], ["front door"])
AREAS = [("front door", "person")]
NEEDED = {
    "binary_sensor": {"state_topic"},
    "sensor": {"state_topic"},
    "image": {"image_topic", "content_type"},
    "number": {"command_topic", "state_topic", "min", "max", "step"},
    "switch": {"command_topic", "state_topic"},
}
"""Keys without which Home Assistant refuses a component of a platform, or cannot use it."""


def message(**settings: Any) -> dict[str, Any]:
    return discovery.message(TOPICS, AREAS, **({"snapshots": True, "model": "detector.tflite"} | settings))


def test_the_message_stands_where_home_assistant_looks() -> None:
    assert discovery.topic("homeassistant", TOPICS) == "homeassistant/device/edge_detect_porch/config"


def test_the_message_has_what_home_assistant_asks_for() -> None:
    told = json.loads(json.dumps(message()))

    assert set(told) == {"device", "origin", "availability", "components"}
    assert told["device"]["identifiers"] == ["edge_detect_porch"]
    assert told["origin"]["name"] == "edge_detect"
    assert told["availability"] == [{"topic": "edge_detect/porch/availability"}]
    for name, one in told["components"].items():
        assert one["unique_id"] == f"edge_detect_porch_{name}"
        assert set(one) > NEEDED[one["platform"]] | {"name"}, name


def test_there_is_a_component_for_each_thing_to_see_and_to_change() -> None:
    assert set(message()["components"]) == {
        "camera", "confidence", "fps", "paused", "temperature", "undervoltage",
        "label_person_count", "label_person_occupancy", "label_person_snapshot",
        "label_traffic_light_count", "label_traffic_light_occupancy", "label_traffic_light_snapshot",
        "zone_front_door_person_count",
    }  # fmt: skip


def test_every_state_is_one_that_we_send() -> None:
    found = {
        key: one[key] for one in message()["components"].values() for key in one if key.endswith("_topic")
    }

    assert all(topic.startswith("edge_detect/porch/") for topic in found.values())
    assert message()["components"]["zone_front_door_person_count"]["state_topic"] == TOPICS.count_in(
        "front door", "person"
    )


def test_what_was_not_asked_for_is_not_there() -> None:
    names = set(message(snapshots=False, commands=False)["components"])

    assert not names & {"paused", "confidence"}
    assert not any(name.endswith("_snapshot") for name in names)


def test_a_figure_becomes_unknown_when_it_is_old_and_a_presence_does_not() -> None:
    found = message()["components"]

    assert found["fps"]["expire_after"] == 100
    assert "expire_after" not in found["label_person_occupancy"]


def test_a_name_is_one_that_a_screen_can_show() -> None:
    told = discovery.message(topics("porch", ["a\0b\x1b[2J", "\n"]))
    names = [one["name"] for one in told["components"].values()]

    assert all(name.isprintable() and name.strip() for name in names)


@pytest.mark.filterwarnings("default")  # of what Home Assistant imports
def test_home_assistant_takes_the_message_and_each_of_its_components() -> None:
    """Needs the package homeassistant (2024.11 or newer), in an environment of its own."""
    pytest.importorskip("homeassistant", reason="needs homeassistant, which has an environment of its own")
    from importlib import import_module

    schemas = import_module("homeassistant.components.mqtt.schemas")
    told = json.loads(json.dumps(message()))

    schemas.MQTT_ORIGIN_INFO_SCHEMA(told["origin"])
    import_module("homeassistant.components.mqtt.discovery").DEVICE_DISCOVERY_SCHEMA(
        {"origin": told["origin"], "device": told["device"], "availability": told["availability"],
         "components": told["components"]}
    )  # fmt: skip
    for name, one in told["components"].items():
        platform = import_module(f"homeassistant.components.mqtt.{one['platform']}")
        platform.DISCOVERY_SCHEMA(
            {key: value for key, value in one.items() if key != "platform"}
            | {"device": told["device"], "availability": told["availability"]}
        )
        assert name


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("missing", ["device", "origin", "components"])
def test_home_assistant_refuses_a_message_without_one_of_its_parts(missing: str) -> None:
    pytest.importorskip("homeassistant", reason="needs homeassistant, which has an environment of its own")
    from homeassistant.components.mqtt.discovery import DEVICE_DISCOVERY_SCHEMA
    from voluptuous import Invalid

    told = message()
    del told[missing]
    with pytest.raises(Invalid):
        DEVICE_DISCOVERY_SCHEMA(told)
