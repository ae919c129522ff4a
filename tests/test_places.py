from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_detect import places

NAMES = ("CONFIGURATION_DIRECTORY", "XDG_CONFIG_HOME", "STATE_DIRECTORY", "XDG_STATE_HOME")


@pytest.mark.parametrize(
    "given, expected",
    [
        (
            {},
            [
                "/etc/edge-detect/config.toml",
                "/me/.config/edge-detect/config.toml",
                "/me/.local/state/edge-detect",
            ],
        ),
        (
            {"XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s"},
            ["/etc/edge-detect/config.toml", "/c/edge-detect/config.toml", "/s/edge-detect"],
        ),
        (
            {"CONFIGURATION_DIRECTORY": "/x/y:/z", "STATE_DIRECTORY": "/v/w:/z", "XDG_STATE_HOME": "/s"},
            ["/x/y/config.toml", "/me/.config/edge-detect/config.toml", "/v/w"],
        ),
        (
            {
                "CONFIGURATION_DIRECTORY": "",
                "XDG_CONFIG_HOME": "",
                "STATE_DIRECTORY": "",
                "XDG_STATE_HOME": "",
            },
            [
                "/etc/edge-detect/config.toml",
                "/me/.config/edge-detect/config.toml",
                "/me/.local/state/edge-detect",
            ],
        ),
    ],
    ids=["plain", "xdg", "systemd", "empty"],
)
def test_systemd_and_the_desktop_say_where_things_are(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], expected: list[str]
) -> None:
    monkeypatch.setenv("HOME", "/me")
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    found = places.machine_file(), places.user_file(), places.state_folder()
    assert list(found) == [Path(place) for place in expected]


@pytest.mark.parametrize(
    "given, expected",
    [
        ({}, "/var/lib/edge-detect/models" if os.geteuid() == 0 else "/me/.local/share/edge-detect/models"),
        ({"XDG_DATA_HOME": "/d"}, "/d/edge-detect/models"),
        ({"XDG_DATA_HOME": "/d", "STATE_DIRECTORY": "/v/w:/z"}, "/v/w/models"),
    ],
    ids=["plain", "xdg", "systemd"],
)
def test_models_are_where_the_service_finds_them(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], expected: str
) -> None:
    monkeypatch.setenv("HOME", "/me")
    for name in ("STATE_DIRECTORY", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    assert places.models_folder() == Path(expected)
