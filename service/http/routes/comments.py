"""Comments on versions."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from service.domain.actions import Action
from service.domain.errors import AmbiguousRef, ResourceDeleted, VersionNotFound
from service.http.audited_operations import audits
from service.http.auth.access import Reading, Writing
from service.http.bodies import body_of
from service.http.description.declarations import refuses
from service.http.parameters import RESOURCE_PATH, MaybeBased, Once, Paged, Targeted
from service.http.responses import answer, page_answer, page_of
from service.http.schemas.versions import CommentRequest
from service.usecases import comments

router = APIRouter(prefix=f"{RESOURCE_PATH}/versions/{{ref}}/comments", tags=["versions"])


@router.get("", response_model=page_of(comments.Comment))
@refuses(VersionNotFound, AmbiguousRef)
def list_comments(request: Request, access: Reading, target: Targeted, ref: str, paging: Paged) -> Response:
    """List the comments on a version, newest first."""
    found = comments.page(
        access.context,
        access.subscription_id,
        target.kind,
        target.resource_id,
        ref,
        paging,
        purged=access.reads_purged,
    )
    return page_answer(request, found)


@router.post("", status_code=201, response_model=comments.Comment)
@audits(Action.COMMENT)
@refuses(VersionNotFound, AmbiguousRef, ResourceDeleted)
def add_comment(
    access: Writing,
    body: Annotated[CommentRequest, Depends(body_of(CommentRequest))],
    if_match: MaybeBased,
    once: Once,
    target: Targeted,
    ref: str,
) -> Response:
    """Comment on a version."""
    comment = comments.add(
        access.context,
        access.author,
        target.kind,
        target.resource_id,
        ref,
        body.text,
        if_match=if_match,
        once=once,
    )
    return answer(comment, 201)
