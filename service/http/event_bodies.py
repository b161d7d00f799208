"""Bodies that are one event or an array of events."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar, Union

from fastapi import Request
from pydantic import Field

from service.documents import strict_json
from service.domain.errors import Fault
from service.http.bodies import JSON, PARSE_ASIDE_BYTES, body_read_by, checked, invalid_body
from service.http.schemas.body import Body
from service.runtime.breath import Breath
from service.usecases.event_batches import MAX_EVENTS, EventBatch

BodyT = TypeVar("BodyT", bound=Body)


def batch_of(model: type[BodyT]) -> Callable[[Request], Awaitable[EventBatch[BodyT]]]:
    """Make a dependency that reads the body as one `model` or an array; a route puts it after the access."""

    def made(raw: bytes, rests: bool) -> tuple[Any, EventBatch[BodyT]]:
        value = strict_json.parse(raw, rests=rests)
        is_single = not isinstance(value, list)
        items = [value] if is_single else value
        if not 0 < len(items) <= MAX_EVENTS:
            raise invalid_body([Fault(f"an array holds 1 to {MAX_EVENTS:,} events", pointer="")])
        found: list[BodyT] = []
        faults: list[Fault] = []
        # Small bodies are read on the event loop, which never rests.
        breath = Breath() if len(raw) > PARSE_ASIDE_BYTES else None
        for index, item in enumerate(items):
            if breath is not None:
                breath.take()
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

    many = Annotated[list[model], Field(min_length=1, max_length=MAX_EVENTS)]  # type: ignore[valid-type]
    return body_read_by(made, {JSON: Union[model, many]})  # noqa: UP007 - mypy takes no `|` of values
