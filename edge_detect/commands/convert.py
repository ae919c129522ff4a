"""Convert: a run, a Keras model, a SavedModel or a float .tflite becomes a file for the device.

  edge-detect convert runs/a --scheme int8 --calibrate train.json -o detector.tflite
  edge-detect convert runs/a --calibrate train.json --max-drop 0.5 --validate val.json -o d.tflite
  edge-detect convert runs/a runs/qat --scheme all --calibrate train.json --validate val.json -o all/
  edge-detect convert other.tflite --scheme keep --labels names.txt -o described.tflite

schemes:
  float32, float16, dynamic, int8, int16x8, int4, dynamic-int4
  keep   the file as it is, with labels, normalization and origin written into it
  all    every scheme, and a report (with --validate) of size, speed and accuracy
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_detect import durable
from edge_detect.commands import arguments
from edge_detect.errors import ConfigError, EdgeDetectError

if TYPE_CHECKING:
    from edge_detect.workshop.calibration import Ranges
    from edge_detect.workshop.convert import Options, Parent

log = logging.getLogger(__name__)

METHODS = ("min-max", "percentile", "mse")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edge-detect convert`."""
    parser.add_argument(
        "model", nargs="+", metavar="MODEL", help="run, .keras, .h5, SavedModel or float .tflite"
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="file to write; a folder for all"
    )
    parser.add_argument("--scheme", default="int8", metavar="S", help="see above (int8)")
    parser.add_argument(
        "--size", type=arguments.count, default=224, metavar="PIXELS",
        help="input of a classifier of which MODEL holds the weights alone (224)",
    )  # fmt: skip
    parser.add_argument("-l", "--labels", metavar="FILE", help="names of its classes, where it has none")
    parser.add_argument(
        "--mean", type=_number, metavar="N", help="of the input's normalization (pixel - mean) / std"
    )
    parser.add_argument("--std", type=_number, metavar="N", help="of the input's normalization")
    parser.add_argument(
        "--postprocess", action="store_true", help="embed TFLite_Detection_PostProcess, for other programs"
    )
    group = parser.add_argument_group("quantization")
    group.add_argument(
        "--calibrate", metavar="DATA", help="FILE[=PICTURES] of a data set, or a folder of pictures"
    )
    group.add_argument(
        "--pictures", type=arguments.count, default=100, metavar="N", help="for calibration (100)"
    )
    group.add_argument("--method", choices=METHODS, default="min-max", help="how ranges are found (min-max)")
    group.add_argument("--per-tensor", action="store_true", help="one weight scale for a whole layer")
    group.add_argument(
        "--weights",
        choices=("min-max", "mse", "octav"),
        default="min-max",
        help="how weight scales are found",
    )
    group.add_argument(
        "--wider", action="append", default=[], metavar="LAYERS[=16]",
        help="keep layers in float (or with int16 activations): first, heads, positions, scores, depthwise,"
        " or a regular expression on tensor names; may be repeated",
    )  # fmt: skip
    group.add_argument(
        "--max-drop", type=_number, metavar="POINTS",
        help="find the fewest layers to keep wider so that AP50 drops no more; needs --validate",
    )  # fmt: skip
    group.add_argument("--max-drop-bits", choices=("16", "32"), default="16", help="of those layers (16)")
    group.add_argument("--validate", metavar="DATA", help="FILE[=PICTURES] to measure accuracy on")
    group.add_argument(
        "--layers",
        metavar="FILE",
        help="signal-to-noise of every layer, as FILE.txt and FILE.png; - prints it",
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a number, got '{text}'") from error


def main(options: argparse.Namespace) -> int:
    """Writes the file or files and tells what they are."""
    arguments.prepare_workshop()
    from edge_detect.workshop import convert
    from edge_detect.workshop.quantize import SCHEMES

    names = (*SCHEMES, "keep", "all")
    if options.scheme not in names:
        from edge_detect.lazy import suggest

        raise ConfigError(f"--scheme: unknown scheme '{options.scheme}'{suggest(options.scheme, names)}")
    if len(options.model) > 1 and options.scheme != "all":
        raise ConfigError(f"expected one model, got {len(options.model)}; several go with --scheme all")
    calibrated = options.scheme in SCHEMES and SCHEMES[options.scheme].calibrated
    if not options.calibrate and (calibrated or options.scheme == "all" or options.layers):
        raise ConfigError(f"--scheme {options.scheme}: expected --calibrate DATA, got none")
    if options.max_drop is not None and not (options.validate and calibrated):
        raise ConfigError("--max-drop: expected --validate DATA and a scheme that is calibrated")
    out = Path(options.output)
    if options.scheme != "all" and out.is_dir():
        raise ConfigError(f"--output: {out} is a folder, expected a file")
    parents = [_open(Path(word), options) for word in options.model]
    if options.scheme == "all":
        return _all(parents, options, out)
    parent = parents[0]
    if options.scheme == "keep":
        _write(out, convert.described(parent))
        return 0
    chosen = convert.Options(
        SCHEMES[options.scheme], options.method, not options.per_tensor, options.weights,
        convert.widened(options.wider), options.postprocess,
    )  # fmt: skip
    ranges, batch = _calibrate(parent, chosen, options)
    if options.max_drop is not None:
        chosen = _mixed(parent, chosen, ranges, batch, options)
    data = convert.convert(parent, chosen, ranges)
    _write(out, data)
    _tell_floats(out, data, chosen)
    if options.layers:
        _layers(parent, data, batch, options.layers)
    if parent.kind == "classifier":
        _agreement(parent, data, options)
    return 0


def _open(path: Path, options: argparse.Namespace) -> Parent:
    from edge_detect.model import read_labels
    from edge_detect.pixel_values import Normalization
    from edge_detect.workshop import convert

    labels = read_labels(Path(options.labels)).names if options.labels else ()
    if (options.mean is None) != (options.std is None):
        raise ConfigError("--mean and --std: expected both or none")
    told = None
    if options.std is not None:
        if not options.std > 0:
            raise ConfigError(f"--std: expected a number above 0, got {options.std:g}")
        told = Normalization((options.mean,), (options.std,))
    return convert.open_parent(path, labels, told, real=options.scheme != "keep", size=options.size)


def _calibrate(parent: Parent, chosen: Options, options: argparse.Namespace) -> tuple[Ranges | None, Any]:
    """Ranges and the pictures that they were found on."""
    from edge_detect.workshop import calibration, convert

    wants = chosen.scheme.calibrated or options.layers
    if not wants:
        return None, None
    batch = calibration.pictures(options.calibrate, parent.input, options.pictures)
    log.info("calibration: %d pictures", len(batch))
    return convert.find_ranges(parent, batch, options.method) if chosen.scheme.calibrated else None, batch


def _mixed(
    parent: Parent, chosen: Options, ranges: Ranges | None, batch: Any, options: argparse.Namespace
) -> Options:
    from edge_detect.workshop import convert, formats, measure, sensitivity
    from edge_detect.workshop.quantize import SCHEMES

    assert ranges is not None  # --max-drop was checked to come with a calibrated scheme
    truth = formats.read_all(options.validate)

    def score(one: Options) -> float:
        return measure.ap50(convert.convert(parent, one, ranges), truth)

    real = score(convert.Options(SCHEMES["float32"]))
    order = sensitivity.alone(parent, chosen, ranges, batch[:8], log.info)
    found = sensitivity.smallest(order, chosen, options.max_drop, int(options.max_drop_bits), score, real)
    for count, drop in found.tried:
        print(f"{count:4} of {len(order)} layers wider: {drop:+.2f} points of AP50 lost")
    print(f"kept wider: {len(found.wider)} layers")
    for name in found.wider:
        print(f"  {name.partition(';')[0]}")
    return found.options


def _write(path: Path, data: bytes) -> None:
    durable.make_folder(path.parent)
    durable.write(path, data)
    print(f"{path}: {len(data)} bytes")


def _tell_floats(path: Path, data: bytes, made: Options) -> None:
    """Warns of layers that stayed in float though nobody asked for it."""
    from edge_detect.workshop import quantize

    if not made.scheme.calibrated or made.postprocess or any(one.bits == 32 for one in made.wider):
        return
    kinds = sorted({*quantize.islands(data, path.name)} - {"QUANTIZE", "DEQUANTIZE"})
    if kinds:
        log.warning("%s: stays in float where %s cannot be: %s", path, made.scheme.name, ", ".join(kinds))


def _layers(parent: Parent, data: bytes, batch: Any, place: str) -> None:
    from edge_detect.workshop import curves, sensitivity

    rows = sensitivity.layers(parent, data, batch[:16])
    text = sensitivity.text_of(rows)
    if place == "-":
        print(text)
        return
    stem = Path(place).with_suffix("")
    _write(stem.with_suffix(".txt"), (text + "\n").encode())
    curves.bars([(row.name, row.sqnr_db) for row in rows], stem.with_suffix(".png"))
    print(stem.with_suffix(".png"))


def _agreement(parent: Parent, data: bytes, options: argparse.Namespace) -> None:
    from edge_detect.workshop import measure

    if options.calibrate:
        same, count = measure.agreement(parent, data, options.calibrate, options.pictures)
        print(f"top-1 agreement with the float model: {same} of {count} pictures ({same / count:.1%})")


def _all(parents: list[Parent], options: argparse.Namespace, folder: Path) -> int:
    """Every scheme of every model in one folder, and one report of them."""
    from edge_detect.workshop import calibration, convert, formats, measure
    from edge_detect.workshop.convert import Options

    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--output: {folder} is a file, expected a folder")
    made: list[Path] = []
    for parent in parents:
        batch = calibration.pictures(options.calibrate, parent.input, options.pictures)
        seen = convert.watch(parent, batch)
        for name, one, method in convert.every(parent, Options(postprocess=options.postprocess)):
            path = folder / f"{parent.about.name}-{name}.tflite"
            try:
                data = convert.convert(
                    parent, replace(one, method=method), convert.ranges_of(parent, seen, method)
                )
            except EdgeDetectError as error:
                print(f"{path.name}: refused: {error}")
                continue
            _write(path, data)
            _tell_floats(path, data, one)
            made.append(path)
    if options.validate:
        report = folder / "report.html"
        measure.report(made, formats.read_all(options.validate), report)
        print(report)
    return 0
