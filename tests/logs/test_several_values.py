"""Filters with several values, and actions that are left out: alike in pages, followers and statistics."""

from collections import Counter
from typing import Any
from uuid import uuid4

import pytest

from tests.support.api import Json, Tenant, ok, pointers, refused
from tests.support.following import Follower, sequence

NODE = {"execution_type": "node", "log_message": "m"}
EVENTS = [
    {"action": action, "resource_type": kind, "source": source, "status": status}
    for action, kind, source, status in (
        ("ConsoleLogin", "session", "portal", "success"),
        ("CONSOLELOGIN", "session", "portal", "failed"),
        ("APPROVE", "Workflow", "portal", "success"),
        ("APPROVE", "workflow", None, "unauthorized"),
        ("REJECT", "invoice", "ledger", "success"),
        ("REJECT", "invoice", "ledger", "failed"),
    )
]
NODES = [
    {**NODE, "execution_id": "1", "log_level": level, "status": status, "error_code": code, "node_id": node}
    for level, status, code, node in (
        ("INFO", "running", None, "extract"),
        ("INFO", "success", None, "extract"),
        ("ERROR", "failed", "E1", "load"),
        ("WARNING", "retrying", "E2", "load"),
        ("ERROR", "timed_out", "E2", "clean"),
        ("DEBUG", None, None, None),
    )
]
IDS = {"audit-logs": "audit_id", "execution-logs": "log_id"}


@pytest.fixture(scope="module")
def filled(shared: Tenant) -> Tenant:
    """A subscription with posted rows in two logs, and another one with the same rows."""
    for tenant in (shared, Tenant(shared.server, "other")):
        ok(tenant.ben.post(f"{tenant.path}/audit-logs", EVENTS), 201)
        ok(tenant.ana.post(f"{tenant.path}/audit-logs", EVENTS), 201)
        ok(tenant.ben.post(f"{tenant.path}/execution-logs", NODES), 201)
        ok(tenant.ben.post(f"{tenant.path}/execution-logs", {**NODES[0], "execution_type": "job"}), 201)
    sequence(shared.server)
    return shared


def rows(tenant: Tenant, log: str, **query: Any) -> list[Json]:
    """Read the posted rows of a log, by pages of two."""
    origin = {"origin": "posted"} if log == "audit-logs" and "origin" not in query else {}
    return tenant.aud.pages(f"{tenant.path}/{log}", limit=2, **origin, **query)


def followed(tenant: Tenant, log: str, **query: Any) -> list[str]:
    """Return the ids of the rows that a follower finds."""
    return [row[IDS[log]] for row in Follower(tenant.aud, f"{tenant.path}/{log}", query).read(limit=3)]


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("log", "query"),
    [
        ("audit-logs", {"action": ["APPROVE", "REJECT"]}),
        ("audit-logs", {"action": ["approve", "APPROVE"], "status": ["success", "failed"]}),
        ("audit-logs", {"resource_type": ["invoice", "session"], "source": ["ledger", "portal", "none"]}),
        ("audit-logs", {"username": ["ana", "ben"], "status": "unauthorized"}),
        ("audit-logs", {"origin": ["posted", "annals"], "action": "REJECT"}),
        ("execution-logs", {"status": ["running", "failed", "timed_out"]}),
        ("execution-logs", {"log_level": ["ERROR", "INFO"], "node_id": ["load", "extract"]}),
        ("execution-logs", {"error_code": ["E1", "E2", "E3"], "execution_type": "node"}),
        ("execution-logs", {"workflow_id": [str(uuid4()), str(uuid4())]}),
    ],
)
def test_a_row_has_one_of_several_values(filled: Tenant, log: str, query: Json) -> None:
    def fits(row: Json) -> bool:
        return all(
            row[name] in ({*values, *map(str.upper, values)} if name == "action" else values)
            for name, values in (
                (name, [each] if isinstance(each, str) else each) for name, each in query.items()
            )
        )

    expected = [row for row in rows(filled, log) if fits(row)]
    found = rows(filled, log, **query)
    assert found == expected
    assert bool(found) is ("workflow_id" not in query)
    assert Counter(followed(filled, log, **query)) == Counter(row[IDS[log]] for row in found)
    answer = ok(filled.aud.get(f"{filled.path}/{log}/stats", params={**query, "group_by": "status"}))
    assert {bucket["group"]: bucket["count"] for bucket in answer["buckets"]} == Counter(
        row["status"] for row in found
    )


def test_users_are_found_by_ids_and_names_together(filled: Tenant) -> None:
    both = rows(filled, "audit-logs", user_id=["ben", filled.ana.user_id])
    assert {row["user_id"] for row in both} == {filled.ana.user_id, filled.ben.user_id}
    assert both == rows(filled, "audit-logs")
    assert rows(filled, "audit-logs", user_id=["ben", filled.ben.user_id, "nobody"]) == rows(
        filled, "audit-logs", user_id="ben"
    )
    assert rows(filled, "audit-logs", user_id=["nobody", "noone"]) == []
    stats = f"{filled.path}/audit-logs/stats"
    assert ok(filled.aud.get(stats, params={"user_id": ["nobody", "noone"]}))["buckets"] == []
    assert followed(filled, "audit-logs", user_id=["nobody", "noone"]) == []


