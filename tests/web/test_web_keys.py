"""The main journeys by the keyboard alone: the mouse is never touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.contract.api.yard import Backend, Yard, eventually, token
from tests.web.conftest import PATIENCE_MS, Visitor

expect.set_options(timeout=PATIENCE_MS)
STEPS_MOST = 80


def reach(page: Page, target: Locator) -> None:
    """Press Tab until something has the focus, which must be seen."""
    expect(target).to_be_visible()
    for _ in range(STEPS_MOST):
        page.keyboard.press("Tab")
        if target.evaluate("(one) => one === document.activeElement"):
            assert target.evaluate("(one) => getComputedStyle(one).outlineStyle !== 'none'")
            return
    raise AssertionError("the focus never came there")


def go(page: Page, letter: str, title: str) -> None:
    """Go to a page by its letters."""
    page.keyboard.press("g")
    page.keyboard.press(letter)
    expect(page.locator("#page-title")).to_have_text(title)
    expect(page.locator("#page-title")).to_be_focused()


def test_a_server_a_task_and_a_failure_by_keys_alone(
    own_yard: Callable[..., Yard], visit: Callable[..., Visitor], backend: Callable[..., Backend]
) -> None:
    mended = False

    def behave(_: dict[str, Any]) -> tuple[int, Any]:
        return (200, {"status": "success"}) if mended else (422, {"error": "width must be a multiple of 8"})

    yard, server = own_yard(), backend(behave)
    admin, page = yard.client("admin"), visit(yard).page
    page.goto("/signin")
    expect(page.get_by_label("Token")).to_be_focused()
    page.keyboard.insert_text(token("admin"))
    page.keyboard.press("Enter")
    expect(page.locator("#page-title")).to_have_text("Overview")

    go(page, "s", "Servers")
    reach(page, page.get_by_role("button", name="Add a server").first)
    page.keyboard.press("Enter")
    form = page.get_by_role("dialog")
    expect(form.get_by_label("Name")).to_be_focused()
    page.keyboard.insert_text("gpu-1")
    for label, text in (("Predict URL", server.endpoints["predict"]), ("Health URL", server.endpoints["health"])):
        reach(page, form.get_by_label(label))
        page.keyboard.insert_text(text)
    page.keyboard.press("Enter")
    expect(form.get_by_role("status")).to_contain_text("it takes tasks now")
    page.keyboard.press("Escape")
    expect(form).to_have_count(0)

    body = {"type": "ocr", "payload": {}, "capabilities": ["ocr"]}
    task = admin.post("/api/task", json=body).json()["id"]
    go(page, "t", "Tasks")
    expect(page.get_by_role("row", name=task[-6:])).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator(".verdict")).to_contain_text("No server has “ocr”")
    reach(page, page.get_by_role("button", name=": ocr"))
    page.keyboard.press("Enter")
    eventually(lambda: admin.get(f"/api/task/{task}").json()["status"] == "FAILED")

    go(page, "f", "Failures")
    expect(page.get_by_text("in 1 group", exact=False)).to_be_visible()
    mended = True
    page.keyboard.press("j")
    page.keyboard.press("r")
    form = page.get_by_role("dialog")
    expect(form).to_contain_text("Retry 1 task?")
    reach(page, form.get_by_role("button", name="Retry 1"))
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 task queued again.")).to_be_visible()
    eventually(lambda: admin.get(f"/api/task/{task}").json()["status"] == "COMPLETED")

    go(page, "b", "Balancing")
    card = page.locator(".option", has=page.get_by_role("heading", name="Least connections"))
    reach(page, card.get_by_role("button", name="Use this"))
    page.keyboard.press("Enter")
    expect(card).to_contain_text("in force")
    page.keyboard.press("Control+k")
    expect(page.get_by_role("dialog").locator("input")).to_be_focused()
    page.keyboard.insert_text(task)
    expect(page.get_by_role("option", name=task).first).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name=task)).to_be_visible()
