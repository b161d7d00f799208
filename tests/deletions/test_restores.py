"""Restores: exactly the deleted resources, with ids, names, parents, versions and states; or nothing."""

from typing import Any

import pytest

from tests.support.api import Json, Tenant, ok, pointers, refused
from tests.support.events import events
from tests.support.histories import check_history
from tests.support.trees import COUNTS, DELETED_WITH, in_git, live, records_of, restoring, tree


def states(tenant: Tenant, made: dict[str, Json]) -> dict[str, Any]:
    """All answers of the API about resources and their versions."""
    found = {}
    for name, each in made.items():
        at = tenant.at(each)
        shown = ok(tenant.vera.get(at))
        found[name] = (
            shown,
            tenant.vera.pages(f"{at}/versions"),
            ok(tenant.vera.get(f"{at}/versions/current")),
        )
    return found


def conflicts(response: Any) -> list[tuple[str, str]]:
    """The conflicts of a refused restore: reasons and resources."""
    problem = refused(response, 409, "restore_conflict")
    return [(each["reason"], each["resource_id"]) for each in problem["conflicts"]]


@pytest.mark.parametrize("root", sorted(DELETED_WITH))
def test_all_that_fell_comes_back_as_it_was(tenant: Tenant, root: str) -> None:
    made = tree(tenant)
    for name in DELETED_WITH[root]:
        tenant.save(made[name], {"n": 2}, tag="second")
        tenant.save(made[name], {"n": 3})
        ok(tenant.ben.post(f"{tenant.at(made[name])}/versions/second/publish"))
    before = states(tenant, made)
    trees = [tenant.git("rev-parse", f"{branch}^{{tree}}") for branch in ("main", "published")]
    refs = tenant.git("for-each-ref", "refs/tags")
    deletion = tenant.remove(made[root])
    commits = len(tenant.git("log", "--format=%H", "main").split())
    done = tenant.restore(deletion)
    assert states(tenant, made) == before
    assert [tenant.git("rev-parse", f"{branch}^{{tree}}") for branch in ("main", "published")] == trees
    assert tenant.git("for-each-ref", "refs/tags") == refs
    assert len(tenant.git("log", "--format=%H", "main").split()) == commits + 1
    assert f"Annals-Restore: {deletion['deletion_id']}\n" in tenant.git("log", "-1", "main")
    assert f"Annals-Restore: {deletion['deletion_id']}\n" in tenant.git("log", "-1", "published")
    assert done["commit"] == tenant.main()
    assert done["restored"] == deletion["counts"]
    assert done["blobs"] == {"compared": len(DELETED_WITH[root]), "equal": len(DELETED_WITH[root])}
    assert (done["conflicts"], done["missing"], done["kept"], done["dry_run"]) == ([], [], [], False)
    for record in records_of(tenant, deletion):
        assert (record["can_be_restored"], record["restored_commit_hash"]) == (False, done["commit"])
        assert record["restored_by"] == tenant.ben.user_id
    check_history(tenant)


def test_it_is_an_event_with_its_counts_and_a_change_of_each(tenant: Tenant) -> None:
    made = tree(tenant)
    deletion = tenant.remove(made["jobs"])
    done = tenant.restore(deletion)
    tenant.save(made["jobs"], {"n": 2})
    [event] = [each for each in events(tenant) if each["action"] == "RESTORE"]
    assert (event["resource_type"], event["resource_id"]) == ("job", made["jobs"]["resource_id"])
    assert event["new_values"]["counts"] == done["restored"]
    assert event["new_values"]["deletion_id"] == deletion["deletion_id"]
    assert event["new_values"]["blobs"] == {"compared": 2, "equal": 2}
    changes = tenant.aud.pages(f"{tenant.path}/change-history", record_id=made["jobs"]["resource_id"])
    assert [(each["change_type"], each["version_number"]) for each in changes] == [
        ("UPDATE", 4),
        ("INSERT", 3),
        ("DELETE", 2),
        ("INSERT", 1),
    ]
    assert [each["is_current_version"] for each in changes] == [True, False, False, False]


