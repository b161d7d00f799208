"""Posted audit events as they were: their own time and actor, and each event_id of a source stored once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from service.domain.ids import SubscriptionId
from service.usecases import posted_events
from tests.support.api import Json, Tenant, ok, pointers, refused
from tests.support.events import events

EVENT: Json = {"action": "ConsoleLogin", "resource_type": "session"}
ZOE: Json = {"id": "u-7", "name": "Zoë", "email": "zoe@example.org", "kind": "human"}


IMPORT = {"import": "true"}


def post(tenant: Tenant, body: object, status: int = 201) -> Json:
    """Post events as an editor, and return the answer."""
    return ok(tenant.ben.post(f"{tenant.path}/audit-logs", body), status)


def named(number: object, **fields: Any) -> Json:
    """Make an event with the sender's id."""
    return {**EVENT, "source": "console", "event_id": f"e-{number}", **fields}


def posted(tenant: Tenant, **query: Any) -> list[Json]:
    return events(tenant, origin="posted", **query)


def test_the_same_event_twice_is_stored_once_and_said_so(tenant: Tenant) -> None:
    first = post(tenant, named(1))
    again = post(tenant, named(1), status=200)
    assert first == {"accepted": 1, "duplicates": 0, "ids": first["ids"]}
    assert again == {"accepted": 0, "duplicates": 1, "ids": first["ids"]}
    assert [event["audit_id"] for event in posted(tenant)] == first["ids"]


def test_duplicates_of_an_array_are_counted_and_the_rest_is_stored(tenant: Tenant) -> None:
    post(tenant, [named(1), named(2)])
    answer = post(tenant, [named(2), named(3), named(3), EVENT, EVENT])
    assert answer == {"accepted": 3, "duplicates": 2}
    found = [event["event_id"] for event in posted(tenant)]
    assert sorted(found, key=str) == [None, None, "e-1", "e-2", "e-3"]
    assert post(tenant, [named(1), named(2), named(3)], status=200) == {"accepted": 0, "duplicates": 3}


def test_an_id_is_one_of_its_source_and_subscription(tenant: Tenant, stranger: Tenant) -> None:
    for fields in ({}, {"source": "other"}, {"source": None}):
        assert post(tenant, named(1, **fields))["accepted"] == 1
    assert post(tenant, named(1, source=None), status=200)["accepted"] == 0
    assert post(stranger, named(1))["accepted"] == 1


def test_ids_that_are_masked_alike_are_two_ids(tenant: Tenant) -> None:
    ids = [f"https://bob:{secret}@git.example/r" for secret in ("hunter2-first", "hunter2-second")]
    assert post(tenant, [{**EVENT, "event_id": each} for each in ids])["accepted"] == 2
    assert len({event["event_id"] for event in posted(tenant)}) == 1


def test_one_id_posted_by_many_at_once_is_stored_once(tenant: Tenant) -> None:
    _ = tenant.ben
    batches = [[named(number) for number in order] for order in (range(50), range(49, -1, -1)) * 4]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda batch: tenant.ben.post(f"{tenant.path}/audit-logs", batch), batches))
    assert {answer.status_code for answer in answers} == {200, 201}
    assert sum(answer.json()["accepted"] for answer in answers) == 50
    assert len(posted(tenant)) == 50


def test_a_refused_array_takes_no_ids(tenant: Tenant) -> None:
    wrong = {**EVENT, "status": "perhaps"}
    refused(tenant.ben.post(f"{tenant.path}/audit-logs", [named(1), wrong]), 422, "invalid")
    assert post(tenant, named(1))["accepted"] == 1


def test_only_new_events_count_against_the_quota(tenant: Tenant) -> None:
    ok(tenant.server.operator.patch(tenant.path, {"quotas": {"log_rows_a_day": 2}}))
    post(tenant, named(1))
    assert post(tenant, [named(1)] * 5, status=200)["duplicates"] == 5
    post(tenant, named(2))
    refused(tenant.ben.post(f"{tenant.path}/audit-logs", named(3)), 403, "quota_exceeded")


