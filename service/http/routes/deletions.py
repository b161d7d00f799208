"""Deletions of resources: deleting, listing and restoring."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from service.committer.changes import Delete, Purge, Resolution, Restore
from service.domain import ids
from service.domain.actions import Action
from service.domain.errors import DeletionNotFound, DocumentTooLarge, QuotaExceeded
from service.http.audited_operations import audits
from service.http.auth.access import Deleting, Reading, Recording, Writing
from service.http.bodies import body_of
from service.http.description.declarations import refuses
from service.http.event_bodies import EventBody, events_of
from service.http.exports import FILES, ListFile, list_answer, of_access, whole
from service.http.parameters import RESOURCE_PATH, Based, Once, Paged, PathId, Targeted
from service.http.recording import NOTHING_NEW, Options, recorded
from service.http.responses import answer, page_of
from service.http.schemas.answers import RecordedEvents
from service.http.schemas.deletions import DeletionQuery, NewDeletionEvent, RestoreRequest
from service.http.schemas.fields import QueryInteger, QueryReason
from service.usecases import deletions
from service.usecases.posted_deletions import DELETIONS

router = APIRouter(tags=["deletions"])
_DELETIONS = "/v1/subscriptions/{subscription_id}/deletions"


@refuses(DeletionNotFound)
async def _deletion_id(deletion_id: PathId) -> UUID:
    found = ids.parse(deletion_id)
    if found is None:
        raise DeletionNotFound(f"There is no deletion {deletion_id!r} in this subscription.")
    return found


Named = Annotated[UUID, Depends(_deletion_id)]


@router.delete(RESOURCE_PATH, response_model=deletions.DeletionMade)
@audits(Action.DELETE)
@refuses(*Delete.refusals, *Purge.refusals)
async def delete_resource(
    access: Deleting,
    target: Targeted,
    based: Based,
    reason: Annotated[QueryReason | None, Query()] = None,
    force: bool = False,
    permanent: bool = False,
    restore_days: Annotated[QueryInteger | None, Query(ge=1)] = None,
) -> Response:
    """Delete a resource and all below it; for `restore_days` they can be restored.

    `permanent` deletes a deleted resource for good. `force` ends others' check-outs in it. Both are for
    admins.
    """
    term = deletions.restore_term(access.context, restore_days, permanent=permanent)
    context, author, kind, resource_id = access.context, access.author, target.kind, target.resource_id
    change: Delete | Purge
    if permanent:
        change = Purge(author=author, kind=kind, resource_id=resource_id, reason=reason, if_match=based)
    else:
        change = Delete(
            author=author,
            kind=kind,
            resource_id=resource_id,
            reason=reason,
            force=force,
            restorable_for=term,
            if_match=based,
        )
    return answer(await deletions.delete(context, change))


@router.get(_DELETIONS, response_model=page_of(deletions.Deletion), responses=FILES)
def list_deletions(
    request: Request,
    access: Reading,
    paging: Paged,
    file: ListFile,
    narrow: Annotated[DeletionQuery, Query()],
) -> Response:
    """List deletions, newest first; `cascade_level` is 0 for a root, more for resources deleted with it."""
    filters = deletions.filter_of(**narrow.model_dump())
    read = partial(deletions.page, access.context, access.subscription_id, filters)
    listed = whole("deletion", deletions.Deletion, filters.given(), read)
    return list_answer(request, file, of_access(access), listed, paging)


@router.post(_DELETIONS, status_code=201, response_model=RecordedEvents, responses=NOTHING_NEW)
@audits(Action.RECORD, "deletion")
@refuses(QuotaExceeded, DocumentTooLarge)
async def record_deletions(
    request: Request,
    access: Recording,
    body: Annotated[EventBody, Depends(events_of(NewDeletionEvent))],
    options: Options,
) -> Response:
    """Record deletions in a platform's systems: one, up to 1,000, or any number of lines (editor, admin).

    Annals shows them, and can't restore them.
    """
    return await recorded(request, access, body, DELETIONS, options)


@router.get(f"{_DELETIONS}/{{deletion_id}}", response_model=deletions.DeletionWithData)
def get_deletion(access: Reading, deletion_id: Named) -> Response:
    """Show a deletion with the resource's snapshot; after deletion for good, to admins only."""
    found = deletions.get(access.context, access.subscription_id, deletion_id, purged=access.reads_purged)
    return answer(found)


@router.post(
    f"{_DELETIONS}/{{deletion_id}}/restore",
    response_model=deletions.Restoration,
)
@audits(Action.RESTORE, "deletion", id_in="deletion_id")
@refuses(*Restore.refusals)
async def restore_deletion(
    access: Writing,
    body: Annotated[RestoreRequest, Depends(body_of(RestoreRequest, may_be_empty=True))],
    once: Once,
    deletion_id: Named,
) -> Response:
    """Restore exactly the deleted resources, with their ids, names and places; `dry_run` only lists them."""
    resolve = body.resolve
    resolution = Resolution() if resolve is None else Resolution(**resolve.model_dump())
    change = Restore(
        author=access.author,
        deletion_id=deletion_id,
        resolution=resolution,
        dry_run=body.dry_run,
        once=once,
    )
    return answer(await deletions.restore(access.context, change))
