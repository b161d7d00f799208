"""Sessions by pages: who sees which, ending one, ending all others."""

import pytest

from tests.support.api import UNKNOWN, Server, Tenant, ok
from tests.support.html import Form
from tests.support.web import Browser, Page


def pages(tenant: Tenant) -> str:
    return f"/s/{tenant.subscription_id}/settings/sessions"


def ends(page: Page) -> list[Form]:
    """Forms that end one session."""
    return [form for form in page.forms if form.action.endswith("/end")]


def ids_of(tenant: Tenant, user_id: str) -> list[str]:
    rows = tenant.server.database.rows(
        "SELECT s.session_id::text FROM web_sessions s JOIN api_keys k USING (key_id) WHERE k.user_id = %s",
        user_id,
    )
    return [str(row[0]) for row in rows]


@pytest.mark.parametrize("name", ["vera", "ben", "aud"])
def test_everybody_sees_their_own_sessions_and_no_others(server: Server, tenant: Tenant, name: str) -> None:
    Browser(server, **{"user-agent": "curl/8.14"}).sign_in(tenant.ana)
    own = Browser(server, **{"user-agent": "Mozilla/5.0 (X11; Linux) Gecko/1 Firefox/140.0"})
    page = own.sign_in(tenant.caller(name)).see(pages(tenant))
    assert "Firefox on Linux" in page.words
    assert "this one" in page.words
    assert "127.0.0.1" in page.words
    assert "curl/8.14" not in page.words
    assert ends(page) == []


@pytest.mark.parametrize("name", ["ana", "operator"])
def test_who_manages_users_sees_and_ends_the_sessions_of_all(
    server: Server, tenant: Tenant, name: str
) -> None:
    ben = Browser(server).sign_in(tenant.ben)
    browser = Browser(server).sign_in(tenant.caller(name))
    page = browser.see(pages(tenant))
    (form,) = ends(page)
    assert "ben" in form.text
    page = browser.send(form)
    assert "Ended." in page.words
    assert "Nobody else is signed in." in page.words
    assert ben.get(pages(tenant)).location.startswith("/sign-in")
    rows = server.database.rows(
        "SELECT username FROM audit_logs WHERE subscription_id = %s AND action = 'LOGOUT'"
        " AND resource_type = 'session'",
        tenant.subscription_id,
    )
    assert len(rows) == 1


def test_one_session_of_ones_own_is_ended(server: Server, tenant: Tenant) -> None:
    here, there = Browser(server).sign_in(tenant.vera), Browser(server).sign_in(tenant.vera)
    page = here.send(ends(here.see(pages(tenant)))[0])
    assert page.status == 200
    assert there.get(pages(tenant)).location.startswith("/sign-in")


def test_all_other_sessions_of_ones_own_are_ended(server: Server, tenant: Tenant) -> None:
    here, *others = (Browser(server).sign_in(tenant.vera) for _ in range(4))
    ben = Browser(server).sign_in(tenant.ben)
    page = here.see(pages(tenant))
    page = here.send(page.form("/end-others"))
    assert (page.status, len(ids_of(tenant, tenant.vera.user_id))) == (200, 1)
    assert {other.get(pages(tenant)).status for other in others} == {303}
    ben.see(pages(tenant))


def test_ending_all_others_ends_more_than_the_page_lists(server: Server, tenant: Tenant) -> None:
    here = Browser(server).sign_in(tenant.vera)
    server.database.rows(
        "INSERT INTO web_sessions (session_id, subscription_id, key_id, token_hash, created_at, last_seen_at,"
        " expires_at) SELECT gen_random_uuid(), subscription_id, key_id, sha256((n || key_id::text)::bytea),"
        " created_at, last_seen_at, expires_at FROM web_sessions, generate_series(1, 210) AS n"
        " WHERE session_id = %s RETURNING 1",
        ids_of(tenant, tenant.vera.user_id)[0],
    )
    page = here.see(pages(tenant))
    here.send(page.form("/end-others"))
    assert len(ids_of(tenant, tenant.vera.user_id)) == 1


def test_an_auditor_is_told_who_sees_the_sessions_of_others(server: Server, tenant: Tenant) -> None:
    words = Browser(server).sign_in(tenant.aud).see(pages(tenant)).words
    assert "An admin sees and ends those of others." in words


def test_another_users_session_is_not_ended_by_its_id(server: Server, tenant: Tenant) -> None:
    ben = Browser(server).sign_in(tenant.ben)
    (session_id,) = ids_of(tenant, tenant.ben.user_id)
    vera = Browser(server).sign_in(tenant.vera)
    vera.post(f"{pages(tenant)}/{session_id}/end", follow=True)
    ben.see(pages(tenant))


def test_the_operator_ends_nobody_by_ending_all_others(server: Server, tenant: Tenant) -> None:
    ben = Browser(server).sign_in(tenant.ben)
    operator = Browser(server).sign_in(server.operator)
    assert operator.post(f"{pages(tenant)}/end-others", follow=True).status == 200
    ben.see(pages(tenant))


def test_another_tenants_sessions_are_not_there(server: Server, tenant: Tenant, stranger: Tenant) -> None:
    ben = Browser(server).sign_in(stranger.ben)
    (session_id,) = ids_of(stranger, stranger.ben.user_id)
    ana = Browser(server).sign_in(tenant.ana)
    ana.see(pages(stranger), 404)
    assert ana.post(f"{pages(stranger)}/{session_id}/end").status == 404
    for named in (session_id, UNKNOWN, "nothing"):
        assert ana.post(f"{pages(tenant)}/{named}/end", follow=True).status == 200
    ben.see(pages(stranger))


def test_a_closed_subscription_lets_sessions_be_ended(server: Server, tenant: Tenant) -> None:
    here, there = Browser(server).sign_in(tenant.vera), Browser(server).sign_in(tenant.vera)
    ok(server.operator.post(f"{tenant.path}/close", {"reason": "they leave"}))
    assert here.send(here.see(pages(tenant)).form("/end-others")).status == 200
    assert there.get(pages(tenant)).status == 303


def test_settings_lead_to_the_first_page_that_a_role_sees(server: Server, tenant: Tenant) -> None:
    settings = f"/s/{tenant.subscription_id}/settings"
    found = {
        name: Browser(server).sign_in(tenant.caller(name)).get(settings).location
        for name in ("vera", "ben", "aud", "ana", "operator")
    }
    users, sessions = f"{settings}/users", f"{settings}/sessions"
    assert found == {"vera": sessions, "ben": sessions, "aud": users, "ana": users, "operator": users}


@pytest.mark.parametrize("name", ["vera", "ben", "aud", "ana", "operator"])
def test_each_section_that_is_linked_answers(server: Server, tenant: Tenant, name: str) -> None:
    browser = Browser(server).sign_in(tenant.caller(name))
    page = browser.see(pages(tenant))
    sections = [a["href"] for a in page.root.one("nav", aria_label="Settings").all("a")]
    assert len(sections) == {"vera": 2, "ben": 2, "operator": 5}.get(name, 6)
    for address in sections:
        browser.see(address)


def test_a_hostile_user_agent_is_inert(server: Server, tenant: Tenant) -> None:
    agent = '"><script>alert(1)</script>'
    browser = Browser(server, **{"user-agent": agent}).sign_in(tenant.vera)
    page = browser.see(pages(tenant))
    assert '"><script>alert(1)</script>' in page.words
    assert len(page.root.all("script")) == 2
