"""Tags: a name for one version of a resource, an annotated tag in git."""

from pathlib import Path
from typing import Any

import pytest

from service.committer.refs import settle_all
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
from tests.support.histories import check_tags
from tests.support.tags import NOWHERE, edited, name_of, trailers


def put(tenant: Tenant, resource: Json, ref: object, tag: str, **how: Any) -> Json:
    """The answer to tagging a version."""
    return ok(tenant.ana.put(f"{tenant.at(resource)}/versions/{ref}/tag", {"tag": tag}, **how))


def take(tenant: Tenant, resource: Json, ref: object) -> Json:
    """The answer to removing a version's tag."""
    return ok(tenant.ana.delete(f"{tenant.at(resource)}/versions/{ref}/tag"))


def refs(tenant: Tenant, resource: Json) -> dict[str, str]:
    """The tags of a resource in git, each with its commit."""
    where = name_of(resource, "*")
    listed = tenant.git("for-each-ref", "--format=%(refname:lstrip=4) %(objecttype) %(*objectname)", where)
    found = [line.split() for line in listed.splitlines()]
    assert {kind for _, kind, _ in found} <= {"tag"}
    return {tag: commit for tag, _, commit in found}


def tags(tenant: Tenant, resource: Json) -> list[str | None]:
    """The tags of a resource's versions, oldest first."""
    return [v["version_tag"] for v in tenant.vera.pages(f"{tenant.at(resource)}/versions")][::-1]


def test_a_tag_is_answered_with_its_version(shared: Tenant) -> None:
    workflow, versions = edited(shared)
    response = shared.ben.put(f"{shared.at(workflow)}/versions/2/tag", {"tag": "v1.0"})
    answer = ok(response)
    assert set(answer) == VERSION_FIELDS | {"unchanged"}
    assert answer["version_id"] == versions[1]["version_id"]
    assert (answer["version_tag"], answer["unchanged"], answer["is_current"]) == ("v1.0", False, False)
    assert response.headers["etag"] == f'"{versions[1]["git_commit_hash"]}"'
    found = ok(shared.vera.get(f"{shared.at(workflow)}/versions/v1.0"))
    assert found["version_id"] == versions[1]["version_id"]
    assert tags(shared, workflow) == [None, "v1.0", None]


@pytest.mark.parametrize("how", ["number", "tag", "commit", "prefix", "current", "published", "previous"])
def test_a_version_is_tagged_by_any_ref(shared: Tenant, how: str) -> None:
    workflow, versions = edited(shared)
    put(shared, workflow, 1, "old")
    ok(shared.ana.post(f"{shared.at(workflow)}/versions/2/publish"))
    commit = versions[1]["git_commit_hash"]
    ref, number = {
        "number": ("2", 2),
        "tag": ("old", 1),
        "commit": (commit, 2),
        "prefix": (commit[:7], 2),
        "current": ("current", 3),
        "published": ("published", 2),
        "previous": ("previous", 2),
    }[how]
    assert put(shared, workflow, ref, "new")["version_number"] == number
    assert refs(shared, workflow)["new"] == versions[number - 1]["git_commit_hash"]
    assert take(shared, workflow, ref if how != "tag" else "new")["version_number"] == number


def test_git_has_an_annotated_tag_that_says_who_what_and_when(shared: Tenant) -> None:
    workflow, versions = edited(shared)
    put(shared, workflow, 2, "v1", headers={"x-request-id": "tag-1"})
    ref = name_of(workflow, "v1")
    form = "%(objecttype) %(*objecttype) %(*objectname) %(taggername)"
    told = shared.git("for-each-ref", f"--format={form}", ref).split()
    assert told == ["tag", "commit", versions[1]["git_commit_hash"], "ana"]
    found = dict(trailers(shared.git("for-each-ref", "--format=%(contents)", ref)))
    assert found.pop("Annals-Time").endswith("Z")
    assert found == {
        "Annals-Version": f"workflows/{workflow['resource_id']}@2 {versions[1]['version_id']}",
        "Annals-Actor": f"{shared.ana.user_id} ana",
        "Annals-Request": "tag-1",
    }


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_every_kind_is_tagged(shared: Tenant, collection: str) -> None:
    resource = shared.make(collection)
    put(shared, resource, 1, "v1")
    ref = f"refs/tags/{collection}/{resource['resource_id']}/v1"
    shown = shared.git("show", f"{ref}:{snapshot_path(resource)}")
    assert shared.vera.get(f"{shared.at(resource)}/versions/v1/data").text == shown


