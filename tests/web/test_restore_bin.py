"""The restore bin: deletions, what is in them, their restore with its conflicts, and deletion for good."""

from typing import Any

import pytest

from tests.support.api import UNKNOWN, Json, Tenant, ok
from tests.support.events import audited
from tests.support.web import Browser, Page


def bin_of(tenant: Tenant) -> str:
    """Return the path of a tenant's restore bin."""
    return f"/s/{tenant.subscription_id}/deletions"


def page_of(tenant: Tenant, deletion: Json) -> str:
    """Return the path of the page of a deletion."""
    return f"{bin_of(tenant)}/{deletion['deletion_id']}"


def is_live(tenant: Tenant, resource: Json) -> bool:
    """Tell if a resource is there, and not deleted."""
    answer = tenant.ana.get(tenant.at(resource))
    return answer.status_code == 200 and answer.json()["deleted_at"] is None


def purge(browser: Browser, tenant: Tenant, deletion: Json, **fields: Any) -> Page:
    """Fill the form of a deletion for good."""
    return browser.send(browser.see(f"{page_of(tenant, deletion)}/purge").form("/purge"), **fields)


# -- the list ---------------------------------------------------------------------------------------------


def test_the_bin_tells_what_was_deleted_by_whom_why_and_for_how_long(tenant: Tenant) -> None:
    job = tenant.make("jobs", name="Nightly")
    tenant.workflow(job_id=job["resource_id"])
    tenant.remove(job, by=tenant.ben, reason="not needed", restore_days=12)
    page = Browser(tenant.server).sign_in(tenant.vera).see(bin_of(tenant))
    assert "Nightly" in page.words
    assert "job with 1 in it" in page.words
    assert "by ben" in page.words
    assert "not needed" in page.words
    assert "12 days left" in page.words


def test_the_bin_tells_where_the_deleted_was(tenant: Tenant) -> None:
    job = tenant.make("jobs", name="Nightly")
    deletion = tenant.remove(tenant.workflow(name="Load", job_id=job["resource_id"]))
    browser = Browser(tenant.server).sign_in(tenant.vera)
    folder = ok(tenant.ana.get(f"{tenant.path}/folders/{job['parent_id']}"))["name"]
    where = f"{folder} / Nightly"
    assert where in browser.see(bin_of(tenant)).words
    assert where in browser.see(page_of(tenant, deletion)).words
    # The place of what was deleted with its place is told, too, and leads nowhere.
    tenant.remove(job)
    page = browser.see(bin_of(tenant))
    assert where in page.words
    assert not [link for link in page.links if job["resource_id"] in link]


def test_a_place_is_told_as_it_was_and_where_it_is_now(tenant: Tenant) -> None:
    folder = tenant.make("folders", name="Tickets")
    job = tenant.make("jobs", name="Nightly", folder_id=folder["resource_id"])
    deletion = tenant.remove(tenant.workflow(name="Load", job_id=job["resource_id"]))
    tenant.amend(job, name="Hourly")
    tenant.amend(folder, name="Cases")
    browser = Browser(tenant.server).sign_in(tenant.vera)
    assert "Tickets / Nightly" in browser.see(bin_of(tenant)).words
    page = browser.see(page_of(tenant, deletion))
    was, now = page.words.split(" now ", 1)
    assert "Tickets / Nightly" in was
    assert "Cases / Hourly" in now
    # A place that was renamed before is told by its new name alone.
    later = tenant.remove(tenant.workflow(name="Again", job_id=job["resource_id"]))
    assert "Nightly" not in browser.see(page_of(tenant, later)).words


def test_a_place_that_was_deleted_for_good_is_told(tenant: Tenant) -> None:
    job = tenant.make("jobs", name="Nightly")
    deletion = tenant.remove(tenant.workflow(name="Load", job_id=job["resource_id"]))
    tenant.remove(job)
    tenant.remove(job, permanent=True)
    page = Browser(tenant.server).sign_in(tenant.vera).see(page_of(tenant, deletion))
    assert "in a place that was deleted for good" in page.words