def test_words_of_closed_sets_are_taken_in_any_case(filled: Tenant) -> None:
    found = rows(filled, "audit-logs", status=["FAILED", "Unauthorized"], origin=["POSTED"])
    assert found == rows(filled, "audit-logs", status=["failed", "unauthorized"]) != []
    assert rows(filled, "execution-logs", log_level=["error", "Warning"]) == rows(
        filled, "execution-logs", log_level=["ERROR", "WARNING"]
    )


@pytest.mark.parametrize(
    "without",
    ["approve", "Consolelogin", "ConsoleLogin", ["APPROVE", "REJECT"], ["READ", "nothing"], ["reject"] * 3],
)
def test_events_of_some_actions_are_left_out(filled: Tenant, without: str | list[str]) -> None:
    words = [without] if isinstance(without, str) else without
    left_out = {*words, *map(str.upper, words)}
    found = rows(filled, "audit-logs", without=without)
    assert found == [row for row in rows(filled, "audit-logs") if row["action"] not in left_out]
    asked = {"without": without, "origin": "posted"}
    assert Counter(followed(filled, "audit-logs", **asked)) == Counter(row["audit_id"] for row in found)
    answer = ok(filled.aud.get(f"{filled.path}/audit-logs/stats", params={**asked, "group_by": "action"}))
    assert {bucket["group"]: bucket["count"] for bucket in answer["buckets"]} == Counter(
        row["action"] for row in found
    )


def test_an_action_that_is_asked_for_and_left_out_is_found_nowhere(filled: Tenant) -> None:
    assert rows(filled, "audit-logs", action=["APPROVE", "REJECT"], without="APPROVE") == rows(
        filled, "audit-logs", action="REJECT"
    )
    assert rows(filled, "audit-logs", action="APPROVE", without="APPROVE") == []


def test_the_reading_is_recorded_with_all_values(tenant: Tenant) -> None:
    request_id = f"several-{uuid4()}"
    query = {"action": ["APPROVE", "REJECT"], "without": "READ", "status": ["failed"]}
    ok(tenant.aud.get(f"{tenant.path}/audit-logs", params=query, headers={"x-request-id": request_id}))
    [values] = tenant.server.database.rows(
        "SELECT new_values FROM audit_logs WHERE request_id = %s AND action = 'READ'", request_id
    )[0]
    assert values["filters"] == {"action": ["APPROVE", "REJECT"], "without": "READ", "status": "failed"}


@pytest.mark.parametrize("order", [{}, {"order": "commit"}])
def test_a_cursor_is_bound_to_all_values(filled: Tenant, order: Json) -> None:
    path = f"{filled.path}/audit-logs"
    query = {"action": ["APPROVE", "REJECT"], "without": "READ", "limit": 1, **order}
    cursor = ok(filled.aud.get(path, params=query))["next_cursor"]
    ok(filled.aud.get(path, params={**query, "cursor": cursor}))
    for other in ({"action": "APPROVE"}, {"action": ["APPROVE", "REJECT", "X"]}, {"without": ["LOGIN"]}):
        response = filled.aud.get(path, params={**query, **other, "cursor": cursor})
        assert pointers(refused(response, 422, "invalid")) == ["cursor"]


@pytest.mark.parametrize("call", ["", "/stats"])
@pytest.mark.parametrize(
    ("log", "query", "parameter"),
    [
        ("audit-logs", {"action": [f"A{n}" for n in range(21)]}, "action"),
        ("audit-logs", {"without": ["READ"] * 21}, "without"),
        ("audit-logs", {"without": ["READ", "not one"]}, "without"),
        ("audit-logs", {"status": ["failed", "maybe"]}, "status"),
        ("audit-logs", {"action": [f"A{n}" for n in range(20)], "source": list("abcdef")}, "action"),
        (
            "audit-logs",
            {"action": ["A", "B"], "resource_type": [f"T{n}" for n in range(20)], "source": list("abc")},
            "resource_type",
        ),
        ("audit-logs", {"resource_id": ["a", "b"]}, "resource_id"),
        ("execution-logs", {"node_id": [f"n{n}" for n in range(21)]}, "node_id"),
        ("execution-logs", {"workflow_id": [str(uuid4()), "x"]}, "workflow_id"),
        (
            "execution-logs",
            {"node_id": [f"n{n}" for n in range(20)], "error_code": list("abcdef")},
            "node_id",
        ),
        ("execution-logs", {"without": "READ"}, "without"),
        ("execution-logs", {"job_id": [str(uuid4()), str(uuid4())]}, "job_id"),
    ],
)
def test_too_many_or_unfit_values_are_refused(
    filled: Tenant, call: str, log: str, query: Json, parameter: str
) -> None:
    response = filled.aud.get(f"{filled.path}/{log}{call}", params=query)
    assert set(pointers(refused(response, 422, "invalid"))) == {parameter}


def test_a_hundred_combinations_are_taken(filled: Tenant) -> None:
    query = {"action": [f"A{n}" for n in range(19)] + ["REJECT"], "source": ["ledger", *"abcd"]}
    found = rows(filled, "audit-logs", **query)
    assert len(found) == 4
    assert {row["source"] for row in found} == {"ledger"}


def test_the_operators_own_log_takes_several_values_too(filled: Tenant) -> None:
    operator = filled.server.operator
    query = {"action": ["CREATE", "LOGIN"], "without": "LOGIN", "limit": 5}
    found = ok(operator.get("/v1/audit-logs", params=query))["items"]
    assert {row["action"] for row in found} == {"CREATE"}
    assert {row["subscription_id"] for row in found} == {None}
