"""Audit log."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from service.documents import tabular
from service.domain.actions import Action
from service.domain.errors import DocumentTooLarge, QuotaExceeded
from service.http.audited_operations import audits
from service.http.auth.access import ReadingLogs, ReadingPlatformLogs, Recording
from service.http.description.declarations import refuses
from service.http.event_bodies import EventBody, events_of
from service.http.exports import (
    FILES,
    FiguresFile,
    ListFile,
    list_answer,
    of_access,
    of_caller,
    statistics,
    whole,
)
from service.http.parameters import LogPaged
from service.http.recording import NOTHING_NEW, Options, recorded
from service.http.requests import context_of
from service.http.responses import (
    answer,
    expandable_page,
    page_of,
    statistics_of,
)
from service.http.schemas.answers import RecordedEvents
from service.http.schemas.audit_logs import (
    AuditQuery,
    AuditStatisticsQuery,
    ExpandableAuditQuery,
    NewAuditEvent,
    PlatformAuditStatisticsQuery,
    PostedAuditQuery,
)
from service.usecases import audit_facets, audit_logs, log_documents

router = APIRouter(prefix="/v1", tags=["logs"])


@router.get("/audit-logs", response_model=page_of(audit_logs.AuditEvent), responses=FILES)
@audits(Action.READ, "audit_log")
def list_platform_audit_logs(
    request: Request,
    caller: ReadingPlatformLogs,
    paging: LogPaged,
    file: ListFile,
    query: Annotated[AuditQuery, Query()],
) -> Response:
    """List the events that belong to no subscription, newest first (operator)."""
    filters = audit_logs.AuditFilter(**query.model_dump())
    read = partial(audit_logs.audit_page, context_of(request), caller, None, filters)
    listed = whole("audit_log", audit_logs.AuditEvent, filters.given(), read)
    return list_answer(request, file, of_caller(request, caller), listed, paging)


@router.get("/audit-logs/stats", response_model=statistics_of(audit_logs.AuditBucket), responses=FILES)
@audits(Action.READ, "audit_log")
def get_platform_audit_statistics(
    request: Request,
    caller: ReadingPlatformLogs,
    file: FiguresFile,
    query: Annotated[PlatformAuditStatisticsQuery, Query()],
) -> Response:
    """Count the events that belong to no subscription, by buckets of time and by groups (operator)."""
    filters, asked = query.split()
    found = audit_logs.audit_statistics(
        context_of(request), caller, None, audit_logs.AuditFilter(**filters), asked
    )
    of = of_caller(request, caller)
    return statistics(file, of, "audit_log", audit_logs.AuditBucket, asked.group_by, found)


@router.get(
    "/subscriptions/{subscription_id}/audit-logs",
    response_model=page_of(log_documents.ExpandedEvent),
    responses=FILES,
)
@audits(Action.READ, "audit_log")
async def list_audit_logs(
    request: Request,
    access: ReadingLogs,
    paging: LogPaged,
    file: ListFile,
    query: Annotated[ExpandableAuditQuery, Query()],
) -> Response:
    """List the audit log, newest first or in the order of commits (auditor, admin).

    With `expand=data`, events of versions have the snapshots before and after, `old` and `new`.
    """
    context, subscription_id = access.context, access.subscription_id
    filters = audit_logs.AuditFilter(**query.model_dump(exclude={"expand"}))
    read = partial(audit_logs.audit_page, context, access.caller, subscription_id, filters)
    if file is not None:
        listed = whole("audit_log", audit_logs.AuditEvent, filters.given(), read)
        return file.whole(of_access(access), listed)
    expanded = partial(read, paging, expand=query.expand)
    expand = partial(log_documents.of_events, context, subscription_id, purged=access.reads_purged)
    return await expandable_page(request, expanded, None if query.expand is None else expand)


@router.post(
    "/subscriptions/{subscription_id}/audit-logs",
    status_code=201,
    response_model=RecordedEvents,
    responses=NOTHING_NEW,
)
@audits(Action.RECORD, "audit_log")
@refuses(QuotaExceeded, DocumentTooLarge)
async def record_audit_logs(
    request: Request,
    access: Recording,
    body: Annotated[EventBody, Depends(events_of(NewAuditEvent))],
    options: Options,
) -> Response:
    """Record events of the platform: one, up to 1,000, or any number of lines (editor, admin).

    An event whose `source` and `event_id` were stored before is a duplicate; if all are, the answer is 200.
    """
    return await recorded(request, access, body, audit_logs.EVENTS, options)


@router.get(
    "/subscriptions/{subscription_id}/audit-logs/stats",
    response_model=statistics_of(audit_logs.AuditBucket),
    responses=FILES,
)
@audits(Action.READ, "audit_log")
def get_audit_statistics(
    access: ReadingLogs, file: FiguresFile, query: Annotated[AuditStatisticsQuery, Query()]
) -> Response:
    """Count events by buckets of time and by groups (auditor, admin)."""
    filters, asked = query.split()
    found = audit_logs.audit_statistics(
        access.context,
        access.caller,
        access.subscription_id,
        audit_logs.AuditFilter(**filters),
        asked,
    )
    of = of_access(access)
    return statistics(file, of, "audit_log", audit_logs.AuditBucket, asked.group_by, found)


@router.get(
    "/subscriptions/{subscription_id}/audit-logs/facets",
    response_model=audit_facets.AuditFacets,
    responses=FILES,
)
@audits(Action.READ, "audit_log")
def get_audit_facets(
    access: ReadingLogs, file: FiguresFile, query: Annotated[PostedAuditQuery, Query()]
) -> Response:
    """Count events by action, type, user and status within a filter (auditor, admin)."""
    filters = audit_logs.AuditFilter(**query.model_dump())
    found = audit_facets.audit_facets(access.context, access.caller, access.subscription_id, filters)
    if file is not None:
        columns, rows = tabular.columns_of(audit_facets.CountedValue), audit_facets.counted(found)
        return file.figures(of_access(access), "audit_log_facets", columns, rows)
    return answer(found)
