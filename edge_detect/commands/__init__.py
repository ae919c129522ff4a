"""Commands: one word of the command line a module."""
