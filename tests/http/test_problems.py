"""Errors as clients see them, the pages of the problems, and the id of every request."""

import re
from html import unescape
from uuid import UUID

import httpx
import pytest

from gitstore import errors as git_errors
from service.domain import errors
from service.domain.errors import AnnalsError, leaves
from service.http import problems
from sql import errors as sql_errors
from tests.support.altered_rows import rename_commit
from tests.support.api import Json, Server, Tenant, ok, pointers, refused
from tests.support.idempotency import carried_out
from tests.support.tags import name_of

CODES = [error.code for error in leaves()]
PREFLIGHT = {"origin": "https://page.example.org", "access-control-request-method": "GET"}
FIELDS = {"type", "title", "status", "detail", "code", "request_id"}


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_page(server: Server, code: str) -> None:
    response = server.http.get(f"/docs/problems/{code}")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert code in response.text
    assert str(problems.status_of(next(e for e in leaves() if e.code == code))) in response.text


def test_all_problems_are_listed_on_one_page(server: Server) -> None:
    page = server.http.get("/docs/problems").text
    assert re.findall(r'href="/docs/problems/(\w+)"', page) == CODES


@pytest.mark.parametrize("code", ["nonsense", "%00", "..%2f..%2fetc"])
def test_a_code_that_is_none_has_no_page(server: Server, code: str) -> None:
    refused(server.http.get(f"/docs/problems/{code}"), 404, "path_not_found")


def test_codes_are_unique_and_every_concrete_error_has_one() -> None:
    found: list[type[AnnalsError]] = []
    pending = [AnnalsError]
    while pending:
        error = pending.pop()
        pending += error.__subclasses__()
        if "code" in vars(error):
            found.append(error)
    assert sorted(error.code for error in found) == CODES
    for error in found:
        assert 400 <= problems.status_of(error) <= 503
        assert problems.title_of(error)
        assert problems.explanation_of(error)


def in_flight(tenant: Tenant, path: str) -> httpx.Response:
    """Answer to a call that another transaction is carrying out."""
    with carried_out(tenant.ana, path, "k"):
        return tenant.ana.post(path, {}, headers={"idempotency-key": "k"})


def key_reused(tenant: Tenant, path: str) -> httpx.Response:
    """Answer to a call with another call's key."""
    headers = {"idempotency-key": "once"}
    ok(tenant.ana.post(path, {"text": "x"}, headers=headers), 201)
    return tenant.ana.post(path, {"text": "y"}, headers=headers)


def demanded(tenant: Tenant, path: str) -> httpx.Response:
    """Answer to a save without the If-Match that the subscription demands."""
    ok(tenant.ana.patch(tenant.path, {"require_if_match": True}))
    response = tenant.ana.post(path, {"data": {}})
    ok(tenant.ana.patch(tenant.path, {"require_if_match": False}))
    return response


def posted(tenant: Tenant) -> str:
    """Post a deletion of the platform's own; returns its id."""
    body = {"resource_type": "dashboard", "resource_id": "d-1"}
    found: str = ok(tenant.ana.post(f"{tenant.path}/deletions", body), 201)["ids"][0]
    return found


def past_quota(tenant: Tenant) -> httpx.Response:
    """Answer to a creation past the quota of resources."""
    operator = tenant.server.operator
    ok(operator.patch(tenant.path, {"quotas": {"resources": 0}}))
    response = tenant.ana.post(f"{tenant.path}/workspaces", {"name": "more"})
    ok(operator.patch(tenant.path, {"quotas": {"resources": None}}))
    return response


def unmoved(tenant: Tenant, resource: Json) -> httpx.Response:
    """Answer to a tag whose ref conflicts with a ref below its name."""
    in_the_way = name_of(resource, "v9/x")
    tenant.git("update-ref", in_the_way, "main")
    response = tenant.ana.put(f"{tenant.at(resource)}/versions/1/tag", {"tag": "v9"})
    tenant.git("update-ref", "-d", in_the_way)
    return response


