"""The audit policy by pages: who reads it, a draft step by step, and saving it."""

from typing import Any

import pytest

from tests.support.api import Json, Server, Tenant, ok
from tests.support.web import Browser, Page

READS = {"resource_type": "*", "action": "READ", "depth": "none"}
ALL = {"resource_type": "*", "action": "*", "depth": "metadata"}
FULL = {"resource_type": "workflow", "action": "UPDATE", "depth": "full"}


def pages(tenant: Tenant) -> str:
    return f"/s/{tenant.subscription_id}/settings/policy"


def rules_of(tenant: Tenant) -> list[Json]:
    found = ok(tenant.ana.get(f"{tenant.path}/audit-policy"))["rules"]
    assert isinstance(found, list)
    return found


def set_rules(tenant: Tenant, *rules: Json) -> None:
    ok(tenant.ana.put(f"{tenant.path}/audit-policy", {"rules": list(rules)}))


def draft(page: Page) -> list[tuple[str, ...]]:
    """Rules in the form of a page."""
    fields = page.form("/settings/policy").fields
    names = ("resource_type", "action", "depth")
    return list(zip(*(fields.get(name, []) for name in names), strict=True))


def step(browser: Browser, page: Page, do: str, **fields: Any) -> Page:
    return browser.send(page.form("/settings/policy"), do=do, **fields)


@pytest.mark.parametrize(
    ("name", "status"), [("vera", 403), ("ben", 403), ("aud", 200), ("ana", 200), ("operator", 403)]
)
def test_who_reads_the_policy(server: Server, tenant: Tenant, name: str, status: int) -> None:
    set_rules(tenant, READS)
    page = Browser(server).sign_in(tenant.caller(name)).see(pages(tenant), status)
    if status == 200:
        assert "READ" in page.words
    assert ("Save the policy" in page.words) == (name == "ana")


@pytest.mark.parametrize("name", ["vera", "ben", "aud", "operator"])
def test_who_may_not_change_the_policy_is_told(server: Server, tenant: Tenant, name: str) -> None:
    set_rules(tenant, READS)
    browser = Browser(server).sign_in(tenant.caller(name))
    assert browser.post(pages(tenant), do="save").status == 403
    assert rules_of(tenant) == [READS]


def test_an_auditor_reads_rules_in_words(server: Server, tenant: Tenant) -> None:
    set_rules(tenant, READS, FULL)
    page = Browser(server).sign_in(tenant.aud).see(pages(tenant))
    assert "Rule 1 READ On: everything none: nothing" in page.words
    assert "Rule 2 UPDATE On: workflow full: also both bodies" in page.words
    assert "An admin changes it." in page.words


def test_a_policy_is_made_by_steps_and_stored_when_it_is_saved(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    page = browser.see(pages(tenant))
    assert "No rule" in page.words
    page = step(browser, page, "add", new_action="*", new_resource_type="*", new_depth="metadata")
    assert "This is a draft." in page.words
    page = step(browser, page, "add", new_action="READ", new_resource_type="*", new_depth="none")
    page = step(browser, page, "add", new_action="UPDATE", new_resource_type="workflow", new_depth="full")
    page = step(browser, page, "up-1")
    page = step(browser, page, "down-1")
    page = step(browser, page, "up-2")
    assert rules_of(tenant) == []
    page = step(browser, page, "save")
    assert (page.status, "The policy was saved." in page.words) == (200, True)
    assert rules_of(tenant) == [READS, ALL, FULL]
    assert "This is a draft." not in page.words


def test_a_step_changes_the_draft_alone(server: Server, tenant: Tenant) -> None:
    set_rules(tenant, READS, ALL)
    browser = Browser(server).sign_in(tenant.ana)
    page = browser.see(pages(tenant))
    reads, everything = ("*", "READ", "none"), ("*", "*", "metadata")
    assert draft(page) == [reads, everything]
    assert draft(step(browser, page, "remove-0")) == [everything]
    assert draft(step(browser, page, "up-1")) == [everything, reads]
    assert draft(step(browser, page, "down-0")) == [everything, reads]
    for do in ("up-0", "down-1", "remove-2", "remove--1", "remove-²", "remove-x", "nothing", ""):
        assert draft(step(browser, page, do)) == [reads, everything], do
    assert rules_of(tenant) == [READS, ALL]


def test_a_policy_that_another_saved_meanwhile_is_not_replaced_unseen(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    page = step(browser, browser.see(pages(tenant)), "add", new_action="*", new_resource_type="*")
    set_rules(tenant, READS)
    page = step(browser, page, "save")
    assert (page.status, draft(page)) == (412, [("*", "*", "metadata")])
    assert "somebody else saved another policy" in page.words
    assert rules_of(tenant) == [READS]
    step(browser, page, "save")
    assert rules_of(tenant) == [ALL]


def test_a_depth_is_changed_in_its_row(server: Server, tenant: Tenant) -> None:
    set_rules(tenant, READS, ALL)
    browser = Browser(server).sign_in(tenant.ana)
    step(browser, browser.see(pages(tenant)), "save", depth=["metadata", "changes"])
    assert [rule["depth"] for rule in rules_of(tenant)] == ["metadata", "changes"]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (("*", "CREATE", "none"), "can be left out"),
        (("*", "READ", "none"), "is about the same type and action"),
        (("no_such", "READ", "none"), "one of the choices"),
        (("*", '"><script>', "none"), "one of the choices"),
        (("*", "READ", "deep"), "Rules"),
    ],
)
def test_a_refused_policy_is_told_in_place_with_the_draft(
    server: Server, tenant: Tenant, rule: tuple[str, str, str], told: str
) -> None:
    set_rules(tenant, READS)
    browser = Browser(server).sign_in(tenant.ana)
    page = browser.see(pages(tenant))
    names = ("new_resource_type", "new_action", "new_depth")
    page = step(browser, page, "add", **dict(zip(names, rule, strict=True)))
    page = step(browser, page, "save", depth=["none", rule[2]])
    assert (page.status, page.heading) == (422, "Audit policy")
    assert told in page.root.one("div", role="alert").text
    assert draft(page)[1][:2] == rule[:2]
    assert rules_of(tenant) == [READS]


def test_a_policy_has_at_most_a_hundred_rules(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    many: Json = {"resource_type": ["*"] * 150, "action": ["READ"] * 150, "depth": ["none"] * 150}
    page = browser.post(pages(tenant), do="save", **many)
    assert page.status == 422
    assert len(draft(page)) == 101
    page = browser.post(pages(tenant), do="", **{name: value[:100] for name, value in many.items()})
    assert "A policy has at most 100 rules." in page.words
    assert len(page.source) < 150_000
    assert len(list(page.root.elements())) < 3_000


def test_the_policy_of_another_tenant_is_not_there(server: Server, tenant: Tenant, stranger: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    browser.see(pages(stranger), 404)
    assert browser.post(pages(stranger), do="save").status == 404


def test_saving_the_same_policy_again_is_no_change(server: Server, tenant: Tenant) -> None:
    browser = Browser(server).sign_in(tenant.ana)
    page = step(
        browser, browser.see(pages(tenant)), "add", new_action="READ", new_resource_type="*", new_depth="none"
    )
    for _ in range(2):
        assert "The policy was saved." in step(browser, page, "save").words
    assert "Nothing was changed" in step(browser, browser.see(pages(tenant)), "save").words
    rows = server.database.rows(
        "SELECT 1 FROM data_change_history WHERE subscription_id = %s AND table_name = 'audit_policies'",
        tenant.subscription_id,
    )
    assert len(rows) == 1
