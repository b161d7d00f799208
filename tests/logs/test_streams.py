"""Streams of events: lines of JSON of any number, compressed or not, stored as a whole or with a report."""

import gzip
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import orjson
import psycopg
import pytest
import zstandard

from service.http.encodings import decompressed
from tests.support.api import Json, Tenant, ok, pointers, refused
from tests.support.streams import lines, send
from tests.support.waiting import until, waits_for_a_lock

AUDIT: Json = {"action": "LOGIN", "resource_type": "session"}


def execution(number: int, **fields: Any) -> Json:
    """Make an execution event; nodes and jobs take turns."""
    return {
        "execution_id": str(uuid4()),
        "execution_type": "node" if number % 3 == 0 else "job",
        "log_level": "INFO",
        "log_message": f"row {number} is read\t\\ \n",
        "rows_processed": number,
        "log_details": {"batch": number, "text": "é\\n\t\"'"},
    } | fields


def logged(tenant: Tenant, log: str = "execution-logs", **query: Any) -> list[Json]:
    """Read all events as an auditor."""
    return tenant.aud.pages(f"{tenant.path}/{log}", limit=200, **query)


@pytest.mark.parametrize("count", [1, 40, 3_000])
def test_each_line_is_stored_as_it_was_sent(tenant: Tenant, count: int) -> None:
    sent = [execution(number) for number in range(count)]
    assert ok(send(tenant, lines(sent)), 201) == {"accepted": count}
    found = sorted(logged(tenant), key=lambda row: row["rows_processed"])
    assert [{name: row[name] for name in sent[0]} for row in found] == sent
    assert len({row["created_at"] for row in found}) == 1
    # The ids have the order of the lines.
    assert [row["log_id"] for row in found] == sorted(row["log_id"] for row in found)


@pytest.mark.parametrize("log", ["execution-logs", "audit-logs"])
@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("count", [3, 2_000])
def test_compressed_lines_and_arrays_are_read(tenant: Tenant, log: str, encoding: str, count: int) -> None:
    event = AUDIT if log == "audit-logs" else execution(1)
    compress = gzip.compress if encoding == "gzip" else zstandard.compress
    headers = {"content-encoding": encoding}
    # Two members one after the other are one stream, as a log that was added to is.
    body = compress(lines([event] * (count - 1))) + compress(lines([event]))
    assert ok(send(tenant, body, log, headers=headers), 201)["accepted"] == count
    array = compress(orjson.dumps([event] * min(count, 1_000)))
    answer = tenant.ben.send(f"{tenant.path}/{log}", array, **headers)
    assert ok(answer, 201)["accepted"] == min(count, 1_000)


def test_empty_lines_a_last_line_without_its_end_and_a_mark_of_byte_order_are_fine(tenant: Tenant) -> None:
    first, second = orjson.dumps(execution(1)), orjson.dumps(execution(2))
    body = b"\xef\xbb\xbf" + b"\n" + first + b"\r\n\n  \t\r\n" + second
    assert ok(send(tenant, body), 201) == {"accepted": 2}


@pytest.mark.parametrize("body", [b"", b"\n \n\r\n"])
def test_a_stream_without_events_is_refused(tenant: Tenant, body: bytes) -> None:
    assert pointers(refused(send(tenant, body), 422, "invalid")) == [""]


FAULTS: list[tuple[bytes, int, str, str]] = [
    (b'{"execution_type": "job"', 400, "malformed_json", ""),
    (b"\xff", 400, "malformed_json", ""),
    (b'{"log_message": NaN}', 422, "invalid", "/log_message"),
    (orjson.dumps(execution(1, log_level="LOUD")), 422, "invalid", "/log_level"),
    (orjson.dumps(execution(1, more=1)), 422, "invalid", "/more"),
    (orjson.dumps([execution(1)]), 422, "invalid", ""),
    (b'{"a": 1, "a": 2}', 422, "invalid", "/a"),
    (orjson.dumps(execution(1)) + b" " + orjson.dumps(execution(2)), 400, "malformed_json", ""),
    (orjson.dumps(execution(1, log_message="x" * 1024**2)), 413, "body_too_large", ""),
]


