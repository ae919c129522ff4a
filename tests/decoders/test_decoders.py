from __future__ import annotations

import numpy as np
import pytest

from edge_detect import decoders
from edge_detect.decoders.signature import Signature
from edge_detect.lazy import load
from edge_detect.tensors import Tensor


def signature(*shapes: tuple[int, ...], size: tuple[int, int] = (320, 320)) -> Signature:
    outputs = tuple(Tensor(i, f"t{i}", shape, "float32") for i, shape in enumerate(shapes))
    return Signature(size, outputs, [np.full(shape, 0.5, np.float32) for shape in shapes])


@pytest.mark.parametrize("family", decoders.FAMILIES)
def test_every_family_has_a_decoder(family: str) -> None:
    assert callable(load(decoders.FAMILIES[family]).decode)


@pytest.mark.parametrize(
    ("given", "family"),
    [
        (signature((1, 10, 4), (1, 9), (1, 10)), None),
        (signature((1, 2034, 4), (1, 2034, 91)), "ssd"),
        (signature((1, 84, 2100)), "yolov8"),
        (signature((1, 6300, 85)), "yolov5"),
        (signature((1, 2100, 85)), "yolov5"),
        (signature((1, 300, 6)), "end2end"),
        (signature((1, 1001)), None),
        (signature((1, 8)), None),
        (signature((1, 1280)), None),
        (signature((1, 12, 12, 30)), None),
        (signature((1, 40, 40, 21)), None),
        (signature((1, 2016, 1), (1, 2016, 18)), None),
        (signature((1, 512, 16), (1, 512, 1), (1, 384, 1), (1, 384, 16)), None),
        (signature(()), None),
        (signature(), None),
    ],
    ids=lambda value: str([t.shape for t in value.outputs]) if isinstance(value, Signature) else str(value),
)
def test_outputs_are_known_by_their_shapes(given: Signature, family: str | None) -> None:
    found = decoders.match(given)

    assert (found and found[0]) == family


def test_a_raw_ssd_gets_its_anchors() -> None:
    given = signature((1, 2034, 4), (1, 2034, 91))
    family, settings = decoders.match(given) or ("", {})
    anchors = np.ones((2034, 4), np.float32)

    decoder = decoders.build(family, settings, given.outputs, anchors)

    assert decoder.anchors is anchors  # type: ignore[attr-defined]
    assert (decoder.classes, decoder.suppressed) == (90, False)
