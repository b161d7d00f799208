"""Bodies that are one event or an array of events."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, TypeVar, Union

from fastapi import Request
from pydantic import Field

from service.documents import strict_json
from service.domain.errors import Fault
from service.http.bodies import JSON, body_read_by, checked, invalid_body
from service.http.schemas.body import Body
from service.usecases.event_batches import MAX_EVENTS, EventBatch

BodyT = TypeVar("BodyT", bound=Body)


def batch_of(model: type[BodyT]) -> Callable[[Request], Awaitable[EventBatch[BodyT]]]:
    """Make a dependency that reads the body as one `model` or an array; a route puts it after the access."""

    many = Annotated[list[model], Field(min_length=1, max_length=MAX_EVENTS)]  # type: ignore[valid-type]
    return body_read_by(partial(_made, model), {JSON: Union[model, many]})  # noqa: UP007 - mypy takes no `|` of values


def _made(model: type[BodyT], raw: bytes) -> tuple[Any, EventBatch[BodyT]]:
    value = strict_json.parse(raw)
    is_single = not isinstance(value, list)
    items = [value] if is_single else value
    if not 0 < len(items) <= MAX_EVENTS:
        raise invalid_body([Fault(f"an array holds 1 to {MAX_EVENTS:,} events", pointer="")])
    found: list[BodyT] = []
    faults: list[Fault] = []
    for index, item in enumerate(items):
        event = checked(model, item, [] if is_single else [index])
        if isinstance(event, list):
            faults += event
        else:
            found.append(event)
        if len(faults) >= strict_json.MAX_FAULTS:
            break
    if faults:
        raise invalid_body(faults[: strict_json.MAX_FAULTS])
    return value, EventBatch(found, is_single)
