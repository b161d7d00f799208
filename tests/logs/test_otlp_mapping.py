"""Events of executions that log records of OpenTelemetry become: which part of a record is which column."""

from typing import Any

import orjson
import pytest

from service.http.otlp import json_reader
from service.http.otlp.mapping import MAX_AROUND_BYTES, around, event_of
from service.http.otlp.records import LogRecord, Refused
from service.usecases.execution_logs import ReportedExecution
from tests.support.api import UNKNOWN, Json
from tests.support.otlp import SPAN, TRACE, log_record, request_of


def mapped(record: Json, **request: Any) -> ReportedExecution:
    """The event of one record."""
    [found] = json_reader.read(orjson.dumps(request_of(record, **request)))
    assert isinstance(found, LogRecord)
    return event_of(found, around(found.resource, found.scope))


def details_of(record: Json, **request: Any) -> Json:
    found = mapped(record, **request).log_details
    assert found is not None
    return found


PLACES: list[tuple[Json, Json, tuple[str, str, str | None]]] = [
    ({"traceId": TRACE, "spanId": SPAN}, {}, (TRACE, "node", SPAN)),
    ({"traceId": TRACE}, {}, (TRACE, "workflow", None)),
    ({"traceId": TRACE.upper()}, {}, (TRACE, "workflow", None)),
    ({}, {"service.instance.id": "pod-7", "service.name": "shop"}, ("pod-7", "job", None)),
    ({}, {"service.name": "shop"}, ("shop", "job", None)),
    ({}, {}, ("tests", "job", None)),
    ({"traceId": "0" * 32, "spanId": "0" * 16}, {"service.name": "shop"}, ("shop", "job", None)),
    ({"traceId": "abcd", "spanId": "ab"}, {"service.name": "shop"}, ("shop", "job", None)),
    ({"attributes": {"annals.execution_id": "run 7"}, "traceId": TRACE}, {}, ("run 7", "workflow", None)),
    (
        {"attributes": {"annals.node_id": "load"}, "traceId": TRACE, "spanId": SPAN},
        {},
        (TRACE, "node", "load"),
    ),
    ({"attributes": {"annals.workflow_id": UNKNOWN}}, {"service.name": "s"}, ("s", "workflow", None)),
    ({"attributes": {"annals.jobpackage_id": UNKNOWN}}, {"service.name": "s"}, ("s", "jobpackage", None)),
    ({"attributes": {"annals.job_id": UNKNOWN}, "traceId": TRACE}, {}, (TRACE, "job", None)),
    ({"attributes": {"annals.execution_type": "job"}, "traceId": TRACE}, {}, (TRACE, "job", None)),
    ({}, {"annals.execution_id": "run 7"}, ("run 7", "job", None)),
]


@pytest.mark.parametrize(("fields", "resource", "place"), PLACES, ids=str)
def test_a_trace_is_an_execution_and_a_span_is_a_node(
    fields: Json, resource: Json, place: tuple[str, str, str | None]
) -> None:
    event = mapped(log_record(**fields), resource=resource)
    assert (event.execution_id, event.execution_type, event.node_id) == place


def test_ids_that_no_column_has_are_details() -> None:
    attributes = {"annals.execution_id": "run 7", "annals.node_id": "load"}
    details = details_of(log_record(attributes=attributes, traceId=TRACE, spanId=SPAN))
    assert (details["trace_id"], details["span_id"]) == (TRACE, SPAN)
    assert details_of(log_record(traceId="abcd"))["trace_id"] == "abcd"


@pytest.mark.parametrize(
    ("number", "text", "level"),
    [
        *((number, "", "TRACE") for number in (1, 4)),
        *((number, "", "DEBUG") for number in (5, 8)),
        (9, "", "INFO"),
        *((number, "", "NOTICE") for number in (10, 12)),
        *((number, "", "WARNING") for number in (13, 16)),
        *((number, "", "ERROR") for number in (17, 20)),
        *((number, "", "CRITICAL") for number in (21, 24)),
        *((0, text, "WARNING") for text in ("warn", "WARNING")),
        *((0, text, "CRITICAL") for text in ("fatal", "Crit")),
        *((number, "loud", "INFO") for number in (0, 25, -1)),
    ],
)
def test_the_number_of_a_severity_or_else_its_text_is_the_level(number: int, text: str, level: str) -> None:
    assert mapped(log_record(severityNumber=number, severityText=text)).log_level == level


def test_a_severity_that_its_level_does_not_say_is_a_detail() -> None:
    details = details_of(log_record(severityNumber=19, severityText="loud"))
    assert (details["severity_number"], details["severity_text"]) == (19, "loud")
    assert "severity_text" not in details_of(log_record(severityNumber=13, severityText="WARN"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("a line\nand another", "a line\nand another"),
        ("", ""),
        (None, "deployment.finished"),
        (7, "7"),
        (True, "true"),
        (["a", {"b": None}], '["a",{"b":null}]'),
        (b"\x00\xff", "AP8="),
    ],
    ids=repr,
)
def test_a_body_of_any_kind_is_the_message(body: Any, message: str) -> None:
    assert mapped(log_record(body, eventName="deployment.finished")).log_message == message


