"""Errors: everything that goes wrong for a reason that a person can mend.

    EdgeDetectError
    ├── ConfigError (ValueError)         a setting or an argument is wrong            exit 2
    │   └── SettingsError                settings files or environment are wrong      exit 78
    ├── DependencyError (ImportError)    a feature needs a package that is missing    exit 1
    ├── SourceError (OSError)            camera, file or stream cannot be read        exit 1
    │   ├── SourceHangs                  a camera's driver that never comes back      exit 1
    │   └── SourceLost                   a camera that is to stay went away           exit 69
    ├── ModelError (ValueError)          a model is not one that we can run           exit 1
    ├── SinkError (OSError)              an output cannot be opened or written        exit 74
    ├── DownloadError (OSError)          a server does not give what was asked for    exit 69
    ├── DatasetError (ValueError)        a training set contradicts itself            exit 1
    └── InputMissing (OSError)           a named file is not there or not readable    exit 66

The codes above 2 are those of sysexits.h: EX_NOINPUT, EX_UNAVAILABLE, EX_IOERR, EX_CONFIG.
"""

from __future__ import annotations

import re


class EdgeDetectError(Exception):
    """What the command line tells a person in one line."""

    exit_code = 1


class ConfigError(EdgeDetectError, ValueError):
    """A setting or an argument is wrong; the writer of the settings mends it."""

    exit_code = 2


class SettingsError(ConfigError):
    """Settings files or environment are wrong: all mistakes, a line each; a restart mends nothing."""

    exit_code = 78


class DependencyError(EdgeDetectError, ImportError):
    """A feature needs a package that is not installed."""


class SourceError(EdgeDetectError, OSError):
    """A camera, a file or a stream cannot be opened or read; a live one is opened again."""


class SourceHangs(SourceError):
    """A camera that this process cannot open again: its driver has not come back from the last time."""


class SourceLost(SourceError):
    """A live source stayed away for longer than the user allows."""

    exit_code = 69


class ModelError(EdgeDetectError, ValueError):
    """A model file is not one that we can run."""


class SinkError(EdgeDetectError, OSError):
    """An output cannot be opened or written."""

    exit_code = 74


class DownloadError(EdgeDetectError, OSError):
    """A server does not give what it was asked for; another one may."""

    exit_code = 69


class DatasetError(EdgeDetectError, ValueError):
    """A training set is not one, or contradicts itself."""


class InputMissing(EdgeDetectError, OSError):
    """A file that the user named is not there, or may not be read."""

    exit_code = 66


def words(error: BaseException) -> str:
    """What a foreign error says, without its number and the places in the code of others."""
    said = (isinstance(error, OSError) and error.strerror) or str(error)
    return re.sub(r"^\[[A-Z][A-Z0-9_: ]*\] | \(_ssl\.c:\d+\)$", "", said) or type(error).__name__
