"""Upkeep of one repository, or of all, the neediest first, within a time budget."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import structlog

from gitstore.errors import GitStoreError, RepositoryMissing
from gitstore.store import Store
from gitstore.upkeep import pruning
from gitstore.upkeep.repack import State, Upkeep, needs
from service.committer.consolidation import Stopped, sole_upkeep
from service.committer.refs import settle
from service.domain.ids import SubscriptionId
from sql.database import PLATFORM, Database
from sql.errors import DatabaseError
from sql.queries import repositories

log = structlog.get_logger(__name__)

Outcome = Literal["done", "busy", "stopped", "failed"]
BUDGET_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UpkeepReport:
    """Outcome of the upkeep of one repository; `busy` if another process has its upkeep lock."""

    subscription_id: SubscriptionId
    outcome: Outcome
    packs_before: int
    packs_after: int
    bytes_before: int
    bytes_after: int
    objects_pruned: int
    seconds: float
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpkeepReports:
    """Outcomes by repository; `left` counts the repositories for which there was no time."""

    reports: Sequence[UpkeepReport]
    left: int


def tend(
    database: Database,
    store: Store,
    subscription_id: SubscriptionId,
    *,
    at: datetime,
    deep: bool = False,
    prune: bool = False,
    grace: timedelta = pruning.GRACE,
    stop: threading.Event | None = None,
) -> UpkeepReport:
    """Merge packs and pack refs; `deep` also finds deltas, `prune` removes objects unreachable for `grace`.

    A failure is put into the report, because the next run tries again. Raises RepositoryMissing.
    """
    began = time.monotonic()
    before = needs(store.path(str(subscription_id)))
    outcome: Outcome = "done"
    pruned, error = 0, None
    try:
        with sole_upkeep(database, store, subscription_id, stop=stop) as work:
            if work is None:
                outcome = "busy"
            else:
                work.light()
                _pack_refs(database, subscription_id, work)
                if deep:
                    work.deep()
                if prune:
                    pruned = _prune(database, store, subscription_id, work, at, grace)
        _measure(database, store, subscription_id, at)
    except Stopped:
        outcome = "stopped"
    except (GitStoreError, DatabaseError) as failure:
        outcome, error = "failed", str(failure)
        log.warning("upkeep failed", subscription_id=str(subscription_id), error=repr(failure))
    after = needs(store.path(str(subscription_id)))
    return UpkeepReport(
        subscription_id=subscription_id,
        outcome=outcome,
        packs_before=before.packs,
        packs_after=after.packs,
        bytes_before=before.bytes,
        bytes_after=after.bytes,
        objects_pruned=pruned,
        seconds=round(time.monotonic() - began, 3),
        error=error,
    )


def tend_all(
    database: Database,
    store: Store,
    *,
    at: datetime,
    deep: bool = False,
    prune: bool = False,
    budget_seconds: float = BUDGET_SECONDS,
    stop: threading.Event | None = None,
    tell: Callable[[UpkeepReport], None] = lambda _: None,
) -> UpkeepReports:
    """Tend the repositories that need upkeep, the neediest first; no upkeep is begun after the time budget.

    The upkeep of each is bounded by the deadlines of `gitstore.upkeep.repack`. Pruning visits all
    repositories. The size of every repository is recorded. Raises DatabaseUnavailable.
    """
    deadline = time.monotonic() + budget_seconds
    needy = _needy(database, store, at=at, deep=deep, prune=prune)
    reports: list[UpkeepReport] = []
    for subscription_id in needy:
        if time.monotonic() >= deadline or (stop is not None and stop.is_set()):
            break
        # Its subscription may have been purged since the list was read.
        with suppress(RepositoryMissing):
            report = tend(database, store, subscription_id, at=at, deep=deep, prune=prune, stop=stop)
            tell(report)
            reports.append(report)
    return UpkeepReports(reports=reports, left=len(needy) - len(reports))


def _needy(
    database: Database, store: Store, *, at: datetime, deep: bool, prune: bool
) -> list[SubscriptionId]:
    with database.transaction(PLATFORM) as tx:
        found = [SubscriptionId(state.subscription_id) for state in repositories.all_refs(tx)]
    states: dict[SubscriptionId, State] = {}
    for subscription_id in found:
        with suppress(RepositoryMissing):
            state = _measure(database, store, subscription_id, at)
            if prune or state.wants_light or (deep and state.wants_deep):
                states[subscription_id] = state
    return sorted(states, key=lambda each: states[each].urgency, reverse=True)


def _measure(database: Database, store: Store, subscription_id: SubscriptionId, at: datetime) -> State:
    """Read the packing of a repository, and record its size, against which a quota is counted."""
    path = store.path(str(subscription_id))
    state = needs(path)
    with database.transaction(subscription_id) as tx:
        if not repositories.has_size(tx, subscription_id, packs=state.packs, size=state.bytes):
            # Read again under the lock: no batch is written, and so its pack is counted once.
            if not repositories.LOCK.all(tx, of_subscription=subscription_id):
                raise RepositoryMissing(str(path))
            state = needs(path)
            repositories.note_size(tx, subscription_id, packs=state.packs, size=state.bytes, at=at)
    return state


def _pack_refs(database: Database, subscription_id: SubscriptionId, work: Upkeep) -> None:
    if not work.has_many_refs():
        return
    with database.transaction(subscription_id) as tx:
        repositories.lock_refs(tx, subscription_id)
        work.pack_refs()


def _prune(
    database: Database,
    store: Store,
    subscription_id: SubscriptionId,
    work: Upkeep,
    at: datetime,
    grace: timedelta,
) -> int:
    # Refs are moved to their rows first: a commit that only a row names would look unreachable.
    settle(database, store, subscription_id)
    prepared = pruning.prepare(work.git, at, grace=grace)
    if prepared is None:
        return 0
    with database.transaction(subscription_id) as tx:
        # Under this lock no batch is written: a row names each stored commit, and after `settle` a ref does.
        repositories.lock(tx, subscription_id)
        settle(database, store, subscription_id)
        return pruning.finish(work.git, prepared)
