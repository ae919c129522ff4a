from __future__ import annotations

import os
import re
import struct
import time
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

import edge_detect.sources.stream  # noqa: F401 its settings of FFmpeg must not harm files
from edge_detect.errors import ConfigError, EdgeDetectError, InputMissing, SourceError
from edge_detect.frame import Image
from edge_detect.sources import open_source
from edge_detect.sources.video import Video

FRAMES = 30
UNEVEN = (0, 0.1, 0.2, 0.3, 0.4, 0.9, 1.4)
Write = Callable[..., Path]


def shade(number: int) -> int:
    return 20 + number * 7


def picture(number: int) -> Image:
    """Grey that tells the number, and a white left upper corner."""
    image = np.full((48, 64, 3), shade(number), np.uint8)
    image[:16, :16] = 255
    return image


@pytest.fixture
def clip(tmp_path: Path) -> Write:
    """Writes a video file of `FRAMES` frames."""

    def write(name: str = "clip.mp4", codec: str = "mp4v", fps: float = 10, frames: int = FRAMES) -> Path:
        path = tmp_path / name
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), fps, (64, 48))
        for number in range(frames):
            writer.write(picture(number))
        writer.release()
        return path

    return write


def shades(source: Video) -> list[int]:
    return [int(np.median(frame.image)) for frame in source]


def test_every_frame_comes_once_in_order(clip: Write, caplog: pytest.LogCaptureFixture) -> None:
    path = clip()
    frames = list(open_source(str(path)))

    assert [frame.number for frame in frames] == list(range(FRAMES))
    assert caplog.messages == []
    assert [frame.time for frame in frames] == pytest.approx([number / 10 for number in range(FRAMES)])
    assert {(frame.size, frame.name) for frame in frames} == {((64, 48), str(path))}
    assert (
        np.abs(np.subtract(shades(Video(str(path))), [shade(number) for number in range(FRAMES)])).max() <= 3
    )


@pytest.mark.parametrize(
    "name, codec", [("a.avi", "MJPG"), ("a.mkv", "mp4v"), ("a.mp4", "mp4v"), ("no ending", "MJPG")]
)
def test_kinds_of_files_are_read(clip: Write, tmp_path: Path, name: str, codec: str) -> None:
    path = clip("a.avi" if "." not in name else name, codec).rename(tmp_path / name)

    assert len(list(Video(str(path)))) == FRAMES


@pytest.mark.parametrize(
    "name, frames",
    [
        ("one-by-one-person-detection.mp4", 1394),
        ("bottle-detection.mp4", 1189),
        ("store-aisle-detection-480p-from-gif.mp4", 67),
        ("person-bicycle-car-detection-480p-from-gif.mp4", 41),
    ],
)
def test_every_frame_of_a_real_clip_comes(shared: Path, name: str, frames: int) -> None:
    numbers = [frame.number for frame in Video(str(shared / "clips" / name))]

    assert numbers == list(range(frames))


def test_rate_of_the_file_is_known_when_it_is_open(clip: Write) -> None:
    video = Video(str(clip(fps=12.5)))
    assert video.fps == 0

    next(iter(video))
    assert video.fps == pytest.approx(12.5)


def test_rate_that_was_asked_for_counts(clip: Write) -> None:
    times = [frame.time for frame in open_source(f"file:{clip()}?fps=5")]

    assert times == pytest.approx([number / 5 for number in range(FRAMES)])


def test_video_can_be_read_twice(clip: Write) -> None:
    video = Video(str(clip()))

    assert shades(video) == shades(video)


def test_loop_begins_again_and_the_numbers_go_on(clip: Write) -> None:
    frames = list(islice(Video(str(clip(frames=4)), loop=True), 10))

    assert [frame.number for frame in frames] == list(range(10))
    assert frames[8].time == pytest.approx(0.8)
    assert frames[8].image.tolist() == frames[4].image.tolist() == frames[0].image.tolist()


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    """A video of our own recorder, whose frames are 0.1 s apart, then 0.5 s."""
    pytest.importorskip("av", reason="needs PyAV, from the extra record")
    from edge_detect.clip import Clip

    with closing(Clip()) as made:
        for number, at in enumerate(UNEVEN):
            made.add(cv2.imencode(".jpg", picture(number))[1].tobytes(), 7 + at)
        (tmp_path / "uneven.mp4").write_bytes(made.finish())
    return tmp_path / "uneven.mp4"


def test_frames_have_the_times_that_the_file_gives_them(uneven: Path) -> None:
    assert [frame.time for frame in Video(str(uneven))] == pytest.approx(UNEVEN, abs=0.002)


