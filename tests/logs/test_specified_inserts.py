"""The INSERT statements of the specification, as its own services send them, on the tables of Annals.

They name every column that the specification has, but for two: no log keeps an e-mail address
(`audit_logs.user_email` is read from `actors`), and no row of a log is updated
(`data_change_history.is_current_version` is computed on read).
"""

from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from tests.support.api import COLLECTIONS, Json, Tenant, ok, refused
from tests.support.databases import Database

AUDIT: LiteralString = """
INSERT INTO audit_logs (
    subscription_id, user_id, username,
    action, resource_type, resource_id, resource_name,
    old_values, new_values, changes,
    ip_address, user_agent, api_endpoint, http_method, request_id,
    workspace_id, folder_id, status, error_message
)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
RETURNING audit_id
"""
EXECUTION: LiteralString = """
INSERT INTO execution_logs (
    subscription_id, execution_id, execution_type,
    workflow_id, job_id, jobpackage_id, node_id,
    log_level, log_message, log_details,
    status, duration_ms, rows_processed, memory_used_mb, cpu_percent,
    error_code, error_details, triggered_by
)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
RETURNING log_id
"""
SERVER: LiteralString = """
INSERT INTO server_logs (
    request_id, http_method, endpoint,
    user_id, subscription_id, query_params, request_body,
    response_status, response_body, response_time_ms,
    ip_address, user_agent, error_message, error_traceback
)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
RETURNING log_id
"""
CHANGE: LiteralString = """
INSERT INTO data_change_history (
    subscription_id, table_name, record_id, record_name,
    change_type, old_data, new_data, diff,
    changed_by, change_reason, version_number
)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
RETURNING change_id
"""
DELETION: LiteralString = """
INSERT INTO deletion_logs (
    subscription_id, resource_type, resource_id, resource_name, resource_data,
    parent_resource_type, parent_resource_id, cascade_level,
    cascaded_workspaces, cascaded_folders, cascaded_jobs,
    cascaded_workflows, cascaded_jobpackages,
    deleted_by, deletion_reason, is_soft_delete, can_be_restored, restore_expiry_at
)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, TRUE, %s)
RETURNING deletion_id
"""
# The owner of the tables, and the role that the service takes.
ROLES = ("annals_owner", "annals_service")
# The defaults that the specification gives to columns of logs.
DEFAULTS = {
    "audit_logs": {
        "audit_id": "gen_random_uuid()",
        "created_at": "now()",
        "status": "'success'::character varying",
    },
    "execution_logs": {
        "log_id": "gen_random_uuid()",
        "created_at": "now()",
        "log_details": "'{}'::jsonb",
    },
    "server_logs": {"log_id": "gen_random_uuid()", "created_at": "now()"},
    "data_change_history": {
        "change_id": "gen_random_uuid()",
        "changed_at": "now()",
        "version_number": "1",
    },
}
DEFAULTS["deletion_logs"] = {
    "deletion_id": "gen_random_uuid()",
    "deleted_at": "now()",
    "is_soft_delete": "false",
    "can_be_restored": "true",
    "cascade_level": "0",
    **{f"cascaded_{kind}": "0" for kind in COLLECTIONS},
}
DEFAULTS["node_execution_logs"] = DEFAULTS["execution_logs"]


def inserted(tenant: Tenant, role: str, query: LiteralString, *values: object) -> str:
    """Run a statement of the specification as a role; returns the id that it returns."""
    with tenant.server.database.connection(role, tenant.subscription_id) as connection:
        row = connection.execute(query, values).fetchone()
    assert row is not None
    assert isinstance(row[0], UUID)
    return str(row[0])


def found(tenant: Tenant, path: str, **query: Any) -> Json:
    """Return the only row that an auditor finds; it is of this minute."""
    [row] = tenant.aud.pages(f"{tenant.path}/{path}", **query)
    at = row.get("created_at") or row.get("changed_at") or row["deleted_at"]
    assert abs(datetime.fromisoformat(at) - datetime.now(UTC)) < timedelta(minutes=1)
    return row


