"""What each operation of the API does, as the audit log names an attempt at it."""

from typing import NamedTuple

from starlette.types import Scope

from service.domain.actions import Action
from service.domain.resource_kinds import KIND_OF_COLLECTION

_SUBSCRIPTION = "/v1/subscriptions/{subscription_id}"
_RESOURCE = f"{_SUBSCRIPTION}/{{collection}}/{{resource_id}}"
_GIT = "/git/{subscription_id}.git"


class Operation(NamedTuple):
    """An action, and what it is on; where that is None, the kind of resource that the path names."""

    action: Action
    resource_type: str | None = None


# Those that change or expose something, by method and path; all others read what the caller may see anyway.
OPERATIONS: dict[str, Operation] = {
    "POST /v1/subscriptions": Operation(Action.CREATE, "subscription"),
    f"PATCH {_SUBSCRIPTION}": Operation(Action.UPDATE, "subscription"),
    f"POST {_SUBSCRIPTION}/close": Operation(Action.UPDATE, "subscription"),
    f"POST {_SUBSCRIPTION}/reopen": Operation(Action.UPDATE, "subscription"),
    f"POST {_SUBSCRIPTION}/users": Operation(Action.CREATE, "user"),
    f"PATCH {_SUBSCRIPTION}/users/{{user_id}}": Operation(Action.UPDATE, "user"),
    f"DELETE {_SUBSCRIPTION}/users/{{user_id}}": Operation(Action.DELETE, "user"),
    f"POST {_SUBSCRIPTION}/api-keys": Operation(Action.CREATE, "api_key"),
    f"DELETE {_SUBSCRIPTION}/api-keys/{{key_id}}": Operation(Action.DELETE, "api_key"),
    "PUT /v1/retention-policies": Operation(Action.UPDATE, "retention_policy"),
    f"POST {_SUBSCRIPTION}/holds": Operation(Action.CREATE, "legal_hold"),
    f"POST {_SUBSCRIPTION}/holds/{{hold_id}}/release": Operation(Action.UPDATE, "legal_hold"),
    f"PUT {_SUBSCRIPTION}/audit-policy": Operation(Action.UPDATE, "audit_policy"),
    **{
        f"POST {_SUBSCRIPTION}/{collection}": Operation(Action.CREATE, kind)
        for collection, kind in KIND_OF_COLLECTION.items()
    },
    f"PATCH {_RESOURCE}": Operation(Action.UPDATE),
    f"DELETE {_RESOURCE}": Operation(Action.DELETE),
    f"POST {_SUBSCRIPTION}/deletions/{{deletion_id}}/restore": Operation(Action.RESTORE, "deletion"),
    f"POST {_RESOURCE}/versions": Operation(Action.UPDATE),
    f"POST {_RESOURCE}/check-out": Operation(Action.CHECK_OUT),
    f"DELETE {_RESOURCE}/check-out": Operation(Action.CANCEL_CHECK_OUT),
    f"POST {_RESOURCE}/check-in": Operation(Action.CHECK_IN),
    f"POST {_SUBSCRIPTION}/check-ins": Operation(Action.CHECK_IN, "subscription"),
    f"POST {_RESOURCE}/rollback": Operation(Action.ROLLBACK),
    f"POST {_SUBSCRIPTION}/rollback": Operation(Action.ROLLBACK, "subscription"),
    f"PUT {_RESOURCE}/versions/{{ref}}/tag": Operation(Action.TAG),
    f"DELETE {_RESOURCE}/versions/{{ref}}/tag": Operation(Action.UNTAG),
    f"POST {_RESOURCE}/versions/{{ref}}/publish": Operation(Action.PUBLISH),
    f"POST {_RESOURCE}/versions/{{ref}}/unpublish": Operation(Action.UNPUBLISH),
    f"POST {_RESOURCE}/versions/{{ref}}/comments": Operation(Action.COMMENT),
    f"GET {_GIT}/info/refs": Operation(Action.CLONE, "repository"),
    f"POST {_GIT}/git-upload-pack": Operation(Action.CLONE, "repository"),
    f"POST {_SUBSCRIPTION}/audit-logs": Operation(Action.RECORD, "audit_log"),
    f"POST {_SUBSCRIPTION}/execution-logs": Operation(Action.RECORD, "execution_log"),
    f"GET {_SUBSCRIPTION}/audit-logs": Operation(Action.READ, "audit_log"),
    f"GET {_SUBSCRIPTION}/audit-logs/stats": Operation(Action.READ, "audit_log"),
    f"GET {_SUBSCRIPTION}/execution-logs": Operation(Action.READ, "execution_log"),
    f"GET {_SUBSCRIPTION}/execution-logs/stats": Operation(Action.READ, "execution_log"),
    f"GET {_SUBSCRIPTION}/change-history": Operation(Action.READ, "change_history"),
    f"GET {_SUBSCRIPTION}/server-logs": Operation(Action.READ, "server_log"),
    "PATCH /v1/maintenance/jobs/{name}": Operation(Action.UPDATE, "maintenance_job"),
    "POST /v1/maintenance/jobs/{name}/run": Operation(Action.EXECUTE, "maintenance_job"),
    "GET /v1/audit-logs": Operation(Action.READ, "audit_log"),
    "GET /v1/server-logs": Operation(Action.READ, "server_log"),
}


class Attempt(NamedTuple):
    """A call of an operation: its action, what it is on, and whether it is one of those that are events."""

    action: Action
    resource_type: str
    resource_id: str | None
    is_event: bool


def attempted(scope: Scope) -> Attempt | None:
    """What a request attempts, once it was routed; None for what nobody needs a key for."""
    route, path = scope.get("route"), scope["path"]
    if route is None or not path.startswith(("/v1/", "/git/")):
        return None
    named = scope.get("path_params", {})
    kind = KIND_OF_COLLECTION.get(named.get("collection", ""))
    operation = OPERATIONS.get(f"{scope['method']} {route.path_format}")
    action, resource_type = operation or Operation(Action.READ)
    about = resource_type or kind or "subscription"
    return Attempt(action, about, _named_id(about, named), operation is not None)


def _named_id(resource_type: str, named: dict[str, str]) -> str | None:
    match resource_type:
        case "user":
            return named.get("user_id")
        case "api_key":
            return named.get("key_id")
        case "maintenance_job":
            return named.get("name")
        case "legal_hold":
            return named.get("hold_id")
        case "deletion":
            return named.get("deletion_id")
        case _:
            return named.get("resource_id") or named.get("subscription_id")
