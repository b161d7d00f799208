"""One batch: its transaction, its pack, its only commit point, and the handling of its failures."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from gitstore import errors as git_errors
from gitstore.failpoints import passing
from gitstore.store import Store
from gitstore.write.commit_builder import CommitBuilder
from service.committer.changes import STORED, Amend, Change, Create, OneChange, Restore, Result
from service.committer.plan.planner import Planner, named
from service.committer.plan.writes import Writes
from service.committer.refs import settle
from service.committer.refusals import name_taken, tag_taken
from service.documents.workers import IN_THREAD, DocumentWorkers
from service.domain.errors import (
    AnnalsError,
    OutcomeUnknown,
    RefNotMoved,
    RestoreConflict,
    SubscriptionClosed,
)
from service.domain.ids import SubscriptionId
from service.runtime.clock import Clock
from sql import errors as sql_errors
from sql.database import Database
from sql.queries import audit_logs, repositories
from sql.queries.batch_opening import Opening
from sql.queries.repositories import Tips

Outcome = Result | Exception

log = structlog.get_logger(__name__)

_UNMOVED = (
    "The change is stored, but its ref could not follow: let the operator run `annals verify --repair`. "
    "Sent again without its Idempotency-Key, it would be stored twice."
)
_LOST = (
    "The database did not answer when the change was to be stored, and its outcome could not be found out: "
    "the change may be stored or not. Send it again with the same Idempotency-Key, or look before you do."
)
# Time limit for finding out if a batch is stored after the answer to its COMMIT was lost.
DOUBT_SECONDS = 8
DOUBT_PAUSE_SECONDS = 0.5
# A clock that was ahead by more was wrong: times would stand still for too long.
LARGEST_SET_BACK = timedelta(days=1)


class _InDoubt(Exception):
    """The connection was lost before COMMIT was answered."""

    def __init__(self, writes: Writes, outcomes: list[Outcome]) -> None:
        super().__init__("the answer to COMMIT was lost")
        self.writes = writes
        self.outcomes = outcomes


class BatchWriter:
    """Writes batches of one subscription's changes; used by one thread at a time."""

    def __init__(
        self,
        database: Database,
        store: Store,
        subscription_id: SubscriptionId,
        *,
        clock: Clock,
        git_url: str,
        documents: DocumentWorkers = IN_THREAD,
    ) -> None:
        self._database = database
        self._store = store
        self._subscription_id = subscription_id
        self._clock = clock
        self._git_url = git_url
        self._documents = documents
        self._builder = CommitBuilder(store.path(str(subscription_id)), read_large=documents.read)
        self._began_on: Tips | None = None

    def close(self) -> None:
        """Close the repository."""
        self._builder.close()

    def write(self, changes: Sequence[Change]) -> list[Outcome]:
        """Write changes and move the refs to their commits; returns the outcome of each change, in order."""
        outcomes = self._write(changes)
        stored = [isinstance(outcome, STORED) for outcome in outcomes]
        if any(stored) and not self._follow():
            unmoved = RefNotMoved(_UNMOVED)
            return [unmoved if is_stored else o for is_stored, o in zip(stored, outcomes, strict=True)]
        return outcomes

    def _follow(self) -> bool:
        try:
            passing("committed")
            settle(self._database, self._store, self._subscription_id, since=self._began_on)
            passing("answer-ready")
        except Exception:
            # The versions are durable, and the next batch or clone tries again to move the ref.
            log.exception("a ref could not follow its row", subscription_id=str(self._subscription_id))
            return False
        return True

    def _write(self, changes: Sequence[Change], *, again: bool = False) -> list[Outcome]:
        try:
            return self._attempt(changes)
        except _InDoubt as doubt:
            return self._resolve(doubt)
        except sql_errors.WriteConflict as error:
            # PostgreSQL ended this transaction in favour of another, which has ended by now: try again.
            return [error for _ in changes] if again else self._write(changes, again=True)
        except (sql_errors.DatabaseUnavailable, git_errors.StoreUnavailable) as error:
            return [error for _ in changes]
        except Exception as error:  # noqa: BLE001 - any error is the outcome of one change
            if len(changes) == 1:
                return [_refusal(changes[0], error)]
            # One change broke the transaction: halve the batch until that change is alone.
            middle = len(changes) // 2
            return self._write(changes[:middle]) + self._write(changes[middle:])

    def _attempt(self, changes: Sequence[Change]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        committing: Writes | None = None
        try:
            opening = Opening(self._subscription_id, named(changes), at=self._clock())
            with self._database.transaction(self._subscription_id, first=opening.send) as tx:
                bounds = opening.bounds()
                if bounds.closed_at is not None:
                    closed = SubscriptionClosed(
                        "The subscription is closed: it can be read, and not changed."
                    )
                    return [closed for _ in changes]
                repository = opening.repository()
                tips = repository.tips
                passing("repository-locked")
                self._builder.begin(tips.head, published=tips.published)
                now = self._clock()
                self._began_on = tips
                planner = Planner(
                    tx,
                    self._subscription_id,
                    opening.resources(),
                    builder=self._builder,
                    documents=self._documents,
                    repository=repository,
                    bounds=bounds,
                    at=_in_order(now, self._builder.head_time),
                    now=now,
                    git_url=self._git_url,
                )
                for change in changes:
                    try:
                        outcomes.append(planner.plan(change))
                    except AnnalsError as refusal:
                        outcomes.append(refusal)
                passing("batch-planned")
                # The pack is written while PostgreSQL takes the rows; COMMIT waits for both.
                planner.writes.flush(meanwhile=self._builder.write)
                passing("rows-written")
                # Nothing may follow: leaving the block is the commit point.
                committing = planner.writes
        except sql_errors.DatabaseUnavailable:
            if committing is None:
                raise
            raise _InDoubt(committing, outcomes) from None
        finally:
            self._builder.discard()
        return outcomes

    def _resolve(self, doubt: _InDoubt) -> list[Outcome]:
        """Look for one of the batch's audit rows: it is stored exactly if the batch is."""
        if doubt.writes.witness is None:
            return doubt.outcomes
        deadline = time.monotonic() + DOUBT_SECONDS
        while True:
            try:
                with self._database.transaction(self._subscription_id) as tx:
                    # Waits until the server has committed or rolled back the transaction in doubt.
                    repositories.lock(tx, self._subscription_id)
                    there = audit_logs.exists(tx, self._subscription_id, doubt.writes.witness)
                break
            except sql_errors.DatabaseError as error:
                # After a silence of the database the callers have waited for long enough.
                if isinstance(error, sql_errors.DatabaseSilent) or time.monotonic() > deadline:
                    unknown = OutcomeUnknown(_LOST)
                    return [o if isinstance(o, Exception) else unknown for o in doubt.outcomes]
                time.sleep(DOUBT_PAUSE_SECONDS)
        rolled_back = sql_errors.DatabaseUnavailable("the answer to COMMIT was lost")
        return [o if there or isinstance(o, Exception) else rolled_back for o in doubt.outcomes]


def _in_order(now: datetime, last: datetime | None) -> datetime:
    """Time of new commits: that of the clock, or of the last commit where the clock is behind it.

    The state at an instant is that of the last commit until then, so that the times of commits have to be in
    their order. But the clocks of hosts differ, and clocks are set back.
    """
    return last if last is not None and now < last <= now + LARGEST_SET_BACK else now


def _refusal(change: Change, error: Exception) -> Exception:
    """The error for the caller of a change that failed alone; a violated constraint becomes a refusal."""
    if isinstance(error, sql_errors.UniqueConflict):
        if isinstance(change, Create | Amend) and error.constraint.endswith("_live_name"):
            name = change.name if isinstance(change, Create) else change.wanted.get("name")
            return name_taken(change.kind, name)
        if isinstance(change, Restore) and error.constraint.endswith("_live_name"):
            return RestoreConflict("A name of what was deleted is taken meanwhile.", facts={"conflicts": []})
        tag = getattr(change, "tag", None)
        if (
            isinstance(change, OneChange)
            and tag is not None
            and error.constraint in ("uq_versions_tag", "uq_tags_open_name")
        ):
            return tag_taken(change.kind, tag)
    return error
