"""Check-ins of several resources at once."""

from typing import Any

from tests.support.api import Caller, Json, Tenant, ok


def item(resource: Json, data: Json | None = None, **fields: Any) -> Json:
    """Make an item of a bulk check-in."""
    named = {name: resource[name] for name in ("resource_type", "resource_id")}
    return named | {"data": {"bulk": True} if data is None else data} | fields


def check_in(tenant: Tenant, *items: Json, by: Caller | None = None, **fields: Any) -> Json:
    """Check several resources in at once, with new versions."""
    return ok((by or tenant.ana).post(f"{tenant.path}/check-ins", {"items": items, **fields}), 201)
