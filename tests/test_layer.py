from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st
from test_layers import mistakes, write

from edge_detect import config, layers
from edge_detect.errors import SettingsError

MISTAKES = {
    "[detect]\nconfidence = 1.7": "2: detect.confidence = 1.7: expected a number from 0 to 1",
    "[detect]\n\nconfidence = true": "3: detect.confidence = true: expected a number from 0 to 1",
    "[detect]\nconfidence = nan": "2: detect.confidence = nan: expected a number from 0 to 1",
    "detect.confidence = 'high'": '1: detect.confidence = "high": expected a number from 0 to 1',
    "[model]\nthreads = 2.0": "2: model.threads = 2.0: expected a whole number from 0 to 1024",
    "[model]\nthreads = true": "2: model.threads = true: expected a whole number from 0 to 1024",
    "[model]\nfit = 'crop'": '2: model.fit = "crop": expected one of "letterbox", "stretch"',
    "[model]\npath = 7": "2: model.path = 7: expected a text",
    "[output]\njson = 'yes'": '2: output.json = "yes": expected true or false',
    "[output]\njson = 1": "2: output.json = 1: expected true or false",
    "[detect]\nclasses = 'person'": '2: detect.classes = "person": expected a list of texts',
    "[detect]\nclasses = ['a',\n 1]": '2: detect.classes = ["a", 1]: expected a list of texts',
    "[web]\nlisten = 'here!'": '2: web.listen = "here!": expected HOST:PORT, such as 127.0.0.1:8080',
    "[log]\nevery = 07:32:00": "2: log.every = 07:32:00: expected a number of seconds from 0 to 1000000",
    "[log]\nevery = {a = 1}": '2: log.every = {"a" = 1}: expected a number of seconds from 0 to 1000000',
    "[log.every]\na = 1": '1: log.every = {"a" = 1}: expected a number of seconds from 0 to 1000000',
    "[detect]\nconfidense = 1": "2: detect.confidense: unknown setting, did you mean 'confidence'?",
    "[detect]\nuri = 'x'": "2: detect.uri: unknown setting, expected under [source]",
    "[detect]\nzz = 1": "2: detect.zz: unknown setting, expected one of: classes, confidence",
    "[web]\ntoken = 'abc'": "2: web.token: unknown setting, did you mean 'token_file'?",
    "[detekt]\nx = 1": "1: detekt: unknown section, did you mean 'detect'?",
    "[[detect]]\nx = 1": '1: detect = [{"x" = 1}]: expected [detect], a section',
    "detect = 3": "1: detect = 3: expected [detect], a section",
    "source = 'rtsp://joe:secret@cam/'": '1: source = "rtsp://joe:***@cam/": expected [source], a section',
    "[[source]]\nuri = 'x?token=secret'": '1: source = [{"uri" = "x?token=***"}]: expected [source], a section',
    '[model]\npath = "a\\u0000b"': '2: model.path = "a\\u0000b": expected a text',
    '[exec]\ncommand = ["a\\u0000b"]': '2: exec.command = ["a\\u0000b"]: expected a list of texts',
    "confidence = 0.5": "1: confidence: unknown section, expected under [detect]",
    "'a b'.c = 1": "1: a b: unknown section, expected one of: "
    + ", ".join(sorted(field.name for field in fields(config.Config))),
    "[zones]\nname = 'x'": "1: zones: expected [[zones]], one for each",
    "zones = 3": "1: zones: expected [[zones]], one for each",
    "[[zone]]": "1: zone: unknown section, did you mean 'zones'?",
    "[[zones]]\n[[zones]]\nnmae = 'x'": "3: zones.nmae: unknown setting, did you mean 'name'?",
    "[[zones]]\nname = 3": "2: zones.name = 3: expected a text",
    "[[zones]]\npoints = [[0, 2]]": "2: zones.points = [[0, 2]]: expected such as [[0.1, 0.2], [0.9, 0.2]],"
    " x and y from 0 to 1",
    "[source]\nuri = 7": "2: source.uri = 7: expected a text",
    "[mqtt]\nhost = 'mqtt://pi'": '2: mqtt.host = "mqtt://pi": expected a name such as broker.local, or an address',
    "[log]\nevery = ": "2: invalid value",
    "[log]\nevery = 1\nevery = 2": "3: cannot overwrite a value",
    "[log": "1: expected ']' at the end of a table declaration",
    "a = '\0'": "1: found invalid character '\\x00' (column 6)",
}


