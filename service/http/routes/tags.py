"""Tags of versions."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.committer.changes import SetTag
from service.domain.actions import Action
from service.domain.etags import Match
from service.http.audited_operations import audits
from service.http.auth.access import Access, Writing
from service.http.bodies import body_of
from service.http.description.declarations import refuses, sends
from service.http.description.headers import ETAG
from service.http.parameters import RESOURCE_PATH, Based, Target, Targeted
from service.http.responses import answer
from service.http.schemas.versions import TagRequest
from service.usecases import versions

router = APIRouter(prefix=f"{RESOURCE_PATH}/versions/{{ref}}/tag", tags=["versions"])


@router.put("", response_model=versions.Saved)
@audits(Action.TAG)
@sends(ETAG)
@refuses(*SetTag.refusals)
async def put_tag(
    access: Writing,
    body: Annotated[TagRequest, Depends(body_of(TagRequest))],
    if_match: Based,
    target: Targeted,
    ref: str,
) -> Response:
    """Set a version's tag, in place of its present one; a tag of another version is 409."""
    return await _set_tag(access, target, ref, body.tag, if_match)


@router.delete("", response_model=versions.Saved)
@audits(Action.UNTAG)
@sends(ETAG)
@refuses(*SetTag.refusals)
async def delete_tag(access: Writing, if_match: Based, target: Targeted, ref: str) -> Response:
    """Remove a version's tag."""
    return await _set_tag(access, target, ref, None, if_match)


async def _set_tag(
    access: Access, target: Target, ref: str, tag: str | None, if_match: Match | None
) -> Response:
    change = SetTag(
        author=access.author,
        kind=target.kind,
        resource_id=target.resource_id,
        ref=ref,
        tag=tag,
        if_match=if_match,
    )
    version = await versions.write(access.context, change)
    return answer(version, etag=version.git_commit_hash)