def kept(tenant: Tenant, resource: Json) -> list[tuple[int, str, httpx.Response]]:
    """Answers to deleting for good under a legal hold, and to a second release of the hold."""
    holds = f"{tenant.path}/holds"
    about = {"resource_type": resource["resource_type"], "resource_id": resource["resource_id"]}
    release = f"{holds}/{ok(tenant.ana.post(holds, about | {'reason': 'x'}), 201)['hold_id']}/release"
    refusal = tenant.ana.delete(tenant.at(resource), params={"permanent": True})
    ok(tenant.ana.post(release, {"reason": "x"}))
    return [
        (404, "hold_not_found", tenant.ana.get(f"{holds}/{resource['resource_id']}")),
        (409, "held", refusal),
        (409, "hold_released", tenant.ana.post(release, {"reason": "x"})),
    ]


def closed(tenant: Tenant) -> httpx.Response:
    """Answer to an update of a closed subscription."""
    ok(tenant.server.operator.post(f"{tenant.path}/close", {"reason": "x"}))
    return tenant.server.operator.patch(tenant.path, {"name": "another"})


def outdated(tenant: Tenant, path: str) -> httpx.Response:
    """Answer to a run by a plan of yesterday."""
    operator = tenant.server.operator
    plan = ok(operator.post(path, {"dry_run": True}))
    with tenant.server.clock.moved(hours=25):
        return operator.post(path, {"plan_id": plan["plan_id"]})


def lost(tenant: Tenant) -> httpx.Response:
    """Answer to a read without the repository, of data that no reader has cached."""
    path = f"{tenant.at(tenant.workflow())}/versions/1"
    away = tenant.repository.with_suffix(".away")
    tenant.repository.rename(away)
    try:
        return tenant.ana.get(path)
    finally:
        away.rename(tenant.repository)


def after_purge(tenant: Tenant) -> httpx.Response:
    """A viewer's clone of a subscription in which something was deleted for good, and that is closed then."""
    ok(tenant.ana.patch(tenant.path, {"clone_after_purge": "admin"}))
    return tenant.vera.get(f"/git/{tenant.subscription_id}.git/info/refs?service=git-upload-pack")


