"""Footage: the videos and pictures below what the user named."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edge_detect.errors import InputMissing
from edge_detect.sources import PICTURE_ENDINGS
from edge_detect.uri import public

VIDEO_ENDINGS = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".flv",
    ".3gp", ".ogv", ".mjpg", ".mjpeg", ".h264", ".264", ".h265", ".265", ".hevc",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was when it was found.

    Attributes:
        name: As the user would write it.
        path: The same, absolute.
        size: Bytes.
        changed: Nanoseconds of its last change.
    """

    name: str
    path: str
    size: int
    changed: int


@dataclass(frozen=True, slots=True)
class Recording:
    """What belongs together: one video, or the pictures of one folder in the order of their names.

    Attributes:
        name: Of the video or the folder.
        files: The video, or the pictures.
        video: Which of the two.
    """

    name: str
    files: tuple[File, ...]
    video: bool


def find(places: Iterable[str], leave: str = "") -> tuple[list[Recording], list[InputMissing]]:
    """All recordings in the order of their names, each once, and the places and names where nothing is.

    Args:
        places: Files, folders and globs. In a folder known endings count, a file may have any.
        leave: A folder that is not entered: the one for the results.
    """
    found: dict[str, str] = {}  # absolute path to name; the first name counts
    missing: list[InputMissing] = []
    for place in places:
        names = [place] if os.path.exists(place) else sorted(glob.glob(place, recursive=True))
        known = len(missing)
        away = os.path.abspath(leave) if leave else ""
        files = [file for name in names for file in _files(name, away, missing)]
        if not files and len(missing) == known:
            missing.append(InputMissing(f"{public(place)}: {_why(place)}"))
        for name in files:
            if os.path.isfile(name):
                found.setdefault(os.path.abspath(name), name)
            else:
                missing.append(InputMissing(f"{name}: not a file, or a link to none"))
    return _recordings(found), missing


def _why(place: str) -> str:
    there = os.path.exists(place) or any(sign in place for sign in "*?[")
    return "no video or picture there" if there else "no such file or folder"


def _files(name: str, leave: str, missing: list[InputMissing]) -> Iterator[str]:
    """A file, or those in a folder that end like a video or a picture; hidden ones are left out.

    Folders that cannot be read are added to `missing`.
    """

    def tell(error: OSError) -> None:
        missing.append(InputMissing(f"{error.filename}: cannot read the folder: {error.strerror}"))

    if not os.path.isdir(name):
        if os.path.isfile(name):
            yield name
        return
    for folder, below, files in os.walk(name, onerror=tell):
        below[:] = sorted(
            one for one in below if one[0] != "." and os.path.abspath(os.path.join(folder, one)) != leave
        )
        if os.path.abspath(folder) == leave:
            return
        for file in files:
            if file[0] != "." and file.lower().endswith(VIDEO_ENDINGS + PICTURE_ENDINGS):
                yield os.path.normpath(os.path.join(folder, file))


def _recordings(found: dict[str, str]) -> list[Recording]:
    videos: list[Recording] = []
    albums: dict[str, list[File]] = {}
    for path, name in sorted(found.items(), key=lambda item: item[1]):
        stat = os.stat(name)
        file = File(name, path, stat.st_size, stat.st_mtime_ns)
        if name.lower().endswith(PICTURE_ENDINGS):
            albums.setdefault(f"{os.path.dirname(name) or '.'}/", []).append(file)
        else:
            videos.append(Recording(name, (file,), video=True))
    pictures = [Recording(name, tuple(files), video=False) for name, files in albums.items()]
    return sorted(videos + pictures, key=lambda recording: recording.name)
