"""The history of a resource as a page: its versions, each with why, and the resource now."""

import pytest

from tests.support.api import UNKNOWN, Json, Tenant, ok
from tests.support.statements import counted
from tests.support.web import Browser, Page

HOSTILE = '"><script>alert(1)</script> \U0001f9e8 שלום'
# Statements of a page, among them those that begin its transactions.
MOST_STATEMENTS = 14


def at(resource: Json, tenant: Tenant) -> str:
    return f"/s/{tenant.subscription_id}/{resource['resource_type']}s/{resource['resource_id']}"


def lines(page: Page) -> list[str]:
    """Text of each version in a history, newest first."""
    return [each.text for each in page.root.all("li", **{"class": "v"})]


def whys(page: Page) -> list[str]:
    return [each.one("bdi").text for each in page.root.all("p", **{"class": "what"})]


def commented(tenant: Tenant, resource: Json, ref: object, text: str) -> None:
    ok(tenant.ben.post(f"{tenant.at(resource)}/versions/{ref}/comments", {"text": text}), 201)


def test_a_version_says_why_who_and_when(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="Order ETL", definition={"a": 1})
    tenant.check_out(workflow, by=tenant.ben)
    tenant.check_in(workflow, by=tenant.ben, data={"a": 2}, comment="Because of the tax")
    commented(tenant, workflow, 2, "a later word")
    tenant.save(workflow, {"a": 3}, description="What it is for")
    tenant.save(workflow, {"a": 4}, description="What it is for")
    page = Browser(tenant.server).sign_in(tenant.vera).see(at(workflow, tenant))
    assert whys(page)[1:] == ["What it is for", "Because of the tax", "Created"]
    assert "1 setting" in whys(page)[0] or "changed" in whys(page)[0]
    assert "ben" in lines(page)[2]
    assert "1 more comment" in lines(page)[2]
    assert "current" in lines(page)[0]


def test_a_version_with_the_document_of_an_older_one_says_so(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"a": 1})
    tenant.save(workflow, {"a": 2})
    ok(tenant.ben.post(f"{tenant.at(workflow)}/rollback", {"to": 1, "comment": "It was right"}), 201)
    back, other, first = lines(Browser(tenant.server).sign_in(tenant.vera).see(at(workflow, tenant)))
    assert "as v1" in back
    assert "as v" not in other + first
    assert "comment" not in back, "its reason is said already"


