"""Stdin, fed through a real pipe."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import take, wait_until

from edge_detect.errors import ConfigError, SourceError
from edge_detect.frame import Frame, Image
from edge_detect.newest import Newest
from edge_detect.sources import open_source, stdin
from edge_detect.sources.stdin import Stdin

MULTIPART = b"\r\n--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 1234\r\n\r\n"


def picture(shade: int, size: tuple[int, int] = (32, 24)) -> Image:
    return np.full((size[1], size[0], 3), shade, np.uint8)


def jpeg(image: Image, quality: int = 90, *, progressive: bool = False) -> bytes:
    """A JPEG with restart markers."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_RST_INTERVAL, 1]
    settings += [cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive)]
    return bytes(cv2.imencode(".jpg", image, settings)[1])


def with_thumbnail(data: bytes, thumbnail: bytes) -> bytes:
    """A JPEG that has a smaller one in it, as those of cameras have."""
    content = b"Exif\0\0" + thumbnail
    return data[:2] + b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content + data[2:]


NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
PLAIN, THUMBNAIL = jpeg(NOISE), jpeg(picture(200, (16, 8)))
RICH = with_thumbnail(jpeg(NOISE[::-1], progressive=True), THUMBNAIL)
WHOLE = [PLAIN, RICH, jpeg(picture(10))]


