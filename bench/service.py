"""A real `annals serve` to be measured, on a database of its own that is as durable as an operator's."""

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from bench import processes
from bench.load import Chain, Outcome, run

ROOT = Path(__file__).parent.parent
OPERATOR_KEY = secrets.token_urlsafe(32)
DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
STOP_SECONDS = 60
_ANNALS = Path(sys.executable).with_name("annals")

Row = tuple[Any, ...]


class NotDurable(Exception):
    """The database server does not wait for the disk, so no figure measured on it would mean anything."""


class Database:
    """A database of the benchmark's own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.name = str(make_url(url).database)
        self.oid: int = self.value("SELECT oid::bigint FROM pg_database WHERE datname = current_database()")
        with psycopg.connect(url) as connection:
            pid = connection.info.backend_pid
            self.postmaster = processes.postmaster_of(pid)

    def rows(self, query: LiteralString, *values: object) -> list[Row]:
        """Read rows as a superuser."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(query, values).fetchall()

    def value(self, query: LiteralString, *values: object) -> Any:
        """Read the one value of a query."""
        [[value]] = self.rows(query, *values)
        return value

    def vacuum(self) -> None:
        """Vacuum and analyze now, so that autovacuum does not do so during one of the turns."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE)")

    def checkpoint(self) -> None:
        """Write all dirty pages to the disk now, so that PostgreSQL does not write them during the turns."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")

    def check_durability(self) -> None:
        """Raise NotDurable unless a transaction is on the disk when its COMMIT returns."""
        off = [name for name in DURABLE if self.value("SELECT current_setting(%s)", name) != "on"]
        if off:
            raise NotDurable(f"off on this server: {', '.join(off)}")


@contextmanager
def own_database(server_url: str) -> Iterator[Database]:
    """Make a new, empty database on a server, and drop it afterwards; raises NotDurable."""
    name = f"annals_bench_{secrets.token_hex(4)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        try:
            url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
            database = Database(url)
            database.check_durability()
            yield database
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


class Service:
    """A running server, which its operator and the load generator call."""

    def __init__(self, process: subprocess.Popen[str], url: str, database: Database, data_dir: Path) -> None:
        self._process = process
        self.url = url
        self.database = database
        self.data_dir = data_dir
        host, port = url.removeprefix("http://").split(":")
        self.address = (host, int(port))

    @property
    def host(self) -> str:
        """The content of the Host header."""
        return f"{self.address[0]}:{self.address[1]}"

    def call(self, method: str, path: str, body: Any = None, key: str = OPERATOR_KEY) -> Any:
        """Make one call outside any measurement; raises HTTPError for a refusal."""
        request = urllib.request.Request(  # noqa: S310 - the address is our own server's
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:  # noqa: S310
            return json.load(response)

    def repository(self, subscription_id: str) -> Path:
        """Return the path of a subscription's repository."""
        return self.data_dir / "git" / f"{subscription_id}.git"

    def measured(
        self, chains: Sequence[Chain], *, clients: int, seconds: float | None = None, **more: Any
    ) -> tuple[Outcome, dict[str, float]]:
        """Run a load; returns its outcome, and the seconds of processor time of each group of processes.

        The group `others` is the rest of the machine, which should have been idle.
        """
        before, busy = self._usage(), processes.busy()
        outcome = run(self.address, chains, clients=clients, seconds=seconds, **more)
        after, busy = self._usage(), processes.busy() - busy
        spent = {group: after[group] - before[group] for group in after} | {"load": outcome.cpu_seconds}
        return outcome, spent | {"others": max(0.0, busy - sum(spent.values()))}

    def memory(self) -> int:
        """Return the bytes of memory that all processes of the server have for themselves."""
        return processes.memory(self._process.pid)

    def has_committer_process(self) -> bool:
        """Return True if the committer is a process of its own."""
        return processes.has_committer(self._process.pid)

    def stop(self) -> None:
        """Send Ctrl-C to the server, and wait for its end."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_SECONDS)
        finally:
            if self._process.poll() is None:
                self._process.kill()
            if self._process.stdout is not None:
                self._process.stdout.close()

    def _usage(self) -> dict[str, float]:
        database = self.database
        # If the database's processes are invisible (in a container), its processor time is unknown and counts
        # as zero.
        postmaster = database.postmaster or -1
        return processes.usage(self._process.pid, postmaster, database.name, database.oid)


def environment(database: Database, data_dir: Path) -> dict[str, str]:
    """Make the environment of every `annals` that the benchmark starts, without the caller's settings."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ANNALS_")}
    settings = data_dir.parent / "annals.toml"
    settings.touch()
    return clean | {
        # The path ensures that this code runs, even if another copy is installed in the virtual environment.
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": database.url,
        "ANNALS_DATA_DIR": str(data_dir),
        "ANNALS_CONFIG": str(settings),
        "ANNALS_OPERATOR_KEY": OPERATOR_KEY,
        "ANNALS_LOG_LEVEL": "warning",
        # No scheduled job may run beside the measurement, except one that the benchmark runs.
        "ANNALS_JOBS": "false",
    }


def annals(database: Database, data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run another `annals` command beside the server."""
    return subprocess.run(
        [_ANNALS, *arguments],
        env=environment(database, data_dir),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@contextmanager
def serving(database: Database, data_dir: Path, *, workers: int = 1) -> Iterator[Service]:
    """Run `annals serve` until the block ends; its log is appended to `serve.log` beside its data."""
    data_dir.mkdir(exist_ok=True)
    with (data_dir.parent / "serve.log").open("a") as log:
        process = subprocess.Popen(
            [_ANNALS, "serve", "--host", "127.0.0.1", "--port", "0", "--workers", str(workers)],
            env=environment(database, data_dir),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    service = Service(process, _url_when_ready(process, log.name), database, data_dir)
    try:
        yield service
    finally:
        service.stop()


def _url_when_ready(process: subprocess.Popen[str], log: str) -> str:
    printed = ""
    for line in process.stdout or ():
        printed += line
        if line.startswith("Stop with Ctrl-C"):
            found = re.search(r"ready at (http://\S+)", printed)
            if found:
                return found[1]
    raise RuntimeError(
        f"annals serve ended with {process.wait()}: {printed}\n{Path(log).read_text()[-4000:]}"
    )
