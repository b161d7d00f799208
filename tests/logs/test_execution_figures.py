"""Figures of executions by counted days equal what DuckDB makes of the rows, before and after each count."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest

from service.domain.ids import SubscriptionId
from service.usecases import execution_logs, overview
from service.usecases.maintenance import execution_figures
from sql.duration_bins import ERROR
from sql.log_statistics import Deadline, Grouping
from sql.queries.execution_day_figures import figures
from sql.queries.execution_logs import ExecutionBucket, ExecutionFilter
from tests.support.api import Json, Server, Tenant, ok
from tests.support.databases import Cluster
from tests.support.duckdb_logs import Question, Reference
from tests.support.following import sequence
from tests.support.job_runs import carried_out
from tests.support.serving import serving
from tests.support.streams import NDJSON

# ANNALS_TEST_QUESTIONS asks more than a run in between has time for.
QUESTIONS = int(os.environ.get("ANNALS_TEST_QUESTIONS", "10"))
ROWS = 20_000
LATE = ROWS // 10
DAYS = 60
COLUMNS = (
    *("occurred_at", "created_at", "execution_type", "workflow_id", "job_id", "node_id", "status"),
    *("error_code", "duration_ms", "rows_processed", "memory_used_mb"),
)
GROUPS = ("execution_type", "status", "workflow_id", "node_id", "error_code")
FILTERS: dict[str, list[Any]] = {
    "execution_type": ["node", "workflow"],
    "workflow_id": [str(UUID(int=number)) for number in range(3)],
    "node_id": [["load", "b"], ["extract"]],
    "status": [["failed", "timed_out"], ["success"]],
    "error_code": [["E1"], ["E1", "E2"]],
}
FIGURES = (
    *("count", "failed", "avg_duration_ms", "max_duration_ms", "rows_processed"),
    *("sum", "p50", "p95", "p99"),
)
WIDTHS = {"1d": "1 day", "7d": "7 days", "2w": "14 days"}
NOW = datetime.now(UTC)
TODAY = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
# The changes of the clocks of Berlin, where local days begin at 22:00 or 23:00 in UTC.
DST = (datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 23, tzinfo=UTC))
MOMENTS = (
    *DST,
    TODAY - timedelta(days=40),
    TODAY - timedelta(days=40, microseconds=1),
    TODAY - timedelta(days=20),
)


@dataclass
class Counted:
    """A subscription with its rows in DuckDB, too; `posted` is their number."""

    tenant: Tenant
    folder: Path
    posted: int = 0

    @property
    def server(self) -> Server:
        return self.tenant.server

    def post(self, events: list[Json]) -> None:
        """Post events with any past."""
        lines = b"\n".join(map(orjson.dumps, events))
        path = f"{self.tenant.path}/execution-logs?import=true"
        ok(self.tenant.ana.send(path, lines, **{"content-type": NDJSON}), 201)
        self.posted += len(events)

    def count(self) -> Json:
        """Run the scheduled job."""
        sequence(self.server)
        return dict(carried_out(self.server, execution_figures.NAME, execution_figures.run))

    def reference(self) -> Reference:
        """Make the reference of all rows up to now, of a file that the server exports."""
        file = self.tenant.aud.get(f"{self.tenant.path}/execution-logs", params={"format": "ndjson"})
        assert file.status_code == 200
        exported = [orjson.loads(line) for line in file.content.splitlines()]
        assert len(exported) == self.posted
        moments = ("occurred_at", "created_at")
        rows = [
            {name: row[name] for name in COLUMNS}
            | {name: datetime.fromisoformat(row[name]) for name in moments}
            | {"id": str(row["log_details"]["n"])}
            for row in exported
        ]
        self.folder.mkdir(exist_ok=True)
        return Reference(self.folder, "execution-logs", COLUMNS, rows)

    def answer(self, question: Question, **query: Any) -> Json:
        """Ask the API."""
        path = f"{self.tenant.path}/execution-logs/stats"
        return ok(self.tenant.aud.get(path, params={**question.parameters, **query}))


@pytest.fixture(scope="module")
def low(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes counted days wherever it can."""
    with serving(cluster, tmp_path_factory.mktemp("annals"), exact_rows=0) as server:
        yield server


@pytest.fixture(scope="module")
def counted(low: Server, tmp_path_factory: pytest.TempPathFactory) -> Counted:
    """Thousands of rows; some came after their days were counted, and their days were not counted again."""
    rng = random.Random(20)
    made = Counted(Tenant(low, "counted"), tmp_path_factory.mktemp("duckdb"))
    made.post([event(rng, number) for number in range(ROWS)])
    made.count()
    late = [TODAY - timedelta(days=rng.choice([3, 4, 40]), hours=-rng.uniform(0, 24)) for _ in range(LATE)]
    made.post([event(rng, ROWS + number, at) for number, at in enumerate(late)])
    return made


