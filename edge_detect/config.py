"""Config: every setting of a run, with its default, its range and what it means.

The dataclasses are the schema: files, environment, flags, `config init`, `config check`, the JSON
Schema for editors and this manual are all made from their fields.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any, Literal, get_origin, get_type_hints


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a setting besides its type and default.

    Attributes:
        help: One sentence for people.
        low: Least number.
        high: Greatest number.
        unit: Of a number.
        choices: The only texts allowed; any without.
        pattern: What a text that is not empty has to match as a whole.
        form: The pattern in words.
        reload: `hot` where SIGHUP changes it in a run; the others need a restart.
        secret: The text may hold a password: it is shown with `***` in its place.
    """

    help: str
    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    choices: tuple[str, ...] = ()
    pattern: str = ""
    form: str = ""
    reload: Literal["hot", "restart"] = "restart"
    secret: bool = False


def _setting(default: Any, help: str, **more: Any) -> Any:
    return field(default=default, metadata={"about": About(help, **more)})


@dataclass(frozen=True, slots=True)
class Model:
    """Which detector, and how it is run."""

    path: str = _setting("", "a .tflite detector; empty for the installed or shipped one")
    labels: str = _setting("", "file with the names of its classes; empty for those inside the model")
    threads: int = _setting(0, "threads of the net; 0: measured once", low=0, high=1024)
    fit: str = _setting(
        "letterbox", "how a picture is laid into the model's input", choices=("letterbox", "stretch")
    )


@dataclass(frozen=True, slots=True)
class Source:
    """Where the pictures come from."""

    uri: str = _setting(
        "auto",
        "csi:0, v4l2:/dev/video0, rtsp://..., a file, a folder, - or pattern:; ?width=1280&fps=30 behind it",
        secret=True,
    )
    give_up: float = _setting(
        0.0, "a camera that stays away longer ends the run; 0: never", low=0, high=1e6, unit="seconds"
    )


@dataclass(frozen=True, slots=True)
class Detect:
    """What counts as seen."""

    confidence: float = _setting(0.2, "least score of a detection", low=0, high=1, reload="hot")
    classes: tuple[str, ...] = _setting((), "names of the classes to tell of; empty for all", reload="hot")


@dataclass(frozen=True, slots=True)
class Output:
    """What is done with what was seen."""

    display: bool = _setting(False, "show a window")
    headless: bool = _setting(False, "never open a window")
    outputs: tuple[str, ...] = _setting(
        (), "annotated video (.mp4), pictures (folder/ or one.jpg), JSON Lines (.jsonl or -)", reload="hot"
    )
    json: bool = _setting(False, "one JSON object a frame on standard output", reload="hot")
    snapshots: str = _setting("", "folder for a picture when something is seen", reload="hot")


@dataclass(frozen=True, slots=True)
class Web:
    """The live page."""

    listen: str = _setting(
        "",
        "address of the live page; empty for none",
        pattern=r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)?(:\d{1,5})?",
        form="HOST:PORT, such as 127.0.0.1:8080",
    )
    token_file: str = _setting("", "file with the token that programs show")
    password_file: str = _setting("", "file with the password that people type")
    names: tuple[str, ...] = _setting((), "further names of this machine that a browser may use")
    viewers: int = _setting(8, "people who may look at once", low=1, high=64)
    fps: float = _setting(15.0, "most pictures a second for each of them", low=0.1, high=60)
    quality: int = _setting(70, "of the JPEG pictures", low=1, high=100)


@dataclass(frozen=True, slots=True)
class Log:
    """What is told of the run itself."""

    every: float = _setting(
        10.0, "between two health lines; 0: none", low=0, high=1e6, unit="seconds", reload="hot"
    )
    stats: str = _setting("", "CSV file that gets every health line as a row")
    format: str = _setting("text", "of the log on standard error", choices=("text", "json"))


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of a run; an attribute is a section."""

    model: Model = Model()
    source: Source = Source()
    detect: Detect = Detect()
    output: Output = Output()
    web: Web = Web()
    log: Log = Log()


def change(base: Config, values: Mapping[str, Any]) -> Config:
    """`base` with other values under some keys, such as `detect.confidence`."""
    sections: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    return replace(base, **{name: replace(getattr(base, name), **new) for name, new in sections.items()})


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as the schema has it.

    Attributes:
        section: Name of its table.
        name: Of the setting.
        kind: bool, int, float, str or tuple (of str).
        default: Value where nobody says another.
        about: Range, unit, meaning.
    """

    section: str
    name: str
    kind: type
    default: Any
    about: About

    @property
    def key(self) -> str:
        """`detect.confidence`."""
        return f"{self.section}.{self.name}"

    def of(self, config: Config) -> Any:
        """Its value."""
        return getattr(getattr(config, self.section), self.name)

    def fits(self, value: Any) -> bool:
        """Whether a value of its type is one that it may have."""
        about = self.about
        if self.kind in (int, float):
            return bool(about.low <= value <= about.high)
        if about.choices:
            return value in about.choices
        return not (value and about.pattern) or re.fullmatch(about.pattern, value) is not None

    @property
    def is_limited(self) -> bool:
        """Whether its type alone does not say what it may be."""
        return self.kind in (int, float) or bool(self.about.choices or self.about.form)

    @property
    def expected(self) -> str:
        """What it may be, in words: `a number from 0 to 1`."""
        about = self.about
        if about.choices:
            return f"one of {', '.join(map(write, about.choices))}"
        if self.kind in (int, float):
            number = "a whole number" if self.kind is int else "a number"
            of = f" of {about.unit}" if about.unit else ""
            return f"{number}{of} from {about.low:.9g} to {about.high:.9g}"
        words: dict[type[object], str] = {bool: "true or false", tuple: "a list of texts", str: "a text"}
        return about.form or words[self.kind]


@cache
def sections() -> dict[str, type]:
    """The name and dataclass of each section, in order."""
    hints = get_type_hints(Config)
    return {section.name: hints[section.name] for section in fields(Config)}


@cache
def settings() -> tuple[Setting, ...]:
    """Every setting, in order."""
    return tuple(one for section, cls in sections().items() for one in _settings_of(section, cls))


def _settings_of(section: str, cls: type) -> Iterator[Setting]:
    hints = get_type_hints(cls)
    for one in fields(cls):
        kind = hints[one.name]
        yield Setting(section, one.name, get_origin(kind) or kind, one.default, one.metadata["about"])


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
