"""Declarations by dependencies and routes: the refusals, headers and bodies of an operation.

A dependency declares its part once, and each route that depends on it inherits the part. A route declares
the rest, below the decorator that names its path.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, get_origin

from fastapi._compat import ModelField
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel

from service.domain.errors import AnnalsError, Unauthenticated

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Header:
    """Header of requests or answers, with the JSON schema of its value."""

    name: str
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    always: bool = False


@dataclass(frozen=True, slots=True)
class BodyTypes:
    """Body of requests: the type that pydantic reads, by media type."""

    content: Mapping[str, Any]
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """Declarations about one operation, or about the part of it that a function is."""

    refusals: tuple[type[AnnalsError], ...] = ()
    reads: tuple[Header, ...] = ()
    sends: tuple[Header, ...] = ()
    body: BodyTypes | None = None
    asks_for_key: bool = False
    needs_key: bool = False
    query: frozenset[str] = frozenset()
    several: frozenset[str] = frozenset()
    fields: tuple[ModelField, ...] = ()

    def __or__(self, other: "Operation") -> "Operation":
        """Join two parts of an operation."""
        return Operation(
            refusals=(*self.refusals, *other.refusals),
            reads=(*self.reads, *other.reads),
            sends=(*self.sends, *other.sends),
            body=self.body or other.body,
            asks_for_key=self.asks_for_key or other.asks_for_key,
            needs_key=self.needs_key or other.needs_key,
            query=self.query | other.query,
            several=self.several | other.several,
            fields=(*self.fields, *other.fields),
        )


_NOTHING = Operation()
_declared: dict[Callable[..., Any], Operation] = {}
_whole: dict[Callable[..., Any], Operation] = {}


def _declare(part: Operation) -> Callable[[Function], Function]:
    def declare(function: Function) -> Function:
        _declared[function] = _declared.get(function, _NOTHING) | part
        return function

    return declare


def refuses(*errors: type[AnnalsError]) -> Callable[[Function], Function]:
    """Declare errors that a dependency or a route answers with; a family stands for all of its members."""
    return _declare(Operation(refusals=errors))


def reads(*headers: Header) -> Callable[[Function], Function]:
    """Declare headers of the request."""
    return _declare(Operation(reads=headers))


def sends(*headers: Header) -> Callable[[Function], Function]:
    """Declare headers of the answers that are no problems."""
    return _declare(Operation(sends=headers))


def reads_body(
    content: Mapping[str, Any], *errors: type[AnnalsError], required: bool = True
) -> Callable[[Function], Function]:
    """Declare the types of a body by media type, and the errors of reading it."""
    return _declare(Operation(body=BodyTypes(content, required), refusals=errors))


def asks_for_key(*errors: type[AnnalsError], optional: bool = False) -> Callable[[Function], Function]:
    """Declare that a key is read, with the errors of that; `optional` if an installation may ask for none."""
    refusals: tuple[type[AnnalsError], ...] = (Unauthenticated, *errors)
    return _declare(Operation(asks_for_key=True, needs_key=not optional, refusals=refusals))


def operation_of(route: Any) -> Operation:
    """Operation of a route: what its function and all of its dependencies declare.

    `query` has the names of the parameters that the query may have, `several` those that may have several
    values, and `fields` what reads them.
    """
    found = _whole.get(route.endpoint)
    if found is None:
        found = _whole[route.endpoint] = _assembled(route)
    return found


def _assembled(route: Any) -> Operation:
    whole = _declared.get(route.endpoint, _NOTHING)
    names: dict[str, bool] = {}
    fields: list[ModelField] = []
    for dependant in _parts(route.dependant):
        if dependant.call is not None and dependant.call is not route.endpoint:
            whole |= _declared.get(dependant.call, _NOTHING)
        names.update(_names(dependant))
        fields += (field for field in dependant.query_params if field not in fields)
    several = frozenset(name for name, is_list in names.items() if is_list)
    return replace(whole, query=frozenset(names), several=several, fields=tuple(fields))


def _parts(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for part in dependant.dependencies:
        yield from _parts(part)


def _names(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """Yield the name of each parameter, and whether it may have several values."""
    for parameter in dependant.query_params:
        kind = parameter.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            # A model of filters: each of its fields is a parameter.
            for name, known in kind.model_fields.items():
                yield known.alias or name, get_origin(known.annotation) is list
        else:
            yield parameter.alias, get_origin(kind) is list
