"""A real browser for tests of pages: one that is installed, driven without a window and without a network."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def executable() -> str:
    """The browser's path; the test skips where there is none."""
    found = os.environ.get("LNBENCH_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        pytest.skip(f"no browser is installed ({', '.join(NAMES)}); LNBENCH_BROWSER names one")
    return found


@contextmanager
def launched() -> Iterator:
    """A browser that is closed afterwards."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = executable()
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(QUIET))
        yield browser
        browser.close()


class Opened:
    """A page in a context of its own, and all that it complained about or asked for."""

    def __init__(self, browser, file: Path, **context) -> None:
        self.told: list[str] = []
        self.asked: list[str] = []
        self._context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **context})
        self.page = self._context.new_page()
        self.page.on("console", lambda message: self.told.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.told.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: (self.told.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(file.as_uri())
        self.file = file

    def drawn(self):
        """The page once everything that was asked for is drawn."""
        self.page.wait_for_function("document.body.dataset.drawing === 'no'", timeout=60_000)
        return self.page

    def close(self) -> None:
        """Close the page and its context."""
        self._context.close()
