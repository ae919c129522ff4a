from __future__ import annotations

from dataclasses import replace

from edge_detect import config, recipients
from edge_detect.config import Config


def test_a_change_leaves_the_rest() -> None:
    changed = config.change(Config(), {"detect.confidence": 0.5, "detect.classes": ("a",), "log.every": 0.0})

    assert changed == replace(
        Config(), detect=config.Detect(0.5, ("a",)), log=replace(Config().log, every=0.0)
    )  # fmt: skip


def test_no_change_is_the_same() -> None:
    assert config.change(Config(), {}) == Config()


def test_who_is_told_of_events_is_known_by_what_names_them() -> None:
    told = replace(
        Config(), gpio=recipients.Gpio(pin=0), webhook=recipients.Webhook(url="https://home.example/")
    )

    assert config.notices(Config()) == {}
    assert config.notices(told) == {"webhook": "url", "gpio": "pin"}
