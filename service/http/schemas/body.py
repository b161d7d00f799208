"""Body: base of every request body, which refuses unknown fields."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from service.documents import strict_json
from service.domain.errors import Fault


class Body(BaseModel):
    """JSON object in which unknown fields are an error: a misspelt field is not ignored."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def unknown_fields(cls, value: Any) -> list[Fault]:
        """Faults of `value`: fields that this body does not have; at most MAX_FAULTS."""
        return strict_json.unknown_fields(value, _names_of(cls))


def unknown_in_items(value: Any, name: str, model: type[Body], most: int) -> list[Fault]:
    """Faults of the first `most` items of the list `name`: fields that `model` lacks; at most MAX_FAULTS."""
    items = value.get(name) if isinstance(value, dict) else None
    found: list[Fault] = []
    known = _names_of(model)
    for index, item in enumerate(items[:most] if isinstance(items, list) else ()):
        if len(found) >= strict_json.MAX_FAULTS:
            break
        found += strict_json.unknown_fields(item, known, (name, index))
    return found[: strict_json.MAX_FAULTS]


def _names_of(model: type[Body]) -> set[str]:
    """The names of a body's fields in JSON: some are words that Python keeps to itself."""
    return {field.alias or name for name, field in model.model_fields.items()}


class Nothing(Body):
    pass
