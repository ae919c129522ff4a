"""Fixtures: shared data, a cache of our own, and models opened as the program opens them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[1]
HOME = {"CONFIGURATION_DIRECTORY": "etc", "XDG_CONFIG_HOME": "user", "XDG_STATE_HOME": "state",
        "XDG_DATA_HOME": "data"}  # fmt: skip
SHARED = ROOT.parent / "shared"

sys.path.insert(0, str(Path(__file__).parent))  # for the modules that tests share

# a busy machine is no reason to fail
hypothesis.settings.register_profile(
    "house", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("house")

# a shell that runs the tests in the background, or under nohup, has them ignore these, and every child too
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, usual)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real models, pictures and clips beside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the shared data, which is not at {SHARED}")
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache folder of this run of the tests; the user's own is left alone, and so are settings and state."""
    home = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("EDGE_DETECT_")]:
            patch.delenv(name)
        for name in ("CACHE_DIRECTORY", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET"):
            patch.delenv(name, raising=False)
        for name in ("XDG_CACHE_HOME", *HOME):
            folder = home if name == "XDG_CACHE_HOME" else tmp_path_factory.mktemp(name.lower())
            patch.setenv(name, str(folder))
        yield home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the settings of a machine in `etc`, those of a user in `user`, `state`, and models in `data`."""
    for name, folder in HOME.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    return tmp_path


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Writes bytes into a file of a name, `model.tflite` unless said otherwise."""

    def write(data: bytes, name: str = "model.tflite") -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


@pytest.fixture
def open_detector(save: Callable[..., Path]) -> Callable[..., Any]:
    """Opens the bytes of a model as the program does: probe, runtime, decoder, detector."""
    from edge_detect.detector import Detector
    from edge_detect.model import open_model

    def open_bytes(data: bytes, confidence: float = 0.3, **options: Any) -> Detector:
        return Detector(open_model(save(data), threads=1), confidence, **options)

    return open_bytes


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: `model.tflite` of `program`, `clip.mp4` of 20 such pictures, `photo.jpg`."""
    import cv2
    import program

    (tmp_path / "model.tflite").write_bytes(program.detector())
    code = cv2.VideoWriter.fourcc(*"mp4v")
    clip = cv2.VideoWriter(str(tmp_path / "clip.mp4"), code, 12.5, program.SIZE)
    for number in range(20):
        clip.write(program.picture(number))
    clip.release()
    cv2.imwrite(str(tmp_path / "photo.jpg"), program.picture())
    monkeypatch.chdir(tmp_path)
    return tmp_path
