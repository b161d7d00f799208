"""Settings of the subscription: who sees and who sets its name, its rules and its origins."""

from typing import Any

import pytest

from service.web import words
from tests.support.api import Json, Server, Tenant, ok
from tests.support.web import Browser


def pages(tenant: Tenant) -> str:
    return f"/s/{tenant.subscription_id}/settings/subscription"


def stored(server: Server, tenant: Tenant) -> Json:
    return ok(server.operator.get(tenant.path))


@pytest.mark.parametrize("name", ["ana", "operator"])
def test_who_manages_the_subscription_sets_it(server: Server, tenant: Tenant, name: str) -> None:
    browser = Browser(server).sign_in(tenant.caller(name))
    page = browser.send(
        browser.see(pages(tenant)).form("/subscription"),
        name="Kiln works",
        require_if_match="yes",
        clone_after_purge="admin",
        cors_origins="https://app.example.com\r\nhttp://localhost:3000",
    )
    assert "The settings are stored." in page.words
    found = stored(server, tenant)
    assert (found["name"], found["require_if_match"]) == ("Kiln works", True)
    assert found["clone_after_purge"] == "admin"
    assert found["cors_origins"] == ["https://app.example.com", "http://localhost:3000"]
    browser.send(page.form("/subscription"), require_if_match=None, cors_origins="")
    found = stored(server, tenant)
    assert (found["require_if_match"], found["cors_origins"]) == (False, [])
    assert found["clone_after_purge"] == "admin"


def test_a_page_of_an_allowed_origin_may_call_at_once(server: Server, tenant: Tenant) -> None:
    origin = "https://kiln.example.com"

    def allowed() -> list[str]:
        answer = tenant.ana.get(tenant.path, headers={"origin": origin})
        return answer.headers.get_list("access-control-allow-origin")

    assert allowed() == []
    browser = Browser(server).sign_in(tenant.ana)
    browser.send(browser.see(pages(tenant)).form("/subscription"), cors_origins=origin)
    assert allowed() == [origin]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": ""}, "Name"),
        ({"cors_origins": "https://a.example.com\nhttps://b.example.com/"}, "https://b.example.com/: is no"),
        ({"cors_origins": "*"}, "*: is no"),
        ({"clone_after_purge": "nobody"}, "Clones"),
    ],
)
def test_refused_settings_are_told_in_place_and_nothing_changes(
    server: Server, tenant: Tenant, fields: dict[str, Any], told: str
) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    before = stored(server, tenant)
    page = browser.send(browser.see(pages(tenant)).form("/subscription"), **{"name": "other"} | fields)
    assert page.status == 422
    assert told in page.root.one("div", role="alert").text
    form = page.form("/subscription")
    assert form.value("name") == fields.get("name", "other")
    assert stored(server, tenant) == before


def test_a_form_changes_what_its_sender_changed(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    form = browser.see(pages(tenant)).form("/subscription")
    ok(tenant.ana.patch(tenant.path, {"require_if_match": True, "cors_origins": ["https://a.example.com"]}))
    browser.send(form, name="other")
    found = stored(server, tenant)
    assert (found["name"], found["require_if_match"]) == ("other", True)
    assert found["cors_origins"] == ["https://a.example.com"]


def test_what_somebody_else_set_meanwhile_is_not_replaced_unseen(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    form = browser.see(pages(tenant)).form("/subscription")
    ok(tenant.ana.patch(tenant.path, {"name": "theirs", "cors_origins": ["https://a.example.com"]}))
    page = browser.send(form, cors_origins="https://b.example.com")
    assert page.status == 412
    told = page.root.one("div", role="alert").text
    assert "somebody else changed the same" in told
    assert "Origins: now https://a.example.com" in told
    again = page.form("/subscription")
    # What its sender typed is kept; what others changed beside it is not undone.
    assert (again.value("cors_origins").strip(), again.value("name")) == ("https://b.example.com", "theirs")
    assert stored(server, tenant)["cors_origins"] == ["https://a.example.com"]
    for _ in range(2):
        # Sent knowingly, and once more by a second click.
        assert "The settings are stored." in browser.send(again).words
    found = stored(server, tenant)
    assert (found["name"], found["cors_origins"]) == ("theirs", ["https://b.example.com"])


def test_a_refusal_does_not_bind_a_form_to_what_its_sender_never_saw(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    form = browser.see(pages(tenant)).form("/subscription")
    ok(tenant.ana.patch(tenant.path, {"name": "theirs"}))
    page = browser.send(form, name="mine", cors_origins="*")
    assert page.status == 422
    page = browser.send(page.form("/subscription"), cors_origins="")
    assert (page.status, "Name: now theirs" in page.words) == (412, True)
    assert stored(server, tenant)["name"] == "theirs"


def test_an_origin_that_is_given_twice_is_stored_once(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    origins = ("https://b.example.com", "https://a.example.com", "https://b.example.com")
    browser.send(browser.see(pages(tenant)).form("/subscription"), cors_origins="\n".join(origins))
    assert stored(server, tenant)["cors_origins"] == [*origins[:2]]


def test_a_form_that_changes_nothing_says_so_and_leaves_no_event(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    before = tenant.footprint()
    page = browser.send(browser.see(pages(tenant)).form("/subscription"))
    assert (page.status, tenant.footprint()) == (200, before)
    assert "Nothing was changed" in page.words


@pytest.mark.parametrize("name", ["vera", "ben", "aud"])
def test_others_read_the_settings_and_are_told_who_sets_them(
    server: Server, tenant: Tenant, name: str
) -> None:
    ok(tenant.ana.patch(tenant.path, {"cors_origins": ["https://a.example.com"]}))
    browser = Browser(server).sign_in(tenant.caller(name))
    page = browser.see(pages(tenant))
    assert "https://a.example.com" in page.words
    assert "An admin changes them." in page.words
    assert [form.action for form in page.forms if form.action.endswith("/subscription")] == []
    assert browser.post(pages(tenant), name="mine").status == 403
    assert stored(server, tenant)["name"] == "acme"


def test_a_closed_subscription_is_only_read(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    form = browser.see(pages(tenant)).form("/subscription")
    ok(server.operator.post(f"{tenant.path}/close", {"reason": "they leave"}))
    assert browser.send(form, name="other").status == 409
    page = browser.see(pages(tenant))
    assert [form.action for form in page.forms if form.action.endswith("/subscription")] == []
    assert stored(server, tenant)["name"] == "acme"


def test_another_tenants_settings_are_not_there(server: Server, tenant: Tenant, stranger: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    browser.see(pages(stranger), 404)
    assert browser.post(pages(stranger), name="mine").status == 404


@pytest.mark.parametrize(
    ("text", "amount"),
    [("20 GiB", 20 * 1024**3), ("500mib", 500 * 1024**2), ("1,024", 1024), ("0 bytes", 0), ("7", 7)],
)
def test_a_size_is_read_as_it_is_written(text: str, amount: int) -> None:
    assert words.bytes_of(text) == amount
    assert words.bytes_of(words.exact_size(amount)) == amount


@pytest.mark.parametrize("text", ["", "1.5 GiB", "1,5 GiB", "10,24", "-1", "20 GB", "GiB", ",", "\u0661 KiB"])
def test_what_is_no_size_is_not_guessed(text: str) -> None:
    assert words.bytes_of(text) is None
