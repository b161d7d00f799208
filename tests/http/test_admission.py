"""Admission: shares of addresses and tenants, bytes of bodies, and what a client that goes leaves behind."""

import asyncio
import gzip
import socket
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from uuid import uuid4

import psycopg
import pytest
from fastapi import Request

from service.committer.client import ThreadCommitter
from service.committer.group_commit import GroupCommit
from service.http.admission import (
    ALONE,
    BYTES_EACH,
    EACH,
    FORMS_EACH,
    LARGE_BYTES,
    THREADS_EACH,
    Admission,
    Visit,
)
from service.http.bodies import MAX_BODY_BYTES, PARSE_ASIDE_BYTES
from service.runtime import recent_keys
from service.runtime.fair_places import FairPlaces
from tests.support.api import Caller, Json, Server, Tenant, ok
from tests.support.group_commits import held, until_taken
from tests.support.pkt_lines import FLUSH, line, upload_pack
from tests.support.waiting import until

BLOCKED_SECONDS = 20


def admission(server: Server) -> Admission:
    found = server.app.state.admission
    assert isinstance(found, Admission)
    return found


def group(server: Server) -> GroupCommit:
    committer = server.context.committer
    assert isinstance(committer, ThreadCommitter)
    return committer._group


class Clients:
    """Connections of many clients, each with one request."""

    def __init__(self, server: Server, open_ones: ExitStack) -> None:
        host, port = server.url.removeprefix("http://").split(":")
        self._address = (host, int(port))
        self._open_ones = open_ones

    def send(self, head: str, body: bytes = b"", source: str = "127.0.0.1") -> socket.socket:
        connection = socket.create_connection(self._address, BLOCKED_SECONDS, source_address=(source, 0))
        self._open_ones.enter_context(closing(connection))
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        return connection

    def get(self, path: str, source: str = "127.0.0.1") -> socket.socket:
        return self.send(f"GET {path} HTTP/1.1\nHost: annals\nAuthorization: Bearer no-key", source=source)

    def call(
        self, caller: Caller, method: str, path: str, body: bytes, length: int | None = None
    ) -> socket.socket:
        """Send a call with a body, of which `length` may announce more than is sent."""
        head = [
            f"{method} {path} HTTP/1.1",
            "Host: annals",
            f"Authorization: Bearer {caller.key}",
            "Content-Type: application/json",
            f"Content-Length: {len(body) if length is None else length}",
        ]
        return self.send("\n".join(head), body)

    def save(self, caller: Caller, path: str, number: int) -> socket.socket:
        return self.call(caller, "POST", f"{path}/versions", b'{"data": {"n": %d}}' % number)

    def patch(self, caller: Caller, path: str) -> socket.socket:
        return self.call(caller, "PATCH", path, b'{"role": "viewer"}')


@pytest.fixture
def clients(server: Server) -> Iterator[Clients]:
    with ExitStack() as open_ones:
        yield Clients(server, open_ones)


def status(connection: socket.socket) -> int:
    """Status of the answer, once it is there."""
    answer = b""
    while len(answer) < 12:
        piece = connection.recv(4096)
        assert piece, "the server hung up"
        answer += piece
    return int(answer[9:12])


def gone_rows(server: Server, tenant: Tenant) -> int:
    """Number of rows of the server log about clients of a tenant that did not wait."""
    found: int = server.database.value(
        "SELECT count(*) FROM server_logs WHERE response_status = 499 AND subscription_id = %s",
        tenant.subscription_id,
    )
    return found


@contextmanager
def busy(clients: Clients, tenant: Tenant, workflow: Json, count: int) -> Iterator[list[socket.socket]]:
    """Clients that save while the committer stands still; the block gets their connections."""
    path = tenant.at(workflow)
    caller, committer = tenant.ana, group(tenant.server)
    with held(tenant):
        connections = [clients.save(caller, path, 0)]
        until_taken(committer)
        connections += [clients.save(caller, path, number) for number in range(1, count)]
        yield connections


