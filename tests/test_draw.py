from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import scenes
from scenes import scene

from edge_detect import draw
from edge_detect.draw import Annotator, annotate, colour, ink
from edge_detect.frame import Image
from edge_detect.labels import Labels
from edge_detect.tracks import Track

LABELS = Labels(tuple("abcdefgh"))
WHITE = next(number for number in range(9) if ink(colour(number)) == (255, 255, 255))
"""A class whose label is written in white, which nothing else in the picture is."""


def drawn(
    boxes: Any,
    classes: Any = None,
    size: tuple[int, int] = (640, 480),
    grey: int = 90,
    labels: Labels = LABELS,
    width: int = 0,
) -> Image:
    """A grey picture with these boxes."""
    image = scenes.picture(grey, size)
    return annotate(scene(boxes, classes or [WHITE] * len(boxes), image=image), labels, width)


def letters(image: Image) -> int:
    """Pixels of white ink."""
    return int((image.min(2) > 150).sum())


def is_tint(image: Image, class_id: int = WHITE) -> Any:
    return (image == colour(class_id)).all(2)


def test_classes_next_to_each_other_have_colours_far_apart() -> None:
    tints = np.array([colour(number) for number in range(8)], float)

    assert min(np.abs(one - other).max() for one, other in combinations(tints, 2)) > 50


def test_a_class_keeps_its_colour() -> None:
    assert colour(3) == colour(3)
    assert all(0 <= channel <= 255 for number in (0, 89, 10**6) for channel in colour(number))


@pytest.mark.parametrize("class_id", range(0, 90, 7))
def test_letters_stand_out_from_their_ground(class_id: int) -> None:
    def luminance(tint: tuple[int, int, int]) -> float:
        return sum(share * (c / 255) ** 2.2 for share, c in zip((0.0722, 0.7152, 0.2126), tint, strict=True))

    light, dark = sorted((luminance(colour(class_id)), luminance(ink(colour(class_id)))), reverse=True)

    assert (light + 0.05) / (dark + 0.05) > 4.5  # WCAG AA


def test_the_frame_stays_as_it_was() -> None:
    seen = scene([[10, 10, 60, 50]])

    for width in (0, 96, 300):
        assert annotate(seen, LABELS, width) is not seen.frame.image

    assert (seen.frame.image == 128).all()


def test_nothing_found_is_the_picture_itself() -> None:
    assert (drawn([]) == 90).all()


def test_a_box_is_drawn_where_it_is() -> None:
    tint = is_tint(drawn([[100, 200, 300, 400]]))

    rows, columns = tint[202:].nonzero()  # below the label
    assert (columns.min(), columns.max() + 1) == (99, 302)
    assert rows.max() + 203 == 402
    assert not tint[205:395, 105:295].any()


@pytest.mark.parametrize("grey", [0, 255])
def test_a_box_is_seen_on_any_ground(grey: int) -> None:
    image = drawn([[100, 200, 300, 400]], grey=grey)

    row = image[300, 90:110]
    assert (row == colour(WHITE)).all(1).any()
    assert (row == 0).all(1).any()


CENTRE = letters(drawn([[200, 200, 400, 300]]))


@pytest.mark.parametrize("x", [0, 250, 540, 635])
@pytest.mark.parametrize("y", [0, 3, 200, 440, 475])
def test_the_label_is_whole_wherever_the_box_is(x: int, y: int) -> None:
    assert letters(drawn([[x, y, min(x + 100, 640), min(y + 40, 480)]])) == CENTRE > 50


def test_a_box_that_fills_the_picture_has_its_label_inside() -> None:
    assert letters(drawn([[0, 0, 640, 480]])) == CENTRE


def test_labels_of_boxes_on_top_of_each_other_are_both_whole() -> None:
    two = drawn([[200, 200, 400, 300], [204, 203, 410, 310]], [WHITE, WHITE])

    alone = letters(drawn([[204, 203, 410, 310]]))
    assert letters(two) > 1.8 * alone


def test_a_label_does_not_lie_on_something_small() -> None:
    image = drawn([[200, 0, 230, 24], [300, 200, 330, 224], [304, 204, 334, 228]])

    assert (image[8:16, 208:222] == 90).all()
    assert (image[210:218, 312:320] == 90).all()


def test_the_surest_box_is_on_top() -> None:
    image = drawn([[200, 200, 400, 300], [200, 200, 400, 300]], [2, 5])

    assert is_tint(image, 2)[298:303, 300].any()
    assert not is_tint(image, 5)[298:303, 300].any()


