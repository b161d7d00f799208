"""Bodies of requests about retention and legal holds."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    StrictBool,
    StrictInt,
    WithJsonSchema,
    model_validator,
)

from service.domain.resource_kinds import Kind
from service.domain.retention_levels import MAX_DAYS, MAX_RULES, Level
from service.http.schemas.body import Body
from service.http.schemas.fields import Words, dated
from service.usecases import legal_holds, retention_policies


def _in_utc(value: datetime) -> datetime:
    try:
        # In UTC: PostgreSQL reads no offset of 16 hours or more, and no year past the calendar's ends.
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is past the calendar's ends") from None


Until = Annotated[
    AwareDatetime,
    BeforeValidator(dated),
    AfterValidator(_in_utc),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class RetentionRule(Body):
    level: Level
    keep_days: Annotated[StrictInt, Field(ge=1, le=MAX_DAYS)] | None
    subscription_id: UUID | None = None

    def made(self) -> retention_policies.PolicyTerms:
        """Terms of the policy."""
        return retention_policies.PolicyTerms(
            level=self.level, keep_days=self.keep_days, subscription_id=self.subscription_id
        )


class NewRetentionPolicies(Body):
    policies: Annotated[list[RetentionRule], Field(max_length=MAX_RULES)]
    confirm: StrictBool = False


class NewHold(Body):
    resource_type: Kind | None = None
    resource_id: UUID | None = None
    user_id: UUID | None = None
    reason: Words
    until: Until | None = None

    @model_validator(mode="after")
    def _one_subject(self) -> "NewHold":
        if (self.resource_type is None) != (self.resource_id is None):
            raise ValueError("a resource is named by both its type and its id")
        if self.resource_id is not None and self.user_id is not None:
            raise ValueError("name a resource or a user, not both")
        return self

    def made(self) -> legal_holds.HoldTerms:
        """Terms of the legal hold."""
        return legal_holds.HoldTerms(
            resource_type=self.resource_type,
            resource_id=self.resource_id,
            user_id=self.user_id,
            reason=self.reason,
            until=self.until,
        )


class HoldRelease(Body):
    reason: Words
