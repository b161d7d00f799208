"""Log records of an ExportLogsServiceRequest in OTLP's JSON.

That is the JSON of protobuf, with these rules of its own: the ids of traces and spans are hexadecimal, names
of enumerations are no values, and unknown fields are ignored.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Any

import orjson

from service.domain.errors import MalformedJson
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
    too_many,
)

# What separates values, some of which may lie in texts: a quick count before anything is parsed. An attribute
# has four of them.
MAX_SEPARATORS = 1_000_000
_COUNTED_BYTES = 256 * 1024
_HEX = re.compile("(?:[0-9a-fA-F]{2})*")
_DIGITS = re.compile("-?[0-9]{1,20}")
_UNSIGNED_64, _UNSIGNED_32 = range(2**64), range(2**32)
_SIGNED_64, _SIGNED_32 = range(-(2**63), 2**63), range(-(2**31), 2**31)
_KINDS = (
    *("stringValue", "boolValue", "intValue", "doubleValue", "bytesValue"),
    *("arrayValue", "kvlistValue"),
)

Json = dict[str, Any]


def read(raw: bytes) -> Iterator[LogRecord | Refused]:
    """Read the records of a request in their order; raises Undecodable, MalformedJson and BodyTooLarge."""
    budget = Budget()
    may_be_large = len(raw) > MAX_PART_BYTES
    for group in _items(_object(_parsed(raw), "the body"), "resourceLogs"):
        budget.take_group()
        about = _member(group, "resource")
        resource = LogResource(
            attributes=_around(about, budget),
            dropped_attributes_count=_integer(about, "droppedAttributesCount", _UNSIGNED_32),
            schema_url=_text(group, "schemaUrl"),
        )
        for part in _items(group, "scopeLogs"):
            budget.take_group()
            for scope, record in _records(part, budget):
                is_large = may_be_large and len(orjson.dumps(record)) > MAX_PART_BYTES
                yield refused_size() if is_large else _record(resource, scope, record, budget)


def _parsed(raw: bytes) -> Any:
    most = 0
    for begin in range(0, len(raw), _COUNTED_BYTES):
        most += sum(raw.count(sign, begin, begin + _COUNTED_BYTES) for sign in (b",", b"[", b"{"))
        if most > MAX_SEPARATORS:
            raise too_many(f"{MAX_SEPARATORS:,} values, as JSON counts them")
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise MalformedJson(f"The body is not JSON: {error}.") from None


def _records(group: Json, budget: Budget) -> Iterator[tuple[LogScope, Json]]:
    """Yield the records of a scope with it."""
    about = _member(group, "scope")
    scope = LogScope(
        name=_text(about, "name"),
        version=_text(about, "version"),
        attributes=_around(about, budget),
        dropped_attributes_count=_integer(about, "droppedAttributesCount", _UNSIGNED_32),
        schema_url=_text(group, "schemaUrl"),
    )
    for record in _items(group, "logRecords"):
        budget.take_record()
        yield scope, record


def _record(resource: LogResource, scope: LogScope, record: Json, budget: Budget) -> LogRecord | Refused:
    try:
        return LogRecord(
            resource=resource,
            scope=scope,
            time_unix_nano=_integer(record, "timeUnixNano", _UNSIGNED_64),
            observed_time_unix_nano=_integer(record, "observedTimeUnixNano", _UNSIGNED_64),
            severity_number=_integer(record, "severityNumber", _SIGNED_32),
            severity_text=_text(record, "severityText"),
            body=_value(_field(record, "body"), budget, 0),
            attributes=_map(_items(record, "attributes"), budget, 0),
            dropped_attributes_count=_integer(record, "droppedAttributesCount", _UNSIGNED_32),
            flags=_integer(record, "flags", _UNSIGNED_32),
            trace_id=_id(record, "traceId"),
            span_id=_id(record, "spanId"),
            event_name=_text(record, "eventName"),
        )
    except Refused as refused:
        return refused


# -- values ------------------------------------------------------------------------------------


def _around(about: Json, budget: Budget) -> Json:
    """Read the attributes of a resource or scope, without which none of its records is taken."""
    try:
        return _map(_items(about, "attributes"), budget, 0)
    except Refused as refused:
        raise Undecodable(f"in the attributes of a resource or scope, {refused}") from None


def _map(pairs: list[Json], budget: Budget, depth: int) -> Json:
    return joined((_text(pair, "key"), _value(_field(pair, "value"), budget, depth)) for pair in pairs)


def _value(given: Any, budget: Budget, depth: int) -> Any:
    """Read an AnyValue."""
    budget.take_value(depth)
    if given is None:
        return None
    value = _object(given, "a value")
    kinds = [kind for kind in _KINDS if _field(value, kind) is not None]
    if len(kinds) > 1:
        raise Undecodable(f"a value has one kind, not {' and '.join(kinds[:2])}")
    match kinds[0] if kinds else None:
        case "stringValue":
            return _text(value, "stringValue")
        case "boolValue":
            return _boolean(_field(value, "boolValue"))
        case "intValue":
            return _integer(value, "intValue", _SIGNED_64)
        case "doubleValue":
            return finite(_double(_field(value, "doubleValue")))
        case "bytesValue":
            return _bytes(_text(value, "bytesValue"))
        case "arrayValue":
            items = _list(_member(value, "arrayValue"), "values")
            return [_value(item, budget, depth + 1) for item in items]
        case "kvlistValue":
            return _map(_items(_member(value, "kvlistValue"), "values"), budget, depth + 1)
        case _:
            return None


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Undecodable("boolValue is not true or false")
    return value


def _double(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Undecodable("doubleValue is not a number")
    try:
        return float(value)
    except ValueError:
        raise Undecodable("doubleValue is not a number") from None


def _bytes(text: str) -> str:
    # Protobuf takes both alphabets, with or without the padding.
    padded = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return b64encode(b64decode(padded + "=" * (-len(padded) % 4), validate=True)).decode()
    except ValueError:
        raise Undecodable("bytesValue is not Base64") from None


# -- fields ------------------------------------------------------------------------------------


def _field(message: Json, name: str) -> Any:
    """Return a field under its name in JSON or that in protobuf, as readers of protobuf's JSON do."""
    found = message.get(name)
    return message.get(_PROTOBUF_NAMES[name]) if found is None and name in _PROTOBUF_NAMES else found


