"""Start git in an environment and a session of its own, and end it with all processes that it started."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gitstore.errors import GitStoreError, StoreUnavailable

_COMPLAINT_BYTES = 4 * 1024


def environment(**more: str) -> dict[str, str]:
    """Make the environment of a git process from PATH and `more`, so that no other configuration counts."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        **more,
    }


@dataclass(frozen=True, slots=True)
class RunningGit:
    """A running git process; `name` is the git command, for messages."""

    name: str
    process: subprocess.Popen[bytes]
    errors: IO[bytes]

    def check(
        self, error: type[GitStoreError] = GitStoreError, *, success: int = 0, seconds: float | None = None
    ) -> None:
        """Wait for the end of git; raise the error, with git's message, if its exit status is not `success`.

        Raises subprocess.TimeoutExpired if git runs for longer than `seconds`.
        """
        status = self.process.wait(seconds)
        if status != success:
            self.errors.seek(0)
            said = self.errors.read(_COMPLAINT_BYTES).decode("utf-8", "replace").strip()
            raise error(f"git {self.name} ended with status {status}: {said}")


@contextmanager
def started(
    name: str,
    command: Sequence[str],
    *,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> Iterator[RunningGit]:
    """Start git, and keep its stderr; git is killed if it still runs at the end of the block.

    Raises StoreUnavailable if git can't be started.
    """
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=stdout,
                stderr=errors,
                env=environment() if env is None else env,
                cwd=cwd,
                pass_fds=pass_fds,
                start_new_session=True,
            )
        except OSError as error:
            raise StoreUnavailable(f"git can't be started: {error}") from error
        with process:
            try:
                yield RunningGit(name, process, errors)
            finally:
                if process.poll() is None:
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
