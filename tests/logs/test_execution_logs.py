"""Executions that a platform records: every column, two tables that are read as one, filters, pages."""

import json
from datetime import UTC, datetime, timedelta, timezone
from itertools import combinations
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.api import Json, Tenant, ok, pointers, refused

WORKFLOW, JOB, PACKAGE, USER = (str(uuid4()) for _ in range(4))
EXECUTION: Json = {
    "execution_id": str(uuid4()),
    "execution_type": "job",
    "log_level": "INFO",
    "log_message": "begins",
}
# Every field, with the largest content of its column.
FULL: Json = {
    "execution_id": str(uuid4()),
    "execution_type": "node",
    "workflow_id": WORKFLOW,
    "job_id": JOB,
    "jobpackage_id": PACKAGE,
    "node_id": "node é " + "x" * 248,
    "log_level": "CRITICAL",
    "log_message": "",
    "log_details": {"rows": [1, {"a": None}], "big": 2**64 - 1, "large": 1e300},
    "duration_ms": 2**31 - 1,
    "rows_processed": 2**63 - 1,
    "memory_used_mb": 99_999_999.99,
    "cpu_percent": 999.99,
    "status": "failed",
    "error_code": "E" * 100,
    "error_details": {},
    "triggered_by": USER,
    "source": "s" * 200,
    "version_number": 2**31 - 1,
    "git_commit_hash": "0123456789abcdef" * 2 + "01234567",
    "occurred_at": None,
}


def post(tenant: Tenant, body: object, **headers: str) -> Json:
    """Post events, and return the answer to their acceptance."""
    return ok(tenant.ben.post(f"{tenant.path}/execution-logs", body, headers=headers), 201)


def logged(tenant: Tenant, **query: Any) -> list[Json]:
    """Read events as an auditor."""
    return tenant.aud.pages(f"{tenant.path}/execution-logs", **query)


@pytest.mark.parametrize("kind", ["workflow", "job", "jobpackage", "node"])
def test_every_field_comes_back_as_it_was_sent(tenant: Tenant, kind: str) -> None:
    sent = FULL | {"execution_type": kind}
    answer = post(tenant, sent, **{"x-request-id": "run-1"})
    [found] = logged(tenant)
    assert answer == {"accepted": 1, "ids": [found["log_id"]]}
    expected = {
        "log_id": found["log_id"],
        "created_at": found["created_at"],
        "occurred_at": found["created_at"],
        "subscription_id": tenant.subscription_id,
        "recorded_by": tenant.ben.user_id,
        "request_id": "run-1",
        "origin": "posted",
    }
    assert found == sent | expected


def test_nodes_have_a_table_of_their_own(tenant: Tenant) -> None:
    kinds = ("workflow", "job", "jobpackage", "node", "node")
    assert post(tenant, [{**EXECUTION, "execution_type": kind} for kind in kinds]) == {"accepted": 5}
    counts = tenant.server.database.rows(
        "SELECT (SELECT count(*) FROM execution_logs WHERE subscription_id = id),"
        " (SELECT count(*) FROM node_execution_logs WHERE subscription_id = id)"
        " FROM (VALUES (%s::uuid)) tenant (id)",
        tenant.subscription_id,
    )
    assert counts == [(3, 2)]


def test_what_is_not_said_is_null_and_details_are_empty(tenant: Tenant) -> None:
    post(tenant, EXECUTION)
    [found] = logged(tenant)
    assert found["log_details"] == {}
    for name in set(FULL) - set(EXECUTION) - {"log_details", "occurred_at"}:
        assert found[name] is None


