"""Dataset: check, describe, convert, show, split and make data sets.

A data set is a place, PLACE[=PICTURES]: a COCO .json, a folder of Pascal VOC .xml, a YOLO
data.yaml (data.yaml:train is one part of it) or a folder with classes.txt, a .tfrecord (its
pictures are put into a folder beside it), or pattern:COUNT=FOLDER, drawn scenes. PICTURES is the
folder of its pictures. Several sets are taken as one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from itertools import combinations
from typing import TYPE_CHECKING, Any

from edge_detect.commands import arguments
from edge_detect.errors import ConfigError

if TYPE_CHECKING:
    from edge_detect.workshop.dataset import Dataset

FORMS = ("coco", "voc", "yolo", "tfrecord")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edge-detect dataset`."""
    new = arguments.acts_of(parser)

    def add(
        name: str, summary: str, act: Callable[[argparse.Namespace], int],
        begin: Callable[[argparse.ArgumentParser], None] = _add_sets,
    ) -> argparse.ArgumentParser:  # fmt: skip
        begin(sub := new(name, summary, act))
        return sub

    sub = add("check", "tell everything that is wrong; of several sets also what they share", _check)
    sub.add_argument("--json", action="store_true", help="one JSON object on standard output")
    sub = add("describe", "tell what is in it", _describe)
    sub.add_argument("--json", action="store_true", help="one JSON object on standard output")
    sub = add("convert", "write it in another form", _convert)
    sub.add_argument(
        "-o", "--output", required=True, metavar="PLACE", help=".json, .tfrecord or a new folder"
    )
    _add_form(sub)
    sub = add("sheet", "draw pictures of it, with their labels, on one", _sheet)
    sub.add_argument("-o", "--output", required=True, metavar="FILE", help="a .png")
    sub.add_argument("--count", type=arguments.count, default=24, metavar="N", help="pictures (24)")
    sub.add_argument("--columns", type=arguments.count, default=6, metavar="N", help="side by side (6)")
    sub.add_argument("--seed", type=arguments.count, default=0, metavar="N", help="of the lot (0)")
    sub = add("split", "write it as two, groups stay whole", _split)
    sub.add_argument("-o", "--output", required=True, nargs=2, metavar=("TRAIN", "VAL"), help="two places")
    sub.add_argument(
        "--share", type=arguments.share, default=0.2, metavar="0..1", help="of the pictures in VAL (0.2)"
    )
    sub.add_argument("--seed", type=arguments.count, default=0, metavar="N", help="of the lot (0)")
    _add_form(sub)
    sub = add("label", "let a detector label pictures that nobody did (pseudo-labels)", _label, _add_pictures)
    sub.add_argument(
        "-o", "--output", required=True, metavar="PLACE", help=".json, .tfrecord or a new folder"
    )
    _add_form(sub)


def _add_pictures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pictures", nargs="+", metavar="PICTURES", help="a folder, or a data set's place")
    parser.add_argument("-m", "--model", metavar="FILE", help="a .tflite detector (the shipped one)")
    parser.add_argument("-l", "--labels", metavar="FILE", help="names of its classes, where it has none")
    parser.add_argument(
        "--sure", type=arguments.share, default=0.5, metavar="0..1",
        help="score from which a find is a label; from half of it, it is a region to leave alone (0.5)",
    )  # fmt: skip
    _add_classes(parser)


def _add_sets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sets", nargs="+", metavar="PLACE[=PICTURES]", help="a data set")
    parser.add_argument("--images", metavar="DIR", help="folder of the pictures")
    parser.add_argument(
        "--from", dest="source_form", choices=(*FORMS, "drawn"), metavar="FORM",
        help=f"its form: {', '.join(FORMS)} (default: told by what is there)",
    )  # fmt: skip
    _add_classes(parser)


def _add_classes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--map", dest="names", type=_names, default={}, metavar="OLD=NEW,...",
        help="rename classes; OLD= drops one",
    )  # fmt: skip
    parser.add_argument(
        "--classes", type=_list, default=[], metavar="A,B,...", help="keep these, in this order"
    )
    group = parser.add_argument_group("messages")
    quiet: dict[str, Any] = {"action": "store_true", "default": argparse.SUPPRESS}
    group.add_argument("-v", "--verbose", help="log every detail", **quiet)
    group.add_argument("-q", "--quiet", help="log warnings and errors only", **quiet)


def _add_form(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to", choices=FORMS, default="", metavar="FORM",
        help=f"{', '.join(FORMS)} (default: told by the ending)",
    )  # fmt: skip


def _list(text: str) -> list[str]:
    return [name for name in (word.strip() for word in text.split(",")) if name]


