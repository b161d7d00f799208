"""`kill -9` of all processes within a stream: nothing of it is stored, and a retry stores all of it once."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson

from tests.support.databases import Cluster, Database
from tests.support.running_server import OPERATOR_KEY, Server, running
from tests.support.standing_server import Tenant
from tests.support.streams import NDJSON
from tests.support.waiting import until

LINES = 60_000
ROWS = "SELECT count(*), count(DISTINCT log_id), count(DISTINCT rows_processed) FROM execution_logs"
CLIENTS = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND backend_type = 'client backend'"
)
# A session that has worked on the blocks of a stream for a while.
BLOCKS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND xact_start < now() - '0.3 s'::interval AND position('incoming_execution_logs' IN query) > 0"
)


def stream() -> Iterator[bytes]:
    """Make a stream of 24 MB."""
    for number in range(LINES):
        event = {
            "execution_id": "run 7",
            "execution_type": "job",
            "log_level": "INFO",
            "log_message": f"row {number} {'x' * 200}",
            "rows_processed": number,
        }
        yield orjson.dumps(event) + b"\n"


def send(server: Server, tenant: Tenant) -> httpx.Response:
    """Post the stream with its key."""
    headers = {"content-type": NDJSON, "idempotency-key": "the night's stream"}
    with tenant.client(server.url) as client:
        return client.post("/execution-logs", content=stream(), headers=headers, timeout=120)


def started(database: Database) -> dict[str, str]:
    """Make the settings of a server on this database."""
    return {"DATABASE_URL": database.url, "ANNALS_OPERATOR_KEY": OPERATOR_KEY}


def test_a_stream_that_is_cut_by_a_kill_is_stored_once_by_its_retry(cluster: Cluster, tmp_path: Path) -> None:
    database = cluster.migrated()
    folder = tmp_path / "data"
    with running(folder, **started(database)) as server:
        tenant = Tenant(server.url)
        answered: list[str | None] = []

        def try_first() -> None:
            try:
                answered.append(send(server, tenant).text)
            except httpx.HTTPError:
                answered.append(None)

        sending = threading.Thread(target=try_first)
        sending.start()
        until(lambda: database.value(BLOCKS) == 1, seconds=60)
        server.kill_everything()
        sending.join()
    assert answered == [None]
    assert [path.name for path in folder.iterdir() if path.name not in ("git", "first-key")] == []
    until(lambda: database.value(CLIENTS) == 1)
    assert database.rows(ROWS) == [(0, 0, 0)]
    with running(folder, **started(database)) as server:
        for _ in range(2):
            answer = send(server, tenant)
            assert (answer.status_code, answer.json()) == (201, {"accepted": LINES})
    assert database.rows(ROWS) == [(LINES, LINES, LINES)]