def test_a_rate_that_was_asked_for_makes_the_times(uneven: Path) -> None:
    frames = list(Video(str(uneven), fps=4))

    assert [frame.time for frame in frames] == [number / 4 for number in range(len(UNEVEN))]


def test_times_go_on_when_a_video_begins_again(uneven: Path) -> None:
    n = len(UNEVEN)
    times = [frame.time for frame in islice(Video(str(uneven), loop=True), 2 * n)]

    assert times[n] > times[n - 1]
    assert [at - times[n] for at in times[n:]] == pytest.approx(UNEVEN, abs=0.002)


def test_a_live_video_keeps_the_times_of_its_file(uneven: Path) -> None:
    before = time.monotonic()
    times = [frame.time for frame in Video(str(uneven), live=True)]

    assert all(at - before >= due - 0.002 for at, due in zip(times, UNEVEN, strict=True))


def test_times_go_on_where_two_recordings_are_one_file(clip: Write, tmp_path: Path) -> None:
    parts = [clip(name, "MPG2", frames=25) for name in ("a.ts", "b.ts")]
    (tmp_path / "c.ts").write_bytes(b"".join(part.read_bytes() for part in parts))

    times = [frame.time for frame in Video(str(tmp_path / "c.ts"))]

    assert len(times) == 50
    assert np.diff(times) == pytest.approx(0.1, abs=0.01)


def test_live_video_is_played_by_the_clock(clip: Write) -> None:
    video = open_source(f"file:{clip(frames=10)}?live=yes&fps=50")
    before = time.monotonic()
    frames = [(frame.time, time.monotonic()) for frame in video]
    due = before + np.arange(10) / 50

    assert video.live
    assert len(frames) == 10
    assert (np.array([taken for taken, _ in frames]) >= due).all()
    assert all(taken <= now for taken, now in frames)


def test_live_video_without_a_rate_takes_that_of_the_file(clip: Write) -> None:
    before = time.monotonic()
    frames = list(Video(str(clip(fps=40, frames=5)), live=True))

    assert frames[-1].time >= before + 4 / 40


@pytest.mark.parametrize(
    "rotation, flip, corner",
    [
        (0, "", (0, 0)), (90, "", (0, -1)), (180, "", (-1, -1)), (270, "", (-1, 0)),
        (0, "h", (0, -1)), (0, "v", (-1, 0)), (0, "hv", (-1, -1)), (90, "h", (0, 0)),
    ],
)  # fmt: skip
def test_frames_are_turned(clip: Write, rotation: int, flip: str, corner: tuple[int, int]) -> None:
    frame = next(iter(open_source(f"file:{clip(frames=1)}?rotation={rotation}&flip={flip}")))

    assert frame is not None
    assert frame.size == ((48, 64) if rotation % 180 else (64, 48))
    assert frame.image[corner].mean() > 200
    assert frame.image[24, 24].mean() < 50


@pytest.mark.parametrize("turn, corner", [((0, 1, -1, 0), (0, -1)), ((-1, 0, 0, -1), (-1, -1))])
def test_a_video_that_was_filmed_lying_comes_upright(
    clip: Write, turn: tuple[int, int, int, int], corner: tuple[int, int]
) -> None:
    path = clip(frames=1)
    data = path.read_bytes()
    matrix = data.index(b"tkhd") + 44  # a, b, u, c, d, v, x, y, w; source: ISO/IEC 14496-12, 8.3.2
    a, b, c, d = (part << 16 for part in turn)
    whole = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data[:matrix] + whole + data[matrix + len(whole) :])

    frame = next(iter(Video(str(path))))

    assert frame.size == ((48, 64) if turn[1] else (64, 48))
    assert frame.image[corner].mean() > 200
    assert frame.image[24, 24].mean() < 50


@pytest.mark.parametrize(
    "name", ["a:b.mp4", "pattern:1.mp4", "100%d.mp4", "ä 猫.mp4", "what?.mp4", "[1].mp4"]
)
def test_odd_names_are_read(clip: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    clip().rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)

    assert len(list(open_source(name))) == FRAMES


def test_a_name_that_is_no_text_is_told(clip: Write, tmp_path: Path) -> None:
    path = clip().rename(tmp_path / "caf\udce9.mp4")

    with pytest.raises(SourceError) as caught:
        next(iter(Video(str(path))))

    assert str(caught.value) == f"{path}: expected a name in UTF-8; rename the file"


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputMissing) as caught:
        next(iter(Video(str(tmp_path / "no.mp4"))))

    assert str(caught.value) == f"{tmp_path}/no.mp4: cannot read the video: No such file or directory"


