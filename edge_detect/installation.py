"""Installation: the steps that make a service of the program, each done once, and the way back."""

from __future__ import annotations

import grp
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge_detect import durable, manual
from edge_detect.errors import EdgeDetectError, words
from edge_detect.requirements import Python, Wanted, read_stamp

NAME = "edge-detect"
UNIT = f"{NAME}.service"
PREFIX = Path("/opt/edge-detect")
SECRETS = ("web-password", "mqtt-password", "webhook-secret")
"""Files of the owner beside the settings that the service gets as credentials."""
READY_WITHIN = 600.0  # seconds; systemd's own limits are shorter, but a model may ask for more time


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything lies.

    Attributes:
        prefix: The environment of the program.
        root: Another root of the file system, for trying it.
    """

    prefix: Path = PREFIX
    root: Path = Path("/")

    @property
    def program(self) -> Path:
        """What the unit starts."""
        return self.prefix / "bin" / NAME

    @property
    def settings(self) -> Path:
        return self.root / "etc" / NAME / "config.toml"

    @property
    def token(self) -> Path:
        """Of the live page, handed on by systemd as a credential."""
        return self.root / "etc" / NAME / "web-token"

    @property
    def secrets(self) -> tuple[Path, ...]:
        """Others, where their owner wrote them; handed on in the same way."""
        return tuple(self.token.with_name(name) for name in SECRETS)

    @property
    def unit(self) -> Path:
        return self.root / "etc/systemd/system" / UNIT

    @property
    def state(self) -> Path:
        """What the service keeps."""
        return self.root / "var/lib" / NAME

    @property
    def link(self) -> Path:
        """Makes the program known to every shell."""
        return self.root / "usr/local/bin" / NAME

    @property
    def kept(self) -> tuple[Path, ...]:
        """What the service and its owner have written; only a purge removes it."""
        made = [self.root / place / NAME for place in ("var/lib", "var/cache", "var/lib/private",
                                                       "var/cache/private")]  # fmt: skip
        return (self.settings.parent, *made, self.unit.with_name(f"{UNIT}.d"))


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to be done.

    Attributes:
        what: In words.
        do: Does it; may be repeated after it broke off in the middle.
        done: Whether there is nothing to be done.
        detail: Commands and file contents, a line each.
    """

    what: str
    do: Callable[[], object]
    done: Callable[[], bool] = lambda: False
    detail: tuple[str, ...] = ()


def carry_out(steps: Sequence[Step], tell: Callable[[str], None], *, dry: bool = False) -> bool:
    """Does one step after another and tells of each; returns whether anything was to be done.

    Args:
        steps: Those that are done already are told and left alone.
        tell: Gets lines for people.
        dry: Only tells.

    Raises:
        EdgeDetectError: A step failed; those before it stay done, those after it are not begun.
    """
    changed = False
    for number, step in enumerate(steps, 1):
        done = step.done()
        tell(f"{number}/{len(steps)} {step.what}{': nothing to do' if done else ''}")
        if done:
            continue
        changed = True
        if dry:
            for line in step.detail:
                tell(f"      {line}")
            continue
        try:
            step.do()
        except (OSError, subprocess.SubprocessError) as error:
            where = f"step {number} of {len(steps)}, {step.what}"
            raise EdgeDetectError(f"{where}: {_reason(error)}; the same command goes on from here") from error
    return changed


def install_steps(layout: Layout, python: Python, wanted: Wanted) -> list[Step]:
    """What makes a service of the program.

    Args:
        layout: Where.
        python: The system's own, which sees apt's picamera2.
        wanted: The package, and where it is taken from.
    """
    unit = unit_text(layout)
    return [
        Step(
            f"environment {layout.prefix}",
            lambda: python.make(layout.prefix, _run),
            lambda: python.made(layout.prefix),
            _shown(python.making(layout.prefix)),
        ),
        Step(
            f"program from {wanted.origin}",
            lambda: wanted.install(layout.prefix, _run),
            lambda: read_stamp(layout.prefix) == wanted.stamp,
            _shown(*wanted.commands(layout.prefix, wanted.origin)),
        ),
        Step(
            f"settings {layout.settings}",
            lambda: _write(layout.settings, manual.template(), 0o644),
            layout.settings.exists,
            ("mode 0644", *_quoted(manual.template())),
        ),
        Step(
            f"token of the live page {layout.token}",
            lambda: _write(layout.token, secrets.token_urlsafe(32) + "\n", 0o600),
            lambda: layout.token.exists() and layout.token.stat().st_size > 1,
            ("mode 0600, 256 random bits",),
        ),
        Step(f"unit {layout.unit}", lambda: _write(layout.unit, unit, 0o644),
             lambda: _text(layout.unit) == unit, _quoted(unit)),
        Step(f"{layout.link}", lambda: _link(layout), lambda: not _lacks_link(layout),
             (f"-> {layout.program}",)),
    ]  # fmt: skip


def start_steps(layout: Layout, *, changed: bool) -> list[Step]:
    """What starts the service, now and at every boot; READY ends the last step."""
    begin = ("systemctl", "restart" if changed else "start", UNIT)
    return [
        Step("systemd reads its units", lambda: _run(_RELOAD), detail=_shown(_RELOAD)),
        Step("start at boot", lambda: _run(_ENABLE), detail=_shown(_ENABLE)),
        Step(
            "start now, until it is ready",
            lambda: _run(begin, READY_WITHIN),
            lambda: not changed and active(),
            _shown(begin),
        ),
    ]


