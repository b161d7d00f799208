"""Bodies about subscriptions, users and API keys."""

import re
from typing import Annotated, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    Field,
    StrictBool,
    StrictInt,
)

from service.http.schemas.body import Body
from service.http.schemas.fields import ShortName, Words


def _username(text: str) -> str:
    # It becomes a commit's author, where git would strip or misread other characters.
    if not re.fullmatch(r"\w(?:[\w.@+ -]*\w)?", text):
        raise ValueError(
            "begins and ends with a letter or digit, and holds letters, digits, and _.@+- and blanks"
        )
    return text


def _email(text: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
        raise ValueError("is no e-mail address")
    return text


Username = Annotated[str, Field(max_length=100), AfterValidator(_username)]
Email = Annotated[str, Field(max_length=255), AfterValidator(_email)]


RoleName = Literal["viewer", "editor", "auditor", "admin"]


class NewSubscription(Body):
    name: ShortName
    require_if_match: StrictBool = False


class SubscriptionChange(Body):
    name: ShortName = Field(default="")
    require_if_match: StrictBool = Field(default=False)


class ClosingReason(Body):
    reason: Words


class NewUser(Body):
    username: Username
    email: Email
    role: RoleName


class UserChange(Body):
    email: Email = Field(default="")
    role: RoleName = Field(default="viewer")


class NewApiKey(Body):
    user_id: UUID
    name: ShortName
    expires_in_days: Annotated[StrictInt, Field(ge=1, le=3650)] | None = None
