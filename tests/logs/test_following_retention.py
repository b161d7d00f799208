"""Positions of deleted rows are deleted, and followers pass those that are left over."""

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
