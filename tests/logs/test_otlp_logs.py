"""OTLP/HTTP: logs of exporters are stored as events of executions, and answered as the protocol says."""

import gzip
from collections.abc import Callable

import httpx
import orjson
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from service.domain.errors import AnnalsError, Busy, KeyRateExceeded
from service.http.otlp import answers
from service.http.otlp.batches import OtlpFormat
from service.http.otlp.body import MAX_DECOMPRESSED_BYTES
from tests.support.api import Json, Tenant, ok, refused
from tests.support.events import events
from tests.support.otlp import (
    FORMATS,
    JSON,
    PROTOBUF,
    SPAN,
    TRACE,
    export,
    exported,
    log_record,
    nanoseconds,
    request_of,
    written,
)


def taken(response: httpx.Response) -> tuple[int, str]:
    """The number of rejected records that an answer tells, and its message."""
    assert response.status_code == 200, response.text
    media_type = response.headers["content-type"]
    assert media_type == response.request.headers["content-type"]
    if media_type == PROTOBUF:
        partial = ExportLogsServiceResponse.FromString(response.content).partial_success
        return partial.rejected_log_records, partial.error_message
    found = response.json().get("partialSuccess", {})
    return int(found.get("rejectedLogRecords", "0")), found.get("errorMessage", "")


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("form", FORMATS)
def test_a_record_is_an_event_of_an_execution(tenant: Tenant, form: str, compress: bool) -> None:
    at = nanoseconds(seconds=60)
    record = log_record(
        "no route to host",
        severityNumber=17,
        traceId=TRACE,
        spanId=SPAN,
        timeUnixNano=at,
        attributes={"exception.type": "OSError", "port": 5432},
    )
    assert taken(export(tenant, request_of(record), form, compress=compress)) == (0, "")
    [row] = exported(tenant)
    assert row["occurred_at"] < row["created_at"]
    assert row | {"log_id": "", "occurred_at": "", "created_at": "", "request_id": ""} == {
        **dict.fromkeys(("log_id", "occurred_at", "created_at", "request_id"), ""),
        **dict.fromkeys(("workflow_id", "job_id", "jobpackage_id", "duration_ms", "rows_processed")),
        **dict.fromkeys(("memory_used_mb", "cpu_percent", "status", "triggered_by")),
        **dict.fromkeys(("version_number", "git_commit_hash")),
        "subscription_id": tenant.subscription_id,
        "origin": "posted",
        "execution_id": TRACE,
        "execution_type": "node",
        "node_id": SPAN,
        "log_level": "ERROR",
        "log_message": "no route to host",
        "log_details": {
            "attributes": {"port": 5432},
            "resource": {"attributes": {"service.name": "shop"}},
            "scope": {"name": "tests"},
        },
        "error_code": "OSError",
        "error_details": {"type": "OSError"},
        "source": "shop",
        "recorded_by": tenant.ben.user_id,
    }


@pytest.mark.parametrize("form", FORMATS)
def test_both_formats_of_many_records_are_stored_alike(tenant: Tenant, form: str) -> None:
    records = [log_record(f"line {number}", attributes={"n": number}) for number in range(3_000)]
    assert taken(export(tenant, request_of(*records), form, compress=True)) == (0, "")
    found = exported(tenant, limit=200)
    assert {row["log_message"]: row["log_details"]["attributes"] for row in found} == {
        f"line {number}": {"n": number} for number in range(3_000)
    }
    assert len({row["created_at"] for row in found}) == 1


@pytest.mark.parametrize("form", FORMATS)
def test_records_that_are_refused_are_counted_and_the_others_stored(tenant: Tenant, form: str) -> None:
    wrong = log_record(attributes={"annals.status": "fine"})
    rejected, message = taken(export(tenant, request_of(wrong, log_record("kept"), wrong), form))
    assert rejected == 2
    assert message.startswith("the attribute annals.status ")
    assert [row["log_message"] for row in exported(tenant)] == ["kept"]


@pytest.mark.parametrize(("days", "shown"), [(8, True), (6, False)])
def test_an_event_that_is_too_late_gets_the_time_of_its_arrival_and_keeps_its_own(
    tenant: Tenant, days: int, shown: bool
) -> None:
    at = nanoseconds(days=days)
    rejected, message = taken(export(tenant, request_of(log_record(timeUnixNano=at))))
    [row] = exported(tenant)
    assert rejected == 0
    assert (row["occurred_at"] == row["created_at"]) is shown
    assert ("reported_at" in row["log_details"]) is shown
    assert message.startswith("1 records lie more than 7 days back") is shown


def test_an_admin_imports_records_of_any_past(tenant: Tenant) -> None:
    request = request_of(log_record(timeUnixNano="946684799123456789"))
    refused(export(tenant, request, query="?import=true"), 403, "forbidden")
    assert taken(export(tenant, request, by=tenant.ana, query="?import=true")) == (0, "")
    assert [row["occurred_at"] for row in exported(tenant)] == ["1999-12-31T23:59:59.123456Z"]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("empty", [{"resourceLogs": []}, request_of()], ids=["nothing", "no records"])
def test_a_request_without_records_is_taken(tenant: Tenant, form: str, empty: Json) -> None:
    assert taken(export(tenant, empty, form)) == (0, "")
    assert exported(tenant) == []


def test_the_same_request_is_stored_again_unless_it_has_an_idempotency_key(tenant: Tenant) -> None:
    request = request_of(log_record())
    for _ in range(2):
        export(tenant, request)
    assert len(exported(tenant)) == 2
    for _ in range(2):
        assert taken(export(tenant, request, headers={"idempotency-key": "batch 7"})) == (0, "")
    assert len(exported(tenant)) == 3
    other = export(tenant, request_of(log_record("other")), headers={"idempotency-key": "batch 7"})
    refused(other, 422, "idempotency_key_reused")


