"""Pixels: what OpenCV does for us, behind functions of our own words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

# what goes wrong is told in our own words; FFmpeg's number for silence is -8
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np
import numpy.typing as npt

from edge_detect.boxes import Boxes
from edge_detect.errors import InputMissing, SourceError
from edge_detect.fit import Fit
from edge_detect.frame import Image

cv2.setLogLevel(2)  # errors only
cv2.setNumThreads(1)  # its threads would fight with those of the runtime for the same cores


class Painter:
    """Lays pictures into a model's input: resized, colours swapped, in the input's own numbers.

    The order matters: the full picture is read once, by the resize; all else happens on the
    small one, inside the input tensor wherever its type allows.
    """

    def __init__(self, table: npt.NDArray[Any], colour: str, padding: int) -> None:
        """Takes the stored number for each pixel value, and how the net wants its picture.

        Args:
            table: (256, 1 or 3), in the type of the input.
            colour: `RGB` or `BGR`.
            padding: Pixel value of the bars.
        """
        self._swap = colour == "RGB"
        # a table for R, G, B; OpenCV wants one entry for each channel, or one for all
        self._table = np.ascontiguousarray(table.reshape(1, 256, -1))
        self._padding = table[padding]
        codes = table[:, 0].astype(np.int64)
        plain = table.shape[1] == 1 and table.dtype in (np.uint8, np.int8)
        self._same = plain and table.dtype == np.uint8 and bool((codes == np.arange(256)).all())
        self._flipped = plain and table.dtype == np.int8 and bool((codes == np.arange(256) - 128).all())
        self._scratch = np.zeros((1, 1, 3), np.uint8)

    def lay(self, image: Image, fit: Fit, into: npt.NDArray[Any]) -> None:
        """Writes `image` into `into`, the (height, width, 3) input of the model."""
        (width, height), left, top = fit.inner, fit.left, fit.top
        inside = into[top : top + height, left : left + width]
        if not fit.is_whole:
            into[:top] = self._padding
            into[top + height :] = self._padding
            into[top : top + height, :left] = self._padding
            into[top : top + height, left + width :] = self._padding
        if self._same or self._flipped:
            small = inside.view(np.uint8)
        else:
            if self._scratch.shape != inside.shape:
                self._scratch = np.empty(inside.shape, np.uint8)
            small = self._scratch
        if image.shape[:2] == (height, width):  # it was made small before
            source = image
        else:
            resize(image, (width, height), small)
            source = small
        if self._swap:
            cv2.cvtColor(source, cv2.COLOR_BGR2RGB, dst=small)
        elif source is image:
            small[:] = image
        if self._flipped:
            np.bitwise_xor(small, 0x80, out=small)  # uint8 to int8 with zero point -128
        elif not self._same:
            table = self._table if self._table.shape[2] == 3 else self._table[..., 0]
            cv2.LUT(small, table, dst=inside)


def resize(image: Image, size: tuple[int, int], into: npt.NDArray[np.uint8]) -> None:
    """Writes `image`, scaled to `size`, into the array `into`."""
    height, width = image.shape[:2]
    if (width, height) == size:
        into[:] = image
        return
    # at a whole ratio averaging is both the best and the cheapest; else linear is far cheaper
    even = width % size[0] == 0 and height % size[1] == 0
    cv2.resize(image, size, dst=into, interpolation=cv2.INTER_AREA if even else cv2.INTER_LINEAR)


def suppress(
    boxes: Boxes,
    scores: npt.NDArray[np.float32],
    classes: npt.NDArray[np.int32],
    iou: float,
    most: int = 100,
) -> list[int]:
    """Rows that stay after non-maximum suppression within each class, best first.

    Args:
        boxes: (n, 4) x1 y1 x2 y2.
        scores: (n,).
        classes: (n,).
        iou: Of two boxes of a class that overlap by more, the weaker one goes.
        most: How many may stay.
    """
    if not len(boxes):
        return []
    if len(boxes) > 3000:  # a threshold near 0: the rest cannot be among the best
        best = np.argsort(-scores, kind="stable")[:3000]
        return [int(best[i]) for i in suppress(boxes[best], scores[best], classes[best], iou, most)]
    corners = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
    # lists, not arrays: the binding converts arrays item by item, at three times the cost
    kept = cv2.dnn.NMSBoxesBatched(
        cast(Any, corners.tolist()), cast(Any, scores.tolist()), cast(Any, classes.tolist()), 0.0, iou
    )
    rows = sorted((int(i) for i in kept), key=lambda i: -scores[i])
    return rows[:most]


def read_picture(path: str | Path) -> Image:
    """The picture in a file, turned upright.

    Raises:
        InputMissing: There is no such file, or it may not be read.
        SourceError: It is no picture, or damaged.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputMissing(f"{path}: cannot read the picture: {error.strerror}") from error
    image = decode_picture(data)
    if image is None:
        raise SourceError(f"{path}: not a picture that can be read (expected JPEG, PNG, BMP, TIFF or WebP)")
    return image


def decode_picture(data: bytes | bytearray | memoryview) -> Image | None:
    """The picture in the bytes of a JPEG, PNG ..., None when they are damaged."""
    if not len(data):
        return None
    if data[:2] == b"BM" and len(data) > 70 and data[14] in _LATER_BMP and data[28:31:2] == _HIGH_COLOUR:
        # of 16 bits: OpenCV finds the colour masks only if the header is of the first kind
        data = bytes(data[:14]) + b"\x28\0\0\0" + bytes(data[18:])
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # a header that claims more pixels than OpenCV takes
        return None
    return cast("Image | None", image)


_LATER_BMP = (52, 56, 108, 124)  # header lengths of versions 2 to 5
_HIGH_COLOUR = b"\x10\x03"  # 16 bits for a pixel, with masks


def bgr_from_i420(planes: npt.NDArray[np.uint8]) -> Image:
    """BGR from a (height * 3 / 2, width) planar YUV picture of limited range (BT.601)."""
    return cast(Image, cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420))


def bgr_from_full_range_i420(planes: npt.NDArray[np.uint8]) -> Image:
    """BGR from a (height * 3 / 2, width) planar YUV picture of full range (JPEG's).

    OpenCV's I420 conversion takes limited range for granted and would lift the contrast by 16 %;
    its YCrCb conversion is the full-range one, and wants three planes of one size.
    """
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    u, v = (cv2.resize(c, (width, height), interpolation=cv2.INTER_NEAREST) for c in chroma)
    return cast(Image, cv2.cvtColor(cv2.merge([planes[:height], v, u]), cv2.COLOR_YCrCb2BGR))


_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def turn(image: Image, rotation: int, flip: str) -> Image:
    """The picture rotated clockwise by 0, 90, 180 or 270 degrees, then mirrored (`h`, `v`, `hv`)."""
    if rotation:
        image = cast(Image, cv2.rotate(image, _TURNS[rotation]))
    if flip:
        image = cast(Image, cv2.flip(image, {"h": 1, "v": 0, "hv": -1, "vh": -1}[flip]))
    return image


def check_turn(rotation: int, flip: str) -> None:
    """ValueError unless `turn` takes these."""
    if rotation not in (0, *_TURNS):
        raise ValueError(f"rotation: expected 0, 90, 180 or 270, got {rotation}")
    if flip not in ("", "h", "v", "hv", "vh"):
        raise ValueError(f"flip: expected h, v or hv, got '{flip}'")
