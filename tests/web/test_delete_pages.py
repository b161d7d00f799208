"""The page that deletes a resource, after it showed what goes with it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.api import UNKNOWN, Json, Tenant, ok
from tests.support.web import Browser, page_of


def deletion_page(tenant: Tenant, resource: Json) -> str:
    """Return the path of the page that deletes a resource."""
    return f"{page_of(tenant, resource)}/delete"


def deletions(tenant: Tenant) -> list[Json]:
    """Return the records of all deletions, each root and its parts."""
    return tenant.ana.pages(f"{tenant.path}/deletions")


def test_the_page_tells_what_goes_with_a_resource(tenant: Tenant) -> None:
    folder = tenant.make("folders")
    inner = tenant.make("folders", parent_folder_id=folder["resource_id"])
    job = tenant.make("jobs", folder_id=inner["resource_id"])
    tenant.make("jobpackages", folder_id=inner["resource_id"])
    for _ in range(2):
        tenant.workflow(job_id=job["resource_id"])
    tenant.remove(tenant.workflow(job_id=job["resource_id"]))
    tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ben)
    page = browser.see(deletion_page(tenant, folder))
    assert "6 resources together: 2 folders, 1 job, 2 workflows, 1 jobpackage" in page.words
    browser.send(page.form("/delete"))
    (root,) = [each for each in deletions(tenant) if each["resource_id"] == folder["resource_id"]]
    assert sum(root["counts"].values()) == 6


@pytest.mark.parametrize("kind", ["workspaces", "folders", "jobs", "workflows", "jobpackages", "connectors"])
def test_the_page_counts_what_the_deletion_deletes(tenant: Tenant, kind: str) -> None:
    tenant.workflow()
    for collection in ("jobpackages", "connectors"):
        tenant.make(collection)
    ids = {"workspaces": tenant.workspace_id, "folders": tenant.folder_id, "jobs": tenant.job_id}
    found = ok(tenant.ana.get(f"{tenant.path}/{kind}"))["items"][0]
    resource_id = ids.get(kind, found["resource_id"])
    resource = {"resource_type": kind[:-1], "resource_id": resource_id}
    page = Browser(tenant.server).sign_in(tenant.ana).see(deletion_page(tenant, resource))
    made = ok(tenant.ana.delete(f"{tenant.path}/{kind}/{resource_id}"))
    total = sum(made["counts"].values())
    assert ("nothing else" if total == 1 else f"{total} resources together") in page.words


def test_a_deletion_leads_to_its_entry_in_the_bin(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="Order ETL")
    browser = Browser(tenant.server).sign_in(tenant.ben)
    form = browser.see(deletion_page(tenant, workflow)).form("/delete")
    page = browser.send(form, reason="not needed", restore_days="7")
    assert "It is deleted, and lies in the restore bin." in page.words
    assert "not needed" in page.words
    assert "7 days left" in page.words
    assert page.heading == "Order ETL"


def test_a_form_sent_twice_deletes_once(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ben)
    form = browser.see(deletion_page(tenant, workflow)).form("/delete")
    answers = [browser.send(form, follow=False) for _ in range(2)]
    assert [each.status for each in answers] == [303, 303]
    assert answers[0].location == answers[1].location
    assert len(deletions(tenant)) == 1


def test_what_changed_since_the_page_is_seen_is_shown_first(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    browser = Browser(tenant.server).sign_in(tenant.ben)
    form = browser.see(deletion_page(tenant, workflow)).form("/delete")
    tenant.save(workflow, {"n": 2})
    page = browser.send(form, reason="kept")
    assert page.status == 412
    assert "at version 2 now, by ana" in page.words
    assert deletions(tenant) == []
    assert page.form("/delete").value("reason") == "kept"
    assert browser.send(page.form("/delete")).status == 200
    assert len(deletions(tenant)) == 1


def test_a_check_out_of_another_meanwhile_is_named(tenant: Tenant) -> None:
    job = tenant.make("jobs")
    workflow = tenant.workflow(job_id=job["resource_id"], name="Inner")
    browser = Browser(tenant.server).sign_in(tenant.ben)
    form = browser.see(deletion_page(tenant, job)).form("/delete")
    tenant.check_out(workflow, by=tenant.ana)
    page = browser.send(form)
    assert page.status == 423
    assert "held by ana" in page.words
    assert "Inner by ana" in page.words
    assert "an admin to take the check-outs away" in page.words
    assert not [each for each in page.forms if each.action.endswith("/delete")]
    assert deletions(tenant) == []


def test_an_admin_ends_others_check_outs_with_the_deletion(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow, by=tenant.ben)
    browser = Browser(tenant.server).sign_in(tenant.ana)
    page = browser.see(deletion_page(tenant, workflow))
    assert "Also end the check-outs of others" in page.words
    assert browser.send(page.form("/delete")).status == 423
    browser.send(page.form("/delete"), force="1")
    assert len(deletions(tenant)) == 1


def test_workflows_that_name_a_connector_are_told(tenant: Tenant) -> None:
    connector, other = tenant.make("connectors"), tenant.make("connectors")
    tenant.workflow(name="Order ETL", definition={"connector_id": connector["resource_id"]})
    browser = Browser(tenant.server).sign_in(tenant.ben)
    page = browser.see(deletion_page(tenant, connector))
    assert "1 workflow, which would name a connector that is not there: Order ETL" in page.words
    assert "Named by no workflow" in browser.see(deletion_page(tenant, other)).words


def test_two_clicks_at_once_delete_once(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ben)
    form = browser.see(deletion_page(tenant, workflow)).form("/delete")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: browser.send(form, follow=False), range(4)))
    assert {each.status for each in answers} == {303}
    assert len({each.location for each in answers}) == 1
    assert len(deletions(tenant)) == 1


def test_an_editor_may_not_force(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow, by=tenant.ana)
    page = Browser(tenant.server).sign_in(tenant.ben).post(deletion_page(tenant, workflow), force="1")
    assert page.status == 403
    assert deletions(tenant) == []


def test_ones_own_check_out_is_no_obstacle(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow, by=tenant.ben)
    browser = Browser(tenant.server).sign_in(tenant.ben)
    page = browser.see(deletion_page(tenant, workflow))
    assert "by you" in page.words
    browser.send(page.form("/delete"))
    assert len(deletions(tenant)) == 1


@pytest.mark.parametrize("days", ["0", "x", "99999", "007"])
def test_days_that_are_not_possible_are_refused_in_place(tenant: Tenant, days: str) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ben)
    page = browser.send(
        browser.see(deletion_page(tenant, workflow)).form("/delete"), restore_days=days, reason="why"
    )
    assert page.status == 422
    assert (page.form("/delete").value("restore_days"), page.form("/delete").value("reason")) == (
        days,
        "why",
    )
    assert deletions(tenant) == []


@pytest.mark.parametrize("role", ["vera", "aud"])
def test_who_may_not_write_deletes_nothing(tenant: Tenant, role: str) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.caller(role))
    for page in (browser.get(deletion_page(tenant, workflow)), browser.post(deletion_page(tenant, workflow))):
        assert page.status == 403
        assert "may not change resources" in page.words
    assert deletions(tenant) == []


def test_another_tenants_resource_is_not_found(tenant: Tenant, stranger: Tenant) -> None:
    theirs = stranger.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ana)
    for resource_id in (theirs["resource_id"], UNKNOWN):
        path = f"/s/{tenant.subscription_id}/workflows/{resource_id}/delete"
        assert (browser.get(path).status, browser.post(path).status) == (404, 404)
    assert browser.post(deletion_page(stranger, theirs)).status == 404
    assert deletions(stranger) == []


def test_a_form_of_another_site_deletes_nothing(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ana)
    page = browser.post(deletion_page(tenant, workflow), headers={"sec-fetch-site": "cross-site"})
    assert page.status == 403
    assert deletions(tenant) == []


def test_what_people_typed_is_shown_as_text(tenant: Tenant) -> None:
    hostile = '"><script>alert(1)</script> naïve \U0001f9ea'
    workflow = tenant.workflow(name=hostile)
    page = Browser(tenant.server).sign_in(tenant.ana).see(deletion_page(tenant, workflow))
    assert "<script>alert" not in page.source
    assert hostile in page.words
