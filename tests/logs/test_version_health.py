"""Health by version: figures equal those of plain Python, and the rule is wrong as seldom as it says."""

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from math import comb, exp, floor, log
from statistics import quantiles
from typing import Any

import pytest

from service.domain.version_health import Verdict, VersionCounts, Worsening, judge, upper_tail
from sql.queries.version_health import BINS_PER_E
from tests.support.api import Json, Server, Tenant, ok, pointers, refused
from tests.support.events import events
from tests.support.executions import FAILURES, History, filled


def version(
    number: int, executions: int, rate: float, rng: random.Random, slower: float = 1.0
) -> VersionCounts:
    """Make counts of a version whose executions fail at a rate; their durations are spread as real ones."""
    failed = sum(rng.random() < rate for _ in range(executions))
    durations: dict[int, int] = defaultdict(int)
    for _ in range(executions - failed):
        durations[floor(log(exp(rng.gauss(9, 0.7)) * slower) * BINS_PER_E)] += 1
    succeeded = executions - failed
    return VersionCounts(version_number=number, failed=failed, succeeded=succeeded, durations=durations)


def told(executions: int, rates: list[float], slower: float = 1.0, histories: int = 100) -> list[Verdict]:
    """Judge histories of versions with these rates of failures; the last one is slower."""
    rng = random.Random(executions)
    return [
        judge(
            [
                version(n, executions, rate, rng, slower if n == len(rates) else 1.0)
                for n, rate in enumerate(rates, 1)
            ],
            len(rates),
        )
        for _ in range(histories)
    ]


@pytest.mark.parametrize("executions", [50, 200, 1_000])
@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2])
def test_equal_versions_are_seldom_called_worse(executions: int, rate: float) -> None:
    verdicts = told(executions, [rate] * 5)
    assert sum(each.worse_since is not None for each in verdicts) <= 4


@pytest.mark.parametrize(
    ("executions", "rate", "least"),
    [(50, 0.2, 30), (200, 0.1, 60), (200, 0.2, 90), (1_000, 0.05, 85), (1_000, 0.1, 98)],
)
def test_a_version_that_fails_twice_as_often_is_found(executions: int, rate: float, least: int) -> None:
    verdicts = told(executions, [rate, rate, rate, 2 * rate])
    right = [each for each in verdicts if each.worse_since == 4]
    assert sum(each.worse_since is not None for each in verdicts) >= least
    assert len(right) >= least - 12
    assert {each.roll_back_to for each in right} == {3}


@pytest.mark.parametrize(("executions", "least"), [(50, 25), (200, 90), (1_000, 99)])
def test_a_version_that_takes_twice_as_long_is_found(executions: int, least: int) -> None:
    verdicts = told(executions, [0.05] * 4, slower=2.0)
    assert sum(each.worse_in is Worsening.DURATION for each in verdicts) >= least


def test_a_broken_version_is_found_after_a_few_executions() -> None:
    rng = random.Random(1)
    assert judge([version(1, 100, 0.02, rng), version(2, 5, 1.0, rng)], 2) == Verdict(
        worse_since=2, worse_in=Worsening.FAILURES, roll_back_to=1
    )


def test_versions_that_were_mended_are_not_worse() -> None:
    assert sum(each.worse_since is not None for each in told(200, [0.05, 0.05, 0.3, 0.05])) <= 4


def test_a_worse_version_that_is_current_no_longer_is_not_told() -> None:
    rng = random.Random(2)
    versions = [version(1, 200, 0.05, rng), version(2, 200, 0.5, rng)]
    assert judge(versions, 2).worse_since == 2
    assert judge(versions, 1) == judge(versions, None) == judge([], 1) == Verdict()


def test_a_version_of_too_few_executions_is_no_target() -> None:
    rng = random.Random(3)
    versions = [version(1, 200, 0.05, rng), version(2, 3, 0.0, rng), version(3, 200, 0.6, rng)]
    assert judge(versions, 3).roll_back_to == 1


@pytest.mark.parametrize(
    "case", [(3, 10, 5, 40), (0, 4, 3, 9), (7, 50, 8, 200), (5, 5, 7, 105), (2, 3, 2, 3)]
)
def test_the_chance_is_that_of_all_ways_to_draw(case: tuple[int, int, int, int]) -> None:
    cases, drawn, all_cases, of = case
    ways = sum(
        comb(all_cases, k) * comb(of - all_cases, drawn - k) for k in range(cases, min(drawn, all_cases) + 1)
    )
    assert upper_tail(cases, drawn, all_cases, of) == pytest.approx(ways / comb(of, drawn))


@pytest.fixture(scope="module")
def history(server: Server) -> History:
    return filled(Tenant(server, "judged"), random.Random(22), 500, 25)


