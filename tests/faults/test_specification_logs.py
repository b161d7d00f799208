"""The faults 28 to 37 of the specification's logs and tables, numbered as in the list of them.

Each is one behaviour of the running service or of its schema. What belongs to a larger subject has its tests
there: the INSERT statements of 29 in `tests/logs/test_specified_inserts.py`, the function of 36 in
`tests/deletions/test_deletion_requests.py`.
"""

import re
from dataclasses import fields
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from sql.log_windows import TimeFilter
from sql.queries.audit_logs import AuditFilter
from sql.queries.data_changes import DataChangeFilter
from sql.queries.execution_logs import ExecutionFilter
from sql.queries.server_logs import ServerLogFilter
from tests.support.api import COLLECTIONS, Json, Tenant, ok, pointers, refused
from tests.support.databases import Database
from tests.support.events import events
from tests.support.trees import tree

LOGS: dict[str, type[TimeFilter]] = {
    "audit_logs": AuditFilter,
    "data_change_history": DataChangeFilter,
    "execution_logs": ExecutionFilter,
    "node_execution_logs": ExecutionFilter,
    "server_logs": ServerLogFilter,
}
# Columns that name somebody or something without being a UUID.
NAMES = {"resource_id", "node_id", "request_id", "username", "ip_address", "error_code", "endpoint"}


def changes(tenant: Tenant, resource: Json, **query: Any) -> list[Json]:
    path = f"{tenant.path}/change-history"
    return tenant.aud.pages(path, record_id=resource["resource_id"], **query)


def test_28_a_body_is_kept_once_and_found_on_both_sides(tenant: Tenant) -> None:
    first, second = str(uuid4()), str(uuid4())
    workflow = tenant.workflow(definition={"n": first})
    tenant.save(workflow, {"n": second})
    with tenant.server.database.connection() as connection:
        for text in (first, second):
            query = "SELECT count(*) FROM audit_logs a WHERE to_jsonb(a)::text LIKE %s"
            assert connection.execute(query, [f"%{text}%"]).fetchone() == (0,)
            query = "SELECT count(*) FROM data_change_history WHERE concat(old_data, new_data) LIKE %s"
            assert connection.execute(query, [f"%{text}%"]).fetchone() == (0,)
    newest, _ = changes(tenant, workflow, expand="data")
    assert newest["diff"] == [{"op": "replace", "path": "/definition/n", "value": second}]
    assert (newest["old"]["definition"], newest["new"]["definition"]) == ({"n": first}, {"n": second})
    [event] = tenant.aud.pages(f"{tenant.path}/audit-logs", action="update", expand="data")
    assert (event["old"], event["new"]) == (newest["old"], newest["new"])


@pytest.mark.parametrize("table", LOGS)
def test_29_a_log_gives_id_and_time_to_a_row_without_them(database: Database, table: str) -> None:
    key = ("change_id", "changed_at") if table == "data_change_history" else ("log_id", "created_at")
    key = ("audit_id", "created_at") if table == "audit_logs" else key
    rows = database.rows(
        "SELECT column_default FROM information_schema.columns WHERE table_schema = 'public'"
        " AND table_name = %s AND column_name = ANY (%s) ORDER BY column_default",
        table,
        list(key),
    )
    assert rows == [("gen_random_uuid()",), ("now()",)]


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_30_soft_deleted_cannot_contradict_deleted_at(tenant: Tenant, collection: str) -> None:
    made = tree(tenant)[collection]
    name = f"{collection.removesuffix('s')}_id"
    table, column = psycopg.sql.Identifier(collection), psycopg.sql.Identifier(name)
    read = psycopg.sql.SQL("SELECT soft_deleted, deleted_at IS NOT NULL FROM {} WHERE {} = %s")
    write = psycopg.sql.SQL("UPDATE {} SET soft_deleted = true WHERE {} = %s")
    with tenant.server.database.connection() as connection:
        query = read.format(table, column)
        assert connection.execute(query, [made["resource_id"]]).fetchone() == (False, False)
        with pytest.raises(psycopg.errors.GeneratedAlways), connection.transaction():
            connection.execute(write.format(table, column), [made["resource_id"]])
        tenant.remove(made)
        assert connection.execute(query, [made["resource_id"]]).fetchone() == (True, True)


