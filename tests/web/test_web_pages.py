"""What holds for every page: nothing for axe to find, no sideways scroll on a small screen, keys alone are enough."""

from __future__ import annotations

import time
from collections.abc import Callable

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Route, expect

from tests.web.conftest import Visitor
from tests.web.scene import Scene, opened

# Why a task waits is asked every 2 s.
SLOW_S = 3.0


def test_axe_finds_nothing(scene: Scene, visit: Callable[..., Visitor]) -> None:
    page = visit(scene.yard, "admin", reduced_motion="reduce").page
    found = {}

    def look(what: str) -> None:
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        light = Axe().run(page, options={"resultTypes": ["violations"]})
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        dark = Axe().run(page, options={"resultTypes": ["violations"], "runOnly": ["color-contrast"]})
        for theme, seen in (("light", light), ("dark", dark)):
            if seen.violations_count:
                found[what, theme] = seen.generate_report()

    for path in scene.pages:
        # A hundred settings are rows like those of the audit log, and take axe as long as all else.
        if path != "/system?tab=settings":
            opened(page, path)
            look(path)
    opened(page, "/servers")
    page.get_by_role("button", name="Add a server").click()
    look("the server's form")
    assert found == {}


def test_keys_alone_are_enough(scene: Scene, visit: Callable[..., Visitor]) -> None:
    page = visit(scene.yard, "admin").page
    opened(page, "/")
    page.keyboard.press("g")
    page.keyboard.press("t")
    expect(page.locator("#page-title")).to_have_text("Tasks")
    rows = page.locator("tbody tr[data-key]")
    expect(rows).to_have_count(4)
    ids = [row.get_attribute("data-key") for row in rows.all()]
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.get_by_role("region", name="1 selected")).to_be_visible()
    page.keyboard.press("Shift+ArrowDown")
    expect(page.get_by_role("region", name="2 selected")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("region", name="selected")).to_have_count(0)
    page.keyboard.press("Enter")
    for key, place in (("[", 2), ("]", 1), ("]", 2), ("e", 3)):
        # What a page shows of a task is there when its keys are.
        expect(page.get_by_role("region", name=ids[place])).to_be_visible()
        page.keyboard.press(key)
    expect(page.get_by_role("dialog").get_by_label("Payload")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.locator("#page-title")).to_have_text("Tasks")
    page.keyboard.press("/")
    expect(page.get_by_label("Filter", exact=True)).to_be_focused()
    page.keyboard.type("tag:nothing")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Edit and resubmit")


def test_an_answer_that_takes_longer_than_the_pause_between_two_calls_is_waited_for(
    scene: Scene, visit: Callable[..., Visitor]
) -> None:
    page = visit(scene.yard, "admin").page

    def slowly(route: Route) -> None:
        time.sleep(SLOW_S)
        route.continue_()

    page.route("**/why?*", slowly)
    opened(page, f"/task/{scene.ids['nobody']}")
    expect(page.locator(".funnel")).to_be_visible()
    page.unroute_all(behavior="ignoreErrors")