def figures(found: list[Json]) -> Json:
    """Compute the figures of a version's executions."""
    durations = sorted(each["duration_ms"] for each in found if each["status"] == "success")
    durations = [each for each in durations if each is not None]
    failures = sum(each["status"] in FAILURES for each in found)
    judged = failures + sum(each["status"] == "success" for each in found)
    shares = quantiles(durations, n=20, method="inclusive") if len(durations) > 1 else durations * 19
    named = sum(each["version_from"] == "event" for each in found)
    return {
        "executions": len(found),
        "failures": failures,
        "failure_rate": failures / judged if judged else None,
        "unended": sum(each["ended_at"] is None for each in found),
        "p50_duration_ms": pytest.approx(shares[9], abs=0.01) if durations else None,
        "p95_duration_ms": pytest.approx(shares[18], abs=0.01) if durations else None,
        "first_begun_at": min(each["begun_at"] for each in found),
        "last_begun_at": max(each["begun_at"] for each in found),
        "named": named,
    }


@pytest.mark.parametrize("days", [3, 12, 30])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_figures_of_versions_are_those_of_their_executions(history: History, place: int, days: int) -> None:
    workflow = history.workflows[place]
    since = datetime.now(UTC) - timedelta(days=days)
    path = f"{history.tenant.at(workflow)}/health"
    found = ok(history.tenant.vera.get(path, params={"since": since.isoformat()}))
    by_version: dict[int | None, list[Json]] = defaultdict(list)
    for each in history.executions().values():
        if each["workflow_id"] == workflow["resource_id"] and each["begun_at"] >= since:
            by_version[each["version_number"]].append(each)
    numbers = [item["version_number"] for item in found["versions"]]
    assert numbers == sorted((each for each in by_version if each), reverse=True) + [None] * (
        None in by_version
    )
    for item in found["versions"]:
        expected = figures(by_version[item["version_number"]])
        named = expected.pop("named")
        source = "event" if named == expected["executions"] else "both" if named else "publication"
        assert item["version_from"] == source or item["version_number"] is None
        times = ("first_begun_at", "last_begun_at")
        shown = {name: item[name] for name in expected} | {
            name: datetime.fromisoformat(item[name]) for name in times
        }
        assert shown == expected


def sent(tenant: Tenant, workflow: Json, number: int, days_ago: float, statuses: list[str]) -> None:
    """Send an execution for each status."""
    body = []
    for place, status in enumerate(statuses):
        moment = datetime.now(UTC) - timedelta(days=days_ago, seconds=-place)
        about = {"execution_type": "workflow", "log_level": "INFO", "log_message": "m", "duration_ms": 40}
        body.append(
            {
                **about,
                "execution_id": f"{number} {place}",
                "workflow_id": workflow["resource_id"],
                "version_number": number,
                "occurred_at": moment.isoformat(),
                "status": status,
            }
        )
    ok(tenant.ben.post(f"{tenant.path}/execution-logs", body), 201)


def test_a_worse_version_is_told_to_every_role_without_names(tenant: Tenant) -> None:
    workflow = tenant.workflow(name="Order ETL")
    for number in (2, 3):
        tenant.save(workflow, {"n": number})
    sent(tenant, workflow, 1, 5, ["success"] * 60 + ["failed"])
    sent(tenant, workflow, 2, 3, ["success"] * 40)
    sent(tenant, workflow, 3, 1, ["success"] * 20 + ["failed"] * 20)
    for caller in (tenant.vera, tenant.ben, tenant.aud):
        response = caller.get(f"{tenant.at(workflow)}/health")
        found = ok(response)
        assert (found["worse_since"], found["worse_in"], found["roll_back_to"]) == (3, "failures", 2)
        assert "Order" not in response.text
    refused(tenant.server.operator.get(f"{tenant.at(workflow)}/health"), 403, "forbidden")
    [*_, told] = events(tenant, action="READ", resource_type="execution_log")
    assert told["new_values"]["filters"]["of"] == "health"
    assert told["new_values"]["rows"] == 3


def test_a_version_that_is_not_stored_is_no_target(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.save(workflow, {"n": 2})
    sent(tenant, workflow, 1, 5, ["success"] * 40)
    sent(tenant, workflow, 40, 3, ["success"] * 60)
    sent(tenant, workflow, 41, 1, ["success"] * 20 + ["failed"] * 30)
    found = ok(tenant.vera.get(f"{tenant.at(workflow)}/health"))
    assert (found["worse_since"], found["roll_back_to"]) == (41, 1)
    commits = {each["version_number"]: each["git_commit_hash"] for each in found["versions"]}
    assert commits == {1: workflow["git_commit_hash"], 40: None, 41: None}


def test_what_was_not_executed_has_no_versions(tenant: Tenant, stranger: Tenant) -> None:
    workflow = tenant.workflow()
    for path in (tenant.at(workflow), f"{tenant.path}/folders/{tenant.folder_id}"):
        found = ok(tenant.vera.get(f"{path}/health"))
        nothing: tuple[Any, ...] = ([], None, None, None)
        names = ("versions", "worse_since", "worse_in", "roll_back_to")
        assert tuple(found[name] for name in names) == nothing
    refused(stranger.vera.get(f"{stranger.at(workflow)}/health"), 404, "resource_not_found")


def test_a_time_that_ends_before_it_begins_is_refused(shared: Tenant) -> None:
    query = {"since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}
    response = shared.vera.get(f"{shared.path}/folders/{shared.folder_id}/health", params=query)
    assert pointers(refused(response, 422, "invalid")) == ["since"]
