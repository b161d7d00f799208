"""An attacker: many connections from another address, in a process of the lowest priority.

It reads a plan from stdin, attacks until stdin is closed, and prints the counted answers. It costs little,
since a real one would run on another machine: one thread, non-blocking sockets, requests made beforehand.
"""

import json
import os
import resource
import select
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from heapq import heappop, heappush
from pathlib import Path
from typing import Any, Literal

from tests.support.project import ROOT

# Any address of 127.0.0.0/8 is this machine's.
SOURCE = "127.0.0.2"
LOWEST = 19
# So many bytes of an answer that nobody reads fit into the attacker's socket.
DEAF_BYTES = 4096
RECEIVE_BYTES = 256 * 1024
# A piece is sent in turns of this many sends, so that one connection does not keep the attacker busy.
SENDS_AT_ONCE = 16
AGAIN_SECONDS = 0.05
BEGIN_SECONDS = 60
STOP_SECONDS = 30

# `calls` makes one call after the other, `drip` sends all but the first piece a byte at a time, `silent`
# sends nothing, `deaf` reads no answer, `compute` makes no connection and computes.
Manner = Literal["calls", "drip", "silent", "deaf", "compute"]


@dataclass(frozen=True, slots=True)
class Request:
    """Pieces of bytes, each with the number of times that it is sent, and the number of answers to expect."""

    pieces: Sequence[tuple[bytes, int]]
    answers: int = 1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The calls that each connection repeats, with a pause in seconds after each."""

    manner: Manner
    connections: int = 0
    requests: Sequence[Request] = ()
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """Answers by status; `reset` counts connections that the server ended without an answer."""

    answers: dict[str, int]
    seconds: float
    cpu_seconds: float

    def of(self, *statuses: str) -> int:
        """Count the answers whose status begins so."""
        return sum(count for status, count in self.answers.items() if status.startswith(statuses))


@contextmanager
def attacking(address: tuple[str, int], plan: Plan) -> Iterator[list[Report]]:
    """Attack until the block ends; its report is in the list after that."""
    found: list[Report] = []
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.starve_attacker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
        # Linux divides its processors among sessions before it looks at priorities within them.
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps({"address": address, "plan": _plain(plan)}) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "begun\n"
        yield found
        process.stdin.close()
        found.append(Report(**json.loads(process.stdout.readline())))
        process.wait(STOP_SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(BrokenPipeError):
                pipe.close()


def _plain(value: Any) -> Any:
    """Make a plan fit for JSON: bytes become text, character by character."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, Plan | Request):
        return {name: _plain(each) for name, each in asdict(value).items()}
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _plan(plain: dict[str, Any]) -> Plan:
    requests = [
        Request([(piece.encode("latin-1"), times) for piece, times in each["pieces"]], each["answers"])
        for each in plain.pop("requests")
    ]
    return Plan(requests=requests, **plain)


@dataclass(slots=True, eq=False)
class _Connection:
    """A connection, the rest of what it sends, and the beginning of the answer that it receives."""

    number: int
    open: socket.socket | None = None
    turn: int = 0
    sending: Iterator[memoryview] | None = None
    left: memoryview | None = None
    buffer: bytearray = field(default_factory=bytearray)
    # The bytes of the body that are still to come; -1 until the next chunk that ends an answer.
    body: int = 0
    in_body: bool = False
    closes: bool = False
    missing: int = 0
    # A timer of an earlier state of the connection means nothing any more.
    timer: int = 0


def _drips(piece: bytes, *, whole: bool) -> Iterator[bytes]:
    """Yield a piece at once or byte by byte."""
    if whole:
        yield piece
    else:
        yield from (piece[at : at + 1] for at in range(len(piece)))


