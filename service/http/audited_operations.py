"""Operations as the audit log names them. A route declares its operation, and refusals are recorded by it."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from starlette.types import Scope

from service.domain.actions import Action
from service.domain.resource_kinds import KIND_OF_COLLECTION
from service.http.requests import is_of_pages

# Paths of calls that need a key; pages need a session.
_KEYED = ("/v1/", "/git/")

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class AuditedOperation(NamedTuple):
    """Action of a route, and the type and id of its object.

    If `resource_type` is None, the type is the kind of resource that the path names. `id_in` names the
    parameter of the path that holds the id; if it is None, the id is that of the resource, or else of the
    subscription.
    """

    action: Action
    resource_type: str | None = None
    id_in: str | None = None


class AttemptedOperation(NamedTuple):
    """Call of an operation: its action, the type and id of its object, and if the operation is audited."""

    action: Action
    resource_type: str
    resource_id: str | None
    is_audited: bool


_UNDECLARED = AuditedOperation(Action.READ)
_declared: dict[Callable[..., Any], AuditedOperation] = {}


def audits(
    action: Action, resource_type: str | None = None, *, id_in: str | None = None
) -> Callable[[Endpoint], Endpoint]:
    """Declare the audited operation of a route, below the decorator that names the path of the route.

    Each route that changes or exposes something declares an operation. The other routes only read data that
    their caller may see anyway.
    """

    def declare(endpoint: Endpoint) -> Endpoint:
        _declared[endpoint] = AuditedOperation(action, resource_type, id_in)
        return endpoint

    return declare


def declared(endpoint: Callable[..., Any]) -> AuditedOperation | None:
    """Audited operation of a route's function, None for a function that declares none."""
    return _declared.get(endpoint)


def resource_types() -> set[str]:
    """Types of resources that all routes declare; an event can be about each of these."""
    return {operation.resource_type for operation in _declared.values() if operation.resource_type}


def attempted(scope: Scope) -> AttemptedOperation | None:
    """Operation that a routed request attempts; None for paths that need no key."""
    route, path = scope.get("route"), scope["path"]
    if route is None or not (path.startswith(_KEYED) or is_of_pages(path)):
        return None
    named = scope.get("path_params", {})
    # A path that has another method matches too: a call with the wrong one (405) attempts no operation.
    operation = declared(route.endpoint) if scope["method"] in route.methods else None
    action, resource_type, id_in = operation or _UNDECLARED
    about = resource_type or KIND_OF_COLLECTION.get(named.get("collection", "")) or "subscription"
    resource_id = named.get(id_in) if id_in else named.get("resource_id") or named.get("subscription_id")
    return AttemptedOperation(action, about, resource_id, operation is not None)
