"""Executions of workflows, jobs and job packages."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from service.domain.actions import Action
from service.domain.errors import ExecutionNotFound
from service.http.audited_operations import audits
from service.http.auth.access import ReadingLogs
from service.http.description.declarations import refuses
from service.http.exports import FILES, ListFile, list_answer, of_access, whole
from service.http.parameters import Paged
from service.http.responses import answer, page_of
from service.http.schemas.executions import ExecutionsQuery
from service.http.schemas.filters import ReportedId
from service.usecases import executions

router = APIRouter(prefix="/v1/subscriptions/{subscription_id}/executions", tags=["logs"])


@router.get("", response_model=page_of(executions.Execution), responses=FILES)
@audits(Action.READ, "execution_log")
def list_executions(
    request: Request,
    access: ReadingLogs,
    paging: Paged,
    file: ListFile,
    query: Annotated[ExecutionsQuery, Query()],
) -> Response:
    """List executions with state, duration, version and first failure, newest first (auditor, admin)."""
    filters = executions.ExecutionsFilter(**query.model_dump())
    read = partial(executions.page, access.context, access.caller, access.subscription_id, filters)
    given = {"of": "executions", **filters.given()}
    listed = whole("execution_log", executions.Execution, given, read)
    return list_answer(request, file, of_access(access), listed, paging)


@router.get("/{execution_id:path}", response_model=executions.ExecutionWithNodes)
@audits(Action.READ, "execution_log")
@refuses(ExecutionNotFound)
def get_execution(access: ReadingLogs, execution_id: Annotated[ReportedId, Path()]) -> Response:
    """Read an execution with its nodes (auditor, admin)."""
    return answer(executions.read(access.context, access.caller, access.subscription_id, execution_id))
