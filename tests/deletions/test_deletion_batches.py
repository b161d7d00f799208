"""Deletion and restore among the other changes of one batch."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from service.committer.changes import (
    Change,
    Delete,
    Deleted,
    Purge,
    Resolution,
    Restore,
    Restored,
    Written,
)
from service.domain.errors import ResourceDeleted
from service.domain.ids import ResourceId
from service.domain.resource_kinds import Kind
from tests.support.api import Json, Tenant, ok
from tests.support.changes import amend, author, create, publish, save, set_tag, submit
from tests.support.histories import check_history
from tests.support.reconciled import told, verify
from tests.support.trees import in_git, live, records_of, tree


def named(tenant: Tenant, resource: Json) -> dict[str, Any]:
    """The fields in which ana's changes name a resource."""
    return {
        "author": author(tenant, tenant.ana),
        "kind": Kind(resource["resource_type"]),
        "resource_id": ResourceId(UUID(resource["resource_id"])),
        "reason": None,
    }


def delete(tenant: Tenant, resource: Json) -> Delete:
    return Delete(**named(tenant, resource), restorable_for=timedelta(days=30))


def purge(tenant: Tenant, resource: Json) -> Purge:
    return Purge(**named(tenant, resource))


def restore(tenant: Tenant, deletion: Json, **how: Any) -> Restore:
    return Restore(
        author=author(tenant, tenant.ana),
        deletion_id=UUID(deletion["deletion_id"]),
        resolution=Resolution(**how),
    )


def outcomes(tenant: Tenant, *changes: Change) -> list[str]:
    """The outcomes of changes in one batch, by the class names of the results and refusals."""
    return [type(outcome).__name__ for outcome in submit(tenant, changes)]


def commits(tenant: Tenant) -> int:
    return len(tenant.git("rev-list", "main").split())


def ids(made: dict[str, Json], *names: str) -> set[str]:
    return {made[name]["resource_id"] for name in names}


def test_what_follows_a_deletion_in_its_batch_finds_it_deleted(tenant: Tenant) -> None:
    made = tree(tenant)
    job, flow, before = made["jobs"], made["workflows"], commits(tenant)
    folder_id, job_id = UUID(made["folders"]["resource_id"]), UUID(job["resource_id"])
    assert outcomes(
        tenant,
        save(tenant, flow, {"n": 2}),
        delete(tenant, job),
        save(tenant, flow, {"n": 3}),
        create(tenant, "late", Kind.WORKFLOW, job_id=job_id),
        amend(tenant, made["inner workflows"], job_id=job["resource_id"]),
        delete(tenant, job),
        delete(tenant, flow),
        create(tenant, job["name"], Kind.JOB, folder_id=folder_id),
        create(tenant, job["name"], Kind.JOB, folder_id=folder_id),
    ) == [
        *("Written", "Deleted", "ResourceDeleted", "ResourceDeleted", "ResourceDeleted"),
        *("ResourceDeleted", "ResourceDeleted", "Written", "NameTaken"),
    ]
    assert commits(tenant) == before + 3
    [new] = tenant.vera.pages(f"{tenant.path}/jobs", name=job["name"])
    assert live(tenant) == in_git(tenant)
    assert new["resource_id"] not in ids(made, *made)
    # The record has the version that was saved just before.
    [record] = tenant.vera.pages(f"{tenant.path}/deletions", resource_id=flow["resource_id"])
    shown = ok(tenant.vera.get(f"{tenant.path}/deletions/{record['deletion_id']}"))
    assert shown["resource_data"]["definition"] == {"n": 2}
    check_history(tenant)
    assert told(verify(tenant)) == []


def test_what_is_made_and_moved_in_a_batch_falls_with_what_it_lies_in(tenant: Tenant) -> None:
    made = tree(tenant)
    new = create(tenant, "new", Kind.JOB, folder_id=UUID(made["folders"]["resource_id"]))
    flow = create(tenant, "new", Kind.WORKFLOW, job_id=UUID(made["jobs"]["resource_id"]))
    found = submit(
        tenant,
        [
            new,
            flow,
            amend(tenant, made["inner workflows"], job_id=made["jobs"]["resource_id"]),
            amend(tenant, made["workflows"], job_id=made["inner jobs"]["resource_id"]),
            amend(tenant, made["inner folders"], parent_folder_id=None),
            delete(tenant, made["folders"]),
        ],
    )
    assert [type(outcome) for outcome in found] == [Written] * 5 + [Deleted]
    assert (
        live(tenant)
        == in_git(tenant)
        == ids(made, "workspaces", "connectors", "inner folders", "inner jobs", "workflows")
    )
    [deletion] = [outcome.deletion for outcome in found if isinstance(outcome, Deleted)]
    levels = {
        record["resource_id"]: record["cascade_level"]
        for record in tenant.vera.pages(f"{tenant.path}/deletions", root_deletion_id=deletion.deletion_id)
    }
    assert levels == {
        made["folders"]["resource_id"]: 0,
        made["jobs"]["resource_id"]: 1,
        made["jobpackages"]["resource_id"]: 1,
        str(new.resource_id): 1,
        str(flow.resource_id): 2,
        made["inner workflows"]["resource_id"]: 2,
    }
    check_history(tenant)
    assert told(verify(tenant)) == []


