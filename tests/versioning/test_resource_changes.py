"""A new name, description or parent by PATCH: a new version, in a tree without cycles."""

import json

import pytest

from tests.support.api import COLLECTIONS, UNKNOWN, Json, Tenant, ok, pointers, refused, snapshot_path
from tests.support.events import events
from tests.support.histories import check_history
from tests.support.reconciled import told, verify
from tests.support.trees import folder, place_of

MERGE_PATCH = "application/merge-patch+json"


# -- a new version ----------------------------------------------------------------------------------


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_a_rename_is_a_version_with_the_same_definition(tenant: Tenant, collection: str) -> None:
    made = tenant.make(collection, name="old", description="what", definition={"n": [1.0, 1e22]})
    response = tenant.ben.patch(tenant.at(made), {"name": "new"})
    changed = ok(response)
    assert response.headers["etag"] == f'"{changed["git_commit_hash"]}"' == f'"{tenant.main()}"'
    assert changed.pop("unchanged") is False
    assert changed == ok(tenant.vera.get(tenant.at(made)))
    assert changed["updated_at"] > made["updated_at"]
    same = made.keys() - {"name", "current_version", "git_commit_hash", "updated_at"}
    assert {name: changed[name] for name in same} == {name: made[name] for name in same}
    assert (changed["name"], changed["current_version"]) == ("new", 2)
    version = ok(tenant.vera.get(f"{tenant.at(made)}/versions/2"))
    assert (version["resource_name"], version["created_by_username"]) == ("new", "ben")
    assert version["snapshot"]["name"] == "new"
    assert ok(tenant.vera.get(f"{tenant.at(made)}/versions/1"))["resource_name"] == "old"
    before, after = (tenant.git("show", f"{ref}:{snapshot_path(made)}") for ref in ("main~1", "main"))
    assert after == before.replace('"old"', '"new"')
    assert tenant.git("log", "-1", "--format=%an %s", "main").startswith(f"ben {collection}/")
    assert tenant.git("log", "-1", "--format=%s", "main").endswith(": v2 — new\n")
    check_history(tenant)
    assert told(verify(tenant)) == []


def test_a_change_of_all_at_once_is_one_version(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="old", description="what")
    other = tenant.make("jobs")
    changed = tenant.amend(workflow, name="new", description=None, job_id=other["resource_id"])
    names = ("name", "description", "parent_id", "current_version")
    assert [changed[name] for name in names] == ["new", None, other["resource_id"], 2]


def test_it_is_in_the_audit_log_and_the_history_of_changes(tenant: Tenant) -> None:
    workflow, other = (
        tenant.workflow(name="old"),
        tenant.make("jobs", folder_id=folder(tenant)["resource_id"]),
    )
    ok(
        tenant.ana.patch(
            tenant.at(workflow),
            {"name": "new", "description": "what", "job_id": other["resource_id"]},
            headers={"x-change-reason": "tidy"},
        )
    )
    [event] = events(tenant, action="UPDATE", resource_id=workflow["resource_id"])
    was = {"name": "old", "description": None, "parent_id": workflow["parent_id"], "version_number": 1}
    then = {"name": "new", "description": "what", "parent_id": other["resource_id"], "version_number": 2}
    assert event["old_values"] | was == event["old_values"]
    assert event["new_values"] | then == event["new_values"]
    assert {"/name", "/description", "/parent_id"} <= {change["path"] for change in event["changes"]}
    assert event["resource_name"] == "new"
    assert event["folder_id"] == other["parent_id"]
    query = {"table_name": "workflows", "record_id": workflow["resource_id"]}
    [change, _] = tenant.aud.pages(f"{tenant.path}/change-history", **query)
    assert (change["version_number"], change["change_reason"]) == (2, "tidy")
    assert {step["path"] for step in change["diff"]} == {"/name", "/description", "/parent_id"}


