"""Server log."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

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
from service.http.responses import page_of, statistics_of
from service.http.schemas.answers import RecordedEvents
from service.http.schemas.server_logs import (
    NewServerEvent,
    PlatformServerLogQuery,
    PlatformServerStatisticsQuery,
    PostedServerLogQuery,
    ServerStatisticsQuery,
)
from service.usecases import server_logs

router = APIRouter(prefix="/v1", tags=["logs"])


@router.get(
    "/subscriptions/{subscription_id}/server-logs",
    response_model=page_of(server_logs.ServerEvent),
    responses=FILES,
)
@audits(Action.READ, "server_log")
def list_server_logs(
    request: Request,
    access: ReadingLogs,
    paging: LogPaged,
    file: ListFile,
    query: Annotated[PostedServerLogQuery, Query()],
) -> Response:
    """List the requests of this subscription's callers, and posted ones, newest first (auditor, admin)."""
    filters = server_logs.ServerLogFilter(**query.model_dump())
    read = partial(server_logs.server_page, access.context, access.caller, access.subscription_id, filters)
    listed = whole("server_log", server_logs.ServerEvent, filters.given(), read)
    return list_answer(request, file, of_access(access), listed, paging)


@router.post(
    "/subscriptions/{subscription_id}/server-logs",
    status_code=201,
    response_model=RecordedEvents,
    responses=NOTHING_NEW,
)
@audits(Action.RECORD, "server_log")
@refuses(QuotaExceeded, DocumentTooLarge)
async def record_server_logs(
    request: Request,
    access: Recording,
    body: Annotated[EventBody, Depends(events_of(NewServerEvent))],
    options: Options,
) -> Response:
    """Record requests to a platform's servers: one, up to 1,000, or any number of lines (editor, admin)."""
    return await recorded(request, access, body, server_logs.REQUESTS, options)


@router.get(
    "/subscriptions/{subscription_id}/server-logs/stats",
    response_model=statistics_of(server_logs.ServerBucket),
    responses=FILES,
)
@audits(Action.READ, "server_log")
def get_server_statistics(
    access: ReadingLogs, file: FiguresFile, query: Annotated[ServerStatisticsQuery, Query()]
) -> Response:
    """Summarize requests by buckets of time and by groups, such as their routes (auditor, admin)."""
    filters, asked = query.split()
    found = server_logs.server_statistics(
        access.context, access.caller, access.subscription_id, server_logs.ServerLogFilter(**filters), asked
    )
    kind = server_logs.ServerBucket
    return statistics(file, of_access(access), "server_log", kind, asked.group_by, found)


@router.get("/server-logs/stats", response_model=statistics_of(server_logs.ServerBucket), responses=FILES)
@audits(Action.READ, "server_log")
def get_platform_server_statistics(
    request: Request,
    caller: ReadingPlatformLogs,
    file: FiguresFile,
    query: Annotated[PlatformServerStatisticsQuery, Query()],
) -> Response:
    """Summarize all requests by buckets of time and by groups (operator)."""
    filters, asked = query.split()
    found = server_logs.server_statistics(
        context_of(request), caller, None, server_logs.ServerLogFilter(**filters), asked
    )
    kind = server_logs.ServerBucket
    return statistics(file, of_caller(request, caller), "server_log", kind, asked.group_by, found)


@router.get("/server-logs", response_model=page_of(server_logs.ServerEvent), responses=FILES)
@audits(Action.READ, "server_log")
def list_platform_server_logs(
    request: Request,
    caller: ReadingPlatformLogs,
    paging: LogPaged,
    file: ListFile,
    query: Annotated[PlatformServerLogQuery, Query()],
) -> Response:
    """List all requests, also those of unknown callers, newest first (operator)."""
    filters = server_logs.ServerLogFilter(**query.model_dump())
    read = partial(server_logs.server_page, context_of(request), caller, None, filters)
    listed = whole("server_log", server_logs.ServerEvent, filters.given(), read)
    return list_answer(request, file, of_caller(request, caller), listed, paging)
