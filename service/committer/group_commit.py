"""Group commit: a subscription's changes queue while its batch is written; others run in parallel."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Protocol, cast

import structlog

from gitstore.failpoints import passing
from gitstore.store import Store
from service.committer.batch import BatchWriter, Outcome
from service.committer.changes import Change, Delete, Deleted, Purge
from service.committer.frames import Beat
from service.committer.progress import Progress
from service.committer.refs import settle_all
from service.documents.workers import IN_THREAD, DocumentWorkers
from service.domain.errors import Busy
from service.domain.ids import SubscriptionId
from service.runtime.clock import Clock
from service.runtime.metrics import BATCH_SIZE, COMMIT_REFUSALS, COMMIT_WAITING, COMMIT_WAITING_BYTES
from service.runtime.recent_keys import RecentKeys
from service.runtime.settings import git_url
from sql.database import Database

log = structlog.get_logger(__name__)

# Past these bounds a caller is refused with Busy instead of waiting. A subscription has at most as much as it
# leaves for others: half of it if it is alone, a third if there are two, so that one that comes finds room.
MAX_WAITING = 1024
MAX_WAITING_BYTES = 256 * 1024 * 1024
# A batch has its subscription's row lock. It is bounded, so that other hosts get their turn.
MAX_BATCH = 64
MAX_BATCH_BYTES = 32 * 1024 * 1024
# Beside other subscriptions a batch is smaller, since they wait for the interpreter meanwhile: 64 changes of
# the usual size still fit.
MAX_BATCH_BYTES_BESIDE_OTHERS = 4 * 1024 * 1024
# Batches in parallel, each with a connection: while one waits for its disk, another is planned. With more of
# them, batches are smaller and compete for the interpreter.
AT_ONCE = 2
# A batch that has taken this long waits for a lock or a slow disk: it no longer counts towards AT_ONCE.
PATIENCE_SECONDS = 0.1
WRITERS = 4
# Open repositories; each holds a few file handles and a cache of trees.
MAX_OPEN = 64
# A batch that has made no step for this long keeps its callers from an answer: they get one without it. With
# the pause between two looks, and that of the client, it is less than 10 s.
STANDING_SECONDS = 8
# A batch that has made no step for this long may never end.
STUCK_SECONDS = 30


class Sender(Protocol):
    """The sender of changes; each of its changes has a number of its own."""

    def still_wants(self, number: int) -> bool:
        """True while a caller waits for the outcome of a change; asked before the change is begun."""
        ...

    def deliver(self, outcomes: Sequence[tuple[int, Outcome]]) -> None:
        """Take the outcomes of changes; never waits for long, never raises."""
        ...


class _Waiting:
    __slots__ = ("change", "number", "sender")

    def __init__(self, change: Change, sender: Sender, number: int) -> None:
        self.change = change
        self.sender = sender
        self.number = number


class _Queue:
    __slots__ = ("changes", "size")

    def __init__(self) -> None:
        self.changes: deque[_Waiting] = deque()
        self.size = 0


class GroupCommit:
    """Takes changes from any thread; writes them in its own threads, one batch at a time per subscription."""

    def __init__(
        self,
        database: Database,
        store: Store,
        *,
        clock: Clock,
        public_url: str,
        documents: DocumentWorkers = IN_THREAD,
        when_written: Callable[[SubscriptionId], None] = lambda _: None,
        when_refused: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self._when_written = when_written
        self._when_refused = when_refused
        self._database = database
        self._store = store
        self._clock = clock
        self._public_url = public_url
        self._documents = documents
        self._queues: dict[SubscriptionId, _Queue] = {}
        # Subscriptions with a queue and without a batch under way, in the order of their turns.
        self._turns: OrderedDict[SubscriptionId, None] = OrderedDict()
        self._written: set[SubscriptionId] = set()
        # Subscriptions that had a change to write.
        self._recent: RecentKeys[SubscriptionId] = RecentKeys()
        self._waiting = 0
        self._waiting_bytes = 0
        self._stopping = False
        self._wake = threading.Condition()
        self._idle: OrderedDict[SubscriptionId, BatchWriter] = OrderedDict()
        self._began: dict[int, float] = {}
        self._progress = Progress(database.works_for)
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"committer-{number}", daemon=True)
            for number in range(WRITERS)
        ]

    def start(self) -> None:
        """Start the threads; the first of them moves the refs that a crash left behind."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Write what is waiting, then end the threads."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()
        while self._idle:
            self._idle.popitem()[1].close()

    def is_alive(self) -> bool:
        """True while changes are taken and no batch is stuck."""
        stuck = self._progress.standing(STUCK_SECONDS)
        return not stuck and not self._stopping and all(thread.is_alive() for thread in self._threads)

    def beat(self) -> Beat:
        """Sign of life for callers, to be asked for once a second."""
        standing = self._progress.standing(STANDING_SECONDS)
        return Beat(
            takes_changes=self.is_alive(),
            standing=frozenset(standing) if len(standing) < len(self._threads) else None,
        )

    def sample(self) -> None:
        """Sample the waiting changes."""
        COMMIT_WAITING.set(self._waiting)
        COMMIT_WAITING_BYTES.set(self._waiting_bytes)

    def put(self, change: Change, sender: Sender, number: int) -> None:
        """Queue a change; its sender gets the outcome with its number. Raises Busy if too much is queued."""
        subscription_id, size = change.author.subscription_id, change.size
        with self._wake:
            if self._stopping or not self._has_room(subscription_id, size):
                COMMIT_REFUSALS.inc()
                raise Busy("Too many changes are waiting to be written; nothing was changed, try again.")
            queue = self._queues.setdefault(subscription_id, _Queue())
            queue.changes.append(_Waiting(change, sender, number))
            queue.size += size
            self._waiting += 1
            self._waiting_bytes += size
            self._recent.note(subscription_id)
            if subscription_id not in self._written and subscription_id not in self._turns:
                self._turns[subscription_id] = None
                self._wake.notify()

    def _has_room(self, subscription_id: SubscriptionId, size: int) -> bool:
        """True if the change may wait; one that would wait alone may, whatever its size."""
        if not self._waiting:
            return True
        free, free_bytes = MAX_WAITING - self._waiting, MAX_WAITING_BYTES - self._waiting_bytes
        queue = self._queues.get(subscription_id)
        if queue is None:
            return free > 0 and size <= free_bytes
        return len(queue.changes) < free and queue.size + size <= free_bytes

    def _is_alone(self, subscription_id: SubscriptionId) -> bool:
        """True if no other subscription has changes that wait or are written, or had any just now."""
        return self._recent.has_no_other(subscription_id) and all(
            all(key == subscription_id for key in keys) for keys in (self._queues, self._written)
        )

    def _run(self, number: int) -> None:
        if number == 0:
            self._settle()
        while True:
            with self._wake:
                while not self._may_begin():
                    if self._stopping and not self._queues:
                        return
                    self._wake.wait(PATIENCE_SECONDS if self._turns else None)
                subscription_id, batch = self._take()
                writer = self._idle.pop(subscription_id, None)
                self._began[number] = time.monotonic()
            self._progress.begin(subscription_id)
            self._write(subscription_id, writer, batch)
            self._progress.end()
            del self._began[number]

    def _may_begin(self) -> bool:
        """True if a subscription waits and few enough batches are under way; the caller has the lock."""
        since = time.monotonic() - PATIENCE_SECONDS
        return bool(self._turns) and sum(began > since for began in list(self._began.values())) < AT_ONCE

    def _settle(self) -> None:
        try:
            moved = settle_all(self._database, self._store)
        except Exception:
            # Refs are settled again before each clone, so a failure here loses nothing.
            log.exception("refs could not be checked at start")
        else:
            if moved:
                log.warning("refs that a crash left behind were moved", repositories=len(moved))

    def _take(self) -> tuple[SubscriptionId, list[_Waiting]]:
        """Take the next batch, from the subscription whose turn it is. The caller must hold the mutex."""
        subscription_id, _ = self._turns.popitem(last=False)
        queue = self._queues[subscription_id]
        changes = queue.changes
        most = MAX_BATCH_BYTES if self._is_alone(subscription_id) else MAX_BATCH_BYTES_BESIDE_OTHERS
        batch: list[_Waiting] = []
        size = 0
        while changes and len(batch) < MAX_BATCH and (not batch or size + changes[0].change.size <= most):
            waiting = changes.popleft()
            queue.size -= waiting.change.size
            self._waiting -= 1
            self._waiting_bytes -= waiting.change.size
            # The change of a caller that hung up is not written: it was never acknowledged.
            if waiting.sender.still_wants(waiting.number):
                batch.append(waiting)
                size += waiting.change.size
        if not changes:
            del self._queues[subscription_id]
        self._written.add(subscription_id)
        return subscription_id, batch

    def _end_turn(self, subscription_id: SubscriptionId, writer: BatchWriter | None) -> None:
        """End a subscription's batch. Of more than MAX_OPEN repositories, close those unused for longest."""
        closed = []
        with self._wake:
            self._written.remove(subscription_id)
            if subscription_id in self._queues:
                self._turns[subscription_id] = None
                self._wake.notify()
            elif self._stopping:
                self._wake.notify_all()
            if writer is not None:
                self._idle[subscription_id] = writer
            while len(self._idle) > MAX_OPEN:
                closed.append(self._idle.popitem(last=False)[1])
        for each in closed:
            each.close()

    def _write(
        self, subscription_id: SubscriptionId, writer: BatchWriter | None, batch: list[_Waiting]
    ) -> None:
        """Write a batch and deliver its outcomes."""
        if not batch:
            self._end_turn(subscription_id, writer)
            return
        outcomes: Sequence[Outcome]
        try:
            BATCH_SIZE.observe(len(batch))
            passing("batch-taken")
            if writer is None:
                writer = self._new_writer(subscription_id)
            outcomes = writer.write([waiting.change for waiting in batch])
        except Exception as error:
            log.exception("a batch failed", subscription_id=str(subscription_id))
            outcomes = [error for _ in batch]
            if writer is not None:
                writer.close()
                writer = None
        self._end_turn(subscription_id, writer)
        self._when_written(subscription_id)
        # A store that fails has failed for the whole batch.
        if isinstance(outcomes[0], Exception):
            self._when_refused(outcomes[0])
        _deliver(zip(batch, outcomes, strict=True))

    def _new_writer(self, subscription_id: SubscriptionId) -> BatchWriter:
        return BatchWriter(
            self._database,
            self._store,
            subscription_id,
            clock=self._clock,
            git_url=git_url(self._public_url, subscription_id),
            documents=self._documents,
        )


