"""Places for the connections of one process: their number is bounded, and a clock looks after them."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from service.http.connections.limits import Limits


class Placed(Protocol):
    """A connection that has a place."""

    def look(self, now: float) -> None:
        """End the connection if its client has taken too long."""

    def await_end(self) -> None:
        """Serve the connection no more: it ends soon, or at once when its client sends something."""

    def evict(self) -> None:
        """End the connection at once."""


class Address:
    """The connections of one address: `idle` holds those that wait for a head, the longest first."""

    __slots__ = ("count", "idle", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        self.idle: dict[Placed, None] = {}


class Places:
    """The connections of a process.

    Past the bound, the address with the most connections loses the one that has waited longest for a head:
    who has few finds room, whatever others hold. A connection with a request under way is not ended, so that
    one address gets three quarters of the places at most, or it could keep everybody out.

    A connection that has lost its place ends EVICTION_SECONDS later. An attacker who opens another for each
    that ends would else open thousands a second, and each takes a part of a millisecond. As many as have
    places wait for their end; with more, the first of them ends at once.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.limits = limits
        self.clock = clock
        self._share = max(1, limits.connections * 3 // 4)
        self._members: set[Placed] = set()
        self._addresses: dict[str, Address] = {}
        self._timer: asyncio.TimerHandle | None = None
        # Those without a place, the first to lose it first, with the time of their end.
        self._ending: dict[Placed, float] = {}

    def __len__(self) -> int:
        """Number of connections."""
        return len(self._members)

    def take(self, member: Placed, name: str, loop: asyncio.AbstractEventLoop) -> Address:
        """Give a new connection a place; this may end another, or the new one itself."""
        if self._timer is None:
            self._timer = loop.call_later(self.limits.tick_seconds, self._tick, loop)
        self._members.add(member)
        address = self._addresses.get(name)
        if address is None:
            address = self._addresses[name] = Address(name)
        address.count += 1
        address.idle[member] = None
        if address.count > self._share:
            self._evict_from(address)
        elif len(self._members) > self.limits.connections:
            # The new connection waits for a head, so that one address has such a connection.
            crowds = (each for each in self._addresses.values() if each.idle)
            self._evict_from(max(crowds, key=lambda each: each.count))
        return address

    def leave(self, member: Placed, address: Address) -> None:
        """Free the place of a connection that has ended."""
        self._ending.pop(member, None)
        if member in self._members:
            self._free(member, address)

    def _free(self, member: Placed, address: Address) -> None:
        self._members.discard(member)
        address.idle.pop(member, None)
        address.count -= 1
        if address.count == 0:
            del self._addresses[address.name]

    def _evict_from(self, address: Address) -> None:
        longest = next(iter(address.idle))
        self._free(longest, address)
        if len(self._ending) >= self.limits.connections:
            self._end(next(iter(self._ending)))
        self._ending[longest] = self.clock() + self.limits.eviction_seconds
        longest.await_end()

    def _end(self, member: Placed) -> None:
        # Removed here, since the connection is lost only in the next round of the loop.
        del self._ending[member]
        member.evict()

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._members or self._ending:
            self._timer = loop.call_later(self.limits.tick_seconds, self._tick, loop)
        now = self.clock()
        for member in [each for each, end in self._ending.items() if end <= now]:
            self._end(member)
        for member in list(self._members):
            member.look(now)
