"""The door: what a client may do to a connection before Annals ends it, whichever parser reads HTTP."""

import json
import os
import resource
import select
from collections.abc import Iterator
from contextlib import closing

import pytest

from service.http.connections.guard import Guard
from service.http.connections.limits import EVICTION_SECONDS, MAX_HEAD_BYTES, Limits
from service.http.connections.protocols import H11Connection, protocol_class
from service.http.connections.quick import HttpToolsConnection
from tests.support.api import Server, Tenant
from tests.support.doors import SECONDS, Client, Door


def get(path: str) -> bytes:
    """Request without a body."""
    return b"GET %s HTTP/1.1\r\nHost: annals\r\n\r\n" % path.encode()


def post(path: str, size: int) -> bytes:
    """Head of a request with a body."""
    return b"POST %s HTTP/1.1\r\nHost: annals\r\nContent-Length: %d\r\n\r\n" % (path.encode(), size)


GET = get("/")
CHUNKED = b"POST / HTTP/1.1\r\nHost: annals\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module", params=[H11Connection, HttpToolsConnection], ids=["h11", "httptools"])
def module_door(request: pytest.FixtureRequest) -> Iterator[Door]:
    door = Door(request.param)
    yield door
    door.close()


@pytest.fixture
def door(module_door: Door) -> Iterator[Door]:
    """The door, for one test with either parser."""
    module_door.begin()
    yield module_door
    module_door.forget()


def head_of(size: int) -> bytes:
    """Head of a request, of so many bytes."""
    begin, end = b"GET / HTTP/1.1\r\nHost: annals\r\nX-Long: ", b"\r\n\r\n"
    return begin + b"a" * (size - len(begin) - len(end)) + end


def is_refused(client: Client, status: int, code: str) -> bool:
    """Tell if the answer refuses so, and the connection is closed after it."""
    answered, body = client.answer()
    return (answered, json.loads(body)["code"], client.is_closed()) == (status, code, True)


def test_the_quick_parser_is_chosen_where_it_is_installed() -> None:
    assert issubclass(protocol_class(Limits()), HttpToolsConnection)


# -- heads ---------------------------------------------------------------------------------------------------


def test_a_head_of_64_kib_is_read(door: Door) -> None:
    assert door.call(head_of(MAX_HEAD_BYTES)).answer() == (200, b"0")


def test_a_head_of_one_byte_more_is_refused(door: Door) -> None:
    assert is_refused(door.call(head_of(MAX_HEAD_BYTES + 1)), 431, "head_too_large")


def test_a_request_line_past_64_kib_is_refused(door: Door) -> None:
    client = door.call(b"GET /" + b"a" * MAX_HEAD_BYTES + b" HTTP/1.1\r\nHost: annals\r\n\r\n")
    assert is_refused(client, 414, "request_line_too_long")


def test_more_than_256_headers_are_refused(door: Door) -> None:
    begin, _, end = GET.partition(b"\r\nHost: annals")
    client = door.call()
    assert client.call(begin + b"\r\nHost: annals" + b"\r\na:" * 255 + end) == (200, b"0")
    client.send(begin + b"\r\nHost: annals" + b"\r\na:" * 256 + end)
    assert is_refused(client, 431, "head_too_large")


def test_a_head_that_comes_in_pieces_is_refused_once_it_has_too_many_headers() -> None:
    with closing(Door(HttpToolsConnection)) as door:
        blank = door.call(b"\r\n")
        client = door.call(GET[:-2] + b"a:\r\n" * 300)
        assert is_refused(client, 431, "head_too_large")
        assert blank.call(GET) == (200, b"0")


def test_a_head_without_end_is_refused_and_its_rest_not_read(door: Door) -> None:
    client = door.call(head_of(50_000_000))
    assert client.answer()[0] == 431
    assert client.is_closed()


def test_a_head_that_comes_with_the_request_before_it_is_bounded_too(door: Door) -> None:
    client = door.call(GET + head_of(2 * MAX_HEAD_BYTES))
    assert client.answer() == (200, b"0")
    assert is_refused(client, 431, "head_too_large")


def test_the_trailers_of_a_body_are_bounded_too(door: Door) -> None:
    client = door.call(CHUNKED + b"1\r\na\r\n0\r\n")
    client.send(b"X-Long: " + b"a" * 4 * MAX_HEAD_BYTES)
    assert is_refused(client, 431, "head_too_large")


