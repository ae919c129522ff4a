"""Requirements: the package to install, the Python that it needs, and what a machine lacks for both."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote

from edge_detect import __version__
from edge_detect.errors import EdgeDetectError, InputMissing

OLDEST = (3, 11)
ROOM = 700 << 20  # bytes; of the environment with all packages, and of what pip unpacks
MARK = ".edge-detect"  # file in an environment of ours: what is installed there; empty until it is
EXTRAS = "gpio,mqtt,record,web"
"""What a service may be asked for in its settings; small packages."""
SYSTEMD = 247  # the first with LoadCredential=
_PARTS = ("pyproject.toml", "README.md", "LICENSE", "edge_detect", "models", "systemd")
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # by ProtectHome= and PrivateTmp=
_SIGNS = " %:\"'\\"  # mean something to venv, to pip's scripts or in a unit
_QUESTION = """
import importlib.metadata as m, importlib.util as u, json, sys
try: numpy = m.version("numpy")
except m.PackageNotFoundError: numpy = ""
print(json.dumps({"version": sys.version_info[:2], "large": sys.maxsize > 2**32, "numpy": numpy,
    "venv": all(map(u.find_spec, ("venv", "ensurepip"))), "picamera2": bool(u.find_spec("picamera2"))}))
"""
_CHECK = "import cv2, psutil; from edge_detect.interpreter import runtime; print('runs with', runtime()[0])"

Run = Callable[[Sequence[str]], None]


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter of the system.

    Attributes:
        path: Its program.
        version: Major and minor.
        large: Whether it is a 64-bit one.
        venv: Whether it can make environments.
        numpy: Version of its own numpy; empty without one.
        picamera2: Whether it has picamera2.
    """

    path: Path
    version: tuple[int, int]
    large: bool
    venv: bool
    numpy: str
    picamera2: bool

    @property
    def limits(self) -> tuple[str, ...]:
        """What else pip has to respect: Bookworm's picamera2 was built for numpy 1."""
        return ("numpy<2",) if self.picamera2 and self.numpy.startswith("1.") else ()

    def made(self, prefix: Path) -> bool:
        """Whether there is an environment of ours that it made and that sees the system's packages."""
        try:
            lines = (prefix / "pyvenv.cfg").read_text("utf-8").splitlines()
        except OSError:
            return False
        pairs = (line.partition("=") for line in lines)
        known = {name.strip(): value.strip() for name, _, value in pairs}
        major_minor = ".".join(map(str, self.version))
        return (
            read_stamp(prefix) is not None
            and (known.get("version", "") + ".").startswith(major_minor + ".")
            and known.get("include-system-site-packages") == "true"
            and (prefix / "bin/pip").exists()
        )

    def make(self, prefix: Path, run: Run) -> None:
        """Makes the environment anew."""
        place = prefix.resolve()  # it may be a link to a larger disk
        if place.exists():
            shutil.rmtree(place)
        place.mkdir(parents=True)
        (prefix / MARK).touch()
        run(self.making(prefix))

    def making(self, prefix: Path) -> list[str]:
        """The command that does."""
        return [str(self.path), "-I", "-m", "venv", "--system-site-packages", str(prefix)]


def ask_python(path: Path) -> Python:
    """What an interpreter can.

    Raises:
        InputMissing: There is none.
        EdgeDetectError: It does not answer.
    """
    command = [str(path), "-I", "-c", _QUESTION]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd="/")
        told = json.loads(done.stdout)
    except OSError as error:
        raise InputMissing(f"{path}: no Python: {error.strerror}; sudo apt install python3") from error
    except (subprocess.SubprocessError, ValueError) as error:
        raise EdgeDetectError(f"{path}: expected a Python, got: {error}") from error
    return Python(path, **told | {"version": tuple(told["version"])})


