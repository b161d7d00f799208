"""The rules of how much a subscription's audit log keeps."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, func, insert, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from sql.database import Transaction
from sql.models import TABLES

_POLICIES = TABLES["audit_policies"]
_COLUMNS = _POLICIES.c

# Type, action and depth of each rule.
Rules = Sequence[tuple[str, str, str]]

RULES = select(
    func.jsonb_agg(
        aggregate_order_by(
            func.jsonb_build_array(_COLUMNS.resource_type, _COLUMNS.action, _COLUMNS.depth), _COLUMNS.position
        )
    )
)


def rules(tx: Transaction, subscription_id: UUID) -> Rules:
    """The rules of a subscription, in their order."""
    query = RULES.where(_COLUMNS.subscription_id == subscription_id)
    return tx.execute(query).scalar_one() or []


def replace(tx: Transaction, subscription_id: UUID, rules: Rules) -> None:
    """Replace all rules."""
    tx.execute(delete(_POLICIES).where(_COLUMNS.subscription_id == subscription_id))
    rows = [
        {
            "subscription_id": subscription_id,
            "position": position,
            "resource_type": resource_type,
            "action": action,
            "depth": depth,
        }
        for position, (resource_type, action, depth) in enumerate(rules)
    ]
    if rows:
        tx.execute(insert(_POLICIES), rows)
