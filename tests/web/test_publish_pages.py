"""Pages that publish a version, and that withdraw what is published."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.api import Json, Tenant, ok
from tests.support.compared_pages import deed, graph, graphed, signed_in
from tests.support.group_commits import held, until_taken
from tests.support.waiting import until
from tests.support.web import Browser, Page, page_of


@pytest.fixture
def orders(tenant: Tenant) -> Json:
    return graphed(tenant, graph("read", "load"), graph("read", "check", "load"), name="Orders")


def shown(tenant: Tenant, workflow: Json, browser: Browser, ref: str = "") -> Page:
    return browser.see(f"{page_of(tenant, workflow)}/publish?ref={ref}")


def published(tenant: Tenant, workflow: Json) -> int | None:
    answer = tenant.ana.get(f"{tenant.at(workflow)}/versions/published")
    return None if answer.status_code == 404 else int(ok(answer)["version_number"])


def publish(tenant: Tenant, workflow: Json, number: int) -> None:
    ok(tenant.ana.post(f"{tenant.at(workflow)}/versions/{number}/publish"))


def test_the_first_publication_is_told_as_such(tenant: Tenant, orders: Json) -> None:
    browser = signed_in(tenant, tenant.ben)
    page = shown(tenant, orders, browser)
    assert page.heading == "Publish v3 of Orders"
    assert "Nothing is published now, so there is nothing to compare with" in page.words
    # A plain drawing: nothing in it is marked as added.
    assert [each["class"] for each in page.root.all("svg", class_="graph")] == ["graph small"]
    assert not page.root.all("g", class_="added")
    after = browser.send(deed(page))
    assert "Published." in after.words
    assert published(tenant, orders) == 3


def test_the_page_shows_what_the_branch_gains(tenant: Tenant, orders: Json) -> None:
    publish(tenant, orders, 2)
    browser = signed_in(tenant, tenant.ben)
    page = shown(tenant, orders, browser, ref="3")
    assert "v3 takes the place of v2, which is published now." in page.words
    assert "1 node added" in page.words
    found = ok(tenant.ben.get(f"{tenant.at(orders)}/diff?from=published&to=3"))
    added = sum(line.startswith("+") for line in found["text"].splitlines()[2:])
    assert len(page.root.all("tr", class_="add")) == added


def test_an_older_version_may_be_published_and_the_page_says_that_it_is_older(
    tenant: Tenant, orders: Json
) -> None:
    browser = signed_in(tenant, tenant.ben)
    page = shown(tenant, orders, browser, ref="2")
    assert "v2 is not the newest version: that is v3." in page.words
    browser.send(deed(page))
    assert published(tenant, orders) == 2


def test_what_is_published_already_is_said_so(tenant: Tenant, orders: Json) -> None:
    publish(tenant, orders, 3)
    page = shown(tenant, orders, signed_in(tenant, tenant.ben))
    assert "v3 is what is published." in page.words
    assert not [each for each in page.forms if each.action.endswith("/publish") and each.method == "POST"]


def test_the_same_form_sent_twice_publishes_once(tenant: Tenant, orders: Json) -> None:
    publish(tenant, orders, 2)
    browser = signed_in(tenant, tenant.ben)
    form = deed(shown(tenant, orders, browser))
    assert [browser.send(form, follow=False).status for _ in range(2)] == [303, 303]
    rows = tenant.server.database.rows(
        "SELECT 1 FROM audit_logs WHERE subscription_id = %s AND action = 'PUBLISH' AND username = 'ben'",
        tenant.subscription_id,
    )
    assert len(rows) == 1


def test_a_version_saved_meanwhile_is_told(tenant: Tenant, orders: Json) -> None:
    browser = signed_in(tenant, tenant.ben)
    form = deed(shown(tenant, orders, browser))
    tenant.save(orders, graph("new"), description="Another")
    page = browser.send(form)
    assert page.status == 412
    assert "v4 by ana" in page.words
    assert published(tenant, orders) is None
    assert browser.send(deed(page)).status == 200
    assert published(tenant, orders) == 3


def test_another_publication_meanwhile_is_told(tenant: Tenant, orders: Json) -> None:
    browser = signed_in(tenant, tenant.ben)
    form = deed(shown(tenant, orders, browser))
    publish(tenant, orders, 2)
    page = browser.send(form)
    assert page.status == 412
    assert "Something changed after you looked: v2 is published now." in page.words
    assert "v3 takes the place of v2" in page.words
    assert published(tenant, orders) == 2


def test_of_two_who_publish_at_once_the_second_is_told(tenant: Tenant, orders: Json) -> None:
    publish(tenant, orders, 1)
    ana, ben = (signed_in(tenant, caller) for caller in (tenant.ana, tenant.ben))
    first, second = deed(shown(tenant, orders, ana, ref="2")), deed(shown(tenant, orders, ben, ref="3"))
    group = tenant.server.context.committer._group  # type: ignore[attr-defined]
    with ThreadPoolExecutor(2) as pool:
        with held(tenant):
            done = pool.submit(ana.send, first)
            until_taken(group)
            late = pool.submit(ben.send, second)
            until(lambda: group._waiting == 1)
        assert (done.result().status, late.result().status) == (200, 412)
    assert published(tenant, orders) == 2
    assert "Something changed after you looked: v2 is published now." in late.result().words
    assert "v3 takes the place of v2" in late.result().words
    assert ben.send(deed(late.result())).status == 200
    assert published(tenant, orders) == 3


def test_unpublishing_asks_first_and_leaves_none_published(tenant: Tenant, orders: Json) -> None:
    publish(tenant, orders, 2)
    browser = signed_in(tenant, tenant.ben)
    page = browser.see(f"{page_of(tenant, orders)}/unpublish")
    assert page.heading == "Unpublish v2 of Orders"
    assert published(tenant, orders) == 2
    form = deed(page)
    assert [browser.send(form, follow=False).status for _ in range(2)] == [303, 303]
    assert published(tenant, orders) is None
    assert browser.see(f"{page_of(tenant, orders)}/unpublish").heading == "Nothing is published"


def test_unpublishing_another_version_than_was_seen_is_refused(tenant: Tenant, orders: Json) -> None:
    publish(tenant, orders, 2)
    browser = signed_in(tenant, tenant.ben)
    form = deed(browser.see(f"{page_of(tenant, orders)}/unpublish"))
    publish(tenant, orders, 3)
    page = browser.send(form)
    assert (page.status, page.heading) == (412, "Unpublish v3 of Orders")
    assert published(tenant, orders) == 3


@pytest.mark.parametrize("way", ["publish", "unpublish"])
def test_readers_and_other_tenants_may_not(tenant: Tenant, orders: Json, stranger: Tenant, way: str) -> None:
    publish(tenant, orders, 2)
    path = f"{page_of(tenant, orders)}/{way}"
    reader, foreigner = signed_in(tenant, tenant.vera), signed_in(stranger, stranger.ana)
    assert (reader.get(path).status, reader.post(path, ref="3").status) == (403, 403)
    own = path.replace(tenant.subscription_id, stranger.subscription_id)
    for each in (path, own):
        assert (foreigner.get(each).status, foreigner.post(each, ref="3").status) == (404, 404)
    assert published(tenant, orders) == 2


@pytest.mark.parametrize("way", ["publish", "unpublish"])
def test_a_deleted_resource_is_not_published(tenant: Tenant, orders: Json, way: str) -> None:
    tenant.remove(orders)
    page = signed_in(tenant, tenant.ben).get(f"{page_of(tenant, orders)}/{way}")
    assert page.status == 409
