"""Filters of all lists: words in any case, nouns in both numbers, people by id or name."""

from typing import Any
from uuid import uuid4

import pytest

from tests.support.api import Json, Tenant, ok, pointers, refused
from tests.support.events import EXECUTION, events


def found(tenant: Tenant, path: str, **query: Any) -> list[Json]:
    """Read a list as an auditor."""
    return tenant.aud.pages(f"{tenant.path}/{path}", **query)


@pytest.fixture(scope="module")
def filled(shared: Tenant) -> Tenant:
    """A subscription with rows in each log."""
    refused(shared.ben.get(f"{shared.path}/audit-logs"), 403, "forbidden")
    workflow = shared.workflow(by=shared.ben)
    shared.check_out(workflow, shared.ben)
    ok(shared.ben.post(f"{shared.at(workflow)}/check-in", {"data": {"n": 1}}), 201)
    shared.remove(shared.workflow(by=shared.ben), by=shared.ben)
    for kind in ("Workflow", "workflow", "session"):
        ok(shared.ana.post(f"{shared.path}/audit-logs", {"action": "APPROVE", "resource_type": kind}), 201)
    body = [
        EXECUTION | {"execution_type": kind, "log_level": level, "triggered_by": who, "status": "failed"}
        for kind, level, who in (
            ("node", "ERROR", shared.ben.user_id),
            ("job", "INFO", shared.ben.user_id),
            ("job", "ERROR", str(uuid4())),
        )
    ]
    ok(shared.ana.post(f"{shared.path}/execution-logs", body), 201)
    return shared


@pytest.mark.parametrize(
    ("path", "name", "given", "meant"),
    [
        ("audit-logs", "action", "check_in", "CHECK_IN"),
        ("audit-logs", "action", "Approve", "APPROVE"),
        ("audit-logs", "status", "UNAUTHORIZED", "unauthorized"),
        ("audit-logs", "origin", "Posted", "posted"),
        ("change-history", "table_name", "workflow", "workflows"),
        ("change-history", "table_name", "WorkFlows", "workflows"),
        ("change-history", "table_name", "api_key", "api_keys"),
        ("execution-logs", "log_level", "error", "ERROR"),
        ("execution-logs", "execution_type", "NODE", "node"),
        ("execution-logs", "status", "Failed", "failed"),
        ("deletions", "resource_type", "Workflows", "workflow"),
    ],
)
def test_a_word_is_taken_in_any_case_and_a_noun_in_both_numbers(
    filled: Tenant, path: str, name: str, given: str, meant: str
) -> None:
    rows = found(filled, path, **{name: given})
    assert rows == found(filled, path, **{name: meant}) != []
    assert {row.get(name, meant) for row in rows} == {meant}


@pytest.mark.parametrize(
    ("path", "name", "word", "allowed"),
    [
        ("audit-logs", "status", "succes", "unauthorized"),
        ("audit-logs", "origin", "elsewhere", "posted"),
        ("audit-logs/stats", "group_by", "colour", "resource_type"),
        ("audit-logs/stats", "status", "maybe", "failed"),
        ("change-history", "origin", "flow", "posted"),
        ("execution-logs", "log_level", "loud", "WARNING"),
        ("execution-logs", "execution_type", "flow", "jobpackage"),
        ("execution-logs", "status", "done", "cancelled"),
        ("execution-logs/stats", "group_by", "action", "error_code"),
        ("deletions", "origin", "table", "annals"),
    ],
)
def test_a_word_that_is_unknown_is_refused_with_the_known_ones(
    filled: Tenant, path: str, name: str, word: str, allowed: str
) -> None:
    problem = refused(filled.aud.get(f"{filled.path}/{path}", params={name: word}), 422, "invalid")
    [error] = problem["errors"]
    assert error["parameter"] == name
    assert allowed in error["detail"]


@pytest.mark.parametrize(("name", "allowed"), [("job", "expire-deletions"), ("state", "interrupted")])
def test_the_words_of_job_runs_are_a_closed_set_too(filled: Tenant, name: str, allowed: str) -> None:
    operator = filled.server.operator
    ok(operator.get("/v1/maintenance/runs", params={name: allowed.upper()}))
    problem = refused(operator.get("/v1/maintenance/runs", params={name: "x"}), 422, "invalid")
    assert allowed in problem["errors"][0]["detail"]


@pytest.mark.parametrize("action", ["check in", "é", "a+b", "x" * 201, ""])
def test_a_word_that_no_action_can_be_is_refused(filled: Tenant, action: str) -> None:
    response = filled.aud.get(f"{filled.path}/audit-logs", params={"action": action})
    assert pointers(refused(response, 422, "invalid")) == ["action"]


def test_an_action_that_nobody_has_posted_yet_is_found_nowhere(filled: Tenant) -> None:
    assert found(filled, "audit-logs", action="archive") == []


def test_types_are_any_text_and_found_as_posted_or_as_annals_writes_them(filled: Tenant) -> None:
    def types(given: str) -> set[str]:
        return {row["resource_type"] for row in found(filled, "audit-logs", resource_type=given, limit=3)}

    assert types("Workflow") == {"Workflow", "workflow"}
    assert types("workflow") == types("workflows") == {"workflow"}
    assert types("session") == {"session"}
    together = found(filled, "audit-logs", resource_type="Workflow", limit=2)
    times = [row["created_at"] for row in together]
    assert times == sorted(times, reverse=True)
    assert len({row["audit_id"] for row in together}) == len(together)
    counted = ok(filled.aud.get(f"{filled.path}/audit-logs/stats", params={"resource_type": "Workflow"}))
    assert sum(bucket["count"] for bucket in counted["buckets"]) == len(together)


