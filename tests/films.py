"""Films: videos with time stamps, key frames and containers that a test has chosen."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

SIZE = (160, 96)


def picture(number: int, size: tuple[int, int] = SIZE) -> Any:
    """A picture that no other number has."""
    image = np.full((size[1], size[0], 3), number * 7 % 200 + 20, np.uint8)
    coarse = np.random.default_rng(number).integers(0, 255, (5, size[0] // 8, 3), np.uint8)
    image[:40] = np.kron(coarse, np.ones((8, 8, 1), np.uint8))
    return image


def plain(path: Path, frames: int, fps: float = 25.0, size: tuple[int, int] = SIZE) -> Path:
    """A video of an even rate, such as OpenCV writes."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
    for number in range(frames):
        writer.write(picture(number, size))
    writer.release()
    return path


def stamped(
    path: Path, times: Sequence[float], codec: str = "libx264", per_second: int = 90000, **options: str
) -> Path:
    """A video whose frames have these times; needs PyAV."""
    import av

    kind = {".ts": "mpegts", ".h264": "h264"}.get(path.suffix)
    base = Fraction(1, per_second)
    with av.open(str(path), "w", format=kind) as file:
        stream = file.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.time_base = stream.codec_context.time_base = base
        for number, at in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number), format="bgr24")
            frame.pts, frame.time_base = round(at / base), base
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path
