"""Idempotency-Key: a retry gets the answer of the first try, and nothing is done twice."""

import hmac
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest

from tests.support.api import Caller, Json, Server, Tenant, ok, pointers, refused
from tests.support.audited_calls import CALLS, NOT_HERE, short
from tests.support.bulk_check_ins import item
from tests.support.idempotency import carried_out
from tests.support.tags import edited

# A way to make each call succeed once, by its path as in API.md.
POSTS = {path: prepare for (method, path), (prepare, *_) in CALLS.items() if method == "POST"}
AT_ONCE = 16


def once() -> dict[str, str]:
    """Header of a new key."""
    return {"idempotency-key": f"key {uuid4()}"}


def caller_of(tenant: Tenant, path: str) -> Caller:
    """Caller who may make a call."""
    return tenant.server.operator if path == "/v1/subscriptions" else tenant.ana


def stored(tenant: Tenant) -> Json:
    """Number of stored rows of a tenant, and of tenants."""
    count = tenant.server.database.value("SELECT count(*) FROM subscriptions")
    return tenant.footprint() | {"subscriptions": count}


def seen(response: httpx.Response) -> tuple[int, bytes, str | None]:
    """Parts of an answer that a retry has to repeat."""
    return response.status_code, response.content, response.headers.get("etag")


def comment(tenant: Tenant) -> tuple[str, Json]:
    """Call that may be repeated: its path and body."""
    return f"{tenant.at(tenant.workflow())}/versions/1/comments", {"text": "well done"}


def said(tenant: Tenant, path: str) -> int:
    """Number of comments."""
    return len(tenant.ana.pages(path))


def test_every_post_is_tried_here(server: Server) -> None:
    described = {
        short(path)
        for path, methods in server.app.openapi()["paths"].items()
        if "post" in methods and ("POST", short(path)) not in NOT_HERE
    }
    assert described == set(POSTS)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.sampled(9)
def test_a_retry_gets_the_answer_of_the_first_try_and_does_nothing(shared: Tenant, path: str) -> None:
    where, body = prepared(shared, path)
    caller, headers = caller_of(shared, path), once()
    first = caller.post(where, body, headers=headers)
    assert first.is_success, first.text
    before = stored(shared)
    for _ in range(2):
        again = caller.post(where, body, headers=headers)
        if path == "S/api-keys":
            assert again.status_code == first.status_code
            assert again.json() == first.json() | {"api_key": None, "secret_shown": False}
        else:
            assert seen(again) == seen(first)
    assert stored(shared) == before


def prepared(tenant: Tenant, path: str) -> tuple[str, Json | None]:
    """Call that can be made any number of times in one tenant."""
    where, body = POSTS[path](tenant)
    if body is not None and body.get("name") == "new":
        body["name"] = f"new {uuid4()}"
    if body is not None and "username" in body:
        body["username"] = f"new {uuid4()}"
    return where, body


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.sampled(9)
def test_a_key_with_another_body_is_422(shared: Tenant, path: str) -> None:
    where, body = prepared(shared, path)
    caller, headers = caller_of(shared, path), once()
    first = caller.post(where, body, headers=headers)
    assert first.is_success, first.text
    before = stored(shared)
    other = changed(path, body)
    problem = refused(caller.post(where, other, headers=headers), 422, "idempotency_key_reused")
    assert [name.lower() for name in pointers(problem)] == ["idempotency-key"]
    assert stored(shared) == before
    if path != "S/api-keys":
        assert seen(caller.post(where, body, headers=headers)) == seen(first)


@pytest.mark.parametrize("path", [path for path in POSTS if "publish" not in path])
@pytest.mark.sampled(9)
def test_a_body_of_the_same_values_is_the_same_however_it_is_written(shared: Tenant, path: str) -> None:
    where, body = prepared(shared, path)
    if not body:
        body = {"reason": None} if path == "R/check-out" else {}
    caller, key = caller_of(shared, path), once()
    first = caller.send(where, orjson.dumps(body), **key)
    assert first.is_success, first.text
    before = stored(shared)
    for other in (
        json.dumps(reordered(body), indent=3),
        json.dumps(body, ensure_ascii=True),
        f"\t{json.dumps(body)} ",
    ):
        again = caller.send(where, other.encode(), **key)
        assert again.status_code == first.status_code, again.text
    assert stored(shared) == before


