"""Stream, with network cameras in processes of their own that are killed, stopped and made to lie."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from waiting import take, wait_until, watch

from edge_detect.errors import ConfigError, SourceError
from edge_detect.newest import Newest
from edge_detect.sources import Source, open_source
from edge_detect.sources.stream import Stream

HTTP = """
import os, sys, time
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle, islice
folder, port = sys.argv[1:]
jpegs = [open(f"{folder}/{name}", "rb").read() for name in sorted(os.listdir(folder))]
head = b"--frame\\r\\nContent-Type: image/jpeg\\r\\nContent-Length: %d\\r\\n\\r\\n"
class Camera(BaseHTTPRequestHandler):
    def log_message(self, *words):
        pass
    def begin(self, code, kind):
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.end_headers()
    def send(self, count, pause=0.005):
        for jpeg in islice(cycle(jpegs), count):
            self.wfile.write(head % len(jpeg) + jpeg + b"\\r\\n")
            time.sleep(pause)
    def do_GET(self):
        what = self.path.strip("/").partition("?")[0]
        known = b"Basic " + b64encode(b"pi:raspberry")
        if what == "locked" and self.headers.get("Authorization", "").encode() != known:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            return self.end_headers()
        if what == "page":
            self.begin(200, "text/html")
            return self.wfile.write(b"<html><body>camera</body></html>" * 100)
        self.begin(200, "multipart/x-mixed-replace; boundary=frame")
        try:
            if what.startswith("garbage"):
                self.send(int(what[7:]))
                while True:
                    self.wfile.write(os.urandom(1 << 16))
            self.send(int(what) if what.isdigit() else 10**9)
        except OSError:
            pass
server = ThreadingHTTPServer(("127.0.0.1", int(port)), Camera)
print(server.server_port, flush=True)
server.serve_forever()
"""
RTSP = """
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
launch = ("( videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=25/1"
          " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! rtph264pay name=pay0 )")
