"""The figures of audit events, requests and changes posted as streams, against COPY of their rows."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from bench import tenants
from bench.figures import Demand, Measured
from bench.load import Call, http_request
from bench.stage import Stage
from service.domain.ids import BatchIds

CLIENTS = 4
LINES = 5_000
# The rows go in as JSON. Those of the audit log and of changes are compared, and counted by record.
_MUST, _GOAL = 0.1, 0.3


@dataclass(frozen=True, slots=True)
class Form:
    """Events of a log, whose fields are named as the columns of its table, which has some more."""

    demand: Demand
    log: str
    table: str
    row_id: str
    time: str
    event: Callable[[int], dict[str, Any]]
    more: dict[str, Any]


def _demand(key: str, named: str) -> Demand:
    figure = f"streams of 5,000 {named}, {CLIENTS} clients, against COPY of the same rows"
    return Demand(key, figure, _MUST, _GOAL, "×")


def _audit_event(number: int) -> dict[str, Any]:
    return {
        "action": "EXPORT",
        "resource_type": "report",
        "resource_id": f"report-{number % 500}",
        "resource_name": f"Sales of region {number % 40}",
        "new_values": {"format": "csv", "rows": number, "region": f"r{number % 40}"},
        "source": "reports",
    }


def _request(number: int) -> dict[str, Any]:
    return {
        "request_id": str(uuid4()),
        "http_method": "GET",
        "endpoint": f"/reports/{number % 500}",
        "response_status": 404 if number % 50 == 0 else 200,
        "response_time_ms": number % 900,
        "user_agent": "reports/2.1",
        "source": "reports",
    }


def _change(number: int) -> dict[str, Any]:
    return {
        "table_name": "orders",
        "record_id": str(uuid4()),
        "change_type": "INSERT",
        "new_data": {"customer": number % 300, "total": number, "state": "open"},
        "source": "shop",
    }


AUDIT_EVENTS = Form(
    _demand("audit", "audit events"),
    *("audit-logs", "audit_logs", "audit_id", "created_at"),
    _audit_event,
    {"status": "success", "origin": "posted"},
)
REQUESTS = Form(
    _demand("requests", "requests"),
    *("server-logs", "server_logs", "log_id", "created_at"),
    _request,
    {"origin": "posted"},
)
CHANGES = Form(
    _demand("changes", "changes"),
    *("change-history", "data_change_history", "change_id", "changed_at"),
    _change,
    {"version_number": 1, "origin": "posted"},
)
FORMS = (AUDIT_EVENTS, REQUESTS, CHANGES)


def compared(form: Form) -> Callable[[Stage], list[Measured]]:
    """Make the measurement of a form: send streams and copy the same rows, alternately."""

    def measure(stage: Stage) -> list[Measured]:
        measured = Measured(form.demand, measure="rows/s")
        service, tenant = stage.service(), stage.small()
        for number in range(stage.sizes.pairs + 1):
            made = [
                [form.event(each) for each in range(LINES)]
                for _ in range(max(2 * CLIENTS, stage.sizes.events // LINES))
            ]
            chains = [[_call(form, tenant, events)] for events in made]
            outcome, _ = service.measured(chains, clients=CLIENTS)
            rows = LINES * len(made)
            ours, theirs = rows / outcome.seconds, rows / _copied(stage, form, tenant, made)
            # The first pair warms connections, caches and tables.
            if number:
                measured.add(ours, theirs)
                stage.say(f"{form.demand.key}, pair {number}: {ours:,.0f} rows/s against {theirs:,.0f}")
        return [measured]

    return measure


def _call(form: Form, tenant: tenants.Tenant, events: Sequence[dict[str, Any]]) -> Call:
    request_id = f"bench-{uuid4()}"
    request = http_request(
        *("POST", f"{tenant.path}/{form.log}"),
        host=tenant.host,
        key=tenant.keys[0],
        request_id=request_id,
        body=b"\n".join(map(orjson.dumps, events)),
        headers={"Content-Type": "application/x-ndjson"},
    )
    return Call("events", request, 201, request_id)


def _copied(
    stage: Stage, form: Form, tenant: tenants.Tenant, batches: Sequence[Sequence[dict[str, Any]]]
) -> float:
    """Copy rows into the same table by as many clients as a superuser; returns the seconds."""
    fixed = {"subscription_id": UUID(tenant.subscription_id), form.time: datetime.now(UTC)} | form.more
    names = [form.row_id, *fixed, *form.event(0)]
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(form.table), sql.SQL(", ").join(map(sql.Identifier, names))
    )

    def work(events: Sequence[dict[str, Any]]) -> None:
        ids = BatchIds()
        with psycopg.connect(stage.database.url) as connection:
            with connection.cursor() as cursor, cursor.copy(statement) as copy:
                for event in events:
                    values = (
                        Jsonb(value, dumps=orjson.dumps) if isinstance(value, dict) else value
                        for value in event.values()
                    )
                    copy.write_row([ids.mint(), *fixed.values(), *values])
            connection.commit()

    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(work, batches))
    return time.perf_counter() - began
