"""The faults 17 to 20 of the specification's deletions, shown by its own code on the same small tree."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from tests.support.api import COLLECTIONS, Json, Tenant, ok, refused
from tests.support.deletion_requests import ask, deletion, done
from tests.support.trees import tree

# Copied from the specification: its table of deletions, without the keys to tables that it does not define,
# and its function word for word.
SAMPLE_TABLE: LiteralString = """
CREATE TABLE deletion_logs (
    deletion_id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    subscription_id UUID NOT NULL,
    resource_type VARCHAR(50) NOT NULL,
    resource_id UUID NOT NULL,
    resource_name VARCHAR(500),
    resource_data JSONB,
    parent_resource_type VARCHAR(50),
    parent_resource_id UUID,
    cascade_level INTEGER DEFAULT 0,
    cascaded_workspaces INTEGER DEFAULT 0,
    cascaded_folders INTEGER DEFAULT 0,
    cascaded_jobs INTEGER DEFAULT 0,
    cascaded_workflows INTEGER DEFAULT 0,
    cascaded_jobpackages INTEGER DEFAULT 0,
    deleted_by UUID,
    deletion_reason TEXT,
    is_soft_delete BOOLEAN DEFAULT FALSE,
    can_be_restored BOOLEAN DEFAULT TRUE,
    restore_expiry_at TIMESTAMPTZ,
    deleted_at TIMESTAMPTZ DEFAULT NOW()
);
"""
SAMPLE_FUNCTION: LiteralString = """
CREATE OR REPLACE FUNCTION cascade_delete_workspace(
    p_workspace_id UUID,
    p_deleted_by UUID,
    p_is_soft_delete BOOLEAN DEFAULT TRUE
) RETURNS JSONB AS $$
DECLARE
    v_subscription_id UUID;
    v_workspace_data JSONB;
    v_cascaded_counts JSONB;
    v_folder_count INTEGER;
    v_job_count INTEGER;
    v_workflow_count INTEGER;
    v_jobpackage_count INTEGER;
BEGIN
    -- Get workspace data
    SELECT subscription_id, row_to_json(workspaces.*)::jsonb
    INTO v_subscription_id, v_workspace_data
    FROM workspaces
    WHERE workspace_id = p_workspace_id;

    -- Count cascaded resources
    SELECT COUNT(*) INTO v_folder_count
    FROM folders WHERE workspace_id = p_workspace_id;

    SELECT COUNT(*) INTO v_job_count
    FROM jobs j
    JOIN folders f ON j.folder_id = f.folder_id
    WHERE f.workspace_id = p_workspace_id;

    SELECT COUNT(*) INTO v_workflow_count
    FROM workflows w
    JOIN jobs j ON w.job_id = j.job_id
    JOIN folders f ON j.folder_id = f.folder_id
    WHERE f.workspace_id = p_workspace_id;

    -- Soft delete or hard delete
    IF p_is_soft_delete THEN
        UPDATE workspaces SET soft_deleted = TRUE WHERE workspace_id = p_workspace_id;
        UPDATE folders SET soft_deleted = TRUE WHERE workspace_id = p_workspace_id;
        UPDATE jobs SET soft_deleted = TRUE
        FROM folders f WHERE jobs.folder_id = f.folder_id AND f.workspace_id = p_workspace_id;
        UPDATE workflows SET soft_deleted = TRUE
        FROM jobs j, folders f
        WHERE workflows.job_id = j.job_id AND j.folder_id = f.folder_id AND f.workspace_id = p_workspace_id;
    ELSE
        -- Hard delete (cascade via foreign keys)
        DELETE FROM workspaces WHERE workspace_id = p_workspace_id;
    END IF;

    -- Log deletion
    INSERT INTO deletion_logs (
        subscription_id, resource_type, resource_id, resource_name, resource_data,
        cascaded_folders, cascaded_jobs, cascaded_workflows,
        deleted_by, is_soft_delete, cascade_level
    )
    VALUES (
        v_subscription_id, 'workspace', p_workspace_id, v_workspace_data->>'workspace_name', v_workspace_data,
        v_folder_count, v_job_count, v_workflow_count,
        p_deleted_by, p_is_soft_delete, 0
    );

    -- Return counts
    RETURN jsonb_build_object(
        'folders', v_folder_count,
        'jobs', v_job_count,
        'workflows', v_workflow_count
    );
END;
$$ LANGUAGE plpgsql;
"""
# `track_deletion`, with the parameters that a hard delete leaves at their defaults.
SAMPLE_TRACKING: LiteralString = """
INSERT INTO deletion_logs (subscription_id, resource_type, resource_id, is_soft_delete, can_be_restored,
    restore_expiry_at)
