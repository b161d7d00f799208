"""A database stops under load: no acknowledged change is lost, no process is restarted."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, LiteralString
from uuid import uuid4

import httpx
import pytest

from sql.embedded.server import EmbeddedPostgres
from tests.support.databases import Database
from tests.support.process_table import children
from tests.support.running_server import ANNALS, COMMITTER, OPERATOR_KEY, WORKER, Server, start

# Longer than the deadlines of the server: without them all would wait, and nobody would be refused.
PAUSE_SECONDS = int(os.environ.get("ANNALS_TEST_PAUSE", "12"))
SAVERS = 4
# These answers need no database: an answer that asks it would wait 5 s for the connection while it is
# stopped.
FREE = ("/livez", "/version", "/openapi.json", "/metrics")
FREE_SECONDS = 4.5
RECOVERY_SECONDS = 30


@dataclass
class Told:
    """The answers to clients: ids of acknowledged and of refused changes, and violations."""

    versions: set[str] = field(default_factory=set)
    events: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    free: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    last_success: float = 0.0


@dataclass
class Stage:
    """A server on a PostgreSQL that can be stopped, with a key and a workflow for each client."""

    server: Server
    postgres: EmbeddedPostgres
    base: str
    headers: dict[str, str]
    workflows: list[str]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("pause")
    postgres = EmbeddedPostgres(folder / "postgres", lambda _: None)
    postgres.start()
    given = {
        "DATABASE_URL": postgres.url,
        "ANNALS_REQUIRE_TIMESCALEDB": "false",
        "ANNALS_OPERATOR_KEY": OPERATOR_KEY,
    }
    server = start(folder / "data", "--workers", "2", **given)
    try:
        yield prepared(server, postgres)
        assert server.interrupt() == 0
    finally:
        server.kill_everything()
        postgres.stop()
        if server.process.stdout is not None:
            server.process.stdout.close()


def prepared(server: Server, postgres: EmbeddedPostgres) -> Stage:
    operator = {"authorization": f"Bearer {OPERATOR_KEY}"}

    def made(path: str, body: dict[str, Any], headers: dict[str, str]) -> Any:
        answer = httpx.post(server.url + path, json=body, headers=headers, timeout=30)
        assert answer.status_code == 201, answer.text
        return answer.json()

    subscription = made("/v1/subscriptions", {"name": "pause"}, operator)["subscription_id"]
    base = f"/v1/subscriptions/{subscription}"
    body = {"username": "ana", "email": "ana@example.org", "role": "admin"}
    user = made(f"{base}/users", body, operator)["user_id"]
    key = made(f"{base}/api-keys", {"user_id": user, "name": "k"}, operator)["api_key"]
    headers = {"authorization": f"Bearer {key}"}
    workspace = made(f"{base}/workspaces", {"name": "w"}, headers)["resource_id"]
    connectors = [
        made(f"{base}/connectors", {"name": f"c{n}", "workspace_id": workspace}, headers)["resource_id"]
        for n in range(SAVERS)
    ]
    return Stage(server, postgres, base, headers, connectors)


def call(stage: Stage, told: Told, path: str, body: Any, request_id: str) -> httpx.Response | None:
    """Send a POST; returns the answer if it is a success. A 503 has to name the time of a retry."""
    headers = {**stage.headers, "x-request-id": request_id}
    try:
        answer = httpx.post(stage.server.url + stage.base + path, json=body, headers=headers, timeout=60)
    except httpx.HTTPError as error:
        told.wrong.append(repr(error))
        return None
    if answer.status_code == 201:
        told.last_success = time.monotonic()
        return answer
    if answer.status_code == 503 and answer.headers.get("retry-after", "").isdigit():
        told.refused.add(request_id)
        time.sleep(0.1)
    else:
        told.wrong.append(f"{answer.status_code} {answer.text}")
    return None


def save(stage: Stage, told: Told, workflow: str, stop: threading.Event) -> None:
    number = 0
    while not stop.is_set():
        number += 1
        body = {"data": {"number": number, "by": str(uuid4())}}
        answer = call(stage, told, f"/connectors/{workflow}/versions", body, f"save-{uuid4()}")
        if answer is not None:
            told.versions.add(answer.json()["version_id"])


def send_events(stage: Stage, told: Told, stop: threading.Event) -> None:
    while not stop.is_set():
        request_id = f"event-{uuid4()}"
        body = {"action": "EXECUTE", "resource_type": "workflow", "resource_id": request_id}
        if call(stage, told, "/audit-logs", body, request_id) is not None:
            told.events.add(request_id)


def ask_freely(stage: Stage, told: Told, stop: threading.Event) -> None:
    while not stop.is_set():
        for path in FREE:
            began = time.monotonic()
            answer = httpx.get(stage.server.url + path, timeout=30)
            told.free.append(time.monotonic() - began)
            if answer.status_code != 200:
                told.wrong.append(f"{path}: {answer.status_code}")
        time.sleep(0.2)


def processes_of(postgres: EmbeddedPostgres) -> list[int]:
    """Return the processes of a PostgreSQL, the one that starts the others first."""
    pid = postgres.status().pid
    assert pid is not None
    found = [pid]
    for each in found:
        found += children(each)
    return found


@contextmanager
def ended(postgres: EmbeddedPostgres) -> Iterator[None]:
    postgres.stop()
    yield
    postgres.start()


@contextmanager
def frozen(postgres: EmbeddedPostgres) -> Iterator[None]:
    """Stop all processes: they answer nothing, and close nothing."""
    processes = processes_of(postgres)
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in processes:
            # The first ones end some of the others, whose clients have gone.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def under_load(
    stage: Stage, told: Told, pause: Callable[[EmbeddedPostgres], AbstractContextManager[None]]
) -> None:
    """Run clients while the database pauses and is there again."""
    stop = threading.Event()
    with ThreadPoolExecutor(SAVERS + 2) as pool:
        running = [pool.submit(save, stage, told, workflow, stop) for workflow in stage.workflows]
        running += [pool.submit(send_events, stage, told, stop), pool.submit(ask_freely, stage, told, stop)]
        try:
            time.sleep(3)
            with pause(stage.postgres):
                time.sleep(PAUSE_SECONDS)
                back = time.monotonic()
            while told.last_success < back and time.monotonic() < back + RECOVERY_SECONDS:
                time.sleep(0.1)
            time.sleep(3)
        finally:
            stop.set()
        for each in running:
            each.result()
    assert told.last_success > back, "no change succeeded after the database was back"


def stored(stage: Stage, query: LiteralString, asked: set[str]) -> set[str]:
    """Return the ids among the given ones that the database has."""
    rows = Database(stage.postgres.url).rows(query, list(asked))
    return {str(row[0]) for row in rows}


@pytest.mark.long
@pytest.mark.parametrize("pause", [ended, frozen])
@pytest.mark.sampled(1)
def test_a_database_that_pauses_loses_nothing_and_needs_no_restart(
    stage: Stage, pause: Callable[[EmbeddedPostgres], AbstractContextManager[None]]
) -> None:
    told = Told()
    before = stage.server.pids(COMMITTER) + stage.server.pids(WORKER)
    under_load(stage, told, pause)
    assert told.wrong == []
    assert told.refused
    assert max(told.free) < FREE_SECONDS
    assert stage.server.pids(COMMITTER) + stage.server.pids(WORKER) == before
    known = "SELECT version_id::text FROM versions WHERE version_id = ANY(%s::uuid[])"
    assert stored(stage, known, told.versions) == told.versions
    known = "SELECT request_id FROM audit_logs WHERE request_id = ANY(%s) AND status = 'success'"
    assert stored(stage, known, told.events) == told.events
    # The server log waited for the database too; by now it has the refusals of that time.
    deadline = time.monotonic() + RECOVERY_SECONDS
    known = "SELECT request_id FROM server_logs WHERE response_status = 503 AND request_id = ANY(%s)"
    while stored(stage, known, told.refused) != told.refused and time.monotonic() < deadline:
        time.sleep(0.2)
    assert stored(stage, known, told.refused) == told.refused
    verify = subprocess.run(
        [ANNALS, "verify", "--data-dir", stage.server.data_dir, "--full"],
        env={**os.environ, "DATABASE_URL": stage.postgres.url, "ANNALS_REQUIRE_TIMESCALEDB": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert verify.returncode == 0, verify.stdout + verify.stderr
