"""Count executions by whole days in UTC, so that figures of long times need not read the logs.

A day is counted when it has been over for an hour, and again when events of it arrive later. Each day is
counted by itself, from its rows: a run that is killed has counted some days, and the next run counts the
others. Figures outlive the rows that they count, but for those of the longest term.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from gitstore.failpoints import passing
from service.domain.ids import SubscriptionId
from service.domain.job_runs import Counts, JobRun
from service.domain.retention_levels import LEVELS_OF
from service.usecases.context import JobContext
from service.usecases.maintenance.turns import take_turns
from sql.database import PLATFORM
from sql.queries import execution_figures, legal_holds, retention_policies
from sql.queries.retention_policies import PolicyRow

NAME: Final = "execution-figures"

# Most rows of a day have arrived so long after its end.
AFTER: Final = timedelta(hours=1)
# Days of one run: an import of a year has a few thousand, each of them in some hundredths of a second.
MOST_DAYS: Final = 2_000
# Retention deletes the rows of the last chunk of their term later.
GRACE: Final = timedelta(days=8)
_LEVELS: Final = (*LEVELS_OF["execution_logs"], *LEVELS_OF["node_execution_logs"])


def run(context: JobContext, run: JobRun) -> Counts:
    """Count the days whose events are not all counted, the newest first; subscriptions take turns."""
    counts: Counter[str] = Counter(days=0, rows=0, kept=0, expired=0)
    before = (run.at - AFTER).date()
    with context.database.transaction(PLATFORM) as tx:
        changed = execution_figures.changed(tx)

    def mark(subscription_id: SubscriptionId, _: bool | None) -> None:
        with context.database.transaction(subscription_id) as tx:
            execution_figures.mark(tx, subscription_id)
        passing("days-marked")

    def count(subscription_id: SubscriptionId, _: bool | None) -> bool | None:
        with context.database.transaction(subscription_id) as tx:
            stale = execution_figures.next_stale(tx, subscription_id, before=before, at=run.at)
            if stale is None or counts["days"] + counts["kept"] >= MOST_DAYS:
                return None
            counted = execution_figures.count(tx, subscription_id, stale, at=context.clock())
            passing("day-counted")
        counts.update({"kept": 1} if counted is None else {"days": 1, "rows": counted.events})
        return True

    take_turns(run, changed, mark)
    with context.database.transaction(PLATFORM) as tx:
        waiting = execution_figures.with_stale_days(tx, before)
    take_turns(run, waiting, count)
    counts["expired"] = _expire(context, run)
    return dict(counts)


def _expire(context: JobContext, run: JobRun) -> int:
    """Delete figures none of whose rows are within their term; a legal hold keeps all of a subscription."""
    with context.database.transaction(PLATFORM) as tx:
        rules = retention_policies.rules(tx)
        held = {hold.subscription_id for hold in legal_holds.all_running(tx, run.at)}
        of = {rule.subscription_id for rule in rules}
        cutoffs = {each: _cutoff(rules, each, run.at) for each in of}
        newest = max((cutoff for cutoff in cutoffs.values() if cutoff is not None), default=None)
        old = [] if newest is None else execution_figures.with_old_days(tx, newest)
    expired = 0
    for subscription_id in old:
        cutoff = cutoffs.get(subscription_id, cutoffs[None])
        if cutoff is not None and subscription_id not in held and not run.is_over:
            with context.database.transaction(subscription_id) as tx:
                expired += execution_figures.expire(tx, subscription_id, cutoff)
    return expired


def _cutoff(rules: Sequence[PolicyRow], subscription_id: UUID | None, at: datetime) -> datetime | None:
    """Return the instant before which rows of all levels of executions are expired; None for good."""
    terms = {rule.level: rule.keep_days for rule in rules if rule.subscription_id is None}
    terms |= {rule.level: rule.keep_days for rule in rules if rule.subscription_id == subscription_id}
    days = [terms[level] for level in _LEVELS]
    given = [each for each in days if each is not None]
    return at - timedelta(days=max(given)) - GRACE if len(given) == len(days) else None
