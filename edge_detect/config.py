"""Config: every setting of a run, with its default, its range and what it means.

The fields are the one source of all that is known of a setting: `schema` reads them for files,
environment, `config init` and `config check`, and for the JSON Schema that editors use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from edge_detect.recipients import Exec, Gpio, Mqtt, Webhook
from edge_detect.settings import setting

Points: TypeAlias = tuple[tuple[float, float], ...]
"""Pairs of x and y in 0..1 of the picture, from its top left."""


@dataclass(frozen=True, slots=True)
class Model:
    """Which detector, and how it is run."""

    path: str = setting("", "a .tflite detector; empty for the installed or shipped one")
    labels: str = setting("", "file with the names of its classes; empty for those inside the model")
    threads: int = setting(0, "threads of the net; 0: measured once", low=0, high=1024)
    fit: str = setting(
        "letterbox", "how a picture is laid into the model's input", choices=("letterbox", "stretch")
    )


@dataclass(frozen=True, slots=True)
class Source:
    """Where the pictures come from."""

    uri: str = setting(
        "auto",
        "csi:0, v4l2:/dev/video0, rtsp://..., a file, a folder, - or pattern:; ?width=1280&fps=30 behind it",
        secret=True,
    )
    give_up: float = setting(
        0.0, "a camera that stays away longer ends the run; 0: never", low=0, high=1e6, unit="seconds"
    )


@dataclass(frozen=True, slots=True)
class Detect:
    """What counts as seen."""

    confidence: float = setting(0.2, "least score of a detection", low=0, high=1, reload="hot")
    classes: tuple[str, ...] = setting((), "names of the classes to tell of; empty for all", reload="hot")


@dataclass(frozen=True, slots=True)
class Output:
    """What is done with what was seen."""

    display: bool = setting(False, "show a window")
    headless: bool = setting(False, "never open a window")
    outputs: tuple[str, ...] = setting(
        (), "annotated video (.mp4), pictures (folder/ or one.jpg), JSON Lines (.jsonl or -)", reload="hot"
    )
    json: bool = setting(False, "one JSON object a frame on standard output", reload="hot")
    snapshots: str = setting("", "folder for a picture when something is seen", reload="hot")


@dataclass(frozen=True, slots=True)
class Web:
    """The live page."""

    listen: str = setting(
        "",
        "address of the live page; empty for none",
        pattern=r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)?(:\d{1,5})?",
        form="HOST:PORT, such as 127.0.0.1:8080",
    )
    token_file: str = setting("", "file with the token that programs show")
    password_file: str = setting("", "file with the password that people type")
    names: tuple[str, ...] = setting((), "further names of this machine that a browser may use")
    viewers: int = setting(8, "people who may look at once", low=1, high=64)
    fps: float = setting(15.0, "most pictures a second for each of them", low=0.1, high=60)
    quality: int = setting(70, "of the JPEG pictures", low=1, high=100)


@dataclass(frozen=True, slots=True)
class Log:
    """What is told of the run itself."""

    every: float = setting(
        10.0, "between two health lines; 0: none", low=0, high=1e6, unit="seconds", reload="hot"
    )
    stats: str = setting("", "CSV file that gets every health line as a row")
    format: str = setting("text", "of the log on standard error", choices=("text", "json"))


@dataclass(frozen=True, slots=True)
class Motion:
    """When the net may rest, since nothing moves."""

    gate: str = setting(
        "auto",
        "look only where something moves; auto: with cameras, not with recordings",
        choices=("auto", "on", "off"),
    )
    contrast: float = setting(
        10.0,
        "change of brightness of a spot that counts",
        low=1,
        high=255,
        unit="levels of 255",
        reload="hot",
    )
    area: float = setting(0.001, "share of the picture that has to change", low=0, high=1, reload="hot")
    settle: float = setting(
        2.0, "how long the net goes on after the last change", low=0, high=3600, unit="seconds", reload="hot"
    )
    keep_alive: float = setting(
        3.0, "longest rest of the net", low=0.1, high=3600, unit="seconds", reload="hot"
    )
    masks: tuple[str, ...] = setting(
        (), 'parts of the picture in which motion does not count, "0,0 1,0 1,0.1 0,0.1"', reload="hot"
    )


@dataclass(frozen=True, slots=True)
class Tracker:
    """Which boxes of different frames are the same thing."""

    enabled: bool = setting(True, "give things numbers and tell their events")
    start: float = setting(0.35, "least score of a box that may be a new thing", low=0, high=1, reload="hot")
    low: float = setting(0.1, "least score of a box that may be a known thing", low=0, high=1, reload="hot")
    overlap: float = setting(
        0.2,
        "least overlap (IoU) of a box and the place where a thing is expected",
        low=0.01,
        high=1,
        reload="hot",
    )
    keep: float = setting(
        2.0,
        "how long a thing that is not seen is waited for",
        low=0.1,
        high=3600,
        unit="seconds",
        reload="hot",
    )
    keep_still: float = setting(
        30.0, "the same for one that did not move, such as a parked car", low=0.1, high=86400, unit="seconds",
        reload="hot",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Events:
    """What is told of things, and when."""

    file: str = setting(
        "", "JSON Lines file that events are appended to; - for standard output; empty for none"
    )
    kinds: tuple[str, ...] = setting(
        ("appeared", "entered", "crossed", "stayed", "camera_lost", "camera_back"),
        "what is told; also left and gone, which the ends of entered and appeared tell too",
        reload="hot",
    )
    confidence: float = setting(0.4, "score from which a look is a sure one", low=0, high=1, reload="hot")
    thresholds: tuple[str, ...] = setting((), 'the same for single classes, "cat=0.6"', reload="hot")
    hits: int = setting(3, "sure looks that a thing needs", low=1, high=100, reload="hot")
    among: int = setting(5, "of so many looks in a row", low=1, high=100, reload="hot")
    min_duration: float = setting(
        0.5, "shorter visits are not told", low=0, high=3600, unit="seconds", reload="hot"
    )
    cooldown: float = setting(
        0.0, "least time between two starts of a kind, label and zone", low=0, high=86400, unit="seconds",
        reload="hot",
    )  # fmt: skip
    min_size: float = setting(
        0.0, "least share of the picture that a thing fills", low=0, high=1, reload="hot"
    )
    max_size: float = setting(1.0, "greatest share of the picture", low=0, high=1, reload="hot")
    every: float = setting(
        5.0, "time between two updates of an event; 0: none", low=0, high=86400, unit="seconds", reload="hot"
    )


@dataclass(frozen=True, slots=True)
class Zone:
    """A part of the picture, or a line across it, that things enter, leave or cross."""

    name: str = setting("", "for people and in events")
    kind: str = setting("zone", "a part of the picture, or a line", choices=("zone", "line"))
    points: tuple[tuple[float, float], ...] = setting(
        (),
        "corners of the zone, or points of the line",
        form="such as [[0.1, 0.2], [0.9, 0.2]], x and y from 0 to 1",
    )
    classes: tuple[str, ...] = setting((), "names of the classes that it is for; empty for all")
    anchor: str = setting(
        "foot", "point of a box that counts: middle of its lower edge, or centre", choices=("foot", "centre")
    )
    inertia: int = setting(3, "looks in a row that make inside, outside or across", low=1, high=100)
    stay: float = setting(
        0.0, "time inside after which a thing has stayed; 0: never", low=0, high=86400, unit="seconds"
    )
    confidence: float = setting(
        0.0, "score that a thing must have reached once; 0: that of events", low=0, high=1
    )
    min_size: float = setting(0.0, "least share of the picture that a thing fills", low=0, high=1)
    max_size: float = setting(1.0, "greatest share of the picture", low=0, high=1)
    cooldown: float = setting(
        -1.0, "least time between two starts of a kind and label; -1: that of events", low=-1, high=86400,
        unit="seconds",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recorder:
    """Pictures and clips of events; nothing is written without a folder."""

    folder: str = setting("", "where snapshots and clips go; empty: nothing is recorded")
    clips: bool = setting(True, "record clips besides the snapshots (extra record)")
    before: float = setting(5.0, "of a clip before its event", low=0, high=60, unit="seconds")
    after: float = setting(5.0, "of a clip after its last event", low=0, high=60, unit="seconds")
    longest: float = setting(
        120.0, "longest clip; another event begins another one", low=1, high=600, unit="seconds"
    )
    fps: float = setting(10.0, "pictures a second of a clip", low=0.1, high=60)
    width: int = setting(
        1280, "greatest width; wider pictures are made smaller; 0: any", low=0, high=16384, unit="pixels"
    )
    quality: int = setting(80, "of the JPEG pictures", low=1, high=100)
    memory: int = setting(24, "memory for the pictures of the last seconds", low=1, high=4096, unit="MB")
    free: int = setting(
        512,
        "what stays free of the disk, or a quarter of a small one",
        low=0,
        high=1 << 24,
        unit="MB",
    )
    size: int = setting(2048, "all recordings; 0: no limit", low=0, high=1 << 24, unit="MB")
    days: float = setting(14.0, "age of a recording; 0: no limit", low=0, high=36500, unit="days")


@dataclass(frozen=True, slots=True)
class Store:
    """The list of all events, which the page shows."""

    path: str = setting("", "SQLite file; empty: events.db beside the recordings, none without them")


@dataclass(frozen=True, slots=True)
class Privacy:
    """What nobody gets to see."""

    no_pictures: bool = setting(False, "no picture leaves the memory: no recordings, no live picture")
    blur: tuple[str, ...] = setting((), "classes that are made unrecognizable in every picture")


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of a run; an attribute is a section, or an array of tables."""

    model: Model = Model()
    source: Source = Source()
    detect: Detect = Detect()
    output: Output = Output()
    web: Web = Web()
    log: Log = Log()
    motion: Motion = Motion()
    tracker: Tracker = Tracker()
    events: Events = Events()
    zones: tuple[Zone, ...] = ()
    mqtt: Mqtt = Mqtt()
    webhook: Webhook = Webhook()
    exec: Exec = Exec()
    gpio: Gpio = Gpio()
    recorder: Recorder = Recorder()
    store: Store = Store()
    privacy: Privacy = Privacy()


_NOTICES = {"mqtt": "host", "webhook": "url", "exec": "command", "gpio": "pin"}


def notices(chosen: Config) -> dict[str, str]:
    """The sections that name somebody who is to be told of events, each to the setting that does."""
    nothing = Config()
    return {
        section: name
        for section, name in _NOTICES.items()
        if getattr(getattr(chosen, section), name) != getattr(getattr(nothing, section), name)
    }


def change(base: Config, values: Mapping[str, Any]) -> Config:
    """`base` with other values under some keys, such as `detect.confidence`, or `zones` as a whole."""
    sections: dict[str, dict[str, Any]] = {}
    arrays: dict[str, Any] = {}
    for key, value in values.items():
        section, dot, name = key.partition(".")
        if dot:
            sections.setdefault(section, {})[name] = value
        else:
            arrays[key] = value
    changed = {name: replace(getattr(base, name), **new) for name, new in sections.items()}
    return replace(base, **changed, **arrays)
