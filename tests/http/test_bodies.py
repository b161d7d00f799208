"""Bodies, paths and queries that break a rule: the right 4xx, the place of the fault, and nothing written."""

import gzip
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.api import Json, Server, Tenant, ok, pointers, refused

UNKNOWN = "019a0000-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
def workflow(shared: Tenant) -> Json:
    return shared.workflow(definition={"n": 1})


@pytest.fixture(scope="module")
def writable(server: Server) -> Tenant:
    """Subscription for requests that may succeed."""
    return Tenant(server, "writable")


@pytest.fixture(scope="module")
def target(writable: Tenant) -> str:
    return writable.at(writable.workflow())


@pytest.fixture(autouse=True)
def nothing_is_written(shared: Tenant, workflow: Json) -> Iterator[None]:
    _ = shared.ana, shared.ben, shared.vera
    before = shared.footprint()
    yield
    assert shared.footprint() == before


def data(value: bytes) -> bytes:
    """Body whose `data` holds a value at /data/a."""
    return b'{"data": {"a": ' + value + b"}}"


DEEP = b"[" * 100 + b"]" * 100
PATHS = ("versions", "check-in", "check-out", "rollback")


@pytest.mark.parametrize("call", PATHS)
@pytest.mark.parametrize(
    "body",
    [
        *(b"{", b"nonsense", b'{"data": {}', b'{"data": {}}}', b'{"data": {"a": 1,}}', b"{'data': {}}"),
        *(b'{"data": {"a": 01}}', b'{"data": {"a": .5}}', b'{"data": {"a": "\t"}}', b'{"data": "\\x"}'),
        *(b'{"data": {"a": "\\ud8"}}', b'\xef\xbb\xbf{"data": {}}', b'{"data": {"a": tru}}', b"\0", b"  "),
        *(data(b'"\xff"'), data(b'"\xed\xa0\x80"'), data(b'"\xc0\x80"'), '{"data": {}}'.encode("utf-16")),
    ],
)
@pytest.mark.sampled(25)
def test_what_is_no_json_is_400(shared: Tenant, workflow: Json, call: str, body: bytes) -> None:
    problem = refused(shared.ben.send(f"{shared.at(workflow)}/{call}", body), 400, "malformed_json")
    assert "UTF-8" in problem["detail"] or pointers(problem) == [""]


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        (b"NaN", "/data/a"),
        (b"Infinity", "/data/a"),
        (b"-Infinity", "/data/a"),
        (b"1e999", "/data/a"),
        (b"-1e309", "/data/a"),
        (b"[1, [2, NaN]]", "/data/a/1/1"),
        (b"18446744073709551616", "/data/a"),
        (b"-9223372036854775809", "/data/a"),
        (b"1" * 5000, "/data/a"),
        (b'"\\u0000"', "/data/a"),
        (b'["x\\u0000y"]', "/data/a/0"),
        (b'{"k\\u0000": 1}', "/data/a/k\\u0000"),
        (b'"\\ud800"', "/data/a"),
        (b'"\\udc00\\ud800"', "/data/a"),
        (b'{"\\ud800": 1}', "/data/a/\\ud800"),
        (b'{"x": 1, "x": 2}', "/data/a/x"),
        (b'{"x/y~z": {"k": 1, "k": 1}}', "/data/a/x~1y~0z/k"),
        (DEEP, "/data/a" + "/0" * 62),
        (b'{"k":' * 70 + b"1" + b"}" * 70, "/data/a" + "/k" * 62),
    ],
)
def test_what_cannot_be_stored_is_422_with_a_pointer(
    shared: Tenant, workflow: Json, value: bytes, pointer: str
) -> None:
    for call in ("versions", "check-in"):
        response = shared.ben.send(f"{shared.at(workflow)}/{call}", data(value))
        assert pointers(refused(response, 422, "invalid")) == [pointer]


@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"k":', b"}"), (b"[", b"")])
def test_a_document_100_000_levels_deep_is_refused(
    shared: Tenant, workflow: Json, brackets: tuple[bytes, bytes]
) -> None:
    opening, closing = brackets
    inner = b"1" if closing == b"}" else b""
    body = data(opening * 100_000 + inner + closing * 100_000)
    response = shared.ben.send(f"{shared.at(workflow)}/versions", body)
    problem = refused(response, 422, "invalid")
    [pointer] = pointers(problem)
    assert pointer.startswith("/data/a/")
    assert pointer.count("/") == 64