def test_a_request_whose_trailers_are_refused_has_one_answer(door: Door) -> None:
    client = door.call(CHUNKED + b"1\r\na\r\n0\r\n" + b"a: b\r\n" * 100_000)
    assert is_refused(client, 431, "head_too_large")


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 \r\n\r\n",
    ],
    ids=["no host", "two hosts", "a length of 5,000 digits", "a blank in a name", "TLS"],
)
def test_a_head_that_is_no_http_is_malformed(door: Door, head: bytes) -> None:
    assert is_refused(door.call(head), 400, "malformed_request")


def test_a_body_that_is_no_http_is_malformed(door: Door) -> None:
    assert is_refused(door.call(CHUNKED + b"1\r\na\r\nnonsense\r\n"), 400, "malformed_request")


def test_requests_in_one_piece_are_all_answered(door: Door) -> None:
    client = door.call(GET + post("/", 3) + b"abc" + GET)
    assert [client.answer() for _ in range(3)] == [(200, b"0"), (200, b"3"), (200, b"0")]


# -- silence -------------------------------------------------------------------------------------------------


def test_a_client_that_sends_nothing_is_left_after_ten_seconds(door: Door) -> None:
    client = door.call()
    door.watch.move(5)
    client.send(GET)
    assert client.answer() == (200, b"0")
    silent = door.call()
    door.watch.move(11)
    assert silent.is_closed()


def test_a_head_that_is_not_complete_after_ten_seconds_is_refused(door: Door) -> None:
    client = door.call(GET[:9])
    door.watch.move(11)
    assert is_refused(client, 408, "too_slow")


def test_a_later_head_has_ten_seconds_from_its_first_byte(door: Door) -> None:
    client = door.call(GET)
    assert client.answer() == (200, b"0")
    door.watch.move(20)
    client.send(GET)
    assert client.answer() == (200, b"0")
    client.send(GET[:9])
    door.watch.move(11)
    assert is_refused(client, 408, "too_slow")


def test_blank_lines_keep_no_connection(door: Door) -> None:
    client = door.call(GET)
    assert client.answer() == (200, b"0")
    client.send(b"\r\n")
    door.watch.move(11)
    # The parser in Python takes no blank line at all.
    assert client.answer()[0] in (400, 408)
    assert client.is_closed()


def test_a_head_that_begins_in_the_read_of_the_request_before_has_ten_seconds(door: Door) -> None:
    client = door.call(GET + GET[:9])
    assert client.answer() == (200, b"0")
    door.watch.move(11)
    assert is_refused(client, 408, "too_slow")


def test_a_body_that_stops_is_refused(door: Door) -> None:
    client = door.call(post("/", 1000) + b"a")
    door.watch.move(15)
    door.watch.move(20)
    assert is_refused(client, 408, "too_slow")


def test_a_body_that_comes_slowly_but_steadily_is_read(door: Door) -> None:
    client = door.call(post("/", 8_000_000))
    for _ in range(8):
        door.watch.move(20)
        client.send(b"a" * 90_000)
        assert door.got.acquire(timeout=SECONDS)
    client.send(b"a" * 7_280_000)
    assert client.answer() == (200, b"8000000")


def test_a_body_that_the_application_does_not_ask_for_may_wait(door: Door) -> None:
    door.call(post("/never", 1_000_000) + b"a" * 100_000)
    assert door.began.acquire(timeout=SECONDS)
    door.watch.move(100)
    assert not door.gone.acquire(timeout=0)


def test_the_rest_of_a_refused_body_has_thirty_seconds(door: Door) -> None:
    client = door.call(post("/unread", 1_000) + b"a")
    assert client.answer() == (401, b"")
    door.watch.move(15)
    client.send(b"a")
    door.watch.move(20)
    assert client.is_closed()


def test_after_the_rest_of_a_refused_body_comes_another_request(door: Door) -> None:
    client = door.call(post("/unread", 1_000) + b"a")
    assert client.answer() == (401, b"")
    client.send(b"a" * 999 + GET)
    assert client.answer() == (200, b"0")


# -- answers -------------------------------------------------------------------------------------------------


def test_the_application_is_told_at_once_that_the_client_has_gone(door: Door) -> None:
    client = door.call(get("/never"))
    assert door.began.acquire(timeout=SECONDS)
    assert not door.gone.acquire(timeout=0)
    client.close()
    assert door.gone.acquire(timeout=SECONDS)


def test_the_application_is_told_even_while_nothing_is_read(door: Door) -> None:
    client = door.call(post("/never", 1_000_000) + b"a" * 100_000)
    assert door.began.acquire(timeout=SECONDS)
    client.close()
    assert door.gone.acquire(timeout=SECONDS)


