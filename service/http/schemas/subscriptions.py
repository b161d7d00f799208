"""Bodies about subscriptions."""

from pydantic import Field, StrictBool

from service.http.schemas.body import Body
from service.http.schemas.fields import ShortName, Words


class NewSubscription(Body):
    name: ShortName
    require_if_match: StrictBool = False


class SubscriptionUpdate(Body):
    name: ShortName = Field(default="")
    require_if_match: StrictBool = Field(default=False)


class ClosingReason(Body):
    reason: Words
