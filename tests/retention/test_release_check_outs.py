"""Check-outs whose lease has ended: released by a job as of that end, and never one that was renewed."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from service.domain.job_runs import Counts
from service.usecases.maintenance import release_check_outs
from tests.support.api import Json, Server, Tenant
from tests.support.events import events
from tests.support.histories import check_history
from tests.support.job_runs import carried_out, job_context
from tests.support.waiting import WAITING, until

MACHINE = f"system:{release_check_outs.NAME}"


def release(server: Server) -> Counts:
    """Run the scheduled job; answers its counts."""
    return carried_out(server, release_check_outs.NAME, release_check_outs.run)


def check_outs(tenant: Tenant, resource: Json) -> list[Any]:
    """The ends of a resource's check-outs, the first one first, and the copies in its versions."""
    return tenant.server.database.rows(
        "SELECT release_kind, released_at = expires_at, released_by,"
        " (SELECT count(*) FROM versions WHERE resource_id = c.resource_id AND checked_out_by IS NOT NULL)"
        " FROM check_outs c WHERE resource_id = %s ORDER BY checked_out_at",
        resource["resource_id"],
    )


def test_a_lease_ends_by_itself_and_the_resource_can_be_checked_out(lone: Tenant) -> None:
    over, runs, gone = (lone.workflow() for _ in range(3))
    lone.check_out(over, by=lone.ana, ttl_seconds=60)
    lone.check_out(runs, by=lone.ana, ttl_seconds=3600)
    lone.check_out(gone, by=lone.ana, ttl_seconds=60)
    assert release(lone.server) == {"check_outs": 0}
    with lone.server.clock.moved(minutes=2):
        # A resource whose lease has ended is deleted for good before the job runs.
        lone.remove(gone, by=lone.ben)
        lone.remove(gone, permanent=True)
        with job_context(lone.server) as context:
            [part] = release_check_outs.plan(context, context.clock()).parts
        assert (part.rows, str(part.subscription_id)) == (2, lone.subscription_id)
        assert release(lone.server) == {"check_outs": 2}
        assert release(lone.server) == {"check_outs": 0}
        for each in (over, gone):
            assert check_outs(lone, each) == [("expired", True, None, 0)]
        assert check_outs(lone, runs) == [(None, None, None, 1)]
        ended = [event for event in events(lone, action="CANCEL_CHECK_OUT") if event["username"] == MACHINE]
        assert {event["resource_id"] for event in ended} == {over["resource_id"], gone["resource_id"]}
        assert {event["resource_name"] for event in ended} == {over["name"], gone["name"]}
        assert {event["old_values"]["checked_out_by_username"] for event in ended} == {"ana"}
        assert lone.check_out(over, by=lone.ben)["check_out"]["checked_out_by"] == lone.ben.user_id
        lone.check_in(over, by=lone.ben, data={"n": 2})
    check_history(lone)


def test_a_lease_that_was_taken_meanwhile_runs_on(lone: Tenant) -> None:
    first, taken = lone.workflow(), lone.workflow()
    for each in (first, taken):
        lone.check_out(each, by=lone.ana, ttl_seconds=60)
    database = lone.server.database
    with lone.server.clock.moved(minutes=2), ThreadPoolExecutor(1) as thread:
        with database.connection() as connection, connection.transaction():
            lock = "SELECT 1 FROM workflows WHERE workflow_id = %s FOR UPDATE"
            connection.execute(lock, [first["resource_id"]])
            # The job has found both, and waits for the first.
            running = thread.submit(release, lone.server)
            until(lambda: database.value(WAITING) == 1)
            lone.check_out(taken, by=lone.ben)
        assert running.result() == {"check_outs": 1}
        assert check_outs(lone, first) == [("expired", True, None, 0)]
        assert check_outs(lone, taken) == [("expired", True, None, 1), (None, None, None, 1)]
    check_history(lone)
