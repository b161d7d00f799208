"""Users by pages: who sees them, adding, changing and deleting them."""

from time import sleep
from typing import Any

import pytest

from tests.support.api import UNKNOWN, Json, Server, Tenant, ok
from tests.support.web import Browser


def users_of(tenant: Tenant) -> dict[str, Json]:
    found = tenant.server.operator.pages(f"{tenant.path}/users")
    return {str(user["username"]): user for user in found}


def pages(tenant: Tenant) -> str:
    return f"/s/{tenant.subscription_id}/settings"


@pytest.mark.parametrize(
    ("name", "status"), [("vera", 403), ("ben", 403), ("aud", 200), ("ana", 200), ("operator", 200)]
)
def test_who_reads_users(server: Server, tenant: Tenant, name: str, status: int) -> None:
    browser = Browser(server).sign_in(tenant.caller(name))
    for path in ("users", f"users/{tenant.ben.user_id}"):
        browser.see(f"{pages(tenant)}/{path}", status)
    manages = name in ("ana", "operator")
    browser.see(f"{pages(tenant)}/users/{tenant.ben.user_id}/delete", 200 if manages else 403)
    browser.see(f"{pages(tenant)}/users/{tenant.ben.user_id}/erase-email", 200 if manages else 403)


@pytest.mark.parametrize("name", ["vera", "ben", "aud"])
def test_who_may_not_manage_users_is_told(server: Server, tenant: Tenant, name: str) -> None:
    browser = Browser(server).sign_in(tenant.caller(name))
    ben = f"{pages(tenant)}/users/{tenant.ben.user_id}"
    before = users_of(tenant)
    forms: list[tuple[str, dict[str, Any]]] = [
        (f"{pages(tenant)}/users", {"username": "eve", "email": "eve@example.org", "role": "admin"}),
        (ben, {"role": "admin"}),
        (f"{ben}/erase-email", {}),
        (f"{ben}/delete", {}),
    ]
    for path, fields in forms:
        page = browser.post(path, **fields)
        assert (page.status, "The role" in page.words) == (403, True)
    assert users_of(tenant) == before


def test_an_auditor_gets_no_form_and_a_sentence(server: Server, tenant: Tenant) -> None:
    page = Browser(server).sign_in(tenant.aud).see(f"{pages(tenant)}/users")
    assert [form.action for form in page.forms if "settings" in form.action] == []
    assert "An admin adds and changes users." in page.words


@pytest.mark.parametrize("caller", ["ana", "operator"])
def test_an_admin_adds_a_user(server: Server, tenant: Tenant, caller: str) -> None:
    browser = Browser(server).sign_in(tenant.caller(caller))
    form = browser.see(f"{pages(tenant)}/users").form("/settings/users")
    page = browser.send(form, username="eve", email="eve@example.org", role="editor")
    assert (page.status, page.heading) == (200, "eve")
    assert "The user was added." in page.words
    user = users_of(tenant)["eve"]
    assert (user["role"], user["kind"], user["email"]) == ("editor", "human", "eve@example.org")