BAD: list[tuple[Json, str]] = [
    ({"execution_id": ""}, "/execution_id"),
    ({"execution_id": "x" * 256}, "/execution_id"),
    ({"execution_type": "flow"}, "/execution_type"),
    ({"log_level": "FATAL"}, "/log_level"),
    ({"log_level": None}, "/log_level"),
    ({"log_message": None}, "/log_message"),
    ({"log_details": []}, "/log_details"),
    ({"duration_ms": -1}, "/duration_ms"),
    ({"duration_ms": 2**53}, "/duration_ms"),
    ({"duration_ms": "1"}, "/duration_ms"),
    ({"duration_ms": True}, "/duration_ms"),
    ({"rows_processed": 2**63}, "/rows_processed"),
    ({"memory_used_mb": 100_000_000}, "/memory_used_mb"),
    ({"memory_used_mb": 1.005}, "/memory_used_mb"),
    ({"memory_used_mb": "1"}, "/memory_used_mb"),
    ({"cpu_percent": 1000}, "/cpu_percent"),
    ({"cpu_percent": 0.001}, "/cpu_percent"),
    ({"cpu_percent": -0.01}, "/cpu_percent"),
    ({"cpu_percent": 1e-9}, "/cpu_percent"),
    ({"status": "done"}, "/status"),
    ({"error_code": "x" * 101}, "/error_code"),
    ({"error_details": "x"}, "/error_details"),
    ({"node_id": "x" * 256}, "/node_id"),
    ({"triggered_by": "line\nbreak"}, "/triggered_by"),
    ({"source": "x" * 201}, "/source"),
    ({"version_number": 0}, "/version_number"),
    ({"version_number": 2**31}, "/version_number"),
    ({"git_commit_hash": "123456"}, "/git_commit_hash"),
    ({"git_commit_hash": "main"}, "/git_commit_hash"),
    ({"log_id": str(uuid4())}, "/log_id"),
    ({"recorded_by": str(uuid4())}, "/recorded_by"),
    ({"created_at": 1_764_000_000}, "/created_at"),
    ({"created_at": "1764000000"}, "/created_at"),
    ({"created_at": "2026-11-24"}, "/created_at"),
    ({"created_at": "2026-11-24T10:00:00"}, "/created_at"),
    ({"created_at": "2026-02-30T10:00:00Z"}, "/created_at"),
    ({"created_at": "0001-01-01T00:00:00+23:59"}, "/created_at"),
    ({"created_at": "9999-12-31T23:59:59-23:59"}, "/created_at"),
]


@pytest.mark.parametrize(("fields", "pointer"), BAD)
@pytest.mark.sampled(20)
def test_what_breaks_a_rule_is_pointed_at_and_nothing_is_stored(
    tenant: Tenant, fields: Json, pointer: str
) -> None:
    path = f"{tenant.path}/execution-logs"
    wrong = {**EXECUTION, **fields}
    assert pointers(refused(tenant.ben.post(path, wrong), 422, "invalid")) == [pointer]
    many = [EXECUTION, {**EXECUTION, "execution_type": "node"}, wrong]
    assert pointers(refused(tenant.ben.post(path, many), 422, "invalid")) == [f"/2{pointer}"]
    assert logged(tenant) == []


def moment(**away: float) -> str:
    """Return an instant at a distance from now."""
    return (datetime.now(UTC) + timedelta(**away)).isoformat()


def test_a_time_of_the_platforms_own_is_kept(tenant: Tenant) -> None:
    # Any zone, and any precision down to the microsecond.
    at = datetime.now(UTC).replace(microsecond=123_456) - timedelta(days=6)
    zoned = at.astimezone(tz=datetime.fromisoformat("2026-01-01T00:00:00+05:30").tzinfo)
    post(tenant, {**EXECUTION, "occurred_at": zoned.isoformat()})
    [found] = logged(tenant)
    assert found["occurred_at"] == at.isoformat().replace("+00:00", "Z")
    assert found["created_at"] > moment(minutes=-1)


def test_a_created_at_that_is_sent_is_the_time_of_the_event(tenant: Tenant) -> None:
    at = moment(days=-3)
    post(tenant, {**EXECUTION, "created_at": at})
    [found] = logged(tenant)
    assert found["occurred_at"] == at.replace("+00:00", "Z")
    assert found["created_at"] > moment(minutes=-1)