@pytest.mark.parametrize("text", MISTAKES, ids=lambda text: MISTAKES[text].partition(": ")[2][:40])
def test_a_mistake_is_told_with_its_line(home: Path, text: str) -> None:
    path = write(home / "own.toml", text)

    assert mistakes(path) == [f"{path}:{MISTAKES[text]}"]


def test_bytes_that_are_no_text_are_told_with_their_line(home: Path) -> None:
    path = home / "own.toml"
    path.write_bytes(b"[log]\n# \xe4\n")

    assert mistakes(path) == [f"{path}:2: expected UTF-8 text, got byte 0xe4"]


def test_a_file_that_cannot_be_read_is_told(home: Path) -> None:
    (home / "own.toml").mkdir()

    assert mistakes(home / "own.toml") == [f"{home}/own.toml: cannot read: Is a directory"]


@pytest.mark.parametrize("text", ["x = " + "[" * 5000, "x = " + "[" * 5000 + "]" * 5000])
def test_a_file_that_is_nested_without_end_is_one_mistake(home: Path, text: str) -> None:
    path = write(home / "own.toml", text)

    (told,) = mistakes(path)
    assert told.startswith(f"{path}:1: ")


@pytest.mark.parametrize(
    "name, text, value",
    [
        ("DETECT__CONFIDENCE", "0.5", 0.5),
        ("DETECT__CONFIDENCE", "1", 1.0),
        ("MODEL__THREADS", "3", 3),
        ("OUTPUT__JSON", "yes", True),
        ("OUTPUT__JSON", "0", False),
        ("DETECT__CLASSES", "person, traffic light,person", ("person", "traffic light")),
        ("DETECT__CLASSES", "", ()),
        ("SOURCE__URI", "rtsp://a:b@c", "rtsp://a:b@c"),
    ],
)
def test_a_variable_sets_a_value_of_its_type(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    monkeypatch.setenv(f"EDGE_DETECT_{name}", text)

    settings = layers.read()

    section, key = name.lower().split("__")
    found = getattr(getattr(settings.config, section), key)
    assert (found, type(found)) == (value, type(value))
    assert settings.origin(f"{section}.{key}") == f"EDGE_DETECT_{name}"


@pytest.mark.parametrize(
    "name, text, said",
    [
        ("DETECT__CONFIDENCE", "x", 'detect.confidence = "x": expected a number from 0 to 1'),
        ("DETECT__CONFIDENCE", "1e9", 'detect.confidence = "1e9": expected a number from 0 to 1'),
        ("MODEL__THREADS", "1.5", 'model.threads = "1.5": expected a whole number from 0 to 1024'),
        ("OUTPUT__JSON", "maybe", 'output.json = "maybe": expected true or false'),
        ("MODEL__FIT", "", 'model.fit = "": expected one of "letterbox", "stretch"'),
        ("MODEL__FITT", "x", "model.fitt: unknown setting, did you mean 'fit'?"),
        ("MODLE__FIT", "x", "modle: unknown section, did you mean 'model'?"),
        ("DETECT__URI", "x", "detect.uri: unknown setting, expected under [source]"),
        ("ZONES__NAME", "x", "zones: expected [[zones]] in a settings file"),
    ],
)
def test_a_wrong_variable_is_told_by_its_name(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, said: str
) -> None:
    monkeypatch.setenv(f"EDGE_DETECT_{name}", text)

    assert mistakes() == [f"EDGE_DETECT_{name}: {said}"]


def test_variables_of_others_are_left_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EDGE_DETECT_DEBUG", "EDGE_DETECT_CONFIDENCE", "EDGE__DETECT", "MY_EDGE_DETECT_LOG__EVERY"):
        monkeypatch.setenv(name, "x")

    assert layers.read().config == config.Config()


def test_a_password_in_a_wrong_value_is_not_told(home: Path) -> None:
    path = write(home / "own.toml", "[source]\nuri = ['rtsp://joe:secret@cam/', 'x?token=secret']\n")

    assert mistakes(path) == [
        f'{path}:2: source.uri = ["rtsp://joe:***@cam/", "x?token=***"]: expected a text'
    ]


@how(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text())
def test_any_text_is_settings_or_mistakes_with_its_name(home: Path, text: str) -> None:
    path = home / "own.toml"
    path.write_text(text, "utf-8", errors="replace")

    try:
        layers.read(str(path), strict=True)
    except SettingsError as error:
        assert all(line.startswith(f"{path}:") for line in str(error).split("\n"))
