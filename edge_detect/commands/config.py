"""Config: write, check and show the settings of a run.

init writes a commented settings file, check tells all mistakes in the settings that a run would
have, show prints them, schema prints a JSON Schema for editors.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edge_detect import durable, layers, manual, places, schema
from edge_detect.errors import ConfigError, SettingsError

ACTS = {
    "init": "write a commented settings file",
    "check": "tell all mistakes; ends with 78 where there are some",
    "show": "print the settings that hold",
    "schema": "print a JSON Schema for editors",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The acts of `edge-detect config`."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    made = {name: acts.add_parser(name, help=text, description=text) for name, text in ACTS.items()}
    made["init"].add_argument(
        "file", nargs="?", metavar="FILE", help="default: the user's own settings file; - prints it"
    )
    made["init"].add_argument("--force", action="store_true", help="write over a file that is there")
    for act in ("check", "show"):
        made[act].add_argument("file", nargs="?", metavar="FILE", help="what run is given behind --config")
    made["show"].add_argument("--origin", action="store_true", help="with the place that each comes from")


def main(options: argparse.Namespace) -> int:
    """Does what the act says."""
    acts = {"init": init, "check": check, "show": show, "schema": print_schema}
    return acts[options.act](options)


def init(options: argparse.Namespace) -> int:
    """Writes a settings file.

    Raises:
        ConfigError: There is one.
        SinkError: It cannot be written.
    """
    if options.file == "-":
        print(manual.template(), end="")
        return 0
    path = Path(options.file) if options.file else places.user_file()
    if path.exists() and not options.force:
        raise ConfigError(f"{path}: is there already; --force writes over it")
    durable.make_folder(path.parent)
    durable.write(path, manual.template().encode())
    print(path)
    return 0


def check(options: argparse.Namespace) -> int:
    """Tells all mistakes, or which files are right."""
    try:
        settings = layers.read(options.file, strict=True)
        from edge_detect import running  # with numpy, which knows sources and outputs

        running.examine(settings)
    except ConfigError as error:
        print(error)
        return SettingsError.exit_code
    for document in settings.documents:
        print(f"{document.path}: no mistakes")
    if not settings.documents:
        print(f"no settings file: looked for {places.machine_file()}, {places.user_file()}")
    return 0


def show(options: argparse.Namespace) -> int:
    """Prints the settings as a file that could be read again."""
    settings = layers.read(options.file)
    for section in schema.sections():
        print(f"[{section}]")
        for one in schema.settings():
            if one.section == section:
                line = f"{one.name} = {one.show(one.of(settings.config))}"
                print(f"{line:<40}  # {settings.origin(one.key)}" if options.origin else line)
        print()
    for array in schema.arrays():
        for element in getattr(settings.config, array):
            print(f"[[{array}]]" + (f"  # {settings.origin(array)}" if options.origin else ""))
            for one in schema.columns(array):
                print(f"{one.name} = {one.show(getattr(element, one.name))}")
            print()
    return 0


def print_schema(options: argparse.Namespace) -> int:
    """Prints the JSON Schema."""
    print(json.dumps(manual.json_schema(), indent=2))
    return 0
