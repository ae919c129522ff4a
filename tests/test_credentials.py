from __future__ import annotations

from pathlib import Path

import pytest

from edge_detect import credentials
from edge_detect.errors import SettingsError


def secret(path: Path, data: bytes = b"hunter2\n", mode: int = 0o600) -> str:
    path.write_bytes(data)
    path.chmod(mode)
    return str(path)


def message(file: str) -> str:
    with pytest.raises(SettingsError) as caught:
        credentials.read("web-token", file)
    return str(caught.value)


@pytest.mark.parametrize("data", [b"hunter2", b"hunter2\n", b"hunter2\r\n"])
def test_a_secret_is_the_line_in_its_file(tmp_path: Path, data: bytes) -> None:
    assert credentials.read("web-token", secret(tmp_path / "t", data)) == "hunter2"


def test_spaces_belong_to_a_secret(tmp_path: Path) -> None:
    assert credentials.read("web-password", secret(tmp_path / "t", b" correct horse \n")) == " correct horse "


def test_without_a_file_the_credential_of_systemd_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret(tmp_path / "web-token")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    assert credentials.read("web-token") == "hunter2"
    assert credentials.read("web-password") is None


def test_a_file_wins_over_the_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret(tmp_path / "web-token", b"other")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    assert credentials.read("web-token", secret(tmp_path / "t")) == "hunter2"


def test_nobody_gave_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    assert credentials.read("web-token") is None


@pytest.mark.parametrize(
    "data, said",
    [
        (b"", "expected one line with a secret, got none"),
        (b" \n", "expected one line with a secret, got none"),
        (b"hunter2\nhunter3\n", "expected one line with a secret, got more"),
        (b"hunter\0two", "expected one line with a secret, got more"),
        (b"\xffhunter2", "expected one line of UTF-8 text"),
        (b"hunter2" * 1000, "expected one line with a secret, got more than 4096 bytes"),
    ],
    ids=["empty", "blank", "two lines", "a zero", "no text", "too long"],
)
def test_what_is_no_secret_is_told_without_it(tmp_path: Path, data: bytes, said: str) -> None:
    path = secret(tmp_path / "t", data)

    told = message(path)
    assert told == f"web.token_file: {path}: {said}"
    assert "hunter" not in told


def test_no_cause_of_an_error_holds_the_bytes(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        credentials.read("web-token", secret(tmp_path / "t", b"\xffhunter2"))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert message("/no/file") == "web.token_file: /no/file: cannot read: No such file or directory"
    assert message("/dev/null") == "web.token_file: /dev/null: expected a file"
    assert message(str(tmp_path)) == f"web.token_file: {tmp_path}: cannot read: Is a directory"


def test_a_file_that_everybody_can_read_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = secret(tmp_path / "t", mode=0o644)

    assert credentials.read("web-token", path) == "hunter2"
    assert caplog.messages == [
        f"web.token_file: {path}: everybody on this machine can read it: chmod 600 {path}"
    ]


def test_a_file_of_ones_own_is_not_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    credentials.read("web-token", secret(tmp_path / "t", mode=0o640))

    assert caplog.messages == []


def test_a_home_of_a_user_who_is_not_known_is_no_place(tmp_path: Path) -> None:
    assert message("~nosuch/t") == "web.token_file: ~nosuch/t: cannot read: No such file or directory"
