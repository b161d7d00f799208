"""The tree of resources as a page: whole or branch by branch, searched by name, and added to."""

import pytest

from tests.support.api import UNKNOWN, Json, Server, Tenant, ok
from tests.support.compared_pages import deed, graphed, signed_in
from tests.support.web import Browser, Page, page_of

HOSTILE = '"><script>alert(1)</script> \U0001f9e8 שלום'


def base(tenant: Tenant) -> str:
    return f"/s/{tenant.subscription_id}"


def names(page: Page) -> list[str]:
    """Names of the resources that a page shows in its tree, in their order."""
    return [each.text for each in page.root.all("bdi", **{"class": "name"})]


def test_the_tree_shows_each_resource_with_kind_version_and_holder(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="Order ETL")
    tenant.save(workflow, {"a": 1})
    tenant.check_out(workflow, by=tenant.ben)
    page = Browser(tenant.server).sign_in(tenant.vera).see(f"{base(tenant)}/resources")
    rows = {
        each.one("bdi", **{"class": "name"}).text: each.text
        for each in page.root.all("span", **{"class": "row"})
    }
    assert len(rows) == 4
    assert "workflow · v2" in rows["Order ETL"]
    assert "checked out by ben" in rows["Order ETL"]
    assert "4 resources" in page.words
    assert not page.root.all("a", href=f"{base(tenant)}/resources/new"), "a viewer is offered nothing new"


def test_an_empty_tree_names_what_begins_it(tenant: Tenant) -> None:
    page = Browser(tenant.server).sign_in(tenant.ben).see(f"{base(tenant)}/resources")
    assert "annals workspace create" in page.words
    assert page.link("New workspace…") == f"{base(tenant)}/resources/new"
    for_viewer = Browser(tenant.server).sign_in(tenant.vera).see(f"{base(tenant)}/resources")
    assert "Your role, viewer, creates none" in for_viewer.words


def test_deleted_resources_are_not_in_the_tree(tenant: Tenant) -> None:
    tenant.remove(tenant.workflow(name="gone"))
    browser = Browser(tenant.server).sign_in(tenant.ben)
    assert "gone" not in names(browser.see(f"{base(tenant)}/resources"))
    assert "No resource has" in browser.see(f"{base(tenant)}/resources", q="gone").words


@pytest.mark.parametrize("asked", ["rder", "ORDER", "  order "])
def test_a_search_finds_a_part_of_a_name_in_any_case(tenant: Tenant, asked: str) -> None:
    tenant.workflow(name="My Order ETL")
    page = Browser(tenant.server).sign_in(tenant.vera).see(f"{base(tenant)}/resources", q=asked)
    assert names(page) == ["My Order ETL"]
    where = page.root.one("span", **{"class": "where"})
    assert [each.text[:4] for each in where.all("a")] == ["work", "fold", "jobs"]


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("Täglicher Übertrag", "ÜBER"),
        ("GRÖSSE der Lager", "größe"),
        ("Größe der Lager", "GRÖSSE"),
        ("Ежедневный отчёт", "ОТЧЁТ"),
        ("ΟΔΟΣ", "οδος"),
        ("Café", "CAFE\u0301"),
        ("İstanbul", "i"),
    ],
)
def test_a_search_folds_the_letters_of_all_scripts(tenant: Tenant, name: str, asked: str) -> None:
    tenant.workflow(name=name)
    page = Browser(tenant.server).sign_in(tenant.vera).see(f"{base(tenant)}/resources", q=asked)
    assert name in names(page)


def test_a_search_takes_wildcards_as_they_are(tenant: Tenant) -> None:
    for name in ("100 % of it", "a_b", "plain"):
        tenant.workflow(name=name)
    browser = Browser(tenant.server).sign_in(tenant.ben)
    assert names(browser.see(f"{base(tenant)}/resources", q="%")) == ["100 % of it"]
    assert names(browser.see(f"{base(tenant)}/resources", q="_")) == ["a_b"]


def test_a_search_puts_names_that_begin_with_the_text_first_and_says_if_there_are_more(
    tenant: Tenant,
) -> None:
    for number in range(51):
        tenant.workflow(name=f"a part {number:02}")
    tenant.workflow(name="Part of all")
    page = Browser(tenant.server).sign_in(tenant.ben).see(f"{base(tenant)}/resources", q="part")
    assert names(page)[:2] == ["Part of all", "a part 00"]
    assert len(names(page)) == 50
    assert "The first 50" in page.words