def test_one_tag_names_a_version_of_each_resource(shared: Tenant) -> None:
    one, other = shared.workflow(), shared.workflow()
    put(shared, one, 1, "v1")
    put(shared, other, 1, "v1")
    assert refs(shared, one) == {"v1": one["git_commit_hash"]}
    assert refs(shared, other) == {"v1": other["git_commit_hash"]}


def test_the_same_tag_again_changes_nothing(shared: Tenant) -> None:
    workflow, _ = edited(shared)
    put(shared, workflow, 2, "v1")
    before = shared.git("for-each-ref")
    answer = put(shared, workflow, 2, "v1")
    assert (answer["unchanged"], answer["version_tag"], answer["version_number"]) == (True, "v1", 2)
    assert shared.git("for-each-ref") == before


def test_a_tag_is_replaced_by_another(shared: Tenant) -> None:
    workflow, versions = edited(shared)
    put(shared, workflow, 2, "v1")
    assert put(shared, workflow, "v1", "v2")["version_tag"] == "v2"
    assert tags(shared, workflow) == [None, "v2", None]
    assert refs(shared, workflow) == {"v2": versions[1]["git_commit_hash"]}
    refused(shared.vera.get(f"{shared.at(workflow)}/versions/v1"), 404, "version_not_found")


def test_a_tag_of_another_version_is_409(shared: Tenant) -> None:
    workflow, _ = edited(shared)
    put(shared, workflow, 2, "v1")
    before = shared.footprint()
    response = shared.ana.put(f"{shared.at(workflow)}/versions/3/tag", {"tag": "v1"})
    assert pointers(refused(response, 409, "tag_taken")) == ["/tag"]
    assert shared.footprint() == before


def test_a_tag_that_is_taken_away_is_gone_from_git_too(shared: Tenant) -> None:
    workflow, versions = edited(shared)
    put(shared, workflow, 1, "first")
    put(shared, workflow, 2, "v1")
    response = shared.ben.delete(f"{shared.at(workflow)}/versions/v1/tag")
    answer = ok(response)
    assert set(answer) == VERSION_FIELDS | {"unchanged"}
    assert (answer["version_number"], answer["version_tag"], answer["unchanged"]) == (2, None, False)
    assert response.headers["etag"] == f'"{versions[1]["git_commit_hash"]}"'
    assert tags(shared, workflow) == ["first", None, None]
    assert refs(shared, workflow) == {"first": versions[0]["git_commit_hash"]}


def test_of_a_version_without_a_tag_none_is_taken_away(shared: Tenant) -> None:
    workflow, _ = edited(shared)
    before = shared.git("for-each-ref")
    answer = take(shared, workflow, 2)
    assert (answer["unchanged"], answer["version_tag"]) == (True, None)
    assert shared.git("for-each-ref") == before


@pytest.mark.parametrize("freed_by", ["taking it away", "another tag"])
def test_a_freed_tag_can_be_given_to_another_version(shared: Tenant, freed_by: str) -> None:
    workflow, versions = edited(shared)
    put(shared, workflow, 1, "v1")
    if freed_by == "another tag":
        put(shared, workflow, 1, "v0")
    else:
        take(shared, workflow, 1)
    put(shared, workflow, 3, "v1")
    assert refs(shared, workflow)["v1"] == versions[2]["git_commit_hash"]
    assert ok(shared.vera.get(f"{shared.at(workflow)}/versions/v1"))["version_number"] == 3


def test_the_past_of_a_tag_can_be_asked(shared: Tenant, database: Database) -> None:
    workflow, _ = edited(shared)
    put(shared, workflow, 1, "v1")
    ok(shared.ben.delete(f"{shared.at(workflow)}/versions/1/tag"))
    put(shared, workflow, 2, "v1")
    rows = database.rows(
        "SELECT v.version_number, by.username, off.username, untagged_at >= tagged_at, ref_is_settled"
        " FROM tags t JOIN versions v USING (version_id) JOIN actors by ON by.user_id = tagged_by"
        " LEFT JOIN actors off ON off.user_id = untagged_by WHERE t.resource_id = %s ORDER BY tagged_at",
        workflow["resource_id"],
    )
    assert rows == [(1, "ana", "ben", True, True), (2, "ana", None, None, True)]


