"""The queue of rows without a position: who adds to it, and what it refuses."""

from datetime import UTC, datetime
from uuid import UUID

import psycopg
import pytest

from service.domain.ids import BatchIds, mint
from sql.queries import log_queue
from sql.queries.log_queue import LogBatch
from tests.support.api import Server, Tenant, ok

AT = datetime(2026, 1, 1, tzinfo=UTC)


def batch(first_id: UUID, last_id: UUID) -> LogBatch:
    return LogBatch(
        log="execution_logs",
        subscription_id=None,
        first_id=first_id,
        last_id=last_id,
        first_at=AT,
        last_at=AT,
        rows=2,
    )


def test_ids_of_no_batch_are_not_queued_together(server: Server) -> None:
    with (
        pytest.raises(ValueError, match="not of one range"),
        server.context.database.transaction("platform") as tx,
    ):
        log_queue.add_batch(tx, batch(mint(), mint()))


def test_the_service_reads_the_queue_but_takes_nothing_from_it(server: Server) -> None:
    ids = BatchIds()
    with server.context.database.transaction("platform") as tx:
        log_queue.add_batch(tx, batch(ids.mint(), ids.mint()))
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        server.database.connection("annals_service", "platform") as connection,
    ):
        connection.execute("DELETE FROM log_queue")


def test_a_change_and_its_event_are_queued_with_their_rows(server: Server) -> None:
    tenant = Tenant(server, "queue")
    tenant.workflow()
    rows = "SELECT audit_id, created_at FROM audit_logs WHERE subscription_id = %s"
    queued = "SELECT first_id, first_at FROM log_queue WHERE log = 'audit_logs' AND subscription_id = %s"
    of = tenant.subscription_id
    assert len(server.database.rows(rows, of)) > 0
    assert set(server.database.rows(queued, of)) == set(server.database.rows(rows, of))
    changes = "SELECT count(*) FROM data_change_history WHERE subscription_id = %s"
    queued = "SELECT count(*) FROM log_queue WHERE log = 'data_change_history' AND subscription_id = %s"
    assert server.database.value(queued, of) == server.database.value(changes, of) > 0


def test_events_of_executions_are_queued_once_for_a_call(server: Server) -> None:
    tenant = Tenant(server, "queue")
    event = {"execution_id": str(mint()), "log_level": "INFO", "log_message": "m", "status": "running"}
    sent = [event | {"execution_type": kind} for kind in ("job", "node", "workflow")]
    ok(tenant.ana.post(f"{tenant.path}/execution-logs", sent), 201)
    [(first, last, rows)] = server.database.rows(
        "SELECT first_id, last_id, rows FROM log_queue WHERE log = 'execution_logs' AND subscription_id = %s",
        tenant.subscription_id,
    )
    stored = server.database.rows(
        "SELECT log_id FROM (SELECT * FROM execution_logs UNION ALL SELECT * FROM node_execution_logs) AS r"
        " WHERE subscription_id = %s ORDER BY log_id",
        tenant.subscription_id,
    )
    assert (first, last, rows) == (stored[0][0], stored[-1][0], 3)
