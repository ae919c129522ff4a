"""Manual: the commented settings file and the JSON Schema, made from the dataclasses of `config`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from edge_detect import schema
from edge_detect.schema import Setting

HEAD = """\
# Settings of edge-detect. A line without its # counts; what is not here has its default.
# edge-detect config check tells all mistakes, edge-detect config show --origin what holds and why.
# Reading it again (SIGHUP, systemctl reload edge-detect) changes what is marked (live).
"""
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", tuple: "array"}


def template() -> str:
    """A settings file in which every setting stands as a comment, with its default."""
    parts = [HEAD]
    for section, cls in schema.sections().items():
        parts.append(f"\n[{section}]  # {_sentence(cls)}\n")
        for one in schema.settings():
            if one.section == section:
                parts.append(f"\n# {describe(one)}\n# {one.name} = {schema.write(one.default)}\n")
    for array, cls in schema.arrays().items():
        parts.append(f"\n# [[{array}]]  # {_sentence(cls)} (as many as you like; live)\n")
        for one in schema.columns(array):
            parts.append(f"#   # {describe(one)}\n#   {one.name} = {schema.write(one.default)}\n")
    return "".join(parts)


def describe(setting: Setting) -> str:
    """A setting in one line: `least score of a detection (a number from 0 to 1; live)`."""
    limits = [setting.expected] * setting.is_limited + ["live"] * (setting.reload == "hot")
    return f"{setting.help} ({'; '.join(limits)})" if limits else setting.help


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a settings file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of edge-detect",
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _section(name, cls) for name, cls in schema.sections().items()}
        | {name: _array(name, cls) for name, cls in schema.arrays().items()},
    }


def _section(name: str, cls: type) -> dict[str, Any]:
    return {
        "description": _sentence(cls),
        "type": "object",
        "additionalProperties": False,
        "properties": {one.name: dict(_property(one)) for one in schema.settings() if one.section == name},
    }


def _array(name: str, cls: type) -> dict[str, Any]:
    return {
        "description": _sentence(cls),
        "type": "array",
        "items": {
            "type": "object",
            "additionalProperties": False,
            "properties": {one.name: dict(_property(one)) for one in schema.columns(name)},
        },
    }


def _property(setting: Setting) -> Iterator[tuple[str, Any]]:
    yield "description", describe(setting)
    yield "type", _TYPES[setting.kind]
    yield "default", list(setting.default) if setting.kind is tuple else setting.default
    if setting.is_points:
        side = {"type": "number", "minimum": 0, "maximum": 1}
        yield "items", {"type": "array", "items": side, "minItems": 2, "maxItems": 2}
    elif setting.kind is tuple:
        yield "items", {"type": "string"}
    if setting.low > -math.inf:
        yield "minimum", setting.low
    if setting.high < math.inf:
        yield "maximum", setting.high
    if setting.choices:
        yield "enum", list(setting.choices)
    if setting.pattern:
        yield "pattern", f"^({setting.pattern})?$"


def _sentence(cls: type) -> str:
    return (cls.__doc__ or "").partition("\n")[0].removesuffix(".")
