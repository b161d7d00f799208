"""Legal holds."""

from typing import Any
from uuid import uuid4

from tests.support.api import Json, Tenant, ok


def hold(tenant: Tenant, **about: Any) -> str:
    """Insert a legal hold into the database; returns its id."""
    hold_id = str(uuid4())
    tenant.server.database.rows(
        "INSERT INTO legal_holds (hold_id, subscription_id, resource_type, resource_id, reason, placed_by,"
        " placed_at) VALUES (%s, %s, %s, %s, 'a lawsuit', 'ana', %s) RETURNING hold_id",
        hold_id,
        tenant.subscription_id,
        about.get("resource_type"),
        about.get("resource_id"),
        tenant.server.clock(),
    )
    return hold_id


def place(tenant: Tenant, **fields: Any) -> Json:
    """Place a legal hold by the API."""
    body = {"reason": "case 12", **fields}
    return ok(tenant.ana.post(f"{tenant.path}/holds", body), 201)


def on(resource: Json) -> Json:
    return {"resource_type": resource["resource_type"], "resource_id": resource["resource_id"]}


def release(tenant: Tenant, hold: Json) -> Json:
    return ok(tenant.ana.post(f"{tenant.path}/holds/{hold['hold_id']}/release", {"reason": "over"}))
