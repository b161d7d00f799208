"""The audit log: every change leaves its row in its own transaction, and auditors find it."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.support.api import Json, Server, Tenant, ok, pointers, refused

EVENT_FIELDS = {
    *("audit_id", "created_at", "subscription_id", "user_id", "username", "user_email", "action"),
    *("resource_type", "resource_id", "resource_name", "old_values", "new_values", "changes"),
    *("ip_address", "user_agent", "api_endpoint", "http_method", "request_id"),
    *("workspace_id", "folder_id", "status", "error_message", "on_behalf_of"),
}
UNKNOWN = "019a0000-0000-7000-8000-000000000000"


def events(tenant: Tenant, **query: Any) -> list[Json]:
    """What an auditor finds; logins and the reading of logs only where they are asked for."""
    found = tenant.aud.pages(f"{tenant.path}/audit-logs", **query)
    return [event for event in found if "action" in query or event["action"] not in ("LOGIN", "READ")]


Prepare = Callable[[Tenant], tuple[str, Json | None]]


def user_path(tenant: Tenant) -> str:
    return f"{tenant.path}/users/{tenant.user('zed', 'viewer').user_id}"


def key_path(tenant: Tenant) -> str:
    body = {"user_id": tenant.ben.user_id, "name": "k"}
    key = ok(tenant.ana.post(f"{tenant.path}/api-keys", body), 201)
    return f"{tenant.path}/api-keys/{key['key_id']}"


def held(tenant: Tenant) -> str:
    workflow = tenant.workflow()
    tenant.check_out(workflow, tenant.ana)
    return tenant.at(workflow)


def edited(tenant: Tenant) -> str:
    workflow = tenant.workflow()
    tenant.save(workflow, {"n": 2})
    return tenant.at(workflow)


def published(tenant: Tenant) -> str:
    workflow = tenant.workflow()
    tenant.save(workflow, {"n": 2}, tag="v2", publish=True)
    return tenant.at(workflow)


def items(tenant: Tenant) -> Json:
    workflow = tenant.workflow()
    return {
        "items": [{"resource_type": "workflow", "resource_id": workflow["resource_id"], "data": {"n": 2}}]
    }


def executed(tenant: Tenant) -> Json:
    """An event of the platform itself."""
    workflow = tenant.workflow()
    names = ("resource_type", "resource_id", "workspace_id")
    return {"action": "EXECUTE", "new_values": {"n": 1}, **{name: workflow[name] for name in names}}


def undone(tenant: Tenant) -> str:
    """Where a deletion is undone."""
    return f"{tenant.path}/deletions/{tenant.remove(tenant.workflow())['deletion_id']}/restore"


def to_hold(tenant: Tenant) -> Json:
    """A hold on a new workflow."""
    workflow = tenant.workflow()
    return {"reason": "a dispute", **{name: workflow[name] for name in ("resource_type", "resource_id")}}


def placed(tenant: Tenant) -> Json:
    """A hold that runs."""
    return ok(tenant.ana.post(f"{tenant.path}/holds", to_hold(tenant)), 201)


def past_of(path: str, tenant: Tenant) -> str:
    """The commit of a resource's first version."""
    commit: str = ok(tenant.ana.get(f"{path}/versions/1"))["git_commit_hash"]
    return commit


def new(collection: str) -> Prepare:
    return lambda tenant: (f"{tenant.path}/{collection}", {"name": "new", **tenant.parent(collection)})


EXECUTION: Json = {
    "execution_id": UNKNOWN,
    "execution_type": "job",
    "log_level": "INFO",
    "log_message": "begins",
}