@pytest.mark.parametrize(("bad", "status", "code", "pointer"), FAULTS)
@pytest.mark.parametrize("before", [2, 3_000])
def test_a_bad_line_is_named_and_nothing_is_stored(
    tenant: Tenant, bad: bytes, status: int, code: str, pointer: str, before: int
) -> None:
    good = lines([execution(1)])
    problem = refused(send(tenant, good * before + b"\n" + bad + b"\n" + good), status, code)
    first = problem["errors"][0]
    assert (first["line"], first.get("pointer", "")) == (before + 2, pointer)
    assert logged(tenant) == []


def test_bad_lines_are_left_out_and_told_where_the_caller_wants_that(tenant: Tenant) -> None:
    good = orjson.dumps(execution(1))
    parts = [bad for bad, *_ in FAULTS for bad in (bad, good)]
    answer = ok(send(tenant, b"\n".join(parts), params={"on_error": "skip"}), 201)
    assert (answer["accepted"], answer["skipped"]) == (len(FAULTS), len(FAULTS))
    assert {error["line"] for error in answer["errors"]} == set(range(1, 2 * len(FAULTS), 2))
    assert len(logged(tenant)) == len(FAULTS)


def test_many_bad_lines_are_counted_and_the_first_hundred_are_told(tenant: Tenant) -> None:
    body = lines([execution(1)]) + b"{}\n" * 400
    answer = ok(send(tenant, body, params={"on_error": "skip"}), 201)
    assert (answer["accepted"], answer["skipped"], len(answer["errors"])) == (1, 400, 100)


def test_nothing_but_bad_events_is_no_creation(tenant: Tenant) -> None:
    answer = ok(tenant.ben.post(f"{tenant.path}/audit-logs", [{}], params={"on_error": "skip"}), 200)
    assert (answer["accepted"], answer["skipped"]) == (0, 1)
    assert pointers(answer) == ["/0/action", "/0/resource_type"]


def test_an_unknown_way_with_faults_is_refused(tenant: Tenant) -> None:
    response = send(tenant, lines([execution(1)]), params={"on_error": "ignore"})
    assert refused(response, 422, "invalid")["errors"][0]["parameter"] == "on_error"


@pytest.mark.parametrize("count", [2, 3_000])
def test_a_stream_that_is_sent_again_is_stored_once(tenant: Tenant, count: int) -> None:
    body = lines([execution(number) for number in range(count)])
    headers = {"idempotency-key": "night 7"}
    first = ok(send(tenant, body, headers=headers), 201)
    # Compressed again, its bytes on the way are others.
    again = send(tenant, gzip.compress(body), headers=headers | {"content-encoding": "gzip"})
    assert ok(again, 201) == first == {"accepted": count}
    refused(send(tenant, body[:-2] + b"\n", headers=headers), 422, "idempotency_key_reused")
    assert len(logged(tenant)) == count


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_what_can_not_be_decompressed_is_refused(tenant: Tenant, encoding: str) -> None:
    whole = lines([execution(number) for number in range(2_000)])
    compressed = gzip.compress(whole) if encoding == "gzip" else zstandard.compress(whole)
    for body in (compressed[:-5], compressed + b"more", b"{}\n", b""):
        response = send(tenant, body, headers={"content-encoding": encoding})
        refused(response, 400, "malformed_encoding")
    assert logged(tenant) == []