def test_a_tenant_with_many_clients_has_its_share_and_another_is_served_meanwhile(
    server: Server, tenant: Tenant, stranger: Tenant, clients: Clients
) -> None:
    ours, theirs = tenant.workflow(), stranger.workflow()
    places = admission(server).requests
    with busy(clients, tenant, ours, ALONE + 6) as connections:
        until(lambda: places.waiting >= 6)
        # Those that wait are not refused, and those that are in hand are no more than alone.
        assert places.held <= ALONE
        stranger.save(theirs, {"n": 1})
    assert {status(each) for each in connections} == {201}
    assert places.waiting == 0


def test_beside_another_tenant_a_tenant_has_few_requests_in_hand(
    server: Server, tenant: Tenant, stranger: Tenant, clients: Clients
) -> None:
    ours, theirs = tenant.workflow(), stranger.workflow()
    places = admission(server).requests
    with busy(clients, stranger, theirs, 1) as waiting, busy(clients, tenant, ours, EACH + 5) as connections:
        until(lambda: places.waiting == 5)
        assert places.held == EACH + 1
    assert {status(each) for each in connections + waiting} == {201}


def test_requests_of_one_address_wait_and_those_of_another_do_not(
    server: Server, tenant: Tenant, clients: Clients
) -> None:
    places = admission(server).addresses
    with psycopg.connect(server.database.url) as blocker:
        # Keys are looked up in this table.
        blocker.execute("LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE")
        flood = [clients.get(tenant.path, source="127.0.0.2") for _ in range(ALONE + EACH)]
        until(lambda: places.waiting >= EACH)
        assert status(clients.get("/version")) == 200
        # Also at the attacker's address it is seen that the process is alive.
        assert status(clients.get("/livez", source="127.0.0.2")) == 200
        blocker.rollback()
        assert {status(each) for each in flood} <= {401, 429}


def test_preflights_of_one_address_wait_and_requests_of_another_do_not(
    server: Server, clients: Clients
) -> None:
    places = admission(server).addresses
    ask = (
        "OPTIONS /v1/subscriptions/%s/jobs HTTP/1.1\nHost: annals\n"
        "Origin: https://page.example.org\nAccess-Control-Request-Method: GET"
    )
    with psycopg.connect(server.database.url) as blocker:
        # Origins are looked up in this table.
        blocker.execute("LOCK TABLE subscriptions IN ACCESS EXCLUSIVE MODE")
        flood = [clients.send(ask % uuid4(), source="127.0.0.3") for _ in range(ALONE + EACH)]
        until(lambda: places.waiting >= EACH)
        assert status(clients.get("/version")) == 200
        blocker.rollback()
        assert {status(each) for each in flood} == {403}


def test_forms_that_come_slowly_keep_no_address_from_being_served(
    server: Server, tenant: Tenant, clients: Clients
) -> None:
    places = admission(server)
    head = (
        "POST /sign-in HTTP/1.1\nHost: 127.0.0.1\nSec-Fetch-Site: same-origin\n"
        "Content-Type: application/x-www-form-urlencoded\nContent-Length: %d"
    )
    sources = ("127.0.0.4", "127.0.0.5")
    slow = [clients.send(head % 1000, b"key=", source=each) for each in sources * (FORMS_EACH + 4)]
    until(lambda: (places.forms.held, places.forms.waiting) == (2 * FORMS_EACH, 8))
    until(lambda: places.addresses.held == 0)
    form = f"key={tenant.ana.key}".encode()
    assert status(clients.send(head % len(form), form)) == 303
    assert status(clients.get("/version", source="127.0.0.4")) == 200
    for each in slow:
        each.close()
    until(lambda: (places.forms.held, places.forms.waiting) == (0, 0))