# Every call that changes something: how to make it succeed, and what the audit has to call it.
CALLS: dict[tuple[str, str], tuple[Prepare, str, str]] = {
    ("POST", "/v1/subscriptions"): (
        lambda _: ("/v1/subscriptions", {"name": "new"}),
        "CREATE",
        "subscription",
    ),
    ("POST", "S/users"): (
        lambda t: (f"{t.path}/users", {"username": "new", "email": "n@example.org", "role": "viewer"}),
        "CREATE",
        "user",
    ),
    ("PATCH", "S/users/{user_id}"): (lambda t: (user_path(t), {"role": "editor"}), "UPDATE", "user"),
    ("DELETE", "S/users/{user_id}"): (lambda t: (user_path(t), None), "DELETE", "user"),
    ("POST", "S/api-keys"): (
        lambda t: (f"{t.path}/api-keys", {"user_id": t.ben.user_id, "name": "new"}),
        "CREATE",
        "api_key",
    ),
    ("DELETE", "S/api-keys/{key_id}"): (lambda t: (key_path(t), None), "DELETE", "api_key"),
    ("POST", "S/workspaces"): (new("workspaces"), "CREATE", "workspace"),
    ("POST", "S/folders"): (new("folders"), "CREATE", "folder"),
    ("POST", "S/jobs"): (new("jobs"), "CREATE", "job"),
    ("POST", "S/workflows"): (new("workflows"), "CREATE", "workflow"),
    ("POST", "S/jobpackages"): (new("jobpackages"), "CREATE", "jobpackage"),
    ("POST", "S/connectors"): (new("connectors"), "CREATE", "connector"),
    ("PATCH", "R"): (lambda t: (t.at(t.workflow()), {"name": "renamed"}), "UPDATE", "workflow"),
    ("DELETE", "R"): (lambda t: (t.at(t.workflow()), None), "DELETE", "workflow"),
    ("POST", "S/deletions/{deletion_id}/restore"): (lambda t: (undone(t), None), "RESTORE", "workflow"),
    ("POST", "R/versions"): (
        lambda t: (f"{t.at(t.workflow())}/versions", {"data": {"n": 1}}),
        "UPDATE",
        "workflow",
    ),
    ("POST", "R/check-out"): (lambda t: (f"{t.at(t.workflow())}/check-out", {}), "CHECK_OUT", "workflow"),
    ("POST", "R/check-in"): (lambda t: (f"{held(t)}/check-in", {"data": {"n": 1}}), "CHECK_IN", "workflow"),
    ("DELETE", "R/check-out"): (lambda t: (f"{held(t)}/check-out", None), "CANCEL_CHECK_OUT", "workflow"),
    ("POST", "R/rollback"): (lambda t: (f"{edited(t)}/rollback", {"to": 1}), "ROLLBACK", "workflow"),
    ("PATCH", "S"): (lambda t: (t.path, {"require_if_match": True}), "UPDATE", "subscription"),
    ("POST", "S/execution-logs"): (
        lambda t: (f"{t.path}/execution-logs", EXECUTION),
        "RECORD",
        "execution_log",
    ),
    ("PUT", "S/audit-policy"): (
        lambda t: (
            f"{t.path}/audit-policy",
            {"rules": [{"resource_type": "*", "action": "READ", "depth": "none"}]},
        ),
        "UPDATE",
        "audit_policy",
    ),
    ("POST", "S/check-ins"): (lambda t: (f"{t.path}/check-ins", items(t)), "CHECK_IN", "workflow"),
    ("POST", "S/rollback"): (
        lambda t: (f"{t.path}/rollback", {"to": past_of(edited(t), t)}),
        "ROLLBACK",
        "workflow",
    ),
    ("PUT", "R/versions/{ref}/tag"): (
        lambda t: (f"{t.at(t.workflow())}/versions/1/tag", {"tag": "v1"}),
        "TAG",
        "workflow",
    ),
    ("DELETE", "R/versions/{ref}/tag"): (
        lambda t: (f"{published(t)}/versions/v2/tag", None),
        "UNTAG",
        "workflow",
    ),
    ("POST", "R/versions/{ref}/publish"): (
        lambda t: (f"{t.at(t.workflow())}/versions/1/publish", None),
        "PUBLISH",
        "workflow",
    ),
    ("POST", "R/versions/{ref}/unpublish"): (
        lambda t: (f"{published(t)}/versions/2/unpublish", None),
        "UNPUBLISH",
        "workflow",
    ),
    ("POST", "R/versions/{ref}/comments"): (
        lambda t: (f"{t.at(t.workflow())}/versions/1/comments", {"text": "well done"}),
        "COMMENT",
        "workflow",
    ),
    ("POST", "S/holds"): (lambda t: (f"{t.path}/holds", to_hold(t)), "CREATE", "legal_hold"),
    ("POST", "S/holds/{hold_id}/release"): (
        lambda t: (f"{t.path}/holds/{placed(t)['hold_id']}/release", {"reason": "settled"}),
        "UPDATE",
        "legal_hold",
    ),
    ("POST", "S/audit-logs"): (lambda t: (f"{t.path}/audit-logs", executed(t)), "EXECUTE", "workflow"),
}
WITHOUT_PLACE = ("subscription", "user", "api_key", "audit_policy", "execution_log", "legal_hold")
# Git has its own tests: `test_git_http` looks for CLONE and FETCH. So have closing and the platform's calls.
NOT_HERE = {
    ("POST", "/git/{subscription_id}.git/git-upload-pack"),
    ("POST", "S/close"),
    ("POST", "S/reopen"),
    ("PATCH", "/v1/maintenance/jobs/{name}"),
    ("POST", "/v1/maintenance/jobs/{name}/run"),
    ("PUT", "/v1/retention-policies"),
}