def test_an_event_has_one_time_of_its_own(tenant: Tenant) -> None:
    wrong = {**EXECUTION, "created_at": moment(), "occurred_at": moment()}
    response = tenant.ben.post(f"{tenant.path}/execution-logs", wrong)
    assert pointers(refused(response, 422, "invalid")) == ["/created_at"]


def test_nanoseconds_are_cut(tenant: Tenant) -> None:
    second = moment(hours=-1)[:19]
    post(tenant, {**EXECUTION, "occurred_at": f"{second}.123456999Z"})
    assert [row["occurred_at"] for row in logged(tenant)] == [f"{second}.123456Z"]


def test_an_offset_past_postgresqls_own_is_a_time_as_well(tenant: Tenant) -> None:
    at = datetime.now(UTC)
    far = at.astimezone(timezone(timedelta(hours=23, minutes=59))).isoformat()
    post(tenant, [EXECUTION, {**EXECUTION, "occurred_at": far}])
    assert at.isoformat().replace("+00:00", "Z") in [row["occurred_at"] for row in logged(tenant)]
    for ends in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        response = tenant.ben.post(f"{tenant.path}/execution-logs", [{**EXECUTION, "created_at": ends}])
        assert pointers(refused(response, 422, "invalid")) == ["/0/created_at"]


@pytest.mark.parametrize(
    ("away", "is_taken"),
    [
        ({"days": -6.99}, True),
        ({"days": -7.01}, False),
        ({"minutes": 4}, True),
        ({"minutes": 6}, False),
    ],
)
def test_a_time_may_lie_7_days_back_and_5_minutes_ahead(
    tenant: Tenant, away: dict[str, float], is_taken: bool
) -> None:
    for name in ("occurred_at", "created_at"):
        body = [EXECUTION, {**EXECUTION, name: moment(**away)}]
        response = tenant.ben.post(f"{tenant.path}/execution-logs", body)
        if is_taken:
            ok(response, 201)
        else:
            assert pointers(refused(response, 422, "invalid")) == [f"/1/{name}"]
    assert len(logged(tenant)) == (4 if is_taken else 0)


def test_an_admin_imports_events_of_any_past(tenant: Tenant) -> None:
    path = f"{tenant.path}/execution-logs?import=true"
    old = {**EXECUTION, "occurred_at": "1999-12-31T23:59:59.5Z"}
    refused(tenant.ben.post(path, old), 403, "forbidden")
    ok(tenant.ana.post(path, old), 201)
    [found] = logged(tenant)
    assert found["occurred_at"] == "1999-12-31T23:59:59.500000Z"
    assert found["created_at"] > moment(minutes=-1)
    ahead = tenant.ana.post(path, {**EXECUTION, "occurred_at": moment(minutes=6)})
    assert pointers(refused(ahead, 422, "invalid")) == ["/occurred_at"]


def test_events_that_are_sent_again_are_stored_once_with_the_same_answer(tenant: Tenant) -> None:
    headers = {"idempotency-key": "run 1"}
    first = post(tenant, FULL, **headers)
    assert post(tenant, FULL, **headers) == first
    assert post(tenant, [EXECUTION] * 3, **{"idempotency-key": "run 2"}) == {"accepted": 3}
    assert post(tenant, [EXECUTION] * 3, **{"idempotency-key": "run 2"}) == {"accepted": 3}
    assert len(logged(tenant)) == 4
    response = tenant.ben.post(f"{tenant.path}/execution-logs", EXECUTION, headers=headers)
    refused(response, 422, "idempotency_key_reused")


FILTERS = (
    *("execution_id", "execution_type", "workflow_id", "job_id", "jobpackage_id", "node_id", "log_level"),
    *("status", "error_code", "triggered_by", "recorded_by", "source", "version_number", "git_commit_hash"),
    *("request_id", "log_id"),
)


