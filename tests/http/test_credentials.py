"""Keys and sessions are read together for many requests: nobody gets an old answer, or another's failure."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import event

from service.usecases import credentials
from service.usecases.credentials import CredentialReader, SessionReader
from sql.database import Database as ServiceDatabase
from sql.errors import DatabaseUnavailable
from sql.queries.tenancy import Credential
from tests.support.api import OPERATOR_KEY, Server, Tenant, ok, refused
from tests.support.databases import Cluster, Database
from tests.support.processes import serving
from tests.support.web import Browser

TOGETHER = 12
Reader = TypeVar("Reader", CredentialReader, SessionReader)
BLOCKED = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@contextmanager
def blocked(database: Database) -> Iterator[None]:
    """Block every reader of keys and sessions until the block ends."""
    with psycopg.connect(database.url) as blocker:
        blocker.execute("LOCK TABLE api_keys, web_sessions")
        yield


async def until_it_waits(database: Database) -> int:
    """Server process of the reader, once its query waits."""
    while True:
        if found := await asyncio.to_thread(database.rows, BLOCKED):
            return int(found[0][0])
        await asyncio.sleep(0.01)


def reading(
    server: Server, work: Callable[[Reader], Awaitable[None]], kind: Callable[[ServiceDatabase], Reader]
) -> int:
    """Run `work` with a reader of its own; return the number of its visits to the database."""
    pool = ServiceDatabase(server.database.url, pool_size=1)
    visits: list[object] = []

    def note(connection: object, *_: object) -> None:
        visits.append(connection)

    event.listen(pool.engine, "checkout", note)

    async def run() -> None:
        reader = kind(pool)
        try:
            await asyncio.wait_for(work(reader), 60)
        finally:
            await reader.close()

    try:
        asyncio.run(run())
    finally:
        pool.close()
    return len(visits)


def owners(found: list[Credential]) -> set[UUID | None]:
    return {each.key_id for each in found if each.subscription_id is not None}


def test_each_gets_its_own_key_and_the_operators_and_no_other(tenant: Tenant) -> None:
    callers = [tenant.ana, tenant.ben, tenant.vera]

    async def work(reader: CredentialReader) -> None:
        found = await asyncio.gather(*(reader.candidates(caller.key_id) for caller in callers))
        assert [owners(each) for each in found] == [{caller.key_id} for caller in callers]
        assert all(len(each) == 2 for each in found)
        [operator] = await reader.candidates(None)
        assert operator.subscription_id is None
        assert owners(await reader.candidates(uuid4())) == set()

    reading(tenant.server, work, CredentialReader)


def test_those_who_come_while_one_is_read_share_the_next_query(tenant: Tenant) -> None:
    ids = [tenant.ana.key_id, tenant.ben.key_id]

    async def work(reader: CredentialReader) -> None:
        with blocked(tenant.server.database):
            first = asyncio.create_task(reader.candidates(ids[0]))
            await until_it_waits(tenant.server.database)
            rest = [asyncio.create_task(reader.candidates(ids[n % 2])) for n in range(TOGETHER)]
            await asyncio.sleep(0.05)
        assert owners(await first) == {ids[0]}
        assert [owners(found) for found in await asyncio.gather(*rest)] == [
            {ids[n % 2]} for n in range(TOGETHER)
        ]

    assert reading(tenant.server, work, CredentialReader) == 2


def test_cookies_that_come_together_are_looked_up_together_and_each_gets_its_own_session(
    tenant: Tenant,
) -> None:
    tokens = [
        Browser(tenant.server).sign_in(each).http.cookies["annals"] for each in (tenant.ana, tenant.ben)
    ]
    known = [sha256(token.encode()).digest() for token in tokens]
    unknown = [sha256(bytes([number])).digest() for number in range(TOGETHER)]

    async def work(reader: SessionReader) -> None:
        with blocked(tenant.server.database):
            first = asyncio.create_task(reader.session(unknown[0]))
            await until_it_waits(tenant.server.database)
            rest = [asyncio.create_task(reader.session(each)) for each in [*known, *unknown, *known]]
            await asyncio.sleep(0.05)
        assert await first is None
        found = [each and each.key_id for each in await asyncio.gather(*rest)]
        assert found == [*(ids := [tenant.ana.key_id, tenant.ben.key_id]), *[None] * TOGETHER, *ids]

    assert reading(tenant.server, work, SessionReader) == 2


def test_after_a_query_for_several_the_next_lets_some_more_come(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [tenant.ana.key_id, tenant.ben.key_id]
    monkeypatch.setattr(credentials, "GATHER_SECONDS", 0.5)

    async def work(reader: CredentialReader) -> None:
        await asyncio.gather(*map(reader.candidates, ids))
        first = asyncio.create_task(reader.candidates(ids[0]))
        await asyncio.sleep(0.1)
        assert owners(await reader.candidates(ids[1])) == {ids[1]}
        assert owners(await first) == {ids[0]}

    assert reading(tenant.server, work, CredentialReader) == 2


def test_who_comes_alone_waits_for_nobody(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "GATHER_SECONDS", 90)

    async def work(reader: CredentialReader) -> None:
        for _ in range(3):
            assert owners(await reader.candidates(tenant.ana.key_id)) == {tenant.ana.key_id}

    assert reading(tenant.server, work, CredentialReader) == 3


def test_who_comes_after_a_query_began_is_not_answered_by_it(tenant: Tenant) -> None:
    """A key that was deleted before a request is never accepted by an earlier read."""
    database, deleted = tenant.server.database, tenant.ben.key_id

    async def work(reader: CredentialReader) -> None:
        with psycopg.connect(database.url) as blocker:
            blocker.execute("LOCK TABLE api_keys")
            first = asyncio.create_task(reader.candidates(deleted))
            await until_it_waits(database)
            late = asyncio.create_task(reader.candidates(deleted))
            await asyncio.sleep(0.05)
            blocker.execute("DELETE FROM api_keys WHERE key_id = %s", [deleted])
        # The first read waited for the lock, so it may see either state; the late one has to see the commit.
        await first
        assert owners(await late) == set()

    reading(tenant.server, work, CredentialReader)


def test_a_lost_connection_is_told_to_all_who_waited_for_it_and_the_next_query_works(tenant: Tenant) -> None:
    database, ana = tenant.server.database, tenant.ana.key_id

    async def work(reader: CredentialReader) -> None:
        with blocked(database):
            first = asyncio.create_task(reader.candidates(ana))
            backend = await until_it_waits(database)
            rest = [asyncio.create_task(reader.candidates(ana)) for _ in range(TOGETHER)]
            await asyncio.sleep(0)
            database.value("SELECT pg_terminate_backend(%s, 10000)", backend)
            with pytest.raises(DatabaseUnavailable):
                await first
            database.value("SELECT pg_terminate_backend(%s, 10000)", await until_it_waits(database))
            outcomes = await asyncio.gather(*rest, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [DatabaseUnavailable] * TOGETHER
        assert owners(await reader.candidates(ana)) == {ana}

    reading(tenant.server, work, CredentialReader)


def test_callers_that_gave_up_break_nothing_for_others(tenant: Tenant) -> None:
    database, ana = tenant.server.database, tenant.ana.key_id

    async def work(reader: CredentialReader) -> None:
        with blocked(database):
            first = asyncio.create_task(reader.candidates(ana))
            await until_it_waits(database)
            rest = [asyncio.create_task(reader.candidates(ana)) for _ in range(TOGETHER)]
            await asyncio.sleep(0)
            # The caller that started the query, and every second caller that waits for the next.
            for task in (first, *rest[::2]):
                task.cancel()
            await asyncio.sleep(0.05)
        kept = await asyncio.gather(*rest[1::2])
        assert [owners(found) for found in kept] == [{ana}] * (TOGETHER // 2)
        gone = await asyncio.gather(first, *rest[::2], return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in gone)
        assert owners(await reader.candidates(ana)) == {ana}

    reading(tenant.server, work, CredentialReader)


def test_a_failing_database_is_503_to_all_who_waited_and_the_next_is_let_in(tenant: Tenant) -> None:
    server, workflow = tenant.server, tenant.workflow()
    path = tenant.at(workflow)
    with ThreadPoolExecutor(TOGETHER) as threads, blocked(server.database):
        asked = [threads.submit(tenant.ana.get, path) for _ in range(TOGETHER)]
        while not all(each.done() for each in asked):
            for [backend] in server.database.rows(BLOCKED):
                server.database.rows("SELECT pg_terminate_backend(%s, 10000)", backend)
        for each in asked:
            answer = each.result()
            refused(answer, 503, "database_unavailable")
            assert int(answer.headers["retry-after"]) > 0
    assert ok(tenant.ana.get(path))["resource_id"] == workflow["resource_id"]


def test_a_deleted_key_is_refused_at_once_by_every_process(cluster: Cluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path, 2) as processes:
        one, other = processes.all
        created = one.request("POST", "/v1/subscriptions", OPERATOR_KEY, b'{"name": "s"}').body
        base = f"/v1/subscriptions/{created['subscription_id']}"
        body = b'{"username": "ana", "email": "ana@example.org", "role": "admin"}'
        user = one.request("POST", f"{base}/users", OPERATOR_KEY, body).body["user_id"]
        for _ in range(5):
            body = b'{"user_id": "%s", "name": "laptop"}' % user.encode()
            key = one.request("POST", f"{base}/api-keys", OPERATOR_KEY, body).body
            for process in (one, other):
                assert process.request("GET", f"{base}/workspaces", key["api_key"]).status == 200
            assert one.request("DELETE", f"{base}/api-keys/{key['key_id']}", OPERATOR_KEY).status == 204
            for process in (other, one):
                assert process.request("GET", f"{base}/workspaces", key["api_key"]).status == 401


def test_a_key_deleted_under_load_is_let_in_by_no_request_that_comes_later(tenant: Tenant) -> None:
    ben, other, stop = tenant.ben, tenant.ana, threading.Event()

    def load() -> None:
        while not stop.is_set():
            ok(other.get("/v1/whoami"))

    with ThreadPoolExecutor(8) as threads:
        running = [threads.submit(load) for _ in range(8)]
        try:
            ok(ben.get("/v1/whoami"))
            assert tenant.ana.delete(f"{tenant.path}/api-keys/{ben.key_id}").status_code == 204
            assert {ben.get("/v1/whoami").status_code for _ in range(20)} == {401}
        finally:
            stop.set()
        for each in running:
            each.result()
