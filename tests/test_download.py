from __future__ import annotations

import hashlib
import io
import re
import socket
import ssl
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import http_site
import numpy as np
import pytest
from http_site import Answer, Site, cut, drip, endless, ranges, site, stall, status

from edge_detect.download import Downloader
from edge_detect.errors import DownloadError, ModelError, SinkError

DATA = np.random.default_rng(0).bytes(300_000)
OTHER = np.random.default_rng(1).bytes(300_000)
HASTY = {"patience": 0.2, "pause": 0.0}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def obtain(place: Site | str, folder: Path, data: bytes = DATA, **how: Any) -> bytes:
    url = place if isinstance(place, str) else place.url
    sha256 = hashlib.sha256(data).hexdigest()
    return Downloader(**HASTY | how).obtain([url], folder, len(data), sha256)[1]


def problem(*answers: Answer, folder: Path, data: bytes = DATA, **how: Any) -> str:
    """The error of a download from a site that answers so, with URL for its address."""
    with site(*answers) as place:
        with pytest.raises((DownloadError, ModelError)) as caught:
            obtain(place, folder, data, **how)
        return str(caught.value).replace(place.url, "URL")


def test_a_file_is_downloaded_and_its_progress_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    with site(ranges(DATA)) as place:
        got = obtain(place, tmp_path, tell=lambda have, total: told.append((have, total)))

    assert got == DATA
    assert told[-1] == (len(DATA), len(DATA))
    assert "Range" not in place.asked[0]


@pytest.mark.parametrize(
    "first, asked",
    [
        (cut(DATA, 100_000), ("bytes=100000-", '"1"')),
        (stall(DATA, 100_000), ("bytes=100000-", '"1"')),
        (status(503), (None, None)),
        (http_site.silent, (None, None)),
    ],
    ids=["cut", "stalled", "busy", "silent"],
)
def test_what_breaks_off_goes_on_in_the_next_try(
    tmp_path: Path, first: Answer, asked: tuple[str | None, str | None]
) -> None:
    with site(first, ranges(DATA)) as place:
        assert obtain(place, tmp_path) == DATA

    assert (place.asked[1].get("Range"), place.asked[1].get("If-Range")) == asked


def test_a_second_download_goes_on_where_the_first_was_cut(tmp_path: Path) -> None:
    with site(cut(DATA, 100_000), ranges(DATA)) as place:
        with pytest.raises(DownloadError):
            obtain(place, tmp_path, tries=1)
        assert obtain(place, tmp_path, tries=1) == DATA

    assert (place.asked[1]["Range"], place.asked[1]["If-Range"]) == ("bytes=100000-", '"1"')


def test_a_server_without_ranges_gives_the_whole_again(tmp_path: Path) -> None:
    with site(cut(DATA, 100_000), lambda request: cut(DATA, len(DATA))(request)) as place:
        assert obtain(place, tmp_path) == DATA


def test_a_file_that_changed_in_between_comes_whole(tmp_path: Path) -> None:
    with site(cut(OTHER, 100_000), ranges(DATA, tag='"2"')) as place:
        assert obtain(place, tmp_path) == DATA
    assert len(place.asked) == 2


def careless(data: bytes) -> Answer:
    """A server that gives parts of whatever it has, If-Range or not."""
    return lambda request: ranges(data, request.headers.get("If-Range", ""))(request)


@pytest.mark.parametrize("tries", [1, 2], ids=["two calls", "one call"])
def test_parts_of_two_files_are_found_out_and_the_whole_comes_once_more(tmp_path: Path, tries: int) -> None:
    with site(cut(OTHER, 100_000), careless(DATA)) as place:
        if tries == 1:
            with pytest.raises(DownloadError):
                obtain(place, tmp_path, tries=tries)
        assert obtain(place, tmp_path, tries=tries) == DATA

    assert [asked.get("Range") for asked in place.asked] == [None, "bytes=100000-", None]


def test_a_server_that_never_gives_one_file_is_left_in_the_end(tmp_path: Path) -> None:
    answers = [cut(OTHER, 100_000), careless(DATA)] * 2 + [status(500)]

    assert "not the file that was meant" in problem(*answers, folder=tmp_path, tries=2)


@pytest.mark.parametrize("tag", ['W/"weak"', "", "no quotes"])
def test_a_tag_that_may_not_be_used_is_not(tmp_path: Path, tag: str) -> None:
    with site(cut(DATA, 100_000, ETag=tag), ranges(DATA)) as place:
        assert obtain(place, tmp_path) == DATA

    assert place.asked[1]["Range"] == "bytes=100000-"
    assert "If-Range" not in place.asked[1]