assert Gst.parse_launch(launch.strip("( )"))
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(launch)
factory.set_shared(True)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[2])
server.get_mount_points().add_factory("/cam", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
"""
QUICK = (0.01, 0.05)
Start = Callable[..., Newest]


class Server:
    """A network camera.

    Attributes:
        port: The same for every start.
    """

    def __init__(self, *command: str) -> None:
        self.port, self._command = 0, command
        self.start()

    def start(self) -> None:
        self._child = subprocess.Popen([*self._command, str(self.port)], stdout=subprocess.PIPE)
        assert self._child.stdout
        self.port = int(self._child.stdout.readline())

    def signal(self, number: signal.Signals) -> None:
        self._child.send_signal(number)

    def kill(self) -> None:
        with self._child:
            self._child.kill()

    def at(self, path: str, user: str = "") -> str:
        return f"http://{user}127.0.0.1:{self.port}/{path}"


@pytest.fixture(scope="module")
def jpegs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pictures, red on the left and blue on the right, with noise between."""
    folder = tmp_path_factory.mktemp("jpegs")
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    picture[:, :16], picture[:, -16:] = (0, 0, 255), (255, 0, 0)
    for number in range(20):
        cv2.imwrite(f"{folder}/{number:02}.jpg", np.roll(picture, number, axis=0))
    return folder


@pytest.fixture
def server(jpegs: Path) -> Iterator[Server]:
    made = Server(sys.executable, "-IS", "-c", HTTP, str(jpegs))
    yield made
    made.kill()


@cache
def why_no_rtsp() -> str:
    words = ["/usr/bin/python3", "-c", RTSP.partition("factory")[0]]
    try:
        subprocess.run(words, check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return "needs gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-{base,good,ugly} and python3-gi"
    return ""


@pytest.fixture
def rtsp(jpegs: Path) -> Iterator[Server]:
    if why_no_rtsp():
        pytest.skip(why_no_rtsp())
    made = Server("/usr/bin/python3", "-c", RTSP, str(jpegs))
    yield made
    made.kill()


@pytest.fixture
def newest() -> Iterator[Start]:
    opened: list[Newest] = []

    def start(source: Source, **options: Any) -> Newest:
        opened.append(Newest(source, "camera", **({"back_off": QUICK} | options)))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_frames_come_with_name_number_and_time(server: Server) -> None:
    before = time.monotonic()
    with closing(iter(Stream(server.at("cam?size=2", "pi:raspberry@")))) as frames:  # type: ignore[type-var]
        taken = take(frames, 3)

    assert [frame.number for frame in taken] == [0, 1, 2]
    assert {frame.name for frame in taken} == {server.at("cam?size=2", "pi:***@")}
    assert before < taken[0].time <= taken[1].time <= taken[2].time < time.monotonic()
    assert {frame.size for frame in taken} == {(64, 48)}


def test_colours_are_blue_green_red_and_the_picture_is_turned(server: Server, newest: Start) -> None:
    image = take(newest(open_source(f"{server.at('cam')}#rotation=90")))[0].image

    assert image.shape == (64, 48, 3)
    assert np.abs(image[2:14].astype(int) - (0, 0, 255)).mean() < 20
    assert np.abs(image[-14:-2].astype(int) - (255, 0, 0)).mean() < 20


def test_killed_camera_is_back_when_it_starts_again(
    server: Server, newest: Start, caplog: pytest.LogCaptureFixture
) -> None:
    frames = newest(open_source(server.at("cam")))
    take(frames, 3)
    server.kill()
    wait_until(lambda: told(caplog))
    server.start()
    watch(frames, lambda _: len(told(caplog)) == 2)

    lost, back = told(caplog)
    assert lost == f"camera lost: {server.at('cam')}: the stream broke off"
    assert back.startswith("camera back: camera after ")


def test_camera_that_hangs_is_back_when_it_goes_on(
    server: Server, newest: Start, caplog: pytest.LogCaptureFixture
) -> None:
    frames = newest(Stream(server.at("cam"), patience=0.5))
    take(frames, 3)
    server.signal(signal.SIGSTOP)
    for _ in frames:
        if told(caplog):
            break
    server.signal(signal.SIGCONT)
    watch(frames, lambda _: len(told(caplog)) == 2)

    assert told(caplog)[0].endswith(("no frame for 1 s", "no frame for 0.5 s"))
    assert told(caplog)[1].startswith("camera back: camera after ")


def test_camera_that_hangs_can_be_closed(server: Server, newest: Start) -> None:
    frames = newest(Stream(server.at("cam"), patience=0.5))
    take(frames, 3)
    server.signal(signal.SIGSTOP)
    frames.close()

    assert "capture camera" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("path", ["garbage10", "10"], ids=["sends garbage", "hangs up"])
def test_camera_that_goes_wrong_every_time_is_opened_every_time(
    server: Server, newest: Start, path: str
) -> None:
    frames = newest(open_source(server.at(path)))
    watch(frames, lambda _: frames.reopened >= 3)

    assert frames.captured >= 30


@pytest.mark.parametrize(
    "path, said", [("1", " after one picture; is that the address of single pictures?"), ("2", "")]
)
def test_camera_that_gives_one_picture_at_a_time_is_told_for_what_it_is(
    server: Server, path: str, said: str
) -> None:
    with pytest.raises(SourceError) as caught:
        list(Stream(server.at(path)))

    assert str(caught.value) == f"{server.at(path)}: the stream broke off{said}"


def test_hundred_openings_leave_nothing_behind(server: Server, newest: Start) -> None:
    frames = newest(open_source(server.at("4")))
    watch(frames, lambda _: frames.reopened >= 10)
    threads, handles = len(threading.enumerate()), len(os.listdir("/proc/self/fd"))
    watch(frames, lambda _: frames.reopened >= 110, limit=30)

    assert len(threading.enumerate()) <= threads
    assert len(os.listdir("/proc/self/fd")) <= handles + 1  # its connection comes and goes


@pytest.mark.parametrize("path", ["locked", "page", "garbage0", "0"])
def test_what_is_no_stream_is_told_at_once(server: Server, newest: Start, path: str) -> None:
    with pytest.raises(SourceError) as caught:
        take(newest(Stream(server.at(path, "pi:S3cret@"), patience=1)))

    assert str(caught.value) == (
        f"{server.at(path, 'pi:***@')}: no stream;"
        " is the camera on, and are address, user and password right?"
    )


def test_nobody_at_the_address_is_told(server: Server) -> None:
    server.kill()

    with pytest.raises(SourceError, match=r"no stream; is the camera on"):
        next(iter(Stream(server.at("cam"))))


def test_right_password_opens(server: Server, newest: Start) -> None:
    assert take(newest(open_source(server.at("locked", "pi:raspberry@"))))


def test_nothing_is_said_but_our_own_words(server: Server) -> None:
    code = f"""
from edge_detect.sources import open_source
try:
    list(open_source({server.at("locked", "pi:S3cret@")!r}))
except OSError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.startswith(server.at("locked", "pi:***@"))
    assert done.stderr == ""


def test_password_does_not_reach_the_log(
    server: Server, newest: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    frames = newest(open_source(server.at("10", "pi:S3cret@")))
    watch(frames, lambda _: frames.reopened >= 2)

    assert told(caplog)
    assert "S3cret" not in caplog.text


@pytest.mark.parametrize("sign", ["", "#"], ids=["password", "password with a #"])
def test_password_does_not_reach_a_message(sign: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_source(f"rtsp://pi:S3{sign}cret@camera/live#rotation=45")

    assert "cret" not in str(caught.value)


def test_an_address_that_is_no_text_is_told() -> None:
    with pytest.raises(ConfigError, match="expected an address in UTF-8; write other letters as %C3%A9"):
        open_source("rtsp://camera/caf\udce9")


class LateCapture:
    """cv2.VideoCapture of an RTSP camera that hangs: what was buffered comes after the time is up."""

    def __init__(self, filename: str, api: int, params: list[int]) -> None:
        self.released = False

    def isOpened(self) -> bool:
        return True

    def read(self) -> tuple[bool, Any]:
        time.sleep(0.55)
        return True, np.zeros((48, 64, 3), np.uint8)

    def release(self) -> None:
        self.released = True


def test_frame_that_comes_after_the_time_is_up_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", LateCapture)

    with pytest.raises(SourceError) as caught:
        next(iter(Stream("rtsp://pi:S3cret@camera", patience=0.5)))

    assert str(caught.value) == "rtsp://pi:***@camera: no frame for 0.5 s"


def test_rtsp_camera_that_is_killed_and_that_hangs_is_back(
    rtsp: Server, newest: Start, caplog: pytest.LogCaptureFixture
) -> None:
    frames = newest(Stream(f"rtsp://127.0.0.1:{rtsp.port}/cam", patience=2))
    take(frames, 30, limit=20)
    rtsp.kill()
    wait_until(lambda: told(caplog))
    rtsp.start()
    watch(frames, lambda _: len(told(caplog)) == 2, limit=20)
    take(frames, 30, limit=20)
    rtsp.signal(signal.SIGSTOP)
    wait_until(lambda: len(told(caplog)) == 3)
    rtsp.signal(signal.SIGCONT)
    watch(frames, lambda _: len(told(caplog)) == 4, limit=20)

    assert [message.partition(":")[0] for message in told(caplog)] == ["camera lost", "camera back"] * 2
