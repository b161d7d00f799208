"""Running git for upkeep: last in line for the machine, within bounds, and gone with all that it started."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gitstore.environment import environment
from gitstore.errors import MaintenanceFailed, StoreUnavailable

# Called several times a second while git runs; what it raises ends git.
Watch = Callable[[], None]

POLL_SECONDS = 0.1
# Upkeep gives way to whoever answers requests.
_NICE = ("nice", "-n", "10")
_IDLE_DISK = ("ionice", "-c", "3")
_STDERR_BYTES = 4 * 1024
# The repository's own configuration asks for durability; one that was restored from a backup may not.
_CONFIGURATION = {
    "core.fsync": "all",
    "core.fsyncMethod": "fsync",
    "core.multiPackIndex": "false",
    "gc.auto": "0",
    "pack.threads": "1",
    "pack.deltaCacheSize": "64m",
    "pack.packSizeLimit": "0",
}


def run(
    path: Path,
    *arguments: str,
    given: bytes = b"",
    window_memory: str = "64m",
    deadline_seconds: float,
    watch: Watch,
    lock: int,
) -> bytes:
    """What a git in the repository prints, given some input; it inherits the lock on upkeep.

    Raises MaintenanceFailed where it fails or takes too long, StoreUnavailable where it can't be started, and
    what `watch` raises.
    """
    configuration = _CONFIGURATION | {"safe.directory": str(path.resolve()), "pack.windowMemory": window_memory}
    options = [part for name, value in configuration.items() for part in ("-c", f"{name}={value}")]
    polite = [part for each in (_NICE, _IDLE_DISK) if shutil.which(each[0]) for part in each]
    command = [*polite, "git", f"--git-dir={path.resolve()}", *options, *arguments]
    with (
        tempfile.TemporaryFile() as stdin,
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
    ):
        stdin.write(given)
        stdin.seek(0)
        try:
            process = subprocess.Popen(
                command,
                cwd=path,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=environment(),
                pass_fds=(lock,),
                start_new_session=True,
            )
        except OSError as error:
            raise StoreUnavailable(f"git can't be started: {error}") from error
        try:
            status = _wait(process, deadline_seconds, watch)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if status is None:
            raise MaintenanceFailed(f"git {arguments[0]} took longer than {deadline_seconds:g} s")
        if status != 0:
            stderr.seek(0)
            said = stderr.read(_STDERR_BYTES).decode("utf-8", "replace").strip()
            raise MaintenanceFailed(f"git {arguments[0]} ended with status {status}: {said}")
        stdout.seek(0)
        return stdout.read()


def _wait(process: subprocess.Popen[bytes], deadline_seconds: float, watch: Watch) -> int | None:
    deadline = time.monotonic() + deadline_seconds
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(POLL_SECONDS)
        if time.monotonic() > deadline:
            return None
        watch()
