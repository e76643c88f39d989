"""The OpenAPI document, its page, and the vendored files."""

import hashlib
import json
import re
from importlib.resources import files
from typing import Any

import httpx
import pytest
from jsonschema_rs import Draft202012Validator

from taskyard.api.app import TABLE
from taskyard.api.examples import answers
from taskyard.domain.policies import POLICIES
from taskyard.wire.statistics import ALGORITHMS
from tests.contract.api.conftest import Crew
from tests.contract.api.yard import Yard

MAIN_CALLS = {
    *("POST /api/task", "POST /api/tasks", "GET /api/tasks", "GET /api/task/{id}", "GET /api/task/{id}/why"),
    *("POST /api/servers", "GET /api/servers", "GET /api/lanes", "GET /api/overview", "GET /api/failures"),
}
METHODS = ("get", "put", "post", "delete", "patch")


@pytest.fixture(scope="module")
def document(yard: Yard) -> dict[str, Any]:
    answer = yard.client().get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    shown: dict[str, Any] = answer.json()
    return shown


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    }


def test_it_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert {tag["name"] for tag in document["tags"]} >= {"Tasks", "Servers", "Statistics", "Load Balancer"}
    scheme = document["components"]["securitySchemes"]["BearerAuth"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")


def test_every_call_method_and_alias_is_in_it(document: dict[str, Any]) -> None:
    expected = {
        (method.lower(), path)
        for operation in TABLE
        for path in (operation.path, *operation.aliases)
        for method in (operation.method, *operation.also)
    }
    expected |= {("get", path) for path in ("/", "/health", "/ready", "/metrics", "/openapi.json")}
    expected |= {(method, "/api/session") for method in ("post", "get", "delete")}
    assert set(operations(document)) == expected


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    found = operations(document)
    ids = [operation["operationId"] for operation in found.values()]
    assert len(set(ids)) == len(ids)
    for (method, path), operation in found.items():
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["description"], where
        assert operation["tags"][0] in {tag["name"] for tag in document["tags"]}, where
        codes = set(operation["responses"])
        assert {"101" if path == "/ws" else "200", "400", "500", "503"} <= codes, where
        assert all(response["description"] for response in operation["responses"].values()), where
        if operation["security"]:
            assert operation["security"] == [{"BearerAuth": []}], where
            assert {"401", "403"} <= codes, where
        else:
            # A sign-in has its token in the body, and a sign-out needs none.
            assert not path.startswith("/api/") or "callback" in path or path == "/api/session", where
        if "requestBody" in operation:
            assert {"413", "415"} <= codes, where
        variables = set(re.findall(r"\{(\w+)\}", path))
        assert {entry["name"] for entry in operation["parameters"] if entry["in"] == "path"} == variables, where
        assert all(entry["description"] for entry in operation["parameters"]), where


def resolve(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    return {"components": document["components"], **schema}


def test_references_lead_somewhere_and_schemas_are_sound(document: dict[str, Any]) -> None:
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert names <= set(document["components"]["schemas"])
    for name in document["components"]["schemas"]:
        Draft202012Validator(resolve(document, {"$ref": f"#/components/schemas/{name}"}))


def test_examples_fit_their_schemas_and_work(document: dict[str, Any], yard: Yard) -> None:
    admin = yard.client("admin")
    seen = 0
    for (method, path), operation in operations(document).items():
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        for example in content.get("examples", {}).values():
            validator = Draft202012Validator(resolve(document, content["schema"]))
            assert validator.is_valid(example["value"]), (path, example)
            seen += 1
            if "{" not in path:
                answer = admin.request(method, path, json=example["value"], headers={"Prefer": "handling=strict"})
                assert answer.status_code == 200, answer.text
                if path == "/api/servers":
                    admin.delete(f"/api/servers/{answer.json()['serverId']}")
                if path.endswith("algorithm"):
                    admin.request(method, path, json={"algorithm": "weighted-round-robin"})
    assert seen > 10


def test_the_schema_knows_all_algorithms() -> None:
    assert list(POLICIES) == list(ALGORITHMS)


def test_real_answers_fit_their_schemas(document: dict[str, Any], direct: Crew, admin: httpx.Client) -> None:
    task = admin.post("/api/task", json=direct.submission(**{"async": False})).json()["id"]
    calls = {
        ("post", "/api/task"): ("/api/task", direct.submission()),
        ("post", "/api/tasks"): ("/api/tasks", {"tasks": [direct.submission(), {}]}),
        ("get", "/api/task/{id}"): (f"/api/task/{task}?include=payload", None),
        ("get", "/api/tasks"): ("/api/tasks", None),
        ("post", "/api/task/{id}/purge"): (f"/api/task/{task}/purge", None),
        ("post", "/api/tasks/cancel"): ("/api/tasks/cancel", {"ids": [task]}),
        ("get", "/api/servers"): ("/api/servers", None),
        ("get", "/api/servers/{id}"): (f"/api/servers/{direct.server_id}", None),
        ("post", "/api/servers/{id}/check"): (f"/api/servers/{direct.server_id}/check", {}),
        ("get", "/api/servers/{id}/metrics"): (f"/api/servers/{direct.server_id}/metrics", None),
        ("get", "/api/stats"): ("/api/stats", None),
        ("get", "/api/stats/hourly"): ("/api/stats/hourly", None),
        ("get", "/api/stats/servers/{id}"): (f"/api/stats/servers/{direct.server_id}", None),
        ("get", "/api/loadbalancer/status"): ("/api/loadbalancer/status", None),
        ("get", "/health"): ("/health", None),
    }
    found = operations(document)
    for (method, path), (url, body) in calls.items():
        answer = admin.request(method, url, json=body)
        assert answer.status_code == 200, answer.text
        schema = found[method, path]["responses"]["200"]["content"]["application/json"]["schema"]
        errors = [error.message for error in Draft202012Validator(resolve(document, schema)).iter_errors(answer.json())]
        assert not errors, (path, errors)
    refused = admin.get("/api/task/none")
    schema = found["get", "/api/task/{id}"]["responses"]["404"]["content"]["application/json"]["schema"]
    assert Draft202012Validator(resolve(document, schema)).is_valid(refused.json())


def test_answers_that_are_shown_fit_the_types_that_answer(document: dict[str, Any]) -> None:
    shown = answers()
    assert set(shown) >= MAIN_CALLS
    for call, answer in shown.items():
        method, path = call.lower().split(" ")
        content = document["paths"][path][method]["responses"]["200"]["content"]["application/json"]
        assert content["example"] == answer, call
        schema = resolve(document, content["schema"])
        errors = [error.message for error in Draft202012Validator(schema).iter_errors(answer)]
        assert not errors, (call, errors)
        kinds = [kind["$ref"].rpartition("/")[2] for kind in content["schema"].get("anyOf", [content["schema"]])]
        known = [set(document["components"]["schemas"][kind]["properties"]) for kind in kinds]
        assert any(set(answer) <= members for members in known), call


def test_the_page_loads_only_from_here(yard: Yard) -> None:
    anyone = yard.client()
    page = anyone.get("/docs").text
    paths = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(paths) >= 4
    for path in paths:
        assert path.startswith("/")
        answer = anyone.get(path)
        assert answer.status_code == 200
        assert answer.content
    media = {path: anyone.get(path).headers["content-type"].partition(";")[0] for path in paths}
    assert media["/docs/swagger-ui.css"] == "text/css"
    assert media["/docs/swagger-ui-bundle.js"] == media["/docs/docs.js"] == "text/javascript"
    assert '"/openapi.json"' in anyone.get("/docs/docs.js").text


def test_files_are_not_sent_twice(yard: Yard) -> None:
    anyone = yard.client()
    first = anyone.get("/docs/swagger-ui.css")
    again = anyone.get("/docs/swagger-ui.css", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert anyone.get("/docs/swagger-ui.css", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/docs/vendor.json", "/docs/../app.py", "/static/", "/docs/%2e%2e/app.py", "/static/x"]
)
def test_no_other_file_is_served(yard: Yard, path: str) -> None:
    assert yard.client().get(path).status_code == 404


def test_vendored_files_are_what_they_say() -> None:
    static = files("taskyard.api") / "static"
    entries = json.loads((static / "vendor.json").read_text())
    listed = set()
    for entry in entries:
        assert {"name", "version", "license", "source", "files"} <= entry.keys()
        for name, digest in entry["files"].items():
            assert hashlib.sha256((static / name).read_bytes()).hexdigest() == digest, name
            listed.add(name)
    own = {"vendor.json", "docs.html", "docs.js"}
    assert {path.name for path in static.iterdir()} == listed | own
    assert any("LICENSE" in name for name in listed)