@pytest.mark.parametrize("size", [(6000, 1), (4000, 3), (3, 4000), (1, 1), (96, 6)])
def test_a_picture_that_is_hardly_more_than_a_line_is_not_scaled_to_nothing_nor_to_gigabytes(
    size: tuple[int, int],
) -> None:
    height, width = drawn([[0, 0, *size]], size=size, width=800).shape[:2]

    assert min(height, width) >= 1
    assert height * width <= 800 * 800


@pytest.mark.parametrize("width", [320, 800, 1280])
def test_boxes_stay_in_place_when_the_picture_is_scaled(width: int) -> None:
    image = drawn([[160, 240, 480, 420]], width=width)

    scale = width / 640
    columns = is_tint(image)[round(400 * scale)].nonzero()[0]
    assert image.shape == (round(480 * scale), width, 3)
    assert columns.min() == pytest.approx(160 * scale, abs=3)
    assert columns.max() == pytest.approx(480 * scale, abs=3)


def test_lines_and_letters_grow_with_the_picture() -> None:
    small, large = (drawn([[w // 4, w // 2, w // 2, w]], size=(w, w)) for w in (640, 3840))

    assert letters(large) / letters(small) > 15
    assert is_tint(large)[3000].sum() / is_tint(small)[500].sum() > 4


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (32, 24), (4000, 3), (3, 4000)])
def test_a_picture_of_any_size_is_drawn_on(size: tuple[int, int]) -> None:
    image = drawn([[0, 0, *size], [0, 0, 0.4, 0.4]], size=size)

    assert image.shape == (size[1], size[0], 3)
    assert is_tint(image).any()


def test_a_picture_too_small_for_letters_has_boxes_only() -> None:
    image = drawn([[4, 4, 28, 20]], size=(32, 24))

    assert letters(image) == 0
    assert (image[10:14, 10:20] == 90).all()


@pytest.mark.parametrize(
    "name, plain",
    [("Öl", "Ol"), ("Fußgänger", "Fu?ganger"), ("人", "?"), ("🐈", "?"), ("café\u0301", "cafe")],
)
def test_labels_in_any_alphabet_are_written_as_well_as_they_can_be(name: str, plain: str) -> None:
    box = [[200, 200, 400, 300]]

    assert np.array_equal(drawn(box, [0], labels=Labels((name,))), drawn(box, [0], labels=Labels((plain,))))


def test_a_label_longer_than_the_picture_is_made_to_fit() -> None:
    image = drawn([[300, 200, 400, 300]], labels=Labels(("x",) * WHITE + ("a very long name " * 6,)))

    columns = (image.min(2) > 150).nonzero()[1]
    assert (columns.min() > 2, columns.max() < 637) == (True, True)


def test_a_hundred_boxes_are_drawn() -> None:
    boxes = [[x, y, x + 60, y + 45] for x in range(0, 580, 58) for y in range(0, 435, 44)]

    assert letters(drawn(boxes)) > 50 * CENTRE


def test_a_picture_is_drawn_once_for_all_who_want_it() -> None:
    annotator, seen = Annotator(LABELS), scene([[10, 10, 60, 50]])

    first, wide, again = annotator(seen), annotator(seen, 300), annotator(seen)
    spent = annotator.seconds
    other = annotator(scene([[10, 10, 60, 50]]))

    assert first is again
    assert (wide.shape, other is first) == ((200, 300, 3), False)
    assert annotator.seconds > spent > 0
    assert draw.SHOW_WIDTH == 800


def test_a_thing_is_drawn_with_its_number() -> None:
    one = scene([[100, 100, 400, 300]], [WHITE], image=scenes.picture(90, (640, 480)))

    assert letters(annotate(replace(one, numbers=(12,)), LABELS)) > letters(annotate(one, LABELS))
    assert letters(annotate(replace(one, numbers=(0,)), LABELS)) == letters(annotate(one, LABELS))


def test_what_is_expected_and_not_seen_is_dashed() -> None:
    empty = scene(image=scenes.picture(90, (640, 480)))
    lost = Track(1, (100, 100, 400, 300), WHITE, 0.5, 0.5, 0.0, 0.0, 3, 1, predicted=True)
    dashes = is_tint(annotate(replace(empty, tracks=(lost,)), LABELS))
    rest = replace(scene([[100, 100, 400, 300]], [WHITE], image=scenes.picture(90, (640, 480))), looked=False)

    side = dashes[300, 100:400]
    assert 0.3 < side.mean() < 0.8
    assert 0.3 < is_tint(annotate(rest, LABELS))[300, 100:400].mean() < 0.8
    assert not is_tint(annotate(replace(empty, tracks=(replace(lost, misses=0),)), LABELS)).any()