def test_what_follows_a_restore_in_its_batch_finds_it_alive(tenant: Tenant) -> None:
    made = tree(tenant)
    deletion = tenant.remove(made["folders"])
    before = commits(tenant)
    assert outcomes(
        tenant,
        save(tenant, made["workflows"], {"n": 2}),
        restore(tenant, deletion),
        save(tenant, made["workflows"], {"n": 3}),
        restore(tenant, deletion),
        delete(tenant, made["jobs"]),
        save(tenant, made["workflows"], {"n": 4}),
        save(tenant, made["inner workflows"], {"n": 5}),
        purge(tenant, made["jobs"]),
        save(tenant, made["workflows"], {"n": 6}),
        purge(tenant, made["folders"]),
        restore(tenant, deletion),
    ) == [
        *("ResourceDeleted", "Restored", "Written", "RestoreConflict", "Deleted", "ResourceDeleted"),
        *("Written", "Deleted", "ResourceNotFound", "NotDeleted", "RestoreConflict"),
    ]
    assert commits(tenant) == before + 5
    assert live(tenant) == in_git(tenant) == ids(made, *made) - ids(made, "jobs", "workflows")
    check_history(tenant)
    assert told(verify(tenant)) == []


def test_a_restore_under_another_name_and_parent_moves_what_follows_with_it(tenant: Tenant) -> None:
    made = tree(tenant)
    other = tenant.make("folders", workspace_id=tenant.make("workspaces")["resource_id"])
    deletion = tenant.remove(made["inner jobs"])
    where = UUID(other["resource_id"])
    assert outcomes(
        tenant,
        create(tenant, "moved", Kind.JOB, folder_id=where),
        restore(tenant, deletion, new_parent_id=where, rename="moved"),
        restore(tenant, deletion, new_parent_id=where),
        save(tenant, made["inner workflows"], {"n": 2}),
        create(tenant, made["inner jobs"]["name"], Kind.JOB, folder_id=where),
        amend(tenant, made["inner jobs"], name="again"),
    ) == ["Written", "RestoreConflict", "Restored", "Written", "NameTaken", "Written"]
    for name in ("inner jobs", "inner workflows"):
        assert ok(tenant.vera.get(tenant.at(made[name])))["workspace_id"] == other["workspace_id"]
    assert ok(tenant.vera.get(tenant.at(made["inner jobs"])))["current_version"] == 3
    check_history(tenant)
    assert told(verify(tenant)) == []


def test_publications_and_tags_of_the_batch_go_down_and_come_back(tenant: Tenant) -> None:
    made = tree(tenant)
    flow = made["workflows"]
    assert outcomes(
        tenant,
        publish(tenant, flow, "1"),
        save(tenant, flow, {"n": 2}, tag="v2"),
        delete(tenant, made["jobs"]),
        set_tag(tenant, flow, "1", "v1"),
        publish(tenant, flow, "2"),
        publish(tenant, made["inner workflows"], "1"),
    ) == ["Written", "Written", "Deleted", "ResourceDeleted", "ResourceDeleted", "Written"]
    assert in_git(tenant, "published") == ids(made, "inner workflows")
    [deletion] = tenant.vera.pages(f"{tenant.path}/deletions", cascade_level=0)
    assert len(records_of(tenant, deletion)) == 2
    assert outcomes(
        tenant,
        publish(tenant, made["inner workflows"], "1", published=False),
        restore(tenant, deletion),
        publish(tenant, flow, "1"),
        set_tag(tenant, flow, "1", "v1"),
    ) == ["Written", "Restored", "Written", "Written"]
    shown = ok(tenant.vera.get(f"{tenant.at(flow)}/versions/published"))
    assert (shown["version_number"], shown["version_tag"]) == (1, "v1")
    assert in_git(tenant, "published") == ids(made, "workflows")
    check_history(tenant)
    assert told(verify(tenant)) == []


def test_what_fell_earlier_in_a_batch_is_deleted_for_the_rest_of_it(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    job = ok(tenant.ana.get(f"{tenant.path}/jobs/{tenant.job_id}"))
    folder = ok(tenant.ana.get(f"{tenant.path}/folders/{tenant.folder_id}"))
    changes: list[Change] = [
        save(tenant, workflow, {"n": 1}),
        delete(tenant, job),
        save(tenant, workflow, {"n": 2}),
        create(tenant, "late", Kind.WORKFLOW, job_id=UUID(tenant.job_id)),
        delete(tenant, folder),
        delete(tenant, workflow),
    ]
    outcomes = submit(tenant, changes)
    assert [type(outcome) for outcome in outcomes] == [
        *(Written, Deleted, ResourceDeleted, ResourceDeleted, Deleted, ResourceDeleted),
    ]
    [first, second] = [each.deletion for each in outcomes if isinstance(each, Deleted)]
    assert (first.cascaded_jobs, first.cascaded_workflows) == (1, 1)
    assert (second.cascaded_folders, second.cascaded_jobs, second.cascaded_workflows) == (1, 0, 0)
    check_history(tenant)


def test_what_came_back_earlier_in_a_batch_lives_for_the_rest_of_it(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    job = ok(tenant.ana.get(f"{tenant.path}/jobs/{tenant.job_id}"))
    deletion = tenant.remove(job)
    changes: list[Change] = [
        restore(tenant, deletion),
        save(tenant, workflow, {"n": 1}),
        create(tenant, "new", Kind.WORKFLOW, job_id=UUID(tenant.job_id)),
        delete(tenant, job),
    ]
    outcomes = submit(tenant, changes)
    assert [type(outcome) for outcome in outcomes] == [Restored, Written, Written, Deleted]
    last = outcomes[-1]
    assert isinstance(last, Deleted)
    assert (last.deletion.cascaded_jobs, last.deletion.cascaded_workflows) == (1, 2)
    check_history(tenant)
