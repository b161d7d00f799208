"""Sixteen writers with rollbacks, batches and saves: the follower sees each committed row once, and in order.

`ANNALS_TEST_FOLLOWING_SECONDS` makes the writers work for so long, and holds the snapshot open as long.
"""

import os
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import pytest

from service.domain.ids import BatchIds, mint
from sql.database import Database as ServiceDatabase
from sql.queries import execution_logs
from sql.queries.execution_logs import ExecutionRow
from tests.support.api import Server, Tenant
from tests.support.following import Follower, sequencer_process, sequencing
from tests.support.waiting import until

SECONDS: Final = float(os.environ.get("ANNALS_TEST_FOLLOWING_SECONDS", "5"))
# Of the product's promise; a machine that runs the whole suite is slower.
MEDIAN_SECONDS: Final = 0.3 if "ANNALS_TEST_FOLLOWING_SECONDS" in os.environ else 3.0
WRITERS: Final = 16
INSERT: Final = (
    "INSERT INTO audit_logs"
    " (audit_id, created_at, subscription_id, action, resource_type, resource_id, status, new_values)"
    " VALUES (%s, now(), %s, 'VISIT', 'page', %s, 'success', jsonb_build_object('n', %s::int))"
)


class RolledBack(Exception):
    """End of a transaction that takes nothing with it."""


@dataclass
class Writing:
    """Rows that were committed, by id, with the time after their COMMIT."""

    tenant: Tenant
    pool: ServiceDatabase
    events: dict[str, float] = field(default_factory=dict)
    executions: dict[str, float] = field(default_factory=dict)
    numbers: Counter[int] = field(default_factory=Counter)
    stop: threading.Event = field(default_factory=threading.Event)
    faults: list[BaseException] = field(default_factory=list)

    def run(self, write: Callable[["Writing", random.Random], None], seed: int) -> None:
        chance = random.Random(seed)
        while not self.stop.is_set():
            try:
                write(self, chance)
            except RolledBack:
                pass
            except BaseException as error:
                self.faults.append(error)
                raise


def visit(writing: Writing, chance: random.Random) -> None:
    """Add the next event of a resource, whose lock is taken first, as the committer does it."""
    resource, audit_id = chance.randrange(4), mint()
    subscription_id = UUID(writing.tenant.subscription_id)
    with writing.pool.transaction(subscription_id) as tx:
        tx.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (resource,))
        number = writing.numbers[resource] + 1
        tx.exec_driver_sql(INSERT, (audit_id, subscription_id, str(resource), number))
        time.sleep(chance.choice([0, 0.001, 0.01, 0.05]))
        if chance.random() < 0.1:
            raise RolledBack
        writing.numbers[resource] = number
    writing.events[str(audit_id)] = time.monotonic()


def report(writing: Writing, chance: random.Random) -> None:
    """Add a batch of executions."""
    subscription_id, ids, at = UUID(writing.tenant.subscription_id), BatchIds(), datetime.now(UTC)
    rows = [execution(ids.mint(), at, subscription_id, chance) for _ in range(chance.choice([1, 5, 50]))]
    with writing.pool.transaction(subscription_id) as tx:
        execution_logs.insert_rows(tx, rows)
        # Together the writers add no more rows than one follower on a busy machine reads.
        time.sleep(chance.choice([0.05, 0.1, 0.2]))
        if chance.random() < 0.1:
            raise RolledBack
    committed = time.monotonic()
    writing.executions.update({str(row.log_id): committed for row in rows})


def execution(log_id: UUID, at: datetime, subscription_id: UUID, chance: random.Random) -> ExecutionRow:
    nothing: dict[str, Any] = dict.fromkeys(
        (
            *("occurred_at", "workflow_id", "job_id", "jobpackage_id", "node_id", "log_details"),
            *("duration_ms", "rows_processed", "memory_used_mb", "cpu_percent", "status", "error_code"),
            *("error_details", "triggered_by", "recorded_by", "request_id"),
        )
    )
    return ExecutionRow(
        **nothing,
        log_id=log_id,
        created_at=at,
        subscription_id=subscription_id,
        execution_id="e",
        execution_type=chance.choice(["job", "node"]),
        log_level="INFO",
        log_message="m",
    )


