"""Legal holds by pages: who reads them, placing one on anything, and releasing it."""

from typing import Any

import pytest

from tests.support.api import UNKNOWN, Json, Server, Tenant, ok
from tests.support.web import Browser


def pages(tenant: Tenant) -> str:
    return f"/s/{tenant.subscription_id}/settings/holds"


def holds_of(tenant: Tenant) -> list[Json]:
    return tenant.server.operator.pages(f"{tenant.path}/holds")


def placed(tenant: Tenant, **fields: Any) -> str:
    return str(ok(tenant.ana.post(f"{tenant.path}/holds", {"reason": "case 7", **fields}), 201)["hold_id"])


@pytest.mark.parametrize(
    ("name", "status"), [("vera", 403), ("ben", 403), ("aud", 200), ("ana", 200), ("operator", 200)]
)
def test_who_reads_holds(server: Server, tenant: Tenant, name: str, status: int) -> None:
    hold_id = placed(tenant)
    browser = Browser(server).sign_in(tenant.caller(name))
    page = browser.see(pages(tenant), status)
    assert ("Place the hold" in page.words) == (name in ("ana", "operator"))
    page = browser.see(f"{pages(tenant)}/{hold_id}", status)
    assert ("Release the hold" in page.words) == (name in ("ana", "operator"))


@pytest.mark.parametrize("name", ["vera", "ben", "aud"])
def test_who_may_not_hold_is_told(server: Server, tenant: Tenant, name: str) -> None:
    hold_id = placed(tenant)
    browser = Browser(server).sign_in(tenant.caller(name))
    assert browser.post(pages(tenant), on="everything", reason="case 8").status == 403
    page = browser.post(f"{pages(tenant)}/{hold_id}/release", reason="over")
    assert (page.status, "may not place and release legal holds" in page.words) == (403, True)
    assert [hold["state"] for hold in holds_of(tenant)] == ["active"]


@pytest.mark.parametrize("name", ["ana", "operator"])
def test_a_hold_on_everything(server: Server, tenant: Tenant, name: str) -> None:
    browser = Browser(server).sign_in(tenant.caller(name))
    page = browser.send(browser.see(pages(tenant)).form("/holds"), reason="case 7\nof the year")
    assert "The legal hold was placed." in page.words
    (hold,) = holds_of(tenant)
    assert (hold["resource_id"], hold["user_id"], hold["reason"]) == (None, None, "case 7\nof the year")


@pytest.mark.parametrize("given", ["address", "path", "id"])
def test_a_hold_on_a_resource_by_its_address_or_id(server: Server, tenant: Tenant, given: str) -> None:
    workflow = tenant.workflow(name="Order ETL")
    resource_id = workflow["resource_id"]
    path = f"/s/{tenant.subscription_id}/workflows/{resource_id}"
    fields = {
        "address": {"resource": f"{server.url}{path}/compare?from=1&to=2"},
        "path": {"resource": path},
        "id": {"resource": resource_id, "resource_type": "workflow"},
    }[given]
    browser = Browser(server).sign_in(tenant.ana)
    form = browser.see(pages(tenant)).form("/holds")
    page = browser.send(form, on="resource", reason="case 7", until="2040-01-02T03:04", **fields)
    assert "workflow Order ETL" in page.words
    (hold,) = holds_of(tenant)
    assert (hold["resource_type"], hold["resource_id"]) == ("workflow", resource_id)
    assert hold["until"].startswith("2040-01-02T03:04:00")


