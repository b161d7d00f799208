"""Pages of check-outs: taken, renewed, released, taken away, and listed."""

import re
from typing import Any

import pytest

from tests.support.api import UNKNOWN, Server, Tenant, ok
from tests.support.events import audited
from tests.support.web import Browser, Page, page_of

HOSTILE = '"><script>alert(1)</script> \u202eevil \U0001f9ea'


def check_out(browser: Browser, path: str, **fields: Any) -> Page:
    """Fill the form of a check-out."""
    return browser.send(browser.see(f"{path}/check-out").form("/check-out"), **fields)


def test_a_check_out_leads_to_what_to_do_next(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"steps": []})
    browser = Browser(tenant.server).sign_in(tenant.ben)
    page = check_out(browser, page_of(tenant, workflow), reason="larger batches", ttl_seconds="3600")
    assert page.heading == f"You have it checked out: {workflow['name']}"
    assert f"annals check-in workflows/{workflow['resource_id']} document.json" in page.words
    assert "larger batches" in page.words
    (held,) = tenant.ana.get(f"{tenant.path}/check-outs").json()["theirs"]
    assert (held["checked_out_by_username"], held["reason"]) == ("ben", "larger batches")


def test_a_check_out_begins_with_the_chosen_version(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    tenant.save(workflow, {"n": 2})
    browser = Browser(tenant.server).sign_in(tenant.ben)
    page = check_out(browser, page_of(tenant, workflow), **{"from": "1"})
    assert "Begun with v1; the current version is v2" in page.words


def test_a_renewal_keeps_the_version_and_takes_the_new_reason(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ben)
    check_out(browser, page_of(tenant, workflow), reason="first")
    page = check_out(browser, page_of(tenant, workflow), reason="second")
    assert "second" in page.words
    assert audited(tenant, "CHECK_OUT") == 2


def test_a_form_sent_twice_checks_out_once(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ben)
    form = browser.see(f"{page_of(tenant, workflow)}/check-out").form("/check-out")
    answers = [browser.send(form, follow=False) for _ in range(2)]
    assert [each.status for each in answers] == [303, 303]
    assert audited(tenant, "CHECK_OUT") == 1


def test_who_comes_second_sees_who_was_first(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ben)
    form = browser.see(f"{page_of(tenant, workflow)}/check-out").form("/check-out")
    tenant.check_out(workflow, by=tenant.ana, reason="me first")
    page = browser.send(form)
    assert page.status == 423
    assert "ana holds the check-out" in page.words
    assert "me first" in page.words
    assert "An admin can take the check-out away." in page.words


@pytest.mark.parametrize(
    ("field", "value"),
    [("ttl_seconds", "604801"), ("ttl_seconds", "soon"), ("ttl_seconds", "-1"), ("reason", "x" * 10_001)],
)
def test_what_the_api_refuses_is_refused_in_place(tenant: Tenant, field: str, value: str) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ben)
    page = check_out(browser, page_of(tenant, workflow), **{field: value})
    assert (page.status, page.heading) == (422, f"Check out {workflow['name']}")
    assert "Not done." in page.words
    assert audited(tenant, "CHECK_OUT") == 0


def test_a_missing_version_is_not_found(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ben)
    assert check_out(browser, page_of(tenant, workflow), **{"from": "77"}).status == 404


def test_the_holder_releases_with_one_button(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ben)
    page = check_out(browser, page_of(tenant, workflow))
    form = page.form("/release")
    assert "The check-out is released" in browser.send(form).words
    assert audited(tenant, "CANCEL_CHECK_OUT") == 1
    # A second click finds that it is done.
    assert "Nobody has it checked out now." in browser.send(form).words
    assert audited(tenant, "CANCEL_CHECK_OUT") == 1


def test_an_admin_takes_a_check_out_away_after_a_page_that_says_what_is_lost(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow, by=tenant.ben, reason="mine")
    browser = Browser(tenant.server).sign_in(tenant.ana)
    page = browser.see(f"{page_of(tenant, workflow)}/release")
    assert page.heading == f"Take the check-out away: {workflow['name']}"
    assert "What is lost" in page.words
    browser.send(page.form("/release"))
    assert audited(tenant, "FORCE_CANCEL") == 1
    assert tenant.ana.get(f"{tenant.path}/check-outs").json()["theirs"] == []


def test_force_ends_only_the_check_out_that_the_page_showed(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow, by=tenant.ben)
    browser = Browser(tenant.server).sign_in(tenant.ana)
    form = browser.see(f"{page_of(tenant, workflow)}/release").form("/release")
    tenant.ben.delete(f"{tenant.at(workflow)}/check-out")
    eve = tenant.user("eve", "editor")
    tenant.check_out(workflow, by=eve)
    page = browser.send(form)
    assert page.status == 409
    assert "eve holds the check-out." in page.words
    assert audited(tenant, "FORCE_CANCEL") == 0


@pytest.mark.parametrize("by", ["ana", "ben"])
def test_a_page_of_an_earlier_check_out_does_not_end_the_next_one(tenant: Tenant, by: str) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow, by=tenant.ben)
    browser = Browser(tenant.server).sign_in(tenant.caller(by))
    form = browser.see(f"{page_of(tenant, workflow)}/release").form("/release")
    tenant.ben.delete(f"{tenant.at(workflow)}/check-out")
    tenant.check_out(workflow, by=tenant.ben)
    page = browser.send(form)
    assert page.status == 409
    assert "ben released that check-out, and holds a newer one." in page.words
    # The page that answers shows the newer one, and its form ends it.
    assert "The check-out is released" in browser.send(page.form("/release")).words


