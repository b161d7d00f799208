"""Two ways to reach the committer: as threads of this process, or as this host's process over a socket."""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import structlog

from gitstore.failpoints import passing
from gitstore.store import Store
from service.committer.batch import Outcome
from service.committer.changes import Change
from service.committer.deletion_requests import DeletionRequests
from service.committer.frames import Beat, Decoder
from service.committer.group_commit import STANDING_SECONDS, GroupCommit
from service.documents.workers import IN_THREAD, DocumentWorkers
from service.domain.errors import Busy, OutcomeUnknown
from service.domain.ids import SubscriptionId
from service.runtime.clock import Clock
from service.runtime.pickles import message
from sql.database import Database

log = structlog.get_logger(__name__)

# A killed committer is restarted within a second; after some more, waiting is unlikely to help.
CONNECT_SECONDS = 5
RECONNECT_PAUSE_SECONDS = 0.05
# The committer sends a sign of life each second. After a silence this long callers are answered without it,
# within 10 s; the supervisor replaces it soon after.
SILENCE_SECONDS = 8
LOOK_SECONDS = 0.5
# As long as the committer makes progress its callers wait, but not for ever: proxies gave up long before.
ANSWER_SECONDS = 600
_SILENT = "The process that writes history has not answered for {seconds:.0f} s"
_STANDING = "The change has to wait for a disk or a lock, and nothing has moved for {seconds:.0f} s"
_SLOW = "The process that writes history is still at work after {seconds:.0f} s"


class ThreadCommitter:
    """The committer as threads of this process; takes changes from any thread or event loop."""

    def __init__(
        self,
        database: Database,
        store: Store,
        *,
        clock: Clock,
        public_url: str,
        documents: DocumentWorkers = IN_THREAD,
        restorable_for: timedelta,
    ) -> None:
        self._group = GroupCommit(database, store, clock=clock, public_url=public_url, documents=documents)
        self._requests = DeletionRequests(database, self._group, clock=clock, restorable_for=restorable_for)
        self._numbers = itertools.count()
        self._futures: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()

    async def start(self) -> None:
        """Start the threads."""
        self._group.start()
        self._requests.start()

    async def stop(self) -> None:
        """Write what is waiting, then end the threads."""
        await asyncio.to_thread(self._requests.stop)
        await asyncio.to_thread(self._group.stop)

    def is_alive(self) -> bool:
        """True while changes are taken and no batch is stuck."""
        return self._group.is_alive()

    def silence(self) -> float | None:
        """Seconds since its last sign of life: none, since it is this process."""
        return 0.0

    # The result depends on the kind of change: see `changes.Committer`.
    async def submit(self, change: Change) -> Any:
        """Wait until the change is durable and its refs moved; raises as `changes.Committer` says."""
        future: Future[Any] = Future()
        number = next(self._numbers)
        with self._lock:
            self._futures[number] = future
        try:
            self._group.put(change, self, number)
            return await asyncio.wrap_future(future)
        finally:
            with self._lock:
                self._futures.pop(number, None)

    def still_wants(self, number: int) -> bool:
        """True while the caller waits."""
        with self._lock:
            future = self._futures.get(number)
        return future is not None and future.set_running_or_notify_cancel()

    def deliver(self, outcomes: Sequence[tuple[int, Outcome]]) -> None:
        """Hand the callers their outcomes."""
        for number, outcome in outcomes:
            with self._lock:
                future = self._futures.get(number)
            if future is None:
                continue
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)


