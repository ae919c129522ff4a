from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tornado", reason="needs tornado, from the extra web")

from visitor import Site
from waiting import wait_until

from edge_detect import viewing
from edge_detect.model import open_model
from edge_detect.web import audience


@pytest.fixture
def filmed(tmp_path: Path) -> Iterator[Site]:
    """A page whose camera gives 30 pictures a second."""
    stop = threading.Event()
    with closing(Site(tmp_path)) as site:
        site.facts.newest = type(
            "Camera", (), {"captured": 0, "dropped": 0, "reopened": 0, "lost": False, "age": 0.0}
        )  # type: ignore[assignment]

        def film() -> None:
            while not stop.wait(1 / 30):
                site.scene(time=time.monotonic())

        camera = threading.Thread(target=film)
        camera.start()
        yield site
        stop.set()
        camera.join()


def looked(site: Site, seconds: float, *kinds: str) -> list[dict[str, Any]]:
    """What the program of the viewers tells."""
    command = [sys.executable, "-m", "edge_detect.web.audience", str(site.port), str(seconds), "15", *kinds]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    return [json.loads(line) for line in told.splitlines()]


def test_a_fast_viewer_sees_fifteen_a_second_and_a_slow_one_a_third(filmed: Site) -> None:
    seen = {one["kind"]: one for one in looked(filmed, 2, "fast", "slow")}

    assert 20 <= len(seen["fast"]["shown"]) <= 33
    assert 6 <= len(seen["slow"]["shown"]) <= 12
    assert 0 < min(seen["fast"]["shown"]) < max(seen["slow"]["shown"]) < 5000
    assert seen["fast"]["closed"] is None


def test_a_stalled_viewer_tells_when_it_was_closed(filmed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_detect.web.streams.STALL", 0.3)

    (seen,) = looked(filmed, 3, "stalled")

    assert seen["shown"] == []
    assert 0.3 <= seen["closed"] < 2.5


def test_ctrl_c_is_left_to_who_measures(filmed: Site) -> None:
    command = [sys.executable, "-m", "edge_detect.web.audience", str(filmed.port), "1", "15", "fast"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as viewers:
        wait_until(lambda: filmed.web.viewers)
        viewers.send_signal(signal.SIGINT)
        told, error = viewers.communicate(timeout=30)

    assert (viewers.returncode, error) == (0, "")
    assert json.loads(told)["shown"]


def test_who_is_not_let_in_is_an_error(tmp_path: Path) -> None:
    full = pytest.raises(RuntimeError, match=r"^not let in: b'HTTP/1\.1 503")
    with closing(Site(tmp_path, viewers=1)) as site, site.socket()[0], full:
        audience.viewer(site.port, 1, 15, "fast")


@pytest.mark.slow
def test_the_report_has_every_figure(desk: Path) -> None:
    report = viewing.measure(open_model(desk / "model.tflite", threads=1), viewers=4, rounds=1, seconds=2.5)

    told = json.loads(json.dumps(asdict(report)))
    assert (told["viewers"], told["slow"], told["stalled"]) == (4, 1, 2)
    assert told["rate_ratio"] == pytest.approx(told["rate"] / told["rate_alone"], rel=0.01)
    assert 0 < told["fast_p50_ms"] < told["slow_p50_ms"] <= told["slow_p95_ms"]
    assert told["stalled_closed_s"] == [None, None]  # that takes ten seconds
    assert 0 < told["viewer_cpu_percent"] < 100