def test_what_is_searched_for_has_a_length(tenant: Tenant) -> None:
    browser = Browser(tenant.server).sign_in(tenant.ben)
    assert browser.see(f"{base(tenant)}/resources", 422, q="x" * 501).heading
    assert browser.see(f"{base(tenant)}/resources", 422, q="x\0y").heading


def test_an_empty_search_leads_to_the_short_address(tenant: Tenant) -> None:
    page = Browser(tenant.server).sign_in(tenant.ben).get(f"{base(tenant)}/resources?q=")
    assert (page.status, page.location) == (303, f"{base(tenant)}/resources")


def test_a_large_tree_is_read_branch_by_branch(server: Server) -> None:
    tenant = Tenant(server)
    made = [tenant.workflow(name=f"w{number:03}") for number in range(197)]
    browser = Browser(server).sign_in(tenant.ben)
    whole = browser.see(f"{base(tenant)}/resources")
    assert "200 resources" in whole.words
    assert len(whole.source) < 150_000
    assert len(list(whole.root.elements())) < 3_000
    made += [tenant.workflow(name=f"w{number:03}") for number in range(197, 201)]
    top = browser.see(f"{base(tenant)}/resources")
    cleared = browser.see(f"{base(tenant)}/resources", headers={"hx-request": "true"})
    assert cleared.headers["hx-push-url"] == f"{base(tenant)}/resources", "a search that was cleared"
    (root,) = top.root.all("details", **{"hx-trigger": "toggle once"})
    link = root.one("div", **{"class": "branch"}).one("a")
    assert root["hx-get"] == link["href"], "the same branch without JavaScript"
    opened = browser.see(link["href"], headers={"hx-request": "true"})
    assert (len(names(opened)), "hx-push-url" in opened.headers) == (1, False)
    job = f"{base(tenant)}/resources?under=job/{tenant.job_id}"
    seen: list[str] = []
    address: str | None = job
    while address is not None:
        page = browser.see(address)
        seen += names(page)
        more = [each["href"] for each in page.root.all("a") if each.text.startswith("More in")]
        address = more[0] if more else None
        assert len(page.source) < 150_000
    assert seen == [each["name"] for each in made]
    (branch,) = page.root.all("div", **{"class": "branch"})
    assert len(branch.all("span", **{"class": "row"})) == 1, "the last page"


def test_folders_nested_fifty_deep_are_shown_and_found(tenant: Tenant) -> None:
    outer: Json = {}
    for depth in range(50):
        parent = {"parent_folder_id": outer["resource_id"]} if outer else {}
        outer = tenant.make("folders", name=f"level {depth}", **parent)
    browser = Browser(tenant.server).sign_in(tenant.ben)
    assert "level 49" in names(browser.see(f"{base(tenant)}/resources"))
    found = browser.see(f"{base(tenant)}/resources", q="level 49").root.one("span", **{"class": "where"})
    assert "…" in found.text
    assert found.all("a")[-1].text == "level 48"
    deep = browser.see(f"{base(tenant)}/resources?under=folder/{outer['resource_id']}")
    assert "Nothing in it" in deep.words


@pytest.mark.parametrize(
    "under", [f"folder/{UNKNOWN}", "folder/x", "nothing", "nothing/x", f"users/{UNKNOWN}"]
)
def test_an_unknown_branch_is_a_404_page(tenant: Tenant, under: str) -> None:
    page = Browser(tenant.server).sign_in(tenant.ben).get(f"{base(tenant)}/resources", under=under)
    assert page.status == 404, page.words


def test_another_tenants_branch_and_names_are_not_to_be_seen(tenant: Tenant, stranger: Tenant) -> None:
    theirs = stranger.workflow(name="their secret")
    browser = Browser(tenant.server).sign_in(tenant.ben)
    assert browser.get(f"{base(stranger)}/resources").status == 404
    for under in (f"job/{stranger.job_id}", f"workflow/{theirs['resource_id']}"):
        assert browser.get(f"{base(tenant)}/resources", under=under).status == 404
        assert browser.get(f"{base(tenant)}/resources/new", parent=under).status == 404
    assert "No resource has" in browser.see(f"{base(tenant)}/resources", q="secret").words


def test_an_altered_cursor_is_refused(tenant: Tenant) -> None:
    browser = Browser(tenant.server).sign_in(tenant.ben)
    for cursor in ("x", "W10", "WyJ4Iiwid29ya3NwYWNlIiwieCJd", "é"):
        page = browser.get(f"{base(tenant)}/resources", cursor=cursor)
        assert page.status == 422, page.words


