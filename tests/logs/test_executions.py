"""Executions: one row for the events of one execution_id, equal to what plain Python makes of them."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.support.api import Json, Server, Tenant, ok, pointers, refused
from tests.support.events import events
from tests.support.executions import ENDS, History, filled

DAYS = 20


@pytest.fixture(scope="module")
def history(server: Server) -> History:
    return filled(Tenant(server, "executed"), random.Random(21), 400, DAYS)


def instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def shown(item: Json) -> Json:
    """Take from an answer what the reference has."""
    failure = item["failure"]
    names = ("workflow_id", "status", "events", "version_number", "git_commit_hash", "version_from")
    return {
        **{name: item[name] for name in names},
        "begun_at": instant(item["begun_at"]),
        "ended_at": instant(item["ended_at"]),
        "duration_ms": item["duration_ms"] and pytest.approx(item["duration_ms"], abs=0.01),
        "failure": failure and (failure["node_id"], failure["error_code"], failure["log_message"]),
    }


def listed(history: History, limit: int = 200, **query: Any) -> list[Json]:
    """Read all pages; by an auditor."""
    path = f"{history.tenant.path}/executions"
    return history.tenant.aud.pages(path, limit=limit, **query)


LONG_AGO = (datetime.now(UTC) - timedelta(days=DAYS + 5)).isoformat()


@pytest.mark.parametrize("limit", [7, 50, 200])
def test_executions_are_what_their_events_tell_together(history: History, limit: int) -> None:
    found = listed(history, limit, since=LONG_AGO)
    expected = history.executions()
    assert len(found) == len(expected) == 400
    assert {item["execution_id"]: shown(item) for item in found} == expected
    begins = [(item["begun_at"], item["execution_id"]) for item in found]
    assert [item["begun_at"] for item in found] == sorted((begin for begin, _ in begins), reverse=True)


@pytest.mark.parametrize(
    "narrow",
    [*({"status": each} for each in (*ENDS, "running")), *({"version_number": n} for n in (1, 2, 17)), {}],
    ids=str,
)
@pytest.mark.parametrize("of_workflow", [False, True])
def test_filters_are_of_whole_executions(history: History, narrow: Json, of_workflow: bool) -> None:
    now = datetime.now(UTC)
    since, until = now - timedelta(days=DAYS * 0.7), now - timedelta(days=DAYS * 0.1)
    workflow_id = history.workflows[1]["resource_id"]
    query = {**narrow, "since": since.isoformat(), "until": until.isoformat()}
    found = listed(history, 20, **query, **({"workflow_id": workflow_id} if of_workflow else {}))
    expected = {
        name
        for name, each in history.executions().items()
        if since <= each["begun_at"] <= until
        and (not of_workflow or each["workflow_id"] == workflow_id)
        and narrow.get("version_number") in (None, each["version_number"])
        and narrow.get("status") in (None, each["status"] if each["status"] in ENDS else "running")
    }
    assert sorted(item["execution_id"] for item in found) == sorted(expected)
    assert expected


def test_without_a_time_those_of_the_last_week_are_listed(history: History) -> None:
    week = datetime.now(UTC) - timedelta(days=7)
    expected = {name for name, each in history.executions().items() if each["begun_at"] >= week}
    assert {item["execution_id"] for item in listed(history)} == expected


@pytest.mark.parametrize("number", range(0, 400, 40))
def test_one_execution_has_its_nodes(history: History, number: int) -> None:
    name = f"run {number}"
    found = ok(history.tenant.aud.get(f"{history.tenant.path}/executions/{name}"))
    assert shown(found["execution"]) == history.executions()[name]
    posted = [each for each in history.events if each["execution_id"] == name]
    nodes = [each for each in posted if each["execution_type"] == "node"]
    assert found["nodes_in_all"] == len({each["node_id"] for each in nodes})
    assert {node["node_id"]: node["events"] for node in found["nodes"]} == {
        each["node_id"]: sum(other["node_id"] == each["node_id"] for other in nodes) for each in nodes
    }


def run(name: str, seconds_ago: float, **fields: Any) -> Json:
    moment = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    about = {"execution_type": "job", "log_level": "INFO", "log_message": "m"}
    return {"execution_id": name, "occurred_at": moment.isoformat(), **about, **fields}


def test_a_node_has_begin_end_and_duration(tenant: Tenant) -> None:
    node = {"execution_type": "node", "node_id": "load"}
    sent = [
        run("n", 100, status="running"),
        run("n", 90, **node, status="running"),
        run("n", 60, **node, status="failed", duration_ms=17, error_code="E7"),
        run("n", 50, **node, status="retrying"),
        run("n", 40, **node, status="success"),
        run("n", 90, **{**node, "node_id": "save"}, status="running"),
    ]
    ok(tenant.ben.post(f"{tenant.path}/execution-logs", sent), 201)
    found = ok(tenant.aud.get(f"{tenant.path}/executions/n"))
    load, save = sorted(found["nodes"], key=lambda each: each["node_id"])
    assert (load["status"], load["events"], load["error_code"]) == ("success", 4, "E7")
    assert load["duration_ms"] == pytest.approx(50_000, abs=100)
    assert (save["status"], save["ended_at"], save["duration_ms"]) == ("running", None, None)
    assert (found["execution"]["status"], found["execution"]["ended_at"]) == ("running", None)


def test_nodes_above_the_limit_are_counted(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.usecases.executions.MAX_NODES", 3)
    nodes = [run("many", 90 - n, execution_type="node", node_id=f"n{n}", status="success") for n in range(5)]
    ok(tenant.ben.post(f"{tenant.path}/execution-logs", [run("many", 100), *nodes]), 201)
    found = ok(tenant.aud.get(f"{tenant.path}/executions/many"))
    assert [node["node_id"] for node in found["nodes"]] == ["n0", "n1", "n2"]
    assert found["nodes_in_all"] == 5


def test_an_execution_of_nodes_alone_is_none(tenant: Tenant) -> None:
    ok(tenant.ben.post(f"{tenant.path}/execution-logs", run("x", 9, execution_type="node", node_id="n")), 201)
    assert tenant.aud.pages(f"{tenant.path}/executions") == []
    refused(tenant.aud.get(f"{tenant.path}/executions/x"), 404, "execution_not_found")


def test_another_tenants_execution_is_not_found(tenant: Tenant, stranger: Tenant) -> None:
    name = str(uuid4())
    ok(tenant.ben.post(f"{tenant.path}/execution-logs", run(name, 9)), 201)
    ok(tenant.aud.get(f"{tenant.path}/executions/{name.upper()}"))
    refused(stranger.aud.get(f"{stranger.path}/executions/{name}"), 404, "execution_not_found")
    assert stranger.aud.pages(f"{stranger.path}/executions") == []


def test_one_event_is_a_whole_execution(tenant: Tenant) -> None:
    job = tenant.make("jobs", name="Nightly")
    sent = [
        run("told", 9, status="success", duration_ms=5, job_id=job["resource_id"]),
        run("untold", 8, status="success"),
    ]
    ok(tenant.ben.post(f"{tenant.path}/execution-logs", sent), 201)
    untold, told = tenant.aud.pages(f"{tenant.path}/executions")
    assert (told["duration_ms"], told["resource_name"]) == (5, "Nightly")
    assert (untold["duration_ms"], untold["resource_name"], untold["status"]) == (None, None, "success")


def test_executions_of_days_are_listed_once(tenant: Tenant) -> None:
    sent = [run("long", 86_400 * 5, status="running"), run("long", 60, status="success")]
    ok(tenant.ben.post(f"{tenant.path}/execution-logs", sent), 201)
    [found] = tenant.aud.pages(f"{tenant.path}/executions", limit=1)
    assert found["duration_ms"] == pytest.approx(1_000 * (86_400 * 5 - 60), abs=1_000)
    since = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    assert tenant.aud.pages(f"{tenant.path}/executions", since=since) == []


def test_readings_are_recorded(tenant: Tenant) -> None:
    ok(tenant.ben.post(f"{tenant.path}/execution-logs", run("seen", 9)), 201)
    ok(tenant.aud.get(f"{tenant.path}/executions", params={"status": "running"}))
    ok(tenant.aud.get(f"{tenant.path}/executions/seen"))
    told = [event["new_values"] for event in events(tenant, action="READ", resource_type="execution_log")]
    assert told == [
        {"filters": {"of": "executions", "execution_id": "seen"}, "rows": 1},
        {"filters": {"of": "executions", "status": "running"}, "rows": 1},
    ]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"status": "queued"}, "status"),
        ({"execution_type": "node"}, "execution_type"),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "since"),
        ({"cursor": "abc"}, "cursor"),
        ({"version_number": "0"}, "version_number"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_executions_that_cannot_be_asked_for_are_refused(shared: Tenant, query: Json, parameter: str) -> None:
    response = shared.aud.get(f"{shared.path}/executions", params=query)
    assert pointers(refused(response, 422, "invalid")) == [parameter]


@pytest.mark.parametrize("time", ["created_at", "occurred_at"])
@pytest.mark.parametrize("of_workflow", [False, True])
@pytest.mark.parametrize("days", [4, DAYS + 5])
def test_events_are_grouped_by_the_version_of_their_execution(
    history: History, time: str, of_workflow: bool, days: int
) -> None:
    since = datetime.now(UTC) - timedelta(days=days)
    workflow_id = history.workflows[1]["resource_id"]
    query = {"time": time, "since": since.isoformat(), "bucket": "all", "group_by": ["version", "status"]}
    narrow = {"workflow_id": workflow_id} if of_workflow else {}
    path = f"{history.tenant.path}/execution-logs/stats"
    found = ok(history.tenant.aud.get(path, params={**query, **narrow}))["buckets"]
    executions = history.executions()
    expected: Counter[tuple[str | None, str | None]] = Counter()
    for event in history.events:
        is_within = time == "created_at" or datetime.fromisoformat(event["occurred_at"]) >= since
        if is_within and (not of_workflow or event["workflow_id"] == workflow_id):
            number = executions[event["execution_id"]]["version_number"]
            expected[None if number is None else str(number), event.get("status")] += 1
    assert {tuple(item["groups"]): item["count"] for item in found} == expected


def test_nodes_without_an_execution_are_of_the_version_that_they_name(tenant: Tenant) -> None:
    node = {"execution_type": "node", "node_id": "load"}
    sent = [run("only nodes", 9, **node, version_number=4), run("no version", 9, **node)]
    ok(tenant.ben.post(f"{tenant.path}/execution-logs", sent), 201)
    found = ok(tenant.aud.get(f"{tenant.path}/execution-logs/stats", params={"group_by": "version"}))
    assert {item["group"]: item["count"] for item in found["buckets"]} == {"4": 1, None: 1}


@pytest.mark.parametrize("year", ["0001", "0100", "0900"])
def test_executions_since_any_year_are_listed(shared: Tenant, year: str) -> None:
    times = {"since": f"{year}-01-01T00:00:00Z", "until": f"{year}-01-05T00:00:00Z"}
    assert ok(shared.aud.get(f"{shared.path}/executions", params=times))["items"] == []


def test_an_id_may_have_slashes(tenant: Tenant) -> None:
    name = f"runs/{uuid4()}/1"
    event = {"execution_id": name, "execution_type": "job", "log_level": "INFO", "log_message": "m"}
    ok(tenant.ben.post(f"{tenant.path}/execution-logs", [event]), 201)
    found = ok(tenant.aud.get(f"{tenant.path}/executions/{name.replace('/', '%2F')}"))
    assert found["execution"]["execution_id"] == name
