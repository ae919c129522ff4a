from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_detect import uri
from edge_detect.uri import Uri

SECRET = "S3cret!"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("csi:0", Uri("csi", "0")),
        ("csi:0?width=640&height=480", Uri("csi", "0", {"width": "640", "height": "480"})),
        ("csi:?mirrored", Uri("csi", "", {"mirrored": ""})),
        ("pattern:", Uri("pattern", "")),
        ("v4l2:/dev/video0", Uri("v4l2", "/dev/video0")),
        ("rtsp://host:554/path", Uri("rtsp", "//host:554/path")),
        ("h264+tcp://host", Uri("h264+tcp", "//host")),
        ("file:a%20b.mp4", Uri("file", "a%20b.mp4")),
        ("csi:0?name=a%20b", Uri("csi", "0", {"name": "a b"})),
        ("clip.mp4", Uri("", "clip.mp4")),
        ("clip.mp4?x=1", Uri("", "clip.mp4?x=1")),
        ("/home/pi/a:b.mp4", Uri("", "/home/pi/a:b.mp4")),
        ("./a:b", Uri("", "./a:b")),
        ("C:clip.mp4", Uri("", "C:clip.mp4")),
        ("Rtsp://host", Uri("", "Rtsp://host")),
        ("0", Uri("", "0")),
        ("", Uri("", "")),
    ],
)
def test_a_name_is_taken_apart(text: str, parts: Uri) -> None:
    assert uri.parse(text) == parts


@given(st.text(alphabet=st.characters(exclude_characters="?")))
def test_any_text_without_a_query_is_a_name(text: str) -> None:
    found = uri.parse(text)

    assert (f"{found.scheme}:" if found.scheme else "") + found.address == text
    assert found.query == {}


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_settings_come_back_from_the_query(query: dict[str, str]) -> None:
    assert uri.parse("csi:0?" + urlencode(query)).query == query


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://admin:S3cret!@10.0.0.7/live", "rtsp://admin:***@10.0.0.7/live"),
        ("rtsp://:S3cret!@10.0.0.7/live", "rtsp://:***@10.0.0.7/live"),
        ("rtsp://admin:p@S3cret!@10.0.0.7/live", "rtsp://admin:***@10.0.0.7/live"),
        ("rtsp://admin:S3cret!:@10.0.0.7", "rtsp://admin:***@10.0.0.7"),
        ("rtsp:/admin:S3cret!@10.0.0.7", "rtsp:/admin:***@10.0.0.7"),
        ("http://cam/shot?user=me&pwd=S3cret!", "http://cam/shot?user=me&pwd=***"),
        ("http://cam/shot?Password=S3cret!&size=2", "http://cam/shot?Password=***&size=2"),
        ("http://cam/shot?access_token=S3cret!", "http://cam/shot?access_token=***"),
        ("http://cam/shot?api_key=S3cret!", "http://cam/shot?api_key=***"),
        ("mqtt://me:S3cret!@hub?client_secret=S3cret!", "mqtt://me:***@hub?client_secret=***"),
        ("cannot open rtsp://a:S3cret!@b/c: timeout", "cannot open rtsp://a:***@b/c: timeout"),
        ("a rtsp://a:S3cret!@b, c rtsp://d:S3cret!@e", "a rtsp://a:***@b, c rtsp://d:***@e"),
    ],
)
def test_secrets_are_not_shown(text: str, shown: str) -> None:
    assert uri.public(text) == shown


@pytest.mark.parametrize(
    "text", ["csi:0?width=640", "rtsp://host:554/path", "rtsp://admin@host/path", "clip.mp4", "me@host:1", ""]
)
def test_what_holds_no_secret_is_shown_as_it_is(text: str) -> None:
    assert uri.public(text) == text


@given(st.text(st.characters(exclude_categories=["Z", "C"])))
def test_no_password_is_shown(inside: str) -> None:
    assert SECRET not in uri.public(f"rtsp://admin:{inside}{SECRET}{inside}@10.0.0.7:554/live?user=me")
