"""A running `annals serve` that is killed repeatedly: its processes, its failpoints, and its restart."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import psycopg

from gitstore.failpoints import VARIABLE
from sql.embedded.server import running_url
from tests.support.databases import Cluster, Database, Row
from tests.support.process_table import name_of
from tests.support.running_server import ANNALS, COMMITTER, OPERATOR_KEY, WORKER, Server, arm, start

Target = Literal["committer", "worker", "everything", "postgres"]
TARGETS: tuple[Target, ...] = ("committer", "worker", "everything", "postgres")
WORKERS = 2
POLL_SECONDS = 0.01
# A start takes a second or two, and longer on a busy machine.
BACK_SECONDS = 60


class KeptDatabase(Database):
    """A database that one thread asks often, over one connection."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._kept: psycopg.Connection[Row] | None = None

    @contextmanager
    def connection(self, role: str | None = None, scope: object = None) -> Iterator[psycopg.Connection[Row]]:
        """Yield the connection, which is opened again if it was lost."""
        if role is not None or scope is not None:
            with super().connection(role, scope) as own:
                yield own
            return
        if self._kept is not None:
            try:
                self._kept.execute("")
            except psycopg.Error:
                self.close()
        if self._kept is None:
            self._kept = psycopg.connect(self.url, autocommit=True)
        yield self._kept

    def close(self) -> None:
        """Close the connection."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None


class Stage:
    """A server with a fixed port, on `database` or, if that is None, on its embedded PostgreSQL."""

    def __init__(self, folder: Path, database: Database | None) -> None:
        self.folder = folder
        self._given = database
        self._database = None if database is None else KeptDatabase(database.url)
        self._failpoint = folder / "failpoint"
        self.port = _free_port()
        self.server = self._started()

    @property
    def database(self) -> Database:
        """The server's database; an embedded PostgreSQL may have another address after each start."""
        if self._given is None:
            url = running_url(self.folder / "data")
            assert url is not None, "the embedded PostgreSQL does not run"
            if self._database is None or self._database.url != url:
                self._let_go()
                self._database = KeptDatabase(url)
        assert self._database is not None
        return self._database

    @property
    def git_dir(self) -> Path:
        """The folder of the repositories."""
        return self.folder / "data" / "git"

    # -- failpoints -----------------------------------------------------------------------------------

    def arm(self, action: str) -> None:
        """Arm a failpoint for the next process that passes it, once: `<name>:kill|error|delay[:number]`."""
        arm(self._failpoint, action)

    def fired(self, seconds: float) -> bool:
        """True if the failpoint acted within the time; if not, it is disarmed."""
        deadline = time.monotonic() + seconds
        mark = Path(f"{self._failpoint}.fired")
        while not mark.exists():
            if time.monotonic() > deadline:
                self._failpoint.unlink(missing_ok=True)
                return mark.exists()
            time.sleep(POLL_SECONDS)
        return True

    # -- killing --------------------------------------------------------------------------------------

    def kill(self, target: Target, which: int = 0) -> bool:
        """Kill a target with SIGKILL; False if it did not run.

        `which` chooses the API worker, or the processes of PostgreSQL.
        """
        match target:
            case "committer":
                return _kill(self._children(COMMITTER))
            case "worker":
                workers = self._children(WORKER)
                return _kill(workers[which % len(workers) :][:1]) if workers else False
            case "everything":
                self.server.kill_everything()
                return True
            case "postgres":
                return self._kill_postgres(which)

    def come_back(self) -> None:
        """Start the server again on the same port, if its main process was killed."""
        if self.server.process.poll() is not None:
            self._close()
            self.server = self._started()

    def committer(self) -> int | None:
        """Return the id of the committer's process."""
        found = self._children(COMMITTER)
        return found[0] if found else None

    def verify(self, subscription_id: str) -> str:
        """Run `annals verify` for a subscription beside the server; returns its findings, if any."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ANNALS_")}
        if self._given is None:
            clean["ANNALS_REQUIRE_TIMESCALEDB"] = "false"
        options = ("--full", "--data-dir", self.folder / "data", "--subscription", subscription_id)
        done = subprocess.run(
            [ANNALS, "verify", *options],
            env=clean | {"DATABASE_URL": self.database.url},
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if done.returncode == 0 else done.stdout + done.stderr

    def end(self) -> list[str]:
        """Stop the server; returns the violations in the way in which it stopped."""
        wrong = []
        self._let_go()
        if self.server.process.poll() is None and (code := self.server.interrupt()) != 0:
            wrong.append(f"the server ended with exit code {code}")
        left = self.server.processes()
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if left:
            wrong.append(f"processes were left: {left}")
        self._close()
        return wrong

    def _children(self, name: str) -> list[int]:
        return [pid for pid in _children(self.server.process.pid) if name_of(pid) == name]

    def _kill_postgres(self, which: int) -> bool:
        with suppress(OSError, IndexError, ValueError):
            file = self.folder / "data" / "postgres" / "postmaster.pid"
            postmaster = int(file.read_text().split()[0])
            backends = _children(postmaster)
            match which % 3:
                case 0:  # The backends notice that the postmaster has ended, and end.
                    return _kill([postmaster])
                case 1:  # As when memory runs out: PostgreSQL ends the other backends, and recovers.
                    return _kill(backends[-1:])
                case _:
                    return _kill([postmaster, *backends])
        return False

    def _started(self) -> Server:
        given = {} if self._given is None else {"DATABASE_URL": self._given.url}
        return start(
            self.folder / "data",
            *("--port", str(self.port), "--workers", str(WORKERS)),
            **{VARIABLE: f"@{self._failpoint}", "ANNALS_OPERATOR_KEY": OPERATOR_KEY},
            **given,
        )

    def _let_go(self) -> None:
        if self._database is not None:
            self._database.close()

    def _close(self) -> None:
        if self.server.process.stdout is not None:
            self.server.process.stdout.close()


@contextmanager
def staged(folder: Path, cluster: Cluster | None) -> Iterator[Stage]:
    """Run a server until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    stage = Stage(folder, None if cluster is None else cluster.migrated())
    try:
        yield stage
    finally:
        stage.end()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _kill(pids: list[int]) -> bool:
    killed = False
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed = True
    return killed


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
