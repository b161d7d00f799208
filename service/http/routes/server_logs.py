"""Server log."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from service.domain.actions import Action
from service.http.audited_operations import audits
from service.http.auth.access import ReadingLogs, ReadingPlatformLogs
from service.http.parameters import Paged
from service.http.requests import context_of
from service.http.responses import page_answer, page_of
from service.http.schemas.server_logs import PlatformServerLogQuery, ServerLogQuery
from service.usecases import server_logs

router = APIRouter(prefix="/v1", tags=["logs"])


@router.get("/subscriptions/{subscription_id}/server-logs", response_model=page_of(server_logs.ServerEvent))
@audits(Action.READ, "server_log")
def list_server_logs(
    request: Request, access: ReadingLogs, paging: Paged, query: Annotated[ServerLogQuery, Query()]
) -> Response:
    """List the requests of this subscription's callers, newest first (auditor, admin)."""
    filters = server_logs.ServerLogFilter(**query.model_dump())
    found = server_logs.server_page(access.context, access.caller, access.subscription_id, filters, paging)
    return page_answer(request, found)


@router.get("/server-logs", response_model=page_of(server_logs.ServerEvent))
@audits(Action.READ, "server_log")
def list_platform_server_logs(
    request: Request,
    caller: ReadingPlatformLogs,
    paging: Paged,
    query: Annotated[PlatformServerLogQuery, Query()],
) -> Response:
    """List all requests, also those of unknown callers, newest first (operator)."""
    filters = server_logs.ServerLogFilter(**query.model_dump())
    found = server_logs.server_page(context_of(request), caller, None, filters, paging)
    return page_answer(request, found)
