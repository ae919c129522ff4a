from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

av = pytest.importorskip("av", reason="needs PyAV, from the extra record")

from edge_detect.clip import Clip


def jpeg(grey: int = 128, size: tuple[int, int] = (96, 64)) -> bytes:
    return cv2.imencode(".jpg", np.full((size[1], size[0], 3), grey, np.uint8))[1].tobytes()


@pytest.fixture
def clip() -> Iterator[Clip]:
    made = Clip()
    yield made
    made.close()


def read(data: bytes) -> tuple[Any, list[Any]]:
    """The stream of a clip and its frames."""
    with av.open(io.BytesIO(data)) as file:
        stream = file.streams.video[0]
        return stream.codec_context, list(file.decode(stream))


def test_a_browser_plays_it(clip: Clip) -> None:
    for number in range(20):
        clip.add(jpeg(number * 10), 5 + number / 10)
    data = clip.finish()
    context, frames = read(data)

    assert (context.name, context.pix_fmt, context.width, context.height) == ("h264", "yuv420p", 96, 64)
    assert len(frames) == 20
    assert data[4:8] == b"ftyp"
    assert data.index(b"moov") < data.index(b"mdat")  # plays before it is all there


def test_it_plays_as_fast_as_the_world_did(clip: Clip) -> None:
    times = [3.0, 3.1, 3.5, 9.0]
    for time in times:
        clip.add(jpeg(), time)
    _, frames = read(clip.finish())

    assert [round(float(frame.time), 3) for frame in frames] == [0.0, 0.1, 0.5, 6.0]


def test_a_clock_that_stands_or_goes_back_breaks_nothing(clip: Clip) -> None:
    for time in (3.0, 3.0, 2.0, 3.1):
        clip.add(jpeg(), time)

    assert len(read(clip.finish())[1]) == 4


@pytest.mark.parametrize("size", [(97, 65), (97, 64), (96, 65), (3, 3)])
def test_an_odd_size_is_made_even(clip: Clip, size: tuple[int, int]) -> None:
    clip.add(jpeg(size=size), 0.0)
    context, frames = read(clip.finish())

    assert (context.width, context.height) == (size[0] // 2 * 2, size[1] // 2 * 2)
    assert len(frames) == 1


def test_a_camera_that_changes_its_size_goes_on_in_the_first(clip: Clip) -> None:
    clip.add(jpeg(), 0.0)
    clip.add(jpeg(200, (192, 128)), 0.1)
    _, frames = read(clip.finish())

    assert [(frame.width, frame.height) for frame in frames] == [(96, 64)] * 2
    assert abs(frames[1].to_ndarray(format="bgr24").mean() - 200) < 5


def test_a_picture_that_is_none_is_left_out(clip: Clip) -> None:
    clip.add(b"no picture", 0.0)
    clip.add(jpeg(), 0.1)

    assert len(read(clip.finish())[1]) == 1


def test_without_a_picture_there_is_nothing(clip: Clip) -> None:
    assert clip.finish() == b""


def test_its_memory_is_given_back() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        clip = Clip()
        clip.add(jpeg(), 0.0)
        clip.close()
        clip.close()

    assert len(os.listdir("/proc/self/fd")) == before
