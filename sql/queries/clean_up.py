"""Queries of rows to clean up: results of calls, ids of events, keys, sessions, records of job runs."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Table, and_, delete, exists, false, func, or_, select

from sql.database import RETENTION_ROLE, SERVICE_ROLE, Transaction, among
from sql.models import TABLES

_ATTEMPTS, _KEYS, _RUNS, _PLANS = (
    TABLES[name] for name in ("idempotency_keys", "api_keys", "job_runs", "job_plans")
)
_SUBSCRIPTIONS, _EVENT_IDS = TABLES["subscriptions"], TABLES["reported_event_ids"]
_SESSIONS, _LINKS = TABLES["web_sessions"], TABLES["sign_in_links"]


@dataclass(frozen=True, slots=True)
class Kept:
    """Subscriptions and users whose rows legal holds keep."""

    subscriptions: Collection[UUID] = ()
    users: Collection[UUID] = ()


@dataclass(frozen=True, slots=True)
class Spent:
    """Rows of a table that may be deleted, by the role that may.

    `may_be_renewed` tells that others change such rows: those that somebody is changing stay.
    """

    table: Table
    key: ColumnElement[object]
    condition: ColumnElement[bool]
    role: Literal["annals_service", "annals_retention"] = SERVICE_ROLE
    may_be_renewed: bool = False


def attempts(before: datetime, kept: Kept) -> Spent:
    """Results of calls with an Idempotency-Key that were stored at or before an instant."""
    of_kept = and_(
        _ATTEMPTS.c.subscription_id.is_not(None), among(_ATTEMPTS.c.subscription_id, kept.subscriptions)
    )
    is_spent = and_(_ATTEMPTS.c.created_at <= before, ~of_kept)
    return Spent(_ATTEMPTS, _ATTEMPTS.c.attempt_id, is_spent, may_be_renewed=True)


def event_ids(before: Mapping[UUID | None, datetime | None], kept: Kept) -> Spent:
    """Senders' ids of events that were stored at or before the instant of their subscription.

    The instant of None is that of subscriptions without one of their own; an instant of None keeps all ids.
    """
    c = _EVENT_IDS.c
    own = [subscription_id for subscription_id in before if subscription_id is not None]
    expired = [
        and_(
            c.created_at <= at,
            ~among(c.subscription_id, own)
            if subscription_id is None
            else c.subscription_id == subscription_id,
        )
        for subscription_id, at in before.items()
        if at is not None
    ]
    is_spent = and_(or_(false(), *expired), ~among(c.subscription_id, kept.subscriptions))
    return Spent(_EVENT_IDS, c.digest, is_spent, RETENTION_ROLE)


def keys(before: datetime, kept: Kept) -> Spent:
    """API keys that expired at or before an instant, except for keys of closed subscriptions."""
    is_closed = exists().where(
        _SUBSCRIPTIONS.c.subscription_id == _KEYS.c.subscription_id, _SUBSCRIPTIONS.c.closed_at.is_not(None)
    )
    # The operator's key has no subscription and does not expire.
    is_spent = and_(
        _KEYS.c.expires_at <= before,
        ~among(_KEYS.c.subscription_id, kept.subscriptions),
        ~among(_KEYS.c.user_id, kept.users),
        ~is_closed,
    )
    return Spent(_KEYS, _KEYS.c.key_id, is_spent)


def sessions(at: datetime, seen_before: datetime) -> Spent:
    """Sessions that have ended at an instant, or were last used at or before another, with their readings."""
    c = _SESSIONS.c
    return Spent(_SESSIONS, c.session_id, or_(c.expires_at <= at, c.last_seen_at <= seen_before))


def links(at: datetime) -> Spent:
    """Links to sign in that have expired."""
    return Spent(_LINKS, _LINKS.c.token_hash, _LINKS.c.expires_at <= at)


def runs(before: datetime) -> Spent:
    """Job runs that ended at or before an instant.

    The last run of each scheduled job stays, since the schedule continues from it. So does the last run that
    succeeded.
    """
    later = _RUNS.alias()
    is_later = and_(later.c.job == _RUNS.c.job, later.c.scheduled_for > _RUNS.c.scheduled_for)
    is_spent = and_(
        _RUNS.c.scheduled_for <= before,
        _RUNS.c.ended_at <= before,
        exists().where(is_later),
        or_(_RUNS.c.state != "succeeded", exists().where(is_later, later.c.state == "succeeded")),
    )
    return Spent(_RUNS, _RUNS.c.run_id, is_spent, RETENTION_ROLE)


def plans(before: datetime) -> Spent:
    """Plans of job runs made at or before an instant."""
    return Spent(_PLANS, _PLANS.c.plan_id, _PLANS.c.planned_at <= before, RETENTION_ROLE)


def count(tx: Transaction, spent: Spent) -> int:
    """Count the rows that may be deleted."""
    found: int = tx.execute(select(func.count()).select_from(spent.table).where(spent.condition)).scalar_one()
    return found


def remove(tx: Transaction, spent: Spent, *, limit: int) -> int:
    """Delete some of the rows; returns their number."""
    found = select(spent.key).where(spent.condition).limit(limit)
    if spent.may_be_renewed:
        found = found.with_for_update(skip_locked=True)
    return tx.execute(delete(spent.table).where(spent.key.in_(found))).rowcount


def expired(tx: Transaction, spent: Spent, *, limit: int) -> list[tuple[UUID, UUID]]:
    """At most `limit` keys to delete, each with its subscription, the earliest expiry first."""
    query = select(_KEYS.c.subscription_id, _KEYS.c.key_id).where(spent.condition)
    rows = tx.execute(query.order_by(_KEYS.c.expires_at, _KEYS.c.key_id).limit(limit))
    return [(subscription_id, key_id) for subscription_id, key_id in rows]
