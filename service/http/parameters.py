"""Parameters of routes: the resource of a path, pages, and the headers If-Match and Idempotency-Key."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Literal

from fastapi import Depends, Path, Query, Request
from starlette.convertors import Convertor, register_url_convertor

from service.domain import etags, ids
from service.domain.callers import Caller
from service.domain.errors import (
    IfMatchRequired,
    Invalid,
    KeyReused,
    RequestInFlight,
    ResourceNotFound,
    StaleVersion,
)
from service.domain.etags import Match
from service.domain.idempotency import HEADER, Attempt, BodyDigests
from service.domain.ids import ResourceId
from service.domain.pagination import DEFAULT_LIMIT, MAX_LIMIT, Paging
from service.domain.resource_kinds import KIND_OF_COLLECTION, Kind
from service.http.description.declarations import reads, refuses, sends
from service.http.description.headers import IDEMPOTENCY_KEY, IF_MATCH, LINK
from service.http.schemas.fields import QueryInteger

# Printable ASCII, as RFC 9110 wants a header's value; 255 characters are enough for any kind of unique id.
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")


@reads(IDEMPOTENCY_KEY)
@refuses(Invalid, KeyReused, RequestInFlight)
async def _attempt_of(request: Request) -> Attempt | None:
    """Attempt of this call; None if it has no key. It runs after the body is read, for the body's digests."""
    return attempt_with(request, lambda: request.state.body_digests)


def attempt_with(request: Request, digests: Callable[[], BodyDigests]) -> Attempt | None:
    """Make the attempt of a call by its Idempotency-Key and its body; None if it has no key.

    Raises Invalid for a malformed key.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        detail = "a key is 1 to 255 printable ASCII characters"
        raise Invalid.of(HEADER, detail)
    caller: Caller = request.state.caller
    return Attempt.of(
        caller=str(caller.user_id or caller.role),
        method=request.method,
        path=request.url.path,
        key=key,
        body=digests(),
    )


Once = Annotated[Attempt | None, Depends(_attempt_of)]


@reads(IF_MATCH)
@refuses(StaleVersion)
async def if_match_of(request: Request) -> Match | None:
    """Commits that `If-Match` names; None if the header is missing."""
    lines = request.headers.getlist("if-match")
    return etags.parse(", ".join(lines)) if lines else None


@reads(IF_MATCH)
@refuses(StaleVersion, IfMatchRequired)
async def demanded_if_match_of(request: Request) -> Match | None:
    """Commits that `If-Match` names; raises IfMatchRequired if the subscription demands the header."""
    match = await if_match_of(request)
    caller: Caller = request.state.caller
    if match is None and caller.demands_if_match:
        raise IfMatchRequired("This subscription takes such changes only with If-Match: send the ETag.")
    return match


# Based is for changes of content, tags and publications; MaybeBased for comments, check-outs and bulk
# check-ins, which never demand the header.
Based = Annotated[Match | None, Depends(demanded_if_match_of)]
MaybeBased = Annotated[Match | None, Depends(if_match_of)]


@dataclass(frozen=True, slots=True)
class Target:
    """Resource that a path names; the use case finds out if it exists."""

    kind: Kind
    named: str

    @property
    def resource_id(self) -> ResourceId:
        """Id of the resource; raises ResourceNotFound if the text is not an id.

        Routes read it when all other input is valid: of all refusals, this 404 comes last.
        """
        found = ids.parse(self.named)
        if found is None:
            raise ResourceNotFound(f"There is no {self.kind} {self.named!r} in this subscription.")
        return ResourceId(found)


# True if the events may be of any past: see `Arrival.time_fault`. `Recording` checks the right for it.
Import = Annotated[bool, Query(alias="import", description="take events of any past (admin)")]

# An id in a path. Any other text names nothing, and is answered by 404.
PathId = Annotated[str, Path(json_schema_extra={"format": "uuid"})]


class Collection(StrEnum):
    """The resources of one kind, as paths name them."""

    WORKSPACES = Kind.WORKSPACE.collection
    FOLDERS = Kind.FOLDER.collection
    JOBS = Kind.JOB.collection
    WORKFLOWS = Kind.WORKFLOW.collection
    JOBPACKAGES = Kind.JOBPACKAGE.collection
    CONNECTORS = Kind.CONNECTOR.collection


class CollectionConvertor(Convertor[str]):
    """Restrict a path parameter to the names of collections, so that the paths of other nouns don't fit."""

    regex = "|".join(Collection)

    def convert(self, value: str) -> str:
        """Read the collection's name from a path, unchanged."""
        return value

    def to_string(self, value: str) -> str:
        """Write the collection's name into a path, unchanged."""
        return value


register_url_convertor("collection", CollectionConvertor())

RESOURCE_PATH = "/v1/subscriptions/{subscription_id}/{collection:collection}/{resource_id}"


@refuses(ResourceNotFound)
async def _target(
    collection: Collection,
    resource_id: PathId,
) -> Target:
    return Target(KIND_OF_COLLECTION[collection], resource_id)


Targeted = Annotated[Target, Depends(_target)]


@sends(LINK)
@refuses(Invalid)
async def _paging(
    limit: Annotated[QueryInteger, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
    cursor: Annotated[str | None, Query(max_length=1000, pattern=r"^[A-Za-z0-9_-]+$")] = None,
) -> Paging:
    return Paging(limit, cursor)


Paged = Annotated[Paging, Depends(_paging)]


@refuses(Invalid)
async def _log_paging(
    paging: Paged,
    order: Annotated[
        Literal["commit"] | None,
        Query(description="ascending in the order of commits; `next_cursor` is never null"),
    ] = None,
    begin: Annotated[
        Literal["now"] | None,
        Query(
            alias="from",
            description="leave out the rows that are there (with order=commit, until there is a cursor)",
        ),
    ] = None,
) -> Paging:
    if begin is not None and order is None:
        detail = "goes with order=commit"
        raise Invalid.of("from", detail)
    return replace(paging, in_commit_order=order is not None, begins_now=begin is not None)


# Pages of a log, which can be followed.
LogPaged = Annotated[Paging, Depends(_log_paging)]
