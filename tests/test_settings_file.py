from __future__ import annotations

import logging
from pathlib import Path

import pytest

from edge_detect import config, layers, settings_file
from edge_detect.errors import SettingsError

GOOD = """\
[detect]
confidence = 0.75  # nearly sure
classes = ["person", "car"]

[source]
uri = "rtsp://joe:secret@camera/stream"

[log]
every = 60
"""


@pytest.fixture
def own(home: Path) -> Path:
    """A settings file with which a start was good."""
    path = home / "own.toml"
    path.write_text(GOOD)
    read(path).keep()
    return path


def read(path: Path, *, strict: bool = False) -> layers.Settings:
    return layers.read(str(path), strict=strict)


def test_a_file_cut_off_at_any_length_is_the_good_one_or_whole_lines_of_it(
    own: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = read(own).config
    whole = {GOOD[:n].rstrip() for n in range(len(GOOD)) if GOOD[n] == "\n"}

    for length in range(len(GOOD)):
        caplog.clear()
        own.write_text(GOOD[:length])
        settings = read(own)

        (document,) = settings.documents
        assert document.is_copy == (caplog.text.count("\n") == 1)
        assert settings.config == good if document.is_copy else GOOD[:length].rstrip() in whole
    assert settings.config == good


def test_the_word_for_a_damaged_file_names_both_files(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    own.write_text("")
    read(own)

    assert caplog.record_tuples == [
        (
            "edge_detect.settings_file",
            logging.ERROR,
            f"{own}: empty, and it was not before; delete it to go back to the defaults;"
            f" the settings of the last good start hold: {settings_file.copy_of(own)}",
        )
    ]


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"\0" * 4096, GOOD.encode() + b"\0" * 20, b"[detect]\n\xff\n", b"[detect\n", b"x = '''"],
    ids=["empty", "blank", "zeros", "zeros at the end", "no text", "no end", "an open text"],
)
def test_a_damaged_file_gives_way_to_its_good_copy(own: Path, data: bytes) -> None:
    own.write_bytes(data)

    settings = read(own)

    assert settings.config.detect == config.Detect(0.75, ("person", "car"))
    assert settings.origin("log.every") == f"{settings_file.copy_of(own)}:9"


@pytest.mark.parametrize("data", [b"", b"[detect\n", GOOD[:-5].encode()], ids=["empty", "damaged", "cut"])
def test_who_checks_gets_the_mistake_and_not_the_copy(own: Path, data: bytes) -> None:
    own.write_bytes(data)

    with pytest.raises(SettingsError) as caught:
        read(own, strict=True)
    assert str(caught.value).startswith(f"{own}:")


def test_a_wrong_value_is_a_mistake_and_no_damage(own: Path) -> None:
    own.write_text(GOOD.replace("0.75", "75"))

    with pytest.raises(SettingsError, match="confidence = 75: expected a number from 0 to 1"):
        read(own)


def test_a_damaged_file_without_a_copy_is_a_mistake(home: Path) -> None:
    path = home / "own.toml"
    path.write_text("[detect\n")

    with pytest.raises(SettingsError, match="expected ']' at the end of a table declaration"):
        read(path)


def test_a_damaged_copy_is_told_too(own: Path) -> None:
    own.write_text("[detect\n")
    settings_file.copy_of(own).write_text("[log\n")

    with pytest.raises(SettingsError) as caught:
        read(own)
    assert str(caught.value).startswith(f"{settings_file.copy_of(own)}:1: expected ']'")


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "\n"])
def test_a_file_that_never_said_anything_is_fine(home: Path, text: str) -> None:
    path = home / "own.toml"
    path.write_text(text)

    assert read(path).config == config.Config()


def test_the_mark_that_windows_puts_before_a_text_is_no_mistake(home: Path) -> None:
    path = home / "own.toml"
    path.write_text(GOOD.replace("\n", "\r\n"), "utf-8-sig")

    settings = read(path)
    assert settings.config.log.every == 60
    assert settings.origin("log.every") == f"{path}:9"


def test_an_editor_may_take_the_end_of_the_last_line_away(own: Path) -> None:
    own.write_text(GOOD.rstrip())

    assert read(own, strict=True).config.log.every == 60


def test_a_number_that_python_will_not_read_is_a_mistake(home: Path) -> None:
    path = home / "own.toml"
    path.write_text(f"[log]\nevery = {'1' * 5000}\n")

    with pytest.raises(SettingsError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: expected numbers of a sane length"


def test_a_user_may_take_the_last_lines_away(own: Path) -> None:
    own.write_text(GOOD[: GOOD.index("[log]")])

    assert read(own).config.log.every == 10


def test_the_copy_follows_each_good_start(own: Path) -> None:
    own.write_text(GOOD.replace("60", "30"))
    read(own).keep()
    own.write_text("")

    assert read(own).config.log.every == 30


def test_a_copy_that_stands_in_is_not_kept_as_the_file_of_another(own: Path) -> None:
    own.write_text("")
    read(own).keep()

    assert len(list(settings_file.copy_of(own).parent.iterdir())) == 1


def test_the_copy_is_not_written_again_when_it_is_the_same(own: Path) -> None:
    before = settings_file.copy_of(own).stat().st_ino
    read(own).keep()

    assert settings_file.copy_of(own).stat().st_ino == before


def test_two_files_of_one_name_have_two_copies(home: Path) -> None:
    one, other = settings_file.copy_of(home / "a/own.toml"), settings_file.copy_of(home / "b/own.toml")

    assert one.parent == other.parent == home / "state/edge-detect/good"
    assert one != other


def test_a_copy_holds_what_others_must_not_read(own: Path) -> None:
    assert settings_file.copy_of(own).parent.stat().st_mode & 0o077 == 0


def test_a_copy_that_cannot_be_kept_is_told_and_no_error(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = home / "own.toml"
    path.write_text(GOOD)
    (home / "state").write_text("a file where the folder should be")

    read(path).keep()

    copy = settings_file.copy_of(path)
    assert caplog.messages == [
        f"{path}: no copy kept for a power cut: {copy.parent}: cannot write: Not a directory"
    ]
