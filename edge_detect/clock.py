"""Clock: whether the time of day can be trusted; a Pi without a battery starts in the past."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

_UNSYNCHRONIZED = 5  # TIME_ERROR of sys/timex.h


class _Timex(ctypes.Structure):
    """As far as we need it: only asked, never set, and long enough for the kernel's answer."""

    _fields_ = (("modes", ctypes.c_uint), ("rest", ctypes.c_byte * 508))


@cache
def _ask() -> Any:
    return getattr(ctypes.CDLL(None), "adjtimex", None)


def is_synced() -> bool:
    """Whether the kernel knows that something (NTP, GPS) keeps its clock right; no where it cannot tell."""
    ask = _ask()
    answer = ask(ctypes.byref(_Timex())) if ask else -1
    return bool(0 <= answer < _UNSYNCHRONIZED)
