"""Everything that the specification asks to be captured, by queries on rows that the service itself wrote."""

from collections.abc import Iterator
from typing import LiteralString
from uuid import uuid4

import pytest

from tests.support.api import Caller, Json, Server, Tenant, ok, refused

AGENT = {"user-agent": "the platform/1.0"}


@pytest.fixture(scope="module")
def used(server: Server) -> Tenant:
    """A subscription in which some of everything has happened."""
    tenant = Tenant(server, "captured")
    ana = Caller(server, tenant.ana.key, tenant.ana.user_id, "ana")
    workflow = tenant.workflow(definition={"n": 1})
    job = {"resource_type": "job", "resource_id": tenant.job_id}
    package = tenant.make("jobpackages")
    for resource in (workflow, job, package):
        body = {"data": {"n": 2}}
        ok(ana.post(f"{tenant.at(resource)}/versions", body, headers=AGENT | {"x-request-id": "save-7"}), 201)
    ok(ana.post(f"{tenant.at(workflow)}/check-out", {}, headers=AGENT))
    ok(ana.post(f"{tenant.at(workflow)}/check-in", {"data": {"n": 3}}, headers=AGENT), 201)
    ok(ana.patch(f"{tenant.path}/users/{tenant.ben.user_id}", {"role": "auditor"}, headers=AGENT))
    ok(ana.delete(f"{tenant.path}/users/{tenant.vera.user_id}", headers=AGENT), 204)
    refused(Caller(server, "annals_" + "0" * 32 + "_x", "", "").get(tenant.path), 401, "unauthenticated")
    events = [{"action": "EXECUTE", "resource_type": "workflow", "resource_id": workflow["resource_id"]}]
    ok(ana.post(f"{tenant.path}/audit-logs", events, headers=AGENT), 201)
    of = {"workflow_id": workflow["resource_id"], "job_id": tenant.job_id}
    ok(ana.post(f"{tenant.path}/execution-logs", list(executions(of)), headers=AGENT), 201)
    return tenant


def executions(of: Json) -> Iterator[Json]:
    """A run of a job with a workflow of one node."""
    run = str(uuid4())
    for kind in ("job", "workflow", "jobpackage", "node"):
        for status in ("running", "success"):
            yield {
                **of,
                "execution_id": run,
                "execution_type": kind,
                "node_id": "node-1" if kind == "node" else None,
                "log_level": "INFO",
                "log_message": f"{kind} {status}",
                "status": status,
                "rows_processed": 100,
                "duration_ms": 7,
            }


# Each line of "What to Capture", and of the table of levels, with a query for its rows.
LINES: dict[str, LiteralString] = {
    "who: user id, username, email": "SELECT 1 FROM audit_logs l JOIN actors a USING (user_id)"
    " WHERE l.subscription_id = %s AND l.username = 'ana' AND a.email = 'ana@example.org'",
    "what: CREATE": "SELECT 1 FROM audit_logs WHERE subscription_id = %s AND action = 'CREATE'",
    "what: UPDATE": "SELECT 1 FROM audit_logs WHERE subscription_id = %s AND action = 'UPDATE'",
    "what: DELETE": "SELECT 1 FROM audit_logs WHERE subscription_id = %s AND action = 'DELETE'",
    "what: EXECUTE": "SELECT 1 FROM audit_logs WHERE subscription_id = %s AND action = 'EXECUTE'",
    "when: an instant in UTC": "SELECT 1 FROM audit_logs WHERE subscription_id = %s"
    " AND created_at BETWEEN now() - interval '10 minutes' AND now()",
    "where: type and id of the resource": "SELECT 1 FROM audit_logs l JOIN workflows w"
    " ON w.workflow_id::text = l.resource_id AND w.name = l.resource_name"
    " WHERE l.subscription_id = %s AND l.resource_type = 'workflow'",
    "how: address, agent, endpoint": "SELECT 1 FROM audit_logs WHERE subscription_id = %s"
    " AND ip_address = '127.0.0.1' AND user_agent = 'the platform/1.0'"
    " AND api_endpoint LIKE '/v1/%%/versions' AND http_method = 'POST'",
    "changes: state before and after, and their difference": "SELECT 1 FROM audit_logs"
    " WHERE subscription_id = %s AND resource_type = 'user' AND action = 'UPDATE'"
    " AND old_values->>'role' = 'editor' AND new_values->>'role' = 'auditor'"
    ' AND changes = \'[{"op": "replace", "path": "/role", "value": "auditor"}]\'',
    "context: subscription, workspace, request": "SELECT 1 FROM audit_logs l JOIN workspaces w"
    " USING (workspace_id) WHERE l.subscription_id = %s AND l.request_id = 'save-7'",
    "server level: API requests": "SELECT 1 FROM server_logs WHERE subscription_id = %s"
    " AND response_status = 201 AND endpoint LIKE '/v1/%%' AND response_time_ms >= 0",
    "server level: authentication": "SELECT 1 FROM audit_logs WHERE subscription_id = %s"
    " AND action = 'LOGIN'",
    "workflow level: changes": "SELECT 1 FROM data_change_history WHERE subscription_id = %s"
    " AND table_name = 'workflows' AND change_type = 'UPDATE' AND diff IS NOT NULL",
    "workflow level: executions and status": "SELECT 1 FROM execution_logs a JOIN execution_logs b"
    " USING (execution_id, execution_type) WHERE a.subscription_id = %s AND execution_type = 'workflow'"
    " AND a.status = 'running' AND b.status = 'success'",
    "node level: execution, data processed": "SELECT 1 FROM node_execution_logs"
    " WHERE subscription_id = %s AND node_id = 'node-1' AND rows_processed = 100",
    "job level: changes": "SELECT 1 FROM data_change_history WHERE subscription_id = %s"
    " AND table_name = 'jobs' AND change_type = 'UPDATE'",
    "job level: executions": "SELECT 1 FROM execution_logs WHERE subscription_id = %s"
    " AND execution_type = 'job' AND job_id IS NOT NULL",
    "job package level: changes": "SELECT 1 FROM data_change_history WHERE subscription_id = %s"
    " AND table_name = 'jobpackages' AND change_type = 'INSERT'",
    "job package level: executions": "SELECT 1 FROM execution_logs WHERE subscription_id = %s"
    " AND execution_type = 'jobpackage'",
    "user actions: permission changes": "SELECT 1 FROM audit_logs WHERE subscription_id = %s"
    " AND resource_type = 'user' AND changes @> '[{\"path\": \"/role\"}]'",
}


@pytest.mark.parametrize("line", LINES)
@pytest.mark.sampled(7)
def test_a_line_is_captured(used: Tenant, line: str) -> None:
    used.server.flush_log()
    assert used.server.database.rows(LINES[line], used.subscription_id), line


def test_an_authentication_that_failed_is_captured(used: Tenant) -> None:
    used.server.flush_log()
    query: LiteralString = (
        "SELECT 1 FROM server_logs s JOIN audit_logs a USING (request_id) WHERE s.endpoint = %s"
        " AND s.response_status = 401 AND a.status = 'unauthorized'"
    )
    assert used.server.database.rows(query, used.path)
