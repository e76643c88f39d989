"""What schemathesis loads (SCHEMATHESIS_HOOKS): fills generated requests with things that exist, and writes down for
each answer which call it was to. Its settings are environment variables: OPENAPI_ROLE, OPENAPI_URL, OPENAPI_TALLY."""

import json
import os
import random
from typing import Any

import httpx
import schemathesis
from schemathesis.core.parameters import ParameterLocation

from taskyard.api.app import TABLE
from tests.contract.openapi.seeds import Seeds
from tests.support.accepting import Accepting
from tests.support.nodes import token

ROLE = os.environ["OPENAPI_ROLE"]
URL = os.environ["OPENAPI_URL"]
TALLY = open(os.environ["OPENAPI_TALLY"], "a", buffering=1)  # noqa: SIM115 - open as long as the process lives
# One request in so many keeps the ids that were generated: those of nothing.
STRAY = 8
# What only some states of a task allow: an id from an earlier answer is seldom in one of them.
NEEDS_A_STATE = (
    "/result",
    "/retry",
    "/cancel",
    "/purge",
    "/why",
    "DELETE /api/task/{id}",
    "PUT /api/task/{id}",
    "{proof}",
)
ALLOWED = {
    f"{method} {path}": operation.roles
    for operation in TABLE
    for path in (operation.path, *operation.aliases)
    for method in (operation.method, *operation.also)
}


def _client(role: str, sub: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token(role, sub=sub)}"}
    return httpx.Client(base_url=URL, headers=headers, timeout=10, trust_env=False, verify=False)


class _Filled:
    """The seeds, made at the first use: the hooks are loaded before anything is asked."""

    seeds: Seeds | None = None

    def get(self) -> Seeds:
        if self.seeds is None:
            backend = Accepting()
            backend.__enter__()
            mine = _client(ROLE, ROLE)
            user = mine if ROLE != "service" else _client("user", "seeder")
            service = mine if ROLE != "user" else _client("service", "seeder")
            self.seeds = Seeds(mine, user, service, backend)
        return self.seeds


FILLED = _Filled()
RANDOM = random.Random(1)


def _may(call: str) -> bool:
    allowed = ALLOWED.get(call)
    return allowed is None or ROLE in allowed


def _positive(case: Any, location: ParameterLocation) -> bool:
    component = case.meta.components.get(location) if case.meta else None
    return component is None or component.mode.is_positive


@schemathesis.hook
def before_call(ctx: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Give the request something to be about."""
    call = f"{case.method.upper()} {case.operation.path}"
    if not _may(call):
        return
    seeds = FILLED.get()
    if call in ("POST /api/session", "DELETE /api/session"):  # what browsers add by themselves
        case.headers = {**(case.headers or {}), "Origin": URL, "Content-Type": "application/json"}
    if case.path_parameters and _positive(case, ParameterLocation.PATH):
        given = str(case.path_parameters.get("id"))
        fits = given in seeds.real and not call.endswith(NEEDS_A_STATE)
        if not fits and RANDOM.randrange(STRAY):
            case.path_parameters = _path_parameters(seeds, call, case.path_parameters)
    if isinstance(case.body, dict) and _positive(case, ParameterLocation.BODY):
        _fill_body(seeds, case)
    if call == "GET /api/tasks" and case.query and "cursor" in case.query and _positive(case, ParameterLocation.QUERY):
        case.query["cursor"] = seeds.cursor()
    if call == "GET /api/audit" and case.query and _positive(case, ParameterLocation.QUERY):
        case.query.pop("cursor", None)


def _path_parameters(seeds: Seeds, call: str, given: dict[str, Any]) -> dict[str, Any]:
    method, _, path = call.partition(" ")
    if path == "/api/task/{id}/callback/{attempt}-{proof}":
        task, attempt, proof = seeds.accepted()
        return {"id": task, "attempt": attempt, "proof": proof}
    if path == "/api/task/{id}" and method == "PUT" and ROLE == "service":
        return {"id": seeds.accepted()[0]}
    makers = {
        "/api/task/{id}": seeds.pending,
        "/api/task/{id}/cancel": seeds.pending,
        "/api/task/{id}/why": seeds.pending,
        "/api/task/{id}/result": seeds.completed,
        "/api/task/{id}/retry": seeds.ended,
        "/api/task/{id}/purge": seeds.ended,
        "/api/bulk/{id}": seeds.job,
    }
    if path in makers:
        return {"id": makers[path]()}
    if call == "DELETE /api/servers/{id}":
        return {"id": seeds.new_server()}
    return {"id": seeds.server()} if "/server" in path else given


def _fill_body(seeds: Seeds, case: Any) -> None:
    body, path = case.body, case.operation.path
    if path == "/api/task":
        _make_keys_fresh(case)
    if path == "/api/session" and "token" in body:
        body["token"] = token(ROLE, sub=ROLE)
    if isinstance(body.get("endpoints"), dict):
        real = seeds.endpoints()
        body["endpoints"] |= {name: real[name] for name in ("predict", "health") if name in body["endpoints"]}
        for name in ("metrics", "cancel"):
            if body["endpoints"].get(name) is not None:
                body["endpoints"][name] = real["predict"]
    if path in ("/api/task", "/api/tasks") and body.get("resubmitOf") is not None:
        body["resubmitOf"] = seeds.pending()


def _make_keys_fresh(case: Any) -> None:
    """A key that was used for another body is refused, and so are two different ones."""
    fresh = f"-{RANDOM.getrandbits(64):x}"
    if case.body.get("idempotencyKey") is not None:
        case.body["idempotencyKey"] = case.body["idempotencyKey"][:64] + fresh
        if case.headers:
            case.headers.pop("Idempotency-Key", None)
    elif case.headers and "Idempotency-Key" in case.headers and _positive(case, ParameterLocation.HEADER):
        case.headers["Idempotency-Key"] = case.headers["Idempotency-Key"][:64] + fresh


@schemathesis.check
def role_is_enforced(ctx: Any, response: Any, case: Any) -> None:
    """A role that may not is refused, and nothing else is; and the tally of what came back."""
    call = f"{case.method.upper()} {case.operation.path}"
    if not _may(call):
        # 401: schemathesis has left the token out.
        assert response.status_code in (401, 403), f"{ROLE} got {response.status_code} from {call}"
        return
    positive = case.meta is not None and case.meta.generation.mode.is_positive
    TALLY.write(json.dumps({"call": call, "status": response.status_code, "positive": positive}) + "\n")