def _deliver(answered: Iterable[tuple[_Waiting, Outcome]]) -> None:
    """Deliver the outcomes; each sender gets all of its outcomes in one call."""
    by_sender: dict[int, tuple[Sender, list[tuple[int, Outcome]]]] = {}
    for waiting, outcome in answered:
        _, outcomes = by_sender.setdefault(id(waiting.sender), (waiting.sender, []))
        outcomes.append((waiting.number, outcome))
    for sender, outcomes in by_sender.values():
        sender.deliver(outcomes)


class _WaitingThread:
    """A sender that waits in its thread for the outcome of one deletion."""

    def __init__(self) -> None:
        self._future: Future[Deleted] = Future()

    def still_wants(self, _number: int) -> bool:
        """True if the caller still waits for the answer: always, since a waiting thread cannot hang up."""
        return True

    def deliver(self, outcomes: Sequence[tuple[int, Outcome]]) -> None:
        """Wake the thread."""
        for _, outcome in outcomes:
            if isinstance(outcome, Exception):
                self._future.set_exception(outcome)
            else:
                self._future.set_result(cast("Deleted", outcome))

    def wait(self) -> Deleted:
        """Wait for the deletion; raises the error that refused it."""
        return self._future.result()


def carry_out(group: GroupCommit, change: Delete | Purge) -> Deleted:
    """Hand a deletion to the group and wait for it; raises the error that refused it."""
    waiting = _WaitingThread()
    group.put(change, waiting, 0)
    return waiting.wait()
