from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras")
pytest.importorskip("ai_edge_quantizer")

import small_nets

from edge_detect.workshop import flat

pytestmark = small_nets.LIBRARIES


def test_equal_zero_points_are_written_once() -> None:
    data = small_nets.converted("int8")
    model = flat.opened(data)
    points = [t.quantization.zeroPoint for t in model.subgraphs[0].tensors if t.quantization is not None]
    wide = [p for p in points if p is not None and len(p) > 1]
    assert len({p.tobytes() for p in wide}) < len(wide)

    again = flat.written(model, len(data))

    longest = max(wide, key=len).tobytes()
    assert again.count(longest) == 1


def test_what_is_opened_and_written_is_the_same_model() -> None:
    data = small_nets.converted("int8")

    again = flat.opened(flat.written(flat.opened(data)))

    old = flat.opened(data)
    for a, b in zip(old.subgraphs[0].tensors, again.subgraphs[0].tensors, strict=True):
        assert (a.name, a.type, a.buffer) == (b.name, b.type, b.buffer)
        assert np.array_equal(a.shape, b.shape)
        assert np.array_equal(a.quantization.scale, b.quantization.scale)
        assert np.array_equal(a.quantization.zeroPoint, b.quantization.zeroPoint)
    assert all(np.array_equal(a.data, b.data) for a, b in zip(old.buffers, again.buffers, strict=True))
