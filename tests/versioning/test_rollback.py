"""Rollback of a resource: a new version with the definition and description of an older one."""

from typing import Any

import jsonpatch
import pytest

from tests.support.altered_rows import rename
from tests.support.api import Json, Tenant, ok, pointers, refused, snapshot_path


def edited(tenant: Tenant) -> tuple[Json, list[Json]]:
    """A workflow with three versions, the first of which is named by tag and commit."""
    workflow = tenant.workflow(name="etl", definition={"n": 1, "x": 1e22}, description="first")
    path = f"{tenant.at(workflow)}/versions"
    first = ok(tenant.ana.post(path, {"data": {"n": 1, "x": 1e22}, "tag": "v1"}))
    return workflow, [first, tenant.save(workflow, {"n": 2}), tenant.save(workflow, {"n": 3})]


def roll_back(tenant: Tenant, resource: Json, to: object, **fields: Any) -> Json:
    """Roll back; asserts that a version is made."""
    return ok(tenant.ana.post(f"{tenant.at(resource)}/rollback", {"to": to, **fields}), 201)


@pytest.mark.parametrize("how", ["integer", "string", "tag", "commit", "prefix"])
def test_a_rollback_makes_one_version_and_one_commit(tenant: Tenant, how: str) -> None:
    workflow, versions = edited(tenant)
    commit = versions[0]["git_commit_hash"]
    to = {"integer": 1, "string": "1", "tag": "v1", "commit": commit, "prefix": commit[:9]}[how]
    commits = int(tenant.git("rev-list", "--count", "main"))
    head = tenant.main()

    made = roll_back(tenant, workflow, to)

    assert (made["version_number"], made["unchanged"], made["is_current"]) == (4, False, True)
    assert made["version_tag"] is None
    path = f"{tenant.at(workflow)}/versions"
    assert ok(tenant.ana.get(f"{path}/4"))["data"] == {"n": 1, "x": 1e22}
    assert tenant.ana.get(f"{path}/4/data").content == tenant.ana.get(f"{path}/1/data").content
    assert int(tenant.git("rev-list", "--count", "main")) == commits + 1
    assert tenant.git("rev-parse", "main^").strip() == head
    assert tenant.main() == made["git_commit_hash"]
    assert (
        tenant.git("diff", "--stat", versions[0]["git_commit_hash"], "main", "--", snapshot_path(workflow))
        == ""
    )


def test_a_rollback_between_edits_keeps_all_of_them(tenant: Tenant) -> None:
    workflow, _ = edited(tenant)
    roll_back(tenant, workflow, 1)
    tenant.save(workflow, {"n": 5})
    roll_back(tenant, workflow, "v1")
    roll_back(tenant, workflow, 2)
    path = f"{tenant.at(workflow)}/versions"
    found = [ok(tenant.ana.get(f"{path}/{number}"))["data"]["n"] for number in range(1, 8)]
    assert found == [1, 2, 3, 1, 5, 1, 2]


@pytest.mark.parametrize(("to", "data"), [("previous", {"n": 2}), ("2", {"n": 2})])
def test_a_rollback_goes_to_the_previous_version(tenant: Tenant, to: str, data: Json) -> None:
    workflow, _ = edited(tenant)
    roll_back(tenant, workflow, to)
    assert ok(tenant.ana.get(f"{tenant.at(workflow)}/versions/current"))["data"] == data


@pytest.mark.parametrize("to", [3, "3", "current"])
def test_a_rollback_to_equal_content_changes_nothing(tenant: Tenant, to: object) -> None:
    workflow, versions = edited(tenant)
    head = tenant.main()
    answer = ok(tenant.ana.post(f"{tenant.at(workflow)}/rollback", {"to": to}))
    assert (answer["unchanged"], answer["version_number"]) == (True, 3)
    assert answer["version_id"] == versions[2]["version_id"]
    assert tenant.main() == head


