"""Check-outs: check-out, check-in of one and of many, release, and the list of check-outs."""

from datetime import timedelta
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from service.committer.changes import CheckIn, CheckInMany, Item
from service.domain import etags
from service.domain.actions import Action
from service.domain.errors import (
    AmbiguousRef,
    CheckedOut,
    IfMatchRequired,
    NotCheckedOut,
    NotHolder,
    ResourceDeleted,
    VersionNotFound,
)
from service.domain.ids import ResourceId
from service.http.audited_operations import audits
from service.http.auth.access import Reading, Releasing, Writing
from service.http.bodies import body_of
from service.http.description.declarations import refuses, sends
from service.http.description.headers import ETAG
from service.http.exports import FILES, ListFile, of_access, whole
from service.http.parameters import RESOURCE_PATH, Based, MaybeBased, Once, Paged, Targeted
from service.http.responses import answer, linked
from service.http.schemas.check_outs import CheckInRequest, CheckInsRequest, CheckOutRequest
from service.usecases import check_outs, versions

router = APIRouter(tags=["check-outs"])

_SUBSCRIPTION = "/v1/subscriptions/{subscription_id}"


@router.post(
    f"{RESOURCE_PATH}/check-out",
    response_model=check_outs.CheckedOutDocument,
)
@audits(Action.CHECK_OUT)
@sends(ETAG)
@refuses(ResourceDeleted, CheckedOut, VersionNotFound, AmbiguousRef)
def check_out(
    access: Writing,
    body: Annotated[CheckOutRequest, Depends(body_of(CheckOutRequest, may_be_empty=True))],
    if_match: MaybeBased,
    once: Once,
    target: Targeted,
) -> Response:
    """Take a lease on a resource, and get its content; one's own lease is renewed, another's is 423.

    The content is that of the version that `from` names, by default the current one. The ETag is that of the
    current version.
    """
    found = check_outs.check_out(
        access.context,
        access.author,
        target.kind,
        target.resource_id,
        from_ref=body.from_ref,
        reason=body.reason,
        lease=None if body.ttl_seconds is None else timedelta(seconds=body.ttl_seconds),
        if_match=if_match,
        once=once,
    )
    document = check_outs.CheckedOutDocument(check_out=found.check_out, data=found.data)
    return answer(document, etag=found.current_commit)


@router.post(
    f"{RESOURCE_PATH}/check-in",
    status_code=201,
    response_model=versions.Saved,
    responses={200: {"description": "The content is equal: no version was made; the check-out ended"}},
)
@audits(Action.CHECK_IN)
@sends(ETAG)
@refuses(*CheckIn.refusals)
async def check_in(
    access: Writing,
    body: Annotated[CheckInRequest, Depends(body_of(CheckInRequest, may_be_empty=True))],
    if_match: Based,
    once: Once,
    target: Targeted,
) -> Response:
    """End the check-out with a new version; equal content is 200 and makes no version."""
    change = CheckIn(
        author=access.author,
        kind=target.kind,
        resource_id=target.resource_id,
        definition=body.data,
        comment=body.comment,
        tag=body.tag,
        publish=body.publish,
        if_match=if_match,
        once=once,
    )
    saved = await versions.write(access.context, change)
    return answer(saved, 200 if saved.unchanged else 201, etag=saved.git_commit_hash)


@router.delete(f"{RESOURCE_PATH}/check-out", status_code=204)
@audits(Action.CANCEL_CHECK_OUT)
@refuses(ResourceDeleted, NotCheckedOut, NotHolder)
def release_check_out(
    access: Releasing, if_match: MaybeBased, target: Targeted, force: bool = False
) -> Response:
    """Release one's check-out without a new version; `force=true` ends another's (admin)."""
    check_outs.release(
        access.context,
        access.author,
        target.kind,
        target.resource_id,
        force=force,
        if_match=if_match,
    )
    return Response(status_code=204)


@router.get(f"{_SUBSCRIPTION}/check-outs", response_model=check_outs.CheckOuts, responses=FILES)
def list_check_outs(request: Request, access: Reading, paging: Paged, file: ListFile) -> Response:
    """List the present check-outs, newest first: the caller's own, and the others'."""
    if file is not None:
        read = partial(check_outs.page_of_all, access.context, access.subscription_id)
        listed = whole("check_out", check_outs.HeldCheckOut, {}, read)
        return file.whole(of_access(access), listed)
    found = check_outs.page(access.context, access.subscription_id, access.caller.user_id, paging)
    return linked(request, answer(found), found.next_cursor)


@router.post(
    f"{_SUBSCRIPTION}/check-ins",
    status_code=201,
    response_model=check_outs.CheckedInMany,
    responses={200: {"description": "All contents are equal: no version was made"}},
)
@audits(Action.CHECK_IN, "subscription")
@sends(ETAG)
@refuses(*CheckInMany.refusals, IfMatchRequired)
async def check_in_many(
    access: Writing,
    body: Annotated[CheckInsRequest, Depends(body_of(CheckInsRequest))],
    if_match: MaybeBased,
    once: Once,
) -> Response:
    """Store many resources in one commit, and end one's check-outs of them; all or nothing."""
    change = CheckInMany(
        author=access.author,
        items=tuple(
            Item(
                kind=item.resource_type,
                resource_id=ResourceId(item.resource_id),
                definition=item.data,
                if_match=etags.parse(item.if_match),
            )
            for item in body.items
        ),
        comment=body.comment,
        if_match=if_match,
        once=once,
    )
    demands_if_match = access.caller.demands_if_match
    done = await check_outs.check_in_many(access.context, change, demands_if_match=demands_if_match)
    return answer(done, 200 if done.unchanged else 201, etag=done.commit)