def test_an_answer_that_is_not_read_ends_after_thirty_seconds(door: Door) -> None:
    client = door.call(get("/endless"), buffer=4096)
    client.read(1)
    door.watch.settle()
    door.watch.move(15)
    assert not door.gone.acquire(timeout=0)
    door.watch.move(20)
    assert door.gone.acquire(timeout=SECONDS)


def test_an_answer_that_is_read_slowly_but_steadily_goes_on(door: Door) -> None:
    client = door.call(get("/endless"), buffer=4096)
    for _ in range(8):
        client.read(100_000)
        door.watch.move(20)
    assert not door.gone.acquire(timeout=0)


# -- places --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [H11Connection, HttpToolsConnection])
def test_a_full_process_ends_what_waits_longest_and_never_a_request(kind: type[Guard]) -> None:
    door = Door(kind, connections=4)
    try:
        busy = door.call(get("/never"))
        assert door.began.acquire(timeout=SECONDS)
        first, second = door.call(), door.call()
        assert second.call(GET) == (200, b"0")
        stranger = door.call(GET, source="127.0.0.2")
        assert stranger.answer() == (200, b"0")
        another = door.call(GET)
        assert another.answer() == (200, b"0")
        door.watch.move(EVICTION_SECONDS)
        assert first.is_closed()
        assert [each.call(GET) for each in (second, stranger, another)] == [(200, b"0")] * 3
        busy.close()
        assert door.gone.acquire(timeout=SECONDS)
    finally:
        door.close()


@pytest.mark.parametrize("kind", [H11Connection, HttpToolsConnection])
def test_a_connection_without_a_place_ends_late_unless_it_sends_something(kind: type[Guard]) -> None:
    door = Door(kind, connections=4)
    try:
        first, second, *others = [door.call() for _ in range(5)]
        assert [each.call(GET) for each in others] == [(200, b"0")] * 3
        second.send(GET)
        assert second.is_closed()
        assert not first.has_ended()
        door.watch.move(EVICTION_SECONDS)
        assert first.is_closed()
    finally:
        door.close()


def test_no_more_connections_await_their_end_than_have_places() -> None:
    door = Door(HttpToolsConnection, connections=4)
    try:
        clients = [door.call() for _ in range(3 + 4 + 2)]
        assert clients[-1].call(GET) == (200, b"0")
        door.watch.settle()
        assert [each.has_ended() for each in clients[:-3]] == [True] * 2 + [False] * 4
    finally:
        door.close()


def test_a_client_is_served_beside_more_silent_connections_than_have_places() -> None:
    with closing(Door(HttpToolsConnection, connections=8)) as door:
        kept = door.call(GET)
        assert kept.answer() == (200, b"0")
        silent = [door.call(source="127.0.0.2") for _ in range(200)]
        assert door.call(GET).answer() == kept.call(GET) == (200, b"0")
        door.watch.settle()
        # Three quarters of the places, and as many as there are places wait for their end.
        assert sum(not each.has_ended() for each in silent) <= 6 + 8


def test_a_silent_connection_that_its_client_closes_frees_its_place() -> None:
    with closing(Door(HttpToolsConnection, connections=4)) as door:
        for _ in range(20):
            door.call().close()
        first, *others = [door.call() for _ in range(3)]
        door.watch.move(EVICTION_SECONDS)
        assert [each.call(GET) for each in (first, *others)] == [(200, b"0")] * 3


def test_silent_connections_end_with_the_server() -> None:
    door = Door(HttpToolsConnection)
    silent = door.call()
    assert door.call(GET).answer() == (200, b"0")
    door.stop()
    assert silent.is_closed()
    door.close()


def test_a_connection_waits_while_the_process_has_no_file_for_it() -> None:
    with closing(Door(HttpToolsConnection)) as door:
        client = door.call()
        assert client.call(GET) == (200, b"0")
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(client.socket.fileno())
        os.close(free)
        try:
            # The client gets the last file that this process may open.
            resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, limits[1]))
            waiting = door.call(GET)
            door.watch.settle()
            assert client.call(GET) == (200, b"0")
            assert not waiting.has_ended()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert waiting.answer() == (200, b"0")


LENGTH, CODING = b"Content-Length: 3\r\n", b"Transfer-Encoding: %s\r\n"
NO_HOSTS = (*(b"a b", b"a/b", b"u@a", b"a, b", b"a:x", b"\xff"), *(b"[::1", b"a:1:2", b"http://a", b"[g]"))
HOSTS = (*(b"", b"a", b"a.b_c-d:8000", b"a:"), *(b"127.0.0.1", b"[::1]:80", b"xn--bro-hoa.example"))


