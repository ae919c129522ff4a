"""Check: what is wrong with a data set, and what is in it."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from edge_detect.pixels import decode_picture
from edge_detect.workshop.dataset import Box, Dataset, Fault, Label, Picture

SMALLEST = 2.0  # pixels; a smaller box is a slip of the mouse
TOLERANCE = 1.0  # pixels that a box may reach out of its picture: rounding, and Pascal VOC's counting


def check(data: Dataset) -> list[Fault]:
    """Everything that is wrong with a set, with its place: what reading found, then picture by picture.

    Every picture is decoded. Pictures without labels are no fault.
    """
    faults = list(data.faults)
    seen = _Seen({}, {})
    for picture in data.pictures:
        faults += _check_file(picture, seen)
        faults += _check_labels(picture)
    return faults


@dataclass(frozen=True, slots=True)
class _Seen:
    """The pictures so far, by file and by content."""

    files: dict[str, Picture]
    digests: dict[bytes, Picture]


def _check_file(picture: Picture, seen: _Seen) -> Iterator[Fault]:
    first = seen.files.setdefault(str(picture.path), picture)
    if first is not picture:
        yield Fault(picture.where, f"{picture.path.name} is there twice, first at {first.where}")
        return
    try:
        content = picture.path.read_bytes()
    except OSError as error:
        yield Fault(picture.where, f"cannot read the picture {picture.path}: {error.strerror}")
        return
    image = decode_picture(content)
    if image is None:
        yield Fault(picture.where, f"{picture.path}: not a picture that can be read")
        return
    size = (image.shape[1], image.shape[0])
    if size != picture.size:
        said = f"{picture.size[0]}x{picture.size[1]}"
        yield Fault(picture.where, f"{picture.path.name} is {size[0]}x{size[1]}, the labels say {said}")
    same = seen.digests.setdefault(_digest(content), picture)
    if same is not picture:
        what = f"{picture.path.name} is the same picture as {same.path.name} at {same.where}"
        yield Fault(picture.where, what)


def _check_labels(picture: Picture) -> Iterator[Fault]:
    seen: dict[tuple[str, Box], Label] = {}
    for label in picture.labels:
        what = _of_box(label.box, picture.size)
        if what:
            yield Fault(label.where, f"{label.name}: {what}: {_text(label.box)}")
        first = seen.setdefault((label.name, label.box), label)
        if first is not label:
            yield Fault(label.where, f"{label.name}: the same box is there twice, first at {first.where}")
        if label.name not in picture.labelled:
            yield Fault(label.where, f"{label.name} is not among the classes that were looked for")


def _of_box(box: Box, size: tuple[int, int]) -> str:
    """What is wrong with a box; empty when nothing is."""
    if not all(map(math.isfinite, box)):
        return "the box is not finite"
    x1, y1, x2, y2 = box
    if x2 <= x1 or y2 <= y1:
        return "the box is empty"
    whole = f"the picture of {size[0]}x{size[1]}"
    if x1 >= size[0] or y1 >= size[1] or x2 <= 0 or y2 <= 0:
        return f"the box is outside {whole}"
    if min(x1, y1) < -TOLERANCE or x2 > size[0] + TOLERANCE or y2 > size[1] + TOLERANCE:
        return f"the box reaches out of {whole}"
    if min(x2 - x1, y2 - y1) < SMALLEST:
        return f"the box is smaller than {SMALLEST:g} pixels"
    return ""


def _text(box: Box) -> str:
    return " ".join(f"{side:.10g}" for side in box)


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def leaks(one: Dataset, other: Dataset) -> list[Fault]:
    """What two sets share that are to be apart: pictures of the same bytes, and groups."""
    faults = []
    digests = {digest: picture for picture in one.pictures if (digest := _digest_of(picture))}
    groups = {picture.group: picture for picture in one.pictures if picture.group}
    told = set()
    for picture in other.pictures:
        digest = _digest_of(picture)
        if digest in digests:
            same = digests[digest]
            what = f"{picture.path.name} is the same picture as {same.path.name} at {same.where}"
            faults.append(Fault(picture.where, f"leak: {what}"))
        if picture.group in groups and picture.group not in told:
            told.add(picture.group)
            where = groups[picture.group].where
            faults.append(Fault(picture.where, f"leak: group '{picture.group}' is also at {where}"))
    return faults


def _digest_of(picture: Picture) -> bytes:
    """Of the image file; empty where it cannot be read, which `check` tells."""
    try:
        return _digest(picture.path.read_bytes())
    except OSError:
        return b""


def describe(data: Dataset) -> dict[str, Any]:
    """What is in a set, as JSON for other programs; ignore regions are counted apart from boxes."""
    counts = [sum(not label.ignore for label in picture.labels) for picture in data.pictures]
    sizes = Counter(f"{width}x{height}" for width, height in (p.size for p in data.pictures))
    looked = frozenset[str]().union(*(picture.labelled for picture in data.pictures))
    return {
        "pictures": len(data),
        "without_labels": sum(not picture.labels for picture in data.pictures),
        "groups": len({picture.group for picture in data.pictures} - {""}),
        "boxes": sum(counts),
        "ignore": sum(label.ignore for picture in data.pictures for label in picture.labels),
        "faults": len(data.faults),
        "boxes_per_picture": {"median": median(counts or [0]), "most": max(counts, default=0)},
        "sizes": dict(sizes.most_common()),
        "labelled": [name for name in data.classes if name in looked],
        "classes": _classes(data),
    }


def _classes(data: Dataset) -> dict[str, dict[str, Any]]:
    shares: dict[str, list[float]] = {name: [] for name in data.classes}
    pictures, ignored, looked = Counter[str](), Counter[str](), Counter[str]()
    for picture in data.pictures:
        looked.update(picture.labelled)
        pictures.update({label.name for label in picture.labels if not label.ignore})
        ignored.update(label.name for label in picture.labels if label.ignore)
        for label in picture.labels:
            if not label.ignore:
                shares[label.name].append(_share(label.box, picture.size))
    return {
        name: {
            "boxes": len(shares[name]),
            "pictures": pictures[name],
            "looked_for_in": looked[name],
            "median_area_share": round(median(shares[name] or [0.0]), 6),
            "ignore": ignored[name],
        }
        for name in data.classes
    }


def _share(box: Box, size: tuple[int, int]) -> float:
    x1, y1, x2, y2 = box
    return max(0.0, x2 - x1) * max(0.0, y2 - y1) / (size[0] * size[1])


def table(report: dict[str, Any]) -> str:
    """A description for people; classes that nobody looked for are left out."""
    sizes = list(report["sizes"].items())
    some = ", ".join(f"{size} ({count})" for size, count in sizes[:4])
    more = f" and {len(sizes) - 4} more" if len(sizes) > 4 else ""
    per = report["boxes_per_picture"]
    lines = [
        f"{report['pictures']} pictures, {report['without_labels']} without labels",
        f"{report['boxes']} boxes, {per['median']:g} in the median picture, {per['most']} at most;"
        f" {report['ignore']} regions to ignore",
        f"sizes: {some or 'none'}{more}",
    ]
    lines += [f"{report['groups']} groups"] * bool(report["groups"])
    lines += [f"{report['faults']} faults: edge-detect dataset check tells them"] * bool(report["faults"])
    rows = [(name, row) for name, row in report["classes"].items() if row["looked_for_in"] or row["boxes"]]
    width = max([5, *(len(name) for name, _ in rows)])
    lines.append(f"{'class':{width}}  {'boxes':>7}  {'pictures':>8}  {'of':>7}  {'area':>7}  {'ignore':>6}")
    for name, row in rows:
        area = f"{row['median_area_share']:.2%}" if row["boxes"] else "-"
        lines.append(
            f"{name:{width}}  {row['boxes']:7}  {row['pictures']:8}  {row['looked_for_in']:7}"
            f"  {area:>7}  {row['ignore']:6}"
        )
    return "\n".join(lines)
