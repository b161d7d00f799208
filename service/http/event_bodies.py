"""Bodies of events: one, an array, or lines with one each (NDJSON), compressed or not."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Union

from fastapi import Request
from pydantic import Field

from service.domain.errors import BodyTooLarge, MalformedEncoding, StorageFull, UnsupportedMedia
from service.http.admission import visit_of
from service.http.bodies import BODY_ERRORS, JSON, MAX_BODY_BYTES, PARSE_ASIDE_BYTES
from service.http.description.declarations import reads_body
from service.http.encodings import ENCODINGS, IDENTITY, decompressed, encoding_of
from service.http.requests import context_of, declared_length, media_type_of, refuse_unfit_head
from service.http.schemas.log_fields import DatedEvent
from service.http.spool import MEMORY_BYTES, Spool
from service.usecases.disks import MEBIBYTE
from service.usecases.event_batches import MAX_EVENTS

NDJSON: Final = "application/x-ndjson"
# To prepare more events than these bytes hold would keep the interpreter from other requests.
SMALL_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class EventBody:
    """Body as it was sent: one `model` or an array, or with `is_lines` one in each line."""

    model: type[DatedEvent]
    spool: Spool
    encoding: str
    limit: int
    is_lines: bool

    @property
    def is_small(self) -> bool:
        """True if its events are prepared so quickly that this process can do it."""
        return self.spool.size <= SMALL_BYTES and self.encoding == IDENTITY

    @property
    def is_long(self) -> bool:
        """True if its events may take minutes to store."""
        return self.is_lines and self.spool.size > (
            MAX_BODY_BYTES if self.encoding == IDENTITY else PARSE_ASIDE_BYTES
        )

    def read(self) -> Iterator[bytes]:
        """Read the bytes, decompressed; raises BodyTooLarge and MalformedEncoding."""
        size = 0
        for piece in decompressed(self.spool.read(), self.encoding):
            size += len(piece)
            if size > self.limit:
                raise _too_large(self.limit)
            yield piece


def events_of(model: type[DatedEvent]) -> Callable[[Request], AsyncIterator[EventBody]]:
    """Make a dependency that takes in a body of events, each of which is a `model`.

    A route puts it after the access. The body is read later, by `service.http.recording`.
    """

    many = Annotated[list[model], Field(min_length=1, max_length=MAX_EVENTS)]  # type: ignore[valid-type]
    content = {JSON: Union[model, many]}  # noqa: UP007 - mypy takes no `|` of values

    # Lines are not declared, since generators of clients have no type for them: see decision 42.
    @reads_body(content, *BODY_ERRORS, MalformedEncoding, StorageFull)
    async def read(request: Request) -> AsyncIterator[EventBody]:
        settings = context_of(request).settings
        media_type = media_type_of(request)
        is_lines = media_type == NDJSON
        limit = settings.max_stream_bytes if is_lines else MAX_BODY_BYTES
        spool = Spool(
            settings.data_dir,
            memory_bytes=MEMORY_BYTES if is_lines else MAX_BODY_BYTES,
            min_free_bytes=settings.min_free_mb * MEBIBYTE,
        )
        if (declared_length(request) or 0) > limit:
            raise _too_large(limit)
        body = EventBody(model, spool, _encoding(request, media_type), limit, is_lines)
        try:
            await _take_in(request, body)
            refuse_unfit_head(request, with_body=True)
            yield body
        finally:
            body.spool.close()

    return read


def _encoding(request: Request, media_type: str) -> str:
    """Encoding of the body; raises UnsupportedMedia for it, or for the media type."""
    encoding = encoding_of(request)
    has_body = (declared_length(request) or 0) > 0 or "transfer-encoding" in request.headers
    if has_body and media_type not in (JSON, NDJSON):
        raise UnsupportedMedia(
            f"Send `Content-Type: {JSON}` for an event or an array, or `{NDJSON}` for lines with one each,"
            f" not {media_type or 'none'}."
        )
    if encoding not in ENCODINGS:
        raise UnsupportedMedia("Send events uncompressed, or with `Content-Encoding: gzip` or `zstd`.")
    return encoding


async def _take_in(request: Request, body: EventBody) -> None:
    declared = declared_length(request)
    is_counted = False
    async for part in request.stream():
        if body.spool.size + len(part) > body.limit:
            raise _too_large(body.limit)
        await body.spool.add(part)
        # Compressed, a few bytes may be many.
        is_large = body.spool.size > PARSE_ASIDE_BYTES or (body.encoding != IDENTITY and not body.is_lines)
        if is_large and not is_counted:
            is_counted = True
            if body.is_lines:
                await visit_of(request).begin_upload()
            else:
                # All of it at once: two bodies that each wait for more would wait for each other.
                is_known = declared is not None and body.encoding == IDENTITY
                await visit_of(request).reserve(declared if is_known and declared else body.limit)
    await body.spool.end()


def _too_large(limit: int) -> BodyTooLarge:
    if limit == MAX_BODY_BYTES:
        return BodyTooLarge(f"A JSON body is at most {limit // MEBIBYTE} MiB: send more events as {NDJSON}.")
    return BodyTooLarge(f"A stream of events is at most {limit:,} bytes.")
