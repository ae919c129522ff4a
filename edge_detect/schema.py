"""Schema: what is known of each setting, from the fields of `config`, and how its values are written."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from edge_detect import uri
from edge_detect.config import Config, Points


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as the schema has it.

    Attributes:
        section: Name of its table, or of its array of tables.
        name: Of the setting.
        kind: bool, int, float, str or tuple (of str, or of points).
        default: Value where nobody says another.
        help: One sentence for people.
        low: Least number.
        high: Greatest number.
        unit: Of a number.
        choices: The only texts allowed; any without.
        pattern: What a text that is not empty has to match as a whole.
        form: The pattern in words.
        reload: `hot` where SIGHUP changes it in a run; the others need a restart.
        secret: The text may hold a password: it is shown with `***` in its place.
        is_points: A list of x, y in 0..1 instead of texts.
    """

    section: str
    name: str
    kind: type
    default: Any
    help: str
    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    choices: tuple[str, ...] = ()
    pattern: str = ""
    form: str = ""
    reload: Literal["hot", "restart"] = "restart"
    secret: bool = False
    is_points: bool = False

    @property
    def key(self) -> str:
        """`detect.confidence`."""
        return f"{self.section}.{self.name}"

    def of(self, config: Config) -> Any:
        """Its value."""
        return getattr(getattr(config, self.section), self.name)

    def fits(self, value: Any) -> bool:
        """Whether a value of its type is one that it may have."""
        if self.kind in (int, float):
            return bool(self.low <= value <= self.high)
        if self.choices:
            return value in self.choices
        if self.kind is not bool and "\0" in "".join(map(str, value)):  # no name of a file may have one
            return False
        if self.kind is tuple:
            return True
        return not (value and self.pattern) or re.fullmatch(self.pattern, value) is not None

    @property
    def is_limited(self) -> bool:
        """Whether its type alone does not say what it may be."""
        return self.kind in (int, float) or bool(self.choices or self.form)

    @property
    def expected(self) -> str:
        """What it may be, in words: `a number from 0 to 1`."""
        if self.choices:
            return f"one of {', '.join(map(write, self.choices))}"
        if self.kind in (int, float):
            number = "a whole number" if self.kind is int else "a number"
            of = f" of {self.unit}" if self.unit else ""
            return f"{number}{of} from {self.low:.9g} to {self.high:.9g}"
        words: dict[type[object], str] = {bool: "true or false", tuple: "a list of texts", str: "a text"}
        return self.form or words[self.kind]

    def show(self, value: Any) -> str:
        """A value as it stands in a settings file, without what is secret in it."""
        return write(public(value) if self.secret else value)

    def mistake(self, where: str, value: Any, said: str = "") -> str:
        """One line about a wrong value: `config.toml:3: log.every = -1: expected ...`."""
        return f"{where}: {self.key} = {self.show(value)}: {said or f'expected {self.expected}'}"


@cache
def sections() -> dict[str, type]:
    """The name and dataclass of each section, in order."""
    return {name: kind for name, kind in get_type_hints(Config).items() if not get_origin(kind)}


@cache
def arrays() -> dict[str, type]:
    """The name of each array of tables, such as `[[zones]]`, and the dataclass of its elements."""
    hints = get_type_hints(Config)
    return {name: get_args(kind)[0] for name, kind in hints.items() if get_origin(kind)}


@cache
def settings() -> tuple[Setting, ...]:
    """Every setting of the sections, in order."""
    return tuple(one for section, cls in sections().items() for one in _settings_of(section, cls))


@cache
def columns(array: str) -> tuple[Setting, ...]:
    """Every setting of an element of an array of tables, in order."""
    return tuple(_settings_of(array, arrays()[array]))


def _settings_of(section: str, cls: type) -> Iterator[Setting]:
    hints = get_type_hints(cls)
    for one in fields(cls):
        kind = hints[one.name]
        is_points = kind == Points
        yield Setting(
            section, one.name, get_origin(kind) or kind, one.default, is_points=is_points, **one.metadata
        )


def find(key: str) -> Setting:
    """The setting of a key, such as `log.every`."""
    return next(one for one in settings() if one.key == key)


def write(value: Any) -> str:
    """A value in the words of TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(write, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{write(key)} = {write(one)}' for key, one in value.items())}}}"
    return str(value)


def public(value: Any) -> Any:
    """The value without the passwords in its texts."""
    if isinstance(value, list | tuple):
        return [public(one) for one in value]
    if isinstance(value, dict):
        return {public(key): public(one) for key, one in value.items()}
    return uri.public(value) if isinstance(value, str) else value
