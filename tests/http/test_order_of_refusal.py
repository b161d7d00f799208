"""Requests with several faults: the first in DETAILS.md's order is answered, nothing is written."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.support.api import COLLECTIONS, UNKNOWN, Caller, Json, Server, Tenant, refused
from tests.support.audited_calls import CALLS
from tests.support.bulk_check_ins import item
from tests.support.events import DATA_CHANGE, DELETION, EXECUTION, REQUEST
from tests.support.otlp import log_record, request_of

# Faults in the order of their refusals, with the code of each.
CODES = {
    "401": "unauthenticated",
    "404 tenant": "subscription_not_found",
    "403": "forbidden",
    "413": "body_too_large",
    "415": "unsupported_media_type",
    "400": "malformed_json",
    "422": "invalid",
}
# Missing objects, and last conflicts with the state or If-Match; the last have no order among themselves.
MISSING, LATE = "404", "409, 412 or 423"
LEVELS = (*CODES, MISSING, LATE)
LARGE = b"[" * (8 * 1024 * 1024 + 1)


@dataclass(frozen=True)
class Scene:
    """Two subscriptions, and in the first a workflow for each kind of conflict."""

    tenant: Tenant
    stranger: Tenant
    held: Json
    deleted: Json
    changed: Json
    deletion: Json

    def workflows(self) -> tuple[Json, Json, Json]:
        return self.held, self.deleted, self.changed


@dataclass(frozen=True)
class Target:
    """Subject of a request: the subscription's path, a workflow, and if its objects exist."""

    scene: Scene
    path: str
    workflow: Json
    is_there: bool

    @property
    def resource(self) -> str:
        resource_id = self.workflow["resource_id"] if self.is_there else UNKNOWN
        return f"{self.path}/workflows/{resource_id}"

    @property
    def version(self) -> str:
        return f"{self.path}/workflows/{self.workflow['resource_id']}/versions/{1 if self.is_there else 99}"


Body = Json | list[Json] | None


@dataclass(frozen=True)
class Write:
    """Call: its path and body, a body that it does not take, and the refusals that it can get."""

    method: str
    path: str
    make: Callable[[Target], tuple[str, Body]]
    invalid: Body = None
    missing: str | None = None
    has_state: bool = True
    has_tenant: bool = True
    too_low: str = "vera"
    # The status and the code for a body that it does not take.
    unfit: tuple[int, str] = (422, "invalid")

    def levels(self) -> list[str]:
        without: set[str] = set()
        if self.invalid is None:
            without |= {"413", "415", "400"}
        if self.missing is None:
            without.add(MISSING)
        if not self.has_state:
            without.add(LATE)
        if not self.has_tenant:
            without.add("404 tenant")
        return [level for level in LEVELS if level not in without]


def of_resource(method: str, rest: str, body: Body = None, invalid: Body = None) -> Write:
    """Write of a resource, which may be missing."""
    path = f"R{rest.partition('?')[0]}"
    return Write(method, path, lambda t: (t.resource + rest, body), invalid, "resource_not_found")


def of_version(method: str, rest: str, body: Body = None, invalid: Body = None) -> Write:
    """Write of a version, which may be missing."""
    path = f"R/versions/{{ref}}{rest}"
    return Write(method, path, lambda t: (t.version + rest, body), invalid, "version_not_found")


def rollback(target: Target) -> tuple[str, Body]:
    """Rollback to a version that may be missing."""
    path = f"{target.path}/workflows/{target.workflow['resource_id']}/rollback"
    return path, {"to": 1 if target.is_there else 99}


def bulk(target: Target) -> tuple[str, Body]:
    """Items that are checked out, deleted and stale, one of which may be missing."""
    scene = target.scene
    items = [item(scene.held), item(scene.deleted), item(scene.changed, if_match='"stale"')]
    if not target.is_there:
        items.append(item({"resource_type": "job", "resource_id": UNKNOWN}))
    return f"{target.path}/check-ins", {"items": items}


def rollback_below(target: Target) -> tuple[str, Body]:
    """Rollback of a folder that may be missing."""
    folder_id = target.scene.tenant.folder_id if target.is_there else UNKNOWN
    return f"{target.path}/rollback", {"to": target.workflow["git_commit_hash"], "folder_id": folder_id}


def rollback_to(target: Target) -> tuple[str, Body]:
    """Rollback of everything, to a commit that may be missing."""
    to = target.workflow["git_commit_hash"] if target.is_there else "f" * 40
    return f"{target.path}/rollback", {"to": to}