def test_the_actor_is_shown_beside_the_caller(tenant: Tenant) -> None:
    post(tenant, {**EVENT, "actor": ZOE})
    [event] = posted(tenant, actor_id="u-7")
    assert (event["username"], event["user_email"]) == ("ben", "ben@example.org")
    assert event["actor"] == ZOE
    assert [each["audit_id"] for each in posted(tenant, actor_name="Zoë")] == [event["audit_id"]]
    assert posted(tenant, actor_name="ben") == []


@pytest.mark.parametrize(
    ("actor", "shown"),
    [
        ({"id": "u"}, ("u", None, None)),
        ({"name": "Zoë"}, (None, "Zoë", None)),
        ({"name": "Zoë", "email": "z@example.org"}, ("Zoë", "Zoë", "z@example.org")),
        ({"id": "u", "email": "z@example.org"}, ("u", None, "z@example.org")),
    ],
)
def test_an_actor_has_an_id_or_a_name_and_an_address_belongs_to_an_id(
    tenant: Tenant, actor: Json, shown: tuple[str | None, ...]
) -> None:
    post(tenant, {**EVENT, "actor": actor})
    found = posted(tenant)[0]["actor"]
    assert (found["id"], found["name"], found["email"]) == shown


def test_the_address_of_an_actor_lies_in_no_log(tenant: Tenant) -> None:
    post(tenant, [{**EVENT, "actor": ZOE}] * 3)
    [[rows]] = tenant.server.database.rows(
        "SELECT json_agg(a)::text FROM audit_logs a WHERE subscription_id = %s", tenant.subscription_id
    )
    assert "u-7" in rows
    assert "zoe@example.org" not in rows


def test_a_later_address_of_an_actor_replaces_the_earlier_one(tenant: Tenant) -> None:
    for email in ("old@example.org", None, "new@example.org"):
        post(tenant, {**EVENT, "actor": {"id": "u-7", "email": email}})
    assert {event["actor"]["email"] for event in posted(tenant)} == {"new@example.org"}


def test_an_erased_address_stays_erased(tenant: Tenant) -> None:
    post(tenant, {**EVENT, "actor": ZOE})
    subscription_id = SubscriptionId(UUID(tenant.subscription_id))
    assert posted_events.erase_address(tenant.server.context, subscription_id, "u-7")
    post(tenant, {**EVENT, "actor": ZOE})
    assert [event["actor"] for event in posted(tenant)] == [ZOE | {"email": None}] * 2
    assert not posted_events.erase_address(tenant.server.context, subscription_id, "u-7")


def test_an_address_is_of_one_subscription(tenant: Tenant, stranger: Tenant) -> None:
    post(tenant, {**EVENT, "actor": ZOE})
    post(stranger, {**EVENT, "actor": {"id": "u-7"}})
    assert posted(stranger)[0]["actor"]["email"] is None


def test_the_name_for_whom_it_was_done_is_the_actors(tenant: Tenant) -> None:
    post(tenant, {**EVENT, "on_behalf_of": "zoe"})
    [event] = posted(tenant, actor_name="zoe")
    assert event["actor"] == {"id": None, "name": "zoe", "email": None, "kind": None}


def test_rows_of_older_versions_show_their_person_as_the_actor(tenant: Tenant) -> None:
    tenant.server.database.rows(
        "INSERT INTO audit_logs (subscription_id, action, resource_type, on_behalf_of, origin)"
        " VALUES (%s, 'RUN', 'report', 'zoe', 'posted') RETURNING 1",
        tenant.subscription_id,
    )
    [event] = posted(tenant)
    assert event["actor"]["name"] == "zoe"
    assert event["occurred_at"] == event["created_at"]


def ago(**by: float) -> str:
    return (datetime.now(UTC) - timedelta(**by)).isoformat()


