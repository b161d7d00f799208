"""The term of a deletion: its call may ask for a number of days, within the operator's limits."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.domain.job_runs import Counts
from service.runtime.settings import SettingsError, load
from service.usecases.maintenance import expire_deletions
from tests.support.api import COLLECTIONS, Json, Server, Tenant, ok, refused
from tests.support.databases import Cluster
from tests.support.histories import check_history
from tests.support.job_runs import carried_out, job_context
from tests.support.serving import serving
from tests.support.trees import records_of, tree

DEFAULT, MOST = 20, 40


@pytest.fixture(scope="module")
def generous_server(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose operator lets deletions ask for more days than they get by default."""
    folder = tmp_path_factory.mktemp("generous")
    with serving(cluster, folder, restore_days=DEFAULT, max_restore_days=MOST) as server:
        yield server


@pytest.fixture
def generous(generous_server: Server) -> Tenant:
    return Tenant(generous_server)


def term(deletion: Json) -> timedelta:
    """The time from a deletion to its expiry."""
    at, until = (datetime.fromisoformat(deletion[name]) for name in ("deleted_at", "restore_expiry_at"))
    return until - at


def expire(server: Server) -> Counts:
    return carried_out(server, expire_deletions.NAME, expire_deletions.run)


@pytest.mark.parametrize("kind", COLLECTIONS)
def test_each_kind_can_be_restored_for_the_days_asked_for(tenant: Tenant, kind: str) -> None:
    made = tree(tenant)[kind]
    deletion = tenant.remove(made, restore_days=7)
    path = f"{tenant.path}/deletions/{deletion['deletion_id']}"
    assert {term(each) for each in records_of(tenant, deletion)} == {term(deletion)} == {timedelta(days=7)}
    with tenant.server.clock.moved(days=7, seconds=1):
        assert ok(tenant.vera.get(path))["can_be_restored"] is False
        refused(tenant.ben.post(f"{path}/restore", {"dry_run": True}), 410, "not_restorable")
        refused(tenant.ben.post(f"{path}/restore"), 410, "not_restorable")
    with tenant.server.clock.moved(days=6, hours=23):
        assert tenant.restore(deletion, dry_run=True)["restored"] == deletion["counts"]
        assert tenant.restore(deletion)["restored"] == deletion["counts"]
    check_history(tenant)


def test_git_keeps_the_expiry(tenant: Tenant) -> None:
    deletion = tenant.remove(tenant.workflow(), restore_days=3)
    expiry = deletion["restore_expiry_at"]
    assert f"Annals-Deletion: {deletion['deletion_id']} soft {expiry}" in tenant.git("log", "-1", "main")


@pytest.mark.parametrize(
    "days", ["0", "-1", "366", "99999999999999999999", "seven", "1.5", "+5", "007", "5.0", " 5", ""]
)
def test_days_out_of_range_are_refused_by_name(tenant: Tenant, days: str) -> None:
    workflow = tenant.workflow()
    answer = refused(tenant.ana.delete(tenant.at(workflow), params={"restore_days": days}), 422, "invalid")
    assert [error["parameter"] for error in answer["errors"]] == ["restore_days"]
    assert ok(tenant.vera.get(tenant.at(workflow)))["deleted_at"] is None
    assert tenant.main() == workflow["git_commit_hash"]


def test_a_deletion_for_good_takes_no_days(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    soft = tenant.remove(workflow)
    query = {"permanent": True, "restore_days": 7}
    answer = refused(tenant.ana.delete(tenant.at(workflow), params=query), 422, "invalid")
    assert [error["parameter"] for error in answer["errors"]] == ["restore_days"]
    shown = ok(tenant.vera.get(f"{tenant.path}/deletions/{soft['deletion_id']}"))
    assert (shown["purged_at"], shown["can_be_restored"]) == (None, True)


@pytest.mark.parametrize(("query", "days"), [({}, DEFAULT), ({"restore_days": MOST}, MOST)])
def test_the_operator_sets_the_default_and_the_maximum(
    generous: Tenant, query: dict[str, Any], days: int
) -> None:
    assert term(generous.remove(generous.workflow(), **query)) == timedelta(days=days)


def test_more_days_than_the_operator_allows_are_refused(generous: Tenant) -> None:
    answer = generous.ana.delete(generous.at(generous.workflow()), params={"restore_days": MOST + 1})
    assert f"at most {MOST} days" in refused(answer, 422, "invalid")["detail"]


def test_a_maximum_below_the_default_is_no_setting() -> None:
    with pytest.raises(SettingsError, match=r"max_restore_days .* is less than ANNALS_RESTORE_DAYS"):
        load({"max_restore_days": 29}, {})
    assert load({"max_restore_days": 30}, {})[0].longest_restore_days == 30


@pytest.mark.parametrize(("days", "longest"), [(30, 365), (365, 365), (400, 400)])
def test_a_year_can_be_asked_for_where_the_operator_sets_no_maximum(days: int, longest: int) -> None:
    assert load({"restore_days": days}, {})[0].longest_restore_days == longest


def test_more_days_than_the_default_can_be_asked_for(tenant: Tenant) -> None:
    assert term(tenant.remove(tenant.workflow(), restore_days=365)) == timedelta(days=365)


def test_each_deletion_expires_after_its_own_days(lone: Tenant) -> None:
    short, usual = lone.workflow(), lone.workflow()
    lone.remove(short, restore_days=2)
    lone.remove(usual)
    with lone.server.clock.moved(days=1):
        assert expire(lone.server)["deletions"] == 0
    with lone.server.clock.moved(days=3):
        with job_context(lone.server) as context:
            plan = expire_deletions.plan(context, context.clock())
        assert [part.rows for part in plan.parts] == [1]
        assert expire(lone.server)["deletions"] == 1
        refused(lone.ana.get(lone.at(short)), 404, "resource_not_found")
        assert ok(lone.ana.get(lone.at(usual)))["deleted_at"] is not None
