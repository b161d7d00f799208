"""The figures of events: streams and arrays against COPY, a bad line at the end, saves beside a flood."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from bench import tenants
from bench.figures import Demand, Measured
from bench.load import Call, Chain, LoadFailed, http_request
from bench.service import ROOT, Row, Service
from bench.stage import Stage
from service.domain.ids import BatchIds
from sql.models import TABLES

NDJSON = Demand(
    "ndjson", "streams of 5,000 executions, 4 clients, against COPY of the same rows", 0.5, 0.75, "×"
)
ARRAYS = Demand(
    "arrays", "arrays of 1,000 executions, 4 clients, against COPY of the same rows", 0.4, 0.6, "×"
)
MEMORY = Demand(
    "memory",
    "memory of all processes for a stream whose last line is bad, beside none",
    200,
    100,
    "MB",
    at_most=True,
)
SAVES = Demand(
    "saves", "p99 of 8 clients that save beside 5 that send streams, against alone", 3, 2, "×", at_most=True
)

CLIENTS = 4
_LINES, _ITEMS = 5_000, 1_000
_FLOODERS, _SAVERS = 5, 8
_NAMES = tuple(TABLES["execution_logs"].c.keys())
_COPY = [
    sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, _NAMES))
    )
    for table in ("execution_logs", "node_execution_logs")
]
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Batch:
    """Events as the service takes them, and the same rows as COPY takes them, for each of the two tables."""

    count: int
    events: Sequence[bytes]
    rows: tuple[list[Row], list[Row]]


def streams(stage: Stage) -> list[Measured]:
    """Send streams and copy the same rows, alternately."""
    return [_compared(stage, NDJSON, _LINES, "application/x-ndjson", b"\n".join)]


def arrays(stage: Stage) -> list[Measured]:
    """Send arrays and copy the same rows, alternately."""
    return [_compared(stage, ARRAYS, _ITEMS, "application/json", lambda events: b"[%b]" % b",".join(events))]


def _compared(
    stage: Stage, demand: Demand, size: int, media_type: str, body: Callable[[Sequence[bytes]], bytes]
) -> Measured:
    measured = Measured(demand, measure="rows/s")
    service, tenant = stage.service(), _tenant(stage)
    for number in range(stage.sizes.pairs + 1):
        made = [
            batch_of(size, tenant.subscription_id)
            for _ in range(max(2 * CLIENTS, stage.sizes.events // size))
        ]
        chains = [[_call(tenant, body(batch.events), media_type)] for batch in made]
        outcome, cpu = service.measured(chains, clients=CLIENTS)
        rows = size * len(made)
        ours, theirs = rows / outcome.seconds, rows / _copied(stage, made)
        # The first pair warms connections, caches and tables.
        if number:
            measured.add(ours, theirs)
            spent = ", ".join(f"{group} {seconds / rows * 1e6:.0f} µs" for group, seconds in cpu.items())
            measured.notes.append(f"processor time of an event: {spent}")
            stage.say(f"{demand.key}, pair {number}: {ours:,.0f} rows/s against {theirs:,.0f}; {spent}")
    return measured


def _tenant(stage: Stage) -> tenants.Tenant:
    return stage.small()


def _call(tenant: tenants.Tenant, body: bytes, media_type: str) -> Call:
    headers = {"Content-Type": media_type}
    request_id = f"bench-{uuid4()}"
    request = http_request(
        *("POST", f"{tenant.path}/execution-logs"),
        host=tenant.host,
        key=tenant.keys[0],
        request_id=request_id,
        body=body,
        headers=headers,
    )
    return Call("events", request, 201, request_id)


def batch_of(size: int, subscription_id: str) -> Batch:
    """Make events of one run, of a job and of the nodes in it, as an orchestrator reports them."""
    ids, at, execution, workflow = BatchIds(), datetime.now(UTC), str(uuid4()), uuid4()
    events = [_event(number, execution, str(workflow)) for number in range(size)]
    added = {
        "workflow_id": workflow,
        "created_at": at,
        "subscription_id": UUID(subscription_id),
        "recorded_by": workflow,
        "request_id": "bench",
    }
    rows: dict[str, list[Row]] = {"job": [], "node": []}
    for event in events:
        values = dict.fromkeys(_NAMES) | event | added | {"log_id": ids.mint()}
        values["log_details"] = Jsonb(values["log_details"], dumps=orjson.dumps)
        rows[event["execution_type"]].append(tuple(values[name] for name in _NAMES))
    return Batch(size, [orjson.dumps(event) for event in events], (rows["job"], rows["node"]))


def _event(number: int, execution: str, workflow: str) -> dict[str, Any]:
    return {
        "execution_id": execution,
        "execution_type": "node" if number % 10 else "job",
        "workflow_id": workflow,
        "node_id": f"extract_{number % 40}",
        "log_level": "ERROR" if number % 50 == 0 else "INFO",
        "log_message": f"Read {number:,} rows of the table orders in partition {number % 7} of 7",
        "log_details": {
            "batch": number,
            "file": f"orders-{number % 30:02}.csv",
            "columns": ["id", "customer", "total"],
        },
        "duration_ms": number % 900,
        "rows_processed": number,
        "status": "success",
    }


def _copied(stage: Stage, batches: Sequence[Batch]) -> float:
    """Copy rows into the same tables by as many clients as a superuser; returns the seconds."""
    left = iter(batches)
    taking = threading.Lock()

    def taken() -> Batch | None:
        with taking:
            return next(left, None)

    def work() -> None:
        with psycopg.connect(stage.database.url) as connection:
            while (batch := taken()) is not None:
                for statement, rows in zip(_COPY, batch.rows, strict=True):
                    with connection.cursor() as cursor, cursor.copy(statement) as copy:
                        for row in rows:
                            copy.write_row(row)
                connection.commit()

    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(work) for _ in range(CLIENTS)]:
            done.result()
    return time.perf_counter() - began


def memory(stage: Stage) -> list[Measured]:
    """Send a long stream with a bad last line, and look at the memory of all processes of the service."""
    measured = Measured(MEMORY, measure="MB")
    service, tenant = stage.service(), _tenant(stage)
    piece = b"\n".join(batch_of(_LINES, tenant.subscription_id).events) + b"\n"
    times = max(1, stage.sizes.stream_bytes // len(piece))
    count = (
        "SELECT count(*) FROM (SELECT FROM execution_logs UNION ALL SELECT FROM node_execution_logs) logged"
    )
    before = stage.database.value(count)
    with _memory(service) as seen:
        status, answer = _sent(service, tenant, piece, times)
    fault = orjson.loads(answer)
    if status != 422 or fault["errors"][0]["line"] != times * _LINES + 1:
        raise LoadFailed(f"a stream with a bad last line was answered {status}: {answer[:300]!r}")
    if stage.database.value(count) != before:
        raise LoadFailed("a stream with a bad last line has stored rows")
    measured.add((max(seen) - seen[0]) / 1e6, 1.0)
    stage.say(f"a bad line at the end of {times * len(piece) / 1e9:.2f} GB: {measured.value:.0f} MB more")
    return [measured]


def _sent(service: Service, tenant: tenants.Tenant, piece: bytes, times: int) -> tuple[int, bytes]:
    connection = HTTPConnection(*service.address, timeout=3600)
    headers = {"Authorization": f"Bearer {tenant.keys[0]}", "Content-Type": "application/x-ndjson"}

    def body() -> Iterator[bytes]:
        for _ in range(times):
            yield piece
        yield b'{"log_level": 1}\n'

    try:
        connection.request("POST", f"{tenant.path}/execution-logs", body(), headers, encode_chunked=True)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@contextmanager
def _memory(service: Service) -> Iterator[list[int]]:
    """Collect the bytes of memory of all processes of the service, first of all those before the work."""
    seen = [service.memory()]
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_SECONDS):
            seen.append(service.memory())

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        ended.set()
        looking.join()


def saves(stage: Stage) -> list[Measured]:
    """Save alone and beside clients of another subscription that send streams without a rest."""
    measured = Measured(SAVES, measure="ms")
    tenant, flooding = stage.hot(), _tenant(stage)
    body = b"\n".join(batch_of(_LINES, flooding.subscription_id).events)

    def saved() -> float:
        def make(amount: int) -> list[Chain]:
            return list(tenants.saves([tenant], amount, stage.rng))

        return stage.turn(make, "save", clients=_SAVERS).p99

    for number in range(stage.sizes.pairs):
        alone = saved()
        with _flood(stage.service(), flooding, body) as flood:
            beside = saved()
        if not flood.sent:
            raise LoadFailed("nothing flooded the service")
        measured.add(beside, alone)
        measured.notes.append(f"{flood.sent * _LINES:,} events came beside the saves")
        stage.say(f"saves, pair {number + 1}: p99 {beside:.1f} ms beside streams, {alone:.1f} ms alone")
    return [measured]


@dataclass(slots=True)
class _Flood:
    sent: int = 0


@contextmanager
def _flood(service: Service, tenant: tenants.Tenant, body: bytes) -> Iterator[_Flood]:
    """Send a stream again and again from processes of their own, while the block works."""
    flood = _Flood()
    command = [
        sys.executable,
        "-m",
        "bench.flooding",
        service.url,
        f"{tenant.path}/execution-logs",
        str(_FLOODERS),
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    if process.stdin is None or process.stdout is None:
        raise LoadFailed("the flood has no pipes")
    process.stdin.write(tenant.keys[0].encode() + b"\n" + len(body).to_bytes(8) + body)
    process.stdin.flush()
    if process.stdout.readline() != b"ready\n":
        raise LoadFailed("the flood did not begin")
    try:
        yield flood
    finally:
        process.stdin.close()
        flood.sent = int(process.stdout.read() or 0)
        process.stdout.close()
        process.wait()
