"""Command line: words for people, errors in one line, exit codes."""

from __future__ import annotations

import argparse
import errno
import io
import logging
import os
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn, TextIO

from edge_detect import __version__, logs
from edge_detect.errors import ConfigError, EdgeDetectError, SinkError
from edge_detect.lazy import load, suggest

COMMANDS = {
    "run": ("edge_detect.commands.run", "watch a source until told to stop (implied)"),
    "detect": ("edge_detect.commands.detect", "pictures in, boxes out"),
    "batch": ("edge_detect.commands.batch", "hours of footage, shared among cores or machines"),
    "inspect": ("edge_detect.commands.inspect", "what a model file is, and how it will be read"),
    "config": ("edge_detect.commands.config", "write, check and show the settings of a run"),
    "zones": ("edge_detect.commands.zones", "the zones of the settings, drawn on a picture"),
    "replay": ("edge_detect.commands.replay", "which events a recording would have made"),
    "doctor": ("edge_detect.commands.doctor", "is the camera there, is the model sound, what to fix"),
    "bench": ("edge_detect.commands.bench", "speed of a model and of the whole loop on this machine"),
    "models": ("edge_detect.commands.models", "list, download, install, check and roll back detectors"),
    "dataset": ("edge_detect.commands.dataset", "check, describe, convert, show and split data sets"),
    "evaluate": ("edge_detect.commands.evaluate", "COCO mAP, speed and size of any models the runtime reads"),
    "train": ("edge_detect.commands.train", "a data set becomes a detector (workshop)"),
    "service": ("edge_detect.commands.service", "runs at every start of the machine: install, remove, look"),
    "convert": (
        "edge_detect.commands.convert",
        "a model becomes a file for the device: int8 and others (workshop)",
    ),
}

EPILOG = """\
examples:
  edge-detect -m model.tflite -l labels.txt                the first camera found
  edge-detect -m model.tflite --source csi:0?width=1280&height=720 --display
  edge-detect -m model.tflite --source rtsp://camera/stream --json
  edge-detect -m model.tflite --source clip.mp4 --output annotated.mp4
  edge-detect -m model.tflite --web                        the live page: http://127.0.0.1:8080/
  edge-detect --config porch.toml                          settings (edge-detect config init writes them)
  edge-detect inspect model.tflite

exit codes:
  0 done   1 broke   2 asked wrongly   66 input missing   69 source or server lost   74 disk   78 settings
  130 interrupted
"""


class Parser(argparse.ArgumentParser):
    """argparse with an answer of one line, and a suggestion for a misspelt option."""

    def error(self, message: str) -> NoReturn:
        prefix, _, words = message.partition("unrecognized arguments: ")
        if words and not prefix:
            name = words.split()[0].partition("=")[0]
            options = [option for option in self._option_string_actions if option.startswith("--")]
            begun = [option for option in options if option.startswith(name)]
            bare = [option[2:] for option in options]  # the dashes would make any two alike
            hint = suggest(name, begun) if begun else suggest(name[2:], bare).replace("mean '", "mean '--")
            known = name.startswith("--") and "did you mean" in hint
            message = f"unknown argument '{name}'{hint if known else ''}"
        raise ConfigError(f"{message} (see {self.prog} --help)")


def parser_of(command: str) -> Parser:
    """The parser of one command; its module is imported, the others are not."""
    module, summary = COMMANDS[command]
    parser = Parser(
        prog=f"edge-detect {command}",
        description=load(f"{module}:__doc__").partition("\n\n")[2] or summary,
        formatter_class=_formatter,
        allow_abbrev=False,
    )
    load(f"{module}:add_arguments")(parser)
    group = parser.add_argument_group("messages")
    group.add_argument("-v", "--verbose", action="store_true", help="log every detail")
    group.add_argument("-q", "--quiet", action="store_true", help="log warnings and errors only")
    return parser


def _formatter(prog: str) -> argparse.HelpFormatter:
    # a width of our own: argparse would import shutil, and all compressors with it, to ask for it
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=28, width=100)


