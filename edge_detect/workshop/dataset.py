"""Dataset: pictures with labelled boxes, whatever form they were written in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from edge_detect.errors import DatasetError
from edge_detect.lazy import suggest

Box: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Label:
    """One thing in a picture.

    Attributes:
        name: Its class.
        box: x1 y1 x2 y2 in pixels of the picture.
        ignore: Whether it is a region to leave alone: neither a thing to find nor background
            (COCO's crowds, Pascal VOC's difficult ones).
        where: File and line that say so.
    """

    name: str
    box: Box
    ignore: bool = False
    where: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and what is labelled in it.

    Attributes:
        path: The image file.
        size: (width, height) in pixels, as the labels say.
        labels: The things in it.
        labelled: The classes that were looked for; what is not among them may be there unlabelled.
        group: Pictures of one group (a clip, a place) never part in a split.
        where: File and line that name it.
    """

    path: Path
    size: tuple[int, int]
    labels: tuple[Label, ...]
    labelled: frozenset[str]
    group: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """A mistake in a data set: where it is, and what is wrong."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True, slots=True)
class Dataset:
    """Pictures, the classes that occur in their labels, and what could not be read.

    Attributes:
        classes: Names, in the order of the set's own numbers.
        pictures: In the order of the files.
        faults: Labels that were left out when the set was read, and why.
        numbers: The set's own class numbers, where it has any (COCO's have gaps).
    """

    classes: tuple[str, ...]
    pictures: tuple[Picture, ...]
    faults: tuple[Fault, ...] = ()
    numbers: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pictures)

    def counts(self) -> Counter[str]:
        """Boxes of each class, ignore regions not counted."""
        return Counter(label.name for p in self.pictures for label in p.labels if not label.ignore)


def rename(data: Dataset, names: Mapping[str, str], where: str = "--map") -> Dataset:
    """The set with classes renamed; two of one new name are merged, an empty new name is dropped.

    A merged class counts as labelled where all of its parts were, and has the number of the one
    that had the name before, else of the first.

    Raises:
        DatasetError: A class that the set does not have.
    """
    check_known(data.classes, names, where)
    new = {name: names.get(name, name) for name in data.classes}
    parts: dict[str, list[str]] = {}
    for old, name in new.items():
        parts.setdefault(name, []).append(old)
    parts.pop("", None)

    def change(picture: Picture) -> Picture:
        return replace(
            picture,
            labels=tuple(replace(label, name=new[label.name]) for label in picture.labels if new[label.name]),
            labelled=frozenset(name for name, olds in parts.items() if picture.labelled.issuperset(olds)),
        )

    numbers = {}
    for name, olds in parts.items():
        first = name if name in olds else next((old for old in olds if old in data.numbers), name)
        if first in data.numbers:
            numbers[name] = data.numbers[first]
    return Dataset(tuple(parts), tuple(map(change, data.pictures)), data.faults, numbers)


def check_known(classes: Sequence[str], names: Iterable[str], where: str) -> None:
    """DatasetError unless every name is one of the classes, and there once."""
    seen = set()
    for name in names:
        if name not in classes:
            raise DatasetError(f"{where}: the set has no class '{name}'{suggest(name, classes)}")
        if name in seen:
            raise DatasetError(f"{where}: '{name}' is there twice")
        seen.add(name)


def keep(data: Dataset, names: Sequence[str], where: str = "--classes") -> Dataset:
    """The set with these classes alone, in this order; pictures without any of them stay, as background.

    Raises:
        DatasetError: A class that the set does not have, or one twice.
    """
    check_known(data.classes, names, where)
    chosen = rename(data, {name: "" for name in data.classes if name not in names})
    return replace(chosen, classes=tuple(names))


def merge(sets: Iterable[Dataset]) -> Dataset:
    """One set of many; each picture remembers which classes were labelled where it came from.

    Groups of one name become one group: rather too few pictures part in a split than two of a clip.
    Class numbers stay where the sets agree on all of them.
    """
    sets = list(sets)
    classes = tuple(dict.fromkeys(name for data in sets for name in data.classes))
    told = {pair for data in sets for pair in data.numbers.items()}
    numbers = dict(told) if len(dict(told)) == len({number for _, number in told}) == len(told) else {}
    return Dataset(
        classes,
        tuple(picture for data in sets for picture in data.pictures),
        tuple(fault for data in sets for fault in data.faults),
        numbers,
    )


def numbers_of(data: Dataset) -> dict[str, int]:
    """The number of each class: the set's own where it has them for all, counted from 1, else new ones."""
    if all(data.numbers.get(name, 0) > 0 for name in data.classes):
        return {name: data.numbers[name] for name in data.classes}
    return {name: number for number, name in enumerate(data.classes, 1)}


def split(data: Dataset, share: float, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Two sets, the second with about `share` of the pictures; a group stays whole.

    Pictures without a group part one by one. Groups are drawn at random, and one that would
    overshoot is passed over for the next.

    Raises:
        DatasetError: The share is not between 0 and 1, or the groups cannot be parted so.
    """
    if not 0 < share < 1:
        raise DatasetError(f"--share: expected a number between 0 and 1, got {share:g}")
    groups: dict[str | int, list[int]] = {}
    for i, picture in enumerate(data.pictures):
        groups.setdefault(picture.group or i, []).append(i)
    order = np.random.default_rng(seed).permutation(len(groups))
    members = list(groups.values())
    wanted, taken = round(share * len(data)), set[int]()
    for index in order:
        if len(taken) + len(members[index]) <= wanted:
            taken.update(members[index])
    if not taken or len(taken) == len(data):
        raise DatasetError(
            f"{len(data)} pictures in {len(groups)} groups cannot be split into {1 - share:g} and {share:g}"
        )
    parts = [tuple(p for i, p in enumerate(data.pictures) if (i in taken) is part) for part in (False, True)]
    return replace(data, pictures=parts[0]), replace(data, pictures=parts[1], faults=())
