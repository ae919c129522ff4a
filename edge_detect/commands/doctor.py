"""Doctor: is the camera there, is the model sound, what to fix.

Prints one line for each part, with the remedy where one is needed; exits with 1 when something
does not work.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from dataclasses import asdict

from edge_detect.commands import arguments
from edge_detect.errors import InputMissing

COLOURS = {"ok": "32", "note": "33", "fail": "31"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edge-detect doctor`."""
    parser.add_argument("-m", "--model", metavar="FILE", help="a model to try")
    parser.add_argument("-l", "--labels", metavar="FILE", help="names of its classes")
    parser.add_argument("--json", action="store_true", help="one JSON object a line on standard output")


def main(options: argparse.Namespace) -> int:
    """Examines and prints."""
    from edge_detect import checkup

    model, labels = None, None
    with suppress(InputMissing):  # that there is no model is one of the findings
        model, labels = arguments.model_files(options.model, options.labels)
    worst = 0
    for finding in checkup.examine(model, labels):
        if options.json:
            print(json.dumps(asdict(finding)), flush=True)
        else:
            state = _paint(f"{finding.state:<5}", finding.state)
            print(f"{state} {finding.what:<12} {finding.detail}", flush=True)
            if finding.fix:
                print(f"      {'':<12} -> {finding.fix}", flush=True)
        worst = max(worst, finding.state == "fail")
    return int(worst)


def _paint(text: str, state: str) -> str:
    return f"\033[{COLOURS[state]}m{text}\033[0m" if sys.stdout.isatty() else text
