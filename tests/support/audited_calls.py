"""Every call that changes something, and its name in the audit log."""

from collections.abc import Callable

from tests.support.api import Json, Tenant, ok
from tests.support.events import DATA_CHANGE, DELETION, EXECUTION, REQUEST
from tests.support.otlp import log_record, request_of

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
    """Make the body of an event of the platform itself."""
    workflow = tenant.workflow()
    names = ("resource_type", "resource_id", "workspace_id")
    return {"action": "EXECUTE", "new_values": {"n": 1}, **{name: workflow[name] for name in names}}


def undone(tenant: Tenant) -> str:
    """Delete a workflow; returns the path that restores it."""
    return f"{tenant.path}/deletions/{tenant.remove(tenant.workflow())['deletion_id']}/restore"


def to_hold(tenant: Tenant) -> Json:
    """Make the body of a legal hold on a new workflow."""
    workflow = tenant.workflow()
    return {"reason": "a dispute", **{name: workflow[name] for name in ("resource_type", "resource_id")}}


def placed(tenant: Tenant) -> Json:
    """Place a legal hold."""
    return ok(tenant.ana.post(f"{tenant.path}/holds", to_hold(tenant)), 201)


def past_of(path: str, tenant: Tenant) -> str:
    """Return the commit of a resource's first version."""
    commit: str = ok(tenant.ana.get(f"{path}/versions/1"))["git_commit_hash"]
    return commit


def new(collection: str) -> Prepare:
    return lambda tenant: (f"{tenant.path}/{collection}", {"name": "new", **tenant.parent(collection)})


# Every call that changes something: its preparation, and the action and resource type that the audit has to
# record.
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
    ("DELETE", "S/users/{user_id}/email"): (lambda t: (f"{user_path(t)}/email", None), "UPDATE", "user"),
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
    ("POST", "S/otlp/v1/logs"): (
        lambda t: (f"{t.path}/otlp/v1/logs", request_of(log_record())),
        "RECORD",
        "execution_log",
    ),
    ("POST", "S/execution-logs"): (
        lambda t: (f"{t.path}/execution-logs", EXECUTION),
        "RECORD",
        "execution_log",
    ),
    ("POST", "S/server-logs"): (lambda t: (f"{t.path}/server-logs", REQUEST), "RECORD", "server_log"),
    ("POST", "S/change-history"): (
        lambda t: (f"{t.path}/change-history", DATA_CHANGE),
        "RECORD",
        "change_history",
    ),
    ("POST", "S/deletions"): (lambda t: (f"{t.path}/deletions", DELETION), "RECORD", "deletion"),
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


# These calls have tests of their own: `test_git_http` looks for CLONE and FETCH, others for closing and the
# platform's calls.
NOT_HERE = {
    ("POST", "/git/{subscription_id}.git/git-upload-pack"),
    ("POST", "S/close"),
    ("POST", "S/reopen"),
    ("PATCH", "/v1/maintenance/jobs/{name}"),
    ("POST", "/v1/maintenance/jobs/{name}/run"),
    ("PUT", "/v1/retention-policies"),
}


def short(path: str) -> str:
    """Shorten a path of the OpenAPI description as API.md writes it."""
    path = path.replace("/v1/subscriptions/{subscription_id}/{collection}/{resource_id}", "R")
    return path.replace("/v1/subscriptions/{subscription_id}", "S")