def cut(data: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    """The data in slices of these sizes."""
    at = 0
    while at < len(data):
        size = next(sizes)
        yield data[at : at + size]
        at += size


def found(data: bytes, size: int = 1 << 16) -> list[bytes]:
    return list(stdin.pictures(cut(data, itertools.repeat(size))))


@pytest.mark.parametrize(
    "between", [b"", MULTIPART, b"\xff", b"\xff\xd8", bytes(range(256)), b"\xff\xd9"],
    ids=["nothing", "multipart", "ff", "start", "rubbish", "end"],
)  # fmt: skip
def test_pictures_are_found_whatever_stands_between(between: bytes) -> None:
    assert found(between + between.join(WHOLE) + between) == WHOLE


@given(st.lists(st.integers(1, 3000), min_size=1), st.sampled_from([b"", MULTIPART, b"\xff\xd8\0"]))
def test_pictures_are_the_same_however_the_stream_is_cut(sizes: list[int], between: bytes) -> None:
    assert list(stdin.pictures(cut(between.join(WHOLE), itertools.cycle(sizes)))) == WHOLE


def test_pictures_are_the_same_byte_by_byte() -> None:
    assert found(MULTIPART.join(WHOLE), 1) == WHOLE


def test_picture_is_there_with_its_last_byte() -> None:
    chunks: list[bytes] = []
    pictures = stdin.pictures(iter(chunks.pop, None))  # type: ignore[arg-type]
    chunks += [RICH]

    assert next(pictures) == RICH


def test_fill_bytes_before_a_marker_belong_to_the_picture() -> None:
    filled = PLAIN[:2] + b"\xff\xff" + PLAIN[2:-2] + b"\xff\xff" + PLAIN[-2:]

    assert found(filled + RICH, 5) == [filled, RICH]


CUT_OFF = pytest.mark.parametrize(
    "picture", [PLAIN, with_thumbnail(PLAIN, THUMBNAIL)], ids=["plain", "thumbnail"]
)


@CUT_OFF
def test_picture_that_was_cut_off_is_passed_over(picture: bytes) -> None:
    for length in range(picture.rindex(b"\xff\xda") + 14, len(picture)):
        pictures = found(picture[:length] + MULTIPART + PLAIN + RICH)

        assert pictures == [PLAIN, RICH], length


@CUT_OFF
def test_picture_that_was_cut_off_early_takes_one_other_along_at_most(picture: bytes) -> None:
    count = (1 << 16) // len(RICH) + 1  # what seems a segment is no longer than that
    for length in range(picture.rindex(b"\xff\xda")):
        pictures = found(picture[:length] + PLAIN + RICH * count)

        assert pictures[-count:] == [RICH] * count, length
        assert len(pictures) <= count + 2
        assert THUMBNAIL not in pictures or length < len(THUMBNAIL) + 20  # cut within its segment


@given(st.binary(max_size=300), st.integers(1, 400))
def test_rubbish_does_no_harm(rubbish: bytes, size: int) -> None:
    assert found(rubbish + PLAIN + bytes(70_000) + RICH, size)[-1] == RICH


def test_silence_is_handed_on() -> None:
    assert list(stdin.pictures(iter([PLAIN[:9], b"", PLAIN[9:], b""]))) == [b"", PLAIN, b""]


def test_large_picture_is_read_through_once() -> None:
    large = jpeg(np.random.default_rng(0).integers(0, 256, (2400, 3600, 3), np.uint8), 95)
    assert len(large) > 8e6
    begun = time.process_time()
    found(large, 1 << 18)
    rough = time.process_time() - begun
    begun = time.process_time()

    assert found(large, 1 << 12) == [large]
    assert time.process_time() - begun < 20 * rough + 0.5  # 64 times as many chunks


def test_stream_without_an_end_of_a_picture_is_told() -> None:
    with pytest.raises(SourceError) as caught:
        list(stdin.pictures(itertools.chain([PLAIN[:-2]], itertools.repeat(bytes(1 << 20)))))

    assert str(caught.value) == "stdin: no end of a picture in 64 MiB; expected MJPEG"


def test_rubbish_without_end_takes_no_memory() -> None:
    for _ in stdin.pictures(itertools.repeat(bytes(1 << 20), 200)):
        raise AssertionError("no picture was there")


@dataclass
class Pipe:
    """Standard input of this process, and the end that another program writes into."""

    end: int

    def write(self, data: bytes) -> None:
        os.write(self.end, data)

    def close(self) -> None:
        if self.end >= 0:
            os.close(self.end)
        self.end = -1


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    handle, end = os.pipe()
    made = Pipe(end)
    with os.fdopen(handle) as file:
        monkeypatch.setattr(sys, "stdin", file)
        yield made
        made.close()


@pytest.fixture
def newest() -> Iterator[Callable[[Stdin], Newest]]:
    opened: list[Newest] = []

    def start(source: Stdin) -> Newest:
        opened.append(Newest(source, "stdin"))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


Start = Callable[[Stdin], Newest]


def frames_of(source: Any) -> list[Frame]:
    return [frame for frame in source if frame is not None]


def test_jpegs_become_frames(pipe: Pipe) -> None:
    before = time.monotonic()
    pipe.write(jpeg(picture(50)) + MULTIPART + jpeg(picture(90, (16, 8))))
    pipe.close()
    frames = frames_of(open_source("-"))

    assert [(frame.number, frame.name, frame.size) for frame in frames] == [
        (0, "stdin", (32, 24)), (1, "stdin", (16, 8)),
    ]  # fmt: skip
    assert [round(frame.image.mean()) for frame in frames] == [50, 90]
    assert before < frames[0].time <= frames[1].time < time.monotonic()


def test_frames_that_all_count_have_their_time_in_the_stream(pipe: Pipe) -> None:
    pipe.write(jpeg(picture(50)) * 3)
    pipe.close()
    source = open_source("-?live=no&fps=10")

    assert not source.live
    assert [frame.time for frame in frames_of(source)] == [0, 0.1, 0.2]


RAW = np.random.default_rng(1).integers(0, 256, (4, 6, 3), np.uint8)
YUV = cv2.cvtColor(RAW, cv2.COLOR_BGR2YUV_I420)


@pytest.mark.parametrize(
    "format, data, image",
    [
        ("bgr", RAW.tobytes(), RAW),
        ("rgb", RAW[..., ::-1].tobytes(), RAW),
        ("gray", RAW[..., 0].tobytes(), RAW[..., :1].repeat(3, 2)),
        ("i420", YUV.tobytes(), cv2.cvtColor(YUV, cv2.COLOR_YUV2BGR_I420)),
    ],
    ids=["bgr", "rgb", "gray", "i420"],
)
def test_raw_frames_become_frames(pipe: Pipe, format: str, data: bytes, image: Image) -> None:
    source = Stdin(format, 6, 4)
    pipe.write(data + data)
    pipe.close()
    frames = frames_of(source)

    assert [frame.number for frame in frames] == [0, 1]
    for frame in frames:
        np.testing.assert_array_equal(frame.image, image)


def test_red_i420_is_red(pipe: Pipe) -> None:
    pipe.write(bytes([81] * 16 + [90] * 4 + [240] * 4))  # BT.601, limited range
    pipe.close()
    image = frames_of(Stdin("i420", 4, 4))[0].image

    assert np.abs(image.astype(int) - (0, 0, 255)).max() <= 3


def test_raw_frames_come_in_any_slices(pipe: Pipe) -> None:
    writer = threading.Thread(target=lambda: [pipe.write(bytes([byte])) for byte in RAW.tobytes() * 5])
    frames = iter(Stdin("bgr", 6, 4))
    writer.start()
    taken = take(frames, 5)
    writer.join()

    assert [frame.image.tolist() for frame in taken] == [RAW.tolist()] * 5


def test_frame_is_turned(pipe: Pipe) -> None:
    pipe.write(RAW.tobytes())
    pipe.close()
    image = frames_of(open_source("-?format=bgr&width=6&height=4&rotation=90"))[0].image

    np.testing.assert_array_equal(image, np.rot90(RAW, -1))


@pytest.mark.parametrize(
    "source, data", [(Stdin("bgr", 6, 4), RAW.tobytes()), (Stdin(), PLAIN)], ids=["raw", "jpeg"]
)
def test_writer_that_dies_within_a_frame_ends_the_source(
    pipe: Pipe, newest: Start, source: Stdin, data: bytes
) -> None:
    code = f"import os; os.write(1, {data!r} * 2 + {data!r}[:-5]); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code], stdout=pipe.end, check=False)
    pipe.close()
    frames = newest(source)

    assert frames_of(frames)[-1].number == 1
    assert frames.captured == 2


@pytest.mark.parametrize("left, told", [(0, 0), (1, 1)])
def test_raw_frames_that_do_not_come_out_even_are_told(
    pipe: Pipe, caplog: pytest.LogCaptureFixture, left: int, told: int
) -> None:
    pipe.write(RAW.tobytes() * 2 + bytes(left))
    pipe.close()

    assert len(frames_of(Stdin("bgr", 6, 4, live=False))) == 2
    message = "stdin: ended within a frame; was it cut off, or is it not 6x4 bgr?"
    assert caplog.messages == [message] * told


@pytest.mark.parametrize("data", [b"", RAW.tobytes()[:-1], b"\xff\xd8\xff"], ids=["nothing", "half", "start"])
@pytest.mark.parametrize("source", [Stdin("bgr", 6, 4), Stdin()], ids=["bgr", "mjpeg"])
def test_end_before_the_first_frame_is_told(pipe: Pipe, newest: Start, source: Stdin, data: bytes) -> None:
    pipe.write(data)
    pipe.close()

    with pytest.raises(SourceError) as caught:
        frames_of(newest(source))

    assert str(caught.value) == f"stdin: ended before the first whole frame; expected {source.format}"


def test_damaged_picture_is_passed_over(pipe: Pipe) -> None:
    damaged = PLAIN[:2] + b"\xff\xda\x00\x02" + PLAIN[-2:]
    pipe.write(damaged + PLAIN)
    pipe.close()

    assert [frame.number for frame in frames_of(Stdin())] == [0]


@pytest.mark.parametrize("format, data", [("mjpeg", PLAIN), ("gray", bytes(24))], ids=["mjpeg", "gray"])
def test_silent_writer_is_lost_once_and_back_once(
    pipe: Pipe, newest: Start, caplog: pytest.LogCaptureFixture, format: str, data: bytes
) -> None:
    frames = newest(Stdin(format, 6, 4, patience=0.5))
    pipe.write(data)
    take(frames)
    moments = iter(frames)
    wait_until(lambda: next(moments) is None and caplog.records)
    pipe.write(data)
    take(frames)

    lost, back = (record.getMessage() for record in caplog.records)
    assert lost == "camera lost: stdin: no frame for 1 s"
    assert back.startswith("camera back: stdin after ")


@pytest.mark.parametrize("format", ["mjpeg", "gray"])
def test_silent_writer_keeps_nobody_waiting(pipe: Pipe, format: str) -> None:
    frames = Newest(Stdin(format, 6, 4), "stdin")

    assert next(iter(frames)) is None
    frames.close()
    assert "capture stdin" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("format", ["mjpeg", "gray"])
def test_reader_of_every_frame_hears_of_silence(pipe: Pipe, format: str) -> None:
    assert next(iter(Stdin(format, 6, 4, live=False))) is None


def test_input_that_is_closed_is_told() -> None:
    code = (
        "from edge_detect.sources import open_source\n"
        "try: list(open_source('-'))\n"
        "except OSError as e: print(e)"
    )
    shell = f'"$0" -c "{code}" <&-'
    done = subprocess.run(["sh", "-c", shell, sys.executable], capture_output=True, text=True, check=True)

    assert done.stdout == "stdin: closed; expected pictures there\n"


def test_input_that_is_a_folder_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with open(os.devnull) as file:
        folder = os.open(tmp_path, os.O_RDONLY)
        os.dup2(folder, file.fileno())
        os.close(folder)
        monkeypatch.setattr(sys, "stdin", file)

        with pytest.raises(SourceError) as caught:
            list(Stdin())

    assert str(caught.value) == "stdin: cannot be read: Is a directory"


def test_file_is_read_as_a_pipe_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "clip.mjpeg").write_bytes(PLAIN * 200)
    with open(tmp_path / "clip.mjpeg") as file:
        monkeypatch.setattr(sys, "stdin", file)

        assert len(frames_of(Stdin(live=False))) == 200


@pytest.mark.parametrize(
    "text, message",
    [
        ("-?format=h264", "format: expected mjpeg, bgr, rgb, gray, i420, got 'h264'"),
        ("-?format=bgr&height=4", "width: expected 1 to 16384, got 0"),
        ("-?format=gray&width=4&height=-1", "height: expected 1 to 16384, got -1"),
        ("-?format=i420&width=5&height=4", "i420 wants even sides, got 5x4"),
        ("-?fps=0", "fps: expected 0.1 to 1000, got 0.0"),
        ("-?patience=0", "patience: expected 0.5 to 600, got 0.0"),
        ("-?flip=x", "flip: expected h, v or hv, got 'x'"),
    ],
)
def test_wrong_setting_is_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_source(text)

    assert str(caught.value) == f"source '{text}': {message}"
