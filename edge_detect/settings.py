"""Settings: a dataclass made from words, each mistake answered with its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, field, fields
from typing import Any, TypeVar, get_type_hints

from edge_detect.errors import ConfigError
from edge_detect.lazy import suggest

T = TypeVar("T")


def setting(default: Any, help: str, **more: Any) -> Any:
    """A field of a section of `config`; `more` is what `schema.Setting` knows besides its meaning."""
    return field(default=default, metadata={"help": help, **more})


def build(cls: type[T], values: Mapping[str, str], where: str) -> T:
    """An instance of the dataclass `cls` from text values.

    Args:
        cls: A dataclass whose fields are bool, int, float or str.
        values: Field name to text, as in the query of a URI.
        where: Named first in every message.

    Raises:
        ConfigError: An unknown name, a value of another type, one that `cls.__post_init__`
            refuses with a ValueError, or none where one is needed.
    """
    hints = get_type_hints(cls)
    names = [one.name for one in fields(cls) if one.init]  # type: ignore[arg-type]
    arguments: dict[str, Any] = {}
    for name, text in values.items():
        if name not in names:
            raise ConfigError(f"{where}: unknown setting '{name}'{suggest(name, names)}")
        arguments[name] = _convert(text, hints[name], f"{where}: {name}")
    for one in fields(cls):  # type: ignore[arg-type]
        if one.name in names and one.name not in values and one.default is MISSING:
            raise ConfigError(f"{where}: {one.name}: expected one, got none")
    try:
        return cls(**arguments)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def _convert(text: str, kind: type, where: str) -> Any:
    try:
        return PARSERS[kind](text)
    except (ValueError, KeyError) as error:
        raise ConfigError(f"{where}: expected {kind.__name__}, got '{text}'") from error


_WORDS = {"1": True, "true": True, "yes": True, "on": True, "": True}
_WORDS |= {"0": False, "false": False, "no": False, "off": False}


def _finite(text: str) -> float:
    value = float(text)
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(text)
    return value


def split(text: str) -> tuple[str, ...]:
    """`person, car` as ('person', 'car'); each once, in this order."""
    return tuple(dict.fromkeys(word for word in map(str.strip, text.split(",")) if word))


PARSERS: dict[type, Callable[[str], Any]] = {
    bool: lambda text: _WORDS[text.lower()],
    int: int,
    float: _finite,
    str: str,
    tuple: split,
}


def check_range(name: str, value: float, low: float, high: float) -> None:
    """ValueError unless `low <= value <= high`."""
    if not low <= value <= high:
        raise ValueError(f"{name}: expected {low} to {high}, got {value}")
