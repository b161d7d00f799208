"""HEAD: the head of the answer to GET, without its body, on every path."""

from contextlib import closing

import httpx
import pytest

from tests.support.api import COLLECTIONS, Server, Tenant, ok, refused
from tests.support.doors import Client
from tests.support.events import EXECUTION

# Differ from one call to the next, whatever the method; and the framing of a body, which a HEAD has not.
OF_THE_MOMENT = {"date", "x-request-id", "transfer-encoding"}
# Figures that change by themselves, and logs that grow by the reading.
OF_VARYING_SIZE = ("/metrics", "/readyz", "logs", "history", "/stats", "/facets")


def head_of(response: httpx.Response) -> dict[str, str]:
    path = response.request.url.path
    is_varying = path.endswith(OF_VARYING_SIZE) or path.startswith("/v1/maintenance/")
    varies = {"content-length"} if is_varying else set()
    if path.endswith("-logs"):
        # Reading a log adds a row to it, which moves the place at which the next page begins.
        varies.add("link")
    return {name: value for name, value in response.headers.items() if name not in OF_THE_MOMENT | varies}


@pytest.fixture(scope="module")
def paths(shared: Tenant) -> list[str]:
    """Every path that has a GET, with ids of objects that are there."""
    ids = {collection: shared.make(collection)["resource_id"] for collection in COLLECTIONS}
    deletion = shared.remove(shared.workflow())
    hold = ok(shared.ana.post(f"{shared.path}/holds", {"reason": "x", "user_id": shared.ana.user_id}), 201)
    ok(shared.ben.post(f"{shared.path}/execution-logs", EXECUTION), 201)
    values = {
        "subscription_id": shared.subscription_id,
        "ref": "current",
        "code": "invalid",
        "deletion_id": deletion["deletion_id"],
        "hold_id": hold["hold_id"],
        "moment": deletion["git_commit_hash"],
        "name": "clean-up",
        "execution_id": EXECUTION["execution_id"],
        "run_id": ids["workflows"],
    }
    found = []
    for path, methods in shared.server.app.openapi()["paths"].items():
        if "get" in methods:
            for collection in COLLECTIONS if "{collection}" in path else ("",):
                named = {"collection": collection, "resource_id": ids.get(collection)}
                found.append(path.format(**values | named))
    return [
        *found,
        "/openapi.json",
        "/docs",
        "/docs/problems",
        "/docs/problems/invalid",
        "/nothing",
        "/git/x",
    ]


def test_every_get_has_a_head(shared: Tenant, paths: list[str]) -> None:
    assert len(paths) > 60
    for path in paths:
        query = {"service": "git-upload-pack"} if path.endswith("/info/refs") else {}
        query = {"bucket": "1h"} if path.endswith("/stats") else query
        for caller in (shared.ana, shared.server.operator, shared.server.nobody):
            head = caller.request("HEAD", path, params=query)
            got = caller.get(path, params=query)
            assert (head.status_code, head_of(head)) == (got.status_code, head_of(got)), path
            assert head.content == b""


def test_a_head_leaves_the_connection_to_the_next_request(server: Server) -> None:
    with closing(Client(server.port)) as client:
        head = b"HEAD /version HTTP/1.1\r\nHost: annals\r\n\r\n"
        client.send(head + head.replace(b"HEAD", b"GET"))
        client.socket.settimeout(10)
        seen = b""
        while not seen.endswith(b"}\n"):
            seen += client.socket.recv(65536)
    assert seen.count(b"HTTP/1.1 200 OK") == 2
    assert seen.count(b'"name":"annals"') == 1


def test_a_head_of_the_canonical_bytes_has_their_tag_and_length(shared: Tenant) -> None:
    workflow = shared.workflow()
    path = f"{shared.at(workflow)}/versions/current/data"
    head, got = shared.ana.request("HEAD", path), shared.ana.get(path)
    assert head.headers["etag"] == f'"{workflow["git_commit_hash"]}"'
    assert int(head.headers["content-length"]) == len(got.content)
    known = shared.ana.request("HEAD", path, headers={"if-none-match": head.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


def test_a_head_is_recorded_as_what_it_is(tenant: Tenant) -> None:
    ok(tenant.ana.request("HEAD", f"{tenant.path}/audit-logs", headers={"x-request-id": "only-the-head"}))
    tenant.server.flush_log()
    rows = tenant.server.database.rows
    audited = "SELECT action, http_method FROM audit_logs WHERE request_id = %s AND action <> 'LOGIN'"
    assert rows(audited, "only-the-head") == [("READ", "HEAD")]
    logged = "SELECT http_method, response_status FROM server_logs WHERE request_id = %s"
    assert rows(logged, "only-the-head") == [("HEAD", 200)]


@pytest.mark.parametrize("path", ["/check-in", "/versions/1/publish"])
def test_a_path_without_get_has_no_head(shared: Tenant, path: str) -> None:
    response = shared.ana.request("HEAD", shared.at(shared.workflow()) + path)
    assert (response.status_code, response.headers["allow"], response.content) == (405, "POST", b"")


def test_a_path_with_get_allows_head(server: Server) -> None:
    response = server.http.post("/livez")
    problem = refused(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "HEAD, GET"
    assert problem["detail"] == "POST does not apply to this path."