def event(rng: random.Random, number: int, at: datetime | None = None) -> Json:
    """Make a random event: nulls, equal times, borders of days, durations from zero to hours."""
    moment = at or rng.choice([*MOMENTS, NOW - timedelta(seconds=rng.uniform(0, DAYS * 86_400))])
    is_node = rng.random() < 0.8
    status = rng.choice([None, "running", "success", "success", "success", "failed", "timed_out"])
    found: Json = {
        "execution_id": str(UUID(int=number // 5)),
        "execution_type": "node" if is_node else rng.choice(["workflow", "workflow", "job"]),
        "workflow_id": rng.choice([None, str(UUID(int=rng.randrange(3)))]),
        "node_id": rng.choice([None, "load", "b", "extract"]) if is_node else None,
        "log_level": "INFO",
        "log_message": "m",
        "log_details": {"n": number},
        "status": status,
        "error_code": rng.choice([None, "E1", "E2"]) if status == "failed" else None,
        "duration_ms": rng.choice([None, 0, 0.25, 17, rng.lognormvariate(8, 2), rng.lognormvariate(6, 1)]),
        "rows_processed": rng.choice([None, 0, 17, 2**40]),
        "occurred_at": moment.isoformat(),
    }
    if at is None and rng.random() < 0.02:
        del found["occurred_at"]
    return {name: value for name, value in found.items() if value is not None}


def question(rng: random.Random) -> tuple[Question, str, list[str]]:
    """Ask for a time with ragged or whole ends, some values, a width and groups."""
    since = rng.choice([*MOMENTS, NOW - timedelta(days=rng.uniform(10, DAYS)), TODAY - timedelta(days=50)])
    until = rng.choice([None, NOW, TODAY - timedelta(days=3), DST[1], TODAY - timedelta(days=1, hours=5)])
    names = rng.sample(list(FILTERS), rng.choice([0, 0, 1, 2]))
    equal: Json = {name: rng.choice(FILTERS[name]) for name in names}
    if until is not None and until < since:
        since, until = until, since
    asked = Question(time="occurred_at", equal=equal, since=since, until=until)
    return asked, rng.choice([*WIDTHS, "all"]), rng.sample(GROUPS, rng.randint(0, 2))


def compare(counted: Counted, reference: Reference, seed: int) -> str:
    """Compare the answer to a random question; returns from what the figures were."""
    asked, bucket, groups = question(random.Random(seed))
    found = counted.answer(asked, bucket=bucket, group_by=groups)
    expected = reference.buckets(asked, WIDTHS.get(bucket), groups)
    places = [
        (None if bucket == "all" else datetime.fromisoformat(item["time"]), tuple(item["groups"]))
        for item in found["buckets"]
    ]
    assert len(places) == len(set(places)) == len(expected)
    assert found["percentile_error"] == (ERROR if found["figures_from"] == "days" else 0)
    for place, item in zip(places, found["buckets"], strict=True):
        values = expected[place]
        shown = [item[name] for name in FIGURES]
        assert shown[:6] == pytest.approx(values[:6]), (asked, place)
        for percentile, exact in zip(shown[6:], values[6:], strict=True):
            error = found["percentile_error"] or 1e-9
            assert percentile == (exact and pytest.approx(exact, rel=error)), (asked, place)
    source: str = found["figures_from"]
    return source


def test_figures_are_those_of_duckdb_before_and_after_late_rows_are_counted(counted: Counted) -> None:
    reference = counted.reference()
    before = [compare(counted, reference, seed) for seed in range(QUESTIONS)]
    assert before.count("days") > QUESTIONS / 2
    with counted.server.clock.moved(minutes=5):
        recounted = counted.count()
        assert 0 < recounted["days"] <= 3 * 3 + 4
        assert counted.count()["days"] == 0
    after = [compare(counted, reference, 1_000 + seed) for seed in range(QUESTIONS)]
    assert after.count("days") > QUESTIONS / 2


@pytest.mark.parametrize(
    "query",
    [
        {"bucket": "1h"},
        {"bucket": "36h"},
        {"bucket": "1d", "measure": "rows_processed"},
        {"bucket": "1d", "group_by": "log_level"},
        {"bucket": "1d", "group_by": "version"},
        {"bucket": "1d", "log_level": "INFO"},
        {"bucket": "1d", "time": "created_at"},
    ],
)
def test_a_question_that_days_do_not_answer_is_answered_by_rows(counted: Counted, query: Json) -> None:
    asked = Question(time="occurred_at", since=NOW - timedelta(days=30))
    found = counted.answer(asked, **query)
    assert (found["figures_from"], found["percentile_error"]) == ("rows", 0)


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (datetime(1, 1, 1, tzinfo=UTC), None),
        (datetime(9999, 12, 31, tzinfo=UTC), None),
    ],
)
def test_the_first_and_the_last_years_are_answered(
    counted: Counted, since: datetime, until: datetime | None
) -> None:
    found = counted.answer(Question(time="occurred_at", since=since, until=until), bucket="all")
    assert sum(item["count"] for item in found["buckets"]) == (counted.posted if since.year == 1 else 0)


