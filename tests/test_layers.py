from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_detect import config, layers, schema
from edge_detect.errors import ConfigError, InputMissing, SettingsError


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def machine(home: Path, text: str) -> Path:
    return write(home / "etc/config.toml", text)


def user(home: Path, text: str) -> Path:
    return write(home / "user/edge-detect/config.toml", text)


def mistakes(path: Path | None = None, flags: dict[str, Any] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        layers.read(str(path) if path else None, flags)
    return str(caught.value).splitlines()


def test_nothing_said_anywhere_is_the_defaults(home: Path) -> None:
    settings = layers.read()

    assert settings.config == config.Config()
    assert settings.documents == ()
    assert {settings.origin(one.key) for one in schema.settings()} == {"default"}


def test_each_layer_wins_over_those_before_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = [f"every = {n}" for n in range(1, 4)]
    first = machine(home, f"[log]\n{every[0]}\nstats = 'm'\n[model]\nthreads = 1\npath = 'm'\nlabels = 'm'\n")
    second = user(home, f"[log]\n{every[1]}\n[model]\nthreads = 2\npath = 'u'\nlabels = 'u'\n")
    third = write(home / "own.toml", f"[log]\n{every[2]}\n[model]\nthreads = 3\npath = 'o'\n")
    monkeypatch.setenv("EDGE_DETECT_LOG__EVERY", "4")
    monkeypatch.setenv("EDGE_DETECT_MODEL__THREADS", "4")

    settings = layers.read(str(third), {"log.every": 5.0})

    places = {key: settings.origin(key) for key in ("log.stats", "model.labels", "model.path")}
    places |= {key: settings.origin(key) for key in ("model.threads", "log.every", "model.fit")}
    assert settings.config.log == config.Log(5.0, "m")
    assert settings.config.model == config.Model("o", "u", 4)
    assert [document.path for document in settings.documents] == [first, second, third]
    assert places == {
        "log.stats": f"{first}:3",
        "model.labels": f"{second}:6",
        "model.path": f"{third}:5",
        "model.threads": "EDGE_DETECT_MODEL__THREADS",
        "log.every": "--log-every",
        "model.fit": "default",
    }


def test_a_file_that_is_named_and_known_counts_once_and_last(home: Path) -> None:
    first, second = machine(home, "[log]\nevery = 1\n"), user(home, "[log]\nevery = 2\n")

    settings = layers.read(str(first))

    assert [document.path for document in settings.documents] == [second, first]
    assert settings.config.log.every == 1


def test_a_named_file_that_is_not_there_is_told(home: Path) -> None:
    with pytest.raises(InputMissing) as caught:
        layers.read("no.toml")
    assert str(caught.value) == ("--config no.toml: no such file; edge-detect config init no.toml writes one")


def test_a_named_file_that_cannot_be_reached_is_told(home: Path) -> None:
    with pytest.raises(InputMissing) as caught:
        layers.read("x" * 300)
    assert str(caught.value) == f"--config {'x' * 300}: cannot read: File name too long"


def test_all_mistakes_of_all_layers_are_told_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = machine(home, "[log]\nevery = -1\nformat = 'xml'\n")
    second = user(home, "[log]\nevery =\n")
    monkeypatch.setenv("EDGE_DETECT_LOG__EVERY", "soon")

    assert mistakes(write(home / "own.toml", "[logs]\n")) == [
        f"{first}:2: log.every = -1: expected a number of seconds from 0 to 1000000",
        f'{first}:3: log.format = "xml": expected one of "text", "json"',
        f"{second}:2: invalid value (column 8)",
        f"{home}/own.toml:1: logs: unknown section, did you mean 'log'?",
        'EDGE_DETECT_LOG__EVERY: log.every = "soon": expected a number of seconds from 0 to 1000000',
    ]


def test_blame_tells_where_a_value_that_cannot_be_was_written(home: Path) -> None:
    path = write(home / "own.toml", "[detect]\nclasses = ['persn']\n")
    settings = layers.read(str(path))

    with pytest.raises(SettingsError) as caught, settings.blame("detect.classes"):
        raise ConfigError("unknown class 'persn'")
    assert str(caught.value) == f"{path}:2: detect.classes = [\"persn\"]: unknown class 'persn'"


def test_blame_leaves_the_word_to_a_flag(home: Path) -> None:
    settings = layers.read(None, {"detect.classes": ("persn",)})

    with pytest.raises(ConfigError) as caught, settings.blame("detect.classes"):
        raise ConfigError("--classes: unknown class 'persn'")
    assert (type(caught.value), str(caught.value)) == (ConfigError, "--classes: unknown class 'persn'")


def test_what_flags_have_set_is_known_by_section(home: Path) -> None:
    settings = layers.read(None, {"detect.classes": ("a",), "log.every": 1.0})

    assert settings.fixed("detect") == {"classes"}
    assert layers.Settings(config.Config()).fixed("detect") == set()