def reordered(value: Any) -> Any:
    """The same values, with the keys of each object in the opposite order."""
    match value:
        case dict():
            return {name: reordered(value[name]) for name in reversed(value)}
        case list():
            return [reordered(each) for each in value]
    return value


@pytest.mark.parametrize(
    ("first", "other"),
    [
        *(('{"a": [1, 2]}', '{"a": [2, 1]}'), ('{"a": 1}', '{"a": 1.0}'), ('{"a": 1}', '{"a": "1"}')),
        *(('{"a": null}', "{}"), ('{"a": 0.0}', '{"a": -0.0}'), ('{"a": "e\u0301"}', '{"a": "\u00e9"}')),
    ],
)
def test_other_values_are_another_body(shared: Tenant, first: str, other: str) -> None:
    path, key = f"{shared.at(shared.workflow())}/versions", once()
    assert shared.ana.send(path, f'{{"data": {first}}}'.encode(), **key).is_success
    refused(shared.ana.send(path, f'{{"data": {other}}}'.encode(), **key), 422, "idempotency_key_reused")


def test_a_result_that_an_older_host_stored_by_the_bytes_of_the_body_is_found(shared: Tenant) -> None:
    path, key = f"{shared.at(shared.workflow())}/versions", once()
    body = b'{ "data": {"b": 1, "a": 2} }'
    first = ok(shared.ana.send(path, body, **key), 201)
    of_bytes = hmac.digest(key["idempotency-key"].encode(), sha256(body).digest(), "sha256")
    written = shared.server.database.value(
        "UPDATE idempotency_keys SET fingerprint = %s WHERE subscription_id = %s AND created_at ="
        " (SELECT max(created_at) FROM idempotency_keys WHERE subscription_id = %s) RETURNING true",
        *(of_bytes, shared.subscription_id, shared.subscription_id),
    )
    assert written
    assert ok(shared.ana.send(path, body, **key), 201) == first
    refused(shared.ana.send(path, b'{"data": {"a": 2, "b": 1}}', **key), 422, "idempotency_key_reused")


def changed(path: str, body: Json | None) -> Json:
    """Another body that the call takes."""
    match path:
        case "R/versions/{ref}/publish" | "R/versions/{ref}/unpublish":
            return {}
        case "R/versions" | "R/check-in":
            return {"data": {"other": True}}
        case "S/holds" | "S/holds/{hold_id}/release":
            return {**(body or {}), "reason": "other"}
        case "R/versions/{ref}/comments":
            return {"text": "other"}
        case "S/deletions/{deletion_id}/restore":
            return {"dry_run": True}
        case "R/check-out":
            return {"reason": "other"}
        case "S/server-logs":
            return (body or {}) | {"endpoint": "/other"}
        case "S/change-history":
            return (body or {}) | {"record_name": "other"}
        case "S/deletions":
            return (body or {}) | {"resource_name": "other"}
        case "S/execution-logs":
            return (body or {}) | {"log_message": "other"}
        case "S/audit-logs":
            return (body or {}) | {"resource_name": "other"}
        case "S/users":
            return (body or {}) | {"role": "editor"}
        case "R/rollback" | "S/rollback" | "S/check-ins":
            return (body or {}) | {"comment": "other"}
        case _:
            return (body or {}) | {"name": "other"}


DRY_RUNS: dict[str, Callable[[Tenant, Json], tuple[str, Json]]] = {
    "R/rollback": lambda tenant, workflow: (f"{tenant.at(workflow)}/rollback", {"to": 1}),
    "S/rollback": lambda tenant, workflow: (
        f"{tenant.path}/rollback",
        {"to": workflow["git_commit_hash"], "folder_id": tenant.folder_id},
    ),
}


@pytest.mark.parametrize("path", DRY_RUNS)
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_retry_is_told_what_was_seen_then(shared: Tenant, path: str, dry_run: bool) -> None:
    workflow, _ = edited(shared)
    where, body = DRY_RUNS[path](shared, workflow)
    headers = once()
    first = shared.ana.post(where, body | {"dry_run": dry_run}, headers=headers)
    shared.save(workflow, {"n": "later"})
    assert seen(shared.ana.post(where, body | {"dry_run": dry_run}, headers=headers)) == seen(first)


