"""Start processes with streams in an event loop, without blocking it.

Python waits until a process that it starts has begun, and runs no other thread meanwhile: for 10 ms on a busy
machine, and for 25 ms if the tables of its memory are copied first. Here a small program waits instead
(`starter.py`). It ends with the process that started it, and so do all processes that it started.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

_PROGRAM = Path(__file__).with_name("starter.py")
_NUMBER_BYTES = 16


class Process:
    """A process, the leader of a session of its own, with its three streams.

    The streams are sockets, not pipes: uvloop closes the descriptor of a pipe twice, and in between a thread
    may have been given it for another file.
    """

    def __init__(self, leader: int, control: socket.socket) -> None:
        self._leader = leader
        self._control = control
        self._status: int | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(control, self._hear)

    async def connect(self, streams: Sequence[socket.socket]) -> None:
        """Make `stdin`, `stdout` and `stderr` of the sockets."""
        stdin, stdout, stderr = streams
        _, self.stdin = await self._stream(stdin)
        self.stdout, _ = await self._stream(stdout)
        self.stderr, _ = await self._stream(stderr)

    @property
    def runs(self) -> bool:
        """True until the end of the process is known."""
        return self._status is None

    def kill(self) -> None:
        """End the process and all that it started, unless it has ended by itself."""
        if self.runs:
            # The shutdown fails if the starter has ended, since nothing is connected any more.
            with suppress(OSError):
                self._control.shutdown(socket.SHUT_WR)

    async def wait(self) -> int:
        """Wait for the end of the process, and return its exit status; some output may still be unread."""
        await self._ended.wait()
        assert self._status is not None  # noqa: S101 - set before the event is
        return self._status

    def close(self) -> None:
        """Close the streams."""
        for writer in self._writers:
            # A stream that is closing ends with the process at the latest, and asyncio may have released its
            # loop.
            if not writer.is_closing():
                writer.transport.abort()

    async def _stream(self, end: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(sock=end)
        self._writers.append(writer)
        return reader, writer

    def _hear(self) -> None:
        try:
            received = self._control.recv(_NUMBER_BYTES)
        except ConnectionError:
            received = b""
        if not received:
            # The starter has died. It reports each end at once, so no other process can have got this id.
            with suppress(ProcessLookupError):
                os.killpg(self._leader, signal.SIGKILL)
        self._status = int(received or -signal.SIGKILL)
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        self._ended.set()


class Starter:
    """A starter of processes, one after the other, for one event loop; its program is started once."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._program: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None

    def close(self) -> None:
        """Start no more processes, and end all that run."""
        if self._requests is not None:
            self._requests.close()
        if self._program is not None:
            self._program.wait()
        self._requests = self._program = None

    async def start(self, command: Sequence[str], environment: Mapping[str, str]) -> Process:
        """Start a command; raises OSError if it can't be started.

        A cancelled start leaves no process behind.
        """
        request = json.dumps([list(command), dict(environment)]).encode()
        async with self._turn:
            with ExitStack() as on_error:
                *streams, control = [on_error.enter_context(end) for end in self._ask(request)]
                leader = await _answer(control)
                on_error.pop_all()
        process = Process(leader, control)
        try:
            await process.connect(streams)
        except BaseException:
            process.kill()
            for end in streams:
                end.close()
            raise
        return process

    def _ask(self, request: bytes) -> list[socket.socket]:
        """Send a request; returns this side's ends of the three streams and of the socket for the answer."""
        with ExitStack() as on_error, ExitStack() as given:
            ours, theirs = [], []
            for kind in (socket.SOCK_STREAM, socket.SOCK_STREAM, socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
                own, other = socket.socketpair(type=kind)
                ours.append(on_error.enter_context(own))
                theirs.append(given.enter_context(other).fileno())
                own.setblocking(False)
            try:
                socket.send_fds(self._connected(), [request], theirs)
            except ConnectionError:
                # The starter has died, and its end is not known yet.
                self.close()
                socket.send_fds(self._connected(), [request], theirs)
            on_error.pop_all()
        return ours

    def _connected(self) -> socket.socket:
        """Return the socket of the running starter, which is started if need be."""
        if self._requests is None or self._program is None or self._program.poll() is not None:
            self.close()
            self._requests, other = socket.socketpair(type=socket.SOCK_SEQPACKET)
            self._requests.setblocking(False)
            with other:
                self._program = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(_PROGRAM)],
                    stdin=other.fileno(),
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                )
        return self._requests


async def _answer(control: socket.socket) -> int:
    """Receive the id of the new process; raises OSError."""
    received = await asyncio.get_running_loop().sock_recv(control, _NUMBER_BYTES)
    if not received:
        raise ConnectionAbortedError("no answer from the program that starts git")
    if (number := int(received)) < 0:
        raise OSError(-number, os.strerror(-number))
    return number
