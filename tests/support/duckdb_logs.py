"""Posted rows of a log in DuckDB, which answers the questions of pages and statistics another way."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from tests.support.api import Json

# Buckets begin at this Monday.
EPOCH = "TIMESTAMP '2000-01-03'"
FIGURES = {
    "audit-logs": "count(*)",
    "execution-logs": (
        "count(*), count(*) FILTER (status IN ('failed', 'timed_out')), avg(duration_ms), max(duration_ms),"
        " coalesce(sum(rows_processed), 0)::BIGINT"
    ),
}
TYPES = {
    "n": "BIGINT",
    "occurred_at": "TIMESTAMP",
    "created_at": "TIMESTAMP",
    "duration_ms": "DOUBLE",
    "rows_processed": "BIGINT",
}


@dataclass(frozen=True)
class Question:
    """Filters of a log, and the time (`created_at` or `occurred_at`) that orders and bounds its rows."""

    time: str
    equal: Json = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None

    @property
    def parameters(self) -> Json:
        """The query of a call that asks the same."""
        bounds = {"since": self.since, "until": self.until}
        return {
            "time": self.time,
            **self.equal,
            **{name: bound.isoformat() for name, bound in bounds.items() if bound is not None},
        }


class Reference:
    """The rows that were posted to one log."""

    def __init__(self, folder: Path, log: str, columns: Sequence[str], rows: Sequence[Json]) -> None:
        self._log = log
        self._columns = columns
        self._connection = duckdb.connect()
        file = folder / f"{log}.ndjson"
        with file.open("w") as lines:
            for row in rows:
                print(json.dumps(row, default=_naive), file=lines)
        types = ", ".join(f"'{name}': '{TYPES.get(name, 'VARCHAR')}'" for name in ("id", *columns))
        self._connection.execute(
            f"CREATE TABLE rows AS SELECT *, coalesce(occurred_at, created_at) AS happened_at"  # noqa: S608
            f" FROM read_json('{file}', format = 'newline_delimited', columns = {{{types}}})"
        )

    def page(self, question: Question, limit: int) -> list[Json]:
        """Return the first rows that answer a question, newest first."""
        where, values = self._where(question)
        found = self._connection.execute(
            f"SELECT id, {', '.join(self._columns)} FROM rows WHERE {where}"  # noqa: S608
            f" ORDER BY {_time(question)} DESC, id DESC LIMIT {limit}",
            values,
        ).fetchall()
        return [dict(zip(("id", *self._columns), row, strict=True)) for row in found]

    def buckets(self, question: Question, width: str, group_by: str) -> dict[tuple[datetime, Any], list[Any]]:
        """Return the figures of each bucket and group; `width` is an interval of SQL."""
        where, values = self._where(question)
        found = self._connection.execute(
            f"SELECT time_bucket(INTERVAL '{width}', {_time(question)}, {EPOCH}) AS bucket,"  # noqa: S608
            f" {group_by}, {FIGURES[self._log]} FROM rows WHERE {where} GROUP BY ALL",
            values,
        ).fetchall()
        return {(bucket.replace(tzinfo=UTC), group): figures for bucket, group, *figures in found}

    @staticmethod
    def _where(question: Question) -> tuple[str, list[Any]]:
        terms = {f"{name} = ?": value for name, value in question.equal.items()}
        if question.since is not None:
            terms[f"{_time(question)} >= ?"] = _naive(question.since)
        if question.until is not None:
            terms[f"{_time(question)} <= ?"] = _naive(question.until)
        return " AND ".join(["true", *terms]), list(terms.values())


def _time(question: Question) -> str:
    return {"created_at": "created_at", "occurred_at": "happened_at"}[question.time]


def _naive(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")
