"""The last rows in the order of commits: those that a follower from the beginning would read last."""

import random
from typing import Any
from uuid import UUID

import pytest

from sql import log_following
from sql.log_following import Reached
from sql.queries.execution_lines import EXECUTION_LINES, MOST_OF_MESSAGE, ExecutionLine
from sql.queries.execution_logs import ExecutionFilter
from tests.support.api import Server, Tenant, ok
from tests.support.following import sequence
from tests.support.query_plans import explained, nodes

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
FILTERS = (
    ExecutionFilter(),
    ExecutionFilter(log_level=("ERROR", "CRITICAL")),
    ExecutionFilter(execution_type="node"),
    ExecutionFilter(log_level=("CRITICAL",), execution_type="job"),
    ExecutionFilter(execution_id="nothing"),
)


@pytest.fixture(scope="module")
def filled(server: Server) -> Tenant:
    """A tenant with batches of many sizes, some of which other logs' batches lie between."""
    tenant, rng = Tenant(server, "last lines"), random.Random(7)
    for number in range(60):
        events: list[dict[str, Any]] = [
            {
                "execution_id": f"run {number}",
                "execution_type": rng.choice(["job", "node", "node"]),
                "log_level": rng.choice(LEVELS),
                "log_message": "x" * rng.choice([1, 400]),
            }
            for _ in range(rng.choice([1, 1, 2, 7, 120]))
        ]
        ok(tenant.ana.post(f"{tenant.path}/execution-logs", events), 201)
        if rng.random() < 0.3:
            server.flush_log()
        if rng.random() < 0.3:
            sequence(server)
    sequence(server)
    return tenant


@pytest.mark.parametrize("filters", FILTERS, ids=lambda each: str(each.given()))
@pytest.mark.parametrize("limit", [1, 2, 40, 200])
def test_they_are_the_end_of_all_rows(
    server: Server, filled: Tenant, filters: ExecutionFilter, limit: int
) -> None:
    subscription_id = UUID(filled.subscription_id)
    with server.context.database.transaction(subscription_id) as tx:
        everything: list[ExecutionLine] = []
        reached = Reached()
        while True:
            found = log_following.follow(tx, EXECUTION_LINES, subscription_id, filters, reached, limit=500)
            everything += found.rows
            if found.reached == reached:
                break
            reached = found.reached
        last = log_following.latest(tx, EXECUTION_LINES, subscription_id, filters, limit=limit)
    assert [row.log_id for row in last.rows] == [row.log_id for row in everything[-limit:]]
    assert last.reached == reached
    assert max((len(row.log_message) for row in last.rows), default=0) <= MOST_OF_MESSAGE + 1


def test_rows_after_a_place_are_counted(server: Server, filled: Tenant) -> None:
    subscription_id = UUID(filled.subscription_id)
    with server.context.database.transaction(subscription_id) as tx:
        count = log_following.rows_after(tx, EXECUTION_LINES, subscription_id, ExecutionFilter(), Reached())
    rows = server.database.value(
        "SELECT (SELECT count(*) FROM execution_logs WHERE subscription_id = %s)"
        " + (SELECT count(*) FROM node_execution_logs WHERE subscription_id = %s)",
        *(filled.subscription_id, filled.subscription_id),
    )
    assert count == rows > 500


def test_they_are_read_without_the_rest(server: Server, filled: Tenant) -> None:
    subscription_id, database = UUID(filled.subscription_id), server.context.database
    with database.transaction(subscription_id) as tx:
        found, plans = explained(
            database,
            tx,
            lambda: log_following.latest(tx, EXECUTION_LINES, subscription_id, ExecutionFilter(), limit=40),
        )
    assert len(found.rows) == 40
    read = sum(
        node["Actual Rows"] * node["Actual Loops"]
        for plan in plans
        for node in nodes(plan)
        if "Relation Name" in node
    )
    # The rows of the places that hold the last 40 rows, and these places.
    assert read < 800
