"""Execution logs."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from service.domain.actions import Action
from service.domain.errors import DocumentTooLarge, QuotaExceeded
from service.http.audited_operations import audits
from service.http.auth.access import ReadingLogs, Recording
from service.http.description.declarations import refuses
from service.http.event_bodies import batch_of
from service.http.parameters import Import, Once, Paged
from service.http.responses import answer, page_answer, page_of, statistics_answer, statistics_of
from service.http.schemas.answers import RecordedEvents
from service.http.schemas.execution_logs import ExecutionQuery, ExecutionStatisticsQuery, NewExecutionEvent
from service.usecases import execution_logs
from service.usecases.event_batches import EventBatch
from service.usecases.execution_logs import ReportedExecution

router = APIRouter(prefix="/v1/subscriptions/{subscription_id}/execution-logs", tags=["logs"])


@router.get("", response_model=page_of(execution_logs.ExecutionEvent))
@audits(Action.READ, "execution_log")
def list_execution_logs(
    request: Request, access: ReadingLogs, paging: Paged, query: Annotated[ExecutionQuery, Query()]
) -> Response:
    """List the events of running workflows, jobs, job packages and nodes, newest first (auditor, admin)."""
    filters = execution_logs.ExecutionFilter(**query.model_dump())
    found = execution_logs.execution_page(
        access.context, access.caller, access.subscription_id, filters, paging
    )
    return page_answer(request, found)


@router.post("", status_code=201, response_model=RecordedEvents)
@audits(Action.RECORD, "execution_log")
@refuses(QuotaExceeded, DocumentTooLarge)
def record_execution_logs(
    access: Recording,
    batch: Annotated[EventBatch[NewExecutionEvent], Depends(batch_of(NewExecutionEvent))],
    once: Once,
    is_import: Import = False,
) -> Response:
    """Record events of executions, one or up to 1,000 (editor, admin)."""
    accepted = execution_logs.record_executions(
        access.context,
        access.caller,
        access.subscription_id,
        batch.map(lambda body: ReportedExecution(**dict(body))),
        is_import=is_import,
        once=once,
    )
    return answer(accepted.shown(), 201)


@router.get("/stats", response_model=statistics_of(execution_logs.ExecutionBucket))
@audits(Action.READ, "execution_log")
def get_execution_statistics(
    access: ReadingLogs, query: Annotated[ExecutionStatisticsQuery, Query()]
) -> Response:
    """Summarize executions by buckets of time and by groups (auditor, admin)."""
    filters = execution_logs.ExecutionFilter(**query.model_dump(exclude={"bucket", "group_by"}))
    found = execution_logs.execution_statistics(
        access.context,
        access.caller,
        access.subscription_id,
        filters,
        bucket=query.bucket,
        group_by=query.group_by,
    )
    return statistics_answer(found)
