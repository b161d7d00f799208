"""Annals in processes of their own: one database, one folder of repositories, one clock that moves."""

import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pygit2
import uvicorn
from pygit2.enums import FileMode, RepositoryOpenFlag

from service.http.app import create_app
from service.http.connections.limits import limits_of_this_process
from service.http.connections.protocols import protocol_class
from service.processes.startup import make_folders
from service.runtime import log_setup
from service.runtime.settings import load
from service.usecases.api_keys import ensure_operator_key
from sql.database import Database as ServiceDatabase
from tests.support.api import OPERATOR_KEY
from tests.support.databases import Cluster
from tests.support.project import ROOT

# The URL is the same for every process, so that a retry gets the same answer from another one.
PUBLIC_URL = "http://annals.example"
# Connections stay open while a test is stopped in a debugger.
KEEP_ALIVE_SECONDS = 24 * 3600
GRACE_SECONDS = 10
# Longer than the grace, with room for a busy machine.
STOP_SECONDS = 60


class FileClock:
    """The clock of many processes: the real time plus the seconds in a file, which is read at each call."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(self._file.read_text()))

    def advance(self, by: timedelta) -> None:
        """Move the clock ahead, for every process at once."""
        self._set(float(self._file.read_text()) + by.total_seconds())

    def start(self) -> None:
        """Begin with the real time."""
        self._set(0.0)

    def _set(self, seconds: float) -> None:
        # The file is replaced as a whole, since a process may be reading it.
        written = self._file.with_suffix(".new")
        written.write_text(repr(seconds))
        written.replace(self._file)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of a process."""

    status: int
    body: Any
    etag: str | None


class Process:
    """A running server, and one connection to it."""

    def __init__(self, running: subprocess.Popen[str], log: Path) -> None:
        assert running.stdout is not None
        self._running = running
        self._log = log
        port = running.stdout.readline().strip()
        assert port, self.printed()
        self._connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)

    def request(
        self,
        method: str,
        path: str,
        key: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Call with a key; a body is JSON unless the headers name another type."""
        sent = {"Authorization": f"Bearer {key}"} | (headers or {})
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        self._connection.request(method, path, body, sent)
        response = self._connection.getresponse()
        content = response.read()
        return Answer(response.status, json.loads(content) if content else None, response.getheader("ETag"))

    def printed(self) -> str:
        """Return the lines that the process logged; none if nothing went wrong."""
        return self._log.read_text()

    def stop(self) -> None:
        """Close the pipe on which the process depends, and wait for its end."""
        assert self._running.stdin is not None
        self._connection.close()
        self._running.stdin.close()
        self._running.wait(STOP_SECONDS)


class Repository:
    """The repository of a subscription, read on the disk."""

    def __init__(self, folder: Path) -> None:
        self._repository = pygit2.Repository(str(folder), RepositoryOpenFlag.BARE)

    def close(self) -> None:
        """Close the repository's files."""
        self._repository.free()

    def refs(self) -> set[str]:
        """List the full name of every ref."""
        return set(self._repository.listall_references())

    def line(self, branch: str, since: str | None) -> list[pygit2.Commit]:
        """Return the commits of a branch after one, oldest first, each the only parent of the next."""
        found: list[pygit2.Commit] = []
        reference = self._repository.references.get(f"refs/heads/{branch}")
        commit = None if reference is None else reference.peel(pygit2.Commit)
        while commit is not None and str(commit.id) != since:
            found.insert(0, commit)
            assert len(commit.parents) <= 1
            commit = commit.parents[0] if commit.parents else None
        assert since is None or commit is not None
        return found

    def files(self, commit: str) -> dict[str, bytes]:
        """Return every file at a commit, or below a branch, by path."""
        return dict(_files(self._repository.revparse_single(commit).peel(pygit2.Tree), ""))

    def tagged(self, ref: str) -> tuple[str, str]:
        """Return the name in the annotated tag at a ref, and the commit that it names."""
        tag = self._repository[self._repository.references[ref].target]
        assert isinstance(tag, pygit2.Tag)
        return tag.name, str(tag.target)


def _files(tree: pygit2.Tree, folder: str) -> Iterator[tuple[str, bytes]]:
    for entry in tree:
        if isinstance(entry, pygit2.Tree):
            yield from _files(entry, f"{folder}{entry.name}/")
        else:
            assert isinstance(entry, pygit2.Blob)
            assert entry.filemode == FileMode.BLOB
            yield f"{folder}{entry.name}", entry.data


@dataclass(frozen=True, slots=True)
class Processes:
    """Servers that share everything but their memory."""

    all: Sequence[Process]
    clock: FileClock
    git_dir: Path

    def repository(self, subscription_id: str) -> Repository:
        """Return the repository of a subscription that has one."""
        return Repository(self.git_dir / f"{subscription_id}.git")


@contextmanager
def serving(cluster: Cluster, folder: Path, count: int) -> Iterator[Processes]:
    """Run processes on a new database until the block ends; they have to end well and log no error."""
    clock = FileClock(folder / "clock")
    clock.start()
    database = cluster.migrated()
    settings, _ = load({"data_dir": folder / "data"}, {})
    make_folders(settings)
    pool = ServiceDatabase(database.url, pool_size=1)
    try:
        ensure_operator_key(pool, clock, OPERATOR_KEY)
    finally:
        pool.close()
    handed = {
        "data_dir": str(settings.data_dir),
        "database_url": database.url,
        "clock": str(folder / "clock"),
    }
    started: list[Process] = []
    with ExitStack() as stack:
        for number in range(count):
            log = folder / f"process-{number}.log"
            running = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.support.processes"],
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stack.enter_context(log.open("w")),
                    text=True,
                )
            )
            assert running.stdin is not None
            running.stdin.write(json.dumps(handed) + "\n")
            running.stdin.flush()
            started.append(Process(running, log))
            stack.callback(started[-1].stop)
        yield Processes(started, clock, settings.git_dir)
    assert [process.printed() for process in started] == [""] * count


def main() -> None:
    """Serve as one line of standard input describes, until that is closed; prints the port."""
    handed = json.loads(sys.stdin.readline())
    settings, _ = load({"data_dir": Path(handed["data_dir"]), "public_url": PUBLIC_URL}, {})
    log_setup.configure("json", "error")
    app = create_app(settings, database_url=handed["database_url"], clock=FileClock(Path(handed["clock"])))
    config = uvicorn.Config(
        app,
        http=protocol_class(limits_of_this_process()),
        ws="none",
        host="127.0.0.1",
        port=0,
        log_config=None,
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = uvicorn.Server(config)
    listener = config.bind_socket()
    listener.listen()

    def follow() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=follow, daemon=True).start()
    # Requests wait in the listener's queue until the server takes them.
    print(listener.getsockname()[1], flush=True)  # noqa: T201
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()
