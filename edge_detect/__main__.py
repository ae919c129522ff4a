"""Entry: `python -m edge_detect` is the command `edge-detect`."""

import sys

from edge_detect.cli import main

sys.exit(main())
