"""`annals serve`: the database, the API workers, restarted when they die and ended together."""

import errno
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import FrameType

import structlog

from service import metrics
from service.clock import system_clock
from service.settings import Settings
from service.startup import PreparedDatabase, StartupError, prepared_database
from service.usecases.tenancy import ensure_operator_key
from sql.database import Database
from sql.embedded import EmbeddedPostgres

log = structlog.get_logger(__name__)

Progress = Callable[[str], None]

WATCH_SECONDS = 0.2
DATABASE_WATCH_SECONDS = 1.0
READY_SECONDS = 60
# Workers that die this often before one was ready won't come up by trying on.
FAILED_STARTS = 3
RESTART_PAUSE_SECONDS = 0.5
STOP_SECONDS = 20
RUNTIME_PREFIX = "annals-run-"
STALE_SECONDS = 60
PORT_SECONDS = 3


class Worker:
    """An API process and the pipe by which it knows that the supervisor lives."""

    def __init__(self, handed: str, listener: socket.socket, metrics_dir: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "service.worker"],
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
            # Ctrl-C goes to the supervisor alone, which then ends its workers in order.
            start_new_session=True,
            env=os.environ | {metrics.MULTIPROCESS_VARIABLE: str(metrics_dir)},
            text=True,
        )
        pipe = self._process.stdin
        if pipe is None:
            raise StartupError("a worker could not be started: it has no pipe")
        self._pipe = pipe
        self._pipe.write(handed + "\n")
        self._pipe.flush()

    @property
    def exit_code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """Close the pipe: it finishes what it is at, then exits."""
        self._pipe.close()

    def wait(self, deadline: float) -> None:
        """Wait for the end until `deadline` (monotonic), then kill."""
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Supervisor:
    """Starts everything in order, watches it, and leaves nothing behind."""

    def __init__(self, settings: Settings, *, progress: Progress) -> None:
        self._settings = settings
        self._progress = progress
        self._stop = threading.Event()
        self._starting = True
        self._workers: list[Worker] = []

    def run(
        self, *, announce_key: Callable[[str], None], when_ready: Callable[[str, str | None], None]
    ) -> None:
        """Serve until SIGINT or SIGTERM.

        `announce_key` gets the operator's key if it is new; `when_ready` gets the URL, and that key too.

        Raises StartupError, and the errors of `sql.embedded` and `sql.errors`.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        with suppress(KeyboardInterrupt), ExitStack() as stack:
            listener = stack.enter_context(_listener(self._settings.host, self._settings.port))
            database = stack.enter_context(prepared_database(self._settings, self._progress))
            runtime = stack.enter_context(_runtime_folder())
            url = _url(self._settings.host, listener.getsockname()[1])

            def start() -> Worker:
                handed = self._handed(database.url, listener, self._settings.public_url or url)
                return Worker(handed, listener, runtime)

            self._starting = False
            stack.callback(self._end_workers)
            self._workers = [start() for _ in range(self._settings.workers)]
            self._wait_until_ready(listener, start)
            if not self._stop.is_set():
                when_ready(url, self._operator_key(database.url, announce_key))
            self._watch(start, database)
            self._progress("Stopping …")

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop.set()
        if self._starting:
            # A recovery of PostgreSQL may take minutes: leave now, in order, and only once.
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

    def _handed(self, database_url: str, listener: socket.socket, public_url: str) -> str:
        plain = self._settings.model_dump(mode="json", exclude={"database_url", "operator_key"})
        plain["public_url"] = public_url
        plain["require_timescaledb"] = self._settings.timescaledb_is_required
        return json.dumps({"settings": plain, "database_url": database_url, "listener": listener.fileno()})

    def _wait_until_ready(self, listener: socket.socket, start: Callable[[], Worker]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        deaths = 0
        while not self._stop.is_set() and not _answers(listener):
            deaths += self._replace_dead(start)
            if deaths >= FAILED_STARTS or time.monotonic() > deadline:
                raise StartupError("the API workers do not come up: the log above says why")
            self._stop.wait(WATCH_SECONDS / 4)

    def _watch(self, start: Callable[[], Worker], database: PreparedDatabase) -> None:
        look_at_database = time.monotonic()
        while not self._stop.wait(WATCH_SECONDS):
            if self._replace_dead(start):
                self._stop.wait(RESTART_PAUSE_SECONDS)
            if database.embedded is not None and time.monotonic() >= look_at_database:
                self._watch_database(start, database, database.embedded)
                look_at_database = time.monotonic() + DATABASE_WATCH_SECONDS

    def _watch_database(
        self, start: Callable[[], Worker], database: PreparedDatabase, embedded: EmbeddedPostgres
    ) -> None:
        before = database.url
        if embedded.ensure_running():
            log.warning("PostgreSQL had died and was started again")
        if database.url != before:
            # Its socket had to move: only new workers know where to.
            self._end_workers()
            self._workers = [start() for _ in self._workers]

    def _replace_dead(self, start: Callable[[], Worker]) -> int:
        dead = [worker for worker in self._workers if worker.exit_code is not None]
        for worker in dead:
            log.error("an API worker died and is started again", exit_code=worker.exit_code)
            worker.ask_to_stop()
            self._workers[self._workers.index(worker)] = start()
        return len(dead)

    def _end_workers(self) -> None:
        for worker in self._workers:
            worker.ask_to_stop()
        deadline = time.monotonic() + STOP_SECONDS
        for worker in self._workers:
            worker.wait(deadline)


@contextmanager
def _listener(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    deadline = time.monotonic() + PORT_SECONDS
    while True:
        try:
            listener = socket.create_server((host, port), family=family, backlog=2048)
            break
        except OSError as error:
            # The workers of a server that was just killed need a moment to let go.
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
def _runtime_folder() -> Iterator[Path]:
    """A private folder for what lives as long as this process; those of killed ones are removed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{RUNTIME_PREFIX}*"):
        # A young one may belong to a process that is about to lock it.
        with suppress(OSError), _locked(folder):
            if time.time() - folder.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(folder)
    folder = Path(tempfile.mkdtemp(prefix=RUNTIME_PREFIX))
    with _locked(folder, wait=True):
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


@contextmanager
def _locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a folder's lock; raises OSError where another process holds it or owns the folder."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(handle).st_uid != os.geteuid():
            raise PermissionError(f"{folder} belongs to somebody else")
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)


def _reachable(host: str) -> str:
    """An address of this machine at which a listener on `host` answers."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound


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