def test_the_end_of_a_hold_is_in_the_zone_of_its_reader(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    browser.http.cookies.set("tz", "Asia/Tokyo")
    page = browser.see(pages(tenant))
    assert "your zone is Asia/Tokyo" in page.words
    browser.send(page.form("/holds"), reason="case 7", until="2040-01-02T09:00")
    assert holds_of(tenant)[0]["until"].startswith("2040-01-02T00:00:00")


def test_a_user_of_a_hold_is_chosen_by_name(server: Server, tenant: Tenant) -> None:
    assert tenant.ben.user_id
    browser = Browser(server).sign_in(tenant.ana)
    page = browser.see(pages(tenant))
    (choice,) = page.root.all("select", name="user")
    ben = next(option for option in choice.all("option") if option.text == "ben")
    page = browser.send(page.form("/holds"), on="user", user=ben["value"], reason="case 7")
    assert "user ben" in page.words
    assert [hold["user_id"] for hold in holds_of(tenant)] == [tenant.ben.user_id]


def test_a_hold_on_a_former_user_keeps_the_name(server: Server, tenant: Tenant) -> None:
    ok(tenant.ana.delete(f"{tenant.path}/users/{tenant.ben.user_id}"), 204)
    browser = Browser(server).sign_in(tenant.ana)
    form = browser.see(pages(tenant)).form("/holds")
    page = browser.send(form, on="user", user_id=tenant.ben.user_id, reason="case 7")
    assert "user ben" in page.words


def test_a_hold_on_a_resource_that_was_deleted_for_good_keeps_its_name(
    server: Server, tenant: Tenant
) -> None:
    workflow = tenant.workflow(name="Order ETL")
    tenant.remove(workflow)
    tenant.remove(workflow, permanent="true")
    placed(tenant, resource_type="workflow", resource_id=workflow["resource_id"])
    assert "workflow Order ETL" in Browser(server).sign_in(tenant.ana).see(pages(tenant)).words


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"reason": " "}, "Reason"),
        ({"until": "2001-01-01T00:00"}, "is over already"),
        ({"until": "tomorrow"}, "Until"),
        ({"on": "resource", "resource": UNKNOWN, "resource_type": "job"}, "there is no such job"),
        ({"on": "resource", "resource": UNKNOWN}, "named by both its type and its id"),
        ({"on": "resource", "resource": ""}, "Resource"),
        ({"on": "user", "user_id": UNKNOWN}, "there is no such user"),
        ({"on": "user", "user_id": ""}, "User"),
        ({"on": "nothing"}, "User"),
    ],
)
def test_a_refused_hold_is_told_in_place_with_what_was_typed(
    server: Server, shared: Tenant, fields: dict[str, Any], told: str
) -> None:
    browser = Browser(server).sign_in(shared.ana)
    typed = {"on": "everything", "reason": "case <7>"} | fields
    page = browser.send(browser.see(pages(shared)).form("/holds"), **typed)
    assert (page.status, page.heading) == (422, "Legal holds")
    assert told in page.root.one("div", role="alert").text
    kept = page.form("/holds").fields
    assert {name: kept[name] for name in typed if name in kept} == {
        name: [value] for name, value in typed.items() if name in kept
    }
    assert holds_of(shared) == []


def test_a_form_sent_twice_places_one_hold(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    form = browser.see(pages(tenant)).form("/holds")
    for _ in range(2):
        assert browser.send(form, reason="case 7").status == 200
    assert len(holds_of(tenant)) == 1


def test_a_hold_is_released_with_a_reason_once(server: Server, tenant: Tenant) -> None:
    hold_id = placed(tenant)
    browser = Browser(server).sign_in(tenant.ana)
    page = browser.see(f"{pages(tenant)}/{hold_id}")
    form = page.form("/release")
    refused = browser.send(form, reason=" ")
    assert (refused.status, "Reason" in refused.root.one("div", role="alert").text) == (422, True)
    assert "The legal hold was released." in browser.send(form, reason="settled").words
    page = browser.see(f"{pages(tenant)}/{hold_id}")
    assert "settled" in page.words
    assert "Release the hold" not in page.words
    again = browser.post(f"{pages(tenant)}/{hold_id}/release", reason="again")
    assert again.status == 409
    assert "ana released the hold" in again.root.one("div", role="alert").text
    assert holds_of(tenant)[0]["release_reason"] == "settled"


def test_holds_of_another_tenant_are_not_there(server: Server, tenant: Tenant, stranger: Tenant) -> None:
    hold_id = placed(stranger)
    browser = Browser(server).sign_in(tenant.ana)
    browser.see(pages(stranger), 404)
    assert browser.see(f"{pages(tenant)}/{hold_id}", 404).heading == "No such legal hold"
    assert browser.see(f"{pages(tenant)}/{UNKNOWN}", 404).heading == "No such legal hold"
    assert browser.post(f"{pages(tenant)}/{hold_id}/release", reason="x").status == 404
    other = browser.send(
        browser.see(pages(tenant)).form("/holds"), on="user", user_id=stranger.ana.user_id, reason="x"
    )
    assert other.status == 422
    assert [hold["state"] for hold in holds_of(stranger)] == ["active"]


def test_hostile_words_of_a_hold_are_inert(server: Server, tenant: Tenant) -> None:
    name = '"><script>alert(1)</script>'
    workflow = tenant.workflow(name=name)
    hold_id = placed(tenant, reason=name, resource_type="workflow", resource_id=workflow["resource_id"])
    browser = Browser(server).sign_in(tenant.ana)
    for path in (pages(tenant), f"{pages(tenant)}/{hold_id}"):
        page = browser.see(path)
        assert page.words.count(name) >= 2
        assert len(page.root.all("script")) == 2


def test_a_closed_subscription_takes_holds(server: Server, tenant: Tenant) -> None:
    assert tenant.ana.key
    ok(server.operator.post(f"{tenant.path}/close", {"reason": "they leave"}))
    browser = Browser(server).sign_in(tenant.ana)
    assert browser.send(browser.see(pages(tenant)).form("/holds"), reason="case 7").status == 200
    assert len(holds_of(tenant)) == 1