@pytest.mark.parametrize(("path", "name"), [("/version", "addresses"), ("/livez", "probes")])
def test_an_answer_to_an_unknown_caller_keeps_the_place_of_its_address_for_a_moment(
    path: str, name: str
) -> None:
    async def test() -> None:
        admission = Admission(threads=1)
        visit = Visit(admission)
        await visit.arrive(Request({"type": "http", "path": path, "client": ("127.0.0.1", 1)}))
        visit.leave()
        places: FairPlaces = getattr(admission, name)
        assert places.held == 1
        await asyncio.wait_for(places.take("another", ALONE + EACH), 10)
        assert places.held == ALONE + EACH

    asyncio.run(test())


def test_calls_that_work_in_threads_leave_some_for_other_tenants(
    server: Server, tenant: Tenant, stranger: Tenant, clients: Clients
) -> None:
    theirs = stranger.workflow()
    user = tenant.vera
    threads = server.context.settings.threads
    with psycopg.connect(server.database.url) as blocker:
        blocker.execute("SELECT 1 FROM users WHERE user_id = %s FOR UPDATE", [user.user_id])
        calls = [clients.patch(tenant.ana, f"{tenant.path}/users/{user.user_id}") for _ in range(threads + 6)]
        until(lambda: admission(server).threads.waiting >= 6)
        ok(stranger.ana.get(stranger.at(theirs)))
        blocker.rollback()
        assert {status(each) for each in calls} == {200}


def test_of_large_bodies_no_more_is_read_than_the_bytes_of_their_tenant(
    server: Server,
    tenant: Tenant,
    stranger: Tenant,
    clients: Clients,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recent_keys, "REMEMBERED_SECONDS", 60)
    ours, theirs = tenant.workflow(), stranger.workflow()
    path = f"{tenant.at(ours)}/versions"
    places = admission(server).bytes
    stranger.save(theirs, {"text": "x" * 100_000})
    # Two of the largest are its share beside the other tenant.
    begun = b" " * 2 * PARSE_ASIDE_BYTES
    large = [clients.call(tenant.ana, "POST", path, begun, length=MAX_BODY_BYTES) for _ in range(4)]
    until(lambda: places.waiting == 2)
    assert places.held == BYTES_EACH
    # The other tenant is served, and so are small bodies of the same.
    stranger.save(theirs, {"text": "y" * 100_000})
    tenant.save(ours, {"n": 1})
    for each in large:
        each.close()
    # The clients have gone: nothing is held for them.
    until(lambda: places.held == 0 and places.waiting == 0)


def test_a_large_body_that_has_hardly_begun_holds_no_bytes(
    server: Server, tenant: Tenant, clients: Clients
) -> None:
    ours = tenant.workflow()
    path = f"{tenant.at(ours)}/versions"
    for _ in range(7):
        clients.call(tenant.ana, "POST", path, b"{", length=MAX_BODY_BYTES)
    tenant.save(ours, {"text": "x" * 100_000})
    assert admission(server).bytes.waiting == 0


def test_a_fetch_that_waits_for_its_turn_holds_no_bytes(
    server: Server, tenant: Tenant, clients: Clients
) -> None:
    tenant.workflow()
    key, body = tenant.subscription_id, gzip.compress(line(f"want {tenant.main()}\n") + FLUSH)
    transfers = server.app.state.upload_pack._transfers
    taken = 0
    while transfers.take_at_once(key):
        taken += 1
    secret = b64encode(f"git:{tenant.vera.key}".encode()).decode()
    head = [
        f"POST {upload_pack(tenant)} HTTP/1.1",
        "Host: annals",
        f"Authorization: Basic {secret}",
        "Content-Encoding: gzip",
        f"Content-Length: {len(body)}",
    ]
    waiting = clients.send("\n".join(head), body)
    until(lambda: transfers.waiting == 1)
    assert admission(server).bytes.held == 0
    waiting.close()
    until(lambda: transfers.waiting == 0)
    for _ in range(taken):
        transfers.release(key)