def test_statistics_are_grouped_by_a_name_in_any_case(filled: Tenant) -> None:
    def buckets(**query: str) -> Any:
        query = {"until": "2100-01-01T00:00:00Z", "since": "2026-01-01T00:00:00Z", "bucket": "52w", **query}
        return ok(filled.aud.get(f"{filled.path}/execution-logs/stats", params=query))["buckets"]

    assert (
        buckets(group_by="Log_Level", status="FAILED") == buckets(group_by="log_level", status="failed") != []
    )


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("audit-logs", "user_id"),
        ("server-logs", "user_id"),
        ("change-history", "changed_by"),
        ("execution-logs", "triggered_by"),
        ("execution-logs", "recorded_by"),
        ("deletions", "deleted_by"),
    ],
)
def test_a_user_is_found_by_id_and_by_name(filled: Tenant, path: str, name: str) -> None:
    user = filled.ana if name == "recorded_by" else filled.ben
    filled.server.flush_log()
    rows = found(filled, path, **{name: user.user_id})
    assert {row[name] for row in rows} == {user.user_id}
    assert found(filled, path, **{name: user.username}) == rows
    assert found(filled, path, **{name: user.user_id.upper()}) == rows
    assert found(filled, path, **{name: "nobody"}) == []


def test_statistics_take_a_users_name(filled: Tenant) -> None:
    def count(user: str) -> int:
        answer = ok(filled.aud.get(f"{filled.path}/audit-logs/stats", params={"user_id": user}))
        return sum(bucket["count"] for bucket in answer["buckets"])

    assert count("ben") == count(filled.ben.user_id) > 0
    assert count("nobody") == 0


def test_who_restored_a_deletion_is_found_by_name(tenant: Tenant) -> None:
    deletion = tenant.remove(tenant.workflow())
    tenant.restore(deletion, by=tenant.ben)
    assert [
        row["deletion_id"] for row in tenant.vera.pages(f"{tenant.path}/deletions", restored_by="ben")
    ] == [deletion["deletion_id"]]
    assert tenant.vera.pages(f"{tenant.path}/deletions", restored_by="ana") == []


def test_deletions_are_found_by_parent_and_by_version(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    version = ok(tenant.vera.get(f"{tenant.at(workflow)}/versions/1"))
    deletion = tenant.remove(workflow)
    tenant.remove(tenant.make("connectors"))
    for query in (
        {"parent_resource_id": workflow["parent_id"]},
        {"version_id": version["version_id"]},
    ):
        rows = tenant.vera.pages(f"{tenant.path}/deletions", **query)
        assert [row["deletion_id"] for row in rows] == [deletion["deletion_id"]]


def test_a_name_means_the_live_user_or_else_all_who_had_it(tenant: Tenant) -> None:
    former = []
    for _ in range(2):
        zed = tenant.user("zed", "editor")
        tenant.make("workspaces", by=zed)
        former.append(zed.user_id)
        ok(tenant.ana.delete(f"{tenant.path}/users/{zed.user_id}"), 204)
    found_by_name = events(tenant, user_id="zed", action="CREATE", resource_type="workspace")
    assert [event["user_id"] for event in found_by_name] == former[::-1]
    changes = found(tenant, "change-history", changed_by="zed", limit=1)
    assert [change["changed_by"] for change in changes] == former[::-1]
    live = tenant.user("zed", "editor")
    tenant.make("workspaces", by=live)
    assert {event["user_id"] for event in events(tenant, user_id="zed")} == {live.user_id}
    assert {event["user_id"] for event in events(tenant, username="zed")} == {*former, live.user_id}


def test_a_name_of_very_many_former_users_is_refused(tenant: Tenant) -> None:
    with tenant.server.database.connection() as connection:
        connection.execute(
            "INSERT INTO actors (user_id, subscription_id, username)"
            " SELECT gen_random_uuid(), %s, 'many' FROM generate_series(1, 21)",
            [tenant.subscription_id],
        )
    for path, name in (("audit-logs", "user_id"), ("deletions", "deleted_by")):
        response = tenant.aud.get(f"{tenant.path}/{path}", params={name: "many"})
        assert pointers(refused(response, 422, "invalid")) == [name]


def test_the_operators_lists_take_ids_of_users_alone(filled: Tenant) -> None:
    operator = filled.server.operator
    for path in ("/v1/audit-logs", "/v1/server-logs"):
        assert pointers(refused(operator.get(path, params={"user_id": "ben"}), 422, "invalid")) == ["user_id"]
    filled.server.flush_log()
    rows = operator.pages(
        "/v1/server-logs", subscription_id=filled.subscription_id, user_id=filled.ben.user_id
    )
    assert {row["subscription_id"] for row in rows} == {filled.subscription_id}


def test_an_address_is_taken_in_any_notation(filled: Tenant) -> None:
    for notation in ("127.0.0.1", "::ffff:127.0.0.1", "::FFFF:7f00:1"):
        assert {row["ip_address"] for row in events(filled, ip_address=notation)} == {"127.0.0.1"}
    assert events(filled, ip_address="0:0::1") == events(filled, ip_address="fe80::1%eth0") == []


def test_a_cursor_keeps_the_filter_by_name(filled: Tenant) -> None:
    path = f"{filled.path}/audit-logs"
    first = ok(filled.aud.get(path, params={"user_id": "ben", "limit": 1}))
    query = {"cursor": first["next_cursor"], "limit": 1}
    ok(filled.aud.get(path, params={**query, "user_id": "ben"}))
    assert pointers(refused(filled.aud.get(path, params={**query, "user_id": "ana"}), 422, "invalid")) == [
        "cursor"
    ]
