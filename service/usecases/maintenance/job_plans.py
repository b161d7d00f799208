"""Plans of job runs as they were kept: their deletions, the legal holds in them, and the runs by them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter

from service.domain.callers import Caller, Right
from service.domain.errors import PlanNotFound
from service.domain.job_runs import Blocked, PlannedPart
from service.domain.pagination import Page, Paging
from service.usecases.context import Context
from service.usecases.maintenance.scheduled_jobs import PLAN_LIFETIME, Run
from sql.database import PLATFORM, Transaction
from sql.queries import legal_holds, scheduled_jobs, tenancy
from sql.queries.scheduled_jobs import PlanRow

# Parts and holds of a plan that a page shows; the API has all.
MOST_PARTS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPlan:
    """Content of a plan for a reader: its largest parts, with names of subscriptions, and those of holds.

    `more` counts the parts and the holds that are left out; `holds` has the subscription of each hold.
    """

    rows: int
    bytes: int | None
    oldest_kept: datetime | None
    parts: Sequence[PlannedPart]
    blocked: Sequence[Blocked]
    more: int
    names: Mapping[UUID, str]
    holds: Mapping[UUID, UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """Content of a plan, as `RunPlan.shown` makes it."""

    rows: int
    bytes: int | None
    oldest_kept: datetime | None
    parts: list[PlannedPart]
    blocked: list[Blocked]


_CONTENT = TypeAdapter(_Content)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPlan:
    """A plan, until when a run may apply it, and the runs that did or tried to."""

    plan_id: UUID
    job: str
    planned_at: datetime
    ends_at: datetime
    made_by: str
    shown: ShownPlan
    runs: Sequence[Run]


def get(context: Context, caller: Caller, plan_id: UUID | None, job: str | None = None) -> KeptPlan:
    """Read a plan, of `job` if that is given; raises PlanNotFound."""
    caller.needs(Right.MAINTAIN)
    with context.database.transaction(PLATFORM) as tx:
        row = _found(tx, plan_id, job)
        ends_at = row.planned_at + PLAN_LIFETIME
        return KeptPlan(
            plan_id=row.plan_id,
            job=row.job,
            planned_at=row.planned_at,
            ends_at=ends_at,
            made_by=row.made_by,
            shown=_shown(tx, row.content),
            runs=scheduled_jobs.runs_of_plan(tx, row, until=ends_at),
        )


def parts(context: Context, caller: Caller, plan_id: UUID | None, job: str, _: Paging) -> Page[PlannedPart]:
    """Read all parts of a plan, the largest first, as a list, which has one page; raises PlanNotFound."""
    caller.needs(Right.MAINTAIN)
    with context.database.transaction(PLATFORM) as tx:
        row = _found(tx, plan_id, job)
    return Page(_largest(_CONTENT.validate_python(row.content)), None)


def _found(tx: Transaction, plan_id: UUID | None, job: str | None) -> PlanRow:
    row = None if plan_id is None else scheduled_jobs.plan(tx, plan_id)
    if row is None or (job is not None and row.job != job):
        raise PlanNotFound("There is no such plan.")
    return row


def _largest(content: _Content) -> list[PlannedPart]:
    return sorted(content.parts, key=lambda part: -part.rows)


def shown(context: Context, content: Mapping[str, Any]) -> ShownPlan:
    """Make the content of a plan ready for a reader."""
    with context.database.transaction(PLATFORM) as tx:
        return _shown(tx, content)


def _shown(tx: Transaction, content: Mapping[str, Any]) -> ShownPlan:
    whole = _CONTENT.validate_python(content)
    parts = _largest(whole)
    blocked = sorted(whole.blocked, key=lambda each: -each.rows)
    holds = legal_holds.subscriptions_of(tx, {each.hold_id for each in blocked[:MOST_PARTS]})
    of = {part.subscription_id for part in parts[:MOST_PARTS] if part.subscription_id is not None}
    return ShownPlan(
        rows=whole.rows,
        bytes=whole.bytes,
        oldest_kept=whole.oldest_kept,
        parts=parts[:MOST_PARTS],
        blocked=blocked[:MOST_PARTS],
        more=len(parts[MOST_PARTS:]) + len(blocked[MOST_PARTS:]),
        names=tenancy.subscription_names(tx, of | set(holds.values())),
        holds=holds,
    )