@pytest.fixture(scope="module")
def varied(shared: Tenant) -> tuple[Tenant, list[Json]]:
    """A tenant with executions of every sort, and all rows of its log."""
    values: dict[str, list[Any]] = {
        "execution_id": [str(uuid4()), str(uuid4())],
        "execution_type": ["workflow", "node", "job"],
        "workflow_id": [WORKFLOW, None],
        "job_id": [JOB, None, str(uuid4())],
        "jobpackage_id": [PACKAGE, None],
        "error_code": ["E1", None, "E2", "E1"],
        "triggered_by": [shared.ben.user_id, None, str(uuid4())],
        "node_id": ["a", "b", None],
        "log_level": ["INFO", "ERROR", "DEBUG", "WARNING"],
        "status": ["success", "failed", None, "running", "cancelled"],
        "source": ["airflow", None],
        "version_number": [3, None, 4],
        "git_commit_hash": ["0123abc", None],
    }
    for first in range(0, 60, 5):
        numbers = range(first, first + 5)
        kept = [{name: some[number % len(some)] for name, some in values.items()} for number in numbers]
        post(shared, [EXECUTION | each for each in kept])
    return shared, logged(shared)


def test_executions_are_narrowed_by_each_filter_and_by_any_two_and_by_all(
    varied: tuple[Tenant, list[Json]],
) -> None:
    tenant, everything = varied
    assert len(everything) == 60
    sample = next(row for row in everything if all(row[name] is not None for name in FILTERS))
    for count in (1, 2, len(FILTERS)):
        # A third of the pairs, in each of which another filter is the first or the second.
        for names in list(combinations(FILTERS, count))[:: 3 if count == 2 else 1]:
            query = {name: sample[name] for name in names}
            expected = [row for row in everything if all(row[name] == query[name] for name in names)]
            # One filter after the other is also read in small pages.
            assert logged(tenant, limit=7 if count == 1 else 100, **query) == expected


def test_executions_are_narrowed_by_time(varied: tuple[Tenant, list[Json]]) -> None:
    tenant, everything = varied
    since, until = everything[44]["created_at"], everything[10]["created_at"]
    assert logged(tenant, since=since) == everything[:45]
    assert logged(tenant, until=until) == everything[10:]
    assert logged(tenant, since=since, until=until, limit=3) == everything[10:45]
    assert logged(tenant, since=until, until=since) == []
    kind = [row for row in everything[10:45] if row["execution_type"] == "node"]
    assert logged(tenant, since=since, until=until, execution_type="node") == kind


@pytest.mark.parametrize("limit", [1, 7, 59, 60, 61, 200])
def test_pages_span_both_tables_newest_first(varied: tuple[Tenant, list[Json]], limit: int) -> None:
    tenant, everything = varied
    found = logged(tenant, limit=limit)
    assert found == everything
    assert [row["created_at"] for row in found] == sorted((r["created_at"] for r in found), reverse=True)


def test_a_page_is_stable_while_rows_come_in(tenant: Tenant) -> None:
    for _ in range(6):
        post(tenant, EXECUTION)
    before = logged(tenant)
    path = f"{tenant.path}/execution-logs"
    first = ok(tenant.aud.get(path, params={"limit": 2}))
    post(tenant, [EXECUTION, {**EXECUTION, "execution_type": "node"}])
    rest = tenant.aud.pages(path, cursor=first["next_cursor"], limit=2)
    assert first["items"] + rest == before


def test_rows_of_one_instant_are_each_found_once(tenant: Tenant) -> None:
    post(tenant, [{**EXECUTION, "execution_type": kind} for kind in ["node", "job"] * 10])
    assert len({row["created_at"] for row in logged(tenant)}) == 1
    assert len({row["log_id"] for row in logged(tenant, limit=3)}) == 20


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"execution_type": "flow"}, "execution_type"),
        ({"log_level": "fatal"}, "log_level"),
        ({"status": "done"}, "status"),
        ({"execution_id": "1" * 256}, "execution_id"),
        ({"triggered_by": ""}, "triggered_by"),
        ({"version_number": "0"}, "version_number"),
        ({"git_commit_hash": "main"}, "git_commit_hash"),
        ({"workflow_id": "1"}, "workflow_id"),
        ({"job_id": "1"}, "job_id"),
        ({"node_id": "\0"}, "node_id"),
        ({"since": "yesterday"}, "since"),
        ({"until": "2026-01-01T00:00:00"}, "until"),
        ({"jobpackage_id": "1"}, "jobpackage_id"),
        ({"log_message": "m"}, "log_message"),
    ],
)
def test_a_filter_that_breaks_a_rule_is_refused(
    shared: Tenant, query: dict[str, str], parameter: str
) -> None:
    response = shared.aud.get(f"{shared.path}/execution-logs", params=query)
    assert pointers(refused(response, 422, "invalid")) == [parameter]


