"""Checkup: what is right and wrong with this machine, each finding with its remedy."""

from __future__ import annotations

import grp
import importlib
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edge_detect import board, recipients
from edge_detect.errors import EdgeDetectError, ModelError

HOT = 75.0  # degrees Celsius; a Raspberry Pi begins to slow down at 80
GROUP_FIX = "sudo usermod -aG video $USER, then log in again"


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
    parts: dict[str, Callable[[], Iterator[Finding]]] = {
        "python": python,
        "numpy": numbers,
        "runtime": runtime,
        "opencv": opencv,
        "packages": packages,
        "CSI camera": csi_camera,
        "USB camera": usb_camera,
        "groups": groups,
        "display": display,
        "power": power,
        "disk": space,
        "model": lambda: detector(model, labels),
        "settings": settings,
    }
    for what, look in parts.items():
        try:
            with redirect_stdout(sys.stderr):  # what a package prints is no finding
                found = list(look())
            yield from found
        except Exception as error:  # noqa: BLE001 a broken package raises anything; the rest is worth knowing
            detail = f"{type(error).__name__}: {error}"
            yield Finding("fail", what, detail, "mend what is broken above, then again")


def python() -> Iterator[Finding]:
    """Interpreter and machine."""
    seen = f"{platform.python_version()} on {platform.machine()}, {board.name()}, {board.cores()} cores"
    if sys.maxsize < 2**32 or platform.machine() in ("armv6l", "armv7l"):
        fix = "install the 64-bit Raspberry Pi OS: there are no 32-bit wheels"
        yield Finding("fail", "python", seen, fix)
    else:
        yield Finding("ok", "python", seen)


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


def runtime() -> Iterator[Finding]:
    """The TFLite runtime."""
    from edge_detect import interpreter

    try:
        yield Finding("ok", "runtime", interpreter.runtime()[0])
    except EdgeDetectError as error:
        yield Finding("fail", "runtime", str(error), "pip install ai-edge-litert")


def opencv() -> Iterator[Finding]:
    """OpenCV, and whether two of its packages lie on top of each other."""
    names = ("opencv-python", "opencv-python-headless", "opencv-contrib-python")
    here = [name for name in names if _has(name)]
    try:
        import cv2
    except ImportError as error:
        fix = "pip install --force-reinstall opencv-python-headless==4.11.0.86"
        yield Finding("fail", "opencv", str(error), fix)
        return
    if len(here) > 1:
        fix = f"pip uninstall {' '.join(here)}; pip install opencv-python-headless==4.11.0.86"
        detail = f"{cv2.__version__} from {' and '.join(here)}, which overwrite each other"
        yield Finding("note", "opencv", detail, fix)
    else:
        yield Finding("ok", "opencv", cv2.__version__)