VALUES (%s, %s, %s, %s, TRUE, NULL)
"""
# Undeleted resources below a deleted one; the query runs on the sample's tables and on copies of ours.
ORPHANS: LiteralString = """
SELECT count(*) FROM (
    SELECT FROM folders c JOIN workspaces p USING (workspace_id) WHERE NOT c.soft_deleted AND p.soft_deleted
    UNION ALL SELECT FROM folders c JOIN folders p ON p.folder_id = c.parent_folder_id
        WHERE NOT c.soft_deleted AND p.soft_deleted
    UNION ALL SELECT FROM jobs c JOIN folders p USING (folder_id) WHERE NOT c.soft_deleted AND p.soft_deleted
    UNION ALL SELECT FROM jobpackages c JOIN folders p USING (folder_id)
        WHERE NOT c.soft_deleted AND p.soft_deleted
    UNION ALL SELECT FROM workflows c JOIN jobs p USING (job_id) WHERE NOT c.soft_deleted AND p.soft_deleted
    UNION ALL SELECT FROM connectors c JOIN workspaces p USING (workspace_id)
        WHERE NOT c.soft_deleted AND p.soft_deleted
) orphans
"""


class Sample:
    """The specification's tables, with the resources of a tenant as they are now, and its function."""

    def __init__(self, connection: psycopg.Connection[Any], subscription_id: str) -> None:
        self._connection = connection
        connection.execute("CREATE SCHEMA sample")
        for table in COLLECTIONS:
            connection.execute(
                sql.SQL(
                    "CREATE TABLE sample.{0} AS SELECT *, name AS {1} FROM public.{0}"
                    " WHERE subscription_id = {2}"
                ).format(
                    sql.Identifier(table),
                    sql.Identifier(f"{table.removesuffix('s')}_name"),
                    sql.Literal(UUID(subscription_id)),
                )
            )
        connection.execute("SET LOCAL search_path TO sample")
        connection.execute(SAMPLE_TABLE)
        connection.execute(SAMPLE_FUNCTION)

    def execute(self, query: LiteralString, *values: object) -> None:
        self._connection.execute(query, values)

    def value(self, query: LiteralString, *values: object) -> Any:
        """Return the single value of a query."""
        [[value]] = self._connection.execute(query, values).fetchall()
        return value

    def delete(self, workspace: Json, *, softly: bool = True) -> Json:
        """Call the sample's function; returns its answer."""
        query = "SELECT cascade_delete_workspace(%s, NULL, %s)"
        answer: Json = self.value(query, workspace["resource_id"], softly)
        return answer


@contextmanager
def sample_of(tenant: Tenant) -> Iterator[Sample]:
    """Make the sample from the same tree, until the block ends."""
    with (
        tenant.server.database.connection() as connection,
        connection.transaction(force_rollback=True),
    ):
        yield Sample(connection, tenant.subscription_id)


def deleted_in_sql(tenant: Tenant, workspace: Json, *, softly: bool = True) -> tuple[Json, Json]:
    """Call our function of the same name; returns its answer, and the deletion that follows."""
    request = ask(tenant, workspace, softly=softly)
    row = done(tenant.server.database, request)
    assert row["problem"] is None
    return request, deletion(tenant, row["deletion_id"])


def orphans(tenant: Tenant) -> int:
    """Count undeleted resources below deleted ones."""
    with sample_of(tenant) as copied:
        count: int = copied.value(ORPHANS)
    return count


# -- 17 -----------------------------------------------------------------------------------------------


def test_17_job_packages_and_connectors_are_counted(tenant: Tenant) -> None:
    made = tree(tenant)
    with sample_of(tenant) as sample:
        assert sample.delete(made["workspaces"]) == {"folders": 2, "jobs": 2, "workflows": 2}
        assert sample.value("SELECT cascaded_jobpackages FROM deletion_logs") == 0
    request, found = deleted_in_sql(tenant, made["workspaces"])
    counts = {"workspaces": 1, "folders": 2, "jobs": 2, "workflows": 2, "jobpackages": 1, "connectors": 1}
    assert {name: request[name] for name in COLLECTIONS} == counts
    assert {name: found[f"cascaded_{name}"] for name in COLLECTIONS} == counts


def test_17_what_was_deleted_before_is_not_counted_again(tenant: Tenant) -> None:
    made = tree(tenant)
    tenant.remove(made["jobs"])
    with sample_of(tenant) as sample:
        assert sample.value("SELECT count(*) FROM jobs WHERE NOT soft_deleted") == 1
        assert sample.delete(made["workspaces"]) == {"folders": 2, "jobs": 2, "workflows": 2}
    request, found = deleted_in_sql(tenant, made["workspaces"])
    left = {"workspaces": 1, "folders": 2, "jobs": 1, "workflows": 1, "jobpackages": 1, "connectors": 1}
    assert {name: request[name] for name in COLLECTIONS} == left
    assert found["counts"] == left


def test_17_it_can_be_restored_until_a_day_that_is_told(tenant: Tenant) -> None:
    made = tree(tenant)
    with sample_of(tenant) as sample:
        sample.delete(made["workspaces"])
        assert sample.value("SELECT restore_expiry_at FROM deletion_logs") is None
    _, found = deleted_in_sql(tenant, made["workspaces"])
    at, until = (datetime.fromisoformat(found[name]) for name in ("deleted_at", "restore_expiry_at"))
    assert until - at == timedelta(days=30)
    with tenant.server.clock.moved(days=31):
        path = f"{tenant.path}/deletions/{found['deletion_id']}/restore"
        refused(tenant.ben.post(path), 410, "not_restorable")
    assert tenant.restore(found)["restored"] == found["counts"]