@pytest.mark.parametrize("role", ROLES)
def test_log_action(tenant: Tenant, role: str) -> None:
    ana, request = tenant.ana, uuid4()
    audit_id = inserted(
        tenant, role, AUDIT, tenant.subscription_id, ana.user_id, "ana", "UPDATE", "workflow", "workflow:123",
        "Nightly", Jsonb({"n": 1}), Jsonb({"n": 2}), Jsonb([{"op": "replace", "path": "/n", "value": 2}]),
        "10.0.0.1", "agent", "/x", "POST", str(request), tenant.workspace_id, tenant.folder_id, "success",
        None,
    )  # fmt: skip
    row = found(tenant, "audit-logs", audit_id=audit_id)
    expected = {
        "user_id": ana.user_id,
        "action": "UPDATE",
        "old_values": {"n": 1},
        "new_values": {"n": 2},
        "ip_address": "10.0.0.1",
        "request_id": str(request),
        "status": "success",
        "occurrences": 1,
    }
    assert row | expected == row


@pytest.mark.parametrize("role", [*ROLES, "annals_ingest"])
def test_log_execution(tenant: Tenant, role: str) -> None:
    if role == "annals_ingest":
        # It may add rows, and read none, not even the id of its own.
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            inserted(tenant, role, "INSERT INTO execution_logs (log_level) VALUES ('INFO') RETURNING log_id")
        return
    run = str(uuid4())
    log_id = inserted(
        tenant, role, EXECUTION, tenant.subscription_id, run, "workflow", run, None, None, None,
        "INFO", "begins", Jsonb({}), "running", 12, 3, 1.25, 0.5, None, None, tenant.ben.user_id,
    )  # fmt: skip
    row = found(tenant, "execution-logs", execution_id=run)
    assert (row["log_id"], row["log_details"], row["memory_used_mb"]) == (log_id, {}, 1.25)
    assert found(tenant, "execution-logs", triggered_by="ben") == row


@pytest.mark.parametrize("role", ROLES)
def test_log_server_request(tenant: Tenant, role: str) -> None:
    request = str(uuid4())
    log_id = inserted(
        tenant, role, SERVER, request, "GET", "/x", tenant.ben.user_id, tenant.subscription_id,
        Jsonb({"a": "1"}), None, 200, None, 7, "10.0.0.2", "agent", None, None,
    )  # fmt: skip
    row = found(tenant, "server-logs", request_id=request)
    assert (row["log_id"], row["response_status"], row["ip_address"]) == (log_id, 200, "10.0.0.2")


@pytest.mark.parametrize("role", ROLES)
def test_track_change(tenant: Tenant, role: str) -> None:
    record = str(uuid4())
    change_id = inserted(
        tenant, role, CHANGE, tenant.subscription_id, "connectors", record, "Bank", "INSERT", None,
        Jsonb({"n": 1}), None, tenant.ben.user_id, "because", 1,
    )  # fmt: skip
    row = found(tenant, "change-history", record_id=record)
    assert (row["change_id"], row["new_data"], row["version_number"]) == (change_id, {"n": 1}, 1)
    assert found(tenant, "change-history", changed_by="ben", table_name="connector") == row


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("is_soft", [False, True])
def test_track_deletion(tenant: Tenant, role: str, is_soft: bool) -> None:
    dashboard, space = str(uuid4()), str(uuid4())
    until = datetime.now(UTC) + timedelta(days=30) if is_soft else None
    deletion_id = inserted(
        tenant, role, DELETION, tenant.subscription_id, "dashboard", dashboard, "Sales", Jsonb({"n": 1}),
        "space", space, 1, 0, 0, 2, 3, 0, tenant.ben.user_id, "over", is_soft, until,
    )  # fmt: skip
    row = found(tenant, "deletions", resource_id=dashboard)
    expected = {
        "deletion_id": deletion_id,
        "origin": "posted",
        "parent_resource_id": space,
        "deleted_by_username": "ben",
        "is_soft_delete": is_soft,
        # The statement says TRUE, which no deletion without a version can keep.
        "can_be_restored": False,
        "counts": dict.fromkeys(COLLECTIONS, 0) | {"jobs": 2, "workflows": 3},
    }
    assert row == row | expected
    assert found(tenant, "deletions", deleted_by="ben", parent_resource_id=space) == row
    assert tenant.aud.pages(f"{tenant.path}/deletions", restorable=True) == []
    path = f"{tenant.path}/deletions/{deletion_id}"
    assert ok(tenant.ana.get(path))["resource_data"] == {"n": 1}
    refused(tenant.ana.post(f"{path}/restore"), 410, "deletion_posted")


