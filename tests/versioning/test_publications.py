"""Publishing: at most one version of a resource, and a branch that holds exactly the published ones."""

from pathlib import Path

import pytest

from tests.support.answers import VERSION_FIELDS
from tests.support.api import (
    COLLECTIONS,
    UNKNOWN,
    Json,
    Tenant,
    git,
    ok,
    pointers,
    refused,
    run_git,
    snapshot_path,
)
from tests.support.databases import Database
from tests.support.histories import check_published
from tests.support.tags import NOWHERE, edited, trailers


def publish(tenant: Tenant, resource: Json, ref: object) -> Json:
    """The answer to publishing a version."""
    return ok(tenant.ana.post(f"{tenant.at(resource)}/versions/{ref}/publish"))


def unpublish(tenant: Tenant, resource: Json, ref: object) -> Json:
    """The answer to unpublishing a version."""
    return ok(tenant.ana.post(f"{tenant.at(resource)}/versions/{ref}/unpublish"))


def published(tenant: Tenant, resource: Json) -> int | None:
    """The number of the published version; asserts that all calls agree on it."""
    path = f"{tenant.at(resource)}/versions"
    found = [v["version_number"] for v in tenant.vera.pages(path) if v["is_published"]]
    assert [v["version_number"] for v in tenant.vera.pages(path, published="true")] == found
    response = tenant.vera.get(f"{path}/published")
    if not found:
        refused(response, 404, "version_not_found")
        return None
    [number] = found
    assert ok(response)["version_number"] == number
    return int(number)


def tip(tenant: Tenant) -> str:
    """The commit of the branch `published`, empty before the first."""
    return tenant.git("for-each-ref", "--format=%(objectname)", "refs/heads/published").strip()


def tree(tenant: Tenant) -> dict[str, str]:
    """The blobs of the branch by path."""
    paths = tenant.git("ls-tree", "-r", "--name-only", "published").splitlines()
    return {path: tenant.git("show", f"published:{path}") for path in paths}


def data(tenant: Tenant, resource: Json, number: int) -> str:
    """The canonical text of a version."""
    return tenant.vera.get(f"{tenant.at(resource)}/versions/{number}/data").text


@pytest.mark.parametrize("call", ["publish", "unpublish"])
def test_a_publication_is_answered_with_its_version(shared: Tenant, call: str) -> None:
    workflow, versions = edited(shared)
    if call == "unpublish":
        publish(shared, workflow, 2)
    response = shared.ben.post(f"{shared.at(workflow)}/versions/2/{call}")
    answer = ok(response)
    assert set(answer) == VERSION_FIELDS | {"unchanged"}
    assert answer["version_id"] == versions[1]["version_id"]
    assert (answer["is_published"], answer["unchanged"]) == (call == "publish", False)
    assert response.headers["etag"] == f'"{versions[1]["git_commit_hash"]}"'
    assert published(shared, workflow) == (2 if call == "publish" else None)


@pytest.mark.parametrize("how", ["number", "tag", "commit", "prefix", "current", "published", "previous"])
def test_a_version_is_published_by_any_ref(shared: Tenant, how: str) -> None:
    workflow = shared.workflow()
    second = shared.save(workflow, {"n": 2}, tag="v2", publish=True)
    shared.save(workflow, {"n": 3})
    ref, number = {
        "number": ("1", 1),
        "tag": ("v2", 2),
        "commit": (workflow["git_commit_hash"], 1),
        "prefix": (second["git_commit_hash"][:8], 2),
        "current": ("current", 3),
        "published": ("published", 2),
        "previous": ("previous", 2),
    }[how]
    answer = publish(shared, workflow, ref)
    assert (answer["version_number"], answer["unchanged"]) == (number, number == 2)
    assert published(shared, workflow) == number
    assert unpublish(shared, workflow, ref)["version_number"] == number
    assert published(shared, workflow) is None


