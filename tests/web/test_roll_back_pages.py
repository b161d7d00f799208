"""Pages that roll a resource back: what is seen first, and that nothing else is done."""

import pytest

from tests.support.api import Json, Tenant, ok
from tests.support.compared_pages import deed, graph, graphed, signed_in
from tests.support.web import Browser, Page, page_of

HOSTILE = '"><script>alert(1)</script>\u202e\u200b😀'


@pytest.fixture
def orders(tenant: Tenant) -> Json:
    return graphed(tenant, graph("read", "load"), graph("read", "check", "load"), name="Orders")


def shown(tenant: Tenant, workflow: Json, to: str = "2", browser: Browser | None = None) -> Page:
    browser = browser or signed_in(tenant, tenant.ben)
    return browser.see(f"{page_of(tenant, workflow)}/roll-back", to=to)


def versions(tenant: Tenant, workflow: Json) -> list[Json]:
    return tenant.ana.pages(f"{tenant.at(workflow)}/versions")


def test_the_page_tells_what_would_change_and_what_stays(tenant: Tenant, orders: Json) -> None:
    page = shown(tenant, orders)
    assert page.heading == "Roll back Orders to v2"
    assert "This makes a new version, v4, with the definition and the description of v2." in page.words
    assert "Name, place and tags stay as they are." in page.words
    assert "1 node removed" in page.words
    assert len(versions(tenant, orders)) == 3


def test_its_figures_are_those_of_the_dry_run_of_the_api(tenant: Tenant, orders: Json) -> None:
    page = shown(tenant, orders)
    body = {"to": 2, "dry_run": True}
    found = ok(tenant.ben.post(f"{tenant.at(orders)}/rollback", body))
    lines = found["text"].splitlines()[2:]
    for sign, kind in (("+", "add"), ("-", "del")):
        assert len(page.root.all("tr", class_=kind)) == sum(line.startswith(sign) for line in lines)


def test_a_rollback_makes_one_version_with_its_reason(tenant: Tenant, orders: Json) -> None:
    browser = signed_in(tenant, tenant.ben)
    form = deed(shown(tenant, orders, browser=browser))
    page = browser.send(form, comment="The check is wrong")
    assert page.path.startswith(f"{page_of(tenant, orders)}?done=")
    assert "Rolled back." in page.words
    newest = versions(tenant, orders)[0]
    assert (newest["version_number"], newest["created_by_username"]) == (4, "ben")
    comments = ok(tenant.ana.get(f"{tenant.at(orders)}/versions/4/comments"))["items"]
    assert [each["text"] for each in comments] == ["The check is wrong"]
    old, new = (ok(tenant.ana.get(f"{tenant.at(orders)}/versions/{number}"))["data"] for number in (2, 4))
    assert old == new


def test_the_same_form_sent_twice_makes_one_version(tenant: Tenant, orders: Json) -> None:
    browser = signed_in(tenant, tenant.ben)
    form = deed(shown(tenant, orders, browser=browser))
    first, second = (browser.send(form, follow=False, comment="why") for _ in range(2))
    assert (first.status, second.status) == (303, 303)
    assert first.location == second.location
    assert len(versions(tenant, orders)) == 4
    rows = tenant.server.database.rows(
        "SELECT status FROM audit_logs WHERE subscription_id = %s AND action = 'ROLLBACK'",
        tenant.subscription_id,
    )
    assert rows == [("success",)]


def test_a_version_that_was_saved_meanwhile_is_shown_before_anything_is_done(
    tenant: Tenant, orders: Json
) -> None:
    browser = signed_in(tenant, tenant.ben)
    form = deed(shown(tenant, orders, browser=browser))
    tenant.save(orders, graph("read", "tell"), description="Tell us")
    page = browser.send(form, comment="why")
    assert page.status == 412
    assert "Nothing was rolled back: another version was saved after you looked." in page.words
    assert "v4 by ana" in page.words
    assert "Tell us" in page.words
    assert "This makes a new version, v5" in page.words
    again = deed(page)
    assert again.fields["comment"] == ["why"]
    assert len(versions(tenant, orders)) == 4
    assert browser.send(again).status == 200
    assert len(versions(tenant, orders)) == 5


def test_a_refusal_for_a_stale_page_is_in_the_audit_log(tenant: Tenant, orders: Json) -> None:
    browser = signed_in(tenant, tenant.ben)
    form = deed(shown(tenant, orders, browser=browser))
    tenant.save(orders, graph("x"))
    browser.send(form)
    rows = tenant.server.database.rows(
        "SELECT status, error_message FROM audit_logs WHERE subscription_id = %s AND action = 'ROLLBACK'",
        tenant.subscription_id,
    )
    assert [row[0] for row in rows] == ["failed"]
    assert rows[0][1].startswith("stale_version")


def test_an_equal_version_leaves_nothing_to_roll_back(tenant: Tenant, orders: Json) -> None:
    page = shown(tenant, orders, "3")
    assert "Nothing to roll back" in page.words
    assert [each.method for each in page.forms if each.action.endswith("roll-back")] == ["GET"]
    tenant.save(orders, graph("x"))
    tenant.save(orders, graph("read", "load"))
    assert (
        "v5, the current version, has the same definition and description as v2."
        in shown(tenant, orders).words
    )


