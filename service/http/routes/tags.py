"""Tags of versions."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.domain.actions import Action
from service.http.audited_operations import audits
from service.http.auth.access import Writing
from service.http.bodies import body_of
from service.http.parameters import RESOURCE_PATH, Based, Targeted
from service.http.responses import answer, takes
from service.http.schemas.versions import TagRequest
from service.usecases import tags, versions

router = APIRouter(prefix=f"{RESOURCE_PATH}/versions/{{ref}}/tag", tags=["versions"])


@router.put("", response_model=versions.Saved, openapi_extra=takes(TagRequest))
@audits(Action.TAG)
async def put_tag(
    access: Writing,
    body: Annotated[TagRequest, Depends(body_of(TagRequest))],
    if_match: Based,
    target: Targeted,
    ref: str,
) -> Response:
    """Name a version, in place of the tag that it has; a name of another version is 409."""
    tagged = await tags.set_tag(
        access.context,
        access.author,
        target.kind,
        target.resource_id,
        ref,
        body.tag,
        if_match=if_match,
    )
    return answer(tagged, etag=tagged.git_commit_hash)


@router.delete("", response_model=versions.Saved)
@audits(Action.UNTAG)
async def delete_tag(access: Writing, if_match: Based, target: Targeted, ref: str) -> Response:
    """Take a version's tag away."""
    untagged = await tags.set_tag(
        access.context, access.author, target.kind, target.resource_id, ref, None, if_match=if_match
    )
    return answer(untagged, etag=untagged.git_commit_hash)
