"""Arguments: the options that several commands share."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edge_detect import logs
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


def add_model(parser: argparse.ArgumentParser, *, threads: bool = True) -> None:
    """-m, -l, -c and how the model is run; `threads`: the user says with how many."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "-m",
        "--model",
        metavar="FILE",
        help="a .tflite detector (default: the installed one, else the shipped one)",
    )
    group.add_argument(
        "-l", "--labels", metavar="FILE", help="names of its classes (default: those inside the model)"
    )
    group.add_argument(
        "-c", "--confidence", type=share, default=0.2, metavar="0..1", help="least score of a detection (0.2)"
    )
    if threads:
        group.add_argument(
            "--threads", type=thread_count, default=0, metavar="N", help="of the net (default: measured once)"
        )
    group.add_argument(
        "--fit", choices=("letterbox", "stretch"), default="letterbox",
        help="how a picture is laid into the model's input (letterbox: no distortion)",
    )  # fmt: skip


def model_files(model: str | None, labels: str | None) -> tuple[Path, Path | None]:
    """The model that was named, else the installed one, else the shipped one; and its label file.

    Args:
        model: A file; empty or None when none was named.
        labels: A label file; empty or None for the names that the model brings with it.

    Raises:
        InputMissing: None was named, and none is installed or shipped.
    """
    names = Path(labels) if labels else None
    if model:
        return Path(model), names
    from edge_detect import store

    if installed := store.active():
        return installed.model, names or installed.labels
    if not SHIPPED.exists():
        raise InputMissing(
            "no model: give a .tflite detector with --model FILE (and --labels FILE when it has no names"
            " inside), or install one: edge-detect models list"
        )
    return SHIPPED, names


def open_model(options: argparse.Namespace) -> Model:
    """The model that the options name, ready to run."""
    from edge_detect import model

    return model.open_model(*model_files(options.model, options.labels), options.threads)


def open_on_trial(path: Path, labels: Path | None, threads: int) -> Model:
    """The model of a run that names none; one that is new looks at a picture before it is ready.

    It does so before there is a camera: that one is away is not held against the model.
    """
    from edge_detect import model, store

    on_trial = store.began(path)
    opened = model.open_model(path, labels, threads)
    if on_trial:
        from edge_detect.detector import Detector

        Detector(opened).try_out()
        store.proved(path)
    return opened


def source_of(options: argparse.Namespace) -> str | None:
    """The source that was named by option or by position; None without any.

    Raises:
        ConfigError: Two different ones.
    """
    if options.source and options.place and options.source != options.place:
        raise ConfigError(f"two sources: '{options.place}' and --source '{options.source}', expected one")
    place: str | None = options.source or options.place
    return place


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
        with logs.native(
            logging.getLogger(__name__), "tensorflow"
        ):  # it tells of the processor, whatever it is asked to do
            import tensorflow  # noqa: F401
    try:  # a step frees gigabytes; given back to the system and taken again, they cost half of the time
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-4, 0)  # M_MMAP_MAX: none of it from mmap
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
    except (OSError, AttributeError):
        pass  # another C library


def need(command: str, modules: Mapping[str, str]) -> None:
    """Tells what is not installed before the long work, not after it.

    Args:
        command: Who needs it.
        modules: The packages that are installed for them, by the names of the modules.

    Raises:
        DependencyError: A module is missing.
    """
    from importlib.util import find_spec

    from edge_detect.errors import DependencyError

    if missing := [package for module, package in modules.items() if not find_spec(module)]:
        packages = " ".join(f"'{name}'" for name in missing)
        raise DependencyError(
            f"{command} needs {', '.join(missing)}: pip install {packages}, or 'edge_detect[workshop]'"
        )


def acts_of(
    parser: argparse.ArgumentParser,
) -> Callable[[str, str, Callable[[argparse.Namespace], int]], argparse.ArgumentParser]:
    """Adds acts, as `list` of `edge-detect models`: by name, summary, and what does it (`options.do`)."""
    acts = parser.add_subparsers(dest="act", metavar="ACT", required=True, parser_class=type(parser))

    def add(name: str, summary: str, act: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = acts.add_parser(
            name,
            help=summary,
            description=summary,
            formatter_class=parser.formatter_class,
            allow_abbrev=False,
        )
        sub.set_defaults(do=act)
        return sub

    return add


def share(text: str) -> float:
    """A number from 0 to 1."""
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got '{text}'")
    return value


def address(text: str) -> str:
    """HOST:PORT."""
    from edge_detect import schema

    listen = schema.find("web.listen")
    if not text or not listen.fits(text) or text.startswith(("csi:", "rpicam:")):
        raise argparse.ArgumentTypeError(f"expected {listen.expected}, got '{text}'")
    return text


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


def thread_count(text: str) -> int:
    """Threads of a net, as many as the settings allow."""
    from edge_detect import schema

    setting = schema.find("model.threads")
    if not text.isdecimal() or not setting.fits(int(text)):
        raise argparse.ArgumentTypeError(f"expected {setting.expected}, got '{text}'")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    return value
