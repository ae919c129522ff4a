#!/usr/bin/env python3
"""Turns a model into a file for the device: convert_model.py MODEL --calibrate PICTURES -o FILE [...].

Takes what `edge-detect convert` takes, Keras weights of a plain MobileNetV2 classifier (`.weights.h5`) too.
Its own environment is made when it is missing.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Hands over to the package, in its environment."""
    setup = [ROOT / "scripts" / "setup", "--workshop"]
    venv = subprocess.run(setup, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    python = ROOT / venv / "bin" / "python"
    os.execv(python, [str(python), "-m", "edge_detect", "convert", *sys.argv[1:]])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError:
        sys.exit("convert_model.py: error: expected an environment, got none: see above")