def create(collection: str) -> Write:
    """Resource with a taken name, below a parent that may be missing."""

    def make(target: Target) -> tuple[str, Body]:
        tenant = target.scene.tenant
        parent = {f: i if target.is_there else UNKNOWN for f, i in tenant.parent(collection).items()}
        return f"{target.path}/{collection}", {"name": "taken", **parent}

    missing = None if collection == "workspaces" else "parent_not_found"
    return Write("POST", f"S/{collection}", make, {"name": ""}, missing)


def of_tenancy(
    method: str,
    path: str,
    body: Body = None,
    invalid: Body = None,
    missing: str | None = None,
    too_low: str = "ben",
    has_state: bool = False,
    has_tenant: bool = True,
) -> Write:
    """Call about users, keys and the subscription itself."""
    where = path.format(user_id=UNKNOWN, key_id=UNKNOWN, hold_id=UNKNOWN)

    def make(target: Target) -> tuple[str, Body]:
        return where.replace("S", target.path, 1) if has_tenant else where, body

    return Write(method, path, make, invalid, missing, has_state, has_tenant, too_low)


def move(target: Target) -> tuple[str, Body]:
    """Move below a job that may be missing."""
    job_id = target.scene.tenant.job_id if target.is_there else UNKNOWN
    path = f"{target.path}/workflows/{target.workflow['resource_id']}"
    return path, {"name": "taken", "job_id": job_id}


def restore(target: Target) -> tuple[str, Body]:
    """Restore of a resource whose name is taken by now, or of a missing deletion."""
    deletion_id = target.scene.deletion["deletion_id"] if target.is_there else UNKNOWN
    return f"{target.path}/deletions/{deletion_id}/restore", {}


WRITES = {
    "rename": of_resource("PATCH", "", {"name": "taken"}, {"name": ""}),
    "move": Write("PATCH", "R", move, {"job_id": None}, "parent_not_found"),
    "deletion": of_resource("DELETE", ""),
    "forced deletion": of_resource("DELETE", "?force=true"),
    "deletion for good": of_resource("DELETE", "?permanent=true"),
    "restore": Write(
        "POST", "S/deletions/{deletion_id}/restore", restore, {"dry_run": 1}, "deletion_not_found"
    ),
    "save": of_resource("POST", "/versions", {"data": {"n": 9}}, {"data": []}),
    "check-out": of_resource("POST", "/check-out", {}, {"ttl_seconds": 0}),
    "check-in": of_resource("POST", "/check-in", {"data": {"n": 9}}, {"data": []}),
    "release": of_resource("DELETE", "/check-out"),
    "forced release": of_resource("DELETE", "/check-out?force=true"),
    "rollback": of_resource("POST", "/rollback", {"to": 1}, {"to": None}),
    "rollback to a version": Write(
        "POST", "R/rollback", rollback, {"to": 1, "dry_run": 1}, "version_not_found"
    ),
    "tag": of_version("PUT", "/tag", {"tag": "v2"}, {"tag": "current"}),
    "taken tag": of_version("PUT", "/tag", {"tag": "v1"}, {"tag": 1}),
    "untag": of_version("DELETE", "/tag"),
    "publish": of_version("POST", "/publish", {}, {"x": 1}),
    "unpublish": of_version("POST", "/unpublish", {}, {"x": 1}),
    "comment": of_version("POST", "/comments", {"text": "x"}, {"text": ""}),
    "check-ins": Write("POST", "S/check-ins", bulk, {"items": []}, "resource_not_found"),
    "rollback of a folder": Write("POST", "S/rollback", rollback_below, {"to": 7}, "resource_not_found"),
    "rollback of all": Write("POST", "S/rollback", rollback_to, {"to": "x"}, "commit_not_found"),
    **{collection: create(collection) for collection in COLLECTIONS},
    "users": of_tenancy(
        "POST",
        "S/users",
        {"username": "ana", "email": "a@example.org", "role": "viewer"},
        {"username": "ana"},
        has_state=True,
    ),
    "keys": of_tenancy(
        "POST", "S/api-keys", {"user_id": UNKNOWN, "name": "k"}, {"name": ""}, "user_not_found"
    ),
    "a user": of_tenancy(
        "PATCH", "S/users/{user_id}", {"role": "viewer"}, {"role": "root"}, "user_not_found"
    ),
    "a user's end": of_tenancy("DELETE", "S/users/{user_id}", missing="user_not_found"),
    "an address's end": of_tenancy("DELETE", "S/users/{user_id}/email", missing="user_not_found"),
    "a key's end": of_tenancy("DELETE", "S/api-keys/{key_id}", missing="key_not_found"),
    "a subscription": of_tenancy("PATCH", "S", {"name": "x"}, {"name": ""}),
    "a hold": of_tenancy("POST", "S/holds", {"reason": "x"}, {"reason": ""}),
    "a hold's end": of_tenancy(
        "POST", "S/holds/{hold_id}/release", {"reason": "x"}, {"reason": ""}, "hold_not_found"
    ),
    "a policy": of_tenancy("PUT", "S/audit-policy", {"rules": []}, {"rules": 7}),
    "events": of_tenancy(
        "POST",
        "S/audit-logs",
        {"action": "EXECUTE", "resource_type": "workflow"},
        {"action": "", "resource_type": "workflow"},
        too_low="vera",
    ),
    "executions": of_tenancy(
        "POST", "S/execution-logs", EXECUTION, [{**EXECUTION, "duration_ms": -1}], too_low="vera"
    ),
    "requests": of_tenancy("POST", "S/server-logs", REQUEST, {"endpoint": "/x"}, too_low="vera"),
    "changes": of_tenancy(
        "POST", "S/change-history", DATA_CHANGE, {**DATA_CHANGE, "change_type": "x"}, too_low="vera"
    ),
    "posted deletions": of_tenancy(
        "POST", "S/deletions", DELETION, [{**DELETION, "cascade_level": -1}], too_low="vera"
    ),
    "OpenTelemetry's logs": Write(
        "POST",
        "S/otlp/v1/logs",
        lambda target: (f"{target.path}/otlp/v1/logs", request_of(log_record())),
        {"resourceLogs": 7},
        has_state=False,
        unfit=(400, "malformed_otlp"),
    ),
    "subscriptions": of_tenancy("POST", "/v1/subscriptions", {"name": "x"}, {"name": ""}, has_tenant=False),
}