def test_a_cursor_holds_only_with_its_filters(varied: tuple[Tenant, list[Json]]) -> None:
    tenant, _ = varied
    path = f"{tenant.path}/execution-logs"
    cursor = ok(tenant.aud.get(path, params={"limit": 1}))["next_cursor"]
    ok(tenant.aud.get(path, params={"cursor": cursor}))
    for query in ({"log_level": "INFO"}, {"node_id": "a"}, {"since": moment(days=-1)}):
        response = tenant.aud.get(path, params={"cursor": cursor, **query})
        assert pointers(refused(response, 422, "invalid")) == ["cursor"]
    response = tenant.aud.get(f"{tenant.path}/audit-logs", params={"cursor": cursor})
    assert pointers(refused(response, 422, "invalid")) == ["cursor"]


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"]
)
@pytest.mark.parametrize(
    "path", ["execution-logs", "change-history", "execution-logs/stats", "audit-logs/stats"]
)
def test_the_ends_of_time_are_no_fault_of_the_server(shared: Tenant, path: str, moment: str) -> None:
    for name in ("since", "until"):
        response = shared.aud.get(f"{shared.path}/{path}", params={name: moment})
        assert response.status_code in (200, 422), response.text


def test_the_log_is_one_subscriptions_own(tenant: Tenant, stranger: Tenant) -> None:
    post(stranger, EXECUTION)
    post(tenant, EXECUTION)
    assert {row["subscription_id"] for row in logged(tenant)} == {tenant.subscription_id}
    refused(stranger.ben.post(f"{tenant.path}/execution-logs", EXECUTION), 404, "subscription_not_found")


def test_pages_and_figures_are_read_by_the_events_own_time(tenant: Tenant) -> None:
    path = f"{tenant.path}/execution-logs"
    days = [3, 1, 5, 2, 4]
    post(tenant, [{**EXECUTION, "occurred_at": moment(days=-day), "node_id": str(day)} for day in days])
    found = logged(tenant, time="occurred_at", limit=2)
    assert [row["node_id"] for row in found] == ["1", "2", "3", "4", "5"]
    since = {"time": "occurred_at", "since": moment(days=-2.5)}
    assert [row["node_id"] for row in logged(tenant, **since)] == ["1", "2"]
    figures = ok(tenant.aud.get(f"{path}/stats", params={"bucket": "1d", "time": "occurred_at"}))["buckets"]
    assert [bucket["count"] for bucket in figures] == [1] * 5


IDS = [
    "scheduled__2026-11-30T00:00:00+00:00",
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "payments/order-17:attempt 2",
    "№ 7, Ünïcode",
    "00f067aa0ba902b7",
]


@pytest.mark.parametrize("text", IDS)
def test_ids_of_other_systems_are_any_texts(tenant: Tenant, text: str) -> None:
    post(tenant, [EXECUTION, {**EXECUTION, "execution_id": text, "triggered_by": text}])
    for name in ("execution_id", "triggered_by"):
        [found] = logged(tenant, **{name: text})
        assert (found["execution_id"], found["triggered_by"]) == (text, text)


def test_a_uuid_is_found_in_each_of_its_spellings(tenant: Tenant) -> None:
    value = uuid4()
    post(tenant, {**EXECUTION, "execution_id": str(value).upper(), "triggered_by": str(value).upper()})
    for text in (str(value), str(value).upper(), value.hex, value.urn):
        for name in ("execution_id", "triggered_by"):
            [found] = logged(tenant, **{name: text})
            assert (found["execution_id"], found["triggered_by"]) == (str(value), str(value))


