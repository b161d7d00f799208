"""Filters of lists: words of closed sets in any case, several values, people by id or name, addresses."""

from collections.abc import Iterator
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from service.domain.addresses import stored_address
from service.domain.resource_kinds import Kind
from service.http.schemas.fields import QueryInstant, QueryText, storable

# As wide as the column of a name is.
MAX_NAME = 255
# Each value of a filter is searched for by itself.
MAX_VALUES = 20

ValueT = TypeVar("ValueT")


class FilterQuery(BaseModel):
    """The filters of a list. A word of a closed set is taken in any case, a noun also in the other number.

    Any other word is refused with the allowed ones; a set is closed if its type is a Literal or an Enum.
    """

    @field_validator("*", mode="before")
    @classmethod
    def _known_word(cls, value: object, info: ValidationInfo) -> object:
        if info.field_name is None:
            return value
        words = _words_of(cls, info.field_name)
        if isinstance(value, list):
            return [words.get(each.casefold(), each) if isinstance(each, str) else each for each in value]
        return words.get(value.casefold(), value) if isinstance(value, str) else value


class KindQuery(FilterQuery):
    """Filter by the kind of a resource."""

    resource_type: Kind | None = None


class TimeQuery(FilterQuery):
    """Filter by time; both ends are inclusive."""

    since: QueryInstant | None = None
    until: QueryInstant | None = None


@cache
def _words_of(query: type[FilterQuery], name: str) -> dict[str, str]:
    """The words of a field's closed set by each form in which they are taken; empty for any other field."""
    words = list(_closed(query.model_fields[name].annotation))
    nouns = {other_number(word): word for word in words} if name in _NOUNS else {}
    return nouns | {word.casefold(): word for word in words}


# The fields whose words are nouns.
_NOUNS = frozenset({"resource_type"})


def _closed(annotation: Any) -> Iterator[str]:
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        yield from (str(member.value) for member in annotation)
    elif get_origin(annotation) is Literal:
        yield from map(str, get_args(annotation))
    else:
        for part in get_args(annotation):
            yield from _closed(part)


def other_number(noun: str) -> str:
    """Return the plural of a singular, and the singular of a plural."""
    if noun.endswith("ies"):
        return f"{noun.removesuffix('ies')}y"
    return noun.removesuffix("s") if noun.endswith("s") else f"{noun}s"


def _person(value: object) -> UUID | str:
    text = storable(str(value))
    try:
        return UUID(text)
    except ValueError:
        if not text or len(text) > MAX_NAME:
            raise ValueError(f"is a user's id, or a name of 1 to {MAX_NAME} characters") from None
        return text


def _one_or_several(values: list[Any]) -> Any:
    """Return no condition for no value, the value if there is one, else each value once."""
    found = tuple(dict.fromkeys(values))
    return found if len(found) > 1 else next(iter(found), None)


# A filter that is repeated with several values, of which a row has one; use cases take one or a tuple.
Several = Annotated[list[ValueT], Field(max_length=MAX_VALUES), PlainSerializer(_one_or_several)]
# Any name that a posted action may have: actions are no closed set.
ActionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:/-]{1,200}$")]
# The id of a user, or a name.
Person = Annotated[
    UUID | str, PlainValidator(_person), WithJsonSchema({"type": "string", "maxLength": MAX_NAME})
]
# The id of something, or of a person, as a platform names it.
ReportedId = Annotated[QueryText, Field(min_length=1, max_length=MAX_NAME)]
Address = Annotated[
    str,
    AfterValidator(stored_address),
    WithJsonSchema({"anyOf": [{"type": "string", "format": f} for f in ("ipv4", "ipv6")]}),
]
UserName = Annotated[QueryText, Field(max_length=MAX_NAME)]
