"""Service manager: systemd's side of the conversation, and a real one where the machine has it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LIMIT = 15.0  # seconds, on a busy machine


class Listener:
    """The socket at which systemd would listen.

    Attributes:
        address: For `NOTIFY_SOCKET`.
        heard: Every message so far, as a dictionary.
    """

    def __init__(self, path: str) -> None:
        self.address, self.heard = path, list[dict[str, str]]()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{path[1:]}" if path.startswith("@") else path)
        self._socket.settimeout(LIMIT)

    def next(self) -> dict[str, str]:
        """The next message."""
        lines = self._socket.recv(4096).decode().split("\n")
        self.heard.append(dict(line.split("=", 1) for line in lines))
        return self.heard[-1]

    def until(self, name: str, value: str | None = None) -> dict[str, str]:
        """The next message that has `name`, with that value."""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            message = self.next()
            if name in message and value in (None, message[name]):
                return message
        raise AssertionError(f"no {name} in time, but {self.heard[-5:]}")

    def silent(self) -> bool:
        """Whether nothing lies there to be read."""
        self._socket.setblocking(False)
        try:
            self.next()
        except BlockingIOError:
            return True
        finally:
            self._socket.settimeout(LIMIT)
        return False

    def close(self) -> None:
        self._socket.close()


@contextmanager
def listening(path: Path | str) -> Iterator[Listener]:
    """A listener at a path, or at `@name`."""
    listener = Listener(str(path))
    try:
        yield listener
    finally:
        listener.close()


USER_MANAGER = r"""
umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup || exit 77
mount -t tmpfs tmpfs /run; mkdir -p /run/systemd/system /run/user/0 /run/cfg/systemd
ln -s "$UNITS" /run/cfg/systemd/user
export XDG_RUNTIME_DIR=/run/user/0 XDG_CONFIG_HOME=/run/cfg
/usr/lib/systemd/systemd --user --log-target=console >/run/log 2>&1 & manager=$!
for i in $(seq 100); do systemctl --user is-system-running >/dev/null 2>&1 && break; sleep .1; done
systemctl --user is-system-running >/dev/null || exit 77
bash -c "$STEPS"; code=$?
systemctl --user exit; wait $manager
exit $code
"""
NOT_HERE = 77


def lacking() -> str:
    """Why no `systemd --user` can be run here; empty when it can be tried."""
    if os.geteuid():
        return "needs root, to make namespaces"
    for program in ("systemctl", "unshare", "/usr/lib/systemd/systemd"):
        if not shutil.which(program):
            return f"needs {program}"
    return ""


def with_user_manager(units: Path, steps: str, limit: float) -> subprocess.CompletedProcess[str]:
    """Runs shell `steps` beside a real `systemd --user` that knows `units`; code 77 where it cannot be.

    In namespaces of its own, so that nothing of it outlives this.
    """
    root = Path("/sys/fs/cgroup/unified")
    root = root if (root / "cgroup.procs").exists() else root.parent
    group = root / f"edge-detect-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        return subprocess.CompletedProcess([], NOT_HERE, "", "")
    inside = f'echo $$ > "{group}/cgroup.procs"; exec unshare --mount --pid --fork --kill-child --cgroup \
        --mount-proc bash -c "$MANAGER"'
    environment = {**os.environ, "UNITS": str(units), "STEPS": steps, "MANAGER": USER_MANAGER}
    try:
        return subprocess.run(
            ["bash", "-c", inside],
            env=environment,
            text=True,
            capture_output=True,
            timeout=limit,
            check=False,
        )
    finally:
        for folder in sorted(group.rglob("*/"), reverse=True):
            _remove(folder)
        _remove(group)


def _remove(group: Path) -> None:
    with suppress(OSError):  # a process in it has not yet been buried
        group.rmdir()
