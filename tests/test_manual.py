from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from edge_detect import config, layers, manual, schema

SETTLED = re.compile(r"^# (\w+ = )", re.MULTILINE)


def test_the_commented_file_says_nothing(home: Path) -> None:
    (home / "own.toml").write_text(manual.template())

    settings = layers.read(str(home / "own.toml"))

    assert settings.config == config.Config()
    assert settings.origin("log.every") == "default"


def test_the_commented_file_holds_every_setting_with_its_default(home: Path) -> None:
    (home / "own.toml").write_text(SETTLED.sub(r"\1", manual.template()))

    settings = layers.read(str(home / "own.toml"))

    assert settings.config == config.Config()
    assert {settings.origin(one.key).partition(":")[0] for one in schema.settings()} == {
        str(home / "own.toml")
    }


@pytest.mark.parametrize("setting", schema.settings(), ids=lambda setting: setting.key)
def test_the_meaning_of_a_setting_stands_above_it(setting: schema.Setting) -> None:
    lines = manual.template().splitlines()
    at = lines.index(f"# {setting.name} = {schema.write(setting.default)}", lines.index(header(setting)))

    assert setting.help in lines[at - 1]
    assert ("live)" in lines[at - 1]) == (setting.reload == "hot")


def header(setting: schema.Setting) -> str:
    return next(line for line in manual.template().splitlines() if line.startswith(f"[{setting.section}]"))


def test_no_line_is_too_long_for_a_screen() -> None:
    assert [line for line in manual.template().splitlines() if len(line) > 120] == []


def faults(text: str) -> list[str]:
    """What the JSON Schema finds in a settings file."""
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(json.dumps(manual.json_schema()))
    jsonschema.Draft202012Validator.check_schema(schema)
    found = jsonschema.Draft202012Validator(schema).iter_errors(tomllib.loads(text))
    return sorted(".".join(map(str, one.absolute_path)) for one in found)


def test_the_schema_takes_the_commented_file_and_all_defaults() -> None:
    assert faults(manual.template()) == []
    assert faults(SETTLED.sub(r"\1", manual.template())) == []


@pytest.mark.parametrize(
    "text, place",
    [
        ("[detect]\nconfidence = 1.7", "detect.confidence"),
        ("[detect]\nconfidence = 'x'", "detect.confidence"),
        ("[detect]\nclasses = 'x'", "detect.classes"),
        ("[detect]\nclasses = [1]", "detect.classes.0"),
        ("[model]\nthreads = 1.5", "model.threads"),
        ("[model]\nfit = 'crop'", "model.fit"),
        ("[output]\njson = 1", "output.json"),
        ("[web]\nlisten = 'a b'", "web.listen"),
        ("[web]\nviewers = 0", "web.viewers"),
        ("[log]\nevry = 1", "log"),
        ("[[zones]]\npoints = [[0, 2]]", "zones.0.points.0.1"),
        ("[[zones]]\npoints = [[0]]", "zones.0.points.0"),
        ("[[zones]]\nkind = 'room'", "zones.0.kind"),
        ("[[zones]]\n[[zones]]\nnmae = 'x'", "zones.1"),
        ("[zones]\nname = 'x'", "zones"),
        ("[lock]\n", ""),
    ],
)
def test_the_schema_finds_what_the_check_finds(home: Path, text: str, place: str) -> None:
    (home / "own.toml").write_text(text)

    assert faults(text) == [place]
    with pytest.raises(ValueError, match=f"^{home}/own.toml:"):
        layers.read(str(home / "own.toml"))


def test_every_setting_has_a_type_a_default_and_a_meaning_in_the_schema() -> None:
    sections: dict[str, Any] = manual.json_schema()["properties"]

    tables = {name: section.get("items", section) for name, section in sections.items()}
    found = [f"{name}.{key}" for name, section in tables.items() for key in section["properties"]]
    columns = [one.key for array in schema.arrays() for one in schema.columns(array)]
    assert found == [one.key for one in schema.settings()] + columns
    for section in tables.values():
        assert all({"type", "default", "description"} <= one.keys() for one in section["properties"].values())
