from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_detect import config
from edge_detect.errors import ConfigError
from edge_detect.frame import Frame, Image
from edge_detect.motion import Gate, small_luma

FPS = 10


class Scene:
    """A noisy picture of a room, ten times a second."""

    def __init__(self, size: tuple[int, int] = (640, 360)) -> None:
        self._rng = np.random.default_rng(0)
        ramp = np.linspace(40, 180, size[0])
        self._room = np.repeat(np.tile(ramp, (size[1], 1))[:, :, None], 3, 2).astype(np.float32)
        self._noise = self._rng.normal(0, 6, (8, *self._room.shape)).astype(np.float32)

    def picture(self, walker: int | None = None, light: float = 0.0) -> Image:
        room = self._room + np.float32(light) + self._noise[self._rng.integers(8)]
        if walker is not None:
            room[200:260, walker : walker + 24] = 230
        return np.clip(room, 0, 255).astype(np.uint8)


def looks(gate: Gate, pictures: list[Image], *, start: float = 0.0, settled: bool = True) -> list[bool]:
    return [
        gate(Frame(picture, start + n / FPS, n), start + n / FPS, settled=settled)
        for n, picture in enumerate(pictures)
    ]


def still(scene: Scene, seconds: float) -> list[Image]:
    return [scene.picture() for _ in range(int(seconds * FPS))]


def test_the_net_rests_where_nothing_moves_but_for_a_look_now_and_then() -> None:
    looked = looks(Gate(config.Motion()), still(Scene(), 20))

    assert looked[0]
    assert 3 <= sum(looked[50:]) <= 6
    assert max(np.diff(np.flatnonzero(looked))) <= config.Motion().keep_alive * FPS + 1


def test_the_net_looks_while_something_moves_and_for_a_while_after() -> None:
    scene, gate = Scene(), Gate(config.Motion())
    looks(gate, still(scene, 6))
    moving = looks(gate, [scene.picture(walker) for walker in range(0, 600, 12)], start=6.0)
    after = looks(gate, still(scene, 20), start=11.0)

    assert all(moving)
    assert all(after[: int(config.Motion().settle * FPS)])
    assert sum(after[100:]) <= 5


def test_what_stops_becomes_background() -> None:
    scene, gate = Scene(), Gate(config.Motion())
    looks(gate, still(scene, 6))

    assert sum(looks(gate, [scene.picture(300) for _ in range(200)], start=6.0)[100:]) <= 5


def test_light_is_not_motion() -> None:
    scene, gate = Scene(), Gate(config.Motion())
    looks(gate, still(scene, 6))
    slow = [scene.picture(light=n * 0.4) for n in range(100)]
    sudden = [scene.picture(light=70) for _ in range(50)]

    assert sum(looks(gate, slow, start=6.0)) <= 5
    assert sum(looks(gate, sudden, start=16.0)) <= 3


def test_motion_under_a_mask_does_not_count() -> None:
    scene = Scene()
    gate = Gate(replace(config.Motion(), masks=("0,0.4 1,0.4 1,0.9 0,0.9",)))
    looks(gate, still(scene, 6))

    assert sum(looks(gate, [scene.picture(walker) for walker in range(0, 600, 12)], start=6.0)) <= 3


def test_a_mask_can_be_changed_in_the_run() -> None:
    scene, gate = Scene(), Gate(replace(config.Motion(), masks=("0,0 1,0 1,1 0,1",)))
    looks(gate, still(scene, 6))
    gate.change(config.Motion())

    assert all(looks(gate, [scene.picture(walker) for walker in range(0, 600, 12)], start=6.0))


def test_a_mask_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="'0,0': expected three corners or more"):
        Gate(replace(config.Motion(), masks=("0,0",)))


def test_while_the_tracker_is_in_doubt_the_net_looks() -> None:
    assert all(looks(Gate(config.Motion()), still(Scene(), 5), settled=False))


def test_the_small_picture_of_a_frame_serves() -> None:
    scene, gate = Scene(), Gate(config.Motion())
    frame = Frame(np.zeros((720, 1280, 3), np.uint8), 0.0, 0, small=scene.picture())

    assert gate(frame, 0.0)
    assert not any(gate(Frame(frame.image, n, n, small=scene.picture()), n / FPS) for n in range(25, 29))


@pytest.mark.parametrize("size", [(640, 360), (320, 180), (1920, 1080), (96, 64), (7, 5)])
def test_brightness_is_that_of_the_picture(size: tuple[int, int]) -> None:
    picture = np.full((size[1], size[0], 3), 77, np.uint8)

    assert np.unique(small_luma(picture)).tolist() == [77.0]


def test_a_camera_that_changes_its_size_is_looked_at() -> None:
    gate = Gate(config.Motion())
    looks(gate, still(Scene(), 6))

    assert looks(gate, [Scene((480, 360)).picture()], start=6.0) == [True]
