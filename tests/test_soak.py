from __future__ import annotations

import numpy as np
import pytest
from soak import Sample, verdict


def samples(leak: float = 0.0, threads: float = 0.0, descriptors: float = 0.0) -> list[Sample]:
    """A run of 200,000 frames whose memory fills first and is noisy then, with a connection that comes and goes."""
    noise = np.random.default_rng(0).normal(0, 0.5, 201)
    return [
        Sample(
            n * 1000,
            100 + min(n, 20) + noise[n] + leak * n,
            20 + int(threads * n),
            40 + n % 2 + int(descriptors * n),
        )
        for n in range(201)
    ]


def test_a_run_that_is_steady_passes() -> None:
    lines, fine = verdict(samples())

    assert fine
    assert [line.split()[0] for line in lines] == ["RSS", "threads", "descriptors"]
    assert all(line.endswith("flat") for line in lines)


@pytest.mark.parametrize(
    "what, rate, line", [("leak", 0.02, 0), ("threads", 0.01, 1), ("descriptors", 0.02, 2)]
)
def test_what_grows_slowly_is_found(what: str, rate: float, line: int) -> None:
    lines, fine = verdict(samples(**{what: rate}))

    assert not fine
    assert [one.endswith("GROWS") for one in lines] == [place == line for place in range(3)]
