"""Sessions of pages: how long they last, what ends them, and which rights they have."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from service.usecases import web_sessions
from service.usecases.maintenance import purge_closed
from sql.database import PLATFORM
from sql.queries import web_sessions as queries
from sql.queries.web_sessions import NewSession
from tests.support.api import OPERATOR_KEY, Caller, Server, Tenant, ok
from tests.support.closings import closed
from tests.support.databases import Cluster
from tests.support.events import events
from tests.support.job_runs import carried_out
from tests.support.serving import serving, set_operator_key
from tests.support.web import Browser, offered


def rows(server: Server, caller: Caller) -> list[tuple[Any, ...]]:
    """Sessions of a caller's key: when each was seen, and when it ends."""
    return server.database.rows(
        "SELECT last_seen_at, expires_at, created_at FROM web_sessions WHERE key_id = %s", caller.key_id
    )


def is_in(browser: Browser) -> bool:
    """Tell if the browser has a session that runs."""
    return not browser.get("/").location.startswith("/sign-in")


def test_a_session_ends_after_two_hours_without_use(lone: Tenant) -> None:
    clock = lone.server.clock
    browser, unused = (Browser(lone.server).sign_in(lone.ana) for _ in range(2))
    with clock.moved(hours=1, minutes=59):
        assert is_in(browser)
    with clock.moved(hours=2, seconds=1):
        assert not is_in(unused)
    with clock.moved(hours=3, minutes=58):
        assert is_in(browser)


def test_a_session_ends_after_twelve_hours_of_use(lone: Tenant) -> None:
    browser = Browser(lone.server).sign_in(lone.ana)
    for hours in range(1, 12):
        with lone.server.clock.moved(hours=hours):
            assert is_in(browser)
    with lone.server.clock.moved(hours=11, minutes=59):
        assert is_in(browser)
    with lone.server.clock.moved(hours=12, seconds=1):
        assert not is_in(browser)


def test_a_use_is_noted_each_five_minutes_at_most(lone: Tenant) -> None:
    browser = Browser(lone.server).sign_in(lone.ana)
    [(begun, ends, created)] = rows(lone.server, lone.ana)
    assert (begun, ends) == (created, created + web_sessions.LONGEST)
    with lone.server.clock.moved(minutes=4, seconds=50):
        assert is_in(browser)
    assert rows(lone.server, lone.ana) == [(begun, ends, created)]
    with lone.server.clock.moved(minutes=5, seconds=5):
        assert is_in(browser)
        assert is_in(browser)
    [(seen, _, _)] = rows(lone.server, lone.ana)
    assert seen - begun >= timedelta(minutes=5)


def test_a_session_ends_with_its_key(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ben)
    ok(tenant.ana.delete(f"{tenant.path}/api-keys/{tenant.ben.key_id}"), 204)
    assert not is_in(browser)
    assert rows(server, tenant.ben) == []


def test_a_session_ends_with_its_user(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ben)
    ok(tenant.ana.delete(f"{tenant.path}/users/{tenant.ben.user_id}"), 204)
    assert not is_in(browser)


def test_a_session_ends_when_its_key_expires(lone: Tenant) -> None:
    body = {"user_id": lone.ben.user_id, "name": "short", "expires_in_days": 1}
    key = ok(lone.ana.post(f"{lone.path}/api-keys", body), 201)["api_key"]
    with lone.server.clock.moved(hours=23):
        browser = Browser(lone.server)
        assert browser.post("/sign-in", key=key).status == 303
    with lone.server.clock.moved(days=1, minutes=1):
        page = browser.get("/", follow=True)
        assert page.heading == "Sign in"


def test_a_key_has_a_session_in_each_browser_and_signing_out_ends_one(server: Server, tenant: Tenant) -> None:
    first, second = (Browser(server).sign_in(tenant.ana) for _ in range(2))
    first.post("/sign-out")
    assert (is_in(first), is_in(second)) == (False, True)


