"""The server log's buffer and thread: bounds of memory, parts of bodies, faults of the database."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any, NoReturn
from uuid import UUID

import orjson
import psycopg
import pytest
from prometheus_client import Counter
from sqlalchemy.engine import make_url
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.audit.server_requests import MAX_BODY_BYTES
from service.domain.ids import BatchIds, mint
from service.http.admission import Admission
from service.http.app import create_app
from service.http.cross_origin import CrossOrigin
from service.http.middleware import KeepsBodies, RequestMiddleware, policy_keeps_bodies
from service.http.server_log import writer
from service.http.server_log.exchange import Exchange
from service.http.server_log.rows import row_of
from service.http.server_log.writer import ServerLogWriter
from sql import log_reading
from sql.database import PLATFORM
from sql.database import Database as ServiceDatabase
from sql.errors import RowsRefused
from sql.log_windows import LogPaging
from sql.queries import server_logs
from sql.queries.server_logs import SERVER_LOG, ServerLogFilter, ServerLogRow
from tests.support.api import Clock, Server, served
from tests.support.databases import Cluster, Database
from tests.support.embedded import kill_server
from tests.support.serving import serving_embedded

JSON_HEADERS = ((b"content-type", b"application/json"),)


async def no_origins(_: UUID) -> frozenset[str]:
    return frozenset()


def middleware(
    app: ASGIApp, record: Callable[[Exchange], None], keeps_bodies: KeepsBodies = policy_keeps_bodies
) -> RequestMiddleware:
    """Make the middleware without a server around it."""
    return RequestMiddleware(
        app,
        admission=Admission(threads=2),
        cross_origin=CrossOrigin(frozenset(), no_origins),
        record=record,
        keeps_bodies=keeps_bodies,
    )


def passed(
    body: bytes = b"",
    *answers: bytes,
    path: str = "/v1/x",
    query: bytes = b"",
    request_id: str = "r",
    headers: tuple[tuple[bytes, bytes], ...] = JSON_HEADERS,
    keeps_bodies: bool = False,
    sent: list[Message] | None = None,
) -> Exchange:
    """Make the log entry of one request, whose answer has these parts, as the middleware does."""
    found: list[Exchange] = []

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
        for number, part in enumerate(answers, 1):
            await send({"type": "http.response.body", "body": part, "more_body": number < len(answers)})

    async def send(message: Message) -> None:
        if sent is not None:
            sent.append(message)

    incoming = [body[10:], body[:10]]

    async def receive() -> Message:
        return {"type": "http.request", "body": incoming.pop(), "more_body": bool(incoming)}

    scope = {"type": "http", "method": "POST", "path": path, "query_string": query, "headers": list(headers)}
    around = middleware(app, found.append, lambda _: keeps_bodies)
    asyncio.run(around(scope, receive, send))
    [exchange] = found
    assert exchange.origin is not None
    exchange.origin = replace(exchange.origin, request_id=request_id)
    return exchange


class Outcomes:
    """Rows of one writer by outcome; those of a server in this process are not among them."""

    def __init__(self) -> None:
        self.counter = Counter("rows", "Rows of one server log.", ["outcome"], registry=None)

    def __getitem__(self, outcome: str) -> float:
        return self.counter.labels(outcome)._value.get()  # type: ignore[no-any-return]

    def all(self) -> dict[str, float]:
        return {outcome: self[outcome] for outcome in ("stored", "dropped", "refused")}


@pytest.fixture
def quiet(cluster: Cluster) -> Iterator[Database]:
    """A database of the test's own, which no server writes to."""
    database = cluster.migrated()
    yield database
    cluster.drop(database)


def made(exchange: Exchange) -> ServerLogRow:
    """Make the row of an exchange that is written alone."""
    return row_of(exchange, mint())


def stored(database: Database) -> list[str]:
    """Read the request ids in the order of the requests."""
    query = "SELECT request_id FROM server_logs WHERE error_message IS NULL ORDER BY created_at, log_id"
    return [request_id for (request_id,) in database.rows(query)]


# -- bodies -----------------------------------------------------------------------------------------------


def test_bodies_are_kept_where_the_policy_says_so() -> None:
    body, answer = b'{"name": "w", "password": "hunter2"}', b'{"api_key": "hunter2", "n": [1]}'
    row = made(passed(body, answer, keeps_bodies=True))
    assert (row.request_body["name"], row.response_body["n"]) == ("w", [1])
    assert "hunter2" not in str(row)
    assert (row.request_bytes, row.response_bytes) == (len(body), len(answer))
    row = made(passed(body, answer))
    assert (row.request_body, row.response_body) == (None, None)
    assert (row.request_bytes, row.response_bytes) == (len(body), len(answer))


