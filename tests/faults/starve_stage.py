"""A real `annals serve` that is attacked: its tenants, the memory of its processes, its state afterwards."""

import http.client
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
from psycopg import sql

from bench import documents
from gitstore.git import environment
from tests.support.databases import Cluster, Database
from tests.support.process_table import children, lives, name_of
from tests.support.running_server import OPERATOR_KEY, WORKER, Server, running

# An attacker of 127.0.0.2 needs more connections than the server can have files.
FILES = "1024:4096"
WORKFLOWS = 20
SAMPLE_SECONDS = 0.5
# The time within which the service has to be as before, in seconds.
WHOLE_SECONDS = 20
# Connections that were taken during an attack may stay open, idle, for uvicorn's 30 seconds.
SPARE_CONNECTIONS = 40
_MIB = 1024 * 1024


@dataclass
class Tenant:
    """A subscription with a viewer, an editor and an auditor."""

    address: tuple[str, int]
    subscription_id: str
    keys: dict[str, str]
    workflows: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        """The path of the subscription in the API."""
        return f"/v1/subscriptions/{self.subscription_id}"

    @property
    def git_path(self) -> str:
        """The path of the repository."""
        return f"/git/{self.subscription_id}.git"

    @property
    def editor(self) -> str:
        """The editor's key."""
        return self.keys["editor"]

    @property
    def git_url(self) -> str:
        """The address of a clone, with the viewer's key."""
        host, port = self.address
        return f"http://user:{self.keys['viewer']}@{host}:{port}{self.git_path}"

    def call(self, method: str, path: str, body: Any = None, role: str = "editor") -> Any:
        """Make a call outside any measurement."""
        return called(self.address, method, self.path + path, body, self.keys[role])

    def main(self) -> str:
        """Return the commit of `main`."""
        listed = subprocess.run(
            ["git", "ls-remote", self.git_url, "refs/heads/main"],
            env=environment(GIT_TERMINAL_PROMPT="0"),
            capture_output=True,
            text=True,
            check=True,
        )
        return listed.stdout.split()[0]


def called(address: tuple[str, int], method: str, path: str, body: Any, key: str) -> Any:
    """Make a call that must succeed; returns the body of its answer."""
    connection = http.client.HTTPConnection(*address, timeout=60)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    content = body if isinstance(body, bytes | None) else orjson.dumps(body)
    try:
        connection.request(method, path, content, headers)
        response = connection.getresponse()
        answer = response.read()
        assert response.status < 300, (method, path, response.status, answer[:500])
        return orjson.loads(answer)
    finally:
        connection.close()


def tenant_of(address: tuple[str, int], name: str) -> Tenant:
    """Make a subscription with its users and workflows."""
    made = called(address, "POST", "/v1/subscriptions", {"name": name}, OPERATOR_KEY)
    tenant = Tenant(address, made["subscription_id"], {})
    for role in ("viewer", "editor", "auditor"):
        user = {"username": role, "email": f"{role}@example.com", "role": role}
        user_id = called(address, "POST", f"{tenant.path}/users", user, OPERATOR_KEY)["user_id"]
        given = {"user_id": user_id, "name": "starve"}
        tenant.keys[role] = called(address, "POST", f"{tenant.path}/api-keys", given, OPERATOR_KEY)["api_key"]
    workspace = tenant.call("POST", "/workspaces", {"name": "Starve"})["resource_id"]
    folder = tenant.call("POST", "/folders", {"name": "Starve", "workspace_id": workspace})["resource_id"]
    job = tenant.call("POST", "/jobs", {"name": "Starve", "folder_id": folder})["resource_id"]
    for number in range(WORKFLOWS):
        body = b'{"name":"workflow %d","job_id":"%s","definition":%s}' % (
            number,
            job.encode(),
            documents.document(number),
        )
        tenant.workflows.append(tenant.call("POST", "/workflows", body)["resource_id"])
    return tenant


