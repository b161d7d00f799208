"""Batches of log records: the bytes of a request become rows of execution logs, in any process."""

from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from hashlib import sha256
from typing import Any, NamedTuple

import orjson

from service.domain.errors import Fault, MalformedOtlp
from service.domain.idempotency import BodyDigests
from service.http.bodies import digests_of
from service.http.otlp.mapping import around, event_of, shown
from service.http.otlp.records import LogRecord, LogResource, LogScope, Refused, Undecodable
from service.usecases.event_batches import Arrival
from service.usecases.execution_logs import EXECUTIONS, ReportedExecution
from service.usecases.recording import Preparation, Prepared
from sql.queries.execution_logs import PackedExecutions


class OtlpFormat(StrEnum):
    """Media types of OTLP/HTTP."""

    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"


class PreparedLogs(NamedTuple):
    """Records of a request, ready to be stored, with the number of late ones and the digests of the body."""

    prepared: Prepared[PackedExecutions]
    late: int
    digests: BodyDigests


def prepared(form: OtlpFormat, arrival: Arrival, raw: bytes, *, has_key: bool) -> PreparedLogs:
    """Make the rows of a request; raises MalformedOtlp, MalformedJson and BodyTooLarge."""
    events = Preparation(EXECUTIONS, arrival, skips=True)
    late = 0
    for found in _events(_read(form, raw)):
        if isinstance(found, Refused):
            events.refuse([Fault(str(found))])
        else:
            event, is_late = _timely(arrival, found)
            late += is_late
            events.take(event)
    return PreparedLogs(events.done(), late, _digests(form, raw) if has_key else BodyDigests(b""))


def _timely(arrival: Arrival, event: ReportedExecution) -> tuple[ReportedExecution, bool]:
    """Return an event whose time may be stored, and tell if it is late.

    An exporter can't mend a time that lies too far off. So the event gets the time of its arrival, and its
    details keep the other.
    """
    own_time = event.occurred_at
    if own_time is None or arrival.time_fault(own_time) is None:
        return event, False
    details = {"reported_at": shown(own_time)} | (event.log_details or {})
    return replace(event, occurred_at=None, log_details=details), True


def _events(records: Iterator[LogRecord | Refused]) -> Iterator[ReportedExecution | Refused]:
    sender: tuple[LogResource, LogScope] | None = None
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


def _read(form: OtlpFormat, raw: bytes) -> Iterator[LogRecord | Refused]:
    """Read records; the parsers are imported by who needs them, since most processes never do."""
    try:
        match form:
            case OtlpFormat.PROTOBUF:
                from service.http.otlp import protobuf_reader

                yield from protobuf_reader.read(raw)
            case OtlpFormat.JSON:
                from service.http.otlp import json_reader

                yield from json_reader.read(raw)
    except Undecodable as error:
        raise MalformedOtlp(f"The body is no ExportLogsServiceRequest of this format: {error}.") from None


def _digests(form: OtlpFormat, raw: bytes) -> BodyDigests:
    if form is OtlpFormat.JSON:
        return digests_of(orjson.loads(raw), raw)
    digest = sha256(raw).digest()
    return BodyDigests(digest, digest)
