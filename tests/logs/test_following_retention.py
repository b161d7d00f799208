"""Positions of deleted rows are deleted, and followers pass those that are left over."""

import pytest

from service.usecases.maintenance import retention
from tests.support.api import Server, Tenant, ok
from tests.support.following import Follower, sequence
from tests.support.job_runs import carried_out


def positions(server: Server, table: str, tenant: Tenant) -> int:
    counts = {
        "log_entries": "SELECT count(*) FROM log_entries WHERE subscription_id = %s",
        "log_batches": "SELECT count(*) FROM log_batches WHERE subscription_id = %s",
    }
    return int(server.database.value(counts[table], tenant.subscription_id))


def record(tenant: Tenant, message: str) -> None:
    event = {"execution_id": "e", "execution_type": "job", "log_level": "INFO", "log_message": message}
    ok(tenant.ana.post(f"{tenant.path}/execution-logs", event), 201)


def test_positions_go_with_their_rows_and_the_numbering_goes_on(lone: Tenant) -> None:
    server = lone.server
    follower = Follower(lone.aud, f"{lone.path}/execution-logs")
    record(lone, "old")
    sequence(server)
    assert [row["log_message"] for row in follower.read()] == ["old"]
    entries = positions(server, "log_entries", lone)
    with server.clock.moved(days=500):
        record(lone, "new")
        sequence(server)
        carried_out(server, retention.NAME, retention.run)
        rest = server.database.rows(
            "SELECT log, position FROM log_batches WHERE log = 'execution_logs' AND subscription_id = %s",
            lone.subscription_id,
        )
        assert len(rest) == 1
        assert [row["log_message"] for row in follower.read()] == ["new"]
        fresh = Follower(lone.aud, f"{lone.path}/execution-logs")
        assert [row["log_message"] for row in fresh.read()] == ["new"]
    # The audit log is kept for good.
    assert positions(server, "log_entries", lone) >= entries > 0


def test_a_follower_passes_positions_without_rows(lone: Tenant) -> None:
    server = lone.server
    record(lone, "goes")
    record(lone, "stays")
    sequence(server)
    with server.database.connection("annals_owner", "platform") as connection:
        connection.execute("DELETE FROM execution_logs WHERE log_message = 'goes'")
    follower = Follower(lone.aud, f"{lone.path}/execution-logs")
    assert [row["log_message"] for row in follower.read(limit=1)] == ["stays"]


def test_positions_go_also_behind_those_of_rows_that_are_kept(
    lone: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = lone.server
    monkeypatch.setattr(retention, "POSITIONS_AT_ONCE", 3)
    change = {"table_name": "orders", "change_type": "INSERT", "new_data": {"a": 1}}
    for number in range(8):
        ok(lone.ana.post(f"{lone.path}/change-history", change | {"record_id": f"r{number}"}), 201)
    visits = [{"action": "VISIT", "resource_type": "page"} for _ in range(20)]
    ok(lone.ana.post(f"{lone.path}/audit-logs", visits), 201)
    sequence(server)
    before = positions(server, "log_entries", lone)
    policy = {"level": "user_actions", "keep_days": 30, "subscription_id": lone.subscription_id}
    ok(server.operator.put("/v1/retention-policies", {"policies": [policy], "confirm": True}))
    with server.clock.moved(days=400):
        carried_out(server, retention.NAME, retention.run)
    left = [
        log
        for (log,) in server.database.rows(
            "SELECT log FROM log_entries WHERE subscription_id = %s", lone.subscription_id
        )
    ]
    assert "audit_logs" not in left
    assert left.count("data_change_history") >= 8
    assert before - len(left) >= 20
