from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import program
import pytest
from program import run

PREFIX = "/opt/edge-detect-of-a-test"
HERE = Path("/run/systemd/system").is_dir()  # whether systemd runs this machine


def test_a_dry_run_tells_all_and_changes_nothing() -> None:
    end = run("service", "install", "--dry-run", "--prefix", PREFIX, "--python", sys.executable)

    assert end.returncode == (0 if HERE else 1)
    assert re.findall(r"^\d/\d (\w+)", end.stdout, re.MULTILINE)[:5] == [
        "environment", "program", "settings", "token", "unit"
    ]  # fmt: skip
    assert f"      | ExecStart={PREFIX}/bin/edge-detect run" in end.stdout
    assert HERE or "lacks systemd: it does not run this machine" in end.stderr
    assert not Path(PREFIX).exists()


def test_what_is_lacking_is_told_at_once_and_nothing_is_touched(tmp_path: Path) -> None:
    end = run(
        "service", "install", "--prefix", "/usr", "--python", sys.executable, env={"PATH": str(tmp_path)}
    )

    assert (end.returncode, end.stdout) == (1, "")
    lines = end.stderr.splitlines()
    assert (
        "edge-detect: error: lacks systemd: it does not run this machine; edge-detect run works without"
        in lines[-2]
    )
    assert lines[-1].startswith("edge-detect: error: lacks --prefix /usr: holds something else")


def test_a_python_that_is_not_there_is_told() -> None:
    end = run("service", "install", "--python", "/no/python", "--dry-run")

    assert (end.returncode, end.stdout) == (66, "")
    assert end.stderr == (
        "edge-detect: error: /no/python: no Python: No such file or directory; sudo apt install python3\n"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
@pytest.mark.parametrize("act", ["install", "uninstall"])
def test_who_is_not_root_is_told_to_be(act: str) -> None:
    script = (
        "import os, sys; from edge_detect.cli import main; import edge_detect\n"
        "import edge_detect.commands.service, edge_detect.requirements, edge_detect.board\n"
        "os.setuid(65534)\n"
        "sys.exit(main(sys.argv[1:]) if os.access(edge_detect.__file__, os.R_OK) else 77)"
    )
    command = [sys.executable, "-c", script, "service", act]
    end = subprocess.run(command, env=program.environment(), capture_output=True, text=True, check=False)

    if end.returncode == 77:
        pytest.skip("this checkout is for its owner's eyes only")
    assert end.returncode == 1
    assert "error: lacks the right to install: begin the command with sudo\n" in end.stderr


def test_what_broke_off_before_there_was_a_unit_is_removed_by_its_place(tmp_path: Path) -> None:
    (tmp_path / ".edge-detect").touch()
    end = program.run("service", "uninstall", "--prefix", str(tmp_path), "--dry-run")

    assert end.returncode == 0
    assert f"5/5 environment {tmp_path}\n      rm -r {tmp_path}\n" in end.stdout


def test_a_dry_run_of_a_removal_removes_nothing() -> None:
    end = run("service", "uninstall", "--purge", "--dry-run")

    assert end.returncode == 0
    assert end.stdout.startswith("1/")


SYSTEMCTL = """#!/bin/sh
cat <<'END'
LoadState=loaded
ActiveState={active}
SubState=running
ActiveEnterTimestamp=Thu 2026-11-26 07:17:40 UTC
UnitFileState=enabled
StatusText=18.2 fps, 3 objects, 62 C
NRestarts=1
Result=success
ExecMainStatus=0
END
"""


@pytest.fixture
def programs(tmp_path: Path) -> dict[str, str]:
    """An environment in which systemctl and journalctl tell of a service that runs."""
    for name, text in {
        "systemctl": SYSTEMCTL.format(active="active"),
        "journalctl": '#!/bin/sh\necho "$*" | tr " " "\\n" | grep -q -- --grep && echo "18.3 fps | limited by: camera"'
        ' || echo "journalctl $*"\n',
    }.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return {"PATH": f"{tmp_path}:/usr/bin:/bin"}


def test_the_status_of_what_is_not_installed(programs: dict[str, str]) -> None:
    if Path("/etc/systemd/system/edge-detect.service").exists():
        pytest.skip("it is installed here")
    end = run("service", "status", env=programs)

    assert (end.returncode, end.stdout) == (
        4, "edge-detect.service: not installed: sudo edge-detect service install\n"
    )  # fmt: skip


def test_the_status_tells_how_it_is(
    programs: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from edge_detect import installation
    from edge_detect.cli import main

    monkeypatch.setenv("PATH", programs["PATH"])
    monkeypatch.setattr(installation, "installed_at", lambda layout: Path("/opt/edge-detect"))
    codes = [main(["service", "status"])]
    (tmp_path / "systemctl").write_text(SYSTEMCTL.format(active="failed"))
    codes.append(main(["service", "status"]))
    told = capsys.readouterr().out

    assert codes == [0, 3]
    assert told.startswith(
        "edge-detect.service: active (running) since Thu 2026-11-26 07:17:40 UTC, enabled at boot\n"
        "  tells     18.2 fps, 3 objects, 62 C\n"
        "  restarts  1\n"
        "  health    18.3 fps | limited by: camera\n"
        "  program   /opt/edge-detect\n"
        "  settings  /etc/edge-detect/config.toml"
    )
    assert "edge-detect.service: failed (running), enabled at boot\n" in told
    assert "  ended     success, exit status 0\n" in told


def test_the_logs_are_those_of_journalctl(programs: dict[str, str]) -> None:
    end = run("service", "logs", "-f", "-n", "7", env=programs)

    assert end.stdout == "journalctl --unit edge-detect.service --lines=7 --follow\n"


def test_a_machine_without_a_journal_is_told(tmp_path: Path) -> None:
    end = run("service", "logs", env={"PATH": str(tmp_path)})

    assert end.stderr == "edge-detect: error: journalctl: not found; systemd does not run this machine\n"


def test_it_needs_no_package_but_its_own(tmp_path: Path) -> None:
    end = subprocess.run(
        [sys.executable, "-S", "-c", "import sys; sys.path[:0] = [sys.argv.pop(1)]; from edge_detect.cli import main;"
         " main(['service', 'install', '--dry-run']); print(sorted(m for m in sys.modules if m in ('numpy', 'cv2')))",
         str(Path(__file__).resolve().parents[2])],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert end.stdout.splitlines()[-1] == "[]"
