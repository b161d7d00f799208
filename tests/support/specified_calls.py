"""Functions of the specification's AuditService as calls: where each parameter goes and is found."""

import json
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from tests.support.api import Json

FILE = Path(__file__).parents[1] / "logs" / "specified_signatures.json"
# Of each function, the parameters with their types, as the specification writes them.
SIGNATURES: dict[str, dict[str, str]] = json.loads(FILE.read_text())


class Place(NamedTuple):
    """Places of a parameter of a function: a path in the body, a column, a filter, a path in the answer.

    `stored` is what a column holds and the answer shows, if it isn't the value that was sent.
    """

    value: Any
    body: str
    column: str
    filter: str | None
    shown: str
    stored: Any = None

    @property
    def kept(self) -> Any:
        """The value as it is stored."""
        return self.value if self.stored is None else self.stored


class SpecifiedCall(NamedTuple):
    """A function as a call: its path below the subscription, its table, and the places of its parameters."""

    path: str
    table: str
    id_name: str
    places: dict[str, Place]

    @property
    def body(self) -> Json:
        """The body that has all parameters."""
        found: Json = {}
        for place in self.places.values():
            *outer, name = place.body.split("/")
            inner = found
            for step in outer:
                inner = inner.setdefault(step, {})
            inner[name] = place.value
        return found


def _same(value: Any, name: str, **other: Any) -> Place:
    """Make the place of a parameter that has the same name everywhere."""
    return Place(value, **{"body": name, "column": name, "filter": None, "shown": name, **other})


def _found(value: Any, name: str, **other: Any) -> Place:
    """Make the place of a parameter that is a filter, too."""
    return _same(value, name, **{"filter": name, **other})


def log_action(n: int) -> SpecifiedCall:
    """Make the call that stands for `log_action`, with the values of number 0 or 1."""
    places = {
        "user_id": Place(str(uuid4()), "actor/id", "actor_id", "actor_id", "actor/id"),
        "action": _found(("EXECUTE", "DELETE")[n], "action"),
        "resource_type": _found(("dataset", "report")[n], "resource_type"),
        "resource_id": _found(str(uuid4()), "resource_id"),
        "resource_name": _same("sales", "resource_name"),
        "old_values": _same({"n": 1}, "old_values"),
        "new_values": _same({"n": 2, "deep": {"list": [None]}}, "new_values"),
        "ip_address": _found(f"192.0.2.{n}", "ip_address"),
        "user_agent": _same("platform/7", "user_agent"),
        "api_endpoint": _same("/v2/datasets/7", "api_endpoint"),
        "http_method": _same("PATCH", "http_method"),
        "request_id": _found(f"their-request-{n}", "request_id"),
        "workspace_id": _found(str(uuid4()), "workspace_id"),
        "folder_id": _found(str(uuid4()), "folder_id"),
        "status": _found(("failed", "unauthorized")[n], "status"),
        "error_message": _same("no room", "error_message"),
    }
    return SpecifiedCall("audit-logs", "audit_logs", "audit_id", places)


def log_execution(n: int) -> SpecifiedCall:
    """Make the call that stands for `log_execution`, with the values of number 0 or 1."""
    places = {
        "execution_id": _found(str(uuid4()), "execution_id"),
        "execution_type": _found(("jobpackage", "job")[n], "execution_type"),
        "log_level": _found(("ERROR", "CRITICAL")[n], "log_level"),
        "log_message": _same("no route to host", "log_message"),
        "log_details": _same({"host": "db"}, "log_details"),
        "workflow_id": _found(str(uuid4()), "workflow_id"),
        "job_id": _found(str(uuid4()), "job_id"),
        "jobpackage_id": _found(str(uuid4()), "jobpackage_id"),
        "node_id": _found(f"load {n}", "node_id"),
        "status": _found(("failed", "cancelled")[n], "status"),
        "duration_ms": _same(312, "duration_ms"),
        "rows_processed": _same(2**40, "rows_processed"),
        "memory_used_mb": _same(81.25, "memory_used_mb"),
        "cpu_percent": _same(12.5, "cpu_percent"),
        "error_code": _found(f"E_ROUTE_{n}", "error_code"),
        "error_details": _same({"tries": 3}, "error_details"),
        "triggered_by": _found(str(uuid4()), "triggered_by"),
    }
    return SpecifiedCall("execution-logs", "execution_logs", "log_id", places)


def log_server_request(n: int) -> SpecifiedCall:
    """Make the call that stands for `log_server_request`, with the values of number 0 or 1."""
    places = {
        "request_id": _found(str(uuid4()), "request_id"),
        "http_method": _same("PUT", "http_method"),
        "endpoint": _found(f"/v2/datasets/{n}", "endpoint"),
        "user_id": Place(str(uuid4()), "user_id", "actor_id", "actor_id", "actor_id"),
        "query_params": _same({"page": "2"}, "query_params"),
        "request_body": _same({"name": "sales"}, "request_body"),
        "response_status": _found(507 - n, "response_status", filter="status"),
        "response_body": _same({"fault": "no room"}, "response_body"),
        "response_time_ms": _same(87, "response_time_ms"),
        "ip_address": _found(f"2001:db8::{n + 1}", "ip_address"),
        "user_agent": _same("platform/7", "user_agent"),
        "error_message": _same("no room", "error_message"),
        "error_traceback": _same('File "load.py", line 7', "error_traceback"),
    }
    return SpecifiedCall("server-logs", "server_logs", "log_id", places)


def track_change(n: int) -> SpecifiedCall:
    """Make the call that stands for `track_change`, with the values of number 0 or 1."""
    places = {
        "table_name": _found(("datasets", "reports")[n], "table_name"),
        "record_id": _found(str(uuid4()), "record_id"),
        "record_name": _same("sales", "record_name"),
        "change_type": _same("UPDATE", "change_type"),
        "old_data": _same({"n": 1}, "old_data"),
        "new_data": _same({"n": 2}, "new_data"),
        "changed_by": _found(str(uuid4()), "changed_by"),
        "change_reason": _same("asked for", "change_reason"),
    }
    return SpecifiedCall("change-history", "data_change_history", "change_id", places)


def track_deletion(n: int) -> SpecifiedCall:
    """Make the call that stands for `track_deletion`, with the values of number 0 or 1."""
    counts = {"workspaces": 1, "folders": 2, "jobs": 3, "workflows": 4, "jobpackages": 5}
    places = {
        "resource_type": _found(("dataset", "report")[n], "resource_type"),
        "resource_id": _found(str(uuid4()), "resource_id", column="reported_resource_id"),
        "resource_name": _same("sales", "resource_name"),
        "resource_data": _same({"rows": 7}, "resource_data"),
        "deleted_by": _found(str(uuid4()), "deleted_by", column="reported_deleted_by"),
        "parent_resource_type": _same("catalogue", "parent_resource_type"),
        "parent_resource_id": _found(str(uuid4()), "parent_resource_id", column="reported_parent_id"),
        "cascade_level": _same(1, "cascade_level"),
        "cascaded_counts": Place(
            counts, "cascaded_counts", "cascaded_workflows", None, "counts/workflows", counts["workflows"]
        ),
        "deletion_reason": _same("no longer used", "deletion_reason"),
        "is_soft_delete": _same(True, "is_soft_delete"),
        "restore_expiry_days": _same(30, "restore_expiry_days"),
    }
    return SpecifiedCall("deletions", "deletion_logs", "deletion_id", places)


WRITES = {
    made_of.__name__: made_of
    for made_of in (log_action, log_execution, log_server_request, track_change, track_deletion)
}