def occurrences(tenant: Tenant) -> list[tuple[int, str, Json]]:
    """Problems of many kinds, one each, as the server sends them."""
    workflow = tenant.workflow()
    tenant.save(workflow, {"n": 1}, tag="v1")
    held, twins, deleted = (tenant.workflow() for _ in range(3))
    tenant.check_out(held, tenant.ben)
    for digit in ("1", "2"):
        rename_commit(tenant, tenant.save(twins, {"n": digit}), "abcdef0" + digit * 33)
    tenant.remove(deleted)
    away = tenant.remove(tenant.workflow(name="given away"))
    tenant.workflow(name="given away")
    doomed = tenant.workflow()
    tenant.remove(doomed)
    gone = tenant.remove(doomed, permanent=True)
    deletions = f"{tenant.path}/deletions"
    path, server = tenant.at(workflow), tenant.server
    unknown = "019a0000-0000-7000-8000-000000000000"
    twin = {"name": workflow["name"], "job_id": tenant.job_id}
    namesake = {"username": "ana", "email": "ana@example.org", "role": "viewer"}
    stale = {"if-match": f'"{workflow["git_commit_hash"]}"'}
    run = "/v1/maintenance/jobs/clean-up/run"
    git = f"/git/{tenant.subscription_id}.git/git-upload-pack"
    events = f"{tenant.path}/audit-logs"
    wanted = [
        (400, "malformed_json", tenant.ana.send(f"{path}/versions", b"{")),
        (400, "malformed_encoding", tenant.ana.send(events, b"{}", **{"content-encoding": "gzip"})),
        (400, "malformed_otlp", tenant.ana.post(f"{tenant.path}/otlp/v1/logs", [])),
        (400, "malformed_git_request", tenant.ana.post(git, content=b"nonsense")),
        (401, "unauthenticated", server.nobody.get(path)),
        (403, "forbidden", tenant.vera.post(f"{path}/check-out")),
        (403, "quota_exceeded", past_quota(tenant)),
        (403, "clone_closed", after_purge(tenant)),
        (403, "origin_not_allowed", server.http.request("OPTIONS", path, headers=PREFLIGHT)),
        (404, "subscription_not_found", server.operator.get(f"/v1/subscriptions/{unknown}")),
        (404, "resource_not_found", tenant.ana.get(f"{tenant.path}/jobs/{unknown}")),
        (404, "execution_not_found", tenant.ana.get(f"{tenant.path}/executions/{unknown}")),
        (404, "version_not_found", tenant.ana.get(f"{path}/versions/9")),
        (404, "user_not_found", tenant.ana.delete(f"{tenant.path}/users/{unknown}")),
        (404, "key_not_found", tenant.ana.delete(f"{tenant.path}/api-keys/{unknown}")),
        (404, "path_not_found", tenant.ana.get("/v1/nothing")),
        (404, "parent_not_found", tenant.ana.post(f"{tenant.path}/workflows", twin | {"job_id": unknown})),
        (404, "commit_not_found", tenant.ana.post(f"{tenant.path}/rollback", {"to": "f" * 40})),
        (404, "deletion_not_found", tenant.ana.get(f"{deletions}/{unknown}")),
        *kept(tenant, deleted),
        (404, "job_not_found", server.operator.get("/v1/maintenance/jobs/none")),
        (404, "run_not_found", server.operator.get(f"/v1/maintenance/runs/{unknown}")),
        (404, "plan_not_found", server.operator.post(run, {"plan_id": unknown})),
        (405, "method_not_allowed", tenant.ana.request("PUT", path)),
        (409, "name_taken", tenant.ana.post(f"{tenant.path}/workflows", twin)),
        (
            409,
            "folder_cycle",
            tenant.ana.patch(
                f"{tenant.path}/folders/{tenant.folder_id}", {"parent_folder_id": tenant.folder_id}
            ),
        ),
        (409, "tag_taken", tenant.ana.post(f"{path}/versions", {"data": {"n": 2}, "tag": "v1"})),
        (409, "username_taken", tenant.ana.post(f"{tenant.path}/users", namesake)),
        (409, "own_key", tenant.ana.delete(f"{tenant.path}/api-keys/{tenant.ana.key_id}")),
        (409, "last_admin", tenant.ana.delete(f"{tenant.path}/users/{tenant.ana.user_id}")),
        (409, "ambiguous_ref", tenant.ana.get(f"{tenant.at(twins)}/versions/abcdef0")),
        (409, "resource_deleted", tenant.ana.post(f"{tenant.at(deleted)}/check-out")),
        (409, "not_deleted", tenant.ana.delete(path, params={"permanent": True})),
        (409, "restore_conflict", tenant.ana.post(f"{deletions}/{away['deletion_id']}/restore")),
        (409, "request_in_flight", in_flight(tenant, f"{path}/check-out")),
        (409, "not_checked_out", tenant.ana.post(f"{path}/check-in")),
        (409, "not_holder", tenant.ana.post(f"{tenant.at(held)}/check-in")),
        (409, "subscription_open", tenant.server.operator.post(f"{tenant.path}/reopen", {"reason": "x"})),
        (409, "subscription_closed", closed(Tenant(tenant.server))),
        (409, "no_plan", server.operator.post("/v1/maintenance/jobs/upkeep/run", {"dry_run": True})),
        (409, "plan_outdated", outdated(tenant, run)),
        (410, "deletion_posted", tenant.ana.post(f"{deletions}/{posted(tenant)}/restore")),
        (410, "not_restorable", tenant.ana.post(f"{deletions}/{gone['deletion_id']}/restore")),
        (412, "stale_version", tenant.ana.post(f"{path}/versions", {"data": {}}, headers=stale)),
        (413, "body_too_large", tenant.ana.send(f"{path}/versions", b"[" * 9_000_000)),
        (415, "unsupported_media_type", tenant.ana.post(f"{path}/versions", content=b"x")),
        (422, "invalid", tenant.ana.post(f"{path}/versions", {})),
        (422, "idempotency_key_reused", key_reused(tenant, f"{path}/versions/1/comments")),
        (423, "checked_out", tenant.ana.post(f"{tenant.at(held)}/check-out")),
        (428, "if_match_required", demanded(tenant, f"{path}/versions")),
        (503, "ref_not_moved", unmoved(tenant, workflow)),
        (503, "store_unavailable", lost(tenant)),
    ]
    found = []
    for status, code, response in wanted:
        found.append((status, code, refused(response, status, code)))
        assert ("retry-after" in response.headers) == (status == 503)
    return found


