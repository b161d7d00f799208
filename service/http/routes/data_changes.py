"""History of data changes."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from service.domain.actions import Action
from service.http.audited_operations import audits
from service.http.auth.access import ReadingLogs
from service.http.parameters import Paged
from service.http.responses import expandable_page, page_of
from service.http.schemas.data_changes import ChangeQuery
from service.usecases import data_changes, log_documents

router = APIRouter(prefix="/v1/subscriptions/{subscription_id}/change-history", tags=["logs"])


@router.get("", response_model=page_of(log_documents.ExpandedChange))
@audits(Action.READ, "change_history")
async def list_data_changes(
    request: Request, access: ReadingLogs, paging: Paged, query: Annotated[ChangeQuery, Query()]
) -> Response:
    """List the data changes, each with its diff to the record before it, newest first (auditor, admin).

    With `expand=data`, changes of resources have the snapshots before and after, `old` and `new`.
    """
    context, subscription_id = access.context, access.subscription_id
    filters = data_changes.DataChangeFilter(**query.model_dump(exclude={"expand"}))
    read = partial(
        data_changes.change_page,
        context,
        access.caller,
        subscription_id,
        filters,
        paging,
        expand=query.expand,
    )
    expand = partial(log_documents.of_changes, context, subscription_id, purged=access.reads_purged)
    return await expandable_page(request, read, None if query.expand is None else expand)
