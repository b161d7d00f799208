"""Comments on versions."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from service.domain.actions import Action
from service.domain.errors import AmbiguousRef, ResourceDeleted, VersionNotFound
from service.domain.pagination import Page, Paging
from service.http.audited_operations import audits
from service.http.auth.access import Reading, Writing
from service.http.bodies import body_of
from service.http.description.declarations import refuses
from service.http.exports import FILES, ListFile, list_answer, of_access, whole
from service.http.parameters import RESOURCE_PATH, MaybeBased, Once, Paged, Targeted
from service.http.responses import answer, page_of
from service.http.schemas.versions import CommentRequest
from service.usecases import comments

router = APIRouter(prefix=f"{RESOURCE_PATH}/versions/{{ref}}/comments", tags=["versions"])


@router.get("", response_model=page_of(comments.Comment), responses=FILES)
@refuses(VersionNotFound, AmbiguousRef)
def list_comments(
    request: Request, access: Reading, target: Targeted, ref: str, paging: Paged, file: ListFile
) -> Response:
    """List the comments on a version, newest first."""
    kind, resource_id = target.kind, target.resource_id

    def read(paging: Paging) -> Page[comments.Comment]:
        purged = access.reads_purged
        return comments.page(
            access.context, access.subscription_id, kind, resource_id, ref, paging, purged=purged
        )

    filters = {"of": "comments", "resource_id": resource_id, "ref": ref}
    listed = whole(kind, comments.Comment, filters, read)
    return list_answer(request, file, of_access(access), listed, paging)


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
