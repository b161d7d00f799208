"""Rows of logs of any age, and the rows and chunks that remain after retention."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from psycopg import sql

from service.domain.job_runs import Counts, JobRun, RunPlan
from service.usecases.maintenance import retention
from tests.support.api import Json, Server
from tests.support.databases import Database
from tests.support.job_runs import job_context, run_of

# The columns that every row of a log needs, except for its time.
COLUMNS: Final[Mapping[str, Mapping[str, Any]]] = {
    "server_logs": {"log_id": uuid4, "request_id": "r"},
    "node_execution_logs": {
        "log_id": uuid4,
        "execution_id": uuid4,
        "execution_type": "node",
        "log_level": "INFO",
        "log_message": "m",
    },
    "execution_logs": {
        "log_id": uuid4,
        "execution_id": uuid4,
        "execution_type": "workflow",
        "log_level": "INFO",
        "log_message": "m",
    },
    "audit_logs": {"audit_id": uuid4, "action": "READ", "resource_type": "x", "status": "success"},
    "data_change_history": {
        "change_id": uuid4,
        "table_name": "t",
        "record_id": uuid4,
        "change_type": "INSERT",
        "version_number": 1,
    },
}
# Values that distinguish the rows of a test from the rows that record the test's calls.
MARK: Final[Mapping[str, Json]] = {
    "server_logs": {"request_id": "r"},
    "node_execution_logs": {"log_message": "m"},
    "execution_logs": {"log_message": "m"},
    "audit_logs": {"resource_type": "x"},
    "data_change_history": {"table_name": "t"},
}
TIME = {log: "changed_at" if log == "data_change_history" else "created_at" for log in COLUMNS}


@dataclass
class Logs:
    """The logs of a server whose clock moves."""

    server: Server

    @property
    def database(self) -> Database:
        return self.server.database

    def add(self, log: str, at: datetime, *, number: int = 1, **columns: Any) -> None:
        """Insert rows of an age, a second apart; `columns` replace the default values."""
        rows = [
            {name: value() if callable(value) else value for name, value in COLUMNS[log].items()}
            | columns
            | {TIME[log]: at - timedelta(seconds=n)}
            for n in range(number)
        ]
        insert = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(log),
            sql.SQL(", ").join(map(sql.Identifier, rows[0])),
            sql.SQL(", ").join(sql.Placeholder() * len(rows[0])),
        )
        with self.database.connection() as connection:
            connection.cursor().executemany(insert, [list(row.values()) for row in rows])

    def count(self, log: str, **columns: Any) -> int:
        """Count the rows with such values."""
        columns |= MARK[log]
        wanted = [sql.SQL("{} IS NOT DISTINCT FROM %s").format(sql.Identifier(name)) for name in columns]
        query = sql.SQL("SELECT count(*) FROM {} WHERE {}").format(
            sql.Identifier(log), sql.SQL(" AND ").join([sql.SQL("true"), *wanted])
        )
        with self.database.connection() as connection:
            [(found,)] = connection.execute(query, list(columns.values())).fetchall()
        return int(found)

    def chunks(self, log: str) -> int:
        """Count the chunks of a log."""
        query = "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = %s"
        return int(self.database.value(query, log))

    def clear_rows(self) -> None:
        """Delete all rows."""
        self.server.flush_log()
        with self.database.connection("annals_owner") as connection:
            connection.execute(
                "TRUNCATE server_logs, node_execution_logs, execution_logs, audit_logs, data_change_history"
            )

    def clear(self) -> None:
        """Delete all rows, all rules but the specification's, and all legal holds."""
        self.clear_rows()
        with self.database.connection("annals_owner") as connection:
            connection.execute("DELETE FROM legal_hold_moves")
            connection.execute("DELETE FROM legal_holds")
            connection.execute("DELETE FROM archives")
            connection.execute("DELETE FROM retention_policies WHERE subscription_id IS NOT NULL")

    def rule(self, level: str, keep_days: int | None, of: str | None = None) -> None:
        """Set a rule, which replaces the present one, for all subscriptions or for `of`."""
        with self.database.connection("annals_owner") as connection:
            connection.execute(
                "DELETE FROM retention_policies WHERE level = %s AND subscription_id IS NOT DISTINCT FROM %s",
                [level, of],
            )
            connection.execute(
                "INSERT INTO retention_policies VALUES (gen_random_uuid(), %s, %s, %s, now(), 'test')",
                [of, level, keep_days],
            )

    def plan(self) -> RunPlan:
        """Plan a run that begins now."""
        return retention.plan(self.server.context, self.server.clock())

    def run(self, **settings: Any) -> Counts:
        """Carry out a run that begins now, with some settings changed; returns its counts."""
        with job_context(self.server) as context:
            context = context_with(context, settings)
            return retention.run(context, self.run_of(context))

    def run_of(self, context: Any) -> JobRun:
        """Begin a run."""
        return run_of(context, "retention")


def context_with(context: Any, settings: Json) -> Any:
    """Return the same context with some settings changed."""
    return replace(context, settings=context.settings.model_copy(update=settings))
