"""Tails: readers who get what is new in a log as it comes, by one poller for all of a subscription."""

import asyncio
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias
from uuid import UUID

import structlog

from service.domain.errors import TooManyTails
from service.domain.ids import SubscriptionId
from service.runtime.fair_threads import FairThreads
from service.runtime.metrics import ADMISSION_HELD
from service.runtime.settings import Settings

log = structlog.get_logger(__name__)

# Threads in which pollers read, one of a subscription at a time; each has a connection while it reads.
TAIL_THREADS: Final = 2
# A reader who found no room may try again after this time.
RETRY_SECONDS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class TailLimits:
    """Numbers of tails, and times in seconds.

    `tick` is the time between two readings, `beat` the longest silence, and `check` the longest time until a
    session that has ended is noticed.
    """

    of_process: int
    of_session: int
    longest: float
    tick: float = 1.0
    beat: float = 30.0
    check: float = 3.0

    @classmethod
    def of(cls, settings: Settings) -> "TailLimits":
        """Make the limits that the operator has set."""
        return cls(
            of_process=settings.tails, of_session=settings.tails_of_session, longest=settings.tail_seconds
        )

    @property
    def of_subscription(self) -> int:
        """Most tails of one subscription, which leaves room for others."""
        return max(1, self.of_process * 3 // 4)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a tail, empty if nothing is new; `after` is the question for what follows."""

    content: bytes
    after: Hashable


# Answers questions of one subscription, each in its turn, in a thread.
Reading: TypeAlias = Callable[[SubscriptionId, Sequence[Any]], Sequence[Piece]]


class Listener:
    """A reader of a tail. It is read for only once it has taken the last piece, so that at most one waits."""

    def __init__(self, asked: Hashable) -> None:
        self.asked = asked
        self.wake = asyncio.Event()
        self._piece: bytes = b""

    @property
    def is_waiting(self) -> bool:
        """Tell if the reader has taken all that was read for it."""
        return not self._piece

    def give(self, piece: Piece) -> None:
        """Take over a piece, of which many readers may have the same."""
        self.asked = piece.after
        self._piece = piece.content
        if piece.content:
            self.wake.set()

    def take(self) -> bytes:
        """Return what was read, and make room for the next piece."""
        found, self._piece = self._piece, b""
        return found


class Tails:
    """The tails of one process, for one event loop."""

    def __init__(self, limits: TailLimits) -> None:
        self.limits = limits
        self.is_ending = False
        self._threads = FairThreads(TAIL_THREADS, each=1)
        self._held: list[tuple[UUID | None, SubscriptionId]] = []
        self._listeners: dict[SubscriptionId, set[Listener]] = {}
        self._pollers: dict[SubscriptionId, asyncio.Task[None]] = {}

    @property
    def count(self) -> int:
        """Number of tails."""
        return len(self._held)

    @contextmanager
    def place(self, session_id: UUID | None, subscription_id: SubscriptionId) -> Iterator[None]:
        """Hold the place of a tail; raises TooManyTails."""
        limits = self.limits
        if sum(held == session_id for held, _ in self._held) >= limits.of_session:
            raise TooManyTails(
                f"You follow {limits.of_session} tails already: close one of them.", retry_after=RETRY_SECONDS
            )
        of_subscription = sum(held == subscription_id for _, held in self._held)
        if len(self._held) >= limits.of_process or of_subscription >= limits.of_subscription:
            raise TooManyTails(
                "Too many people follow tails just now: try again when one of them has ended.",
                retry_after=RETRY_SECONDS,
            )
        held = (session_id, subscription_id)
        self._held.append(held)
        try:
            yield
        finally:
            self._held.remove(held)

    @contextmanager
    def listening(
        self, subscription_id: SubscriptionId, asked: Hashable, read: Reading
    ) -> Iterator[Listener]:
        """Read for a listener until the block ends; `read` is the same for all of a subscription."""
        listener = Listener(asked)
        listeners = self._listeners.setdefault(subscription_id, set())
        listeners.add(listener)
        if subscription_id not in self._pollers:
            self._pollers[subscription_id] = asyncio.create_task(self._poll(subscription_id, read))
        try:
            yield listener
        finally:
            listeners.discard(listener)

    def sample(self) -> None:
        """Set the gauge; any thread may call this."""
        ADMISSION_HELD.labels("tail").set(self.count)

    def end(self) -> None:
        """End all tails at once, for the process is stopping; their readers go on elsewhere."""
        self.is_ending = True
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.wake.set()

    async def close(self) -> None:
        """End the pollers."""
        self.end()
        pollers = list(self._pollers.values())
        for poller in pollers:
            poller.cancel()
        await asyncio.gather(*pollers, return_exceptions=True)

    async def _poll(self, subscription_id: SubscriptionId, read: Reading) -> None:
        """Read until the last listener has left, once in each tick."""
        is_failing = False
        while listeners := self._listeners[subscription_id]:
            waiting = [each for each in listeners if each.is_waiting]
            questions = list(dict.fromkeys(each.asked for each in waiting))
            try:
                if questions:
                    work = partial(read, subscription_id, questions)
                    pieces = await self._threads.run(subscription_id, work)
                    found = dict(zip(questions, pieces, strict=True))
                    for listener in waiting:
                        listener.give(found[listener.asked])
            except Exception:
                # Their places are kept, so that nothing is lost once the database answers again.
                if not is_failing:
                    log.exception("tails are not read", subscription_id=str(subscription_id))
                is_failing = True
            else:
                is_failing = False
            await asyncio.sleep(self.limits.tick)
        del self._listeners[subscription_id], self._pollers[subscription_id]
