"""Log records of an ExportLogsServiceRequest in protobuf.

The groups of a request are walked here, and each record is parsed by itself: a parser of the whole would make
objects of many times its bytes before anything could be counted.
"""

from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1 import resource_pb2

from service.http.otlp.records import (
    MAX_PART_BYTES,
    Budget,
    LogRecord,
    LogResource,
    LogScope,
    Refused,
    Undecodable,
    finite,
    joined,
    refused_size,
)

# The wire types of protobuf, and the bytes of those that have a width.
_VARINT, _BYTES = 0, 2
_WIDTHS = {1: 8, 5: 4}
_LONGEST_VARINT = 10
# The numbers of fields in ExportLogsServiceRequest, ResourceLogs and ScopeLogs.
_RESOURCE_LOGS = 1
_RESOURCE, _SCOPE_LOGS = 1, 2
_SCOPE, _LOG_RECORDS = 1, 2
_SCHEMA_URL = 3

MessageT = TypeVar("MessageT", bound=Message)


def read(raw: bytes) -> Iterator[LogRecord | Refused]:
    """Read the records of a request in their order; raises Undecodable and BodyTooLarge."""
    budget = Budget()
    for number, group in _fields(memoryview(raw), budget):
        if number == _RESOURCE_LOGS:
            yield from _of_resource(group, budget)


def _of_resource(group: memoryview, budget: Budget) -> Iterator[LogRecord | Refused]:
    fields = _by_number(group, budget)
    message = _merged(resource_pb2.Resource, fields[_RESOURCE])
    resource = LogResource(
        attributes=_around(message.attributes, budget),
        dropped_attributes_count=message.dropped_attributes_count,
        schema_url=_last_text(fields[_SCHEMA_URL]),
    )
    for part in fields[_SCOPE_LOGS]:
        yield from _of_scope(resource, part, budget)


def _of_scope(resource: LogResource, group: memoryview, budget: Budget) -> Iterator[LogRecord | Refused]:
    fields = _by_number(group, budget)
    message = _merged(common_pb2.InstrumentationScope, fields[_SCOPE])
    scope = LogScope(
        name=message.name,
        version=message.version,
        attributes=_around(message.attributes, budget),
        dropped_attributes_count=message.dropped_attributes_count,
        schema_url=_last_text(fields[_SCHEMA_URL]),
    )
    for raw in fields[_LOG_RECORDS]:
        budget.take_record()
        yield _record(resource, scope, raw, budget)


def _record(resource: LogResource, scope: LogScope, raw: memoryview, budget: Budget) -> LogRecord | Refused:
    if len(raw) > MAX_PART_BYTES:
        return refused_size()
    message = _merged(logs_pb2.LogRecord, [raw])
    try:
        return LogRecord(
            resource=resource,
            scope=scope,
            time_unix_nano=message.time_unix_nano,
            observed_time_unix_nano=message.observed_time_unix_nano,
            severity_number=int(message.severity_number),
            severity_text=message.severity_text,
            body=_value(message.body, budget, 0),
            attributes=_map(message.attributes, budget, 0),
            dropped_attributes_count=message.dropped_attributes_count,
            flags=message.flags,
            trace_id=message.trace_id.hex(),
            span_id=message.span_id.hex(),
            event_name=message.event_name,
        )
    except Refused as refused:
        return refused


# -- values ------------------------------------------------------------------------------------


def _around(pairs: Iterable[common_pb2.KeyValue], budget: Budget) -> dict[str, Any]:
    """Read the attributes of a resource or scope, without which none of its records is taken."""
    try:
        return _map(pairs, budget, 0)
    except Refused as refused:
        raise Undecodable(f"in the attributes of a resource or scope, {refused}") from None


def _map(pairs: Iterable[common_pb2.KeyValue], budget: Budget, depth: int) -> dict[str, Any]:
    return joined((pair.key, _value(pair.value, budget, depth)) for pair in pairs)


def _value(value: common_pb2.AnyValue, budget: Budget, depth: int) -> Any:
    budget.take_value(depth)
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return finite(value.double_value)
        case "bytes_value":
            return b64encode(value.bytes_value).decode()
        case "array_value":
            return [_value(item, budget, depth + 1) for item in value.array_value.values]
        case "kvlist_value":
            return _map(value.kvlist_value.values, budget, depth + 1)
        case _:
            # Nothing, or an index into the texts of a profile, which logs do not have.
            return None


# -- the wire format ---------------------------------------------------------------------------


def _by_number(message: memoryview, budget: Budget) -> dict[int, list[memoryview]]:
    found: dict[int, list[memoryview]] = defaultdict(list)
    for number, field in _fields(message, budget):
        found[number].append(field)
    return found


def _fields(message: memoryview, budget: Budget) -> Iterator[tuple[int, memoryview]]:
    """Yield the number and the bytes of each field that has a length, as all messages and texts have."""
    at = 0
    while at < len(message):
        budget.take_group()
        tag, at = _varint(message, at)
        number, wire_type = tag >> 3, tag & 7
        if number == 0:
            raise Undecodable("a field has the number 0")
        if wire_type == _VARINT:
            _, at = _varint(message, at)
            continue
        if wire_type == _BYTES:
            size, at = _varint(message, at)
        elif wire_type in _WIDTHS:
            size = _WIDTHS[wire_type]
        else:
            raise Undecodable(f"a field has the wire type {wire_type}")
        if size > len(message) - at:
            raise Undecodable("it ends within a field")
        if wire_type == _BYTES:
            yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number that begins at a place, and the place after it."""
    value = 0
    for step in range(_LONGEST_VARINT):
        if at + step >= len(message):
            raise Undecodable("it ends within a number")
        byte = message[at + step]
        value |= (byte & 0x7F) << 7 * step
        if byte < 0x80:
            return value, at + step + 1
    raise Undecodable(f"a number has more than {_LONGEST_VARINT} bytes")


def _merged(kind: type[MessageT], parts: Iterable[memoryview]) -> MessageT:
    """Parse a message; protobuf merges one that stands more than once."""
    found = kind()
    for part in parts:
        if len(part) > MAX_PART_BYTES:
            raise Undecodable(f"a resource or scope has more than {MAX_PART_BYTES // 1024**2} MiB")
        try:
            found.MergeFromString(bytes(part))
        except DecodeError as error:
            raise Undecodable(f"a {kind.DESCRIPTOR.name} can't be parsed: {error}") from None
    return found


def _last_text(parts: list[memoryview]) -> str:
    if not parts:
        return ""
    try:
        return bytes(parts[-1]).decode()
    except UnicodeDecodeError:
        raise Undecodable("a schema URL is not UTF-8") from None
