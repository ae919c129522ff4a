"""Layers: one Config from defaults, settings files, environment and flags, each value with its origin.

Later layers win: /etc/edge-detect/config.toml, the user's own, the one that is named,
EDGE_DETECT_SECTION__KEY, flags. All mistakes of all layers are told at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_detect import config, places
from edge_detect.config import Config
from edge_detect.errors import ConfigError, InputMissing, SettingsError

if TYPE_CHECKING:
    from edge_detect.layer import Layer
    from edge_detect.settings_file import Document

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
    "events.file": "--events",
    "recorder.folder": "--record",
    "log.every": "--log-every",
    "log.stats": "--stats",
    "log.format": "--log-format",
}
"""The settings that a flag of `edge-detect run` sets."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings that hold, and where each comes from.

    Attributes:
        config: The values.
        flags: Key to value, for those that were given; stronger than all layers.
        layers: Files and environment, from the weakest to the strongest.
        documents: The settings files that were read.
    """

    config: Config
    flags: Mapping[str, Any] = field(default_factory=dict)
    layers: tuple[Layer, ...] = ()
    documents: tuple[Document, ...] = ()

    def origin(self, key: str) -> str:
        """Where the value of a key comes from: `config.toml:3`, a variable, a flag, or `default`."""
        if key in self.flags:
            return FLAGS[key]
        return next((layer.where(key) for layer in reversed(self.layers) if key in layer.values), "default")

    def fixed(self, section: str) -> frozenset[str]:
        """The names of what flags have set in a section: for this run they are what they are."""
        return frozenset(key.partition(".")[2] for key in self.flags if key.startswith(f"{section}."))

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
            if key in self.flags or origin == "default":
                raise
            from edge_detect import schema

            if "." not in key:
                raise SettingsError(f"{origin}: {key}: {error}") from error
            setting = schema.find(key)
            said = setting.mistake(origin, setting.of(self.config), str(error))
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
    flags, layers, documents = flags or {}, [], []
    for path in files(named):
        from edge_detect import layer, settings_file  # with tomllib, which few runs need

        documents.append(settings_file.read(path, strict=strict))
        layers.append(layer.of_document(documents[-1]))
    if ours := variables():
        from edge_detect import layer

        layers.append(layer.of_environment(ours))
    if mistakes := [one for each in layers for one in each.mistakes]:
        raise SettingsError("\n".join(mistakes))
    values = {key: value for each in (*(one.values for one in layers), flags) for key, value in each.items()}
    return Settings(config.change(Config(), values), flags, tuple(layers), tuple(documents))


def variables() -> dict[str, str]:
    """Those of the environment that are named like a setting."""
    return {name: os.environ[name] for name in os.environ if re.match("EDGE_DETECT_.*__", name)}


def files(named: str | None = None) -> list[Path]:
    """The settings files that are there, from the weakest to the strongest.

    Raises:
        InputMissing: The named one is not, or cannot be reached.
    """
    found = [path for path in (places.machine_file(), places.user_file()) if os.path.exists(path)]
    if named is not None:
        path = Path(named)
        try:
            path.stat()
        except FileNotFoundError as error:
            said = f"--config {named}: no such file; edge-detect config init {named} writes one"
            raise InputMissing(said) from error
        except OSError as error:
            raise InputMissing(f"--config {named}: cannot read: {error.strerror}") from error
        found = [one for one in found if not path.samefile(one)] + [path]
    return found
