from __future__ import annotations

import re
import ssl

import pytest

from edge_detect import errors
from edge_detect.errors import EdgeDetectError

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, EdgeDetectError) and kind is not EdgeDetectError
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_tree_in_the_docstring_tells_builtin_and_exit_code(kind: type[EdgeDetectError]) -> None:
    row = re.search(
        rf"── {kind.__name__}(?: \((\w+)\))? .* exit (\d+)$|── {kind.__name__} .* exit (\d+)$",
        errors.__doc__ or "",
        re.M,
    )

    assert row is not None
    assert int(row[2] or row[3]) == kind.exit_code
    assert row[1] is None or issubclass(kind, getattr(__import__("builtins"), row[1]))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_says_just_what_it_was_given(kind: type[EdgeDetectError]) -> None:
    assert str(kind("edge.toml: port: expected int, got 'abc'")) == "edge.toml: port: expected int, got 'abc'"


@pytest.mark.parametrize(
    "error, said",
    [
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (FileNotFoundError(2, "No such file or directory", "a.pem"), "No such file or directory"),
        (
            ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"),
            "wrong version number",
        ),
        (ssl.SSLError(9, "[SSL] PEM lib (_ssl.c:4149)"), "PEM lib"),
        (TimeoutError("timed out"), "timed out"),
        (ValueError("[1, 2] is none"), "[1, 2] is none"),
        (EOFError(), "EOFError"),
    ],
)
def test_a_foreign_error_is_told_without_its_number(error: Exception, said: str) -> None:
    assert errors.words(error) == said
