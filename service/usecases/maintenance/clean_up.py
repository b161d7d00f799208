"""Delete expired rows: results kept for retries, ids of events, API keys, sessions, records of job runs."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

from service.domain.idempotency import LIFETIME
from service.domain.job_runs import Blocked, Counts, JobRun, PlannedPart, RunPlan
from service.domain.retention_levels import Level
from service.usecases.api_keys import record_revocation
from service.usecases.context import JobContext, Parts
from service.usecases.maintenance.actors import with_policy
from service.usecases.web_sessions import IDLE
from sql.database import PLATFORM, Transaction
from sql.queries import clean_up, legal_holds, retention_policies, tenancy
from sql.queries.clean_up import Kept, Spent
from sql.queries.legal_holds import HoldRow

NAME: Final = "clean-up"

# Expired keys are kept for this time, so that callers read that the key expired, not that it is unknown.
KEYS_FOR: Final = timedelta(days=30)
RECORDS_FOR: Final = timedelta(days=90)
KEYS: Final = "api_keys"
# The names in a run's counts.
COUNTED: Final = (
    *("idempotency_keys", "reported_event_ids", KEYS, "web_sessions", "sign_in_links"),
    *("job_runs", "job_plans"),
)
# Rows in one transaction.
BATCH = 1000

Cutoffs: TypeAlias = Mapping[UUID | None, datetime | None]


def run(context: JobContext, run: JobRun) -> Counts:
    """Delete expired rows, table by table, until the time of the run is over."""
    with context.database.transaction(PLATFORM) as tx:
        kept = _kept(legal_holds.all_running(tx, run.at))
        spent = _spent(run.at, kept, _audit_cutoffs(tx, run.at))
    ways = {KEYS: _revoke}
    return {what: ways.get(what, _remove)(context, run, each) for what, each in spent.items()}


def plan(context: Parts, at: datetime) -> RunPlan:
    """Count the rows that a run would delete, and the rows that legal holds keep."""
    with context.database.transaction(PLATFORM) as tx:
        held = legal_holds.all_running(tx, at)
        cutoffs = _audit_cutoffs(tx, at)
        parts = [
            PlannedPart(what=what, rows=clean_up.count(tx, each))
            for what, each in _spent(at, _kept(held), cutoffs).items()
        ]
        return RunPlan(at=at, parts=parts, blocked=_blocked(tx, held, at, cutoffs))


def _remove(context: JobContext, run: JobRun, spent: Spent) -> int:
    removed = 0
    while not run.is_over:
        with context.database.transaction(PLATFORM, role=spent.role) as tx:
            number = clean_up.remove(tx, spent, limit=BATCH)
        removed += number
        if number < BATCH:
            break
    return removed


def _revoke(context: JobContext, run: JobRun, spent: Spent) -> int:
    """Delete expired keys; each revocation is recorded in the audit log."""
    revoked = 0
    while not run.is_over:
        with context.database.transaction(PLATFORM) as tx:
            found = clean_up.expired(tx, spent, limit=BATCH)
        for subscription_id, key_id in found:
            revoked += _revoke_one(context, run, subscription_id, key_id)
        if len(found) < BATCH:
            break
    return revoked


def _revoke_one(context: JobContext, run: JobRun, subscription_id: UUID, key_id: UUID) -> bool:
    """Delete a key; returns False if it was deleted meanwhile."""
    with context.database.transaction(subscription_id) as tx:
        row = tenancy.key(tx, subscription_id, key_id)
        if row is None or not tenancy.delete_key(tx, subscription_id, key_id):
            return False
        author = with_policy(tx, subscription_id, run.machine)
        record_revocation(tx, author, subscription_id, row, context.clock())
    return True


def _kept(held: Sequence[HoldRow]) -> Kept:
    return Kept(
        [hold.subscription_id for hold in held if hold.resource_id is None and hold.user_id is None],
        [hold.user_id for hold in held if hold.user_id is not None],
    )


def _audit_cutoffs(tx: Transaction, at: datetime) -> Cutoffs:
    """Return the instants before which audit rows expire, by subscription; None for good."""
    return {
        rule.subscription_id: None if rule.keep_days is None else at - timedelta(days=rule.keep_days)
        for rule in retention_policies.rules(tx)
        if rule.level == Level.USER_ACTIONS
    }


def _spent(at: datetime, kept: Kept, cutoffs: Cutoffs) -> dict[str, Spent]:
    """Expired rows by table.

    Records of job runs belong to no tenant, so no legal hold keeps them. Nor does one keep sessions, whose
    sign-ins are in the audit log.
    """
    return {
        "idempotency_keys": clean_up.attempts(at - LIFETIME, kept),
        # An id is remembered for as long as the row of its event is kept.
        "reported_event_ids": clean_up.event_ids(cutoffs, kept),
        KEYS: clean_up.keys(at - KEYS_FOR, kept),
        "web_sessions": clean_up.sessions(at, at - IDLE),
        "sign_in_links": clean_up.links(at),
        "job_runs": clean_up.runs(at - RECORDS_FOR),
        "job_plans": clean_up.plans(at - RECORDS_FOR),
    }


def _blocked(tx: Transaction, held: Sequence[HoldRow], at: datetime, cutoffs: Cutoffs) -> list[Blocked]:
    """Count the rows that each legal hold would keep on its own."""
    found = []
    for hold in held:
        without = _spent(at, Kept(), cutoffs)
        for what, spent in _spent(at, _kept([hold]), cutoffs).items():
            rows = clean_up.count(tx, without[what]) - clean_up.count(tx, spent)
            if rows:
                found.append(Blocked(hold_id=hold.hold_id, what=what, rows=rows))
    return found
