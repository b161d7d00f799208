"""Publishing and unpublishing versions."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.committer.changes import SetPublished
from service.domain.actions import Action
from service.http.audited_operations import audits
from service.http.auth.access import Writing
from service.http.bodies import body_of
from service.http.description.declarations import refuses, sends
from service.http.description.headers import ETAG
from service.http.parameters import RESOURCE_PATH, Based, Once, Targeted
from service.http.responses import answer
from service.http.schemas.body import Nothing
from service.usecases import versions

router = APIRouter(prefix=f"{RESOURCE_PATH}/versions/{{ref}}", tags=["versions"])


def _setter(published: bool) -> Callable[..., Awaitable[Response]]:
    @sends(ETAG)
    @refuses(*SetPublished.refusals)
    async def set_published(
        access: Writing,
        _: Annotated[Nothing, Depends(body_of(Nothing, may_be_empty=True))],
        if_match: Based,
        once: Once,
        target: Targeted,
        ref: str,
    ) -> Response:
        change = SetPublished(
            author=access.author,
            kind=target.kind,
            resource_id=target.resource_id,
            ref=ref,
            published=published,
            if_match=if_match,
            once=once,
        )
        version = await versions.write(access.context, change)
        return answer(version, etag=version.git_commit_hash)

    return set_published


for _call, _action, _summary in (
    ("publish", Action.PUBLISH, "Publish a version: it becomes the published one of its resource"),
    ("unpublish", Action.UNPUBLISH, "Withdraw the publication of a version"),
):
    router.add_api_route(
        f"/{_call}",
        audits(_action)(_setter(_call == "publish")),
        methods=["POST"],
        response_model=versions.Saved,
        name=f"{_call}_version",
        summary=_summary,
    )
