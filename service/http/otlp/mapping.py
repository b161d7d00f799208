"""Events of executions that log records of OpenTelemetry stand for; docs/guide/otlp.md is the table of it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from service.audit.events import MAX_ID
from service.http.bodies import checked
from service.http.otlp.records import LogRecord, LogResource, LogScope, Refused
from service.http.schemas.execution_logs import NewExecutionEvent
from service.masking.truncation import bounded
from service.usecases.execution_logs import MAX_CODE, ReportedExecution
from service.usecases.posted_events import MAX_SOURCE

Json = dict[str, Any]

# Attributes under these names, with the prefix, are the columns of the same names.
_PREFIX = "annals."
_TEXTS = frozenset(
    {
        *("execution_id", "execution_type", "workflow_id", "job_id", "jobpackage_id", "node_id"),
        *("status", "error_code", "triggered_by", "source", "git_commit_hash"),
    }
)
# The environment of a process gives the attributes of its resource as texts, numbers too.
_NUMBERS: Mapping[str, Callable[[str], float]] = {
    **dict.fromkeys(("duration_ms", "memory_used_mb", "cpu_percent"), float),
    **dict.fromkeys(("rows_processed", "version_number"), int),
}
_EXCEPTION = "exception."
_USERS = ("enduser.id", "user.id")
# Each record stores its resource and scope: a large one would be stored ten thousand times.
MAX_AROUND_BYTES = 8 * 1024
# Of OpenTelemetry's data model: four numbers a level; syslog's notice is the second of its INFO.
_LEVELS = (
    *("TRACE", "TRACE", "TRACE", "TRACE", "DEBUG", "DEBUG", "DEBUG", "DEBUG"),
    *("INFO", "NOTICE", "NOTICE", "NOTICE", "WARNING", "WARNING", "WARNING", "WARNING"),
    *("ERROR", "ERROR", "ERROR", "ERROR", "CRITICAL", "CRITICAL", "CRITICAL", "CRITICAL"),
)
_NUMBERS_OF_LEVELS = {level: _LEVELS.index(level) + 1 for level in _LEVELS}
# Names of levels in texts, where a record has no number.
_NAMED_LEVELS = {
    **{level: level for level in _LEVELS},
    **dict.fromkeys(("WARN",), "WARNING"),
    **dict.fromkeys(("ERR", "SEVERE"), "ERROR"),
    **dict.fromkeys(("FATAL", "CRIT", "ALERT", "EMERG", "PANIC"), "CRITICAL"),
    **dict.fromkeys(("VERBOSE", "FINE"), "DEBUG"),
}
_NO_SERVICE = "unknown_service"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def around(resource: LogResource, scope: LogScope) -> Json:
    """Details of a resource and a scope, which all of their records share; secrets are masked."""
    of_resource = _without_empty(
        attributes=resource.attributes,
        dropped_attributes_count=resource.dropped_attributes_count,
        schema_url=resource.schema_url,
    )
    of_scope = _without_empty(
        name=scope.name,
        version=scope.version,
        attributes=scope.attributes,
        dropped_attributes_count=scope.dropped_attributes_count,
        schema_url=scope.schema_url,
    )
    return {
        name: bounded(value, MAX_AROUND_BYTES)
        for name, value in (("resource", of_resource), ("scope", of_scope))
        if value
    }


def event_of(record: LogRecord, shared: Json) -> ReportedExecution:
    """Make the event of a record; `shared` are the details of what is around it.

    Raises Refused for a record whose attributes for columns do not fit them.
    """
    attributes = dict(record.attributes)
    columns = _columns(record.resource.attributes) | _columns(attributes)
    for name in columns:
        attributes.pop(_PREFIX + name, None)
    error = {
        name.removeprefix(_EXCEPTION): attributes.pop(name)
        for name in list(attributes)
        if name.startswith(_EXCEPTION)
    }
    level = _level(record)
    found = {
        **_place(record, columns),
        "log_level": level,
        "log_message": _message(record),
        "error_code": _cut(error.get("type") or attributes.get("error.type"), MAX_CODE),
        "error_details": error or None,
        "source": _cut(record.resource.attributes.get("service.name"), MAX_SOURCE),
        "triggered_by": _person(attributes),
        **columns,
    }
    event = checked(NewExecutionEvent, found)
    if isinstance(event, list):
        fault = event[0]
        raise Refused(f"the attribute {_PREFIX}{(fault.pointer or '').lstrip('/')} {fault.detail}")
    details = _details(record, event, level) | _without_empty(attributes=attributes) | shared
    return replace(event.reported(), log_details=details, occurred_at=_time(record))


def _columns(attributes: Json) -> Json:
    """Return the values of attributes that name columns."""
    found: Json = {}
    for name in _TEXTS:
        value = attributes.get(_PREFIX + name)
        if value is not None:
            found[name] = value
    for name, read in _NUMBERS.items():
        value = attributes.get(_PREFIX + name)
        if value is not None:
            found[name] = _number(value, read)
    return found


def _number(value: Any, read: Callable[[str], float]) -> Any:
    try:
        return read(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _place(record: LogRecord, columns: Json) -> Json:
    """Return the execution and the node of a record, and the type of execution."""
    trace, span = _trace(record), _span(record)
    node = columns.get("node_id", span)
    if node is not None:
        kind = "node"
    elif "workflow_id" in columns:
        kind = "workflow"
    elif "jobpackage_id" in columns:
        kind = "jobpackage"
    else:
        kind = "job" if "job_id" in columns or trace is None else "workflow"
    return {"execution_id": trace or _program(record), "node_id": node, "execution_type": kind}


def _program(record: LogRecord) -> str:
    """Return the program that a record without a trace comes from: a run of it counts as an execution."""
    attributes = record.resource.attributes
    for name in ("service.instance.id", "service.name"):
        found = _cut(attributes.get(name), MAX_ID)
        if found is not None:
            return found
    return _cut(record.scope.name, MAX_ID) or _NO_SERVICE


def _trace(record: LogRecord) -> str | None:
    return record.trace_id if len(record.trace_id) == 32 and record.trace_id.strip("0") else None


def _span(record: LogRecord) -> str | None:
    return record.span_id if len(record.span_id) == 16 and record.span_id.strip("0") else None


def _level(record: LogRecord) -> str:
    if 0 < record.severity_number <= len(_LEVELS):
        return _LEVELS[record.severity_number - 1]
    return _named_level(record.severity_text) or "INFO"


def _named_level(text: str) -> str | None:
    return _NAMED_LEVELS.get(text.strip().upper())


def _message(record: LogRecord) -> str:
    """Return the body as text; without one, an event is told by its name."""
    if record.body is None:
        return record.event_name
    return record.body if isinstance(record.body, str) else orjson.dumps(record.body).decode()


def _person(attributes: Json) -> str | None:
    for name in _USERS:
        value = attributes.get(name)
        if isinstance(value, str) and value == _cut(value, MAX_ID):
            return value
    return None


def _cut(value: Any, length: int) -> str | None:
    """Return a text as one line of so many characters, None if none is left; the details have it all."""
    if not isinstance(value, str):
        return None
    line = " ".join("".join(each if each.isprintable() else " " for each in value).split())
    return line[:length] or None


def _time(record: LogRecord) -> datetime | None:
    return _instant(record.time_unix_nano or record.observed_time_unix_nano)


def _instant(nanoseconds: int) -> datetime | None:
    """Return an instant, whose nanoseconds are cut; None for zero, which stands for no time."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000) if nanoseconds else None


def shown(moment: datetime) -> str:
    """Write an instant for the details, as answers write it."""
    return moment.isoformat().replace("+00:00", "Z")


def _details(record: LogRecord, event: NewExecutionEvent, level: str) -> Json:
    """Return the parts of a record that no column has, without its attributes."""
    observed = _instant(record.observed_time_unix_nano) if record.time_unix_nano else None
    number, text = record.severity_number, record.severity_text
    return _without_empty(
        event_name=record.event_name,
        trace_id=record.trace_id if record.trace_id != event.execution_id else "",
        span_id=record.span_id if record.span_id != event.node_id else "",
        flags=record.flags,
        severity_number=number if number != _NUMBERS_OF_LEVELS[level] else 0,
        severity_text=text if _named_level(text) != level else "",
        observed_at=None if observed is None else shown(observed),
        dropped_attributes_count=record.dropped_attributes_count,
    )


def _without_empty(**members: Any) -> Json:
    return {name: value for name, value in members.items() if value not in (None, "", 0, {})}
