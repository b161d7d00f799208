"""Batches of log records: the bytes of a request become rows of execution logs, in any process."""

import zlib
from collections.abc import Iterator, Sequence
from enum import StrEnum
from hashlib import sha256
from typing import Any

from service.domain.errors import MalformedOtlp
from service.domain.idempotency import BodyDigests
from service.http.otlp.mapping import around, event_of
from service.http.otlp.records import LogRecord, Refused, Resource, Scope, Undecodable, too_many
from service.usecases.event_batches import Arrival, EventBatch
from service.usecases.execution_logs import ExecutionEvent, ReportedExecution, row_of
from service.usecases.otlp_logs import ReceivedLogs, timely

# An uncompressed body has at most MAX_BODY_BYTES, as any other.
MAX_INFLATED_BYTES = 16 * 1024 * 1024
# Kinds of refusals that the answer names.
_MAX_REASONS = 5


class Format(StrEnum):
    """Media types of OTLP/HTTP."""

    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"


def decoded(
    form: Format, arrival: Arrival, parts: Sequence[bytes], *, is_compressed: bool
) -> tuple[ReceivedLogs, BodyDigests]:
    """Make the rows of a request, and the digests of its body; raises Malformed errors and BodyTooLarge."""
    raw = b"".join(parts)
    plain = _inflated(raw) if is_compressed else raw
    digest = sha256(plain).digest()
    return _logs(arrival, _read(form, plain)), BodyDigests(digest, digest)


def _logs(arrival: Arrival, records: Iterator[LogRecord | Refused]) -> ReceivedLogs:
    rows: list[ExecutionEvent] = []
    late = rejected = 0
    reasons: dict[str, None] = {}
    for found in _events(records):
        if isinstance(found, Refused):
            rejected += 1
            if len(reasons) < _MAX_REASONS:
                reasons[str(found)] = None
            continue
        event, is_late = timely(arrival, found)
        late += is_late
        rows.append(row_of(arrival, event))
    return ReceivedLogs(EventBatch(rows, is_single=False), rejected, tuple(reasons), late)


def _events(records: Iterator[LogRecord | Refused]) -> Iterator[ReportedExecution | Refused]:
    sender: tuple[Resource, Scope] | None = None
    shared: dict[str, Any] = {}
    for record in records:
        if isinstance(record, Refused):
            yield record
            continue
        if sender is None or record.resource is not sender[0] or record.scope is not sender[1]:
            sender = record.resource, record.scope
            shared = around(*sender)
        try:
            yield event_of(record, shared)
        except Refused as refused:
            yield refused


def _read(form: Format, raw: bytes) -> Iterator[LogRecord | Refused]:
    """Read records; the parsers are imported by who needs them, since most processes never do."""
    try:
        match form:
            case Format.PROTOBUF:
                from service.http.otlp import protobuf_reader

                yield from protobuf_reader.read(raw)
            case Format.JSON:
                from service.http.otlp import json_reader

                yield from json_reader.read(raw)
    except Undecodable as error:
        raise MalformedOtlp(f"The body is no ExportLogsServiceRequest of this format: {error}.") from None


def inflated_size(raw: bytes) -> int:
    """Return the size that a gzip stream claims at its end, or the largest if that is too large."""
    return min(int.from_bytes(raw[-4:], "little"), MAX_INFLATED_BYTES)


def _inflated(raw: bytes) -> bytes:
    """Inflate a gzip stream of one member, and no more of it than it claims to hold."""
    inflate, size = zlib.decompressobj(wbits=31), inflated_size(raw)
    try:
        plain = inflate.decompress(raw, size + 1)
    except zlib.error as error:
        raise MalformedOtlp(f"The body is no gzip stream: {error}.") from None
    if len(plain) > MAX_INFLATED_BYTES:
        raise too_many(f"{MAX_INFLATED_BYTES // 1024**2} MiB uncompressed")
    if not inflate.eof or inflate.unused_data:
        raise MalformedOtlp("The body is no whole gzip stream of one member.")
    return plain
