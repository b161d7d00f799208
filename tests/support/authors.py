"""Authors of changes that tests make by a use case, without the request that would check them."""

from uuid import UUID

from service.domain.callers import Member, Origin
from service.domain.ids import SubscriptionId, UserId
from tests.support.api import Caller, Tenant


def late_author(tenant: Tenant, user: Caller) -> Member:
    """Make the author of a change whose key was verified before the user was changed or deleted."""
    return Member(
        user_id=UserId(UUID(user.user_id)),
        username=user.username,
        subscription_id=SubscriptionId(UUID(tenant.subscription_id)),
        origin=Origin(request_id="late", ip_address=None, user_agent=None, endpoint="/test", method="POST"),
    )
