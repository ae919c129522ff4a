from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_detect.toml_lines import Key, lines

SCALARS = (
    "1", "-0.5e3", "0xff", "inf", "true", "1979-05-27 07:32:00", "1979-05-27T07:32:00Z", "07:32:00",
    '""', "''", '""""""', "''''''", r'"\"#[x]\\"', "'\\\"[#'", '"k1 = 2"', r'"""\""" k1 = 2"""',
    '"""a\n[k1]\nk2 = 3\n#"""', "'''\n'' k1 = '\n'''", '"""two at the end"""""', "'''one at the end''''",
    '"""\\\n   joined"""',
)  # fmt: skip
SPACE = st.sampled_from(["", " ", "\t"])
BREAK = st.sampled_from(["", "\n", " # [k1] = 'x\n", "\r\n", "\n\n  "])


class Writer:
    """Writes a document of which it knows where it wrote each key."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.text = ""
        self.lines: dict[Key, int] = {}
        self.names = 0

    def add(self, text: str) -> None:
        self.text += text

    def some(self, strategy: st.SearchStrategy[str]) -> None:
        self.add(self.draw(strategy))

    def mark(self, place: Key) -> None:
        self.lines.setdefault(place, self.text.count("\n") + 1)

    def token(self, name: str) -> None:
        self.add(self.draw(st.sampled_from([name, f'"{name}"', f"'{name}'", f'"\\u006b{name[1:]}"'])))

    def new_name(self) -> str:
        self.names += 1
        return f"k{self.names}"

    def key(self, place: Key, names: list[str]) -> Key:
        for number, name in enumerate(names):
            if number:
                self.some(SPACE)
                self.add(".")
                self.some(SPACE)
            place = (*place, name)
            self.mark(place)
            self.token(name)
        return place

    def new_names(self) -> list[str]:
        return [self.new_name() for _ in range(self.draw(st.integers(1, 3)))]

    def pair(self, place: Key, depth: int = 0) -> None:
        place = self.key(place, self.new_names())
        self.some(SPACE)
        self.add("=")
        self.some(SPACE)
        self.value(place, depth)

    def value(self, place: Key, depth: int) -> None:
        kind = self.draw(st.integers(0, 3)) if depth < 3 else 0
        if kind < 2:
            self.some(st.sampled_from(SCALARS))
        elif kind == 2:
            self.add("[")
            for number in range(self.draw(st.integers(0, 3))):
                self.some(BREAK)
                self.mark((*place, number))
                self.value((*place, number), depth + 1)
                self.some(BREAK)
                self.add(",")
            self.some(BREAK)
            self.add("]")
        else:
            self.add("{")
            for number in range(self.draw(st.integers(0, 2))):
                self.add("," if number else "")
                self.some(SPACE)
                self.pair(place, depth + 1)
                self.some(SPACE)
            self.add("}")

    def pairs(self, place: Key) -> None:
        for _ in range(self.draw(st.integers(0, 2))):
            self.some(SPACE)
            self.pair(place)
            self.some(st.sampled_from(["\n", "\n\n", " # a comment '''\n"]))

    def table(self, above: Key, spelt: list[str], signs: str = "[]") -> None:
        """`spelt` names the whole key; `above` is where all but its last name lead."""
        self.add(signs[: len(signs) // 2])
        for number, name in enumerate(spelt):
            self.add("." if number else "")
            if number == len(spelt) - 1:
                self.mark((*above, name))
            self.token(name)
        self.add(signs[len(signs) // 2 :] + "\n")
        place = (*above, spelt[-1])
        self.pairs(place)

    def array(self) -> None:
        name, inner, count = self.new_name(), self.new_name(), self.draw(st.integers(1, 3))
        for number in range(count):
            self.mark((name,))
            self.mark((name, number))
            self.add("[[")
            self.token(name)
            self.add("]]\n")
            self.pairs((name, number))
            if self.draw(st.booleans()):
                self.table((name, number), [name, inner])

    def document(self) -> None:
        self.some(BREAK)
        self.pairs(())
        for _ in range(self.draw(st.integers(0, 3))):
            kind = self.draw(st.integers(0, 2))
            if kind == 0:
                self.array()
            elif kind == 1:
                self.table((), [self.new_name()])
            else:
                outer = self.new_name()
                self.mark((outer,))
                self.table((outer,), [outer, self.new_name()])
                self.table((), [outer])


@st.composite
def documents(draw: Any) -> Writer:
    writer = Writer(draw)
    writer.document()
    return writer


def keys(value: Any, place: Key = ()) -> Iterator[Key]:
    """All places in what tomllib has read."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield (*place, name)
        yield from keys(inner, (*place, name))


@given(documents())
def test_every_key_that_tomllib_finds_has_the_line_on_which_it_was_written(written: Writer) -> None:
    found = lines(written.text)

    assert set(found) == set(keys(tomllib.loads(written.text)))
    assert found == written.lines


def test_a_document_without_keys_has_no_lines() -> None:
    assert lines("") == lines("# nothing\n") == {}


def test_a_key_on_the_first_line_is_on_line_1() -> None:
    assert lines("a=1") == {("a",): 1}


@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["unix", "windows"])
def test_lines_of_tables_arrays_and_dotted_keys(ending: str) -> None:
    text = ending.join(
        ['a."b c" = """', 'x = 1"""', "[t]", "y = [", "  {z = 1},", "]", "[[u]]", "[[u]]", "v = 1"]
    )

    assert lines(text) == {
        ("a",): 1, ("a", "b c"): 1, ("t",): 3, ("t", "y"): 4, ("t", "y", 0): 5, ("t", "y", 0, "z"): 5,
        ("u",): 7, ("u", 0): 7, ("u", 1): 8, ("u", 1, "v"): 9,
    }  # fmt: skip