UNCHANGED: dict[str, tuple[str, Json]] = {
    "save": ("versions", {"data": {"n": 3}, "tag": "v1"}),
    "check-in": ("check-in", {"comment": "nothing new"}),
    "rollback": ("rollback", {"to": 3}),
}


@pytest.mark.parametrize("call", UNCHANGED)
def test_a_retry_of_what_changed_nothing_is_200_too(shared: Tenant, call: str) -> None:
    workflow, _ = edited(shared)
    shared.check_out(workflow)
    rest, body = UNCHANGED[call]
    headers, path = once(), f"{shared.at(workflow)}/{rest}"
    first = shared.ana.post(path, body, headers=headers)
    assert ok(first)["unchanged"] is True
    shared.save(workflow, {"n": 4})
    before = stored(shared)
    assert seen(shared.ana.post(path, body, headers=headers)) == seen(first)
    assert stored(shared) == before


def test_a_retry_gets_its_answer_whatever_happened_since(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    path, headers = f"{tenant.at(workflow)}/versions", once()
    body = {"data": {"n": 1}, "tag": "v1", "publish": True}
    first = tenant.ana.post(path, body, headers=headers)
    tenant.save(workflow, {"n": 2}, publish=True)
    ok(tenant.ana.delete(f"{path}/2/tag"))
    tenant.check_out(workflow, tenant.ben)
    assert seen(tenant.ana.post(path, body, headers=headers)) == seen(first)
    tenant.remove(workflow, force=True)
    assert seen(tenant.ana.post(path, body, headers=headers)) == seen(first)


@pytest.mark.parametrize("call", ["save", "comment", "check-out", "check-ins", "rollback of many"])
def test_a_retry_is_not_stale_by_what_its_first_try_did(shared: Tenant, call: str) -> None:
    workflow = shared.workflow()
    past = workflow["git_commit_hash"]
    seen_by = shared.save(workflow, {"n": 1})["git_commit_hash"]
    path, body = {
        "save": (f"{shared.at(workflow)}/versions", {"data": {"n": 2}}),
        "comment": (f"{shared.at(workflow)}/versions/1/comments", {"text": "x"}),
        "check-out": (f"{shared.at(workflow)}/check-out", {}),
        "check-ins": (f"{shared.path}/check-ins", {"items": [item(workflow, if_match=f'"{seen_by}"')]}),
        "rollback of many": (f"{shared.path}/rollback", {"to": past, "folder_id": shared.folder_id}),
    }[call]
    based = {"if-match": f'"{seen_by}"'}
    headers = once()
    refused(shared.ana.post(path, body, headers=headers | {"if-match": '"x"'}), 412, "stale_version")
    first = shared.ana.post(path, body, headers=headers | based)
    assert first.is_success, first.text
    shared.save(workflow, {"n": 3})
    assert seen(shared.ana.post(path, body, headers=headers | based)) == seen(first)


def test_a_retry_by_who_may_no_longer_is_403(tenant: Tenant) -> None:
    path, body = comment(tenant)
    headers = once()
    ok(tenant.ben.post(path, body, headers=headers), 201)
    ok(tenant.ana.patch(f"{tenant.path}/users/{tenant.ben.user_id}", {"role": "viewer"}))
    refused(tenant.ben.post(path, body, headers=headers), 403, "forbidden")


def test_a_retry_gets_the_snapshot_of_its_check_out(shared: Tenant) -> None:
    workflow = shared.workflow(definition={"x": [1e22, -0.0, 1.0], "é": "e\u0301"})
    path, headers = f"{shared.at(workflow)}/check-out", once()
    first = shared.ben.post(path, {"reason": "é"}, headers=headers)
    assert ok(first)["data"] == workflow["definition"]
    shared.save(workflow, {"n": 2}, by=shared.ben)
    ok(shared.ben.delete(path), 204)
    assert seen(shared.ben.post(path, {"reason": "é"}, headers=headers)) == seen(first)
    assert ok(shared.ben.get(shared.at(workflow)))["checked_out_by"] is None


def test_a_key_is_one_callers_own(shared: Tenant) -> None:
    path, body = comment(shared)
    headers = once()
    answers = [ok(caller.post(path, body, headers=headers), 201) for caller in (shared.ana, shared.ben)]
    assert [answer["commented_by_username"] for answer in answers] == ["ana", "ben"]
    assert said(shared, path) == 2


def test_a_key_is_one_paths_own(shared: Tenant) -> None:
    (one, body), (other, _) = comment(shared), comment(shared)
    headers = once()
    assert seen(shared.ana.post(one, body, headers=headers)) != seen(
        shared.ana.post(other, body, headers=headers)
    )
    assert (said(shared, one), said(shared, other)) == (1, 1)


def test_a_key_is_one_subscriptions_own(server: Server, tenant: Tenant, stranger: Tenant) -> None:
    headers = once()
    body = {"username": "new", "email": "n@example.org", "role": "viewer"}
    made = [
        ok(server.operator.post(f"{each.path}/users", body, headers=headers), 201)
        for each in (tenant, stranger)
    ]
    assert made[0]["user_id"] != made[1]["user_id"]


def test_another_key_is_another_call(shared: Tenant) -> None:
    path, body = comment(shared)
    for headers in ({"idempotency-key": "a"}, {"idempotency-key": "A"}, {"idempotency-key": "a b"}, {}, {}):
        ok(shared.ana.post(path, body, headers=headers), 201)
    assert said(shared, path) == 5


# -- only successes are kept ------------------------------------------------------------------------


def refused_then_done(
    tenant: Tenant, path: str, body: Json, status: int, code: str, mend: Callable[[], object]
) -> Json:
    """Answer to a refused call that is repeated after the cause was removed."""
    caller, headers = tenant.ana, once()
    before = stored(tenant)
    refused(caller.post(path, body, headers=headers), status, code)
    assert stored(tenant) == before
    mend()
    return ok(caller.post(path, body, headers=headers), 201)


def test_what_another_held_can_be_saved_once_it_is_free(shared: Tenant) -> None:
    workflow = shared.workflow()
    shared.check_out(workflow, shared.ben)
    path = shared.at(workflow)

    def mend() -> None:
        ok(shared.ben.delete(f"{path}/check-out"), 204)

    made = refused_then_done(shared, f"{path}/versions", {"data": {"n": 2}}, 423, "checked_out", mend)
    assert made["version_number"] == 2


def test_what_was_not_checked_out_can_be_checked_in_once_it_is(shared: Tenant) -> None:
    workflow = shared.workflow()
    path, body = f"{shared.at(workflow)}/check-in", {"data": {"n": 2}}
    refused_then_done(shared, path, body, 409, "not_checked_out", lambda: shared.check_out(workflow))


def test_a_version_that_was_not_there_can_be_commented_on_once_it_is(shared: Tenant) -> None:
    workflow = shared.workflow()
    path = f"{shared.at(workflow)}/versions/2/comments"
    refused_then_done(
        shared, path, {"text": "x"}, 404, "version_not_found", lambda: shared.save(workflow, {"n": 2})
    )


def test_a_taken_tag_can_be_given_once_it_is_free(shared: Tenant) -> None:
    workflow = shared.workflow()
    shared.save(workflow, {"n": 2}, tag="v1")
    path, body = f"{shared.at(workflow)}/versions", {"data": {"n": 3}, "tag": "v1"}
    refused_then_done(shared, path, body, 409, "tag_taken", lambda: ok(shared.ana.delete(f"{path}/v1/tag")))


def test_items_that_were_held_can_be_checked_in_once_they_are_free(shared: Tenant) -> None:
    one, other = shared.workflow(), shared.workflow()
    shared.check_out(other, shared.ben)
    body = {"items": [item(one), item(other)]}

    def mend() -> None:
        ok(shared.ben.delete(f"{shared.at(other)}/check-out"), 204)

    refused_then_done(shared, f"{shared.path}/check-ins", body, 423, "checked_out", mend)


def test_a_name_that_was_taken_can_be_taken_once_it_is_free(shared: Tenant) -> None:
    workflow = shared.workflow()
    body = {"name": workflow["name"], "job_id": shared.job_id}
    refused_then_done(
        shared, f"{shared.path}/workflows", body, 409, "name_taken", lambda: shared.remove(workflow)
    )


def test_a_key_of_a_body_that_was_refused_is_free_for_the_right_one(shared: Tenant) -> None:
    path, body = comment(shared)
    headers = once()
    refused(shared.ana.post(path, {"text": ""}, headers=headers), 422, "invalid")
    refused(shared.ana.send(path, b"{", **headers), 400, "malformed_json")
    ok(shared.ana.post(path, body, headers=headers), 201)


# -- for 24 hours -----------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["comment", "save"])
def test_a_key_counts_for_24_hours(shared: Tenant, call: str) -> None:
    workflow = shared.workflow()
    path = f"{shared.at(workflow)}/versions" + ("/1/comments" if call == "comment" else "")
    body: Json = {"text": "x"} if call == "comment" else {"data": {"n": 2}}
    other: Json = {"text": "y"} if call == "comment" else {"data": {"n": 3}}
    headers, clock = once(), shared.server.clock
    first = shared.ana.post(path, body, headers=headers)
    with clock.moved(hours=23, minutes=59):
        assert seen(shared.ana.post(path, body, headers=headers)) == seen(first)
        refused(shared.ana.post(path, other, headers=headers), 422, "idempotency_key_reused")
    # The lifetime counts from the first try: a retry does not prolong it.
    with clock.moved(hours=24, seconds=1):
        second = shared.ana.post(path, other, headers=headers)
        assert ok(second, 201) != first.json()
        assert seen(shared.ana.post(path, other, headers=headers)) == seen(second)
    with clock.moved(hours=48):
        assert seen(shared.ana.post(path, other, headers=headers)) == seen(second)


# -- stored data ------------------------------------------------------------------------------------


def kept(tenant: Tenant) -> str:
    """All stored data of calls with keys, as text."""
    rows = tenant.server.database.rows(
        "SELECT convert_from(result, 'UTF8'), encode(attempt_id, 'hex'), encode(fingerprint, 'hex')"
        " FROM idempotency_keys WHERE subscription_id = %s",
        tenant.subscription_id,
    )
    assert rows
    return str(rows)


def test_a_secret_is_shown_once_and_stored_nowhere(tenant: Tenant) -> None:
    body = {"user_id": tenant.ben.user_id, "name": "build server"}
    headers = once()
    first = ok(tenant.ana.post(f"{tenant.path}/api-keys", body, headers=headers), 201)
    again = ok(tenant.ana.post(f"{tenant.path}/api-keys", body, headers=headers), 201)
    assert (first["secret_shown"], again["secret_shown"], again["api_key"]) == (True, False, None)
    assert again["key_id"] == first["key_id"]
    secret = first["api_key"].split("_", 2)[2]
    assert first["api_key"] not in kept(tenant)
    assert secret not in kept(tenant)
    assert ok(Caller(tenant.server, first["api_key"]).get("/v1/whoami"))["username"] == "ben"


def test_an_address_is_answered_again_and_not_stored(tenant: Tenant) -> None:
    body = {"username": "zoë", "email": "zoe@example.org", "role": "viewer"}
    headers = once()
    path = f"{tenant.path}/users"
    first = tenant.ana.post(path, body, headers=headers)
    assert ok(first, 201)["email"] == "zoe@example.org"
    assert seen(tenant.ana.post(path, body, headers=headers)) == seen(first)
    assert "zoe@example.org" not in kept(tenant)
    assert "example" not in kept(tenant)


def test_the_key_itself_is_not_stored(tenant: Tenant) -> None:
    path, body = comment(tenant)
    ok(tenant.ana.post(path, body, headers={"idempotency-key": "mine-and-mine-alone"}), 201)
    assert "mine-and-mine-alone" not in kept(tenant)


# -- malformed keys ---------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["k", "x" * 255, "a b", "!~", '"quoted"', "=%00&;,"])
def test_a_key_is_printable_ascii(shared: Tenant, key: str) -> None:
    path, body = comment(shared)
    for _ in range(2):
        ok(shared.ana.post(path, body, headers={"idempotency-key": key}), 201)
    assert said(shared, path) == 1


NO_KEYS = [b"", b"x" * 256, b"x" * 4000, b"a\tb", "é".encode(), b"\xff", b"\x80"]


def with_key(caller: Caller, path: str, body: Json | None, key: bytes) -> httpx.Response:
    """Answer to a call with a key of any bytes."""
    headers: Any = [("authorization", f"Bearer {caller.key}"), ("idempotency-key", key)]
    return caller.server.http.post(path, json=body, headers=headers)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.sampled(9)
def test_a_key_that_is_none_is_422(shared: Tenant, path: str) -> None:
    where, body = prepared(shared, path)
    caller = caller_of(shared, path)
    before = stored(shared)
    for key in NO_KEYS:
        response = with_key(caller, where, body, key)
        assert [p.lower() for p in pointers(refused(response, 422, "invalid"))] == ["idempotency-key"]
    assert stored(shared) == before


@pytest.mark.parametrize("key", [b"a\x01b", b"\x7f", b"\x1b[2J"])
def test_a_key_of_control_characters_is_no_request_at_all(shared: Tenant, key: bytes) -> None:
    # The server's own HTTP parser refuses bytes that no header may hold, before Annals sees them.
    path, body = comment(shared)
    before = stored(shared)
    assert with_key(shared.ana, path, body, key).status_code in (400, 422)
    assert stored(shared) == before


# -- at the same moment -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.sampled(9)
def test_a_retry_while_the_first_try_is_carried_out_is_409(shared: Tenant, path: str) -> None:
    where, body = prepared(shared, path)
    caller, headers = caller_of(shared, path), once()
    before = stored(shared)
    with carried_out(caller, where, headers["idempotency-key"]):
        refused(caller.post(where, body, headers=headers), 409, "request_in_flight")
        assert stored(shared) == before
    assert caller.post(where, body, headers=headers).is_success


Prepare = Callable[[Tenant], tuple[str, Json, dict[str, int]]]


def saving(tenant: Tenant) -> tuple[str, Json, dict[str, int]]:
    path = f"{tenant.at(tenant.workflow())}/versions"
    body = {"data": {"n": 2}, "tag": "v1", "publish": True}
    return path, body, {"versions": 1, "tags": 1, "publications": 1}


def creating(tenant: Tenant) -> tuple[str, Json, dict[str, int]]:
    return f"{tenant.path}/workspaces", {"name": "one"}, {"versions": 1, "workspaces": 1}


def checking_out(tenant: Tenant) -> tuple[str, Json, dict[str, int]]:
    return f"{tenant.at(tenant.workflow())}/check-out", {}, {"check_outs": 1}


def checking_in(tenant: Tenant) -> tuple[str, Json, dict[str, int]]:
    workflow = tenant.workflow()
    tenant.check_out(workflow)
    return f"{tenant.at(workflow)}/check-in", {"data": {"n": 2}}, {"versions": 1}


def commenting(tenant: Tenant) -> tuple[str, Json, dict[str, int]]:
    return *comment(tenant), {"version_comments": 1}


def in_bulk(tenant: Tenant) -> tuple[str, Json, dict[str, int]]:
    body = {"items": [item(tenant.workflow()), item(tenant.workflow())]}
    return f"{tenant.path}/check-ins", body, {"versions": 2, "audit_logs": 2}


def back_in_bulk(tenant: Tenant) -> tuple[str, Json, dict[str, int]]:
    workflow, _ = edited(tenant)
    body = {"to": workflow["git_commit_hash"]}
    return f"{tenant.path}/rollback", body, {"versions": 1}


AT_THE_SAME_TIME: list[Prepare] = [
    *(saving, creating, checking_out, checking_in, commenting, in_bulk, back_in_bulk)
]


@pytest.mark.parametrize("prepare", AT_THE_SAME_TIME)
@pytest.mark.sampled(3)
def test_of_many_that_come_at_once_one_is_carried_out(tenant: Tenant, prepare: Prepare) -> None:
    path, body, made = prepare(tenant)
    caller, headers = tenant.ana, once()
    before = stored(tenant)
    barrier = threading.Barrier(AT_ONCE, timeout=30)

    def call(_: int) -> httpx.Response:
        barrier.wait()
        return caller.post(path, body, headers=headers)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(call, range(AT_ONCE)))

    for answer in answers:
        if not answer.is_success:
            refused(answer, 409, "request_in_flight")
    done = {seen(answer) for answer in answers if answer.is_success}
    assert len(done) == 1
    assert {seen(caller.post(path, body, headers=headers))} == done
    after = stored(tenant)
    grown = {name: after[name] - before[name] for name in before if name != "refs"}
    expected = {"audit_logs": 1, "idempotency_keys": 1} | made
    assert {name: number for name, number in grown.items() if number} == expected
