from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from scenes import LABELS, scene

from edge_detect import detections
from edge_detect.config import Privacy
from edge_detect.errors import ConfigError
from edge_detect.frame import Frame, Image
from edge_detect.scene import Scene
from edge_detect.veil import Veil

BOX = [40, 20, 80, 60]
PERSON, LIGHT = 0, 1


def noise(size: tuple[int, int] = (160, 120)) -> Image:
    return np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)


def seen(*boxes: Any, classes: Any = ()) -> Scene:
    return scene(boxes, classes, image=noise())


def detail(image: Image, box: Any = BOX) -> float:
    """How much neighbouring pixels differ in a box."""
    x1, y1, x2, y2 = box
    return float(np.abs(np.diff(image[y1:y2, x1:x2].astype(int), axis=1)).mean())


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_without_a_wish_nothing_is_touched() -> None:
    one = seen(BOX)
    veil = Veil(Privacy(), LABELS)
    veil.see(one.detections)

    assert veil(one) is one
    assert veil.unseen(one.frame) is one.frame
    assert veil.least == 1.0


def test_no_picture_is_left_where_none_may_be_seen() -> None:
    one = scene([BOX], image=noise())
    frame = Frame(one.frame.image, 1.5, 7, "porch", noise((16, 12)))
    veil = Veil(Privacy(no_pictures=True), LABELS)
    hidden = veil(Scene(frame, one.detections))

    assert not hidden.frame.image.any()
    assert hidden.frame.small is None
    assert (hidden.frame.size, hidden.frame.time, hidden.frame.number) == (frame.size, 1.5, 7)
    assert hidden.detections is one.detections
    assert not veil.unseen(frame).image.any()
    assert frame.image.any()  # the net's own


def test_a_class_is_blurred_and_the_rest_is_not() -> None:
    light = [100, 70, 150, 110]
    one = seen(BOX, light, classes=[PERSON, LIGHT])
    before = one.frame.image.copy()
    hidden = Veil(Privacy(blur=("person",)), LABELS)(one).frame.image

    assert detail(hidden) < detail(before) / 4
    assert (hidden[70:110, 100:150] == before[70:110, 100:150]).all()
    assert (one.frame.image == before).all()


def test_nobody_is_known_by_the_blocks_that_are_left() -> None:
    face = cv2.circle(np.full((120, 160, 3), 90, np.uint8), (60, 35), 8, (180, 200, 230), -1)
    cv2.circle(face, (57, 33), 1, (0, 0, 0), -1)
    hidden = Veil(Privacy(blur=("person",)), LABELS)(scene([BOX], image=face)).frame.image

    assert len(np.unique(hidden[20:60, 40:80].reshape(-1, 3), axis=0)) <= 6 * 8


def test_the_edge_of_a_box_is_not_the_edge_of_the_blur() -> None:
    hidden = Veil(Privacy(blur=("person",)), LABELS)(seen(BOX)).frame.image

    assert detail(hidden, [37, 20, 40, 60]) < detail(noise(), [37, 20, 40, 60]) / 4


@pytest.mark.parametrize(
    "box", [[-20, -10, 30, 30], [150, 110, 400, 300], [0, 0, 160, 120], [5, 5, 5, 9], [10, 10, 11, 11]],
    ids=["over the corner", "over the other", "all", "no width", "a pixel"],
)  # fmt: skip
def test_any_box_can_be_blurred(box: list[int]) -> None:
    hidden = Veil(Privacy(blur=("person",)), LABELS)(seen(box))

    assert hidden.frame.image.shape == (120, 160, 3)


def test_who_is_not_told_of_is_blurred_all_the_same() -> None:
    veil = Veil(Privacy(blur=("person",)), LABELS)
    veil.see(detections.make([BOX], [0.16], [PERSON]))  # less than the page's threshold

    assert detail(veil(seen()).frame.image) < 20
    assert veil.least < 0.2


def test_a_place_stays_blurred_while_the_net_misses_what_is_there() -> None:
    clock = Clock()
    veil = Veil(Privacy(blur=("person",)), LABELS, clock)
    veil.see(detections.make([BOX], [0.9], [PERSON]))
    clock.now += 60  # nothing moves, and the net rests
    assert detail(veil(seen()).frame.image) < 20
    for _ in range(2):
        veil.see(detections.none())
        clock.now += 0.4
        assert detail(veil(seen()).frame.image) < 20
    clock.now += 0.5

    assert detail(veil(seen()).frame.image) > 50


def test_a_frame_that_nobody_looked_at_is_blurred_as_a_whole() -> None:
    frame = Veil(Privacy(blur=("person",)), LABELS).unseen(seen().frame)

    assert detail(frame.image, [0, 0, 160, 120]) < 20


def test_a_class_that_the_model_does_not_know_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="blur: unknown class 'persn', did you mean 'person'"):
        Veil(Privacy(blur=("persn",)), LABELS)
