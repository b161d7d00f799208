"""Versions of a resource: history, reading, diffs, saving."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from service.committer.changes import Save
from service.domain import etags
from service.domain.actions import Action
from service.domain.errors import AmbiguousRef, VersionNotFound
from service.domain.pagination import Page, Paging
from service.http.audited_operations import audits
from service.http.auth.access import Reading, Writing
from service.http.bodies import body_of
from service.http.description.declarations import reads, refuses, sends
from service.http.description.headers import ETAG, IF_NONE_MATCH
from service.http.exports import FILES, ListFile, list_answer, of_access, whole
from service.http.parameters import RESOURCE_PATH, Based, Once, Paged, Targeted
from service.http.responses import answer, page_of
from service.http.schemas.answers import ResourceSnapshot, VersionDiff
from service.http.schemas.versions import DiffQuery, NewVersion, VersionQuery
from service.usecases import diffs, versions

router = APIRouter(prefix=RESOURCE_PATH, tags=["versions"])


@router.get("/versions", response_model=page_of(versions.Version), responses=FILES)
def list_versions(
    request: Request,
    access: Reading,
    target: Targeted,
    paging: Paged,
    file: ListFile,
    narrow: Annotated[VersionQuery, Query()],
) -> Response:
    """List the versions, newest first, without bodies."""
    given = narrow.model_dump(exclude_none=True)
    kind, resource_id = target.kind, target.resource_id

    def read(paging: Paging) -> Page[versions.Version]:
        purged = access.reads_purged
        return versions.page(
            access.context, access.subscription_id, kind, resource_id, given, paging, purged=purged
        )

    listed = whole(kind, versions.Version, {"resource_id": resource_id, **given}, read)
    return list_answer(request, file, of_access(access), listed, paging)


@router.get("/versions/{ref}", response_model=versions.VersionWithData)
@sends(ETAG)
@refuses(VersionNotFound, AmbiguousRef)
def get_version(access: Reading, target: Targeted, ref: str) -> Response:
    """Show the version of a number, tag or commit, or `current`, `published`, `previous`."""
    version = versions.get(
        access.context,
        access.subscription_id,
        target.kind,
        target.resource_id,
        ref,
        purged=access.reads_purged,
    )
    return answer(version, etag=version.git_commit_hash)


@router.get(
    "/versions/{ref}/data",
    response_model=ResourceSnapshot,
    responses={304: {"description": "The client has these bytes"}},
)
@reads(IF_NONE_MATCH)
@sends(ETAG)
@refuses(VersionNotFound, AmbiguousRef)
def get_version_data(
    access: Reading, target: Targeted, ref: str, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """Show the canonical bytes of the snapshot; 304 if the client has them."""
    data = versions.data(
        access.context,
        access.subscription_id,
        target.kind,
        target.resource_id,
        ref,
        purged=access.reads_purged,
    )
    # A commit never changes: a client may keep its bytes, and asks each time if the key may still read them.
    headers = {"ETag": f'"{data.commit}"', "Cache-Control": "private, no-cache"}
    known = etags.parse(if_none_match)
    if known is not None and etags.names(known, data.commit):
        return Response(status_code=304, headers=headers)
    return Response(data.content, headers=headers, media_type="application/json")


@router.get("/diff", response_model=VersionDiff)
@refuses(VersionNotFound, AmbiguousRef)
async def get_diff(access: Reading, target: Targeted, between: Annotated[DiffQuery, Query()]) -> Response:
    """Compare two versions, `previous` and `current` unless others are named."""
    found: dict[str, Any] = await diffs.between(
        access.context,
        access.subscription_id,
        target.kind,
        target.resource_id,
        from_ref=between.from_ref,
        to_ref=between.to_ref,
        purged=access.reads_purged,
    )
    return answer(found)


@router.post(
    "/versions",
    status_code=201,
    response_model=versions.Saved,
    responses={200: {"description": "The content is equal: no version was made"}},
)
@audits(Action.UPDATE)
@sends(ETAG)
@refuses(*Save.refusals)
async def save_version(
    access: Writing,
    body: Annotated[NewVersion, Depends(body_of(NewVersion))],
    if_match: Based,
    once: Once,
    target: Targeted,
) -> Response:
    """Store the next version; equal content is 200 and makes no version."""
    save = Save(
        author=access.author,
        kind=target.kind,
        resource_id=target.resource_id,
        definition=body.data,
        description=body.description,
        tag=body.tag,
        publish=body.publish,
        if_match=if_match,
        once=once,
    )
    saved = await versions.write(access.context, save)
    return answer(saved, 200 if saved.unchanged else 201, etag=saved.git_commit_hash)
