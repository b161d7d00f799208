"""Callers, the origin of their requests, and the rights of each role."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from service.domain.audit_policy import DEFAULT_POLICY, Policy
from service.domain.errors import Forbidden
from service.domain.ids import SubscriptionId, UserId

# Prefix of the names of machines. No user can have such a name: users' names have no colon.
SYSTEM: Final = "system:"


class Role(StrEnum):
    """Role of a user in its subscription; the operator belongs to no subscription."""

    VIEWER = "viewer"
    EDITOR = "editor"
    AUDITOR = "auditor"
    ADMIN = "admin"
    OPERATOR = "operator"

    def may(self, right: "Right") -> bool:
        """Tell if the role has `right`."""
        return right in _RIGHTS[self]

    def needs(self, right: "Right") -> None:
        """Raise Forbidden unless the role has `right`."""
        if not self.may(right):
            raise Forbidden(f"The role {self} may not {right}.")


class UserKind(StrEnum):
    """Kind of a user: a person, who has an e-mail address, or a service account, which has none."""

    HUMAN = "human"
    SERVICE = "service"


class CloneAfterPurge(StrEnum):
    """Callers who may clone a subscription once something was deleted for good in it."""

    EVERYBODY = "everybody"
    ADMIN = "admin"


class SubscriptionState(StrEnum):
    """State of a subscription: open to every call, closed except for reading, or purged."""

    OPEN = "open"
    CLOSED = "closed"
    PURGED = "purged"

    @classmethod
    def of(cls, closed_at: datetime | None, exported_at: datetime | None) -> "SubscriptionState":
        """State by the times in the row of a subscription; after its export the purge has at least begun."""
        if exported_at is not None:
            return cls.PURGED
        return cls.OPEN if closed_at is None else cls.CLOSED


class Right(StrEnum):
    """Right that a call needs."""

    READ = "read resources and their history"
    WRITE = "change resources"
    READ_LOGS = "read logs"
    READ_FIGURES = "see counts and durations"
    RECORD = "record events"
    IMPORT = "import events of any time"
    SEE_SUBSCRIPTION = "see the subscription"
    READ_USERS = "see users and keys"
    MANAGE_USERS = "manage users and keys"
    ERASE = "erase addresses"
    FORCE = "take another's check-out away"
    PURGE = "delete for good"
    READ_PURGED = "read the history of what was deleted for good"
    MANAGE_SUBSCRIPTION = "change the subscription"
    CREATE_SUBSCRIPTIONS = "create subscriptions"
    MANAGE_POLICY = "change what the audit log keeps"
    READ_PLATFORM_LOGS = "read the logs of the platform"
    MAINTAIN = "run maintenance"
    READ_HOLDS = "see legal holds"
    HOLD = "place and release legal holds"
    CLOSE = "close subscriptions"
    SET_QUOTAS = "set quotas"


# Rights that are the operator's alone.
_OF_THE_PLATFORM = frozenset(
    {
        *(Right.CREATE_SUBSCRIPTIONS, Right.READ_PLATFORM_LOGS, Right.MAINTAIN),
        *(Right.CLOSE, Right.SET_QUOTAS),
    }
)


_RIGHTS: dict[Role, frozenset[Right]] = {
    Role.VIEWER: frozenset({Right.READ, Right.SEE_SUBSCRIPTION, Right.READ_FIGURES}),
    Role.EDITOR: frozenset(
        {Right.READ, Right.SEE_SUBSCRIPTION, Right.READ_FIGURES, Right.WRITE, Right.RECORD}
    ),
    Role.AUDITOR: frozenset(
        {
            *(Right.READ, Right.SEE_SUBSCRIPTION, Right.READ_USERS),
            *(Right.READ_FIGURES, Right.READ_LOGS, Right.READ_HOLDS),
        }
    ),
    Role.ADMIN: frozenset(Right) - _OF_THE_PLATFORM,
    Role.OPERATOR: _OF_THE_PLATFORM
    | {
        *(Right.SEE_SUBSCRIPTION, Right.MANAGE_SUBSCRIPTION),
        *(Right.READ_USERS, Right.MANAGE_USERS, Right.ERASE, Right.READ_HOLDS, Right.HOLD),
    },
}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Request that causes an event, and the reason given in the request, in the form that the logs store."""

    request_id: str
    ip_address: str | None
    user_agent: str | None
    endpoint: str
    method: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Caller whose key was verified; user, kind and subscription are None for the operator.

    `session_id` is the web session that stands for the key; None for a call that sent the key itself.
    `subscription_name` and the fields after it are those of the caller's subscription.
    """

    user_id: UserId | None
    username: str
    role: Role
    subscription_id: SubscriptionId | None
    origin: Origin
    kind: UserKind | None = None
    key_id: UUID | None = None
    session_id: UUID | None = None
    subscription_name: str | None = None
    demands_if_match: bool = False
    clone_after_purge: CloneAfterPurge = CloneAfterPurge.EVERYBODY
    subscription_state: SubscriptionState = SubscriptionState.OPEN
    policy: Policy = DEFAULT_POLICY

    def may(self, right: Right) -> bool:
        """Tell if the role has `right`."""
        return self.role.may(right)

    def needs(self, right: Right) -> None:
        """Raise Forbidden unless the role has `right`."""
        self.role.needs(right)


@dataclass(frozen=True, slots=True)
class GuessedKey:
    """Key whose id a caller gave with a wrong secret; the operator's key has no subscription."""

    key_id: UUID
    subscription_id: SubscriptionId | None


@dataclass(frozen=True, kw_only=True)
class Member:
    """User of a subscription as the author of a change to it."""

    user_id: UserId
    username: str
    subscription_id: SubscriptionId
    origin: Origin
    policy: Policy = DEFAULT_POLICY


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Author without a user: a scheduled job (`system:<job>`), or a command typed on the server."""

    username: str
    origin: Origin
    user_id: None = None
    policy: Policy = DEFAULT_POLICY
