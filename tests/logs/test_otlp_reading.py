"""Reading of OTLP requests: both formats say the same, and whatever is garbled or too large is refused."""

import copy
import json
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from io import BytesIO
from typing import Any

import orjson
import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from service.domain.errors import BodyTooLarge, Malformed
from service.http.otlp import json_reader, protobuf_reader
from service.http.otlp.batches import OtlpFormat, prepared
from service.http.otlp.records import MAX_DEPTH, MAX_PART_BYTES, MAX_RECORDS, LogRecord, Refused, Undecodable
from service.runtime.pickles import message, receive
from tests.support.api import Json
from tests.support.otlp import (
    FORMATS,
    JSON,
    PROTOBUF,
    SPAN,
    TRACE,
    log_record,
    pairs,
    protobuf_of,
    request_of,
    written,
)
from tests.support.streams import arrival

READERS: dict[str, Callable[[bytes], Iterator[LogRecord | Refused]]] = {
    JSON: json_reader.read,
    PROTOBUF: protobuf_reader.read,
}


def read(request: Json | bytes, form: str) -> list[LogRecord | Refused]:
    return list(READERS[form](request if isinstance(request, bytes) else written(request, form)))


def one(request: Json, form: str) -> LogRecord:
    [record] = read(request, form)
    assert isinstance(record, LogRecord), record
    return record


TEXTS = st.text(max_size=8)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
ATTRIBUTES = st.dictionaries(TEXTS, VALUES, max_size=3)
NUMBERS_32, NUMBERS_64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
IDS = st.binary(max_size=20).map(bytes.hex)
RECORDS = st.builds(
    log_record,
    VALUES,
    attributes=ATTRIBUTES,
    timeUnixNano=NUMBERS_64.map(str),
    observedTimeUnixNano=NUMBERS_64.map(str),
    severityNumber=st.integers(-(2**31), 2**31 - 1),
    severityText=TEXTS,
    droppedAttributesCount=NUMBERS_32,
    flags=NUMBERS_32,
    traceId=IDS,
    spanId=IDS,
    eventName=TEXTS,
)
REQUESTS = st.builds(
    lambda records, resource, scope: request_of(*records, resource=resource, scope={"attributes": scope}),
    st.lists(RECORDS, max_size=3),
    ATTRIBUTES,
    ATTRIBUTES,
)


@given(REQUESTS)
@settings(max_examples=300, deadline=None)
def test_both_formats_of_a_request_are_read_as_the_same_records(request_: Json) -> None:
    assert read(request_, JSON) == read(request_, PROTOBUF)


@given(REQUESTS)
@settings(max_examples=100, deadline=None)
def test_the_names_of_protobuf_are_read_in_json_too(request_: Json) -> None:
    message = ExportLogsServiceRequest.FromString(protobuf_of(request_))
    named = json_format.MessageToDict(message, preserving_proto_field_name=True, use_integers_for_enums=True)
    for group in named.get("resource_logs", ()):
        for part in group.get("scope_logs", ()):
            for record in part.get("log_records", ()):
                for name in ("trace_id", "span_id"):
                    record.pop(name, None)
    plain = copy.deepcopy(request_)
    for record in plain["resourceLogs"][0]["scopeLogs"][0]["logRecords"]:
        del record["traceId"], record["spanId"]
    assert read(orjson.dumps(named), JSON) == read(plain, JSON)


def full_request() -> Json:
    body = {"text": "ä", "list": [1, 2.5, None, True, {"deep": [b"\x00\xff"]}]}
    record = log_record(
        body,
        attributes={"key": "value", "number": -7},
        traceId=TRACE,
        spanId=SPAN,
        timeUnixNano="1764500000123456789",
        observedTimeUnixNano="1764500000123456790",
        severityText="warn",
        eventName="done",
        flags=1,
    )
    return request_of(record, record, resource={"service.name": "shop"}, scope={"version": "1.2"})


@pytest.mark.parametrize("form", FORMATS)
def test_a_request_that_ends_early_is_read_as_fewer_records_or_refused(form: str) -> None:
    whole = written(full_request(), form)
    for end in range(len(whole)):
        with suppress(Undecodable, Malformed):
            assert len(read(whole[:end], form)) < 2


@pytest.mark.parametrize("form", FORMATS)
def test_a_garbled_request_is_read_or_refused_and_nothing_else(form: str) -> None:
    whole, chance = written(full_request(), form), random.Random(18)
    refused = 0
    for _ in range(3_000):
        garbled = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            garbled[chance.randrange(len(garbled))] = chance.randrange(256)
        try:
            read(bytes(garbled), form)
        except (Undecodable, Malformed):
            refused += 1
    assert refused > 300


@given(st.binary(max_size=200))
@settings(max_examples=500, deadline=None)
def test_bytes_of_any_kind_are_read_as_protobuf_or_refused(raw: bytes) -> None:
    with suppress(Undecodable):
        assert all(isinstance(record, LogRecord) for record in read(raw, PROTOBUF))