def test_up_to_so_many_events_of_a_filter_the_rows_are_read(counted: Counted) -> None:
    subscription_id = UUID(counted.tenant.subscription_id)
    filters = ExecutionFilter(since=NOW - timedelta(days=50), time="occurred_at", status=("failed",))
    with counted.server.context.database.transaction(subscription_id) as tx:

        def found(most_rows: int) -> list[ExecutionBucket] | None:
            grouping = Grouping(width=None, by=("node_id",), limit=2)
            return figures(tx, subscription_id, filters, grouping, Deadline(), most_rows=most_rows)

        everything = Grouping(width=None, limit=1)
        [whole] = figures(tx, subscription_id, filters, everything, Deadline(), most_rows=0) or []
        assert found(whole.count) is None
        assert len(found(whole.count - 1) or []) == 2


@pytest.mark.parametrize(("days", "hours"), [(30, 24), (7, 24), (2, 1)])
def test_the_chart_of_very_many_executions_has_days(counted: Counted, days: int, hours: int) -> None:
    asked = overview.FigureSpan(
        since=TODAY - timedelta(days=days, hours=7), until=NOW, width=timedelta(hours=min(hours, 1))
    )
    subscription_id = SubscriptionId(UUID(counted.tenant.subscription_id))
    with counted.server.context.database.transaction(subscription_id) as tx:
        counts = execution_logs.by_days(0)
        found = overview.figures_within(tx, subscription_id, asked, NOW, Deadline(), counted=counts)
    assert found.span == replace(asked, width=timedelta(hours=hours))
    assert sum(each.count for each in found.by_time) == found.totals.ended > 0
    assert {each.time for each in found.by_time} <= set(found.begins)


def test_another_subscription_has_none_of_the_figures(counted: Counted) -> None:
    other = Counted(Tenant(counted.server, "other"), counted.folder / "other")
    rng = random.Random(3)
    other.post([event(rng, 10**6 + number, TODAY - timedelta(days=5)) for number in range(50)])
    other.count()
    found = other.answer(Question(time="occurred_at", since=NOW - timedelta(days=80)), bucket="all")
    assert found["figures_from"] == "days"
    assert [item["count"] for item in found["buckets"]] == [50]


def test_figures_outlive_the_rows_that_retention_deletes(counted: Counted) -> None:
    other = Counted(Tenant(counted.server, "expired"), counted.folder / "expired")
    rng = random.Random(4)
    day = TODAY - timedelta(days=9)
    other.post([event(rng, 2 * 10**6 + number, day + timedelta(minutes=number)) for number in range(300)])
    other.count()
    # As of rows whose term is over: those that arrived first.
    with other.server.database.connection() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "DELETE FROM node_execution_logs"
            " WHERE subscription_id = %s AND (log_details->>'n')::int %% 2 = 0",
            [other.tenant.subscription_id],
        )
    other.post([event(rng, 3 * 10**6, day)])
    with other.server.clock.moved(minutes=5):
        assert other.count()["kept"] == 1
    asked = Question(time="occurred_at", since=day, until=day + timedelta(days=1))
    assert other.answer(asked, bucket="all")["buckets"][0]["count"] == 300


def test_figures_go_with_the_rows_of_the_longest_term(counted: Counted) -> None:
    other = Counted(Tenant(counted.server, "over"), counted.folder / "over")
    rng = random.Random(6)
    other.post([event(rng, 6 * 10**6 + number, TODAY - timedelta(days=5)) for number in range(20)])
    other.count()
    left = "SELECT count(*) FROM execution_figures WHERE subscription_id = %s"
    with other.server.clock.moved(days=365):
        assert other.count()["expired"] == 0
    assert other.server.database.value(left, other.tenant.subscription_id) > 0
    path = f"{other.tenant.path}/holds"
    with other.server.clock.moved(days=375):
        hold = ok(other.tenant.ana.post(path, {"reason": "lawsuit"}), 201)
        other.count()
        assert other.server.database.value(left, other.tenant.subscription_id) > 0
        ok(other.tenant.ana.post(f"{path}/{hold['hold_id']}/release", {"reason": "over"}))
        assert other.count()["expired"] > 0
    assert other.server.database.value(left, other.tenant.subscription_id) == 0


@pytest.mark.parametrize("point", ["day-counted:kill:2"])
def test_a_run_that_is_killed_is_continued_by_the_next(counted: Counted, point: str) -> None:
    other = Counted(Tenant(counted.server, "killed"), counted.folder / point)
    rng = random.Random(point)
    start = 4 * 10**6 if point.startswith("days") else 5 * 10**6
    other.post([event(rng, start + number, NOW - timedelta(days=10 + number % 5)) for number in range(500)])
    sequence(other.server)
    done = subprocess.run(
        [Path(sys.executable).with_name("annals"), "jobs", "run", execution_figures.NAME],
        env=os.environ
        | {
            "DATABASE_URL": other.server.database.url,
            "ANNALS_DATA_DIR": str(other.server.context.settings.data_dir),
            "ANNALS_FAILPOINT": point,
        },
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    reference = other.reference()
    compare(other, reference, 1)
    other.count()
    assert [compare(other, reference, seed) for seed in range(5)].count("days")
    asked = Question(time="occurred_at", since=NOW - timedelta(days=30))
    found = other.answer(asked, bucket="all")
    assert (found["figures_from"], found["buckets"][0]["count"]) == ("days", 500)
