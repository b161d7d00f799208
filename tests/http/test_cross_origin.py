"""Calls of web pages of other origins: which are allowed, by whom, and what an answer tells a browser."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.http.cross_origin import MAX_AGE_SECONDS, METHODS, SHOWN, TAKEN
from service.http.schemas.subscriptions import MAX_ORIGINS
from service.usecases import cors_origins
from tests.support.api import UNKNOWN, Caller, Server, Tenant, ok, pointers, refused
from tests.support.databases import Cluster
from tests.support.serving import serving

EDITOR = "https://editor.example.org"
OTHER = "https://other.example.org"
EVERYWHERE = "https://console.example.org"


def ask(server: Server, path: str, origin: str = EDITOR, method: str = "POST", **more: str) -> httpx.Response:
    """Send the preflight of a browser."""
    headers = {"origin": origin, "access-control-request-method": method}
    wanted = {"access-control-request-headers": "authorization,content-type,if-match"}
    return server.http.request("OPTIONS", path, headers=headers | wanted | more)


def names(header: str) -> set[str]:
    return {name.strip().lower() for name in header.split(",")}


def allows(response: httpx.Response, origin: str = EDITOR) -> bool:
    """Tell if a page of the origin may read the answer, or may call after a preflight."""
    assert "origin" in names(response.headers["vary"])
    assert "access-control-allow-credentials" not in response.headers
    allowed = response.headers.get("access-control-allow-origin")
    assert allowed in (None, origin)
    return allowed is not None


def open_to(tenant: Tenant, *origins: str, by: Caller | None = None) -> None:
    """Allow pages of these origins to call a subscription."""
    changed = ok((by or tenant.ana).patch(tenant.path, {"cors_origins": list(origins)}))
    assert changed["cors_origins"] == list(origins)


@pytest.fixture(scope="module")
def opened(server: Server) -> Tenant:
    """A subscription that pages of EDITOR may call."""
    tenant = Tenant(server, "opened")
    open_to(tenant, EDITOR)
    return tenant


# -- off until somebody says so ---------------------------------------------------------------------


def test_nobody_is_allowed_by_default(tenant: Tenant) -> None:
    assert ok(tenant.ana.get(tenant.path))["cors_origins"] == []
    problem = refused(ask(tenant.server, f"{tenant.path}/jobs"), 403, "origin_not_allowed")
    assert "cors_origins" in problem["detail"]
    response = tenant.ana.get(f"{tenant.path}/jobs", headers={"origin": EDITOR})
    assert response.status_code == 200
    assert not allows(response)


def test_a_call_of_no_page_has_no_such_headers(opened: Tenant) -> None:
    response = opened.ana.get(f"{opened.path}/jobs")
    assert [name for name in response.headers if name.startswith("access-control-")] == []
    assert "origin" in names(response.headers["vary"])


def test_options_of_no_browser_are_a_method_like_another(opened: Tenant) -> None:
    refused(opened.server.http.request("OPTIONS", f"{opened.path}/jobs"), 405, "method_not_allowed")
    half = {"origin": EDITOR}
    refused(
        opened.server.http.request("OPTIONS", f"{opened.path}/jobs", headers=half), 405, "method_not_allowed"
    )


# -- preflights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_page_may_ask_for_each_method_and_header(opened: Tenant, method: str) -> None:
    path = f"{opened.path}/workflows/{UNKNOWN}/versions"
    answer = ask(opened.server, path, method=method, **{"access-control-request-headers": ",".join(TAKEN)})
    assert (answer.status_code, answer.content) == (204, b"")
    assert allows(answer)
    assert method.lower() in names(answer.headers["access-control-allow-methods"])
    assert names(answer.headers["access-control-allow-headers"]) == {name.lower() for name in TAKEN}
    assert answer.headers["access-control-max-age"] == str(MAX_AGE_SECONDS)


def test_a_page_may_send_and_read_every_header_that_is_described(server: Server) -> None:
    described = server.app.openapi()["components"]
    assert {"If-Match", "If-None-Match", "Idempotency-Key"} <= set(described["parameters"]) <= set(TAKEN)
    assert {"ETag", "Link", "Retry-After"} <= set(described["headers"]) <= set(SHOWN)


def test_a_preflight_does_not_tell_which_subscriptions_exist(opened: Tenant, stranger: Tenant) -> None:
    def told(path: str, origin: str) -> tuple[object, ...]:
        answer = ask(opened.server, f"/v1/subscriptions/{path}", origin)
        problem = refused(answer, 403, "origin_not_allowed")
        varying = ("date", "x-request-id")
        headers = {name: value for name, value in answer.headers.items() if name not in varying}
        return problem | {"request_id": ""}, headers

    paths = (
        opened.subscription_id,
        stranger.subscription_id,
        UNKNOWN,
        "no-id",
        "%00",
        "",
        f"{UNKNOWN}/jobs/x",
    )
    assert len({repr(told(path, OTHER)) for path in paths}) == 1


def test_a_preflight_that_is_refused_has_a_row_of_the_server_log_and_no_other(opened: Tenant) -> None:
    for origin in (EDITOR, "https://row.example.org"):
        ask(opened.server, f"{opened.path}/jobs", origin, **{"x-request-id": "a-preflight"})
    opened.server.flush_log()
    rows = opened.server.database.rows(
        "SELECT http_method, response_status, subscription_id FROM server_logs"
        " WHERE request_id = 'a-preflight'"
    )
    assert rows == [("OPTIONS", 403, None)]


# -- answers ------------------------------------------------------------------------------------------


def test_a_page_reads_the_answer_and_its_headers(opened: Tenant) -> None:
    path = f"{opened.at(opened.workflow())}/versions"
    saved = opened.ana.post(path, {"data": {"n": 1}}, headers={"origin": EDITOR})
    assert saved.status_code == 201
    assert allows(saved)
    assert names(saved.headers["access-control-expose-headers"]) == {name.lower() for name in SHOWN}
    assert {"etag", "link", "retry-after", "ratelimit", "ratelimit-policy", "x-request-id"} <= names(
        saved.headers["access-control-expose-headers"]
    )


def test_a_page_reads_why_it_was_refused(opened: Tenant, stranger: Tenant) -> None:
    from_editor = {"origin": EDITOR}
    path = opened.at(opened.workflow())
    calls = {
        400: opened.ana.send(f"{path}/versions", b"{", **from_editor),
        401: opened.server.nobody.get(path, headers=from_editor),
        403: opened.vera.post(f"{path}/check-out", headers=from_editor),
        404: stranger.ana.get(path, headers=from_editor),
        405: opened.ana.put(path, headers=from_editor),
        412: opened.ana.post(f"{path}/versions", {"data": {}}, headers=from_editor | {"if-match": '"x"'}),
        413: opened.ana.send(f"{path}/versions", b"[" * 9_000_000, **from_editor),
        415: opened.ana.post(f"{path}/versions", content=b"x", headers=from_editor),
        422: opened.ana.post(f"{path}/versions", {}, headers=from_editor),
    }
    for status, answer in calls.items():
        assert answer.status_code == status
        assert allows(answer)


def test_a_page_of_another_origin_reads_nothing(opened: Tenant) -> None:
    for origin in (
        OTHER,
        "null",
        "https://editor.example.org.evil.example",
        f"{EDITOR}:444",
        "http://editor.example.org",
        "",
    ):
        answer = opened.ana.get(f"{opened.path}/jobs", headers={"origin": origin})
        assert answer.status_code == 200
        assert not allows(answer)
        assert ask(opened.server, f"{opened.path}/jobs", origin).status_code == 403


def test_a_limited_page_reads_when_to_come_back(cluster: Cluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path, key_rate="1/hour", cors_origins=EVERYWHERE) as server:
        headers = {"origin": EVERYWHERE}
        server.operator.get("/v1/whoami", headers=headers)
        answer = server.operator.get("/v1/whoami", headers=headers)
        assert answer.status_code == 429
        assert allows(answer, EVERYWHERE)
        assert answer.headers["retry-after"]


# -- a subscription's own origins -----------------------------------------------------------------------


def test_origins_of_one_subscription_are_not_anothers(opened: Tenant, stranger: Tenant) -> None:
    assert not allows(stranger.ana.get(f"{stranger.path}/jobs", headers={"origin": EDITOR}))
    assert ask(stranger.server, f"{stranger.path}/jobs").status_code == 403


def test_the_admin_and_the_operator_set_origins_and_nobody_else(tenant: Tenant) -> None:
    open_to(tenant, EDITOR, OTHER)
    open_to(tenant, OTHER, by=tenant.server.operator)
    for caller in (tenant.vera, tenant.ben, tenant.aud):
        refused(caller.patch(tenant.path, {"cors_origins": []}), 403, "forbidden")
    assert ok(tenant.ana.get(tenant.path))["cors_origins"] == [OTHER]


def test_a_change_of_origins_counts_at_once_and_is_a_data_change(tenant: Tenant) -> None:
    path = f"{tenant.path}/jobs"
    assert ask(tenant.server, path).status_code == 403
    open_to(tenant, EDITOR)
    assert ask(tenant.server, path).status_code == 204
    open_to(tenant)
    assert ask(tenant.server, path).status_code == 403
    changes = tenant.ana.pages(f"{tenant.path}/change-history", table_name="subscriptions")
    assert [change["diff"] for change in changes[:2]] == [
        [{"op": "remove", "path": "/cors_origins"}],
        [{"op": "add", "path": "/cors_origins", "value": [EDITOR]}],
    ]


def test_a_change_counts_in_another_process_after_seconds(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{tenant.path}/jobs"
    assert ask(tenant.server, path).status_code == 403
    tenant.server.database.value(
        "UPDATE subscriptions SET cors_origins = ARRAY[%s] WHERE subscription_id = %s RETURNING true",
        EDITOR,
        tenant.subscription_id,
    )
    assert ask(tenant.server, path).status_code == 403
    monkeypatch.setattr(cors_origins, "FRESH_SECONDS", 0.0)
    assert ask(tenant.server, path).status_code == 204


@pytest.mark.parametrize(
    "origin",
    [
        *("https://editor.example.org/", "https://editor.example.org/app", "https://Editor.example.org"),
        *("https://editor.example.org:443", "HTTPS://editor.example.org", "https://user@editor.example.org"),
        *("https://editor.example.org?x", "https://editor.example.org#x", "editor.example.org", "//editor"),
        *("http://editor.example.org", "ftp://editor.example.org", "file://", "null", "*", "https://*"),
        *("https://*.example.org", "https://büro.example.org", "", " ", "https://", "https://a b"),
        *(" https://editor.example.org", "https://editor.example.org\n", "https://x" + "x" * 300 + ".org"),
        *("http://127.0.0.2", "http://localhost.example.org", "https://[::1", "https://a.org:99999"),
    ],
)
def test_what_no_browser_sends_is_no_origin(shared: Tenant, origin: str) -> None:
    body = {"cors_origins": ["https://good.example.org", origin]}
    problem = refused(shared.ana.patch(shared.path, body), 422, "invalid")
    assert pointers(problem) == ["/cors_origins/1"]
    assert ok(shared.ana.get(shared.path))["cors_origins"] == []


@pytest.mark.parametrize(
    "origin",
    [
        *("https://editor.example.org:8443", "https://xn--bro-hoa.example.org", "https://10.0.0.1"),
        *("https://[2001:db8::1]:8443", "http://localhost:3000", "http://127.0.0.1", "http://[::1]:5173"),
    ],
)
def test_an_origin_as_browsers_send_it_is_allowed(tenant: Tenant, origin: str) -> None:
    open_to(tenant, origin)
    assert allows(ask(tenant.server, f"{tenant.path}/jobs", origin), origin)


def test_too_many_origins_and_other_types_are_refused(shared: Tenant) -> None:
    many = [f"https://e{number}.example.org" for number in range(MAX_ORIGINS + 1)]
    for wrong in (many, EDITOR, None, [1], [[EDITOR]], {"a": EDITOR}):
        refused(shared.ana.patch(shared.path, {"cors_origins": wrong}), 422, "invalid")


# -- the installation's origins -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def everywhere(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenant]:
    """A subscription of a server whose setting allows EVERYWHERE; the subscription allows EDITOR."""
    folder = tmp_path_factory.mktemp("everywhere")
    with serving(cluster, folder, cors_origins=f"{EVERYWHERE}, {OTHER}") as server:
        tenant = Tenant(server)
        open_to(tenant, EDITOR)
        yield tenant


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/subscriptions", "/v1/whoami", "/livez", "/v1/maintenance/jobs", "/v1/server-logs", "/nothing"),
        *("/git/{id}.git/info/refs", "/v1/subscriptions/{id}/close", "/v1/subscriptions/{id}/reopen"),
    ],
)
def test_what_is_not_the_subscriptions_is_open_by_the_setting_alone(everywhere: Tenant, path: str) -> None:
    path = path.format(id=everywhere.subscription_id)
    for origin in (EVERYWHERE, OTHER):
        assert ask(everywhere.server, path, origin).status_code == 204
        assert allows(everywhere.ana.get(path, headers={"origin": origin}), origin)
    assert ask(everywhere.server, path, EDITOR).status_code == 403
    assert not allows(everywhere.ana.get(path, headers={"origin": EDITOR}))


def test_the_setting_counts_beside_the_subscriptions_own(everywhere: Tenant) -> None:
    for origin in (EVERYWHERE, OTHER, EDITOR):
        assert allows(ask(everywhere.server, f"{everywhere.path}/jobs", origin), origin)
    assert allows(ask(everywhere.server, f"/v1/subscriptions/{UNKNOWN}", OTHER), OTHER)


# -- a database that is away ----------------------------------------------------------------------------


def test_a_page_reads_that_the_database_is_away(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(cluster, tmp_path) as server:
        tenant = Tenant(server)
        open_to(tenant, EDITOR)
        assert ask(server, f"{tenant.path}/jobs").status_code == 204
        monkeypatch.setattr(cors_origins, "FRESH_SECONDS", 0.0)
        cluster.drop(server.database)
        answer = tenant.ana.get(f"{tenant.path}/jobs", headers={"origin": EDITOR})
        refused(answer, 503, "database_unavailable")
        assert allows(answer)
        assert not allows(tenant.ana.get(f"{tenant.path}/jobs", headers={"origin": OTHER}), OTHER)