def packages() -> Iterator[Finding]:
    """The small packages that come with us; told only when one is missing or broken."""
    for name in ("imutils", "psutil"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            yield Finding("fail", name, str(error), f"pip install --force-reinstall {name}")


def _has(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def csi_camera() -> Iterator[Finding]:
    """CSI cameras by picamera2 and by rpicam-vid."""
    yield _picamera2()
    program = shutil.which("rpicam-vid") or shutil.which("libcamera-vid")
    if program:
        yield Finding("ok", "rpicam-vid", program)
    elif _is_pi():
        detail = "not installed; --source rpicam: needs it"
        yield Finding("note", "rpicam-vid", detail, "sudo apt install rpicam-apps")


def usb_camera() -> Iterator[Finding]:
    """USB cameras."""
    from edge_detect.sources import v4l2

    found = v4l2.devices()
    if not found:
        yield Finding("note", "USB camera", "none", "plug one in, or use a CSI or network camera")
        return
    locked = [device for device in found if not os.access(device, os.R_OK | os.W_OK)]
    if locked:
        yield Finding("fail", "USB camera", f"no permission for {', '.join(locked)}", GROUP_FIX)
    else:
        yield Finding("ok", "USB camera", ", ".join(f"{d} ({v4l2.driver(d) or 'unknown'})" for d in found))


def _picamera2() -> Finding:
    try:
        module = importlib.import_module("picamera2")
        found = [str(camera.get("Model", "?")) for camera in module.Picamera2.global_camera_info()]
    except ImportError as error:
        fix = (
            "sudo apt install -y python3-picamera2 --no-install-recommends, and a virtual environment"
            " made with --system-site-packages by the system's own python3; or use --source rpicam:"
        )
        return Finding("fail" if _is_pi() else "note", "CSI camera", f"picamera2: {error}", fix)
    except ValueError as error:  # numpy.dtype size changed
        return Finding("fail", "CSI camera", f"picamera2: {error}", "pip install 'numpy<2'")
    except (RuntimeError, OSError) as error:
        return Finding("fail", "CSI camera", str(error), GROUP_FIX)
    if not found:
        fix = "switch off, check the ribbon cable (contacts to contacts), then rpicam-hello --list-cameras"
        return Finding("note", "CSI camera", "picamera2 works, no camera found", fix)
    return Finding("ok", "CSI camera", ", ".join(found))


def _is_pi() -> bool:
    return "Raspberry Pi" in board.name()


def groups() -> Iterator[Finding]:
    """Membership in the groups that own cameras."""
    if os.geteuid() == 0:
        yield Finding("ok", "groups", "root")
        return
    names = {entry.gr_name: entry.gr_gid for entry in grp.getgrall()}
    mine = {*os.getgroups(), os.getegid()}
    lacking = [name for name in ("video", "render") if name in names and names[name] not in mine]
    if "video" in lacking:
        yield Finding("fail", "groups", "not in group video", GROUP_FIX)
    else:
        yield Finding("ok", "groups", "video" + ("" if lacking else ", render"))


def display() -> Iterator[Finding]:
    """What --display needs."""
    where = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
    has_toolkit = _has("pygame-ce") or _has("pygame")
    if not has_toolkit:
        fix = "pip install pygame-ce; only --display needs it"
        yield Finding("note", "display", f"{where or 'none'}, pygame-ce is not installed", fix)
    elif not where:
        fix = "run from the desktop, or without --display"
        yield Finding("note", "display", "no desktop session here", fix)
    else:
        yield Finding("ok", "display", where)


def power() -> Iterator[Finding]:
    """Heat and power supply."""
    degrees = board.temperature()
    if degrees is not None:
        state, fix = ("note", "add a heat sink or a fan") if degrees >= HOT else ("ok", "")
        yield Finding(state, "temperature", f"{degrees:.1f} C", fix)
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


def space() -> Iterator[Finding]:
    """Room for recordings and caches."""
    free = shutil.disk_usage(Path.cwd()).free
    full = free < 1 << 30
    fix = "delete what is not needed: recordings stop when the disk is full" if full else ""
    yield Finding("note" if full else "ok", "disk", f"{free / 1e9:.1f} GB free in {Path.cwd()}", fix)


def detector(path: Path | None, labels: Path | None) -> Iterator[Finding]:
    """The model and its labels: whether they can be read, and fit."""
    if path is None:
        yield Finding("note", "model", "none given and none shipped", "edge-detect doctor --model FILE")
        return
    from edge_detect import model

    try:
        opened = model.open_model(path, labels, threads=1)
    except ModelError as error:
        yield Finding("fail", "model", str(error), f"edge-detect inspect {path} tells more")
        return
    except EdgeDetectError as error:
        yield Finding("fail", "model", str(error), "give another file, or mend what failed above")
        return
    detail = f"{path.name}: {opened.card.layout}, {len(opened.labels)} labels"
    if len(opened.labels):
        yield Finding("ok", "model", detail)
    else:
        yield Finding("note", "model", detail, "give its names with --labels FILE")


def settings() -> Iterator[Finding]:
    """The settings files, and what they name that can be asked; told only when there is something to tell."""
    from edge_detect import layers

    try:
        chosen = layers.read().config
    except EdgeDetectError as error:
        detail = str(error).splitlines()[0]
        yield Finding("fail", "settings", detail, "edge-detect config check tells all mistakes")
        return
    if chosen.mqtt.host:
        yield broker(chosen.mqtt)


def broker(chosen: recipients.Mqtt) -> Finding:
    """Whether the MQTT broker takes us."""
    from edge_detect.lazy import load

    try:
        knock, port = load("edge_detect.notices.link:knock"), load("edge_detect.notices.link:port")
    except ImportError:
        return Finding("fail", "mqtt", "paho-mqtt is not installed", "pip install 'edge_detect[mqtt]'")
    where = f"{chosen.host}:{port(chosen)}"
    try:
        trouble = knock(chosen)
    except EdgeDetectError as error:
        return Finding("fail", "mqtt", str(error), "mend the file that is named")
    if trouble:
        fix = "check mqtt.host, mqtt.port, mqtt.username and the password"
        return Finding("fail", "mqtt", f"{where}: {trouble}", fix)
    return Finding("ok", "mqtt", f"{where} takes us")
