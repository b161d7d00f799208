"""Comparison of the rows of a subscription with its repository."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from tests.support.api import run_git, snapshot_path
from tests.support.databases import Database


class Stored(Protocol):
    """A server with the database and the repositories that are compared."""

    @property
    def database(self) -> Database: ...


class Tenant(Protocol):
    """A subscription whose rows and repository are compared."""

    @property
    def subscription_id(self) -> str: ...

    @property
    def server(self) -> Stored: ...

    @property
    def repository(self) -> Path: ...

    def git(self, *arguments: str) -> str: ...

    def main(self) -> str: ...


def _fsck(tenant: Tenant) -> str:
    """Return the output of `git fsck`, which is repeated if it failed because packs were merged meanwhile."""
    for _ in range(10):
        before = _packs(tenant)
        try:
            return tenant.git("fsck", "--strict", "--full", "--no-dangling")
        except subprocess.CalledProcessError:
            if _packs(tenant) == before:
                raise
    raise AssertionError("packs are merged all the time")


def _packs(tenant: Tenant) -> set[str]:
    return {file.name for file in (tenant.repository / "objects" / "pack").glob("*.idx")}


def check_history(tenant: Tenant, *, fsck: bool = True) -> None:
    """Check that `main` is linear, with a commit for each version, deletion and restore, and other refs."""
    if fsck:
        assert _fsck(tenant) == ""
    chain = straight(tenant, "main")
    rows = tenant.server.database.rows(
        "SELECT git_commit_hash, commit_number, resource_type, resource_id::text, version_number,"
        " git_blob_id, version_data::text FROM versions WHERE subscription_id = %s ORDER BY version_id",
        tenant.subscription_id,
    )
    unversioned = tenant.server.database.rows(
        "SELECT git_commit_hash, commit_number FROM deletion_logs"
        " WHERE subscription_id = %s AND origin = 'annals' UNION"
        " SELECT restored_commit_hash, restored_commit_number FROM deletion_logs"
        " WHERE subscription_id = %s AND restored_at IS NOT NULL",
        tenant.subscription_id,
        tenant.subscription_id,
    )
    assert {row[0] for row in rows} | {commit for commit, _ in unversioned} == set(chain)
    numbers: dict[str, list[int]] = {}
    position = {commit: index for index, commit in enumerate(chain, 1)}
    assert all(place == position[commit] for commit, place in unversioned)
    rows.sort(key=lambda row: position[row[0]])
    paths = [snapshot_path({"resource_type": row[2], "resource_id": row[3]}) for row in rows]
    stored = objects(tenant, (f"{row[0]}:{path}" for row, path in zip(rows, paths, strict=True)))
    for (commit, place, _, resource_id, number, blob, data), (oid, content) in zip(rows, stored, strict=True):
        numbers.setdefault(resource_id, []).append(number)
        assert place == position[commit]
        assert oid == blob
        # JSONB normalizes numbers, so the column for queries keeps their values, but not their spelling.
        assert json.loads(content, parse_int=float) == json.loads(data, parse_int=float)
    for found in numbers.values():
        assert found == list(range(1, len(found) + 1))
    assert head_of_row(tenant) == tenant.main() == chain[-1]
    check_main(tenant)
    check_published(tenant)
    check_tags(tenant)
    check_deletions(tenant)


def objects(tenant: Tenant, names: Iterable[str]) -> list[tuple[str, bytes]]:
    """Return the ids and contents of objects, by names that `git rev-parse` knows; each has to exist."""
    asked = [name.encode() for name in names]
    answer = run_git(tenant.repository, "cat-file", "--batch", input=b"\n".join(asked)).stdout
    found = []
    start = 0
    for name in asked:
        end = answer.index(b"\n", start)
        oid, _, size = answer[start:end].decode().partition(" ")
        kind, _, length = size.partition(" ")
        assert length, (name, answer[start:end], kind)
        start = end + 1 + int(length) + 1
        found.append((oid, answer[end + 1 : start - 1]))
    return found


_CURRENT = """
SELECT resource_type, resource_id::text, git_blob_id FROM versions JOIN (
    SELECT 'workspace', workspace_id FROM workspaces WHERE deleted_at IS NULL
    UNION ALL SELECT 'folder', folder_id FROM folders WHERE deleted_at IS NULL
    UNION ALL SELECT 'job', job_id FROM jobs WHERE deleted_at IS NULL
    UNION ALL SELECT 'workflow', workflow_id FROM workflows WHERE deleted_at IS NULL
    UNION ALL SELECT 'jobpackage', jobpackage_id FROM jobpackages WHERE deleted_at IS NULL
    UNION ALL SELECT 'connector', connector_id FROM connectors WHERE deleted_at IS NULL
) AS live (resource_type, resource_id) USING (resource_type, resource_id)
WHERE subscription_id = %s AND is_current
"""


def check_main(tenant: Tenant) -> None:
    """Check that the tree of `main` has exactly the current versions of undeleted resources."""
    current = tenant.server.database.rows(_CURRENT, tenant.subscription_id)
    assert files(tenant, "main") == {
        snapshot_path({"resource_type": kind, "resource_id": resource_id}): blob
        for kind, resource_id, blob in current
    }


_TREE = """
WITH everything (subscription_id, resource_id, parent_id, deleted_at) AS (
    SELECT subscription_id, workspace_id, NULL::uuid, deleted_at FROM workspaces
    UNION ALL SELECT subscription_id, folder_id, coalesce(parent_folder_id, workspace_id), deleted_at
    FROM folders
    UNION ALL SELECT subscription_id, job_id, folder_id, deleted_at FROM jobs
    UNION ALL SELECT subscription_id, workflow_id, job_id, deleted_at FROM workflows
    UNION ALL SELECT subscription_id, jobpackage_id, folder_id, deleted_at FROM jobpackages
    UNION ALL SELECT subscription_id, connector_id, workspace_id, deleted_at FROM connectors
)
SELECT resource_id, parent_id, deleted_at FROM everything WHERE subscription_id = %s
"""
_OPEN = """
SELECT resource_id, deleted_at FROM deletion_logs
WHERE subscription_id = %s AND origin = 'annals' AND is_soft_delete
    AND restored_at IS NULL AND purged_at IS NULL