def save(writing: Writing, chance: random.Random) -> None:
    """Save a workflow by HTTP."""
    workflow = writing.tenant.workflow()
    writing.tenant.save(workflow, {"n": chance.random()})


@dataclass
class Reading:
    """Rows that a follower saw, in their order, with the time."""

    follower: Follower
    key: str
    seen: list[tuple[dict[str, Any], float]] = field(default_factory=list)

    def step(self) -> bool:
        """Read a page; returns False if there is nothing new."""
        before = self.follower.cursor
        page = self.follower.page()
        at = time.monotonic()
        self.seen += [(row, at) for row in page]
        return self.follower.cursor != before

    def ids(self) -> list[str]:
        return [row[self.key] for row, _ in self.seen]


def written(tenant: Tenant, server: Server, *, seconds: float) -> tuple[Writing, Reading, Reading]:
    """Write and follow for some seconds; then the followers read the rest."""
    writing = Writing(tenant, ServiceDatabase(server.database.url, pool_size=WRITERS))
    events = Reading(Follower(tenant.aud, f"{tenant.path}/audit-logs", {"from": "now"}), "audit_id")
    executions = Reading(Follower(tenant.aud, f"{tenant.path}/execution-logs", {"from": "now"}), "log_id")
    readings = (events, executions)
    for reading in readings:
        reading.step()
    kinds = [save, save, *[report] * 5, *[visit] * (WRITERS - 7)]
    threads = [threading.Thread(target=writing.run, args=each) for each in zip(kinds, range(16), strict=True)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for reading in readings:
            reading.step()
        time.sleep(0.01)
    writing.stop.set()
    for thread in threads:
        thread.join()
    writing.pool.close()
    assert writing.faults == []

    until(lambda: server.database.value("SELECT count(*) FROM log_queue") == 0)
    for reading in readings:
        while reading.step():
            pass
    return writing, events, executions


def check(writing: Writing, events: Reading, executions: Reading) -> None:
    """Check that each row was seen once, and those of a resource in their order."""
    visits = [row for row, _ in events.seen if row["action"] == "VISIT"]
    assert len(events.ids()) == len(set(events.ids()))
    assert {row["audit_id"] for row in visits} == writing.events.keys()
    assert Counter(executions.ids()) == Counter(writing.executions.keys())
    assert len(writing.events) > 20
    assert len(writing.executions) > 20
    for resource in range(4):
        numbers = [row["new_values"]["n"] for row in visits if row["resource_id"] == str(resource)]
        assert numbers == list(range(1, len(numbers) + 1))


def median_delay(writing: Writing, events: Reading) -> float:
    """Return the median of the seconds from a COMMIT to the follower."""
    committed = writing.events
    return statistics.median(
        at - committed[row["audit_id"]] for row, at in events.seen if row["audit_id"] in committed
    )


@pytest.mark.long
def test_sixteen_writers_lose_no_row_and_repeat_none(server: Server) -> None:
    tenant = Tenant(server, "writers")
    _ = tenant.aud, tenant.folder_id, tenant.job_id
    with sequencing(server):
        found = written(tenant, server, seconds=SECONDS)
    check(*found)
    assert median_delay(*found[:2]) < MEDIAN_SECONDS


@pytest.mark.long
def test_a_snapshot_that_is_held_open_delays_no_follower(server: Server) -> None:
    tenant = Tenant(server, "snapshot")
    _ = tenant.aud, tenant.folder_id, tenant.job_id
    with (
        server.database.connection() as held,
        held.transaction(),
        sequencing(server),
    ):
        held.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        held.execute("SELECT pg_current_xact_id()")
        found = written(tenant, server, seconds=SECONDS)
    check(*found)
    assert median_delay(*found[:2]) < MEDIAN_SECONDS


@pytest.mark.long
def test_a_sequencer_that_is_killed_loses_no_row_and_repeats_none(server: Server) -> None:
    tenant = Tenant(server, "killed")
    _ = tenant.aud, tenant.folder_id, tenant.job_id
    done = threading.Event()

    def kill_again_and_again() -> None:
        while not done.is_set():
            with sequencer_process(server):
                time.sleep(0.5)

    killer = threading.Thread(target=kill_again_and_again)
    killer.start()
    try:
        found = written(tenant, server, seconds=SECONDS)
    finally:
        done.set()
        killer.join()
    check(*found)
