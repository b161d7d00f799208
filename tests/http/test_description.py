"""The description of the API: valid, named, complete, and the same in the repository as at the server."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import routing
from openapi_spec_validator import OpenAPIV31SpecValidator

from service.http.app import routed
from service.http.description import __main__ as description
from service.http.description.document import published
from service.http.description.names import NAMES
from tests.support.api import Json, Server, ok
from tests.support.project import ROOT

FILE = ROOT / "docs" / "openapi.json"
DOCUMENT: Json = published(routed())
OPERATIONS = {
    operation["operationId"]: operation for path in DOCUMENT["paths"].values() for operation in path.values()
}
# Names of schemas that tell of the code, not of the field.
OF_THE_CODE = re.compile(r"Row|Read$|Input|Output|^Body_|[^A-Za-z]")


def places(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a document with its place."""
    yield path, value
    match value:
        case dict():
            for key, part in value.items():
                yield from places(part, f"{path}/{key}")
        case list():
            for index, part in enumerate(value):
                yield from places(part, f"{path}/{index}")


def resolved(value: Json) -> Json:
    """The component that a reference names, or the value itself."""
    if "$ref" not in value:
        return value
    found = DOCUMENT
    for step in value["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def test_the_file_is_as_the_routes_are() -> None:
    assert FILE.read_bytes() == description.text(), "run script/openapi"


def test_the_server_serves_the_file(server: Server) -> None:
    assert ok(server.http.get("/openapi.json")) == json.loads(FILE.read_bytes())


def test_it_is_valid() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_each_reference_leads_to_a_component_and_each_component_is_referred_to() -> None:
    references = {value for place, value in places(DOCUMENT) if place.endswith("/$ref")}
    components = {
        f"#/components/{kind}/{name}"
        for kind, named in DOCUMENT["components"].items()
        if kind != "securitySchemes"
        for name in named
    }
    assert references == components


def test_no_schema_has_definitions_of_its_own() -> None:
    assert [place for place, _ in places(DOCUMENT) if place.endswith(("/$defs", "/definitions"))] == []


def test_every_body_of_a_request_is_a_schema_with_a_name() -> None:
    for name, operation in OPERATIONS.items():
        for content in operation.get("requestBody", {}).get("content", {}).values():
            one = content["schema"].get("anyOf", [content["schema"]])[0]
            assert set(one) == {"$ref"}, name


def test_patterns_are_those_of_ecmascript() -> None:
    patterns = [value for place, value in places(DOCUMENT) if place.endswith("/pattern")]
    assert patterns
    for pattern in patterns:
        assert not re.search(r"\\[zZAGQ]|\(\?[^:=!<]|[*+?}]\+|\[\[:", pattern), pattern


def test_names_of_schemas_are_those_of_the_field() -> None:
    assert [name for name in DOCUMENT["components"]["schemas"] if OF_THE_CODE.search(name)] == []


def test_every_other_name_is_in_use() -> None:
    assert set(NAMES.values()) <= set(DOCUMENT["components"]["schemas"])


def test_names_of_operations_are_short_and_unique() -> None:
    names = [operation["operationId"] for path in DOCUMENT["paths"].values() for operation in path.values()]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z]+){0,3}", name)] == []


def test_every_operation_is_in_one_group_that_has_a_text() -> None:
    groups = {group["name"] for group in DOCUMENT["tags"]}
    assert {len(operation["tags"]) for operation in OPERATIONS.values()} == {1}
    assert {operation["tags"][0] for operation in OPERATIONS.values()} == groups


def test_every_route_for_clients_is_described() -> None:
    described = {(method.upper(), path) for path, found in DOCUMENT["paths"].items() for method in found}
    routes = {
        (method, route.path_format)
        for route in routing.iter_route_contexts(routed().routes)
        if route.path is not None and route.path.startswith("/v1/")
        for method in route.methods or ()
    }
    assert routes
    assert routes <= described


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_answer_has_a_type_and_each_refusal_is_a_problem(name: str) -> None:
    for status, answer in OPERATIONS[name]["responses"].items():
        assert re.fullmatch("[2-5][0-9][0-9]", status)
        found = resolved(answer)
        assert found["description"]
        assert "X-Request-Id" in found["headers"]
        for media_type, content in found.get("content", {}).items():
            assert content["schema"], (status, media_type)
        if status[0] in "45":
            assert "application/problem+json" in found["content"]
            assert found["x-problem-codes"]


def test_a_field_of_a_merge_patch_has_no_default_that_a_client_would_send() -> None:
    patches = [
        resolved(one)
        for path in DOCUMENT["paths"].values()
        for content in path.get("patch", {}).get("requestBody", {}).get("content", {}).values()
        for one in content["schema"].get("anyOf", [content["schema"]])
    ]
    assert len(patches) > 6
    assert [place for patch in patches for place, _ in places(patch) if place.endswith("/default")] == []