class _Channel(asyncio.Protocol):
    """A connection to the committer process: sends numbered changes, receives their outcomes."""

    def __init__(self, on_lost: Callable[["_Channel"], None]) -> None:
        self._on_lost = on_lost
        self._decoder = Decoder()
        self._asked: dict[int, _Asked] = {}
        self._numbers = itertools.count()
        self._transport: asyncio.Transport | None = None
        self.lost = asyncio.get_running_loop().create_future()
        # A committer that was just started gets as long for its first sign of life.
        self._heard_at = self._looked_at = time.monotonic()
        self._is_silent = False
        self._beat: Beat | None = None

    @property
    def is_well(self) -> bool:
        """True if the committer has told, not too long ago, that it takes changes."""
        return self._beat is not None and self._beat.takes_changes and self.silence() < SILENCE_SECONDS

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The cast is needed: uvloop's transports do not inherit from asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for outcomes in self._decoder.feed(data):
            if isinstance(outcomes, Beat):
                self._beat, self._heard_at, self._is_silent = outcomes, time.monotonic(), False
                self._answer_those_who_wait_in_vain(outcomes)
                continue
            for number, outcome in outcomes:
                asked = self._asked.pop(number, None)
                if asked is None or asked.outcome.done():
                    continue
                if isinstance(outcome, Exception):
                    asked.outcome.set_exception(outcome)
                else:
                    asked.outcome.set_result(outcome)

    def connection_lost(self, exc: Exception | None) -> None:
        self._beat = None
        self._give_up(list(self._asked.values()), "The process that writes history ended before it answered")
        if not self.lost.done():
            self.lost.set_result(None)
        self._on_lost(self)

    async def ask(self, change: Change) -> Any:
        reason = self._reason_to_refuse(change)
        if reason is not None:
            raise Busy(f"{reason}; nothing was changed, try again.")
        number = next(self._numbers)
        parts = message((number, change))
        asked = _Asked(
            asyncio.get_running_loop().create_future(), change.author.subscription_id, time.monotonic()
        )
        self._asked[number] = asked
        assert self._transport is not None  # noqa: S101 - asyncio calls connection_made first
        self._transport.writelines(parts)
        passing("change-sent")
        try:
            return await asked.outcome
        finally:
            if self._asked.pop(number, None) is not None and not self._transport.is_closing():
                # Nobody waits any more: the committer does not begin the change, if it has not yet.
                self._transport.writelines(message((number, None)))

    def look(self) -> None:
        """Answer those who wait, if the committer is silent; to be called every LOOK_SECONDS."""
        now = time.monotonic()
        before, self._looked_at = self._looked_at, now
        if now - before > 2 * LOOK_SECONDS + 0.5:
            # This process was held up itself: what the committer has sent meanwhile is read first.
            return
        silence = self.silence()
        if silence >= SILENCE_SECONDS:
            self._is_silent = True
            self._give_up(list(self._asked.values()), _SILENT.format(seconds=silence))
        slow = [asked for asked in self._asked.values() if now - asked.began >= ANSWER_SECONDS]
        self._give_up(slow, _SLOW.format(seconds=ANSWER_SECONDS))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def silence(self) -> float:
        return time.monotonic() - self._heard_at

    def _reason_to_refuse(self, change: Change) -> str | None:
        if self._is_silent:
            return _SILENT.format(seconds=self.silence())
        if self._beat is not None and self._beat.stands(change.author.subscription_id):
            return _STANDING.format(seconds=STANDING_SECONDS)
        return None

    def _answer_those_who_wait_in_vain(self, beat: Beat) -> None:
        if beat.standing is None or beat.standing:
            in_vain = [asked for asked in self._asked.values() if beat.stands(asked.subscription_id)]
            self._give_up(in_vain, _STANDING.format(seconds=STANDING_SECONDS))

    def _give_up(self, those: Sequence["_Asked"], reason: str) -> None:
        for asked in those:
            if not asked.outcome.done():
                asked.outcome.set_exception(_unknown(reason))


@dataclass(frozen=True, slots=True)
class _Asked:
    """A change that was sent, and whose outcome its caller waits for."""

    outcome: asyncio.Future[Any]
    subscription_id: SubscriptionId
    began: float


class SocketCommitter:
    """The committer process of this host, reached through its socket; used by one event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._channel: _Channel | None = None
        self._connected = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, and reconnect whenever the connection is lost."""
        self._keeper = asyncio.create_task(self._keep_connected())

    async def stop(self) -> None:
        """Close the connection; callers that still wait get OutcomeUnknown."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        if self._channel is not None:
            self._channel.close()

    def is_alive(self) -> bool:
        """True if the last heartbeat is recent and says that changes are taken."""
        return self._channel is not None and self._channel.is_well

    def silence(self) -> float | None:
        """Seconds since the last sign of life; None while there is no connection."""
        return None if self._channel is None else self._channel.silence()

    # The result depends on the kind of change: see `changes.Committer`.
    async def submit(self, change: Change) -> Any:
        """Wait until the change is durable and its refs moved; raises as `changes.Committer` says."""
        outcome = await (self._channel or await self._next_channel()).ask(change)
        passing("answer-received")
        return outcome

    async def _next_channel(self) -> _Channel:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                # In a loop: a connection can be lost again before this task runs.
                while self._channel is None:
                    await self._connected.wait()
        except TimeoutError:
            raise Busy("History can't be written just now; nothing was changed, try again.") from None
        return self._channel

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                _, channel = await loop.create_unix_connection(
                    lambda: _Channel(self._forget), str(self._path)
                )
            except OSError:
                await asyncio.sleep(RECONNECT_PAUSE_SECONDS)
                continue
            if not channel.lost.done():
                self._channel = channel
                self._connected.set()
            while not channel.lost.done():
                await asyncio.wait([channel.lost], timeout=LOOK_SECONDS)
                channel.look()
            log.warning("the connection to the committer was lost")

    def _forget(self, lost: _Channel) -> None:
        """Forget a lost channel at once: a change sent to it would wait until its time limit."""
        if self._channel is lost:
            self._channel = None
            self._connected.clear()


def _unknown(reason: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"{reason}: the change may be stored or not. "
        "Send it again with the same Idempotency-Key, or look before you do."
    )
