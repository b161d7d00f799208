"""Edges of posted events and of their pages: times of long ago, masked ids, options of retries, followers."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from tests.support.api import Json, Server, Tenant, ok, pointers, refused
from tests.support.following import Follower, sequence

LOGS = ("audit-logs", "execution-logs", "change-history", "server-logs")
LONG_AGO = "0001-01-01T00:00:00Z"
LAST_ID = str(UUID(int=(1 << 128) - 1))


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    return Tenant(server, "edges")


def visit(**fields: Any) -> Json:
    return {"action": "VISIT", "resource_type": "page", "resource_id": str(uuid4())} | fields


def execution(**fields: Any) -> Json:
    return {"execution_id": "e", "execution_type": "job", "log_level": "INFO", "log_message": "m"} | fields


@pytest.mark.parametrize("log", LOGS)
def test_a_follower_may_begin_at_any_time_that_there_is(tenant: Tenant, log: str) -> None:
    page = ok(tenant.aud.get(f"{tenant.path}/{log}", params={"order": "commit", "since": LONG_AGO}))
    assert page["next_cursor"]


@pytest.mark.parametrize("log", LOGS)
def test_an_altered_cursor_of_a_follower_is_refused(tenant: Tenant, log: str) -> None:
    path, query = f"{tenant.path}/{log}", {"order": "commit"}
    cursor = ok(tenant.aud.get(path, params=query))["next_cursor"]
    parts = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    altered = urlsafe_b64encode(orjson.dumps([*parts[:2], LAST_ID])).decode().rstrip("=")
    assert refused(tenant.aud.get(path, params=query | {"cursor": altered}), 422, "invalid")


def test_a_follower_that_finds_a_posted_reading_is_recorded(server: Server, tenant: Tenant) -> None:
    follower = Follower(tenant.aud, f"{tenant.path}/audit-logs", {"resource_id": "someone", "from": "now"})
    sequence(server)
    follower.read()
    readings = {"action": "READ", "resource_type": "audit_log", "actor_id": None}

    def recorded() -> int:
        where = {"action": "READ", "resource_type": "audit_log", "origin": "annals", "limit": 200}
        return len(ok(tenant.ana.get(f"{tenant.path}/audit-logs", params=where))["items"])

    before = recorded()
    sent = visit(action=readings["action"], resource_type=readings["resource_type"], resource_id="someone")
    ok(tenant.ana.post(f"{tenant.path}/audit-logs", sent), 201)
    sequence(server)
    assert len(follower.page()) == 1
    # The first look is an event of its own.
    assert recorded() == before + 2


def test_actors_whose_ids_are_masked_alike_have_no_address(tenant: Tenant) -> None:
    secrets = ["ghp_" + letter * 36 for letter in "aB"]
    run = str(uuid4())
    for number, secret in enumerate(secrets):
        actor = {"id": f"{secret}{number}", "email": f"person{number}@example.org"}
        ok(tenant.ana.post(f"{tenant.path}/audit-logs", visit(resource_id=run, actor=actor)), 201)
    found = ok(tenant.ana.get(f"{tenant.path}/audit-logs", params={"resource_id": run}))["items"]
    shown = {row["actor"]["id"]: row["actor"]["email"] for row in found}
    assert not any(secret in each for each in shown for secret in secrets)
    assert set(shown.values()) == {None}


def test_an_actor_is_found_by_any_spelling_of_a_uuid(tenant: Tenant) -> None:
    actor = str(uuid4())
    ok(tenant.ana.post(f"{tenant.path}/audit-logs", visit(actor={"id": actor.upper()})), 201)
    for spelling in (actor, actor.upper()):
        found = ok(tenant.ana.get(f"{tenant.path}/audit-logs", params={"actor_id": spelling}))["items"]
        assert [row["actor"]["id"] for row in found] == [actor]


def test_statistics_from_the_first_year_on_name_the_parameter(tenant: Tenant) -> None:
    path = f"{tenant.path}/audit-logs"
    first = visit(occurred_at="0001-01-02T00:00:00Z")
    ok(tenant.ana.post(path, first, params={"import": True}), 201)
    query = {
        "time": "occurred_at",
        "since": LONG_AGO,
        "until": "0001-02-01T00:00:00Z",
        "bucket": "5w",
    }
    assert pointers(refused(tenant.ana.get(f"{path}/stats", params=query), 422, "invalid")) == ["since"]


def test_a_retry_with_other_options_is_another_call(tenant: Tenant) -> None:
    path, once = f"{tenant.path}/execution-logs", {"idempotency-key": str(uuid4())}
    body = [execution(), execution(log_level="LOUD")]
    first = ok(tenant.ana.post(path, body, params={"on_error": "skip"}, headers=once), 201)
    assert first["skipped"] == 1
    assert ok(tenant.ana.post(path, body, params={"on_error": "skip"}, headers=once), 201) == first
    other = {"on_error": "skip", "import": True}
    refused(tenant.ana.post(path, body, params=other, headers=once), 422, "idempotency_key_reused")


def test_a_posted_request_keeps_the_id_of_the_request_that_brought_it(tenant: Tenant) -> None:
    ours, theirs = f"ours-{uuid4()}", f"theirs-{uuid4()}"
    headers = {"x-request-id": ours}
    ok(tenant.ana.post(f"{tenant.path}/server-logs", {"request_id": theirs}, headers=headers), 201)
    for where in ({"received_request_id": ours}, {"request_id": theirs}):
        [row] = ok(tenant.ana.get(f"{tenant.path}/server-logs", params=where))["items"]
        assert (row["request_id"], row["received_request_id"]) == (theirs, ours)


def test_executions_are_filtered_by_their_origin_and_counted_by_their_source(tenant: Tenant) -> None:
    run, path = str(uuid4()), f"{tenant.path}/execution-logs"
    ok(tenant.ana.post(path, execution(execution_id=run, source="scheduler")), 201)
    where = {"execution_id": run}
    assert len(ok(tenant.ana.get(path, params=where | {"origin": "posted"}))["items"]) == 1
    assert ok(tenant.ana.get(path, params=where | {"origin": "annals"}))["items"] == []
    counted = ok(tenant.ana.get(f"{path}/stats", params=where | {"group_by": "source", "bucket": "1d"}))
    assert [(each["group"], each["count"]) for each in counted["buckets"]] == [("scheduler", 1)]


@pytest.mark.parametrize(
    ("log", "body", "field"),
    [
        (
            "change-history",
            {"table_name": "orders", "record_id": "1", "change_type": "INSERT", "new_data": {"a": 1}},
            "change_reason",
        ),
        ("deletions", {"resource_type": "order", "resource_id": "1"}, "deletion_reason"),
    ],
)
def test_a_reason_in_the_header_counts_where_the_body_has_none(
    tenant: Tenant, log: str, body: Json, field: str
) -> None:
    source = str(uuid4())
    reason = {"x-change-reason": "the yearly clean-up"}
    ok(tenant.ana.post(f"{tenant.path}/{log}", body | {"source": source}, headers=reason), 201)
    [row] = ok(tenant.ana.get(f"{tenant.path}/{log}", params={"source": source}))["items"]
    assert row[field] == "the yearly clean-up"


def test_a_long_method_is_told_in_characters(tenant: Tenant) -> None:
    problem = refused(
        tenant.ana.post(f"{tenant.path}/audit-logs", visit(http_method="SUBSCRIBING")), 422, "invalid"
    )
    assert problem["errors"] == [{"pointer": "/http_method", "detail": "has at most 10 characters"}]
