"""Comparison of the answers that tests get with the description of the API."""

import re
from collections import Counter
from functools import cache, lru_cache
from typing import Any

import httpx
from openapi_schema_validator import OAS31Validator

from service.http.app import routed
from service.http.description.document import published
from service.http.problems import MEDIA_TYPE

Json = dict[str, Any]

# Headers of HTTP itself, of caches and of browsers. They are no part of the contract with a client's code.
OF_TRANSPORT = frozenset(
    {
        *("connection", "content-length", "content-type", "date", "server", "transfer-encoding", "vary"),
        *("cache-control", "strict-transport-security", "x-content-type-options"),
    }
)
# So many bodies of each kind of answer are compared with their schema: each comparison takes milliseconds.
BODIES_EACH = 3
_compared: Counter[tuple[str, str]] = Counter()


def check(response: httpx.Response) -> None:
    """Assert that the description has this answer: status, media type, headers, code and form of the body.

    An answer to something that no operation is, and a fault of the server, are not compared.
    """
    found = _operation(response.request.method.replace("HEAD", "GET").lower(), response.request.url.path)
    if found is None or response.status_code in (405, 500):
        return
    name, operation = found
    what = f"{name} answers {response.status_code}"
    declared = operation["responses"].get(str(response.status_code))
    assert declared is not None, f"{what}, which is not in the description"
    declared = _resolved(declared)
    sent = {header for header in response.headers if not header.startswith("access-control-")} - OF_TRANSPORT
    headers = {header.lower(): _resolved(about) for header, about in declared.get("headers", {}).items()}
    assert sent <= set(headers), f"{what} with {sent - set(headers)}, which are not in the description"
    missing = {header for header, about in headers.items() if about.get("required")} - sent
    assert not missing, f"{what} without {missing}"
    if response.request.method != "HEAD":
        _check_body(response, declared.get("content", {}), declared.get("x-problem-codes", ()), name, what)


def _check_body(response: httpx.Response, content: Json, codes: list[str], name: str, what: str) -> None:
    media_type = response.headers.get("content-type", "").partition(";")[0]
    if not content:
        assert not media_type, f"{what} with a body, which is not in the description"
        return
    assert media_type in content, f"{what} with {media_type}, which is not in the description"
    if media_type == MEDIA_TYPE:
        code = response.read() and response.json()["code"]
        assert code in codes, f"{what} with the code {code}, which is not in the description"
    elif not media_type.endswith("json") or media_type.endswith("ndjson"):
        # A file is streamed: reading it here would take its end from the test.
        return
    about = (name, f"{response.status_code} {response.json()['code'] if media_type == MEDIA_TYPE else ''}")
    _compared[about] += 1
    if _compared[about] <= BODIES_EACH:
        response.read()
        faults = list(_validator(name, response.status_code, media_type).iter_errors(response.json()))
        assert not faults, f"{what} with a body that is not as described: {faults[0]}"


@cache
def document() -> Json:
    """The description of the API."""
    return published(routed())


def _resolved(value: Json) -> Json:
    """The component that a reference names, or the value itself."""
    if "$ref" not in value:
        return value
    found = document()
    for step in value["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


@lru_cache(maxsize=1000)
def _operation(method: str, path: str) -> tuple[str, Json] | None:
    for pattern, methods in _patterns():
        if method in methods and pattern.fullmatch(path):
            return methods[method]["operationId"], methods[method]
    return None


@cache
def _patterns() -> list[tuple[re.Pattern[str], Json]]:
    collections = "|".join(document()["components"]["schemas"]["Collection"]["enum"])
    return [
        (re.compile(re.sub(r"\{\w+\}", "[^/]+", path.replace("{collection}", f"({collections})"))), methods)
        for path, methods in document()["paths"].items()
    ]


@cache
def _validator(name: str, status: int, media_type: str) -> OAS31Validator:
    operations = (operation for path in document()["paths"].values() for operation in path.values())
    operation = next(each for each in operations if each["operationId"] == name)
    schema = _resolved(operation["responses"][str(status)])["content"][media_type]["schema"]
    return OAS31Validator(schema | {"components": document()["components"]})
