"""Rollbacks of a resource, or of all below a folder, a workspace or the subscription."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.committer.changes import RollBack, RollBackMany
from service.domain.actions import Action
from service.http.audited_operations import audits
from service.http.auth.access import Writing
from service.http.bodies import body_of
from service.http.description.declarations import refuses, sends
from service.http.description.headers import ETAG
from service.http.parameters import RESOURCE_PATH, Based, Once, Targeted
from service.http.responses import answer
from service.http.schemas.answers import RollbackPreview
from service.http.schemas.versions import RollbackManyRequest, RollbackRequest
from service.usecases import rollbacks, versions

router = APIRouter(tags=["rollback"])


@router.post(
    f"{RESOURCE_PATH}/rollback",
    status_code=201,
    response_model=versions.Saved,
    responses={
        200: {
            "model": versions.Saved | RollbackPreview,
            "description": "Nothing to change: no version was made; or the preview of a dry run",
        }
    },
)
@audits(Action.ROLLBACK)
@sends(ETAG)
@refuses(*RollBack.refusals)
async def roll_back(
    access: Writing,
    body: Annotated[RollbackRequest, Depends(body_of(RollbackRequest))],
    if_match: Based,
    once: Once,
    target: Targeted,
) -> Response:
    """Make a version with the definition and description of an older one; `dry_run` only returns the diff."""
    change = RollBack(
        author=access.author,
        kind=target.kind,
        resource_id=target.resource_id,
        to=body.to,
        comment=body.comment,
        dry_run=body.dry_run,
        if_match=if_match,
        once=once,
    )
    done = await rollbacks.roll_back(access.context, change)
    if not isinstance(done, versions.Saved):
        return answer(done)
    return answer(done, 200 if done.unchanged else 201, etag=done.git_commit_hash)


@router.post(
    "/v1/subscriptions/{subscription_id}/rollback",
    status_code=201,
    response_model=rollbacks.RolledBackMany,
    responses={200: {"description": "Nothing to change: no version was made; or a dry run"}},
)
@audits(Action.ROLLBACK, "subscription")
@sends(ETAG)
@refuses(*RollBackMany.refusals)
async def roll_back_many(
    access: Writing,
    body: Annotated[RollbackManyRequest, Depends(body_of(RollbackManyRequest))],
    if_match: Based,
    once: Once,
) -> Response:
    """Roll back all below a folder or workspace, or everything, to a commit or an instant; all or none."""
    change = RollBackMany(
        author=access.author,
        to=body.to,
        root=body.root(),
        comment=body.comment,
        dry_run=body.dry_run,
        if_match=if_match,
        once=once,
    )
    done = await rollbacks.roll_back_many(access.context, change)
    return answer(done, 200 if done.commit is None else 201, etag=done.commit)
