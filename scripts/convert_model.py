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
    venv = subprocess.run(
        [ROOT / "scripts" / "setup", "--workshop"], check=True, capture_output=True, text=True
    ).stdout.strip()
    python = ROOT / venv / "bin" / "python"
    os.execv(python, [str(python), "-m", "edge_detect", "convert", *sys.argv[1:]])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"convert_model.py: error: no environment: {error.stderr.strip()}")
