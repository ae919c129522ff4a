from __future__ import annotations

import gc
import os
import subprocess
import sys
from contextlib import suppress

import pytest

from edge_detect import lazy
from edge_detect.errors import ConfigError

THREADS = "OPENBLAS_NUM_THREADS"
TABLE = {"pattern": "fractions:Fraction", "point": "edge_detect.no_such_module:Point"}


def test_a_name_leads_to_its_object() -> None:
    from fractions import Fraction

    assert lazy.choose(TABLE, "pattern", "source") is Fraction


def test_a_name_like_another_is_answered_with_it() -> None:
    with pytest.raises(ConfigError) as caught:
        lazy.choose(TABLE, "patern", "source")

    assert str(caught.value) == "unknown source 'patern', did you mean 'pattern'?"


def test_a_name_like_no_other_is_answered_with_all() -> None:
    with pytest.raises(ConfigError) as caught:
        lazy.choose(TABLE, "csi", "source")

    assert str(caught.value) == "unknown source 'csi', expected one of: pattern, point"


def test_a_module_that_is_missing_is_no_setting_that_is_wrong() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"edge_detect\.no_such_module"):
        lazy.choose(TABLE, "point", "source")


def test_suggestions_take_any_names() -> None:
    assert lazy.suggest("widht", iter(["height", "width"])) == ", did you mean 'width'?"


def test_settings_and_names_need_no_numpy() -> None:
    code = "import sys; from edge_detect import labels, settings, uri; sys.exit('numpy' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0


@pytest.mark.parametrize("chosen", [None, "3"])
def test_imports_leave_all_as_it_was(monkeypatch: pytest.MonkeyPatch, chosen: str | None) -> None:
    monkeypatch.delenv(THREADS, raising=False)
    if chosen:
        monkeypatch.setenv(THREADS, chosen)

    with suppress(ImportError), lazy.imports():
        inside = gc.isenabled(), os.environ[THREADS]
        raise ImportError

    assert inside == (False, chosen or "1")
    assert (gc.isenabled(), os.environ.get(THREADS)) == (True, chosen)