def test_attributes_under_the_name_of_a_column_are_that_column_alone() -> None:
    columns = {
        "workflow_id": UNKNOWN,
        "job_id": UNKNOWN,
        "jobpackage_id": UNKNOWN,
        "status": "failed",
        "error_code": "E7",
        "triggered_by": "zoe",
        "source": "airflow",
        "git_commit_hash": "0123abc",
        "version_number": 3,
        "duration_ms": 12.5,
        "rows_processed": 7,
        "memory_used_mb": 1.25,
        "cpu_percent": 99.5,
    }
    attributes = {f"annals.{name}": value for name, value in columns.items()} | {"colour": "blue"}
    event = mapped(log_record(attributes=attributes))
    assert {name: str(getattr(event, name)) for name in columns} == {
        name: str(value) for name, value in columns.items()
    }
    assert event.log_details is not None
    assert event.log_details["attributes"] == {"colour": "blue"}


def test_texts_of_a_resource_are_numbers_where_the_column_is_one() -> None:
    resource = {"annals.version_number": "3", "annals.duration_ms": "1.5"}
    event = mapped(log_record(attributes={"annals.version_number": 4}), resource=resource)
    assert (event.version_number, event.duration_ms) == (4, 1.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("workflow_id", "seven"), ("execution_type", "step"), ("status", "fine"), ("execution_id", "")),
        *(("duration_ms", -1), ("duration_ms", "long"), ("rows_processed", 1.5), ("node_id", 7)),
    ],
)
def test_an_attribute_that_its_column_does_not_take_refuses_the_record(name: str, value: Any) -> None:
    with pytest.raises(Refused, match=f"^the attribute annals.{name} "):
        mapped(log_record(attributes={f"annals.{name}": value}))


def test_an_exception_is_the_error() -> None:
    error = {"type": "ValueError", "message": "no such table", "stacktrace": "Traceback …\n  line 1"}
    attributes = {f"exception.{name}": value for name, value in error.items()} | {"colour": "blue"}
    event = mapped(log_record(attributes=attributes))
    assert (event.error_code, event.error_details) == ("ValueError", error)
    assert event.log_details is not None
    assert event.log_details["attributes"] == {"colour": "blue"}


def test_a_type_that_is_too_long_for_a_code_is_cut_and_whole_in_the_details() -> None:
    name = "com.example." + "x" * 100
    event = mapped(log_record(attributes={"exception.type": name}))
    assert (event.error_code, event.error_details) == (name[:100], {"type": name})


@pytest.mark.parametrize("name", ["enduser.id", "user.id"])
def test_the_user_of_a_record_triggered_it(name: str) -> None:
    event = mapped(log_record(attributes={name: "zoe"}))
    assert event.triggered_by == "zoe"
    assert mapped(log_record(attributes={name: "x" * 256})).triggered_by is None


def test_the_name_of_the_service_is_the_source() -> None:
    assert mapped(log_record(), resource={"service.name": "shop\n" + "x" * 300}).source == "shop " + "x" * 195


@pytest.mark.parametrize(
    ("given", "observed", "at"),
    [
        ("1764500000123456789", "1764500001000000000", "2025-11-30T10:53:20.123456+00:00"),
        ("0", "1764500001000000000", "2025-11-30T10:53:21+00:00"),
        ("0", "0", None),
    ],
)
def test_the_time_of_a_record_or_else_of_its_observation_is_that_of_the_event(
    given: str, observed: str, at: str | None
) -> None:
    event = mapped(log_record(timeUnixNano=given, observedTimeUnixNano=observed))
    assert (None if event.occurred_at is None else event.occurred_at.isoformat()) == at


def test_all_that_no_column_has_is_in_the_details() -> None:
    record = log_record(
        "x",
        attributes={"colour": "blue"},
        timeUnixNano="1764500000123456789",
        observedTimeUnixNano="1764500000223456789",
        droppedAttributesCount=2,
        eventName="done",
        flags=1,
    )
    resource, scope = {"service.name": "shop", "host": "a"}, {"version": "1.2", "attributes": {"n": 1}}
    assert details_of(record, resource=resource, scope=scope) == {
        "event_name": "done",
        "flags": 1,
        "observed_at": "2025-11-30T10:53:20.223456Z",
        "dropped_attributes_count": 2,
        "attributes": {"colour": "blue"},
        "resource": {"attributes": resource},
        "scope": {"name": "tests", "version": "1.2", "attributes": {"n": 1}},
    }


def test_a_large_resource_is_cut_with_a_note_of_its_size() -> None:
    resource = {"service.name": "shop", "command": "x" * 20_000}
    shown = details_of(log_record(), resource=resource)["resource"]
    assert shown["truncated"] is True
    assert shown["bytes"] > 20_000
    assert len(orjson.dumps(shown)) <= MAX_AROUND_BYTES
