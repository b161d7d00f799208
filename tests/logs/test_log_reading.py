"""Reading a log is an event of its own, with the filters, in the transaction of the reading."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from tests.support.api import UNKNOWN, Json, Tenant, ok
from tests.support.events import audit_refused

# Each way to read a log: its filters, and its name in the audit.
READINGS: dict[str, tuple[dict[str, Any], str]] = {
    "audit-logs": ({"action": "CREATE", "status": "success"}, "audit_log"),
    "audit-logs/stats": ({"bucket": "1d", "action": "CREATE"}, "audit_log"),
    "execution-logs": ({"log_level": "ERROR", "workflow_id": UNKNOWN}, "execution_log"),
    "execution-logs/stats": ({"bucket": "1d", "log_level": "ERROR"}, "execution_log"),
    "change-history": ({"table_name": "users", "since": "2026-01-01T00:00:00Z"}, "change_history"),
    "server-logs": ({"status": "200"}, "server_log"),
    "server-logs/stats": ({"bucket": "1d", "status": "200"}, "server_log"),
}


def readings(tenant: Tenant, request_id: str) -> list[Json]:
    """Read the events of a request's readings, straight from the table."""
    rows = tenant.server.database.rows(
        "SELECT to_jsonb(a) FROM audit_logs a WHERE request_id = %s AND action = 'READ'", request_id
    )
    return [row for (row,) in rows]


@pytest.mark.parametrize("log", READINGS)
def test_a_reading_is_recorded_with_its_filters(tenant: Tenant, log: str) -> None:
    query, name = READINGS[log]
    request_id = f"reading-{uuid4()}"
    answer = ok(tenant.aud.get(f"{tenant.path}/{log}", params=query, headers={"x-request-id": request_id}))
    [row] = readings(tenant, request_id)
    assert (row["resource_type"], row["username"], row["status"]) == (name, "aud", "success")
    assert row["subscription_id"] == tenant.subscription_id
    asked = row["new_values"]["filters"]
    assert {key: value for key, value in query.items() if key != "since"}.items() <= asked.items()
    assert row["new_values"]["rows"] == len(answer["buckets" if log.endswith("stats") else "items"])


@pytest.mark.parametrize(("path", "name"), [("audit-logs", "audit_log"), ("server-logs", "server_log")])
def test_the_operators_reading_is_the_platforms(tenant: Tenant, path: str, name: str) -> None:
    request_id = f"reading-{uuid4()}"
    ok(tenant.server.operator.get(f"/v1/{path}", headers={"x-request-id": request_id}))
    [row] = readings(tenant, request_id)
    assert (row["subscription_id"], row["username"], row["resource_type"]) == (None, "operator", name)


def test_without_its_row_nothing_is_read(tenant: Tenant) -> None:
    ok(tenant.aud.get(tenant.path))
    with audit_refused(tenant):
        assert tenant.aud.get(f"{tenant.path}/audit-logs").status_code == 500
    ok(tenant.aud.get(f"{tenant.path}/audit-logs"))


def test_a_reading_does_not_show_itself(tenant: Tenant) -> None:
    before = datetime.now(UTC)
    path = f"{tenant.path}/audit-logs"
    query = {"action": "READ", "since": before.isoformat()}
    assert ok(tenant.aud.get(path, params=query))["items"] == []
    assert len(ok(tenant.aud.get(path, params=query))["items"]) == 1
