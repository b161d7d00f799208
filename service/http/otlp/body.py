"""Bodies of OTLP/HTTP: read within bounds, in either format, compressed or not."""

from dataclasses import dataclass

from fastapi import Request

from service.domain.errors import MalformedOtlp, UnsupportedMedia
from service.http.admission import parsed, visit_of
from service.http.auth.access import Recording
from service.http.bodies import BODY_ERRORS, GZIP, PARSE_ASIDE_BYTES, read_parts
from service.http.description.declarations import reads_body
from service.http.otlp.batches import MAX_INFLATED_BYTES, Format, decoded, inflated_size
from service.http.parameters import Import
from service.http.requests import refuse_unfit_head
from service.http.schemas.otlp_logs import ExportLogsServiceRequest
from service.usecases.context import Context
from service.usecases.event_batches import Arrival
from service.usecases.otlp_logs import ReceivedLogs

_PATH = "/otlp/v1/logs"


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request whose records are rows, and the parts that its route needs."""

    context: Context
    arrival: Arrival
    form: Format
    logs: ReceivedLogs


def format_of(request: Request) -> Format | None:
    """Return the format of an OTLP request, in which it is also answered; None for any other request."""
    if not request.scope["path"].endswith(_PATH):
        return None
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return Format(media_type) if media_type in tuple(Format) else None


# The description has one format alone, since generators of clients warn of protobuf.
@reads_body(
    {Format.JSON.value: ExportLogsServiceRequest},
    *(MalformedOtlp, *BODY_ERRORS),
)
async def received_request(request: Request, access: Recording, is_import: Import = False) -> ReceivedRequest:
    """Read a request, and make its rows in a thread or by a document worker."""
    parts = await read_parts(request, tuple(Format), gzip_bytes=MAX_INFLATED_BYTES)
    refuse_unfit_head(request, with_body=True)
    form = format_of(request)
    if form is None:
        # Only an empty body needs no media type.
        raise UnsupportedMedia(f"Send `Content-Type: {Format.PROTOBUF}` or `{Format.JSON}`.")
    is_compressed = request.headers.get("content-encoding") == GZIP
    size = await _size(request, parts, is_compressed=is_compressed)
    arrival = Arrival(
        caller=access.caller,
        subscription_id=access.subscription_id,
        at=access.context.clock(),
        is_import=is_import,
    )
    logs, request.state.body_digests = await parsed(
        request, size, decoded, form, arrival, parts, is_compressed=is_compressed
    )
    await visit_of(request).begin_work(size)
    return ReceivedRequest(access.context, arrival, form, logs)


async def _size(request: Request, parts: list[bytes], *, is_compressed: bool) -> int:
    """Return the size of a body once it is inflated; takes the tenant's bytes for it."""
    size = sum(map(len, parts))
    if not is_compressed:
        return size
    inflated = inflated_size(b"".join(parts[-4:]))
    if size <= PARSE_ASIDE_BYTES < inflated:
        await visit_of(request).reserve(inflated)
    return inflated
