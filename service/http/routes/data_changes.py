"""History of data changes."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from service.domain.actions import Action
from service.domain.errors import DocumentTooLarge, QuotaExceeded
from service.http.audited_operations import audits
from service.http.auth.access import ReadingLogs, Recording
from service.http.description.declarations import refuses
from service.http.event_bodies import EventBody, events_of
from service.http.exports import FILES, ListFile, of_access, whole
from service.http.parameters import LogPaged
from service.http.recording import NOTHING_NEW, Options, recorded
from service.http.responses import expandable_page, page_of
from service.http.schemas.answers import RecordedEvents
from service.http.schemas.data_changes import ChangeQuery, NewDataChangeEvent
from service.usecases import data_changes, log_documents

router = APIRouter(prefix="/v1/subscriptions/{subscription_id}/change-history", tags=["logs"])


@router.get("", response_model=page_of(log_documents.ExpandedChange), responses=FILES)
@audits(Action.READ, "change_history")
async def list_data_changes(
    request: Request,
    access: ReadingLogs,
    paging: LogPaged,
    file: ListFile,
    query: Annotated[ChangeQuery, Query()],
) -> Response:
    """List the data changes, each with its diff to the record before it, newest first (auditor, admin).

    With `expand=data`, changes of resources have the snapshots before and after, `old` and `new`.
    """
    context, subscription_id = access.context, access.subscription_id
    filters = data_changes.DataChangeFilter(**query.model_dump(exclude={"expand"}))
    read = partial(data_changes.change_page, context, access.caller, subscription_id, filters)
    if file is not None:
        listed = whole("change_history", data_changes.DataChange, filters.given(), read)
        return file.whole(of_access(access), listed)
    expanded = partial(read, paging, expand=query.expand)
    expand = partial(log_documents.of_changes, context, subscription_id, purged=access.reads_purged)
    return await expandable_page(request, expanded, None if query.expand is None else expand)


@router.post("", status_code=201, response_model=RecordedEvents, responses=NOTHING_NEW)
@audits(Action.RECORD, "change_history")
@refuses(QuotaExceeded, DocumentTooLarge)
async def record_data_changes(
    request: Request,
    access: Recording,
    body: Annotated[EventBody, Depends(events_of(NewDataChangeEvent))],
    options: Options,
) -> Response:
    """Record changes in the platform's own tables: one, up to 1,000, or any number of lines (editor, admin).

    The changes of each record are numbered without a gap, and the diff of each is computed.
    """
    return await recorded(request, access, body, data_changes.CHANGES, options)
