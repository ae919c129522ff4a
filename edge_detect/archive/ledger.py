"""Ledger: what has been done already, in the folder of the results; safe at every moment."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_detect import durable
from edge_detect.archive.footage import Recording
from edge_detect.archive.shards import Account, Shard
from edge_detect.archive.work import Result
from edge_detect.errors import ConfigError, SinkError
from edge_detect.sources.video import Length

FORM = 1


class Ledger:
    """The shards that are done, a file each, and `manifest.json`: by which settings, and how videos are cut.

    The name of a shard's file is a digest of all that its content depends on, so a file that is there is
    the right one, and one that is not needed any more is never read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._shards = folder, folder / "shards"
        self._manifest = folder / "manifest.json"
        self._settings: dict[str, Any] = {}
        self._word = ""
        self._videos: dict[str, dict[str, Any]] = {}

    def begin(self, settings: dict[str, Any], *, anew: bool = False) -> None:
        """Takes up what was begun with the same settings, or begins.

        Raises:
            ConfigError: It was begun with other settings, or something else is there.
            SinkError: It cannot be written.
        """
        settings = json.loads(json.dumps(settings))  # as they will be read
        if not anew:
            before = self._read()
            for name, value in settings.items():
                if before and before["settings"].get(name) != value:
                    raise ConfigError(
                        f"{self._folder}: was begun with {name} {_short(before['settings'].get(name))},"
                        f" not {_short(value)}; --anew begins again, or choose another folder"
                    )
            self._videos = before.get("videos", {})
        durable.make_folder(self._shards)
        self._settings, self._word = settings, json.dumps(settings, sort_keys=True)
        self.keep()

    def _read(self) -> dict[str, Any]:
        try:
            kept = json.loads(self._manifest.read_bytes())
            if kept["v"] != FORM:
                raise KeyError
            return {name: dict(kept[name]) for name in ("settings", "videos")}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise SinkError(f"{self._manifest}: cannot read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{self._manifest}: not a manifest of this version; --anew begins again"
            ) from error

    def keep(self) -> None:
        """Writes the manifest.

        Raises:
            SinkError: It cannot be written.
        """
        told = {"v": FORM, "settings": self._settings, "videos": self._videos}
        durable.write(self._manifest, json.dumps(told, indent=1, sort_keys=True).encode())

    def length(self, video: Recording) -> tuple[Length, bool] | None:
        """Length of a video, and whether it must stay whole; None for one that is not known yet."""
        known = self._videos.get(_identity(video))
        return (Length(known["seconds"], known["fps"]), known["whole"]) if known else None

    def learn(self, video: Recording, length: Length, *, whole: bool = False) -> None:
        """Remembers that; `keep` writes it."""
        self._videos[_identity(video)] = {"seconds": length.seconds, "fps": length.fps, "whole": whole}

    def account(self, shard: Shard) -> Account | None:
        """Of a shard that is done; None for one that is not."""
        try:
            with self._place(shard).open("rb") as file:
                told = json.loads(file.readline())
            return Account(**told | {"skipped": tuple(told["skipped"])})
        except (OSError, ValueError, TypeError, KeyError):  # not there, or not ours
            return None

    def store(self, shard: Shard, result: Result) -> None:
        """Keeps what was found, whole or not at all.

        Raises:
            SinkError: It cannot be written.
        """
        head = json.dumps(result.account.to_json()).encode()
        durable.write(self._place(shard), head + b"\n" + result.lines)

    def notes(self, shard: Shard) -> Iterator[dict[str, Any]]:
        """What was found in a shard that is done, a `work.note` for each frame.

        Raises:
            SinkError: It cannot be read any more.
        """
        place = self._place(shard)
        try:
            with place.open("rb") as file:
                file.readline()
                yield from map(json.loads, file)
        except OSError as error:
            raise SinkError(f"{place}: cannot read: {error.strerror}") from error
        except ValueError as error:
            raise SinkError(f"{place}: damaged; delete it, and the same command looks again") from error

    def tidy(self, shards: list[Shard]) -> None:
        """Deletes the files of all other shards, of settings and footage that are no more."""
        needed = {self._place(shard).name for shard in shards}
        for path in self._shards.iterdir():
            if path.name not in needed:
                with contextlib.suppress(OSError):  # what is left does no harm
                    path.unlink()

    def _place(self, shard: Shard) -> Path:
        return self._shards / f"{shard.key(self._word)}.jsonl"


def _identity(video: Recording) -> str:
    file = video.files[0]
    return f"{file.path} {file.size} {file.changed}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
