"""A real Chromium, as people look at the page with, and what is asked of every page that it shows."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.support.waiting import PATIENCE

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")

WAIT_MS = PATIENCE * 1000
expect.set_options(timeout=WAIT_MS)

ON_COLORS = ["color-contrast", "link-in-text-block"]
"""Axe's rules that look at colors: in the dark nothing else is different."""

NARROW = 360
"""Pixels of a small phone."""


def missing() -> str | None:
    """Return why no page can be looked at; None where one can."""
    return None if _program() else f"no browser: none of {', '.join(PROGRAMS)} is on PATH"


def _program() -> str | None:
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Run a Chromium."""
    # Chromium's own sandbox takes users of its own, which root in a container cannot have.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=_program(), args=arguments)
        yield browser
        await browser.close()


class Window:
    """A window of a browser that shows our page; nothing in it may go wrong."""

    def __init__(self, context: BrowserContext, page: Page, url: str) -> None:
        self.context = context
        self.page = page
        self.url = url
        self.mistakes: list[str] = []
        self.foreign: list[str] = []
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: self.mistakes.append(str(error)))
        page.on("dialog", lambda dialog: self.mistakes.append(f"a script of a task ran: {dialog.message}"))
        page.on("console", lambda said: self._note(said.type, said.text))
        page.on("request", lambda request: None if request.url.startswith(url) else self.foreign.append(request.url))

    def _note(self, kind: str, text: str) -> None:
        # What the page is answered is for the tests to say; policies and scripts are not to be broken.
        if kind == "error" and "Failed to load resource" not in text and "net::ERR" not in text:
            self.mistakes.append(text)

    def check(self) -> None:
        """Raise AssertionError where a script failed, a policy was broken, or something was asked of anybody else."""
        assert not self.mistakes, self.mistakes
        assert not self.foreign, self.foreign

    async def open(self, path: str) -> None:
        """Open a page, and wait until it is live."""
        await self.page.goto(self.url + path)
        await self.live()

    async def live(self) -> None:
        """Wait until the page says that it is live."""
        await self.page.wait_for_selector("#connection[data-state=live]")

    async def is_fit(self) -> None:
        """Hold the page against what everybody needs: in the dark, by ear, on a small phone."""
        page, size = self.page, self.page.viewport_size
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            options = {"resultTypes": ["violations"], **({"runOnly": ON_COLORS} if scheme == "dark" else {})}
            found: list[Any] = (await Axe().run(page, options=options)).response["violations"]
            told = [f"{each['id']} in the {scheme}: {[node['html'] for node in each['nodes']]}" for each in found]
            assert not told, told
        await page.set_viewport_size({"width": NARROW, "height": 740})
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width <= NARROW, f"{page.url} is {width} pixels wide"
        if size is not None:
            await page.set_viewport_size(size)


@asynccontextmanager
async def window(
    browser: Browser, url: str, *, key: str | None = None, token: str | None = None
) -> AsyncIterator[Window]:
    """Open a window for somebody with a key or a token; at its end, nothing may have gone wrong in it."""
    headers = {"x-api-key": key} if key is not None else {"Authorization": f"Bearer {token}"} if token else {}
    context = await browser.new_context(viewport={"width": 1280, "height": 800}, extra_http_headers=headers)
    try:
        shown = Window(context, await context.new_page(), url)
        yield shown
        shown.check()
    finally:
        await context.close()
