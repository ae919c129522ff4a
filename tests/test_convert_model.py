from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "convert_model.py"


def run(place: Path, setup: str, *words: str) -> subprocess.CompletedProcess[str]:
    """The script beside another `setup`."""
    (place / "scripts").mkdir()
    shutil.copy(SCRIPT, place / "scripts")
    (made := place / "scripts" / "setup").write_text(f"#!/bin/sh\n{setup}\n")
    made.chmod(0o755)
    command = [sys.executable, place / "scripts" / SCRIPT.name, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_making_of_the_environment_is_seen(tmp_path: Path) -> None:
    (python := tmp_path / "venv/bin/python").parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)

    done = run(tmp_path, "echo making it >&2; echo venv", "a.keras", "-o", "b")

    assert (done.stderr, done.stdout) == ("making it\n", "-m edge_detect convert a.keras -o b\n")


def test_an_environment_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    done = run(tmp_path, "echo no python3-venv >&2; exit 1")

    assert (done.returncode, done.stderr) == (
        1, "no python3-venv\nconvert_model.py: error: expected an environment, got none: see above\n",
    )  # fmt: skip
