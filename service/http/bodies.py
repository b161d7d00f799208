"""Bodies of requests: read within bounds, parsed strictly, and validated by a model."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Any, TypeVar

import orjson
from fastapi import Request
from pydantic import ValidationError

from service.documents import strict_json
from service.domain.errors import (
    BodyTooLarge,
    Fault,
    Invalid,
    MalformedJson,
    MalformedRequest,
    UnsupportedMedia,
)
from service.domain.idempotency import HEADER as IDEMPOTENCY_KEY
from service.domain.idempotency import BodyDigests
from service.http.admission import parsed, visit_of
from service.http.description.declarations import reads_body
from service.http.encodings import IDENTITY, encoding_of
from service.http.requests import declared_length, media_type_of, refuse_unfit_head
from service.http.schemas.body import Body

MAX_BODY_BYTES = 8 * 1024 * 1024
# A larger body is parsed in a thread, since it would delay every other request of the event loop, and it
# waits for its tenant's bytes. Smaller ones do not: even 72 of them are less than one of the largest.
PARSE_ASIDE_BYTES = 64 * 1024


JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"


# Errors of every body.
BODY_ERRORS = (MalformedJson, MalformedRequest, BodyTooLarge, UnsupportedMedia, Invalid)

BodyT = TypeVar("BodyT", bound=Body)
Made = TypeVar("Made")


def body_of(
    model: type[BodyT], *, may_be_empty: bool = False, media_type: str = JSON
) -> Callable[[Request], Awaitable[BodyT]]:
    """Make a dependency that reads the body as `model`.

    A route puts it after the access, so that strangers learn nothing from faults of the body. FastAPI would
    read a body parameter before any dependency, with a parser that takes NaN and duplicate keys.
    """

    made = partial(_made, model, may_be_empty)
    return body_read_by(made, {media_type: model}, required=not may_be_empty)


def _made(model: type[BodyT], may_be_empty: bool, raw: bytes) -> tuple[Any, BodyT]:
    if not raw and may_be_empty:
        return None, model()
    value = strict_json.parse(raw)
    found = checked(model, value)
    if isinstance(found, list):
        raise invalid_body(found)
    return value, found


def body_read_by(
    made: Callable[[bytes], tuple[Any, Made]], content: Mapping[str, Any], *, required: bool = True
) -> Callable[[Request], Awaitable[Made]]:
    """Make a dependency that reads the bytes of the body, and returns the result of `made` for them.

    `made` returns the parsed value, too. It and its result have to be fit for pickle: a document worker reads
    large bodies. `content` has the one media type of the body, and the type that describes it.
    """
    (media_type,) = content

    @reads_body(content, *BODY_ERRORS, required=required)
    async def read(request: Request) -> Made:
        parts = await read_parts(request, (media_type,))
        size = sum(map(len, parts))
        refuse_unfit_head(request, with_body=True)
        # The attempt of a call with a key needs the digests: a retry has to repeat the body.
        read_by = partial(_joined, made, IDEMPOTENCY_KEY in request.headers)
        request.state.body_digests, found = (
            await parsed(request, size, read_by, parts) if size > PARSE_ASIDE_BYTES else read_by(parts)
        )
        # The request may wait long for its turn, and its bytes are not needed any more.
        parts.clear()
        await visit_of(request).begin_work(size)
        return found

    return read


def _joined(
    made: Callable[[bytes], tuple[Any, Made]], has_key: bool, parts: list[bytes]
) -> tuple[BodyDigests | None, Made]:
    raw = b"".join(parts)
    # A large body is held once, not twice, while it is parsed.
    parts.clear()
    value, found = made(raw)
    return digests_of(value, raw) if has_key else None, found


def digests_of(value: Any, raw: bytes) -> BodyDigests:
    """Digest a body's values, and its bytes: a client may write the same values in another order."""
    canonical = orjson.dumps(value, option=orjson.OPT_SORT_KEYS) if raw else raw
    return BodyDigests(sha256(canonical).digest(), sha256(raw).digest())


async def read_parts(
    request: Request,
    wanted: Collection[str],
    *,
    encodings: Collection[str] = (IDENTITY,),
    decompressed_bytes: int = 0,
) -> list[bytes]:
    """Read a body of one of the wanted media types, and take its bytes of the tenant if it is large.

    It stays compressed, if it is; `decompressed_bytes` is then the most that it may hold. Raises BodyTooLarge
    and UnsupportedMedia.
    """
    declared = declared_length(request) or 0
    if declared > MAX_BODY_BYTES:
        raise _too_large()
    media_type = media_type_of(request)
    is_chunked = "transfer-encoding" in request.headers
    has_body = declared > 0 or is_chunked
    if has_body and media_type not in wanted:
        types = " or ".join(f"`Content-Type: {each}`" for each in wanted)
        raise UnsupportedMedia(f"Send {types}, not {media_type or 'none'}.")
    encoding = encoding_of(request)
    if encoding not in encodings:
        known = " or ".join(f"`{each}`" for each in encodings)
        raise UnsupportedMedia(f"Annals reads no other Content-Encoding here than {known}.")
    wants = MAX_BODY_BYTES if is_chunked else declared
    if encoding != IDENTITY:
        wants = decompressed_bytes
    parts: list[bytes] = []
    size = 0
    is_reserved = False
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise _too_large()
        if size > PARSE_ASIDE_BYTES and not is_reserved:
            # All of it at once: two bodies that each wait for more would wait for each other.
            is_reserved = True
            await visit_of(request).reserve(wants)
        parts.append(part)
    return parts


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"A JSON body is at most {MAX_BODY_BYTES // 1024**2} MiB.")


def invalid_body(faults: list[Fault]) -> Invalid:
    """Refusal of a body for its faults."""
    shown = "; ".join(f"{fault.pointer or 'the body'}: {fault.detail}" for fault in faults[:3])
    return Invalid(f"The body is not valid: {shown}.", faults=faults)


def checked(model: type[BodyT], value: Any, path: Sequence[strict_json.Step] = ()) -> BodyT | list[Fault]:
    """Body of a value at `path`, or its faults: first those of known fields; at most MAX_FAULTS.

    Unknown fields are found apart: pydantic would make an error for each of a million of them.
    """
    unknown = model.unknown_fields(value, path)
    try:
        found = model.model_validate(value, extra="ignore")
    except ValidationError as error:
        return [*_faults_of(error, path), *unknown][: strict_json.MAX_FAULTS]
    return unknown or found


def _faults_of(error: ValidationError, path: Sequence[strict_json.Step]) -> list[Fault]:
    return [
        Fault(_message(problem), pointer=strict_json.pointer_of([*path, *problem["loc"]]))
        for problem in error.errors(include_url=False, include_input=False)[: strict_json.MAX_FAULTS]
    ]


def _message(problem: Any) -> str:
    if problem["type"] == "model_type":
        return "the body has to be a JSON object"
    if problem["type"] == "too_long" and problem["ctx"]["field_type"] == "Value":
        # Pydantic says "items" of a text whose own rules come before its length.
        return f"has at most {problem['ctx']['max_length']} characters"
    return str(problem["msg"]).removeprefix("Value error, ")
