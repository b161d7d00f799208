"""Tree of resources at an earlier time."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from service.domain.errors import AmbiguousRef, CommitNotFound
from service.domain.pagination import Page, Paging
from service.http.auth.access import Reading
from service.http.description.declarations import refuses
from service.http.exports import FILES, ListFile, of_access, whole
from service.http.parameters import Paged
from service.http.responses import answer, linked
from service.http.schemas.fields import Point
from service.http.schemas.filters import KindQuery
from service.usecases import as_of

router = APIRouter(tags=["resources"])


@router.get("/v1/subscriptions/{subscription_id}/at/{moment}", response_model=as_of.TreeThen, responses=FILES)
@refuses(CommitNotFound, AmbiguousRef)
def list_resources_at(
    request: Request,
    access: Reading,
    moment: Annotated[Point, Path()],
    paging: Paged,
    file: ListFile,
    narrow: Annotated[KindQuery, Query()],
) -> Response:
    """List the resources with version, publication and check-out at a commit or an instant, newest first."""
    tree = partial(as_of.page, access.context, access.subscription_id, moment, narrow.resource_type)
    if file is None:
        found = tree(paging)
        return linked(request, answer(found), found.next_cursor)

    def read(paging: Paging) -> Page[as_of.ResourceThen]:
        part = tree(paging)
        return Page(part.items, part.next_cursor)

    given = {"of": "then", "moment": moment, **narrow.model_dump(exclude_none=True)}
    return file.whole(of_access(access), whole("subscription", as_of.ResourceThen, given, read))
