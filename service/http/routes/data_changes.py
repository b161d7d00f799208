"""History of data changes."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from service.domain.actions import Action
from service.domain.errors import DocumentTooLarge, QuotaExceeded
from service.http.audited_operations import audits
from service.http.auth.access import ReadingLogs, Recording
from service.http.description.declarations import refuses
from service.http.event_bodies import batch_of
from service.http.parameters import Import, Once, Paged
from service.http.responses import answer, expandable_page, page_of
from service.http.schemas.answers import RecordedEvents
from service.http.schemas.data_changes import ChangeQuery, NewDataChange
from service.usecases import data_changes, log_documents
from service.usecases.data_changes import ReportedChange
from service.usecases.event_batches import EventBatch

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


@router.post("", status_code=201, response_model=RecordedEvents)
@audits(Action.RECORD, "change_history")
@refuses(QuotaExceeded, DocumentTooLarge)
def record_data_changes(
    access: Recording,
    batch: Annotated[EventBatch[NewDataChange], Depends(batch_of(NewDataChange))],
    once: Once,
    is_import: Import = False,
) -> Response:
    """Record changes in the platform's own tables, one or up to 1,000 (editor, admin).

    The changes of each record are numbered without a gap, and the diff of each is computed.
    """
    accepted = data_changes.CHANGES.record(
        access.context,
        access.caller,
        access.subscription_id,
        batch.map(lambda body: ReportedChange(**dict(body))),
        is_import=is_import,
        once=once,
    )
    return answer(accepted.shown(), accepted.status)
