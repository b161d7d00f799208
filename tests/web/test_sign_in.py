"""Signing in and out by pages, and the addresses that lead there and back."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.web.sign_in import MAX_PATH, own_path
from tests.support.api import Server, Tenant, ok
from tests.support.databases import Cluster
from tests.support.events import events
from tests.support.serving import serving
from tests.support.web import Browser

SAME = {"sec-fetch-site": "same-origin"}


def test_a_key_signs_in_and_leads_to_the_subscription(server: Server, tenant: Tenant) -> None:
    browser = Browser(server)
    form = browser.see("/sign-in").form("/sign-in")
    page = browser.send(form, follow=False, key=tenant.ana.key)
    assert (page.status, page.location) == (303, f"/s/{tenant.subscription_id}")


def test_nobody_is_led_to_the_sign_in_and_back(server: Server, tenant: Tenant) -> None:
    browser = Browser(server)
    asked = f"/s/{tenant.subscription_id}?x=1&y=%C3%A9%2F"
    page = browser.get(asked, follow=True)
    assert page.heading == "Sign in"
    again = browser.send(page.form("/sign-in"), key="wrong")
    assert (again.status, again.heading) == (401, "Sign in")
    assert browser.send(again.form("/sign-in"), follow=False, key=tenant.ana.key).location == asked


def test_spaces_around_a_pasted_key_do_no_harm(server: Server, tenant: Tenant) -> None:
    assert Browser(server).post("/sign-in", key=f" {tenant.ana.key}\r\n").status == 303


@pytest.mark.parametrize("key", ["wrong", "", "\0", "é" * 1000, "annals_x_y", "annals_" + "0" * 36])
def test_a_wrong_key_is_told_in_place(server: Server, key: str) -> None:
    page = Browser(server).post("/sign-in", key=key)
    assert (page.status, page.heading) == (401, "Sign in")
    assert "The API key is not known here." in page.words
    assert page.headers["www-authenticate"] == "Bearer"
    assert "set-cookie" not in page.headers


def test_signing_out_ends_the_session(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    cookie = browser.http.cookies["annals"]
    page = browser.post("/sign-out", follow=True)
    assert "You are signed out." in page.words
    assert "annals" not in browser.http.cookies
    browser.http.cookies.set("annals", cookie)
    again = browser.get("/", follow=True)
    assert (again.heading, "Your session has ended" in again.words) == ("Sign in", True)


def test_signing_out_twice_is_no_fault(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    cookie = browser.http.cookies["annals"]
    browser.post("/sign-out")
    browser.http.cookies.set("annals", cookie)
    page = browser.post("/sign-out")
    assert (page.status, page.location) == (303, "/sign-in?done=signed-out")
    assert len(events(tenant, resource_type="session", action="LOGOUT")) == 1


def test_a_page_that_can_not_be_seen_without_a_session_answers_a_form_with_401(
    server: Server, tenant: Tenant
) -> None:
    page = Browser(server).post(f"/s/{tenant.subscription_id}/resources")
    assert page.status in (401, 405)


# -- events and limits ------------------------------------------------------------------------------


def test_signing_in_and_out_are_events_with_address_and_agent(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ben)
    browser.post("/sign-out")
    found = [
        *events(tenant, resource_type="session", action="LOGIN"),
        *events(tenant, resource_type="session", action="LOGOUT"),
    ]
    assert [(each["action"], each["status"], each["username"]) for each in found] == [
        ("LOGIN", "success", "ben"),
        ("LOGOUT", "success", "ben"),
    ]
    assert {each["resource_id"] for each in found} == {found[0]["resource_id"]}
    assert {each["user_agent"] for each in found} == {"Browser of the tests"}
    assert {each["ip_address"] for each in found} == {"127.0.0.1"}
    assert [each["api_endpoint"] for each in found] == ["/sign-in", "/sign-out"]


def test_a_failed_sign_in_is_an_event_of_the_platform(server: Server) -> None:
    request_id = "sign-in-with-an-unknown-key"
    headers = SAME | server.another_address() | {"x-request-id": request_id}
    Browser(server).post("/sign-in", headers=headers, key="wrong")
    assert server.database.rows(
        "SELECT subscription_id, action, resource_type, status, username FROM audit_logs"
        " WHERE request_id = %s",
        request_id,
    ) == [(None, "LOGIN", "session", "unauthorized", None)]


def test_a_guess_at_a_known_key_is_an_event_of_its_subscription(server: Server, tenant: Tenant) -> None:
    assert tenant.ana.key is not None
    guess = tenant.ana.key[:-4] + "0000"
    Browser(server).post("/sign-in", headers=SAME | server.another_address(), key=guess)
    [found] = [each for each in events(tenant, action="LOGIN") if each["status"] == "unauthorized"]
    assert (found["resource_type"], found["resource_id"]) == ("api_key", str(tenant.ana.key_id))


def test_an_expired_key_signs_nobody_in_and_is_an_event_of_its_user(lone: Tenant) -> None:
    body = {"user_id": lone.ben.user_id, "name": "short", "expires_in_days": 1}
    key = ok(lone.server.operator.post(f"{lone.path}/api-keys", body), 201)["api_key"]
    _ = lone.aud
    with lone.server.clock.moved(days=1, minutes=1):
        page = Browser(lone.server).post("/sign-in", key=key)
        assert (page.status, "The API key has expired" in page.words) == (401, True)
        [found] = [each for each in events(lone, action="LOGIN") if each["status"] == "unauthorized"]
    assert (found["resource_type"], found["username"]) == ("session", "ben")


def test_failed_sign_ins_are_limited_and_another_address_is_not(cluster: Cluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path, failed_logins="3/minute") as server:
        tenant, address = Tenant(server), SAME | server.another_address()
        browser = Browser(server)
        assert [browser.post("/sign-in", headers=address, key="x").status for _ in range(4)] == [
            *(401, 401, 401, 429)
        ]
        page = browser.post("/sign-in", headers=address, key="x")
        assert (page.status, page.heading) == (429, "Sign in")
        assert int(page.headers["retry-after"]) > 0
        # The limit is that of calls with keys.
        call = server.http.get("/v1/whoami", headers=address | {"authorization": "Bearer x"})
        assert call.status_code == 429
        assert browser.post("/sign-in", headers=SAME | server.another_address(), key="x").status == 401
        # A right key is compared nevertheless: others behind the address have to get in.
        assert browser.post("/sign-in", headers=address, key=tenant.ana.key).status == 303


# -- where a sign-in leads --------------------------------------------------------------------------

ELSEWHERE = [
    *("https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example"),
    *("javascript:alert(1)", "/%0d%0aSet-Cookie:x=y\r\nX: y", "http:/s/x", "/sign-out", "/sign-in", "s/x"),
    *("/v1/whoami", "/docs", "/s/\\evil", "/s/x\ny", "/s/x\r\nX: y", "", "//s/x", "/s/" + "x" * MAX_PATH),
    *("https:/s/x", "/s", "///evil.example/s/", "/S/x", "/s\x00/x", "\u2215/s/x"),
]


@pytest.mark.parametrize("address", ELSEWHERE)
def test_a_sign_in_leads_to_no_other_address(server: Server, shared: Tenant, address: str) -> None:
    page = Browser(server).get("/sign-in", next=address)
    assert "next" not in page.form("/sign-in").fields
    led = Browser(server).post("/sign-in", key=shared.ana.key, next=address)
    assert led.location == f"/s/{shared.subscription_id}"


@given(st.text() | st.from_regex(r"[/\\:.a-z\t\n @?#%]{0,12}"))
def test_what_a_sign_in_leads_to_begins_as_a_page_does(text: str) -> None:
    found = own_path(text)
    assert found in ("", text)
    assert not found or re.match(r"/(s/|platform)[^\\\x00-\x1f]*\Z", found)


# -- transport --------------------------------------------------------------------------------------


def attributes_of(cookie: str) -> set[str]:
    return {part.strip() for part in cookie.split(";")[1:]}


def test_the_cookie_of_plain_http_on_this_machine_is_kept_from_scripts(
    server: Server, tenant: Tenant
) -> None:
    page = Browser(server).post("/sign-in", key=tenant.ana.key)
    cookie = page.headers["set-cookie"]
    assert re.match(r"annals=[\w-]{43};", cookie)
    assert attributes_of(cookie) == {"HttpOnly", "Max-Age=43200", "Path=/", "SameSite=lax"}


@pytest.mark.parametrize("host", ["annals.example", "10.0.0.7:8000", "127.0.0.1.evil.example", ""])
def test_over_plain_http_a_key_is_asked_for_on_this_machine_alone(
    server: Server, tenant: Tenant, host: str
) -> None:
    headers = {"host": host}
    page = Browser(server).get("/sign-in", headers=headers)
    assert (page.status, page.forms) == (403, [])
    assert "use HTTPS" in page.words
    posted = Browser(server).post("/sign-in", headers=headers | SAME, key=tenant.ana.key)
    assert (posted.status, "set-cookie" in posted.headers) == (403, False)
    assert Browser(server).get("/sign-in/link", headers=headers).status == 403


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"])
def test_over_plain_http_each_name_of_this_machine_takes_a_key(server: Server, host: str) -> None:
    assert Browser(server).see("/sign-in", headers={"host": host}).form("/sign-in")


def test_behind_a_trusted_proxy_the_cookie_is_bound_to_host_and_tls(server: Server, tenant: Tenant) -> None:
    over_tls = {"host": "annals.example", "x-forwarded-proto": "https"}
    page = Browser(server).post("/sign-in", headers=over_tls | SAME, key=tenant.ana.key)
    cookie = page.headers["set-cookie"]
    assert re.match(r"__Host-annals=[\w-]{43};", cookie)
    assert attributes_of(cookie) == {"HttpOnly", "Max-Age=43200", "Path=/", "SameSite=lax", "Secure"}
    token = cookie.partition(";")[0]
    there = Browser(server).get("/", headers=over_tls | {"cookie": token})
    assert there.location == f"/s/{tenant.subscription_id}"
    # The same token under the name that plain HTTP has is none.
    plain = token.removeprefix("__Host-")
    assert Browser(server).get("/", headers=over_tls | {"cookie": plain}).location == "/sign-in"


def test_with_an_https_public_url_every_cookie_is_bound_to_tls(cluster: Cluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path, public_url="https://annals.example") as server:
        tenant = Tenant(server)
        headers = SAME | {"host": "annals.example"}
        cookie = Browser(server).post("/sign-in", headers=headers, key=tenant.ana.key).headers["set-cookie"]
        assert cookie.startswith("__Host-annals=")
        assert "Secure" in attributes_of(cookie)
        out = Browser(server).post("/sign-out", headers=headers | {"cookie": cookie.partition(";")[0]})
        assert out.headers["set-cookie"].startswith('__Host-annals="";')
        assert "Secure" in attributes_of(out.headers["set-cookie"])


def test_a_sign_in_takes_no_token_that_the_browser_had_before(server: Server, tenant: Tenant) -> None:
    browser = Browser(server)
    browser.http.cookies.set("annals", "chosen-by-somebody-else")
    page = browser.post("/sign-in", key=tenant.ana.key)
    assert "chosen-by-somebody-else" not in page.headers["set-cookie"]
    thief = Browser(server)
    thief.http.cookies.set("annals", "chosen-by-somebody-else")
    assert thief.get("/").location == "/sign-in?done=session-ended"


def test_an_https_public_url_takes_no_key_under_another_name(cluster: Cluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path, public_url="https://annals.example") as server:
        tenant = Tenant(server)
        page = Browser(server).post("/sign-in", headers=SAME | {"host": "other.example"}, key=tenant.ana.key)
        assert (page.status, "set-cookie" in page.headers) == (403, False)
        assert "use HTTPS" in page.words
