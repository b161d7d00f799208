"""Versions of a resource: history, reading, saving, rollback."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, Response
from starlette.concurrency import run_in_threadpool

from service.answers import answer, page_answer, page_of, takes
from service.deps import RESOURCE_PATH, Paged, Reading, Targeted, Writing, body_of
from service.schemas import NewVersion, RollbackRequest
from service.usecases import versions

router = APIRouter(prefix=RESOURCE_PATH, tags=["versions"])


@router.get("/versions", response_model=page_of(versions.Version))
def list_versions(request: Request, access: Reading, target: Targeted, paging: Paged) -> Response:
    """The history, newest first, without bodies."""
    found = versions.page(access.context, access.subscription_id, target.kind, target.resource_id, paging)
    return page_answer(request, found)


@router.get("/versions/{ref}", response_model=versions.VersionWithData)
def get_version(access: Reading, target: Targeted, ref: str) -> Response:
    """The version of a number, tag or commit, or `current`, `published`, `previous`."""
    version = versions.get(access.context, access.subscription_id, target.kind, target.resource_id, ref)
    return answer(version, etag=version.git_commit_hash)


@router.get("/versions/{ref}/data")
def get_version_data(
    access: Reading, target: Targeted, ref: str, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """The canonical bytes of the snapshot; 304 where the client has them."""
    data = versions.data(access.context, access.subscription_id, target.kind, target.resource_id, ref)
    headers = {"ETag": f'"{data.commit}"'}
    if versions.has(if_none_match, data.commit):
        return Response(status_code=304, headers=headers)
    return Response(data.content, headers=headers, media_type="application/json")


@router.post("/versions", status_code=201, response_model=versions.Saved, openapi_extra=takes(NewVersion))
async def save_version(
    access: Writing, body: Annotated[NewVersion, Depends(body_of(NewVersion))], target: Targeted
) -> Response:
    """Store the next version; equal content is 200 and makes none."""
    saved = await versions.save(
        access.context,
        access.author,
        target.kind,
        target.resource_id,
        definition=body.data,
        description=body.description,
        tag=body.tag,
    )
    return answer(saved, 200 if saved.unchanged else 201, etag=saved.git_commit_hash)


@router.post(
    "/rollback", status_code=201, response_model=versions.Saved, openapi_extra=takes(RollbackRequest)
)
async def roll_back(
    access: Writing, body: Annotated[RollbackRequest, Depends(body_of(RollbackRequest))], target: Targeted
) -> Response:
    """Make a version with the definition and description of an older one."""
    older = await run_in_threadpool(
        versions.rollback_target,
        access.context,
        access.subscription_id,
        target.kind,
        target.resource_id,
        body.to,
    )
    saved = await versions.roll_back(
        access.context,
        access.author,
        target.kind,
        target.resource_id,
        target=older,
        comment=body.comment,
    )
    return answer(saved, 200 if saved.unchanged else 201, etag=saved.git_commit_hash)
