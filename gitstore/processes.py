"""Processes with streams in an event loop, started without holding it up.

An event loop that starts a process itself copies the tables of its memory first and then waits until the
process has begun: 25 ms on a busy machine, in which nobody is answered. Here a thread of its own waits, and
`vfork` copies nothing.
"""

import asyncio
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import NamedTuple

from gitstore.priority import give_way


class _Started(NamedTuple):
    """A process and this side's end of each of its three streams.

    Sockets, not pipes: uvloop closes the descriptor of a pipe twice, and in between a thread may have got it
    for something else.
    """

    popen: "subprocess.Popen[bytes]"
    stdin: socket.socket
    stdout: socket.socket
    stderr: socket.socket


class Process:
    """A process that runs, the leader of a session of its own, with its three streams."""

    def __init__(self, started: _Started) -> None:
        self._started = started
        self._popen = started.popen
        self._writers: list[asyncio.StreamWriter] = []
        self._ended = asyncio.Event()
        self._watched = os.pidfd_open(self._popen.pid)
        asyncio.get_running_loop().add_reader(self._watched, self._reap)

    async def connect(self) -> None:
        """Make `stdin`, `stdout` and `stderr` of the sockets."""
        _, self.stdin = await self._stream(self._started.stdin)
        self.stdout, _ = await self._stream(self._started.stdout)
        self.stderr, _ = await self._stream(self._started.stderr)

    @property
    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self._popen.poll() is None

    def give_way(self) -> None:
        """Lower its priority, and that of what it starts."""
        give_way(self._popen.pid)

    def kill(self) -> None:
        """End it and what it started, unless it has ended by itself."""
        _kill(self._popen)

    async def wait(self) -> int:
        """Its exit status, once it has ended; what it wrote may not be read yet."""
        await self._ended.wait()
        return self._popen.wait()

    def close(self) -> None:
        """Close the streams."""
        for writer in self._writers:
            writer.transport.abort()

    async def _stream(self, end: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(sock=end)
        self._writers.append(writer)
        return reader, writer

    def _reap(self) -> None:
        self._popen.wait()
        asyncio.get_running_loop().remove_reader(self._watched)
        os.close(self._watched)
        self._ended.set()


class Starter:
    """Starts processes one after the other, for one event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="git-start")

    def close(self) -> None:
        """Start no more."""
        self._thread.shutdown()

    async def start(self, command: Sequence[str], environment: Mapping[str, str]) -> Process:
        """Start a command; raises OSError where it can't be. Cancelled, it leaves no process behind."""
        starting = asyncio.get_running_loop().run_in_executor(self._thread, _start, command, environment)
        try:
            started = await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_abandon)
            raise
        try:
            process = Process(started)
            await process.connect()
        except BaseException:
            _discard(started)
            raise
        return process


def _start(command: Sequence[str], environment: Mapping[str, str]) -> _Started:
    with ExitStack() as on_error, ExitStack() as theirs:
        ours, given = [], []
        for _ in range(3):
            own, other = socket.socketpair()
            ours.append(on_error.enter_context(own))
            given.append(theirs.enter_context(other).fileno())
        stdin, stdout, stderr = given
        popen = subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=stderr, env=environment, start_new_session=True
        )
        on_error.pop_all()
    return _Started(popen, *ours)


def _abandon(starting: "asyncio.Future[_Started]") -> None:
    if not starting.cancelled() and starting.exception() is None:
        _discard(starting.result())


def _discard(started: _Started) -> None:
    _kill(started.popen)
    for end in started[1:]:
        end.close()
    threading.Thread(target=started.popen.wait, name="git-discarded", daemon=True).start()


def _kill(popen: "subprocess.Popen[bytes]") -> None:
    if popen.poll() is None:
        # Not waited for yet, its id is nobody else's.
        with suppress(ProcessLookupError):
            os.killpg(popen.pid, signal.SIGKILL)
