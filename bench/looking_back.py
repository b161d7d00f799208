"""Figures of long times: those of an overview by the API, beside their SQL alone, and the count of a day."""

import json
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

import psycopg
from sqlalchemy import event

from bench.figures import Demand, Measured
from bench.load import LoadFailed
from bench.stage import Stage
from bench.tenants import Tenant
from service.domain.ids import SubscriptionId, mint
from service.domain.job_runs import JobRun
from service.processes.scheduler import job_context
from service.runtime.clock import system_clock
from service.runtime.settings import EXACT_ROWS, load
from service.sealing.sequencer import Sequencer
from service.usecases import execution_logs
from service.usecases.log_reading import AskedFigures
from service.usecases.maintenance import execution_figures as job
from sql.database import Database as Pool
from sql.log_statistics import Deadline
from sql.queries.execution_logs import ExecutionFilter

DAYS: Final = 90
_MUST_MS: Final = {7: 400, 30: 1_000, 90: 1_500}
FIGURES: Final = tuple(
    Demand(f"figures-{days}", f"the figures of {days} days", most, most / 2, "ms", at_most=True)
    for days, most in _MUST_MS.items()
)
COUNT: Final = Demand("count-day", "the count of a day, 20 subscriptions", 2, 1, "s", at_most=True)
_FILL: Final = Path(__file__).with_name("executions.sql").read_bytes()
# What an overview shows. The tiles are asked for the time before, too.
_TILES: Final = {"execution_type": "workflow", "bucket": "all"}
_ASKED: Final[Sequence[Mapping[str, Any]]] = (
    {"execution_type": "workflow", "bucket": "1d", "group_by": "status"},
    {"execution_type": "workflow", "bucket": "1d"},
    {"execution_type": "workflow", "bucket": "all", "group_by": "workflow_id", "order": "failed", "limit": 8},
    {
        "execution_type": "node",
        "bucket": "all",
        "group_by": ["workflow_id", "node_id"],
        "order": "p95",
        "limit": 8,
    },
    {
        "status": ["failed", "timed_out"],
        "bucket": "all",
        "group_by": "error_code",
        "order": "count",
        "limit": 8,
    },
)