def short(path: str) -> str:
    """A path of the description as API.md writes it."""
    path = path.replace("/v1/subscriptions/{subscription_id}/{collection}/{resource_id}", "R")
    return path.replace("/v1/subscriptions/{subscription_id}", "S")


def test_every_call_that_changes_something_is_tried_here(server: Server) -> None:
    described = {
        (method.upper(), short(path))
        for path, methods in server.app.openapi()["paths"].items()
        for method in methods
        if method.upper() not in ("GET", "HEAD", "OPTIONS")
    }
    assert described - NOT_HERE == set(CALLS)


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_a_change_leaves_one_row_that_says_who_what_where_and_how(
    tenant: Tenant, method: str, path: str
) -> None:
    prepare, action, resource_type = CALLS[method, path]
    where, body = prepare(tenant)
    caller = tenant.server.operator if path == "/v1/subscriptions" else tenant.ana
    request_id = f"audit-{uuid4()}"
    headers = {"x-request-id": request_id, "user-agent": "the tests"}
    response = caller.request(method, where, body, headers=headers)
    assert response.is_success, response.text
    rows = tenant.server.database.rows(
        "SELECT row_to_json(a) FROM audit_logs a WHERE request_id = %s AND resource_type = %s"
        " AND action NOT IN ('LOGIN', 'LOGOUT')",
        request_id,
        resource_type,
    )
    [[row]] = rows
    answer = response.json() if response.content else {}
    expected = {
        "action": action,
        "resource_type": resource_type,
        "subscription_id": answer.get("subscription_id", tenant.subscription_id),
        "user_id": caller.user_id or None,
        "username": caller.username or "operator",
        "ip_address": "127.0.0.1",
        "user_agent": "the tests",
        "api_endpoint": where,
        "http_method": method,
        "request_id": request_id,
        "status": "success",
        "error_message": None,
    }
    assert row | expected == row
    assert row["resource_id"] is not None
    assert row["old_values"] is not None or row["new_values"] is not None
    assert row["changes"]
    assert (row["workspace_id"] is not None) == (resource_type not in WITHOUT_PLACE)
    assert "example.org" not in str(row)


@pytest.mark.parametrize("call", ["versions", "check-in"])
def test_an_unchanged_save_is_recorded_as_that(tenant: Tenant, call: str) -> None:
    path = held(tenant)
    answer = ok(tenant.ana.post(f"{path}/{call}", {"data": {}}, headers={"x-request-id": "equal"}))
    [event] = events(tenant, request_id="equal")
    assert event["new_values"]["unchanged"] is True
    assert event["new_values"]["version_id"] == answer["version_id"]


