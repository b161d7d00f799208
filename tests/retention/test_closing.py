"""A closed subscription: read-only at once, reopened, and closed during a change."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.support.api import Caller, Tenant, ok, refused, without_quotas
from tests.support.closings import REASON
from tests.support.deletion_requests import ask, carry_out, outcome
from tests.support.events import events
from tests.support.histories import check_history
from tests.support.legal_holds import hold
from tests.support.waiting import WAITING, until


def test_a_closed_subscription_is_only_read_until_it_is_opened_again(tenant: Tenant, home: Path) -> None:
    operator, vera, aud = tenant.server.operator, tenant.vera, tenant.aud
    workflow, gone = tenant.workflow(), tenant.workflow()
    tenant.save(workflow, {"n": 2})
    deletion = tenant.remove(gone)
    workspace = tenant.make("workspaces")
    before = ok(operator.get(tenant.path))
    for caller in (tenant.ana, tenant.ben):
        refused(caller.post(f"{tenant.path}/close", REASON), 403, "forbidden")
    refused(operator.post(f"{tenant.path}/reopen", REASON), 409, "subscription_open")
    refused(operator.post(f"{tenant.path}/close", {}), 422, "invalid")
    once = {"Idempotency-Key": "close"}
    shown = ok(operator.post(f"{tenant.path}/close", REASON, headers=once))
    assert ok(operator.post(f"{tenant.path}/close", REASON, headers=once)) == shown
    other = {"reason": "another"}
    refused(operator.post(f"{tenant.path}/close", other, headers=once), 422, "idempotency_key_reused")
    for caller in (tenant.ana, operator):
        assert without_quotas(ok(caller.get(tenant.path))) == shown
    assert (shown["closed_by"], shown["close_reason"]) == ("operator", REASON["reason"])
    at, then = (datetime.fromisoformat(shown[name]) for name in ("closed_at", "purge_after"))
    assert then - at == timedelta(days=30)
    assert (shown["exported_at"], shown["purged_at"]) == (None, None)

    calls: list[tuple[Caller, str, str, object]] = [
        (tenant.ana, "POST", f"{tenant.path}/workspaces", {"name": "w"}),
        (tenant.ana, "POST", f"{tenant.at(workflow)}/versions", {"data": {"n": 3}}),
        (tenant.ana, "PATCH", tenant.at(workflow), {"name": "another"}),
        (tenant.ana, "DELETE", tenant.at(workflow), None),
        (tenant.ana, "DELETE", f"{tenant.at(gone)}?permanent=true", None),
        (tenant.ana, "POST", f"{tenant.at(workflow)}/check-out", {}),
        (tenant.ana, "PUT", f"{tenant.at(workflow)}/versions/1/tag", {"tag": "v1"}),
        (tenant.ana, "POST", f"{tenant.at(workflow)}/versions/1/comments", {"text": "late"}),
        (tenant.ana, "POST", f"{tenant.path}/deletions/{deletion['deletion_id']}/restore", {}),
        (tenant.ana, "POST", f"{tenant.path}/audit-logs", {"action": "RUN", "resource_type": "job"}),
        (tenant.ana, "PATCH", tenant.path, {"name": "another"}),
        (operator, "PATCH", tenant.path, {"name": "another"}),
        (operator, "POST", f"{tenant.path}/users", {"username": "new", "email": "n@x", "role": "viewer"}),
        (operator, "DELETE", f"{tenant.path}/users/{vera.user_id}", None),
        (operator, "POST", f"{tenant.path}/api-keys", {"user_id": tenant.ana.user_id, "name": "k"}),
        (operator, "POST", f"{tenant.path}/close", REASON),
    ]
    for caller, method, path, body in calls:
        refused(caller.request(method, path, body), 409, "subscription_closed")
    request = ask(tenant, workspace)
    carry_out(tenant)
    _, problem = outcome(tenant, request)
    assert problem is not None
    assert problem.startswith("subscription_closed: ")
    assert ok(vera.get(f"{tenant.at(workflow)}/versions/current"))["data"] == {"n": 2}
    [event] = events(tenant, action="UPDATE", resource_type="subscription", status="success")
    assert (event["username"], event["resource_id"]) == ("operator", tenant.subscription_id)
    assert "closed_at" not in event["old_values"]
    assert (event["new_values"]["closed_at"], event["new_values"]["purge_after"]) == (
        shown["closed_at"],
        shown["purge_after"],
    )
    clone = tenant.clone(home / "clone", vera)
    assert (clone / ".git").is_dir()

    again = ok(operator.post(f"{tenant.path}/reopen", {"reason": "they pay again"}))
    assert again == without_quotas(before)
    tenant.save(workflow, {"n": 3})
    history = aud.pages(f"{tenant.path}/change-history", table_name="subscriptions")
    assert [(row["change_type"], row["change_reason"]) for row in history][:2] == [
        ("UPDATE", "they pay again"),
        ("UPDATE", REASON["reason"]),
    ]
    assert history[0]["old_data"]["closed_by"] == history[1]["new_data"]["closed_by"] == "operator"
    assert "closed_by" not in history[0]["new_data"]
    check_history(tenant)


@pytest.mark.parametrize("by", ["ana", "operator"])
def test_an_address_can_be_erased_while_the_subscription_is_closed(tenant: Tenant, by: str) -> None:
    former, present = (f"{tenant.path}/users/{each.user_id}" for each in (tenant.vera, tenant.ben))
    ok(tenant.ana.delete(former), 204)
    ok(tenant.server.operator.post(f"{tenant.path}/close", REASON))
    ok(tenant.caller(by).delete(f"{former}/email"), 204)
    ok(tenant.caller(by).delete(f"{present}/email"), 204)
    refused(tenant.ben.delete(f"{former}/email"), 403, "forbidden")
    kept = tenant.server.database.rows(
        "SELECT username FROM actors WHERE subscription_id = %s AND email IS NOT NULL",
        tenant.subscription_id,
    )
    assert {username for (username,) in kept} == {"ana"}


@pytest.mark.parametrize("change", [{"email": None}, {"email": "new@example.org"}, {"role": "viewer"}])
def test_a_user_of_a_closed_subscription_is_not_updated(
    tenant: Tenant, change: dict[str, str | None]
) -> None:
    path = f"{tenant.path}/users/{tenant.ben.user_id}"
    ok(tenant.server.operator.post(f"{tenant.path}/close", REASON))
    refused(tenant.server.operator.patch(path, change), 409, "subscription_closed")


def test_what_is_under_a_hold_is_not_closed(tenant: Tenant) -> None:
    hold_id = hold(tenant, resource_type="workflow", resource_id=tenant.workflow()["resource_id"])
    problem = refused(tenant.server.operator.post(f"{tenant.path}/close", REASON), 409, "held")
    assert problem["hold_id"] == hold_id


@pytest.mark.parametrize("saved_first", [False, True])
def test_a_change_that_races_with_closing_comes_before_it_or_is_refused(
    tenant: Tenant, saved_first: bool
) -> None:
    workflow = tenant.workflow()
    database = tenant.server.database
    # The change that waits for its turn was admitted before the closing.
    calls: list[Callable[[], httpx.Response]] = [
        lambda: tenant.server.operator.post(f"{tenant.path}/close", REASON),
        lambda: tenant.ana.post(f"{tenant.at(workflow)}/versions", {"data": {"n": 2}}),
    ]
    with ThreadPoolExecutor(3) as threads:
        with database.connection() as connection, connection.transaction():
            lock = "SELECT 1 FROM repositories WHERE subscription_id = %s FOR UPDATE"
            connection.execute(lock, [tenant.subscription_id])
            asked = []
            for number, call in enumerate(reversed(calls) if saved_first else calls, 1):
                asked.append(threads.submit(call))
                until(lambda number=number: database.value(WAITING) == number)  # type: ignore[misc]
            renaming = threads.submit(tenant.ana.patch, tenant.path, {"name": "another"})
            until(lambda: database.value(WAITING) == len(calls) + 1)
        done = [each.result() for each in asked]
        refused(renaming.result(), 409, "subscription_closed")
    closing, saving = reversed(done) if saved_first else done
    ok(closing)
    if saved_first:
        ok(saving, 201)
    else:
        refused(saving, 409, "subscription_closed")
    assert ok(tenant.ana.get(tenant.at(workflow)))["current_version"] == 1 + saved_first
    check_history(tenant)
