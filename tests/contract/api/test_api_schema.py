"""schemathesis over the OpenAPI document, with all three roles: whatever it makes up, the answers are as documented.

Valid calls get ids of real things, so that they reach the core: at least 30 % of them must succeed, for each operation.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from taskyard.api.app import TABLE
from tests.contract.api.test_api_roles import EXPECTED
from tests.contract.api.yard import Backend, Yard, accept, eventually, fresh

ROLES = ("admin", "user", "service")
LOOPBACK = ("127.0.0.0/8", "::1")


class Stage:
    """A node with things to call, and the share of calls that succeed."""

    def __init__(self, yard: Yard, backend: Backend) -> None:
        self.yard = yard
        self.backend = backend
        self.clients = {role: yard.client(role, sub=f"fuzz-{role}") for role in ROLES}
        self.spare = Backend()
        self.server = ""
        self.document: Any = schemathesis.openapi.from_url(f"{yard.url}/openapi.json")

    def task(self, role: str, skill: str = "nobody") -> str:
        """A fresh task that the role may see."""
        owner = self.clients["user" if role == "service" else role]
        answer = owner.post("/api/task", json={"type": "t", "payload": {}, "capabilities": [skill]})
        task_id: str = answer.json()["id"]
        return task_id

    def running(self, role: str) -> tuple[str, int, str]:
        """A task at work, the number of its attempt, and its proof.

        On a server of its own: one that hands tasks back (CANCELLED, PENDING) pauses, each time longer. With room for
        more: made-up tasks without capabilities run on any server, and nobody ends them.
        """
        skill = fresh("skill")
        endpoints = self.backend.endpoints | {"predict": f"{self.backend.url}/{skill}"}
        worker = {"name": skill, "endpoints": endpoints, "capabilities": [skill], "maxConcurrent": 10_000}
        self.clients["admin"].post("/api/servers", json=worker).raise_for_status()
        task_id = self.task(role, skill)
        attempt, _, proof = self.backend.task(task_id)["callback_url"].rpartition("/")[2].partition("-")
        return task_id, int(attempt), proof

    def task_for(self, role: str, label: str) -> str:
        """A task in a state in which the operation can succeed."""
        if label == "PUT /api/task/{id}" and role == "service":
            return self.running(role)[0]
        task_id = self.task(role)
        client = self.clients[role]
        if label.endswith(("/retry", "/purge")):
            client.post(f"/api/task/{task_id}/cancel")
        if label.endswith("/result"):
            client.put(f"/api/task/{task_id}", json={"status": "COMPLETED", "result": 1})
        return task_id

    def register(self, role: str) -> str:
        """A fresh server that calls may change, instead of the last one."""
        given = {"name": "spare", "endpoints": self.spare.endpoints | {"predict": f"{self.spare.url}/{uuid4().hex}"}}
        self.clients["admin"].delete(f"/api/servers/{self.server}")
        server_id: str = self.clients[role].post("/api/servers", json=given).json()["serverId"]
        return server_id

    def job(self, role: str) -> str:
        """A bulk job: more than 500 tasks make one."""
        client = self.clients[role]
        kind = fresh("kind")
        body = {"type": kind, "payload": {}, "capabilities": ["nobody"]}
        client.post("/api/tasks", json={"tasks": [body] * 501})
        bulk_id: str = client.post("/api/tasks/cancel", json={"filter": {"type": kind}}).json()["bulkId"]
        return bulk_id

    def rest(self, case: Any) -> None:
        """Wait for what would get in the way of a call: one backup runs at a time."""
        if case.operation.label == "POST /api/backup":
            admin = self.clients["admin"]
            eventually(lambda: admin.get("/api/backup").json().get("state") != "running")

    def aim(self, case: Any, role: str, job: str | None) -> None:
        """Give a valid call the id of a real thing, and take out what cannot be right by chance."""
        label = case.operation.label
        if "{proof}" in label:
            task_id, attempt, proof = self.running("user")
            case.path_parameters = {"id": task_id, "attempt": attempt, "proof": proof}
        elif "/api/task/{id}" in label:
            case.path_parameters["id"] = self.task_for(role, label)
        elif "/api/bulk/" in label and job is not None:
            case.path_parameters["id"] = job
        elif "{id}" in label:
            case.path_parameters["id"] = self.server = self.register(role if role == "admin" else "service")
        case.query.pop("cursor", None)
        case.headers.pop("Idempotency-Key", None)
        if isinstance(case.body, dict):
            case.body.pop("resubmitOf", None)
            if "idempotencyKey" in case.body:
                case.body["idempotencyKey"] = uuid4().hex
            # A server that is known belongs to whoever registered it; and none of them is elsewhere.
            if label == "POST /api/servers":
                case.body.pop("id", None)
            if isinstance(case.body.get("endpoints"), dict):
                for name in case.body["endpoints"]:
                    case.body["endpoints"][name] = f"http://127.0.0.1:9/{uuid4().hex}"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    # What is made up as an address is never connected to.
    # Streams end soon: schemathesis reads answers to their end.
    brief = {"sync_wait_max": 50, "event_interval": 10, "event_lifetime": 30}
    yard = Yard(tmp_path_factory.mktemp("schema") / "data", endpoint_allow=LOOPBACK, **brief)
    backend = Backend(accept)
    made = Stage(yard, backend)
    yield made
    yard.stop()
    backend.stop()
    made.spare.stop()


def labels() -> list[str]:
    """All operations, from the table itself: the document is made of it. A WebSocket is nothing to call."""
    return [
        f"{method} {path}"
        for operation in TABLE
        if not operation.upgrades
        for path in (operation.path, *operation.aliases)
        for method in (operation.method, *operation.also)
    ] + [f"GET {path}" for path in ("/", "/health", "/ready", "/metrics", "/openapi.json")]


def run(operation: Any, mode: GenerationMode, examples: int, call: Callable[[Any], None]) -> None:
    """Call the operation with made-up data."""
    strategy = operation.as_strategy(generation_mode=mode)

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def each(case: Any) -> None:
        call(case)

    each()


def headers(stage: Stage, role: str) -> dict[str, str]:
    return {"Authorization": stage.clients[role].headers["authorization"]}


@pytest.mark.parametrize("label", labels())
@pytest.mark.parametrize("role", ROLES)
def test_valid_calls(stage: Stage, role: str, label: str) -> None:
    operation = stage.document.find_operation_by_label(label)
    path = label.partition(" ")[2]
    allowed = not operation.definition.raw["security"] or role_may(label, role)
    job = stage.job(role) if "/api/bulk/" in path and allowed else None
    codes: Counter[int] = Counter()

    def call(case: Any) -> None:
        stage.rest(case)
        if allowed:
            stage.aim(case, role, job)
        answer = case.call(headers=headers(stage, role))
        codes[answer.status_code] += 1
        case.validate_response(answer)
        assert answer.status_code < 500, answer.text

    run(operation, GenerationMode.POSITIVE, 6, call)
    if allowed:
        good = sum(count for code, count in codes.items() if 200 <= code < 300)
        assert good >= 0.3 * codes.total(), (label, codes)
    else:
        assert set(codes) == {403}, (label, codes)


def role_may(label: str, role: str) -> bool:
    for operation in TABLE:
        for path in (operation.path, *operation.aliases):
            for method in (operation.method, *operation.also):
                if label == f"{method} {path}":
                    roles = EXPECTED[operation.method, operation.path]
                    return roles is None or role in roles
    return True


@pytest.mark.parametrize("label", [label for label in labels() if label.startswith("GET /api/") or label[:3] != "GET"])
def test_invalid_calls(stage: Stage, label: str) -> None:
    operation = stage.document.find_operation_by_label(label)

    def call(case: Any) -> None:
        stage.rest(case)
        # Otherwise unknown members and parameters are only warned of.
        answer = case.call(headers=headers(stage, "admin") | {"Prefer": "handling=strict"})
        case.validate_response(answer)
        assert answer.status_code < 500, answer.text

    run(operation, GenerationMode.NEGATIVE, 6, call)


def test_calls_that_follow_each_other(stage: Stage) -> None:
    machine = stage.document.as_state_machine()

    class Walk(machine):  # type: ignore[misc, valid-type]
        def before_call(self, case: Any) -> None:
            stage.rest(case)

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": headers(stage, "admin")}

        def validate_response(self, response: Any, case: Any, additional_checks: Any = (), **kwargs: Any) -> None:
            assert response.status_code < 500, response.text
            # Made-up cursors are damaged, made-up keys are used twice. Every call here has a token.
            # Members that are not known are only warned of.
            checks = schemathesis.checks
            excluded = [checks.positive_data_acceptance, checks.negative_data_rejection]
            case.validate_response(response, excluded_checks=excluded)

    Walk.run(
        settings=settings(
            max_examples=15,
            stateful_step_count=8,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
    )
