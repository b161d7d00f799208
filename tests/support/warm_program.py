"""The `annals` program without the second that its imports take: forks of a process that has them already."""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path

from tests.support.project import ROOT

# What commands of clients and of operators import but `cli.main`, whose consoles look at the environment.
IMPORTED = (
    *("certifi", "h11", "httpcore", "service.cli.client", "service.cli.resources"),
    *("service.cli.versions", "service.cli.first_tenant", "service.runtime.settings"),
    *(
        "service.processes.scheduler",
        "service.processes.startup",
        "service.usecases.maintenance.scheduled_jobs",
    ),
)
SECONDS = 120
MESSAGE_BYTES = 128 * 1024


class Started:
    """A program that was started."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def wait(self) -> int:
        """Its exit code, or minus the number of the signal that ended it, as `subprocess` says it."""
        with self._end:
            return int(self._end.recv(16))


def start(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    files: tuple[int, int, int],
    folder: Path | None = None,
) -> Started:
    """Start a program; the files are its standard input, output and errors, the folder the present one."""
    ours, theirs = socket.socketpair()
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
            [sys.executable, "-m", "tests.support.warm_program"],
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
    """Become the program, once for each message, until there are no more."""
    for name in IMPORTED:
        import_module(name)
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
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.write(end, str(code).encode())
        os._exit(0)
    os.close(end)
    for number, file in enumerate(standard):
        os.dup2(file, number)
        os.close(file)
    _run(*json.loads(message))


def _run(arguments: list[str], environment: dict[str, str], folder: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115
    sys.stderr = open(2, "w", errors="backslashreplace", buffering=1)  # noqa: SIM115
    sys.argv = ["annals", *arguments]
    code = 1

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    # Last of what is done at an exit. To take a fork's memory apart copies it all: that took 0.8 s.
    atexit.register(leave)

    from service.cli.main import app

    try:
        app()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise


if __name__ == "__main__":
    main()