def test_the_bin_lists_what_can_be_restored_and_the_rest_when_asked(tenant: Tenant) -> None:
    gone, back = tenant.workflow(name="Gone"), tenant.workflow(name="Back again")
    tenant.remove(gone)
    tenant.restore(tenant.remove(back))
    browser = Browser(tenant.server).sign_in(tenant.vera)
    page = browser.see(bin_of(tenant))
    assert ("Gone" in page.words, "Back again" in page.words) == (True, False)
    every = browser.see(bin_of(tenant), state="all").words
    assert ("Gone" in every, "Back again" in every) == (True, True)
    assert "Back again" in browser.see(bin_of(tenant), resource_id=back["resource_id"]).words
    none = browser.see(bin_of(tenant), name="Back")
    assert "Nothing that matches can be restored now." in none.words
    wider = next(link for link in none.links if "state=all" in link)
    assert "Back again" in browser.see(wider).words


def test_an_empty_bin_says_so(tenant: Tenant) -> None:
    browser = Browser(tenant.server).sign_in(tenant.vera)
    assert "Nothing of what was deleted can be restored now." in browser.see(bin_of(tenant)).words
    assert "Nothing was deleted." in browser.see(bin_of(tenant), state="all").words


def test_filters_narrow_the_bin(tenant: Tenant) -> None:
    for name, by in (("Order 100% ETL", tenant.ana), ("Invoices", tenant.ben)):
        tenant.remove(tenant.workflow(name=name), by=by)
    tenant.remove(tenant.make("connectors", name="Orders DB"))
    browser = Browser(tenant.server).sign_in(tenant.vera)

    def found(**query: Any) -> set[str]:
        table = browser.see(bin_of(tenant), **query).root.all("td", class_="wraps")
        return {cell.all("a")[0].text for cell in table if cell.all("a")}

    assert found() == {"Order 100% ETL", "Invoices", "Orders DB"}
    assert found(name="order") == {"Order 100% ETL", "Orders DB"}
    assert found(name="100%") == {"Order 100% ETL"}
    assert found(name="100_") == set()
    assert found(resource_type="connector") == {"Orders DB"}
    assert found(deleted_by="ben") == {"Invoices"}
    assert found(state="over") == set()
    assert "No deletion matches." in browser.see(bin_of(tenant), name="nobody has", state="all").words


def test_older_deletions_are_on_the_next_page_with_the_same_filter(tenant: Tenant) -> None:
    for number in range(27):
        tenant.remove(tenant.workflow(name=f"old {number}"))
    browser = Browser(tenant.server).sign_in(tenant.vera)
    page = browser.see(bin_of(tenant), name="old")
    assert "old 26" in page.words
    older = browser.see(page.link("Older"))
    assert "old 0" in older.words
    assert "old 26" not in older.words


def test_a_posted_deletion_is_shown_without_a_restore(tenant: Tenant) -> None:
    body = {"resource_type": "dashboard", "resource_id": "d-1", "resource_name": "Sales", "source": "grafana"}
    ok(tenant.ben.post(f"{tenant.path}/deletions", body), 201)
    browser = Browser(tenant.server).sign_in(tenant.ana)
    page = browser.see(bin_of(tenant), state="all")
    assert "of another system" in page.words
    shown = browser.see(page.link("Sales"))
    assert "can't restore it" in shown.words
    assert not [link for link in shown.links if link.endswith(("/restore", "/purge"))]
    deletion_id = page.link("Sales").rpartition("/")[2]
    assert browser.get(f"{bin_of(tenant)}/{deletion_id}/restore").status == 410
    assert browser.get(f"{bin_of(tenant)}/{deletion_id}/purge").status == 410


# -- one deletion -----------------------------------------------------------------------------------------


def test_a_deletion_shows_its_parts_and_its_document(tenant: Tenant) -> None:
    job = tenant.make("jobs", name="Nightly")
    tenant.workflow(name="Inner", job_id=job["resource_id"], definition={"batch": 17})
    deletion = tenant.remove(job)
    browser = Browser(tenant.server).sign_in(tenant.vera)
    page = browser.see(page_of(tenant, deletion))
    part = browser.see(page.link("Inner"))
    assert '"batch": 17' in part.words
    assert part.link("the whole deletion") == page_of(tenant, deletion)
    assert "your role may not" in page.words


