"""Board: the machine that we run on, its heat and its power supply."""

from __future__ import annotations

import os
from pathlib import Path

FLAGS = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
    16: "under-voltage before",
    17: "frequency capped before",
    18: "throttled before",
    19: "soft temperature limit before",
}
"""Meaning of the bits of `vcgencmd get_throttled`; source: Raspberry Pi documentation."""

HEAT = frozenset({"frequency capped", "throttled", "soft temperature limit"})


def name() -> str:
    """`Raspberry Pi 5 Model B Rev 1.0`, or the processor of another machine."""
    try:
        return Path("/proc/device-tree/model").read_text("utf-8").strip("\0\n ")
    except OSError:
        return f"{os.uname().machine} {_processor()}".strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def temperature(sys: Path = Path("/sys")) -> float | None:
    """Degrees Celsius of the processor; None where the machine does not tell."""
    try:
        return int((sys / "class/thermal/thermal_zone0/temp").read_text()) / 1000
    except (OSError, ValueError):
        return None


def frequency(sys: Path = Path("/sys")) -> float | None:
    """Hertz of the first core; None where the machine does not tell."""
    try:
        return int((sys / "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq").read_text()) * 1e3
    except (OSError, ValueError):
        return None


def throttled(sys: Path = Path("/sys")) -> int | None:
    """The firmware's throttling bits; None on a machine without them.

    From the kernel's file where there is one, else from `vcgencmd`, which needs group video.
    """
    # soc:firmware, and soc@107c000000:firmware on a Pi 5
    for file in (sys / "devices/platform").glob("soc*/soc*:firmware/get_throttled"):
        try:
            return int(file.read_text(), 16)
        except (OSError, ValueError):
            continue
    import shutil
    import subprocess

    if not shutil.which("vcgencmd"):
        return None
    try:
        done = subprocess.run(
            ["vcgencmd", "get_throttled"], capture_output=True, text=True, timeout=2, check=False
        )
        return int(done.stdout.partition("=")[2], 16)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def flags(bits: int | None) -> tuple[str, ...]:
    """The names of the bits that are set."""
    return tuple(word for bit, word in FLAGS.items() if bits and bits >> bit & 1)