def test_a_form_sent_twice_adds_one_user(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    form = browser.see(f"{pages(tenant)}/users").form("/settings/users")
    fields = {"username": "eve", "email": "eve@example.org", "role": "editor"}
    first, second = (browser.send(form, follow=False, **fields) for _ in range(2))
    assert (first.status, second.status, second.location) == (303, 303, first.location)
    rows = server.database.rows(
        "SELECT 1 FROM audit_logs WHERE subscription_id = %s AND resource_type = 'user'"
        " AND action = 'CREATE' AND resource_name = 'eve'",
        tenant.subscription_id,
    )
    assert len(rows) == 1


def test_a_service_account_has_no_address(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    form = browser.see(f"{pages(tenant)}/users").form("/settings/users")
    page = browser.send(form, username="ci", kind="service", role="editor")
    assert "service account" in page.words
    assert users_of(tenant)["ci"]["kind"] == "service"


@pytest.mark.parametrize(
    ("fields", "status", "told"),
    [
        ({"username": "ben"}, 409, "taken"),
        ({"username": "<b>"}, 422, "begins and ends with a letter"),
        ({"email": "no address"}, 422, "is no e-mail address"),
        ({"email": None}, 422, "E-mail: enter an e-mail address, or choose service account"),
        ({"role": "owner"}, 422, "Role"),
        ({"username": ""}, 422, "Name"),
    ],
)
def test_a_refused_user_is_told_in_place_with_what_was_typed(
    server: Server, tenant: Tenant, fields: dict[str, Any], status: int, told: str
) -> None:
    assert tenant.ben.user_id
    browser = Browser(server).sign_in(tenant.ana)
    form = browser.see(f"{pages(tenant)}/users").form("/settings/users")
    typed = {"username": "eve", "email": "eve@example.org", "role": "auditor"} | fields
    page = browser.send(form, **typed)
    assert (page.status, page.heading) == (status, "Users")
    assert told in page.root.one("div", role="alert").text
    kept = page.form("/settings/users").fields
    assert kept["username"] == [typed["username"]]
    assert kept.get("role") == ([typed["role"]] if typed["role"] != "owner" else None)
    assert set(users_of(tenant)) == {"ana", "ben"}
    refusals = server.database.rows(
        "SELECT status FROM audit_logs WHERE subscription_id = %s AND resource_type = 'user'"
        " AND action = 'CREATE' AND status = 'failed'",
        tenant.subscription_id,
    )
    assert refusals, "a refusal is an event as one of the API is"


def test_an_admin_changes_a_role(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    page = browser.see(f"{pages(tenant)}/users/{tenant.ben.user_id}")
    page = browser.send(page.form(f"/users/{tenant.ben.user_id}"), role="viewer")
    assert "The user was changed." in page.words
    user = users_of(tenant)["ben"]
    assert (user["role"], user["email"]) == ("viewer", "ben@example.org")


def test_an_old_form_gives_no_role_back(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    old = browser.see(f"{pages(tenant)}/users/{tenant.ben.user_id}").form(f"/users/{tenant.ben.user_id}")
    ok(tenant.ana.patch(f"{tenant.path}/users/{tenant.ben.user_id}", {"role": "viewer"}))
    browser.send(old, email="benjamin@example.org")
    user = users_of(tenant)["ben"]
    assert (user["role"], user["email"]) == ("viewer", "benjamin@example.org")
    assert "Nothing was changed" in browser.send(old).words
    assert users_of(tenant)["ben"] == user


def test_a_role_that_somebody_else_gave_meanwhile_is_not_replaced_unseen(
    server: Server, tenant: Tenant
) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    form = browser.see(f"{pages(tenant)}/users/{tenant.ben.user_id}").form(f"/users/{tenant.ben.user_id}")
    ok(tenant.ana.patch(f"{tenant.path}/users/{tenant.ben.user_id}", {"role": "viewer"}))
    page = browser.send(form, role="auditor")
    assert (page.status, "Role: now viewer" in page.words) == (412, True)
    assert users_of(tenant)["ben"]["role"] == "viewer"
    again = page.form(f"/users/{tenant.ben.user_id}")
    assert again.value("role") == "auditor"
    assert "The user was changed." in browser.send(again).words
    assert users_of(tenant)["ben"]["role"] == "auditor"


def test_a_role_applies_at_the_next_request(server: Server, tenant: Tenant) -> None:
    aud = Browser(server).sign_in(tenant.aud)
    aud.see(f"{pages(tenant)}/users")
    ana = Browser(server).sign_in(tenant.ana)
    form = ana.see(f"{pages(tenant)}/users/{tenant.aud.user_id}").form(tenant.aud.user_id)
    ana.send(form, role="viewer")
    aud.see(f"{pages(tenant)}/users", 403)


def test_who_gives_up_a_role_is_led_to_what_is_left(server: Server, tenant: Tenant) -> None:
    tenant.user("otto", "admin")
    browser = Browser(server).sign_in(tenant.ana)
    form = browser.see(f"{pages(tenant)}/users/{tenant.ana.user_id}").form(tenant.ana.user_id)
    page = browser.send(form, role="viewer")
    assert (page.status, page.heading) == (200, "Sessions")
    assert "The user was changed." in page.words


def test_the_last_admin_is_refused_in_place(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    here = f"{pages(tenant)}/users/{tenant.ana.user_id}"
    page = browser.send(browser.see(here).form(tenant.ana.user_id), role="viewer")
    assert (page.status, page.heading) == (409, "ana")
    assert "is the only admin with a valid key" in page.root.one("div", role="alert").text
    assert page.form(tenant.ana.user_id).fields["role"] == ["viewer"]
    page = browser.send(browser.see(f"{here}/delete").form("/delete"))
    assert (page.status, page.heading) == (409, "Delete ana?")
    assert users_of(tenant)["ana"]["role"] == "admin"


def test_an_address_is_erased(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    page = browser.see(f"{pages(tenant)}/users/{tenant.ben.user_id}")
    page = browser.see(page.link("Erase the address …"))
    assert (page.heading, "nobody can bring it back" in page.words) == ("Erase the address of ben?", True)
    assert users_of(tenant)["ben"]["email"] == "ben@example.org"
    page = browser.send(page.form("/erase-email"))
    assert "The e-mail address was erased." in page.words
    assert "ben@example.org" not in page.source
    assert users_of(tenant)["ben"]["email"] is None


def test_a_check_out_whose_time_is_over_does_not_run(server: Server, tenant: Tenant) -> None:
    for name, seconds in (("brief", 1), ("long", 600)):
        tenant.check_out(tenant.workflow(name=name), by=tenant.ben, ttl_seconds=seconds)
    sleep(1.1)
    page = Browser(server).sign_in(tenant.ana).see(f"{pages(tenant)}/users/{tenant.ben.user_id}")
    assert "1 running check-out" in page.words


def test_deleting_a_user_says_what_ends(server: Server, tenant: Tenant) -> None:
    workflow = tenant.make("workflows")
    ok(tenant.ben.post(f"{tenant.path}/workflows/{workflow['resource_id']}/check-out"))
    ben = Browser(server).sign_in(tenant.ben)
    browser = Browser(server).sign_in(tenant.ana)
    page = browser.see(f"{pages(tenant)}/users/{tenant.ben.user_id}/delete")
    assert "1 API key" in page.words
    assert "1 check-out" in page.words
    page = browser.send(page.form("/delete"))
    assert (page.heading, "The user was deleted" in page.words) == ("Users", True)
    assert "ben" not in users_of(tenant)
    assert ben.get(f"/s/{tenant.subscription_id}/settings").location.startswith("/sign-in")


def test_who_deletes_itself_is_signed_out(server: Server, tenant: Tenant) -> None:
    tenant.user("otto", "admin")
    browser = Browser(server).sign_in(tenant.ana)
    page = browser.see(f"{pages(tenant)}/users/{tenant.ana.user_id}/delete")
    assert "This is you" in page.words
    assert browser.send(page.form("/delete")).heading == "Sign in"


def test_users_of_another_tenant_are_not_there(server: Server, tenant: Tenant, stranger: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    nowhere = browser.see(f"/s/{UNKNOWN}/settings/users", 404)
    other = browser.see(f"{pages(stranger)}/users", 404)
    assert other.heading == nowhere.heading
    for path in (f"users/{stranger.ben.user_id}", f"users/{UNKNOWN}", "users/nothing"):
        for page in ("", "/delete", "/erase-email"):
            address = f"{pages(tenant)}/{path}{page}"
            assert browser.see(address, 404).heading == browser.see(f"{pages(tenant)}/users/x", 404).heading
        assert browser.post(f"{pages(tenant)}/{path}/delete").status == 404
        assert browser.post(f"{pages(tenant)}/{path}", role="viewer").status == 404
    assert users_of(stranger)["ben"]["role"] == "editor"


def test_a_closed_subscription_has_no_dead_forms(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    ok(server.operator.post(f"{tenant.path}/close", {"reason": "they leave"}))
    page = browser.see(f"{pages(tenant)}/users")
    assert "This subscription is closed." in page.words
    assert [form.action for form in page.forms if "settings" in form.action] == []
    page = browser.see(f"{pages(tenant)}/users/{tenant.ana.user_id}")
    erase = browser.see(page.link("Erase the address …")).form("/erase-email")
    assert browser.send(erase).status == 200
    assert browser.post(f"{pages(tenant)}/users", username="eve", role="viewer").status == 409


def test_users_come_page_by_page(server: Server, tenant: Tenant) -> None:
    for number in range(53):
        body = {"username": f"user{number}", "email": f"u{number}@example.org", "role": "viewer"}
        ok(tenant.ana.post(f"{tenant.path}/users", body), 201)
    browser = Browser(server).sign_in(tenant.ana)
    first = browser.see(f"{pages(tenant)}/users")
    second = browser.see(first.link("Older"))
    assert "user52" in first.words
    assert "user0" in second.words
    assert "user52" not in second.words


def test_a_user_is_deleted_once_by_two_clicks(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    form = browser.see(f"{pages(tenant)}/users/{tenant.ben.user_id}/delete").form("/delete")
    for page in (browser.send(form), browser.send(form)):
        assert (page.heading, "The user was deleted" in page.words) == ("Users", True)


def test_a_check_out_whose_time_is_over_does_not_count(lone: Tenant) -> None:
    workflow = lone.make("workflows")
    ok(lone.ben.post(f"{lone.path}/workflows/{workflow['resource_id']}/check-out"))
    here = f"{pages(lone)}/users/{lone.ben.user_id}"
    assert "1 running check-out" in Browser(lone.server).sign_in(lone.ana).see(here).words
    with lone.server.clock.moved(hours=9):
        assert "0 running check-outs" in Browser(lone.server).sign_in(lone.ana).see(here).words