def test_a_large_document_is_cut_with_a_way_to_the_rest(tenant: Tenant) -> None:
    deletion = tenant.remove(tenant.workflow(definition={"text": ["word " * 20] * 3000}))
    page = Browser(tenant.server).sign_in(tenant.vera).see(page_of(tenant, deletion))
    assert len(page.source) < 150 * 1024
    assert f"GET {tenant.path}/deletions/{deletion['deletion_id']}" in page.words


def test_the_document_of_what_is_deleted_for_good_is_for_admins(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"batch": 17})
    deletion = tenant.remove(workflow)
    tenant.remove(workflow, permanent=True)
    admin = Browser(tenant.server).sign_in(tenant.ana).see(page_of(tenant, deletion))
    assert '"batch": 17' in admin.words
    viewer = Browser(tenant.server).sign_in(tenant.vera).see(page_of(tenant, deletion))
    assert "batch" not in viewer.words
    assert "for admins alone" in viewer.words


def test_no_link_leads_to_what_is_deleted_for_good(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    first = tenant.remove(workflow)
    tenant.restore(first)
    second = tenant.remove(workflow)
    tenant.remove(workflow, permanent=True)
    for role in ("vera", "ana"):
        browser = Browser(tenant.server).sign_in(tenant.caller(role))
        for deletion in (first, second):
            for link in browser.see(page_of(tenant, deletion)).links:
                if link.startswith("/s/"):
                    assert browser.get(link, follow=True).status == 200, (role, link)


@pytest.mark.parametrize("name", ["", "/restore", "/purge"])
def test_another_tenants_deletion_is_not_found(tenant: Tenant, stranger: Tenant, name: str) -> None:
    theirs = stranger.remove(stranger.workflow())["deletion_id"]
    browser = Browser(tenant.server).sign_in(tenant.ana)
    answers = [browser.get(f"{bin_of(tenant)}/{each}{name}") for each in (theirs, UNKNOWN, "no-id")]
    assert [each.status for each in answers] == [404] * 3
    assert len({each.heading for each in answers}) == 1
    assert browser.get(f"{bin_of(stranger)}/{theirs}{name}").status == 404


# -- restore ----------------------------------------------------------------------------------------------


def test_a_restore_shows_first_what_comes_back(tenant: Tenant) -> None:
    job = tenant.make("jobs", name="Nightly")
    inner = tenant.workflow(job_id=job["resource_id"])
    deletion = tenant.remove(job)
    browser = Browser(tenant.server).sign_in(tenant.ben)
    page = browser.see(f"{page_of(tenant, deletion)}/restore")
    assert "2 resources: 1 job, 1 workflow." in page.words
    assert not is_live(tenant, job)
    done = browser.send(page.form("/restore"))
    assert "It is restored." in done.words
    assert is_live(tenant, job)
    assert is_live(tenant, inner)
    assert audited(tenant, "RESTORE") == 1


def test_a_restore_sent_twice_is_done_once(tenant: Tenant) -> None:
    deletion = tenant.remove(tenant.workflow())
    browser = Browser(tenant.server).sign_in(tenant.ben)
    form = browser.see(f"{page_of(tenant, deletion)}/restore").form("/restore")
    answers = [browser.send(form, follow=False) for _ in range(2)]
    assert [each.status for each in answers] == [303, 303]
    assert audited(tenant, "RESTORE") == 1
    assert "It was restored already" in browser.see(f"{page_of(tenant, deletion)}/restore").words


def test_a_taken_name_is_settled_by_a_new_one(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="Order ETL")
    deletion = tenant.remove(workflow)
    tenant.workflow(name="Order ETL")
    browser = Browser(tenant.server).sign_in(tenant.ben)
    page = browser.see(f"{page_of(tenant, deletion)}/restore")
    assert "1 conflict" in page.words
    assert [form.method for form in page.forms if form.action.endswith("/restore")] == ["GET"]
    again = browser.send(page.form("/restore"), rename="Order ETL (old)")
    (form,) = [each for each in again.forms if each.action.endswith("/restore") and each.method == "POST"]
    browser.send(form)
    assert ok(tenant.ana.get(tenant.at(workflow)))["name"] == "Order ETL (old)"


def test_a_deleted_parent_is_settled_by_another(tenant: Tenant) -> None:
    job, other = tenant.make("jobs"), tenant.make("jobs", name="Another job")
    workflow = tenant.workflow(job_id=job["resource_id"])
    deletion = tenant.remove(workflow)
    outer = tenant.remove(job)
    browser = Browser(tenant.server).sign_in(tenant.ben)
    page = browser.see(f"{page_of(tenant, deletion)}/restore")
    assert "Another job" in page.words
    assert outer["deletion_id"] in browser.see(page.link("restore that job first")).source
    again = browser.send(page.form("/restore"), new_parent_id=other["resource_id"])
    (form,) = [each for each in again.forms if each.action.endswith("/restore") and each.method == "POST"]
    browser.send(form)
    assert ok(tenant.ana.get(tenant.at(workflow)))["parent_id"] == other["resource_id"]


def test_parts_that_were_restored_are_left_alone(tenant: Tenant) -> None:
    job = tenant.make("jobs")
    part = tenant.workflow(job_id=job["resource_id"], name="Part")
    other = tenant.make("jobs")
    deletion = tenant.remove(job)
    rows = ok(tenant.ana.get(f"{tenant.path}/deletions", params={"resource_id": part["resource_id"]}))
    tenant.restore(rows["items"][0], resolve={"new_parent_id": other["resource_id"]})
    browser = Browser(tenant.server).sign_in(tenant.ben)
    page = browser.see(f"{page_of(tenant, deletion)}/restore")
    assert "was restored on its own" in page.words
    again = browser.send(page.form("/restore"), keep_restored="1")
    (form,) = [each for each in again.forms if each.action.endswith("/restore") and each.method == "POST"]
    browser.send(form)
    assert is_live(tenant, job)
    assert ok(tenant.ana.get(tenant.at(part)))["parent_id"] == other["resource_id"]


def test_a_conflict_since_the_preview_is_told_on_the_page(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="Order ETL")
    deletion = tenant.remove(workflow)
    browser = Browser(tenant.server).sign_in(tenant.ben)
    form = browser.see(f"{page_of(tenant, deletion)}/restore").form("/restore")
    tenant.workflow(name="Order ETL")
    page = browser.send(form)
    assert page.status == 409
    assert "Nothing was restored" in page.words
    assert "1 conflict" in page.words
    assert not is_live(tenant, workflow)


def test_a_form_that_was_refused_restores_when_it_is_sent_again(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="Order ETL")
    deletion = tenant.remove(workflow)
    browser = Browser(tenant.server).sign_in(tenant.ben)
    form = browser.see(f"{page_of(tenant, deletion)}/restore").form("/restore")
    other = tenant.workflow(name="Order ETL")
    assert browser.send(form).status == 409
    tenant.remove(other)
    assert "It is restored." in browser.send(form).words
    assert is_live(tenant, workflow)
    assert audited(tenant, "RESTORE") == 1


def test_what_settles_nothing_is_refused_in_place(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="Order ETL")
    deletion = tenant.remove(workflow)
    tenant.workflow(name="Order ETL")
    browser = Browser(tenant.server).sign_in(tenant.ben)
    page = browser.get(f"{page_of(tenant, deletion)}/restore", new_parent_id="no id", rename="\u200b")
    assert page.status == 422
    assert "New name" in page.words
    assert "New place" in page.words


def test_past_its_time_nothing_is_restored(lone: Tenant) -> None:
    workflow = lone.workflow()
    deletion = lone.remove(workflow)
    with lone.server.clock.moved(days=31):
        browser = Browser(lone.server).sign_in(lone.user("late", "admin"))
        history = browser.see(f"/s/{lone.subscription_id}/workflows/{workflow['resource_id']}").words
        assert "Its time in the restore bin is over" in history
        assert "Restore…" not in history
        assert "Its time in the restore bin is over" in browser.see(page_of(lone, deletion)).words
        assert browser.get(f"{page_of(lone, deletion)}/restore").status == 410


@pytest.mark.parametrize("role", ["vera", "aud"])
def test_who_may_not_write_restores_nothing(tenant: Tenant, role: str) -> None:
    workflow = tenant.workflow()
    deletion = tenant.remove(workflow)
    browser = Browser(tenant.server).sign_in(tenant.caller(role))
    assert browser.get(f"{page_of(tenant, deletion)}/restore").status == 403
    refused = browser.post(f"{page_of(tenant, deletion)}/restore")
    assert refused.status == 403
    assert "may not change resources" in refused.words
    assert not is_live(tenant, workflow)


# -- for good ---------------------------------------------------------------------------------------------


def test_the_typed_name_deletes_for_good(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="Order ETL")
    deletion = tenant.remove(workflow)
    browser = Browser(tenant.server).sign_in(tenant.ana)
    page = purge(browser, tenant, deletion, name=" Order ETL ", reason="by law")
    assert "It is deleted for good." in page.words
    assert "by law" in page.words
    assert tenant.ana.get(tenant.at(workflow)).status_code == 404
    assert browser.get(f"{page_of(tenant, deletion)}/purge").status == 410


@pytest.mark.parametrize("typed", ["order etl", "Order", "Order ETL2", ""])
def test_another_name_deletes_nothing_and_stays_on_the_page(tenant: Tenant, typed: str) -> None:
    workflow = tenant.workflow(name="Order ETL")
    deletion = tenant.remove(workflow)
    browser = Browser(tenant.server).sign_in(tenant.ana)
    before = tenant.footprint()
    page = purge(browser, tenant, deletion, name=typed, reason="by law")
    assert page.status == 422
    assert "nothing was deleted" in page.words
    assert (page.form("/purge").value("name"), page.form("/purge").value("reason")) == (typed, "by law")
    assert tenant.footprint() == before


def test_a_deletion_for_good_sent_twice_is_done_once(tenant: Tenant) -> None:
    deletion = tenant.remove(tenant.workflow(name="Order ETL"))
    browser = Browser(tenant.server).sign_in(tenant.ana)
    form = browser.see(f"{page_of(tenant, deletion)}/purge").form("/purge")
    answers = [browser.send(form, follow=False, name="Order ETL") for _ in range(2)]
    assert [each.status for each in answers] == [303, 303]
    # One of the deletion, one of the deletion for good.
    assert audited(tenant, "DELETE") == 2


def test_a_legal_hold_forbids_it_and_is_named(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="Order ETL")
    deletion = tenant.remove(workflow)
    browser = Browser(tenant.server).sign_in(tenant.ana)
    form = browser.see(f"{page_of(tenant, deletion)}/purge").form("/purge")
    hold = {"resource_type": "workflow", "resource_id": workflow["resource_id"], "reason": "case 17"}
    ok(tenant.ana.post(f"{tenant.path}/holds", hold), 201)
    page = browser.send(form, name="Order ETL")
    assert page.status == 409
    assert "case 17" in page.words
    shown = browser.see(f"{page_of(tenant, deletion)}/purge")
    assert "A legal hold forbids this" in shown.words
    assert not [each for each in shown.forms if each.action.endswith("/purge")]


@pytest.mark.parametrize("role", ["ben", "vera", "aud"])
def test_only_admins_delete_for_good(tenant: Tenant, role: str) -> None:
    workflow = tenant.workflow(name="Order ETL")
    deletion = tenant.remove(workflow)
    browser = Browser(tenant.server).sign_in(tenant.caller(role))
    assert "Delete for good" not in browser.see(page_of(tenant, deletion)).words
    for page in (
        browser.get(f"{page_of(tenant, deletion)}/purge"),
        browser.post(f"{page_of(tenant, deletion)}/purge", name="Order ETL"),
    ):
        assert page.status == 403
        assert "may not delete for good" in page.words
    assert ok(tenant.ana.get(tenant.at(workflow)))["deleted_at"] is not None


def test_what_lives_is_not_deleted_for_good(tenant: Tenant) -> None:
    deletion = tenant.remove(tenant.workflow())
    tenant.restore(deletion)
    browser = Browser(tenant.server).sign_in(tenant.ana)
    page = browser.get(f"{page_of(tenant, deletion)}/purge")
    assert page.status == 409
    assert "was restored" in page.words


def test_what_people_typed_is_shown_as_text(tenant: Tenant) -> None:
    hostile = '"><script>alert(1)</script> naïve \U0001f9ea'
    deletion = tenant.remove(tenant.workflow(name=hostile), reason=hostile)
    browser = Browser(tenant.server).sign_in(tenant.ana)
    for name in ("", "/restore", "/purge"):
        page = browser.see(f"{page_of(tenant, deletion)}{name}")
        assert "<script>alert" not in page.source
        assert hostile in page.words
    assert hostile in browser.see(bin_of(tenant)).words
