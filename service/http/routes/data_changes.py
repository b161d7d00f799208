"""History of data changes."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from service.domain.actions import Action
from service.http.audited_operations import audits
from service.http.auth.access import ReadingLogs
from service.http.parameters import Paged
from service.http.responses import page_answer, page_of
from service.http.schemas.logs import ChangeQuery
from service.usecases import data_changes

router = APIRouter(prefix="/v1/subscriptions/{subscription_id}/change-history", tags=["logs"])


@router.get("", response_model=page_of(data_changes.DataChange))
@audits(Action.READ, "change_history")
def list_data_changes(
    request: Request, access: ReadingLogs, paging: Paged, query: Annotated[ChangeQuery, Query()]
) -> Response:
    """List the data changes, each with its diff to the record before it, newest first (auditor, admin)."""
    filters = data_changes.DataChangeFilter(**query.model_dump())
    found = data_changes.change_page(access.context, access.caller, access.subscription_id, filters, paging)
    return page_answer(request, found)
