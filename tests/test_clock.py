from __future__ import annotations

import ctypes
from typing import Any

import pytest

from edge_detect import clock


@pytest.mark.parametrize("answer, synced", [(0, True), (1, True), (5, False), (-1, False)])
def test_the_kernel_s_word_is_taken(monkeypatch: pytest.MonkeyPatch, answer: int, synced: bool) -> None:
    monkeypatch.setattr(clock, "_ask", lambda: lambda timex: answer)

    assert clock.is_synced() == synced


def test_where_there_is_no_such_call_the_clock_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_ask", lambda: None)

    assert not clock.is_synced()


def test_the_real_call_only_asks() -> None:
    ask: Any = getattr(ctypes.CDLL(None), "adjtimex", None)
    if ask is None:
        pytest.skip("needs adjtimex, which this system has not")

    assert clock.is_synced() in (True, False)
