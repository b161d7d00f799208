"""Run git for upkeep: at the lowest priority, within bounds, and ended with all that it started."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gitstore.errors import MaintenanceFailed
from gitstore.git import started

# Called several times a second while git runs; its errors end git.
Watch = Callable[[], None]

POLL_SECONDS = 0.1
# Upkeep yields to processes that answer requests, and ends with the process that started it. Each program is
# used where it is installed, as on every Debian.
_PREFIXES = (
    ("setpriv", "--pdeathsig", "KILL"),
    ("nice", "-n", "10"),
    ("ionice", "-c", "3"),
)
# The repository's own configuration makes git write durably, but one restored from a backup may lack it.
_CONFIGURATION = {
    "core.fsync": "all",
    "core.fsyncMethod": "fsync",
    "core.multiPackIndex": "false",
    "gc.auto": "0",
    "pack.threads": "1",
    "pack.deltaCacheSize": "64m",
    "pack.packSizeLimit": "0",
    "pack.windowMemory": "256m",
}


class MaintenanceGit:
    """Runs git in one repository under the lock on its upkeep, which every git inherits."""

    def __init__(self, path: Path, lock: int, watch: Watch) -> None:
        self.path = path
        self.watch = watch
        self._lock = lock

    def run(self, *arguments: str, given: bytes = b"", deadline_seconds: float) -> bytes:
        """Run git with some input, and return its output.

        Raises MaintenanceFailed if git fails or takes too long, StoreUnavailable if it can't be started, and
        the errors of the watch.
        """
        configuration = _CONFIGURATION | {"safe.directory": str(self.path.resolve())}
        options = [part for name, value in configuration.items() for part in ("-c", f"{name}={value}")]
        polite = [part for each in _PREFIXES if shutil.which(each[0]) for part in each]
        command = [*polite, "git", f"--git-dir={self.path.resolve()}", *options, *arguments]
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout:
            stdin.write(given)
            stdin.seek(0)
            with started(arguments[0], command, stdin=stdin, stdout=stdout, pass_fds=(self._lock,)) as git:
                if not _ends(git.process, deadline_seconds, self.watch):
                    raise MaintenanceFailed(f"git {arguments[0]} took longer than {deadline_seconds:g} s")
                git.check(MaintenanceFailed)
            stdout.seek(0)
            return stdout.read()

    def pack(self, *arguments: str, given: bytes = b"", deadline_seconds: float) -> str | None:
        """Make a pack; returns its name, or None if there was nothing to pack.

        The files are synced, but not the folder with their names. Raises the errors of `run`.
        """
        base = self.path.resolve() / "objects" / "pack" / "pack"
        command = ("pack-objects", "-q", "--non-empty", "--delta-base-offset", *arguments, str(base))
        printed = self.run(*command, given=given, deadline_seconds=deadline_seconds).decode().split()
        if len(printed) > 1:
            raise MaintenanceFailed(f"git pack-objects made {len(printed)} packs instead of one")
        return f"pack-{printed[0]}" if printed else None


def _ends(process: subprocess.Popen[bytes], deadline_seconds: float, watch: Watch) -> bool:
    """Wait for the end of a process; False if it runs beyond its deadline."""
    deadline = time.monotonic() + deadline_seconds
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(POLL_SECONDS)
            return True
        if time.monotonic() > deadline:
            return False
        watch()
