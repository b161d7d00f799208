"""Bodies of OTLP/HTTP: taken in within bounds, in either format, compressed or not."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import Request

from service.domain.errors import MalformedEncoding, MalformedOtlp, UnsupportedMedia
from service.http.bodies import BODY_ERRORS, read_parts
from service.http.description.declarations import reads_body
from service.http.encodings import ENCODINGS, IDENTITY, decompressed, encoding_of
from service.http.otlp.batches import OtlpFormat
from service.http.otlp.records import too_many
from service.http.requests import media_type_of, refuse_unfit_head
from service.http.schemas.otlp_logs import ExportLogsServiceRequest

# As it was sent, a body has at most MAX_BODY_BYTES, as any other.
MAX_DECOMPRESSED_BYTES = 16 * 1024 * 1024
_PATH = "/otlp/v1/logs"


@dataclass(frozen=True, slots=True)
class LogsBody:
    """Body as it was sent."""

    form: OtlpFormat
    encoding: str
    parts: Sequence[bytes]

    @property
    def size(self) -> int:
        """Bytes of the body once it is decompressed, or the most that they may be."""
        return sum(map(len, self.parts)) if self.encoding == IDENTITY else MAX_DECOMPRESSED_BYTES

    def read(self) -> bytes:
        """Decompress the body; raises BodyTooLarge and MalformedEncoding."""
        pieces: list[bytes] = []
        size = 0
        for piece in decompressed(self.parts, self.encoding):
            size += len(piece)
            if size > MAX_DECOMPRESSED_BYTES:
                raise too_many(f"{MAX_DECOMPRESSED_BYTES // 1024**2} MiB uncompressed")
            pieces.append(piece)
        return b"".join(pieces)


def format_of(request: Request) -> OtlpFormat | None:
    """Return the format of an OTLP request, in which it is also answered; None for any other request."""
    if not request.scope["path"].endswith(_PATH):
        return None
    media_type = media_type_of(request)
    return OtlpFormat(media_type) if media_type in tuple(OtlpFormat) else None


# The description has one format alone, since generators of clients warn of protobuf.
@reads_body({OtlpFormat.JSON.value: ExportLogsServiceRequest}, *BODY_ERRORS, MalformedOtlp, MalformedEncoding)
async def logs_body(request: Request) -> LogsBody:
    """Take in a body, which `service.http.otlp.recording` reads."""
    parts = await read_parts(
        request, tuple(OtlpFormat), encodings=ENCODINGS, decompressed_bytes=MAX_DECOMPRESSED_BYTES
    )
    refuse_unfit_head(request, with_body=True)
    form = format_of(request)
    if form is None:
        # Only a body without bytes needs no media type elsewhere.
        raise UnsupportedMedia(f"Send `Content-Type: {OtlpFormat.PROTOBUF}` or `{OtlpFormat.JSON}`.")
    return LogsBody(form, encoding_of(request), parts)