def test_a_merge_patch_is_kept_as_json_is() -> None:
    headers = ((b"content-type", b"application/merge-patch+json"),)
    row = made(passed(b'{"name": "w"}', keeps_bodies=True, headers=headers))
    assert row.request_body == {"name": "w"}


def test_of_a_body_that_is_not_kept_the_size_is_told() -> None:
    large = b'"' + b"x" * MAX_BODY_BYTES + b'"'
    row = made(passed(large, large, keeps_bodies=True))
    mark = {"truncated": True, "bytes": len(large)}
    assert (row.request_body, row.response_body) == (mark, mark)
    row = made(passed(b"{", b"[1,", b"2]", keeps_bodies=True))
    assert row.request_body == {"truncated": True, "bytes": 1}
    assert row.response_body == {"truncated": True, "bytes": 5}
    deep = b"[" * 5000 + b"]" * 5000
    assert made(passed(deep, keeps_bodies=True)).request_body == {"truncated": True, "bytes": 10_000}


@pytest.mark.parametrize(
    "how",
    [
        {"headers": ((b"content-type", b"application/x-ndjson"),)},
        {"headers": ()},
        {"path": "/git/x.git/git-upload-pack"},
    ],
)
def test_no_body_is_kept_of_git_and_of_what_is_no_json(how: dict[str, Any]) -> None:
    exchange = passed(b"{}", b"{}", keeps_bodies=True, **how)
    assert (exchange.request_body.parts, exchange.response_body.parts) == (None, None)
    row = made(exchange)
    assert (row.request_body, row.response_body, row.request_bytes) == (None, None, 2)


def test_a_body_passes_as_it_is_and_a_stream_is_not_held() -> None:
    sent: list[Message] = []
    parts = [bytes([number]) * 1000 for number in range(5)]
    exchange = passed(b"{}", *parts, keeps_bodies=True, sent=sent)
    bodies = [message["body"] for message in sent if message["type"] == "http.response.body"]
    assert all(passed is given for passed, given in zip(bodies, parts, strict=True))
    assert (exchange.response_body.parts, exchange.response_body.size) == (None, 5000)
    assert exchange.weight < 4000


def test_a_log_that_fails_does_not_undo_the_answer() -> None:
    sent: list[Message] = []

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    def fails(_: object) -> NoReturn:
        raise ValueError

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    asyncio.run(middleware(app, fails)(dict(scope), receive, send))
    asyncio.run(middleware(app, fails, fails)(dict(scope), receive, send))
    assert [message.get("body") for message in sent] == [None, b"done"] * 2


def test_a_request_that_the_end_of_the_server_cuts_short_is_answered_as_not_known() -> None:
    sent: list[Message] = []
    found: list[Exchange] = []

    async def app(_: Scope, __: Receive, ___: Send) -> None:
        await asyncio.Event().wait()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    async def serve_and_end() -> None:
        scope: Scope = {"type": "http", "method": "POST", "path": "/v1/x", "query_string": b"", "headers": []}
        scope["app"] = SimpleNamespace(state=SimpleNamespace(error_page=None))
        request = asyncio.create_task(middleware(app, found.append)(scope, receive, send))
        await asyncio.sleep(0.01)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request

    asyncio.run(serve_and_end())
    assert sent[0]["status"] == 503
    assert orjson.loads(sent[1]["body"])["code"] == "outcome_unknown"
    assert [exchange.status for exchange in found] == [503]


# -- the buffer -------------------------------------------------------------------------------------------


def test_what_finds_no_room_is_counted_and_told_by_one_row(quiet: Database) -> None:
    outcomes, clock = Outcomes(), Clock()
    log = ServerLogWriter(quiet.url, clock, max_rows=5, outcomes=outcomes.counter)
    exchanges = [passed(request_id=str(number)) for number in range(8)]
    for exchange in exchanges:
        log.add(exchange)
    log.start()
    log.stop()
    assert stored(quiet) == ["0", "1", "2", "3", "4"]
    [row] = quiet.rows("SELECT error_message, subscription_id FROM server_logs WHERE error_message <> ''")
    since = exchanges[5].began_at.isoformat()
    assert row[0].startswith(f"server_log_overflow: 3 requests since {since} have no row")
    assert row[1] is None
    assert outcomes.all() == {"stored": 6, "dropped": 3, "refused": 0}