def test_the_command_for_the_holder_keeps_the_time_that_was_chosen(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ben)
    page = check_out(browser, page_of(tenant, workflow), ttl_seconds="604800")
    found = re.search(r"--ttl (\d+) --to document.json", page.words)
    assert found
    assert 604_700 < int(found[1]) <= 604_800


def test_an_editor_is_told_that_an_admin_may_take_it_away(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow, by=tenant.ana)
    browser = Browser(tenant.server).sign_in(tenant.ben)
    page = browser.see(f"{page_of(tenant, workflow)}/release")
    assert "Only ana can release it. An admin can take it away." in page.words
    assert all("release" not in form.action for form in page.forms)
    refused = browser.post(f"{page_of(tenant, workflow)}/release", force="1")
    assert refused.status == 403
    assert "take another's check-out away" in refused.words
    own = browser.post(f"{page_of(tenant, workflow)}/release")
    assert (own.status, "ana holds the check-out." in own.words) == (409, True)


@pytest.mark.parametrize("role", ["vera", "aud"])
@pytest.mark.parametrize("name", ["check-out", "release"])
def test_who_may_not_write_is_told_so(tenant: Tenant, role: str, name: str) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.caller(role))
    for page in (
        browser.get(f"{page_of(tenant, workflow)}/{name}"),
        browser.post(f"{page_of(tenant, workflow)}/{name}"),
    ):
        assert page.status == 403
        assert "may not change resources" in page.words
    assert audited(tenant, "CHECK_OUT") == 0


def test_the_page_lists_ours_and_theirs(tenant: Tenant) -> None:
    mine, other, soon = (
        tenant.workflow(name="mine"),
        tenant.workflow(name="other"),
        tenant.workflow(name="brief"),
    )
    tenant.check_out(mine, by=tenant.ben, reason="because")
    tenant.check_out(other, by=tenant.ana)
    tenant.check_out(soon, by=tenant.ana, ttl_seconds=600)
    page = Browser(tenant.server).sign_in(tenant.ben).see(f"/s/{tenant.subscription_id}/check-outs")
    assert [each.text for each in page.root.all("h2")] == ["Yours", "Of others"]
    assert "because" in page.words
    assert page.words.count("ends soon") == 1
    assert "Take away" not in page.words
    admin = Browser(tenant.server).sign_in(tenant.ana).see(f"/s/{tenant.subscription_id}/check-outs")
    assert admin.words.count("Take away…") == 1


def test_an_empty_list_says_that_nobody_edits(tenant: Tenant) -> None:
    path = f"/s/{tenant.subscription_id}/check-outs"
    page = Browser(tenant.server).sign_in(tenant.ben).see(path)
    assert "Nobody edits anything now." in page.words
    assert "annals check-out" in page.words
    assert "annals check-out" not in Browser(tenant.server).sign_in(tenant.vera).see(path).words


def test_what_people_typed_is_shown_as_text(tenant: Tenant) -> None:
    name = '"><script>alert(1)</script> naïve'
    workflow = tenant.workflow(name=name)
    browser = Browser(tenant.server).sign_in(tenant.ben)
    page = check_out(browser, page_of(tenant, workflow), reason=HOSTILE)
    listed = browser.see(f"/s/{tenant.subscription_id}/check-outs")
    for each in (page, listed):
        assert "<script>alert" not in each.source
        assert "<script>alert(1)</script>" in each.words


def test_another_tenants_resource_is_not_found(tenant: Tenant, stranger: Tenant, server: Server) -> None:
    theirs = stranger.workflow()
    browser = Browser(server).sign_in(tenant.ana)
    for name in ("check-out", "release"):
        known = browser.get(f"/s/{tenant.subscription_id}/workflows/{theirs['resource_id']}/{name}")
        unknown = browser.get(f"/s/{tenant.subscription_id}/workflows/{UNKNOWN}/{name}")
        assert (known.status, unknown.status) == (404, 404)
        assert known.heading == unknown.heading
        assert browser.get(f"{page_of(stranger, theirs)}/{name}").status == 404
        assert browser.post(f"{page_of(stranger, theirs)}/{name}").status == 404


def test_a_deleted_resource_is_not_checked_out(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.remove(workflow)
    browser = Browser(tenant.server).sign_in(tenant.ben)
    page = browser.get(f"{page_of(tenant, workflow)}/check-out")
    assert page.status == 409
    assert "restore it first" in page.words


def test_a_closed_subscription_offers_no_change(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ana)
    assert "Delete…" in browser.see(page_of(tenant, workflow)).words
    ben = tenant.ben.user_id
    ok(tenant.server.operator.post(f"{tenant.path}/close", {"reason": "they leave"}))
    page = browser.see(page_of(tenant, workflow))
    assert "This subscription is closed: it can be read, and not changed." in page.words
    for word in ("Delete…", "Check out…", "Publish…", "Your role"):
        assert word not in page.words
    assert "New workspace…" not in browser.see(f"/s/{tenant.subscription_id}/resources").words
    settings = browser.see(f"/s/{tenant.subscription_id}/settings/users").words
    assert settings.count("This subscription is closed") == 1
    user = browser.see(f"/s/{tenant.subscription_id}/settings/users/{ben}").words
    assert "reads this page" not in user
