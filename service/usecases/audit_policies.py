"""Audit policy of a subscription: its rules, read and replaced as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from service.audit import data_changes
from service.audit.events import Subject
from service.domain.actions import Action
from service.domain.audit_policy import DEFAULT_DEPTH, Depth, Policy, Rule
from service.domain.callers import Caller
from service.domain.errors import StaleVersion, SubscriptionNotFound
from service.domain.ids import SubscriptionId
from service.usecases.context import Context
from sql.queries import audit_policies, tenancy
from sql.queries.audit_logs import Values

__all__ = ["AuditPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPolicy:
    """Rules of an audit policy: the first that fits decides. If none fits, `default_depth` applies."""

    rules: Sequence[Rule]
    default_depth: Depth = field(default=DEFAULT_DEPTH)

    @property
    def digest(self) -> str:
        """Digest of the rules, by which a page tells that another policy was saved since."""
        rows = [(rule.resource_type, rule.action, rule.depth.value) for rule in self.rules]
        return sha256(repr(rows).encode()).hexdigest()


def get(context: Context, subscription_id: SubscriptionId) -> AuditPolicy:
    """Show the policy of a subscription."""
    with context.database.transaction(subscription_id) as tx:
        rules = Policy.of(audit_policies.rules(tx, subscription_id)).rules
    return AuditPolicy(rules=rules)


def replace(
    context: Context,
    caller: Caller,
    subscription_id: SubscriptionId,
    rules: Sequence[Rule],
    *,
    seen: str | None = None,
) -> AuditPolicy:
    """Replace the rules; later calls are recorded by the new rules.

    With `seen`, only the policy with this digest is replaced; raises StaleVersion for another one.
    """
    wanted = tuple(rules)
    with context.database.transaction(subscription_id) as tx:
        # The lock makes concurrent replacements follow one another.
        locked = tenancy.subscription(tx, subscription_id, lock=True)
        if locked is None:
            raise SubscriptionNotFound("There is no such subscription for this key.")
        before = Policy.of(audit_policies.rules(tx, subscription_id)).rules
        if wanted != before:
            if seen not in (None, AuditPolicy(rules=before).digest):
                raise StaleVersion("Somebody else saved another policy since you began this draft.")
            rows = [(rule.resource_type, rule.action, rule.depth.value) for rule in wanted]
            audit_policies.replace(tx, subscription_id, rows)
            data_changes.record(
                tx,
                caller,
                subscription_id,
                Subject("audit_policy", subscription_id, locked.name),
                Action.UPDATE,
                context.clock(),
                table="audit_policies",
                record_id=subscription_id,
                old=_state(before),
                new=_state(wanted),
            )
    return AuditPolicy(rules=wanted)


def _state(rules: Sequence[Rule]) -> Values:
    return {"rules": list(rules)}