class _Attacker:
    def __init__(self, address: tuple[str, int], plan: Plan) -> None:
        self._address = address
        self._plan = plan
        self._poll = select.epoll()
        self._open: dict[int, _Connection] = {}
        self._timers: list[tuple[float, int, int, _Connection]] = []
        self._counted: Counter[str] = Counter()
        self._moment = 0

    def run(self) -> Counter[str]:
        stdin = sys.stdin.fileno()
        self._poll.register(stdin, select.EPOLLIN | select.EPOLLHUP)
        for number in range(self._plan.connections):
            self._connect(_Connection(number, turn=number))
        print("begun", flush=True)
        while True:
            soonest = self._timers[0][0] - time.monotonic() if self._timers else None
            for number, happened in self._poll.poll(None if soonest is None else max(0.0, soonest)):
                if number == stdin:
                    return self._counted
                connection = self._open.get(number)
                if connection is not None:
                    self._happened(connection, happened)
            while self._timers and self._timers[0][0] <= time.monotonic():
                _, _, timer, connection = heappop(self._timers)
                if timer == connection.timer:
                    self._due(connection)

    def _later(self, connection: _Connection, seconds: float) -> None:
        self._moment += 1
        connection.timer = self._moment
        heappush(self._timers, (time.monotonic() + seconds, self._moment, self._moment, connection))

    def _due(self, connection: _Connection) -> None:
        if connection.open is None:
            self._connect(connection)
        elif connection.sending is None:
            self._begin(connection)
        else:
            self._send(connection)

    def _connect(self, connection: _Connection) -> None:
        ours = socket.socket()
        ours.setblocking(False)
        ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Without it, the ports of a minute ago would still be taken.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if self._plan.manner == "deaf":
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, DEAF_BYTES)
        try:
            ours.bind((SOURCE, 0))
            ours.connect_ex(self._address)
        except OSError as error:
            ours.close()
            self._counted[f"not connected: {error.strerror}"] += 1
            self._later(connection, 1.0)
            return
        connection.open = ours
        self._open[ours.fileno()] = connection
        self._poll.register(ours, self._mask() | select.EPOLLOUT)
        if self._plan.manner != "silent":
            self._begin(connection)

    def _mask(self) -> int:
        return select.EPOLLRDHUP | (0 if self._plan.manner == "deaf" else select.EPOLLIN)

    def _begin(self, connection: _Connection) -> None:
        request = self._plan.requests[connection.turn % len(self._plan.requests)]
        connection.turn += 1
        connection.missing = request.answers
        drips = self._plan.manner == "drip"
        connection.sending = (
            memoryview(piece)
            for number, (bytes_, times) in enumerate(request.pieces)
            for _ in range(times)
            for piece in _drips(bytes_, whole=number == 0 or not drips)
        )
        self._send(connection)

    def _send(self, connection: _Connection) -> None:
        ours = connection.open
        if ours is None or connection.sending is None:
            return
        for _ in range(SENDS_AT_ONCE):
            if connection.left is None:
                connection.left = next(connection.sending, None)
                if connection.left is None:
                    connection.sending = None
                    self._poll.modify(ours, self._mask())
                    return
            try:
                sent = ours.send(connection.left)
            except BlockingIOError:
                break
            except OSError:
                # What the server said before it hung up is still to be read.
                self._receive(connection)
                if connection.open is ours:
                    self._ended(connection)
                return
            connection.left = connection.left[sent:] or None
            if self._plan.manner == "drip" and connection.left is None:
                self._poll.modify(ours, self._mask())
                self._later(connection, self._plan.pause)
                return
        self._poll.modify(ours, self._mask() | select.EPOLLOUT)

    def _happened(self, connection: _Connection, happened: int) -> None:
        ours = connection.open
        if self._plan.manner == "silent" and happened & select.EPOLLOUT and ours is not None:
            self._poll.modify(ours, self._mask())
        if happened & select.EPOLLIN:
            self._receive(connection)
        if connection.open is ours and happened & (select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP):
            self._ended(connection)
        elif connection.open is ours and happened & select.EPOLLOUT:
            self._send(connection)

    def _receive(self, connection: _Connection) -> None:
        if connection.open is None:
            return
        try:
            data = connection.open.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._ended(connection)
            return
        connection.buffer += data
        while connection.buffer and self._parsed(connection):
            pass

    def _parsed(self, connection: _Connection) -> bool:
        """Take a head or a part of a body from the buffer; False if more has to arrive before."""
        buffer = connection.buffer
        if not connection.in_body:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = bytes(buffer[:end]).lower()
            del buffer[: end + 4]
            self._counted[head[9:12].decode("ascii", "replace")] += 1
            connection.closes = b"\r\nconnection: close" in head
            connection.in_body = True
            _, has_length, rest = head.partition(b"\r\ncontent-length:")
            connection.body = int(rest.split(b"\r\n", 1)[0]) if has_length else -1
            if connection.body != 0:
                return bool(buffer)
        elif connection.body < 0:
            if not buffer.endswith(b"0\r\n\r\n"):
                del buffer[:-5]
                return False
            buffer.clear()
        else:
            taken = min(connection.body, len(buffer))
            del buffer[:taken]
            connection.body -= taken
            if connection.body:
                return False
        self._answered(connection)
        return connection.open is not None

    def _answered(self, connection: _Connection) -> None:
        connection.in_body = False
        connection.missing -= 1
        if connection.closes or connection.sending is not None:
            self._close(connection, self._plan.pause)
        elif connection.missing <= 0:
            connection.sending = connection.left = None
            if self._plan.pause:
                self._later(connection, self._plan.pause)
            else:
                self._begin(connection)

    def _ended(self, connection: _Connection) -> None:
        """Note that the server ended the connection, and open another."""
        self._counted["ended" if self._plan.manner in ("silent", "deaf", "drip") else "reset"] += 1
        self._close(connection, max(self._plan.pause, AGAIN_SECONDS))

    def _close(self, connection: _Connection, pause: float) -> None:
        if connection.open is not None:
            del self._open[connection.open.fileno()]
            connection.open.close()
        connection.open = connection.sending = connection.left = None
        connection.buffer.clear()
        connection.in_body = False
        self._later(connection, max(pause, AGAIN_SECONDS))


def _compute() -> None:
    """Compute until stdin is closed."""
    print("begun", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        sum(range(100_000))


def main() -> None:
    """Attack as the plan on stdin says, and print the report."""
    os.nice(LOWEST)
    # Kernels without autogroups look at priorities alone.
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(LOWEST))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    given = json.loads(sys.stdin.readline())
    plan = _plan(given["plan"])
    began, cpu = time.monotonic(), time.process_time()
    counted: Counter[str] = Counter()
    if plan.manner == "compute":
        _compute()
    else:
        counted = _Attacker(tuple(given["address"]), plan).run()
    report = Report(dict(counted), time.monotonic() - began, time.process_time() - cpu)
    print(json.dumps(asdict(report)), flush=True)


if __name__ == "__main__":
    main()
