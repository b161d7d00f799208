"""The processes that `annals serve` forks: each has a pipe that closes when the supervisor ends.

A fork has the modules of the supervisor: to import them takes longer than the rest of a start. It keeps
nothing else of the supervisor: no descriptor, no signal handler, no session.
"""

import gc
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import structlog

from service.runtime import allocator, garbage_collector, metrics
from service.runtime.heartbeat import Heartbeat
from service.runtime.settings import Settings

log = structlog.get_logger(__name__)

STOP_SECONDS = 20
# Time from the fork to the first beat, on a machine that has much else to do.
FIRST_BEAT_SECONDS = 60
# A look that comes later than this counts as one after this time: while the supervisor itself was stopped, or
# had no processor, its processes may have had none.
LONGEST_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Input of a program: the settings, the URL of the database, and the sockets of this server.

    `listener` is the socket that the program serves, None for the scheduler, and `documents_socket` that of
    the document workers that it asks. `runtime` is a folder that lives as long as the supervisor. The program
    beats `heartbeat` each second. `replaces` says how the process ended that this one replaces, None if it
    replaces none.
    """

    settings: Settings
    database_url: str
    runtime: Path
    committer_socket: Path
    documents_socket: Path | None = None
    listener: socket.socket | None = None
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    replaces: str | None = None


Program = Callable[[Setup], None]


class Child:
    """A fork of this process that runs a program until the pipe is closed; Linux keeps 15 bytes of the name.

    The process that forks must have one thread and no connection to the database. The fork would share the
    connection, and wait for locks of threads that only the first process has.
    """

    def __init__(self, name: str, program: Program, setup: Setup) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._runtime = setup.runtime
        lifeline, self._pipe = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _run(name, program, setup, lifeline)
        os.close(lifeline)
        self._heartbeat = setup.heartbeat
        self._beats = 0
        self._silent_seconds = 0.0
        # Readable once the process has ended.
        self.end = os.pidfd_open(self._pid)
        self._is_asked_to_stop = False
        self._exit_code: int | None = None

    @property
    def exit_code(self) -> int | None:
        """Exit code, or minus the number of the signal that ended the process; None while it runs."""
        if self._exit_code is None:
            self._reap(os.WNOHANG)
        return self._exit_code

    def silence(self, seconds: float) -> tuple[float, bool]:
        """Add the seconds since the last look; returns the seconds without a beat, and if it ever beat."""
        beats = self._heartbeat.count
        self._silent_seconds = self._silent_seconds + seconds if beats == self._beats else 0.0
        self._beats = beats
        return self._silent_seconds, beats != 0

    def kill(self) -> None:
        """Kill the process, without waiting for its end: one that waits for a disk ends after that."""
        os.kill(self._pid, signal.SIGKILL)

    def ask_to_stop(self) -> None:
        """Close the pipe: the program finishes its present work, then ends."""
        if not self._is_asked_to_stop:
            self._is_asked_to_stop = True
            os.close(self._pipe)

    def wait(self, deadline: float) -> None:
        """Wait for the end until `deadline` (monotonic), then kill."""
        wait_for_any([self.end], max(0.0, deadline - time.monotonic()))
        if self.exit_code is None:
            os.kill(self._pid, signal.SIGKILL)
            self._reap(0)
        self.ask_to_stop()
        os.close(self.end)
        metrics.forget(self._pid, self._runtime)

    def _reap(self, options: int) -> None:
        pid, status = os.waitpid(self._pid, options)
        if pid:
            self._exit_code = os.waitstatus_to_exitcode(status)


class Children:
    """All processes of one program; a new process replaces one that died, or was killed since it hung.

    A process hangs if it does not beat for `patience_seconds`. `start` is told how the process ended that
    the new one replaces.
    """

    def __init__(
        self, name: str, start: Callable[[str | None], Child], number: int, *, patience_seconds: float
    ) -> None:
        self._name = name
        self._start = start
        self._number = number
        self._patience_seconds = patience_seconds
        self._running: list[Child] = []
        self._hung: set[Child] = set()
        self._looked_at = time.monotonic()

    @property
    def ends(self) -> list[int]:
        """A descriptor for each process, readable once that process has ended."""
        return [child.end for child in self._running]

    def start(self) -> None:
        """Start all processes."""
        self._running = [self._start(None) for _ in range(self._number)]

    def replace_dead(self) -> int:
        """Kill the processes that hang, and replace those that died; returns the number replaced."""
        self._kill_hung()
        dead = [child for child in self._running if child.exit_code is not None]
        for child in dead:
            how = f"exit code {child.exit_code}"
            if child in self._hung:
                self._hung.remove(child)
                how = f"it did not beat for {self._patience_seconds:g} s and was killed"
            log.error(f"{self._name} died and is started again", exit_code=child.exit_code, how=how)
            child.wait(0.0)
            self._running[self._running.index(child)] = self._start(how)
        return len(dead)

    def _kill_hung(self) -> None:
        before, self._looked_at = self._looked_at, time.monotonic()
        passed = min(self._looked_at - before, LONGEST_LOOK_SECONDS)
        for child in self._running:
            silent, has_begun = child.silence(passed)
            patience = self._patience_seconds if has_begun else FIRST_BEAT_SECONDS
            if silent > patience and child not in self._hung and child.exit_code is None:
                self._hung.add(child)
                log.error(f"{self._name} does not beat and is killed", seconds=round(silent))
                child.kill()

    def end(self) -> None:
        """Ask all processes to finish, and kill each that takes longer than STOP_SECONDS."""
        for child in self._running:
            child.ask_to_stop()
        deadline = time.monotonic() + STOP_SECONDS
        for child in self._running:
            child.wait(deadline)
        self._running = []


def allow_files() -> None:
    """Raise the limit of open files, of this process and of those that it starts, to the highest allowed.

    The usual limit is 1,024 unless a program asks: so many silent connections would shut everybody out.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:
        # A sandbox may forbid it. The number of connections follows what is allowed.
        log.warning("the limit of open files could not be raised", error=str(error))


