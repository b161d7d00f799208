"""Authors of the changes that scheduled jobs make: one actor in each subscription, without a key."""

from dataclasses import replace
from uuid import UUID, uuid5

from service.domain.audit_policy import Policy
from service.domain.callers import Machine, Member
from service.domain.ids import SubscriptionId, UserId, derived
from sql.database import Database, Transaction
from sql.queries import audit_policies, tenancy


def author(database: Database, subscription_id: SubscriptionId, machine: Machine) -> Member:
    """Return a machine as the author of changes in a subscription; its actor is created if missing."""
    user_id = actor_id(subscription_id, machine.username)
    with database.transaction(subscription_id) as tx:
        tenancy.ensure_actor(tx, subscription_id, user_id=user_id, username=machine.username)
        machine = with_policy(tx, subscription_id, machine)
    return Member(
        user_id=user_id,
        username=machine.username,
        subscription_id=subscription_id,
        origin=machine.origin,
        policy=machine.policy,
    )


def with_policy(tx: Transaction, subscription_id: UUID, machine: Machine) -> Machine:
    """Return a machine with the audit policy of a subscription."""
    return replace(machine, policy=Policy.of(audit_policies.rules(tx, subscription_id)))


def actor_id(subscription_id: UUID, username: str) -> UserId:
    """Derive the id of a machine's actor: always the same one, so that a rebuilt database has it too."""
    return UserId(derived(subscription_id, uuid5(subscription_id, username)))
