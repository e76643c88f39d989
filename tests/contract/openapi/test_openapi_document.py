"""The document itself: valid by OpenAPI 3.1's own schema, and whole."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from tests.support.nodes import NodeProcess


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    node = NodeProcess(tmp_path_factory.mktemp("document") / "data")
    try:
        node.start()
        with node.client() as nobody:
            yield nobody.get("/openapi.json").json()
    finally:
        node.kill()


def _all(value: Any, name: str) -> Iterator[Any]:
    """Every value under this name, at any depth."""
    if isinstance(value, dict):
        for key, below in value.items():
            if key == name:
                yield below
            yield from _all(below, name)
    elif isinstance(value, list):
        for below in value:
            yield from _all(below, name)


def test_it_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert [error.message for error in OPENAPI_31_VALIDATOR.iter_errors(document)] == []


def test_a_wrong_one_is_not(document: dict[str, Any]) -> None:
    for wrong in (document | {"openapi": "2.0"}, document | {"info": {}}, document | {"paths": {"/x": {"get": 1}}}):
        assert list(OPENAPI_31_VALIDATOR.iter_errors(wrong))


def test_its_references_lead_somewhere(document: dict[str, Any]) -> None:
    refs = set(_all(document, "$ref"))
    assert refs
    for ref in refs:
        assert ref.startswith("#/")
        found: Any = document
        for step in ref[2:].split("/"):
            found = found[step]
    operations = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    links = [link["operationId"] for links in _all(document, "links") for link in links.values()]
    assert links
    assert set(links) <= operations


def test_every_variable_of_a_path_is_described(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            named = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
            assert named == set(re.findall(r"\{(\w+)\}", path))


def test_what_is_not_public_says_so(document: dict[str, Any]) -> None:
    """Outside of /api/ no token is asked for but by /ws; beneath it a proof or the body of a sign-in stands in for one,
    and a sign-out needs none."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            session = path == "/api/session" and method in ("post", "delete")
            free = not path.startswith(("/api/", "/ws")) or "{proof}" in path or session
            assert operation["security"] == ([] if free else [{"BearerAuth": []}]), path


def test_no_machine_of_ours_is_in_it(document: dict[str, Any]) -> None:
    assert str(Path.home()) not in str(document)
    assert document["servers"] == [{"url": "/"}]
