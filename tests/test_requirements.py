from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from edge_detect import requirements
from edge_detect.errors import EdgeDetectError, InputMissing
from edge_detect.requirements import MARK, Python, Wanted, ask_python, lacking, wanted

ROOT = Path(__file__).resolve().parents[1]
BOOKWORM = Python(Path("/usr/bin/python3"), (3, 11), True, True, "1.24.2", True)
TRIXIE = replace(BOOKWORM, version=(3, 13), numpy="2.2.4")
HERE = Wanted("/home/pi/edge_detect", True, "0.1.0 abc")
CONFIGURATION = "home = /usr/bin\ninclude-system-site-packages = {shared}\nversion = {version}\n"


def test_pip_takes_what_the_pages_tell_to_install() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    pages = "".join(page.read_text() for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
    told = set(re.findall(r'pip install "([^"]+)"', pages)) - {"numpy<2"}

    assert len(told) >= 7
    assert [one for one in told if not re.fullmatch(r"\.\[[a-z,-]+\]", one)] == []
    assert {extra for one in told for extra in one[2:-1].split(",")} <= set(extras)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a machine that systemd runs."""
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    version(tmp_path, "systemd 252 (252.39-1~deb12u2)")
    return tmp_path


def version(folder: Path, text: str) -> None:
    """A systemctl that knows its version."""
    (folder / "systemctl").write_text(f"#!/bin/sh\necho '{text}'\n")
    (folder / "systemctl").chmod(0o755)


def environment(prefix: Path, version: str = "3.11.2", shared: str = "true", mark: bool = True) -> Path:
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin/pip").touch()
    (prefix / "pyvenv.cfg").write_text(CONFIGURATION.format(version=version, shared=shared))
    if mark:
        (prefix / MARK).touch()
    return prefix


def test_a_python_tells_what_it_can() -> None:
    found = ask_python(Path(sys.executable))

    assert (found.version, found.large, found.venv) == (sys.version_info[:2], True, True)
    assert found.numpy
    assert not found.picamera2


@pytest.mark.parametrize(
    ("path", "kind", "told"),
    [
        (
            "/no/python",
            InputMissing,
            "/no/python: no Python: No such file or directory; sudo apt install python3",
        ),
        ("/bin/true", EdgeDetectError, "/bin/true: expected a Python, got: "),
        ("/bin/false", EdgeDetectError, "/bin/false: expected a Python, got: "),
    ],
)
def test_what_is_no_python_is_told(path: str, kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=f"^{told}"):
        ask_python(Path(path))


def test_the_numpy_of_bookworm_stays_below_2_where_picamera2_needs_it() -> None:
    assert BOOKWORM.limits == ("numpy<2",)
    assert replace(BOOKWORM, picamera2=False).limits == ()
    assert TRIXIE.limits == ()


@pytest.mark.parametrize(
    ("differs", "made"),
    [
        ({}, True),
        ({"version": "3.13.1"}, False),
        ({"version": "3.1"}, False),
        ({"shared": "false"}, False),
        ({"mark": False}, False),
    ],
)
def test_an_environment_is_made_when_it_is_ours_and_of_this_python(
    tmp_path: Path, differs: dict[str, object], made: bool
) -> None:
    prefix = environment(tmp_path / "opt", **differs)  # type: ignore[arg-type]

    assert BOOKWORM.made(prefix) == made
    assert not BOOKWORM.made(tmp_path / "elsewhere")


def test_an_environment_is_marked_before_it_is_made(tmp_path: Path) -> None:
    def broken(command: Sequence[str]) -> None:
        raise subprocess.CalledProcessError(1, command)

    prefix = environment(tmp_path / "opt", "3.9.1")
    with pytest.raises(subprocess.CalledProcessError):
        BOOKWORM.make(prefix, broken)

    assert [path.name for path in prefix.iterdir()] == [MARK]


def test_nothing_is_lacking_on_a_fresh_raspberry_pi_os(machine: Path) -> None:
    for python in (BOOKWORM, TRIXIE):
        assert lacking(Path("/opt/edge-detect-of-a-test"), python, HERE, machine) == []


LACKING = {
    "old": "Python 3.11 or newer, found 3.9 at /usr/bin/python3: install Raspberry Pi OS Bookworm or Trixie,"
    " or name another one with --python",
    "small": "a 64-bit system: install the 64-bit Raspberry Pi OS, there are no 32-bit wheels",
    "no venv": "the module venv of /usr/bin/python3: sudo apt install python3-venv",
}


def test_all_that_a_python_lacks_is_told_at_once(machine: Path) -> None:
    poor = replace(BOOKWORM, version=(3, 9), large=False, venv=False)

    assert lacking(Path("/opt/edge-detect-of-a-test"), poor, HERE, machine) == list(LACKING.values())


def test_a_machine_without_systemd_is_told(machine: Path) -> None:
    (machine / "run/systemd/system").rmdir()
    told = lacking(Path("/opt/edge-detect-of-a-test"), BOOKWORM, HERE, machine)

    assert told == ["systemd: it does not run this machine; edge-detect run works without a service"]


def test_an_old_systemd_is_told(machine: Path) -> None:
    version(machine, "systemd 241 (241)")
    told = lacking(Path("/opt/edge-detect-of-a-test"), BOOKWORM, HERE, machine)

    assert told == ["systemd 247 or newer, found 241: install Raspberry Pi OS Bookworm or Trixie"]


def test_a_program_of_unknown_origin_is_told(machine: Path) -> None:
    (told,) = lacking(Path("/opt/edge-detect-of-a-test"), BOOKWORM, None, machine)

    assert told.startswith("the program's source: it is not known where this edge-detect came from")


@pytest.mark.parametrize(
    ("prefix", "told"),
    [
        ("opt", "expected an absolute path"),
        ("/home/pi/edge-detect", "the service cannot see /home; choose another, such as /opt/edge-detect"),
        ("/opt/edge detect", "expected a path without spaces, quotes, %, : and \\"),
        ("/opt/50%off", "expected a path without spaces, quotes, %, : and \\"),
        ("/usr", "holds something else, which would be lost; choose another or move it away"),
        ("/etc/passwd", "holds something else, which would be lost; choose another or move it away"),
    ],
)
def test_a_place_where_it_could_not_work_is_told(machine: Path, prefix: str, told: str) -> None:
    assert lacking(Path(prefix), BOOKWORM, HERE, machine) == [f"--prefix {prefix}: {told}"]


def test_a_full_disk_is_told_before_it_is_filled(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "ROOM", 1 << 60)
    (told,) = lacking(Path("/opt/edge-detect-of-a-test"), BOOKWORM, HERE, machine)

    assert told.startswith("room on the disk: 1099511627776 MB in /opt, found ")


def test_notes_tell_what_is_no_reason_to_stop() -> None:
    assert requirements.notes(BOOKWORM, True) == [
        "numpy stays below 2: this system's picamera2 was built for numpy 1"
    ]
    assert requirements.notes(replace(TRIXIE, picamera2=False), True) == [
        "no picamera2: for a camera on the ribbon cable, sudo apt install python3-picamera2"
    ]
    assert requirements.notes(TRIXIE, True) == []


def test_it_installs_this_very_checkout() -> None:
    found = wanted(Path("/opt/edge-detect"), ("numpy<2",))

    assert found
    assert (Path(found.origin) / "edge_detect/requirements.py").samefile(requirements.__file__)
    assert found.stamp.endswith(" numpy<2")
    assert found == wanted(Path("/opt/edge-detect"), ("numpy<2",))


def test_another_source_has_another_stamp(tmp_path: Path) -> None:
    (tmp_path / "edge_detect").mkdir()
    (tmp_path / "edge_detect/a.py").write_text("x = 1")
    before = requirements._digest(tmp_path)
    (tmp_path / "edge_detect/__pycache__").mkdir()
    (tmp_path / "edge_detect/__pycache__/a.pyc").touch()
    same = requirements._digest(tmp_path)
    (tmp_path / "edge_detect/a.py").write_text("x = 2")

    assert before == same != requirements._digest(tmp_path)


def test_pip_builds_in_a_copy_and_the_mark_tells_that_it_worked(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    (checkout / "edge_detect").mkdir(parents=True)
    (checkout / "edge_detect/__init__.py").touch()
    (checkout / "pyproject.toml").touch()
    (checkout / ".venv").mkdir()
    prefix, seen = environment(tmp_path / "opt"), []
    (prefix / MARK).write_text("0.0.9 older")

    def run(command: Sequence[str]) -> None:
        seen.append(list(command))
        if "pip" in command:
            copy = Path(next(word for word in command if word.endswith("]")).partition("[")[0])
            assert sorted(path.name for path in copy.iterdir()) == ["edge_detect", "pyproject.toml"]
            (copy / "build").mkdir()
            assert (prefix / MARK).read_text() == ""

    Wanted(str(checkout), True, "0.1.0 abc", ("numpy<2",)).install(prefix, run)

    assert requirements.read_stamp(prefix) == "0.1.0 abc"
    assert [command[0] for command in seen] == [str(prefix / "bin/python")] * 2
    assert seen[0][-1] == "numpy<2"
    assert not (checkout / "build").exists()


def test_what_was_not_a_checkout_is_taken_from_where_pip_had_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "edge_detect-0.1.0.dist-info"
    package.mkdir()
    (tmp_path / "ü b").mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: edge_detect\nVersion: 0.1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    urls = {
        '{"url": "https://github.com/x/y", "vcs_info": {"vcs": "git", "commit_id": "abc"}}': "git+https://github.com/x/y@abc",
        '{"url": "https://example.org/e.whl", "archive_info": {}}': "https://example.org/e.whl",
        f'{{"url": "file://{tmp_path}", "dir_info": {{}}}}': f"file://{tmp_path}",
        f'{{"url": "file://{tmp_path}/%C3%BC%20b", "dir_info": {{}}}}': f"file://{tmp_path}/%C3%BC%20b",
        '{"url": "file:///gone", "dir_info": {}}': "",
        "{}": "",
        "broken": "",
    }
    found = {}
    for text in urls:
        (package / "direct_url.json").write_text(text)
        found[text] = requirements._origin()

    assert found == urls
