"""What routes depend on, in the order of refusal: 401, 404 (tenant), 403, 413, 415, 400/422, 404."""

import base64
import binascii
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Any, TypeVar, cast
from uuid import UUID

from fastapi import Depends, Path, Query, Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor

from service import ids, json_body
from service.callers import Caller, Member, Origin, Right
from service.context import Context
from service.errors import (
    BodyTooLarge,
    Fault,
    Forbidden,
    Invalid,
    ResourceNotFound,
    Unauthenticated,
    UnsupportedMedia,
)
from service.ids import SubscriptionId
from service.kinds import KIND_OF_COLLECTION, Kind
from service.pages import DEFAULT_LIMIT, MAX_LIMIT, Paging
from service.schemas import Body
from service.usecases import keys, tenancy

MAX_BODY_BYTES = 8 * 1024 * 1024
# Above this size, reading a document would hold up every other request of the event loop.
PARSE_ASIDE_BYTES = 64 * 1024

BodyT = TypeVar("BodyT", bound=Body)


def context_of(request: Request) -> Context:
    """The parts of this process."""
    return cast("Context", request.app.state.context)


def origin_of(request: Request) -> Origin:
    """What the audit says of a request."""
    return Origin(
        request_id=request.state.request_id,
        ip_address=_address(request),
        user_agent=request.headers.get("user-agent"),
        endpoint=request.url.path[:500],
        method=request.method,
    )


def _address(request: Request) -> str | None:
    if request.client is None:
        return None
    try:
        # PostgreSQL's INET has no scope of a link-local address.
        return str(ip_address(request.client.host.partition("%")[0]))
    except ValueError:
        return None


def caller_of(request: Request) -> Caller:
    """Who is calling; raises Unauthenticated."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "bearer":
            key = credentials.strip()
        case "basic" if request.url.path.startswith("/git/"):
            key = _basic_password(credentials.strip())
        case _:
            raise Unauthenticated("Send an API key: `Authorization: Bearer <key>`.")
    caller = keys.authenticate(context_of(request), key, origin_of(request))
    request.state.caller = caller
    return caller


def _basic_password(credentials: str) -> str:
    try:
        decoded = base64.b64decode(credentials, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        raise Unauthenticated("The Basic credentials can't be read.") from None
    return decoded.partition(":")[2]


@dataclass(frozen=True, slots=True)
class Access:
    """A caller that may do what the route needs in this subscription."""

    context: Context
    caller: Caller
    subscription_id: SubscriptionId

    @property
    def author(self) -> Member:
        """The caller as the author of a change; raises Forbidden for the operator, who is nobody's user."""
        if self.caller.user_id is None:
            raise Forbidden("The operator's key changes no content: use a user's key.")
        return Member(
            user_id=self.caller.user_id,
            username=self.caller.username,
            subscription_id=self.subscription_id,
            origin=self.caller.origin,
        )


def access(right: Right) -> Callable[[Request, str], Access]:
    """A dependency that lets in whoever has `right` in the subscription of the path."""

    def enter(request: Request, subscription_id: str) -> Access:
        caller = caller_of(request)
        context = context_of(request)
        entered = tenancy.may_enter(context, caller, ids.parse(subscription_id))
        caller.needs(right)
        return Access(context, caller, entered)

    return enter


Reading = Annotated[Access, Depends(access(Right.READ))]
Writing = Annotated[Access, Depends(access(Right.WRITE))]
ReadingLogs = Annotated[Access, Depends(access(Right.READ_LOGS))]
Seeing = Annotated[Access, Depends(access(Right.SEE_SUBSCRIPTION))]
Managing = Annotated[Access, Depends(access(Right.MANAGE_USERS))]
Calling = Annotated[Caller, Depends(caller_of)]


def creating(request: Request) -> Caller:
    """A caller that may create subscriptions."""
    caller = caller_of(request)
    caller.needs(Right.CREATE_SUBSCRIPTIONS)
    return caller


Creating = Annotated[Caller, Depends(creating)]


@dataclass(frozen=True, slots=True)
class Target:
    """The resource that a path names; whether it is there is the use case's to say."""

    kind: Kind
    resource_id: UUID


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


def _target(
    collection: Annotated[str, Path(json_schema_extra={"enum": list(KIND_OF_COLLECTION)})],
    resource_id: str,
) -> Target:
    kind = KIND_OF_COLLECTION[collection]
    found = ids.parse(resource_id)
    if found is None:
        raise ResourceNotFound(f"There is no {kind} {resource_id!r} in this subscription.")
    return Target(kind, found)


Targeted = Annotated[Target, Depends(_target)]


def _paging(
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
    cursor: Annotated[str | None, Query(max_length=1000, pattern=r"^[A-Za-z0-9_-]+$")] = None,
) -> Paging:
    return Paging(limit, cursor)


Paged = Annotated[Paging, Depends(_paging)]


def body_of(model: type[BodyT], *, may_be_empty: bool = False) -> Callable[[Request], Awaitable[BodyT]]:
    """A dependency that reads the body as `model`; put it after the access, so that strangers learn nothing.

    FastAPI's own body parameters are read before any dependency runs, by a parser that takes NaN and
    duplicate keys.
    """

    async def read(request: Request) -> BodyT:
        raw = await _read(request)
        if not raw and may_be_empty:
            return model()
        if len(raw) > PARSE_ASIDE_BYTES:
            value = await run_in_threadpool(json_body.parse, raw)
        else:
            value = json_body.parse(raw)
        try:
            return model.model_validate(value)
        except ValidationError as error:
            raise _invalid(error) from None

    return read


async def _read(request: Request) -> bytes:
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise _too_large()
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    has_body = declared != "0" or "transfer-encoding" in request.headers
    if has_body and media_type != "application/json":
        raise UnsupportedMedia(f"Send `Content-Type: application/json`, not {media_type or 'none'}.")
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


def _invalid(error: ValidationError) -> Invalid:
    faults = [
        Fault(_message(problem), pointer="".join(f"/{_step(step)}" for step in problem["loc"]))
        for problem in error.errors(include_url=False, include_input=False)
    ]
    shown = "; ".join(f"{fault.pointer or 'the body'}: {fault.detail}" for fault in faults[:3])
    return Invalid(f"The body is not valid: {shown}.", faults=faults[: json_body.MAX_FAULTS])


def _message(problem: Any) -> str:
    return str(problem["msg"]).removeprefix("Value error, ")


def _step(step: int | str) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")