@pytest.mark.parametrize("given", [(), ("name",), ("name", "description", "job_id")])
def test_what_is_so_already_makes_no_version(tenant: Tenant, given: tuple[str, ...]) -> None:
    workflow = tenant.workflow(description="what")
    same = {**workflow, "job_id": workflow["parent_id"]}
    before = tenant.main()
    response = tenant.ana.patch(tenant.at(workflow), {name: same[name] for name in given})
    assert ok(response) == workflow | {"unchanged": True}
    assert response.headers["etag"] == f'"{workflow["git_commit_hash"]}"'
    assert tenant.main() == before
    [event] = events(tenant, action="UPDATE")
    assert event["new_values"]["unchanged"] is True


def test_a_rollback_changes_neither_name_nor_place(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="old", description="first", definition={"n": 1})
    tenant.save(workflow, {"n": 2})
    job_id = tenant.make("jobs")["resource_id"]
    tenant.amend(workflow, name="new", description="second", job_id=job_id)
    before = tenant.main()
    ok(tenant.ana.post(f"{tenant.at(workflow)}/rollback", {"to": 1}), 201)
    found = ok(tenant.ana.get(tenant.at(workflow)))
    names = ("name", "description", "parent_id", "definition")
    assert [found[name] for name in names] == ["new", "first", job_id, {"n": 1}]
    tenant.amend(workflow, name="newest")
    ok(tenant.ana.post(f"{tenant.path}/rollback", {"to": before}), 201)
    found = ok(tenant.ana.get(tenant.at(workflow)))
    assert [found[name] for name in names] == ["newest", "second", job_id, {"n": 2}]


# -- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("collection", "patch", "pointer"),
    [
        ("workspaces", {"name": None}, "/name"),
        ("workspaces", {"name": " "}, "/name"),
        ("workspaces", {"name": "x" * 501}, "/name"),
        ("workspaces", {"description": 7}, "/description"),
        ("workspaces", {"definition": {}}, "/definition"),
        ("workspaces", {"workspace_id": UNKNOWN}, "/workspace_id"),
        ("workspaces", {"parent_id": UNKNOWN}, "/parent_id"),
        ("folders", {"workspace_id": None}, "/workspace_id"),
        ("folders", {"parent_folder_id": "x"}, "/parent_folder_id"),
        ("folders", {"folder_id": UNKNOWN}, "/folder_id"),
        ("jobs", {"folder_id": None}, "/folder_id"),
        ("jobs", {"workspace_id": UNKNOWN}, "/workspace_id"),
        ("jobpackages", {"folder_id": None}, "/folder_id"),
        ("workflows", {"job_id": None}, "/job_id"),
        ("workflows", {"folder_id": UNKNOWN}, "/folder_id"),
        ("connectors", {"workspace_id": None}, "/workspace_id"),
        ("connectors", {"Name": "x"}, "/Name"),
    ],
)
def test_a_patch_that_breaks_a_rule_is_422(
    shared: Tenant, collection: str, patch: Json, pointer: str
) -> None:
    made = shared.make(collection)
    problem = refused(shared.ana.patch(shared.at(made), patch), 422, "invalid")
    assert pointers(problem) == [pointer]


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"7", b"null"])
def test_a_patch_is_an_object(shared: Tenant, body: bytes) -> None:
    path = shared.at(shared.make("jobs"))
    refused(shared.ana.patch(path, content=body), 422, "invalid")


@pytest.mark.parametrize("media_type", ["application/json", "application/json-patch+json", "text/plain"])
def test_a_patch_is_a_merge_patch(shared: Tenant, media_type: str) -> None:
    path = shared.at(shared.make("jobs"))
    response = shared.ana.patch(path, content=b'{"name": "x"}', headers={"content-type": media_type})
    assert MERGE_PATCH in refused(response, 415, "unsupported_media_type")["detail"]


