from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import program
import pytest

from edge_detect import board, checkup, recipients
from edge_detect.checkup import Finding
from edge_detect.sources import v4l2

Save = Callable[..., Path]


def states(findings: Iterator[Finding]) -> list[tuple[str, str, str]]:
    return [(one.state, one.what, one.detail) for one in findings]


@pytest.fixture
def picamera2(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a picamera2 in place that knows some cameras, or fails."""

    def put(cameras: list[dict[str, str]] | None = None, error: Exception | None = None) -> None:
        def look() -> list[dict[str, str]]:
            if error:
                raise error
            return cameras or []

        module = ModuleType("picamera2")
        module.Picamera2 = SimpleNamespace(global_camera_info=look)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "picamera2", module)

    return put


@pytest.fixture
def on_a_pi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "name", lambda: "Raspberry Pi 5 Model B Rev 1.0")
    monkeypatch.setenv("PATH", "")


def test_every_part_is_looked_at_and_has_a_remedy_unless_it_is_well(save: Save) -> None:
    found = list(checkup.examine(save(program.detector()), None))

    assert [one for one in found if bool(one.fix) == (one.state == "ok")] == []
    assert {one.state for one in found} <= {"ok", "note", "fail"}
    assert [one.what for one in found][:4] == ["python", "numpy", "runtime", "opencv"]
    assert found[-1].what == "model"


def test_a_check_that_fails_is_a_finding_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v4l2, "devices", lambda: [1 / 0])

    found = {one.what: one for one in checkup.examine(None, None)}

    assert found["USB camera"] == Finding(
        "fail", "USB camera", "ZeroDivisionError: division by zero", "mend what is broken above, then again"
    )
    assert "model" in found


def test_what_a_package_prints_is_no_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(v4l2, "devices", lambda: print("look here") or [])

    list(checkup.examine(None, None))

    assert capsys.readouterr() == ("", "look here\n")


@pytest.mark.parametrize(
    "machine, state", [("aarch64", "ok"), ("armv7l", "fail"), ("armv6l", "fail"), ("x86_64", "ok")]
)
def test_a_system_of_32_bits_is_told(monkeypatch: pytest.MonkeyPatch, machine: str, state: str) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)

    (found,) = checkup.python()

    assert (found.state, f" on {machine}, " in found.detail) == (state, True)


@pytest.mark.parametrize(
    "degrees, bits, expected",
    [
        (None, None, []),
        (48.3, None, [("ok", "temperature", "48.3 C")]),
        (75.0, None, [("note", "temperature", "75.0 C")]),
        (48.3, 0, [("ok", "temperature", "48.3 C"), ("ok", "power", "never throttled since boot")]),
        (None, 0x50000, [("note", "power", "under-voltage before, throttled before")]),
        (None, 0x80008, [("note", "power", "soft temperature limit, soft temperature limit before")]),
    ],
    ids=["nothing told", "cool", "hot", "in order", "bad supply", "too hot"],
)
def test_heat_and_power_are_told(
    monkeypatch: pytest.MonkeyPatch,
    degrees: float | None,
    bits: int | None,
    expected: list[tuple[str, str, str]],
) -> None:
    monkeypatch.setattr(board, "temperature", lambda: degrees)
    monkeypatch.setattr(board, "throttled", lambda: bits)

    assert states(checkup.power()) == expected


@pytest.mark.parametrize("bits, word", [(0x50000, "power supply"), (0x80000, "heat sink")])
def test_the_remedy_fits_the_flag(monkeypatch: pytest.MonkeyPatch, bits: int, word: str) -> None:
    monkeypatch.setattr(board, "temperature", lambda: None)
    monkeypatch.setattr(board, "throttled", lambda: bits)

    (found,) = checkup.power()

    assert word in found.fix


def test_csi_cameras_are_named(picamera2: Callable[..., None]) -> None:
    picamera2([{"Model": "imx708"}, {"Id": "/base/i2c"}])

    assert states(checkup.csi_camera())[0] == ("ok", "CSI camera", "imx708, ?")


@pytest.mark.parametrize(
    "error, state, remedy",
    [
        (None, "note", "ribbon cable"),
        (RuntimeError("Could not open any dmaHeap device"), "fail", "usermod -aG video"),
        (ValueError("numpy.dtype size changed"), "fail", "pip install 'numpy<2'"),
        (ImportError("no libcamera"), "note", "apt install -y python3-picamera2"),
    ],
    ids=["none there", "no permission", "another numpy", "not installed"],
)
def test_a_csi_camera_that_does_not_work_has_a_remedy(
    picamera2: Callable[..., None], error: Exception | None, state: str, remedy: str
) -> None:
    picamera2(error=error)

    found = next(checkup.csi_camera())

    assert (found.state, remedy in found.fix) == (state, True)


@pytest.mark.usefixtures("on_a_pi")
def test_a_pi_without_its_camera_software_is_not_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)

    found = list(checkup.csi_camera())

    assert [(one.state, one.what) for one in found] == [("fail", "CSI camera"), ("note", "rpicam-vid")]
    assert "--system-site-packages" in found[0].fix
    assert found[1].fix == "sudo apt install rpicam-apps"


def test_usb_cameras_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "video0").touch()
    monkeypatch.setattr(v4l2, "devices", lambda: [str(tmp_path / "video0")])

    assert states(checkup.usb_camera()) == [("ok", "USB camera", f"{tmp_path}/video0 (unknown)")]


def test_a_usb_camera_without_permission_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v4l2, "devices", lambda: ["/dev/video0"])  # os.access says no to what is not there

    assert list(checkup.usb_camera()) == [
        Finding("fail", "USB camera", "no permission for /dev/video0", checkup.GROUP_FIX)
    ]


@pytest.mark.parametrize(
    "mine, expected",
    [([44, 106], ("ok", "video, render")), ([44], ("ok", "video")), ([106], ("fail", "not in group video"))],
)
def test_the_groups_of_cameras_are_told(
    monkeypatch: pytest.MonkeyPatch, mine: list[int], expected: tuple[str, str]
) -> None:
    entries = [SimpleNamespace(gr_name=name, gr_gid=gid) for name, gid in (("video", 44), ("render", 106))]
    monkeypatch.setattr("grp.getgrall", lambda: entries)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 1000)
    monkeypatch.setattr(os, "getgroups", lambda: mine)

    (found,) = checkup.groups()

    assert (found.state, found.detail) == expected


@pytest.mark.parametrize("name, state", [("DISPLAY", "ok"), ("WAYLAND_DISPLAY", "ok"), ("OTHER", "note")])
def test_a_window_needs_a_desktop(monkeypatch: pytest.MonkeyPatch, name: str, state: str) -> None:
    pytest.importorskip("pygame")
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(name, ":0")

    (found,) = checkup.display()

    assert found.state == state


def test_a_disk_that_is_nearly_full_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=900_000_000))

    (found,) = checkup.space()

    assert (found.state, found.detail) == ("note", f"0.9 GB free in {Path.cwd()}")


@pytest.mark.parametrize(
    "data, labels, state, remedy",
    [
        (program.detector(), b"a\nb\n", "ok", ""),
        (program.detector(labels=b""), None, "note", "give its names with --labels FILE"),
        (program.detector()[:2000], None, "fail", "edge-detect inspect {path} tells more"),
        (program.detector(), b"\0\1", "fail", "give another file, or mend what failed above"),
        (None, None, "fail", "give another file, or mend what failed above"),
    ],
    ids=["in order", "no labels", "truncated", "binary labels", "missing"],
)
def test_the_model_is_tried(
    save: Save, tmp_path: Path, data: bytes | None, labels: bytes | None, state: str, remedy: str
) -> None:
    path = save(data) if data else tmp_path / "no.tflite"
    names = save(labels, "labels.txt") if labels else None

    (found,) = checkup.detector(path, names)

    assert (found.what, found.state, found.fix) == ("model", state, remedy.format(path=path))


def test_no_model_at_all_is_a_note() -> None:
    (found,) = checkup.detector(None, None)

    assert found == Finding("note", "model", "none given and none shipped", "edge-detect doctor --model FILE")


def test_settings_with_a_mistake_are_told(home: Path) -> None:
    (home / "user" / "edge-detect").mkdir(parents=True)
    path = home / "user" / "edge-detect" / "config.toml"
    path.write_text("[detect]\nconfidence = 4\n")
    (found,) = checkup.settings()

    said = f"{path}:2: detect.confidence = 4: expected a number from 0 to 1"
    assert found == Finding("fail", "settings", said, "edge-detect config check tells all mistakes")


def test_without_a_broker_in_the_settings_nothing_is_told(home: Path) -> None:
    assert list(checkup.settings()) == []


def test_the_broker_is_asked(tmp_path: Path) -> None:
    pytest.importorskip("paho.mqtt", reason="needs paho-mqtt, from the extra mqtt")
    import broker

    if not broker.program():
        pytest.skip("needs Mosquitto: apt install mosquitto")
    fix = "check mqtt.host, mqtt.port, mqtt.username and the password"
    with broker.Broker(tmp_path) as up:
        chosen = recipients.Mqtt(host="127.0.0.1", port=up.port)
        well = checkup.broker(chosen)
        up.kill()
        away = checkup.broker(chosen)
    with broker.Broker(tmp_path, allow_anonymous="false") as strict:
        refused = checkup.broker(recipients.Mqtt(host="127.0.0.1", port=strict.port))

    assert well == Finding("ok", "mqtt", f"127.0.0.1:{up.port} takes us")
    refusing = f"127.0.0.1:{up.port}: Connection refused"
    assert away == Finding("fail", "mqtt", refusing, fix)
    assert (refused.state, refused.fix) == ("fail", fix)
    assert "refuses us" in refused.detail


def test_a_broker_without_its_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "edge_detect.notices.link", None)
    found = checkup.broker(recipients.Mqtt(host="x"))

    assert found == Finding("fail", "mqtt", "paho-mqtt is not installed", "pip install 'edge_detect[mqtt]'")