"""
_FELL_TOGETHER = """
SELECT root_deletion_id, min(cascade_level), count(*),
    count(*) = sum(cascaded_workspaces + cascaded_folders + cascaded_jobs + cascaded_workflows
        + cascaded_jobpackages + cascaded_connectors) FILTER (WHERE cascade_level = 0)
FROM deletion_logs WHERE subscription_id = %s AND origin = 'annals' GROUP BY root_deletion_id
"""
_GONE = """
SELECT resource_id FROM deletion_logs
WHERE subscription_id = %s AND origin = 'annals' AND (purged_at IS NOT NULL OR NOT is_soft_delete)
"""


def check_deletions(tenant: Tenant) -> None:
    """Check that just the deleted resources have an open record, and that none has an undeleted child."""
    database, of_tenant = tenant.server.database, tenant.subscription_id
    tree = {row[0]: row[1:] for row in database.rows(_TREE, of_tenant)}
    deleted = {resource_id: at for resource_id, (_, at) in tree.items() if at is not None}
    opened = database.rows(_OPEN, of_tenant)
    assert dict(opened) == deleted
    assert len(opened) == len(deleted)
    for parent_id, at in tree.values():
        assert at is not None or parent_id is None or (parent_id in tree and parent_id not in deleted)
    assert all(row[1] == 0 and row[3] for row in database.rows(_FELL_TOGETHER, of_tenant))
    assert not {gone for (gone,) in database.rows(_GONE, of_tenant)} & tree.keys()


def files(tenant: Tenant, branch: str) -> dict[str, str]:
    """Return the blobs in the tree of a branch, by path."""
    listed = tenant.git("ls-tree", "-r", "--format=%(path) %(objectname)", branch).splitlines()
    return dict(line.split() for line in listed)


def check_published(tenant: Tenant) -> None:
    """Check that `published` is linear, and holds exactly the published versions."""
    published = tenant.server.database.rows(
        "SELECT resource_type, resource_id::text, git_blob_id FROM versions"
        " WHERE subscription_id = %s AND is_published",
        tenant.subscription_id,
    )
    expected = {
        snapshot_path({"resource_type": kind, "resource_id": resource_id}): blob
        for kind, resource_id, blob in published
    }
    head = tenant.server.database.value(
        "SELECT published_commit FROM repositories WHERE subscription_id = %s", tenant.subscription_id
    )
    at = tenant.git("for-each-ref", "--format=%(objectname)", "refs/heads/published").strip()
    assert at == (head or "")
    if head is None:
        assert not expected
        return
    assert straight(tenant, "published")[-1] == head
    assert files(tenant, "published") == expected


def check_tags(tenant: Tenant) -> None:
    """Check that each tagged version has its annotated tag, and that git has no other."""
    rows = tenant.server.database.rows(
        "SELECT v.resource_type || 's/' || v.resource_id || '/' || v.version_tag, t.tag_object,"
        " v.git_commit_hash FROM versions v JOIN tags t USING (version_id)"
        " WHERE v.subscription_id = %s AND t.untagged_at IS NULL ORDER BY 1",
        tenant.subscription_id,
    )
    form = "--format=%(refname:lstrip=2) %(objectname) %(*objectname)"
    listed = tenant.git("for-each-ref", form, "refs/tags").splitlines()
    assert sorted(tuple(line.split()) for line in listed) == sorted(rows)
    mirrored = tenant.server.database.value(
        "SELECT count(*) FROM versions WHERE subscription_id = %s AND version_tag IS NOT NULL",
        tenant.subscription_id,
    )
    assert mirrored == len(rows)


def straight(tenant: Tenant, branch: str) -> list[str]:
    """Return the commits of a branch, oldest first; each has to be the only parent of the next."""
    commits = tenant.git("rev-list", "--reverse", "--parents", branch).splitlines()
    chain = [line.split() for line in commits]
    assert [len(line) for line in chain] == [1] + [2] * (len(chain) - 1)
    assert [line[1] for line in chain[1:]] == [line[0] for line in chain[:-1]]
    return [line[0] for line in chain]


def head_of_row(tenant: Tenant) -> str:
    """Return the commit of `main` according to the row."""
    return str(
        tenant.server.database.value(
            "SELECT head_commit FROM repositories WHERE subscription_id = %s", tenant.subscription_id
        )
    )
