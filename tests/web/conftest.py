"""A real browser before real nodes. Whatever a test does, no page may print to the console or ask another machine."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Request,
    expect,
    sync_playwright,
)

from tests.contract.api.yard import Backend, Behaviour, Yard, echo, token
from tests.web.scene import Scene

PATIENCE_MS = 90_000
expect.set_options(timeout=PATIENCE_MS)
# Chromium says so of each answer over 399; what the page makes of these is for the tests themselves.
_ANSWERED = re.compile(r"^Failed to load resource: (the server responded with a status of|net::ERR_CONNECTION_REFUSED)")


class Visitor:
    """Somebody at a browser, signed in or not, before one node."""

    def __init__(self, browser: Browser, url: str, options: dict[str, object]) -> None:
        self.url = url
        self.said: list[str] = []
        self.elsewhere: list[str] = []
        self.context: BrowserContext = browser.new_context(base_url=url, **options)  # type: ignore[arg-type]
        self.context.set_default_timeout(PATIENCE_MS)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", self._ask)

    def _hear(self, message: ConsoleMessage) -> None:
        if not _ANSWERED.match(message.text):
            self.said.append(f"{message.type}: {message.text}")

    def _ask(self, request: Request) -> None:
        if not request.url.startswith((self.url, "blob:" + self.url, "data:image/")):
            self.elsewhere.append(request.url)

    def has(self, jwt: str) -> None:
        """Take a token as the session, as the sign-in form does."""
        answer = self.context.request.post(
            "/api/session",
            data=json.dumps({"token": jwt}),
            headers={"Content-Type": "application/json", "Origin": self.url},
        )
        assert answer.ok, answer.text()

    def leave(self) -> None:
        """Go; and all must have been quiet."""
        self.context.close()
        assert self.said == []
        assert self.elsewhere == []


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """For one module alone: while it is there its thread has a running event loop, which other tests cannot have."""
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "Chromium is missing: make tools installs it"
    # Its sandbox needs a user that is not root; what it opens here is ours.
    running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
    yield running
    running.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visitor]]:
    """Makes visitors: `visit(yard, "admin", locale="zh-CN")`; without roles nobody is signed in."""
    made: list[Visitor] = []

    def come(yard: Yard, *roles: str, sub: str = "ann", **options: object) -> Visitor:
        usual: dict[str, object] = {"locale": "en-GB", "viewport": {"width": 1440, "height": 900}}
        visitor = Visitor(browser, yard.url, usual | options)
        made.append(visitor)
        if roles:
            visitor.has(token(*roles, sub=sub))
        return visitor

    yield come
    for visitor in made:
        visitor.leave()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = Scene(tmp_path_factory.mktemp("scene") / "data")
    yield made
    made.stop()


@pytest.fixture
def own_yard(tmp_path: Path) -> Iterator[Callable[..., Yard]]:
    """Makes nodes of the test's own, in the same folder: a later one takes up what an earlier one left."""
    made: list[Yard] = []

    def make(**settings: object) -> Yard:
        made.append(Yard(tmp_path / "data", **settings))
        return made[-1]

    yield make
    for yard in made:
        yard.stop()


@pytest.fixture
def backend() -> Iterator[Callable[..., Backend]]:
    """Makes backend servers."""
    made: list[Backend] = []

    def make(behave: Behaviour = echo) -> Backend:
        made.append(Backend(behave))
        return made[-1]

    yield make
    for server in made:
        server.stop()