def test_a_rollback_brings_the_description_back_but_never_the_name(tenant: Tenant) -> None:
    workflow, _ = edited(tenant)
    rename(tenant, workflow, "renamed", "second")
    tenant.save(workflow, {"n": 4})
    made = roll_back(tenant, workflow, 1)
    assert made["resource_name"] == "renamed"
    now = ok(tenant.ana.get(tenant.at(workflow)))
    assert (now["name"], now["description"], now["definition"]) == ("renamed", "first", {"n": 1, "x": 1e22})
    snapshot = ok(tenant.ana.get(f"{tenant.at(workflow)}/versions/current"))["snapshot"]
    assert (snapshot["name"], snapshot["description"]) == ("renamed", "first")
    assert snapshot["parent_id"] == workflow["parent_id"]


def test_a_rollback_of_the_description_alone_is_a_version(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1}, description=None)
    rename(tenant, workflow, workflow["name"], "second")
    tenant.save(workflow, {"n": 1})
    assert roll_back(tenant, workflow, 1)["version_number"] == 3
    assert ok(tenant.ana.get(tenant.at(workflow)))["description"] is None


def test_the_comment_of_a_rollback_is_a_comment_and_the_commits_body(tenant: Tenant) -> None:
    workflow, _ = edited(tenant)
    made = roll_back(tenant, workflow, 1, comment="the new one lost orders")
    rows = tenant.server.database.rows(
        "SELECT comment_text FROM version_comments WHERE version_id = %s", made["version_id"]
    )
    assert rows == [("the new one lost orders",)]
    assert "the new one lost orders" in tenant.git("log", "-1", "--format=%b", "main")


def test_a_rollback_says_in_git_where_to(tenant: Tenant) -> None:
    workflow, versions = edited(tenant)
    roll_back(tenant, workflow, 1)
    body = tenant.git("log", "-1", "--format=%b", "main")
    assert versions[0]["git_commit_hash"][:12] in body


def test_a_rollback_of_what_another_holds_is_423(tenant: Tenant) -> None:
    workflow, _ = edited(tenant)
    tenant.check_out(workflow, tenant.ben)
    path = f"{tenant.at(workflow)}/rollback"
    problem = refused(tenant.ana.post(path, {"to": 1}), 423, "checked_out")
    assert problem["checked_out_by_username"] == "ben"
    made = ok(tenant.ben.post(path, {"to": 1}), 201)
    assert made["checked_out_by"] == tenant.ben.user_id
    assert ok(tenant.ana.get(tenant.at(workflow)))["checked_out_by"] == tenant.ben.user_id


@pytest.mark.parametrize("to", [0, -1, 99, 2**70, "0", "99", "v9", "published", "f" * 40, "\u0661"])
def test_a_rollback_to_nothing_is_404(shared: Tenant, to: object) -> None:
    response = shared.ana.post(f"{shared.at(shared.workflow())}/rollback", {"to": to})
    if to == 2**70:
        assert pointers(refused(response, 422, "invalid")) == ["/to"]
    else:
        refused(response, 404, "version_not_found")


@pytest.mark.parametrize("to", [None, "", 1.0, True, [1], {}, "x" * 101])
def test_a_rollback_to_no_ref_is_refused(shared: Tenant, to: object) -> None:
    response = shared.ana.post(f"{shared.at(shared.workflow())}/rollback", {"to": to})
    problem = refused(response, 422, "invalid")
    assert all(str(pointer).startswith("/to") for pointer in pointers(problem))