def uninstall_steps(layout: Layout, *, purge: bool) -> list[Step]:
    """What takes the service away, and with `purge` all that it has kept.

    A folder that is no environment of ours is left alone.
    """
    kept = [path for path in layout.kept if path.exists() or path.is_symlink()] if purge else []
    stop = ("systemctl", "disable", "--now", UNIT)
    forget = ("systemctl", "reset-failed", UNIT)
    return [
        Step("stop it, now and at boot", lambda: _run(stop), _gone(layout.unit), _shown(stop)),
        Step(f"unit {layout.unit}", layout.unit.unlink, _gone(layout.unit), (f"rm {layout.unit}",)),
        Step("systemd forgets it", lambda: _each(_RELOAD, forget), detail=_shown(_RELOAD, forget)),
        Step(str(layout.link), layout.link.unlink, lambda: not _links(layout), (f"rm {layout.link}",)),
        *(Step(f"all of {path}", partial(_remove, path), detail=(f"rm -r {path}",)) for path in kept),
        Step(
            f"environment {layout.prefix}",
            lambda: _remove(layout.prefix.resolve()),
            lambda: read_stamp(layout.prefix) is None,
            (f"rm -r {layout.prefix.resolve()}",),
        ),
    ]


def _gone(path: Path) -> Callable[[], bool]:
    return lambda: not path.exists()


_RELOAD = ("systemctl", "daemon-reload")
_ENABLE = ("systemctl", "enable", UNIT)


def template() -> Path:
    """The unit file that comes with the program: beside it in a checkout, else in its environment."""
    import sys

    places = (Path(__file__).resolve().parents[1], Path(sys.prefix, "share/edge_detect"))
    return next((path for place in places if (path := place / "systemd" / UNIT).exists()), places[-1] / UNIT)


def unit_text(layout: Layout, groups: Callable[[], set[str]] | None = None) -> str:
    """The unit file for a place, with what is there: a group or a secret too much, and it could not start."""
    known = groups() if groups else {group.gr_name for group in grp.getgrall()}
    text = template().read_text("utf-8").replace(str(PREFIX / "bin" / NAME), str(layout.program))

    def fitting(line: re.Match[str]) -> str:
        there = [group for group in line[1].split() if group in known]
        return f"SupplementaryGroups={' '.join(there)}"

    names = ["web-token", *(secret.name for secret in layout.secrets if secret.exists())]
    handed = [f"LoadCredential={name}:/etc/{NAME}/{name}\n" for name in names]
    text = text.replace(handed[0], "".join(handed))
    return re.sub(r"^SupplementaryGroups=(.*)$", fitting, text, flags=re.MULTILINE)


def installed_at(layout: Layout) -> Path | None:
    """The environment that the unit on this machine starts; None where there is no unit."""
    found = re.search(rf"^ExecStart=(/.+)/bin/{NAME} ", _text(layout.unit), re.MULTILINE)
    return Path(found[1]) if found else None


def active() -> bool:
    """Whether systemd runs the service."""
    return _ask("is-active", UNIT).strip() == "active"


def properties(*names: str) -> dict[str, str]:
    """What systemd knows of the service: `systemctl show`; empty without systemd."""
    lines = _ask("show", UNIT, "--property", ",".join(names)).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def last_health() -> str:
    """The last health line in the journal; empty when there is none, or we may not read it."""
    command = ["journalctl", "--unit", UNIT, "--output", "cat", "--grep", r"\| limited by: ", "--lines", "1"]
    return _output([*command, "--no-pager", "--quiet"]).strip()


def _ask(*words: str) -> str:
    return _output(["systemctl", "--no-pager", *words])


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def _run(command: Sequence[str], limit: float | None = None) -> None:
    """Runs a program, whose words go to the terminal, away from the folder and variables of the caller."""
    names = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    subprocess.run(
        command, env=environment, cwd="/", stdin=subprocess.DEVNULL, timeout=limit, check=True
    )  # fmt: skip


def _each(first: Sequence[str], *more: Sequence[str]) -> None:
    """Runs the first, and the others whatever comes of them."""
    _run(first)
    for command in more:
        _output(list(command))


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"{' '.join(map(str, error.cmd))} ended with {error.returncode}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"{' '.join(map(str, error.cmd))} took more than {error.timeout:.0f} s"
    name = getattr(error, "filename", None)
    return f"{name}: {words(error)}" if name else words(error)


def _write(path: Path, text: str, mode: int) -> None:
    """A file with these permissions, never for a moment with wider ones."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    before = os.umask(0o777 & ~mode)
    try:
        durable.write(path, text.encode())
        path.chmod(mode)
    finally:
        os.umask(before)


def _link(layout: Layout) -> None:
    layout.link.parent.mkdir(parents=True, exist_ok=True)
    layout.link.unlink(missing_ok=True)
    layout.link.symlink_to(layout.program)


def _lacks_link(layout: Layout) -> bool:
    """Whether there is none, or one that leads nowhere or to another environment of ours."""
    if not layout.link.is_symlink():
        return not layout.link.exists()
    there = layout.link.parent / layout.link.readlink()
    return there != layout.program and (not there.exists() or read_stamp(there.parents[1]) is not None)


def _links(layout: Layout) -> bool:
    return layout.link.is_symlink() and layout.link.readlink() == layout.program


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""


def _quoted(text: str) -> tuple[str, ...]:
    return tuple(f"| {line}".rstrip() for line in text.splitlines())


def _shown(*commands: Sequence[object]) -> tuple[str, ...]:
    import shlex

    return tuple(shlex.join(map(str, command)) for command in commands)
