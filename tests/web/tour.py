"""The tour through the dashboard: its stops, how each is opened, and the picture of it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from tests.web.workload import Work

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
LANGUAGES = {"en": "en-GB", "zh": "zh-CN"}
DESK, PHONE = (1200, 760), (390, 780)
# A page is shown whole up to so many px; what is below is more of the same.
HIGHEST, LIST = 1330, 900
QUALITY = 82


@dataclass(frozen=True)
class Stop:
    """One picture: `path` of the page (`{tried}` is a task of the workload), what must be there, what is done there."""

    name: str
    path: str
    shows: str
    dark: bool = False
    phone: bool = False
    signed_in: bool = True
    highest: int = HIGHEST
    do: Callable[[Page], Any] = lambda page: None

    def options(self, language: str) -> dict[str, Any]:
        """The browser for it."""
        wide, high = PHONE if self.phone else DESK
        options: dict[str, Any] = {
            "locale": LANGUAGES[language],
            "color_scheme": "dark" if self.dark else "light",
            "viewport": {"width": wide, "height": high},
            "reduced_motion": "reduce",
        }
        if self.phone:
            options |= {"has_touch": True, "is_mobile": True, "device_scale_factor": 1.5}
        return options


def _unfold(page: Page) -> None:
    page.locator("details.fold-part").first.locator("summary").click()
    page.locator(".payload").first.wait_for()


def _group(page: Page) -> None:
    page.locator(".group-name").first.click()
    page.locator(".group-more").wait_for()


def _select(page: Page) -> None:
    boxes = page.locator("tbody input[type=checkbox]")
    boxes.nth(1).check()
    boxes.nth(2).check()
    page.locator(".selection").wait_for()


def _add(page: Page) -> None:
    page.locator(".title .button.primary").click()
    page.locator(".dialog").wait_for()


STOPS = (
    Stop("signin", "/signin", "#token", signed_in=False),
    Stop("overview", "/", ".uplot canvas"),
    Stop("overview-dark", "/", ".uplot canvas", dark=True),
    Stop("tasks", "/tasks?type=txt2img", "tbody tr[data-key]", highest=LIST),
    Stop("tasks-selected", "/tasks?status=PENDING", "tbody tr[data-key]", highest=LIST, do=_select),
    Stop("task-waits", "/task/{waits}", ".funnel"),
    Stop("task-runs", "/task/{runs}", ".timeline svg", dark=True),
    Stop("task-tried", "/task/{tried}", ".timeline svg", do=_unfold),
    Stop("servers", "/servers", "tbody tr[data-key]"),
    Stop("server", "/servers/gpu-3", ".plot svg"),
    Stop("server-add", "/servers", "tbody tr[data-key]", do=_add),
    Stop("failures", "/failures", ".group", do=_group),
    Stop("balance", "/balance", ".option.on"),
    Stop("stats", "/stats", ".plot rect"),
    Stop("system", "/system", "tbody tr"),
    Stop("settings", "/system?tab=settings", "tbody tr"),
    Stop("audit", "/system?tab=audit", "tbody tr"),
    Stop("phone-overview", "/", ".uplot canvas", phone=True),
    Stop("phone-tasks", "/tasks", "tbody tr[data-key]", phone=True, dark=True),
    Stop("phone-task", "/task/{waits}", ".funnel", phone=True),
)


def arrive(page: Page, stop: Stop, work: Work) -> None:
    """Open a stop's page and wait until it has what it shows."""
    page.goto(stop.path.format(waits=work.waits() if "{waits}" in stop.path else "", **work.ids))
    expect(page.locator("#page-title")).to_be_visible()
    expect(page.locator(stop.shows).first).to_be_visible()
    expect(page.locator(".loading")).to_have_count(0)
    if page.locator(".live").count():
        expect(page.locator(".live.is-live")).to_be_visible()
    stop.do(page)


def fit(page: Page, stop: Stop) -> None:
    """Give the window the height of the page."""
    if stop.phone or page.locator("dialog[open]").count():
        return
    high = page.evaluate("document.querySelector('main').scrollHeight")
    page.set_viewport_size({"width": DESK[0], "height": max(DESK[1] - 160, min(high, stop.highest))})


def photograph(page: Page, path: Path) -> None:
    """Save what is seen as WebP."""
    cdp = page.context.new_cdp_session(page)
    page.evaluate(
        """() => document.fonts.ready.then(
        () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))))"""
    )
    shot = cdp.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    path.write_bytes(base64.b64decode(shot["data"]))
    cdp.detach()
