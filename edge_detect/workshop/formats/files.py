"""Files: pictures that are found, measured and copied, and results that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath, PureWindowsPath

from PIL import Image, UnidentifiedImageError

from edge_detect.errors import DatasetError, InputMissing, SinkError
from edge_detect.pixels import decode_picture
from edge_detect.workshop.dataset import Picture

ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
LONGEST_SIDE = 1 << 20  # OpenCV reads no longer one
_ORIENTATION = 0x0112  # Exif; 5 to 8 lie on their side
_LARGEST_TEXT = 1 << 30


def inside(folder: Path, name: str) -> Path | None:
    """The file of a name that a data set gives, None for a name that leads out of the folder."""
    windows = PureWindowsPath(name)
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or "\0" in name or windows.drive or windows.root or ".." in parts:
        return None
    plain = folder / name
    # a backslash is a letter here, and a separator where the set was written
    return plain if "\\" not in name or plain.exists() else folder.joinpath(*parts)


def pictures_in(folder: Path) -> list[Path]:
    """All picture files in a folder and below, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())


def size_of(path: Path) -> tuple[int, int] | None:
    """(width, height) of the picture in a file, as it is shown; None for any other file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of size: no pixel is read here
            with Image.open(path) as image:
                width, height = image.size
                turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
                form = image.format
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError, SyntaxError):
        return None
    if turned and form not in ("JPEG", "MPO", "PNG"):  # of TIFF and WebP the libraries differ: we see
        shown = decode_picture(path.read_bytes())
        return None if shown is None else (shown.shape[1], shown.shape[0])
    return (height, width) if turned else (width, height)


def read_text(path: Path, form: str) -> str:
    """The text of a file of a data set.

    Raises:
        InputMissing: It is not there, or may not be read.
        DatasetError: It is not text, or too long.
    """
    try:
        if path.stat().st_size > _LARGEST_TEXT:
            raise DatasetError(f"{path}: expected {form}, got a file of more than 1 GiB")
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: expected {form} in UTF-8, got binary data") from error
    except OSError as error:
        raise InputMissing(f"{path}: cannot read the data set: {error.strerror}") from error


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A draft that becomes the file when all went well.

    Raises:
        SinkError: It cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield draft
        os.replace(draft, path)
    except OSError as error:
        if isinstance(error, InputMissing | SinkError):
            raise
        raise SinkError(f"{path}: cannot write: {error.strerror}") from error
    finally:
        with suppress(OSError):
            draft.unlink()


def check_free(path: Path) -> None:
    """DatasetError unless a new folder can take this place."""
    if path.is_dir() and any(path.iterdir()):
        raise DatasetError(f"{path}: exists and is not empty; give a new folder")
    if path.exists() and not path.is_dir():
        raise DatasetError(f"{path}: expected a folder, there is a file; give a new folder")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A draft that becomes the folder when all went well.

    Raises:
        DatasetError: There is something already.
        SinkError: It cannot be written.
    """
    check_free(path)
    path = path.absolute()  # `.` has no name of its own
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        draft.mkdir(parents=True)
        yield draft
        os.replace(draft, path)
    except OSError as error:
        if isinstance(error, InputMissing | SinkError):
            raise
        raise SinkError(f"{path}: cannot write: {error.strerror}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def names_for(pictures: Iterable[Picture]) -> list[str]:
    """A file name for each picture, no two of one stem: `a.jpg`, `a_2.jpg`."""
    taken: set[str] = set()
    names = []
    for picture in pictures:
        stem, number = picture.path.stem, 1
        while stem.lower() in taken:  # some file systems do not tell A from a
            number += 1
            stem = f"{picture.path.stem}_{number}"
        taken.add(stem.lower())
        names.append(stem + picture.path.suffix)
    return names


def copy(picture: Picture, place: Path) -> None:
    """Copies the image file.

    Raises:
        InputMissing: It is not there.
        DatasetError: It is no picture.
    """
    place.write_bytes(read_picture(picture))


def read_picture(picture: Picture) -> bytes:
    """The bytes of the image file.

    Raises:
        InputMissing: It is not there, or may not be read.
        DatasetError: It is no picture.
    """
    try:
        data = picture.path.read_bytes()
    except OSError as error:
        raise InputMissing(
            f"{picture.where}: cannot read the picture {picture.path}: {error.strerror}"
        ) from error
    if size_of(picture.path) is None:  # what a hostile set names is not carried into ours
        raise DatasetError(f"{picture.where}: expected a picture, {picture.path} is none")
    return data
