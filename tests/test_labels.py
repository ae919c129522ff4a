from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_detect import labels
from edge_detect.errors import ConfigError
from edge_detect.labels import Labels

COCO80 = [f"thing {i}" for i in range(80)]
NO_NAMES = "expected JSON with a list or a mapping of names"
COCO_GAPS = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82)  # of the 90 categories, counted from 0


def coco90(gap: str) -> list[str]:
    names = iter(COCO80)
    return [gap if i in COCO_GAPS else next(names) for i in range(90)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("cat\ndog\n", ("cat", "dog"), id="plain"),
        pytest.param("cat", ("cat",), id="one without an end of line"),
        pytest.param("cat\r\ndog\r\n", ("cat", "dog"), id="CRLF"),
        pytest.param("\ufeffcat\ndog", ("cat", "dog"), id="BOM"),
        pytest.param("cat\ndog\n\n\n", ("cat", "dog"), id="empty last lines"),
        pytest.param("  cat \n\tdog", ("cat", "dog"), id="spaces around"),
        pytest.param("traffic light\nfire hydrant", ("traffic light", "fire hydrant"), id="two words"),
        pytest.param("cat\n\ndog", ("cat", "", "dog"), id="an empty line in the middle is a class"),
        pytest.param("???\nperson\n???\ncar", ("person", "", "car"), id="??? first"),
        pytest.param("background\ncat\ndog", ("cat", "dog"), id="background first"),
        pytest.param("Background\ncat", ("cat",), id="Background first"),
        pytest.param("__background__\ncat", ("cat",), id="__background__ first"),
        pytest.param("cat\nbackground\ndog", ("cat", "", "dog"), id="background later"),
        pytest.param("cat\nn/a\ndog", ("cat", "", "dog"), id="n/a"),
        pytest.param("0  cat\n1  dog", ("cat", "dog"), id="id, two spaces, name"),
        pytest.param("0 cat\n2 dog", ("cat", "", "dog"), id="id with a gap"),
        pytest.param("2 dog\n0 cat", ("cat", "", "dog"), id="ids in any order"),
        pytest.param("1 cat\n2 dog", ("cat", "dog"), id="ids from 1"),
        pytest.param("0 background\n1 cat", ("cat",), id="id 0 is background"),
        pytest.param("0: cat\n1: dog", ("cat", "dog"), id="id colon name"),
        pytest.param("0,cat\n1,dog", ("cat", "dog"), id="id comma name"),
        pytest.param("2 wheels\n4 wheels\ncar", ("2 wheels", "4 wheels", "car"), id="numbers in names"),
        pytest.param("7 up\n7 down", ("7 up", "7 down"), id="a number twice is no id"),
        pytest.param('["cat", "dog"]', ("cat", "dog"), id="JSON list"),
        pytest.param('["???", "cat"]', ("cat",), id="JSON list with ???"),
        pytest.param('{"0": "cat", "1": "dog"}', ("cat", "dog"), id="JSON mapping"),
        pytest.param('{"1": "cat", "3": "dog"}', ("cat", "", "dog"), id="JSON mapping from 1"),
        pytest.param('{"names": {"0": "cat"}, "task": "detect"}', ("cat",), id="Ultralytics metadata.json"),
        pytest.param("{'names': {0: 'cat', 1: 'dog'}, 'task': 'detect'}", ("cat", "dog"), id="temp_meta.txt"),
        pytest.param('{"labels": ["cat"]}', ("cat",), id="under labels"),
        pytest.param(
            '{"categories": [{"id": 1, "name": "cat"}, {"id": 3, "name": "dog"}]}',
            ("cat", "", "dog"),
            id="COCO",
        ),
    ],
)
def test_every_form_of_list_gives_its_names(text: str, names: tuple[str, ...]) -> None:
    assert labels.parse(text, "labels.txt").names == names


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("cat\ndog", "one name a line"),
        ("0 cat\n1 dog", "id name"),
        ("1 cat\n2 dog", "id name, counted from 1"),
        ("???\ncat", "one name a line, after a first line '???'"),
        ('{"1": "cat"}', "JSON, counted from 1"),
    ],
)
def test_a_list_tells_how_it_was_read(text: str, form: str) -> None:
    assert labels.parse(text, "labels.txt").form == form


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("", "expected one label a line, got an empty file", id="empty"),
        pytest.param(" \n\n", "expected one label a line, got an empty file", id="blank"),
        pytest.param("\ufeff", "expected one label a line, got an empty file", id="BOM alone"),
        pytest.param("TFL3\0\0", "expected a text file with one label a line, got binary data", id="binary"),
        pytest.param("{cat", "expected JSON labels, got text that does not parse", id="half JSON"),
        pytest.param("[" * 100_000, "expected JSON labels, got text that does not parse", id="deep JSON"),
        pytest.param("{[]: 1}", "expected JSON labels, got text that does not parse", id="no key"),
        pytest.param("{}", NO_NAMES, id="empty mapping"),
        pytest.param("[]", NO_NAMES, id="empty list"),
        pytest.param("[1, 2]", NO_NAMES, id="numbers"),
        pytest.param('{"a": "cat"}', NO_NAMES, id="words as ids"),
        pytest.param('[{"id": "x", "name": "cat"}]', NO_NAMES, id="odd id"),
        pytest.param('[{"id": Infinity, "name": "cat"}]', NO_NAMES, id="endless id"),
        pytest.param('{"' + "9" * 5000 + '": "cat"}', NO_NAMES, id="endless key"),
        pytest.param("{0x" + "f" * 5000 + ": 'cat'}", NO_NAMES, id="endless key in Python"),
        pytest.param('{"0": ["cat"]}', NO_NAMES, id="lists as names"),
        pytest.param('{"-1": "cat"}', NO_NAMES, id="negative key"),
        pytest.param("{-1: 'cat'}", NO_NAMES, id="negative key in Python"),
        pytest.param("{'cat', 'dog'}", NO_NAMES, id="set"),
        pytest.param("0 cat\n999999 dog", "expected class numbers up to 100000, got 999999", id="large id"),
        pytest.param('{"999999": "cat"}', "expected class numbers up to 100000, got 999999", id="large key"),
    ],
)
def test_what_is_no_list_is_told(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        labels.parse(text, "labels.txt")

    assert str(caught.value) == f"labels.txt: {problem}"


def test_a_line_of_five_thousand_digits_is_a_name() -> None:
    assert labels.parse("9" * 5000 + " cat", "labels.txt").names == ("9" * 5000 + " cat",)


@given(
    st.one_of(
        st.text(),
        st.text(alphabet="0123456789[]{}'\":, \nabc?"),
        st.lists(st.text()).map("\n".join),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner) | st.dictionaries(st.sampled_from(["names", "id", "name", "0", "1"]), inner)
            ),
        ).map(json.dumps),
        st.binary().map(lambda data: data.decode("utf-8", "replace")),
    )
)
@example('{"names": ' * 500 + "{}" + "}" * 500)
@example('{"names": ' * 5000 + "{}" + "}" * 5000)
@example('{"0": ' * 5000 + "{}" + "}" * 5000)
@example('[{"id": 0, "name":' * 5000 + "{}" + "}]" * 5000)
@example("{'a\\d': 1}")
def test_any_text_is_a_list_or_a_setting_that_is_wrong(text: str) -> None:
    try:
        found = labels.parse(text, "labels.txt")
    except ConfigError:
        return
    assert all(isinstance(found[i], str) and found[i] for i in range(-2, len(found) + 2))