def test_every_fault_is_named(shared: Tenant, workflow: Json) -> None:
    body = b'{"data": {"a": NaN, "b": ["\\u0000", {"c": 1e999}], "d": 1}}'
    problem = refused(shared.ben.send(f"{shared.at(workflow)}/versions", body), 422, "invalid")
    assert pointers(problem) == ["/data/a", "/data/b/0", "/data/b/1/c"]
    many = json.dumps({"data": {"a": [float("nan")] * 1000}}).encode()
    problem = refused(shared.ben.send(f"{shared.at(workflow)}/versions", many), 422, "invalid")
    assert len(pointers(problem)) == 20


@pytest.mark.parametrize("definition", [[], [{}], "{}", 1, True, None])
def test_a_definition_is_an_object(shared: Tenant, workflow: Json, definition: object) -> None:
    response = shared.ben.post(f"{shared.at(workflow)}/versions", {"data": definition})
    assert pointers(refused(response, 422, "invalid")) == ["/data"]


@pytest.mark.parametrize("body", [[], "x", 1, None, True, [{"data": {}}]])
@pytest.mark.parametrize("call", ["versions", "rollback"])
def test_a_body_is_an_object(shared: Tenant, workflow: Json, body: object, call: str) -> None:
    raw = json.dumps(body).encode()
    problem = refused(shared.ben.send(f"{shared.at(workflow)}/{call}", raw), 422, "invalid")
    assert pointers(problem) == [""]


@pytest.mark.parametrize(
    ("call", "body", "pointer"),
    [
        ("versions", {}, "/data"),
        ("versions", {"data": {}, "dta": 1}, "/dta"),
        ("versions", {"data": {}, "description": 1}, "/description"),
        ("versions", {"data": {}, "description": "x" * 10_001}, "/description"),
        ("versions", {"data": {}, "publish": "yes"}, "/publish"),
        ("check-in", {"data": []}, "/data"),
        ("check-in", {"comment": ["x"]}, "/comment"),
        ("check-in", {"comment": "x" * 10_001}, "/comment"),
        ("check-out", {"reason": 1}, "/reason"),
        ("check-out", {"reason": "x" * 10_001}, "/reason"),
        ("check-out", {"ttl": 1}, "/ttl"),
        ("rollback", {}, "/to"),
        ("rollback", {"to": 1, "dry_run": 1}, "/dry_run"),
        ("rollback", {"to": 1, "a/b~c": True}, "/a~1b~0c"),
    ],
)
def test_a_field_that_breaks_a_rule_is_422(
    shared: Tenant, workflow: Json, call: str, body: Json, pointer: str
) -> None:
    problem = refused(shared.ben.post(f"{shared.at(workflow)}/{call}", body), 422, "invalid")
    assert pointers(problem) == [pointer]


def test_20_mb_are_too_large(shared: Tenant, workflow: Json) -> None:
    body = data(b'"' + b"x" * 20_000_000 + b'"')
    refused(shared.ben.send(f"{shared.at(workflow)}/versions", body), 413, "body_too_large")


def test_20_mb_of_unknown_length_are_too_large(shared: Tenant, workflow: Json) -> None:
    def parts() -> Iterator[bytes]:
        yield b'{"data": {"a": "'
        for _ in range(20):
            yield b"x" * 1_000_000

    response = shared.ben.post(
        f"{shared.at(workflow)}/versions", content=parts(), headers={"content-type": "application/json"}
    )
    refused(response, 413, "body_too_large")


def test_a_body_just_past_8_mib_is_too_large(shared: Tenant, workflow: Json) -> None:
    limit = 8 * 1024 * 1024
    body = data(b'"' + b"x" * (limit - len(data(b'""'))) + b'"')
    assert len(body) == limit
    response = shared.vera.send(f"{shared.at(workflow)}/versions", body)
    refused(response, 403, "forbidden")
    refused(shared.ben.send(f"{shared.at(workflow)}/versions", body + b" "), 413, "body_too_large")


@pytest.mark.parametrize(
    "media_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
        "text/json",
        "application/jsonx",
    ],
)
def test_another_media_type_is_415(shared: Tenant, workflow: Json, media_type: str) -> None:
    headers = {"content-type": media_type} if media_type else {}
    for call in PATHS:
        response = shared.ben.post(
            f"{shared.at(workflow)}/{call}", content=b'{"data": {}, "to": 1}', headers=headers
        )
        refused(response, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "APPLICATION/JSON", "application/json; charset=utf-8", "application/json;"],
)
def test_json_by_any_spelling_is_taken(writable: Tenant, media_type: str) -> None:
    response = writable.ben.send(
        f"{writable.at(writable.workflow())}/versions", b'{"data": {"n": 1}}', **{"content-type": media_type}
    )
    ok(response, 201)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "x"])
def test_a_compressed_body_is_415(shared: Tenant, workflow: Json, encoding: str) -> None:
    body = gzip.compress(b'{"data": {}}')
    path = f"{shared.at(workflow)}/versions"
    response = shared.ben.send(path, body, **{"content-encoding": encoding})
    refused(response, 415, "unsupported_media_type")


