"""Deletions and restores in rows and in git: no false alarm, and damage is repaired."""

from datetime import datetime, timedelta
from typing import LiteralString
from uuid import UUID, uuid4

import pytest
from psycopg import sql

from service.domain.callers import Origin
from service.domain.ids import SubscriptionId
from service.recovery.checks.findings import Recorder
from service.recovery.checks.subscription import Look, SubscriptionCheck
from service.recovery.reconcile import VerifyDepth
from service.recovery.ref_repairs import Outdated
from tests.support.api import COLLECTIONS, Json, Tenant, ok, snapshot_path
from tests.support.reconciled import (
    LATE,
    History,
    audited,
    found,
    left,
    mended,
    name_of,
    only,
    row_of,
    set_resource,
    told,
    verify,
)
from tests.support.trees import records_of, tree


class DeletedTree(History):
    """A history with a tree that was deleted, restored and deleted again, and of which a part was purged."""

    def __init__(self, tenant: Tenant) -> None:
        super().__init__(tenant)
        self.made = tree(tenant)
        for name in ("workflows", "inner workflows"):
            ok(tenant.ben.post(f"{tenant.at(self.made[name])}/versions/1/publish"))
        self.first = tenant.remove(self.made["folders"], reason="first\n'quoted'")
        tenant.restore(self.first)
        tenant.save(self.made["jobs"], {"n": 2}, publish=True)
        self.second = tenant.remove(self.made["folders"], by=tenant.ben)
        self.purge = tenant.remove(self.made["inner jobs"], permanent=True, reason="by law")
        self.rows = {each["deletion_id"]: each for each in tenant.vera.pages(f"{tenant.path}/deletions")}

    def of(self, name: str, deletion: Json) -> str:
        """The name, in findings, of a deletion of a part of the tree."""
        resource_id = self.made[name]["resource_id"]
        [row] = [each for each in records_of(self.tenant, deletion) if each["resource_id"] == resource_id]
        return f"deletion {row['deletion_id']}"

    def deletion(self, subject: str) -> Json:
        """The whole row of a deletion."""
        row = self.value(
            "SELECT to_jsonb(d) FROM deletion_logs d WHERE deletion_id = %s", subject.partition(" ")[2]
        )
        assert isinstance(row, dict)
        return row

    def damage(self, subject: str, column: LiteralString, value: object) -> None:
        """Change a column of a deletion's row."""
        query = sql.SQL("UPDATE deletion_logs SET {} = %s WHERE deletion_id = %s")
        with self.tenant.server.database.connection() as connection:
            connection.execute(query.format(sql.Identifier(column)), [value, subject.partition(" ")[2]])


@pytest.fixture
def history(tenant: Tenant) -> DeletedTree:
    """Such a history, verified without a finding before the test."""
    history = DeletedTree(tenant)
    assert told(verify(tenant, depth=VerifyDepth.OBJECTS)) == []
    return history


# -- rows of deletions ----------------------------------------------------------------------------------

