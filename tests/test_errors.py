from __future__ import annotations

import re

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
