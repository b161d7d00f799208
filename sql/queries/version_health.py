"""Figures of a resource's executions by version, with a histogram of their durations."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from sql.database import Transaction
from sql.log_statistics import Deadline
from sql.queries.executions import COMMON, ExecutionsFilter, parameters

# A bin of durations is 13 percent wide: so many bins there are for each factor of e.
BINS_PER_E: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionFigures:
    """Figures of one version, None for executions without one.

    `unended` executions have no end, and `named` ones name their version themselves. Percentiles and
    `durations`, the counts by bin, are of the durations of successful executions, in milliseconds.
    """

    version_number: int | None
    git_commit_hash: str | None
    executions: int
    failed: int
    succeeded: int
    unended: int
    named: int
    first_begun_at: datetime
    last_begun_at: datetime
    p50: float | None
    p95: float | None
    durations: Mapping[int, int]


_BY_VERSION = text(
    COMMON  # noqa: S608 - constants
    + """,
ranked AS (
    SELECT *, dense_rank() OVER (ORDER BY version_number DESC NULLS LAST) AS place,
        CASE WHEN status = 'success' THEN floor(:bins * ln(greatest(duration_ms, 1)))::INTEGER END AS bin
    FROM executions
)
SELECT version_number, max(git_commit_hash) AS git_commit_hash, bin, grouping(bin) = 1 AS is_whole,
    count(*) AS executions,
    count(*) FILTER (WHERE status IN ('failed', 'timed_out')) AS failed,
    count(*) FILTER (WHERE status = 'success') AS succeeded,
    count(*) FILTER (WHERE NOT has_ended) AS unended,
    count(*) FILTER (WHERE version_from = 'event') AS named,
    min(begun_at) AS first_begun_at, max(begun_at) AS last_begun_at,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms) FILTER (WHERE status = 'success') AS p50,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ms) FILTER (WHERE status = 'success') AS p95
FROM ranked
WHERE place <= :most_versions OR version_number IS NULL
GROUP BY GROUPING SETS ((version_number), (version_number, bin))
ORDER BY version_number DESC NULLS LAST
"""
)


def by_version(
    tx: Transaction,
    subscription_id: UUID,
    filters: ExecutionsFilter,
    *,
    since: datetime,
    until: datetime,
    most: int,
    deadline: Deadline | None = None,
) -> list[VersionFigures]:
    """Compute figures of the newest versions, and of executions without one; raises StatementEnded."""
    (deadline or Deadline()).bound(tx)
    values = parameters(subscription_id, filters, since, until, bins=BINS_PER_E, most_versions=most)
    durations: dict[int | None, dict[int, int]] = {}
    whole: list[dict[str, Any]] = []
    for row in tx.execute(_BY_VERSION, values):
        fields = dict(row._mapping)
        place, is_whole = fields.pop("bin"), fields.pop("is_whole")
        if is_whole:
            whole.append(fields)
        elif place is not None:
            durations.setdefault(fields["version_number"], {})[place] = fields["succeeded"]
    return [
        VersionFigures(**fields, durations=durations.get(fields["version_number"], {})) for fields in whole
    ]