@pytest.mark.parametrize("field", ["occurred_at", "created_at"])
def test_an_event_has_its_own_time_beside_that_of_its_arrival(tenant: Tenant, field: str) -> None:
    sent = ago(days=6)
    before = datetime.now(UTC)
    post(tenant, {**EVENT, field: sent})
    [event] = posted(tenant)
    assert datetime.fromisoformat(event["occurred_at"]) == datetime.fromisoformat(sent)
    assert datetime.fromisoformat(event["created_at"]) >= before - timedelta(seconds=1)


def test_nanoseconds_are_cut(tenant: Tenant) -> None:
    day = datetime.now(UTC).date() - timedelta(days=1)
    post(tenant, {**EVENT, "occurred_at": f"{day}T12:00:00.123456789+02:00"})
    assert posted(tenant)[0]["occurred_at"] == f"{day}T10:00:00.123456Z"


def test_an_admin_imports_events_of_any_past_but_none_of_the_future(tenant: Tenant) -> None:
    old = {**EVENT, "occurred_at": "1969-07-20T20:17:40Z"}
    path = f"{tenant.path}/audit-logs"
    refused(tenant.ben.post(path, old, params=IMPORT), 403, "forbidden")
    problem = refused(tenant.ana.post(path, [EVENT, old]), 422, "invalid")
    assert pointers(problem) == ["/1/occurred_at"]
    assert "import=true" in problem["detail"]
    ok(tenant.ana.post(path, old, params=IMPORT), 201)
    assert posted(tenant)[0]["occurred_at"] == "1969-07-20T20:17:40Z"
    ahead = {**EVENT, "occurred_at": ago(minutes=-6)}
    refused(tenant.ana.post(path, ahead, params=IMPORT), 422, "invalid")


FOUND_BY: Json = {
    "source": "console",
    "event_id": "e-9",
    "actor_id": "u-7",
    "actor_name": "Zoë",
    "ip_address": "2001:db8::7",
    "request_id": "theirs-9",
    "received_request_id": "ours-9",
    "action": "ConsoleLogin",
}


@pytest.mark.parametrize("name", FOUND_BY)
def test_an_event_is_found_by_what_it_says(tenant: Tenant, name: str) -> None:
    body = {
        **named(9, actor=ZOE, ip_address="2001:DB8:0::7", request_id="theirs-9"),
        "user_agent": "curl/8",
        "http_method": "POST",
    }
    ok(tenant.ben.post(f"{tenant.path}/audit-logs", body, headers={"x-request-id": "ours-9"}), 201)
    post(tenant, {"action": "CONSOLE_LOGIN", "resource_type": "session"})
    [event] = posted(tenant, **{name: FOUND_BY[name]})
    assert event["event_id"] == "e-9"
    assert UUID(event["audit_id"]).version == 7


def test_statistics_group_by_source_and_actor(tenant: Tenant) -> None:
    post(tenant, [named(1), named(2, actor=ZOE), named(3, source="other"), EVENT])
    path = f"{tenant.path}/audit-logs/stats"

    def counted(group_by: str) -> dict[str | None, int]:
        query = {"origin": "posted", "bucket": "1d", "group_by": group_by}
        buckets = ok(tenant.aud.get(path, params=query))["buckets"]
        return {bucket["group"]: bucket["count"] for bucket in buckets}

    assert counted("source") == {"console": 2, "other": 1, None: 1}
    assert counted("actor_id") == {"u-7": 1, None: 3}


def test_a_long_endpoint_and_agent_are_cut_and_say_so(tenant: Tenant) -> None:
    post(tenant, {**EVENT, "api_endpoint": "/x" * 5_000, "user_agent": "é" * 50_000})
    [event] = posted(tenant)
    assert len(event["api_endpoint"]) <= 500
    assert event["api_endpoint"].endswith("[cut: 10000 bytes]")
    assert event["user_agent"].endswith("[cut: 100000 bytes]")