UNFIT: list[tuple[Any, str]] = [
    ([], "the body is not an object"),
    ({"resourceLogs": {}}, "resourceLogs is not an array"),
    ({"resourceLogs": [7]}, "an item of resourceLogs is not an object"),
    ({"resourceLogs": [{"resource": []}]}, "resource is not an object"),
    ({"timeUnixNano": "1e9"}, "timeUnixNano is not an integer of its range"),
    ({"timeUnixNano": -1}, "timeUnixNano is not an integer of its range"),
    ({"timeUnixNano": 2**64}, "timeUnixNano is not an integer of its range"),
    ({"timeUnixNano": True}, "timeUnixNano is not an integer of its range"),
    ({"severityNumber": "SEVERITY_NUMBER_INFO"}, "severityNumber is not an integer of its range"),
    ({"severityText": 7}, "severityText is not a string"),
    ({"traceId": "W47/95gDgQPSabYzgT/GDA=="}, "traceId is not hexadecimal"),
    ({"spanId": "abc"}, "spanId is not hexadecimal"),
    ({"body": "text"}, "a value is not an object"),
    ({"body": {"stringValue": "a", "intValue": 1}}, "a value has one kind"),
    ({"body": {"boolValue": "true"}}, "boolValue is not true or false"),
    ({"body": {"doubleValue": "many"}}, "doubleValue is not a number"),
    ({"body": {"intValue": 1.5}}, "intValue is not an integer of its range"),
    ({"body": {"bytesValue": "€"}}, "bytesValue is not Base64"),
    ({"attributes": {"key": "value"}}, "attributes is not an array"),
]


@pytest.mark.parametrize(("part", "said"), UNFIT, ids=str)
def test_json_that_is_not_otlp_is_refused_with_the_reason(part: Any, said: str) -> None:
    is_whole = not isinstance(part, dict) or "resourceLogs" in part
    request = part if is_whole else request_of(log_record() | part)
    with pytest.raises(Undecodable, match=said):
        read(json.dumps(request).encode(), JSON)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("form", FORMATS)
def test_numbers_that_are_not_finite_are_texts(number: str, form: str) -> None:
    assert one(request_of(log_record() | {"body": {"doubleValue": number}}), form).body == number


@pytest.mark.parametrize("form", FORMATS)
def test_a_key_that_stands_twice_keeps_both_values(form: str) -> None:
    record = log_record() | {"attributes": [*pairs({"a": 1}), *pairs({"a": 2}), *pairs({"a": 3})]}
    assert one(request_of(record), form).attributes == {"a": 1, "a 1": 2, "a 2": 3}


def test_unknown_fields_are_ignored() -> None:
    request = request_of({**log_record(), "colour": "blue"}) | {"more": [1]}
    assert one(request, JSON).body == "begins"


@pytest.mark.parametrize("form", FORMATS)
def test_a_value_that_is_too_deep_refuses_its_record_alone(form: str) -> None:
    def nested(levels: int) -> Any:
        return "x" if levels == 0 else [nested(levels - 1)]

    request = request_of(log_record(nested(MAX_DEPTH)), log_record(nested(MAX_DEPTH + 1)), log_record())
    assert [type(record) for record in read(request, form)] == [LogRecord, Refused, LogRecord]


def test_a_protobuf_of_thousands_of_levels_is_refused() -> None:
    value = b""
    for _ in range(5_000):
        value = _field(5, _field(1, value))
    with pytest.raises(Undecodable, match="LogRecord"):
        read(_field(1, _field(2, _field(2, _field(5, value)))), PROTOBUF)


def test_a_json_of_thousands_of_levels_is_refused() -> None:
    raw = b'{"resourceLogs":' * 5_000 + b"1" + b"}" * 5_000
    with pytest.raises(Malformed):
        read(raw, JSON)


@pytest.mark.parametrize("form", FORMATS)
def test_a_record_that_is_too_large_is_refused_alone(form: str) -> None:
    request = request_of(log_record("x" * MAX_PART_BYTES), log_record())
    assert [type(record) for record in read(request, form)] == [Refused, LogRecord]


@pytest.mark.parametrize("form", FORMATS)
def test_one_record_too_many_refuses_all(form: str) -> None:
    request = request_of(*[{}] * MAX_RECORDS)
    assert len(read(request, form)) == MAX_RECORDS
    request["resourceLogs"][0]["scopeLogs"][0]["logRecords"].append({})
    with pytest.raises(BodyTooLarge, match="smaller batches"):
        read(request, form)


@pytest.mark.parametrize(
    ("form", "raw"),
    [
        (PROTOBUF, b"\x0a\x00" * 2**20),
        (PROTOBUF, b"\x18\x00" * 2**20),
        (JSON, b'{"resourceLogs":[' + b"{}," * 2**20 + b"{}]}"),
        (JSON, b'{"more":[' + b"[]," * 2**20 + b"{}]}"),
    ],
    ids=["groups", "numbers", "groups in JSON", "unknown values in JSON"],
)
def test_a_million_of_the_smallest_parts_is_refused_unread(form: str, raw: bytes) -> None:
    with pytest.raises(BodyTooLarge, match="smaller batches"):
        read(raw, form)


@pytest.mark.parametrize("form", tuple(OtlpFormat))
def test_the_work_on_a_request_fits_a_document_worker(form: OtlpFormat) -> None:
    raw = written(full_request(), form.value)
    work = partial(prepared, form, arrival(), raw, has_key=True)
    found = returned(returned(work)())
    assert (found.prepared.rows, found.prepared.skipped, found.late) == (2, 0, 2)
    assert found.digests == work().digests


def returned(value: Any) -> Any:
    """Send a value to another process, as it were."""
    return receive(BytesIO(b"".join(message(value))))


def _field(number: int, content: bytes) -> bytes:
    """Write a field of protobuf that has a length."""
    size, length = len(content), b""
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content
