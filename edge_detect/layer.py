"""Layer: what one place says of the settings, each value checked, each mistake with its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edge_detect import config, schema
from edge_detect.lazy import suggest
from edge_detect.schema import Setting
from edge_detect.settings import PARSERS
from edge_detect.settings_file import Document

PREFIX = "EDGE_DETECT_"


class Layer:
    """The values of one place.

    Attributes:
        values: Key, such as `detect.confidence`, to a value of the setting's type.
        mistakes: All that is wrong, a line each.
    """

    def __init__(self, where: Callable[..., str]) -> None:
        """Has nothing yet.

        Args:
            where: The place of a section, or of a section and a name.
        """
        self.values: dict[str, Any] = {}
        self.mistakes: list[str] = []
        self._where = where

    def where(self, key: str) -> str:
        """The place of a value: a file and its line, or a variable."""
        return self._where(*key.split("."))

    def take(self, section: str, name: str, value: Any, convert: Callable[[Setting, Any], Any]) -> None:
        """Adds a value, or a mistake; `convert` gives None for what cannot be."""
        known = {one.name: one for one in schema.settings() if one.section == section}
        where = self._where(section, name)
        if name not in known:  # its value may be a secret, and is not shown
            hint = _elsewhere(name) or suggest(name, known)
            self.mistakes.append(f"{where}: {section}.{name}: unknown setting{hint}")
        elif (right := convert(known[name], value)) is None:
            self.mistakes.append(known[name].mistake(where, value))
        else:
            self.values[known[name].key] = right

    def refuse(self, where: str, section: str) -> None:
        """Adds the mistake of a section that there is not."""
        hint = _elsewhere(section) or suggest(section, [*schema.sections(), *schema.arrays()])
        self.mistakes.append(f"{where}: {section}: unknown section{hint}")


def of_document(document: Document) -> Layer:
    """What a settings file says."""
    layer = Layer(document.where)
    layer.mistakes += document.mistakes
    for section, table in document.tables.items():
        where = document.where(section)
        if section in schema.arrays():
            _take_array(layer, document, section, table)
        elif section not in schema.sections():
            layer.refuse(where, section)
        elif not isinstance(table, dict):
            given = schema.write(schema.public(table))
            layer.mistakes.append(f"{where}: {section} = {given}: expected [{section}], a section")
        else:
            for name, value in table.items():
                layer.take(section, name, value, _from_toml)
    return layer


def _take_array(layer: Layer, document: Document, name: str, tables: Any) -> None:
    """Adds an array of tables as a whole, such as all `[[zones]]`, or the mistakes in it."""
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        layer.mistakes.append(f"{document.where(name)}: {name}: expected [[{name}]], one for each")
        return
    known = {one.name: one for one in schema.columns(name)}
    elements, before = [], len(layer.mistakes)
    for number, table in enumerate(tables):
        element: dict[str, Any] = {}
        for key, value in table.items():
            where = document.where(name, number, key)
            if key not in known:
                layer.mistakes.append(f"{where}: {name}.{key}: unknown setting{suggest(key, known)}")
            elif (right := _from_toml(known[key], value)) is None:
                layer.mistakes.append(known[key].mistake(where, value))
            else:
                element[key] = right
        elements.append(element)
    if len(layer.mistakes) == before:
        layer.values[name] = tuple(schema.arrays()[name](**element) for element in elements)


def of_environment(variables: Mapping[str, str]) -> Layer:
    """What variables named EDGE_DETECT_SECTION__KEY say."""
    layer = Layer(lambda *words: PREFIX + "__".join(words).upper())
    for variable, text in variables.items():
        section, _, name = variable.removeprefix(PREFIX).lower().partition("__")
        if section in schema.sections():
            layer.take(section, name, text, _from_text)
        elif section in schema.arrays():
            layer.mistakes.append(f"{variable}: {section}: expected [[{section}]] in a settings file")
        else:
            layer.refuse(variable, section)
    return layer


def _from_toml(setting: Setting, value: Any) -> Any:
    """The value in the setting's own type; None where it cannot be that."""
    if setting.is_points:
        return _points(value)
    if setting.kind is float and type(value) is int and abs(value) < 1 << 53:
        value = float(value)
    if setting.kind is tuple and isinstance(value, list) and all(isinstance(one, str) for one in value):
        value = tuple(value)
    return value if type(value) is setting.kind and setting.fits(value) else None


def _points(value: Any) -> config.Points | None:
    """The x and y of each point; None where one cannot be that."""
    if not isinstance(value, list) or not all(isinstance(point, list) and len(point) == 2 for point in value):
        return None
    if not all(type(side) in (int, float) and 0 <= side <= 1 for point in value for side in point):
        return None
    return tuple((float(x), float(y)) for x, y in value)


def _from_text(setting: Setting, text: str) -> Any:
    """The value in the setting's own type; None where it cannot be that."""
    try:
        value = PARSERS[setting.kind](text)
    except (ValueError, KeyError):
        return None
    return value if setting.fits(value) else None


def _elsewhere(name: str) -> str:
    """`, expected under [source]` for a setting that stands in the wrong section."""
    return next((f", expected under [{one.section}]" for one in schema.settings() if one.name == name), "")