def test_the_one_who_triggered_is_found_by_the_name_or_id_of_a_user_or_by_the_platforms_own_text(
    tenant: Tenant,
) -> None:
    post(tenant, [{**EXECUTION, "triggered_by": who} for who in (tenant.ben.user_id, "ben", "cron")])
    assert {row["triggered_by"] for row in logged(tenant, triggered_by="ben")} == {tenant.ben.user_id, "ben"}
    assert [row["triggered_by"] for row in logged(tenant, triggered_by="cron")] == ["cron"]
    assert len(logged(tenant, triggered_by=tenant.ben.user_id)) == 1


STATES = ("queued", "running", "retrying", "success", "failed", "cancelled", "skipped", "timed_out")
LEVELS = ("TRACE", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL")


def test_each_state_and_each_level_is_found(tenant: Tenant) -> None:
    post(tenant, [{**EXECUTION, "status": status} for status in STATES])
    post(tenant, [{**EXECUTION, "log_level": level, "execution_type": "node"} for level in LEVELS])
    for status in STATES:
        assert [row["status"] for row in logged(tenant, status=status.upper())] == [status]
    for level in LEVELS:
        found = logged(tenant, log_level=level.lower(), execution_type="node")
        assert [row["log_level"] for row in found] == [level]


def test_durations_are_fractions_or_months_and_whole_numbers_stay_whole(tenant: Tenant) -> None:
    path = f"{tenant.path}/execution-logs"
    durations = [0.125, 12.0, 15_552_000_000, 2**53 - 1]
    post(tenant, [{**EXECUTION, "duration_ms": duration} for duration in durations])
    text = tenant.aud.get(path).text
    for shown in ("0.125,", "12,", "15552000000,", "9007199254740991,"):
        assert f'"duration_ms":{shown}' in text
    [figures] = ok(tenant.aud.get(f"{path}/stats", params={"bucket": "1w"}))["buckets"]
    assert figures["max_duration_ms"] == 2**53 - 1
    assert figures["avg_duration_ms"] == pytest.approx(sum(durations) / 4)


def test_a_commit_is_found_in_either_case(tenant: Tenant) -> None:
    post(tenant, {**EXECUTION, "git_commit_hash": "ABCDEF0"})
    [found] = logged(tenant, git_commit_hash="aBcDeF0")
    assert found["git_commit_hash"] == "abcdef0"


def test_figures_count_what_failed_or_timed_out_as_failed(tenant: Tenant) -> None:
    post(tenant, [{**EXECUTION, "status": status} for status in STATES])
    [figures] = ok(tenant.aud.get(f"{tenant.path}/execution-logs/stats", params={"bucket": "1w"}))["buckets"]
    assert (figures["count"], figures["failed"]) == (len(STATES), 2)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=st.dictionaries(st.sampled_from(sorted(FULL)), VALUES), is_many=st.booleans())
def test_no_fields_are_a_fault_of_the_server(shared: Tenant, fields: Json, is_many: bool) -> None:
    body: object = {**FULL, **fields}
    raw = json.dumps([body] if is_many else body).encode()
    response = shared.ben.send(f"{shared.path}/execution-logs", raw)
    assert response.status_code in (201, 400, 422), (raw, response.text)


def test_a_row_is_stored_without_its_secrets_and_cut_where_it_is_too_large(tenant: Tenant) -> None:
    secret = "hunter2-of-this-test"
    body = {
        **EXECUTION,
        "log_message": f"connecting to postgresql://ana:{secret}@db/sales",
        "log_details": {"headers": {"Authorization": f"Bearer {secret}"}, "host": "db"},
        "error_details": {"text": "x" * 1_000_000},
    }
    post(tenant, body)
    [found] = logged(tenant)
    assert secret not in json.dumps(found)
    assert found["log_details"]["host"] == "db"
    assert found["error_details"]["truncated"] is True