COLUMNS: dict[LiteralString, object] = {
    "resource_name": "another",
    "parent_resource_type": "connector",
    "parent_resource_id": str(uuid4()),
    "cascade_level": 7,
    "cascaded_workflows": 9,
    "deletion_reason": "another",
    "restore_expiry_at": LATE,
    "deleted_at": LATE,
    "published_version_id": str(uuid4()),
    "git_commit_hash": "5" * 40,
    "commit_number": 99,
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_that_git_refutes_is_corrected(history: DeletedTree, column: LiteralString) -> None:
    for subject in (history.of("jobs", history.second), history.of("folders", history.first)):
        before = history.deletion(subject)
        history.damage(subject, column, COLUMNS[column])
        finding = only(verify(history.tenant))
        assert (finding.code, finding.subject) == ("deletion_differs", subject)
        assert str(finding.expected).startswith(f"{column} ")
        mended(history, "deletion_differs", subject, repair_says=column)
        assert history.deletion(subject) == before


def test_who_deleted_and_restored_is_corrected(history: DeletedTree) -> None:
    subject = history.of("inner workflows", history.first)
    before = history.deletion(subject)
    ana, ben = history.tenant.ana.user_id, history.tenant.ben.user_id
    history.damage(subject, "deleted_by", ben)
    history.damage(subject, "restored_by", ana)
    expected, was = f"deleted_by {ana}, restored_by {ben}", f"deleted_by {ben}, restored_by {ana}"
    found(history, "deletion_differs", subject, expected, was)
    mended(history, "deletion_differs", subject)
    assert history.deletion(subject) == before


def test_a_restore_that_its_row_has_forgotten_is_told_again(history: DeletedTree) -> None:
    subject = history.of("workflows", history.first)
    before = history.deletion(subject)
    history.sql(
        "UPDATE deletion_logs SET restored_at = NULL, restored_by = NULL, restored_commit_hash = NULL,"
        " restored_commit_number = NULL WHERE deletion_id = %s",
        before["deletion_id"],
    )
    finding = only(verify(history.tenant))
    assert (finding.code, finding.subject) == ("deletion_differs", subject)
    mended(history, "deletion_differs", subject, repair_says="restored_at")
    assert history.deletion(subject) == before


def test_what_went_for_good_and_can_be_restored_no_longer_is_told_again(history: DeletedTree) -> None:
    subject = history.of("inner jobs", history.second)
    before = history.deletion(subject)
    history.damage(subject, "purged_at", None)
    finding = only(verify(history.tenant))
    assert (finding.code, finding.found) == ("deletion_differs", "purged_at None")
    mended(history, "deletion_differs", subject)
    assert history.deletion(subject) == before


def test_that_it_can_be_restored_is_compared_until_it_expires(history: DeletedTree) -> None:
    subject = history.of("jobs", history.second)
    history.damage(subject, "can_be_restored", False)
    with history.tenant.server.clock.moved(days=31):
        assert told(verify(history.tenant)) == []
    found(history, "deletion_differs", subject, "can_be_restored True", "can_be_restored False")
    mended(history, "deletion_differs", subject)


def test_another_document_in_the_row_is_written_again(history: DeletedTree) -> None:
    subject = history.of("workflows", history.second)
    before = history.deletion(subject)
    history.damage(subject, "resource_data", '{"n": 8}')
    expected = "the document of the version that fell"
    found(history, "deletion_data_differs", subject, expected, "another value in resource_data")
    mended(history, "deletion_data_differs", subject)
    assert history.deletion(subject) == before


def test_a_document_that_differs_in_the_version_alone_is_told_of_that(history: DeletedTree) -> None:
    resource_id = history.made["workflows"]["resource_id"]
    history.sql("UPDATE versions SET version_data = '{}' WHERE resource_id = %s", resource_id)
    assert told(verify(history.tenant)) == [("data_differs", f"workflows/{resource_id}@1")]
    mended(history, "data_differs", f"workflows/{resource_id}@1")


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", ["folders", "workflows", "inner jobs"])
@pytest.mark.parametrize("which", ["first", "second"])
def test_a_deletion_that_lost_its_row_gets_it_again(history: DeletedTree, name: str, which: str) -> None:
    subject = history.of(name, getattr(history, which))
    before = history.deletion(subject)
    history.sql("DELETE FROM deletion_logs WHERE deletion_id = %s", subject.partition(" ")[2])
    found(history, "deletion_missing", subject, f"the row of {name_of(history.made[name])}", None)
    mended(history, "deletion_missing", subject)
    assert history.deletion(subject) == before


def test_all_rows_of_all_deletions_are_made_again(history: DeletedTree) -> None:
    before = {each: history.deletion(f"deletion {each}") for each in history.rows}
    history.sql("DELETE FROM deletion_logs WHERE subscription_id = %s", history.tenant.subscription_id)
    assert {code for code, _ in told(verify(history.tenant, repair=True))} == {"deletion_missing"}
    assert told(verify(history.tenant)) == []
    assert {each: history.deletion(f"deletion {each}") for each in history.rows} == before


_STRANGER: LiteralString = """
INSERT INTO deletion_logs (
    deletion_id, root_deletion_id, subscription_id, resource_type, resource_id, resource_name, resource_data,
    cascade_level, is_soft_delete, can_be_restored, restore_expiry_at, deleted_at, deleted_by, version_id,
    git_commit_hash, commit_number
)
SELECT %s::uuid, %s::uuid, subscription_id, resource_type, resource_id, resource_name, resource_data,
    cascade_level, is_soft_delete, can_be_restored, restore_expiry_at, deleted_at, deleted_by, version_id,
    git_commit_hash, commit_number
FROM deletion_logs WHERE deletion_id = %s
"""


def test_a_row_that_no_commit_tells_is_left(history: DeletedTree) -> None:
    stranger = str(uuid4())
    history.sql(
        _STRANGER,
        *(stranger, stranger, history.second["deletion_id"]),
    )
    at = f"commit {history.second['git_commit_hash']}"
    subject = f"deletion {stranger}"
    found(history, "deletion_without_commit", subject, "a commit that tells it", at)
    left(history, "deletion_without_commit", subject)


# -- resources, versions and the tree -------------------------------------------------------------------


def test_a_resource_that_lives_in_its_row_alone_is_deleted_again(history: DeletedTree) -> None:
    workflow = history.made["workflows"]
    before = row_of(history, workflow)
    set_resource(history, workflow, "deleted_at", None)
    deleted = datetime.fromisoformat(history.second["deleted_at"])
    found(history, "resource_deletion_differs", name_of(workflow), f"deleted {deleted}", "it lives")
    mended(history, "resource_deletion_differs", name_of(workflow))
    assert row_of(history, workflow) == before


def test_a_resource_that_is_deleted_in_its_row_alone_lives_again(history: DeletedTree) -> None:
    before = row_of(history, history.workflow)
    set_resource(history, history.workflow, "deleted_at", LATE)
    deleted = datetime.fromisoformat(LATE)
    found(history, "resource_deletion_differs", history.name, "it lives", f"deleted {deleted}")
    mended(history, "resource_deletion_differs", history.name)
    assert row_of(history, history.workflow) == before


@pytest.mark.parametrize("column", ["name", "description", "updated_at"])
def test_what_is_deleted_is_as_its_newest_version_says(history: DeletedTree, column: LiteralString) -> None:
    resource = history.made["jobpackages"]
    before = row_of(history, resource)
    set_resource(history, resource, column, LATE)
    code = "resource_time_differs" if column == "updated_at" else f"resource_{column}_differs"
    mended(history, code, name_of(resource))
    assert row_of(history, resource) == before


@pytest.mark.sampled(2)
@pytest.mark.parametrize("collection", COLLECTIONS)
def test_a_deleted_resource_that_lost_its_row_gets_it_again(history: DeletedTree, collection: str) -> None:
    resource = history.tenant.make(collection)
    history.tenant.remove(resource)
    before = row_of(history, resource)
    kind = resource["resource_type"]
    query = sql.SQL("DELETE FROM {} WHERE {} = %s").format(
        *(sql.Identifier(name) for name in (f"{kind}s", f"{kind}_id"))
    )
    with history.tenant.server.database.connection() as connection:
        connection.execute(query, [resource["resource_id"]])
    mended(history, "resource_missing", name_of(resource))
    assert row_of(history, resource) == before


def test_a_row_of_what_was_deleted_for_good_is_left(history: DeletedTree) -> None:
    gone = history.made["inner jobs"]
    history.sql(
        "INSERT INTO jobs (job_id, subscription_id, workspace_id, folder_id, name, created_by, created_at,"
        " updated_at, deleted_at) SELECT %s, subscription_id, workspace_id, folder_id, 'back', created_by,"
        " created_at, updated_at, updated_at FROM jobs WHERE job_id = %s",
        gone["resource_id"],
        history.tenant.job_id,
    )
    was = "the row of back, which was deleted for good"
    found(history, "resource_unexpected", name_of(gone), None, was)
    left(history, "resource_unexpected", name_of(gone))


@pytest.mark.parametrize(("name", "right"), [("jobs", 3), ("inner jobs", 4)])
def test_the_count_of_changes_is_corrected(history: DeletedTree, name: str, right: int) -> None:
    resource_id = history.made[name]["resource_id"]
    [[number]] = history.tenant.server.database.rows(
        "SELECT max(version_number) FROM versions WHERE resource_id = %s", resource_id
    )
    history.sql(
        "UPDATE versions SET unversioned_changes = 0 WHERE resource_id = %s AND is_current", resource_id
    )
    subject = f"{name_of(history.made[name])}@{number}"
    found(history, "changes_differ", subject, str(right), "0")
    mended(history, "changes_differ", subject)


def test_a_tree_that_holds_what_is_deleted_is_left(history: DeletedTree) -> None:
    resource = history.made["workflows"]
    blob = history.git("rev-parse", f"{history.second['git_commit_hash']}~1:{snapshot_path(resource)}")
    tree = history.git("rev-parse", f"{history.second['git_commit_hash']}~1^{{tree}}")
    deletion_id, at = uuid4(), "2026-01-02T12:00:00.000000Z"
    message = (
        f"jobs/{history.made['jobs']['resource_id']}: deleted for good\n\nAnnals-Deletion: {deletion_id}"
        f" permanent -\nAnnals-Actor: {history.tenant.ana.user_id} ana\nAnnals-Time: {at}"
    )
    stranger = history.foreign("main", message=message, tree=tree)
    history.git("update-ref", "refs/heads/main", stranger)
    history.sql(
        "UPDATE repositories SET head_commit = %s, commits = commits + 1 WHERE subscription_id = %s",
        stranger,
        history.tenant.subscription_id,
    )
    findings = {(str(each.code), each.subject): each for each in verify(history.tenant).findings}
    held = findings["main_tree_differs", snapshot_path(resource)]
    assert (held.expected, held.found, held.to_do is not None) == (None, blob, True)
    assert ("deletion_missing", f"deletion {deletion_id}") in findings


def test_a_commit_that_restores_what_did_not_fall_is_told(history: DeletedTree) -> None:
    message = (
        f"x\n\nAnnals-Restore: {uuid4()}\nAnnals-Actor: {history.tenant.ana.user_id} ana\n"
        "Annals-Time: 2026-01-02T12:00:00.000000Z"
    )
    stranger = history.foreign("main", message=message)
    history.git("update-ref", "refs/heads/main", stranger)
    history.sql(
        "UPDATE repositories SET head_commit = %s, commits = commits + 1 WHERE subscription_id = %s",
        stranger,
        history.tenant.subscription_id,
    )
    left(history, "not_verified", stranger)


def test_a_publication_that_did_not_end_with_the_deletion_is_left(history: DeletedTree) -> None:
    resource = history.made["inner workflows"]
    ended = datetime.fromisoformat(history.second["deleted_at"])
    history.sql(
        "UPDATE publications SET unpublished_at = %s WHERE resource_id = %s AND unpublished_at = %s",
        *(LATE, resource["resource_id"], ended),
    )
    subject = f"{name_of(resource)}@1"
    commit = f"commit {history.git('rev-parse', 'published')} on published"
    expected = f"a row that says it unpublished at {ended}"
    found(history, "commit_without_row", subject, expected, commit)
    left(history, "commit_without_row", subject)


@pytest.mark.parametrize("branch", ["main", "published"])
def test_a_row_that_is_behind_a_deletion_is_moved_forward(history: DeletedTree, branch: str) -> None:
    history.point(branch, history.git("rev-parse", f"{branch}~1"))
    mended(history, "tip_behind", f"refs/heads/{branch}")


def test_nothing_is_put_right_of_what_rose_meanwhile(history: DeletedTree) -> None:
    context = history.tenant.server.context
    subscription_id = SubscriptionId(UUID(history.tenant.subscription_id))
    workflow = history.made["workflows"]
    set_resource(history, workflow, "deleted_at", LATE)
    subject = history.of("jobs", history.second)
    history.damage(subject, "cascade_level", 7)
    look = Look(history=True, objects=False, grace_seconds=0, progress=lambda _: None)
    check = SubscriptionCheck(context.database, context.store, subscription_id, look)
    damages = list(check.damages(context.clock()))
    assert [each.finding.code for each in damages] == ["deletion_differs", "resource_deletion_differs"]
    history.tenant.restore(history.second)
    origin = Origin(request_id="x", ip_address=None, user_agent=None, endpoint="x", method="RUN")
    for damage in damages:
        assert damage.repair is not None
        with pytest.raises(Outdated):
            damage.repair(Recorder(context.database, context.clock, damage.finding, origin))
    assert row_of(history, workflow)["deleted_at"] is None
    assert told(verify(history.tenant)) == [("deletion_differs", subject)]
    assert audited(history.tenant) == []


def test_what_expired_is_as_it_has_to_be(history: DeletedTree) -> None:
    with history.tenant.server.clock.moved(days=40):
        assert told(verify(history.tenant)) == []
    until = datetime.fromisoformat(history.second["restore_expiry_at"])
    assert until - datetime.fromisoformat(history.second["deleted_at"]) == timedelta(days=30)