_PROTOBUF_NAMES = {
    name: re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)
    for name in (
        *("resourceLogs", "scopeLogs", "logRecords", "schemaUrl", "droppedAttributesCount", "eventName"),
        *("timeUnixNano", "observedTimeUnixNano", "severityNumber", "severityText", "traceId", "spanId"),
        *_KINDS,
    )
}


def _object(value: Any, what: str) -> Json:
    if not isinstance(value, dict):
        raise Undecodable(f"{what} is not an object")
    return value


def _member(message: Json, name: str) -> Json:
    found = _field(message, name)
    return {} if found is None else _object(found, name)


def _list(message: Json, name: str) -> list[Any]:
    found = _field(message, name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise Undecodable(f"{name} is not an array")
    return found


def _items(message: Json, name: str) -> list[Json]:
    return [_object(item, f"an item of {name}") for item in _list(message, name)]


def _text(message: Json, name: str) -> str:
    found = _field(message, name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise Undecodable(f"{name} is not a string")
    return found


def _integer(message: Json, name: str, within: range) -> int:
    """Return a whole number, which JSON has as a number or as a text of digits; 0 if it is missing."""
    found = _field(message, name)
    if found is None:
        return 0
    if isinstance(found, str) and _DIGITS.fullmatch(found):
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int) or found not in within:
        raise Undecodable(f"{name} is not an integer of its range")
    return found


def _id(message: Json, name: str) -> str:
    found = _text(message, name)
    if not _HEX.fullmatch(found):
        raise Undecodable(f"{name} is not hexadecimal")
    return found.lower()
