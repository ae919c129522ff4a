"""edge_detect: a camera in, what it sees out, on a Raspberry Pi's CPU."""

__version__ = "0.1.0"
