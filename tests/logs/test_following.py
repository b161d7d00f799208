"""Followers of a log see each row once, in the order of commits."""

import re
from datetime import timedelta
from typing import Any

import pytest

from service.domain.ids import BatchIds, mint
from service.sealing.sequencer import Sequencer
from sql.database import Database as ServiceDatabase
from sql.queries import log_queue
from tests.support.api import Server, Tenant, ok, refused
from tests.support.following import Follower, sequence
from tests.support.waiting import until


@pytest.fixture(scope="module")
def tenant(server: Server) -> Tenant:
    return Tenant(server, "followed")


def execution(**fields: Any) -> dict[str, Any]:
    event = {"execution_id": "e", "execution_type": "job", "log_level": "INFO", "log_message": "m"}
    return event | fields


def record(tenant: Tenant, *messages: str, **fields: Any) -> None:
    sent = [execution(log_message=message) | fields for message in messages]
    ok(tenant.ana.post(f"{tenant.path}/execution-logs", sent), 201)


def post(tenant: Tenant, *resource_ids: str) -> None:
    sent = [{"action": "VISIT", "resource_type": "page", "resource_id": each} for each in resource_ids]
    ok(tenant.ana.post(f"{tenant.path}/audit-logs", sent), 201)


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["resource_id"] for row in rows]


def test_a_follower_reads_each_event_once_in_the_order_of_commits(server: Server, tenant: Tenant) -> None:
    follower = Follower(tenant.aud, f"{tenant.path}/audit-logs", {"action": "VISIT"})
    post(tenant, "a", "b", "c")
    sequence(server)
    assert ids(follower.read(limit=2)) == ["a", "b", "c"]
    post(tenant, "d")
    assert follower.read() == []
    sequence(server)
    assert ids(follower.read()) == ["d"]
    assert follower.read() == []


def test_a_row_that_commits_later_is_read_later_though_it_is_older(server: Server, tenant: Tenant) -> None:
    follower = Follower(tenant.aud, f"{tenant.path}/audit-logs", {"action": "VISIT", "from": "now"})
    sequence(server)
    follower.read()
    insert = (
        "INSERT INTO audit_logs"
        " (audit_id, created_at, subscription_id, action, resource_type, resource_id, status)"
        " VALUES (%s, now(), %s, 'VISIT', 'page', 'late', 'success')"
    )
    with (
        server.database.connection("annals_service", tenant.subscription_id) as slow,
        slow.transaction(),
    ):
        slow.execute(insert, [mint(), tenant.subscription_id])
        post(tenant, "quick")
        sequence(server)
        assert ids(follower.read()) == ["quick"]
    sequence(server)
    assert ids(follower.read()) == ["late"]


def test_executions_and_nodes_are_read_in_the_order_of_their_calls(server: Server, tenant: Tenant) -> None:
    follower = Follower(tenant.aud, f"{tenant.path}/execution-logs", {"from": "now"})
    sequence(server)
    follower.read()
    record(tenant, "one", "two", "three")
    record(tenant, "node one", "node two", execution_type="node")
    record(tenant, "four")
    sequence(server)
    messages = [row["log_message"] for row in follower.read(limit=2)]
    assert messages == ["one", "two", "three", "node one", "node two", "four"]
    assert follower.read() == []


def test_a_filter_leaves_rows_out_and_the_cursor_still_goes_on(server: Server, tenant: Tenant) -> None:
    follower = Follower(
        tenant.aud, f"{tenant.path}/execution-logs", {"from": "now", "execution_type": "node"}
    )
    sequence(server)
    follower.read()
    for number in range(10):
        record(tenant, f"job {number}")
    record(tenant, "node", execution_type="node")
    sequence(server)
    assert [row["log_message"] for row in follower.read(limit=1)] == ["node"]


def test_changes_and_requests_are_followed_too(server: Server, tenant: Tenant) -> None:
    changes = Follower(tenant.aud, f"{tenant.path}/change-history", {"from": "now"})
    requests = Follower(tenant.aud, f"{tenant.path}/server-logs", {"from": "now", "status": "201"})
    sequence(server)
    changes.read()
    requests.read()
    resource = tenant.workflow()
    server.flush_log()
    sequence(server)
    assert resource["resource_id"] in [row["record_id"] for row in changes.read()]
    assert any(row["endpoint"].endswith("/workflows") for row in requests.read())
    assert requests.read() == []


def test_the_operator_follows_the_platforms_own_rows(server: Server) -> None:
    events = Follower(server.operator, "/v1/audit-logs", {"action": "CREATE", "from": "now"})
    requests = Follower(server.operator, "/v1/server-logs", {"from": "now"})
    sequence(server)
    events.read()
    requests.page()
    server.http.get("/version", headers={"x-request-id": "followed-version"})
    server.flush_log()
    sequence(server)
    assert "followed-version" in [row["request_id"] for row in requests.page()]


