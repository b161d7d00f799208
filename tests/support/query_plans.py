"""Plans of PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import event

from sql.database import Database as ServiceDatabase
from sql.database import Transaction
from tests.support.databases import Cluster

Found = TypeVar("Found")


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return a plan and all plans below it."""
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


@contextmanager
def filled(cluster: Cluster, fill: str) -> Iterator[ServiceDatabase]:
    """Make a database of its own with the rows that statements insert."""
    database = cluster.migrated()
    with database.connection() as connection:
        connection.execute(fill.encode())
    pool = ServiceDatabase(database.url, pool_size=1)
    yield pool
    pool.close()
    cluster.drop(database)


def explained(
    database: ServiceDatabase, tx: Transaction, read: Callable[[], Found]
) -> tuple[Found, list[dict[str, Any]]]:
    """Read, and explain the statements that it took."""
    seen: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if "set_config" not in statement and "SAVEPOINT" not in statement:
            seen.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        found = read()
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
    explain = "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT JSON) "
    return found, [
        tx.exec_driver_sql(explain + statement, parameters).scalar_one()[0]["Plan"]
        for statement, parameters in seen
    ]
