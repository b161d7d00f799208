"""The audit log as a page explores it: events, their numbers by time and by facet, all read at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from service.audit import events
from service.domain.callers import Caller
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page, Paging, time_position
from service.usecases import group_names, log_exploring, people
from service.usecases.audit_facets import FACETS, AuditFacet, CountedValue, lines_of, named
from service.usecases.audit_logs import AuditEvent, of_any_spelling
from service.usecases.context import Context
from service.usecases.log_exploring import MOST_IN_FILE, AskedRows, Counted, WidthFor
from sql import log_facets, log_reading
from sql.database import Transaction
from sql.log_statistics import Deadline
from sql.log_windows import LogPaging
from sql.queries.audit_logs import AUDIT_LOG, COUNTS, AuditBucket, AuditFilter

MOST_VALUES: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ExploredEvents:
    """A page of events beside the figures and facets of all; `count` is their number."""

    page: Page[AuditEvent]
    counted: Counted[AuditBucket]
    count: int
    facets: Mapping[str, AuditFacet]


def explore(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    asked: AskedRows[AuditFilter],
    paging: Paging,
    width_for: WidthFor,
) -> ExploredEvents:
    """Read events and count them, by outcome and by facet.

    A facet counts the events that match all filters but its own, so that a reader sees what else there is.
    Raises Invalid for another list's cursor, and QueryTooLong after five seconds.
    """
    at = context.clock()
    filters = of_any_spelling(asked.narrowed)
    stamped = {"list": "explored", "of": subscription_id, **filters.given()}
    reached = paging.position(stamped)
    with context.database.transaction(subscription_id) as tx:
        deadline = Deadline()
        found = people.resolved(tx, subscription_id, filters, AUDIT_LOG)
        wanted = LogPaging(limit=paging.limit + 1, at=at, before=time_position(reached))
        rows = log_reading.page(tx, AUDIT_LOG, subscription_id, found, wanted)
        newest = log_exploring.newest(tx, AUDIT_LOG, subscription_id, found, asked, deadline)
        counted = log_exploring.counted(
            tx, COUNTS, subscription_id, newest, asked, width_for, deadline, "status"
        )
        facets = _facets(tx, subscription_id, found, newest, asked, deadline)
        shown = min(len(rows), paging.limit)
        events.record_reading(
            tx, caller, subscription_id, AUDIT_LOG.name, at, filters=asked.told, rows=shown, after=reached
        )
    page = paging.page(rows, stamped, lambda row: [row.created_at.isoformat(), str(row.audit_id)])
    count = sum(each.count for each in counted.by_time)
    return ExploredEvents(page=page, counted=counted, count=count, facets=facets)


def facets(
    context: Context, caller: Caller, subscription_id: SubscriptionId, asked: AskedRows[AuditFilter]
) -> list[CountedValue]:
    """Count by facet as `explore` does, with MOST_IN_FILE values of each; raises what it raises."""
    at = context.clock()
    filters = of_any_spelling(asked.narrowed)
    with context.database.transaction(subscription_id) as tx:
        deadline = Deadline()
        found, newest = log_exploring.counted_rows(tx, AUDIT_LOG, subscription_id, filters, asked, deadline)
        lines = lines_of(_facets(tx, subscription_id, found, newest, asked, deadline, most=MOST_IN_FILE))
        told = {**asked.told, "of": "facets"}
        events.record_reading(tx, caller, subscription_id, AUDIT_LOG.name, at, filters=told, rows=len(lines))
    return lines


def _facets(
    tx: Transaction,
    subscription_id: SubscriptionId,
    filters: AuditFilter,
    newest: AuditFilter,
    asked: AskedRows[AuditFilter],
    deadline: Deadline,
    *,
    most: int = MOST_VALUES,
) -> dict[str, AuditFacet]:
    """Count by facet: those without a filter of their own at once, and each other one without its own."""
    chosen = [name for name in FACETS if getattr(filters, name) is not None]
    free = [name for name in FACETS if name not in chosen]
    found = _counted_by(tx, subscription_id, newest, free, deadline, most) if free else {}
    for name in chosen:
        without = replace(filters, **{name: None})
        wider = log_exploring.newest(tx, AUDIT_LOG, subscription_id, without, asked, deadline)
        found |= _counted_by(tx, subscription_id, wider, [name], deadline, most)
    users = [(each.value,) for each in found["user_id"].values]
    names = group_names.of(tx, subscription_id, ("user_id",), users)
    return {name: named(found[name], names if name == "user_id" else {}) for name in FACETS}


def _counted_by(
    tx: Transaction,
    subscription_id: SubscriptionId,
    filters: AuditFilter,
    columns: Sequence[str],
    deadline: Deadline,
    most: int,
) -> dict[str, log_facets.Facet]:
    return log_facets.facets(
        tx,
        AUDIT_LOG,
        subscription_id,
        filters,
        columns,
        weight="occurrences",
        limit=most,
        deadline=deadline,
    )
