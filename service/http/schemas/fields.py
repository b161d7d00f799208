"""Fields of request bodies: their types and rules. Answers are the use cases' own dataclasses."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

from gitstore.snapshots import canonical_definition
from service.domain import names
from service.domain.calendar import FIRST, LAST
from service.domain.version_refs import RESERVED, is_commit

MAX_TEXT = 10_000
# The characters of Unicode's categories Cc, Zl and Zp.
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("may not be blank")
    return text


def _one_line(text: str) -> str:
    _not_blank(text)
    if _CONTROL.search(text):
        raise ValueError("may not hold line breaks or control characters")
    return text


def _name(length: int) -> Callable[[str], str]:
    def named(text: str) -> str:
        name = names.stored(text)
        if len(name) > length:
            # Some characters are longer in their composed form.
            raise ValueError(f"has at most {length} characters")
        return name

    return named


def _tag(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", text):
        raise ValueError("begins with a letter or digit and holds up to 100 letters, digits, dots, _ and -")
    if text.isdigit() or is_commit(text) or text.lower() in RESERVED:
        raise ValueError("would be read as a version number, a commit or a reserved word")
    if ".." in text or text.endswith((".", ".lock")):
        raise ValueError("is no valid git tag")
    return text


def storable(text: str) -> str:
    """Return a text that PostgreSQL can store; raises ValueError for one with NUL."""
    if "\0" in text:
        raise ValueError("may not hold NUL (U+0000)")
    return text


def dated(value: object) -> object:
    """Return a text that begins like an instant; raises ValueError for any other value."""
    # Pydantic would read a number, also a bare year, as seconds since 1970.
    if not isinstance(value, str) or not _DATED.match(value):
        raise ValueError("is an instant with its zone (RFC 3339)")
    return value


def _plain(value: object) -> object:
    """Return the text of an integer as JSON writes it, or a default; raises ValueError for any other text."""
    # Pydantic would read `+5`, `007`, ` 5`, `5.0` and `1_000` as well.
    if isinstance(value, str) and not _INTEGER.fullmatch(value):
        raise ValueError("is an integer in plain digits")
    return value


_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,30}")
_DATED = re.compile(r"\d{4}-\d\d-\d\d[Tt ]")
QueryInteger = Annotated[int, BeforeValidator(_plain)]
QueryText = Annotated[str, Field(max_length=500), AfterValidator(storable)]


def _in_calendar(moment: datetime) -> datetime:
    """Return an instant in UTC; one of another zone that lies beyond the calendar there is its end."""
    return min(max(moment, FIRST), LAST).astimezone(UTC)


QueryInstant = Annotated[
    AwareDatetime,
    BeforeValidator(dated),
    AfterValidator(_in_calendar),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
# An empty reason counts as a missing one.
QueryReason = Annotated[
    str | None,
    Field(max_length=MAX_TEXT),
    AfterValidator(lambda text: storable(text) if text and text.strip() else None),
]


def _definition(value: object) -> bytes:
    if not isinstance(value, dict):
        raise ValueError("has to be a JSON object")  # noqa: TRY004 - pydantic handles no TypeError
    return canonical_definition(value)


def _ref(value: object) -> int | str:
    # One validator instead of a union, whose errors would point at a branch of the union.
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and 0 < len(value) <= MAX_REF:
        return value
    raise ValueError("is a version number, a tag, a commit, or current, published or previous")


_INSTANT = TypeAdapter(AwareDatetime)


def _point(value: object) -> datetime | str:
    if isinstance(value, str) and is_commit(value):
        return value
    if isinstance(value, str) and _DATED.match(value):
        try:
            # In UTC: PostgreSQL reads no offset of 16 hours or more, and no year past the calendar's ends.
            return _INSTANT.validate_python(value).astimezone(UTC)
        except (ValidationError, OverflowError):
            pass
    raise ValueError("is 7 to 40 hex digits of a commit, or an instant with its zone (RFC 3339)")


MAX_REF = 100
Ref = Annotated[
    int | str,
    PlainValidator(_ref),
    WithJsonSchema({"type": ["integer", "string"], "minLength": 1, "maxLength": MAX_REF}),
]
# A point in the history of a subscription.
Point = Annotated[
    datetime | str, PlainValidator(_point), WithJsonSchema({"type": "string", "maxLength": MAX_REF})
]
# Rules of validators, as far as a pattern can say them.
_NOT_BLANK = {"minLength": 1, "pattern": r"\S"}
Name = Annotated[str, Field(max_length=500, json_schema_extra=_NOT_BLANK), AfterValidator(_name(500))]
ShortName = Annotated[str, Field(max_length=255, json_schema_extra=_NOT_BLANK), AfterValidator(_name(255))]
# A line that a platform reports: kept as it is.
Line = Annotated[str, Field(max_length=500, json_schema_extra=_NOT_BLANK), AfterValidator(_one_line)]
ShortLine = Annotated[str, Field(max_length=255, json_schema_extra=_NOT_BLANK), AfterValidator(_one_line)]
Tag = Annotated[
    str,
    Field(json_schema_extra={"maxLength": 100, "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"}),
    AfterValidator(_tag),
]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Words = Annotated[str, Field(max_length=MAX_TEXT, json_schema_extra=_NOT_BLANK), AfterValidator(_not_blank)]
# An empty field of a form is stored as null.
Remark = Annotated[Text | None, AfterValidator(lambda text: text if text and text.strip() else None)]
# Made canonical while the body is parsed: a large body is parsed in a thread, not in the event loop.
Definition = Annotated[bytes, PlainValidator(_definition), WithJsonSchema({"type": "object"})]
