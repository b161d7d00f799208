"""Run a real `annals serve` for tests: start it, find and kill its processes, and end it afterwards."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO
from uuid import uuid4

from tests.support import warm_program
from tests.support.process_table import name_of
from tests.support.warm_program import Started

ANNALS = Path(sys.executable).with_name("annals")
OPERATOR_KEY = "an-operator-key-of-the-tests-0123456789"
READY_SECONDS = 60
COMMITTER, WORKER, SCHEDULER = "annals: commits", "annals: api", "annals: jobs"
# A scheduler takes a second of processor time to start, and few tests need one.
DEFAULTS = {"ANNALS_LOG_LEVEL": "warning", "ANNALS_JOBS": "false"}


@dataclass
class Server:
    """A running `annals serve`, its output so far, and a mark by which its processes are found."""

    process: subprocess.Popen[str] | Started
    data_dir: Path
    mark: str
    printed: str

    @property
    def url(self) -> str:
        found = re.search(r"ready at (http://\S+)", self.printed)
        assert found, self.printed
        return found[1]

    def processes(self) -> dict[int, str]:
        """Return the command line of each running process that this server started, by process id."""
        found = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                environment = (folder / "environ").read_bytes()
            except OSError:
                continue
            if command and (self.mark.encode() in environment or str(self.data_dir) in command):
                found[int(folder.name)] = command
        return found

    def pids(self, name: str) -> list[int]:
        """Return the processes of one program."""
        return sorted(pid for pid in self.processes() if name_of(pid) == name)

    def kill_everything(self) -> None:
        """`kill -9` of every process at once, as a power cut would."""
        for pid in self.processes():
            # A child of a process that was just killed may have ended already.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)

    def interrupt(self) -> int:
        """Send Ctrl-C; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def wait_for_no_processes(self, seconds: float) -> None:
        """Wait until no process of this server runs; fails with those that remain."""
        deadline = time.monotonic() + seconds
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert self.processes() == {}


def start(data_dir: Path, *options: str, under: Sequence[str] = (), **environment: str) -> Server:
    """Start a server, and wait until it says that it is ready.

    The server is a fork of the warm program. With `under`, that program starts the installed one.
    """
    mark = uuid4().hex
    with (data_dir.parent / f"{data_dir.name}.log").open("a") as log:
        process = _started(
            under,
            ["serve", "--port", "0", "--data-dir", str(data_dir), *options],
            _environment() | DEFAULTS | {"ANNALS_TEST_MARK": mark} | environment,
            log,
        )
    server = Server(process, data_dir, mark, "")
    assert process.stdout is not None
    for line in process.stdout:
        server.printed += line
        if line.startswith("Stop with Ctrl-C"):
            return server
    said = data_dir.with_name(f"{data_dir.name}.log").read_text()
    raise AssertionError((process.wait(), server.printed, said))


def _started(
    under: Sequence[str], arguments: list[str], environment: dict[str, str], log: IO[str]
) -> subprocess.Popen[str] | Started:
    if under:
        return subprocess.Popen(
            [*under, ANNALS, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            # A session of its own keeps a Ctrl-C for the test run away from the server.
            start_new_session=True,
        )
    ours, theirs = os.pipe()
    with open(os.devnull) as nothing:  # noqa: PTH123
        started = warm_program.start(arguments, environment, (nothing.fileno(), theirs, log.fileno()))
    os.close(theirs)
    started.stdout = os.fdopen(ours)
    return started


def _environment() -> dict[str, str]:
    """Return this process's environment without settings of Annals."""
    return {k: v for k, v in os.environ.items() if not k.startswith("ANNALS_") and k != "DATABASE_URL"}


@dataclass(frozen=True)
class FailedStart:
    """The exit code and errors of a server that could not start."""

    code: int
    errors: str


def failed_start(data_dir: Path, *options: str, **environment: str) -> FailedStart:
    """Start a server that cannot start, and wait for its end."""
    arguments = ["serve", "--port", "0", "--data-dir", str(data_dir), *options]
    with open(os.devnull, "r+") as nothing, TemporaryFile("w+") as errors:  # noqa: PTH123
        files = (nothing.fileno(), nothing.fileno(), errors.fileno())
        code = warm_program.start(arguments, _environment() | environment, files).wait(READY_SECONDS)
        errors.seek(0)
        return FailedStart(code, errors.read())


def arm(failpoint: Path, action: str) -> None:
    """Arm a failpoint for the next process that passes it, once: `<name>:kill|error|delay[:number]`."""
    failpoint.with_name(f"{failpoint.name}.fired").unlink(missing_ok=True)
    # The file is replaced as a whole, since a process may be reading it.
    written = failpoint.with_suffix(".new")
    written.write_text(action)
    written.replace(failpoint)


@contextmanager
def running(data_dir: Path, *options: str, under: Sequence[str] = (), **environment: str) -> Iterator[Server]:
    """Run a server until the block ends; then its processes are ended, whatever the test did."""
    server = start(data_dir, *options, under=under, **environment)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.interrupt()
        for pid in server.processes():
            os.kill(pid, signal.SIGKILL)
        if server.process.stdout is not None:
            server.process.stdout.close()
