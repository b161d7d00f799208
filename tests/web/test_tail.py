"""The live tail of executions: every line once, as it comes, for those who may read it."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from service.domain.ids import mint
from service.http.tails import Tails
from tests.support.api import Server, Tenant, ok
from tests.support.databases import Cluster
from tests.support.doors import Client
from tests.support.following import sequencing
from tests.support.serving import serving
from tests.support.statements import counted
from tests.support.tails import tail, tail_headers
from tests.support.web import Browser


@pytest.fixture(scope="module")
def server(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(cluster, tmp_path_factory.mktemp("tails")) as found, sequencing(found):
        yield found


@pytest.fixture
def tenant(server: Server) -> Tenant:
    return Tenant(server)


def send(tenant: Tenant, text: str, level: str = "INFO", **more: Any) -> None:
    event = {"execution_id": "run 1", "execution_type": "workflow", "log_level": level, "log_message": text}
    ok(tenant.ana.post(f"{tenant.path}/execution-logs", [event | more]), 201)


def signed_in(tenant: Tenant, name: str = "aud") -> Browser:
    return Browser(tenant.server).sign_in(getattr(tenant, name))


def stream_of(tenant: Tenant, query: str = "") -> str:
    return f"/s/{tenant.subscription_id}/executions/tail/lines{query}"


def address_in(page: Any) -> str:
    """Address of the stream that a page follows."""
    address = page.root.one("ol", id="lines")["data-stream"]
    assert isinstance(address, str)
    return address


@contextmanager
def limited(server: Server, **limits: float) -> Iterator[Tails]:
    """Serve tails with other limits until the block ends."""
    before = server.app.state.tails
    server.app.state.tails = Tails(replace(before.limits, **limits))
    yield server.app.state.tails
    server.app.state.tails = before


def test_a_line_is_seen_within_two_seconds_of_its_201(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="Order <i>ETL</i>")
    with tail(signed_in(tenant).http, stream_of(tenant)) as reader:
        slowest = 0.0
        for number in range(3):
            send(tenant, f"said {number}", workflow_id=workflow["resource_id"], status="running")
            slowest = max(slowest, reader.wait_for(f"said {number}", 2))
        node = {"execution_type": "node", "node_id": "load <b>", "duration_ms": 1200, "status": "failed"}
        send(tenant, "node <script>", "ERROR", workflow_id=workflow["resource_id"], **node)
        reader.wait_for("node <script>", 2)
        *_, line = reader.words
    assert slowest < 2
    for word in ("ERROR", "load <b>", "failed", "1.2 s", "Order <i>ETL</i>", "run 1"):
        assert word in line, word
    assert len(reader.words) == 4


def test_the_stream_goes_on_where_the_page_ends(tenant: Tenant) -> None:
    for number in range(45):
        send(tenant, f"early {number}.")
    browser = signed_in(tenant)
    page = browser.see(f"/s/{tenant.subscription_id}/executions/tail")
    shown = [item.text for item in page.root.one("ol", id="lines").all("li")]
    assert len(shown) == 40
    assert "early 44." in shown[0]
    send(tenant, "between.")
    with tail(browser.http, address_in(page)) as reader:
        send(tenant, "late.")
        reader.wait_for("late.")
    assert [re.findall(r"\w+\.", words)[0] for words in reader.words] == ["between.", "late."]
    again = browser.see(page.link("Newer"))
    assert "late." in again.root.one("ol", id="lines").all("li")[0].text


@pytest.mark.parametrize(
    ("query", "seen"),
    [("", "DIWEC"), ("?level=warning", "WEC"), ("?level=error", "EC")],
)
def test_levels_are_filtered_on_the_page_and_in_the_stream(tenant: Tenant, query: str, seen: str) -> None:
    levels = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    browser = signed_in(tenant)
    with tail(browser.http, stream_of(tenant, query)) as reader:
        for level in levels:
            send(tenant, f"a {level[0]}.", level)
        reader.wait_for("a C.")
    page = browser.see(f"/s/{tenant.subscription_id}/executions/tail{query}")
    shown = [item.text for item in page.root.one("ol", id="lines").all("li")]
    for found in (reader.words, shown[::-1]):
        assert "".join(re.findall(r"a (\w)\.", " ".join(found))) == seen


def test_one_workflow_is_followed_alone(tenant: Tenant) -> None:
    one, other = tenant.workflow(name="One"), tenant.workflow(name="Other")
    with tail(signed_in(tenant).http, stream_of(tenant, f"?workflow_id={one['resource_id']}")) as reader:
        send(tenant, "of the other", workflow_id=other["resource_id"])
        send(tenant, "a node", execution_type="node", node_id="load", workflow_id=one["resource_id"])
        send(tenant, "of the one", workflow_id=one["resource_id"])
        reader.wait_for("of the one")
    assert len(reader.words) == 2


def test_who_comes_back_misses_no_line_and_sees_none_twice(tenant: Tenant) -> None:
    browser, ended = signed_in(tenant), threading.Event()
    sent: list[str] = []

    def keep_sending() -> None:
        while not ended.is_set():
            send(tenant, f"n{len(sent)}.")
            sent.append(f"n{len(sent)}.")

    writers = threading.Thread(target=keep_sending)
    seen: list[str] = []
    with tail(browser.http, stream_of(tenant)) as reader:
        place = reader.place
    writers.start()
    for _ in range(5):
        with tail(browser.http, stream_of(tenant), place) as reader:
            time.sleep(1.3)
        seen += reader.words
        place = reader.place
    ended.set()
    writers.join()
    send(tenant, "last.")
    with tail(browser.http, stream_of(tenant), place) as reader:
        reader.wait_for("last.")
    seen += reader.words
    assert [re.findall(r"\w+\.", words)[0] for words in seen] == [*sent, "last."]
    assert len(sent) > 20


def test_a_line_that_commits_late_comes_once(server: Server, tenant: Tenant) -> None:
    browser = signed_in(tenant)
    # Its chunk is there: a transaction that makes one keeps others waiting.
    send(tenant, "early.")
    at = server.clock()
    insert = (
        "INSERT INTO execution_logs (log_id, created_at, subscription_id, execution_id, execution_type,"
        " log_level, log_message) VALUES (%s, %s, %s, 'late', 'job', 'INFO', 'late.')"
    )
    queue = (
        "INSERT INTO log_queue (log, subscription_id, first_id, last_id, first_at, last_at, rows)"
        " VALUES ('execution_logs', %s, %s, %s, %s, %s, 1)"
    )
    row_id, of = mint(), tenant.subscription_id
    with server.database.connection("annals_service", of) as slow, slow.transaction():
        slow.execute(insert, [row_id, at, of])
        slow.execute(queue, [of, row_id, row_id, at, at])
        send(tenant, "quick.")
        page = browser.see(f"/s/{of}/executions/tail")
    shown = [item.text for item in page.root.one("ol", id="lines").all("li")]
    with tail(browser.http, address_in(page)) as reader:
        reader.wait_for("late.")
        send(tenant, "last.")
        reader.wait_for("last.")
    found = re.findall(r"\w+\.", " ".join([*shown, *reader.words]))
    assert sorted(found) == ["early.", "last.", "late.", "quick."]


def test_lines_that_come_too_fast_are_left_out_and_counted(tenant: Tenant) -> None:
    browser = signed_in(tenant)
    with tail(browser.http, stream_of(tenant)) as reader:
        place = reader.place
    events = [
        {"execution_id": "run", "execution_type": "workflow", "log_level": "INFO", "log_message": f"n{n}."}
        for n in range(4_000)
    ]
    for begin in range(0, len(events), 1_000):
        ok(tenant.ana.post(f"{tenant.path}/execution-logs", events[begin : begin + 1_000]), 201)
    with tail(browser.http, stream_of(tenant), place) as reader:
        reader.wait_for("n3999.", 30)
    told = [words for words in reader.words if "left out" in words]
    lines = [int(each) for words in reader.words for each in re.findall(r"n(\d+)\.", words)]
    # Five readings of 200 lines, and the last 200.
    assert lines == [*range(1_000), *range(3_800, 4_000)]
    assert len(told) == 1
    assert int(re.findall(r"up to ([\d,]+)", told[0])[0].replace(",", "")) >= 2_800


def test_a_text_can_not_write_events_of_its_own(tenant: Tenant) -> None:
    with tail(signed_in(tenant).http, stream_of(tenant)) as reader:
        send(tenant, "first\r\rid: 99\revent: over\rdata: time\r\r\nlast")
        send(tenant, "after")
        reader.wait_for("after")
        assert not reader.has_ended
    assert {event.name for event in reader.events} == {""}
    assert [words for words in reader.words if "first" in words and "last" in words]


def test_another_tenant_sees_nothing(server: Server, tenant: Tenant) -> None:
    other = Tenant(server)
    with (
        tail(signed_in(other).http, stream_of(other)) as theirs,
        tail(signed_in(tenant).http, stream_of(tenant)) as ours,
    ):
        send(tenant, "ours")
        send(other, "theirs")
        ours.wait_for("ours")
        theirs.wait_for("theirs")
    assert [len(each.words) for each in (ours, theirs)] == [1, 1]
    with tail(signed_in(other).http, stream_of(tenant)) as refused:
        assert refused.response.status_code == 404


@pytest.mark.parametrize(("name", "status"), [("ana", 200), ("aud", 200), ("ben", 403), ("vera", 403)])
def test_only_readers_of_logs_follow(tenant: Tenant, name: str, status: int) -> None:
    browser = signed_in(tenant, name)
    with tail(browser.http, stream_of(tenant)) as reader:
        assert reader.response.status_code == status
    browser.see(f"/s/{tenant.subscription_id}/executions/tail", status)


def test_strangers_and_windows_are_led_to_pages(tenant: Tenant) -> None:
    with tail(Browser(tenant.server).http, stream_of(tenant)) as reader:
        assert reader.response.status_code == 401
    led = signed_in(tenant).get(stream_of(tenant, "?level=error&after=7"))
    assert (led.status, led.location) == (303, f"/s/{tenant.subscription_id}/executions/tail?level=error")


@pytest.mark.parametrize("after", ["x", "1.2", "-2", "9" * 30, "1.00000000-0000-0000-0000-00000000000g"])
def test_what_is_no_place_is_refused(tenant: Tenant, after: str) -> None:
    with tail(signed_in(tenant).http, stream_of(tenant), after) as reader:
        assert reader.response.status_code == 422
        # The page stays, and says why.
        assert reader.response.headers["hx-retarget"] == "#tail-state"
        assert "hx-redirect" not in reader.response.headers
        assert "no place in this log" in reader.response.text


def test_a_place_past_the_end_begins_anew(tenant: Tenant) -> None:
    send(tenant, "before")
    with tail(signed_in(tenant).http, stream_of(tenant), "999999") as reader:
        reader.wait_for("left out")
        send(tenant, "now")
        reader.wait_for("now")
    assert len(reader.words) == 3


def test_a_session_follows_three_and_the_fourth_is_refused(tenant: Tenant) -> None:
    browser = signed_in(tenant)
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(tail(browser.http, stream_of(tenant)))
        with tail(browser.http, stream_of(tenant)) as fourth:
            answer = fourth.response
            assert (answer.status_code, answer.headers["hx-retarget"]) == (429, "#tail-state")
            assert int(answer.headers["retry-after"]) > 0
            assert "3 tails already" in answer.text
        with tail(signed_in(tenant).http, stream_of(tenant)) as another:
            assert another.response.status_code == 200
    # Who has left makes room at once.
    tails = tenant.server.app.state.tails
    deadline = time.monotonic() + 5
    while tails.count and time.monotonic() < deadline:
        time.sleep(0.02)
    assert tails.count == 0
    with tail(browser.http, stream_of(tenant)) as again:
        assert again.response.status_code == 200


def test_a_process_serves_twenty_and_leaves_room_for_another_tenant(server: Server, tenant: Tenant) -> None:
    other = Tenant(server)
    refused = []
    with ExitStack() as stack:
        for of, count in ((tenant, 16), (other, 6)):
            browsers = [signed_in(of) for _ in range(count // 3 + 1)]
            for number in range(count):
                reader = stack.enter_context(tail(browsers[number // 3].http, stream_of(of)))
                if reader.response.status_code == 429:
                    refused.append((of, number))
        assert server.app.state.tails.count == 20
    assert refused == [(tenant, 15), (other, 5)]


def test_twenty_readers_of_the_same_cost_one_reading(server: Server, tenant: Tenant) -> None:
    with limited(server, of_process=27) as tails, ExitStack() as stack:
        browsers = [signed_in(tenant) for _ in range(7)]
        readers = [
            stack.enter_context(tail(browsers[number // 3].http, stream_of(tenant))) for number in range(20)
        ]
        assert tails.count == 20
        # Who came between two readings is behind until the next.
        (listeners,) = tails._listeners.values()
        readers[0].wait(lambda _: len({each.asked for each in listeners}) == 1)
        with counted(server) as statements:
            send(tenant, "for all")
            for reader in readers:
                reader.wait_for("for all")
    asked = [each for each in statements if "log_message" in each and "INSERT" not in each.upper()]
    assert len(asked) == 1


@pytest.mark.parametrize("how", ["sign-out", "key", "role"])
def test_a_tail_ends_with_its_session(tenant: Tenant, how: str) -> None:
    browser = signed_in(tenant)
    with tail(browser.http, stream_of(tenant)) as reader:
        if how == "sign-out":
            browser.post("/sign-out")
        elif how == "key":
            ok(tenant.ana.delete(f"{tenant.path}/api-keys/{tenant.aud.key_id}"), 204)
        else:
            ok(tenant.ana.patch(f"{tenant.path}/users/{tenant.aud.user_id}", {"role": "viewer"}))
        began = time.monotonic()
        reason = reader.wait_for_end()
    assert reason == ("forbidden" if how == "role" else "unauthenticated")
    assert time.monotonic() - began < 6


def test_no_line_comes_after_the_session_has_ended(tenant: Tenant) -> None:
    browser = signed_in(tenant)
    with tail(browser.http, stream_of(tenant)) as reader:
        # Not looked at a moment ago.
        time.sleep(0.6)
        browser.post("/sign-out")
        send(tenant, "secret")
        assert reader.wait_for_end() == "unauthenticated"
    assert reader.words == []


def test_a_silent_tail_beats_and_ends_after_its_time(server: Server, tenant: Tenant) -> None:
    with limited(server, beat=0.4, longest=2.5), tail(signed_in(tenant).http, stream_of(tenant)) as reader:
        assert reader.wait_for_end() == "time"
    beats = [event for event in reader.events if event.id and not event.data]
    assert 4 <= len(beats) <= 8
    assert tenant.server.app.state.tails.limits.longest == 900


def test_following_is_read_once(tenant: Tenant) -> None:
    browser = signed_in(tenant)
    page = browser.see(f"/s/{tenant.subscription_id}/executions/tail")
    for _ in range(3):
        with tail(browser.http, address_in(page)) as reader:
            send(tenant, "one")
            reader.wait_for("one")
    found = tenant.server.database.rows(
        "SELECT new_values FROM audit_logs WHERE subscription_id = %s AND action = 'READ'"
        " AND resource_type = 'execution_log'",
        tenant.subscription_id,
    )
    assert len(found) == 1


def test_the_head_of_a_tail_is_answered_at_once(tenant: Tenant) -> None:
    browser = signed_in(tenant)
    answer = browser.http.head(stream_of(tenant), headers=tail_headers())
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["x-accel-buffering"] == "no"


def test_a_tail_keeps_no_connection_and_counts_until_its_beginning(server: Server, tenant: Tenant) -> None:
    with tail(signed_in(tenant).http, stream_of(tenant)) as reader:
        time.sleep(1.5)
        assert server.app.state.admission.requests.held == 0
        assert server.app.state.admission.threads.held == 0
        request_id = reader.response.headers["x-request-id"]
    server.flush_log()
    ((milliseconds,),) = server.database.rows(
        "SELECT response_time_ms FROM server_logs WHERE request_id = %s", request_id
    )
    assert milliseconds < 1_400


def test_a_reader_that_stands_still_holds_little_and_delays_nobody(server: Server, tenant: Tenant) -> None:
    browser = signed_in(tenant)
    cookies = "; ".join(f"{name}={value}" for name, value in browser.http.cookies.items())
    head = f"GET {stream_of(tenant)} HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\ncookie: {cookies}"
    with (
        limited(server, tick=0.05) as tails,
        closing(Client(browser.http.base_url.port or 0, buffer=2048).socket) as still,
        tail(browser.http, stream_of(tenant)) as reader,
    ):
        still.sendall(f"{head}\r\n\r\n".encode())
        reader.wait(lambda _: tails.count == 2)
        # More than the system holds of an answer.
        for begin in range(0, 20_000, 1_000):
            about = {"execution_id": "run", "execution_type": "workflow", "log_level": "INFO"}
            texts = [f"n{begin + number}. {'<' * 290}" for number in range(1_000)]
            events = [{**about, "log_message": text} for text in texts]
            ok(tenant.ana.post(f"{tenant.path}/execution-logs", events), 201)
        reader.wait_for("n19999.", 30)
        send(tenant, "prompt")
        reader.wait_for("prompt", 2)
        (held,) = [
            listener._piece
            for each in tails._listeners.values()
            for listener in each
            if not listener.is_waiting
        ]
        # A piece has 200 lines, whose messages have 300 characters, each written as four.
        assert 100_000 < len(held) < 600_000
        # Its patience is over, once nothing was taken for half a minute.
        server.watch.move(1)
        server.watch.move(40)
        reader.wait(lambda _: tails.count == 1, 10)
