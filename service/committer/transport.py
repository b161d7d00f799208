"""The committer as a thread of this process: changes queue per subscription, one batch runs at a time."""

import asyncio
import threading
import time
from collections import OrderedDict, deque
from concurrent.futures import Future
from typing import Any

import structlog

from gitstore.layout import Store
from service.addresses import git_url
from service.clock import Clock
from service.committer.batch import BatchWriter
from service.committer.change import Change
from service.committer.refs import settle_all
from service.errors import Busy
from service.ids import SubscriptionId
from service.metrics import BATCH_SIZE
from sql.database import Database

log = structlog.get_logger(__name__)

# Past this many waiting changes a caller is better told to come back than kept waiting.
MAX_WAITING = 1024
# One batch holds its subscription's row lock: bounded, so that other hosts get their turn.
MAX_BATCH = 64
MAX_BATCH_BYTES = 32 * 1024 * 1024
# Open repositories; each holds a few file handles and a cache of trees.
MAX_OPEN = 64
# A batch takes milliseconds; one that takes this long waits for something that may never come.
STUCK_SECONDS = 30


class _Waiting:
    """A change and where its outcome goes."""

    __slots__ = ("change", "future")

    def __init__(self, change: Change) -> None:
        self.change = change
        self.future: Future[Any] = Future()


class ThreadCommitter:
    """Takes changes from any thread or event loop and writes them in one thread of its own."""

    def __init__(self, database: Database, store: Store, *, clock: Clock, public_url: str) -> None:
        self._database = database
        self._store = store
        self._clock = clock
        self._public_url = public_url
        self._queues: OrderedDict[SubscriptionId, deque[_Waiting]] = OrderedDict()
        self._waiting = 0
        self._stopping = False
        self._batch_began: float | None = None
        self._wake = threading.Condition()
        self._writers: OrderedDict[SubscriptionId, BatchWriter] = OrderedDict()
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is waiting, then end the thread."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    def is_alive(self) -> bool:
        """Whether changes are being taken, and none has been stuck for long."""
        began = self._batch_began
        stuck = began is not None and time.monotonic() - began > STUCK_SECONDS
        return self._thread.is_alive() and not self._stopping and not stuck

    # What a change comes to depends on its kind: `change.Committer` says how.
    async def submit(self, change: Change) -> Any:
        """Wait until the change is durable and its refs moved; raises as `change.Committer` says."""
        waiting = _Waiting(change)
        with self._wake:
            if not self._thread.is_alive() or self._stopping or self._waiting >= MAX_WAITING:
                raise Busy("Too many changes are waiting to be written; nothing was changed, try again.")
            self._queues.setdefault(change.author.subscription_id, deque()).append(waiting)
            self._waiting += 1
            self._wake.notify()
        return await asyncio.wrap_future(waiting.future)

    def _run(self) -> None:
        self._settle()
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._queues or self._stopping)
                if not self._queues:
                    break
                subscription_id, batch = self._take()
            self._batch_began = time.monotonic()
            self._write(subscription_id, batch)
            self._batch_began = None
        for writer in self._writers.values():
            writer.close()

    def _settle(self) -> None:
        try:
            moved = settle_all(self._database, self._store)
        except Exception:
            # Each repository is settled again before it is cloned, so a failure here loses nothing.
            log.exception("refs could not be checked at start")
        else:
            if moved:
                log.warning("refs that a crash left behind were moved", repositories=len(moved))

    def _take(self) -> tuple[SubscriptionId, list[_Waiting]]:
        """The next batch, subscriptions taking turns; the lock is held."""
        subscription_id, queue = self._queues.popitem(last=False)
        batch: list[_Waiting] = []
        size = 0
        while (
            queue and len(batch) < MAX_BATCH and (not batch or size + queue[0].change.size <= MAX_BATCH_BYTES)
        ):
            waiting = queue.popleft()
            self._waiting -= 1
            # A caller that hung up before its turn is not written: nobody was told yes.
            if waiting.future.set_running_or_notify_cancel():
                batch.append(waiting)
                size += waiting.change.size
        if queue:
            self._queues[subscription_id] = queue
        return subscription_id, batch

    def _write(self, subscription_id: SubscriptionId, batch: list[_Waiting]) -> None:
        if not batch:
            return
        try:
            BATCH_SIZE.observe(len(batch))
            outcomes = self._writer(subscription_id).write([waiting.change for waiting in batch])
        except Exception as error:
            log.exception("a batch failed", subscription_id=str(subscription_id))
            self._writers.pop(subscription_id, None)
            outcomes = [error for _ in batch]
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Exception):
                waiting.future.set_exception(outcome)
            else:
                waiting.future.set_result(outcome)

    def _writer(self, subscription_id: SubscriptionId) -> BatchWriter:
        writer = self._writers.pop(subscription_id, None) or BatchWriter(
            self._database,
            self._store,
            subscription_id,
            clock=self._clock,
            git_url=git_url(self._public_url, subscription_id),
        )
        self._writers[subscription_id] = writer
        if len(self._writers) > MAX_OPEN:
            _, oldest = self._writers.popitem(last=False)
            oldest.close()
        return writer
