from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_detect import schema
from edge_detect.config import Config
from edge_detect.schema import Setting

ALL = schema.settings()
STARTS = {"motion.gate", "tracker.enabled", "events.file"}
HOT_EVENTS = [
    one.key for one in ALL if one.section in ("motion", "tracker", "events") and one.key not in STARTS
]


@pytest.mark.parametrize("setting", ALL, ids=lambda setting: setting.key)
def test_every_setting_has_a_meaning_and_a_default_that_fits(setting: Setting) -> None:
    assert setting.help
    assert setting.default == setting.of(Config())
    assert type(setting.default) is setting.kind
    assert setting.fits(setting.default)


def test_what_changes_in_a_run_is_known() -> None:
    assert [one.key for one in ALL if one.reload == "hot"] == [
        "detect.confidence", "detect.classes", "output.outputs", "output.json", "output.snapshots", "log.every",
        *HOT_EVENTS,
        "mqtt.kinds", "mqtt.types", "mqtt.zones",
        "webhook.url", "webhook.allow_http", "webhook.secret_file",
        "webhook.kinds", "webhook.types", "webhook.labels", "webhook.zones",
        "exec.command", "exec.seconds", "exec.kinds", "exec.types", "exec.labels", "exec.zones",
        "gpio.kinds", "gpio.labels", "gpio.zones",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "key, right, wrong",
    [
        ("detect.confidence", [0.0, 1.0], [-0.01, 1.01, float("nan"), float("inf")]),
        ("model.threads", [0, 1024], [-1, 1025]),
        ("model.fit", ["letterbox", "stretch"], ["", "crop"]),
        ("web.fps", [0.1, 60.0], [0.0, 61.0]),
        (
            "mqtt.host",
            ["", "broker.local", "core-mosquitto", "my_broker", "192.0.2.1", "::1", "fe80::1%eth0"],
            ["mqtt://broker", "broker:1883", "a b", "[::1]", "broker/x"],
        ),
        (
            "web.listen",
            ["", "127.0.0.1:8080", "[::1]:80", "pi.local:0", "localhost", ":8080", "8080"],
            ["everywhere!", "a:b", "1.2.3.4:", "::1:80", "a b:80", "h:123456", "h:80\n"],
        ),
    ],
)
def test_ranges_choices_and_forms_hold(key: str, right: list[Any], wrong: list[Any]) -> None:
    assert [value for value in right if not schema.find(key).fits(value)] == []
    assert [value for value in wrong if schema.find(key).fits(value)] == []


@pytest.mark.parametrize(
    "key, words",
    [
        ("detect.confidence", "a number from 0 to 1"),
        ("source.give_up", "a number of seconds from 0 to 1000000"),
        ("model.threads", "a whole number from 0 to 1024"),
        ("model.fit", 'one of "letterbox", "stretch"'),
        ("web.listen", "HOST:PORT, such as 127.0.0.1:8080"),
        ("detect.classes", "a list of texts"),
        ("output.json", "true or false"),
        ("model.path", "a text"),
    ],
)
def test_what_is_expected_is_said_in_words(key: str, words: str) -> None:
    assert schema.find(key).expected == words


VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_a_written_value_is_read_by_toml(value: Any) -> None:
    assert tomllib.loads(f"x = {schema.write(value)}")["x"] == value