def test_refusals_come_in_the_order_of_the_contract(shared: Tenant, stranger: Tenant) -> None:
    # Each request also breaks every rule that is checked later.
    path = f"{shared.path}/workflows/{UNKNOWN}/versions"
    large, small, bad = b"[" * 9_000_000, b"[", b'{"data": 1}'
    text = {"content-type": "text/plain"}
    refused(shared.server.nobody.send(path, large, **text), 401, "unauthenticated")
    refused(stranger.vera.send(path, large, **text), 404, "subscription_not_found")
    refused(shared.vera.send(path, large, **text), 403, "forbidden")
    refused(shared.ben.send(path, large, **text), 413, "body_too_large")
    refused(shared.ben.send(path, small, **text), 415, "unsupported_media_type")
    refused(shared.ben.send(path, small), 400, "malformed_json")
    refused(shared.ben.send(path, bad), 422, "invalid")
    refused(shared.ben.send(path, b'{"data": {}}'), 404, "resource_not_found")


def test_a_large_body_of_unknown_length_is_refused_before_its_media_type(
    shared: Tenant, workflow: Json
) -> None:
    response = shared.ben.post(
        f"{shared.at(workflow)}/versions",
        content=iter([b"[" * 1_000_000] * 9),
        headers={"content-type": "text/plain"},
    )
    assert response.status_code in (413, 415)


def test_a_missing_body_is_refused_where_one_is_needed(shared: Tenant, workflow: Json) -> None:
    for call in ("versions", "rollback"):
        response = shared.ben.post(f"{shared.at(workflow)}/{call}")
        assert response.status_code in (400, 415, 422)
        assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["workflows", "users", "api-keys", "audit-logs"])
@pytest.mark.parametrize("query", ["limit=%00", "cursor=%00", "cursor=%ff", "limit=1&limit=x", "limit="])
def test_a_query_that_breaks_a_rule_is_422(shared: Tenant, path: str, query: str) -> None:
    refused(shared.ana.get(f"{shared.path}/{path}?{query}"), 422, "invalid")


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=()))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=())), inner),
)
FIELDS = st.dictionaries(st.sampled_from(["data", "description", "tag", "x"]), VALUES)
SPOILED = st.builds(
    lambda value, at, junk: value[: at % (len(value) + 1)] + junk + value[at % (len(value) + 1) :],
    st.builds(lambda value: json.dumps(value).encode(), FIELDS | VALUES),
    st.integers(0, 10_000),
    st.binary(max_size=3) | st.sampled_from([b"", b"NaN", b"\\ud800", b"\\u0000", b"1e999", b"{", b"]"]),
)
RANDOM = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@RANDOM
@given(body=SPOILED | st.binary(max_size=64))
def test_no_bytes_are_a_fault_of_the_server(writable: Tenant, target: str, body: bytes) -> None:
    for call in ("versions", "rollback"):
        response = writable.ben.send(f"{target}/{call}", body)
        assert response.status_code in (200, 201, 400, 404, 409, 422), (body, response.text)


@RANDOM
@given(ref=st.text(min_size=1, max_size=50) | st.from_regex(r"[0-9a-f]{1,45}\Z") | st.integers().map(str))
def test_no_ref_is_a_fault_of_the_server(writable: Tenant, target: str, ref: str) -> None:
    path: Any = quote(ref, safe="")
    for rest in ("", "/data"):
        response = writable.vera.get(f"{target}/versions/{path}{rest}")
        assert response.status_code in (200, 307, 404, 409), (ref, response.text)


def test_a_small_body_of_very_many_values_is_refused(writable: Tenant, target: str) -> None:
    raw = b'{"data":{"a":' + b"[" * 55 + b",".join([b"1"] * 2_000_000) + b"]" * 55 + b"}}"
    problem = refused(writable.ben.send(f"{target}/versions", raw), 422, "invalid")
    assert pointers(problem) == ["/data/a" + "/0" * 54 + "/99943"]


def test_a_long_key_above_many_values_costs_no_more_than_its_length(writable: Tenant, target: str) -> None:
    raw = b'{"data":{"' + b"k" * 100_000 + b'":[' + b",".join([b"null"] * 50_000) + b',"\\u0000"]}}'
    problem = refused(writable.ben.send(f"{target}/versions", raw), 422, "invalid")
    [fault] = problem["errors"]
    assert fault["pointer"].endswith("…/50000")
    assert len(fault["pointer"]) < 200


def test_many_unknown_fields_are_answered_by_a_few(writable: Tenant, target: str) -> None:
    raw = b"{" + b",".join(b'"%d":0' % number for number in range(50_000)) + b"}"
    problem = refused(writable.ben.send(f"{target}/versions", raw), 422, "invalid")
    assert len(problem["errors"]) == 20


