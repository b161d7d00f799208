"""The isolation of subscriptions; `test_role_matrix` has what each role may call."""

from base64 import b64encode
from typing import Any
from uuid import uuid4

import pytest

from service.http.auth import headers
from tests.support.api import COLLECTIONS, Caller, Server, Tenant, ok, refused


@pytest.mark.parametrize("name", ["vera", "ben", "aud", "ana"])
def test_the_operator_alone_makes_subscriptions(shared: Tenant, name: str) -> None:
    refused(shared.caller(name).post("/v1/subscriptions", {"name": "mine"}), 403, "forbidden")


def test_a_subscription_that_is_not_there_is_404_to_the_operator(server: Server) -> None:
    for unknown in (str(uuid4()), "nobody", "%00"):
        path = f"/v1/subscriptions/{unknown}"
        refused(server.operator.get(path), 404, "subscription_not_found")
        refused(server.operator.get(f"{path}/users"), 404, "subscription_not_found")


def routes(server: Server) -> list[tuple[str, str]]:
    """Every method and path that the server describes below a subscription, and those of git."""
    found = [
        (method.upper(), path)
        for path, methods in server.app.openapi()["paths"].items()
        if "{subscription_id}" in path
        for method in methods
    ]
    assert len(found) > 25
    assert any(path.startswith("/git/") for _, path in found)
    return found


def filled(path: str, tenant: Tenant, ids: dict[str, str]) -> list[str]:
    """Path with the ids of a tenant's objects, for each collection that it can name."""
    values: dict[str, Any] = {"subscription_id": tenant.subscription_id, "ref": "1", **ids}
    if "{collection}" not in path:
        return [path.format(**values)]
    return [
        path.format(**values | {"collection": collection, "resource_id": ids[collection]})
        for collection in COLLECTIONS
    ]


@pytest.fixture(scope="module")
def victim(server: Server) -> tuple[Tenant, dict[str, str]]:
    """Subscription that has one object of each kind, and their ids."""
    tenant = Tenant(server, "victim")
    ids = {collection: str(tenant.make(collection)["resource_id"]) for collection in COLLECTIONS}
    [key] = tenant.ana.pages(f"{tenant.path}/api-keys")
    deletion = tenant.remove(tenant.workflow())
    more = {"user_id": tenant.ana.user_id, "key_id": key["key_id"], "deletion_id": deletion["deletion_id"]}
    hold = ok(tenant.ana.post(f"{tenant.path}/holds", {"reason": "x", "user_id": tenant.ben.user_id}), 201)
    more |= {"moment": deletion["git_commit_hash"], "hold_id": hold["hold_id"], "execution_id": "1"}
    return tenant, ids | more


def knock(caller: Caller, method: str, path: str) -> Any:
    """Call a route by its own protocol."""
    if not path.startswith("/git/"):
        return caller.request(method, path, {} if method in ("POST", "PATCH") else None)
    headers = {} if caller.key is None else {"authorization": f"Basic {basic(caller.key)}"}
    query = {"service": "git-upload-pack"} if method == "GET" else None
    return caller.request(method, path, headers=headers, params=query)


def basic(key: str) -> str:
    return b64encode(f"git:{key}".encode()).decode()


def test_anothers_key_finds_nothing_on_any_route(
    server: Server, victim: tuple[Tenant, dict[str, str]], stranger: Tenant
) -> None:
    tenant, ids = victim
    before = tenant.footprint()
    for method, template in routes(server):
        for path in filled(template, tenant, ids):
            for caller in (stranger.ana, stranger.vera):
                refused(knock(caller, method, path), 404, "subscription_not_found")
    assert tenant.footprint() == before


@pytest.mark.parametrize("key", [None, "annals_garbage"])
def test_no_route_answers_without_a_key(
    server: Server,
    victim: tuple[Tenant, dict[str, str]],
    key: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(headers, "FAILED_LOGIN_SECONDS", 0)
    tenant, ids = victim
    before = tenant.footprint()
    for method, template in routes(server):
        for path in filled(template, tenant, ids):
            response = knock(Caller(server, key), method, path)
            refused(response, 401, "unauthenticated")
            scheme = "Basic" if path.startswith("/git/") else "Bearer"
            assert response.headers["www-authenticate"].startswith(scheme)
    assert tenant.footprint() == before


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_anothers_resource_is_not_found_through_the_own_subscription(
    victim: tuple[Tenant, dict[str, str]], stranger: Tenant, collection: str
) -> None:
    path = f"{stranger.path}/{collection}/{victim[1][collection]}"
    for method, rest, body in (
        ("GET", "", None),
        ("GET", "/versions", None),
        ("GET", "/versions/1", None),
        ("GET", "/versions/1/data", None),
        ("POST", "/versions", {"data": {}}),
        ("POST", "/check-out", {}),
        ("POST", "/check-in", {}),
        ("POST", "/rollback", {"to": 1}),
        ("DELETE", "/check-out", None),
        ("DELETE", "/check-out?force=true", None),
        ("GET", "/diff", None),
        ("GET", "/versions/1/comments", None),
        ("GET", "/references", None),
        ("PATCH", "", {"name": "x"}),
        ("DELETE", "", None),
        ("DELETE", "?permanent=true", None),
        ("POST", "/versions/1/comments", {"text": "x"}),
        ("POST", "/versions/1/publish", None),
        ("POST", "/versions/1/unpublish", None),
        ("PUT", "/versions/1/tag", {"tag": "v1"}),
        ("DELETE", "/versions/1/tag", None),
    ):
        refused(stranger.ana.request(method, path + rest, body), 404, "resource_not_found")


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_anothers_resource_is_no_item_and_no_root(
    victim: tuple[Tenant, dict[str, str]], stranger: Tenant, collection: str
) -> None:
    tenant, ids = victim
    kind = collection.removesuffix("s")
    before = tenant.footprint()
    item = {"resource_type": kind, "resource_id": ids[collection], "data": {"stolen": True}}
    response = stranger.ana.post(f"{stranger.path}/check-ins", {"items": [item]})
    refused(response, 404, "resource_not_found")
    if collection in ("workspaces", "folders"):
        body = {"to": "2026-01-01T00:00:00Z", f"{kind}_id": ids[collection]}
        refused(stranger.ana.post(f"{stranger.path}/rollback", body), 404, "resource_not_found")
    assert tenant.footprint() == before


def test_who_may_only_read_changes_nothing_on_any_route(
    server: Server, victim: tuple[Tenant, dict[str, str]]
) -> None:
    tenant, ids = victim
    callers = [tenant.vera, tenant.aud]
    before = tenant.footprint()
    for method, template in routes(server):
        if method == "GET" or template.startswith("/git/"):
            continue
        for path in filled(template, tenant, ids):
            for caller in callers:
                refused(knock(caller, method, path), 403, "forbidden")
    assert tenant.footprint() == before