def test_there_is_no_such_branch_before_the_first_publication(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    assert tip(tenant) == ""
    publish(tenant, workflow, 1)
    assert tenant.git("rev-list", "--count", "published").strip() == "1"
    assert tree(tenant) == {snapshot_path(workflow): data(tenant, workflow, 1)}


def test_the_branch_holds_exactly_the_published_versions(tenant: Tenant) -> None:
    resources = [tenant.make(collection) for collection in COLLECTIONS]
    for resource in resources:
        tenant.save(resource, {"n": 2})
        publish(tenant, resource, 1)
    expected = {snapshot_path(resource): data(tenant, resource, 1) for resource in resources}
    assert tree(tenant) == expected
    unpublish(tenant, resources[3], 1)
    publish(tenant, resources[4], 2)
    del expected[snapshot_path(resources[3])]
    expected[snapshot_path(resources[4])] = data(tenant, resources[4], 2)
    assert tree(tenant) == expected
    check_published(tenant)
    for resource in resources:
        if published(tenant, resource) is not None:
            unpublish(tenant, resource, "published")
    assert tree(tenant) == {}
    check_published(tenant)


def test_each_change_is_one_commit_that_says_which_version_it_is(shared: Tenant) -> None:
    workflow, versions = edited(shared)
    head, main = tip(shared), shared.main()
    publish(shared, workflow, 1)
    publish(shared, workflow, 3)
    unpublish(shared, workflow, 3)
    made = shared.git("rev-list", "--reverse", "published", *([f"^{head}"] if head else [])).split()
    told = [trailers(shared.git("log", "-1", "--format=%B", commit)) for commit in made]
    lines = [f"workflows/{workflow['resource_id']}@{v['version_number']} {v['version_id']}" for v in versions]
    assert [found[0] for found in told] == [
        ("Annals-Published", lines[0]),
        ("Annals-Published", lines[2]),
        ("Annals-Unpublished", lines[2]),
    ]
    for found in told:
        assert [name for name, _ in found[1:]] == ["Annals-Actor", "Annals-Request", "Annals-Time"]
        assert dict(found)["Annals-Actor"] == f"{shared.ana.user_id} ana"
    assert shared.main() == main
    check_published(shared)


def test_what_is_published_already_makes_no_commit(shared: Tenant) -> None:
    workflow, _ = edited(shared)
    publish(shared, workflow, 2)
    before = tip(shared)
    answer = publish(shared, workflow, 2)
    assert (answer["unchanged"], answer["is_published"]) == (True, True)
    assert tip(shared) == before


def test_to_unpublish_what_is_not_published_leaves_what_is(shared: Tenant) -> None:
    workflow, _ = edited(shared)
    publish(shared, workflow, 2)
    before = tip(shared)
    answer = unpublish(shared, workflow, 3)
    assert (answer["version_number"], answer["unchanged"], answer["is_published"]) == (3, True, False)
    assert tip(shared) == before
    assert published(shared, workflow) == 2


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1), (2, 3, 2)])
def test_of_a_resource_one_version_is_published(shared: Tenant, order: tuple[int, ...]) -> None:
    workflow, _ = edited(shared)
    for number in order:
        publish(shared, workflow, number)
        assert published(shared, workflow) == number
        assert tree(shared)[snapshot_path(workflow)] == data(shared, workflow, number)
    current = ok(shared.vera.get(f"{shared.at(workflow)}/versions/current"))
    assert current["version_number"] == 3


@pytest.mark.parametrize("call", ["versions", "check-in"])
@pytest.mark.parametrize("number", [1, 2])
def test_content_is_published_as_it_comes(shared: Tenant, call: str, number: int) -> None:
    # Equal content makes no version: the current one is published.
    workflow = shared.workflow(definition={"n": 1})
    shared.check_out(workflow)
    main = shared.main()
    response = shared.ana.post(f"{shared.at(workflow)}/{call}", {"data": {"n": number}, "publish": True})
    answer = ok(response, 201 if number == 2 else 200)
    assert (answer["is_published"], answer["version_number"]) == (True, number)
    assert published(shared, workflow) == number
    assert tree(shared)[snapshot_path(workflow)] == data(shared, workflow, number)
    assert (shared.main() == main) == (number == 1)
    check_published(shared)


def test_what_comes_without_a_word_leaves_the_published_version(shared: Tenant) -> None:
    workflow = shared.workflow(definition={"n": 1})
    publish(shared, workflow, 1)
    before = tip(shared)
    saved = shared.save(workflow, {"n": 2}, publish=False)
    assert saved["is_published"] is False
    shared.check_out(workflow)
    shared.check_in(workflow, data={"n": 3})
    ok(shared.ana.post(f"{shared.at(workflow)}/rollback", {"to": 2}), 201)
    item = {"resource_type": "workflow", "resource_id": workflow["resource_id"], "data": {"n": 5}}
    ok(shared.ana.post(f"{shared.path}/check-ins", {"items": [item]}), 201)
    assert tip(shared) == before
    assert published(shared, workflow) == 1


def test_the_past_of_a_publication_can_be_asked(shared: Tenant, database: Database) -> None:
    workflow, _ = edited(shared)
    publish(shared, workflow, 1)
    ok(shared.ben.post(f"{shared.at(workflow)}/versions/2/publish"))
    unpublish(shared, workflow, 2)
    rows = database.rows(
        "SELECT v.version_number, by.username, off.username, unpublished_at > published_at"
        " FROM publications p JOIN versions v USING (version_id)"
        " JOIN actors by ON by.user_id = published_by LEFT JOIN actors off ON off.user_id = unpublished_by"
        " WHERE p.resource_id = %s ORDER BY published_at",
        workflow["resource_id"],
    )
    assert rows == [(1, "ana", "ben", True), (2, "ben", "ana", True)]


@pytest.mark.parametrize("call", ["publish", "unpublish"])
def test_anothers_check_out_is_not_in_the_way(shared: Tenant, call: str) -> None:
    workflow, _ = edited(shared)
    if call == "unpublish":
        publish(shared, workflow, 2)
    shared.check_out(workflow, shared.ben)
    answer = ok(shared.ana.post(f"{shared.at(workflow)}/versions/2/{call}"))
    assert answer["is_published"] == (call == "publish")
    assert ok(shared.ana.get(shared.at(workflow)))["checked_out_by"] == shared.ben.user_id


