"""The embedded PostgreSQL's life: created, started, adopted, watched and ended, each with real processes."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from sql.embedded import server as embedded_server
from sql.embedded.cluster import Cluster
from sql.embedded.server import EmbeddedError, EmbeddedPostgres
from tests.support.embedded import kill_server, pid_of
from tests.support.project import ROOT

pytestmark = pytest.mark.embedded

OWNER = """
import sys, time
from pathlib import Path
from sql.embedded.server import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), lambda text: print(text, flush=True))
server.start()
print("started", flush=True)
time.sleep(600)
"""


class Said(list[str]):
    """The sentences of progress that the server reported."""

    def __call__(self, text: str) -> None:
        self.append(text)

    def has(self, part: str) -> bool:
        return any(part in text for text in self)


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "data"
    yield folder
    left = Cluster(folder).postmaster()
    for pid in Cluster(folder).processes():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if left is not None and left.socket_folder is not None:
        shutil.rmtree(left.socket_folder)


@pytest.fixture
def server(data_dir: Path, said: Said) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(data_dir, said)
    yield server
    server.stop()


@pytest.fixture
def owner(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that is about to start the server."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(data_dir)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def until_started(owner: subprocess.Popen[str]) -> None:
    assert owner.stdout is not None
    assert "started\n" in owner.stdout


def kill(owner: subprocess.Popen[str]) -> None:
    owner.kill()
    owner.wait()


def ask(server: EmbeddedPostgres, query: str) -> str:
    with psycopg.connect(server.url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return str(row[0])


def test_a_first_start_makes_a_cluster_that_answers(
    server: EmbeddedPostgres, said: Said, data_dir: Path
) -> None:
    server.start()
    assert said[0] == f"Creating the database cluster in {data_dir}/postgres …"
    assert said[1].startswith("Starting PostgreSQL 18.")
    assert ask(server, "SELECT current_database()") == "annals"
    status = server.status()
    assert status.running
    assert not status.adopted
    assert f"Starting PostgreSQL {status.server_version} …" == said[1]


def test_neither_the_terminal_nor_our_lock_is_handed_to_it(server: EmbeddedPostgres) -> None:
    server.start()
    process = Path(f"/proc/{pid_of(server)}")
    assert os.getsid(pid_of(server)) == pid_of(server)
    opened = [str(descriptor.readlink()) for descriptor in (process / "fd").iterdir()]
    assert (process / "fd" / "0").readlink() == Path("/dev/null")
    assert not [path for path in opened if path.endswith("postgres.lock")]


def test_a_stop_leaves_no_process_and_no_socket(server: EmbeddedPostgres, data_dir: Path) -> None:
    server.start()
    sockets = Path(ask(server, "SHOW unix_socket_directories"))
    assert sockets.stat().st_mode & 0o777 == 0o700
    server.stop()
    server.stop()
    assert not server.status().running
    assert Cluster(data_dir).processes() == []
    assert not sockets.exists()
    with pytest.raises(EmbeddedError, match="not started"):
        _ = server.url


def test_a_stop_does_not_wait_for_clients(server: EmbeddedPostgres) -> None:
    server.start()
    with psycopg.connect(server.url) as connection:
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 5
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_a_stop_that_a_process_holds_up_becomes_an_immediate_one(
    server: EmbeddedPostgres, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_server, "_STOP_SECONDS", ((signal.SIGINT, 1.0), (signal.SIGQUIT, 15.0)))
    server.start()
    with psycopg.connect(server.url) as connection:
        os.kill(connection.info.backend_pid, signal.SIGSTOP)
        server.stop()
    assert Cluster(data_dir).processes() == []


def test_a_second_owner_is_told_who_the_first_is(
    server: EmbeddedPostgres, owner: subprocess.Popen[str]
) -> None:
    until_started(owner)
    with pytest.raises(EmbeddedError, match=f"in use by another Annals, process {owner.pid}:"):
        server.start()
    assert server.status().running


def test_the_server_of_a_killed_owner_is_attached_to(
    server: EmbeddedPostgres, owner: subprocess.Popen[str], said: Said, data_dir: Path
) -> None:
    until_started(owner)
    left_behind = server.status().pid
    kill(owner)
    server.start()
    assert said == [f"Attached to the PostgreSQL that was already running (pid {left_behind})."]
    assert server.status().adopted
    assert server.status().pid == left_behind
    assert ask(server, "SELECT 1") == "1"
    assert server.ensure_running() is False
    server.stop()
    assert Cluster(data_dir).processes() == []


def test_a_killed_server_is_started_again(server: EmbeddedPostgres) -> None:
    server.start()
    url, pid = server.url, pid_of(server)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
    kill_server(server)
    assert server.ensure_running() is True
    assert server.ensure_running() is False
    assert server.url == url
    assert pid_of(server) != pid
    assert ask(server, "SELECT n FROM kept") == "42"


def test_an_attached_server_that_is_killed_is_started_again(
    server: EmbeddedPostgres, owner: subprocess.Popen[str]
) -> None:
    until_started(owner)
    kill(owner)
    server.start()
    kill_server(server)
    assert server.ensure_running() is True
    assert not server.status().adopted


def test_a_server_without_its_socket_is_replaced(server: EmbeddedPostgres) -> None:
    server.start()
    shutil.rmtree(ask(server, "SHOW unix_socket_directories"))
    assert server.ensure_running() is True
    assert ask(server, "SELECT 1") == "1"


def test_a_pid_that_became_another_process_is_no_server(
    server: EmbeddedPostgres, said: Said, data_dir: Path
) -> None:
    server.start()
    pid_file = data_dir / "postgres" / "postmaster.pid"
    lines = pid_file.read_text()
    server.stop()
    with subprocess.Popen(["sleep", "600"]) as another:
        pid_file.write_text("\n".join([str(another.pid), *lines.splitlines()[1:]]))
        assert not server.status().running
        server.start()
        assert not said.has("Attached")
        assert ask(server, "SELECT 1") == "1"
        assert another.poll() is None
        another.kill()


def test_processes_of_a_killed_server_are_waited_for(
    server: EmbeddedPostgres, said: Said, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_server, "_PROGRESS_SECONDS", 0.5)
    server.start()
    # A process that computes does not notice the end of its postmaster; a stopped one sees no signal either.
    with psycopg.connect(server.url) as connection:
        busy = connection.info.backend_pid
        os.kill(busy, signal.SIGSTOP)
        kill_server(server)
        awake = threading.Timer(2, os.kill, (busy, signal.SIGCONT))
        awake.start()
        assert server.ensure_running() is True
        awake.join()
    assert said.has(f"Waiting for processes of a killed PostgreSQL to end (1 s): [{busy}] …")
    assert ask(server, "SELECT 1") == "1"


def test_a_long_recovery_is_waited_for_and_told(server: EmbeddedPostgres, said: Said, data_dir: Path) -> None:
    server.start()
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE filled AS SELECT repeat('x', 1000) FROM generate_series(1, 100000)")
    kill_server(server)
    holding = threading.Thread(target=hold_recovery, args=(data_dir, 12), daemon=True)
    holding.start()
    began = time.monotonic()
    assert server.ensure_running() is True
    assert time.monotonic() - began > 11
    holding.join()
    assert said.has("PostgreSQL is recovering after a crash (12 s): redo ")
    assert ask(server, "SELECT count(*) FROM filled") == "100000"


def hold_recovery(data_dir: Path, seconds: float) -> None:
    """Stop the process that recovers as soon as it has begun, as a slow disk would."""
    cluster = Cluster(data_dir)
    offset = cluster.log_size()
    while "redo starts" not in cluster.log_since(offset):
        time.sleep(0.001)
    for pid in cluster.processes():
        if "startup" in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGSTOP)
            time.sleep(seconds)
            os.kill(pid, signal.SIGCONT)


def test_a_server_that_ends_while_starting_says_why(server: EmbeddedPostgres, data_dir: Path) -> None:
    server.start()
    server.stop()
    with (data_dir / "postgres" / "postgresql.conf").open("a") as configuration:
        configuration.write("shared_buffers = nonsense\n")
    with pytest.raises(
        EmbeddedError, match=r"(?s)ended while starting \(exit code 1\).*shared_buffers.*nonsense"
    ):
        server.start()
    with pytest.raises(EmbeddedError, match="ended while starting"):
        EmbeddedPostgres(data_dir, Said()).start()
