"""Checkup: what is right and wrong with this machine, each finding with its remedy."""

from __future__ import annotations

import grp
import importlib
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edge_detect import board
from edge_detect.errors import EdgeDetectError

HOT = 75.0  # degrees Celsius; a Raspberry Pi begins to slow down at 80


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the checkup.

    Attributes:
        state: `ok`, `note` (works, but could be better) or `fail`.
        what: The part that was looked at.
        detail: What was seen.
        fix: What to do; empty when all is well.
    """

    state: str
    what: str
    detail: str
    fix: str = ""


def examine(model: Path | None, labels: Path | None) -> Iterator[Finding]:
    """All findings, from the ground up.

    Args:
        model: A model file to try; None when there is none.
        labels: Its label file.
    """
    yield python()
    yield from numbers()
    yield runtime()
    yield opencv()
    yield from cameras()
    yield groups()
    yield display()
    yield from power()
    yield space()
    yield detector(model, labels)


def python() -> Finding:
    """Interpreter and machine."""
    seen = f"{platform.python_version()} on {platform.machine()}, {board.name()}, {board.cores()} cores"
    if sys.version_info < (3, 11):
        return Finding("fail", "python", seen, "install Python 3.11 or newer (Raspberry Pi OS Bookworm has it)")
    if sys.maxsize < 2**32 or platform.machine() in ("armv6l", "armv7l"):
        return Finding("fail", "python", seen, "install the 64-bit Raspberry Pi OS: there are no 32-bit wheels")
    return Finding("ok", "python", seen)


def numbers() -> Iterator[Finding]:
    """numpy, and whether what apt installed was built for it."""
    try:
        import numpy as np
    except ImportError as error:
        yield Finding("fail", "numpy", str(error), "pip install numpy")
        return
    yield Finding("ok", "numpy", np.__version__)
    try:
        importlib.import_module("simplejpeg")
    except ModuleNotFoundError:
        return
    except (ImportError, ValueError) as error:
        yield Finding("fail", "numpy ABI", f"apt's simplejpeg: {error}", "pip install 'numpy<2'")


def runtime() -> Finding:
    """The TFLite runtime."""
    from edge_detect import interpreter

    try:
        return Finding("ok", "runtime", interpreter.runtime()[0])
    except EdgeDetectError as error:
        return Finding("fail", "runtime", str(error), "pip install ai-edge-litert")


def opencv() -> Finding:
    """OpenCV, and whether two of its packages lie on top of each other."""
    packages = [name for name in ("opencv-python", "opencv-python-headless", "opencv-contrib-python") if _has(name)]
    try:
        import cv2
    except ImportError as error:
        return Finding("fail", "opencv", str(error), "pip install --force-reinstall opencv-python-headless==4.11.0.86")
    if len(packages) > 1:
        return Finding(
            "note", "opencv", f"{cv2.__version__} from {' and '.join(packages)}, which overwrite each other",
            f"pip uninstall {' '.join(packages)}; pip install opencv-python-headless==4.11.0.86",
        )  # fmt: skip
    return Finding("ok", "opencv", cv2.__version__)


def _has(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def cameras() -> Iterator[Finding]:
    """CSI cameras by picamera2 and by rpicam-vid, USB cameras."""
    from edge_detect.sources import v4l2

    yield _picamera2()
    program = shutil.which("rpicam-vid") or shutil.which("libcamera-vid")
    if program:
        yield Finding("ok", "rpicam-vid", program)
    elif _is_pi():
        yield Finding("note", "rpicam-vid", "not installed; --source rpicam: needs it", "sudo apt install rpicam-apps")
    found = v4l2.devices()
    if not found:
        yield Finding("note", "USB camera", "none", "plug one in, or use a CSI or network camera")
        return
    locked = [device for device in found if not os.access(device, os.R_OK | os.W_OK)]
    if locked:
        fix = "sudo usermod -aG video $USER, then log in again"
        yield Finding("fail", "USB camera", f"no permission for {', '.join(locked)}", fix)
    else:
        yield Finding("ok", "USB camera", ", ".join(f"{d} ({v4l2.driver(d) or 'unknown'})" for d in found))


def _picamera2() -> Finding:
    try:
        module = importlib.import_module("picamera2")
    except ImportError as error:
        state, fix = "note", (
            "sudo apt install -y python3-picamera2 --no-install-recommends, and a virtual environment made with"
            " --system-site-packages by the system's own python3; or use --source rpicam:"
        )  # fmt: skip
        return Finding(state if not _is_pi() else "fail", "CSI camera", f"picamera2: {error}", fix)
    except ValueError as error:  # numpy.dtype size changed
        return Finding("fail", "CSI camera", f"picamera2: {error}", "pip install 'numpy<2'")
    try:
        found = [str(camera.get("Model", "?")) for camera in module.Picamera2.global_camera_info()]
    except (RuntimeError, OSError) as error:
        return Finding("fail", "CSI camera", str(error), "sudo usermod -aG video $USER, then log in again")
    if not found:
        fix = "switch off, check the ribbon cable (contacts to the contacts), then rpicam-hello --list-cameras"
        return Finding("note", "CSI camera", "picamera2 works, no camera found", fix)
    return Finding("ok", "CSI camera", ", ".join(found))


def _is_pi() -> bool:
    return "Raspberry Pi" in board.name()


def groups() -> Finding:
    """Membership in the groups that own cameras."""
    if os.geteuid() == 0:
        return Finding("ok", "groups", "root")
    names = {entry.gr_name: entry.gr_gid for entry in grp.getgrall()}
    mine = {*os.getgroups(), os.getegid()}
    lacking = [name for name in ("video", "render") if name in names and names[name] not in mine]
    if "video" in lacking:
        return Finding("fail", "groups", "not in group video", "sudo usermod -aG video $USER, then log in again")
    return Finding("ok", "groups", "video" + ("" if lacking else ", render"))


def display() -> Finding:
    """What --display needs."""
    where = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
    has_toolkit = _has("pygame-ce") or _has("pygame")
    if not has_toolkit:
        fix = "pip install pygame-ce; only --display needs it"
        return Finding("note", "display", f"{where or 'none'}, pygame-ce is not installed", fix)
    if not where:
        return Finding("note", "display", "no desktop session here", "run from the desktop, or without --display")
    return Finding("ok", "display", where)


def power() -> Iterator[Finding]:
    """Heat and power supply."""
    degrees = board.temperature()
    if degrees is not None:
        hot = degrees >= HOT
        yield Finding("note" if hot else "ok", "temperature", f"{degrees:.1f} C", "add a heat sink or a fan" if hot else "")
    bits = board.throttled()
    if bits is None:
        return
    flags = board.flags(bits)
    fix = ""
    if any("under-voltage" in flag for flag in flags):
        fix = "use the official power supply (5 V, 3 A; 5 A for a Pi 5) and a short cable"
    elif flags:
        fix = "add a heat sink or a fan"
    yield Finding("note" if flags else "ok", "power", ", ".join(flags) or "never throttled since boot", fix)


def space() -> Finding:
    """Room for recordings and caches."""
    free = shutil.disk_usage(Path.cwd()).free
    state, fix = ("note", "delete what is not needed: recordings stop when the disk is full") if free < 1 << 30 else ("ok", "")
    return Finding(state, "disk", f"{free / 1e9:.1f} GB free in {Path.cwd()}", fix)


def detector(path: Path | None, labels: Path | None) -> Finding:
    """The model: whether it loads, and finds anything to run on."""
    if path is None:
        return Finding("note", "model", "none given and none shipped", "edge-detect doctor --model FILE")
    return _try(lambda: _describe(path, labels), "model")


def _describe(path: Path, labels: Path | None) -> Finding:
    from edge_detect import model

    opened = model.open_model(path, labels, threads=1)
    detail = f"{path.name}: {opened.card.layout}, {len(opened.labels)} labels"
    if not len(opened.labels):
        return Finding("note", "model", detail, "give its names with --labels FILE")
    return Finding("ok", "model", detail)


def _try(check: Callable[[], Finding], what: str) -> Finding:
    try:
        return check()
    except EdgeDetectError as error:
        return Finding("fail", what, str(error), "edge-detect inspect FILE tells more")
