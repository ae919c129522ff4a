"""Download: a file from the network, resumed where it was cut, and never more than was agreed."""

from __future__ import annotations

import hashlib
import http.client
import io
import logging
import re
import ssl
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import urldefrag

from edge_detect import __version__, uri
from edge_detect.errors import DownloadError, ModelError, SinkError, words

log = logging.getLogger(__name__)

LARGEST = 1 << 28  # bytes
_CHUNK = 1 << 16
_SLOWEST = 64  # bytes a second; less is as good as nothing
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class _Broken(Exception):
    """A try that failed for a reason that may pass."""


@dataclass(frozen=True)
class Downloader:
    """How patiently files are downloaded.

    Attributes:
        patience: Seconds of silence after which a try has failed.
        tries: For each URL; each goes on after what has come.
        pause: Seconds before the second try; each further one waits twice as long.
        tell: Called with the bytes that have come and those that there will be, 0 when unknown.
    """

    patience: float = 20.0
    tries: int = 4
    pause: float = 1.0
    tell: Callable[[int, int], None] = lambda have, total: None

    def obtain(self, urls: Iterable[str], folder: Path, size: int, sha256: str) -> tuple[str, bytes]:
        """The first URL that gives the one file of this size and SHA-256, and that file.

        Args:
            urls: `https://server/file`, or `https://server/archive.zip#member`.
            folder: Keeps what has come of a file that is not whole, for the next call.
            size: Of the file, in bytes.
            sha256: Of the file, 64 hexadecimal digits.

        Raises:
            DownloadError: No server gave it.
            ModelError: The last server gave another file.
            SinkError: `folder` cannot be written.
        """
        problem: DownloadError | ModelError | None = None
        for url in urls:
            if problem:
                log.warning("%s; now the next URL", problem)
            try:
                return url, self._whole(url, folder, size, sha256)
            except (DownloadError, ModelError) as error:
                problem = error
        raise problem or DownloadError("no URL to download it from")

    def _whole(self, url: str, folder: Path, size: int, sha256: str) -> bytes:
        """The file of one URL; one that was put together and is wrong is downloaded once more."""
        address, _, member = url.partition("#")
        part = folder / f"{hashlib.sha256(address.encode()).hexdigest()[:16]}.part"
        together = self.fetch(address, part, 0 if member else size)
        try:
            return _checked(url, part, size, sha256)
        except ModelError as error:
            if not together:
                raise
            log.warning("%s; it came in parts, now once more as a whole", error)
        self.fetch(address, part, 0 if member else size)
        return _checked(url, part, size, sha256)

    def fetch(self, url: str, part: Path, size: int = 0) -> bool:
        """Downloads into `part`, after what is there already.

        Args:
            url: What it redirects to must be https.
            part: The file; a `.tag` beside it keeps what the server calls this state of it.
            size: Bytes that it must have; 0 when unknown.

        Returns:
            Whether it was put together from several answers.

        Raises:
            DownloadError: The server refuses, lies, or breaks off each time.
            SinkError: `part` cannot be written.
        """
        name, problem = uri.public(url), ""
        for number in range(self.tries):
            if number:
                log.info("%s: %s; again", name, problem)
                time.sleep(self.pause * 2 ** (number - 1))
            try:
                return self._try(url, part, size)
            except _Broken as error:
                problem = str(error)
            except DownloadError as error:
                raise DownloadError(f"{name}: {error}") from error.__cause__
            except OSError as error:
                raise SinkError(f"{part}: cannot write: {error.strerror}") from error
        raise DownloadError(f"{name}: {problem} ({self.tries} tries); the same command goes on from there")

    def _try(self, url: str, part: Path, size: int) -> bool:
        """One request; raises `_Broken` when another one may do better."""
        have = part.stat().st_size if part.exists() else 0
        if size and have == size:
            return True
        tag, limit = part.with_suffix(".tag"), size or LARGEST
        with self._open(_request(url, have, tag), part) as response:
            begin, total = _extent(response, part, have)
            have = begin
            if total > limit or (size and 0 < total < size):
                raise DownloadError(f"has {total} bytes, expected {'' if size else 'at most '}{limit}")
            tag.write_text(_validator(response.headers))
            with part.open("r+b" if begin else "wb") as file:
                file.seek(begin)
                for chunk in self._chunks(response):
                    have += len(chunk)
                    if have > limit:
                        raise DownloadError(f"sends more than {limit} bytes")
                    file.write(chunk)
                    self.tell(have, total or size)
        if have < (total or size):
            raise _Broken(f"cut after {have} of {total or size} bytes")
        return begin > 0

    def _open(self, asked: request.Request, part: Path) -> Any:
        """The server's answer, 200 or 206."""
        try:
            return _opener().open(asked, timeout=self.patience)
        except HTTPError as error:
            error.close()
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink(missing_ok=True)
            elif error.code not in _PASSING:
                raise DownloadError(f"the server answers {error.code}") from error
            raise _Broken(f"the server answers {error.code}") from error
        except DownloadError:
            raise
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise self._failure(error) from error

    def _chunks(self, response: IO[bytes]) -> Iterator[bytes]:
        """The body as it comes."""
        since, came = time.monotonic(), 0
        while True:
            try:
                chunk: bytes = response.read1(_CHUNK)  # type: ignore[attr-defined]
            except (OSError, http.client.HTTPException) as error:
                raise self._failure(error) from error
            if not chunk:
                return
            yield chunk
            came += len(chunk)
            if time.monotonic() - since > self.patience:
                if came < _SLOWEST * self.patience:
                    raise _Broken(f"only {came} bytes in {self.patience:g} s")
                since, came = time.monotonic(), 0

    def _failure(self, error: Exception) -> Exception:
        """What to raise for an error of the network."""
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, TimeoutError):
            return _Broken(f"silent for {self.patience:g} s")
        if isinstance(reason, ssl.SSLCertVerificationError):
            return DownloadError(f"{reason.verify_message}: is the clock of this machine right?")
        if isinstance(reason, ValueError):
            return DownloadError(f"not a URL: {reason}")
        return _Broken(words(reason) if isinstance(reason, Exception) else str(reason))


