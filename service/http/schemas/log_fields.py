"""Fields that the bodies and filters of several logs have."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    Strict,
    StrictInt,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from service.http.schemas.body import Body
from service.http.schemas.fields import ShortLine
from service.usecases.posted_events import MAX_SOURCE, MAX_TYPE

_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_OPERATIONS = ("add", "remove", "replace", "move", "copy", "test")


def _instant(value: object) -> object:
    # Pydantic would take numbers and other notations.
    found = _INSTANT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("is an instant with its zone (RFC 3339)")
    # Senders count nanoseconds; the columns have microseconds.
    return f"{found[1]}{(found[2] or '')[:7]}{found[3]}"


def _in_utc(value: datetime) -> datetime:
    # RFC 3339 has offsets up to 23:59, but PostgreSQL reads none of 16 hours or more.
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies in no year from 1 to 9999") from None


def _operation(value: dict[str, Any]) -> dict[str, Any]:
    if value.get("op") not in _OPERATIONS or not isinstance(value.get("path"), str):
        raise ValueError("is an operation of RFC 6902, with `op` and `path`")
    return value


def _two_decimals(value: float) -> float:
    exponent = Decimal(repr(value)).normalize().as_tuple().exponent
    if isinstance(exponent, int) and exponent < -2:
        raise ValueError("has two decimals at the most: round it")
    return value


Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_instant),
    AfterValidator(_in_utc),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
JsonObject = dict[str, Any]
Operation = Annotated[JsonObject, AfterValidator(_operation)]
TypeName = Annotated[ShortLine, Field(max_length=MAX_TYPE)]
# The ranges of the columns: BIGINT, NUMERIC(10,2) and NUMERIC(5,2). Whole milliseconds are exact in a double.
Milliseconds = Annotated[float, Strict(), Field(ge=0, le=2**53 - 1)]
RowCount = Annotated[StrictInt, Field(ge=0, le=2**63 - 1)]
Megabytes = Annotated[float, Strict(), Field(ge=0, le=99_999_999.99), AfterValidator(_two_decimals)]
Percent = Annotated[float, Strict(), Field(ge=0, le=999.99), AfterValidator(_two_decimals)]
ByteCount = RowCount
Source = Annotated[ShortLine, Field(max_length=MAX_SOURCE)]
VersionNumber = Annotated[StrictInt, Field(ge=1, le=2**31 - 1)]
CommitHash = Annotated[
    str, StringConstraints(pattern=r"^[0-9A-Fa-f]{7,40}$"), AfterValidator(lambda commit: str(commit).lower())
]

# The time that a range, an order and buckets mean: of the arrival, which is the default, or of the event.
LogTime = Annotated[
    Literal["created_at", "occurred_at"], Field(description="the time of ranges, order and buckets")
]
# `data`: the documents on both sides of a change.
Expanded = Literal["data"]


class DatedEvent(Body):
    """An event with its own time; `created_at`, as others name it, means the same."""

    occurred_at: Instant | None = None
    created_at: Instant | None = None

    @field_validator("created_at")
    @classmethod
    def _one_time(cls, value: datetime | None, info: ValidationInfo) -> datetime | None:
        if value is not None and info.data.get("occurred_at") is not None:
            raise ValueError("stands for `occurred_at`: send one of them")
        return value

    def reported(self) -> Any:
        """Return the event as its use case takes it."""
        raise NotImplementedError