# Only a broken or overloaded server answers with these, one with limits, or the refusal of a scheduled job;
# or the door or a page, which have tests of their own.
UNPROVOKED = {
    "malformed_request",
    "request_line_too_long",
    "head_too_large",
    "too_slow",
    "too_many_failed_logins",
    "key_rate_exceeded",
    "subscription_rate_exceeded",
    "too_many_tails",
    "role_missing",
    "busy",
    "database_unavailable",
    "document_too_large",
    "internal",
    "outcome_unknown",
    "query_too_long",
    "still_restorable",
    "storage_full",
}


# Refusals under `/git` are texts for git to print.
OF_GIT = ("malformed_git_request", "clone_closed")
# Those of OTLP are a google.rpc.Status, which has no title.
OF_OTHERS = (*OF_GIT, "malformed_otlp")


def test_a_problem_says_what_rfc_9457_asks_for(tenant: Tenant) -> None:
    found = occurrences(tenant)
    assert sorted(code for _, code, _ in found) == sorted(set(CODES) - UNPROVOKED)
    for status, code, problem in found:
        if code not in OF_OTHERS:
            assert set(problem) >= FIELDS
            assert problem["title"] in unescape(tenant.server.http.get("/docs/problems").text)
        assert problem["status"] == status
        assert problem["type"] == f"/docs/problems/{code}"
        assert tenant.server.http.get(problem["type"]).status_code == 200
        assert problem["detail"].endswith((".", "!", "?"))
        assert all(pointer is not None for pointer in pointers(problem))


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v2/subscriptions", "/git/x", "/%00", "/v1/subscriptions/", "//"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_an_unknown_path_is_a_problem(server: Server, path: str, method: str) -> None:
    response = server.http.request(method, path)
    if response.status_code != 307:
        assert response.status_code in (401, 404, 405)
        of_git = path.startswith("/git/")
        media_type = "text/plain; charset=utf-8" if of_git else "application/problem+json"
        assert response.headers["content-type"] == media_type


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/subscriptions", {"GET", "POST"}),
        ("DELETE", "/livez", {"GET"}),
        ("POST", "/v1/whoami", {"GET"}),
        ("PROPFIND", "/v1/whoami", {"GET"}),
        ("PATCH", "{R}/versions", {"GET", "POST"}),
        ("GET", "{R}/check-in", {"POST"}),
        ("GET", "{R}/check-out", {"POST", "DELETE"}),
        ("PUT", "{S}/users/x", {"PATCH", "DELETE"}),
        ("PUT", "{S}/audit-logs", {"GET", "POST"}),
        ("PUT", "{S}/change-history", {"GET", "POST"}),
    ],
)
def test_a_method_that_does_not_apply_names_those_that_do(
    shared: Tenant, method: str, path: str, allowed: set[str]
) -> None:
    at = f"{shared.path}/jobs/019a0000-0000-7000-8000-000000000000"
    response = shared.ana.request(method, path.format(S=shared.path, R=at))
    refused(response, 405, "method_not_allowed")
    named = {name.strip() for name in response.headers["allow"].split(",")}
    assert named - {"HEAD"} == allowed


@pytest.mark.parametrize("request_id", ["a", "0.1_2-Z", "x" * 128])
def test_a_request_id_is_taken_and_echoed(server: Server, request_id: str) -> None:
    for path in ("/livez", "/v1/whoami", "/nothing", "/docs/problems"):
        response = server.http.get(path, headers={"x-request-id": request_id})
        assert response.headers["x-request-id"] == request_id


