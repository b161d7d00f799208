"""API keys by pages: who sees them, the secret that is shown once, and deleting a key."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.api import UNKNOWN, Json, Server, Tenant, ok
from tests.support.full_policies import fully_audited
from tests.support.web import Browser, Page

SECRET = re.compile(r"annals_[0-9a-f]{32}_[A-Za-z0-9_-]+")


def keys_of(tenant: Tenant) -> list[Json]:
    return tenant.server.operator.pages(f"{tenant.path}/api-keys")


def pages(tenant: Tenant) -> str:
    return f"/s/{tenant.subscription_id}/settings"


def secrets_in(page: Page) -> set[str]:
    return set(SECRET.findall(page.source))


@pytest.fixture(scope="module")
def audited(server: Server) -> Iterator[Tenant]:
    with fully_audited(server, "keys by pages") as tenant:
        yield tenant


@pytest.mark.parametrize(
    ("name", "status"), [("vera", 403), ("ben", 403), ("aud", 200), ("ana", 200), ("operator", 200)]
)
def test_who_reads_keys(server: Server, tenant: Tenant, name: str, status: int) -> None:
    assert tenant.ben.user_id
    browser = Browser(server).sign_in(tenant.caller(name))
    page = browser.see(f"{pages(tenant)}/keys", status)
    manages = name in ("ana", "operator")
    assert ("Make the key" in page.words) == manages
    browser.see(f"{pages(tenant)}/keys/{tenant.ben.key_id}/delete", 200 if manages else 403)


@pytest.mark.parametrize("name", ["vera", "ben", "aud"])
def test_who_may_not_manage_keys_is_told(server: Server, tenant: Tenant, name: str) -> None:
    browser = Browser(server).sign_in(tenant.caller(name))
    before = tenant.ben.key_id, keys_of(tenant)
    made = browser.post(f"{pages(tenant)}/keys", user_id=tenant.ana.user_id, name="mine")
    deleted = browser.post(f"{pages(tenant)}/keys/{tenant.ana.key_id}/delete")
    assert (made.status, deleted.status) == (403, 403)
    assert "may not manage users and keys" in made.words
    assert {key["name"] for key in keys_of(tenant)} == {key["name"] for key in before[1]}


@pytest.mark.parametrize("caller", ["ana", "operator"])
def test_a_new_key_is_shown_once_and_works(server: Server, tenant: Tenant, caller: str) -> None:
    assert tenant.ben.user_id
    browser = Browser(server).sign_in(tenant.caller(caller))
    form = browser.see(f"{pages(tenant)}/keys").form("/settings/keys")
    page = browser.send(form, user_id=tenant.ben.user_id, name="deploy", expires_in_days="7")
    (secret,) = secrets_in(page)
    assert page.status == 200
    assert page.root.one("code", id="secret").text == secret
    assert page.headers["cache-control"] == "private, no-store"
    assert "content-encoding" not in page.headers
    found = ok(server.nobody.get("/v1/whoami", headers={"authorization": f"Bearer {secret}"}))
    assert found["username"] == "ben"
    row = next(key for key in keys_of(tenant) if key["name"] == "deploy")
    assert row["expires_at"] is not None
    for path in ("keys", f"users/{tenant.ben.user_id}", f"keys/{row['key_id']}/delete"):
        assert secrets_in(browser.see(f"{pages(tenant)}/{path}")) == set()


def test_a_key_is_made_on_the_page_of_its_user(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    form = browser.see(f"{pages(tenant)}/users/{tenant.ben.user_id}").form("/settings/keys")
    page = browser.send(form, name="desk", expires_in_days="")
    assert len(secrets_in(page)) == 1
    assert "never ends by itself" in page.words


def test_a_form_sent_twice_makes_one_key_whose_secret_is_shown_in_the_first_answer(
    server: Server, tenant: Tenant
) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    form = browser.see(f"{pages(tenant)}/keys").form("/settings/keys")
    first, second = (browser.send(form, user_id=tenant.ben.user_id, name="once") for _ in range(2))
    assert (len(secrets_in(first)), secrets_in(second)) == (1, set())
    assert second.heading == "The key was made already"
    assert len([key for key in keys_of(tenant) if key["name"] == "once"]) == 1
    assert browser.see(second.link("Delete this key …")).heading == "Delete a key?"


def test_a_secret_is_in_no_row_of_any_log(server: Server, audited: Tenant) -> None:
    browser = Browser(server).sign_in(audited.ana)
    form = browser.see(f"{pages(audited)}/keys").form("/settings/keys")
    (secret,) = secrets_in(browser.send(form, user_id=audited.ana.user_id, name="secret"))
    server.flush_log()
    # The random part, which may have `_` itself: what follows the last one may be a letter.
    part = f"%{secret.split('_', 2)[2]}%"
    for table in ("audit_logs", "server_logs", "data_change_history", "idempotency_keys", "api_keys"):
        rows = server.database.rows(f"SELECT 1 FROM {table} t WHERE t::text LIKE %s", part)  # noqa: S608
        assert rows == [], table
    rows = server.database.rows(
        "SELECT 1 FROM server_logs WHERE subscription_id = %s AND endpoint LIKE '%%/settings/keys'"
        " AND http_method = 'POST'",
        audited.subscription_id,
    )
    assert rows, "the request itself is in the server log"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"expires_in_days": "0"}, "Days"),
        ({"expires_in_days": "soon"}, "Days"),
        ({"expires_in_days": "99999999999999999999"}, "Days"),
        ({"name": " "}, "Name"),
        ({"user_id": ""}, "User"),
    ],
)
def test_a_refused_key_is_told_in_place_with_what_was_typed(
    server: Server, tenant: Tenant, fields: dict[str, Any], told: str
) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    form = browser.see(f"{pages(tenant)}/keys").form("/settings/keys")
    typed = {"user_id": tenant.ben.user_id, "name": "deploy", "expires_in_days": "30"} | fields
    page = browser.send(form, **typed)
    assert (page.status, page.heading) == (422, "API keys")
    assert told in page.root.one("div", role="alert").text
    kept = page.form("/settings/keys").fields
    assert kept["expires_in_days"] == [typed["expires_in_days"]]
    assert kept["user_id"] == [typed["user_id"]]
    assert "deploy" not in {key["name"] for key in keys_of(tenant)}


def test_a_key_for_another_tenants_user_is_not_made(server: Server, tenant: Tenant, stranger: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    page = browser.post(f"{pages(tenant)}/keys", user_id=stranger.ben.user_id, name="stolen")
    assert page.status == 404
    assert len(keys_of(stranger)) == 1


def test_deleting_a_key_ends_its_sessions_at_the_next_request(server: Server, tenant: Tenant) -> None:
    ben = Browser(server).sign_in(tenant.ben)
    sessions = f"{pages(tenant)}/sessions"
    ben.see(sessions)
    browser = Browser(server).sign_in(tenant.ana)
    page = browser.see(f"{pages(tenant)}/keys/{tenant.ben.key_id}/delete")
    assert "sessions that began with it end" in page.words
    page = browser.send(page.form("/delete"))
    assert "The key was deleted" in page.words
    assert ben.get(sessions).location.startswith("/sign-in")
    assert tenant.ben.get("/v1/whoami").status_code == 401


def test_a_key_does_not_delete_itself(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    here = f"{pages(tenant)}/keys/{tenant.ana.key_id}/delete"
    page = browser.see(here)
    assert "You signed in with this key." in page.words
    assert [form.action for form in page.forms if "settings" in form.action] == []
    page = browser.post(here)
    assert (page.status, page.heading) == (409, "Delete a key?")
    assert "this session's" in browser.see(f"{pages(tenant)}/keys").words


def test_keys_of_another_tenant_are_not_there(server: Server, tenant: Tenant, stranger: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    nowhere = browser.see(f"{pages(tenant)}/keys/{UNKNOWN}/delete", 404)
    other = browser.see(f"{pages(tenant)}/keys/{stranger.ben.key_id}/delete", 404)
    # Requests have ids of their own, and times.
    told, told_elsewhere = (
        each.root.one("main").text.partition("Annals 404")[2].partition("Request")[0]
        for each in (other, nowhere)
    )
    assert told == told_elsewhere != ""
    assert browser.post(f"{pages(tenant)}/keys/{stranger.ben.key_id}/delete").status == 404
    assert browser.see(f"{pages(stranger)}/keys", 404).heading == "No such subscription"
    assert len(keys_of(stranger)) == 1


def test_a_hostile_name_of_a_key_is_inert(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    form = browser.see(f"{pages(tenant)}/keys").form("/settings/keys")
    name = '"><script>alert(1)</script>\U0001f511'
    page = browser.send(form, user_id=tenant.ben.user_id, name=name)
    assert name in page.words
    for path in ("keys", f"users/{tenant.ben.user_id}", f"users/{tenant.ben.user_id}/delete"):
        assert name in browser.see(f"{pages(tenant)}/{path}").words


def test_a_key_is_deleted_once_by_two_clicks(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    form = browser.see(f"{pages(tenant)}/keys/{tenant.ben.key_id}/delete").form("/delete")
    for page in (browser.send(form), browser.send(form)):
        assert (page.status, "The key was deleted" in page.words) == (200, True)
