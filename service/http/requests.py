"""What routes depend on, in the order of refusal: 401, 404 (tenant), 403, 413, 415, 400/422, 404."""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Annotated, cast
from uuid import UUID

from fastapi import Depends, Path, Query, Request
from starlette.convertors import Convertor, register_url_convertor

from service.domain import etags, ids
from service.domain.callers import Caller, Origin, Role
from service.domain.errors import (
    AnnalsError,
    Fault,
    IfMatchRequired,
    Invalid,
    ResourceNotFound,
    SubscriptionNotFound,
)
from service.domain.etags import Match
from service.domain.idempotency import HEADER as IDEMPOTENCY_KEY
from service.domain.idempotency import Attempt
from service.domain.ids import SubscriptionId
from service.domain.pagination import DEFAULT_LIMIT, MAX_LIMIT, Paging
from service.domain.resource_kinds import KIND_OF_COLLECTION, Kind
from service.masking.truncation import bounded_text
from service.usecases.context import Context

CHANGE_REASON = "X-Change-Reason"
MAX_REASON = 1_000
# Printable ASCII, as RFC 9110 has the value of a header; long enough for any kind of unique id.
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")


def context_of(request: Request) -> Context:
    """The parts of this process."""
    return cast("Context", request.app.state.context)


def origin_of(request: Request) -> Origin:
    """What the audit says of a request."""
    return Origin(
        request_id=bounded_text(request.state.request_id, 128),
        ip_address=_address(request),
        user_agent=_user_agent(request),
        endpoint=bounded_text(request.scope["path"], 500),
        method=request.method,
        reason=_reason(request),
    )


def header_text(request: Request, name: str) -> str | None:
    """A header as it was written, None without one."""
    given = request.headers.get(name)
    # Headers come decoded as Latin-1, whatever their bytes are.
    return None if given is None else given.encode("latin-1").decode("utf-8", "replace")


def _reason(request: Request) -> str | None:
    given = header_text(request, CHANGE_REASON)
    return None if given is None else given.strip() or None


def _user_agent(request: Request) -> str | None:
    given = header_text(request, "user-agent")
    return None if given is None else _agent(given)


# A client names itself alike in each of its requests.
@lru_cache(maxsize=256)
def _agent(given: str) -> str:
    return bounded_text(given, 1000)


def _address(request: Request) -> str | None:
    if request.client is None:
        return None
    try:
        # PostgreSQL's INET has no scope of a link-local address.
        address = ip_address(request.client.host.partition("%")[0])
        return str(getattr(address, "ipv4_mapped", None) or address)
    except ValueError:
        return None


def log_of(request: Request, caller: Caller | None, error: AnnalsError | None) -> SubscriptionId | None:
    """Whose log a call belongs to: its caller's; what strangers do is the platform's."""
    if caller is None or caller.role is not Role.OPERATOR:
        return None if caller is None else caller.subscription_id
    # The operator has none: the one that the path names, where that is there.
    if isinstance(error, SubscriptionNotFound):
        return None
    named = ids.parse(request.path_params.get("subscription_id", ""))
    return None if named is None else SubscriptionId(named)


def _refuse_unfit_head(request: Request, *, with_body: bool) -> None:
    """Raise Invalid for a query parameter that the route does not have, since a filter is never ignored.

    And for a reason that is too long. Where a call has a body, 413 and 415 come first: then it is the reading
    of that which asks.
    """
    reason = _reason(request)
    if not request.scope["query_string"] and reason is None:
        return
    operation = request.app.openapi()["paths"][request.scope["route"].path_format][request.method.lower()]
    if ("requestBody" in operation) is not with_body:
        return
    if reason is not None and len(reason) > MAX_REASON:
        detail = f"a reason has at most {MAX_REASON} characters"
        raise Invalid(f"{CHANGE_REASON}: {detail}.", faults=[Fault(detail, parameter=CHANGE_REASON)])
    known = {given["name"] for given in operation.get("parameters", ()) if given["in"] == "query"}
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        faults = [Fault("there is no such parameter here", parameter=name) for name in unknown]
        raise Invalid(f"The query is not valid: there is no parameter {unknown[0]!r} here.", faults=faults)


async def attempt_of(request: Request) -> Attempt | None:
    """What the Idempotency-Key makes of this call, None without one; put it after the body, which counts.

    Raises Invalid for a key that is none.
    """
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is None:
        return None
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        detail = "a key is 1 to 255 printable ASCII characters"
        raise Invalid(f"{IDEMPOTENCY_KEY}: {detail}.", faults=[Fault(detail, parameter=IDEMPOTENCY_KEY)])
    caller: Caller = request.state.caller
    return Attempt.of(
        caller=str(caller.user_id or caller.role),
        method=request.method,
        path=request.url.path,
        key=key,
        body_digest=request.state.body_digest,
    )


Once = Annotated[Attempt | None, Depends(attempt_of)]


async def if_match_of(request: Request) -> Match | None:
    """What `If-Match` names, None without one."""
    lines = request.headers.getlist("if-match")
    return etags.parse(", ".join(lines)) if lines else None


async def demanded_if_match_of(request: Request) -> Match | None:
    """What `If-Match` names; raises IfMatchRequired without one where the subscription demands it."""
    match = await if_match_of(request)
    caller: Caller = request.state.caller
    if match is None and caller.demands_if_match:
        raise IfMatchRequired("This subscription takes such changes only with If-Match: send the ETag.")
    return match


# For what changes content or its names; the other is for what merely stands beside it.
Based = Annotated[Match | None, Depends(demanded_if_match_of)]
MaybeBased = Annotated[Match | None, Depends(if_match_of)]


@dataclass(frozen=True, slots=True)
class Target:
    """The resource that a path names; whether it is there is the use case's to say."""

    kind: Kind
    named: str

    @property
    def resource_id(self) -> UUID:
        """Its id; raises ResourceNotFound for what is none, when all that is read has been found valid."""
        found = ids.parse(self.named)
        if found is None:
            raise ResourceNotFound(f"There is no {self.kind} {self.named!r} in this subscription.")
        return found


class CollectionConvertor(Convertor[str]):
    """Lets a path parameter be a collection's name only, so that other nouns have other paths."""

    regex = "|".join(KIND_OF_COLLECTION)

    def convert(self, value: str) -> str:
        """The name as it is."""
        return value

    def to_string(self, value: str) -> str:
        """The name as it is."""
        return value


register_url_convertor("collection", CollectionConvertor())
RESOURCE_PATH = "/v1/subscriptions/{subscription_id}/{collection:collection}/{resource_id}"


async def _target(
    collection: Annotated[str, Path(json_schema_extra={"enum": list(KIND_OF_COLLECTION)})],
    resource_id: str,
) -> Target:
    return Target(KIND_OF_COLLECTION[collection], resource_id)


Targeted = Annotated[Target, Depends(_target)]


async def _paging(
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
    cursor: Annotated[str | None, Query(max_length=1000, pattern=r"^[A-Za-z0-9_-]+$")] = None,
) -> Paging:
    return Paging(limit, cursor)


Paged = Annotated[Paging, Depends(_paging)]
