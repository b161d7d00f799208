"""Security of all pages: forms of other sites, other origins, and secrets that no log has."""

import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from psycopg import sql

from service.http.audited_operations import declared
from service.http.requests import is_of_pages
from service.web.app import ROUTERS
from tests.support.api import UNKNOWN, Server, Tenant
from tests.support.databases import Cluster
from tests.support.full_policies import fully_audited
from tests.support.printed_log import printed_log
from tests.support.serving import serving
from tests.support.web import SAME_ORIGIN, Browser, offered

ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
METHODS = {id(route): route.methods or set() for route in ROUTES}
POSTS = sorted(route.path for route in ROUTES if "POST" in METHODS[id(route)])
GETS = sorted(route.path for route in ROUTES if "GET" in METHODS[id(route)])
REFUSED = "This form was not sent by a page of Annals."
FORGED: dict[str, dict[str, str]] = {
    "cross-site": {"sec-fetch-site": "cross-site"},
    "same-site": {"sec-fetch-site": "same-site"},
    "none": {"sec-fetch-site": "none"},
    "nonsense": {"sec-fetch-site": "Same-Origin"},
    "no header at all": {},
    "another origin": {"origin": "https://evil.example"},
    "another port": {"origin": "http://127.0.0.1:1"},
    "an opaque origin": {"origin": "null"},
    "no address": {"origin": "http://["},
    "own origin, but cross-site": {"sec-fetch-site": "cross-site", "origin": "{own}"},
}


def address(path: str, subscription_id: str) -> str:
    """Address of a route in a subscription, with the id of nothing for everything else."""
    path = path.replace("{subscription_id}", subscription_id).replace("{collection:collection}", "workflows")
    return re.sub(r"\{[^}]+\}", UNKNOWN, path)


def test_every_page_is_served_under_the_addresses_of_pages() -> None:
    assert POSTS
    assert [path for path in POSTS if not is_of_pages(path)] == []
    assert {path for path in GETS if not is_of_pages(path)} == {"/", "/static/{name}"}


def test_every_form_declares_the_operation_that_it_attempts() -> None:
    missing = [
        route.path for route in ROUTES if "POST" in METHODS[id(route)] and declared(route.endpoint) is None
    ]
    assert missing == []


def test_a_page_takes_no_other_method() -> None:
    assert set().union(*METHODS.values()) <= {"GET", "POST"}
    assert not [route.path for route in ROUTES if route.include_in_schema]


@pytest.mark.parametrize("how", FORGED)
def test_a_form_of_another_site_is_refused_by_every_page(server: Server, shared: Tenant, how: str) -> None:
    browser = Browser(server).sign_in(shared.ana)
    headers = {name: value.format(own=server.url) for name, value in FORGED[how].items()}
    for path in POSTS:
        page = browser.post(address(path, shared.subscription_id), headers=headers, key=shared.ana.key)
        assert (page.status, REFUSED in page.words) == (403, True), path
    # The session is still there: no sign-out was carried out.
    assert browser.get("/").location == f"/s/{shared.subscription_id}"


@pytest.mark.parametrize("headers", [SAME_ORIGIN, {"origin": "{own}"}])
def test_a_form_of_an_own_page_is_taken_by_every_page(
    server: Server, shared: Tenant, headers: dict[str, str]
) -> None:
    sent = {name: value.format(own=server.url) for name, value in headers.items()}
    for path in POSTS:
        page = Browser(server).post(address(path, shared.subscription_id), headers=sent)
        # Without a session it is refused for that; to sign out needs none.
        assert page.status == (303 if path == "/sign-out" else 401), path


def test_over_tls_an_origin_of_plain_http_is_another(cluster: Cluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path, public_url="https://annals.example") as server:
        host = {"host": "annals.example"}
        plain = Browser(server).post("/sign-out", headers=host | {"origin": "http://annals.example"})
        secure = Browser(server).post("/sign-out", headers=host | {"origin": "https://annals.example"})
        assert (plain.status, secure.status) == (403, 303)


def test_every_page_asks_for_a_session(server: Server, shared: Tenant) -> None:
    for path in GETS:
        if not path.startswith(("/sign-", "/static/")):
            page = Browser(server).get(address(path, shared.subscription_id))
            assert (page.status, page.location.partition("?")[0]) == (303, "/sign-in"), path


