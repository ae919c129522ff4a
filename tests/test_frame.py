from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from edge_detect.frame import Frame


def test_size_is_width_then_height() -> None:
    assert Frame(np.zeros((48, 64, 3), np.uint8), 0.0, 0).size == (64, 48)


def test_a_frame_is_shared_and_cannot_be_changed() -> None:
    frame = Frame(np.zeros((48, 64, 3), np.uint8), 0.0, 0)

    with pytest.raises(FrozenInstanceError):
        frame.time = 1.0  # type: ignore[misc]
