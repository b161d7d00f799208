"""Subscriptions that an operator closes."""

from tests.support.api import Json, Tenant, ok

REASON = {"reason": "the contract has ended"}


def closed(tenant: Tenant) -> Json:
    """Return a subscription as the answer about its closing shows it."""
    return ok(tenant.server.operator.post(f"{tenant.path}/close", REASON))
