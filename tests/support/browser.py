"""A real headless Chromium, and what a page did in it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

try:
    from playwright.sync_api import Browser, Page, sync_playwright
except ImportError:
    sync_playwright = None

__all__ = ["Visit", "chromium", "visiting"]

_ARGUMENTS = [
    "--no-sandbox",  # containers run as root
    "--disable-gpu",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
_LIMIT_SECONDS = 120
_QUIET = ("GPU stall due to ReadPixels",)
"""What Chromium says of drawing without a graphics card."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium; skip where it or its driver is missing, fail where there has to be one."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None or sync_playwright is None:
        what = "needs Debian's package chromium, and playwright: pip install 'kgrl[test]'"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(what)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(Path(path)), args=_ARGUMENTS)
        yield browser
        browser.close()


class Visit:
    """One page and what it did: `page`, and the lists `said` (console) and `asked` (hosts of its requests)."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.said: list[str] = []
        self.asked: set[str] = set()
        page.on("console", lambda message: self._hear(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self._hear(f"error: {error}"))
        page.on("dialog", lambda dialog: (self._hear(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: self.asked.add(urlsplit(request.url).hostname or request.url))

    def _hear(self, what: str) -> None:
        if not any(quiet in what for quiet in _QUIET):
            self.said.append(what)

    def step(self) -> int:
        """The step that the page shows."""
        return int(self.page.evaluate("document.documentElement.dataset.step"))

    def colours(self, run: int = 0) -> list[str]:
        """The colour and ring of every topic as they are drawn."""
        drawn: list[str] = self.page.evaluate(
            """(run) => { const sigma = kgrl.runs[run].view.sigma;
            return sigma.getGraph().mapNodes((node) => { const d = sigma.getNodeDisplayData(node);
            return `${d.color} ${d.ringColour} ${d.size}`; }); }""",
            run,
        )
        return drawn

    def wait_until(self, expression: str, arg: object = None) -> None:
        """Wait until an expression is true; Playwright's own way is stopped by the page's policy."""
        deadline = time.monotonic() + _LIMIT_SECONDS
        while not self.page.evaluate(expression, arg):
            assert time.monotonic() < deadline, f"never true: {expression}; the page said {self.said}"
            self.page.wait_for_timeout(50)

    def wait_for_step(self, step: int) -> None:
        """Wait until the page shows a step."""
        self.wait_until(f"Number(document.documentElement.dataset.step) >= {step}")


@contextmanager
def visiting(browser: Browser, url: str, scheme: str = "light") -> Iterator[Visit]:
    """Open a page of the viewer and wait until it is drawn."""
    context = browser.new_context(viewport={"width": 1400, "height": 850}, color_scheme=scheme)
    context.set_default_timeout(_LIMIT_SECONDS * 1000)
    visit = Visit(context.new_page())
    visit.page.goto(url)
    visit.page.wait_for_selector("main[aria-busy=false]")
    yield visit
    context.close()
