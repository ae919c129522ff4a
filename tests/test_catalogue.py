from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edge_detect import catalogue, labels, model
from edge_detect.catalogue import Entry
from edge_detect.errors import ConfigError, InputMissing

MODELS = Path(__file__).resolve().parents[1] / "models"
KNOWN = catalogue.read(MODELS / "catalogue.toml")
SHARED = {
    "coco-ssd-mobilenet-v1": "coco_ssd_mobilenet_v1_quant.tflite",
    "coco-ssd-mobilenet-v1-metadata": "ssd_mobilenet_v1_metadata.tflite",
    "yolox-nano": "yolox_nano.tflite",
    "face-rfb-320": "face_ulfg_rfb320.tflite",
}
GOOD = {
    "about": '"a"', "licence": '"MIT"', "layout": '"yolox"', "input": "[64, 32]", "bytes": "9",
    "sha256": f'"{"0" * 64}"', "urls": '["https://example.com/a"]',
}  # fmt: skip


def file_of(entry: Entry, request: pytest.FixtureRequest) -> Path:
    """The file of an entry: shipped, or in the shared data."""
    if entry.file:
        return MODELS / entry.file
    shared: Path = request.getfixturevalue("shared")
    return shared / "models" / SHARED[entry.name]


@pytest.mark.parametrize("name", KNOWN)
def test_an_entry_says_of_its_file_what_the_file_says(name: str, request: pytest.FixtureRequest) -> None:
    entry = KNOWN[name]
    data = file_of(entry, request).read_bytes()

    opened = model.open_model(file_of(entry, request), threads=1)

    assert (entry.bytes, entry.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert opened.card.input
    assert (entry.layout, entry.input) == (opened.card.word, opened.card.input.size)


@pytest.mark.parametrize("name", KNOWN)
def test_every_class_of_an_entry_has_a_name(name: str, request: pytest.FixtureRequest) -> None:
    entry = KNOWN[name]
    opened = model.open_model(
        file_of(entry, request), MODELS / entry.labels if entry.labels else None, threads=1
    )

    fitted, mismatch = labels.fit(opened.labels, opened.decoder.classes)

    assert (len(fitted), mismatch) == (opened.decoder.classes, "")


@pytest.mark.parametrize("name", KNOWN)
def test_an_entry_has_a_licence_and_numbers_that_were_measured(name: str) -> None:
    entry = KNOWN[name]

    assert entry.licence in ("Apache-2.0", "MIT")
    assert bool(entry.measured) == (entry.ap > 0) == (entry.ap50 > 0)
    assert entry.ap <= entry.ap50


@pytest.mark.parametrize("name", ["detector", "detector-fast"])
def test_what_is_measured_of_our_own_stands_on_their_cards_too(name: str) -> None:
    entry = KNOWN[name]

    assert (
        f"| street/val | this file | {entry.ap:.3f} | {entry.ap50:.3f} |"
        in (MODELS / f"{name}.md").read_text()
    )


def read(tmp_path: Path, name: str = "a", plain_http: bool = False, **values: str) -> Entry:
    rows = "\n".join(f"{key} = {value}" for key, value in (GOOD | values).items() if value)
    (tmp_path / "c.toml").write_text(f"['{name}']\n{rows}\n")
    return catalogue.read(tmp_path / "c.toml", plain_http=plain_http)[name]


def test_an_entry_is_read(tmp_path: Path) -> None:
    assert read(tmp_path) == Entry(
        "a", "a", "MIT", "yolox", (64, 32), 9, "0" * 64, urls=("https://example.com/a",)
    )


MISTAKES = {
    "unknown key": ({"sha265": '"a"'}, "unknown key 'sha265', did you mean 'sha256'?"),
    "hash": ({"sha256": '"abc"'}, "sha256: expected 64 hexadecimal digits, got 'abc'"),
    "hash and a newline": ({"sha256": f'"{"0" * 64}\\n"'}, "sha256: expected 64 hexadecimal digits, got"),
    "no hash": ({"sha256": ""}, "sha256: expected 64 hexadecimal digits, got none"),
    "no layout": ({"layout": ""}, "layout: expected text on one line, got none"),
    "number": ({"bytes": '"9"'}, "bytes: expected a number of bytes up to 256 MB, got '9'"),
    "huge": ({"bytes": "999999999999"}, "bytes: expected a number of bytes up to 256 MB, got 999999999999"),
    "no bytes": ({"bytes": "0"}, "bytes: expected a number of bytes up to 256 MB, got 0"),
    "truth": ({"bytes": "true"}, "bytes: expected a number of bytes up to 256 MB, got True"),
    "size": ({"input": "[64]"}, "input: expected [width, height], got [64]"),
    "path": ({"file": '"../a"'}, "file: expected the name of a file beside the catalogue, got '../a'"),
    "absolute": ({"labels": '"/etc/passwd"'}, "labels: expected the name of a file beside the catalogue"),
    "escape": ({"about": '"\\u001b[2J"'}, "about: expected text on one line, got '\\x1b[2J'"),
    "share": ({"ap": "33.5"}, "ap: expected a number from 0.0 to 1.0, got 33.5"),
    "neither": ({"urls": ""}, "expected a file or urls, got neither"),
    "text for a list": ({"urls": '"https://a"'}, "urls: expected a list of URLs, got 'https://a'"),
    "http": ({"urls": '["http://example.com/a"]'}, "urls: expected https://, got 'http://example.com/a'"),
    "file": ({"urls": '["file:///etc/passwd"]'}, "urls: expected https://, got 'file:///etc/passwd'"),
    "no host": ({"urls": '["https:///a"]'}, "urls: expected https://, got 'https:///a'"),
    "no URL": ({"urls": '["http://[::1"]'}, "urls: expected a URL, got 'http://[::1'"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, name: str) -> None:
    values, message = MISTAKES[name]

    with pytest.raises(ConfigError) as caught:
        read(tmp_path, **values)

    assert str(caught.value).startswith(f"{tmp_path}/c.toml: a: {message}")


@pytest.mark.parametrize("name", ["../x", "", "a b", "-rf", "a/b"])
def test_a_hostile_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="name: expected letters, digits"):
        read(tmp_path, name)


def test_http_is_for_a_catalogue_that_was_named_and_for_this_machine(tmp_path: Path) -> None:
    for host in ("localhost:8000", "127.0.0.1", "[::1]:80"):
        assert read(tmp_path, urls=f'["http://{host}/a"]').urls == (f"http://{host}/a",)

    assert read(tmp_path, plain_http=True, urls='["http://nas/a"]').urls == ("http://nas/a",)
    with pytest.raises(ConfigError, match="expected https or http://, got 'ftp://nas/a'"):
        read(tmp_path, plain_http=True, urls='["ftp://nas/a"]')


@pytest.mark.parametrize("text", ["[a", "a = 1", "\udcff"], ids=["no TOML", "no table", "no text"])
def test_what_is_no_catalogue_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.toml").write_bytes(text.encode("utf-8", "surrogateescape"))

    with pytest.raises(ConfigError, match=f"{tmp_path}/c.toml: (a: )?expected"):
        catalogue.read(tmp_path / "c.toml")


def test_a_catalogue_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="cannot read the catalogue: No such file or directory"):
        catalogue.read(tmp_path / "c.toml")
