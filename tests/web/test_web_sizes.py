"""A yard without anything, and one with very much of it: the same pages, quiet, with nothing for axe to find."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from tests.contract.api.yard import Backend, Yard
from tests.web.conftest import Visitor
from tests.web.scene import opened

SERVERS, TASKS, LOADED = 1000, 400, 300
# So many rows are in the document at most, however long a list is.
ROWS = 80
PLACES = ("/", "/tasks", "/servers", "/failures", "/stats")


def amiss(page: Page) -> str:
    """What axe says, empty when it finds nothing."""
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    return found.generate_report() if found.violations_count else ""


def watched(page: Page) -> None:
    """From now on what a policy refuses is an error on the console, which no page may have."""
    page.add_init_script(
        "addEventListener('securitypolicyviolation', (event) => console.error(event.violatedDirective));"
    )


def rows_of(page: Page) -> Locator:
    return page.locator("tbody tr[data-key]")


def test_a_yard_without_servers_and_tasks(own_yard: Callable[..., Yard], visit: Callable[..., Visitor]) -> None:
    page = visit(own_yard(), "admin", reduced_motion="reduce").page
    watched(page)
    found = {}
    for place in PLACES:
        opened(page, place)
        found[place] = amiss(page)
    assert {place: words for place, words in found.items() if words} == {}
    opened(page, "/")
    expect(page.locator("h2").first).to_be_visible()
    expect(page.get_by_text("/api/servers", exact=False).first).to_be_visible()


@pytest.fixture
def crowded(own_yard: Callable[..., Yard], backend: Callable[..., Backend]) -> Yard:
    """Many servers, and more tasks than a screen has rows."""
    yard, server = own_yard(), backend()
    service = yard.client("service")

    def register(number: int) -> int:
        endpoints = {"predict": f"{server.url}/{number}", "health": f"{server.url}/health"}
        name = f"gpu-{number:04}"
        return service.post("/api/servers", json={"id": name, "name": name, "endpoints": endpoints}).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(register, range(SERVERS))) == {200}
    batch = [{"type": "ocr", "payload": {"n": number}, "capabilities": ["none has it"]} for number in range(TASKS)]
    for first in range(0, TASKS, 100):
        answer = yard.client("admin").post("/api/tasks", json={"tasks": batch[first : first + 100]})
        assert answer.status_code == 200, answer.text
    return yard


def test_a_thousand_servers_and_a_long_list_of_tasks(crowded: Yard, visit: Callable[..., Visitor]) -> None:
    page = visit(crowded, "admin", reduced_motion="reduce").page
    watched(page)
    opened(page, "/")
    expect(page.locator("canvas[role=application]")).to_be_visible()
    assert amiss(page) == ""
    opened(page, "/servers")
    expect(page.get_by_text("1,000 servers", exact=False)).to_be_visible()
    rows = rows_of(page)
    assert rows.count() < ROWS
    assert amiss(page) == ""
    expect(page.get_by_role("row", name="gpu-0000")).to_be_visible()
    page.mouse.wheel(0, 1_000_000)
    expect(page.get_by_role("row", name="gpu-0999")).to_be_visible()
    assert rows.count() < ROWS
    page.get_by_role("searchbox").fill("0777")
    expect(rows).to_have_count(1)
    page.locator("#page-title").click()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{crowded.url}/servers/gpu-0777")

    opened(page, "/tasks")
    table = page.get_by_role("table")
    for loaded in range(50, LOADED + 1, 50):
        expect(table).to_have_attribute("aria-rowcount", str(loaded + 1))
        if loaded < LOADED:
            page.get_by_role("button", name="Load 50 more").click()
    assert rows_of(page).count() < ROWS, "of a long list only what is near the screen is in the document"
    assert amiss(page) == ""
