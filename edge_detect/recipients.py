"""Recipients: the settings of those who are told of events; sections of `config`."""

from __future__ import annotations

from dataclasses import dataclass

from edge_detect.settings import setting

_KINDS = "kinds of events to tell of; empty for all"
_TYPES = "start, update, end; empty for all"
_LABELS = "names of the classes to tell of; empty for all"
_ZONES = "names of the zones to tell of; empty for all and none"


@dataclass(frozen=True, slots=True)
class Mqtt:
    """Events, states and Home Assistant by an MQTT broker."""

    host: str = setting(
        "",
        "name or address of the broker; empty for none",
        pattern=r"[\w.-]+|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(%[\w.-]+)?",
        form="a name such as broker.local, or an address",
    )
    port: int = setting(0, "0: 1883, or 8883 with TLS", low=0, high=65535)
    node: str = setting("", "name of this machine in the topics; empty for its host name")
    username: str = setting("", "of the broker; its password stands in password_file")
    password_file: str = setting("", "file with the password")
    tls: bool = setting(False, "encrypted; the broker's certificate is checked")
    ca_file: str = setting("", "certificates to check it with; empty for those of the system")
    certificate_file: str = setting("", "certificate that this machine shows, in PEM")
    key_file: str = setting("", "key of that certificate; empty where it is in the same file")
    discovery: str = setting(
        "homeassistant",
        "where Home Assistant looks for devices; empty for not at all",
        pattern=r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*",
        form="a topic of letters, digits, _, - and /",
    )
    commands: bool = setting(True, "whether the broker's clients may pause and set the confidence")
    snapshots: bool = setting(False, "send a picture when something is seen; the broker keeps it")
    queue: int = setting(1000, "most events that wait while the broker is away", low=1, high=100_000)
    kinds: tuple[str, ...] = setting((), _KINDS, reload="hot")
    types: tuple[str, ...] = setting((), _TYPES, reload="hot")
    labels: tuple[str, ...] = setting((), _LABELS)
    zones: tuple[str, ...] = setting((), _ZONES, reload="hot")


@dataclass(frozen=True, slots=True)
class Webhook:
    """Events by HTTP to one address."""

    url: str = setting("", "where events are posted, https://...; empty for none", secret=True, reload="hot")
    allow_http: bool = setting(False, "to another machine without encryption, too", reload="hot")
    secret_file: str = setting("", "file with the secret that signs each request", reload="hot")
    queue: int = setting(100, "most events that wait", low=1, high=100_000)
    kinds: tuple[str, ...] = setting((), _KINDS, reload="hot")
    types: tuple[str, ...] = setting(("start", "end"), _TYPES, reload="hot")
    labels: tuple[str, ...] = setting((), _LABELS, reload="hot")
    zones: tuple[str, ...] = setting((), _ZONES, reload="hot")


@dataclass(frozen=True, slots=True)
class Exec:
    """A program that is run on events; they come on its standard input and in its environment."""

    command: tuple[str, ...] = setting(
        (), "the program and its arguments; no shell; empty for none", secret=True, reload="hot"
    )
    seconds: float = setting(
        10.0, "that it may take before it is killed", low=0.1, high=3600, unit="seconds", reload="hot"
    )
    at_once: int = setting(2, "most of them that run at once", low=1, high=16)
    queue: int = setting(100, "most events that wait", low=1, high=100_000)
    kinds: tuple[str, ...] = setting((), _KINDS, reload="hot")
    types: tuple[str, ...] = setting(("start",), _TYPES, reload="hot")
    labels: tuple[str, ...] = setting((), _LABELS, reload="hot")
    zones: tuple[str, ...] = setting((), _ZONES, reload="hot")


@dataclass(frozen=True, slots=True)
class Gpio:
    """A pin that is switched on when an event begins."""

    pin: int = setting(-1, "number of the GPIO (BCM), such as 17; -1 for none", low=-1, high=27)
    seconds: float = setting(
        5.0, "that it stays on after the newest event", low=0.01, high=86400, unit="seconds"
    )
    active_high: bool = setting(True, "false for a relay that is on when the pin is low")
    kinds: tuple[str, ...] = setting((), _KINDS, reload="hot")
    labels: tuple[str, ...] = setting((), _LABELS, reload="hot")
    zones: tuple[str, ...] = setting((), _ZONES, reload="hot")
