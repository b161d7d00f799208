"""A load generator that costs little, since it shares the machine with the service.

One process, non-blocking sockets, one request under way on each connection, requests that are bytes before
the clock starts. Answers are kept unparsed until the clock has stopped.
"""

import gc
import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

_RECEIVE_BYTES = 256 * 1024
# A server that sends nothing for this time, in seconds, has failed.
STALL_SECONDS = 60


class LoadFailed(Exception):
    """At least one answer was not the expected one; the message counts such answers, and quotes one."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request as bytes, the status that it must get, and the figure that it counts for.

    `request_id` is its X-Request-Id, by which the rows that the call causes are found.
    """

    label: str
    request: bytes
    expected: int
    request_id: str


# Calls that one client makes one after the other; at the end of a chain, the client takes the next one.
Chain = Sequence[Call]


@dataclass(frozen=True, slots=True)
class Answer:
    """The body of an expected answer, its call by chain and index, and the seconds until it arrived."""

    chain: int
    call: int
    label: str
    body: bytes
    seconds: float
    in_time: bool


@dataclass(slots=True)
class Outcome:
    """The outcome of a run; `answers` are in the order of their arrival."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    answers: list[Answer] = field(default_factory=list)

    def latencies_ms(self, label: str) -> list[float]:
        """Return the latencies of the calls that were answered in time, lowest first."""
        return sorted(a.seconds * 1000 for a in self.answers if a.label == label and a.in_time)

    def count(self, label: str) -> int:
        """Count the calls that were answered in time."""
        return sum(a.label == label and a.in_time for a in self.answers)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which this share of the ordered values lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def http_request(
    method: str,
    path: str,
    *,
    host: str,
    key: str,
    request_id: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """Make the bytes of a request, with the headers that a real client sends."""
    lines = {
        "Host": host,
        "Authorization": f"Bearer {key}",
        "User-Agent": "annals-bench/1",
        "Accept": "application/json",
        "X-Request-Id": request_id,
    }
    if body is not None:
        lines |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines |= headers or {}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + (body or b"")


def run(
    address: tuple[str, int],
    chains: Iterable[Chain],
    *,
    clients: int,
    seconds: float | None = None,
    until: Callable[[], bool] | None = None,
) -> Outcome:
    """Work through the chains on `clients` connections until all are done, time is up, or `until` is true.

    A chain that was begun is finished; an answer after the end of the time is not `in_time`. Raises
    LoadFailed on any unexpected answer, and if the server closes a connection or falls silent.
    """
    load = _Load(address, chains, clients, seconds, until)
    # Tens of thousands of requests are in memory: a garbage collection would cost more than all else.
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        return load.run()
    finally:
        gc.enable()
        gc.unfreeze()


class _Client:
    __slots__ = ("calls", "chain", "left", "needed", "position", "received", "sent_at", "socket")

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.chain = -1
        self.calls: Chain = ()
        self.position = 0
        self.left: memoryview | None = None
        self.received = b""
        self.needed = 0
        self.sent_at = 0.0


class _Load:
    def __init__(
        self,
        address: tuple[str, int],
        chains: Iterable[Chain],
        clients: int,
        seconds: float | None,
        until: Callable[[], bool] | None,
    ) -> None:
        self._address = address
        self._chains = enumerate(chains)
        self._clients = clients
        self._seconds = seconds
        self._until = until
        self._poll = select.epoll()
        self._busy: dict[int, _Client] = {}
        self._outcome = Outcome()
        self._refused: Counter[str] = Counter()
        self._quote = ""
        self._end = float("inf")

    def run(self) -> Outcome:
        waiting = [_Client(self._connected()) for _ in range(self._clients)]
        cpu, began = time.process_time(), time.perf_counter()
        if self._seconds is not None:
            self._end = began + self._seconds
        try:
            for client in waiting:
                self._poll.register(client.socket, select.EPOLLIN)
                self._next_chain(client)
            self._loop()
        finally:
            self._poll.close()
            for client in waiting:
                client.socket.close()
        ended = time.perf_counter()
        if self._refused:
            counted = ", ".join(f"{count} × {what}" for what, count in sorted(self._refused.items()))
            raise LoadFailed(f"{counted}; {len(self._outcome.answers)} as expected; the first: {self._quote}")
        self._outcome.seconds = min(ended, self._end) - began
        self._outcome.cpu_seconds = time.process_time() - cpu
        return self._outcome

    def _connected(self) -> socket.socket:
        connected = socket.create_connection(self._address, timeout=STALL_SECONDS)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setblocking(False)
        return connected

    def _loop(self) -> None:
        poll, busy = self._poll, self._busy
        while busy:
            ready = poll.poll(STALL_SECONDS)
            if not ready:
                raise LoadFailed(f"no answer for {STALL_SECONDS} s; {len(busy)} calls are waiting")
            if self._until is not None and self._until():
                self._end, self._until = time.perf_counter(), None
            for number, happened in ready:
                client = busy.get(number)
                if client is None:
                    continue
                if happened & select.EPOLLOUT:
                    self._send(client)
                if happened & ~select.EPOLLOUT:
                    self._receive(client)

    def _next_chain(self, client: _Client) -> None:
        taken = None
        if not self._refused and time.perf_counter() < self._end:
            taken = next(self._chains, None)
        if taken is None:
            self._busy.pop(client.socket.fileno(), None)
            self._poll.unregister(client.socket)
            return
        self._busy[client.socket.fileno()] = client
        client.chain, client.calls = taken
        client.position = 0
        self._begin(client)

    def _begin(self, client: _Client) -> None:
        request = client.calls[client.position].request
        client.received, client.needed = b"", 0
        client.sent_at = time.perf_counter()
        sent = client.socket.send(request)
        if sent < len(request):
            client.left = memoryview(request)[sent:]
            self._poll.modify(client.socket, select.EPOLLIN | select.EPOLLOUT)

    def _send(self, client: _Client) -> None:
        if client.left is None:
            return
        try:
            client.left = client.left[client.socket.send(client.left) :]
        except BlockingIOError:
            return
        if not client.left:
            client.left = None
            self._poll.modify(client.socket, select.EPOLLIN)

    def _receive(self, client: _Client) -> None:
        try:
            data = client.socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        if not data:
            raise LoadFailed(f"the server hung up on {client.calls[client.position].label}")
        received = client.received = client.received + data if client.received else data
        if not client.needed:
            head = received.find(b"\r\n\r\n")
            if head < 0:
                return
            client.needed = head + 4 + _content_length(received[:head])
        if len(received) >= client.needed:
            self._answered(client)

    def _answered(self, client: _Client) -> None:
        now = time.perf_counter()
        call = client.calls[client.position]
        received = client.received
        body = received[received.index(b"\r\n\r\n") + 4 :]
        status = int(received[9:12])
        if status != call.expected:
            self._refused[f"{call.label} {status}"] += 1
            self._quote = self._quote or body[:500].decode("utf-8", "replace")
            self._next_chain(client)
            return
        self._outcome.answers.append(
            Answer(client.chain, client.position, call.label, body, now - client.sent_at, now <= self._end)
        )
        client.position += 1
        if client.position < len(client.calls):
            self._begin(client)
        else:
            self._next_chain(client)


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"\r\ncontent-length:")
    if at < 0:
        if head[9:12] == b"204":
            return 0
        raise LoadFailed(f"an answer without Content-Length: {head[:200]!r}")
    return int(head[at + 17 :].split(b"\r\n", 1)[0])
