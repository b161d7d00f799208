"""The plain deletion that figures are compared with does the same as the service, but for ids and times."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import LiteralString

import pytest

from bench import deleting, reference
from bench.service import own_database
from bench.stage import QUICK, Stage
from bench.tenants import Shape
from tests.support.databases import cluster_url

SHAPE = Shape(folders=5, jobs=4, workflows=30, jobpackages=3, connectors=2)
ROWS: tuple[LiteralString, ...] = (
    """SELECT to_jsonb(t) - '{deletion_id, root_deletion_id, subscription_id, resource_id, resource_data,
        parent_resource_id, deleted_by, restore_expiry_at, deleted_at, version_id, published_version_id,
        git_commit_hash, restored_at, restored_by, restored_commit_hash}'::text[],
        published_version_id IS NOT NULL, restore_expiry_at - deleted_at, restored_at IS NOT NULL,
        (SELECT version_data = resource_data FROM versions WHERE version_id = t.version_id),
        (SELECT resource_name FROM deletion_logs WHERE deletion_id = t.root_deletion_id)
    FROM deletion_logs t WHERE subscription_id = %s""",
    # Resources alone; a save has another diff in each tree, since its edit was drawn by lot.
    """SELECT table_name, record_name, change_type, version_number, change_reason, jsonb_array_length(diff),
        diff #>> '{0,op}', coalesce(old_data, new_data) - '{version_id, git_commit_hash}'::text[]
    FROM data_change_history
    WHERE subscription_id = %s AND change_type <> 'UPDATE'
        AND table_name NOT IN ('api_keys', 'users', 'subscriptions')""",
    """SELECT resource_type, resource_name, version_number, version_tag, is_current, is_published,
        unversioned_changes FROM versions WHERE subscription_id = %s""",
    """SELECT resource_name, unpublished_at IS NULL
    FROM publications JOIN versions USING (version_id) WHERE publications.subscription_id = %s""",
    """SELECT action, resource_type, resource_name, new_values->'counts'
    FROM audit_logs WHERE subscription_id = %s AND action IN ('DELETE', 'RESTORE')""",
    "SELECT commits FROM repositories WHERE subscription_id = %s",
    "SELECT name FROM workspaces WHERE deleted_at IS NOT NULL AND subscription_id = %s",
    "SELECT name FROM folders WHERE deleted_at IS NOT NULL AND subscription_id = %s",
    "SELECT name FROM jobs WHERE deleted_at IS NOT NULL AND subscription_id = %s",
    "SELECT name FROM workflows WHERE deleted_at IS NOT NULL AND subscription_id = %s",
    "SELECT name FROM jobpackages WHERE deleted_at IS NOT NULL AND subscription_id = %s",
    "SELECT name FROM connectors WHERE deleted_at IS NOT NULL AND subscription_id = %s",
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A server with a small tree in it, and another one for plain SQL."""
    folder: Path = tmp_path_factory.mktemp("bench")
    sizes = replace(QUICK, tree=SHAPE)
    with own_database(cluster_url()) as database, Stage(folder, database, sizes) as stage:
        yield stage


def compare(stage: Stage, deleted: int) -> None:
    """Compare all rows of the two trees, of which so many resources are deleted."""
    ours, plain = stage.tree(), stage.plain()
    for query in ROWS:
        of_service, of_plain = (
            sorted(map(str, stage.database.rows(query, each)))
            for each in (ours.subscription_id, plain.subscription_id)
        )
        assert of_plain == of_service
    assert _deleted(stage) == deleted


def _deleted(stage: Stage) -> int:
    queries = ROWS[-6:]
    return sum(len(stage.database.rows(query, stage.plain().subscription_id)) for query in queries)


def test_plain_sql_and_git_do_what_the_service_does(stage: Stage) -> None:
    ours, plain, service = stage.tree(), stage.plain(), stage.service()
    key = ours.keys[0]
    compare(stage, 0)
    tree = reference.git(plain.repository, "rev-parse", "main^{tree}")
    for _ in range(2):
        path = f"{ours.path}/workspaces/{ours.workspace}?reason=benchmark"
        deletion = service.call("DELETE", path, key=key)
        plain.delete()
        compare(stage, SHAPE.resources)
        assert reference.git(plain.repository, "ls-tree", "main") == ""
        service.call("POST", f"{ours.path}/deletions/{deletion['deletion_id']}/restore", {}, key)
        plain.restore()
        compare(stage, 0)
        assert reference.git(plain.repository, "rev-parse", "main^{tree}") == tree


def test_the_figures_are_taken_of_a_tree_that_is_as_before(stage: Stage) -> None:
    taken = deleting.delete_and_restore(stage)
    assert [each.demand for each in taken] == list(deleting.DEMANDS)
    assert all(len(each.ratios) == stage.sizes.pairs and each.value > 0 for each in taken)
    stage.compare_histories()
    assert stage.found.is_complete
    assert stage.found.acknowledged == 6