def test_an_event_of_a_version_names_it_without_its_body(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": "the body"})
    saved = tenant.save(workflow, {"n": "another body"}, tag="v2")
    [event] = events(tenant, action="UPDATE")
    assert event["old_values"]["version_number"] == 1
    names = ("version_id", "version_number", "version_tag", "git_commit_hash")
    assert event["new_values"] == {name: saved[name] for name in names}
    assert {change["path"] for change in event["changes"]} == {f"/{name}" for name in names}
    assert "body" not in str(event)
    assert event["workspace_id"] == tenant.workspace_id
    assert event["folder_id"] == tenant.folder_id


def test_a_refused_change_leaves_no_row_of_success(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    before = tenant.footprint()
    refused(tenant.ana.post(f"{tenant.at(workflow)}/check-in", {}), 409, "not_checked_out")
    refused(tenant.ana.post(f"{tenant.at(workflow)}/rollback", {"to": 9}), 404, "version_not_found")
    assert tenant.footprint() == before


WRITES: tuple[tuple[str, str, Json], ...] = (
    ("POST", "{R}/check-out", {}),
    ("POST", "{R}/versions", {"data": {"n": 9}}),
    ("POST", "{S}/workspaces", {"name": "w"}),
    ("POST", "{S}/users", {"username": "new", "email": "n@example.org", "role": "viewer"}),
    ("POST", "{S}/api-keys", {"name": "k"}),
)


def test_without_its_audit_row_no_change_is_made(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    _ = tenant.ben
    before = tenant.footprint()
    with audit_refused(tenant):
        for method, path, body in WRITES:
            where = path.format(R=tenant.at(workflow), S=tenant.path)
            whole = {**body, "user_id": tenant.ben.user_id} if "api-keys" in path else body
            response = tenant.ana.request(method, where, whole)
            assert response.status_code == 500
            assert response.headers["content-type"] == "application/problem+json"
        url = f"/git/{tenant.subscription_id}.git/git-upload-pack"
        want = f"want {tenant.main()}\n"
        negotiation = f"{len(want) + 4:04x}{want}00000009done\n".encode()
        assert tenant.ana.post(url, content=negotiation).status_code == 500
    assert tenant.footprint() == before
    tenant.save(workflow, {"n": 9})


class audit_refused:  # noqa: N801 - reads as a statement
    """Let the database refuse the audit rows of one subscription."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._name = f"test_refusal_{tenant.subscription_id[-12:]}"

    def __enter__(self) -> None:
        with self._tenant.server.database.connection() as connection:
            connection.execute(
                psycopg.sql.SQL(
                    "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                    " RAISE EXCEPTION 'no audit'; END $$;"
                    " CREATE TRIGGER {name} BEFORE INSERT ON audit_logs FOR EACH ROW"
                    " WHEN (NEW.subscription_id = {id}) EXECUTE FUNCTION {name}()"
                ).format(
                    name=psycopg.sql.Identifier(self._name),
                    id=psycopg.sql.Literal(self._tenant.subscription_id),
                )
            )

    def __exit__(self, *_: object) -> None:
        with self._tenant.server.database.connection() as connection:
            name = psycopg.sql.Identifier(self._name)
            connection.execute(psycopg.sql.SQL("DROP TRIGGER {} ON audit_logs").format(name))
            connection.execute(psycopg.sql.SQL("DROP FUNCTION {}").format(name))


def test_an_event_answers_with_every_field_and_the_present_address(tenant: Tenant) -> None:
    tenant.workflow(by=tenant.ben)
    ok(tenant.ana.patch(f"{tenant.path}/users/{tenant.ben.user_id}", {"email": "new@example.org"}))
    found = events(tenant, user_id=tenant.ben.user_id)
    assert [event["resource_type"] for event in found] == ["workflow"]
    assert set(found[0]) == EVENT_FIELDS
    assert found[0]["user_email"] == "new@example.org"
    assert found[0]["ip_address"] == "127.0.0.1"
    ok(tenant.ana.delete(f"{tenant.path}/users/{tenant.ben.user_id}"), 204)
    assert events(tenant, user_id=tenant.ben.user_id)[0]["username"] == "ben"


def test_events_are_narrowed_by_each_filter_and_by_all(tenant: Tenant) -> None:
    one, other = tenant.workflow(), tenant.make("connectors")
    tenant.save(one, {"n": 1}, by=tenant.ben)
    tenant.check_out(other, tenant.ben)
    everything = events(tenant)
    saved = next(event for event in everything if event["action"] == "UPDATE")
    names = ("resource_type", "resource_id", "user_id", "action", "status", "workspace_id", "request_id")
    for name in names:
        expected = [event for event in everything if event[name] == saved[name]]
        assert events(tenant, **{name: saved[name]}) == expected
    assert events(tenant, **{name: saved[name] for name in names}) == [saved]
    assert events(tenant, action="UPDATE", user_id=tenant.ana.user_id) == []
    assert events(tenant, status="failed") == []
    at = saved["created_at"]
    assert events(tenant, since=at) == [event for event in everything if event["created_at"] >= at]
    assert events(tenant, until=at) == [event for event in everything if event["created_at"] <= at]
    assert events(tenant, since=at, until=at) == [saved]
    later = datetime.fromisoformat(at) + timedelta(days=400)
    assert events(tenant, since=later.isoformat()) == []


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"user_id": "ana"}, "user_id"),
        ({"workspace_id": "x"}, "workspace_id"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-01-01T00:00:00"}, "since"),
        ({"until": "2026-13-01T00:00:00Z"}, "until"),
        ({"action": "a\0b"}, "action"),
        ({"status": "maybe"}, "status"),
        ({"resource_id": "\0"}, "resource_id"),
        ({"request_id": "x" * 501}, "request_id"),
        ({"limit": "201"}, "limit"),
        ({"cursor": "AAAA"}, "cursor"),
    ],
)
def test_a_filter_that_breaks_a_rule_is_refused(
    shared: Tenant, query: dict[str, str], parameter: str
) -> None:
    response = shared.aud.get(f"{shared.path}/audit-logs", params=query)
    assert pointers(refused(response, 422, "invalid")) == [parameter]


@pytest.mark.parametrize(
    "since", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00"]
)
def test_the_ends_of_time_are_no_fault_of_the_server(shared: Tenant, since: str) -> None:
    for name in ("since", "until"):
        response = shared.aud.get(f"{shared.path}/audit-logs", params={name: since})
        assert response.status_code in (200, 422), response.text


@pytest.mark.parametrize("limit", [1, 2, 5, 200])
def test_paging_gives_every_event_once_newest_first(shared: Tenant, limit: int) -> None:
    workflow = shared.workflow()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: shared.save(workflow, {"n": number}), range(8)))
    found = events(shared, limit=limit, resource_id=workflow["resource_id"])
    assert len({event["audit_id"] for event in found}) == len(found) == 9
    times = [event["created_at"] for event in found]
    assert times == sorted(times, reverse=True)


def test_names_are_as_long_as_they_may_be_in_any_script(tenant: Tenant) -> None:
    sent = {
        "resource_type": "é" * 100,
        "resource_id": "識" * 255,
        "resource_name": "名" * 500,
        "on_behalf_of": "😀" * 255,
    }
    ok(tenant.ben.post(f"{tenant.path}/audit-logs", {"action": "EXECUTE", **sent}), 201)
    narrow = {key: sent[key] for key in ("resource_type", "resource_id")}
    [found] = tenant.aud.pages(f"{tenant.path}/audit-logs", **narrow)
    assert {key: found[key] for key in sent} == sent


def test_a_page_is_stable_while_events_come_in(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    for number in range(4):
        tenant.save(workflow, {"n": number})
    path = f"{tenant.path}/audit-logs"
    before = tenant.aud.pages(path)
    first = tenant.aud.get(path, params={"limit": 3})
    tenant.save(workflow, {"n": 9})
    rest = tenant.aud.pages(path, cursor=ok(first)["next_cursor"], limit=3)
    assert [event for event in first.json()["items"] + rest if event in before] == before
    assert re.fullmatch(r"[A-Za-z0-9_-]+", first.json()["next_cursor"])


def test_a_cursor_holds_only_with_its_filters(tenant: Tenant) -> None:
    tenant.workflow()
    path = f"{tenant.path}/audit-logs"
    cursor = ok(tenant.aud.get(path, params={"limit": 1}))["next_cursor"]

    def answer(**query: str) -> httpx.Response:
        return tenant.aud.get(path, params={"cursor": cursor, **query})

    ok(answer(limit="2"))
    for query in ({"action": "CREATE"}, {"since": "2026-01-01T00:00:00Z"}, {"user_id": UNKNOWN}):
        assert pointers(refused(answer(**query), 422, "invalid")) == ["cursor"]


@pytest.mark.parametrize(
    ("name", "status"), [("ana", 200), ("aud", 200), ("ben", 403), ("vera", 403), ("operator", 403)]
)
def test_the_log_is_for_auditors_and_admins(shared: Tenant, name: str, status: int) -> None:
    assert shared.caller(name).get(f"{shared.path}/audit-logs").status_code == status


def test_the_log_is_one_subscriptions_own(tenant: Tenant, stranger: Tenant) -> None:
    stranger.workflow()
    tenant.workflow()
    assert {event["subscription_id"] for event in events(tenant)} == {tenant.subscription_id}