def test_the_buffer_is_bounded_in_bytes(quiet: Database) -> None:
    log = ServerLogWriter(quiet.url, Clock(), max_bytes=10_000)
    for number in range(8):
        log.add(passed(query=b"x" * 1000, request_id=str(number)))
    log.start()
    log.stop()
    assert stored(quiet) == ["0", "1", "2"]


def test_room_comes_free_with_what_is_stored(quiet: Database) -> None:
    outcomes = Outcomes()
    log = ServerLogWriter(quiet.url, Clock(), max_rows=1000, outcomes=outcomes.counter)
    log.start()
    for first in range(0, 2700, 900):
        for number in range(first, first + 900):
            log.add(passed(request_id=str(number)))
        wait_until(lambda: outcomes["stored"] == first + 900)  # noqa: B023 - called at once
    log.stop()
    assert stored(quiet) == [str(number) for number in range(2700)]
    assert outcomes.all() == {"stored": 2700, "dropped": 0, "refused": 0}


# -- rows that can't be stored ----------------------------------------------------------------------------


def test_a_row_that_the_database_refuses_takes_no_other_with_it(quiet: Database) -> None:
    outcomes = Outcomes()
    log = ServerLogWriter(quiet.url, Clock(), outcomes=outcomes.counter)
    for number in range(50):
        log.add(passed(request_id="x" * 200 if number in (0, 17, 18) else str(number)))
    log.start()
    log.stop()
    assert stored(quiet) == [str(number) for number in range(50) if number not in (0, 17, 18)]
    assert outcomes.all() == {"stored": 47, "dropped": 0, "refused": 3}


def test_a_row_that_can_not_be_made_takes_no_other_with_it(
    quiet: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def row(exchange: Exchange, log_id: UUID) -> object:
        assert exchange.origin is not None
        return row_of(exchange, log_id) if exchange.origin.request_id != "1" else 1 / 0

    monkeypatch.setattr(writer, "row_of", row)
    outcomes = Outcomes()
    log = ServerLogWriter(quiet.url, Clock(), outcomes=outcomes.counter)
    for number in range(3):
        log.add(passed(request_id=str(number)))
    log.start()
    log.stop()
    assert stored(quiet) == ["0", "2"]
    assert outcomes.all() == {"stored": 2, "dropped": 0, "refused": 1}


def test_a_batch_that_is_written_again_is_stored_once(quiet: Database) -> None:
    ids = BatchIds()
    rows = [row_of(passed(request_id=str(number)), ids.mint()) for number in range(5)]
    pool = ServiceDatabase(quiet.url, pool_size=1)
    for batch in (rows, rows):
        with pool.transaction(PLATFORM) as tx:
            server_logs.copy_rows(tx, batch)
    with pytest.raises(RowsRefused), pool.transaction(PLATFORM) as tx:
        server_logs.copy_rows(tx, [replace(rows[0], log_id=mint(), http_method="x" * 11)])
    with pool.transaction(PLATFORM) as tx:
        paging = LogPaging(limit=10, at=datetime.now(UTC))
        found = log_reading.page(tx, SERVER_LOG, None, ServerLogFilter(), paging)
    pool.close()
    assert [row.log_id for row in found] == [row.log_id for row in rows[::-1]]
    queued = "SELECT log, first_id, last_id, rows FROM log_queue"
    assert quiet.rows(queued) == [("server_logs", rows[0].log_id, rows[-1].log_id, 5)]


# -- rights -----------------------------------------------------------------------------------------------


def test_rows_are_written_by_the_role_of_ingest_for_one_transaction(quiet: Database) -> None:
    with quiet.connection() as connection:
        connection.execute("CREATE TABLE seen (who text); GRANT INSERT ON seen TO annals_ingest")
        connection.execute(
            "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN INSERT INTO seen VALUES (current_user); RETURN NEW; END $$;"
            " CREATE TRIGGER see BEFORE INSERT ON server_logs FOR EACH ROW EXECUTE FUNCTION see()"
        )
    log = ServerLogWriter(quiet.url, Clock())
    log.add(passed())
    log.start()
    log.stop()
    assert quiet.rows("SELECT who FROM seen") == [("annals_ingest",)]


def test_a_login_that_may_only_serve_writes_too(quiet: Database) -> None:
    name = f"annals_test_login_{mint().hex}"
    with quiet.connection() as connection:
        create = psycopg.sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'; GRANT annals_service TO {}")
        connection.execute(create.format(psycopg.sql.Identifier(name), psycopg.sql.Identifier(name)))
    url = make_url(quiet.url).set(username=name, password="x").render_as_string(hide_password=False)
    log = ServerLogWriter(url, Clock())
    log.add(passed(request_id="1"))
    log.start()
    log.stop()
    with quiet.connection() as connection:
        connection.execute(psycopg.sql.SQL("DROP ROLE {}").format(psycopg.sql.Identifier(name)))
    assert stored(quiet) == ["1"]


# -- a database that goes, hangs and comes back -----------------------------------------------------------


def test_a_connection_that_was_cut_is_made_anew(quiet: Database) -> None:
    log = ServerLogWriter(quiet.url, Clock())
    log.start()
    for number in range(3):
        log.add(passed(request_id=str(number)))
        wait_until(lambda: len(stored(quiet)) == number + 1)  # noqa: B023 - called at once
        quiet.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    log.stop()
    assert stored(quiet) == ["0", "1", "2"]


def wait_until(done: Any) -> None:
    deadline = time.monotonic() + 15
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def locked(database: Database) -> Iterator[None]:
    """Block every writer of the log."""
    with psycopg.connect(database.url) as connection:
        connection.execute("LOCK TABLE server_logs IN ACCESS EXCLUSIVE MODE")
        yield


def test_a_stop_does_not_wait_for_a_database_that_hangs(
    quiet: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "STOP_SECONDS", 0.5)
    outcomes = Outcomes()
    log = ServerLogWriter(quiet.url, Clock(), outcomes=outcomes.counter)
    log.start()
    with locked(quiet):
        log.add(passed())
        began = time.monotonic()
        log.stop()
        assert time.monotonic() - began < 5
    assert outcomes["dropped"] == 1


def test_a_stop_gives_up_where_nothing_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "STOP_SECONDS", 0.5)
    outcomes = Outcomes()
    log = ServerLogWriter("postgresql://nobody@127.0.0.1:1/none", Clock(), outcomes=outcomes.counter)
    log.start()
    log.add(passed())
    log.stop()
    assert outcomes["dropped"] == 1


