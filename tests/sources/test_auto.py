from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from edge_detect import logs
from edge_detect.errors import ConfigError, InputMissing
from edge_detect.sources import auto, csi, open_source, v4l2
from edge_detect.sources.csi import Csi
from edge_detect.sources.pattern import Pattern
from edge_detect.sources.v4l2 import V4l2

Plug = Callable[..., None]


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Plug:
    """Says which cameras are there."""

    def there(ribbon: list[str], usb: list[str]) -> None:
        monkeypatch.setattr(csi, "cameras", lambda level: ribbon)
        monkeypatch.setattr(v4l2, "devices", lambda: usb)

    return there


def test_camera_on_the_ribbon_comes_first(plug: Plug) -> None:
    plug(["imx708"], ["/dev/video8"])

    assert open_source("auto") == Csi()


def test_first_usb_camera_comes_next(plug: Plug) -> None:
    plug([], ["/dev/video8", "/dev/video9"])

    assert open_source("auto:") == V4l2("/dev/video8")


def test_drawn_street_comes_last_with_a_warning(plug: Plug, caplog: pytest.LogCaptureFixture) -> None:
    plug([], [])

    assert isinstance(open_source("auto"), Pattern)
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (
            logging.WARNING,
            "no camera found, showing the drawn street (pattern:); edge-detect doctor tells more",
        )
    ]


@pytest.fixture(params=["systemd listens", "the journal listens"])
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes this process one that systemd started."""
    if request.param == "systemd listens":
        monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    else:
        monkeypatch.setattr(logs, "to_journal", lambda: True)


@pytest.mark.usefixtures("service")
def test_service_has_no_drawn_street_unless_it_is_named(plug: Plug, caplog: pytest.LogCaptureFixture) -> None:
    plug([], [])
    with pytest.raises(InputMissing) as caught:
        next(iter(open_source("auto")))

    assert str(caught.value) == "no camera found, on ribbon cables or USB; edge-detect doctor tells more"
    assert not caplog.records
    assert isinstance(open_source("pattern:"), Pattern)


@pytest.mark.usefixtures("service")
def test_service_takes_the_camera_that_is_there_at_each_opening(
    plug: Plug, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug([], [])
    source = open_source("auto?width=320&patience=7&freeze=9")
    monkeypatch.setattr(V4l2, "__iter__", lambda camera: iter([camera]))
    opened = []
    for there in ("/dev/video8", "/dev/video9"):
        plug([], [there])
        opened += list(source)

    assert opened == [
        V4l2(there, width=320, patience=7, freeze=9) for there in ("/dev/video8", "/dev/video9")
    ]
    assert (source.live, source.reopens, source.patience, source.freeze) == (True, True, 7, 9)


@pytest.mark.parametrize(
    "ribbon, usb, name",
    [(["imx708"], [], "CSI camera imx708"), ([], ["/dev/video8"], "USB camera /dev/video8")],
)
def test_camera_that_was_found_is_named(
    plug: Plug, caplog: pytest.LogCaptureFixture, ribbon: list[str], usb: list[str], name: str
) -> None:
    plug(ribbon, usb)
    caplog.set_level(logging.INFO)
    open_source("auto")

    assert [record.getMessage() for record in caplog.records] == [f"source: {name}"]


@pytest.mark.parametrize("ribbon, usb", [(["imx708"], []), ([], ["/dev/video8"]), ([], [])])
@pytest.mark.parametrize("text", ["auto:?width=320&rotation=180", "auto?width=320&rotation=180"])
def test_settings_go_to_what_was_found(plug: Plug, ribbon: list[str], usb: list[str], text: str) -> None:
    plug(ribbon, usb)
    source = open_source(text)

    assert isinstance(source, Csi | V4l2 | Pattern)
    assert (source.width, source.rotation) == (320, 180)


def test_wrong_setting_is_named(plug: Plug) -> None:
    plug([], ["/dev/video8"])

    with pytest.raises(ConfigError) as caught:
        open_source("auto:?rotation=45")

    assert str(caught.value) == "source 'auto': rotation: expected 0, 90, 180 or 270, got 45"


def test_whatever_this_machine_has_is_found() -> None:
    assert auto.find({})