@pytest.mark.parametrize(
    ("path", "body", "places"),
    [
        (
            "S/workflows",
            {"name": "", "job_id": "no id", "colour": "blue"},
            ["/name", "/job_id", "/colour"],
        ),
        (
            "R/check-out",
            {"reason": 1, "ttl_seconds": "soon", "lease": 5},
            ["/reason", "/ttl_seconds", "/lease"],
        ),
        (
            "S/check-ins",
            {
                "items": [{"resource_type": "shoe", "resource_id": "x", "data": {}, "dta": 1}, {"a": 1}],
                "by": "me",
            },
            [
                *("/items/0/resource_type", "/items/0/resource_id", "/items/1/resource_type"),
                *("/items/1/resource_id", "/items/1/data", "/by", "/items/0/dta", "/items/1/a"),
            ],
        ),
        (
            "S/deletions/x/restore",
            {"dry_run": "yes", "resolve": {"new_parent_id": 7, "name": "x"}},
            ["/dry_run", "/resolve/new_parent_id", "/resolve/name"],
        ),
        (
            "S/execution-logs",
            [
                {
                    "execution_id": 1,
                    "execution_type": "job",
                    "log_level": "INFO",
                    "log_message": "",
                    "level": 1,
                }
            ],
            ["/0/execution_id", "/0/level"],
        ),
        ("S/holds", {"user_id": "ben", "reason": " ", "because": "x"}, ["/user_id", "/reason", "/because"]),
    ],
)
def test_all_faults_of_a_body_are_told_at_once(
    shared: Tenant, workflow: Json, path: str, body: Any, places: list[str]
) -> None:
    where = path.replace("S", shared.path, 1) if path[0] == "S" else path.replace("R", shared.at(workflow), 1)
    problem = refused(shared.ana.post(where, body), 422, "invalid")
    assert pointers(problem) == places


def test_unknown_fields_of_a_patch_are_told_beside_its_other_faults(shared: Tenant, workflow: Json) -> None:
    problem = refused(
        shared.ana.patch(shared.at(workflow), {"name": 1, "job_id": "x", "job": 2}), 422, "invalid"
    )
    assert pointers(problem) == ["/name", "/job_id", "/job"]
    quotas = {"name": "", "quotas": {"resources": -1, "shoes": 2}}
    problem = refused(shared.server.operator.patch(shared.path, quotas), 422, "invalid")
    assert pointers(problem) == ["/name", "/quotas/resources", "/quotas/shoes"]


def test_many_unknown_fields_hide_no_fault_of_a_known_one(writable: Tenant) -> None:
    body = {f"field {number}": number for number in range(1_000)} | {"name": "x", "job_id": "no id"}
    problem = refused(writable.ben.post(f"{writable.path}/workflows", body), 422, "invalid")
    assert pointers(problem)[0] == "/job_id"
    assert len(problem["errors"]) == 20


@pytest.mark.parametrize("query", ["tagg=v1", "limit=1&sort=name", "limit"])
def test_an_unknown_parameter_is_refused_rather_than_ignored(
    writable: Tenant, target: str, query: str
) -> None:
    response = writable.vera.get(f"{target}/versions?{query}")
    assert response.status_code == 422


# FastAPI takes the last one: https://github.com/ramimbo/mergework/pull/771
@pytest.mark.parametrize(
    ("path", "query", "named"),
    [
        ("workflows", "limit=1&limit=2", "limit"),
        ("workflows", "name=a&name=a", "name"),
        ("audit-logs", "status=failed&limit=5&limit=6", "limit"),
        ("execution-logs", "since=2026-01-01T00:00:00Z&since=2026-01-02T00:00:00Z", "since"),
        ("deletions", "cursor=a&cursor=b", "cursor"),
    ],
)
def test_a_parameter_that_is_given_twice_is_refused(
    shared: Tenant, path: str, query: str, named: str
) -> None:
    problem = refused(shared.ana.get(f"{shared.path}/{path}?{query}"), 422, "invalid")
    assert pointers(problem) == [named]


def test_unknown_and_repeated_parameters_are_told_at_once(shared: Tenant) -> None:
    query = "nope=1&nope=2&limit=1&limit=2&other=&since=a&since=b"
    problem = refused(shared.ana.get(f"{shared.path}/audit-logs?{query}"), 422, "invalid")
    assert pointers(problem) == ["nope", "other", "limit", "since"]


def test_a_parameter_of_a_change_that_is_given_twice_is_refused(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    refused(tenant.ana.delete(f"{tenant.at(workflow)}?reason=a&reason=b"), 422, "invalid")
    assert ok(tenant.ana.get(tenant.at(workflow)))["deleted_at"] is None
