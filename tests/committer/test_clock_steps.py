"""Clocks that are set back, or are another host's: commits keep their order, and leases run by the clock.

Of a history whose times decrease, the state at an instant can't be told, and git itself leaves out commits:
https://github.com/elfshaker/elfshaker/issues/89
"""

from datetime import datetime, timedelta

import pytest

from gitstore.commit_messages import time_of
from service.committer.batch import LARGEST_SET_BACK
from tests.support.api import Json, Tenant, ok, refused
from tests.support.as_of import now, then
from tests.support.histories import check_history


@pytest.fixture
def late(lone: Tenant) -> tuple[Tenant, Json]:
    """A workflow at version 3, whose version 2 was saved by a clock that was ahead by an hour."""
    workflow = lone.workflow(definition={"n": 1})
    with lone.server.clock.moved(hours=1):
        lone.save(workflow, {"n": 2})
    lone.save(workflow, {"n": 3})
    return lone, workflow


def saved_at(tenant: Tenant, workflow: Json) -> list[datetime]:
    """Times of the versions of a workflow, oldest first."""
    versions = tenant.vera.pages(f"{tenant.at(workflow)}/versions")
    return [datetime.fromisoformat(version["created_at"]) for version in reversed(versions)]


def test_times_of_commits_keep_the_order_of_the_commits(late: tuple[Tenant, Json]) -> None:
    tenant, workflow = late
    lone = tenant.workflow()
    tenant.save(lone, {"n": 2}, publish=True, tag="v2")
    deletion = tenant.remove(lone)
    tenant.restore(deletion)
    times = saved_at(tenant, workflow)
    assert times == sorted(times)
    messages = tenant.git("log", "-z", "--reverse", "--format=%B", "main").rstrip("\0").split("\0")
    committed = [time_of(message) for message in messages]
    assert None not in committed
    assert committed == sorted(filter(None, committed))
    assert tenant.git("log", "--format=%H", f"--since={times[1]}", "main").split() == (
        tenant.git("rev-list", f"--max-count={len(committed) - 4}", "main").split()
    )
    check_history(tenant)


def test_the_state_at_an_instant_after_all_changes_is_that_of_now(late: tuple[Tenant, Json]) -> None:
    tenant, workflow = late
    after = now(tenant) + timedelta(hours=2)
    assert then(tenant, after)["commit"] == tenant.main()
    response = tenant.ana.post(f"{tenant.path}/rollback", {"to": after.isoformat()})
    assert ok(response)["unchanged"] is True
    assert ok(tenant.vera.get(f"{tenant.at(workflow)}/versions/current"))["data"] == {"n": 3}


def test_the_time_of_a_clock_that_was_far_ahead_does_not_hold(lone: Tenant) -> None:
    workflow = lone.workflow()
    with lone.server.clock.moved(seconds=(LARGEST_SET_BACK + timedelta(hours=1)).total_seconds()):
        lone.save(workflow, {"n": 2})
    lone.save(workflow, {"n": 3})
    assert saved_at(lone, workflow)[-1] <= now(lone)


def test_a_lease_runs_by_the_clock_and_not_by_the_time_of_commits(late: tuple[Tenant, Json]) -> None:
    tenant, workflow = late
    other = tenant.workflow()
    tenant.check_out(workflow, tenant.ben, ttl_seconds=60)
    response = tenant.ana.post(f"{tenant.at(workflow)}/versions", {"data": {"n": 4}})
    refused(response, 423, "checked_out")
    refused(tenant.ana.delete(tenant.at(workflow)), 423, "checked_out")
    # The batch of another resource is at the time of the clock that was ahead, too.
    assert datetime.fromisoformat(tenant.save(other, {"n": 2})["created_at"]) > now(tenant)
    assert tenant.check_in(workflow, tenant.ben, data={"n": 4})["version_number"] == 4


def test_a_deletion_is_restorable_for_its_days_by_the_clock(late: tuple[Tenant, Json]) -> None:
    tenant, workflow = late
    before = now(tenant)
    deletion = tenant.remove(workflow, restore_days=3)
    until = datetime.fromisoformat(deletion["restore_expiry_at"])
    assert timedelta() <= until - before - timedelta(days=3) < timedelta(minutes=10)
    tenant.restore(deletion)
    check_history(tenant)


def test_what_a_clock_wrote_that_was_ahead_is_read_at_once(late: tuple[Tenant, Json]) -> None:
    tenant, workflow = late
    tenant.save(workflow, {"n": 4})
    resource_id = workflow["resource_id"]
    changes = tenant.aud.pages(f"{tenant.path}/change-history", record_id=resource_id, limit=2)
    assert [change["version_number"] for change in changes] == [4, 3, 2, 1]
    events = tenant.aud.pages(f"{tenant.path}/audit-logs", resource_id=resource_id, limit=1)
    assert [event["new_values"]["version_number"] for event in events] == [4, 3, 2, 1]