def test_a_follower_of_the_audit_log_does_not_follow_itself(server: Server, tenant: Tenant) -> None:
    follower = Follower(tenant.aud, f"{tenant.path}/audit-logs")
    other = Follower(tenant.ana, f"{tenant.path}/audit-logs")
    for _ in range(4):
        sequence(server)
        follower.read()
        other.read()
    assert sequence(server) == 0
    post(tenant, "seen")
    sequence(server)
    assert "seen" in ids(follower.read())
    assert sequence(server) == 1
    assert [row["action"] for row in follower.read()] == ["READ"]


def test_since_begins_at_that_time(server: Server, tenant: Tenant) -> None:
    # Longer ago than the longest transaction.
    with server.clock.moved(hours=2):
        post(tenant, "later")
        since = server.clock()
        sequence(server)
    query = {"action": "VISIT", "since": (since - timedelta(minutes=1)).isoformat()}
    follower = Follower(tenant.aud, f"{tenant.path}/audit-logs", query)
    assert ids(follower.read()) == ["later"]


def test_a_cursor_belongs_to_its_order_and_filters(server: Server, tenant: Tenant) -> None:
    follower = Follower(tenant.aud, f"{tenant.path}/audit-logs")
    follower.page()
    path = f"{tenant.path}/audit-logs"
    refused(tenant.aud.get(path, params={"cursor": follower.cursor}), 422, "invalid")
    query = {"cursor": follower.cursor, "order": "commit", "action": "LOGIN"}
    refused(tenant.aud.get(path, params=query), 422, "invalid")


@pytest.mark.parametrize("query", [{"order": "time"}, {"from": "now"}, {"order": "commit", "from": "then"}])
def test_another_order_or_beginning_is_refused(tenant: Tenant, query: dict[str, str]) -> None:
    problem = refused(tenant.aud.get(f"{tenant.path}/audit-logs", params=query), 422, "invalid")
    assert problem["errors"][0]["parameter"] in ("order", "from")


def test_positions_have_no_gap_and_rows_of_a_rolled_back_call_have_none(
    server: Server, tenant: Tenant
) -> None:
    post(tenant, "kept")
    with (
        server.database.connection("annals_service", tenant.subscription_id) as connection,
        connection.transaction(force_rollback=True),
    ):
        connection.execute(
            "INSERT INTO audit_logs (audit_id, created_at, subscription_id, action, resource_type, status)"
            " VALUES (gen_random_uuid(), now(), %s, 'VISIT', 'page', 'success')",
            [tenant.subscription_id],
        )
    post(tenant, "kept, too")
    sequence(server)
    of = tenant.subscription_id
    found = server.database.rows(
        "SELECT position FROM log_entries WHERE subscription_id = %s ORDER BY position", of
    )
    assert [position for (position,) in found] == list(range(len(found)))
    size = "SELECT size FROM log_trees WHERE subscription_id = %s"
    assert server.database.value(size, of) == len(found)


def test_two_sequencers_at_once_place_each_row_once(server: Server, tenant: Tenant) -> None:
    pool = ServiceDatabase(server.database.url, pool_size=2)
    sequencers = [Sequencer(pool, server.context.clock) for _ in range(2)]
    for each in sequencers:
        each.start()
    for number in range(20):
        post(tenant, f"two {number}")
    until(lambda: server.database.value("SELECT count(*) FROM log_queue") == 0)
    for each in sequencers:
        each.stop()
    pool.close()
    twice = "SELECT row_id FROM log_entries GROUP BY row_id HAVING count(*) > 1"
    assert server.database.rows(twice) == []


def test_while_another_has_the_turn_nothing_is_taken(server: Server, tenant: Tenant) -> None:
    post(tenant, "waits")
    with server.context.database.transaction("platform", role="annals_sealer") as tx:
        assert log_queue.try_place(tx)
        assert Sequencer(server.context.database, server.context.clock).turn() == 0
    assert sequence(server) >= 1


def test_the_metrics_and_the_readiness_tell_of_rows_that_wait_for_long(
    server: Server, tenant: Tenant
) -> None:
    sequence(server)
    at = server.clock() - timedelta(minutes=2)
    ids = BatchIds()
    batch = log_queue.LogBatch(
        log="execution_logs",
        subscription_id=None,
        first_id=ids.mint(),
        last_id=ids.mint(),
        first_at=at,
        last_at=at,
        rows=2,
    )
    with server.context.database.transaction("platform") as tx:
        log_queue.add_batch(tx, batch)
    with server.database.connection() as connection:
        connection.execute("UPDATE log_queue SET queued_at = queued_at - interval '2 minutes'")

    def warned() -> bool:
        warnings = server.http.get("/readyz").json()["warnings"]
        return any("followers of logs do not see" in warning for warning in warnings)

    until(warned)
    # Rows of the server itself may have come meanwhile.
    [waiting] = re.findall(r"^annals_log_queue_rows (\S+)$", server.http.get("/metrics").text, re.MULTILINE)
    assert float(waiting) >= 1
    sequence(server)
    until(lambda: not warned())
