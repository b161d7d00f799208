"""For how long each level of logs is kept: the rules for all, and those of single subscriptions."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import delete, insert, select, text, update

from sql.database import Transaction
from sql.models import TABLES

_POLICIES = TABLES["retention_policies"]
_COLUMNS = _POLICIES.c
# Whoever replaces the rules waits for each other, and for rows that go by the old ones.
_LOCK = text("LOCK TABLE retention_policies IN SHARE ROW EXCLUSIVE MODE")

# Of whom a rule is, None for all, and of which level.
RuleKey = tuple[UUID | None, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """A rule: of all without a subscription, for good without a number of days."""

    subscription_id: UUID | None
    level: str
    keep_days: int | None
    changed_at: datetime
    changed_by: str


def lock(tx: Transaction) -> None:
    """Wait to be the only one who changes rules."""
    tx.execute(_LOCK)


def rules(tx: Transaction) -> list[PolicyRow]:
    """All rules of all subscriptions; the caller's scope is the platform."""
    query = select(
        _COLUMNS.subscription_id, _COLUMNS.level, _COLUMNS.keep_days, _COLUMNS.changed_at, _COLUMNS.changed_by
    ).order_by(_COLUMNS.subscription_id.nulls_first(), _COLUMNS.level)
    return [PolicyRow(**row._mapping) for row in tx.execute(query)]


def put(tx: Transaction, key: RuleKey, keep_days: int | None, *, at: datetime, by: str) -> None:
    """Set a rule, whether or not there is one."""
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
    """Let rules of subscriptions go: what is for all holds for them again."""
    for subscription_id, level in keys:
        tx.execute(
            delete(_POLICIES).where(_COLUMNS.subscription_id == subscription_id, _COLUMNS.level == level)
        )
