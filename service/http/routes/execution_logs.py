"""Execution logs."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from service.domain.actions import Action
from service.domain.errors import DocumentTooLarge, QuotaExceeded
from service.http.audited_operations import audits
from service.http.auth.access import CountingExecutions, ReadingLogs, Recording
from service.http.description.declarations import refuses
from service.http.event_bodies import EventBody, events_of
from service.http.exports import FILES, FiguresFile, ListFile, list_answer, of_access, statistics, whole
from service.http.parameters import LogPaged
from service.http.recording import NOTHING_NEW, Options, recorded
from service.http.responses import page_of, statistics_of
from service.http.schemas.answers import RecordedEvents
from service.http.schemas.execution_logs import ExecutionQuery, ExecutionStatisticsQuery, NewExecutionEvent
from service.usecases import execution_logs

router = APIRouter(prefix="/v1/subscriptions/{subscription_id}/execution-logs", tags=["logs"])


@router.get("", response_model=page_of(execution_logs.ExecutionEvent), responses=FILES)
@audits(Action.READ, "execution_log")
def list_execution_logs(
    request: Request,
    access: ReadingLogs,
    paging: LogPaged,
    file: ListFile,
    query: Annotated[ExecutionQuery, Query()],
) -> Response:
    """List the events of running workflows, jobs, job packages and nodes, newest first (auditor, admin)."""
    filters = execution_logs.ExecutionFilter(**query.model_dump())
    read = partial(
        execution_logs.execution_page, access.context, access.caller, access.subscription_id, filters
    )
    listed = whole("execution_log", execution_logs.ExecutionEvent, filters.given(), read)
    return list_answer(request, file, of_access(access), listed, paging)


@router.post("", status_code=201, response_model=RecordedEvents, responses=NOTHING_NEW)
@audits(Action.RECORD, "execution_log")
@refuses(QuotaExceeded, DocumentTooLarge)
async def record_execution_logs(
    request: Request,
    access: Recording,
    body: Annotated[EventBody, Depends(events_of(NewExecutionEvent))],
    options: Options,
) -> Response:
    """Record events of executions: one, up to 1,000, or any number of lines (editor, admin)."""
    return await recorded(request, access, body, execution_logs.EXECUTIONS, options)


@router.get(
    "/stats",
    response_model=statistics_of(execution_logs.ExecutionBucket, is_estimated=True),
    responses=FILES,
)
@audits(Action.READ, "execution_log")
def get_execution_statistics(
    access: CountingExecutions, file: FiguresFile, query: Annotated[ExecutionStatisticsQuery, Query()]
) -> Response:
    """Summarize executions by buckets of time and by groups; of a person or event for auditors, admins."""
    filters, asked = query.split()
    found = execution_logs.execution_statistics(
        access.context,
        access.caller,
        access.subscription_id,
        execution_logs.ExecutionFilter(**filters),
        asked,
    )
    kind = execution_logs.ExecutionBucket
    of = of_access(access)
    return statistics(file, of, "execution_log", kind, asked.group_by, found, is_estimated=True)