def test_a_date_serves_as_a_tag(tmp_path: Path) -> None:
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    with site(cut(DATA, 100_000, ETag="", Last_Modified=date), ranges(DATA, date)) as place:
        assert obtain(place, tmp_path) == DATA

    assert place.asked[1]["If-Range"] == date


def test_a_server_that_gives_a_wrong_part_is_asked_for_the_whole(tmp_path: Path) -> None:
    wrong = "bytes 5-9/300000"
    with site(
        cut(DATA, 1000),
        lambda request: request.begin(206, Content_Range=wrong, Content_Length=5),
        ranges(DATA),
    ) as place:
        assert obtain(place, tmp_path) == DATA

    assert [asked.get("Range") for asked in place.asked] == [None, "bytes=1000-", None]


def test_a_part_that_is_whole_needs_no_server(tmp_path: Path) -> None:
    with site(ranges(DATA)) as place:
        url = place.url
        Downloader().fetch(url, tmp_path / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.part")

    assert obtain(url, tmp_path) == DATA


@pytest.mark.parametrize("kept", [OTHER, OTHER + b"more"], ids=["wrong", "too long"])
def test_a_part_that_is_wrong_is_replaced(tmp_path: Path, kept: bytes) -> None:
    with site(ranges(DATA)) as place:
        (tmp_path / f"{hashlib.sha256(place.url.encode()).hexdigest()[:16]}.part").write_bytes(kept)

        assert obtain(place, tmp_path) == DATA


AGAIN = "(2 tries); the same command goes on from there"
FAILURES = {
    "cut": ([cut(DATA, 0)], f"URL: cut after 0 of 300000 bytes {AGAIN}"),
    "cut later each time": (
        [cut(DATA, 1000), lambda request: cut(DATA, 0)(request)], f"URL: cut after 0 of 300000 bytes {AGAIN}"
    ),
    "stalled": ([stall(DATA, 0)], f"URL: silent for 0.2 s {AGAIN}"),
    "silent": ([http_site.silent], f"URL: silent for 0.2 s {AGAIN}"),
    "dripping": ([drip(DATA)], r"URL: only \d+ bytes in 0.2 s \(2 tries\).*"),
    "busy": ([status(503)], f"URL: the server answers 503 {AGAIN}"),
    "missing": ([status(404)], "URL: the server answers 404"),
    "forbidden": ([status(403)], "URL: the server answers 403"),
    "length too long": ([cut(DATA + b"x", 1000)], "URL: has 300001 bytes, expected 300000"),
    "length too short": ([ranges(DATA[:-1])], "URL: has 299999 bytes, expected 300000"),
    "length huge": ([cut(DATA, 1000, Content_Length=10**18)], f"URL: has {10**18} bytes, expected 300000"),
    "length rubbish": ([cut(DATA, 1000, Content_Length="x")], f"URL: cut after 1000 of 300000 bytes {AGAIN}"),
    "endless": ([endless], "URL: sends more than 300000 bytes"),
    "wrong bytes": (
        [ranges(OTHER)],
        f"URL: SHA-256 {hashlib.sha256(OTHER).hexdigest()[:12]}...,"
        f" expected {hashlib.sha256(DATA).hexdigest()[:12]}...: not the file that was meant, and not installed",
    ),
    "to http": ([status(302, Location="http://localhost/a")], "URL: redirected to http://localhost/a, expected https"),
    "to itself": ([status(307, Location="/model.tflite")], "URL: redirected to URL, expected https"),
    "to a file": ([status(301, Location="file:///etc/passwd")], "URL: the server answers 301"),
    "to ftp": ([status(301, Location="ftp://a/b")], "URL: redirected to ftp://a/b, expected https"),
    "to nowhere": ([status(302)], "URL: the server answers 302"),
    "another part": (
        [cut(DATA, 1000), lambda request: request.begin(206, Content_Range="bytes 5-9/300000", Content_Length=5)],
        f"URL: sends another part than the one from byte 1000 on {AGAIN}",
    ),
    "part unasked": (
        [lambda request: request.begin(206, Content_Length=5)],
        f"URL: sends another part than the one from byte 0 on {AGAIN}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
def test_what_a_server_does_wrong_is_told(tmp_path: Path, name: str) -> None:
    answers, message = FAILURES[name]

    told = problem(*answers, folder=tmp_path, tries=2)

    assert told == message or re.fullmatch(message, told)


def test_nothing_that_is_wrong_is_kept_for_the_next_time(tmp_path: Path) -> None:
    problem(ranges(OTHER), folder=tmp_path)

    assert list(tmp_path.glob("*.part")) == []


def test_no_server_at_all_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    with pytest.raises(DownloadError) as caught:
        obtain(f"http://127.0.0.1:{port}/m", tmp_path, tries=2)
    assert str(caught.value) == f"http://127.0.0.1:{port}/m: Connection refused {AGAIN}"


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://127.0.0.1/m", "data:,x", "nonsense", "http://[::1"]
)
def test_only_http_is_spoken(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError):
        obtain(url, tmp_path, tries=1)

    assert list(tmp_path.glob("*.part")) == []


def test_passwords_are_not_told(tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        obtain("http://me:secret@127.0.0.1:9/m?token=secret", tmp_path, tries=1)

    assert "secret" not in str(caught.value)


def test_the_next_url_is_taken_when_one_fails(tmp_path: Path) -> None:
    sha256 = hashlib.sha256(DATA).hexdigest()
    with site(status(404)) as gone, site(ranges(OTHER)) as wrong, site(ranges(DATA)) as good:
        url, data = Downloader(**HASTY).obtain([gone.url, wrong.url, good.url], tmp_path, len(DATA), sha256)

    assert (url, data) == (good.url, DATA)


def test_a_proxy_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with site(ranges(DATA)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.rpartition("/")[0])
        monkeypatch.setenv("no_proxy", "")

        assert obtain("http://models.invalid/m", tmp_path) == DATA
    assert proxy.asked[0]["Host"] == "models.invalid"


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def test_a_member_of_a_zip_is_taken(tmp_path: Path) -> None:
    with site(cut(zipped(detect=DATA), 5000), ranges(zipped(detect=DATA))) as place:
        assert obtain(f"{place.url}#detect", tmp_path) == DATA


@pytest.mark.parametrize(
    "data, told",
    [
        (zipped(other=DATA), "URL: expected a zip with 'detect' inside: .*no item named 'detect'.*"),
        (DATA, "URL: expected a zip with 'detect' inside: File is not a zip file"),
        (zipped(detect=DATA)[:-40], "URL: expected a zip with 'detect' inside: File is not a zip file"),
        (zipped(detect=bytes(10**8)), f"URL: SHA-256 {hashlib.sha256(bytes(300_001)).hexdigest()[:12]}.*"),  # a bomb: no more is unpacked than was agreed
    ],
    ids=["other member", "no zip", "cut", "bomb"],
)  # fmt: skip
def test_a_zip_that_is_wrong_is_told(tmp_path: Path, data: bytes, told: str) -> None:
    with site(ranges(data)) as place:
        with pytest.raises(ModelError) as caught:
            obtain(f"{place.url}#detect", tmp_path)

        assert re.fullmatch(told, str(caught.value).replace(f"{place.url}#detect", "URL"))


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with (
        site(ranges(DATA)) as place,
        pytest.raises(SinkError, match="cannot write: No such file or directory"),
    ):
        obtain(place, tmp_path / "no")


@pytest.fixture
def certificate(tmp_path: Path) -> Iterator[Path]:
    """Key and certificate of `localhost` in one file."""
    path = tmp_path / "localhost.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    )
    command += f" -addext subjectAltName=DNS:localhost -keyout {path} -out {tmp_path}/certificate.pem"
    try:
        subprocess.run(command.split(), check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs openssl to make a certificate: {error}")
    path.write_bytes(path.read_bytes() + (tmp_path / "certificate.pem").read_bytes())
    return path


def secured(place: Site, certificate: Path) -> str:
    """Has a site speak TLS; its URL then."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    place.socket = context.wrap_socket(place.socket, server_side=True)
    return place.url.replace("http://127.0.0.1", "https://localhost")


def test_https_is_spoken_and_redirected_to(
    tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with site(ranges(DATA)) as secure:
        url = secured(secure, certificate)
        with site(status(302, Location=url)) as plain:
            assert obtain(plain, tmp_path) == DATA


def test_a_server_that_nobody_vouches_for_is_refused_at_once(tmp_path: Path, certificate: Path) -> None:
    with site(ranges(DATA)) as secure:
        url = secured(secure, certificate)
        with pytest.raises(DownloadError) as caught:
            obtain(url, tmp_path)

    assert re.fullmatch(
        re.escape(url) + r": self.signed certificate: is the clock of this machine right\?", str(caught.value)
    )
