"""The dashboard at a node that does not decide: live, with who decides, through the death of the one that does."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Browser, Playwright, expect

from tests.nodes.backend import Backend
from tests.nodes.yard import Yard
from tests.support.nodes import token
from tests.web import conftest as web

playwright, browser = web.playwright, web.browser
pytestmark = pytest.mark.usefixtures("playwright")
expect.set_options(timeout=web.PATIENCE_MS)


def test_the_dashboard_stays_live_when_another_node_takes_over(
    nodes: Yard, served: Backend, browser: Browser, playwright: Playwright
) -> None:
    decider, one = nodes.decider(), nodes.others()[0]
    visitor = web.Visitor(browser, nodes.nodes[one].url, {"locale": "en-GB"})
    visitor.has(token("admin"))
    page = visitor.page
    page.goto("/")
    expect(page.locator(".live.is-live")).to_be_visible()
    where = page.locator(".rail .at-node")
    expect(where).to_contain_text(f"node{one}")
    expect(where).to_contain_text(f"node{decider} decides")
    nodes.nodes[decider].kill()
    expect(where).not_to_contain_text(f"node{decider} decides")
    expect(where).to_contain_text("decides")
    expect(page.locator(".live.is-live")).to_be_visible()
    # What the next one decides is seen without a look elsewhere.
    lane = "nobody has this one"
    nodes.submit(one, "quick", capabilities=[lane])
    expect(page.get_by_text(lane).first).to_be_visible()
    assert json.loads(visitor.context.request.get("/api/session").text())["roles"] == ["admin"]
    visitor.leave()