def overview() -> str:
    """The help of the whole program."""
    width = max(map(len, COMMANDS)) + 2
    commands = "\n".join(f"  {name:{width}}{summary}" for name, (_, summary) in COMMANDS.items())
    return (
        "usage: edge-detect [COMMAND] [OPTIONS]\n\n"
        "Finds people, animals and vehicles with a quantized detector on the CPU.\n\n"
        f"commands (edge-detect COMMAND --help tells more):\n{commands}\n\n{EPILOG}"
    )


def split(words: Sequence[str]) -> tuple[str, list[str]]:
    """The command and its arguments; `run` where the first word is no command.

    Raises:
        ConfigError: The first word is close to a command and neither a file nor a source.
    """
    if not words:
        return "run", []
    first = words[0]
    if first in COMMANDS:
        return first, list(words[1:])
    plain = not first.startswith("-") and first.isalpha() and not os.path.exists(first)
    if plain and "did you mean" in (hint := suggest(first, COMMANDS)):
        raise ConfigError(f"unknown command '{first}'{hint}")
    return "run", list(words)


def _join_dashes(words: Sequence[str]) -> list[str]:
    """`-?format=bgr` as `--source=-?format=bgr`; argparse would take it for an option."""
    joined: list[str] = []
    for word in words:
        if word.startswith("-?"):
            if joined and joined[-1] in ("-s", "--source"):
                joined.pop()
            word = f"--source={word}"
        joined.append(word)
    return joined


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code."""
    code = _answer(list(sys.argv[1:] if arguments is None else arguments))
    try:
        if sys.stderr:
            sys.stderr.flush()
    except OSError:  # who read the log has gone, which is no failure of ours
        _forget(sys.stderr)
    if any(thread.name.startswith("capture ") for thread in threading.enumerate()):
        # a camera that hangs in native code would abort the process when it comes back at the end
        logging.shutdown()
        os._exit(code)
    return code


def _answer(words: list[str]) -> int:
    """Does what the words say, and tells what goes wrong in one line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no error
    try:
        try:
            return _obey(words)
        except KeyboardInterrupt:
            _forget(sys.stdout)  # who reads it may have stopped, and we are to end at once
            return 130
        finally:
            if sys.stdout:
                sys.stdout.flush()  # here, where a full disk can still be told
    except EdgeDetectError as error:
        return _fail(error, str(error), error.exit_code)
    except ImportError as error:
        return _fail(error, f"{error}: a package is missing or broken, edge-detect doctor tells which")
    except BrokenPipeError:  # who read our output has had enough
        _forget(sys.stdout)
        return 0
    except OSError as error:  # those of our own files have become an EdgeDetectError
        if error.errno != errno.ENOSPC:
            raise
        _forget(sys.stdout)
        return _fail(error, f"stdout: cannot write: {error.strerror}", SinkError.exit_code)


def _obey(words: list[str]) -> int:
    """Does what the words say."""
    if words[:1] in (["--version"], ["-V"]):
        print(f"edge-detect {__version__}")  # noqa: T201 a result
        return 0
    if words[:1] in (["--help"], ["-h"], ["help"]):
        print(overview(), end="")  # noqa: T201
        return 0
    command, rest = split(_join_dashes(words))
    options = parser_of(command).parse_args(rest)
    configure_logging(
        verbose=options.verbose, quiet=options.quiet, form=getattr(options, "log_format", None) or "text"
    )
    return int(load(f"{COMMANDS[command][0]}:main")(options))


def _fail(error: Exception, message: str, code: int = 1) -> int:
    """Tells the error in one line, one for each mistake in settings, or in full to who debugs."""
    if os.environ.get("EDGE_DETECT_DEBUG"):
        raise error
    for line in message.splitlines():
        logs.tell(line)
    return code


def _forget(stream: TextIO | None) -> None:
    """What Python still holds for a stream goes nowhere at exit, instead of failing again."""
    if stream:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def configure_logging(*, verbose: bool, quiet: bool, form: str = "text") -> None:
    """Messages go to standard error, one line each; standard output is for results."""
    logs.configure(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO, form)
    if not verbose:  # it tells six lines each time a camera is opened
        logging.getLogger("picamera2").setLevel(logging.WARNING)
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # it tells of its fonts