def test_folder_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(InputMissing) as caught:
        next(iter(Video(str(tmp_path))))

    assert str(caught.value) == f"{tmp_path}: cannot read the video: Is a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_file_that_may_not_be_read_is_told(clip: Write) -> None:
    path = clip()
    path.chmod(0)

    with pytest.raises(InputMissing) as caught:
        next(iter(Video(str(path))))

    assert str(caught.value) == f"{path}: cannot read the video: Permission denied"


def test_pipe_is_told_before_its_writer_is_asked(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mkv")

    with pytest.raises(SourceError) as caught:
        next(iter(Video(str(tmp_path / "a.mkv"))))

    expected = "is a pipe, expected a file; - reads MJPEG or raw frames from a pipe"
    assert str(caught.value) == f"{tmp_path}/a.mkv: {expected}"


def test_empty_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()

    with pytest.raises(SourceError) as caught:
        next(iter(open_source(str(tmp_path / "a.mp4"))))

    assert str(caught.value) == f"{tmp_path}/a.mp4: the file is empty"


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a"])
@pytest.mark.parametrize(
    "data", [b"hello\n" * 99, bytes(9999), os.urandom(99999)], ids=["text", "zeros", "noise"]
)
def test_what_is_no_video_is_told(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)

    with pytest.raises(SourceError) as caught:
        next(iter(Video(str(tmp_path / name))))

    assert str(caught.value).startswith(f"{tmp_path / name}: no")
    assert str(caught.value).endswith("(expected MP4, MKV, AVI, MJPEG ...)")


@pytest.mark.parametrize("part", [0.02, 0.5, 0.9])
def test_mp4_that_was_cut_off_is_told(clip: Write, part: float) -> None:
    path = clip()
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])

    with pytest.raises(SourceError) as caught:
        list(Video(str(path)))

    assert str(caught.value) == f"{path}: not a video that can be read (expected MP4, MKV, AVI, MJPEG ...)"


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("loop", [False, True])
def test_frames_of_a_cut_off_avi_come_as_far_as_they_go_which_is_told_once(
    clip: Write, caplog: pytest.LogCaptureFixture, live: bool, loop: bool
) -> None:
    path = clip("a.avi", "MJPG")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"movi") + 6000])
    frames = list(islice(Video(str(path), live=live, fps=1000, loop=loop), FRAMES))

    assert [frame.number for frame in frames] == list(range(len(frames)))
    assert (5 < len(frames) < FRAMES) != loop
    (told,) = caplog.messages
    assert re.fullmatch(rf"{path}: ends at [0-2]\.\d of 3\.0 s: cut off or damaged", told)


def test_video_without_a_frame_is_told(clip: Write) -> None:
    path = clip("a.avi", "MJPG")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"movi") + 4])

    with pytest.raises(SourceError) as caught:
        list(Video(str(path)))

    expected = "no frame can be read; not a video, or damaged (expected MP4, MKV, AVI, MJPEG ...)"
    assert str(caught.value) == f"{path}: {expected}"


def test_video_that_is_gone_when_it_begins_again_is_told(clip: Write) -> None:
    path = clip(frames=2)
    frames = iter(Video(str(path), loop=True))
    next(frames), next(frames)
    path.unlink()

    with pytest.raises(EdgeDetectError, match="No such file"):
        next(frames)


def test_file_is_closed_with_the_iterator(clip: Write) -> None:
    path = clip()
    frames = iter(Video(str(path)))
    next(frames)
    assert open_files(path)
    frames.close()  # type: ignore[attr-defined]

    assert not open_files(path)


def open_files(path: Path) -> list[str]:
    handles = [f"/proc/self/fd/{handle}" for handle in os.listdir("/proc/self/fd")]
    return [handle for handle in handles if os.path.exists(handle) and os.path.samefile(handle, path)]


@pytest.mark.parametrize(
    "query, message",
    [
        ("fps=-1", "fps: expected 0 to 1000, got -1.0"),
        ("fps=fast", "fps: expected float, got 'fast'"),
        ("rotation=45", "rotation: expected 0, 90, 180 or 270, got 45"),
        ("live=perhaps", "live: expected bool, got 'perhaps'"),
        ("lop=yes", "unknown setting 'lop', did you mean 'loop'?"),
    ],
)
def test_wrong_setting_is_named(clip: Write, query: str, message: str) -> None:
    text = f"file:{clip(frames=1)}?{query}"

    with pytest.raises(ConfigError) as caught:
        open_source(text)

    assert str(caught.value) == f"source '{text}': {message}"
