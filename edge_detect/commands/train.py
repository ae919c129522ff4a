"""Train: a data set becomes an SSDLite MobileNetV2 detector.

A run is one folder: settings, checkpoint, curves and the best weights. The same command goes on
with a run that was killed, bit for bit as if it had not been (on one back end, on the CPU); with
--output alone it takes the settings that stand there.

  edge-detect train -o runs/a --data train.json --validation val.json --weights mobilenet_v2.weights.h5
  edge-detect train -o runs/qat --data train.json --validation val.json --weights runs/a --quantize int8

Each epoch is told with its loss, its accuracy and the time that is left, at the pace since the
command began (-v: every 20 steps). curves.csv has a row an epoch, curves.png draws them.

KERAS_BACKEND chooses tensorflow (the default), jax or torch; only TensorFlow writes .tflite files.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import logging
import re
from pathlib import Path
from typing import get_type_hints

from edge_detect.commands import arguments
from edge_detect.errors import ConfigError

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edge-detect train`: one for each field of its settings."""
    from edge_detect.workshop.settings import Settings, option

    parser.add_argument("-o", "--output", required=True, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--until", type=arguments.count, default=0, metavar="EPOCH",
        help="stop for now after this epoch; the same command without it goes on",
    )  # fmt: skip
    texts = _texts(Settings.__doc__ or "")
    hints = get_type_hints(Settings)
    for field in dataclasses.fields(Settings):
        usual = field.default
        told = f" ({usual})" if usual not in (dataclasses.MISSING, "", False) else ""
        text = f"{texts[field.name]}{told}".replace("%", "%%")
        if hints[field.name] is bool:
            parser.add_argument(option(field.name), action="store_const", const="yes", help=text)
        else:
            parser.add_argument(option(field.name), metavar=hints[field.name].__name__.upper(), help=text)


def _texts(docstring: str) -> dict[str, str]:
    """What the docstring says of each attribute."""
    # Python 3.13 keeps no indentation of docstrings, 3.11 keeps all of it
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", inspect.cleandoc(docstring), re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text).rstrip(".") for name, text in found}


def main(options: argparse.Namespace) -> int:
    """Trains, and tells where the run stands."""
    from edge_detect import settings as parser
    from edge_detect.workshop.settings import Settings

    folder = Path(options.output)
    names = [field.name for field in dataclasses.fields(Settings)]
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    arguments.prepare_workshop()
    from edge_detect.workshop import train
    from edge_detect.workshop.run import Run

    if not given and (folder / "settings.json").exists():
        chosen, _, _ = Run(folder).settings()
    elif "data" not in given:
        raise ConfigError("--data: expected a data set to learn from, got none")
    else:
        chosen = parser.build(Settings, given, "train")
    train.train(chosen, folder, log.info, until=options.until)
    print(folder)
    return 0