def test_the_version_before_is_offered_unless_another_is_named(tenant: Tenant, orders: Json) -> None:
    browser = signed_in(tenant, tenant.ben)
    page = browser.see(f"{page_of(tenant, orders)}/roll-back")
    assert page.heading == "Roll back Orders to v2"
    choice = next(each for each in page.forms if each.method == "GET" and "to" in each.fields)
    assert browser.send(choice, to="1").heading == "Roll back Orders to v1"


def test_a_resource_of_one_version_has_nothing_to_roll_back_to(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    page = signed_in(tenant, tenant.ben).see(f"{page_of(tenant, workflow)}/roll-back")
    assert "v1 is the current version." in page.words


def test_a_check_out_of_another_names_its_holder_and_end(tenant: Tenant, orders: Json) -> None:
    browser = signed_in(tenant, tenant.ben)
    form = deed(shown(tenant, orders, browser=browser))
    held = tenant.check_out(orders, tenant.ana)["check_out"]
    for page, status, words in (
        (browser.see(f"{page_of(tenant, orders)}/roll-back?to=2"), 200, "You can’t roll back now."),
        (browser.send(form, comment="a long reason"), 423, "Nothing was rolled back."),
    ):
        assert page.status == status
        assert page.heading == "Checked out by ana"
        assert words in page.words
        times = [each["datetime"] for each in page.root.all("time")]
        assert held["expires_at"][:19] in times[0]
    assert "a long reason" in page.words
    assert len(versions(tenant, orders)) == 3
    tenant.begin_another_tree()
    assert browser.get(page.link("Compare with the current version")).status == 200


def test_the_holder_of_a_check_out_may_roll_back(tenant: Tenant, orders: Json) -> None:
    tenant.check_out(orders, tenant.ben)
    assert shown(tenant, orders).heading == "Roll back Orders to v2"


def test_a_reason_that_is_too_long_is_refused_in_place(tenant: Tenant, orders: Json) -> None:
    browser = signed_in(tenant, tenant.ben)
    form = deed(shown(tenant, orders, browser=browser))
    page = browser.send(form, comment="x" * 10_001)
    assert page.status == 422
    assert "Nothing was rolled back." in page.words
    assert deed(page).fields["comment"] == ["x" * 10_001]


def test_readers_are_told_why_they_may_not(tenant: Tenant, orders: Json) -> None:
    path = f"{page_of(tenant, orders)}/roll-back"
    for caller in (tenant.vera, tenant.aud):
        browser = signed_in(tenant, caller)
        assert browser.see(path, 403).words
        assert browser.post(path, to="2", seen="x").status == 403


def test_another_tenant_finds_nothing(tenant: Tenant, orders: Json, stranger: Tenant) -> None:
    browser = signed_in(stranger, stranger.ana)
    own = page_of(tenant, orders).replace(tenant.subscription_id, stranger.subscription_id)
    for path in (page_of(tenant, orders), own):
        assert "Orders" not in browser.see(f"{path}/roll-back", 404).source
        assert browser.post(f"{path}/roll-back", to="2").status == 404
    assert len(versions(tenant, orders)) == 3


def test_a_deleted_resource_is_not_rolled_back(tenant: Tenant, orders: Json) -> None:
    tenant.remove(orders)
    page = signed_in(tenant, tenant.ben).get(f"{page_of(tenant, orders)}/roll-back?to=2")
    assert page.status == 409
    assert "restore it first" in page.words


def test_what_is_published_stays_and_the_page_says_so(tenant: Tenant, orders: Json) -> None:
    assert "Nothing is published" in shown(tenant, orders).words
    ok(tenant.ana.post(f"{tenant.at(orders)}/versions/3/publish"))
    browser = signed_in(tenant, tenant.ben)
    page = shown(tenant, orders, browser=browser)
    assert "v3 stays published." in page.words
    browser.send(deed(page))
    assert ok(tenant.ana.get(f"{tenant.at(orders)}/versions/published"))["version_number"] == 3


def test_hostile_text_is_inert(tenant: Tenant, orders: Json) -> None:
    tenant.save(orders, graph(HOSTILE), description=HOSTILE)
    browser = signed_in(tenant, tenant.ben)
    form = deed(shown(tenant, orders, browser=browser))
    tenant.save(orders, graph("x"), description=HOSTILE)
    page = browser.send(form, comment=HOSTILE)
    assert page.status == 412
    assert "<script>alert" not in page.source
    assert deed(page).fields["comment"] == [HOSTILE]


def test_a_large_document_is_previewed_and_rolled_back(tenant: Tenant) -> None:
    rows = [{"id": str(number), "text": "x" * 100} for number in range(30_000)]
    workflow = graphed(tenant, {"rows": rows}, {"rows": rows[:-1]})
    browser = signed_in(tenant, tenant.ben)
    page = shown(tenant, workflow, browser=browser)
    assert "1 value changed" in page.words
    assert browser.send(deed(page), follow=False).status == 303
    assert len(versions(tenant, workflow)) == 4