def test_a_stop_of_the_server_writes_what_is_held(server: Server) -> None:
    request_id = f"last-{mint()}"
    app = create_app(server.context.settings, database_url=server.database.url, clock=server.clock)
    with served(app, server.database, server.clock) as second:
        for _ in range(3):
            second.http.get("/version", headers={"x-request-id": request_id})
    query = "SELECT count(*) FROM server_logs WHERE request_id = %s"
    assert server.database.value(query, request_id) == 3


def test_a_log_that_hangs_holds_no_request_up(server: Server) -> None:
    request_id = f"held-{mint()}"
    with locked(server.database):
        took = []
        for _ in range(100):
            began = time.monotonic()
            response = server.http.get("/version", headers={"x-request-id": request_id})
            took.append(time.monotonic() - began)
            assert response.status_code == 200
        assert median(took) < 0.5  # one slow answer is the machine's, half of them the log's
        time.sleep(1.2)
    query = "SELECT count(*) FROM server_logs WHERE request_id = %s"
    wait_until(lambda: server.database.value(query, request_id) == 100)


@pytest.mark.embedded
def test_while_the_database_is_away_requests_are_answered_and_rows_wait(tmp_path: Path) -> None:
    with serving_embedded(tmp_path) as (server, postgres):
        database = server.database
        assert server.operator.get("/v1/subscriptions").status_code == 200
        wait_until(lambda: len(stored(database)) == 1)
        kill_server(postgres)
        took = []
        for number in range(20):
            began = time.monotonic()
            headers = {"x-request-id": f"away-{number:02}"}
            assert server.http.get("/livez").status_code == 200
            assert server.http.get("/version", headers=headers).status_code == 200
            took.append(time.monotonic() - began)
            time.sleep(0.02)
        assert median(took) < 0.5  # one slow answer is the machine's, half of them the log's
        assert server.operator.get("/v1/subscriptions").status_code == 503
        assert postgres.ensure_running()
        wait_until(lambda: len(stored(database)) > 1)
        query = "SELECT response_status FROM server_logs WHERE response_status >= 400"
        wait_until(lambda: database.rows(query) == [(503,)])
        assert stored(database)[1:] == [f"away-{number:02}" for number in range(20)]