def test_17_nothing_lives_on_in_it(tenant: Tenant) -> None:
    made = tree(tenant)
    with sample_of(tenant) as sample:
        sample.delete(made["workspaces"])
        assert sample.value("SELECT count(*) FROM jobpackages WHERE NOT soft_deleted") == 1
        # The two are the job package and the connector.
        assert sample.value(ORPHANS) == 2
    deleted_in_sql(tenant, made["workspaces"])
    for each in made.values():
        assert ok(tenant.vera.get(tenant.at(each)))["deleted_at"] is not None
    assert orphans(tenant) == 0


# -- 18 -----------------------------------------------------------------------------------------------


def test_18_what_is_deleted_for_good_is_not_said_to_be_restorable(tenant: Tenant) -> None:
    made = tree(tenant)
    with sample_of(tenant) as sample:
        sample.delete(made["workspaces"], softly=False)
        sample.execute(SAMPLE_TRACKING, tenant.subscription_id, "job", made["jobs"]["resource_id"], False)
        query = "SELECT array_agg(can_be_restored) FROM deletion_logs WHERE NOT is_soft_delete"
        assert sample.value(query) == [True, True]
    _, in_sql = deleted_in_sql(tenant, made["workspaces"], softly=False)
    other = tenant.make("workspaces")
    soft = tenant.remove(other)
    by_call = tenant.remove(other, permanent=True)
    for found in (in_sql, by_call):
        assert (found["is_soft_delete"], found["can_be_restored"]) == (False, False)
        path = f"{tenant.path}/deletions/{found['deletion_id']}/restore"
        refused(tenant.ben.post(path), 410, "not_restorable")
    assert deletion(tenant, soft["deletion_id"])["can_be_restored"] is False
    assert tenant.vera.pages(f"{tenant.path}/deletions", restorable=True) == []


def test_18_nor_is_what_expired(tenant: Tenant) -> None:
    soft = tenant.remove(tenant.make("workspaces"))
    assert soft["can_be_restored"] is True
    with tenant.server.clock.moved(days=31):
        assert deletion(tenant, soft["deletion_id"])["can_be_restored"] is False


# -- 19 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("root", "flag", "left"),
    [
        ("folders", "UPDATE folders SET soft_deleted = TRUE WHERE folder_id = %s", 3),
        ("jobs", "UPDATE jobs SET soft_deleted = TRUE WHERE job_id = %s", 1),
    ],
)
def test_19_with_a_folder_or_a_job_falls_what_it_holds(
    tenant: Tenant, root: str, flag: LiteralString, left: int
) -> None:
    made = tree(tenant)
    with sample_of(tenant) as sample:
        # For kinds other than workspaces, the sample has only the flag, and a row that tracks it.
        sample.execute(flag, made[root]["resource_id"])
        assert sample.value(ORPHANS) == left
    found = tenant.remove(made[root])
    assert orphans(tenant) == 0
    records = tenant.vera.pages(f"{tenant.path}/deletions", root_deletion_id=found["deletion_id"])
    assert len(records) == sum(found["counts"].values()) > 1


# -- 20: ticked in the specification, without a line of code --------------------------------------------


def test_20_a_deletion_is_undone(tenant: Tenant) -> None:
    made = tree(tenant)
    before = {name: ok(tenant.vera.get(tenant.at(each))) for name, each in made.items()}
    in_git = tenant.git("rev-parse", "main^{tree}")
    found = tenant.remove(made["workspaces"])
    assert tenant.restore(found)["restored"] == found["counts"]
    assert {name: ok(tenant.vera.get(tenant.at(each))) for name, each in made.items()} == before
    assert tenant.git("rev-parse", "main^{tree}") == in_git


def test_20_a_resource_is_rolled_back(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    tenant.save(workflow, {"n": 2})
    back = ok(tenant.ben.post(f"{tenant.at(workflow)}/rollback", {"to": 1}), 201)
    assert back["version_number"] == 3
    assert ok(tenant.vera.get(f"{tenant.at(workflow)}/versions/current"))["data"] == {"n": 1}
    assert len(tenant.vera.pages(f"{tenant.at(workflow)}/versions")) == 3


def test_20_a_version_is_published_and_no_longer(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    tenant.save(workflow, {"n": 2})
    at = tenant.at(workflow)
    ok(tenant.ben.post(f"{at}/versions/1/publish"))
    assert ok(tenant.vera.get(f"{at}/versions/published"))["data"] == {"n": 1}
    assert workflow["resource_id"] in tenant.git("ls-tree", "-r", "--name-only", "published")
    ok(tenant.ben.post(f"{at}/versions/1/unpublish"))
    refused(tenant.vera.get(f"{at}/versions/published"), 404, "version_not_found")
    assert tenant.git("ls-tree", "-r", "--name-only", "published") == ""
