"""Run `annals` as forks of a process that has imported everything, which saves a second each.

The forks are commands, or whole servers, whose processes are forks again.
"""

import atexit
import ctypes
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module, reload
from pathlib import Path
from typing import TextIO

from gitstore import failpoints
from tests.support.project import ROOT

# All imports of commands and servers, except `cli.main`: its consoles look at the environment when imported.
IMPORTED = (
    *("certifi", "h11", "httpcore", "service.cli.client", "service.cli.resources"),
    *("service.cli.versions", "service.cli.first_tenant", "service.runtime.settings"),
    *("service.processes.scheduler", "service.processes.startup", "service.processes.supervisor"),
    *("service.usecases.maintenance.scheduled_jobs", "uvicorn.lifespan.on"),
    *("uvicorn.loops.auto", "uvicorn.protocols.http.auto"),
)
SECONDS = 120
MESSAGE_BYTES = 128 * 1024
_NUMBER_BYTES = 16
# The room for the command line of a fork, which overwrites that of the process.
_TITLE_BYTES = 1000


class Started:
    """A running program, with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._code: int | None = None
        self.pid = int(end.recv(_NUMBER_BYTES))
        # The program's output, if that was asked for.
        self.stdout: TextIO | None = None

    def poll(self) -> int | None:
        """Return the exit code, or None while the program runs."""
        with suppress(BlockingIOError):
            return self._received(0)
        return None

    def wait(self, timeout: float = SECONDS) -> int:
        """Wait for the end; returns the exit code, or minus the number of the signal that ended it."""
        try:
            return self._received(timeout)
        except TimeoutError:
            raise subprocess.TimeoutExpired("annals", timeout) from None

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the program has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End the program at once."""
        self.send_signal(signal.SIGKILL)

    def _received(self, seconds: float) -> int:
        if self._code is None:
            self._end.settimeout(seconds)
            self._code = int(self._end.recv(_NUMBER_BYTES))
            self._end.close()
        return self._code


def start(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    files: tuple[int, int, int],
    folder: Path | None = None,
) -> Started:
    """Start a program; `files` are its standard input, output and errors, `folder` is where it runs."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(SECONDS)
    with theirs:
        message = json.dumps([arguments, dict(environment), str(folder or Path.cwd())])
        socket.send_fds(_parent(), [message.encode()], [*files, theirs.fileno()])
    return Started(ours)


@cache
def _parent() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm_program", " " * _TITLE_BYTES],
            cwd=ROOT,
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def main() -> None:
    """Fork for each message until there are no more; each fork becomes the program."""
    for name in IMPORTED:
        import_module(name)
    # A garbage collection in a fork would copy the memory of all modules.
    gc.freeze()
    orders = socket.socket(fileno=0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, files, _, _ = socket.recv_fds(orders, MESSAGE_BYTES, 4)
        if not message:
            return
        if os.fork() == 0:
            break
        for file in files:
            os.close(file)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    orders.close()
    *standard, end = files
    if child := os.fork():
        for file in standard:
            os.close(file)
        os.write(end, str(child).encode())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.write(end, str(code).encode())
        os._exit(0)
    os.close(end)
    for number, file in enumerate(standard):
        os.dup2(file, number)
        os.close(file)
    _run(*json.loads(message))


def _run(arguments: list[str], environment: dict[str, str], folder: str) -> None:
    if arguments[:1] == ["serve"]:
        # A session of its own keeps a Ctrl-C for the test run away from the server.
        os.setsid()
    _set_command_line(["annals", *arguments])
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    # Both values were set in another environment.
    reload(failpoints)
    tempfile.tempdir = None
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w")  # noqa: SIM115
    sys.stderr = open(2, "w", errors="backslashreplace", buffering=1)  # noqa: SIM115
    sys.argv = ["annals", *arguments]
    code = 1

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    # This is the last handler at an exit: the usual end of the interpreter copies all memory of a fork, which
    # took 0.8 s.
    atexit.register(leave)

    from service.cli.main import app

    try:
        app()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise


def _set_command_line(words: list[str]) -> None:
    """Overwrite the command line in `/proc/<pid>/cmdline`, for this process and each fork of it."""
    # proc(5): the place of the command line is in fields 48 and 49 of stat; the first field after the name is
    # the third.
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    begin, end = int(fields[45]), int(fields[46])
    line = os.fsencode("\0".join(words))[: end - begin - 1]
    ctypes.memset(begin, 0, end - begin)
    ctypes.memmove(begin, line, len(line))


if __name__ == "__main__":
    main()
