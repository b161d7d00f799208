"""Turns of the sequencer: a subscription with very many rows does not keep those of the others waiting."""

from uuid import UUID

import pytest

from service.domain.ids import mint
from service.sealing import sequencer
from service.sealing.sequencer import Sequencer
from tests.support.api import Server, Tenant
from tests.support.following import Follower, sequence

MANY = 500
ROWS = (
    "INSERT INTO audit_logs"
    " (audit_id, created_at, subscription_id, action, resource_type, resource_id, status)"
    " SELECT gen_random_uuid(), now(), %s, 'VISIT', 'page', n::text, 'success'"
    " FROM generate_series(1, %s) AS n"
)


def add(tenant: Tenant, rows: int) -> None:
    """Add rows by one COMMIT."""
    with tenant.server.database.connection() as connection:
        connection.execute(ROWS, [UUID(tenant.subscription_id), rows])


def follower_of(tenant: Tenant) -> Follower:
    return Follower(tenant.aud, f"{tenant.path}/audit-logs", {"action": "VISIT", "from": "now"})


def test_rows_of_others_do_not_wait_for_those_of_one_subscription(
    lone_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequencer, "ROWS_AT_ONCE", 20)
    many, few, some = (Tenant(lone_server, name) for name in ("many", "few", "some"))
    followers = [follower_of(tenant) for tenant in (many, few, some)]
    sequence(lone_server)
    for follower in followers:
        assert follower.read() == []
    sequence(lone_server)
    add(many, MANY)
    add(few, 1)
    add(some, 30)
    # What the server itself reports meanwhile may wait, too.
    waiting = lone_server.database.value("SELECT count(DISTINCT subscription_id) FROM log_queue")
    turns = Sequencer(lone_server.context.database, lone_server.context.clock)
    turns.turn()
    # Twenty by age, among which may be rows of the server itself, and of each its share of twenty.
    placed = [len(follower.read()) for follower in followers]
    assert 20 // waiting <= placed[0] <= 20
    assert placed[1] == 1
    assert 1 < placed[2] <= 20 // waiting
    sequence(lone_server)
    assert [len(follower.read()) for follower in followers] == [MANY - placed[0], 0, 30 - placed[2]]


def test_each_row_gets_one_position_in_the_order_of_the_queue(
    lone_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequencer, "ROWS_AT_ONCE", 7)
    tenants = [Tenant(lone_server, f"turns {number}") for number in range(5)]
    sequence(lone_server)
    for number in (3, 40, 1, 17, 2, 25, 4):
        for tenant in tenants:
            add(tenant, number)
    queued = lone_server.database.rows("SELECT subscription_id, first_id FROM log_queue ORDER BY queued")
    sequence(lone_server)
    for tenant in tenants:
        subscription_id = UUID(tenant.subscription_id)
        placed = lone_server.database.rows(
            "SELECT row_id, position FROM log_entries WHERE subscription_id = %s ORDER BY position",
            subscription_id,
        )
        assert [position for _, position in placed] == list(range(len(placed)))
        expected = [row_id for scope, row_id in queued if scope == subscription_id]
        assert [row_id for row_id, _ in placed][-len(expected) :] == expected


def test_no_subscription_is_left_out_when_more_wait_than_there_are_rows_in_a_turn(
    lone_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequencer, "ROWS_AT_ONCE", 5)
    sequence(lone_server)
    others = [mint() for _ in range(12)]
    with lone_server.database.connection() as connection:
        for other in others:
            connection.execute(
                "INSERT INTO log_queue (log, subscription_id, first_id, last_id, first_at, last_at, rows)"
                " VALUES ('audit_logs', %s, gen_random_uuid(), gen_random_uuid(), now(), now(), 1)",
                [other],
            )
    turns = Sequencer(lone_server.context.database, lone_server.context.clock)
    assert [turns.turn() for _ in range(4)] == [5, 5, 2, 0]
