"""Entrance of a process: it takes connections, and hands them on once they have sent something."""

import asyncio
import errno
import select
import socket
from collections.abc import Callable

from service.http.connections.places import Address, Places
from service.runtime.metrics import CONNECTIONS_ENDED

# Connections that are taken, and that are handed on, in one turn of the event loop; other work comes between.
# So some 15,000 a second are taken. A client that finds the kernel's queue full tries again after a second.
TAKEN_AT_ONCE = 32
HANDED_ON_AT_ONCE = 16
# Time until the next try where the process has no file left for a connection.
AGAIN_SECONDS = 1.0
_NO_FILES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class Entrance:
    """Connections that have sent nothing yet: each is a socket with a place, and nothing else.

    A transport with its parser costs some 200 µs, and whoever opens thousands of silent connections a second
    would fill the event loop with them. Here one costs a tenth of the time.
    """

    def __init__(
        self, listener: socket.socket, protocol: Callable[[], asyncio.Protocol], places: Places
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._protocol = protocol
        self._places = places
        self._silent: dict[int, _Silent] = {}
        self._poll = select.epoll()
        self._entering: set[asyncio.Task[None]] = set()
        self._is_open = True
        listener.setblocking(False)
        self._loop.add_reader(self._poll.fileno(), self._hand_on)
        self._listen()

    def close(self) -> None:
        """Take no more connections, and end those that have sent nothing."""
        self._is_open = False
        self._loop.remove_reader(self._listener.fileno())
        self._loop.remove_reader(self._poll.fileno())
        for each in list(self._silent.values()):
            each.close()
        self._poll.close()

    def forget(self, silent: "_Silent") -> None:
        """Watch a socket no more."""
        del self._silent[silent.socket.fileno()]
        self._poll.unregister(silent.socket)

    def _listen(self) -> None:
        if self._is_open:
            self._loop.add_reader(self._listener.fileno(), self._take)

    def _take(self) -> None:
        for _ in range(TAKEN_AT_ONCE):
            try:
                taken, (name, *_) = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_FILES:
                    raise
                self._loop.remove_reader(self._listener.fileno())
                self._loop.call_later(AGAIN_SECONDS, self._listen)
                return
            taken.setblocking(False)
            silent = _Silent(taken, self, self._places)
            self._silent[taken.fileno()] = silent
            self._poll.register(taken, select.EPOLLIN)
            silent.address = self._places.take(silent, name, self._loop)

    def _hand_on(self) -> None:
        for file, _ in self._poll.poll(0, HANDED_ON_AT_ONCE):
            self._look_at(self._silent[file])

    def _look_at(self, silent: "_Silent") -> None:
        try:
            has_sent = bool(silent.socket.recv(1, socket.MSG_PEEK)) and silent.has_place
        except BlockingIOError:
            return
        except OSError:
            has_sent = False
        if not has_sent:
            silent.close()
            return
        silent.leave()
        task = self._loop.create_task(self._enter(silent.socket))
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)

    async def _enter(self, connection: socket.socket) -> None:
        await self._loop.connect_accepted_socket(self._protocol, connection)


class _Silent:
    """Connection that has sent nothing yet."""

    __slots__ = ("_deadline", "_entrance", "_places", "address", "has_place", "socket")

    def __init__(self, taken: socket.socket, entrance: Entrance, places: Places) -> None:
        self.socket = taken
        self.address: Address
        self.has_place = True
        self._entrance = entrance
        self._places = places
        self._deadline = places.clock() + places.limits.head_seconds

    def look(self, now: float) -> None:
        """End the connection if its client has taken too long."""
        if now >= self._deadline:
            self._end("no_head")

    def await_end(self) -> None:
        """Hand the connection on no more."""
        self.has_place = False

    def evict(self) -> None:
        """End the connection at once."""
        self._end("no_place")

    def leave(self) -> None:
        """Free the place, for the connection itself or for another one."""
        self._entrance.forget(self)
        self._places.leave(self, self.address)

    def close(self) -> None:
        """End the connection."""
        self.leave()
        self.socket.close()

    def _end(self, reason: str) -> None:
        CONNECTIONS_ENDED.labels(reason).inc()
        self.close()
