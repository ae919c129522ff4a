"""Fixtures: real pages on free ports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tornado", reason="needs tornado, from the extra web")

import visitor


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., visitor.Site]]:
    """Opens live pages, each on a port of its own, until the module ends."""
    with ExitStack() as stack:

        def open_page(**settings: Any) -> visitor.Site:
            folder = tmp_path_factory.mktemp("secrets")
            return stack.enter_context(closing(visitor.Site(folder, **settings)))

        yield open_page


@pytest.fixture(scope="module")
def site(pages: Callable[..., visitor.Site]) -> visitor.Site:
    """One without a secret: everybody on this machine may come in."""
    return pages()


@pytest.fixture(scope="module")
def guarded(pages: Callable[..., visitor.Site]) -> visitor.Site:
    """One that asks for a token or a password, reachable by others."""
    return pages(token=visitor.TOKEN, password=visitor.PASSWORD, listen="0.0.0.0:0")


@pytest.fixture
def secret(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file that nobody else may read."""

    def write(text: str, mode: int = 0o600) -> Path:
        path = tmp_path / "secret"
        path.write_text(text)
        path.chmod(mode)
        return path

    return write