def test_large_bodies_of_many_clients_are_parsed_one_after_the_other_and_all_are_taken(
    server: Server, tenant: Tenant, clients: Clients
) -> None:
    path = f"{tenant.at(tenant.workflow())}/versions"
    bodies = [b'{"data": {"n": %d, "text": "%s"}}' % (n, b"x" * LARGE_BYTES) for n in range(4)]
    large = [clients.call(tenant.ana, "POST", path, body) for body in bodies]
    assert {status(each) for each in large} == {201}
    until(lambda: admission(server).parsing.held == 0)


def test_the_place_of_a_large_body_rests_for_as_long_as_it_was_parsed() -> None:
    async def test() -> None:
        places = Admission(threads=1)
        async with Visit(places).parsing():
            await asyncio.sleep(0.01)
        assert places.parsing.held == 1
        await asyncio.wait_for(places.parsing.take("another"), 10)
        assert places.parsing.held == 1

    asyncio.run(test())


def test_events_in_a_large_body_take_all_threads_of_a_share_and_those_in_a_small_one_take_one(
    server: Server, tenant: Tenant, clients: Clients
) -> None:
    threads, path, caller = admission(server).threads, f"{tenant.path}/audit-logs", tenant.ana
    event = '{"action": "EXECUTE", "resource_type": "workflow", "new_values": {"text": "%s"}}'
    # The first call of a key is itself an event.
    ok(caller.get(path))
    with psycopg.connect(server.database.url) as blocker:
        blocker.execute("LOCK TABLE audit_logs IN SHARE MODE")
        large = clients.call(caller, "POST", path, (event % ("x" * LARGE_BYTES)).encode())
        until(lambda: threads.held == THREADS_EACH)
        small = clients.call(caller, "POST", path, (event % "x").encode())
        until(lambda: threads.held == THREADS_EACH + 1)
        blocker.rollback()
        assert [status(large), status(small)] == [201, 201]
    until(lambda: threads.held == 0)


def test_a_change_is_not_begun_for_a_client_that_has_gone(
    server: Server, tenant: Tenant, clients: Clients
) -> None:
    workflow = tenant.workflow()
    with busy(clients, tenant, workflow, 4) as connections:
        until(lambda: group(server)._waiting == 3)
        connections[2].close()
        server.flush_log()
        until(lambda: gone_rows(server, tenant) == 1)
    assert [status(each) for each in (connections[0], connections[1], connections[3])] == [201, 201, 201]
    versions = ok(tenant.ana.get(f"{tenant.at(workflow)}/versions"))["items"]
    saved = [
        ok(tenant.ana.get(f"{tenant.at(workflow)}/versions/{v['version_number']}"))["data"] for v in versions
    ]
    assert [data["n"] for data in saved if "n" in data] == [3, 1, 0]


def test_who_goes_while_it_waits_for_a_place_leaves_the_queue(
    server: Server, tenant: Tenant, stranger: Tenant, clients: Clients
) -> None:
    ours, theirs = tenant.workflow(), stranger.workflow()
    places = admission(server).requests
    with busy(clients, stranger, theirs, 1), busy(clients, tenant, ours, EACH + 4) as connections:
        until(lambda: places.waiting == 4)
        for each in connections[-3:]:
            each.close()
        until(lambda: places.waiting == 1)


@pytest.mark.parametrize("how", ["reset", "closed"])
def test_a_client_that_goes_while_its_call_is_in_a_thread_leaves_no_place_taken(
    server: Server, tenant: Tenant, clients: Clients, how: str
) -> None:
    user = tenant.vera
    threads = admission(server).threads
    with psycopg.connect(server.database.url) as blocker:
        blocker.execute("SELECT 1 FROM users WHERE user_id = %s FOR UPDATE", [user.user_id])
        connection = clients.patch(tenant.ana, f"{tenant.path}/users/{user.user_id}")
        until(lambda: threads.held == 1)
        if how == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
        server.flush_log()
        # The thread can't be stopped: its place is taken until it ends.
        assert threads.held == 1
        blocker.rollback()
    until(lambda: threads.held == 0)
