"""Retention policies: how long each level of logs is kept, for all and in single subscriptions."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import delete, insert, select, text, update

from sql.database import Transaction
from sql.models import TABLES

_POLICIES = TABLES["retention_policies"]
_COLUMNS = _POLICIES.c
# Replacements of the rules wait for each other, and for deletions of rows by the old rules.
_LOCK = text("LOCK TABLE retention_policies IN SHARE ROW EXCLUSIVE MODE")

# The subscription of a rule, None for all, and its level.
RuleKey = tuple[UUID | None, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """A rule. No subscription means all of them; no number of days means for good."""

    subscription_id: UUID | None
    level: str
    keep_days: int | None
    changed_at: datetime
    changed_by: str


def lock(tx: Transaction) -> None:
    """Lock the rules against other changes."""
    tx.execute(_LOCK)


def rules(tx: Transaction) -> list[PolicyRow]:
    """All rules of all subscriptions; the caller's scope is the platform."""
    query = select(
        _COLUMNS.subscription_id, _COLUMNS.level, _COLUMNS.keep_days, _COLUMNS.changed_at, _COLUMNS.changed_by
    ).order_by(_COLUMNS.subscription_id.nulls_first(), _COLUMNS.level)
    return [PolicyRow(**row._mapping) for row in tx.execute(query)]


def put(tx: Transaction, key: RuleKey, keep_days: int | None, *, at: datetime, by: str) -> None:
    """Set a rule, whether or not it exists."""
    subscription_id, level = key
    said = {"keep_days": keep_days, "changed_at": at, "changed_by": by}
    found = tx.execute(
        update(_POLICIES)
        .where(_COLUMNS.subscription_id.is_not_distinct_from(subscription_id), _COLUMNS.level == level)
        .values(said)
    )
    if found.rowcount == 0:
        values = said | {"policy_id": uuid4(), "subscription_id": subscription_id, "level": level}
        tx.execute(insert(_POLICIES), values)


def remove(tx: Transaction, keys: Collection[RuleKey]) -> None:
    """Delete rules of subscriptions: the rules for all apply to them again."""
    for subscription_id, level in keys:
        tx.execute(
            delete(_POLICIES).where(_COLUMNS.subscription_id == subscription_id, _COLUMNS.level == level)
        )