@pytest.fixture(scope="module")
def scene(server: Server) -> Scene:
    tenant, stranger = Tenant(server, "refusing"), Tenant(server, "stranger")
    for collection in COLLECTIONS:
        tenant.make(collection, name="taken")
    held, deleted, changed = (tenant.workflow() for _ in range(3))
    for each in (held, deleted, changed):
        tenant.save(each, {"n": 2}, tag="v1")
    tenant.check_out(held, tenant.ben)
    tenant.remove(deleted)
    deletion = tenant.remove(tenant.workflow(name="given away"))
    tenant.workflow(name="given away")
    _ = tenant.vera, stranger.ana, stranger.vera
    return Scene(tenant, stranger, held, deleted, changed, deletion)


@pytest.fixture(autouse=True)
def nothing_is_written(scene: Scene) -> Iterator[None]:
    before = [each.footprint() for each in (scene.tenant, scene.stranger)]
    yield
    assert [each.footprint() for each in (scene.tenant, scene.stranger)] == before


def send(scene: Scene, write: Write, wrong: set[str], workflow: Json) -> httpx.Response:
    """Answer to a call with the faults `wrong`."""
    tenant = scene.tenant
    where = (scene.stranger if "404 tenant" in wrong else tenant).path
    caller = tenant.caller(write.too_low) if "403" in wrong else tenant.ana
    if not write.has_tenant and "403" not in wrong:
        caller = tenant.server.operator
    if "401" in wrong:
        caller = Caller(tenant.server, "annals_garbage")
    path, body = write.make(Target(scene, where, workflow, MISSING not in wrong))
    headers = {"if-match": '"stale"'}
    if write.invalid is None:
        if "422" in wrong:
            path += ("&" if "?" in path else "?") + "colour=blue"
        return caller.request(write.method, path, headers=headers)
    json = "application/merge-patch+json" if write.path == "R" else "application/json"
    headers["content-type"] = "text/plain" if "415" in wrong else json
    content = LARGE if "413" in wrong else b"{" if "400" in wrong else None
    if content is None:
        content = httpx.Request("POST", "/", json=write.invalid if "422" in wrong else body).content
    return caller.request(write.method, path, headers=headers, content=content)


def check(response: httpx.Response, write: Write, level: str) -> None:
    """Assert that the refusal is the level's."""
    if level == LATE:
        assert response.status_code in (409, 412, 423), response.text
        assert response.headers["content-type"] == "application/problem+json"
    elif level == MISSING:
        refused(response, 404, write.missing or "")
    elif level == "422" and write.invalid is not None:
        refused(response, *write.unfit)
    else:
        refused(response, int(level[:3]), CODES[level])


