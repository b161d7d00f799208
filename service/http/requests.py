"""What routes depend on, in the order of refusal: 401, 404 (tenant), 403, 413, 415, 400/422, 404."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from ipaddress import ip_address
from typing import Annotated, Any, TypeVar, cast
from uuid import UUID

from fastapi import Depends, Path, Query, Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor

from service.documents import strict_json
from service.domain import etags, ids
from service.domain.callers import Caller, Origin, Role
from service.domain.errors import (
    AnnalsError,
    BodyTooLarge,
    Fault,
    IfMatchRequired,
    Invalid,
    ResourceNotFound,
    SubscriptionNotFound,
    UnsupportedMedia,
)
from service.domain.etags import Match
from service.domain.idempotency import HEADER as IDEMPOTENCY_KEY
from service.domain.idempotency import Attempt
from service.domain.ids import SubscriptionId
from service.domain.pagination import DEFAULT_LIMIT, MAX_LIMIT, Paging
from service.domain.resource_kinds import KIND_OF_COLLECTION, Kind
from service.http.schemas.fields import Body
from service.masking.truncation import bounded_text
from service.usecases.context import Context

CHANGE_REASON = "X-Change-Reason"
MAX_REASON = 1_000
MAX_BODY_BYTES = 8 * 1024 * 1024
# Above this size, reading a document would hold up every other request of the event loop.
PARSE_ASIDE_BYTES = 64 * 1024
# Printable ASCII, as RFC 9110 has the value of a header; long enough for any kind of unique id.
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"

BodyT = TypeVar("BodyT", bound=Body)
Made = TypeVar("Made")


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


def body_of(
    model: type[BodyT], *, may_be_empty: bool = False, media_type: str = JSON
) -> Callable[[Request], Awaitable[BodyT]]:
    """A dependency that reads the body as `model`; put it after the access, so that strangers learn nothing.

    FastAPI's own body parameters are read before any dependency runs, by a parser that takes NaN and
    duplicate keys.
    """

    def made(raw: bytes) -> BodyT:
        if not raw and may_be_empty:
            return model()
        value = strict_json.parse(raw)
        # Before pydantic, which would make an error of its own for each of a million unknown keys.
        unknown = model.unknown_fields(value)
        if unknown:
            raise invalid_body(unknown)
        try:
            return model.model_validate(value)
        except ValidationError as error:
            raise invalid_body(faults_of(error)) from None

    return body_read_by(made, media_type)


def body_read_by(
    made: Callable[[bytes], Made], media_type: str = JSON
) -> Callable[[Request], Awaitable[Made]]:
    """A dependency that is what `made` makes of the body's bytes."""

    async def read(request: Request) -> Made:
        raw = await _read(request, media_type)
        _refuse_unfit_head(request, with_body=True)
        # For `attempt_of`: what a retry has to repeat.
        request.state.body_digest = sha256(raw).digest()
        if len(raw) > PARSE_ASIDE_BYTES:
            return await run_in_threadpool(made, raw)
        return made(raw)

    return read


async def _read(request: Request, wanted: str) -> bytes:
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise _too_large()
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    has_body = declared != "0" or "transfer-encoding" in request.headers
    if has_body and media_type != wanted:
        raise UnsupportedMedia(f"Send `Content-Type: {wanted}`, not {media_type or 'none'}.")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMedia("Send the body uncompressed: Annals reads no Content-Encoding.")
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise _too_large()
        parts.append(part)
    return b"".join(parts)


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"A JSON body is at most {MAX_BODY_BYTES // 1024**2} MiB.")


def invalid_body(faults: list[Fault]) -> Invalid:
    """The refusal of a body for its faults."""
    shown = "; ".join(f"{fault.pointer or 'the body'}: {fault.detail}" for fault in faults[:3])
    return Invalid(f"The body is not valid: {shown}.", faults=faults)


def faults_of(error: ValidationError, path: Sequence[strict_json.Step] = ()) -> list[Fault]:
    """What a model has against a value at `path` of the body; few, however much it is."""
    return [
        Fault(_message(problem), pointer=strict_json.pointer_of([*path, *problem["loc"]]))
        for problem in error.errors(include_url=False, include_input=False)[: strict_json.MAX_FAULTS]
    ]


def _message(problem: Any) -> str:
    if problem["type"] == "model_type":
        return "the body has to be a JSON object"
    return str(problem["msg"]).removeprefix("Value error, ")
