"""Places: where settings, state and models of the program live on a machine."""

from __future__ import annotations

import os
from pathlib import Path


def machine_file() -> Path:
    """Settings of the whole machine: in systemd's ConfigurationDirectory=, else in /etc/edge-detect."""
    folder = os.environ.get("CONFIGURATION_DIRECTORY", "").partition(":")[0]
    return Path(folder or "/etc/edge-detect", "config.toml")


def user_file() -> Path:
    """Settings of the user: in XDG_CONFIG_HOME, else in ~/.config."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(home, "edge-detect", "config.toml")


def state_folder() -> Path:
    """What must survive: in systemd's StateDirectory=, else in XDG_STATE_HOME, else in ~/.local/state."""
    service = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if service:
        return Path(service)
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(home, "edge-detect")


def models_folder() -> Path:
    """Where models are installed: in systemd's StateDirectory=, else in XDG_DATA_HOME.

    Without either root means the machine, and installs what its service runs; a user means ~/.local/share.
    """
    service = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if service:
        return Path(service, "models")
    home = os.environ.get("XDG_DATA_HOME")
    if not home and os.geteuid() == 0:
        return Path("/var/lib/edge-detect/models")
    return Path(home or os.path.expanduser("~/.local/share"), "edge-detect", "models")
