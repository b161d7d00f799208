"""Which events the audit log keeps, and how much of each: rules as in Kubernetes' audit policy."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from service.domain.actions import Action


class Depth(StrEnum):
    """How much is kept, each with all that the one before it has."""

    NONE = "none"
    # Who, what, when, where and how.
    METADATA = "metadata"
    # The states before and after, and the operations between them.
    CHANGES = "changes"
    # The bodies of request and answer, in the server log.
    FULL = "full"


DEFAULT_DEPTH: Final = Depth.CHANGES
ANY: Final = "*"

# All others are actions on versions, deletions, keys and permissions, or the service's own: a record of them
# can't be switched off.
CAN_BE_OFF: Final = frozenset(
    {*(Action.READ, Action.RECORD, Action.CLONE, Action.FETCH), Action.CHECK_OUT, Action.CANCEL_CHECK_OUT}
)


@dataclass(frozen=True)
class Rule:
    """A depth for an action on a type of resource, each of them possibly ANY."""

    resource_type: str
    action: str
    depth: Depth

    def fits(self, resource_type: str, action: str) -> bool:
        """Whether the rule is about such an event."""
        return self.resource_type in (ANY, resource_type) and self.action in (ANY, action)


@dataclass(frozen=True)
class Policy:
    """The rules of a subscription: the first that fits decides, and without one the default."""

    rules: tuple[Rule, ...] = ()

    def depth(self, resource_type: str, action: str) -> Depth:
        """How much of such an event is kept."""
        return next((r.depth for r in self.rules if r.fits(resource_type, action)), DEFAULT_DEPTH)

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str, str]] | None) -> "Policy":
        """The policy of stored rules: type, action and depth of each, in their order."""
        if not rows:
            return DEFAULT_POLICY
        return cls(tuple(Rule(resource_type, action, Depth(depth)) for resource_type, action, depth in rows))


DEFAULT_POLICY: Final = Policy()
