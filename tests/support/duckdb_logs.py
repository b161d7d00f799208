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
        " coalesce(sum(rows_processed), 0)::BIGINT, sum({measure}), quantile_cont({measure}, 0.5),"
        " quantile_cont({measure}, 0.95), quantile_cont({measure}, 0.99)"
    ),
}
TYPES = {
    "n": "BIGINT",
    "occurred_at": "TIMESTAMP",
    "created_at": "TIMESTAMP",
    "duration_ms": "DOUBLE",
    "rows_processed": "BIGINT",
    "memory_used_mb": "DOUBLE",
}


@dataclass(frozen=True)
class Question:
    """Filters of a log, and the time (`created_at` or `occurred_at`) that orders and bounds its rows.

    A filter has a value, or a list of which a row has one; rows with an action of `without` are left out.
    """

    time: str
    equal: Json = field(default_factory=dict)
    without: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None

    @property
    def parameters(self) -> Json:
        """The query of a call that asks the same."""
        bounds = {"since": self.since, "until": self.until}
        return {
            "time": self.time,
            **self.equal,
            **({"without": self.without} if self.without else {}),
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

    def buckets(
        self,
        question: Question,
        width: str | None,
        groups: Sequence[str],
        measure: str = "duration_ms",
    ) -> dict[tuple[datetime | None, tuple[Any, ...]], list[Any]]:
        """Return the figures of each bucket and group; `width` is an interval of SQL, None for one bucket."""
        where, values = self._where(question)
        bucket = "NULL" if width is None else f"time_bucket(INTERVAL '{width}', {_time(question)}, {EPOCH})"
        columns = ", ".join((f"{bucket} AS bucket", *groups, FIGURES[self._log].format(measure=measure)))
        found = self._connection.execute(
            f"SELECT {columns} FROM rows WHERE {where} GROUP BY ALL",  # noqa: S608
            values,
        ).fetchall()
        after = 1 + len(groups)
        return {(row[0] and row[0].replace(tzinfo=UTC), row[1:after]): list(row[after:]) for row in found}

    def facet(self, question: Question, column: str) -> dict[str | None, int]:
        """Return the number of rows that answer a question by the values of a column."""
        where, values = self._where(question)
        found = self._connection.execute(
            f"SELECT {column}, count(*) FROM rows WHERE {where} GROUP BY ALL",  # noqa: S608
            values,
        ).fetchall()
        return dict(found)

    @staticmethod
    def _where(question: Question) -> tuple[str, list[Any]]:
        terms = {
            f"list_contains(?, {name})" if isinstance(value, list) else f"{name} = ?": value
            for name, value in question.equal.items()
        }
        if question.without:
            terms["NOT list_contains(?, action)"] = list(question.without)
        if question.since is not None:
            terms[f"{_time(question)} >= ?"] = _naive(question.since)
        if question.until is not None:
            terms[f"{_time(question)} <= ?"] = _naive(question.until)
        return " AND ".join(["true", *terms]), list(terms.values())


def _time(question: Question) -> str:
    return {"created_at": "created_at", "occurred_at": "happened_at"}[question.time]


def _naive(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")