def test_31_comments_stay_with_their_version(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    path = f"{tenant.at(workflow)}/versions/1/comments"
    ok(tenant.ben.post(path, {"text": "why"}), 201)
    tenant.remove(workflow)
    tenant.remove(workflow, permanent=True)
    assert [comment["text"] for comment in tenant.ana.pages(path)] == ["why"]
    rules = tenant.server.database.value(
        "SELECT array_agg(DISTINCT confdeltype::text) FROM pg_constraint"
        " WHERE conrelid = 'version_comments'::regclass AND contype = 'f'"
    )
    assert rules == ["a"]


@pytest.mark.parametrize(
    "table", ["versions", "version_comments", "check_outs", "publications", "deletion_logs"]
)
def test_32_history_names_actors_who_outlive_users(database: Database, table: str) -> None:
    targets = {
        target
        for (target,) in database.rows(
            "SELECT confrelid::regclass::text FROM pg_constraint"
            " WHERE conrelid = %s::regclass AND contype = 'f'",
            table,
        )
    }
    assert "actors" in targets
    assert "users" not in targets


def test_32_a_deleted_user_stays_the_author(tenant: Tenant) -> None:
    workflow = tenant.workflow(by=tenant.ben)
    tenant.check_out(workflow, tenant.ben)
    ok(tenant.ana.delete(f"{tenant.path}/users/{tenant.ben.user_id}"), 204)
    [version] = tenant.vera.pages(f"{tenant.at(workflow)}/versions", author="ben")
    assert (version["created_by"], version["created_by_username"]) == (tenant.ben.user_id, "ben")
    assert version["checked_out_by"] is None


@pytest.mark.parametrize("table", LOGS)
def test_33_every_id_of_a_log_is_a_filter_with_an_index_of_its_subscription(
    database: Database, table: str
) -> None:
    ids = {
        name
        for name, kind in database.rows(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name = %s",
            table,
        )
        if kind == "uuid" or name in NAMES
    }
    filters = {field.name for field in fields(LOGS[table])}
    # The subscription is that of the path; the operator's list has it as a filter.
    assert ids - filters <= {"subscription_id"}
    firsts = [
        tuple(re.split(r"[, ]+", columns))[:2]
        for (columns,) in database.rows(
            "SELECT substring(indexdef FROM '\\((.*?)\\)') FROM pg_indexes"
            " WHERE schemaname = 'public' AND tablename = %s",
            table,
        )
    ]
    indexed = {column for first in firsts for column in first}
    assert ids <= indexed
    alone = {first for first, *_ in firsts} - {"subscription_id", "created_at", "changed_at"}
    # Ids that are unique to a row or a tenant need no subscription before them. The server log is read across
    # subscriptions, too; the history finds a record's number by its name and id.
    assert alone <= {
        *("audit_id", "log_id", "change_id", "table_name"),
        *(
            ("endpoint", "request_id", "user_id", "ip_address", "response_status")
            if table == "server_logs"
            else ()
        ),
    }


def test_34_bodies_are_logged_only_where_the_policy_says_so(tenant: Tenant) -> None:
    body = {"name": "w", "definition": {"plain": "to be seen"}}

    def logged(request_id: str) -> tuple[Any, Any]:
        headers = {"x-request-id": request_id}
        ok(tenant.ana.post(f"{tenant.path}/workspaces", body | {"name": request_id}, headers=headers), 201)
        tenant.server.flush_log()
        [row] = tenant.aud.pages(f"{tenant.path}/server-logs", request_id=request_id)
        return row["request_body"], row["response_body"]

    assert logged("fault-34-default") == (None, None)
    rule = {"resource_type": "workspace", "action": "*", "depth": "full"}
    ok(tenant.ana.put(f"{tenant.path}/audit-policy", {"rules": [rule]}))
    asked, answered = logged("fault-34-full")
    assert asked["definition"] == answered["definition"] == {"plain": "to be seen"}


def test_35_times_are_since_and_until_and_names_are_in_snake_case(tenant: Tenant) -> None:
    tenant.workflow()
    for path in ("audit-logs", "execution-logs", "server-logs", "change-history", "deletions"):
        for name in ("start_date", "end_date"):
            response = tenant.aud.get(f"{tenant.path}/{path}", params={name: "2026-01-01T00:00:00Z"})
            assert pointers(refused(response, 422, "invalid")) == [name]
        ok(tenant.aud.get(f"{tenant.path}/{path}", params={"since": "2026-01-01T00:00:00Z"}))
    [event, *_] = events(tenant)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in event)


def test_35_a_history_has_pages(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    for number in range(3):
        tenant.save(workflow, {"n": number})
    page = ok(tenant.vera.get(f"{tenant.at(workflow)}/versions", params={"limit": 2}))
    assert [version["version_number"] for version in page["items"]] == [4, 3]
    query = {"limit": 2, "cursor": page["next_cursor"]}
    assert [
        version["version_number"]
        for version in ok(tenant.vera.get(f"{tenant.at(workflow)}/versions", params=query))["items"]
    ] == [2, 1]


def test_37_a_deletion_says_for_how_long_and_a_check_out_from_where(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    tenant.save(workflow, {"n": 2})
    assert tenant.check_out(workflow, tenant.ben, **{"from": 1})["data"] == {"n": 1}
    saved = ok(tenant.ben.post(f"{tenant.at(workflow)}/check-in", {"data": {"n": 1}}), 201)
    assert saved["version_number"] == 3
    deletion = tenant.remove(workflow, restore_days=1)
    with tenant.server.clock.moved(days=1, seconds=1):
        path = f"{tenant.path}/deletions/{deletion['deletion_id']}/restore"
        refused(tenant.ben.post(path), 410, "not_restorable")
