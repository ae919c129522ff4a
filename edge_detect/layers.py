"""Layers: one Config from defaults, settings files, environment and flags, each value with its origin.

Later layers win: /etc/edge-detect/config.toml, the user's own, the one that is named,
EDGE_DETECT_SECTION__KEY, flags. All mistakes of all layers are told at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_detect import config, places, uri
from edge_detect.config import Config, Setting
from edge_detect.errors import ConfigError, InputMissing, SettingsError
from edge_detect.lazy import suggest
from edge_detect.settings import PARSERS

if TYPE_CHECKING:
    from edge_detect.settings_file import Document

PREFIX = "EDGE_DETECT_"
FLAGS = {
    "model.path": "--model",
    "model.labels": "--labels",
    "model.threads": "--threads",
    "model.fit": "--fit",
    "source.uri": "--source",
    "source.give_up": "--give-up",
    "detect.confidence": "--confidence",
    "detect.classes": "--classes",
    "output.display": "--display",
    "output.headless": "--headless",
    "output.outputs": "--output",
    "output.json": "--json",
    "output.snapshots": "--snapshots",
    "web.listen": "--web",
    "log.every": "--log-every",
    "log.stats": "--stats",
    "log.format": "--log-format",
}
"""The settings that a flag of `edge-detect run` sets."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What one place says.

    Attributes:
        values: Key, such as `detect.confidence`, to a value of the setting's type.
        where: Tells the place of a key: a file and its line, a variable, a flag.
        mistakes: All that is wrong in it, a line each.
    """

    values: Mapping[str, Any]
    where: Callable[[str], str]
    mistakes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings that hold, and where each comes from.

    Attributes:
        config: The values.
        layers: From the weakest to the strongest.
        documents: The settings files that were read.
    """

    config: Config
    layers: tuple[Layer, ...] = ()
    documents: tuple[Document, ...] = ()

    def origin(self, key: str) -> str:
        """Where the value of a key comes from: `config.toml:3`, a variable, a flag, or `default`."""
        for layer in reversed(self.layers):
            if key in layer.values:
                return layer.where(key)
        return "default"

    def fixed(self, section: str) -> frozenset[str]:
        """The names of what flags have set in a section: for this run they are what they are."""
        keys = self.layers[-1].values if self.layers else {}
        return frozenset(key.partition(".")[2] for key in keys if key.startswith(f"{section}."))

    def keep(self) -> None:
        """Remembers the settings files, which are right, for a day on which one is damaged."""
        for document in self.documents:
            from edge_detect import settings_file

            settings_file.keep(document)

    @contextmanager
    def blame(self, key: str) -> Iterator[None]:
        """Turns a ConfigError about the value of `key` into one that tells where that was written."""
        try:
            yield
        except SettingsError:
            raise
        except ConfigError as error:
            origin = self.origin(key)
            if origin == "default" or origin.startswith("--"):
                raise
            (setting,) = (one for one in config.settings() if one.key == key)
            said = mistake(origin, setting, setting.of(self.config), str(error))
            raise SettingsError(said) from error


def read(
    named: str | None = None, flags: Mapping[str, Any] | None = None, *, strict: bool = False
) -> Settings:
    """The settings that hold.

    Args:
        named: The file behind `--config`.
        flags: Key to value, for those that were given.
        strict: A damaged file is a mistake, even where there is a good copy of it.

    Raises:
        SettingsError: All mistakes, a line each.
        InputMissing: The named file is not there.
    """
    layers, documents = [], []
    for path in files(named):
        from edge_detect import settings_file  # with tomllib, which few runs need

        document = settings_file.read(path, strict=strict)
        documents.append(document)
        layers.append(_file_layer(document))
    layers.append(_environment_layer(os.environ))
    layers.append(Layer(flags or {}, FLAGS.__getitem__))
    if mistakes := [one for layer in layers for one in layer.mistakes]:
        raise SettingsError("\n".join(mistakes))
    values = {key: value for layer in layers for key, value in layer.values.items()}
    return Settings(config.change(Config(), values), tuple(layers), tuple(documents))


def files(named: str | None = None) -> list[Path]:
    """The settings files that are there, from the weakest to the strongest.

    Raises:
        InputMissing: The named one is not.
    """
    found = [path for path in (places.machine_file(), places.user_file()) if os.path.exists(path)]
    if named is not None:
        path = Path(named)
        if not path.exists():
            raise InputMissing(f"--config {named}: no such file; edge-detect config init {named} writes one")
        found = [one for one in found if not path.samefile(one)] + [path]
    return found


