from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_detect.errors import ConfigError
from edge_detect.settings import build, check_range, split


@dataclass
class Camera:
    """Settings of all four types."""

    address: str = "/dev/video0"
    width: int = 640
    fps: float = 30.0
    mirrored: bool = False
    opened: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        check_range("width", self.width, 16, 8192)


def message(**values: str) -> str:
    with pytest.raises(ConfigError) as caught:
        build(Camera, values, "v4l2:0")
    return str(caught.value)


def test_nothing_said_leaves_the_defaults() -> None:
    assert build(Camera, {}, "v4l2:0") == Camera()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("address", "", ""),
        ("address", "7", "7"),
        ("width", "1280", 1280),
        ("fps", "29.97", 29.97),
        ("fps", "1e1", 10.0),
        ("fps", "15", 15.0),
        ("mirrored", "true", True),
        ("mirrored", "Yes", True),
        ("mirrored", "ON", True),
        ("mirrored", "1", True),
        ("mirrored", "", True),
        ("mirrored", "0", False),
        ("mirrored", "no", False),
        ("mirrored", "off", False),
        ("mirrored", "False", False),
    ],
)
def test_text_becomes_the_type_of_its_field(name: str, text: str, value: object) -> None:
    found = getattr(build(Camera, {name: text}, "v4l2:0"), name)

    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("width", "wide", "v4l2:0: width: expected int, got 'wide'"),
        ("width", "640.5", "v4l2:0: width: expected int, got '640.5'"),
        ("width", "", "v4l2:0: width: expected int, got ''"),
        ("fps", "fast", "v4l2:0: fps: expected float, got 'fast'"),
        ("fps", "nan", "v4l2:0: fps: expected float, got 'nan'"),
        ("fps", "-inf", "v4l2:0: fps: expected float, got '-inf'"),
        ("fps", "1e999", "v4l2:0: fps: expected float, got '1e999'"),
        ("mirrored", "maybe", "v4l2:0: mirrored: expected bool, got 'maybe'"),
        ("width", "15", "v4l2:0: width: expected 16 to 8192, got 15"),
        ("width", "8193", "v4l2:0: width: expected 16 to 8192, got 8193"),
        ("widht", "640", "v4l2:0: unknown setting 'widht', did you mean 'width'?"),
        ("port", "1", "v4l2:0: unknown setting 'port', expected one of: address, fps, mirrored, width"),
        ("opened", "1", "v4l2:0: unknown setting 'opened', expected one of: address, fps, mirrored, width"),
    ],
)
def test_a_mistake_is_answered_with_its_place(name: str, text: str, said: str) -> None:
    assert message(**{name: text}) == said


@pytest.mark.parametrize("width", [16, 8192])
def test_the_ends_of_a_range_belong_to_it(width: int) -> None:
    assert build(Camera, {"width": str(width)}, "v4l2:0").width == width


@given(st.dictionaries(st.sampled_from(["address", "width", "fps", "mirrored", "x"]), st.text()))
def test_any_text_is_settings_or_a_mistake_with_its_place(values: dict[str, str]) -> None:
    try:
        build(Camera, values, "v4l2:0")
    except ConfigError as error:
        assert str(error).startswith("v4l2:0: ")


@given(st.text(), st.integers(16, 8192), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_what_was_written_is_read_again(address: str, width: int, fps: float, mirrored: bool) -> None:
    camera = Camera(address, width, fps, mirrored)

    texts = {name: str(getattr(camera, name)) for name in ("address", "width", "fps", "mirrored")}

    assert build(Camera, texts, "v4l2:0") == camera


@pytest.mark.parametrize(
    ("text", "words"),
    [("", ()), ("a", ("a",)), (" a ,b c,, a", ("a", "b c")), (",", ())],
)
def test_a_list_is_split_at_its_commas(text: str, words: tuple[str, ...]) -> None:
    assert split(text) == words
