"""A browser for the tests in this folder, and a folder for its screenshots.

CHROMIUM names the browser's program; otherwise a Chromium or Chrome on the path is taken. Without one these tests are
skipped on a reader's machine and fail in CI. MINIVL_SCREENSHOTS names a folder for pictures of the window.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MISSING = (
    "no Chromium was found: install one (Debian: apt install chromium; elsewhere: python -m playwright install "
    "chromium), and if it is not on the path set CHROMIUM to its program"
)
OPTIONS = ("--no-sandbox", "--disable-background-networking", "--disable-dev-shm-usage")


def chromium_program() -> str | None:
    """The browser's program, None if there is none."""
    named = os.environ.get("CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


def in_ci() -> bool:
    """Whether a missing browser is a failure."""
    return os.environ.get("CI", "").lower() in ("true", "1")


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """A headless Chromium."""
    program = chromium_program()
    if program is None:
        (pytest.fail if in_ci() else pytest.skip)(MISSING)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=list(OPTIONS))
        yield running
        running.close()


@pytest.fixture(scope="session")
def screenshots(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Where pictures of the window go; printed when the tests end."""
    folder = Path(os.environ.get("MINIVL_SCREENSHOTS") or tempfile.mkdtemp(prefix="minivl-screenshots-"))
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\nscreenshots of the chat window: {folder}")
