"""Columns of versions and resources that differ from git: found exactly, and corrected from git."""

from datetime import datetime
from typing import LiteralString
from uuid import UUID, uuid4

import pytest
from psycopg import sql

from service.domain.callers import Origin
from service.domain.ids import SubscriptionId
from service.recovery.checks.findings import Recorder
from service.recovery.checks.subscription import Look, SubscriptionCheck
from service.recovery.ref_repairs import Outdated
from sql.queries import reconcile as queries
from tests.support.api import COLLECTIONS, Tenant, ok
from tests.support.reconciled import (
    LATE,
    History,
    audited,
    found,
    left,
    mended,
    name_of,
    row_of,
    set_resource,
    told,
    verify,
)

# Trailers hold it as a JSON string.
ODD = ' two lines:\n"quoted"\u2028 and a tail '


@pytest.fixture
def history(tenant: Tenant) -> History:
    """A subscription with a history, verified without a finding before the test."""
    history = History(tenant)
    tenant.save(history.other, {"n": 2}, description=ODD)
    assert told(verify(tenant)) == []
    return history


# -- versions -----------------------------------------------------------------------------------------

COLUMNS: dict[str, tuple[LiteralString, str]] = {
    "time_differs": ("created_at", LATE),
    "description_differs": ("version_description", "another"),
    "name_differs": ("resource_name", "another"),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("code", COLUMNS)
def test_a_column_that_git_refutes_is_corrected(history: History, code: str, number: int) -> None:
    column, value = COLUMNS[code]
    right = history.column(number, column)
    history.set(number, column, value)
    found(history, code, f"{history.name}@{number}", None if right is None else str(right), value)
    mended(history, code, f"{history.name}@{number}")
    assert history.column(number, column) == right


def test_a_microsecond_counts(history: History) -> None:
    history.sql(
        "UPDATE versions SET created_at = created_at + interval '1 microsecond' WHERE version_id = %s",
        history.version_id(2),
    )
    mended(history, "time_differs", f"{history.name}@2")


def test_an_author_that_git_refutes_is_corrected(history: History) -> None:
    ana, ben = history.tenant.ana.user_id, history.tenant.ben.user_id
    history.set(2, "created_by", ben)
    found(history, "author_differs", f"{history.name}@2", ana, ben)
    mended(history, "author_differs", f"{history.name}@2")
    assert str(history.column(2, "created_by")) == ana


def test_an_author_without_a_row_gets_one(history: History) -> None:
    context, user_id = history.tenant.server.context, uuid4()
    subscription_id = UUID(history.tenant.subscription_id)
    with context.database.transaction(subscription_id) as tx:
        for name in ("ghost", "other"):
            queries.add_actor(tx, subscription_id, user_id, name)
    assert history.value("SELECT username FROM actors WHERE user_id = %s", user_id) == "ghost"


@pytest.mark.parametrize("value", [None, ODD.strip()])
def test_a_description_of_any_text_is_known_to_the_letter(history: History, value: str | None) -> None:
    history.sql(
        "UPDATE versions SET version_description = %s WHERE resource_id = %s AND version_number = 2",
        value,
        history.other["resource_id"],
    )
    subject = f"{name_of(history.other)}@2"
    found(history, "description_differs", subject, ODD, value)
    mended(history, "description_differs", subject)


def test_versions_of_one_commit_are_compared_each(history: History) -> None:
    resources = [history.workflow, history.other]
    items = [
        {"resource_type": "workflow", "resource_id": each["resource_id"], "data": {"n": 77}}
        for each in resources
    ]
    ok(history.tenant.ana.post(f"{history.tenant.path}/check-ins", {"items": items, "comment": "both"}), 201)
    assert told(verify(history.tenant)) == []
    history.sql(
        "UPDATE versions SET created_at = %s, created_by = %s WHERE resource_id = %s AND is_current",
        LATE,
        history.tenant.ben.user_id,
        history.other["resource_id"],
    )
    subject = f"{name_of(history.other)}@3"
    assert told(verify(history.tenant)) == [("author_differs", subject), ("time_differs", subject)]
    assert verify(history.tenant, repair=True).left == ()
    assert told(verify(history.tenant)) == []


# -- resources ----------------------------------------------------------------------------------------


@pytest.mark.sampled(2)
@pytest.mark.parametrize("collection", COLLECTIONS)
def test_a_name_and_a_description_that_git_refutes_are_corrected(history: History, collection: str) -> None:
    resource = history.tenant.make(collection, description="as it is")
    before = row_of(history, resource)
    for column, right in (("name", resource["name"]), ("description", "as it is")):
        set_resource(history, resource, column, "another")
        code = f"resource_{column}_differs"
        found(history, code, name_of(resource), right, "another")
        mended(history, code, name_of(resource), repair_says=column)
    assert row_of(history, resource) == before


def test_a_description_is_that_of_the_newest_snapshot(history: History) -> None:
    set_resource(history, history.workflow, "description", "by hand")
    found(history, "resource_description_differs", history.name, None, "by hand")
    mended(history, "resource_description_differs", history.name)
    set_resource(history, history.workflow, "description", "by hand")
    # The next snapshot is made from the row: then git has the description, too.
    history.tenant.save(history.workflow, {"n": 9})
    assert told(verify(history.tenant)) == []
    ok(history.tenant.ana.post(f"{history.at}/rollback", {"to": "1"}), 201)
    assert told(verify(history.tenant)) == []
    assert row_of(history, history.workflow)["description"] is None


@pytest.mark.sampled(2)
@pytest.mark.parametrize("collection", [each for each in COLLECTIONS if each != "workspaces"])
def test_a_parent_that_git_refutes_is_corrected(history: History, collection: str) -> None:
    resource = history.tenant.make(collection)
    before = row_of(history, resource)
    old = {name: getattr(history.tenant, name) for name in ("workspace_id", "folder_id", "job_id")}
    history.tenant.begin_another_tree()
    new = {name: getattr(history.tenant, name) for name in old}
    column = next(iter(history.tenant.parent(collection)))
    kind = resource["resource_type"]
    query = sql.SQL("UPDATE {} SET workspace_id = %s, {} = %s WHERE {} = %s").format(
        *(sql.Identifier(name) for name in (f"{kind}s", column, f"{kind}_id"))
    )
    if column == "workspace_id":
        query = sql.SQL("UPDATE {} SET workspace_id = %s WHERE {} = %s").format(
            sql.Identifier(f"{kind}s"), sql.Identifier(f"{kind}_id")
        )
    values = [new["workspace_id"], *([new[column]] if column != "workspace_id" else [])]
    with history.tenant.server.database.connection() as connection:
        connection.execute(query, [*values, resource["resource_id"]])
    found(history, "resource_parent_differs", name_of(resource), old[column], new[column])
    mended(history, "resource_parent_differs", name_of(resource))
    assert row_of(history, resource) == before


def test_a_folder_is_put_back_with_all_that_lies_in_it_and_told_once(history: History) -> None:
    tenant = history.tenant
    folder = ok(tenant.ana.get(f"{tenant.path}/folders/{tenant.folder_id}"))
    inner = tenant.make("folders", parent_folder_id=tenant.folder_id)
    before = [row_of(history, each) for each in (folder, inner, history.workflow)]
    another = tenant.make("workspaces")["resource_id"]
    set_resource(history, folder, "workspace_id", another)
    assert row_of(history, history.workflow)["workspace_id"] == another
    found(history, "resource_parent_differs", name_of(folder), tenant.workspace_id, another)
    mended(history, "resource_parent_differs", name_of(folder))
    assert [row_of(history, each) for each in (folder, inner, history.workflow)] == before


def test_an_inner_folder_that_was_moved_to_the_top_is_put_back(history: History) -> None:
    tenant = history.tenant
    inner = tenant.make("folders", parent_folder_id=tenant.folder_id)
    before = row_of(history, inner)
    set_resource(history, inner, "parent_folder_id", None)
    found(history, "resource_parent_differs", name_of(inner), tenant.folder_id, tenant.workspace_id)
    mended(history, "resource_parent_differs", name_of(inner))
    assert row_of(history, inner) == before


def test_names_and_places_are_those_of_the_newest_snapshot(history: History) -> None:
    tenant, workflow = history.tenant, history.workflow
    outer = tenant.make("folders", workspace_id=tenant.make("workspaces")["resource_id"])
    folder = ok(tenant.ana.get(f"{tenant.path}/folders/{tenant.folder_id}"))
    tenant.amend(workflow, name="renamed")
    tenant.amend(folder, parent_folder_id=outer["resource_id"])
    assert told(verify(tenant)) == []
    before = [row_of(history, each) for each in (folder, workflow)]
    set_resource(history, workflow, "name", workflow["name"])
    found(history, "resource_name_differs", history.name, "renamed", workflow["name"])
    mended(history, "resource_name_differs", history.name)
    set_resource(history, folder, "parent_folder_id", None)
    parents = outer["resource_id"], outer["workspace_id"]
    found(history, "resource_parent_differs", name_of(folder), *parents)
    mended(history, "resource_parent_differs", name_of(folder))
    assert [row_of(history, each) for each in (folder, workflow)] == before


def test_an_author_of_a_resource_is_that_of_its_first_version(history: History) -> None:
    ana, ben = history.tenant.ana.user_id, history.tenant.ben
    history.tenant.save(history.workflow, {"n": 4}, by=ben)
    assert told(verify(history.tenant)) == []
    set_resource(history, history.workflow, "created_by", ben.user_id)
    found(history, "resource_author_differs", history.name, ana, ben.user_id)
    mended(history, "resource_author_differs", history.name)


@pytest.mark.parametrize("column", ["created_at", "updated_at"])
def test_times_of_a_resource_that_git_refutes_are_corrected(history: History, column: LiteralString) -> None:
    before = row_of(history, history.workflow)
    made, changed = (history.column(number, "created_at") for number in (1, 3))
    set_resource(history, history.workflow, column, LATE)
    wrong = {"created_at": made, "updated_at": changed, column: datetime.fromisoformat(LATE)}
    found(
        history,
        "resource_time_differs",
        history.name,
        f"made {made}, changed {changed}",
        f"made {wrong['created_at']}, changed {wrong['updated_at']}",
    )
    mended(history, "resource_time_differs", history.name)
    assert row_of(history, history.workflow) == before


@pytest.mark.sampled(2)
@pytest.mark.parametrize("collection", COLLECTIONS)
def test_a_resource_that_lost_its_row_gets_it_again(history: History, collection: str) -> None:
    resource = history.tenant.make(collection, description="of old")
    before = row_of(history, resource)
    kind = resource["resource_type"]
    query = sql.SQL("DELETE FROM {} WHERE {} = %s").format(
        *(sql.Identifier(name) for name in (f"{kind}s", f"{kind}_id"))
    )
    with history.tenant.server.database.connection() as connection:
        connection.execute(query, [resource["resource_id"]])
    found(history, "resource_missing", name_of(resource), f"the row of {resource['name']}", None)
    mended(history, "resource_missing", name_of(resource))
    assert row_of(history, resource) == before
    history.tenant.save(resource, {"goes": "on"})


def test_a_resource_that_git_does_not_know_is_left(history: History) -> None:
    stranger = str(uuid4())
    history.sql(
        "INSERT INTO connectors (connector_id, subscription_id, workspace_id, name, created_by, created_at,"
        " updated_at) SELECT %s, subscription_id, workspace_id, 'stranger', created_by, created_at,"
        " updated_at FROM workflows WHERE workflow_id = %s",
        stranger,
        history.workflow["resource_id"],
    )
    subject = f"connectors/{stranger}"
    found(history, "resource_without_commit", subject, "a commit of its first version", None)
    left(history, "resource_without_commit", subject)


def test_names_that_were_exchanged_are_left_with_what_the_database_says(history: History) -> None:
    for resource, name in ((history.workflow, "x"), (history.other, "etl"), (history.workflow, "other")):
        set_resource(history, resource, "name", name)
    report = verify(history.tenant, repair=True)
    assert {finding.code for finding in report.findings} == {"resource_name_differs"}
    assert all("uq_workflows_live_name" in str(finding.failed) for finding in report.findings)
    assert len(report.findings) == 2
    assert audited(history.tenant) == []


def test_a_row_is_not_put_right_once_another_version_repeats_it(history: History) -> None:
    context, subscription_id = (
        history.tenant.server.context,
        SubscriptionId(UUID(history.tenant.subscription_id)),
    )
    set_resource(history, history.workflow, "description", "by hand")
    look = Look(history=True, objects=False, grace_seconds=0, progress=lambda _: None)
    check = SubscriptionCheck(context.database, context.store, subscription_id, look)
    [damage] = check.damages(context.clock())
    assert damage.finding.code == "resource_description_differs"
    assert damage.repair is not None
    history.tenant.save(history.workflow, {"n": 9})
    origin = Origin(request_id="x", ip_address=None, user_agent=None, endpoint="x", method="RUN")
    with pytest.raises(Outdated):
        damage.repair(Recorder(context.database, context.clock, damage.finding, origin))
    assert row_of(history, history.workflow)["description"] == "by hand"
    assert told(verify(history.tenant)) == []
    assert audited(history.tenant) == []
