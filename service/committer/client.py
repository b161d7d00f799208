"""Two ways to reach the committer: as threads of this process, or as this host's process over a socket."""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import structlog

from gitstore.failpoints import passing
from gitstore.store import Store
from service.committer.batch import Outcome
from service.committer.changes import Change
from service.committer.deletion_requests import DeletionRequests
from service.committer.frames import Decoder, encode
from service.committer.group_commit import GroupCommit
from service.domain.errors import Busy, OutcomeUnknown
from service.runtime.clock import Clock
from sql.database import Database

log = structlog.get_logger(__name__)

# A killed committer is restarted within a second; after some more, waiting is unlikely to help.
CONNECT_SECONDS = 5
RECONNECT_PAUSE_SECONDS = 0.05
# Longer than the committer waits, in total, for locks and for the outcome of a lost COMMIT.
ANSWER_SECONDS = 60
# The committer sends a heartbeat every second; after a silence this long, it counts as not alive.
SILENCE_SECONDS = 5


class ThreadCommitter:
    """The committer as threads of this process; takes changes from any thread or event loop."""

    def __init__(
        self, database: Database, store: Store, *, clock: Clock, public_url: str, restorable_for: timedelta
    ) -> None:
        self._group = GroupCommit(database, store, clock=clock, public_url=public_url)
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
        self._futures: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count()
        self._transport: asyncio.Transport | None = None
        self.lost = asyncio.get_running_loop().create_future()
        self.heard_at = float("-inf")
        self.is_well = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The cast is needed: uvloop's transports do not inherit from asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for outcomes in self._decoder.feed(data):
            if isinstance(outcomes, bool):
                self.is_well, self.heard_at = outcomes, time.monotonic()
                continue
            for number, outcome in outcomes:
                future = self._futures.pop(number, None)
                if future is None or future.done():
                    continue
                if isinstance(outcome, Exception):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_well = False
        for future in self._futures.values():
            if not future.done():
                future.set_exception(_unknown())
        self._futures.clear()
        if not self.lost.done():
            self.lost.set_result(None)
        self._on_lost(self)

    async def ask(self, change: Change) -> Any:
        number = next(self._numbers)
        frame = encode((number, change))
        self._futures[number] = future = asyncio.get_running_loop().create_future()
        assert self._transport is not None  # noqa: S101 - asyncio calls connection_made first
        self._transport.write(frame)
        passing("change-sent")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await future
        except TimeoutError:
            raise _unknown() from None
        finally:
            self._futures.pop(number, None)
            if future.cancelled() and not self._transport.is_closing():
                # Nobody waits any more: the committer does not begin the change, if it has not yet.
                self._transport.write(encode((number, None)))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


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
        channel = self._channel
        return (
            channel is not None and channel.is_well and time.monotonic() - channel.heard_at < SILENCE_SECONDS
        )

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
            await channel.lost
            log.warning("the connection to the committer was lost")

    def _forget(self, lost: _Channel) -> None:
        """Forget a lost channel at once: a change sent to it would wait until its time limit."""
        if self._channel is lost:
            self._channel = None
            self._connected.clear()


def _unknown() -> OutcomeUnknown:
    return OutcomeUnknown(
        "The process that writes history ended before it answered: the change may be stored or not. "
        "Send it again with the same Idempotency-Key, or look before you do."
    )