@dataclass(frozen=True, slots=True)
class Wanted:
    """The package to install.

    Attributes:
        origin: A checkout, or what pip takes; empty when it is there already and nothing else known.
        checkout: Whether `origin` is a folder with the source.
        stamp: Differs when what would be installed differs.
        limits: What pip has to respect besides.
    """

    origin: str
    checkout: bool
    stamp: str
    limits: tuple[str, ...] = ()

    def commands(self, prefix: Path, place: str) -> list[list[str]]:
        """What installs it from a place, and tries whether it starts."""
        python = str(prefix / "bin/python")
        named = f"{place}[{EXTRAS}]" if self.checkout else f"edge_detect[{EXTRAS}] @ {place}"
        pip = [python, "-I", "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
        return [[*pip, "--upgrade", named, *self.limits], [python, "-I", "-c", _CHECK]]

    def install(self, prefix: Path, run: Run) -> None:
        """Installs it; an environment in which that broke off is known by its empty mark."""
        (prefix / MARK).write_text("")
        with self._place() as place:
            for command in self.commands(prefix, place):
                run(command)
        (prefix / MARK).write_text(self.stamp)

    @contextmanager
    def _place(self) -> Iterator[str]:
        """Where pip may build: a copy, since root would leave files of its own in a user's checkout."""
        if not self.checkout:
            yield self.origin
            return
        with tempfile.TemporaryDirectory(prefix="edge-detect-") as copy:
            for part in filter(Path.exists, (Path(self.origin, name) for name in _PARTS)):
                if part.is_dir():
                    shutil.copytree(part, Path(copy, part.name), ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(part, copy)
            yield copy


def wanted(prefix: Path, limits: tuple[str, ...]) -> Wanted | None:
    """This very program: from its checkout, else from where pip had it; None when that is gone."""
    checkout = Path(__file__).resolve().parents[1]
    if (checkout / "pyproject.toml").exists():
        return Wanted(str(checkout), True, _stamp(_digest(checkout), limits), limits)
    if Path(sys.prefix) == prefix:
        return Wanted(f"{prefix} itself", False, read_stamp(prefix) or "", limits)
    url = _origin()
    return Wanted(url, False, _stamp(url, limits), limits) if url else None


def _origin() -> str:
    """What pip had the program from (PEP 610); empty when it is not known, or a folder that is gone."""
    try:
        told = json.loads(distribution("edge_detect").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return ""
    url = str(told.get("url", ""))
    if version := told.get("vcs_info"):
        return f"{version['vcs']}+{url}@{version['commit_id']}"
    place = Path(unquote(url.removeprefix("file://")))
    return "" if url.startswith("file://") and not place.exists() else url


def _digest(checkout: Path) -> str:
    """Of all files that would be installed."""
    known = hashlib.sha256()
    for part in _PARTS:
        top = checkout / part
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                known.update(f"{path.relative_to(checkout)}\0{path.stat().st_size}\0".encode())
                known.update(path.read_bytes())
    return known.hexdigest()


def _stamp(what: str, limits: tuple[str, ...]) -> str:
    return " ".join((__version__, what, *limits))


def read_stamp(prefix: Path) -> str | None:
    """What is installed in an environment of ours; empty when that broke off, None when it is not ours."""
    try:
        return (prefix / MARK).read_text("utf-8")
    except OSError:
        return None


def lacking(prefix: Path, python: Python, package: Wanted | None, root: Path = Path("/")) -> list[str]:
    """What this machine lacks for an installation, each with its remedy; empty when nothing does."""
    return [*_systemd(root), *_python(python), *_package(package), *_prefix(prefix)]


def no_root() -> list[str]:
    """Whether we may install, told as what is lacking."""
    return [] if os.geteuid() == 0 else ["the right to install: begin the command with sudo"]


def _systemd(root: Path) -> Iterator[str]:
    if not shutil.which("systemctl") or not (root / "run/systemd/system").is_dir():
        yield "systemd: it does not run this machine; edge-detect run works without a service"
        return
    told = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=False).stdout
    words = told.split()
    number = words[1] if len(words) > 1 else ""
    if number.isdecimal() and int(number) < SYSTEMD:
        yield f"systemd {SYSTEMD} or newer, found {number}: install Raspberry Pi OS Bookworm or Trixie"


def _python(python: Python) -> Iterator[str]:
    if python.version < OLDEST:
        found = ".".join(map(str, python.version))
        yield (
            f"Python 3.11 or newer, found {found} at {python.path}: install Raspberry Pi OS Bookworm or"
            " Trixie, or name another one with --python"
        )
    if not python.large:
        yield "a 64-bit system: install the 64-bit Raspberry Pi OS, there are no 32-bit wheels"
    if not python.venv:
        yield f"the module venv of {python.path}: sudo apt install python3-venv"


def _package(package: Wanted | None) -> Iterator[str]:
    if package is None:
        yield (
            "the program's source: it is not known where this edge-detect came from, or that is gone;"
            " run `python3 -B -m edge_detect service install` in a checkout"
        )


def _prefix(prefix: Path) -> Iterator[str]:
    if not prefix.is_absolute():
        yield f"--prefix {prefix}: expected an absolute path"
        return
    for hidden in filter(prefix.resolve().is_relative_to, _HIDDEN):
        yield f"--prefix {prefix}: the service cannot see {hidden}; choose another, such as /opt/edge-detect"
    if not str(prefix).isprintable() or set(str(prefix)) & set(_SIGNS):
        yield f"--prefix {prefix}: expected a path without spaces, quotes, %, : and \\"
    if prefix.exists() and read_stamp(prefix) is None and (not prefix.is_dir() or any(prefix.iterdir())):
        yield f"--prefix {prefix}: holds something else, which would be lost; choose another or move it away"
    place = next(folder for folder in (prefix, *prefix.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < ROOM and not read_stamp(prefix):
        yield f"room on the disk: {ROOM >> 20} MB in {place}, found {free >> 20} MB"


def notes(python: Python, on_pi: bool) -> list[str]:
    """What is worth knowing before, and no reason not to install."""
    told = []
    if python.limits:
        told.append("numpy stays below 2: this system's picamera2 was built for numpy 1")
    if on_pi and not python.picamera2:
        told.append("no picamera2: for a camera on the ribbon cable, sudo apt install python3-picamera2")
    return told
