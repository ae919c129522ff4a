from __future__ import annotations

from pathlib import Path

import pytest

from edge_detect.errors import DatasetError
from edge_detect.workshop.dataset import (
    Dataset,
    Label,
    Picture,
    keep,
    merge,
    numbers_of,
    rename,
    split,
)

BOX = (0.0, 0.0, 9.0, 9.0)


def dataset(
    *names: str, labelled: tuple[str, ...] | None = None, numbers: dict[str, int] | None = None
) -> Dataset:
    """One picture with a label of each class."""
    labels = tuple(Label(name, BOX) for name in names)
    looked = frozenset(names if labelled is None else labelled)
    return Dataset(names, (Picture(Path("a.jpg"), (9, 9), labels, looked),), (), numbers or {})


def grouped(*groups: str) -> Dataset:
    return Dataset(
        ("car",),
        tuple(Picture(Path(f"{i}.jpg"), (9, 9), (), frozenset(), group) for i, group in enumerate(groups)),
    )


def names_in(data: Dataset) -> list[str]:
    return [label.name for picture in data.pictures for label in picture.labels]


def test_rename_exchanges_two_names() -> None:
    data = rename(dataset("cat", "dog"), {"cat": "dog", "dog": "cat"})

    assert names_in(data) == ["dog", "cat"]
    assert data.classes == ("dog", "cat")


def test_rename_merges_two_classes_and_drops_one() -> None:
    data = rename(dataset("car", "van", "cat"), {"van": "car", "cat": ""})

    assert (data.classes, names_in(data)) == (("car",), ["car", "car"])
    assert data.pictures[0].labelled == {"car"}


def test_a_merged_class_was_looked_for_where_all_its_parts_were() -> None:
    data = rename(dataset("car", "van", labelled=("car",)), {"van": "car"})

    assert data.pictures[0].labelled == frozenset()


def test_rename_keeps_the_numbers() -> None:
    data = dataset("van", "car", "bus", numbers={"van": 7, "car": 3, "bus": 6})

    assert rename(data, {"van": "car", "bus": "coach"}).numbers == {"car": 3, "coach": 6}
    assert rename(data, {"bus": ""}).numbers == {"van": 7, "car": 3}


def test_keep_orders_the_classes_and_leaves_background() -> None:
    data = keep(dataset("cat", "dog", "cow", numbers={"cat": 1, "dog": 2, "cow": 3}), ["dog", "cat"])

    assert (data.classes, names_in(data)) == (("dog", "cat"), ["cat", "dog"])
    assert data.numbers == {"cat": 1, "dog": 2}
    assert len(keep(dataset("cat", "dog"), [])) == 1


@pytest.mark.parametrize(
    "act, message",
    [
        (lambda data: rename(data, {"dgo": "x"}), "--map: the set has no class 'dgo', did you mean 'dog'?"),
        (lambda data: keep(data, ["zebra"]), "--classes: the set has no class 'zebra', expected one of: cat, dog"),
        (lambda data: keep(data, ["cat", "cat"]), "--classes: 'cat' is there twice"),
    ],
    ids=["rename", "keep", "twice"],
)  # fmt: skip
def test_a_class_that_is_not_there_is_told(act: object, message: str) -> None:
    with pytest.raises(DatasetError) as error:
        act(dataset("cat", "dog"))  # type: ignore[operator]

    assert str(error.value) == message


def test_merge_remembers_what_was_looked_for() -> None:
    data = merge([dataset("cat"), dataset("dog", "cat", labelled=("dog",))])

    assert data.classes == ("cat", "dog")
    assert [set(picture.labelled) for picture in data.pictures] == [{"cat"}, {"dog"}]


@pytest.mark.parametrize(
    "one, other, expected",
    [
        ({"cat": 17}, {"cat": 17, "dog": 18}, {"cat": 17, "dog": 18}),
        ({"cat": 17}, {"cat": 3, "dog": 18}, {}),
        ({"cat": 17}, {"dog": 17}, {}),
    ],
    ids=["agree", "one name, two numbers", "one number, two names"],
)
def test_merge_keeps_numbers_while_the_sets_agree(
    one: dict[str, int], other: dict[str, int], expected: dict[str, int]
) -> None:
    data = merge([dataset(*one, numbers=one), dataset(*other, numbers=other)])

    assert data.numbers == expected


def test_merge_of_none_is_empty() -> None:
    assert (len(merge([])), merge([]).classes) == (0, ())


def test_numbers_are_the_sets_own_or_counted_from_one() -> None:
    assert numbers_of(dataset("cat", "dog", numbers={"cat": 17, "dog": 18})) == {"cat": 17, "dog": 18}
    assert numbers_of(dataset("cat", "dog", numbers={"cat": 0, "dog": 1})) == {"cat": 1, "dog": 2}
    assert numbers_of(dataset("cat", "dog", numbers={"cat": 17})) == {"cat": 1, "dog": 2}


def test_split_parts_every_picture_once_and_the_same_way() -> None:
    data = grouped(*[""] * 50)

    train, val = split(data, 0.2, seed=3)

    assert (len(train), len(val)) == (40, 10)
    assert {p.path for p in train.pictures} | {p.path for p in val.pictures} == {
        p.path for p in data.pictures
    }
    assert split(data, 0.2, seed=3) == (train, val)
    assert split(data, 0.2, seed=4) != (train, val)


def test_split_leaves_groups_whole_whatever_they_are_called() -> None:
    train, val = split(grouped(*"aaaabbbbccccdddd", "", "", "", "", "\x003", "16"), 0.3)

    assert {p.group for p in train.pictures} & {p.group for p in val.pictures} <= {""}


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan")])
def test_split_wants_a_share_between_0_and_1(share: float) -> None:
    with pytest.raises(DatasetError) as error:
        split(grouped("", ""), share)

    assert str(error.value) == f"--share: expected a number between 0 and 1, got {share:g}"


@pytest.mark.parametrize("groups", [(), ("",), ("a",) * 9], ids=["none", "one", "one group"])
def test_split_tells_when_it_cannot(groups: tuple[str, ...]) -> None:
    with pytest.raises(DatasetError) as error:
        split(grouped(*groups), 0.2)

    n = len(groups)
    assert str(error.value) == f"{n} pictures in {min(n, 1)} groups cannot be split into 0.8 and 0.2"


def test_counts_leave_out_what_is_to_be_ignored() -> None:
    picture = Picture(Path("a"), (9, 9), (Label("cat", BOX), Label("cat", BOX, True)), frozenset())

    assert Dataset(("cat",), (picture,)).counts() == {"cat": 1}
