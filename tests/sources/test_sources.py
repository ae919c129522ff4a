from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_detect.errors import ConfigError, EdgeDetectError, InputMissing
from edge_detect.lazy import load
from edge_detect.sources import SCHEMES, Source, open_source, wants_small
from edge_detect.sources.csi import Csi
from edge_detect.sources.pattern import Pattern
from edge_detect.sources.pictures import Pictures
from edge_detect.sources.rpicam import Rpicam
from edge_detect.sources.stdin import Stdin
from edge_detect.sources.stream import Stream
from edge_detect.sources.v4l2 import V4l2
from edge_detect.sources.video import Video

KNOWN = "auto, csi, file, http, https, pattern, pictures, rpicam, rtsp, rtsps, stdin, v4l2"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with files of all kinds of names in it."""
    for name in ("clip.mp4", "a.jpg", "B.PNG", "a:b.mp4", "pattern:x.mp4", "what?.jpg", "what?.mp4", "[1].mp4",
                 "no ending", "csi", "shots/a.jpg", "home/clip.mp4"):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.parametrize(
    "text, source",
    [
        ("csi:", Csi()),
        ("csi:1", Csi("1")),
        ("csi:0?width=1280&height=720&rotation=180", Csi("0", 1280, 720, rotation=180)),
        ("csi?fps=15", Csi(fps=15)),
        ("rpicam:", Rpicam()),
        ("rpicam:1?flip=h", Rpicam("1", flip="h")),
        ("v4l2:/dev/video1?format=YUYV", V4l2("/dev/video1", format="YUYV")),
        ("v4l2:2", V4l2("/dev/video2")),
        ("v4l2:", V4l2("/dev/video0")),
        ("v4l2", V4l2("/dev/video0")),
        ("/dev/video0", V4l2("/dev/video0")),
        ("/dev/video3?width=320&height=240", V4l2("/dev/video3", 320, 240)),
        ("/dev/v4l/by-id/usb-C920-video-index0", V4l2("/dev/v4l/by-id/usb-C920-video-index0")),
        ("rtsp://u:p@h/x?y=1", Stream("rtsp://u:p@h/x?y=1")),
        ("rtsps://h:322/x", Stream("rtsps://h:322/x")),
        ("Rtsp://U:P@h/X?Y=1#flip=h", Stream("rtsp://U:P@h/X?Y=1", flip="h")),
        ("http://h/mjpg?a=b&c=d", Stream("http://h/mjpg?a=b&c=d")),
        ("https://h", Stream("https://h")),
        ("rtsp://h/x?rotation=90#rotation=180&flip=h", Stream("rtsp://h/x?rotation=90", 180, "h")),
        ("clip.mp4", Video("clip.mp4")),
        ("./clip.mp4", Video("./clip.mp4")),
        ("file:clip.mp4?live=yes&fps=5", Video("clip.mp4", live=True, fps=5)),
        ("file:clip.mp4?loop", Video("clip.mp4", loop=True)),
        ("clip.mp4?live=yes&fps=5", Video("clip.mp4", live=True, fps=5)),
        ("a.jpg?rotation=90", Pictures("a.jpg", 90)),
        ("no ending", Video("no ending")),
        ("a:b.mp4", Video("a:b.mp4")),
        ("pattern:x.mp4", Video("pattern:x.mp4")),
        ("what?.mp4", Video("what?.mp4")),
        ("[1].mp4", Video("[1].mp4")),
        ("./csi", Video("./csi")),
        ("csi", Video("csi")),
        ("a.jpg", Pictures("a.jpg")),
        ("B.PNG", Pictures("B.PNG")),
        ("what?.jpg", Pictures("what?.jpg")),
        ("file:a.jpg?rotation=90", Pictures("a.jpg", 90)),
        ("shots", Pictures("shots")),
        ("shots/", Pictures("shots/")),
        ("file:shots?flip=v", Pictures("shots", flip="v")),
        ("pictures:shots?flip=v", Pictures("shots", flip="v")),
        ("*.jpg", Pictures("*.jpg")),
        ("shots/**", Pictures("shots/**")),
        ("-", Stdin()),
        ("-?format=bgr&width=4&height=2", Stdin("bgr", 4, 2)),
        ("-?live=no", Stdin(live=False)),
        ("stdin:?fps=5", Stdin(fps=5)),
        ("stdin", Stdin()),
    ],
    ids=str,
)
def test_text_names_a_source(text: str, source: Source) -> None:
    assert open_source(text) == source


@pytest.mark.parametrize(
    "text", ["pattern", "pattern:", "pattern?width=64&height=48", "pattern:?width=64&height=48"]
)
def test_pattern_needs_no_more_than_its_name(text: str) -> None:
    source = open_source(text)

    assert isinstance(source, Pattern)
    assert (source.width, source.height) == ((64, 48) if "?" in text else (640, 480))


def test_home_is_where_the_tilde_leads(folder: Path) -> None:
    assert open_source("~/clip.mp4") == open_source("file:~/clip.mp4") == Video(f"{folder}/home/clip.mp4")


def test_address_of_a_file_may_be_written_in_full(folder: Path) -> None:
    text = f"file://{folder}/clip.mp4?fps=5"

    assert open_source(text) == Video(f"{folder}/clip.mp4", fps=5)


@pytest.mark.parametrize(
    "text, message",
    [
        ("patern:", "unknown source 'patern', did you mean 'pattern'?"),
        ("rstp://h/x", "unknown source 'rstp', did you mean 'rtsp'?"),
        ("webcam:0", f"unknown source 'webcam', expected one of: {KNOWN}"),
        ("localhost:8080", f"unknown source 'localhost', expected one of: {KNOWN}"),
        ("csi:0?widht=640", "source 'csi:0?widht=640': unknown setting 'widht', did you mean 'width'?"),
        ("csi:0?width=wide", "source 'csi:0?width=wide': width: expected int, got 'wide'"),
        ("pictures", "source 'pictures': address: expected one, got none"),
        ("pictures:?flip=h", "source 'pictures:?flip=h': address: expected one, got none"),
        (
            "rtsp://u:p@h#turn=1",
            "source 'rtsp://u:***@h#turn=1': unknown setting 'turn', expected one of: address, flip, freeze, patience, rotation",
        ),
        ("rtsp://u:a#b@h/x", "source 'rtsp://u:***@h/x': a # in user or password is written %23"),
    ],
)
def test_wrong_name_says_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_source(text)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    "text, named",
    [
        ("no.mp4", "no.mp4"), ("file:no.mp4?fps=5", "no.mp4"), ("/no/such/clip.mp4", "/no/such/clip.mp4"),
        ("", ""), ("file:", ""), ("file", ""), ("C:\\clip.mp4", "C:\\clip.mp4"), ("~nobody/a", "~nobody/a"),
        ("x" * 5000, "x" * 5000), ("\0", "\0"), ("0", "0"), ("clip.mp4/", "clip.mp4/"),
        (" rtsp://u:pw@h/x", " rtsp://u:***@h/x"),
    ],
)  # fmt: skip
def test_path_that_leads_nowhere_is_told(text: str, named: str) -> None:
    with pytest.raises(InputMissing) as caught:
        open_source(text)

    assert str(caught.value) == f"source '{named}': no such file or folder"


WORDS = st.sampled_from(
    [*SCHEMES, "-", "/dev/video", "~", "*", "shots", "clip.mp4", "https", "0", "1e9", "inf"]
)
FIELDS = st.sampled_from(
    ["width", "height", "fps", "live", "rotation", "flip", "format", "address", "mode", "freeze"]
)
NAMES = st.builds(
    lambda scheme, address, query, sign: f"{scheme}:{address}{sign}{query}",
    WORDS,
    st.text(max_size=8) | WORDS,
    st.lists(st.tuples(FIELDS, st.text(max_size=6) | WORDS)).map(
        lambda pairs: "&".join(f"{name}={quote(value, errors='replace')}" for name, value in pairs)
    ),
    st.sampled_from(["?", "#"]),
)


@given(st.text() | NAMES | WORDS)
@example("~\ud800")
@example("~\0")
@example("~/\ud800*")
@example("\0?")
@example("rtsp://[")
@example("file:" + "../" * 2000)
@example("-?width=" + "9" * 5000)
def test_any_text_is_a_source_or_told_to_be_none(text: str) -> None:
    try:
        source = open_source(text)
    except EdgeDetectError as error:
        assert str(error)
    else:
        assert callable(source.__iter__)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_the_table_names_is_there(scheme: str) -> None:
    made = load(SCHEMES[scheme])

    assert callable(made)
    assert made.__doc__


@pytest.mark.parametrize(
    "source, live, reopens",
    [
        (Csi(), True, True), (Rpicam(), True, True), (V4l2(), True, True), (Stream("rtsp://h"), True, True),
        (Stdin(), True, False), (Stdin(live=False), False, False), (Video("a"), False, False),
        (Video("a", live=True), True, False), (Pictures("a"), False, False), (Pattern(), True, False),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, bool) else "",
)  # fmt: skip
def test_source_says_what_it_is(source: Source, live: bool, reopens: bool) -> None:
    assert (source.live, source.reopens) == (live, reopens)
    assert source.patience > 0
    assert source.freeze >= 0
    assert source.fps >= 0


@pytest.mark.parametrize(
    "source, wants",
    [(Csi(), True), (Csi(small_width=320, small_height=240), False), (V4l2(), False), (Pattern(), False)],
)
def test_camera_that_can_make_a_small_picture_is_asked_for_one(source: Source, wants: bool) -> None:
    assert wants_small(source) is wants


def test_naming_a_source_does_not_load_the_others() -> None:
    code = (
        "import sys; from edge_detect.sources import open_source; open_source('pattern'); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    loaded = {name for name in done.stdout.split() if name.startswith("edge_detect.sources.")}
    assert loaded == {"edge_detect.sources.pattern"}
