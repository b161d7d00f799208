"""The tree of resources as it was."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from service.answers import answer, linked
from service.deps import Paged, Reading
from service.kinds import Kind
from service.schemas import Point
from service.usecases import past

router = APIRouter(tags=["resources"])


@router.get("/v1/subscriptions/{subscription_id}/at/{moment}", response_model=past.TreeThen)
def list_resources_then(
    request: Request,
    access: Reading,
    moment: Annotated[Point, Path()],
    paging: Paged,
    resource_type: Kind | None = None,
) -> Response:
    """What there was at a commit or an instant, newest first: versions, what was published, who held what."""
    found = past.page(access.context, access.subscription_id, moment, resource_type, paging)
    return linked(request, answer(found), found.next_cursor)