@dataclass
class Stage:
    """A running server with a normal tenant and the attackers' tenant."""

    server: Server
    database: Database
    normal: Tenant
    attackers: Tenant
    # The state before the first attack.
    processes: dict[int, str] = field(default_factory=dict)
    connections: int = 0

    @property
    def address(self) -> tuple[str, int]:
        """The address of the server."""
        return self.normal.address

    @property
    def git_processes(self) -> list[int]:
        """The processes of git that run for the server."""
        return [
            pid
            for starter in self.server.processes()
            if lives(starter)
            for pid in _children(starter)
            if name_of(pid).startswith("git")
        ]

    def remember(self) -> None:
        """Note the processes and connections that have to be the same after each attack."""
        self.processes = {
            pid: name_of(pid) for pid in self.server.processes() if name_of(pid).startswith("annals")
        }
        self.connections = self._connections()

    def faults(self) -> list[str]:
        """Return the signs that the service is not whole; it has some seconds to become so."""
        wrong = []
        for what, is_so in self._signs().items():
            deadline = time.monotonic() + WHOLE_SECONDS
            while not (holds := _without_error(is_so)) and time.monotonic() < deadline:
                time.sleep(0.2)
            if not holds:
                wrong.append(what)
        return wrong

    def _signs(self) -> dict[str, Callable[[], bool]]:
        return {
            "a process ended": lambda: all(name_of(pid) == name for pid, name in self.processes.items()),
            "not ready": lambda: called(self.address, "GET", "/readyz", None, OPERATOR_KEY) is not None,
            "git still runs": lambda: not self.git_processes,
            "the normal tenant can't clone": lambda: self._cloned(self.normal),
            "the attackers' tenant can't clone": lambda: self._cloned(self.attackers),
            "connections stay open": lambda: self._connections() <= self.connections + SPARE_CONNECTIONS,
        }

    def _connections(self) -> int:
        return sum(map(_sockets, self.server.pids(WORKER)))

    def _cloned(self, tenant: Tenant) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                ["git", "clone", "--quiet", "--bare", "--depth=1", tenant.git_url, f"{folder}/clone"],
                env=environment(GIT_TERMINAL_PROMPT="0"),
                capture_output=True,
                check=False,
            )
        return done.returncode == 0


def _sockets(pid: int) -> int:
    found = 0
    for file in Path(f"/proc/{pid}/fd").iterdir():
        # A file may have been closed meanwhile.
        with suppress(FileNotFoundError):
            found += str(file.readlink()).startswith("socket:")
    return found


def _children(pid: int) -> list[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        return children(pid)
    return []


def _without_error(is_so: Callable[[], bool]) -> bool:
    try:
        return is_so()
    except (AssertionError, OSError, http.client.HTTPException):
        return False


class Memory:
    """The resident memory of a server's processes in MiB while the block runs; shared pages count twice."""

    def __init__(self, server: Server) -> None:
        self._lasting = set(server.processes())
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.before = self.peak = self.after = 0.0

    def __enter__(self) -> Self:
        for pid in self._lasting:
            # The kernel forgets the highest value so far.
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")
        self.before = self.peak = self._resident()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self.after = self._resident()
        # The samples miss short peaks; the kernel does not.
        self.peak = max(self.peak, _sum(self._lasting, "VmHWM"))

    def _watch(self) -> None:
        while not self._stopping.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, self._resident())

    def _resident(self) -> float:
        """Sum what the processes have now, with the programs that they have started meanwhile."""
        started = {child for pid in self._lasting for child in _children(pid)}
        return _sum(self._lasting | started, "VmRSS")


def _sum(pids: set[int], name: str) -> float:
    kibibytes = 0
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(name):
                    kibibytes += int(line.split()[1])
    return kibibytes * 1024 / _MIB


@contextmanager
def staged(folder: Path, cluster: Cluster, *, is_measured: bool) -> Iterator[Stage]:
    """Run a server with its default settings until the block ends.

    One that is measured has a database as durable as an operator's, and processes that share no memory with
    a test run's.
    """
    database = cluster.migrated()
    if is_measured:
        with database.connection() as connection:
            name = sql.Identifier(connection.info.dbname)
            connection.execute(sql.SQL("ALTER DATABASE {} RESET synchronous_commit").format(name))
    with running(
        folder / "data",
        under=("prlimit", f"--nofile={FILES}") if is_measured else (),
        DATABASE_URL=database.url,
        ANNALS_OPERATOR_KEY=OPERATOR_KEY,
        ANNALS_LOG_LEVEL="info" if is_measured else "warning",
        ANNALS_JOBS="true" if is_measured else "false",
    ) as server:
        host, port = server.url.removeprefix("http://").split(":")
        address = (host, int(port))
        stage = Stage(server, database, tenant_of(address, "normal"), tenant_of(address, "attackers"))
        yield stage


def processors() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0))
