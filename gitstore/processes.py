"""Processes with pipes in an event loop, started without holding it up.

An event loop that starts a process itself copies the tables of its memory first and then waits until the
process has begun: 25 ms on a busy machine, in which nobody is answered. Here a thread of its own waits, and
`vfork` copies nothing.
"""

import asyncio
import os
import signal
import subprocess
import threading
from asyncio.streams import FlowControlMixin
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO, cast

from gitstore.priority import give_way


class Process:
    """A process that runs, the leader of a session of its own, with a stream for each of its pipes."""

    def __init__(self, popen: "subprocess.Popen[bytes]") -> None:
        self._popen = popen
        self._transports: list[asyncio.BaseTransport] = []
        self._ended = asyncio.Event()
        self._watched = os.pidfd_open(popen.pid)
        asyncio.get_running_loop().add_reader(self._watched, self._reap)

    async def connect(self) -> None:
        """Make `stdin`, `stdout` and `stderr` of the pipes."""
        loop = asyncio.get_running_loop()
        pipes = [
            cast("IO[bytes]", pipe) for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr)
        ]
        transport, protocol = await loop.connect_write_pipe(FlowControlMixin, pipes[0])
        self._transports.append(transport)
        self.stdin = asyncio.StreamWriter(transport, protocol, None, loop)
        self.stdout = await self._reading(pipes[1])
        self.stderr = await self._reading(pipes[2])

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
        """Close the pipes."""
        for transport in self._transports:
            transport.close()

    async def _reading(self, pipe: IO[bytes]) -> asyncio.StreamReader:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        self._transports.append(transport)
        return reader

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
        starting = asyncio.get_running_loop().run_in_executor(self._thread, _popen, command, environment)
        try:
            popen = await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_abandon)
            raise
        try:
            process = Process(popen)
            await process.connect()
        except BaseException:
            _discard(popen)
            raise
        return process


def _popen(command: Sequence[str], environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=environment,
        start_new_session=True,
    )


def _abandon(starting: "asyncio.Future[subprocess.Popen[bytes]]") -> None:
    if not starting.cancelled() and starting.exception() is None:
        _discard(starting.result())


def _discard(popen: "subprocess.Popen[bytes]") -> None:
    _kill(popen)
    for pipe in (popen.stdin, popen.stdout, popen.stderr):
        cast("IO[bytes]", pipe).close()
    threading.Thread(target=popen.wait, name="git-discarded", daemon=True).start()


def _kill(popen: "subprocess.Popen[bytes]") -> None:
    if popen.poll() is None:
        # Not waited for yet, its id is nobody else's.
        with suppress(ProcessLookupError):
            os.killpg(popen.pid, signal.SIGKILL)