def test_a_deletion_written_in_sql_never_becomes_restorable(tenant: Tenant) -> None:
    deletion_id = inserted(
        tenant,
        "annals_service",
        "INSERT INTO deletion_logs (subscription_id, resource_type, resource_id)"
        " VALUES (%s, 'dashboard', gen_random_uuid()) RETURNING deletion_id",
        tenant.subscription_id,
    )
    with tenant.server.database.connection("annals_service", tenant.subscription_id) as connection:
        connection.execute(
            "UPDATE deletion_logs SET can_be_restored = TRUE WHERE deletion_id = %s", [deletion_id]
        )
    query = "SELECT can_be_restored FROM deletion_logs WHERE deletion_id = %s"
    assert tenant.server.database.value(query, deletion_id) is False


def test_a_written_deletion_of_a_resource_leaves_its_own_deletion_alone(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    inserted(
        tenant,
        "annals_service",
        "INSERT INTO deletion_logs (subscription_id, resource_type, resource_id, is_soft_delete)"
        " VALUES (%s, 'workflow', %s, TRUE) RETURNING deletion_id",
        tenant.subscription_id,
        workflow["resource_id"],
    )
    tenant.remove(workflow)
    ok(tenant.ana.delete(tenant.at(workflow), params={"permanent": True}))
    rows = tenant.vera.pages(f"{tenant.path}/deletions", resource_id=workflow["resource_id"])
    assert [(row["origin"], row["purged_at"] is None) for row in rows] == [
        ("annals", True),
        ("annals", False),
        ("posted", True),
    ]


def test_what_a_statement_leaves_out_has_the_specified_default(tenant: Tenant) -> None:
    audit_id = inserted(
        tenant,
        "annals_service",
        "INSERT INTO audit_logs (subscription_id, action, resource_type) VALUES (%s, 'LOGIN', 'session')"
        " RETURNING audit_id",
        tenant.subscription_id,
    )
    assert found(tenant, "audit-logs", audit_id=audit_id)["status"] == "success"
    change_id = inserted(
        tenant,
        "annals_service",
        "INSERT INTO data_change_history (subscription_id, table_name, record_id, change_type)"
        " VALUES (%s, 'jobs', gen_random_uuid(), 'INSERT') RETURNING change_id",
        tenant.subscription_id,
    )
    assert found(tenant, "change-history", change_id=change_id)["version_number"] == 1


@pytest.mark.parametrize("log", DEFAULTS)
def test_a_log_has_the_specified_defaults(database: Database, log: str) -> None:
    rows = database.rows(
        "SELECT column_name, column_default FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = %s AND column_default IS NOT NULL",
        log,
    )
    assert {name: rule for name, rule in rows if name != "occurrences"} == DEFAULTS[log]


@pytest.mark.parametrize("log", sorted(DEFAULTS.keys() - {"deletion_logs"}))
def test_no_role_of_the_service_rewrites_such_a_row(tenant: Tenant, log: str) -> None:
    query = sql.SQL("UPDATE {} SET subscription_id = NULL").format(sql.Identifier(log))
    with (
        tenant.server.database.connection("annals_service", tenant.subscription_id) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(query)
