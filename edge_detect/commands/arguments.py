"""Arguments: the options that several commands share."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edge_detect.errors import ConfigError, InputMissing

if TYPE_CHECKING:
    from edge_detect.model import Model

# beside the package in the repository; an installed package keeps them in its environment
MODELS = next(
    (
        folder
        for folder in (
            Path(__file__).resolve().parents[2] / "models",
            Path(sys.prefix, "share", "edge_detect", "models"),
        )
        if (folder / "detector.tflite").exists()
    ),
    Path(sys.prefix, "share", "edge_detect", "models"),
)
SHIPPED = MODELS / "detector.tflite"


def add_model(parser: argparse.ArgumentParser) -> None:
    """-m, -l, -c and how the model is run."""
    group = parser.add_argument_group("model")
    group.add_argument("-m", "--model", metavar="FILE", help="a .tflite detector")
    group.add_argument(
        "-l", "--labels", metavar="FILE", help="names of its classes (default: those inside the model)"
    )
    group.add_argument(
        "-c", "--confidence", type=share, default=0.2, metavar="0..1", help="least score of a detection (0.2)"
    )
    group.add_argument(
        "--threads", type=count, default=0, metavar="N", help="of the net (default: measured once)"
    )
    group.add_argument(
        "--fit", choices=("letterbox", "stretch"), default="letterbox",
        help="how a picture is laid into the model's input (letterbox: no distortion)",
    )  # fmt: skip


def model_path(options: argparse.Namespace) -> Path:
    """The model file that the options name, or the shipped one.

    Raises:
        InputMissing: None was named and none is shipped.
    """
    path = Path(options.model) if options.model else SHIPPED
    if not options.model and not path.exists():
        raise InputMissing(
            "no model: give a .tflite detector with --model FILE (and --labels FILE when it has no names"
            " inside); README.md, section Models, tells where to get one"
        )
    return path


def open_model(options: argparse.Namespace) -> Model:
    """The model that the options name, ready to run."""
    from edge_detect import model

    labels = Path(options.labels) if options.labels else None
    return model.open_model(model_path(options), labels, options.threads)


def source_of(options: argparse.Namespace) -> str:
    """The source that was named by option or by position.

    Raises:
        ConfigError: Two different ones.
    """
    if options.source and options.place and options.source != options.place:
        raise ConfigError(f"two sources: '{options.place}' and --source '{options.source}', expected one")
    return str(options.source or options.place or "auto")


def prepare_workshop() -> None:
    """Settles what the workshop's libraries read from the environment before they are imported.

    Raises:
        DependencyError: They are not installed.
    """
    import ctypes
    import logging
    import os
    from importlib.util import find_spec

    from edge_detect.errors import DependencyError

    missing = [
        name for name in ("keras", "tensorflow", "ai_edge_quantizer", "pycocotools") if not find_spec(name)
    ]
    if missing:
        raise DependencyError(
            f"the workshop needs {', '.join(missing)}: pip install 'edge_detect[workshop]', on a computer"
            " with 4 GB of memory or more"
        )
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("absl").setLevel(logging.WARNING)
    if os.environ["KERAS_BACKEND"] == "tensorflow":
        with _without_stderr():  # it tells of the processor's instructions, whatever it is asked to do
            import tensorflow  # noqa: F401
    try:  # a step frees gigabytes; given back to the system and taken again, they cost half of the time
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-4, 0)  # M_MMAP_MAX: none of it from mmap
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
    except (OSError, AttributeError):
        pass  # another C library


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Nothing that is written to standard error meanwhile, by native code too, is seen."""
    import os
    import sys

    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def share(text: str) -> float:
    """A number from 0 to 1."""
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got '{text}'")
    return value


def seconds(text: str) -> float:
    """A duration."""
    value = _number(text)
    if not 0 <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"expected seconds, 0 or more, got '{text}'")
    return value


def count(text: str) -> int:
    """A whole number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number, 0 or more, got '{text}'")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    return value
