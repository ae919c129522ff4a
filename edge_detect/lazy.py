"""Tables: names that lead to code which is imported when it is asked for."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from edge_detect.errors import ConfigError


def load(path: str) -> Any:
    """The object at `package.module:name`."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def choose(table: Mapping[str, str], name: str, what: str) -> Any:
    """The object that `table` holds under `name`.

    Raises:
        ConfigError: No such name; the message suggests the nearest one.
    """
    if name not in table:
        raise ConfigError(f"unknown {what} '{name}'{suggest(name, table)}")
    return load(table[name])


def suggest(name: str, names: Iterable[str]) -> str:
    """`, did you mean 'x'?` for the nearest of `names`, else the list of them."""
    from difflib import get_close_matches  # only on the way out with an error

    known = sorted(names)
    near = get_close_matches(name, known, n=1)
    return f", did you mean '{near[0]}'?" if near else f", expected one of: {', '.join(known)}"


@contextmanager
def imports() -> Iterator[None]:
    """Within it what is imported, numpy above all, takes half as long.

    What is imported stays: there is no garbage to look for. And nobody multiplies large matrices:
    OpenBLAS, which comes with numpy, need not start a thread for each core, all of which would spin
    for a while and take the cores from us.
    """
    key = "OPENBLAS_NUM_THREADS"
    ours = key not in os.environ
    os.environ.setdefault(key, "1")
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        if ours:
            del os.environ[key]  # what we start may want all cores
