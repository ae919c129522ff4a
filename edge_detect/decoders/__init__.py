"""Decoders: from the numbers that a model gives to boxes, one family a module.

A family is recognised by the file's own words (operators, metadata) and by the signature of its
outputs: names, shapes, values of one run. Never by a file name, never by position.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from edge_detect.lazy import load
from edge_detect.tensors import Tensor

if TYPE_CHECKING:
    from edge_detect.anchors import Anchors
    from edge_detect.decoders.signature import Arrays, Signature
    from edge_detect.detections import Detections


class Decoder(Protocol):
    """Reads the outputs of one layout.

    Attributes:
        layout: The name of the layout, for people.
        suppressed: Whether the model itself has removed boxes that overlap.
        classes: Number of classes, 0 when the outputs do not tell.
        why: What gave it away, in one line.
    """

    @property
    def layout(self) -> str: ...
    @property
    def suppressed(self) -> bool: ...
    @property
    def classes(self) -> int: ...
    @property
    def why(self) -> str: ...

    def decode(self, outputs: Arrays, threshold: float) -> Detections:
        """Detections with boxes in 0..1 of the model's input; not clipped.

        Args:
            outputs: Stored numbers in the order of the model's outputs; what is kept is copied.
            threshold: Least score, 0..1.
        """


FAMILIES = {
    "postprocess": "edge_detect.decoders.postprocess:PostProcess",
    "ssd": "edge_detect.decoders.ssd:RawSsd",
    "yolov8": "edge_detect.decoders.yolo:Transposed",
    "yolov5": "edge_detect.decoders.yolo:Rows",
    "end2end": "edge_detect.decoders.yolo:EndToEnd",
}


def match(signature: Signature) -> tuple[str, dict[str, Any]] | None:
    """The family and its settings for these outputs; None when no family fits."""
    from edge_detect.decoders import postprocess, ssd, yolo  # all of them, for an unknown file only

    matchers = (postprocess.match, ssd.match, yolo.match)
    return next((found for matcher in matchers if (found := matcher(signature))), None)


def build(
    family: str, settings: dict[str, Any], outputs: tuple[Tensor, ...], anchors: Anchors | None
) -> Decoder:
    """The decoder that `match` chose."""
    if family == "ssd":
        settings = {**settings, "anchors": anchors}
    return cast("Decoder", load(FAMILIES[family])(outputs=outputs, **settings))
