"""Asks a node at work for what the OpenAPI document shows as answers: `make answers`."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import structlog

from tests.contract.api.yard import Yard, eventually
from tests.web.workload import FLEET, Fleet, Work, registration

FILE = Path(__file__).parents[3] / "taskyard" / "api" / "answers.json"
# Of a list so many elements are shown; a column of figures has as many as its neighbours.
SHOWN = 2
PORT, FLEET_PORT = 8787, 9000


def short(answer: Any) -> Any:
    """An answer with its lists cut."""
    if isinstance(answer, list):
        return [short(one) for one in answer[:SHOWN]]
    if isinstance(answer, dict):
        return {name: short(value) for name, value in answer.items()}
    return answer


def asked(work: Work) -> dict[str, Any]:
    """The calls and their answers."""
    admin, tried = work.yard.client("admin", sub="ops"), work.ids["tried"]
    body = {"type": "txt2img", "payload": {"prompt": "a fern"}, "capabilities": ["stable-diffusion", "txt2img"]}
    found = {
        "POST /api/task": admin.post("/api/task", json=body),
        "POST /api/tasks": admin.post("/api/tasks", json={"tasks": [body, body]}),
        "GET /api/task/{id}/why": admin.get(f"/api/task/{work.waits()}/why"),
        "POST /api/task/{id}/cancel": admin.post(f"/api/task/{work.waits()}/cancel"),
        "GET /api/task/{id}": admin.get(f"/api/task/{tried}"),
        "POST /api/servers": admin.post("/api/servers", json=registration(FLEET[0], work.fleet)),
    }
    for path in (
        *("/api/tasks", "/api/servers", "/api/servers/{id}", "/api/servers/{id}/history", "/api/fleet", "/api/lanes"),
        *("/api/overview", "/api/failures", "/api/stats", "/api/loadbalancer/status", "/api/nodes"),
        *("/api/audit", "/api/session", "/health", "/ready"),
    ):
        found[f"GET {path}"] = admin.get(path.replace("{id}", "gpu-3"))
    for answer in found.values():
        answer.raise_for_status()
    return {call: short(answer.json()) for call, answer in found.items()}


def main() -> None:
    """Write them."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(FLEET_PORT)
        yard = Yard(Path(folder) / "data", port=PORT)
        work = Work(yard, fleet)
        work.begin()
        work.show()
        eventually(lambda: len(yard.client("admin").get("/api/failures?window=1h").json()["groups"]) > 2)
        found = asked(work)
        work.stop()
        yard.stop()
        fleet.stop()
    FILE.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(*found, sep="\n")


if __name__ == "__main__":
    main()
