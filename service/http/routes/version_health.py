"""Health of workflows, jobs and job packages by version."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from service.documents import tabular
from service.domain.actions import Action
from service.http.audited_operations import audits
from service.http.auth.access import ReadingFigures
from service.http.exports import FILES, FiguresFile, of_access
from service.http.parameters import RESOURCE_PATH, Targeted
from service.http.responses import answer
from service.http.schemas.filters import TimeQuery
from service.usecases import version_health

router = APIRouter(prefix=RESOURCE_PATH, tags=["logs"])


@router.get("/health", response_model=version_health.ResourceHealth, responses=FILES)
@audits(Action.READ, "execution_log")
def get_resource_health(
    access: ReadingFigures,
    target: Targeted,
    file: FiguresFile,
    query: Annotated[TimeQuery, Query()],
) -> Response:
    """Compare the executions of a resource by version: failures, durations, and since when they are worse."""
    found = version_health.read(
        access.context,
        access.caller,
        access.subscription_id,
        target.kind,
        target.resource_id,
        since=query.since,
        until=query.until,
    )
    if file is not None:
        columns = tabular.columns_of(version_health.VersionHealth)
        return file.figures(of_access(access), "health", columns, found.versions)
    return answer(found)