def wait_for_any(descriptors: Iterable[int], seconds: float) -> None:
    """Wait until one of the descriptors is readable, no longer than `seconds`."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    poll.poll(seconds * 1000)


def _run(name: str, program: Program, setup: Setup, lifeline: int) -> NoReturn:
    """Run the program in the new process, then exit: to return would run the supervisor's code."""
    code = 1
    try:
        # Never collect the supervisor's objects: this would copy memory that both processes share, and close
        # files of this process that have the numbers of old descriptors.
        gc.freeze()
        garbage_collector.put_off()
        allocator.give_back_large_blocks()
        # Ctrl-C is sent to the supervisor alone, which then ends its processes in order.
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # The command line is the supervisor's. `ps -o comm`, `top` and `pgrep` show this name instead.
        Path("/proc/self/comm").write_text(name)
        os.dup2(lifeline, 0)
        _close_all_but({0, 1, 2} if setup.listener is None else {0, 1, 2, setup.listener.fileno()})
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - the lifeline stays open
        metrics.count_in_files(setup.runtime)
        threading.excepthook = _end_process
        program(setup)
        code = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)  # noqa: T201 - the interpreter does so, too
        else:
            code = end.code or 0
    except BaseException:  # noqa: BLE001 - no caller of a fork could catch it
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        # `sys.exit` would run exit handlers that the supervisor registered for itself.
        os._exit(code)


def _end_process(failed: threading.ExceptHookArgs) -> None:
    """End a process one of whose threads has failed: it would live on without a part, and never be well.

    The supervisor starts another.
    """
    if failed.exc_type is SystemExit:
        return
    traceback.print_exception(failed.exc_type, failed.exc_value, failed.exc_traceback)
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(1)


def _close_all_but(kept: set[int]) -> None:
    """Close all other descriptors: an inherited one could hold a port, a lock or another lifeline."""
    for descriptor in [int(each.name) for each in Path("/proc/self/fd").iterdir()]:
        if descriptor not in kept:
            with suppress(OSError):
                os.close(descriptor)