def test_a_number_is_a_version_even_where_a_commit_begins_so(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    version = tenant.save(workflow, {"n": 2})
    tenant.save(workflow, {"n": 3})
    with tenant.server.database.connection() as connection:
        connection.execute(
            "UPDATE versions SET git_commit_hash = %s WHERE version_id = %s",
            ["1234567" + "0" * 33, version["version_id"]],
        )
    path = f"{tenant.at(workflow)}/rollback"
    refused(tenant.ana.post(path, {"to": 1234567}), 404, "version_not_found")
    ok(tenant.ana.post(path, {"to": "1234567"}), 201)
    assert ok(tenant.ana.get(tenant.at(workflow)))["definition"] == {"n": 2}


def dry_run(tenant: Tenant, resource: Json, to: object, **fields: Any) -> Json:
    """The answer to a dry run; asserts that nothing was written."""
    before = tenant.footprint()
    answer = ok(tenant.ana.post(f"{tenant.at(resource)}/rollback", {"to": to, "dry_run": True, **fields}))
    assert tenant.footprint() == before
    return answer


@pytest.mark.parametrize("to", [1, "v1", "previous"])
def test_a_dry_run_foretells_exactly_what_then_happens(tenant: Tenant, to: object) -> None:
    workflow, versions = edited(tenant)
    rename(tenant, workflow, "renamed", "second")
    current = tenant.save(workflow, {"n": 4})
    foretold = dry_run(tenant, workflow, to, comment="back")
    assert set(foretold) == {"from", "to", "json_patch", "text", "truncated", "unchanged", "dry_run"}
    assert (foretold["unchanged"], foretold["dry_run"]) == (False, True)
    assert foretold["from"]["version_id"] == current["version_id"]
    target = versions[2] if to == "previous" else versions[0]
    assert foretold["to"]["version_id"] == target["version_id"]

    made = roll_back(tenant, workflow, to, comment="back")

    done = ok(tenant.ana.get(f"{tenant.at(workflow)}/diff?from=4&to=5"))
    assert made["version_number"] == 5
    assert (foretold["json_patch"], foretold["text"]) == (done["json_patch"], done["text"])
    old, new = (ok(tenant.ana.get(f"{tenant.at(workflow)}/versions/{n}"))["snapshot"] for n in (4, 5))
    assert jsonpatch.apply_patch(old, foretold["json_patch"]) == new


@pytest.mark.parametrize("to", [3, "current"])
def test_a_dry_run_of_nothing_says_so(tenant: Tenant, to: object) -> None:
    workflow, _ = edited(tenant)
    answer = dry_run(tenant, workflow, to)
    assert (answer["unchanged"], answer["json_patch"], answer["text"]) == (True, [], "")


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_dry_run_is_refused_as_the_rollback_would_be(tenant: Tenant, dry_run: bool) -> None:
    held, deleted = edited(tenant)[0], tenant.workflow()
    tenant.save(deleted, {"n": 2})
    tenant.check_out(held, tenant.ben)
    tenant.remove(deleted)
    before = tenant.footprint()
    for resource, to, status, code in (
        (held, 1, 423, "checked_out"),
        (held, 9, 404, "version_not_found"),
        (deleted, 1, 409, "resource_deleted"),
        (deleted, 9, 404, "version_not_found"),
    ):
        body = {"to": to, "dry_run": dry_run}
        refused(tenant.ana.post(f"{tenant.at(resource)}/rollback", body), status, code)
    assert tenant.footprint() == before


def test_a_rollback_to_what_is_published_is_one_to_any_ref(tenant: Tenant) -> None:
    workflow, _ = edited(tenant)
    ok(tenant.ana.post(f"{tenant.at(workflow)}/versions/2/publish"))
    made = roll_back(tenant, workflow, "published")
    assert (made["version_number"], made["is_published"]) == (4, False)
    assert ok(tenant.ana.get(tenant.at(workflow)))["definition"] == {"n": 2}
    assert ok(tenant.ana.get(f"{tenant.at(workflow)}/versions/published"))["version_number"] == 2


def test_the_comment_of_a_rollback_that_changes_nothing_is_one_on_the_current_version(tenant: Tenant) -> None:
    workflow, _ = edited(tenant)
    head = tenant.main()
    body = {"to": 3, "comment": "as it is"}
    assert ok(tenant.ana.post(f"{tenant.at(workflow)}/rollback", body))["unchanged"] is True
    [comment] = tenant.ana.pages(f"{tenant.at(workflow)}/versions/3/comments")
    assert comment["text"] == "as it is"
    assert tenant.main() == head
