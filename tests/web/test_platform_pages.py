"""The operator's pages: subscriptions with their first admins, closing and reopening them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from service.usecases.maintenance import purge_closed
from service.web import words
from tests.support.api import UNKNOWN, Server, Tenant, ok
from tests.support.closings import closed
from tests.support.job_runs import carried_out
from tests.support.web import Browser, Page

SECRET = re.compile(r"annals_[0-9a-f]{32}_[A-Za-z0-9_-]+")
HOSTILE = '"><script>alert(1)</script>'


def named(server: Server, name: str) -> list[Any]:
    return [each for each in server.operator.pages("/v1/subscriptions", limit=200) if each["name"] == name]


def terms(name: str) -> dict[str, Any]:
    return {"name": name, "username": "ada", "email": "ada@example.org"}


def operator_of(server: Server) -> Browser:
    return Browser(server).sign_in(server.operator)


@contextmanager
def without_room_for_keys(server: Server) -> Iterator[None]:
    """Make the database refuse new API keys, as it does while its disk is full."""
    with server.database.connection() as connection:
        connection.execute(
            "CREATE FUNCTION test_no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full'; END $$;"
            " CREATE TRIGGER test_no_room BEFORE INSERT ON api_keys FOR EACH ROW"
            " EXECUTE FUNCTION test_no_room()"
        )
    try:
        yield
    finally:
        with server.database.connection() as connection:
            connection.execute("DROP FUNCTION test_no_room() CASCADE")


@pytest.mark.parametrize("name", ["vera", "ben", "aud", "ana"])
def test_a_tenants_caller_gets_no_platform(server: Server, shared: Tenant, name: str) -> None:
    browser = Browser(server).sign_in(shared.caller(name))
    page = browser.see("/platform", 403)
    assert "may not read the logs of the platform" in page.words
    assert "no role of a subscription opens them" in page.words
    assert "/platform" not in browser.see(f"/s/{shared.subscription_id}/settings/sessions").links
    assert browser.post("/platform/new", **terms("mine")).status == 403
    browser.see(f"/platform/{shared.subscription_id}", 403)
    browser.see("/platform/sessions", 403)
    assert "may not create subscriptions" in browser.see("/platform/new", 403).words
    for do in ("", "/close", "/reopen"):
        assert browser.post(f"/platform/{shared.subscription_id}{do}", reason="x").status == 403
    assert browser.post("/platform/sessions/end-others").status == 403


def test_another_tenants_page_of_the_platform_is_not_there(
    server: Server, shared: Tenant, stranger: Tenant
) -> None:
    browser = Browser(server).sign_in(shared.ana)
    heading = browser.see(f"/platform/{UNKNOWN}", 404).heading
    assert browser.see(f"/platform/{stranger.subscription_id}", 404).heading == heading
    assert browser.post(f"/platform/{stranger.subscription_id}/close", reason="x").status == 404


def test_the_operator_begins_on_the_platform(server: Server, shared: Tenant) -> None:
    page = operator_of(server).get("/", follow=True)
    assert (page.heading, shared.subscription["name"] in page.words) == ("Platform", True)


def test_a_subscription_is_created_with_an_admin_who_signs_in(server: Server) -> None:
    name = f"Kiln {uuid4()}"
    browser = operator_of(server)
    form = browser.see("/platform/new").form("/platform/new")
    page = browser.send(form, **terms(name), require_if_match="yes")
    (secret,) = set(SECRET.findall(page.source))
    assert (page.status, page.headers["cache-control"]) == (200, "private, no-store")
    assert "content-encoding" not in page.headers
    assert "First key of ada" in page.words
    (made,) = named(server, name)
    assert made["require_if_match"] is True
    home = browser.see(page.link("To the subscription"))
    assert ("ada, admin" in home.words, SECRET.findall(home.source)) == (True, [])
    key = Browser(server)
    assert key.post("/sign-in", key=secret, follow=False).location == f"/s/{made['subscription_id']}"


def test_a_form_sent_twice_creates_one_subscription_and_shows_one_key(server: Server) -> None:
    name = f"Kiln {uuid4()}"
    browser = operator_of(server)
    form = browser.see("/platform/new").form("/platform/new")
    first, second = (browser.send(form, **terms(name)) for _ in range(2))
    assert (len(SECRET.findall(first.source)) > 0, SECRET.findall(second.source)) == (True, [])
    assert "This form was sent twice." in second.words
    (made,) = named(server, name)
    for noun in ("users", "api-keys"):
        assert len(server.operator.pages(f"/v1/subscriptions/{made['subscription_id']}/{noun}")) == 1


def test_a_subscription_whose_key_can_not_be_stored_is_not_made(server: Server) -> None:
    name = f"Kiln {uuid4()}"
    browser = operator_of(server)
    form = browser.see("/platform/new").form("/platform/new")
    with without_room_for_keys(server):
        failed = browser.send(form, **terms(name))
    assert (failed.status, named(server, name)) == (503, [])
    assert "Nothing was changed." in failed.words
    # Neither the same form nor a new one finds a part of the first.
    again = browser.send(form, **terms(name))
    assert (again.status, len(set(SECRET.findall(again.source)))) == (200, 1)
    (made,) = named(server, name)
    here = f"/v1/subscriptions/{made['subscription_id']}"
    assert [len(server.operator.pages(f"{here}/{noun}")) for noun in ("users", "api-keys")] == [1, 1]
    rows = server.database.rows(
        "SELECT resource_type FROM audit_logs WHERE subscription_id = %s AND action = 'CREATE'"
        " AND status = 'success' ORDER BY 1",
        made["subscription_id"],
    )
    assert rows == [("api_key",), ("subscription",), ("user",)]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": " "}, "Name"),
        ({"username": "<b>"}, "Name of its first admin"),
        ({"email": "none"}, "E-mail"),
        ({"email": ""}, "E-mail"),
        ({"expires_in_days": "never"}, "Days"),
    ],
)
def test_a_refused_subscription_is_told_in_place_and_nothing_is_made(
    server: Server, fields: dict[str, Any], told: str
) -> None:
    name = f"Kiln {uuid4()}"
    browser = operator_of(server)
    typed = terms(name) | fields
    page = browser.send(browser.see("/platform/new").form("/platform/new"), **typed)
    assert (page.status, page.heading) == (422, "Create a subscription")
    assert told in page.root.one("div", role="alert").text
    assert page.form("/platform/new").fields["username"] == [typed["username"]]
    assert named(server, name) == []


def test_a_subscription_is_closed_by_its_typed_name_and_reopened(server: Server, tenant: Tenant) -> None:
    browser = operator_of(server)
    here = f"/platform/{tenant.subscription_id}"
    page = browser.see(here)
    assert "For 30 days: you can reopen it." in page.words
    wrong = browser.send(page.form("/close"), reason="they <leave>", typed_name="acmee")
    assert (wrong.status, "nothing was closed" in wrong.words) == (422, True)
    kept = wrong.form("/close").fields
    assert (kept["reason"], kept["typed_name"]) == (["they <leave>"], ["acmee"])
    assert ok(server.operator.get(tenant.path))["closed_at"] is None
    page = browser.send(wrong.form("/close"), typed_name="ac\u200bme")
    assert "The subscription was closed." in page.words
    assert "they <leave>" in page.words
    assert "closed" in browser.see("/platform").words
    page = browser.send(page.form("/reopen"), reason="they stay")
    assert "The subscription was reopened." in page.words
    assert ok(server.operator.get(tenant.path))["closed_at"] is None


def test_a_legal_hold_forbids_to_close_in_place(server: Server, tenant: Tenant) -> None:
    ok(server.operator.post(f"{tenant.path}/holds", {"reason": "case 7"}), 201)
    browser = operator_of(server)
    form = browser.see(f"/platform/{tenant.subscription_id}").form("/close")
    page = browser.send(form, reason="they leave", typed_name="acme")
    assert (page.status, page.heading) == (409, "acme")
    assert "The legal hold" in page.root.one("div", role="alert").text
    assert ok(server.operator.get(tenant.path))["closed_at"] is None


def test_what_is_closed_already_is_told_in_place(server: Server, tenant: Tenant) -> None:
    browser = operator_of(server)
    here = f"/platform/{tenant.subscription_id}"
    form = browser.see(here).form("/close")
    ok(server.operator.post(f"{tenant.path}/close", {"reason": "they leave"}))
    page = browser.send(form, reason="they leave", typed_name="acme")
    assert (page.status, "is closed already" in page.words) == (409, True)
    assert browser.send(page.form("/reopen"), reason="they stay").status == 200
    assert browser.post(f"{here}/reopen", reason="again").status == 409


def test_quotas_and_their_use_are_shown(server: Server, tenant: Tenant) -> None:
    _ = tenant.workspace_id
    ok(server.operator.patch(tenant.path, {"quotas": {"resources": 10}}))
    page = operator_of(server).see(f"/platform/{tenant.subscription_id}")
    assert "resources 1 10" in page.words
    assert "log rows today not counted none" in page.words


def row_of(page: Page, name: str) -> str:
    return next(row.text for row in page.root.all("tr") if name in row.text)


def test_the_list_tells_sizes_and_the_last_version(server: Server, tenant: Tenant) -> None:
    name = f"Kiln {uuid4()}"
    ok(server.operator.patch(tenant.path, {"name": name}))
    browser = operator_of(server)
    assert "Last version: none yet" in row_of(browser.see("/platform"), name)
    workflow = tenant.workflow()
    tenant.save(workflow, {"nodes": []})
    tenant.remove(tenant.workflow(name="Gone"))
    used = ok(server.operator.get(tenant.path))["quotas"]
    versions = server.database.value(
        "SELECT count(*) FROM versions WHERE subscription_id = %s", tenant.subscription_id
    )
    row = row_of(browser.see("/platform"), name)
    assert f"Resources: {used['resources']['used']} " in row
    assert f"Versions: {versions} " in row
    assert f"Repository: {words.size(used['repository_bytes']['used'])} " in row
    assert "Last version: just now" in row
    page = browser.see(f"/platform/{tenant.subscription_id}")
    assert f"{versions}, the last one just now" in page.words


def test_a_purged_subscription_has_no_size(lone: Tenant) -> None:
    lone.workflow()
    closed(lone)
    with lone.server.clock.moved(days=31):
        carried_out(lone.server, purge_closed.NAME, purge_closed.run)
        browser = operator_of(lone.server)
        assert "its content was purged" in row_of(browser.see("/platform"), "acme")
        page = browser.see(f"/platform/{lone.subscription_id}")
        assert "it can't be reopened" in page.words
        assert [form.action for form in page.forms if form.action.startswith("/platform")] == []


def test_the_operator_sets_quotas_and_the_name(server: Server, tenant: Tenant) -> None:
    browser = operator_of(server)
    here = f"/platform/{tenant.subscription_id}"
    page = browser.send(
        browser.see(here).form(here),
        name="Kiln works",
        repository_bytes="1.5 GiB",
        resources="many",
        versions_a_day="1,000",
    )
    assert (page.status, page.heading) == (422, "acme")
    told = page.root.one("div", role="alert").text
    assert "Size of the repository: write a size" in told
    assert "Live resources: write a whole number" in told
    assert ok(server.operator.get(tenant.path))["name"] == "acme"
    page = browser.send(page.form(here), repository_bytes="20 GiB", resources="400")
    assert ("The settings are stored." in page.words, page.heading) == (True, "Kiln works")
    limits = {name: each["limit"] for name, each in ok(server.operator.get(tenant.path))["quotas"].items()}
    assert limits == {
        "repository_bytes": 20 * 1024**3,
        "resources": 400,
        "versions_a_day": 1000,
        "log_rows_a_day": None,
    }
    assert page.form(here).value("repository_bytes") == "20 GiB"
    browser.send(page.form(here), repository_bytes="")
    assert ok(server.operator.get(tenant.path))["quotas"]["repository_bytes"]["limit"] is None


def test_a_form_of_quotas_changes_what_its_sender_changed(server: Server, tenant: Tenant) -> None:
    browser = operator_of(server)
    here = f"/platform/{tenant.subscription_id}"
    form = browser.see(here).form(here)
    ok(server.operator.patch(tenant.path, {"name": "renamed", "quotas": {"versions_a_day": 7}}))
    browser.send(form, resources="9")
    found = ok(server.operator.get(tenant.path))
    assert (found["name"], found["quotas"]["versions_a_day"]["limit"]) == ("renamed", 7)
    assert found["quotas"]["resources"]["limit"] == 9


def test_a_quota_that_somebody_else_set_meanwhile_is_not_replaced_unseen(
    server: Server, tenant: Tenant
) -> None:
    browser = operator_of(server)
    here = f"/platform/{tenant.subscription_id}"
    form = browser.see(here).form(here)
    quotas = {"resources": 7, "repository_bytes": 1024**3}
    ok(server.operator.patch(tenant.path, {"name": "theirs", "quotas": quotas}))
    page = browser.send(form, name="mine", repository_bytes="2 GiB", log_rows_a_day="9")
    told = page.root.one("div", role="alert").text
    assert (page.status, "Name: now theirs" in told) == (412, True)
    assert "Size of the repository: now 1 GiB" in told
    again = page.form(here)
    assert [again.value(name) for name in ("name", "repository_bytes", "resources")] == ["mine", "2 GiB", "7"]
    assert ok(server.operator.get(tenant.path))["quotas"]["log_rows_a_day"]["limit"] is None
    assert "The settings are stored." in browser.send(again).words
    found = ok(server.operator.get(tenant.path))
    assert (found["name"], found["quotas"]["repository_bytes"]["limit"]) == ("mine", 2 * 1024**3)
    assert "Nothing was changed" in browser.send(browser.see(here).form(here), resources="007").words


def test_a_closed_subscription_has_no_form_of_settings(server: Server, tenant: Tenant) -> None:
    browser = operator_of(server)
    here = f"/platform/{tenant.subscription_id}"
    form = browser.see(here).form(here)
    ok(server.operator.post(f"{tenant.path}/close", {"reason": "they leave"}))
    assert browser.send(form, resources="9").status == 409
    assert [each.action for each in browser.see(here).forms if each.action == here] == []


def test_the_first_user_of_a_subscription_is_added_by_the_operator(server: Server, tenant: Tenant) -> None:
    browser = operator_of(server)
    page = browser.see(f"/platform/{tenant.subscription_id}")
    assert "nobody can sign in yet" in page.words
    users = browser.see(page.link("Users"))
    page = browser.send(users.form("/users"), username="ada", email="ada@example.org", role="admin")
    page = browser.send(page.form("/keys"), name="first")
    assert len(set(SECRET.findall(page.source))) == 1


def test_a_hostile_name_of_a_subscription_is_inert(server: Server) -> None:
    made = ok(server.operator.post("/v1/subscriptions", {"name": HOSTILE}), 201)
    browser = operator_of(server)
    for path in ("/platform", f"/platform/{made['subscription_id']}"):
        page = browser.see(path)
        assert HOSTILE in page.words
        assert len(page.root.all("script")) == 2


def test_subscriptions_come_page_by_page(server: Server) -> None:
    oldest = f"oldest {uuid4()}"
    for name in (oldest, *(f"other {number}" for number in range(25))):
        ok(server.operator.post("/v1/subscriptions", {"name": name}), 201)
    browser = operator_of(server)
    first = browser.see("/platform")
    assert oldest not in first.words
    assert oldest in browser.see(first.link("Older")).words