def test_a_body_that_unfolds_to_too_much_is_refused(tenant: Tenant) -> None:
    bomb = zlib.compress(b" " * 64 * 1024**2, wbits=31)
    for body in (bomb, zstandard.compress(b" " * 64 * 1024**2)):
        encoding = "gzip" if body is bomb else "zstd"
        response = tenant.ben.send(f"{tenant.path}/audit-logs", body, **{"content-encoding": encoding})
        refused(response, 413, "body_too_large")
        response = send(tenant, body, headers={"content-encoding": encoding})
        assert refused(response, 413, "body_too_large")["errors"][0]["line"] == 1


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("content", [b"", b"\n"])
def test_a_body_of_very_many_small_members_is_refused(tenant: Tenant, encoding: str, content: bytes) -> None:
    compress = gzip.compress if encoding == "gzip" else zstandard.compress
    event, small = compress(lines([execution(1)])), compress(content)
    for count, status in ((9_000, 201), (12_000, 400)):
        response = send(tenant, event + small * count, headers={"content-encoding": encoding})
        found = ok(response, 201) if status == 201 else refused(response, 400, "malformed_encoding")
        assert "accepted" in found or "compress more lines together" in found["detail"]


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_member_for_each_hundred_lines_is_taken(encoding: str) -> None:
    compress = gzip.compress if encoding == "gzip" else zstandard.compress
    part = b"x" * 5_000
    whole = compress(part) * 30_000
    pieces = (whole[at : at + 2**18] for at in range(0, len(whole), 2**18))
    assert sum(map(len, decompressed(pieces, encoding))) == 30_000 * len(part)


def test_other_encodings_are_not_taken(tenant: Tenant) -> None:
    for encoding in ("br", "gzip, gzip", "deflate"):
        response = send(tenant, b"{}\n", headers={"content-encoding": encoding})
        refused(response, 415, "unsupported_media_type")


def test_a_stream_counts_against_the_quota_as_a_whole(tenant: Tenant) -> None:
    quotas = {"quotas": {"log_rows_a_day": 2_500}}
    ok(tenant.server.operator.patch(tenant.path, quotas))
    few, many = (lines([execution(number) for number in range(count)]) for count in (2_000, 20_000))
    refused(send(tenant, many), 403, "quota_exceeded")
    assert logged(tenant) == []
    ok(send(tenant, few), 201)
    refused(send(tenant, few), 403, "quota_exceeded")
    ok(send(tenant, lines([execution(1)] * 500)), 201)
    assert ok(tenant.ana.get(tenant.path))["quotas"]["log_rows_a_day"] == {"limit": 2_500, "used": 2_500}


def test_other_posts_are_counted_while_a_stream_is_stored(tenant: Tenant) -> None:
    """The count is locked at the end of a stream alone."""
    ok(tenant.server.operator.patch(tenant.path, {"quotas": {"log_rows_a_day": 10_000}}))
    with psycopg.connect(tenant.server.database.url) as blocker:
        blocker.execute("LOCK TABLE node_execution_logs IN SHARE MODE")
        with ThreadPoolExecutor(1) as pool:
            stream = pool.submit(send, tenant, lines([execution(0)] * 3_000))
            until(lambda: waits_for_a_lock(tenant.server.database))
            ok(tenant.ben.post(f"{tenant.path}/audit-logs", AUDIT), 201)
            blocker.rollback()
            ok(stream.result(), 201)
    assert ok(tenant.ana.get(tenant.path))["quotas"]["log_rows_a_day"]["used"] == 3_001


@contextmanager
def under(tenant: Tenant, **settings: int) -> Iterator[None]:
    """Serve under other settings of the operator."""
    state = tenant.server.app.state
    context = state.context
    state.context = replace(context, settings=context.settings.model_copy(update=settings))
    try:
        yield
    finally:
        state.context = context


def test_a_stream_that_the_disk_has_no_room_for_is_refused(tenant: Tenant) -> None:
    with under(tenant, min_free_mb=10**9):
        refused(send(tenant, lines([execution(number) for number in range(3_000)])), 503, "storage_full")
        # A few events go through memory alone.
        ok(send(tenant, lines([execution(1)])), 201)


def test_a_stream_longer_than_the_operator_permits_is_refused(tenant: Tenant) -> None:
    body = lines([execution(number) for number in range(5_000)])
    compressed = zstandard.compress(body)
    with under(tenant, max_stream_bytes=1_000_000):
        refused(send(tenant, body), 413, "body_too_large")
        refused(send(tenant, iter([body])), 413, "body_too_large")
        refused(send(tenant, compressed, headers={"content-encoding": "zstd"}), 413, "body_too_large")
    assert logged(tenant) == []