def figures(stage: Stage) -> list[Measured]:
    """Fill the logs, count a day in all subscriptions, then ask for the figures of each time."""
    tenant = stage.small()
    key = _auditor(stage, tenant)
    others = [_subscription(stage, f"beside {number}") for number in range(stage.sizes.subscriptions - 1)]
    at = datetime.now(UTC)
    _fill(stage, UUID(tenant.subscription_id), stage.sizes.executions, at)
    for each in others:
        _fill(stage, each, stage.sizes.executions // DAYS * 2, at)
    stage.database.vacuum()
    counted = _counted(stage)
    stage.database.vacuum()
    return [counted, *(_looked_back(stage, tenant, key, at, demand) for demand in FIGURES)]


def _auditor(stage: Stage, tenant: Tenant) -> str:
    """Make a user who may read figures, and return the key."""
    user = {"username": "auditor", "email": "auditor@example.com", "role": "auditor"}
    user_id = stage.service().call("POST", f"{tenant.path}/users", user)["user_id"]
    asked = {"user_id": user_id, "name": "bench"}
    key: str = stage.service().call("POST", f"{tenant.path}/api-keys", asked)["api_key"]
    return key


def _subscription(stage: Stage, name: str) -> UUID:
    return UUID(stage.service().call("POST", "/v1/subscriptions", {"name": name})["subscription_id"])


def _fill(stage: Stage, subscription_id: UUID, executions: int, at: datetime) -> None:
    """Add executions of DAYS days and five nodes of each; of a smaller subscription those of two days."""
    days = DAYS if executions == stage.sizes.executions else 2
    stage.say(f"filling {executions:,} executions over {days} days")
    with psycopg.connect(
        stage.database.url, autocommit=True, cursor_factory=psycopg.ClientCursor
    ) as connection:
        values = {"subscription_id": subscription_id, "executions": executions, "nodes": 5 * executions}
        connection.execute(_FILL, values | {"days": days, "at": at})


def _counted(stage: Stage) -> Measured:
    """Count all days, then yesterday again in each turn."""
    measured = Measured(COUNT, measure="s")
    stage.say(f"all days were counted in {_run(stage):.1f} s")
    for _ in range(stage.sizes.pairs):
        with psycopg.connect(stage.database.url, autocommit=True) as connection:
            connection.execute(
                "UPDATE execution_figure_days SET is_stale = true, counted_at = NULL"
                " WHERE day = (now() AT TIME ZONE 'UTC')::date - 1"
            )
        measured.add(_run(stage), 1.0)
        measured.notes.append(f"{measured.service[-1]:.2f} s")
    stage.say(f"{COUNT.key}: {', '.join(measured.notes)}")
    return measured


def _run(stage: Stage) -> float:
    """Give all batches their positions, and run the scheduled job; returns the seconds that the job took."""
    settings, _ = load({"data_dir": stage.folder / "data"}, {})
    with job_context(settings, stage.database.url) as context:
        sequencer = Sequencer(context.database, context.clock)
        while sequencer.turn():
            pass
        run = JobRun(run_id=mint(), job=job.NAME, at=system_clock())
        began = time.perf_counter()
        done = job.run(context, run)
        spent = time.perf_counter() - began
    if not done["days"]:
        raise LoadFailed(f"no day was counted: {done}")
    return spent


def _looked_back(stage: Stage, tenant: Tenant, key: str, at: datetime, demand: Demand) -> Measured:
    measured = Measured(demand, measure="ms")
    span = timedelta(days=int(demand.key.partition("-")[2]))
    statements = _statements(stage, tenant, at, span)
    headers = {"Authorization": f"Bearer {key}"}
    with closing(HTTPConnection(*stage.service().address, timeout=60)) as connection:
        # The first time warms the caches of both.
        for query in _queries(at, span):
            _ask(connection, tenant, headers, query)
        for _ in range(stage.sizes.pairs):
            began = time.perf_counter()
            sources = [_ask(connection, tenant, headers, query) for query in _queries(at, span)]
            ours = (time.perf_counter() - began) * 1000
            theirs = _alone(stage, tenant, statements)
            measured.add(ours, 1.0)
            by_days = sources.count("days")
            measured.notes.append(
                f"{ours:.0f} ms, {by_days} of {len(sources)} answers by days; their SQL alone"
                f" {theirs:.0f} ms: {ours / theirs:.2f} ×"
            )
    stage.say(f"{demand.key}: {statistics.median(measured.service):.0f} ms; {measured.notes[-1]}")
    return measured


def _queries(at: datetime, span: timedelta) -> list[dict[str, Any]]:
    """Make the questions of an overview of the time before an instant."""
    now = {"time": "occurred_at", "since": (at - span).isoformat(), "until": at.isoformat()}
    before = now | {"since": (at - 2 * span).isoformat(), "until": (at - span).isoformat()}
    return [now | _TILES, before | _TILES, *(now | dict(each) for each in _ASKED)]


def _ask(
    connection: HTTPConnection, tenant: Tenant, headers: Mapping[str, str], query: Mapping[str, Any]
) -> str:
    """Ask for figures; returns from what they are."""
    path = f"{tenant.path}/execution-logs/stats?{urlencode(query, doseq=True)}"
    connection.request("GET", path, headers=dict(headers))
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise LoadFailed(f"GET {path} was answered {answer.status}: {body[:200]!r}")
    source: str = json.loads(body)["figures_from"]
    return source


def _statements(stage: Stage, tenant: Tenant, at: datetime, span: timedelta) -> list[tuple[str, Any]]:
    """Note the statements that the use case makes of the questions."""
    found: list[tuple[str, Any]] = []
    pool = Pool(stage.database.url, pool_size=1)

    def note(_c: object, _cursor: object, statement: str, values: Any, *_: object) -> None:
        found.append((statement, values))

    subscription_id = SubscriptionId(UUID(tenant.subscription_id))
    try:
        with pool.transaction(subscription_id) as tx:
            event.listen(pool.engine, "before_cursor_execute", note)
            for query in _queries(at, span):
                # Each call of the API looks up its own time.
                counted = execution_logs.by_days(EXACT_ROWS)
                execution_logs.statistics_within(
                    tx, subscription_id, _filter(query), _figures(query), at, Deadline(), counted=counted
                )
    finally:
        pool.close()
    return found


def _filter(query: Mapping[str, Any]) -> ExecutionFilter:
    status = query.get("status")
    return ExecutionFilter(
        time=query["time"],
        since=datetime.fromisoformat(query["since"]),
        until=datetime.fromisoformat(query["until"]),
        execution_type=query.get("execution_type"),
        status=None if status is None else tuple(status),
    )


def _figures(query: Mapping[str, Any]) -> AskedFigures:
    by = query.get("group_by", ())
    return AskedFigures(
        bucket=query["bucket"],
        group_by=(by,) if isinstance(by, str) else tuple(by),
        order=query.get("order"),
        limit=query.get("limit"),
    )


def _alone(stage: Stage, tenant: Tenant, statements: Sequence[tuple[str, Any]]) -> float:
    """Execute statements in one transaction of a connection, as psql would; returns the milliseconds."""
    with psycopg.connect(stage.database.url, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute("SET ROLE annals_service")
        connection.execute("SELECT set_config('annals.scope', %s, false)", [tenant.subscription_id])
        began = time.perf_counter()
        for statement, values in statements:
            found = connection.execute(statement.encode(), values)
            if found.description is not None:
                found.fetchall()
        return (time.perf_counter() - began) * 1000