@pytest.mark.parametrize("call", ["publish", "unpublish"])
def test_a_version_that_is_not_there_is_404(shared: Tenant, call: str) -> None:
    workflow = shared.workflow()
    before = shared.footprint()
    for ref in NOWHERE:
        response = shared.ana.post(f"{shared.at(workflow)}/versions/{ref}/{call}")
        refused(response, 404, "version_not_found")
    response = shared.ana.post(f"{shared.path}/workflows/{UNKNOWN}/versions/1/{call}")
    refused(response, 404, "resource_not_found")
    assert shared.footprint() == before


@pytest.mark.parametrize("call", ["publish", "unpublish"])
def test_of_a_deleted_resource_nothing_is_published_anew(tenant: Tenant, call: str) -> None:
    workflow, _ = edited(tenant)
    publish(tenant, workflow, 1)
    tenant.remove(workflow)
    before = tenant.footprint()
    response = tenant.ana.post(f"{tenant.at(workflow)}/versions/1/{call}")
    refused(response, 409, "resource_deleted")
    assert tenant.footprint() == before


@pytest.mark.parametrize("call", ["publish", "unpublish"])
def test_a_publication_takes_no_fields(shared: Tenant, call: str) -> None:
    workflow, _ = edited(shared)
    path = f"{shared.at(workflow)}/versions/1/{call}"
    ok(shared.ana.post(path, {}))
    problem = refused(shared.ana.post(path, {"force": True}), 422, "invalid")
    assert pointers(problem) == ["/force"]


# -- in clones --------------------------------------------------------------------------------------


def test_the_branch_is_cloned_and_pulled(tenant: Tenant, home: Path) -> None:
    one, other = tenant.workflow(), tenant.workflow()
    tenant.save(one, {"n": 2}, publish=True)
    tenant.save(one, {"n": 3})
    clone = tenant.clone(home / "clone", tenant.vera, "-b", "published")
    assert git(clone, "ls-files").splitlines() == [snapshot_path(one)]
    assert (clone / snapshot_path(one)).read_text() == data(tenant, one, 2)
    publish(tenant, other, 1)
    unpublish(tenant, one, 2)
    run_git(clone, "pull", "-q", "--ff-only")
    assert git(clone, "ls-files").splitlines() == [snapshot_path(other)]
    assert (clone / snapshot_path(other)).read_text() == data(tenant, other, 1)
    assert git(clone, "fsck", "--strict", "--no-dangling") == ""


# -- after a crash between COMMIT and the refs ------------------------------------------------------


def leave_behind(tenant: Tenant, how: str) -> str:
    """Move the branch back as a killed process leaves it; returns the commit of its row."""
    ought = tip(tenant)
    if how == "missing":
        tenant.git("update-ref", "-d", "refs/heads/published")
    else:
        tenant.git("update-ref", "refs/heads/published", "published~2")
    assert tip(tenant) != ought
    return ought


@pytest.mark.parametrize("how", ["missing", "behind"])
def test_a_branch_left_behind_is_moved_by_the_next_write(tenant: Tenant, how: str) -> None:
    workflow, _ = edited(tenant)
    for number in (1, 2, 3):
        publish(tenant, workflow, number)
    ought = leave_behind(tenant, how)
    tenant.save(workflow, {"n": 4})
    assert tip(tenant) == ought
    leave_behind(tenant, how)
    publish(tenant, workflow, 1)
    assert tenant.git("rev-parse", "published^").strip() == ought
    check_published(tenant)


@pytest.mark.parametrize("how", ["missing", "behind"])
def test_a_branch_left_behind_is_moved_before_a_clone(tenant: Tenant, home: Path, how: str) -> None:
    workflow, _ = edited(tenant)
    for number in (1, 2, 3):
        publish(tenant, workflow, number)
    ought = leave_behind(tenant, how)
    clone = tenant.clone(home / "clone", tenant.vera, "-b", "published")
    assert git(clone, "rev-parse", "HEAD").strip() == ought == tip(tenant)


def test_a_branch_that_somebody_else_moved_is_told_as_503(tenant: Tenant) -> None:
    workflow, _ = edited(tenant)
    publish(tenant, workflow, 1)
    before = tip(tenant)
    tenant.git("update-ref", "refs/heads/published", "main")
    path = f"{tenant.at(workflow)}/versions/2/publish"
    response = tenant.ana.post(path, headers={"idempotency-key": "once"})
    refused(response, 503, "ref_not_moved")
    assert int(response.headers["retry-after"]) > 0
    assert tip(tenant) == tenant.main()
    refs_path = f"/git/{tenant.subscription_id}.git/info/refs?service=git-upload-pack"
    assert tenant.vera.get(refs_path).status_code == 503
    # It is stored all the same: after the repair of the ref, the retry gets its result, and changes nothing.
    tenant.git("update-ref", "refs/heads/published", before)
    answer = ok(tenant.ana.post(path, headers={"idempotency-key": "once"}))
    assert (answer["version_number"], answer["unchanged"]) == (2, False)
    assert tenant.git("rev-list", "--count", "published").strip() == "2"
    check_published(tenant)
