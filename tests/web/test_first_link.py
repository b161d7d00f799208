"""The link that a first start prints: it signs its reader in once, within ten minutes."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.support.api import Server, Tenant, ok
from tests.support.events import events
from tests.support.running_server import running
from tests.support.web import SAME_ORIGIN, Browser, Page, offered


def spend(server: Server, token: str) -> int:
    return Browser(server).post("/sign-in/link", token=token).status


def test_the_page_behind_a_link_has_one_button_and_sends_the_token_by_post(
    server: Server, tenant: Tenant
) -> None:
    browser = Browser(server)
    page = browser.see("/sign-in/link")
    form = page.form("/sign-in/link")
    assert (form.method, form.fields, len(page.root.all("button"))) == ("POST", {"token": [""]}, 1)
    signed_in = browser.send(form, follow=False, token=offered(tenant))
    assert signed_in.location == f"/s/{tenant.subscription_id}"
    assert browser.get("/").location == f"/s/{tenant.subscription_id}"


def test_to_look_at_the_page_spends_nothing(server: Server, tenant: Tenant) -> None:
    token = offered(tenant)
    for _ in range(3):
        Browser(server).see("/sign-in/link")
    assert spend(server, token) == 303


def test_a_link_signs_in_once_and_the_second_reader_is_told(server: Server, tenant: Tenant) -> None:
    token = offered(tenant)
    assert spend(server, token) == 303
    page = Browser(server).post("/sign-in/link", token=token)
    assert page.status == 401
    assert "The link was used already, or is older than ten minutes: sign in with a key." in page.words
    assert browser_signs_in(server, page, tenant)


def browser_signs_in(server: Server, page: Page, tenant: Tenant) -> bool:
    """Tell if the page has the form that takes a key."""
    return Browser(server).send(page.form("/sign-in"), follow=False, key=tenant.ana.key).status == 303


def test_of_many_readers_at_once_one_is_signed_in(server: Server, tenant: Tenant) -> None:
    token = offered(tenant)
    with ThreadPoolExecutor(8) as readers:
        found = sorted(readers.map(lambda _: spend(server, token), range(8)))
    assert found == [303, *([401] * 7)]
    assert (
        server.database.value("SELECT count(*) FROM web_sessions WHERE key_id = %s", tenant.ana.key_id) == 1
    )


def test_a_link_ends_after_ten_minutes(lone: Tenant) -> None:
    early, late = offered(lone), offered(lone)
    with lone.server.clock.moved(minutes=9, seconds=50):
        assert spend(lone.server, early) == 303
    with lone.server.clock.moved(minutes=10, seconds=1):
        assert spend(lone.server, late) == 401


def test_a_link_ends_with_its_key(server: Server, tenant: Tenant) -> None:
    token = offered(tenant, tenant.ben)
    ok(tenant.ana.delete(f"{tenant.path}/api-keys/{tenant.ben.key_id}"), 204)
    assert spend(server, token) == 401


def test_a_wrong_token_is_a_failed_login_and_an_event(server: Server) -> None:
    headers = SAME_ORIGIN | server.another_address() | {"x-request-id": "a-guess-at-a-link"}
    for token in ("", "x" * 43, "é"):
        assert Browser(server).post("/sign-in/link", headers=headers, token=token).status == 401
    found = server.database.rows(
        "SELECT action, resource_type, status FROM audit_logs WHERE request_id = 'a-guess-at-a-link'"
    )
    assert found == [("LOGIN", "session", "unauthorized")]


def test_a_sign_in_by_a_link_is_an_event_as_another(server: Server, tenant: Tenant) -> None:
    spend(server, offered(tenant))
    [found] = events(tenant, resource_type="session", action="LOGIN")
    assert (found["username"], found["status"], found["api_endpoint"]) == ("ana", "success", "/sign-in/link")


def test_a_session_that_can_not_begin_leaves_the_link_unspent(server: Server, tenant: Tenant) -> None:
    token = offered(tenant)
    with server.database.connection() as connection:
        connection.execute("ALTER TABLE web_sessions RENAME TO away")
    try:
        assert spend(server, token) == 500
    finally:
        with server.database.connection() as connection:
            connection.execute("ALTER TABLE away RENAME TO web_sessions")
    assert spend(server, token) == 303


def test_the_first_start_prints_a_link_and_no_later_start_does(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with running(data_dir) as server:
        found = re.search(
            r"^  (http://127\.0\.0\.1:\d+)/sign-in/link#([\w-]{43})$", server.printed, re.MULTILINE
        )
        assert found, server.printed
        with httpx.Client(base_url=found[1], trust_env=False) as browser:
            answer = browser.post("/sign-in/link", data={"token": found[2]}, headers=SAME_ORIGIN)
            assert answer.status_code == 303
            subscription_id = (data_dir / "first-key").read_text().split()[0]
            assert browser.get("/").headers["location"] == f"/s/{subscription_id}"
            again = browser.post("/sign-in/link", data={"token": found[2]}, headers=SAME_ORIGIN)
            assert again.status_code == 401
            # Nobody's word for HTTPS counts without a trusted proxy.
            claimed = {"host": "annals.example", "x-forwarded-proto": "https"}
            assert browser.get("/sign-in", headers=claimed).status_code == 403
        assert found[2] not in (data_dir.parent / f"{data_dir.name}.log").read_text()
    with running(data_dir) as server:
        assert "/sign-in/link" not in server.printed
        assert f"pages: {server.url}/sign-in" in server.printed
