"""Pages of long times: overview and executions beside their SQL alone, the audit log, the count of a day."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
from sqlalchemy import event

from bench.browsing import auditor, signed_in
from bench.figures import Demand, Measured
from bench.load import LoadFailed
from bench.stage import Stage
from bench.tenants import Tenant
from service.domain.callers import Caller, Origin, Role
from service.domain.ids import SubscriptionId, mint
from service.domain.job_runs import JobRun
from service.domain.pagination import Paging
from service.processes.scheduler import job_context
from service.runtime.clock import system_clock
from service.runtime.settings import load
from service.sealing.sequencer import Sequencer
from service.usecases import overview
from service.usecases.context import Parts
from service.usecases.log_reading import begins_of
from service.usecases.maintenance import execution_figures as job
from service.usecases.overview import FigureSpan
from service.web import charts, log_times
from service.web.executions import EXECUTIONS

DAYS: Final = 90
COUNT: Final = Demand("count-day", "the count of a day, 20 subscriptions", 2, 1, "s", at_most=True)
_MUST_MS: Final = {"7d": 400, "30d": 1_000, "90d": 1_500}
_MUST_AUDIT_MS: Final = 150
_FILL: Final = Path(__file__).with_name("executions.sql").read_bytes()
_FILL_AUDIT: Final = Path(__file__).with_name("audit.sql").read_bytes()
_STAGED: Final = ("SAVEPOINT", "ROLLBACK TO", "RELEASE", "SELECT", "WITH", "--")

Read = Callable[[Parts, Caller, SubscriptionId, FigureSpan], object]


def _read_executions(context: Parts, caller: Caller, of: SubscriptionId, span: FigureSpan) -> object:
    paging = Paging(EXECUTIONS)
    return overview.read_executions(context, caller, of, span, workflow_id=None, status=None, paging=paging)


@dataclass(frozen=True, slots=True)
class LookedBack:
    """A page of a usual time, its demands, its path below the subscription, and the reading of its data."""

    demand: Demand
    ratio: Demand
    path: str
    time: str
    read: Read


PAGES: Final = tuple(
    LookedBack(
        Demand(f"{name}-{time}", f"the {name} of {time}", most, most / 2, "ms", at_most=True),
        Demand(
            f"{name}-{time}-sql", f"the {name} of {time} beside its SQL alone", 1.5, 1.2, "×", at_most=True
        ),
        path,
        time,
        read,
    )
    for name, path, read in (
        ("overview", "", overview.read),
        ("executions", "/executions", _read_executions),
    )
    for time, most in _MUST_MS.items()
)
# Narrowed by a facet, or by two, the audit log counts each of these without itself, too.
_EXPLORED: Final = {
    "audit": "",
    "audit-90d": "?range=90d",
    "audit-facet": "?range=90d&action=UPDATE",
    "audit-facets": "?range=90d&action=UPDATE&status=success",
    "audit-rare-facets": "?range=90d&action=PUBLISH&status=failed",
    "audit-resource": "?range=90d&resource_id=00000000-0000-0000-0000-000000000007",
}
AUDIT: Final = tuple(
    Demand(key, f"the audit log, {key.partition('-')[2] or 'usual'}", _MUST_AUDIT_MS, 75, "ms", at_most=True)
    for key in _EXPLORED
)
DEMANDS: Final = (COUNT, *(each for page in PAGES for each in (page.demand, page.ratio)), *AUDIT)


def pages(stage: Stage) -> list[Measured]:
    """Fill the logs, count a day in all subscriptions, then look at the pages."""
    tenant = stage.small()
    others = [_subscription(stage, f"beside {number}") for number in range(stage.sizes.subscriptions - 1)]
    at = datetime.now(UTC)
    _fill(stage, UUID(tenant.subscription_id), stage.sizes.executions, at)
    for each in others:
        _fill(stage, each, stage.sizes.executions // DAYS * 2, at)
    _fill_audit(stage, UUID(tenant.subscription_id), at)
    stage.database.vacuum()
    counted = _counted(stage)
    stage.database.vacuum()
    with closing(HTTPConnection(*stage.service().address, timeout=60)) as connection:
        headers = {"Cookie": signed_in(connection, auditor(stage.service(), tenant)), "Accept": "text/html"}
        base = f"/s/{tenant.subscription_id}"
        looked = [
            each for page in PAGES for each in _looked_back(stage, tenant, connection, headers, page, base)
        ]
        explored = [_explored(stage, connection, headers, demand, f"{base}/audit") for demand in AUDIT]
    return [counted, *looked, *explored]


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


def _fill_audit(stage: Stage, subscription_id: UUID, at: datetime) -> None:
    """Add events of DAYS days to the audit log."""
    stage.say(f"filling {stage.sizes.audit_events:,} audit events")
    with psycopg.connect(
        stage.database.url, autocommit=True, cursor_factory=psycopg.ClientCursor
    ) as connection:
        values = {"subscription_id": subscription_id, "events": stage.sizes.audit_events}
        connection.execute(_FILL_AUDIT, values | {"days": DAYS, "at": at})


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


def _looked_back(
    stage: Stage,
    tenant: Tenant,
    connection: HTTPConnection,
    headers: Mapping[str, str],
    page: LookedBack,
    base: str,
) -> list[Measured]:
    """View a page of a time and execute its SQL, alternately."""
    spent, beside = Measured(page.demand, measure="ms"), Measured(page.ratio, measure="ms")
    statements = _statements(stage, tenant, page)
    path = f"{base}{page.path}?range={page.time}"
    # The first time warms the caches of both.
    _view(connection, path, headers)
    _alone(stage, tenant, statements)
    for _ in range(stage.sizes.pairs):
        ours, theirs = _view(connection, path, headers), _alone(stage, tenant, statements)
        spent.add(ours, 1.0)
        beside.add(ours, theirs)
        spent.notes.append(f"{ours:.0f} ms, {len(statements)} statements alone {theirs:.0f} ms")
    stage.say(f"{page.demand.key}: {statistics.median(spent.service):.0f} ms; {spent.notes[-1]}")
    return [spent, beside]


def _explored(
    stage: Stage, connection: HTTPConnection, headers: Mapping[str, str], demand: Demand, base: str
) -> Measured:
    measured = Measured(demand, measure="ms")
    path = base + _EXPLORED[demand.key]
    _view(connection, path, headers)
    for _ in range(stage.sizes.pairs):
        measured.add(_view(connection, path, headers), 1.0)
    stage.say(f"{demand.key}: {statistics.median(measured.service):.0f} ms")
    return measured


def _view(connection: HTTPConnection, path: str, headers: Mapping[str, str]) -> float:
    """View a page; returns the milliseconds until all of it is there."""
    began = time.perf_counter()
    connection.request("GET", path, headers=dict(headers))
    answer = connection.getresponse()
    body = answer.read()
    spent = (time.perf_counter() - began) * 1000
    if answer.status != 200:
        raise LoadFailed(f"GET {path} was answered {answer.status}: {body[:200]!r}")
    return spent


def _statements(stage: Stage, tenant: Tenant, page: LookedBack) -> list[tuple[str, Any]]:
    """Note the statements that read the data of a page, but for the event that records the reading."""
    found: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, values: Any, *_: object) -> None:
        if statement.lstrip().startswith(_STAGED):
            found.append((statement, values))

    settings, _ = load({"data_dir": stage.folder / "data"}, {})
    with job_context(settings, stage.database.url) as context:
        event.listen(context.database.engine, "before_cursor_execute", note)
        until, length = context.clock(), log_times.RANGES[page.time]
        width = charts.width_for(length)
        since = begins_of(until - length, until, width)[0]
        span = FigureSpan(since=since, until=until, width=width, name=page.time)
        subscription_id = SubscriptionId(UUID(tenant.subscription_id))
        page.read(context, _reader(subscription_id), subscription_id, span)
    return found


def _reader(subscription_id: SubscriptionId) -> Caller:
    origin = Origin(request_id="bench", ip_address=None, user_agent=None, endpoint="/", method="GET")
    return Caller(
        user_id=None, username="auditor", role=Role.AUDITOR, subscription_id=subscription_id, origin=origin
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
