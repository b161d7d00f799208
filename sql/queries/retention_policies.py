"""Retention policies: how long each level of logs is kept, for all and in single subscriptions."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Select, delete, insert, or_, select, text, tuple_, update

from sql.database import Transaction
from sql.models import TABLES

_POLICIES = TABLES["retention_policies"]
_COLUMNS = _POLICIES.c
# Replacements of the rules wait for each other, and for deletions of rows by the old rules.
_LOCK = text("LOCK TABLE retention_policies IN SHARE ROW EXCLUSIVE MODE")

_RULES = select(
    _COLUMNS.subscription_id, _COLUMNS.level, _COLUMNS.keep_days, _COLUMNS.changed_at, _COLUMNS.changed_by
).order_by(_COLUMNS.subscription_id.nulls_first(), _COLUMNS.level)

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
    return _read(tx, _RULES)


def for_all(tx: Transaction) -> list[PolicyRow]:
    """The rules for all subscriptions."""
    return _read(tx, _RULES.where(_COLUMNS.subscription_id.is_(None)))


def of_level(tx: Transaction, subscription_id: UUID, level: str) -> list[PolicyRow]:
    """The rule of a subscription's level, if it has one, and the rule for all."""
    whose = or_(_COLUMNS.subscription_id.is_(None), _COLUMNS.subscription_id == subscription_id)
    return _read(tx, _RULES.where(whose, _COLUMNS.level == level))


def of_single(tx: Transaction, *, after: RuleKey | None, limit: int) -> list[PolicyRow]:
    """At most `limit` rules of single subscriptions that follow on a subscription and level."""
    query = _RULES.where(_COLUMNS.subscription_id.is_not(None)).limit(limit)
    if after is not None:
        query = query.where(tuple_(_COLUMNS.subscription_id, _COLUMNS.level) > after)
    return _read(tx, query)


def _read(tx: Transaction, query: Select[Any]) -> list[PolicyRow]:
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