def _request(url: str, have: int, tag: Path) -> request.Request:
    """The request for what is missing."""
    try:
        asked = request.Request(url, headers={"User-Agent": f"edge-detect/{__version__}"})
    except ValueError as error:
        raise DownloadError("not a URL") from error
    if have:
        asked.add_header("Range", f"bytes={have}-")
        validator = tag.read_text() if tag.exists() else ""
        if validator:  # without one the SHA-256 tells whether the parts belong together
            asked.add_header("If-Range", validator)
    return asked


def _validator(headers: Message) -> str:
    """What names this very state of the file, for If-Range; a weak tag may not (RFC 9110, 13.1.5)."""
    strong = str(headers.get("ETag", ""))
    name = strong if strong.startswith('"') else str(headers.get("Last-Modified", ""))
    return name if name.isascii() and name.isprintable() else ""


def _extent(response: Any, part: Path, have: int) -> tuple[int, int]:
    """Where the body begins and how long the whole file is, 0 when unknown."""
    length = int(response.length or 0)
    if response.status != http.client.PARTIAL_CONTENT:
        return 0, length
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if not found or int(found[1]) != have:
        part.unlink(missing_ok=True)  # so that the next try asks for the whole
        raise _Broken(f"sends another part than the one from byte {have} on")
    return have, int(found[2]) if found[2] != "*" else have + length


def _checked(url: str, part: Path, size: int, sha256: str) -> bytes:
    """What was downloaded, out of its archive; the part is deleted when it is not the right file.

    Raises:
        ModelError: It is not.
    """
    data, (_, member) = part.read_bytes(), urldefrag(url)
    try:
        if member:
            data = _member(data, member, size)
        if (found := hashlib.sha256(data).hexdigest()) != sha256:
            raise ModelError(
                f"SHA-256 {found[:12]}..., expected {sha256[:12]}...: not the file that was meant, and not"
                " installed"
            )
    except ModelError as error:
        part.unlink()
        raise ModelError(f"{uri.public(url)}: {error}") from error.__cause__
    return data


def _member(data: bytes, name: str, size: int) -> bytes:
    """A file out of a zip, and hardly more of it than `size` bytes, whatever the zip says."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(name) as file:
            return file.read(size + 1)
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, RuntimeError, EOFError) as error:
        raise ModelError(f"expected a zip with '{name}' inside: {error}") from error


class _ToHttps(request.HTTPRedirectHandler):
    """Follows redirects to https only."""

    def redirect_request(
        self, req: request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> request.Request | None:
        if not newurl.lower().startswith("https:"):
            fp.close()
            raise DownloadError(f"redirected to {uri.public(newurl)}, expected https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> request.OpenerDirector:
    """Speaks http and https through the proxies that the environment names, and nothing else."""
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(), request.HTTPHandler(), request.HTTPSHandler(), _ToHttps(),
        request.HTTPDefaultErrorHandler(), request.HTTPErrorProcessor(), request.UnknownHandler(),
    ):  # fmt: skip
        opener.add_handler(handler)
    return opener
