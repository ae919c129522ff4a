"""Takes the screenshots of docs/: tests/browser.py URL FOLDER.

Needs Chromium, its driver, selenium and pillow. Prints one line a picture.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SIZES = {"phone": (360, 740), "desktop": (1280, 800)}
SCHEMES = ("dark", "light")


def missing() -> str:
    """What there is to install before a browser can be driven; empty when all is there."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "needs selenium"
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        return "needs chromium and chromedriver: sudo apt install chromium-driver"
    return ""


@contextmanager
def opened(size: tuple[int, int] = SIZES["desktop"]) -> Iterator[Any]:
    """A Chromium without a screen that loads nothing of its own."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for word in (
        "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--hide-scrollbars", f"--window-size={size[0]},{size[1]}",
    ):  # fmt: skip
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield browser
    finally:
        browser.quit()


def shape(browser: Any, size: tuple[int, int], scheme: str = "dark", zoom: float = 1.0) -> None:
    """The page as on a screen of this size, for who likes it dark or light."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": zoom, "mobile": size[0] < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def main(url: str, folder: Path, seconds: float = 60) -> None:
    """Takes the four pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with opened() as browser:
        browser.get(url)
        time.sleep(seconds)  # the charts are to show something
        for name, size in SIZES.items():
            for scheme in SCHEMES:
                shape(browser, size, scheme, 1.5 if name == "phone" else 1.0)
                time.sleep(2.5)
                path = folder / f"page-{name}-{scheme}.png"
                save(browser.get_screenshot_as_png(), path)
                print(f"{path}: {path.stat().st_size} bytes")


def save(png: bytes, path: Path) -> None:
    """Writes a picture in 256 colours, a third of the bytes; the page's own few are kept as they are."""
    import io

    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    image.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE).save(
        path, optimize=True
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(float, sys.argv[3:4]))
