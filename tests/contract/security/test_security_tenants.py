"""No call of one subject shows anything of another's, or changes it, or tells whether it is there."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskyard.api.app import TABLE
from taskyard.api.call import Call
from taskyard.api.operation import Operation
from tests.contract.api.yard import Backend, Yard, eventually
from tests.contract.security.tenants import NOWHERE, TASKS, Ask, Scene, beginning, findings, work

SUBMISSION = {"type": "{{type}}", "payload": {"word": "{{word}}"}, "group": NOWHERE}
FILTERS: tuple[dict[str, str], ...] = (
    {},
    {"type": "{{type}}"},
    {"tag": "{{tag}}"},
    {"capability": "{{capability}}"},
    {"owner": "{{owner}}"},
    {"q": "{{type}}"},
    *({"q": f"{{{{{task}}}}}"} for task in TASKS),
)
CHANGES = (
    *({"ids": [f"{{{{{task}}}}}" for task in TASKS], "dryRun": dry} for dry in (False, True)),
    *({"filter": one | {"status": ["PENDING", "PROCESSING", "FAILED", "CANCELLED"]}} for one in FILTERS),
    {"filter": {"type": "{{type}}"}, "dryRun": True},
)
REPORTS = tuple({"status": word, "result": 1} for word in ("COMPLETED", "FAILED", "CANCELLED", "PROCESSING"))
# Calls that take a body, and the bodies with which a stranger may try them.
BODIES: dict[tuple[str, str], tuple[object, ...]] = {
    ("POST", "/api/task"): (
        SUBMISSION,
        SUBMISSION | {"idempotencyKey": "{{key}}"},
        *(SUBMISSION | {"resubmitOf": f"{{{{{task}}}}}"} for task in TASKS),
    ),
    ("POST", "/api/tasks"): (
        {"tasks": [SUBMISSION, SUBMISSION | {"resubmitOf": "{{completed}}"}, {"idempotencyKey": "{{key}}"}]},
    ),
    ("PUT", "/api/task/{id}"): REPORTS,
    ("PUT", "/api/task/{id}/callback/{attempt}-{proof}"): REPORTS,
    ("POST", "/api/task/{id}/retry"): (None,),
    ("POST", "/api/task/{id}/cancel"): (None,),
    ("POST", "/api/task/{id}/purge"): (None,),
    ("POST", "/api/tasks/retry"): CHANGES,
    ("POST", "/api/tasks/cancel"): CHANGES,
}
QUERIES: tuple[tuple[tuple[str, str], ...], ...] = (
    (),
    (("include", "payload"), ("wait", "1")),
    (("cursor", "{{cursor}}"),),
    (("limit", "1"), ("status", "FAILED")),
    (("tasks", "{{completed}}"),),
    *(tuple(one.items()) for one in FILTERS if one),
)


def asks(operation: Operation) -> Iterator[Ask]:
    """What a stranger can try with an operation."""
    one = "{id}" in operation.path
    kinds = (*TASKS, "bulk") if operation.path.startswith("/api/task") else ("completed", "bulk")
    names = [f"{{{{{name}}}}}" for name in kinds] if one else [""]
    key = operation.method, operation.path
    for path in (operation.path, *operation.aliases):
        path = path.replace("{attempt}", "1").replace("{proof}", "p" * 24)
        for method in (operation.method, *operation.also):
            for name in names:
                where = path.replace("{id}", name)
                if operation.has_body:
                    for body in BODIES.get(key, (None,)):
                        yield Ask(method, where, body=body)
                else:
                    for query in QUERIES[:2] if one else QUERIES:
                        yield Ask(method, where, query)
    if operation.path == "/api/task":
        yield Ask("POST", "/api/task", headers=(("Idempotency-Key", "{{key}}"),), body=SUBMISSION)


ALL = [ask for operation in TABLE for ask in asks(operation)]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    yard = Yard(
        tmp_path_factory.mktemp("tenants") / "data", endpoint_allow=("127.0.0.0/8", "::1"), max_queued_per_sub=10_000
    )
    good, dying = Backend(work), Backend(work)
    try:
        made = Scene(yard, good, dying)
        # Its checks go on at the dead one, whose figures then stay as they are.
        admin = yard.client("admin")
        eventually(lambda: {"maintenance"} < {one["status"] for one in admin.get("/api/servers").json()["servers"]})
        yield made
    finally:
        yard.stop()
        good.stop()
        dying.stop()


def test_every_call_with_a_body_that_users_may_make_is_tried() -> None:
    users = [one for one in TABLE if one.has_body and (one.roles is None or "user" in one.roles)]
    assert set(BODIES) == {(one.method, one.path) for one in users}


def lasting(scene: Scene, ask: Ask) -> list[str]:
    """What is found of one call. Two answers may differ by a second that passed between them: what is read again and
    differs each time is no such thing.
    """
    found: list[str] = []
    for _ in range(3 if ask.method == "GET" else 1):
        found = findings(scene, [ask])
        if not found:
            break
    return found


@pytest.mark.parametrize("operation", TABLE, ids=lambda operation: f"{operation.method} {operation.path}")
def test_a_call_shows_and_changes_nothing_of_anothers(scene: Scene, operation: Operation) -> None:
    before = scene.owner.dump()
    for ask in asks(operation):
        assert lasting(scene, ask) == []
    assert scene.owner.dump() == before


@settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(ALL), min_size=2, max_size=4))
def test_calls_in_any_order_show_and_change_nothing_of_anothers(scene: Scene, script: list[Ask]) -> None:
    before = scene.owner.dump()
    assert findings(scene, script) == []
    assert scene.owner.dump() == before


def test_a_node_that_forgets_whose_a_task_is_is_found_out(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = [one for one in TABLE if one.method == "GET" and one.path.startswith(("/api/task", "/api/bulk"))]
    with monkeypatch.context() as broken:
        broken.setattr(Call, "owner", None)
        for operation in reads:
            assert any(findings(scene, [ask]) for ask in asks(operation)), operation.path


def test_no_user_sees_where_servers_are_nor_their_keys(scene: Scene) -> None:
    owner = scene.owner
    unreached = owner.client.get(f"/api/task/{owner.marks['unreached']}").json()
    assert "no connection" in unreached["history"][0]["error"]
    for operation in TABLE:
        for path in (operation.path, *operation.aliases) if operation.method == "GET" else ():
            for name in (*TASKS, "bulk") if "{id}" in path else ("",):
                with owner.client.stream("GET", path.replace("{id}", owner.marks.get(name, name))) as answer:
                    text = beginning(answer)
                assert not [one for one in scene.hidden if one in text], text
    for server in owner.client.get("/api/servers").json()["servers"]:
        for path in ("/api/servers/{}", "/api/servers/{}/metrics", "/api/stats/servers/{}"):
            answer = owner.client.get(path.format(server["id"]))
            assert answer.status_code == 200
            assert not [one for one in scene.hidden if one in answer.text], answer.text


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/metrics", "/openapi.json", "/docs", "/nowhere"])
def test_what_needs_no_token_shows_nothing_of_anybodys(scene: Scene, path: str) -> None:
    text = scene.anonymous.get(path).text
    assert not [one for one in scene.owner.words | scene.hidden if one in text]
