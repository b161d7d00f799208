"""Check-out, check-in, cancel."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.answers import answer, takes
from service.deps import RESOURCE_PATH, Targeted, Writing, body_of
from service.schemas import CheckInRequest, CheckOutRequest
from service.usecases import checkouts, versions

router = APIRouter(prefix=RESOURCE_PATH, tags=["check-outs"])


@router.post(
    "/check-out",
    response_model=checkouts.CheckedOutDocument,
    openapi_extra=takes(CheckOutRequest, required=False),
)
def check_out(
    access: Writing,
    body: Annotated[CheckOutRequest, Depends(body_of(CheckOutRequest, may_be_empty=True))],
    target: Targeted,
) -> Response:
    """Take the lease on a resource and its content; one's own is renewed, another's is 423."""
    found = checkouts.check_out(
        access.context,
        access.author,
        target.kind,
        target.resource_id,
        reason=body.reason,
        lease=None if body.ttl_seconds is None else timedelta(seconds=body.ttl_seconds),
    )
    return answer(found, etag=found.check_out.commit)


@router.post(
    "/check-in",
    status_code=201,
    response_model=versions.Saved,
    openapi_extra=takes(CheckInRequest, required=False),
)
async def check_in(
    access: Writing,
    body: Annotated[CheckInRequest, Depends(body_of(CheckInRequest, may_be_empty=True))],
    target: Targeted,
) -> Response:
    """End the check-out with a new version; equal content is 200 and makes none."""
    saved = await checkouts.check_in(
        access.context,
        access.author,
        target.kind,
        target.resource_id,
        definition=body.data,
        comment=body.comment,
        tag=body.tag,
    )
    return answer(saved, 200 if saved.unchanged else 201, etag=saved.git_commit_hash)


@router.delete("/check-out", status_code=204)
def cancel_check_out(access: Writing, target: Targeted) -> Response:
    """Give one's check-out back without a new version."""
    checkouts.cancel(access.context, access.author, target.kind, target.resource_id)
    return Response(status_code=204)
