"""Upkeep of a repository by one host at a time, and merging of packs while batches are written."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from gitstore.store import Store
from gitstore.upkeep.repack import MANY_PACKS, Upkeep, has_many_packs, upkeep
from service.domain.ids import SubscriptionId
from sql.database import Database, Transaction
from sql.queries import repositories

# PostgreSQL ends a transaction that is idle for a minute, and its lock is released.
_KEEP_LOCK_SECONDS = 15.0
# Pause between two looks at the folders of the written repositories.
_LOOK_SECONDS = 0.5

log = structlog.get_logger(__name__)


class Stopped(Exception):
    """The caller stopped the upkeep."""


@contextmanager
def sole_upkeep(
    database: Database, store: Store, subscription_id: SubscriptionId, *, stop: threading.Event | None = None
) -> Iterator[Upkeep | None]:
    """Lock the upkeep of a subscription's repository and yield it; None if another process has the lock.

    The lock is kept alive while git runs. If it is lost, git is ended before a pack is removed. The same
    happens if `stop` is set, which raises Stopped. Takes one connection until the end. Raises the errors of
    `sql.errors` and `gitstore.errors`.
    """
    with database.transaction(subscription_id) as tx:
        if not repositories.try_lock_upkeep(tx, subscription_id):
            yield None
            return
        with upkeep(store.path(str(subscription_id)), _Watch(tx, stop)) as work:
            yield work


def consolidate_if_needed(
    database: Database,
    store: Store,
    subscription_id: SubscriptionId,
    *,
    many: int = MANY_PACKS,
    stop: threading.Event | None = None,
) -> int:
    """Merge the packs of a repository if there are many; returns how many were merged.

    Called after batches, in a thread of its own: with few packs, it only lists a folder. Returns 0 also if
    another process has the lock, and if `stop` is set. Raises as `sole_upkeep`.
    """
    if not has_many_packs(store.path(str(subscription_id)), many):
        return 0
    try:
        with sole_upkeep(database, store, subscription_id, stop=stop) as work:
            return 0 if work is None else work.consolidate()
    except Stopped:
        return 0


class Consolidator:
    """Merges the packs of written repositories, one repository after the other, in a thread of its own."""

    def __init__(self, database: Database, store: Store) -> None:
        self._database = database
        self._store = store
        self._written: set[SubscriptionId] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="consolidation", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and the git process that it runs."""
        self._stop.set()
        self._thread.join()

    def note(self, subscription_id: SubscriptionId) -> None:
        """Remember that a batch of a subscription was written."""
        with self._lock:
            self._written.add(subscription_id)

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            with self._lock:
                written, self._written = self._written, set()
            for subscription_id in written:
                if not self._stop.is_set():
                    self._consolidate(subscription_id)

    def _consolidate(self, subscription_id: SubscriptionId) -> None:
        try:
            consolidate_if_needed(self._database, self._store, subscription_id, stop=self._stop)
        except Exception:
            # No data is lost: the packs are merged after a later batch or by the upkeep.
            log.exception("packs could not be merged", subscription_id=str(subscription_id))


class _Watch:
    def __init__(self, tx: Transaction, stop: threading.Event | None) -> None:
        self._tx = tx
        self._stop = stop
        self._kept = time.monotonic()

    def __call__(self) -> None:
        if self._stop is not None and self._stop.is_set():
            raise Stopped
        if time.monotonic() - self._kept >= _KEEP_LOCK_SECONDS:
            repositories.keep_lock(self._tx)
            self._kept = time.monotonic()