@pytest.mark.parametrize("call", ["versions", "check-in"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_tag_that_comes_with_content_is_gits_as_well(shared: Tenant, call: str, number: int) -> None:
    # Equal content makes no version: the current one is tagged.
    workflow = shared.workflow(definition={"n": 1})
    shared.check_out(workflow)
    body = {"data": {"n": number}, "tag": "v1"}
    answer = ok(shared.ana.post(f"{shared.at(workflow)}/{call}", body), 201 if number == 2 else 200)
    assert (answer["version_number"], answer["version_tag"]) == (number, "v1")
    assert refs(shared, workflow) == {"v1": answer["git_commit_hash"]}


def test_a_tag_makes_no_commit(shared: Tenant) -> None:
    workflow, _ = edited(shared)
    head = shared.main()
    put(shared, workflow, 1, "v1")
    take(shared, workflow, 1)
    assert shared.main() == head


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_anothers_check_out_is_not_in_the_way(shared: Tenant, method: str) -> None:
    workflow, _ = edited(shared)
    put(shared, workflow, 1, "v1")
    shared.check_out(workflow, shared.ben)
    body = {"tag": "v2"} if method == "PUT" else None
    answer = ok(shared.ana.request(method, f"{shared.at(workflow)}/versions/1/tag", body))
    assert answer["version_tag"] == (body or {}).get("tag")
    assert ok(shared.ana.get(shared.at(workflow)))["checked_out_by"] == shared.ben.user_id


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_version_that_is_not_there_is_404(shared: Tenant, method: str) -> None:
    workflow = shared.workflow()
    body = {"tag": "v2"} if method == "PUT" else None
    before = shared.footprint()
    for ref in NOWHERE:
        response = shared.ana.request(method, f"{shared.at(workflow)}/versions/{ref}/tag", body)
        refused(response, 404, "version_not_found")
    response = shared.ana.request(method, f"{shared.path}/workflows/{UNKNOWN}/versions/1/tag", body)
    refused(response, 404, "resource_not_found")
    assert shared.footprint() == before


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_the_tags_of_a_deleted_resource_stay(shared: Tenant, method: str) -> None:
    workflow, _ = edited(shared)
    put(shared, workflow, 1, "v1")
    shared.remove(workflow)
    before = shared.footprint()
    body = {"tag": "v2"} if method == "PUT" else None
    response = shared.ana.request(method, f"{shared.at(workflow)}/versions/v1/tag", body)
    refused(response, 409, "resource_deleted")
    assert shared.footprint() == before
    assert ok(shared.vera.get(f"{shared.at(workflow)}/versions/v1"))["version_number"] == 1


def test_a_tag_that_breaks_a_rule_is_422(shared: Tenant) -> None:
    path = f"{shared.at(shared.workflow())}/versions/1/tag"
    before = shared.footprint()
    for tag in ("7", "abcdef0", "current", "v 1", "v1.lock", "", "x" * 101, None, 1, ["v1"]):
        response = shared.ana.put(path, {"tag": tag})
        assert pointers(refused(response, 422, "invalid")) == ["/tag"]
    assert pointers(refused(shared.ana.put(path, {}), 422, "invalid")) == ["/tag"]
    assert shared.footprint() == before


# -- in clones --------------------------------------------------------------------------------------


def test_a_clone_and_a_fetch_bring_the_tags(tenant: Tenant, home: Path) -> None:
    workflow, versions = edited(tenant)
    put(tenant, workflow, 2, "v1")
    clone = tenant.clone(home / "clone", tenant.vera)
    put(tenant, workflow, 1, "v0")
    saved = tenant.save(workflow, {"n": 4}, tag="v2")
    run_git(clone, "fetch", "-q", "--tags")
    for tag, version in (("v0", versions[0]), ("v1", versions[1]), ("v2", saved)):
        ref = name_of(workflow, tag)
        assert git(clone, "rev-parse", f"{ref}^{{commit}}").strip() == version["git_commit_hash"]
        data = tenant.vera.get(f"{tenant.at(workflow)}/versions/{tag}/data").text
        assert git(clone, "show", f"{ref}:{snapshot_path(workflow)}") == data
    assert git(clone, "fsck", "--strict", "--no-dangling") == ""


def test_a_clone_can_be_of_a_tag_and_is_rid_of_one_that_is_gone(tenant: Tenant, home: Path) -> None:
    workflow, versions = edited(tenant)
    put(tenant, workflow, 1, "v0")
    short = name_of(workflow, "v0").removeprefix("refs/tags/")
    clone = tenant.clone(home / "clone", tenant.vera, "-b", short, "--depth", "1")
    assert git(clone, "rev-parse", "HEAD").strip() == versions[0]["git_commit_hash"]
    take(tenant, workflow, 1)
    run_git(clone, "fetch", "-q", "--prune", "origin", "+refs/tags/*:refs/tags/*")
    assert git(clone, "tag").split() == []


def test_a_repository_with_many_tags_given_and_taken_is_sound(tenant: Tenant) -> None:
    workflow, _ = edited(tenant)
    for tag in ("a", "b", "c"):
        for number in (1, 2, 3):
            put(tenant, workflow, number, f"{tag}{number}")
    take(tenant, workflow, "c1")
    put(tenant, workflow, 3, "c1")
    assert set(refs(tenant, workflow)) == {"c2", "c1"}
    assert tenant.git("fsck", "--strict", "--full", "--no-dangling") == ""
    check_tags(tenant)


# -- after a crash between COMMIT and the refs ------------------------------------------------------


def owe(tenant: Tenant, resource: Json) -> None:
    """Mark the refs of a resource's tags as owed in their rows."""
    with tenant.server.database.connection() as connection:
        connection.execute(
            "UPDATE tags SET ref_is_settled = false WHERE resource_id = %s", [resource["resource_id"]]
        )


def crash(tenant: Tenant, resource: Json, left: str) -> dict[str, str]:
    """Leave the refs as a process does that was killed before it moved them; returns the right ones."""
    put(tenant, resource, 1, "v1")
    before = tenant.git("rev-parse", name_of(resource, "v1")).strip()
    if left == "still there":
        take(tenant, resource, 1)
        tenant.git("update-ref", name_of(resource, "v1"), before)
    elif left == "missing":
        tenant.git("update-ref", "-d", name_of(resource, "v1"))
    elif left == "elsewhere":
        take(tenant, resource, 1)
        put(tenant, resource, 2, "v1")
        tenant.git("update-ref", name_of(resource, "v1"), before)
    owe(tenant, resource)
    if left == "still there":
        return {}
    number = 2 if left == "elsewhere" else 1
    commit = ok(tenant.ana.get(f"{tenant.at(resource)}/versions/{number}"))["git_commit_hash"]
    return {"v1": commit}


@pytest.mark.parametrize("left", ["missing", "elsewhere", "still there"])
def test_a_tag_left_behind_is_mended_by_the_next_write(shared: Tenant, left: str) -> None:
    workflow, other = edited(shared)[0], shared.workflow()
    expected = crash(shared, workflow, left)
    assert refs(shared, workflow) != expected
    shared.save(other, {"n": 1})
    assert refs(shared, workflow) == expected
    check_tags(shared)


@pytest.mark.parametrize("left", ["missing", "elsewhere", "still there"])
def test_a_tag_left_behind_is_mended_before_a_clone(tenant: Tenant, home: Path, left: str) -> None:
    workflow, _ = edited(tenant)
    expected = crash(tenant, workflow, left)
    assert refs(tenant, workflow) != expected
    clone = tenant.clone(home / "clone", tenant.vera)
    found = git(clone, "for-each-ref", "--format=%(refname:lstrip=4) %(*objectname)", "refs/tags")
    assert dict(line.split() for line in found.splitlines()) == expected
    check_tags(tenant)


def test_tags_left_behind_are_mended_at_start(tenant: Tenant) -> None:
    workflow, _ = edited(tenant)
    expected = crash(tenant, workflow, "missing")
    context = tenant.server.context
    moved = settle_all(context.database, context.store)
    assert tenant.subscription_id in {str(subscription_id) for subscription_id in moved}
    assert refs(tenant, workflow) == expected
    check_tags(tenant)


def test_a_tag_that_git_cannot_take_is_stored_and_told_as_503(tenant: Tenant, home: Path) -> None:
    # A ref below the tag's name prevents it, as a file prevents a folder.
    workflow, _ = edited(tenant)
    in_the_way = name_of(workflow, "v1/x")
    tenant.git("update-ref", in_the_way, "main")
    response = tenant.ana.put(f"{tenant.at(workflow)}/versions/1/tag", {"tag": "v1"})
    refused(response, 503, "ref_not_moved")
    assert int(response.headers["retry-after"]) > 0
    refs_path = f"/git/{tenant.subscription_id}.git/info/refs?service=git-upload-pack"
    assert tenant.vera.get(refs_path).status_code == 503
    tenant.git("update-ref", "-d", in_the_way)
    tenant.clone(home / "clone", tenant.vera)
    assert refs(tenant, workflow) == {"v1": workflow["git_commit_hash"]}
    assert tags(tenant, workflow) == ["v1", None, None]
