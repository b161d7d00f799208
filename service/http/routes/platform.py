"""The platform as a whole: how it is used, and its subscriptions with size and activity."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from service.domain.actions import Action
from service.http.audited_operations import audits
from service.http.auth.access import Creating, ReadingPlatformLogs
from service.http.exports import FILES, ListFile, list_answer, of_caller, whole
from service.http.parameters import Paged
from service.http.requests import context_of
from service.http.responses import answer, page_of
from service.http.schemas.filters import TimeQuery
from service.usecases import platform_overview

router = APIRouter(prefix="/v1/platform", tags=["tenancy"])


@router.get("/figures", response_model=platform_overview.PlatformUse)
@audits(Action.READ, "server_log")
def get_platform_figures(
    request: Request, caller: ReadingPlatformLogs, query: Annotated[TimeQuery, Query()]
) -> Response:
    """Count subscriptions and users, and versions and executions of a time, by default a day (operator)."""
    found = platform_overview.use(context_of(request), caller, since=query.since, until=query.until)
    return answer(found)


@router.get("/subscriptions", response_model=page_of(platform_overview.ListedTenant), responses=FILES)
def list_platform_subscriptions(
    request: Request, caller: Creating, paging: Paged, file: ListFile
) -> Response:
    """List all subscriptions with size and activity, newest first (operator)."""
    read = partial(platform_overview.tenants, context_of(request), caller)
    listed = whole("subscription", platform_overview.ListedTenant, {}, read)
    return list_answer(request, file, of_caller(request, caller), listed, paging)