def test_a_change_of_the_role_counts_from_the_next_page_on(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ben)
    page = f"/s/{tenant.subscription_id}/settings/keys"
    before = browser.get(page).status
    ok(tenant.ana.patch(f"{tenant.path}/users/{tenant.ben.user_id}", {"role": "admin"}))
    assert (before, browser.get(page).status) in ((403, 200), (404, 404))


def test_another_subscription_is_not_found_as_one_that_does_not_exist(
    server: Server, tenant: Tenant, stranger: Tenant
) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    other, none = (browser.see(f"/s/{each}", 404) for each in (stranger.subscription_id, tenant.ana.user_id))
    assert other.heading == none.heading == "No such subscription"
    assert other.words.replace(other.headers["x-request-id"], "") == none.words.replace(
        none.headers["x-request-id"], ""
    )


def test_the_operator_has_a_session_of_the_platform(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(server.operator)
    assert browser.get("/").location == "/platform"
    assert browser.get(f"/s/{tenant.subscription_id}").location == f"/s/{tenant.subscription_id}/settings"
    found = server.database.rows(
        "SELECT resource_type, username FROM audit_logs WHERE subscription_id IS NULL AND action = 'LOGIN'"
        " AND resource_type = 'session' AND username = 'operator' AND status = 'success'"
    )
    assert found
    browser.post("/sign-out")
    assert not is_in(browser)


def test_a_session_opens_no_call_of_the_api_and_a_key_no_page(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    assert browser.http.get("/v1/whoami").status_code == 401
    page = tenant.ana.get(f"/s/{tenant.subscription_id}")
    assert (page.status_code, page.headers["location"].partition("?")[0]) == (303, "/sign-in")


def test_a_closed_subscription_is_read_and_a_purged_one_has_no_session(lone_server: Server) -> None:
    tenant = Tenant(lone_server)
    browser = Browser(lone_server).sign_in(tenant.ana)
    _ = tenant.workspace_id
    closed(tenant)
    assert is_in(browser)
    assert browser.get(f"/s/{tenant.subscription_id}").status == 200
    another = Browser(lone_server).sign_in(tenant.ana)
    assert is_in(another)
    assert len(rows(lone_server, tenant.ana)) == 2
    with lone_server.clock.moved(days=31):
        assert carried_out(lone_server, purge_closed.NAME, purge_closed.run)["purged"] == 1
    assert rows(lone_server, tenant.ana) == []
    assert not is_in(browser)


def test_a_session_is_stored_without_its_token(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    token = browser.http.cookies["annals"]
    [row] = server.database.rows(
        "SELECT web_sessions::text FROM web_sessions WHERE key_id = %s", tenant.ana.key_id
    )
    assert token not in row[0]
    assert token.encode().hex() not in row[0]


@pytest.mark.parametrize("token", ["", "x", "a" * 4000, "\\x00", "' OR 1=1"])
def test_a_token_that_is_none_opens_nothing(server: Server, token: str) -> None:
    page = Browser(server).get("/", headers={"cookie": f"annals={token}"})
    assert (page.status, page.location.partition("?")[0]) == (303, "/sign-in")


def test_a_key_has_fifty_sessions_of_which_the_oldest_end_first(server: Server, tenant: Tenant) -> None:
    browsers = [Browser(server).sign_in(tenant.ben) for _ in range(web_sessions.MAX_OF_KEY + 2)]
    other = Browser(server).sign_in(tenant.ana)
    assert len(rows(server, tenant.ben)) == web_sessions.MAX_OF_KEY
    assert [is_in(each) for each in (*browsers[:4], browsers[-1], other)] == [
        *(False, False, True, True, True, True)
    ]


def test_sign_ins_and_pages_count_as_calls_of_their_key(cluster: Cluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path, key_rate="3/minute") as server:
        tenant = Tenant(server)
        link = offered(tenant)
        browser = Browser(server).sign_in(tenant.ana)
        assert [browser.get("/").status for _ in range(3)] == [303, 303, 429]
        assert tenant.ana.get("/v1/whoami").status_code == 429
        assert browser.post("/sign-in", key=tenant.ana.key).status == 429
        page = browser.get("/")
        assert (page.heading, int(page.headers["retry-after"]) > 0) == ("The key's rate is exceeded", True)
        # A link that was refused is not spent, and nobody is kept from signing out.
        assert browser.post("/sign-in/link", token=link).status == 429
        assert len(rows(server, tenant.ana)) == 1
        assert server.database.value("SELECT count(*) FROM sign_in_links") == 1
        assert browser.post("/sign-out").status == 303
        assert rows(server, tenant.ana) == []


def test_a_second_sign_in_ends_the_session_that_the_browser_had(server: Server, tenant: Tenant) -> None:
    browser, other = Browser(server).sign_in(tenant.ana), Browser(server).sign_in(tenant.ana)
    browser.sign_in(tenant.ben)
    assert len(rows(server, tenant.ana)) == 1
    assert (is_in(browser), is_in(other)) == (True, True)


def test_sessions_are_listed_by_user_and_ended_by_who_may(server: Server, tenant: Tenant) -> None:
    here, there = (Browser(server).sign_in(tenant.ben) for _ in range(2))
    admin = Browser(server).sign_in(tenant.ana)
    found = server.database.rows(
        "SELECT count(*) FROM web_sessions WHERE subscription_id = %s", tenant.subscription_id
    )
    assert found == [(3,)]
    ok(tenant.ana.delete(f"{tenant.path}/users/{tenant.ben.user_id}"), 204)
    assert [is_in(each) for each in (here, there, admin)] == [False, False, True]
    assert events(tenant, resource_type="session", action="LOGOUT") == []


def test_another_key_of_the_operator_ends_the_sessions_of_the_one_before(
    cluster: Cluster, tmp_path: Path
) -> None:
    with serving(cluster, tmp_path) as server:
        tenant = Tenant(server)
        operator, admin = Browser(server).sign_in(server.operator), Browser(server).sign_in(tenant.ana)
        set_operator_key(server.database, server.clock, OPERATOR_KEY)
        assert is_in(operator)
        set_operator_key(server.database, server.clock, "another-key-of-the-operator-0123456789")
        assert (is_in(operator), is_in(admin)) == (False, True)


def test_a_key_that_is_replaced_during_a_sign_in_begins_no_session(server: Server) -> None:
    at = server.clock()
    key_id, secret_hash = server.database.rows(
        "SELECT key_id, secret_hash FROM api_keys WHERE subscription_id IS NULL"
    )[0]
    row = NewSession(
        session_id=uuid4(),
        subscription_id=None,
        key_id=key_id,
        token_hash=b"x",
        created_at=at,
        last_seen_at=at,
        expires_at=at + timedelta(hours=1),
        ip_address=None,
        user_agent=None,
    )
    with server.context.database.transaction(PLATFORM) as tx:
        assert not queries.insert_session(tx, row, secret_hash=b"of the key before")
        assert queries.insert_session(tx, row, secret_hash=bytes(secret_hash))
        hour = timedelta(hours=1)
        ended = queries.end(tx, None, [row.session_id], user_id=None, but=None, at=at, seen_after=at - hour)
        assert ended == [row.session_id]


def test_a_key_that_is_deleted_during_a_sign_in_begins_no_session(server: Server, tenant: Tenant) -> None:
    at = server.clock()
    row = NewSession(
        session_id=uuid4(),
        subscription_id=UUID(tenant.subscription_id),
        key_id=uuid4(),
        token_hash=b"x",
        created_at=at,
        last_seen_at=at,
        expires_at=at,
        ip_address=None,
        user_agent=None,
    )
    with server.context.database.transaction(UUID(tenant.subscription_id)) as tx:
        assert not queries.insert_session(tx, row)
