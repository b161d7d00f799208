"""The page of one version: its document, its comments, its addresses."""

import pytest

from gitstore.store import snapshot_path as path_in_git
from tests.support.api import UNKNOWN, Json, Tenant, git, ok
from tests.support.web import Browser

HOSTILE = '"><script>alert(1)</script> \U0001f9e8 שלום'
_MIB = 1024 * 1024


def at(resource: Json, tenant: Tenant, ref: object = "current") -> str:
    kind, named = resource["resource_type"], resource["resource_id"]
    return f"/s/{tenant.subscription_id}/{kind}s/{named}/versions/{ref}"


def test_a_version_shows_its_document_and_where_it_is(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="Order ETL", definition={"steps": [1, 2], "rate": 1.50, "name": "x"})
    page = Browser(tenant.server).sign_in(tenant.vera).see(at(workflow, tenant, 1))
    members = {each.one("summary").text: each.one("pre").raw_text for each in page.root.all("details")[1:]}
    assert list(members) == ["name", "rate", "steps"]
    assert members["rate"] == "1.5"
    assert members["steps"] == "[\n  1,\n  2\n]"
    command = next(each.text for each in page.root.all("code") if each.text.startswith("git show"))
    shown = git(tenant.repository, *command.split()[1:])
    assert '"steps"' in shown
    assert path_in_git("workflows", workflow["resource_id"]) in command


def test_a_version_with_the_document_of_an_older_one_says_so(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"a": 1})
    tenant.save(workflow, {"a": 2})
    ok(tenant.ben.post(f"{tenant.at(workflow)}/rollback", {"to": 1}), 201)
    browser = Browser(tenant.server).sign_in(tenant.vera)
    marks = [browser.see(at(workflow, tenant, ref)).root.one("p", class_="marks").text for ref in (1, 2, 3)]
    assert ["as v1" in each for each in marks] == [False, False, True]


@pytest.mark.parametrize("ref", ["2", "stable", "current", "published", "commit", "prefix"])
def test_a_version_is_found_by_any_ref(tenant: Tenant, ref: str) -> None:
    workflow = tenant.workflow()
    saved = tenant.save(workflow, {"a": 1}, tag="stable", publish=True)
    named = {"commit": saved["git_commit_hash"], "prefix": saved["git_commit_hash"][:10]}.get(ref, ref)
    page = Browser(tenant.server).sign_in(tenant.vera).see(at(workflow, tenant, named))
    assert page.heading.endswith(", version 2")
    for mark in ("stable", "published", "current"):
        assert mark in page.root.one("p", **{"class": "marks"}).text
    assert at(workflow, tenant, saved["git_commit_hash"]) in page.links, "its permalink"


def test_an_unknown_ref_names_those_that_exist(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.save(workflow, {"a": 1}, tag="stable")
    browser = Browser(tenant.server).sign_in(tenant.vera)
    for ref in ("3", "no-such-tag", "0" * 40, "published", "%00", HOSTILE):
        page = browser.see(at(workflow, tenant, ref.replace("/", "%2F")), 404)
        if "/" in ref:
            continue
        assert at(workflow, tenant, 2) in page.links, ref
        assert "stable" in page.words
        assert "<script>alert" not in page.source


def test_the_file_has_the_canonical_bytes(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"b": 1, "a": "ä"})
    browser = Browser(tenant.server).sign_in(tenant.vera)
    file = browser.get(f"{at(workflow, tenant, 1)}/document.json").response
    assert file.content == tenant.vera.get(f"{tenant.at(workflow)}/versions/1/data").content
    assert file.headers["content-type"] == "application/json"
    assert file.headers["content-disposition"].startswith("attachment; ")
    assert file.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "definition",
    [
        {"blob": 'x"' * (2 * _MIB)},
        {"rows": [{"id": number, "text": "y" * 200} for number in range(25_000)]},
        {f"member {number}": number for number in range(90_000)},
    ],
    ids=["one text", "many rows", "many members"],
)
def test_a_document_of_megabytes_is_shown_within_bounds(tenant: Tenant, definition: Json) -> None:
    workflow = tenant.workflow(definition=definition)
    tenant.save(workflow, {"blob": "small"})
    browser = Browser(tenant.server).sign_in(tenant.vera)
    for path in (at(workflow, tenant, 1), at(workflow, tenant).removesuffix("/versions/current")):
        page = browser.see(path)
        assert len(page.source.encode()) < 150_000
        assert len(list(page.root.elements())) < 3_000
    assert "too long for a page" in browser.see(at(workflow, tenant, 1)).words


def test_a_workflow_is_drawn(tenant: Tenant) -> None:
    nodes = [{"id": each, "data": {"label": HOSTILE}, "position": {"x": 0, "y": 0}} for each in "ab"]
    edges = [{"id": "e", "source": "a", "target": "b"}]
    workflow = tenant.workflow(definition={"nodes": nodes, "edges": edges})
    browser = Browser(tenant.server).sign_in(tenant.vera)
    for path in (at(workflow, tenant, 1), at(workflow, tenant).removesuffix("/versions/current")):
        page = browser.see(path)
        assert page.root.all("svg", role="img"), path
        assert "<script>alert" not in page.source


def test_comments_are_read_in_pages(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    for number in range(23):
        body = {"text": f"word {number} {HOSTILE}"}
        ok(tenant.ben.post(f"{tenant.at(workflow)}/versions/1/comments", body), 201)
    browser = Browser(tenant.server).sign_in(tenant.vera)
    page = browser.see(at(workflow, tenant, 1))
    said = [each.text for each in page.root.all("p", **{"class": "said"})]
    assert (len(said), said[0]) == (20, f"word 22 {HOSTILE}")
    older = browser.see(page.link("Older comments"))
    assert [each.text.split()[1] for each in older.root.all("p", **{"class": "said"})] == ["2", "1", "0"]


def test_what_can_be_done_depends_on_the_role(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.save(workflow, {"a": 1})
    here = at(workflow, tenant).removesuffix("/versions/current")
    editor = Browser(tenant.server).sign_in(tenant.ben).see(at(workflow, tenant, 1))
    for link in (f"{here}/roll-back?to=1", f"{here}/publish?ref=1", f"{here}/versions/1/tag"):
        assert link in editor.links
    viewer = Browser(tenant.server).sign_in(tenant.vera).see(at(workflow, tenant, 1))
    assert f"{here}/compare?from=1&to=current" in viewer.links
    assert not [link for link in viewer.links if "roll-back" in link or "publish" in link]
    assert "Your role, viewer, reads" in viewer.words


def test_another_tenants_version_is_a_404_page(tenant: Tenant, stranger: Tenant) -> None:
    theirs = stranger.workflow()
    browser = Browser(tenant.server).sign_in(tenant.ben)
    for path in (at(theirs, tenant, 1), at(theirs, stranger, 1), f"{at(theirs, tenant, 1)}/document.json"):
        assert browser.get(path).status == 404, path
    assert browser.get(f"/s/{tenant.subscription_id}/workflows/{UNKNOWN}/versions/1").status == 404


def test_versions_of_a_purged_resource_are_for_admins(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"a": 1})
    tenant.remove(workflow)
    tenant.remove(workflow, permanent="true")
    for caller, status in ((tenant.ben, 404), (tenant.ana, 200)):
        browser = Browser(tenant.server).sign_in(caller)
        assert browser.get(at(workflow, tenant, 1)).status == status
        assert browser.get(f"{at(workflow, tenant, 1)}/document.json").status == status
