"""TOML lines: on which line of a document each of its keys stands, which tomllib does not tell."""

from __future__ import annotations

import re
import tomllib
from typing import TypeAlias

Key: TypeAlias = tuple[str | int, ...]
"""Names from the outermost inwards; an int counts the elements of an array from 0."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_NAME = re.compile(r"""[\w-]+|"(?:\\.|[^"\\])*"|'[^']*'""", re.ASCII)
_DOT = re.compile(r"[ \t]*(\.?)[ \t]*")
_SCALAR = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}'''  # up to two quotes may stand before the three that end it
    r"""|'''.*?'{3,5}"""
    r'''|"(?:\\.|[^"\\])*"'''
    r"""|'[^']*'"""
    r"""|[^\s,\]}#][^,\]}#\n]*""",  # a number, a date with a space, true
    re.DOTALL,
)


def lines(text: str) -> dict[Key, int]:
    """The line, from 1, of each key: where it is written first, or its table's header.

    Args:
        text: A document that tomllib reads.
    """
    return _Scanner(text).lines


class _Scanner:
    """Walks over a valid document and notes where keys stand."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Key, int] = {}
        self._text, self._at = text, 0
        self._line, self._counted = 1, 0
        self._lengths: dict[Key, int] = {}  # of arrays of tables
        table: Key = ()
        while not self._is_at_end():
            if self._take("["):
                table = self._header()
            else:
                self._pair(table)

    def _is_at_end(self) -> bool:
        self._skip(_BLANK)
        return self._at == len(self._text)

    def _header(self) -> Key:
        """`[a.b]` or `[[a.b]]`, from behind the first bracket."""
        is_array = self._take("[")
        self._skip(_BLANK)
        place: Key = ()
        names = self._names()
        for depth, (name, line) in enumerate(names, 1):
            place = (*place, name)
            self.lines.setdefault(place, line)
            if is_array and depth == len(names):
                self._lengths[place] = self._lengths.get(place, 0) + 1
            if place in self._lengths:
                place = (*place, self._lengths[place] - 1)
                self.lines.setdefault(place, line)
        self._take("]")
        if is_array:
            self._take("]")
        return place

    def _pair(self, table: Key) -> None:
        """`a.b = value`."""
        place = table
        for name, line in self._names():
            place = (*place, name)
            self.lines.setdefault(place, line)
        self._take("=")
        self._value(place)

    def _value(self, place: Key) -> None:
        self._skip(_BLANK)
        if self._take("["):
            number = 0
            while not self._take("]"):
                self.lines[*place, number] = self._here()
                self._value((*place, number))
                self._take(",")
                number += 1
        elif self._take("{"):
            while not self._take("}"):
                self._pair(place)
                self._take(",")
        else:
            self._skip(_SCALAR)

    def _names(self) -> list[tuple[str, int]]:
        """The parts of a dotted key, each with its line."""
        names = []
        more = True
        while more:
            line = self._here()
            token = self._skip(_NAME)
            names.append((next(iter(tomllib.loads(f"{token}=0"))), line))
            more = "." in self._skip(_DOT)
        return names

    def _take(self, sign: str) -> bool:
        """Steps over what is blank and, if it comes next, the sign."""
        self._skip(_BLANK)
        if not self._text.startswith(sign, self._at):
            return False
        self._at += 1
        return True

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        assert match, f"not TOML at {self._at}"
        self._at = match.end()
        return match[0]

    def _here(self) -> int:
        """The line of the place that is reached; asked for in order."""
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line
