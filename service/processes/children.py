"""The processes that `annals serve` starts: each has a pipe by which it knows that the supervisor lives."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from service.runtime import metrics

log = structlog.get_logger(__name__)

STOP_SECONDS = 20


class Child:
    """A process that works with what it is handed, mostly at a socket, until its pipe is closed."""

    def __init__(self, module: str, handed: str, listener: socket.socket | None, metrics_dir: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            pass_fds=[] if listener is None else [listener.fileno()],
            # Ctrl-C goes to the supervisor alone, which then ends its processes in order.
            start_new_session=True,
            env=os.environ | {metrics.MULTIPROCESS_VARIABLE: str(metrics_dir)},
            text=True,
        )
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        self._pipe = self._process.stdin
        # One that was killed at once is found dead by who watches it.
        with suppress(BrokenPipeError):
            self._pipe.write(handed + "\n")
            self._pipe.flush()

    @property
    def exit_code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """Close the pipe: it finishes what it is at, then exits."""
        # What it was to be handed and did not take is handed over here.
        with suppress(BrokenPipeError):
            self._pipe.close()

    def wait(self, deadline: float) -> None:
        """Wait for the end until `deadline` (monotonic), then kill."""
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Children:
    """All processes of one program; each that dies is started again."""

    def __init__(self, name: str, start: Callable[[], Child], number: int) -> None:
        self._name = name
        self._start = start
        self._number = number
        self._running: list[Child] = []

    def start(self) -> None:
        """Start them."""
        self._running = [self._start() for _ in range(self._number)]

    def replace_dead(self) -> int:
        """Start again those that died; how many did."""
        dead = [child for child in self._running if child.exit_code is not None]
        for child in dead:
            log.error(f"{self._name} died and is started again", exit_code=child.exit_code)
            child.ask_to_stop()
            self._running[self._running.index(child)] = self._start()
        return len(dead)

    def end(self) -> None:
        """Let all of them finish, and kill those that take too long."""
        for child in self._running:
            child.ask_to_stop()
        deadline = time.monotonic() + STOP_SECONDS
        for child in self._running:
            child.wait(deadline)
        self._running = []
