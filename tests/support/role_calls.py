"""A valid request for every operation, and for what an operation does only for some roles."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from tests.support.api import Caller, Json, Tenant, ok
from tests.support.audited_calls import CALLS, Prepare, key_path, placed
from tests.support.events import EXECUTION

JOB = "/v1/maintenance/jobs/reconcile"
# A request of protocol 2 for the list of refs: a line of 20 bytes with its length, then the end.
LIST_REFS = b"0014command=ls-refs\n0000"


@dataclass(frozen=True)
class RoleCall:
    """A valid request; `own` if its preparation depends on the caller, who has to hold what it ends."""

    prepare: Callable[[Tenant, Caller], tuple[str, Json | None]]
    own: bool = False
    more: Json = field(default_factory=dict)

    def send(self, caller: Caller, method: str, prepared: tuple[str, Json | None]) -> httpx.Response:
        """Send the prepared request, in the way of its protocol."""
        path, body = prepared
        headers = caller.server.another_address() if caller.key is None else {}
        if path.startswith("/git/") and caller.key is not None:
            headers["authorization"] = f"Basic {b64encode(f'git:{caller.key}'.encode()).decode()}"
        given: Json = {"json": body, **self.more}
        return caller.request(method, path, headers=headers | given.pop("headers", {}), **given)


def same(prepare: Prepare, **more: Any) -> RoleCall:
    """Make a call that is prepared alike for every caller."""
    return RoleCall(lambda tenant, _: prepare(tenant), more=more)


def at(path: str) -> RoleCall:
    """Make a call without a body, on a path that may begin with S for the subscription."""
    return same(lambda t: (f"{t.path}{path.removeprefix('S')}" if path.startswith("S") else path, None))


def of_resource(rest: str) -> RoleCall:
    """Make a call without a body, on a path below a resource."""
    return same(lambda t: (f"{t.at(t.workflow())}{rest}", None))


def of_holder(rest: str, body: Json | None) -> RoleCall:
    """Make a call that ends a check-out which the caller holds, if it may hold one."""

    def prepare(tenant: Tenant, caller: Caller) -> tuple[str, Json | None]:
        workflow = tenant.workflow()
        tenant.check_out(workflow, caller if caller in (tenant.ana, tenant.ben) else tenant.ben)
        return f"{tenant.at(workflow)}{rest}", body

    return RoleCall(prepare, own=True)


def unique(name: str) -> str:
    return f"{name} {uuid4()}"


def new_user(tenant: Tenant) -> str:
    """Make a user; returns its path."""
    return f"{tenant.path}/users/{tenant.user(f'user-{uuid4()}', 'viewer').user_id}"


def new(collection: str) -> RoleCall:
    return same(lambda t: (f"{t.path}/{collection}", {"name": unique("new"), **t.parent(collection)}))


def held_by_another(rest: str) -> RoleCall:
    """Make a call on a resource that a user has checked out who is not the caller."""

    def prepare(tenant: Tenant, caller: Caller) -> tuple[str, Json | None]:
        workflow = tenant.workflow()
        tenant.check_out(workflow, tenant.ben if caller is tenant.ana else tenant.ana)
        return f"{tenant.at(workflow)}{rest}", None

    return RoleCall(prepare, own=True)


def deleted(tenant: Tenant) -> Json:
    workflow = tenant.workflow()
    return workflow | {"deletion": tenant.remove(workflow)}


def purged(tenant: Tenant) -> str:
    """Delete a workflow for good; returns its path."""
    workflow = deleted(tenant)
    tenant.remove(workflow, permanent=True)
    return tenant.at(workflow)


def unheld(tenant: Tenant) -> str:
    """Release the legal holds of the subscription, which keep it from being closed; returns its path."""
    for hold in tenant.ana.pages(f"{tenant.path}/holds"):
        if hold["released_at"] is None:
            path = f"{tenant.path}/holds/{hold['hold_id']}/release"
            ok(tenant.ana.post(path, {"reason": "settled"}))
    return tenant.path


def closed(tenant: Tenant) -> str:
    """Close the subscription, unless it is closed; returns its path."""
    operator = tenant.server.operator
    if ok(operator.get(tenant.path))["closed_at"] is None:
        ok(operator.post(f"{tenant.path}/close", {"reason": "for now"}))
    return tenant.path


def moment(tenant: Tenant) -> str:
    return f"{tenant.path}/at/{tenant.workflow()['git_commit_hash']}"


def execution(tenant: Tenant) -> str:
    """Record an event of a new execution; returns the path of the execution."""
    event = {**EXECUTION, "execution_id": str(uuid4())}
    ok(tenant.ben.post(f"{tenant.path}/execution-logs", event), 201)
    return f"{tenant.path}/executions/{event['execution_id']}"


def run(tenant: Tenant) -> str:
    made = ok(tenant.server.operator.post(f"{JOB}/run", {}), 202)
    return f"/v1/maintenance/runs/{made['run_id']}"


def git(tenant: Tenant, rest: str) -> str:
    return f"/git/{tenant.subscription_id}.git/{rest}"


STATISTICS = ("audit-logs/stats", "audit-logs/facets", "execution-logs/stats", "server-logs/stats")
# Operations as `short` writes them.
OPERATIONS: dict[tuple[str, str], RoleCall] = {
    **{name: same(prepare) for name, (prepare, *_) in CALLS.items()},
    **{("POST", f"S/{name}"): new(name) for name in ("workspaces", "folders", "jobs", "workflows")},
    **{("POST", f"S/{name}"): new(name) for name in ("jobpackages", "connectors")},
    **{("GET", f"S/{name}"): at(f"S/{name}") for name in ("workspaces", "folders", "jobs", "workflows")},
    **{("GET", f"S/{name}"): at(f"S/{name}") for name in ("jobpackages", "connectors", "deletions")},
    **{("GET", f"S/{name}"): at(f"S/{name}") for name in ("check-outs", "users", "api-keys", "holds")},
    **{("GET", f"S/{name}"): at(f"S/{name}") for name in ("audit-logs", "execution-logs", "server-logs")},
    **{("GET", f"S/{name}"): at(f"S/{name}") for name in STATISTICS},
    ("GET", "S/executions"): at("S/executions"),
    ("GET", "R/health"): of_resource("/health"),
    ("GET", "S/executions/{execution_id}"): same(lambda t: (execution(t), None)),
    **{("GET", f"S/{name}"): at(f"S/{name}") for name in ("change-history", "audit-policy")},
    **{("GET", path): at(path) for path in ("/livez", "/readyz", "/version", "/metrics", "/v1/whoami", "S")},
    **{("GET", f"/v1/{name}"): at(f"/v1/{name}") for name in ("subscriptions", "audit-logs", "server-logs")},
    **{("GET", f"/v1/{name}"): at(f"/v1/{name}") for name in ("audit-logs/stats", "server-logs/stats")},
    **{("GET", f"/v1/{name}"): at(f"/v1/{name}") for name in ("retention-policies", "maintenance/jobs")},
    **{("GET", f"/v1/platform/{name}"): at(f"/v1/platform/{name}") for name in ("figures", "subscriptions")},
    ("GET", "/v1/maintenance/runs"): at("/v1/maintenance/runs"),
    ("GET", "/v1/maintenance/jobs/{name}"): at(JOB),
    ("PATCH", "/v1/maintenance/jobs/{name}"): same(lambda _: (JOB, {"is_paused": False})),
    ("POST", "/v1/maintenance/jobs/{name}/run"): same(lambda _: (f"{JOB}/run", {})),
    ("GET", "/v1/maintenance/runs/{run_id}"): same(lambda t: (run(t), None)),
    ("PUT", "/v1/retention-policies"): same(lambda _: ("/v1/retention-policies", {"policies": []})),
    ("GET", "R"): of_resource(""),
    ("GET", "R/versions"): of_resource("/versions"),
    ("GET", "R/versions/{ref}"): of_resource("/versions/1"),
    ("GET", "R/versions/{ref}/data"): of_resource("/versions/1/data"),
    ("GET", "R/versions/{ref}/comments"): of_resource("/versions/1/comments"),
    ("GET", "R/references"): of_resource("/references"),
    ("GET", "R/diff"): of_resource("/diff?from=1&to=1"),
    ("PATCH", "R"): same(lambda t: (t.at(t.workflow()), {"name": unique("renamed")})),
    ("POST", "R/check-in"): of_holder("/check-in", {"data": {"n": 1}}),
    ("DELETE", "R/check-out"): of_holder("/check-out", None),
    ("GET", "S/deletions/{deletion_id}"): same(
        lambda t: (f"{t.path}/deletions/{deleted(t)['deletion']['deletion_id']}", None)
    ),
    ("GET", "S/at/{moment}"): same(lambda t: (moment(t), None)),
    ("GET", "S/holds/{hold_id}"): same(lambda t: (f"{t.path}/holds/{placed(t)['hold_id']}", None)),
    ("PATCH", "S"): same(lambda t: (t.path, {"name": unique("acme")})),
    ("POST", "S/close"): same(lambda t: (f"{unheld(t)}/close", {"reason": "for now"})),
    ("POST", "S/reopen"): same(lambda t: (f"{closed(t)}/reopen", {"reason": "again"})),
    ("POST", "S/users"): same(
        lambda t: (
            f"{t.path}/users",
            {"username": f"user-{uuid4()}", "email": "n@example.org", "role": "viewer"},
        )
    ),
    ("PATCH", "S/users/{user_id}"): same(lambda t: (new_user(t), {"role": "editor"})),
    ("DELETE", "S/users/{user_id}"): same(lambda t: (new_user(t), None)),
    ("DELETE", "S/users/{user_id}/email"): same(lambda t: (f"{new_user(t)}/email", None)),
    ("DELETE", "S/api-keys/{key_id}"): same(lambda t: (key_path(t), None)),
}

# Requests for which an operation wants another right, each after its operation, and those of git.
VARIANTS: dict[tuple[str, str], dict[str, RoleCall]] = {
    ("GET", "R/versions"): {
        "R/versions, deleted for good": same(lambda t: (f"{purged(t)}/versions", None)),
    },
    ("DELETE", "R"): {
        "R?force=true": held_by_another("?force=true"),
        "R?permanent=true": same(lambda t: (f"{t.at(deleted(t))}?permanent=true", None)),
    },
    ("GET", "S/execution-logs/stats"): {
        f"S/execution-logs/stats?{name}=": at(f"S/execution-logs/stats?{name}={uuid4()}")
        for name in ("triggered_by", "recorded_by", "execution_id", "log_id", "request_id")
    },
    ("DELETE", "R/check-out"): {"R/check-out?force=true": held_by_another("/check-out?force=true")},
    ("PATCH", "S"): {"S, quotas": same(lambda t: (t.path, {"quotas": {"resources": None}}))},
}
GIT: dict[tuple[str, str], RoleCall] = {
    ("GET", "/git/{subscription_id}.git/info/refs"): same(
        lambda t: (git(t, "info/refs?service=git-upload-pack"), None)
    ),
    ("POST", "/git/{subscription_id}.git/git-upload-pack"): same(
        lambda t: (git(t, "git-upload-pack"), None),
        content=LIST_REFS,
        headers={"content-type": "application/x-git-upload-pack-request", "git-protocol": "version=2"},
    ),
}
