"""Resources of the six kinds: the same calls for each kind, with its parents."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Union
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from service.committer.changes import Amend, Create
from service.domain import ids
from service.domain.actions import Action
from service.domain.ids import ResourceId
from service.domain.resource_kinds import Kind, Place
from service.http.audited_operations import audits
from service.http.auth.access import Reading, Writing
from service.http.bodies import BODY_ERRORS, MERGE_PATCH, body_of
from service.http.description.declarations import reads_body, refuses, sends
from service.http.description.headers import ETAG
from service.http.exports import FILES, ListFile, list_answer, of_access, whole
from service.http.parameters import RESOURCE_PATH, Based, Once, Paged, Targeted
from service.http.responses import answer, page_of
from service.http.schemas.fields import QueryText
from service.http.schemas.resources import NEW, UPDATES, NewResource, ResourceUpdate
from service.usecases import resources

router = APIRouter(prefix="/v1/subscriptions/{subscription_id}", tags=["resources"])

_READ_UPDATE = {kind: body_of(model, media_type=MERGE_PATCH) for kind, model in UPDATES.items()}


@reads_body({MERGE_PATCH: Union[tuple(UPDATES.values())]}, *BODY_ERRORS)  # noqa: UP007 - made of a table
async def _update(request: Request, target: Targeted) -> ResourceUpdate:
    return await _READ_UPDATE[target.kind](request)


def _place(
    workspace_id: UUID | None = None,
    parent_folder_id: UUID | None = None,
    folder_id: UUID | None = None,
    job_id: UUID | None = None,
) -> Place:
    return Place(
        workspace_id=workspace_id, parent_folder_id=parent_folder_id, folder_id=folder_id, job_id=job_id
    )


def _creator(kind: Kind) -> Callable[..., Awaitable[Response]]:
    read = body_of(NEW[kind])

    @sends(ETAG)
    @refuses(*Create.refusals)
    async def create(access: Writing, body: Annotated[NewResource, Depends(read)], once: Once) -> Response:
        change = Create(
            author=access.author,
            kind=kind,
            resource_id=ResourceId(ids.mint()),
            name=body.name,
            description=body.description,
            place=body.place(),
            definition=body.definition,
            once=once,
        )
        resource = await resources.create(access.context, change)
        return answer(resource, 201, etag=resource.git_commit_hash)

    return create


def _lister(kind: Kind) -> Callable[..., Response]:
    def page(
        request: Request,
        access: Reading,
        paging: Paged,
        file: ListFile,
        place: Annotated[Place, Depends(_place)],
        name: Annotated[QueryText | None, Query()] = None,
        include_deleted: bool = False,
    ) -> Response:
        read = partial(
            resources.page,
            access.context,
            access.subscription_id,
            kind,
            place=place,
            name=name,
            include_deleted=include_deleted,
        )
        given = {**place.ids(), "name": name, "include_deleted": include_deleted or None}
        listed = whole(kind, resources.ResourceSummary, given, read)
        return list_answer(request, file, of_access(access), listed, paging)

    return page


for _kind in Kind:
    router.add_api_route(
        f"/{_kind.collection}",
        audits(Action.CREATE, _kind)(_creator(_kind)),
        methods=["POST"],
        status_code=201,
        response_model=resources.Resource,
        name=f"create_{_kind}",
        summary=f"Create a {_kind}; version 1 is committed",
    )
    router.add_api_route(
        f"/{_kind.collection}",
        _lister(_kind),
        methods=["GET"],
        response_model=page_of(resources.ResourceSummary),
        responses=FILES,
        name=f"list_{_kind.collection}",
        summary=f"List the {_kind.collection}, newest first, without bodies",
    )


@router.get(RESOURCE_PATH.removeprefix(router.prefix), response_model=resources.Resource)
@sends(ETAG)
def get_resource(access: Reading, target: Targeted) -> Response:
    """Show a resource with its current definition, deleted or not."""
    resource = resources.get(access.context, access.subscription_id, target.kind, target.resource_id)
    return answer(resource, etag=resource.git_commit_hash)


@router.patch(
    RESOURCE_PATH.removeprefix(router.prefix),
    response_model=resources.Changed,
)
@audits(Action.UPDATE)
@sends(ETAG)
@refuses(*Amend.refusals)
async def update_resource(
    access: Writing,
    target: Targeted,
    body: Annotated[ResourceUpdate, Depends(_update)],
    based: Based,
) -> Response:
    """Set name, description or parent by a merge patch; any difference makes a new version."""
    change = Amend(
        author=access.author,
        kind=target.kind,
        resource_id=target.resource_id,
        wanted=body.model_dump(include=body.model_fields_set),
        if_match=based,
    )
    changed = await resources.amend(access.context, change)
    return answer(changed, etag=changed.git_commit_hash)
