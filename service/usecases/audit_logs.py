"""The audit log: record a platform's own events, read pages and statistics."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, Final

from service.domain.callers import Caller
from service.domain.ids import SubscriptionId
from service.domain.pagination import Page, Paging
from service.domain.resource_kinds import spellings as spellings_of_type
from service.usecases import posted_events
from service.usecases.context import Context
from service.usecases.log_reading import AskedFigures, LogFigures, figures_of_log, page_of_log
from service.usecases.posted_events import ReportedEvent
from service.usecases.recording import EventKind
from sql.queries.audit_logs import AUDIT_LOG, COUNTS, AuditBucket, AuditFilter
from sql.queries.audit_logs import AuditRead as AuditEvent

__all__ = ["AuditBucket", "AuditEvent", "AuditFilter", "ReportedEvent"]

EVENTS: Final = EventKind(
    log="audit_log",
    hypertables=("audit_logs",),
    row_of=posted_events.row_of,
    pack=list,
    store=posted_events.store,
    shares_rows=posted_events.shares_rows,
    has_event_ids=True,
    is_recorded=False,
)


def audit_page(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId | None,
    filters: AuditFilter,
    paging: Paging,
    *,
    expand: str | None = None,
) -> Page[AuditEvent]:
    """Read the events that match, newest first. No subscription means the platform's own events.

    `expand` is recorded with the filters.
    """
    filters = of_any_spelling(filters)
    return page_of_log(context, caller, subscription_id, AUDIT_LOG, filters, paging, expand=expand)


def audit_statistics(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId | None,
    filters: AuditFilter,
    asked: AskedFigures,
) -> LogFigures[AuditBucket]:
    """Count events in each bucket of time; no subscription means the platform's own events.

    Raises Invalid like `figures_of_log`.
    """
    filters = of_any_spelling(filters)
    return figures_of_log(context, caller, subscription_id, COUNTS, filters, asked)


def of_any_spelling(filters: AuditFilter) -> AuditFilter:
    """Make a filter of a type or an action that also finds it as Annals writes it.

    Types are in lower case and in the singular, actions in upper case. Those of posted events are any text,
    so they are also looked for as they were given.
    """
    given = filters.given()
    found: dict[str, Any] = {}
    for name, spell in _SPELLINGS.items():
        if name in given:
            words = given[name] if isinstance(given[name], tuple) else (given[name],)
            spelled = tuple(dict.fromkeys(chain.from_iterable(map(spell, words))))
            found[name] = spelled if len(spelled) > 1 else spelled[0]
    return replace(filters, **found)


def _spellings_of_action(action: str) -> tuple[str, ...]:
    return action, action.upper()


_SPELLINGS: Final[Mapping[str, Callable[[str], tuple[str, ...]]]] = {
    "resource_type": spellings_of_type,
    "action": _spellings_of_action,
    "without": _spellings_of_action,
}