def test_the_audit_log_tells_how_many_records_were_stored(tenant: Tenant) -> None:
    export(tenant, request_of(log_record(), log_record(attributes={"annals.job_id": "x"})))
    [event] = [event for event in events(tenant) if event["action"] == "RECORD"]
    assert event["new_values"] == {"accepted": 1, "skipped": 1}
    assert event["resource_type"] == "execution_log"


def test_secrets_of_records_and_resources_are_masked(tenant: Tenant) -> None:
    secret = "hunter2-hunter2-hunter2"
    record = log_record(f"password={secret}", attributes={"db.password": secret})
    resource = {"process.command_args": ["psql", f"--password={secret}"], "service.name": "shop"}
    assert taken(export(tenant, request_of(record, resource=resource))) == (0, "")
    [row] = exported(tenant)
    assert secret not in str(row)


def test_characters_that_no_database_stores_are_replaced(tenant: Tenant) -> None:
    record = log_record("a\0b", attributes={"k\0": "v\0", "annals.source": "shop"})
    assert taken(export(tenant, request_of(record))) == (0, "")
    [row] = exported(tenant)
    assert (row["log_message"], row["log_details"]["attributes"]) == ("a\ufffdb", {"k\ufffd": "v\ufffd"})


def test_a_quota_refuses_the_whole_request(tenant: Tenant) -> None:
    ok(tenant.server.operator.patch(tenant.path, {"quotas": {"log_rows_a_day": 2}}))
    problem = refused(export(tenant, request_of(*[log_record()] * 3)), 403, "quota_exceeded")
    assert problem["rpc_code"] == 7
    assert exported(tenant) == []
    assert taken(export(tenant, request_of(*[log_record()] * 2))) == (0, "")


# -- refusals ----------------------------------------------------------------------------------


REFUSALS: dict[str, tuple[Callable[[Tenant, str], httpx.Response], int, str, int]] = {
    "no key": (
        lambda t, form: export(t, request_of(), form, by=t.server.nobody),
        *(401, "unauthenticated", 16),
    ),
    "role": (lambda t, form: export(t, request_of(), form, by=t.vera), 403, "forbidden", 7),
    "parameter": (lambda t, form: export(t, request_of(), form, query="?colour=blue"), 422, "invalid", 3),
    "encoding": (
        lambda t, form: export(t, request_of(), form, headers={"content-encoding": "br"}),
        *(415, "unsupported_media_type", 3),
    ),
    "no gzip": (
        lambda t, form: export(t, b"plain", form, headers={"content-encoding": "gzip"}),
        *(400, "malformed_encoding", 3),
    ),
    "half a gzip": (
        lambda t, form: export(
            t, gzip.compress(written(request_of(), form))[:-9], form, headers={"content-encoding": "gzip"}
        ),
        *(400, "malformed_encoding", 3),
    ),
    "a bomb": (
        lambda t, form: export(t, b"\0" * (MAX_DECOMPRESSED_BYTES + 1), form, compress=True),
        *(413, "body_too_large", 8),
    ),
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_a_status_in_the_format_of_the_request(tenant: Tenant, form: str, name: str) -> None:
    send, status, code, rpc_code = REFUSALS[name]
    assert refused(send(tenant, form), status, code)["rpc_code"] == rpc_code
    assert exported(tenant) == []


def test_a_body_of_another_type_is_refused_with_a_problem(tenant: Tenant) -> None:
    for media_type in ("text/plain", "application/x-ndjson", "application/grpc"):
        refused(export(tenant, b"x", media_type), 415, "unsupported_media_type")


def test_another_method_is_refused_with_a_status(tenant: Tenant) -> None:
    answer = tenant.ben.get(f"{tenant.path}/otlp/v1/logs", headers={"content-type": JSON})
    assert refused(answer, 405, "method_not_allowed")["rpc_code"] == 12


def test_another_tenants_subscription_is_not_found(tenant: Tenant, stranger: Tenant) -> None:
    answer = export(stranger, request_of(log_record()), by=tenant.ana)
    assert refused(answer, 404, "subscription_not_found")["rpc_code"] == 5
    assert exported(stranger) == []


@pytest.mark.parametrize("form", FORMATS)
def test_a_garbled_request_stores_nothing(tenant: Tenant, form: str) -> None:
    whole = written(request_of(*(log_record(f"line {n}", traceId=TRACE) for n in range(20))), form)
    ends = range(1, len(whole) - 1, 1 + len(whole) // 12)
    for end in ends:
        answer = export(tenant, whole[:end], form)
        refused(answer, 400, "malformed_json" if form == JSON else "malformed_otlp")
    assert exported(tenant) == []


@pytest.mark.parametrize("form", tuple(OtlpFormat))
@pytest.mark.parametrize(
    ("error", "status", "rpc_code", "after"),
    [
        (Busy("Too much is waiting."), 503, 14, "2"),
        (KeyRateExceeded("Too many calls.", retry_after=7), 429, 8, "7"),
    ],
)
def test_a_refusal_that_an_exporter_may_try_again_says_when(
    form: OtlpFormat, error: AnnalsError, status: int, rpc_code: int, after: str
) -> None:
    answer = answers.refusal(form, error, "r")
    assert (answer.status_code, answer.headers["retry-after"]) == (status, after)
    raw = bytes(answer.body)
    code = orjson.loads(raw)["code"] if form is OtlpFormat.JSON else Status.FromString(raw).code
    assert code == rpc_code