def test_what_another_holds_is_423_and_its_holder_keeps_the_check_out(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.check_out(workflow, tenant.ben)
    before = tenant.footprint()
    for patch in ({"name": "x"}, {"name": workflow["name"]}, {}):
        problem = refused(tenant.ana.patch(tenant.at(workflow), patch), 423, "checked_out")
        assert problem["checked_out_by_username"] == "ben"
    assert tenant.footprint() == before
    assert tenant.amend(workflow, by=tenant.ben, name="x")["checked_out_by"] == tenant.ben.user_id
    [held] = ok(tenant.ben.get(f"{tenant.path}/check-outs"))["ours"]
    assert (held["version_number"], held["resource_name"]) == (2, "x")
    assert tenant.check_in(workflow, tenant.ben, data={"n": 3})["version_number"] == 3


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_a_live_siblings_name_can_not_be_taken(tenant: Tenant, collection: str) -> None:
    tenant.make(collection, name="twin")
    other = tenant.make(collection)
    before = tenant.footprint()
    problem = refused(tenant.ana.patch(tenant.at(other), {"name": "twin"}), 409, "name_taken")
    assert pointers(problem) == ["/name"]
    assert tenant.footprint() == before


def test_a_name_can_be_taken_where_its_resource_is_deleted_renamed_or_moved(tenant: Tenant) -> None:
    first, second, third, fourth = (tenant.make("jobs", name=f"job {number}") for number in range(4))
    tenant.remove(first)
    tenant.amend(second, name="job 0")
    tenant.amend(third, name="job 1")
    tenant.amend(third, folder_id=folder(tenant)["resource_id"])
    tenant.amend(fourth, name="job 1")


def test_a_move_to_where_the_name_is_taken_is_refused(tenant: Tenant) -> None:
    other = folder(tenant)
    tenant.make("jobs", name="twin", folder_id=other["resource_id"])
    job = tenant.make("jobs", name="twin")
    to = {"folder_id": other["resource_id"]}
    assert pointers(refused(tenant.ana.patch(tenant.at(job), to), 409, "name_taken")) == ["/folder_id"]
    assert tenant.amend(job, name="free", **to)["parent_id"] == other["resource_id"]


@pytest.mark.parametrize(
    ("collection", "field"),
    [
        ("folders", "workspace_id"),
        ("folders", "parent_folder_id"),
        ("jobs", "folder_id"),
        ("workflows", "job_id"),
        ("jobpackages", "folder_id"),
        ("connectors", "workspace_id"),
    ],
)
def test_a_parent_that_is_not_there_or_deleted_is_refused_as_for_creation(
    tenant: Tenant, stranger: Tenant, collection: str, field: str
) -> None:
    made = tenant.make(collection)
    anothers = {**stranger.parent(collection), "parent_folder_id": stranger.folder_id}[field]
    tenant.begin_another_tree()
    dead = tenant.make(f"{field.removesuffix('_id').removeprefix('parent_')}s")
    tenant.remove(dead)
    before = tenant.footprint()
    for parent_id in (UNKNOWN, anothers):
        problem = refused(tenant.ana.patch(tenant.at(made), {field: parent_id}), 404, "parent_not_found")
        assert pointers(problem) == [f"/{field}"]
    problem = refused(
        tenant.ana.patch(tenant.at(made), {field: dead["resource_id"]}), 409, "resource_deleted"
    )
    assert pointers(problem) == [f"/{field}"]
    assert tenant.footprint() == before


# -- moves ------------------------------------------------------------------------------------------


def test_a_folder_is_moved_by_its_folder_and_by_its_workspace(tenant: Tenant) -> None:
    workspace, other = tenant.workspace_id, tenant.make("workspaces")["resource_id"]
    outer, inner = folder(tenant), folder(tenant)
    elsewhere = tenant.make("folders", workspace_id=other)
    steps: tuple[tuple[Json, str, str], ...] = (
        ({"parent_folder_id": outer["resource_id"]}, outer["resource_id"], workspace),
        # Named its own workspace, it stays in its folder.
        ({"workspace_id": workspace, "name": "another"}, outer["resource_id"], workspace),
        ({"parent_folder_id": None}, workspace, workspace),
        (
            {"workspace_id": workspace, "parent_folder_id": outer["resource_id"]},
            outer["resource_id"],
            workspace,
        ),
        ({"workspace_id": other}, other, other),
        ({"parent_folder_id": outer["resource_id"]}, outer["resource_id"], workspace),
        ({"parent_folder_id": elsewhere["resource_id"]}, elsewhere["resource_id"], other),
        ({"workspace_id": workspace, "parent_folder_id": None}, workspace, workspace),
    )
    for number, (patch, parent_id, workspace_id) in enumerate(steps, 2):
        moved = tenant.amend(inner, **patch)
        assert (moved["parent_id"], moved["workspace_id"], moved["current_version"]) == (
            parent_id,
            workspace_id,
            number,
        )
        assert place_of(tenant, inner) == (parent_id, workspace_id)
    wrong = {"workspace_id": workspace, "parent_folder_id": elsewhere["resource_id"]}
    problem = refused(tenant.ana.patch(tenant.at(inner), wrong), 404, "parent_not_found")
    assert pointers(problem) == ["/parent_folder_id"]
    assert told(verify(tenant)) == []


def test_a_folder_can_not_lie_in_itself(tenant: Tenant) -> None:
    outer = folder(tenant)
    middle = folder(tenant, outer)
    inner = folder(tenant, middle)
    before = tenant.footprint()
    for within in (outer, middle, inner):
        patch = {"parent_folder_id": within["resource_id"]}
        problem = refused(tenant.ana.patch(tenant.at(outer), patch), 409, "folder_cycle")
        assert pointers(problem) == ["/parent_folder_id"]
    assert tenant.footprint() == before
    tenant.amend(inner, parent_folder_id=None)
    tenant.amend(outer, parent_folder_id=inner["resource_id"])
    assert place_of(tenant, middle)[0] == outer["resource_id"]


def test_a_move_across_workspaces_carries_what_lies_below(tenant: Tenant) -> None:
    top = folder(tenant)
    inner = folder(tenant, top)
    job = tenant.make("jobs", folder_id=inner["resource_id"])
    package = tenant.make("jobpackages", folder_id=inner["resource_id"])
    workflow = tenant.workflow(job_id=job["resource_id"])
    dead = tenant.workflow(job_id=job["resource_id"])
    tenant.remove(dead)
    other = tenant.make("workspaces")["resource_id"]
    carried = (inner, job, package, workflow, dead)
    before = [ok(tenant.ana.get(tenant.at(each))) for each in carried]
    files = tenant.git("ls-tree", "-r", "main").splitlines()
    moved = tenant.amend(top, workspace_id=other)
    assert (moved["workspace_id"], moved["parent_id"]) == (other, other)
    # Descendants move too, without a new version: their snapshots name their parents only.
    assert [ok(tenant.ana.get(tenant.at(each))) for each in carried] == [
        each | {"workspace_id": other} for each in before
    ]
    changed = set(tenant.git("ls-tree", "-r", "main").splitlines()) - set(files)
    assert [line.split("\t")[1] for line in changed] == [snapshot_path(top)]
    ids = [each["resource_id"] for each in tenant.ana.pages(f"{tenant.path}/workflows", workspace_id=other)]
    assert ids == [workflow["resource_id"]]
    # Later events have its new place.
    tenant.save(workflow, {"n": 2})
    tenant.check_out(workflow)
    found = events(tenant, resource_id=workflow["resource_id"], workspace_id=other)
    assert [event["action"] for event in found] == ["CHECK_OUT", "UPDATE"]
    assert {event["folder_id"] for event in found} == {inner["resource_id"]}
    assert told(verify(tenant)) == []


def test_a_job_that_is_moved_takes_its_workflows_to_another_folder(tenant: Tenant) -> None:
    workflow, job = tenant.workflow(), {"resource_type": "job", "resource_id": tenant.job_id}
    other = tenant.make("folders", workspace_id=tenant.make("workspaces")["resource_id"])
    tenant.amend(job, folder_id=other["resource_id"])
    tenant.save(workflow, {"n": 2})
    [event] = events(tenant, resource_id=workflow["resource_id"], action="UPDATE")
    assert (event["workspace_id"], event["folder_id"]) == (other["workspace_id"], other["resource_id"])


def test_two_folders_that_were_swapped_keep_their_histories(tenant: Tenant) -> None:
    one, two = folder(tenant, name="one"), folder(tenant, name="two")
    for resource, name in ((one, "aside"), (two, "one"), (one, "two")):
        tenant.amend(resource, name=name)
    history = tenant.ana.pages(f"{tenant.at(one)}/versions")
    assert [version["resource_name"] for version in history] == ["two", "aside", "one"]
    assert json.loads(tenant.git("show", f"main:{snapshot_path(two)}"))["name"] == "one"
