from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_detect import installation
from edge_detect.errors import EdgeDetectError
from edge_detect.installation import (
    PREFIX,
    UNIT,
    Layout,
    Step,
    carry_out,
    install_steps,
    start_steps,
    uninstall_steps,
    unit_text,
)
from edge_detect.requirements import MARK, Python, Wanted

GROUPS = {"video", "render", "gpio"}
PYTHON = """#!/bin/sh
# stands in for an interpreter: makes an environment, whose python notes what it is asked to do
mkdir -p "$5/bin"
printf 'include-system-site-packages = true\\nversion = 3.11.2\\n' > "$5/pyvenv.cfg"
printf '#!/bin/sh\\n[ ! -e "%s/broken" ] || exit 1\\necho python "$@" >> "%s/done"\\n' "$HERE" "$HERE" > "$5/bin/python"
chmod +x "$5/bin/python"; touch "$5/bin/pip"
echo venv "$5" >> "$HERE/done"
"""
SYSTEMCTL = """#!/bin/sh
echo systemctl "$@" >> "$HERE/done"
case "$*" in *is-active*) cat "$HERE/state";; *restart*|*" start "*) [ ! -e "$HERE/no-camera" ];; esac
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with programs that note what is asked of them in the file `done`."""
    for name, text in {"python3": PYTHON, "systemctl": SYSTEMCTL}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "state").write_text("inactive\n")
    monkeypatch.setenv("HERE", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


@pytest.fixture
def layout(machine: Path) -> Layout:
    return Layout(machine / "opt/edge-detect", machine / "root")


def done(machine: Path) -> list[str]:
    """What the programs were asked to do, and forgets it."""
    path = machine / "done"
    told = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return told


def install(machine: Path, layout: Layout, *, dry: bool = False) -> list[str]:
    """Installs and starts; returns what was told."""
    told: list[str] = []
    python = Python(machine / "python3", (3, 11), True, True, "", False)
    package = Wanted("https://example.org/edge_detect.whl", False, "0.1.0 abc")
    changed = carry_out(install_steps(layout, python, package), told.append, dry=dry)
    carry_out(start_steps(layout, changed=changed), told.append, dry=dry)
    return told


def everything(root: Path) -> dict[str, tuple[int, bytes]]:
    """All files below, with permissions and content."""
    return {
        str(path.relative_to(root)): (path.stat().st_mode & 0o777, path.read_bytes())
        for path in root.rglob("*")
        if path.is_file()
    }


def test_installing_makes_all_that_the_service_needs_and_starts_it(machine: Path, layout: Layout) -> None:
    install(machine, layout)

    python = f"{layout.prefix}/bin/python"
    assert done(machine) == [
        f"venv {layout.prefix}",
        "python -I -m pip install --no-input --disable-pip-version-check --upgrade"
        " edge_detect[gpio,mqtt,record,web] @ https://example.org/edge_detect.whl",
        "python -I -c import cv2, psutil; from edge_detect.interpreter import runtime;"
        " print('runs with', runtime()[0])",
        "systemctl daemon-reload",
        f"systemctl enable {UNIT}",
        f"systemctl restart {UNIT}",
    ]
    assert Path(python).exists()
    made = everything(layout.root)
    assert {name: mode for name, (mode, _) in made.items()} == {
        "etc/edge-detect/config.toml": 0o644,
        "etc/edge-detect/web-token": 0o600,
        "etc/systemd/system/edge-detect.service": 0o644,
    }
    assert len(made["etc/edge-detect/web-token"][1]) == 44
    assert layout.link.readlink() == layout.program
    assert f"ExecStart={layout.prefix}/bin/edge-detect run\n" in layout.unit.read_text()
    assert installation.installed_at(layout) == layout.prefix


def test_installing_again_does_nothing(machine: Path, layout: Layout) -> None:
    install(machine, layout)
    before = everything(layout.root)
    (machine / "state").write_text("active\n")
    done(machine)
    told = install(machine, layout)

    assert [line for line in told if not line.endswith(": nothing to do")] == [
        "1/3 systemd reads its units",
        "2/3 start at boot",
    ]
    assert done(machine) == [
        "systemctl daemon-reload",
        f"systemctl enable {UNIT}",
        f"systemctl --no-pager is-active {UNIT}",
    ]
    assert everything(layout.root) == before


def test_settings_and_token_of_the_owner_are_kept(machine: Path, layout: Layout) -> None:
    layout.settings.parent.mkdir(parents=True)
    layout.settings.write_text("[detect]\nconfidence = 0.4\n")
    layout.token.write_text("mine\n")
    install(machine, layout)

    assert layout.settings.read_text() == "[detect]\nconfidence = 0.4\n"
    assert layout.token.read_text() == "mine\n"


@pytest.mark.parametrize("gone", [False, True])
def test_the_program_moves_to_another_place_with_its_link(machine: Path, layout: Layout, gone: bool) -> None:
    install(machine, layout)
    (layout.prefix / "bin/edge-detect").touch()
    if gone:
        shutil.rmtree(layout.prefix)
    other = replace(layout, prefix=layout.prefix.with_name("elsewhere"))
    install(machine, other)

    assert layout.link.readlink() == other.program
    assert installation.installed_at(layout) == other.prefix


def test_the_place_may_be_a_link_to_another_disk(machine: Path, layout: Layout) -> None:
    disk = machine / "disk"
    disk.mkdir()
    layout.prefix.parent.mkdir(parents=True)
    layout.prefix.symlink_to(disk)
    for _ in range(2):
        install(machine, layout)
        assert (disk / MARK).read_text() == "0.1.0 abc"
        carry_out(uninstall_steps(layout, purge=False), lambda line: None)
        assert not disk.exists()


def test_a_link_of_another_is_left_alone(machine: Path, layout: Layout) -> None:
    layout.link.parent.mkdir(parents=True)
    layout.link.symlink_to("/bin/sh")
    install(machine, layout)

    assert layout.link.readlink() == Path("/bin/sh")


def test_a_dry_run_tells_every_step_and_changes_nothing(machine: Path, layout: Layout) -> None:
    before = everything(machine)
    told = install(machine, layout, dry=True)

    assert everything(machine) == before
    assert not layout.root.exists()
    assert not layout.prefix.exists()
    assert [line for line in told if line[0].isdigit()] == [
        f"1/6 environment {layout.prefix}",
        "2/6 program from https://example.org/edge_detect.whl",
        f"3/6 settings {layout.settings}",
        f"4/6 token of the live page {layout.token}",
        f"5/6 unit {layout.unit}",
        f"6/6 {layout.link}",
        "1/3 systemd reads its units",
        "2/3 start at boot",
        "3/3 start now, until it is ready",
    ]
    assert "      | Type=notify" in told
    assert f"      systemctl restart {UNIT}" in told


def test_what_broke_off_in_the_middle_is_resumed_by_the_same_command(machine: Path, layout: Layout) -> None:
    (machine / "broken").touch()
    with pytest.raises(EdgeDetectError) as caught:
        install(machine, layout)
    assert str(caught.value).startswith("step 2 of 6, program from https://example.org/edge_detect.whl: ")
    assert str(caught.value).endswith(" ended with 1; the same command goes on from here")
    assert (layout.prefix / MARK).read_text() == ""
    assert not layout.root.exists()
    (machine / "broken").unlink()
    done(machine)
    told = install(machine, layout)

    assert told[0] == f"1/6 environment {layout.prefix}: nothing to do"
    assert done(machine)[-1] == f"systemctl restart {UNIT}"


def test_a_service_that_does_not_start_is_told(machine: Path, layout: Layout) -> None:
    (machine / "no-camera").touch()
    with pytest.raises(EdgeDetectError, match=f"systemctl restart {UNIT} ended with 1"):
        install(machine, layout)

    assert layout.unit.exists()


def test_what_cannot_be_written_is_told_with_its_step(machine: Path, layout: Layout) -> None:
    layout.root.mkdir()
    (layout.root / "etc").touch()
    with pytest.raises(EdgeDetectError, match=r"^step 3 of 6, settings .*/etc/edge-detect: Not a directory;"):
        install(machine, layout)


def test_uninstalling_leaves_settings_and_state(machine: Path, layout: Layout) -> None:
    install(machine, layout)
    state = layout.root / "var/lib/private/edge-detect"
    state.mkdir(parents=True)
    (layout.root / "var/lib/edge-detect").symlink_to("private/edge-detect")
    done(machine)
    carry_out(uninstall_steps(layout, purge=False), lambda line: None)

    assert done(machine) == [
        f"systemctl disable --now {UNIT}",
        "systemctl daemon-reload",
        f"systemctl reset-failed {UNIT}",
    ]
    assert not layout.prefix.exists()
    assert not layout.unit.exists()
    assert not layout.link.is_symlink()
    assert layout.settings.exists()
    assert state.exists()

    carry_out(uninstall_steps(layout, purge=True), lambda line: None)
    assert everything(layout.root) == {}
    assert not state.exists()
    assert not (layout.root / "var/lib/edge-detect").is_symlink()


def test_uninstalling_twice_or_what_was_never_there_is_no_error(machine: Path, layout: Layout) -> None:
    for purge in (False, True):
        carry_out(uninstall_steps(layout, purge=purge), lambda line: None)

    assert done(machine)[0] == "systemctl daemon-reload"


def test_uninstalling_leaves_what_is_not_ours(machine: Path, layout: Layout) -> None:
    layout.prefix.mkdir(parents=True)
    (layout.prefix / "precious").touch()
    layout.link.parent.mkdir(parents=True)
    layout.link.write_text("another program")
    carry_out(uninstall_steps(layout, purge=True), lambda line: None)

    assert (layout.prefix / "precious").exists()
    assert layout.link.read_text() == "another program"


def test_a_secret_is_never_readable_by_others_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []
    written = installation.durable.write

    def watched(path: Path, data: bytes) -> None:
        written(path, data)
        modes.append(path.stat().st_mode & 0o777)

    monkeypatch.setattr(installation.durable, "write", watched)
    installation._write(tmp_path / "token", "secret", 0o600)

    assert modes == [0o600]


def test_groups_that_the_machine_lacks_are_left_out_of_the_unit() -> None:
    assert "\nSupplementaryGroups=video render gpio\n" in unit_text(Layout(), lambda: GROUPS)
    assert "\nSupplementaryGroups=video\n" in unit_text(Layout(), lambda: {"video"})


@pytest.mark.parametrize("name", ["web-password", "mqtt-password", "webhook-secret"])
def test_a_secret_that_the_owner_wrote_is_handed_on(tmp_path: Path, name: str) -> None:
    layout = Layout(root=tmp_path)
    before = unit_text(layout)
    layout.token.parent.mkdir(parents=True)
    layout.token.with_name(name).write_text("open sesame")
    handed = f"LoadCredential={name}:/etc/edge-detect/{name}\n"

    assert handed not in before
    assert unit_text(layout).replace(handed, "") == before != unit_text(layout)


def test_the_unit_starts_and_reloads_the_program_of_its_place() -> None:
    text = unit_text(Layout(Path("/srv/watch")), lambda: GROUPS)

    assert str(PREFIX / "bin") not in text
    assert "\nExecStart=/srv/watch/bin/edge-detect run\n" in text
    assert (
        "\nExecReload=/srv/watch/bin/edge-detect config check\nExecReload=/bin/kill -HUP $MAINPID\n" in text
    )


@pytest.mark.parametrize("step", [Step("a", lambda: None), Step("a", lambda: None, lambda: True)])
def test_whether_anything_was_done_is_told(step: Step) -> None:
    assert carry_out([step], lambda line: None) != step.done()


@pytest.fixture
def analyze(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`systemd-analyze WORDS` of the unit, whose program is one that this machine has."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    program = Layout().program
    text = unit_text(Layout(), lambda: GROUPS).replace(str(program), "/bin/true")
    (tmp_path / UNIT).write_text(text)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = ["systemd-analyze", *words, str(tmp_path / UNIT)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return run


def test_systemd_finds_nothing_wrong_with_the_unit(
    analyze: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    end = analyze("verify", "--man=no", "--recursive-errors=no")

    assert (end.returncode, end.stdout + end.stderr) == (0, "")


def test_the_unit_exposes_little(analyze: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    end = analyze("security", "--offline=true", "--no-pager", "--threshold=20")
    if "unrecognized option" in end.stderr:
        pytest.skip("this systemd-analyze has no --offline")

    assert end.returncode == 0, end.stdout


@pytest.mark.parametrize(
    "allowed",
    [
        "char-video4linux rw",
        "char-media rw",
        "char-dma_heap rw",
        "char-drm rw",
        "/dev/vcio rw",
        "char-gpiochip rw",
    ],
)
def test_the_unit_lets_cameras_and_pins_in(allowed: str) -> None:
    assert f"\nDeviceAllow={allowed}\n" in unit_text(Layout())
    assert "ProcSubset=pid\n" not in unit_text(Layout()).replace("# not ProcSubset=pid", "")
    assert "PrivateDevices" not in unit_text(Layout())
    assert "AF_NETLINK" in unit_text(Layout())
