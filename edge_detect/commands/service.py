"""Service: run at every start of the machine.

install makes an environment of its own, a settings file and a systemd unit, and starts it; the same
command again mends or renews it. It needs nothing but Python: in a fresh checkout,
`sudo python3 -B -m edge_detect service install` does it all.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from edge_detect import installation
from edge_detect.errors import DependencyError, EdgeDetectError
from edge_detect.installation import NAME, PREFIX, UNIT, Layout

ACTS = {
    "install": "make it a service and start it; does only what is not done yet",
    "uninstall": "take the service away; settings and state stay, unless --purge",
    "status": "how it is; ends with 0 when it runs, 3 when it does not, 4 when there is none",
    "logs": "what it has told the journal",
}
_SHOWN = (
    "LoadState", "ActiveState", "SubState", "ActiveEnterTimestamp", "UnitFileState", "StatusText",
    "NRestarts", "Result", "ExecMainStatus",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The acts of `edge-detect service`."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    made = {name: acts.add_parser(name, help=text, description=text) for name, text in ACTS.items()}
    for act in ("install", "uninstall"):
        made[act].add_argument(
            "--prefix",
            type=Path,
            metavar="DIR",
            help=f"the place of the program (default: where it is installed, else {PREFIX})",
        )
    made["install"].add_argument(
        "--python", type=Path, default=Path("/usr/bin/python3"), metavar="FILE",
        help="the interpreter; apt's picamera2 works with the system's own only (/usr/bin/python3)",
    )  # fmt: skip
    made["uninstall"].add_argument(
        "--purge", action="store_true", help="remove settings, token, state and cache too"
    )
    for act in ("install", "uninstall"):
        made[act].add_argument("--dry-run", action="store_true", help="tell every step and do none")
    made["logs"].add_argument("-f", "--follow", action="store_true", help="go on with what comes")
    made["logs"].add_argument("-n", "--lines", default="50", metavar="N", help="the last N lines (50)")


def main(options: argparse.Namespace) -> int:
    """Does what the act says."""
    acts = {"install": install, "uninstall": uninstall, "status": status, "logs": logs}
    return acts[options.act](options)


def install(options: argparse.Namespace) -> int:
    """Makes a service of the program; nothing is touched where anything is lacking.

    Raises:
        EdgeDetectError: A step failed, or the service did not become ready.
        DependencyError: What the machine lacks, a line each.
    """
    from edge_detect import board, requirements

    layout = Layout(options.prefix or installation.installed_at(Layout()) or PREFIX)
    python = requirements.ask_python(options.python)
    package = requirements.wanted(layout.prefix, python.limits)
    lacks = requirements.lacking(layout.prefix, python, package)
    for note in requirements.notes(python, "Raspberry Pi" in board.name()):
        print(f"note: {note}")
    if options.dry_run and package:
        steps = installation.install_steps(layout, python, package)
        changed = installation.carry_out(steps, print, dry=True)
        installation.carry_out(installation.start_steps(layout, changed=changed), print, dry=True)
    elif not options.dry_run:
        lacks = requirements.no_root() + lacks
    if lacks or not package:
        raise DependencyError("\n".join(f"lacks {text}" for text in lacks))
    if options.dry_run:
        return 0
    os.umask(0o022)  # the service is another user, who must be able to read it all
    changed = installation.carry_out(installation.install_steps(layout, python, package), _say)
    try:
        installation.carry_out(installation.start_steps(layout, changed=changed), _say)
    except EdgeDetectError as error:
        raise EdgeDetectError(
            f"{error}\ninstalled, but not running: edge-detect service logs tells why"
        ) from error
    print(f"{UNIT}: ready; settings: {layout.settings}, then sudo systemctl reload {NAME}")
    return 0


def uninstall(options: argparse.Namespace) -> int:
    """Takes the service away; `--prefix` names an environment that broke off before there was a unit.

    Raises:
        EdgeDetectError: A step failed.
        DependencyError: We are not root.
    """
    from edge_detect import requirements

    layout = Layout(options.prefix or installation.installed_at(Layout()) or PREFIX)
    if not options.dry_run and (lacks := requirements.no_root()):
        raise DependencyError(f"lacks {lacks[0]}")
    steps = installation.uninstall_steps(layout, purge=options.purge)
    installation.carry_out(steps, print if options.dry_run else _say, dry=options.dry_run)
    if not options.purge:
        print(f"{layout.settings.parent} and what the service has kept stay; --purge removes them")
    return 0


def status(options: argparse.Namespace) -> int:
    """Tells how the service is."""
    layout = Layout()
    place = installation.installed_at(layout)
    seen = installation.properties(*_SHOWN)
    if place is None or seen.get("LoadState") == "not-found":
        print(f"{UNIT}: not installed: sudo edge-detect service install")
        return 4
    runs = seen.get("ActiveState") == "active"
    since = f" since {seen['ActiveEnterTimestamp']}" if runs else ""
    boot = seen.get("UnitFileState", "unknown")
    print(
        f"{UNIT}: {seen.get('ActiveState', 'unknown')} ({seen.get('SubState', '?')}){since}, {boot} at boot"
    )
    lines = {
        "tells": seen.get("StatusText", ""),
        "ended": "" if runs else f"{seen.get('Result', '?')}, exit status {seen.get('ExecMainStatus', '?')}",
        "restarts": seen.get("NRestarts", ""),
        "health": installation.last_health(),
        "program": str(place),
        "settings": f"{layout.settings}{'' if layout.settings.exists() else ' (not there: defaults)'}",
        "state": str(layout.state),
    }
    for name, text in lines.items():
        if text:
            print(f"  {name:<10}{text}")
    return 0 if runs else 3


def logs(options: argparse.Namespace) -> int:
    """Becomes journalctl.

    Raises:
        DependencyError: There is none.
    """
    words = ["journalctl", "--unit", UNIT, f"--lines={options.lines}", *["--follow"] * options.follow]
    sys.stdout.flush()
    try:
        os.execvp(words[0], words)
    except FileNotFoundError as error:
        raise DependencyError("journalctl: not found; systemd does not run this machine") from error


def _say(line: str) -> None:
    print(line, flush=True)  # between the words of the programs that are run