def _names(text: str) -> dict[str, str]:
    """New names by old ones."""
    names: dict[str, str] = {}
    for word in filter(None, text.split(",")):
        old, sign, new = (part.strip() for part in word.partition("="))
        if not sign or not old or old in names:
            raise argparse.ArgumentTypeError(f"expected OLD=NEW, each OLD once, got '{word}'")
        names[old] = new
    return names


def main(options: argparse.Namespace) -> int:
    """Does what the second word says."""
    arguments.need("dataset", {"PIL": "pillow"})
    act: Callable[[argparse.Namespace], int] = options.do
    return act(options)


def _sets(options: argparse.Namespace) -> list[Dataset]:
    from pathlib import Path

    from edge_detect.workshop import dataset, formats

    found = formats.read_each(
        options.sets, Path(options.images) if options.images else None, options.source_form or ""
    )
    known = dataset.merge(found).classes
    dataset.check_known(known, options.names, "--map")
    renamed = [
        dataset.rename(data, {old: new for old, new in options.names.items() if old in data.classes})
        for data in found
    ]
    if not options.classes:
        return renamed
    dataset.check_known(dataset.merge(renamed).classes, options.classes, "--classes")
    return [
        dataset.keep(data, [name for name in options.classes if name in data.classes]) for data in renamed
    ]


def _one(options: argparse.Namespace) -> Dataset:
    from dataclasses import replace

    from edge_detect.workshop.dataset import merge

    data = merge(_sets(options))
    return replace(data, classes=tuple(options.classes)) if options.classes else data


def _check(options: argparse.Namespace) -> int:
    from edge_detect.workshop import check
    from edge_detect.workshop.dataset import merge

    sets = _sets(options)
    faults = [fault for data in sets for fault in check.check(data)]
    for one, other in combinations(sets, 2):
        faults += check.leaks(one, other)
    data = merge(sets)
    without = sum(not picture.labels for picture in data.pictures)
    if options.json:
        rows = [{"where": fault.where, "what": fault.what} for fault in faults]
        print(json.dumps({"pictures": len(data), "without_labels": without, "faults": rows}))
    else:
        for fault in faults:
            print(fault)
    told = f"{len(faults)} fault{'s' * (len(faults) != 1)}" if faults else "no fault"
    sys.stderr.write(f"{len(data)} pictures, {without} without labels: {told}\n")
    return 1 if faults else 0


def _describe(options: argparse.Namespace) -> int:
    from edge_detect.workshop import check

    report = check.describe(_one(options))
    print(json.dumps(report) if options.json else check.table(report))
    return 0


def _convert(options: argparse.Namespace) -> int:
    from edge_detect.workshop import formats

    data = _one(options)
    formats.write(data, options.output, options.to)
    _tell_left_out(data)
    print(f"{options.output}: {len(data)} pictures, {sum(data.counts().values())} boxes")
    return 0


def _tell_left_out(data: Dataset) -> None:
    if data.faults:
        count = len(data.faults)
        sys.stderr.write(
            f"{count} fault{'s' * (count != 1)} left out: edge-detect dataset check tells them\n"
        )


def _sheet(options: argparse.Namespace) -> int:
    from pathlib import Path

    from edge_detect.sinks.pictures import save
    from edge_detect.workshop.sheet import sheet

    if not options.output.endswith(".png"):
        raise ConfigError(f"--output: expected a .png, got '{options.output}'")
    data = _one(options)
    save(sheet(data, options.count, options.columns, options.seed), Path(options.output))
    print(f"{options.output}: {min(options.count, len(data))} of {len(data)} pictures")
    return 0


def _split(options: argparse.Namespace) -> int:
    from pathlib import Path

    from edge_detect.workshop import formats
    from edge_detect.workshop.dataset import split
    from edge_detect.workshop.formats import files

    train, val = options.output
    if Path(train).resolve() == Path(val).resolve():
        raise ConfigError(f"--output: expected two places, got '{train}' twice")
    if options.to in ("voc", "yolo"):  # before the first is written
        for place in options.output:
            files.check_free(Path(place))
    data = _one(options)
    parts = split(data, options.share, options.seed)
    for part, place in zip(parts, options.output, strict=True):
        formats.write(part, place, options.to)
    _tell_left_out(data)
    for part, place in zip(parts, options.output, strict=True):
        print(f"{place}: {len(part)} pictures, {sum(part.counts().values())} boxes")
    return 0


def _label(options: argparse.Namespace) -> int:
    from edge_detect.model import open_model
    from edge_detect.workshop import calibration, dataset, formats, pseudo_labels

    model = open_model(*arguments.model_files(options.model, options.labels))
    paths = [path for place in options.pictures for path in calibration.paths_of(place, "PICTURES")]
    data = dataset.rename(pseudo_labels.label(paths, model, options.sure), options.names)
    if options.classes:
        data = dataset.keep(data, options.classes)
    formats.write(data, options.output, options.to)
    print(f"{options.output}: {len(data)} pictures, {sum(data.counts().values())} boxes")
    return 0