def test_a_dry_run_says_what_would_come_back_and_does_nothing(tenant: Tenant) -> None:
    made, ben = tree(tenant), tenant.ben
    deletion = tenant.remove(made["folders"])
    footprint = tenant.footprint()
    foreseen = ok(ben.post(restoring(tenant, deletion), {"dry_run": True}))
    assert tenant.footprint() == footprint
    assert (foreseen["dry_run"], foreseen["conflicts"], foreseen["commit"]) == (True, [], None)
    assert tenant.restore(deletion)["restored"] == foreseen["restored"] == deletion["counts"]
    again = ok(tenant.ben.post(restoring(tenant, deletion), {"dry_run": True}))
    assert [each["reason"] for each in again["conflicts"]] == ["already_restored"]


def test_what_is_restored_cannot_be_again(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    deletion = tenant.remove(workflow)
    tenant.restore(deletion)
    expected = [("already_restored", workflow["resource_id"])]
    assert conflicts(tenant.ben.post(restoring(tenant, deletion))) == expected
    later = tenant.remove(workflow)
    body = {"resolve": {"keep_restored": True, "rename": "other"}}
    assert conflicts(tenant.ben.post(restoring(tenant, deletion), body)) == expected
    tenant.restore(later)


def test_what_was_restored_and_went_for_good_later_was_restored_already(tenant: Tenant) -> None:
    made = tree(tenant)
    deletion = tenant.remove(made["jobs"])
    tenant.restore(deletion)
    tenant.remove(made["jobs"])
    tenant.remove(made["jobs"], permanent=True)
    again = tenant.ben.post(restoring(tenant, deletion))
    assert conflicts(again) == [("already_restored", made["jobs"]["resource_id"])]
    foreseen = tenant.restore(deletion, dry_run=True)
    assert (foreseen["restored"], len(foreseen["conflicts"])) == (COUNTS, 1)


def test_what_fell_before_stays_deleted(tenant: Tenant) -> None:
    made = tree(tenant)
    first = tenant.remove(made["jobs"])
    second = tenant.remove(made["workspaces"])
    assert conflicts(tenant.ben.post(restoring(tenant, first))) == [
        ("parent_deleted", made["jobs"]["resource_id"])
    ]
    tenant.restore(second)
    gone = {made["jobs"]["resource_id"], made["workflows"]["resource_id"]}
    assert live(tenant) == in_git(tenant) == {each["resource_id"] for each in made.values()} - gone
    tenant.restore(first)
    assert live(tenant) == in_git(tenant) == {each["resource_id"] for each in made.values()}


# -- conflicts, and how they are resolved ------------------------------------------------------------


def test_a_name_that_is_taken_can_be_another(tenant: Tenant) -> None:
    old, ben = tenant.make("connectors", name="db", definition={"n": 1}), tenant.ben
    deletion = tenant.remove(old)
    tenant.make("connectors", name="db")
    footprint = tenant.footprint()
    assert conflicts(ben.post(restoring(tenant, deletion))) == [("name_taken", old["resource_id"])]
    assert tenant.footprint() == footprint
    body = {"resolve": {"rename": "db"}}
    assert conflicts(tenant.ben.post(restoring(tenant, deletion), body)) == [
        ("name_taken", old["resource_id"])
    ]
    done = tenant.restore(deletion, resolve={"rename": "old db"})
    assert done["blobs"] == {"compared": 0, "equal": 0}
    version = ok(tenant.vera.get(f"{tenant.at(old)}/versions/current"))
    assert (version["version_number"], version["git_commit_hash"]) == (2, done["commit"])
    assert version["snapshot"]["name"] == version["resource_name"] == "old db"
    assert version["data"] == {"n": 1}
    # One commit restored and renamed.
    assert tenant.main() == done["commit"]
    message = tenant.git("log", "-1", "main")
    assert "Annals-Restore: " in message
    assert f"@2 {version['version_id']}" in message
    changes = tenant.aud.pages(f"{tenant.path}/change-history", record_id=old["resource_id"])
    assert [each["version_number"] for each in changes] == [4, 3, 2, 1]


# By the parent's name or place, not its id, it would be elsewhere or nowhere.
# https://github.com/nextcloud/server/issues/33621, https://github.com/owncloud/ocis/issues/4846
def test_what_is_restored_lies_in_its_parent_wherever_that_is_by_now(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    job, folder = tenant.job_id, tenant.folder_id
    tenant.begin_another_tree()
    elsewhere = {"folder": tenant.folder_id, "workspace": tenant.workspace_id}
    deletion = tenant.remove(workflow)
    ok(tenant.ana.patch(f"{tenant.path}/jobs/{job}", {"name": "renamed", "folder_id": elsewhere["folder"]}))
    ok(tenant.ana.delete(f"{tenant.path}/folders/{folder}"))
    tenant.restore(deletion)
    back = ok(tenant.vera.get(tenant.at(workflow)))
    assert (back["parent_id"], back["workspace_id"]) == (job, elsewhere["workspace"])
    assert back["current_version"] == workflow["current_version"]
    check_history(tenant)


def test_another_parent_takes_in_what_came_back_with_all_below_it(tenant: Tenant) -> None:
    made, other = tree(tenant), tree_of_another(tenant)
    tenant.remove(made["workspaces"])
    path = f"{tenant.path}/deletions"
    [part] = tenant.vera.pages(path, resource_id=made["jobs"]["resource_id"])
    assert conflicts(tenant.ben.post(restoring(tenant, part))) == [
        ("parent_deleted", made["jobs"]["resource_id"])
    ]
    done = tenant.restore(part, resolve={"new_parent_id": other["folders"]["resource_id"]})
    assert done["restored"] == COUNTS | {"jobs": 1, "workflows": 1}
    assert done["blobs"] == {"compared": 1, "equal": 1}
    job, workflow = (ok(tenant.vera.get(tenant.at(made[name]))) for name in ("jobs", "workflows"))
    assert job["parent_id"] == other["folders"]["resource_id"]
    assert job["workspace_id"] == workflow["workspace_id"] == other["workspaces"]["resource_id"]
    assert (job["current_version"], workflow["current_version"]) == (2, 1)
    assert workflow["parent_id"] == job["resource_id"]
    check_history(tenant)


def tree_of_another(tenant: Tenant) -> dict[str, Json]:
    """A workspace with a folder."""
    workspace = ok(tenant.ana.post(f"{tenant.path}/workspaces", {"name": "another"}), 201)
    body = {"name": "inside", "workspace_id": workspace["resource_id"]}
    return {
        "workspaces": workspace,
        "folders": ok(tenant.ana.post(f"{tenant.path}/folders", body), 201),
    }


def test_a_part_that_was_restored_on_its_own_is_a_conflict_or_kept(tenant: Tenant) -> None:
    made, other = tree(tenant), tree_of_another(tenant)
    deletion = tenant.remove(made["workspaces"])
    part = next(
        each for each in records_of(tenant, deletion) if each["resource_id"] == made["jobs"]["resource_id"]
    )
    tenant.restore(part, resolve={"new_parent_id": other["folders"]["resource_id"]})
    assert conflicts(tenant.ben.post(restoring(tenant, deletion))) == [
        ("already_restored", made["jobs"]["resource_id"])
    ]
    done = tenant.restore(deletion, resolve={"keep_restored": True})
    assert [each["resource_id"] for each in done["kept"]] == [made["jobs"]["resource_id"]]
    assert done["restored"] == {
        name: number - COUNTS.get(name, 0) - (name in ("jobs", "workflows"))
        for name, number in deletion["counts"].items()
    }
    job = ok(tenant.vera.get(tenant.at(made["jobs"])))
    assert job["parent_id"] == other["folders"]["resource_id"]


def test_what_was_deleted_for_good_since_is_missing(tenant: Tenant) -> None:
    made = tree(tenant)
    deletion = tenant.remove(made["workspaces"])
    tenant.remove(made["inner jobs"], permanent=True)
    done = tenant.restore(deletion)
    assert [each["resource_id"] for each in done["missing"]] == [made["inner jobs"]["resource_id"]]
    gone = {made[name]["resource_id"] for name in ("inner jobs", "inner workflows")}
    assert live(tenant) == in_git(tenant) == {each["resource_id"] for each in made.values()} - gone
    assert done["blobs"] == {"compared": 7, "equal": 7}


def test_a_part_that_was_restored_and_went_for_good_later_is_missing(tenant: Tenant) -> None:
    made, other = tree(tenant), tree_of_another(tenant)
    deletion = tenant.remove(made["workspaces"])
    job = made["jobs"]["resource_id"]
    [part] = [each for each in records_of(tenant, deletion) if each["resource_id"] == job]
    tenant.restore(part, resolve={"new_parent_id": other["folders"]["resource_id"]})
    tenant.remove(made["jobs"])
    # It can be restored by its own deletion, and is not by this one.
    assert conflicts(tenant.ben.post(restoring(tenant, deletion))) == [("already_restored", job)]
    tenant.remove(made["jobs"], permanent=True)
    done = tenant.restore(deletion)
    assert [each["resource_id"] for each in done["missing"]] == [job]
    assert done["kept"] == []
    check_history(tenant)


def test_a_folder_can_come_back_in_a_workspace(tenant: Tenant) -> None:
    made, other = tree(tenant), tree_of_another(tenant)
    deletion = tenant.remove(made["inner folders"])
    tenant.restore(deletion, resolve={"new_parent_id": other["workspaces"]["resource_id"]})
    shown = ok(tenant.vera.get(tenant.at(made["inner folders"])))
    assert shown["parent_id"] == shown["workspace_id"] == other["workspaces"]["resource_id"]
    for name in ("inner jobs", "inner workflows"):
        found = ok(tenant.vera.get(tenant.at(made[name])))
        assert found["workspace_id"] == other["workspaces"]["resource_id"]


def test_a_parent_that_is_none_is_refused_with_a_pointer(tenant: Tenant) -> None:
    made = tree(tenant)
    deletion, workspace = tenant.remove(made["jobs"]), tenant.remove(tree_of_another(tenant)["workspaces"])
    for wrong in (made["workspaces"]["resource_id"], made["jobs"]["resource_id"], deletion["deletion_id"]):
        body = {"resolve": {"new_parent_id": wrong}}
        problem = refused(tenant.ben.post(restoring(tenant, deletion), body), 404, "parent_not_found")
        assert pointers(problem) == ["/resolve/new_parent_id"]
    body = {"resolve": {"new_parent_id": made["folders"]["resource_id"]}}
    problem = refused(tenant.ben.post(restoring(tenant, workspace), body), 422, "invalid")
    assert pointers(problem) == ["/resolve/new_parent_id"]
    inner = tenant.remove(made["folders"])
    body = {"resolve": {"new_parent_id": made["inner folders"]["resource_id"]}}
    assert conflicts(tenant.ben.post(restoring(tenant, inner), body)) == [
        ("parent_deleted", made["folders"]["resource_id"])
    ]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"dryrun": True}, "/dryrun"),
        ({"dry_run": "yes"}, "/dry_run"),
        ({"resolve": {"name": "x"}}, "/resolve/name"),
        ({"resolve": {"rename": ""}}, "/resolve/rename"),
        ({"resolve": {"rename": "a\nb"}}, "/resolve/rename"),
        ({"resolve": {"new_parent_id": 7}}, "/resolve/new_parent_id"),
        ({"resolve": "rename"}, "/resolve"),
    ],
)
def test_a_bad_body_is_refused_with_a_pointer(tenant: Tenant, body: Json, pointer: str) -> None:
    deletion = tenant.remove(tenant.workflow())
    problem = refused(tenant.ben.post(restoring(tenant, deletion), body), 422, "invalid")
    assert pointers(problem) == [pointer]


def test_a_retry_by_its_key_gives_the_same_answer(tenant: Tenant) -> None:
    deletion = tenant.remove(tenant.workflow())
    headers = {"idempotency-key": "once"}
    first = ok(tenant.ben.post(restoring(tenant, deletion), headers=headers))
    commit = tenant.main()
    assert ok(tenant.ben.post(restoring(tenant, deletion), headers=headers)) == first
    assert tenant.main() == commit


def test_a_strangers_deletion_is_not_there(tenant: Tenant) -> None:
    other = Tenant(tenant.server, name="other")
    deletion = other.remove(other.workflow())
    refused(tenant.ben.post(restoring(tenant, deletion)), 404, "deletion_not_found")
    refused(tenant.vera.get(f"{tenant.path}/deletions/{deletion['deletion_id']}"), 404, "deletion_not_found")
    assert tenant.vera.pages(f"{tenant.path}/deletions") == []
    refused(tenant.ben.post(restoring(other, deletion)), 404, "subscription_not_found")
