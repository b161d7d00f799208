"""Body: base of every request body, which refuses unknown fields."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from service.documents import strict_json
from service.documents.strict_json import MAX_FAULTS, Step
from service.domain.errors import Fault


class Body(BaseModel):
    """JSON object in which unknown fields are an error: a misspelt field is not ignored."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def unknown_fields(cls, value: Any, path: Sequence[Step] = ()) -> list[Fault]:
        """Faults of `value` at `path`: fields that this body, or a body in it, lacks; at most MAX_FAULTS."""
        if not isinstance(value, dict):
            return []
        shape = _shape_of(cls)
        if not shape.bodies and value.keys() <= shape.known:
            return []
        found = strict_json.unknown_fields(value, shape.known, path)
        for name, inner, most in shape.bodies:
            for place, item in _items(value.get(name), (*path, name), most):
                if len(found) >= MAX_FAULTS:
                    break
                found += inner.unknown_fields(item, place)
        return found[:MAX_FAULTS]


class _Shape(NamedTuple):
    """Names of a body's fields, as in JSON; and the bodies in it, with the most that a list of them holds."""

    known: frozenset[str]
    bodies: tuple[tuple[str, type[Body], int | None], ...]


# Kept, since an array of events asks for it a thousand times.
@cache
def _shape_of(body: type[Body]) -> _Shape:
    # Some names are words that Python keeps to itself.
    fields = {field.alias or name: field for name, field in body.model_fields.items()}
    inner = ((name, _body_in(field.annotation), field) for name, field in fields.items())
    return _Shape(
        frozenset(fields),
        tuple((name, found, _most(field)) for name, found, field in inner if found is not None),
    )


def _body_in(annotation: Any) -> type[Body] | None:
    """Body that a field holds, by itself or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, Body):
        return annotation
    return next((found for part in get_args(annotation) if (found := _body_in(part))), None)


def _most(field: FieldInfo) -> int | None:
    return next((rule.max_length for rule in field.metadata if hasattr(rule, "max_length")), None)


def _items(value: Any, path: tuple[Step, ...], most: int | None) -> Iterator[tuple[tuple[Step, ...], Any]]:
    """Value at a path, or if it is a list its first items, with their paths."""
    if not isinstance(value, list):
        yield path, value
        return
    for index, item in enumerate(value[:most]):
        yield (*path, index), item


class MergePatch(Body):
    """Merge patch (RFC 7386): a field that is missing stays as it is, so that no field has a default."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        """Leave defaults out of the description: a client would send them."""
        schema: dict[str, Any] = handler(core_schema)
        for field in handler.resolve_ref_schema(schema).get("properties", {}).values():
            field.pop("default", None)
        return schema


class Nothing(Body):
    pass
