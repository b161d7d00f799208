"""Log records of OpenTelemetry in plain values, and the limits of reading them from either format."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from service.domain.errors import BodyTooLarge
from service.masking.values import free_key

# Exporters send 512 records at a time, and collectors some 8,000, unless they are told otherwise.
MAX_RECORDS = 10_000
# Resources and scopes with what else they hold: at the most each record has its own.
MAX_GROUPS = 5 * MAX_RECORDS
# Attributes and parts of values, of all records: a value costs more memory than its bytes.
MAX_VALUES = 1_000_000
# Arrays and maps within each other; readers of both formats take more, but no sender means it.
MAX_DEPTH = 24
# A record, and a resource or scope, in the format in which it was sent.
MAX_PART_BYTES = 1024 * 1024


class Undecodable(ValueError):
    """A request that is not in its format."""


class Refused(ValueError):
    """A record that is in its format but is not taken, with the reason; the others of its request are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogResource:
    """The sender of records: a process, a container, a host."""

    attributes: dict[str, Any]
    dropped_attributes_count: int = 0
    schema_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogScope:
    """The part of the sender's program that made records."""

    name: str = ""
    version: str = ""
    attributes: dict[str, Any]
    dropped_attributes_count: int = 0
    schema_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """A log record; ids are hexadecimal digits, and a number is 0 and a text empty where it is not given."""

    resource: LogResource
    scope: LogScope
    time_unix_nano: int
    observed_time_unix_nano: int
    severity_number: int
    severity_text: str
    body: Any
    attributes: dict[str, Any]
    dropped_attributes_count: int
    flags: int
    trace_id: str
    span_id: str
    event_name: str


class Budget:
    """Counts the parts of a request; raises BodyTooLarge beyond their limits."""

    __slots__ = ("_groups", "_records", "_values")

    def __init__(self) -> None:
        self._groups = 0
        self._records = 0
        self._values = 0

    def take_group(self) -> None:
        """Count a resource, a scope, or something else around records."""
        self._groups += 1
        if self._groups > MAX_GROUPS:
            raise too_many(f"{MAX_GROUPS:,} resources and scopes")

    def take_record(self) -> None:
        """Count a record."""
        self._records += 1
        if self._records > MAX_RECORDS:
            raise too_many(f"{MAX_RECORDS:,} records")

    def take_value(self, depth: int) -> None:
        """Count a value that lies in so many arrays and maps; raises Refused for one too deep."""
        self._values += 1
        if self._values > MAX_VALUES:
            raise too_many(f"{MAX_VALUES:,} values")
        if depth > MAX_DEPTH:
            raise Refused(f"a value is more than {MAX_DEPTH} levels deep")


def too_many(limit: str) -> BodyTooLarge:
    """Refusal of a request with more of something than the limit says."""
    return BodyTooLarge(f"An OTLP request has at most {limit}: let the exporter send smaller batches.")


def joined(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Make a map of pairs; a key that stands twice gets a number, so that neither value is lost."""
    found: dict[str, Any] = {}
    numbers: dict[str, int] = {}
    for key, value in pairs:
        found[free_key(key, found, numbers) if key in found else key] = value
    return found


def refused_size() -> Refused:
    """Refusal of a record that is too large."""
    return Refused(f"a record has at most {MAX_PART_BYTES // 1024**2} MiB")


def finite(value: float) -> float | str:
    """Return a number as JSON has it: texts stand for those that are not finite."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
