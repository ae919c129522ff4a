"""Inspect: what a model file is, and how it will be read.

With a picture it tries colour orders and fits, and says which the model is most sure with.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_detect.errors import ModelError
from edge_detect.logs import visible

if TYPE_CHECKING:
    from edge_detect.card import Card
    from edge_detect.model import File, Model
    from edge_detect.tensors import Tensor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edge-detect inspect`."""
    parser.add_argument("model", metavar="MODEL", help="a .tflite file")
    parser.add_argument("-l", "--labels", metavar="FILE", help="names of its classes (default: those inside)")
    parser.add_argument("-i", "--image", metavar="PICTURE", help="a picture to try the model on")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def main(options: argparse.Namespace) -> int:
    """Tells what the file is; 0 also for what is no detector, since that was the question."""
    from edge_detect import model
    from edge_detect.card import Card

    path = Path(options.model)
    try:
        file = model.read_file(path)
    except ModelError as error:  # a directory
        file, card = model.File(path, b"", ""), Card("unsupported", _without_name(str(error), str(path)))
    else:
        card = _card(file)
    report = describe(file, card)
    if card.kind == "detector":
        opened = model.open_model(path, threads=1)
        report |= _names(opened, options.labels)
        if options.image:
            report["trials"] = trials(opened, report["labels"], options.image)
    print(json.dumps(report) if options.json else text_of(report))
    return 0


def _card(file: File) -> Card:
    from edge_detect import model
    from edge_detect.card import Card

    try:
        return model.examine(file)
    except ModelError as error:
        return Card("unsupported", _without_name(str(error), file.path.name))


def _without_name(message: str, name: str) -> str:
    return message.removeprefix(f"{name}: ")


def describe(file: File, card: Card) -> dict[str, Any]:
    """The card as JSON for other programs."""
    entry: dict[str, Any] = {
        "file": str(file.path),
        "kind": card.kind,
        "layout": card.word or None,
        "description": card.layout,
        "reason": card.reason,
        "bytes": len(file.data),
        "sha256": file.sha256,
        "input": None,
        "outputs": [_tensor(tensor) for tensor in card.outputs],
        "labels": list(card.labels),
        "label_form": card.label_form,
    }
    if card.input:
        entry["input"] = _tensor(card.input.tensor)
        if card.kind == "detector":
            entry["input"] |= {
                "colour": card.input.colour,
                "mean": list(card.input.normalization.mean),
                "std": list(card.input.normalization.std),
                "padding": card.input.padding,
            }
    return entry


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "scale": tensor.scale,
        "zero_point": tensor.zero_point,
    }


def _names(opened: Model, labels: str | None) -> dict[str, Any]:
    """The labels as they will be used, and how they fit the number of classes."""
    from edge_detect import labels as label_lists
    from edge_detect.model import read_labels

    given = read_labels(Path(labels)) if labels else opened.card.embedded
    fitted, mismatch = label_lists.fit(given, opened.decoder.classes)
    return {
        "decoder": type(opened.decoder).__name__,
        "suppressed": opened.decoder.suppressed,
        "classes": opened.decoder.classes,
        "runtime": opened.interpreter.runtime,
        "labels": list(fitted.names),
        "label_form": fitted.form,
        "label_mismatch": mismatch,
    }


def trials(opened: Model, labels: list[str], picture: str) -> list[dict[str, Any]]:
    """How sure the model is with each colour order and fit, best first.

    A wrong offset of the labels cannot be seen in the scores; so each trial names its best find
    under the labels as they are, one before and one after.
    """
    from dataclasses import replace

    from edge_detect.detector import Detector
    from edge_detect.fit import FITS
    from edge_detect.frame import Frame
    from edge_detect.labels import Labels
    from edge_detect.pixels import read_picture

    frame = Frame(read_picture(picture), 0.0, 0, picture)
    names = Labels(tuple(labels))
    rows = []
    for colour in ("RGB", "BGR"):
        for fit in FITS:
            assert opened.card.input is not None
            card = replace(opened.card, input=replace(opened.card.input, colour=colour))
            found = Detector(replace(opened, card=card), 0.1, fit=fit)(frame)
            sure = found.scores[found.scores >= 0.3]
            best = int(found.classes[0]) if len(found) else None
            near = [] if best is None else [names[best + offset] for offset in (-1, 0, 1)]
            rows.append(
                {
                    "colour": colour,
                    "fit": fit,
                    "best_score": round(float(found.scores[0]), 4) if len(found) else 0.0,
                    "sum_of_scores": round(float(sure.sum()), 4),
                    "found": len(sure),
                    "class_id": best,
                    "label_by_offset": dict(zip(("-1", "0", "+1"), near, strict=False)),
                }
            )
    return sorted(rows, key=lambda row: -float(str(row["best_score"])))


def text_of(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [f"{report['file']}: {report['kind']}", f"  why      {report['reason']}"]
    if report["layout"]:
        lines.append(f"  layout   {report['description']}")
    given = report["input"]
    if given:
        lines.append(f"  input    {_line(given)}")
        if "colour" in given:
            mean, std = (", ".join(f"{v:g}" for v in given[key]) for key in ("mean", "std"))
            lines.append(f"           {given['colour']}, (pixel - {mean}) / {std}")
    lines += [f"  output   {_line(output)}" for output in report["outputs"]]
    if report["kind"] == "detector":
        names = report["labels"]
        first = ", ".join(f"{i} = {name or '(unused)'}" for i, name in enumerate(names[:3]))
        lines.append(f"  classes  {report['classes'] or 'unknown'}")
        lines.append(f"  labels   {len(names) or 'none'} ({report['label_form']}) {first}".rstrip())
        if report["label_mismatch"]:
            lines.append(f"           {report['label_mismatch']}")
        lines.append(f"  runtime  {report['runtime']}")
    if report["bytes"]:
        lines.append(f"  file     {report['bytes']} bytes, sha256 {report['sha256'][:16]}")
    for i, row in enumerate(report.get("trials", ())):
        names = ", ".join(f"{offset}: {name}" for offset, name in row["label_by_offset"].items())
        lines.append(
            f"  {'less sure' if i else 'most sure'}  {row['colour']} {row['fit']:<9}"
            f"  best {row['best_score']:.2f}, {row['found']} over 0.3   label by offset {names}"
        )
    return "\n".join(map(visible, lines))


def _line(tensor: dict[str, Any]) -> str:
    quantized = f", scale {tensor['scale']:g}, zero point {tensor['zero_point']}" if tensor["scale"] else ""
    return f"{tensor['shape']} {tensor['dtype']}{quantized}  {tensor['name']}"