@pytest.mark.parametrize("request_id", ["", "x" * 129, "a b", "a/b", "a\tb", "é", "a;b", "{}"])
def test_a_request_id_that_breaks_the_rule_is_replaced(server: Server, request_id: str) -> None:
    headers = [(b"x-request-id", request_id.encode("latin-1"))]
    made = server.http.get("/livez", headers=headers).headers["x-request-id"]
    assert UUID(made).version == 7


def test_every_request_has_an_id_of_its_own(server: Server) -> None:
    assert len({server.http.get("/livez").headers["x-request-id"] for _ in range(5)}) == 5


def test_a_request_id_is_stored_with_the_rows_that_it_causes(tenant: Tenant) -> None:
    body = {"name": "w"}
    headers = {"x-request-id": "trace-me"}
    made = ok(tenant.ana.post(f"{tenant.path}/workspaces", body, headers=headers), 201)
    rows = tenant.server.database.rows(
        "SELECT resource_id FROM audit_logs"
        " WHERE request_id = 'trace-me' AND action = 'CREATE' AND subscription_id = %s",
        tenant.subscription_id,
    )
    assert rows == [(made["resource_id"],)]
    assert "Annals-Request: trace-me" in tenant.git("log", "-1", "--format=%b", "main")


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (sql_errors.DatabaseUnavailable("x"), errors.DatabaseNotReachable),
        (sql_errors.StatementEnded("x"), errors.QueryTooLong),
        (sql_errors.LockNotTaken("x"), errors.Busy),
        (sql_errors.WriteConflict("x"), errors.DatabaseNotReachable),
        (sql_errors.LimitExceeded("x"), errors.DocumentTooLarge),
        (sql_errors.DiskFull("x"), errors.StorageFull),
        (git_errors.StoreUnavailable("x"), errors.StoreNotWritable),
        (git_errors.StoreFull("x"), errors.StorageFull),
        (git_errors.UploadPackBusy("x"), errors.Busy),
        (git_errors.DiffTooSlow("x"), errors.Busy),
    ],
)
def test_a_failure_of_a_store_is_told_without_its_words(
    failure: Exception, expected: type[AnnalsError]
) -> None:
    told = problems.from_store(failure)
    assert type(told) is expected
    answer = problems.answer(told, "r")
    assert answer.status_code in (413, 503)
    assert ("retry-after" in answer.headers) == (answer.status_code == 503)
    assert b'"x"' not in bytes(answer.body)


def test_what_is_alive_says_so(server: Server) -> None:
    assert ok(server.http.get("/livez")) == {"status": "alive"}


def test_what_is_ready_says_so_by_name(server: Server) -> None:
    answer = ok(server.http.get("/readyz"))
    assert answer["ready"] is True
    disks = {"disk_git", "disk_temporary"}
    parts = {"database", "schema", "timescaledb", "repositories", "committer"}
    assert set(answer["checks"]) == parts | disks
    assert all(check["ok"] and check["detail"] for check in answer["checks"].values())
    assert "annals_service" in answer["checks"]["database"]["detail"]
    # No scheduler runs beside the tests' server.
    others = ("is overdue", "followers of logs")
    assert [each for each in answer["warnings"] if not any(other in each for other in others)] == []


def test_the_version_is_told(server: Server) -> None:
    answer = ok(server.http.get("/version"))
    assert answer["name"] == "annals"
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", answer["version"])


def test_the_figures_are_prometheus_text_without_ids(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    response = tenant.server.http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    assert 'annals_http_requests_total{method="POST"' in response.text
    assert workflow["resource_id"] not in response.text
    assert tenant.subscription_id not in response.text


def test_the_description_of_the_api_is_served(server: Server) -> None:
    description = ok(server.http.get("/openapi.json"))
    assert description["info"]["title"] == "Annals"
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary") or operation.get("description"), (method, path)
    assert server.http.get("/docs").status_code == 200


def test_the_description_is_the_same_text_for_everybody(server: Server) -> None:
    found = server.http.get("/openapi.json")
    assert found.headers["content-type"] == "application/json"
    assert found.content == server.http.get("/openapi.json").content
    assert refused(server.http.post("/openapi.json"), 405, "method_not_allowed")["status"] == 405