def test_what_a_check_out_of_another_forbids_is_not_offered(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.save(workflow, {"a": 1}, publish=True)
    tenant.check_out(workflow, by=tenant.ana)
    held = Browser(tenant.server).sign_in(tenant.ben).see(at(workflow, tenant))
    assert not [link for link in held.links if "/roll-back" in link or link.endswith("/delete")]
    assert held.link("Unpublish…") == f"{at(workflow, tenant)}/unpublish"
    own = Browser(tenant.server).sign_in(tenant.ana).see(at(workflow, tenant))
    assert own.link("Roll back…")
    assert own.link("Delete…")


def test_tags_and_the_published_version_are_marked(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.save(workflow, {"a": 1}, tag="stable", publish=True)
    tenant.save(workflow, {"a": 2})
    page = Browser(tenant.server).sign_in(tenant.vera).see(at(workflow, tenant))
    current, stable, first = lines(page)
    assert "current" in current
    assert "stable" in stable
    assert "published" in stable
    assert "published" not in current + first
    assert page.link("Compare published with current").endswith("/compare?from=published&to=current")


def test_a_history_is_read_in_pages(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    for number in range(2, 31):
        tenant.save(workflow, {"a": number})
    browser = Browser(tenant.server).sign_in(tenant.vera)
    first = browser.see(at(workflow, tenant))
    assert len(lines(first)) == 25
    second = browser.see(first.link("Older versions"))
    assert [line.split()[0] for line in lines(second)] == ["v5", "v4", "v3", "v2", "v1"]
    assert browser.get(at(workflow, tenant), cursor="x").status == 422


def test_a_page_summarizes_a_bounded_number_of_bytes_at_a_time(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"a": 0})
    for number in range(1, 9):
        tenant.save(workflow, {"a": number, "long": str(number) * 100_000})
    browser = Browser(tenant.server).sign_in(tenant.vera)

    def count() -> int:
        return browser.see(at(workflow, tenant)).words.count("changed")

    # Each look at the page adds some: they are kept.
    first, second = count(), count()
    assert 4 <= first < second
    assert second >= 8


def test_filters_narrow_a_history_and_have_a_short_address(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.save(workflow, {"a": 1}, by=tenant.ben, tag="stable", publish=True)
    tenant.save(workflow, {"a": 2})
    browser = Browser(tenant.server).sign_in(tenant.vera)
    form = browser.see(at(workflow, tenant)).form(f"/{workflow['resource_id']}")
    page = browser.send(form, author="ben")
    assert page.path.endswith("?author=ben")
    assert [line.split()[0] for line in lines(page)] == ["v2"]
    assert len(lines(browser.see(at(workflow, tenant), published="false"))) == 2
    assert len(lines(browser.see(at(workflow, tenant), tag="stable"))) == 1
    assert not lines(browser.see(at(workflow, tenant), until="2001-01-01T00:00:00Z"))
    none = browser.see(at(workflow, tenant), tag="no-such")
    assert "No version matches the filter" in none.words
    # A time of a form is of the reader's zone, and the address says which instant that is.
    typed = browser.see(at(workflow, tenant), 303, until="2001-01-01T00:00")
    assert typed.headers["location"].endswith("?until=2001-01-01T00%3A00%3A00Z")
    for wrong in ("since=yesterday", "published=perhaps"):
        assert browser.get(f"{at(workflow, tenant)}?{wrong}").status == 422, wrong


def test_a_part_of_the_page_tells_its_short_address(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.vera)
    page = browser.get(
        at(workflow, tenant), headers={"hx-request": "true"}, author="ana", tag="", published=""
    )
    assert page.status == 200
    assert page.headers["hx-push-url"] == f"{at(workflow, tenant)}?author=ana"


def test_a_running_check_out_is_told_to_all(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow, by=tenant.ben, reason=HOSTILE)
    for caller, said in ((tenant.vera, "ben has it checked out"), (tenant.ben, "You have it checked out")):
        page = Browser(tenant.server).sign_in(caller).see(at(workflow, tenant))
        assert said in page.words
        assert HOSTILE in page.words
        assert "<script>alert" not in page.source


def test_a_deleted_resource_leads_to_its_restore(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="gone")
    deletion = tenant.remove(workflow, reason="not needed")
    page = Browser(tenant.server).sign_in(tenant.ben).see(at(workflow, tenant))
    assert page.link("Restore…") == f"/s/{tenant.subscription_id}/deletions/{deletion['deletion_id']}"
    assert "not needed" in page.words
    assert not [link for link in page.links if link.endswith(("/check-out", "/delete", "roll-back"))]


def test_a_purged_resource_is_read_by_those_who_may(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="gone for good")
    tenant.remove(workflow)
    tenant.remove(workflow, permanent="true")
    for caller, status in ((tenant.vera, 404), (tenant.ben, 404), (tenant.aud, 404), (tenant.ana, 200)):
        page = Browser(tenant.server).sign_in(caller).get(at(workflow, tenant))
        assert page.status == status, caller.username
    assert "Deleted for good" in page.words
    assert lines(page)


@pytest.mark.parametrize("collection", ["workspaces", "folders", "jobs", "jobpackages", "connectors"])
def test_each_kind_has_a_history(tenant: Tenant, collection: str) -> None:
    made = tenant.make(collection)
    page = Browser(tenant.server).sign_in(tenant.ben).see(at(made, tenant))
    assert page.heading == made["name"]
    assert len(lines(page)) == 1


def test_what_lies_in_a_folder_stands_beside_its_history(tenant: Tenant) -> None:
    job = tenant.make("jobs", name="the job")
    page = (
        Browser(tenant.server)
        .sign_in(tenant.ben)
        .see(f"/s/{tenant.subscription_id}/folders/{tenant.folder_id}")
    )
    assert at(job, tenant) in page.links
    assert page.link("Roll back to a moment…").endswith(f"/roll-back?root=folders/{tenant.folder_id}")


def test_a_workflow_names_its_connectors_and_a_connector_its_workflows(tenant: Tenant) -> None:
    connector = tenant.make("connectors", name="the ledger")
    workflow = tenant.workflow(name="uses it", definition={"connector_id": connector["resource_id"]})
    lost = tenant.workflow(definition={"connector_id": UNKNOWN})
    browser = Browser(tenant.server).sign_in(tenant.vera)
    assert at(connector, tenant) in browser.see(at(workflow, tenant)).links
    assert at(workflow, tenant) in browser.see(at(connector, tenant)).links
    assert "is not there" in browser.see(at(lost, tenant)).words


def test_readers_are_told_what_they_may_not_do(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    page = Browser(tenant.server).sign_in(tenant.vera).see(at(workflow, tenant))
    assert "Your role, viewer, reads" in page.words
    assert not [link for link in page.links if link.endswith(("/check-out", "/delete"))]
    editor = Browser(tenant.server).sign_in(tenant.ben).see(at(workflow, tenant))
    assert f"{at(workflow, tenant)}/check-out" in editor.links


def test_another_tenants_history_is_the_same_404_as_none(tenant: Tenant, stranger: Tenant) -> None:
    theirs = stranger.workflow(name="their secret")
    browser = Browser(tenant.server).sign_in(tenant.ben)
    unknown = browser.get(f"/s/{tenant.subscription_id}/workflows/{UNKNOWN}")
    path = f"/s/{tenant.subscription_id}/workflows/{theirs['resource_id']}"
    found = browser.get(path)
    assert (found.status, unknown.status) == (404, 404)
    assert found.words.replace(theirs["resource_id"], "")[:60] == unknown.words.replace(UNKNOWN, "")[:60]
    assert "secret" not in found.words
    assert browser.get(f"/s/{stranger.subscription_id}/workflows/{theirs['resource_id']}").status == 404
    for name in ("x", "no-id"):
        assert browser.get(f"/s/{tenant.subscription_id}/workflows/{name}").status == 404


def test_hostile_names_are_shown_and_inert(tenant: Tenant) -> None:
    workflow = tenant.workflow(name=HOSTILE, description=HOSTILE, definition={HOSTILE: HOSTILE})
    commented(tenant, workflow, 1, HOSTILE)
    page = Browser(tenant.server).sign_in(tenant.vera).see(at(workflow, tenant))
    assert page.heading == HOSTILE
    assert "<script>alert" not in page.source


def test_a_history_takes_one_query_for_all_its_versions(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"connector_id": UNKNOWN})
    for number in range(2, 27):
        tenant.save(workflow, {"connector_id": UNKNOWN, "a": number})
        commented(tenant, workflow, number, "a word")
    browser = Browser(tenant.server).sign_in(tenant.ben)
    with counted(tenant.server) as statements:
        browser.see(at(workflow, tenant))
    of_versions = [each for each in statements if "version_comments" in each]
    assert len(of_versions) == 1
    assert len(statements) <= MOST_STATEMENTS, "\n\n".join(statements)


@pytest.mark.parametrize(
    ("since", "zone"),
    [
        ("0001-01-01T00:00:00Z", "America/New_York"),
        ("0001-01-01T00:00:00", "Asia/Tokyo"),
        ("9999-12-31T23:00:00Z", "Pacific/Kiritimati"),
        ("253402300799", "Pacific/Kiritimati"),
    ],
)
def test_a_time_at_an_end_of_the_calendar_is_refused(tenant: Tenant, since: str, zone: str) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.vera)
    browser.http.cookies.set("tz", zone)
    assert browser.get(at(workflow, tenant), since=since).status == 422
