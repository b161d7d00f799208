"""Audit policy: rules that decide which events are kept, and how much of each, as in Kubernetes."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from service.domain.actions import Action


class Depth(StrEnum):
    """Depth of an audit record; each depth includes the depths before it."""

    NONE = "none"
    # Caller, action, subject, time and request.
    METADATA = "metadata"
    # The states before and after, and the operations between them.
    CHANGES = "changes"
    # The bodies of request and answer, in the server log.
    FULL = "full"


DEFAULT_DEPTH: Final = Depth.CHANGES
ANY: Final = "*"

# All other actions concern versions, deletions, keys and permissions, or are the service's own: their records
# can't be switched off.
CAN_BE_OFF: Final = frozenset(
    {*(Action.READ, Action.RECORD, Action.CLONE, Action.FETCH), Action.CHECK_OUT, Action.CANCEL_CHECK_OUT}
)


@dataclass(frozen=True)
class Rule:
    """Depth for an action on a type of resource; the action and the type may be ANY."""

    resource_type: str
    action: str
    depth: Depth

    def fits(self, resource_type: str, action: str) -> bool:
        """Tell if the rule applies to an action on a type of resource."""
        return self.resource_type in (ANY, resource_type) and self.action in (ANY, action)


@dataclass(frozen=True)
class Policy:
    """Rules of a subscription: the first rule that fits decides; if none fits, DEFAULT_DEPTH."""

    rules: tuple[Rule, ...] = ()

    def depth(self, resource_type: str, action: str) -> Depth:
        """Depth at which an action on a type of resource is recorded."""
        return next((r.depth for r in self.rules if r.fits(resource_type, action)), DEFAULT_DEPTH)

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str, str]] | None) -> "Policy":
        """Policy of stored rules, each a type, an action and a depth, in their order."""
        if not rows:
            return DEFAULT_POLICY
        return cls(tuple(Rule(resource_type, action, Depth(depth)) for resource_type, action, depth in rows))


DEFAULT_POLICY: Final = Policy()