def test_another_tenants_pages_are_the_page_of_one_that_does_not_exist(
    server: Server, shared: Tenant, stranger: Tenant
) -> None:
    browser = Browser(server).sign_in(shared.ana)
    for path in GETS:
        if "{subscription_id}" in path:
            found = [browser.get(address(path, each)) for each in (stranger.subscription_id, UNKNOWN, "x")]
            assert [page.status for page in found] == [404] * 3, path
            told = {
                page.root.one("div", role="alert").text.replace(page.headers["x-request-id"], "")
                for page in found
            }
            assert len(told) == 1, path


def test_to_look_at_a_page_changes_nothing(server: Server, tenant: Tenant) -> None:
    workflow = tenant.workflow()
    browser = Browser(server).sign_in(tenant.ana)
    before = tenant.footprint()
    for path in GETS:
        there = address(path, tenant.subscription_id).replace(UNKNOWN, workflow["resource_id"])
        for query in ("", "?confirm=true&force=true&permanent=true&ref=1&to=1&from=1&done=x"):
            assert browser.get(there + query).status < 500, (path, query)
    assert tenant.footprint() == before


def test_no_page_is_open_to_another_origin(cluster: Cluster, tmp_path: Path) -> None:
    origin = "https://page.example.org"
    with serving(cluster, tmp_path, cors_origins=origin) as server:
        tenant = Tenant(server)
        browser = Browser(server).sign_in(tenant.ana)
        assert "access-control-allow-origin" in server.http.get("/livez", headers={"origin": origin}).headers
        for path in (f"/s/{tenant.subscription_id}", "/sign-in", "/platform"):
            page = browser.get(path, headers={"origin": origin})
            assert "access-control-allow-origin" not in page.headers
            asked = {"origin": origin, "access-control-request-method": "POST"}
            preflight = browser.http.request("OPTIONS", path, headers=asked)
            assert preflight.status_code == 403
            assert "access-control-allow-origin" not in preflight.headers


# -- what the logs have ------------------------------------------------------------------------------


def test_a_page_has_a_row_of_the_server_log_with_its_user_and_a_file_has_none(
    server: Server, tenant: Tenant
) -> None:
    browser = Browser(server).sign_in(tenant.ben)
    page = browser.see("/sign-in")
    for link in page.root.all("link", "script"):
        assert browser.http.get(link.get("href") or link["src"]).status_code == 200
    shown = browser.get(f"/s/{tenant.subscription_id}")
    server.flush_log()
    found = server.database.rows(
        "SELECT user_id::text, subscription_id::text, auth_method, endpoint FROM server_logs"
        " WHERE request_id = %s",
        shown.headers["x-request-id"],
    )
    assert found == [(tenant.ben.user_id, tenant.subscription_id, "session", f"/s/{tenant.subscription_id}")]
    assert (
        server.database.rows(
            "SELECT 1 FROM server_logs WHERE endpoint LIKE '/static/%%' AND response_status < 400"
        )
        == []
    )
    metrics = server.http.get("/metrics").text
    assert 'route="/s/{subscription_id}"' in metrics


def dump(server: Server, table: str) -> list[Any]:
    """All rows of a table as texts."""
    with server.database.connection() as connection:
        return connection.execute(
            sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table))
        ).fetchall()


def test_no_log_has_a_key_a_token_or_a_form(server: Server) -> None:
    secret = "swordfish-4711"
    with printed_log("debug") as printed, fully_audited(server, "secrets") as tenant:
        browser = Browser(server)
        link, key = offered(tenant), tenant.ana.key
        assert key is not None
        tokens = [link, key]
        browser.post("/sign-in/link", token=link)
        tokens.append(browser.http.cookies["annals"])
        browser.post("/sign-in", key=key, next=f"/s/{tenant.subscription_id}/x")
        tokens.append(browser.http.cookies["annals"])
        base = f"/s/{tenant.subscription_id}"
        browser.post("/sign-in", key=key[:-3] + "000")
        for path in POSTS:
            if path.startswith("/s/"):
                browser.post(address(path, tenant.subscription_id), secret=secret)
                headers = SAME_ORIGIN | {"content-type": "application/json"}
                sent = browser.http.post(
                    address(path, tenant.subscription_id), content=f'{{"x": "{secret}"}}', headers=headers
                )
                assert sent.status_code == 415
        browser.get(f"{base}/nothing", headers={"referer": f"{server.url}/sign-in/link"})
        browser.post("/sign-out")
        server.flush_log()
        metrics = server.http.get("/metrics").text
    logs = [
        str(row)
        for table in ("server_logs", "audit_logs", "data_change_history", "web_sessions", "sign_in_links")
        for row in dump(server, table)
    ]
    text = "\n".join((*logs, printed.getvalue(), metrics))
    assert "/sign-in/link" in text
    assert [each for each in (*tokens, secret) if each in text or each.encode().hex() in text] == []
