"""Events of other systems go in with a mapping of a few lines; their own fields and times find them."""

import os
import random
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support.api import Json, Server, Tenant, ok
from tests.support.senders import SENDERS, Sender

# Filters of each log that find a posted event by a field of the same name.
FILTERS = {
    "audit-logs": (
        *("action", "resource_type", "resource_id", "status", "ip_address", "request_id", "event_id"),
    ),
    "execution-logs": (
        *("execution_id", "execution_type", "workflow_id", "node_id", "log_level", "status", "error_code"),
        *("triggered_by", "git_commit_hash"),
    ),
    "server-logs": ("endpoint", "ip_address", "request_id"),
    "change-history": ("table_name", "record_id", "changed_by"),
}
# ANNALS_TEST_QUESTIONS asks more of the questions than a run in between has time for.
QUESTIONS = int(os.environ.get("ANNALS_TEST_QUESTIONS", "40"))
MICROSECOND = timedelta(microseconds=1)
ALL = pytest.mark.parametrize("sender", SENDERS.values(), ids=lambda sender: sender.name)


@pytest.fixture(scope="module")
def platform(server: Server) -> Tenant:
    """A subscription whose admin has sent the events of all senders."""
    tenant = Tenant(server, "platform")
    for sender in SENDERS.values():
        accepted = send(tenant, sender)
        assert accepted["accepted"] == len(sender.entries())
    return tenant


def send(tenant: Tenant, sender: Sender) -> Json:
    """Post all events of a sender in one array; they are older than a week."""
    return ok(tenant.ana.post(f"{tenant.path}/{sender.log}?import=true", sender.bodies()), 201)


def rows(tenant: Tenant, sender: Sender, **query: Any) -> list[Json]:
    return tenant.aud.pages(f"{tenant.path}/{sender.log}", source=sender.name, limit=200, **query)


def moment(event: Json) -> datetime:
    """Read the time of an event, which no other event of its sender has."""
    return datetime.fromisoformat(event["occurred_at"])


def questions(body: Json, log: str) -> Json:
    """List the filters that must find an event, with their values."""
    found = {name: body[name] for name in FILTERS[log] if name in body}
    if "actor" in body:
        found["actor_id"] = body["actor"]["id"]
    if log == "server-logs":
        found["status"] = body["response_status"]
        if "user_id" in body:
            found["actor_id"] = body["user_id"]
    return found


@ALL
def test_there_are_at_least_twenty_varied_events_of_each_sender(sender: Sender) -> None:
    bodies = sender.bodies()
    assert len({moment(body) for body in bodies}) == len(bodies) >= 20
    assert len({str({**body, "occurred_at": None}) for body in bodies}) == len(bodies)


@pytest.mark.sampled(4)
@ALL
def test_each_event_is_found_by_each_of_its_fields_and_no_other_is(platform: Tenant, sender: Sender) -> None:
    expected: dict[tuple[str, Any], Counter[datetime]] = defaultdict(Counter)
    for body in sender.bodies():
        for question in questions(body, sender.log).items():
            expected[question][moment(body)] += 1
    asked = list(expected.items())
    for (name, value), moments in random.Random(len(asked)).sample(asked, min(len(asked), QUESTIONS)):
        found = Counter(moment(row) for row in rows(platform, sender, **{name: value}))
        assert found == moments, (name, value)


@pytest.mark.sampled(4)
@ALL
def test_each_event_is_found_by_its_own_time(platform: Tenant, sender: Sender) -> None:
    for body in sender.bodies():
        at = moment(body)
        [row] = rows(
            platform, sender, time="occurred_at", since=at.isoformat(), until=(at + MICROSECOND).isoformat()
        )
        assert moment(row) == at


@ALL
def test_pages_by_the_events_own_time_begin_with_the_newest(platform: Tenant, sender: Sender) -> None:
    found = [moment(row) for row in rows(platform, sender, time="occurred_at")]
    assert found == sorted(map(moment, sender.bodies()), reverse=True)


@ALL
def test_all_rows_say_who_sent_them_and_that_they_were_posted(platform: Tenant, sender: Sender) -> None:
    for row in rows(platform, sender):
        assert (row["origin"], row["source"]) == ("posted", sender.name)
        assert row.get("recorded_by", row.get("user_id")) == platform.ana.user_id


@ALL
def test_no_secret_of_an_event_is_shown(platform: Tenant, sender: Sender) -> None:
    secrets = [secret for entry in sender.entries() for secret in entry.secrets]
    shown = str(rows(platform, sender))
    assert [secret for secret in secrets if secret in shown] == []


@pytest.mark.parametrize("name", [name for name, sender in SENDERS.items() if sender.log == "audit-logs"])
def test_the_actor_is_shown_as_the_sender_names_it(platform: Tenant, name: str) -> None:
    sender = SENDERS[name]
    shown = {moment(row): row["actor"] for row in rows(platform, sender)}
    for body in sender.bodies():
        actor = shown[moment(body)]
        assert {field: actor[field] for field in body["actor"]} == body["actor"]


@pytest.mark.parametrize("name", [name for name, sender in SENDERS.items() if sender.log == "audit-logs"])
def test_audit_events_that_are_sent_again_are_not_stored_again(platform: Tenant, name: str) -> None:
    sender = SENDERS[name]
    bodies = sender.bodies()
    again = ok(platform.ana.post(f"{platform.path}/audit-logs?import=true", bodies))
    assert again == {"accepted": 0, "duplicates": len(bodies)}
    assert len(rows(platform, sender)) == len(bodies)


def test_the_changes_of_a_captured_record_are_numbered_in_their_order(platform: Tenant) -> None:
    numbers: dict[str, list[int]] = defaultdict(list)
    for row in reversed(rows(platform, SENDERS["debezium"], time="occurred_at")):
        numbers[f"{row['table_name']} {row['record_id']}"].append(row["version_number"])
    assert {record: list(range(1, len(each) + 1)) for record, each in numbers.items()} == numbers
