"""State: what people changed in the live page, kept for the next start beside the settings.

A change wins over the settings for as long as these stay what they were when it was made: who
writes another value into a settings file wants that one. A flag wins over both, for its run.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Collection
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, TypeAlias

from edge_detect import durable, places
from edge_detect.config import Zone
from edge_detect.controls import Choice
from edge_detect.errors import SinkError

log = logging.getLogger(__name__)

Changes: TypeAlias = dict[str, dict[str, Any]]
"""Name of a field of `Choice` to the value that it was changed `from`, and the one `to`."""

QUIET = 0.5  # seconds: a slider makes many changes, an SD card is not for ever


class Kept:
    """The choice of the page, in a file that is written a moment after each change.

    Attributes:
        path: The file.
        settings: What the settings say; to be kept up to date.
    """

    def __init__(
        self, settings: Choice, *, fixed: Collection[str] = (), path: Path | None = None, quiet: float = QUIET
    ) -> None:
        """Reads the file; its last good copy, loudly, where it is damaged.

        Args:
            settings: What the settings say.
            fixed: Names of what a flag has set for this run.
            path: The file; `state.json` in the folder of the state unless said otherwise.
            quiet: Seconds without another change before one is written.
        """
        self.path = path or places.state_folder() / "state.json"
        self.settings = settings
        self._fixed, self._quiet = frozenset(fixed), quiet
        self._ready = threading.Condition()
        self._due = self._closed = self._failed = False
        self._thread: threading.Thread | None = None
        self._changes = self._load()
        self._choice = self._over(settings)

    @property
    def choice(self) -> Choice:
        """The settings with what the page changed."""
        return self._choice

    def keep(self, choice: Choice) -> None:
        """Takes a new choice, from any thread, without waiting for the disk."""
        with self._ready:
            self._choice, self._due = choice, True
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="state", daemon=True)
                self._thread.start()
            self._ready.notify()

    def close(self) -> None:
        """Writes what is not written yet; safe to call twice."""
        with self._ready:
            self._closed = True
            self._ready.notify()
        if self._thread:
            self._thread.join(5)

    def _run(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._due or self._closed)
                if not self._due:
                    return
                while self._due and not self._closed:  # until nothing more comes for a while
                    self._due = False
                    self._ready.wait_for(lambda: self._due or self._closed, self._quiet)
                self._due = False
                changes = self._changed()
            if changes != self._changes:
                self._changes = changes
                self._write()

    def _changed(self) -> Changes:
        """What differs from the settings, and from what; of what a flag fixes, what was kept before."""
        now, settings = _plain(self._choice), _plain(self.settings)
        changes = {name: self._changes[name] for name in self._fixed if name in self._changes}
        for name, value in now.items():
            if name not in self._fixed and value != settings[name]:
                changes[name] = {"from": settings[name], "to": value}
        return changes

    def _over(self, settings: Choice) -> Choice:
        """The settings with the changes that still hold; the others are forgotten."""
        base, stale = _plain(settings), []
        for name, change in self._changes.items():
            if name in self._fixed:
                continue
            if change["from"] == base[name]:
                settings = replace(settings, **{name: _of_choice(name, change["to"])})
                log.info("%s: %s = %s, as changed in the page", self.path, name, _short(name, change["to"]))
            else:
                stale.append(name)
                log.info("%s: %s is what the settings say now, %s", self.path, name, _short(name, base[name]))
        for name in stale:
            del self._changes[name]
        if stale:
            self._write()
        return settings

    def _load(self) -> Changes:
        """The changes that are kept."""
        try:
            return _parse(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except OSError as error:
            said = f"{self.path}: cannot read: {error.strerror}"
        except ValueError as error:
            said = f"{self.path}: {error}"
        try:
            changes = _parse(_copy_of(self.path).read_bytes())
        except (OSError, ValueError):
            log.error("%s; the settings hold, what was changed in the page is lost", said)
            return {}
        log.error("%s; its good copy holds: %s", said, _copy_of(self.path))
        return changes

    def _write(self) -> None:
        data = json.dumps({"changes": self._changes}).encode()
        try:
            durable.make_folder(self.path.parent)
            for path in (self.path, _copy_of(self.path)):
                durable.write(path, data)
            self._failed = False
        except SinkError as error:
            if not self._failed:
                log.warning("what was changed in the page is not kept: %s", error)
            self._failed = True


def _copy_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.good")


def _plain(choice: Choice) -> dict[str, Any]:
    """A choice as JSON has it."""
    zones = [plain_zone(zone) for zone in choice.zones]
    return asdict(choice) | {
        "confidence": float(choice.confidence), "classes": list(choice.classes), "zones": zones,
    }  # fmt: skip


def plain_zone(zone: Zone) -> dict[str, Any]:
    """A zone as JSON has it."""
    points = [list(point) for point in zone.points]
    return asdict(zone) | {"points": points, "classes": list(zone.classes)}


def zone_of(value: Any, base: Zone | None = None) -> Zone:
    """The zone of its JSON; what is not said is as in another one.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(value, dict):
        raise TypeError("zone")
    kinds = {one.name: type(one.default) for one in fields(Zone)}
    base = base or Zone()
    values = dict(value)
    for name, one in value.items():
        if name in ("points", "classes"):
            fits = _is_point if name == "points" else _is_text
            if not isinstance(one, list) or not all(map(fits, one)):
                raise TypeError(name)
            values[name] = tuple((float(x), float(y)) for x, y in one) if name == "points" else tuple(one)
        elif name not in kinds or type(one) is not kinds[name]:
            raise TypeError(name)
    zone = replace(base, **values)
    if zone.kind not in ("zone", "line") or zone.anchor not in ("foot", "centre"):
        raise TypeError("kind")
    return zone


def _is_point(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) == 2
        and all(type(side) in (int, float) and 0 <= side <= 1 for side in value)
    )  # fmt: skip


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _parse(data: bytes) -> Changes:
    """The changes in a file.

    Raises:
        ValueError: It is not whole, or not ours.
    """
    if not data.strip(b"\0 \n"):
        raise ValueError("empty")
    try:
        changes = json.loads(data)["changes"]
        return {
            name: {side: _checked(name, change[side]) for side in ("from", "to")}
            for name, change in changes.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError("damaged") from error


def _checked(name: str, value: Any) -> Any:
    """The value, if one of its name can be so.

    Raises:
        KeyError: No such name.
        TypeError: Of another type.
    """
    kinds: dict[str, type] = {"confidence": float, "classes": list, "paused": bool, "zones": list}
    if name == "zones":
        return [plain_zone(zone_of(one)) for one in value]
    texts = value if isinstance(value, list) else []
    if type(value) is not kinds[name] or not all(isinstance(one, str) for one in texts):
        raise TypeError(name)
    return value


def _of_choice(name: str, value: Any) -> Any:
    if name == "zones":
        return tuple(map(zone_of, value))
    return tuple(value) if isinstance(value, list) else value


def _short(name: str, value: Any) -> Any:
    """The value for a line of the log."""
    return [zone["name"] for zone in value] if name == "zones" else value