def test_every_write_is_tried_here() -> None:
    tried = {(write.method, write.path) for write in WRITES.values()}
    assert tried == set(CALLS)


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.sampled(8)
def test_the_first_refusal_wins(scene: Scene, name: str) -> None:
    write = WRITES[name]
    levels = write.levels()
    for index, level in enumerate(levels):
        later = levels[index + 1 :]
        for workflow in scene.workflows() if level in (MISSING, LATE) else (scene.held,):
            # With all later faults, and with each later fault alone.
            for wrong in ({level, *later}, *({level, other} for other in later)):
                check(send(scene, write, wrong, workflow), write, level)


# -- faults of the query, a header or the path --------------------------------------------------------


@pytest.mark.parametrize("level", ["413", "415"])
def test_a_body_that_is_not_read_comes_before_the_query(scene: Scene, level: str) -> None:
    tenant = scene.tenant
    response = tenant.ana.post(
        f"{tenant.at(scene.changed)}/versions?colour=blue",
        content=LARGE if level == "413" else b"{}",
        headers={"content-type": "application/json" if level == "413" else "text/plain"},
    )
    refused(response, int(level), CODES[level])


WRONG_KEY = {"idempotency-key": ""}


@pytest.mark.parametrize("name", [name for name, write in WRITES.items() if write.method == "POST"])
@pytest.mark.sampled(10)
def test_a_key_that_is_none_comes_before_what_is_not_there_or_in_the_way(scene: Scene, name: str) -> None:
    write = WRITES[name]
    caller = scene.tenant.ana if write.has_tenant else scene.tenant.server.operator
    for is_there in (True, False):
        path, body = write.make(Target(scene, scene.tenant.path, scene.held, is_there))
        headers = {"if-match": '"stale"'} | WRONG_KEY
        refused(caller.post(path, body, headers=headers), 422, "invalid")
    if write.has_tenant:
        refused(scene.tenant.caller(write.too_low).post(path, body, headers=WRONG_KEY), 403, "forbidden")
    refused(caller.send(path, b"x", **{"content-type": "text/plain", **WRONG_KEY}), 415, CODES["415"])
    refused(caller.send(path, b"{", **WRONG_KEY), 400, "malformed_json")


@pytest.mark.parametrize("resource_id", [UNKNOWN, "nobody"])
@pytest.mark.parametrize("query", ["force=true", "force=true&colour=blue"])
def test_who_may_not_force_a_release_is_told_so_first(scene: Scene, resource_id: str, query: str) -> None:
    path = f"{scene.tenant.path}/workflows/{resource_id}/check-out?{query}"
    for name in ("vera", "ben"):
        refused(scene.tenant.caller(name).delete(path), 403, "forbidden")


READS = {
    "": "colour=blue",
    "/versions": "limit=0",
    "/versions/99": "colour=blue",
    "/versions/99/data": "colour=blue",
    "/versions/99/comments": "limit=x",
    "/references": "limit=0",
    "/diff": "from=" + "x" * 501,
}


@pytest.mark.parametrize("resource_id", [UNKNOWN, "nobody"])
@pytest.mark.parametrize("rest", READS)
def test_a_query_that_breaks_a_rule_comes_before_what_is_not_there(
    scene: Scene, rest: str, resource_id: str
) -> None:
    path = f"{scene.tenant.path}/workflows/{resource_id}{rest}"
    refused(scene.tenant.vera.get(f"{path}?{READS[rest]}"), 422, "invalid")
    refused(scene.tenant.vera.get(path), 404, "resource_not_found")


@pytest.mark.parametrize("resource_id", [UNKNOWN, "nobody"])
def test_a_flag_that_is_none_comes_before_what_is_not_there(scene: Scene, resource_id: str) -> None:
    path = f"{scene.tenant.path}/workflows/{resource_id}/check-out?force=maybe"
    refused(scene.tenant.ana.delete(path), 422, "invalid")


@pytest.mark.parametrize(
    ("method", "rest", "body"),
    [
        ("POST", "/versions", {"data": []}),
        ("POST", "/rollback", {"to": None}),
        ("PUT", "/versions/1/tag", {"tag": "7"}),
        ("POST", "/versions/1/comments", {"text": ""}),
    ],
)
def test_a_body_that_breaks_a_rule_comes_before_an_id_that_is_none(
    scene: Scene, method: str, rest: str, body: Any
) -> None:
    path = f"{scene.tenant.path}/workflows/nobody{rest}"
    refused(scene.tenant.ana.request(method, path, body), 422, "invalid")
