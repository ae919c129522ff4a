from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras")

import sets

from edge_detect.errors import ConfigError
from edge_detect.workshop import batches, targets
from edge_detect.workshop.batches import Batch, Batches
from edge_detect.workshop.dataset import Label

AROUND = targets.make_anchors((32, 32), (((0.5, 0.5),),) * 5)


@pytest.fixture
def seven(tmp_path: Path) -> Batches:
    """Batches of two of seven pictures."""
    pictures = [
        sets.one(tmp_path, Label("car", (i, 5, 40, 40)), name=f"{i}.png").pictures[0] for i in range(7)
    ]
    for seed, picture in enumerate(pictures):
        sets.draw(picture.path, seed=seed)
    return Batches(pictures, ("person", "car"), (32, 32), AROUND, 2, 5)


def same(a: Batch, b: Batch) -> bool:
    return bool((a[0] == b[0]).all()) and all((a[1][name] == b[1][name]).all() for name in a[1])


def test_a_batch_has_pictures_and_all_targets(seven: Batches) -> None:
    ((shown, wanted),) = seven(0, 1)

    n = len(AROUND)
    assert (shown.shape, shown.dtype) == ((2, 32, 32, 3), np.float32)
    assert np.abs(shown).max() <= 1
    assert {name: rows.shape for name, rows in wanted.items()} == {
        "offsets": (2, n, 4), "scores": (2, n, 2), "care": (2, n, 2), "positive": (2, n),
    }  # fmt: skip


def test_an_epoch_shows_no_picture_twice(seven: Batches) -> None:
    assert seven.per_epoch == 3
    assert len(set(seven.order(0).tolist())) == 6
    assert seven.order(0).tolist() != seven.order(1).tolist()


def test_a_batch_may_be_larger_than_the_set(seven: Batches) -> None:
    large = replace(seven, batch=16)

    assert large.per_epoch == 1
    assert set(large.order(0).tolist()) == set(range(7))


def test_rare_classes_are_shown_more_often(seven: Batches) -> None:
    rare = replace(seven.pictures[3], labels=(Label("person", (0, 0, 9, 9)), Label("car", (0, 0, 9, 9))))
    pictures = [*seven.pictures[:3], rare, *seven.pictures[4:]] * 8
    both = replace(seven, pictures=pictures, balance=0.5)

    shown = [int(number) % 7 for epoch in range(20) for number in both.order(epoch)]

    # persons are in a seventh of the pictures: sqrt(.5 x 7) as often, of 6 + 1.87 shares
    assert len(shown) == 20 * 56
    assert shown.count(3) / len(shown) == pytest.approx(3.5**0.5 / (6 + 3.5**0.5), abs=0.01)
    assert max(shown.count(i) for i in (0, 1, 2, 4, 5, 6)) / len(shown) < 0.14
    assert both.order(0).tolist() == both.order(0).tolist() != both.order(1).tolist()


def test_an_ignore_region_makes_no_picture_rare(seven: Batches) -> None:
    vague = replace(seven.pictures[3], labels=(Label("person", (0, 0, 9, 9), ignore=True),))
    both = replace(seven, pictures=[*seven.pictures[:3], vague, *seven.pictures[4:]] * 8, balance=0.5)

    assert len(set(both.order(0).tolist())) == 56


def test_a_batch_is_the_same_in_two_instances(seven: Batches) -> None:
    other = replace(seven, threads=1)

    assert all(same(a, b) for a, b in zip(seven(0, 7), other(0, 7), strict=True))


def test_another_seed_gives_other_batches(seven: Batches) -> None:
    assert not same(next(seven(0, 1)), next(replace(seven, seed=6)(0, 1)))


def test_from_the_middle_come_the_batches_of_the_full_sequence(seven: Batches) -> None:
    every = list(seven(0, 8))

    assert all(same(a, b) for a, b in zip(seven(4, 8), every[4:], strict=True))
    assert not same(every[3], every[4])


def test_after_the_end_comes_nothing(seven: Batches) -> None:
    assert list(seven(4, 4)) == []


def test_a_teacher_has_the_last_word(seven: Batches) -> None:
    taught = replace(seven, teach=lambda _, wanted: replace(wanted, scores=wanted.scores + 7))

    ((_, wanted),) = taught(0, 1)

    assert wanted["scores"].min() == 7


def test_a_missing_picture_ends_the_batches(seven: Batches) -> None:
    for picture in seven.pictures:
        picture.path.unlink()

    with pytest.raises(Exception, match="cannot read the picture"):
        list(seven(0, 1))


class Front:
    """The mean of each picture, and how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, image: Any) -> Any:
        self.asked += 1
        return image.mean((0, 1), keepdims=True)


def test_the_front_runs_once_for_each_variation(seven: Batches) -> None:
    front = Front()

    kept = batches.remember(seven, 3, front, lambda _: None)

    assert len(list(kept(0, 20))) == 20
    assert front.asked == 21
    assert kept.seen.shape == (21, 1, 1, 3)


def test_what_is_remembered_belongs_to_its_targets(seven: Batches) -> None:
    kept = batches.remember(seven, 2, Front(), lambda _: None)

    shown, wanted = kept.item(1, 0, 3)

    sample = seven.vary(1 - 3 % 2 and 0, 3, 3)  # epoch 1 + picture 3: variation 0
    assert wanted.offsets.tolist() == seven.wanted(sample).offsets.tolist()
    np.testing.assert_allclose(shown, Front()(sample.image[..., ::-1] / np.float32(127.5) - 1), atol=1e-2)


def test_epochs_take_the_variations_in_turn(seven: Batches) -> None:
    kept = batches.remember(seven, 3, Front(), lambda _: None)

    means = [kept.item(epoch, 0, 2)[0].ravel().tolist() for epoch in range(4)]

    assert means[0] == means[3]
    assert len({tuple(row) for row in means}) == 3


def test_a_teacher_cannot_be_remembered(seven: Batches) -> None:
    taught = replace(seven, teach=lambda _, wanted: wanted)

    with pytest.raises(ConfigError) as caught:
        batches.remember(taught, 1, Front(), lambda _: None)

    assert str(caught.value) == "--remember: cannot be combined with --teacher, who wants to see each picture"