@given(st.lists(st.text(st.characters(categories=["Ll"]), min_size=1, max_size=9), min_size=1))
def test_plain_names_come_back_in_their_order(names: list[str]) -> None:
    found = labels.parse("\n".join(["zero", *names]), "labels.txt")

    assert found.names == ("zero", *("" if name in labels.PLACEHOLDERS else name for name in names))


@given(st.integers())
def test_a_class_without_a_name_is_called_by_its_number(number: int) -> None:
    found = Labels(("cat", "", "dog"))

    assert found[number] == {0: "cat", 2: "dog"}.get(number, f"class {number}")


def test_no_list_names_no_class() -> None:
    assert (len(Labels()), Labels()[0], Labels().form) == (0, "class 0", "no list")


@pytest.mark.parametrize(
    ("n", "classes", "said"),
    [
        (3, 3, ""),
        (3, 0, ""),
        (0, 90, ""),
        (5, 3, "5 labels for a model of 3 classes: the last 2 are not used"),
        (3, 5, "3 labels for a model of 5 classes: the others are called 'class N'"),
        (80, 81, "80 labels for a model of 81 classes: the others are called 'class N'"),
        (90, 91, "90 labels for a model of 91 classes: the others are called 'class N'"),
    ],
)
def test_a_list_of_another_length_is_told_and_kept(n: int, classes: int, said: str) -> None:
    given_labels = Labels(tuple(f"name {i}" for i in range(n)))

    assert labels.fit(given_labels, classes) == (given_labels, said)


@pytest.mark.parametrize("classes", [90, 91])
def test_eighty_coco_names_are_spread_over_ninety_numbers(classes: int) -> None:
    spread, said = labels.fit(Labels(tuple(COCO80)), classes)

    assert (spread.names, said) == (tuple(coco90("")), "")


@pytest.mark.parametrize("gap", ["???", "n/a"])
def test_ninety_coco_names_are_packed_into_eighty_numbers(gap: str) -> None:
    given_labels = labels.parse("\n".join(coco90(gap)), "labels.txt")

    packed, said = labels.fit(given_labels, 80)

    assert (list(packed.names), said) == (COCO80, "")


def test_ninety_names_without_gaps_are_not_packed() -> None:
    given_labels = Labels(tuple(f"name {i}" for i in range(90)))

    assert labels.fit(given_labels, 80)[1] == "90 labels for a model of 80 classes: the last 10 are not used"


@pytest.mark.parametrize(
    ("name", "n", "first", "last"),
    [
        ("coco_labelmap_placeholder_first.txt", 90, "person", "toothbrush"),
        ("coco_labels_90.txt", 90, "person", "toothbrush"),
        ("imagenet_labels.txt", 1000, "tench", "toilet tissue"),
    ],
)
def test_real_lists_are_read_with_the_right_offset(
    shared: Path, name: str, n: int, first: str, last: str
) -> None:
    found = labels.parse((shared / "models" / name).read_text(), name)

    assert (len(found), found[0][: len(first)], found[n - 1][: len(last)]) == (n, first, last)


def test_both_real_coco_lists_name_the_same_classes(shared: Path) -> None:
    texts = [
        (shared / "models" / f"coco_{name}.txt").read_text()
        for name in ("labelmap_placeholder_first", "labels_90")
    ]

    first, second = (labels.parse(text, "coco") for text in texts)

    assert first.names == second.names
    assert [i for i, name in enumerate(first.names) if not name] == list(COCO_GAPS)
