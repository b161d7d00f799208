"""Subscriptions, users, keys: the callers of each call, and its answers."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest

from service.usecases.api_keys import ensure_operator_key
from sql.database import Database as ServiceDatabase
from tests.support.api import (
    OPERATOR_KEY,
    Caller,
    Clock,
    Server,
    Tenant,
    ok,
    pointers,
    refused,
    without_quotas,
)
from tests.support.databases import Cluster

SUBSCRIPTION_FIELDS = {
    *(
        "subscription_id",
        "name",
        "created_at",
        "git_url",
        "require_if_match",
        "cors_origins",
        "clone_after_purge",
    ),
    *("closed_at", "closed_by", "close_reason", "purge_after", "exported_at", "purged_at"),
}
USER_FIELDS = {"user_id", "username", "kind", "email", "role", "created_at", "updated_at"}
KEY_FIELDS = {"key_id", "user_id", "username", "name", "created_at", "expires_at"}


def test_a_new_subscription_says_where_to_clone_it(server: Server) -> None:
    made = ok(server.operator.post("/v1/subscriptions", {"name": "acme"}), 201)
    assert set(made) == SUBSCRIPTION_FIELDS
    assert made["name"] == "acme"
    assert UUID(made["subscription_id"]).version == 7
    assert made["git_url"].endswith(f"/git/{made['subscription_id']}.git")
    assert made["created_at"].endswith("Z")
    assert datetime.fromisoformat(made["created_at"]).utcoffset() == timedelta(0)


def test_a_subscription_is_read_as_it_was_made(tenant: Tenant) -> None:
    for caller in (tenant.server.operator, tenant.vera):
        assert without_quotas(ok(caller.get(tenant.path))) == tenant.subscription


def test_the_operator_lists_all_subscriptions_page_by_page(server: Server) -> None:
    made = [Tenant(server, f"acme {number}").subscription for number in range(5)]
    listed = server.operator.pages("/v1/subscriptions", limit=2)
    assert [item for item in listed if item in made] == made[::-1]
    assert len({item["subscription_id"] for item in listed}) == len(listed)


def test_a_user_lists_the_own_subscription_alone(tenant: Tenant, stranger: Tenant) -> None:
    assert tenant.vera.pages("/v1/subscriptions") == [tenant.subscription]


def test_a_user_is_made_changed_and_listed(tenant: Tenant) -> None:
    operator, path = tenant.server.operator, f"{tenant.path}/users"
    body = {"username": "zoë", "email": "zoe@example.org", "role": "viewer"}
    made = ok(operator.post(path, body), 201)
    assert set(made) == USER_FIELDS
    assert made | body == made
    changed = ok(operator.patch(f"{path}/{made['user_id']}", {"role": "editor"}))
    assert changed == made | {"role": "editor", "updated_at": changed["updated_at"]}
    again = ok(operator.patch(f"{path}/{made['user_id']}", {"email": "z@example.org"}))
    assert again == changed | {"email": "z@example.org", "updated_at": again["updated_at"]}
    assert operator.pages(path) == [again]


def test_a_change_without_fields_changes_nothing(tenant: Tenant) -> None:
    path = f"{tenant.path}/users/{tenant.vera.user_id}"
    before = tenant.ana.pages(f"{tenant.path}/users")
    changed = ok(tenant.ana.patch(path, {}))
    assert changed | {"updated_at": ""} == next(
        user | {"updated_at": ""} for user in before if user["username"] == "vera"
    )


def test_a_changed_role_counts_from_the_next_request_on(tenant: Tenant) -> None:
    refused(tenant.vera.post(f"{tenant.path}/workspaces", {"name": "w"}), 403, "forbidden")
    ok(tenant.ana.patch(f"{tenant.path}/users/{tenant.vera.user_id}", {"role": "editor"}))
    ok(tenant.vera.post(f"{tenant.path}/workspaces", {"name": "w"}), 201)


@pytest.mark.parametrize("call", ["patch", "delete"])
@pytest.mark.parametrize("user_id", ["019a0000-0000-7000-8000-000000000000", "nobody", "a%00b"])
def test_a_user_that_is_not_there_is_404(shared: Tenant, call: str, user_id: str) -> None:
    body = {"role": "viewer"} if call == "patch" else None
    response = shared.ana.request(call.upper(), f"{shared.path}/users/{user_id}", body)
    refused(response, 404, "user_not_found")


def test_anothers_user_is_404(tenant: Tenant, stranger: Tenant) -> None:
    path = f"{tenant.path}/users/{stranger.vera.user_id}"
    refused(tenant.ana.patch(path, {"role": "admin"}), 404, "user_not_found")
    refused(tenant.ana.delete(path), 404, "user_not_found")
    body = {"user_id": stranger.vera.user_id, "name": "stolen"}
    refused(tenant.ana.post(f"{tenant.path}/api-keys", body), 404, "user_not_found")
    assert ok(stranger.vera.get("/v1/whoami"))["role"] == "viewer"


def test_a_username_is_taken_once_in_a_subscription(tenant: Tenant, stranger: Tenant) -> None:
    body = {"username": "ana", "email": "other@example.org", "role": "viewer"}
    assert tenant.ana.username == "ana"
    problem = refused(tenant.ana.post(f"{tenant.path}/users", body), 409, "username_taken")
    assert pointers(problem) == ["/username"]
    ok(stranger.server.operator.post(f"{stranger.path}/users", body), 201)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"kind": "robot"}, "/kind"),
        ({"kind": "service"}, "/email"),
        ({"username": ""}, "/username"),
        ({"username": " ana"}, "/username"),
        ({"username": "a\nb"}, "/username"),
        ({"username": "<ana>"}, "/username"),
        ({"username": "x" * 101}, "/username"),
        ({"username": 7}, "/username"),
        ({"username": "Operator"}, "/username"),
        ({"username": "\uff4f\uff50\uff45\uff52\uff41\uff54\uff4f\uff52"}, "/username"),
        ({"username": "system"}, "/username"),
        ({"username": "SYSTEM retention"}, "/username"),
        ({"username": "\u0301ana"}, "/username"),
        ({"username": "ana-\u0301b"}, "/username"),
        ({"username": "an\u200da"}, "/username"),
        ({"username": "an\ufe0fa"}, "/username"),
        ({"username": "an\u034fa"}, "/username"),
        ({"username": "an\u20dda"}, "/username"),
        ({"email": "nobody"}, "/email"),
        ({"email": None}, "/email"),
        ({"role": "operator"}, "/role"),
        ({"role": "root"}, "/role"),
        ({"colour": "blue"}, "/colour"),
    ],
)
def test_a_user_that_breaks_a_rule_is_refused(shared: Tenant, change: object, pointer: str) -> None:
    assert isinstance(change, dict)
    body = {"username": "zed", "email": "zed@example.org", "role": "viewer"} | change
    problem = refused(shared.ana.post(f"{shared.path}/users", body), 422, "invalid")
    assert pointers(problem) == [pointer]


def test_a_key_shows_its_secret_once(tenant: Tenant) -> None:
    path = f"{tenant.path}/api-keys"
    body = {"user_id": tenant.ben.user_id, "name": "build server", "expires_in_days": 7}
    made = ok(tenant.ana.post(path, body), 201)
    assert set(made) == KEY_FIELDS | {"api_key", "secret_shown"}
    assert made.pop("secret_shown") is True
    life = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert life == timedelta(days=7)
    secret = made.pop("api_key")
    listed = tenant.ana.get(path)
    assert listed.json()["items"][0] == made
    assert secret not in listed.text
    assert all(set(item) == KEY_FIELDS for item in listed.json()["items"])
    stored = tenant.server.database.rows(
        "SELECT row_to_json(k)::text FROM api_keys k WHERE key_id = %s", made["key_id"]
    )
    assert secret not in str(stored)
    audit = tenant.server.database.rows(
        "SELECT row_to_json(a)::text FROM audit_logs a WHERE resource_id = %s", made["key_id"]
    )
    assert len(audit) == 1
    assert secret not in str(audit)
    assert ok(Caller(tenant.server, secret).get("/v1/whoami"))["username"] == "ben"


def test_keys_are_listed_page_by_page(tenant: Tenant) -> None:
    body = {"user_id": tenant.ana.user_id, "name": "k"}
    for _ in range(4):
        ok(tenant.ana.post(f"{tenant.path}/api-keys", body), 201)
    listed = tenant.ana.pages(f"{tenant.path}/api-keys", limit=2)
    assert len({key["key_id"] for key in listed}) == 5
    assert listed == tenant.ana.pages(f"{tenant.path}/api-keys")


def test_users_are_listed_page_by_page(tenant: Tenant) -> None:
    names = [user.username for user in (tenant.ana, tenant.ben, tenant.vera, tenant.aud)]
    for limit in (1, 2, 3, 4):
        listed = tenant.ana.pages(f"{tenant.path}/users", limit=limit)
        assert [user["username"] for user in listed] == names[::-1]


@pytest.mark.parametrize("days", [0, -1, 3651, 1.5, "7", True])
def test_the_life_of_a_key_is_a_number_of_days(shared: Tenant, days: object) -> None:
    body = {"user_id": shared.ana.user_id, "name": "k", "expires_in_days": days}
    problem = refused(shared.ana.post(f"{shared.path}/api-keys", body), 422, "invalid")
    assert pointers(problem) == ["/expires_in_days"]


def test_a_deleted_key_stops_at_once(tenant: Tenant) -> None:
    path = f"{tenant.path}/api-keys"
    key = ok(tenant.ana.post(path, {"user_id": tenant.ben.user_id, "name": "k"}), 201)
    caller = Caller(tenant.server, key["api_key"])
    ok(caller.get("/v1/whoami"))
    ok(tenant.ana.delete(f"{path}/{key['key_id']}"), 204)
    assert refused_as_unknown(caller)
    refused(tenant.ana.delete(f"{path}/{key['key_id']}"), 404, "key_not_found")


def test_anothers_key_is_404(tenant: Tenant, stranger: Tenant) -> None:
    [key] = [k for k in stranger.ana.pages(f"{stranger.path}/api-keys") if k["username"] == "ana"]
    refused(tenant.ana.delete(f"{tenant.path}/api-keys/{key['key_id']}"), 404, "key_not_found")
    ok(stranger.ana.get("/v1/whoami"))


def test_an_expired_key_is_401(tenant: Tenant) -> None:
    body = {"user_id": tenant.ben.user_id, "name": "k", "expires_in_days": 1}
    caller = Caller(tenant.server, ok(tenant.ana.post(f"{tenant.path}/api-keys", body), 201)["api_key"])
    with tenant.server.clock.moved(hours=23):
        ok(caller.get("/v1/whoami"))
    with tenant.server.clock.moved(hours=25):
        assert "expired" in refused_as_unknown(caller)


def refused_as_unknown(caller: Caller) -> str:
    """Answer to a caller without a valid key."""
    response = caller.get("/v1/whoami")
    problem = refused(response, 401, "unauthenticated")
    assert response.headers["www-authenticate"] == "Bearer"
    return str(problem["detail"])


@pytest.mark.parametrize(
    "credentials",
    [
        "",
        "Bearer",
        "Bearer garbage",
        "Bearer annals_",
        "Bearer annals_00000000000000000000000000000000_x",
        "Bearer annals_zz000000000000000000000000000000_x",
        f"Bearer {OPERATOR_KEY}x",
        f"Basic {OPERATOR_KEY}",
        "Basic Z2l0OnNlY3JldA==",
        "Digest x",
        "\xe9\xff",
        "Bearer \xe9\xff",
    ],
)
def test_credentials_that_are_none_are_401(server: Server, credentials: str) -> None:
    headers = [(b"authorization", credentials.encode("latin-1"))]
    response = server.http.get("/v1/whoami", headers=headers)
    refused(response, 401, "unauthenticated")
    assert response.headers["www-authenticate"] == "Bearer"


def test_a_key_with_another_secret_is_401(tenant: Tenant) -> None:
    assert tenant.ana.key is not None
    refused_as_unknown(Caller(tenant.server, tenant.ana.key[:-1] + "~"))


def test_a_deleted_user_leaves_only_its_name_in_history(tenant: Tenant) -> None:
    workflow = tenant.workflow(by=tenant.ben)
    tenant.check_out(workflow, tenant.ben)
    ok(tenant.ana.delete(f"{tenant.path}/users/{tenant.ben.user_id}"), 204)

    refused_as_unknown(tenant.ben)
    assert "ben" not in [user["username"] for user in tenant.ana.pages(f"{tenant.path}/users")]
    assert "ben" not in [key["username"] for key in tenant.ana.pages(f"{tenant.path}/api-keys")]
    assert ok(tenant.ana.get(tenant.at(workflow)))["checked_out_by"] is None
    tenant.check_out(workflow, tenant.ana)
    version = ok(tenant.ana.get(f"{tenant.at(workflow)}/versions/1"))
    assert version["created_by_username"] == "ben"
    assert version["created_by"] == tenant.ben.user_id
    assert tenant.git("log", "-1", "--format=%an").strip() == "ben"
    rows = tenant.server.database.rows(
        "SELECT release_kind, released_by::text FROM check_outs WHERE checked_out_by = %s", tenant.ben.user_id
    )
    assert rows == [("user_deleted", tenant.ana.user_id)]


def test_a_deleted_users_name_can_be_given_again(tenant: Tenant) -> None:
    ok(tenant.ana.delete(f"{tenant.path}/users/{tenant.ben.user_id}"), 204)
    refused(tenant.ana.delete(f"{tenant.path}/users/{tenant.ben.user_id}"), 404, "user_not_found")
    assert tenant.user("ben", "viewer").user_id != tenant.ben.user_id


@pytest.mark.parametrize("name", ["ana", "ben", "vera", "aud"])
def test_whoami_names_the_user(shared: Tenant, name: str) -> None:
    caller = shared.caller(name)
    role = {"ana": "admin", "ben": "editor", "vera": "viewer", "aud": "auditor"}[name]
    assert ok(caller.get("/v1/whoami")) == {
        "user_id": caller.user_id,
        "username": name,
        "kind": "human",
        "role": role,
        "subscription_id": shared.subscription_id,
    }


def test_whoami_names_the_operator(server: Server) -> None:
    assert ok(server.operator.get("/v1/whoami")) == {
        "user_id": None,
        "username": "operator",
        "kind": None,
        "role": "operator",
        "subscription_id": None,
    }


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 256, None, 7])
def test_a_subscriptions_name_is_one_line(server: Server, name: object) -> None:
    problem = refused(server.operator.post("/v1/subscriptions", {"name": name}), 422, "invalid")
    assert pointers(problem) == ["/name"]


def test_an_operators_key_is_made_once_and_a_chosen_one_takes_its_place(cluster: Cluster) -> None:
    database, clock = cluster.migrated(), Clock()
    pool = ServiceDatabase(database.url, pool_size=1)
    try:
        made = ensure_operator_key(pool, clock, None)
        assert made is not None
        assert made.startswith("annals_")
        assert ensure_operator_key(pool, clock, None) is None
        first = database.value("SELECT secret_hash FROM api_keys")
        assert ensure_operator_key(pool, clock, OPERATOR_KEY) is None
        second = database.value("SELECT secret_hash FROM api_keys")
        assert ensure_operator_key(pool, clock, OPERATOR_KEY) is None
        assert database.value("SELECT secret_hash FROM api_keys") == second != first
        recorded = database.rows(
            "SELECT action, username, resource_type, resource_name, subscription_id FROM audit_logs"
            " ORDER BY created_at"
        )
        about = ("system:start", "api_key", "operator", None)
        assert recorded == [("CREATE", *about), ("UPDATE", *about)]
    finally:
        pool.close()


def test_a_changed_operators_key_stops_the_old_one(server: Server) -> None:
    other = "another-operators-key-0123456789-0123456789"
    context = server.context
    ensure_operator_key(context.database, server.clock, other)
    try:
        refused_as_unknown(server.operator)
        assert ok(Caller(server, other).get("/v1/whoami"))["role"] == "operator"
    finally:
        ensure_operator_key(context.database, server.clock, OPERATOR_KEY)
    ok(server.operator.get("/v1/whoami"))
