"""The OpenAPI 3.1 document, made from the table of operations and from the types that validate."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from taskyard.api.examples import answers
from taskyard.api.operation import ANYONE, Operation
from taskyard.wire.base import Answer, Refused

_REF = "#/components/schemas/"
_PARAMETER = re.compile(r"\{(\w+)\}")
# What a header can carry: no control characters, and no space at its ends.
_HEADER_TEXT = r"^[^\u0000-\u0020\u007f]([^\u0000-\u001f\u007f]*[^\u0000-\u0020\u007f])?$"

TAGS = {
    "Tasks": "Submit tasks, follow them, cancel or retry them.",
    "Servers": "The backend servers that do the work.",
    "Statistics": "Figures of the whole yard.",
    "Events": "What changes, as it does.",
    "Load Balancer": "How servers are picked.",
    "Session": "A browser's session: a token kept in a cookie.",
    "Node": "The node itself. No token is needed, but for `/metrics` from another machine.",
}
DESCRIPTION = """
Tasks in, the right server picked, results out.

- JSON with names in camelCase. Times are integer milliseconds since the epoch, durations integer milliseconds, rates
  and loads 0-1, scores 0-100. A figure without data is 0, an absent value is `null`; `null` in a request means absent.
- With a Bearer token the body is read as JSON whatever `Content-Type` says. A compressed body is refused (415).
- An unknown member is ignored and named in `warnings`; with `Prefer: handling=strict` it is 400.
- `X-Request-ID` (up to 64 of `A-Z a-z 0-9 . _ -`) is taken over or made, and is on every answer.
- Errors are `{"error", "details", "requestId"}`; 429 and 503 carry `Retry-After`.
- The role `user` sees its own tasks, `service` registers servers and reports on attempts, `admin` may do everything.
"""
_PARAMETERS: dict[str, tuple[str, dict[str, Any]]] = {
    "id": ("The id.", {"type": "string", "minLength": 1}),
    "attempt": ("The attempt's number.", {"type": "integer", "minimum": 1}),
    "proof": ("The attempt's proof.", {"type": "string", "minLength": 16, "pattern": "^[A-Za-z0-9_-]+$"}),
}
_COMMON = {
    400: "The request is malformed; `details` names the member and the mend.",
    500: "A fault of the node; the log has it under the request id.",
    503: "The node sheds work or drains; come again after `Retry-After`.",
}
_AUTH = {401: "No token, or a bad one.", 403: "The token's role may not."}
_WITH_BODY = {408: "The body took too long.", 413: "The body is too large.", 415: "The body is compressed."}
_HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": {"description": "The request's id.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
}


_ANSWERS = answers()

# One event of a stream: of an answer that comes in events the schema is that of each (OpenAPI 3.1).
_EVENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "event": {"type": "string"},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "id": {"type": "string"},
    },
}


def _types(operations: Iterable[Operation]) -> list[type]:
    found: dict[type, None] = {Refused: None}
    for operation in operations:
        if operation.has_body and operation.takes.model.__struct_fields__:
            found[operation.takes.model] = None
        for kind in operation.answers:
            found[kind] = None
    return list(found)


def _tidy(schema: Any) -> Any:
    """msgspec's schema as readers expect it: unknown members are allowed, patterns as JavaScript has them."""
    if isinstance(schema, list):
        return [_tidy(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {name: _tidy(part) for name, part in schema.items() if name != "additionalProperties" or part is not False}
    if isinstance(tidy.get("pattern"), str):
        tidy["pattern"] = tidy["pattern"].replace(r"(?!\n)$", "$")
    if tidy.get("default", 0) is None:
        del tidy["default"]
    return tidy


def _schema_of(kinds: Sequence[type[Answer]]) -> dict[str, Any]:
    refs = [{"$ref": _REF + kind.__name__} for kind in kinds]
    return refs[0] if len(refs) == 1 else {"anyOf": refs}


def _parameters(operation: Operation, path: str) -> list[dict[str, Any]]:
    found = []
    for name in _PARAMETER.findall(path):
        words, schema = _PARAMETERS[name]
        found.append({"name": name, "in": "path", "required": True, "description": words, "schema": schema})
    if operation.has_body:
        if operation.path == "/api/task":
            key = {"type": "string", "minLength": 1, "maxLength": 128, "pattern": _HEADER_TEXT}
            words = "Makes repeating this submission safe for 24 h."
            found.append({"name": "Idempotency-Key", "in": "header", "description": words, "schema": key})
        return found
    model = operation.takes.model
    _, components = msgspec.json.schema_components([model], ref_template=_REF + "{name}")
    required = components[model.__name__].get("required", ())
    for name, schema in _tidy(components[model.__name__]).get("properties", {}).items():
        # A parameter is absent, never null.
        choices = [choice for choice in schema.get("anyOf", [schema]) if choice != {"type": "null"}]
        plain = {**{k: v for k, v in schema.items() if k not in ("anyOf", "title")}, **choices[0]}
        words = schema.get("description") or plain.get("description", "")
        plain.pop("description", None)
        entry: dict[str, Any] = {"name": name, "in": "query", "description": words, "schema": plain}
        if name in required:
            entry["required"] = True
        if plain.get("type") == "array":
            entry |= {"style": "form", "explode": False}
        found.append(entry)
    return found


def _error(words: str, code: int) -> dict[str, Any]:
    names = ["X-Request-ID", "Retry-After"] if code in (429, 503) else ["X-Request-ID"]
    return {
        "description": words,
        "headers": {name: _HEADERS[name] for name in names},
        "content": {"application/json": {"schema": {"$ref": _REF + Refused.__name__}}},
    }


# What an answer gives to go on with: operation -> (pointer into its answer, where the value goes).
_LEADS: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    ("POST", "/api/task"): ("id", ("/api/task/{id}",)),
    ("POST", "/api/servers"): ("serverId", ("/api/servers/{id}", "/api/stats/servers/{id}", "/api/stats/server/{id}")),
    ("POST", "/api/tasks/retry"): ("bulkId", ("/api/bulk/{id}",)),
    ("POST", "/api/tasks/cancel"): ("bulkId", ("/api/bulk/{id}",)),
}


def _link(paths: dict[str, dict[str, Any]]) -> None:
    """Say which operations can follow which."""
    for (method, path), (pointer, starts) in _LEADS.items():
        links = {}
        for target, methods in paths.items():
            if target.startswith(starts) and "{proof}" not in target:
                for operation in methods.values():
                    name = operation["operationId"]
                    links[name] = {"operationId": name, "parameters": {"id": f"$response.body#/{pointer}"}}
        paths[path][method.lower()]["responses"]["200"]["links"] = links


def _answers(operation: Operation) -> dict[str, Any]:
    schema: dict[str, Any] = {} if not operation.answers else _schema_of(operation.answers)
    if operation.media != "application/json":
        schema = _EVENT if operation.media == "text/event-stream" else {"type": "string"}
    good: dict[str, Any] = {
        "description": "Done.",
        "headers": {"X-Request-ID": _HEADERS["X-Request-ID"]},
        "content": {operation.media: {"schema": schema}},
    }
    answer = _ANSWERS.get(f"{operation.method} {operation.path}")
    if answer is not None:
        good["content"][operation.media]["example"] = answer
    found: dict[str, Any] = {"200": good}
    if operation.upgrades:
        found = {"101": {"description": "From now on the connection is a WebSocket."}}
    if operation.path == "/":
        good["content"]["text/html"] = {"schema": {"type": "string"}}
    errors = dict(_COMMON)
    if operation.roles is not None:
        errors |= _AUTH
    if operation.has_body:
        errors |= _WITH_BODY
    errors |= operation.errors
    for code in sorted(errors):
        found[str(code)] = _error(errors[code], code)
    return found


def _operation(operation: Operation, method: str, path: str, first: bool) -> dict[str, Any]:
    words = operation.handler.__name__
    suffix = re.sub(r"\W+", "_", f"{method.lower()}_{path}").strip("_")
    roles = operation.roles
    allowed = "" if roles is None or roles == ANYONE else f"\n\nFor: {', '.join(sorted(roles))}."
    same = "" if first else f"\n\nAn alias of `{operation.method} {operation.path}`, which is preferred."
    shown: dict[str, Any] = {
        "tags": [operation.tag],
        "summary": operation.summary if first else f"{operation.summary} (alias)",
        "description": operation.description + allowed + same,
        "operationId": f"{words}_{suffix}",
        "parameters": _parameters(operation, path),
        "responses": _answers(operation),
        "security": [] if roles is None else [{"BearerAuth": []}],
    }
    if operation.has_body:
        model = operation.takes.model
        empty = not model.__struct_fields__
        content: dict[str, Any] = {"schema": {"type": "object"} if empty else {"$ref": _REF + model.__name__}}
        if operation.examples:
            content["examples"] = {
                f"example{number}": {"summary": example.summary, "value": example.value}
                for number, example in enumerate(operation.examples, 1)
            }
        shown["requestBody"] = {
            "required": bool(model.rule) or not operation.takes.optional,
            "content": {"application/json": content},
        }
    return shown


def document(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """The document as plain data."""
    shown = [operation for operation in operations if not operation.hidden]
    _, components = msgspec.json.schema_components(_types(shown), ref_template=_REF + "{name}")
    rules = {
        model.__name__: model.rule for model in (operation.takes.model for operation in shown if operation.has_body)
    }
    paths: dict[str, dict[str, Any]] = {}
    for operation in shown:
        for path in (operation.path, *operation.aliases):
            for method in (operation.method, *operation.also):
                first = path == operation.path and method == operation.method
                paths.setdefault(path, {})[method.lower()] = _operation(operation, method, path, first)
    _link(paths)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Taskyard",
            "version": version,
            "description": DESCRIPTION.strip(),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": words} for name, words in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": {name: _tidy(schema) | rules.get(name, {}) for name, schema in sorted(components.items())},
            "securitySchemes": {
                "BearerAuth": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A JWT under HS256 with `sub`, `exp` and `roles`. `taskyard token` makes one.",
                }
            },
        },
    }
