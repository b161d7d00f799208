"""Deletions and restores among other changes of one batch: each sees the effects of those before it."""

from datetime import timedelta
from uuid import UUID

from service.committer.changes import Change, Delete, Deleted, Restore, Restored, Written
from service.domain.errors import ResourceDeleted
from service.domain.ids import ResourceId
from service.domain.resource_kinds import Kind
from tests.support.api import Json, Tenant, ok
from tests.support.changes import author, create, save, submit
from tests.support.histories import check_history


def delete(tenant: Tenant, resource: Json) -> Delete:
    return Delete(
        author=author(tenant, tenant.ana),
        kind=Kind(resource["resource_type"]),
        resource_id=ResourceId(UUID(resource["resource_id"])),
        reason=None,
        restorable_for=timedelta(days=30),
    )


def restore(tenant: Tenant, deletion: Json) -> Restore:
    return Restore(author=author(tenant, tenant.ana), deletion_id=UUID(deletion["deletion_id"]))


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
