"""`annals serve`: the database, the committer, the API workers, the scheduler; restarted when they die.

The committer, the workers and the scheduler are forks of the supervisor (`children`), which has imported all
modules that they need. When the supervisor forks, it has one thread and no connection to the database.
"""

import errno
import fcntl
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import FrameType

import structlog

from service.http.connections.limits import BACKLOG
from service.processes import api_worker, committer, document_worker, scheduler
from service.processes.children import Child, Children, Program, Setup, allow_files, wait_for_any
from service.processes.startup import PreparedDatabase, StartupError, prepared_database
from service.runtime.clock import system_clock
from service.runtime.settings import Settings
from service.usecases.api_keys import ensure_operator_key
from sql.database import Database
from sql.embedded.server import EmbeddedError, EmbeddedPostgres

log = structlog.get_logger(__name__)

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ReadyServer:
    """A server that answers: its URL, the operator's key if this start made one, and its database."""

    url: str
    operator_key: str | None
    database_url: str


WATCH_SECONDS = 0.2
DATABASE_WATCH_SECONDS = 1.0
READY_SECONDS = 60
# After so many deaths of processes before the server is ready, another try won't help.
FAILED_STARTS = 3
RESTART_PAUSE_SECONDS = 0.5
# After so long without a beat a process is killed and replaced. The committer's callers are answered a second
# before, so that their answer says that it does not answer, and not that it ended.
COMMITTER_PATIENCE_SECONDS = 9
# Longer than a large request may keep the event loop from its next turn: all its requests end with a worker.
WORKER_PATIENCE_SECONDS = 30
SCHEDULER_PATIENCE_SECONDS = 60
# A document worker beats between two pieces of work, of which a diff by git may take a minute.
DOCUMENTS_PATIENCE_SECONDS = 90
RUNTIME_PREFIX = "annals-run-"
STALE_SECONDS = 60
PORT_SECONDS = 3
COMMITTER_SOCKET = "committer.sock"
# The committer's documents do not wait for those of readers, since other hosts wait for its locks.
COMMITTER_DOCUMENTS_SOCKET = "changes.sock"
API_DOCUMENTS_SOCKET = "documents.sock"
SOCKET_BACKLOG = 128
# Longest path of a Unix socket: `sun_path` of sockaddr_un on Linux, without the NUL at its end.
SOCKET_PATH_BYTES = 107