@pytest.mark.parametrize(
    "head",
    [
        *(b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % host for host in NO_HOSTS),
        b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\n" + LENGTH + CODING % b"chunked" + b"\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\n" + CODING % b"gzip, chunked" + b"\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\n" + CODING % b"identity" + b"\r\n",
        *(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %s\r\n\r\nabc" % length
            for length in (b"+3", b"-3", b"0x3", b"", b"3\r\nContent-Length: 4")
        ),
    ],
)
def test_a_head_of_two_meanings_is_malformed(door: Door, head: bytes) -> None:
    assert is_refused(door.call(head), 400, "malformed_request")


@pytest.mark.parametrize(
    "name", ["Authorization", "Content-Encoding", "content-type", "Idempotency-Key", "X-CHANGE-REASON"]
)
def test_a_header_of_one_value_is_given_once(door: Door, name: str) -> None:
    line = f"{name}: a\r\n".encode()
    assert door.call().call(b"GET / HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n") == (200, b"0")
    client = door.call(b"GET / HTTP/1.1\r\nHost: a\r\n" + line + b"X-Other: b\r\n" + line.lower() + b"\r\n")
    assert is_refused(client, 400, "malformed_request")


def test_a_list_may_come_in_several_headers(door: Door) -> None:
    head = b'GET / HTTP/1.1\r\nHost: a\r\nIf-Match: "a"\r\nIf-Match: "b"\r\n\r\n'
    assert door.call().call(head) == (200, b"0")


@pytest.mark.parametrize(
    "host", [b"", b"a", b"a.b_c-d:8000", b"127.0.0.1", b"[::1]:80", b"xn--bro-hoa.example", b"a:"]
)
def test_a_host_is_a_name_or_an_address(door: Door, host: bytes) -> None:
    assert door.call().call(b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % host) == (200, b"0")


# -- the server itself ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (head_of(MAX_HEAD_BYTES + 1), 431, "head_too_large"),
        (b"GET /" + b"a" * MAX_HEAD_BYTES, 414, "request_line_too_long"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "malformed_request"),
    ],
    ids=["head", "line", "no host"],
)
def test_a_refused_head_is_a_problem_and_a_row_of_the_server_log(
    server: Server, head: bytes, status: int, code: str
) -> None:
    # An address of its own, since repeats of a refusal within a minute have no row of their own.
    with closing(Client(server.port, source="127.0.0.9")) as client:
        client.send(head)
        answered, body = client.answer()
        assert client.is_closed()
    problem = json.loads(body)
    assert (answered, problem["status"], problem["code"]) == (status, status, code)
    server.flush_log()
    (row,) = server.database.rows(
        "SELECT response_status, host(ip_address), error_message FROM server_logs WHERE request_id = %s",
        problem["request_id"],
    )
    assert row == (status, "127.0.0.9", f"{code}: {problem['detail']}")


def test_a_body_that_stops_is_a_problem_and_a_row_of_the_server_log(tenant: Tenant) -> None:
    begin, _, end = post(f"{tenant.path}/workspaces", 1_000).partition(b"Content-Length")
    key = f"Authorization: Bearer {tenant.ana.key}\r\nContent-Type: application/json\r\n".encode()
    with closing(Client(tenant.server.port)) as client:
        client.send(begin + key + b"X-Request-Id: stops\r\nContent-Length" + end)
        # The time begins once the application asks for the body, after it has looked at the key.
        while not select.select([client.socket], [], [], 0)[0]:
            tenant.server.watch.move(31)
        answered, body = client.answer()
        assert client.is_closed()
    assert (answered, json.loads(body)["code"], json.loads(body)["request_id"]) == (408, "too_slow", "stops")
    tenant.server.flush_log()
    assert tenant.server.database.rows(
        "SELECT response_status FROM server_logs WHERE request_id = %s AND subscription_id = %s",
        "stops",
        tenant.subscription_id,
    ) == [(408,)]


def test_a_length_that_python_can_not_read_is_malformed(tenant: Tenant) -> None:
    begin = post(f"{tenant.path}/workspaces", 0).partition(b"Content-Length")[0]
    length = b"Content-Length: " + b"0" * 5_000 + b"2\r\n\r\n{}"
    with closing(Client(tenant.server.port)) as client:
        client.send(begin + f"Authorization: Bearer {tenant.ana.key}\r\n".encode() + length)
        answered, body = client.answer()
    assert (answered, json.loads(body)["code"]) == (400, "malformed_request")