def test_a_resource_is_created_where_its_form_says(tenant: Tenant) -> None:
    browser = Browser(tenant.server).sign_in(tenant.ben)
    form = browser.see(f"{base(tenant)}/resources/new?parent=job/{tenant.job_id}").form("/workflows")
    done = browser.send(form, name=HOSTILE, description="two\nlines", definition='{"nodes": [], "a": 1.50}')
    assert done.status == 200
    assert "It is created" in done.words
    assert done.heading == HOSTILE
    found = browser.see(f"{base(tenant)}/resources", q="SCRIPT")
    assert names(found) == [HOSTILE]
    assert "<script>alert" not in found.source


def test_a_workspace_and_a_folder_in_a_folder_are_created(tenant: Tenant) -> None:
    browser = Browser(tenant.server).sign_in(tenant.ben)
    workspace = browser.send(browser.see(f"{base(tenant)}/resources/new").form("/workspaces"), name="Finance")
    assert workspace.heading == "Finance"
    address = f"{base(tenant)}/resources/new?parent=folder/{tenant.folder_id}&kind=folder"
    inner = browser.send(browser.see(address).form("/folders"), name="Inner")
    assert inner.heading == "Inner"
    assert inner.root.one("nav", **{"class": "crumbs"}).text.count("/") == 2


def test_the_same_form_sent_twice_creates_once(tenant: Tenant) -> None:
    browser = Browser(tenant.server).sign_in(tenant.ben)
    form = browser.see(f"{base(tenant)}/resources/new?parent=job/{tenant.job_id}").form("/workflows")
    first = browser.send(form, follow=False, name="once")
    second = browser.send(form, follow=False, name="once")
    assert (first.status, first.location) == (303, second.location)


def test_a_quota_that_is_used_up_is_told_in_the_form(tenant: Tenant) -> None:
    workflow = graphed(tenant, {"a": 1})
    ok(tenant.server.operator.patch(tenant.path, {"quotas": {"versions_a_day": 1}}))
    browser = signed_in(tenant, tenant.ben)
    form = browser.see(f"/s/{tenant.subscription_id}/resources/new").form("/workspaces")
    page = browser.send(form, name="Next", description="the next one")
    assert (page.status, page.form("/workspaces").value("description")) == (403, "the next one")
    assert "The quota of versions a day is 1" in page.root.one("div", role="alert").text
    back = browser.see(f"{page_of(tenant, workflow)}/roll-back?to=1")
    page = browser.send(deed(back), comment="as it was")
    assert (page.status, deed(page).value("comment").strip()) == (403, "as it was")
    assert "The quota of versions a day is 1" in page.root.one("div", role="alert").text


def test_a_refused_form_keeps_what_was_typed_and_says_why(tenant: Tenant) -> None:
    tenant.workflow(name="taken")
    browser = Browser(tenant.server).sign_in(tenant.ben)
    form = browser.see(f"{base(tenant)}/resources/new?parent=job/{tenant.job_id}").form("/workflows")
    for name, definition, status in (
        ("taken", "{}", 409),
        (" ", "", 422),
        ("x", "[]", 422),
        ("x", "{nothing", 422),
        ("x", '{"a": 1, "a": 2}', 422),
    ):
        page = browser.send(form, name=name, description="kept", definition=definition)
        assert page.status == status, page.words
        assert page.root.all("div", role="alert"), page.words
        again = page.form("/workflows").fields
        assert again["description"] == ["kept"]
        assert again["definition"] == [definition]


def test_a_place_says_which_kinds_it_holds(tenant: Tenant) -> None:
    browser = Browser(tenant.server).sign_in(tenant.ben)
    at = f"{base(tenant)}/resources/new"
    page = browser.see(f"{at}?parent=folder/{tenant.folder_id}")
    assert [each.text for each in page.root.all("option")] == ["folder", "job", "jobpackage"]
    assert browser.get(f"{at}?parent=job/{tenant.job_id}&kind=connector").status == 422
    workflow = tenant.workflow()
    assert "holds no other" in browser.see(f"{at}?parent=workflow/{workflow['resource_id']}").words
    wrong = browser.post(f"{base(tenant)}/connectors", name="x", parent=f"job/{tenant.job_id}")
    assert wrong.status == 422


def test_readers_create_nothing(tenant: Tenant) -> None:
    parent = f"job/{tenant.job_id}"
    for caller in (tenant.vera, tenant.aud):
        browser = Browser(tenant.server).sign_in(caller)
        assert browser.get(f"{base(tenant)}/resources/new", parent=parent).status == 403
        assert browser.post(f"{base(tenant)}/workflows", name="x", parent=parent).status == 403
    assert browser.see(f"{base(tenant)}/resources", q="x").words.count("No resource has") == 1