class Supervisor:
    """Start all processes in order, replace those that die, and leave nothing running at the end."""

    def __init__(self, settings: Settings, *, progress: Progress) -> None:
        self._settings = settings
        self._progress = progress
        self._stop = threading.Event()
        # Readable once the order to stop was given.
        self._stopped = os.eventfd(0)
        self._starting = True

    def run(self, *, announce_key: Callable[[str], None], when_ready: Callable[[ReadyServer], None]) -> None:
        """Serve until SIGINT or SIGTERM.

        `announce_key` gets a new operator's key. `when_ready` leaves no connection to the database open.

        Raises StartupError, and the errors of `sql.embedded.server` and `sql.errors`.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        allow_files()
        with suppress(KeyboardInterrupt), ExitStack() as stack:
            listener = stack.enter_context(_listener(self._settings.host, self._settings.port))
            database = stack.enter_context(prepared_database(self._settings, self._progress))
            runtime = stack.enter_context(_runtime_folder())
            changes, of_committer, of_api = (
                stack.enter_context(_unix_listener(runtime / name))
                for name in (COMMITTER_SOCKET, COMMITTER_DOCUMENTS_SOCKET, API_DOCUMENTS_SOCKET)
            )
            url = _url(self._settings.host, listener.getsockname()[1])
            # Made before the server is reported as ready, so that the key works by then.
            operator_key = self._operator_key(database.url, announce_key)

            def start(
                name: str,
                program: Program,
                listener: socket.socket | None,
                replaces: str | None,
                documents: str = API_DOCUMENTS_SOCKET,
            ) -> Child:
                setup = Setup(
                    settings=self._settings_of_children(self._settings.public_url or url),
                    database_url=database.url,
                    runtime=runtime,
                    committer_socket=runtime / COMMITTER_SOCKET,
                    documents_socket=runtime / documents,
                    listener=listener,
                    replaces=replaces,
                )
                return Child(name, program, setup)

            # In the order of their start. They end in reverse order: the committer has to be there for the
            # last requests of the API workers, and the document workers for both.
            families = [
                Children(
                    "the committer's document worker",
                    lambda replaces: start("annals: docs", document_worker.run, of_committer, replaces),
                    1,
                    patience_seconds=DOCUMENTS_PATIENCE_SECONDS,
                ),
                Children(
                    "a document worker",
                    lambda replaces: start("annals: docs", document_worker.run, of_api, replaces),
                    self._settings.workers + 1,
                    patience_seconds=DOCUMENTS_PATIENCE_SECONDS,
                ),
                Children(
                    "the committer",
                    lambda replaces: start(
                        "annals: commits", committer.run, changes, replaces, COMMITTER_DOCUMENTS_SOCKET
                    ),
                    1,
                    patience_seconds=COMMITTER_PATIENCE_SECONDS,
                ),
                Children(
                    "an API worker",
                    lambda replaces: start("annals: api", api_worker.run, listener, replaces),
                    self._settings.workers,
                    patience_seconds=WORKER_PATIENCE_SECONDS,
                ),
            ]
            if self._settings.jobs:
                families.append(
                    Children(
                        "the scheduler",
                        lambda replaces: start("annals: jobs", scheduler.run, None, replaces),
                        1,
                        patience_seconds=SCHEDULER_PATIENCE_SECONDS,
                    )
                )
            self._starting = False
            for family in families:
                stack.callback(family.end)
                family.start()
            self._wait_until_ready(listener, families)
            if not self._stop.is_set():
                when_ready(ReadyServer(url, operator_key, database.url))
            self._watch(families, database)
            self._progress("Stopping …")

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop.set()
        os.eventfd_write(self._stopped, 1)
        if self._starting:
            # A recovery of PostgreSQL may take minutes: interrupt the start. A second signal must not
            # interrupt the orderly end.
            self._starting = False
            raise KeyboardInterrupt

    def _operator_key(self, database_url: str, announce: Callable[[str], None]) -> str | None:
        chosen = self._settings.operator_key
        database = Database(database_url, pool_size=1)
        try:
            return ensure_operator_key(
                database,
                system_clock,
                None if chosen is None else chosen.get_secret_value(),
                announce=announce,
            )
        finally:
            database.close()

    def _settings_of_children(self, public_url: str) -> Settings:
        plain = self._settings.model_dump(mode="json", exclude={"database_url", "operator_key"})
        plain["public_url"] = public_url
        plain["require_timescaledb"] = self._settings.timescaledb_is_required
        # A secret is dumped as asterisks.
        plain["metrics_key"] = self._settings.metrics_key
        return Settings(**plain)

    def _wait_until_ready(self, listener: socket.socket, families: Sequence[Children]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        deaths = 0
        while not self._stop.is_set() and not _answers(listener):
            deaths += sum(family.replace_dead() for family in families)
            if deaths >= FAILED_STARTS or time.monotonic() > deadline:
                raise StartupError("the processes do not come up: the log above says why")
            self._stop.wait(WATCH_SECONDS / 4)

    def _watch(self, families: Sequence[Children], database: PreparedDatabase) -> None:
        look_at_database = time.monotonic()
        while not self._stop.is_set():
            wait_for_any([self._stopped, *(end for family in families for end in family.ends)], WATCH_SECONDS)
            if self._stop.is_set():
                return
            if sum(family.replace_dead() for family in families):
                self._stop.wait(RESTART_PAUSE_SECONDS)
            if database.embedded is not None and time.monotonic() >= look_at_database:
                self._watch_database(families, database, database.embedded)
                look_at_database = time.monotonic() + DATABASE_WATCH_SECONDS

    def _watch_database(
        self, families: Sequence[Children], database: PreparedDatabase, embedded: EmbeddedPostgres
    ) -> None:
        before = database.url
        try:
            if embedded.ensure_running():
                log.warning("PostgreSQL had died and was started again")
        except EmbeddedError as error:
            # It has no room for its log, for instance: it is tried again until it has.
            log.error("PostgreSQL can't be started; it is tried again", error=str(error))  # noqa: TRY400
            return
        if database.url != before:
            # The socket of PostgreSQL had to move, and a process gets its path only at the start.
            for family in reversed(families):
                family.end()
            for family in families:
                family.start()


@contextmanager
def _listener(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    deadline = time.monotonic() + PORT_SECONDS
    while True:
        try:
            listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
            break
        except OSError as error:
            # The workers of a server that was just killed keep the port for a moment.
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(WATCH_SECONDS)
                continue
            raise StartupError(
                f"can't listen on {host} port {port}: {error.strerror or error}. "
                "Choose another with --host or --port."
            ) from None
    with listener:
        yield listener


@contextmanager
def _unix_listener(path: Path) -> Iterator[socket.socket]:
    """Open a process's socket here, so that what is sent during a restart of the process only waits."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(SOCKET_BACKLOG)
        yield listener


@contextmanager
def _runtime_folder() -> Iterator[Path]:
    """Make a private folder that lives as long as this process; remove the folders of killed supervisors."""
    parent = _short_temporary_folder()
    for folder in parent.glob(f"{RUNTIME_PREFIX}*"):
        # A young folder may belong to a process that is about to lock it.
        with suppress(OSError), _locked(folder):
            if time.time() - folder.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(folder)
    folder = Path(tempfile.mkdtemp(prefix=RUNTIME_PREFIX, dir=parent))
    with _locked(folder, wait=True):
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


def _short_temporary_folder() -> Path:
    """Folder for temporary files, or /tmp if the path of the committer's socket would be too long there."""
    chosen = Path(tempfile.gettempdir())
    longest = len(os.fsencode(chosen / f"{RUNTIME_PREFIX}xxxxxxxx" / COMMITTER_SOCKET))
    return chosen if longest <= SOCKET_PATH_BYTES else Path("/tmp")  # noqa: S108 - mkdtemp makes a private folder


@contextmanager
def _locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a folder's lock; raises OSError if another process holds it or another user owns the folder."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(handle).st_uid != os.geteuid():
            raise PermissionError(f"{folder} belongs to somebody else")
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)


def _reachable(host: str) -> str:
    """Address at which this machine can reach a listener on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - no bind to it


def _url(host: str, port: int) -> str:
    reachable = _reachable(host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def _answers(listener: socket.socket) -> bool:
    host, port = listener.getsockname()[:2]
    connection = HTTPConnection(_reachable(host), port, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