def mistake(where: str, setting: Setting, value: Any, expected: str) -> str:
    """One line about a wrong value."""
    return f"{where}: {setting.key} = {show(setting, value)}: {expected}"


def show(setting: Setting, value: Any) -> str:
    """A value as it stands in a settings file, without what is secret in it."""
    return config.write(_public(value) if setting.about.secret else value)


def _public(value: Any) -> Any:
    """The value without the passwords in its texts."""
    if isinstance(value, list | tuple):
        return [_public(one) for one in value]
    if isinstance(value, dict):
        return {_public(key): _public(one) for key, one in value.items()}
    return uri.public(value) if isinstance(value, str) else value


def _file_layer(document: Document) -> Layer:
    found: dict[str, Any] = {}
    layer = Layer(found, lambda key: document.where(*key.split(".")), list(document.mistakes))
    known = {section: _known(section) for section in config.sections()}
    for section, table in document.tables.items():
        if section not in known:
            hint = _elsewhere(section) or suggest(section, known)
            layer.mistakes.append(f"{document.where(section)}: {section}: unknown section{hint}")
        elif not isinstance(table, dict):
            where, found_instead = document.where(section), config.write(table)
            layer.mistakes.append(f"{where}: {section} = {found_instead}: expected a section, [{section}]")
        else:
            for name, value in table.items():
                where = document.where(section, name)
                setting = known[section].get(name)
                if setting is None:
                    layer.mistakes.append(_unknown(where, section, name))
                elif (right := _from_toml(setting, value)) is None:
                    layer.mistakes.append(mistake(where, setting, value, f"expected {setting.expected}"))
                else:
                    found[setting.key] = right
    return layer


def _from_toml(setting: Setting, value: Any) -> Any:
    """The value in the setting's own type; None where it cannot be that."""
    if setting.kind is float and type(value) is int:
        value = float(value) if abs(value) < 1e300 else float("inf")
    if setting.kind is tuple and isinstance(value, list) and all(isinstance(one, str) for one in value):
        value = tuple(value)
    return value if type(value) is setting.kind and setting.fits(value) else None


def _environment_layer(environment: Mapping[str, str]) -> Layer:
    """The variables whose names have our prefix and the `__` between section and key."""
    found: dict[str, Any] = {}
    layer = Layer(found, lambda key: PREFIX + key.upper().replace(".", "__"))
    for variable, text in environment.items():
        section, mark, name = variable.removeprefix(PREFIX).lower().partition("__")
        if not (variable.startswith(PREFIX) and mark):
            continue
        if section not in config.sections():
            hint = suggest(section, config.sections())
            layer.mistakes.append(f"{variable}: {section}: unknown section{hint}")
            continue
        setting = _known(section).get(name)
        if setting is None:
            layer.mistakes.append(_unknown(variable, section, name))
        elif (right := _from_text(setting, text)) is None:
            layer.mistakes.append(mistake(variable, setting, text, f"expected {setting.expected}"))
        else:
            found[setting.key] = right
    return layer


def _from_text(setting: Setting, text: str) -> Any:
    """The value in the setting's own type; None where it cannot be that."""
    if setting.kind is tuple:
        return split(text)
    try:
        value = PARSERS[setting.kind](text)
    except (ValueError, KeyError):
        return None
    return value if setting.fits(value) else None


def split(text: str) -> tuple[str, ...]:
    """`person, car` as ('person', 'car'); order kept, each once."""
    return tuple(dict.fromkeys(word for word in map(str.strip, text.split(",")) if word))


def _known(section: str) -> dict[str, Setting]:
    return {one.name: one for one in config.settings() if one.section == section}


def _unknown(where: str, section: str, name: str) -> str:
    """What is said of an unknown setting; its value may be a secret and is not shown."""
    hint = _elsewhere(name) or suggest(name, _known(section))
    return f"{where}: {section}.{name}: unknown setting{hint}"


def _elsewhere(name: str) -> str:
    """`, expected under [source]` for a setting that stands in the wrong section."""
    return next((f", expected under [{one.section}]" for one in config.settings() if one.name == name), "")
