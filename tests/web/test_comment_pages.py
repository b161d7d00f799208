"""Pages of comments on a version, and of its tag."""

from typing import Any

import pytest

from tests.support.api import UNKNOWN, Json, Tenant, ok
from tests.support.web import Browser, page_of


def version_page(tenant: Tenant, resource: Json, ref: object = 1) -> str:
    """Return the path of the page of a version."""
    return f"{page_of(tenant, resource)}/versions/{ref}"


def comments(tenant: Tenant, resource: Json) -> list[str]:
    """Return the comments on version 1, newest first."""
    return [each["text"] for each in tenant.ana.pages(f"{tenant.at(resource)}/versions/1/comments")]


def tag(tenant: Tenant, resource: Json, number: int = 1) -> str | None:
    """Return the tag of a version."""
    found: str | None = ok(tenant.ana.get(f"{tenant.at(resource)}/versions/{number}"))["version_tag"]
    return found


def test_a_comment_is_stored(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ben)
    form = browser.see(f"{version_page(tenant, workflow)}/comments").form("/comments")
    page = browser.send(form, follow=False, text="Two lines\r\nof reasons")
    assert page.location == f"{version_page(tenant, workflow)}?done=commented"
    assert comments(tenant, workflow) == ["Two lines\nof reasons"]


def test_the_longest_comment_is_taken_in_any_script_and_read_whole(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ben)
    text = "历史" * 5_000
    browser.send(browser.see(f"{version_page(tenant, workflow)}/comments").form("/comments"), text=text)
    assert text in browser.see(version_page(tenant, workflow)).words


def test_a_comment_sent_twice_is_stored_once(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ben)
    form = browser.see(f"{version_page(tenant, workflow)}/comments").form("/comments")
    for text in ("first", "first", "second"):
        browser.send(form, follow=False, text=text)
    assert comments(tenant, workflow) == ["second", "first"]


@pytest.mark.parametrize("text", ["", " \n ", "x" * 10_001])
def test_a_comment_that_can_not_be_stored_is_kept_in_the_form(tenant: Tenant, text: str) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ben)
    form = browser.see(f"{version_page(tenant, workflow)}/comments").form("/comments")
    page = browser.send(form, text=text)
    assert page.status == 422
    assert page.form("/comments").value("text") == text.strip()
    assert comments(tenant, workflow) == []


def test_a_tag_is_set_replaced_and_removed(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ben)
    path = f"{version_page(tenant, workflow)}/tag"
    browser.send(browser.see(path).form("/tag"), follow=False, tag="v1.0")
    assert tag(tenant, workflow) == "v1.0"
    browser.send(browser.see(path).form("/tag"), follow=False, tag="v1.1")
    assert tag(tenant, workflow) == "v1.1"
    browser.send(browser.see(path).form("/tag/remove"), follow=False)
    assert tag(tenant, workflow) is None
    assert not [each for each in browser.see(path).forms if each.action.endswith("/remove")]


def test_a_tag_sent_twice_is_set_once(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ben)
    form = browser.see(f"{version_page(tenant, workflow)}/tag").form("/tag")
    for _ in range(2):
        assert browser.send(form, follow=False, tag="v1.0").status == 303
    rows = tenant.server.database.rows(
        "SELECT 1 FROM audit_logs WHERE subscription_id = %s AND action = 'TAG'", tenant.subscription_id
    )
    assert len(rows) == 1


@pytest.mark.parametrize("typed", ["v1.0", "V1.0"])
def test_a_taken_tag_names_the_version_that_has_it(tenant: Tenant, typed: str) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    tenant.save(workflow, {"n": 2})
    ok(tenant.ana.put(f"{tenant.at(workflow)}/versions/1/tag", {"tag": "v1.0"}))
    browser = Browser(tenant.server).sign_in(tenant.ben)
    page = browser.send(browser.see(f"{version_page(tenant, workflow, 2)}/tag").form("/tag"), tag=typed)
    assert page.status == 409
    assert "The tag names v1 (v1.0), by ana" in page.words
    assert page.form("/tag").value("tag") == typed
    assert tag(tenant, workflow, 2) is None


@pytest.mark.parametrize("typed", ["", "current", "12", "a b", "-x", '"><script>alert(1)</script>'])
def test_what_is_no_tag_is_refused_in_place(tenant: Tenant, typed: str) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ben)
    page = browser.send(browser.see(f"{version_page(tenant, workflow)}/tag").form("/tag"), tag=typed)
    assert page.status == 422
    assert page.form("/tag").value("tag") == typed
    assert "<script>alert" not in page.source
    assert tag(tenant, workflow) is None


def test_a_tag_is_refused_where_another_version_came_meanwhile(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    browser = Browser(tenant.server).sign_in(tenant.ben)
    form = browser.see(f"{version_page(tenant, workflow, 'current')}/tag").form("/tag")
    tenant.save(workflow, {"n": 2})
    page = browser.send(form, tag="v1.0")
    assert page.status == 412
    assert "at version 2 now" in page.words
    assert browser.send(page.form("/tag"), follow=False).status == 303
    assert tag(tenant, workflow) == "v1.0"


@pytest.mark.parametrize("action", ["/tag", "/tag/remove"])
def test_a_tag_that_somebody_else_set_meanwhile_is_not_replaced_unseen(tenant: Tenant, action: str) -> None:
    workflow = tenant.workflow()
    here = f"{tenant.at(workflow)}/versions/1/tag"
    ok(tenant.ana.put(here, {"tag": "v1.0"}))
    browser = Browser(tenant.server).sign_in(tenant.ben)
    form = browser.see(f"{version_page(tenant, workflow)}/tag").form(action)
    ok(tenant.ana.put(here, {"tag": "v2.0"}))
    fields: dict[str, Any] = {"tag": "v3.0"} if action == "/tag" else {}
    page = browser.send(form, **fields)
    assert (page.status, "has the tag v2.0 now" in page.words) == (412, True)
    assert tag(tenant, workflow) == "v2.0"
    again = page.form(action)
    assert action != "/tag" or again.value("tag") == "v3.0"
    browser.send(again)
    assert tag(tenant, workflow) == ("v3.0" if action == "/tag" else None)


@pytest.mark.parametrize("role", ["vera", "aud"])
@pytest.mark.parametrize("name", ["comments", "tag"])
def test_who_may_not_write_is_told_so(tenant: Tenant, role: str, name: str) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.caller(role))
    path = f"{version_page(tenant, workflow)}/{name}"
    for page in (browser.get(path), browser.post(path, text="x", tag="x")):
        assert page.status == 403
        assert "may not change resources" in page.words
    assert (comments(tenant, workflow), tag(tenant, workflow)) == ([], None)


@pytest.mark.parametrize("name", ["comments", "tag"])
def test_what_another_tenant_has_is_not_found(tenant: Tenant, stranger: Tenant, name: str) -> None:
    theirs = stranger.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ana)
    for resource_id in (theirs["resource_id"], UNKNOWN):
        path = f"/s/{tenant.subscription_id}/workflows/{resource_id}/versions/1/{name}"
        assert (browser.get(path).status, browser.post(path, text="x", tag="x").status) == (404, 404)
    assert browser.post(f"{version_page(stranger, theirs)}/{name}", text="x", tag="x").status == 404
    assert (comments(stranger, theirs), tag(stranger, theirs)) == ([], None)


@pytest.mark.parametrize("name", ["comments", "tag"])
def test_a_version_that_is_not_there_is_not_found(tenant: Tenant, name: str) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ben)
    assert browser.get(f"{version_page(tenant, workflow, 7)}/{name}").status == 404
