"""The data change history: record changes of a platform's own tables, read pages."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from service.audit import events
from service.audit.events import MAX_NAME, MAX_STATE_BYTES, MAX_TEXT_BYTES
from service.domain.actions import EventOrigin
from service.domain.callers import Caller
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page, Paging
from service.usecases.context import Context
from service.usecases.event_batches import Arrival
from service.usecases.log_reading import page_of_log
from service.usecases.posted_events import MAX_SOURCE, MAX_TYPE
from service.usecases.recording import EventKind, Stored
from sql.database import Transaction
from sql.queries import data_changes
from sql.queries.audit_logs import Values
from sql.queries.data_changes import CHANGE_HISTORY, DataChangeFilter, NewDataChange
from sql.queries.data_changes import ChangeRead as DataChange

__all__ = ["DataChange", "DataChangeFilter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedChange:
    """A change of a record in a platform's own table, as the platform reports it.

    The change's own time is `occurred_at` or, as others name it, `created_at`.
    """

    occurred_at: datetime | None
    created_at: datetime | None
    table_name: str
    record_id: str
    record_name: str | None
    change_type: str
    old_data: Values | None
    new_data: Values | None
    changed_by: str | None
    change_reason: str | None
    source: str | None


def row_of(arrival: Arrival, report: ReportedChange) -> NewDataChange:
    """Make the row of a posted change, still without its number; runs in any process."""
    return NewDataChange(
        change_id=arrival.ids.mint(),
        changed_at=arrival.at,
        occurred_at=report.occurred_at or report.created_at,
        subscription_id=arrival.subscription_id,
        table_name=events.name(report.table_name, MAX_TYPE),
        record_id=events.reported_id(report.record_id),
        record_name=events.name(report.record_name, MAX_NAME),
        change_type=report.change_type,
        old_data=events.state(report.old_data),
        new_data=events.state(report.new_data),
        # Computed before masking, so that the log says that a secret changed, but not its value.
        diff=events.operations(_operations(report), MAX_STATE_BYTES, (report.old_data, report.new_data)),
        changed_by=events.reported_id(report.changed_by),
        change_reason=events.text(report.change_reason or arrival.caller.origin.reason, MAX_TEXT_BYTES),
        version_number=0,
        request_id=arrival.caller.origin.request_id,
        origin=EventOrigin.POSTED,
        source=events.name(report.source, MAX_SOURCE),
        recorded_by=arrival.caller.user_id,
    )


def _operations(report: ReportedChange) -> list[dict[str, Any]] | None:
    """Compute the operations of a change; None for an update of which one state is unknown."""
    if report.change_type == "UPDATE" and (report.old_data is None or report.new_data is None):
        return None
    return events.changes(report.old_data, report.new_data)


def store(tx: Transaction, subscription_id: SubscriptionId, rows: Sequence[NewDataChange]) -> Stored:
    """Number posted changes for each record, in their order, and add them.

    Other transactions that change one of these records wait until this one ends.
    """
    changes = Counter((row.table_name, row.record_id) for row in rows)
    last = data_changes.next_numbers(tx, subscription_id, changes)
    following = {record: number - changes[record] for record, number in last.items()}
    numbered = []
    for row in rows:
        record = (row.table_name, row.record_id)
        following[record] += 1
        numbered.append(replace(row, version_number=following[record]))
    data_changes.insert_rows(tx, numbered)
    return Stored(len(rows), rows[0].change_id)


def shares_rows(_: Sequence[NewDataChange]) -> bool:
    """Tell that changes lock the counts of their records."""
    return True


CHANGES: Final = EventKind(
    log="change_history",
    hypertables=("data_change_history",),
    row_of=row_of,
    pack=list,
    store=store,
    shares_rows=shares_rows,
)


def change_page(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    filters: DataChangeFilter,
    paging: Paging,
    *,
    expand: str | None = None,
    told: Mapping[str, Any] | None = None,
) -> Page[DataChange]:
    """Read the data changes that match, newest first; `expand` and `told` are those of `page_of_log`."""
    return page_of_log(
        context, caller, subscription_id, CHANGE_HISTORY, filters, paging, expand=expand, told=told
    )
