"""A node with something on every page, and texts as long as they may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from tests.contract.api.yard import Backend, Yard, eventually

# Of the texts in many languages one is enough: an island has its own alphabet, and no page knows it.
LONG = "Þverárhlíðarvegamótasteinn" * 4


class Scene:
    """A node with something on every page: servers well and not, tasks in every state, failures, changes."""

    def __init__(self, data_dir: Path) -> None:
        self.yard = Yard(data_dir)
        self.good = Backend()
        self.bad = Backend(lambda _: (422, {"error": f"width must be a multiple of 8\n{LONG}"}))
        self.slow = Backend(lambda _: (202, {"status": "accepted"}))
        admin = self.yard.client("admin")
        for name in ("good", "bad", "slow"):
            endpoints = getattr(self, name).endpoints
            admin.post("/api/servers", json={"id": name, "name": name, "endpoints": endpoints, "capabilities": [name]})
        away = {"predict": "http://127.0.0.1:9/predict", "health": "http://127.0.0.1:9/health"}
        admin.post("/api/servers", json={"id": "away", "name": LONG, "endpoints": away, "capabilities": [LONG[:60]]})
        admin.post("/api/servers/away/maintenance", json={"maintenance": True, "reason": LONG})
        self.ids: dict[str, str] = {}
        for name in ("good", "bad", "slow", "nobody"):
            body = {
                "type": f"{name}-{LONG}"[:120],
                "payload": {"text": LONG},
                "capabilities": [name],
                "tags": [LONG[:64]],
            }
            self.ids[name] = admin.post("/api/task", json=body | {"metadata": {"a": LONG}}).json()["id"]
        for name, status in (("good", "COMPLETED"), ("bad", "FAILED"), ("slow", "PROCESSING")):
            eventually(lambda name=name, status=status: self.status(name) == status)  # type: ignore[misc]
        self.pages = [
            *("/", "/tasks", "/servers", "/servers/away", "/failures", "/balance", "/stats"),
            *("/system", "/system?tab=settings", "/system?tab=audit"),
            *(f"/task/{self.ids[name]}" for name in ("good", "bad", "nobody")),
        ]

    def status(self, name: str) -> Any:
        return self.yard.client("admin").get(f"/api/task/{self.ids[name]}").json()["status"]

    def stop(self) -> None:
        self.yard.stop()
        for server in (self.good, self.bad, self.slow):
            server.stop()


def opened(page: Page, path: str) -> None:
    """Go to a page and wait until it shows what it has."""
    page.goto(path)
    expect(page.locator("#page-title")).to_be_visible()
    expect(page.locator(".loading")).to_have_count(0)
