"""Lists and figures as files: a whole list as CSV or lines of JSON, recorded once."""

import csv
import io
import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import duckdb
import httpx
import pytest

from service.documents.tabular import unguarded
from service.http import admission
from tests.support.api import Json, Server, Tenant, ok, pointers, refused
from tests.support.events import DATA_CHANGE, DELETION, EXECUTION, REQUEST

ROWS = 20_000
FILL = """
INSERT INTO audit_logs (audit_id, created_at, subscription_id, action, resource_type, status, error_message)
SELECT gen_random_uuid(), now() - n * interval '1 second', %(s)s::uuid, 'SWEEP', 'job', 'success',
    repeat('words, and "words" ', 100)
FROM generate_series(1, %(rows)s) n
"""
# A CSV and the JSON of a list have to agree on these texts.
TEXTS = (
    *("=1+1", "'=1+1", "+49 30", "-5", "@home", "\tx", "'quoted'", 'a "b", c', "two\r\nlines", "", "0123"),
    *("ordinary", "１＋１", "＝1", "null", "true", "{}", " spaces "),
)


# Those of them that a name may be.
NAMES = [text for text in TEXTS if text.strip() and text.isprintable()]


@pytest.fixture(scope="module")
def filled(server: Server) -> Tenant:
    """A subscription with rows in each list, with texts and documents of all kinds."""
    tenant = Tenant(server, "Ünion / Straße")
    details = {"a": [1, 2.5, None], "b": {"c": 'x"y'}}
    events = [
        {
            **EXECUTION,
            "execution_id": f"e-{n}",
            "log_message": text,
            "status": "failed",
            "duration_ms": -0.5 + n,
        }
        | {"log_details": details, "error_code": "-7"}
        for n, text in enumerate(TEXTS, 1)
    ]
    nodes = [{**each, "execution_type": "node", "node_id": "=n"} for each in events]
    audit = [
        {"action": "APPROVE", "resource_type": "invoice", "resource_name": text, "new_values": details}
        for text in NAMES
    ]
    changes = [{**DATA_CHANGE, "record_name": text, "new_data": details} for text in NAMES]
    requests = [{**REQUEST, "error_message": text, "request_body": details} for text in TEXTS]
    deletions = [{**DELETION, "resource_id": f"d-{n}", "resource_name": t} for n, t in enumerate(NAMES)]
    for name, sent in {
        "execution-logs": [*events, *nodes],
        "audit-logs": audit,
        "change-history": changes,
        "server-logs": requests,
        "deletions": deletions,
    }.items():
        ok(tenant.ben.post(f"{tenant.path}/{name}", sent), 201)
    for name in NAMES:
        workflow = tenant.workflow(name=name, definition={"connector_id": name})
    ok(tenant.ben.post(f"{tenant.at(workflow)}/versions/1/comments", {"text": "=1+1"}), 201)
    ok(tenant.ben.post(f"{tenant.at(workflow)}/check-out", {"reason": "-1"}))
    ok(tenant.ana.post(f"{tenant.path}/holds", {"reason": "+1"}), 201)
    return tenant


def lists(tenant: Tenant) -> dict[str, dict[str, str]]:
    """Return the lists of a tenant that are exported, with filters that leave the test's own readings out."""
    [newest] = ok(tenant.aud.get(f"{tenant.path}/workflows", params={"limit": 1}))["items"]
    workflow = f"workflows/{newest['resource_id']}"
    return {
        "audit-logs": {"action": "APPROVE"},
        "execution-logs": {},
        "executions": {},
        "change-history": {"origin": "posted"},
        "server-logs": {"origin": "posted"},
        "deletions": {},
        f"jobs/{tenant.job_id}/versions": {},
        "users": {},
        "api-keys": {},
        "holds": {},
        "workspaces": {},
        "workflows": {"include_deleted": "true"},
        "at/2999-01-01T00:00:00Z": {"resource_type": "workflow"},
        f"{workflow}/versions/1/comments": {},
        f"{workflow}/references": {},
    }


def export(tenant: Tenant, path: str, form: str = "csv", **query: Any) -> httpx.Response:
    """Export a list or figures as an auditor."""
    response = tenant.aud.get(f"{tenant.path}/{path}", params={"format": form, **query})
    assert response.status_code == 200, response.text
    return response


def as_cell(value: Any) -> str:
    """Return the text that a reader of the CSV has to get for a value, but for the guard of formulas."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def exported(tenant: Tenant, **query: Any) -> list[Json]:
    """Return what the events of exports say, newest first."""
    found = tenant.aud.pages(f"{tenant.path}/audit-logs", action="EXPORT", **query)
    return [event["new_values"] | {"of": event["resource_type"]} for event in found]


def test_each_list_read_by_two_readers_of_csv_equals_its_json(filled: Tenant, tmp_path: Path) -> None:
    for path, query in lists(filled).items():
        items = filled.aud.pages(f"{filled.path}/{path}", **query)
        assert items, path
        text = export(filled, path, **query).text
        head, *rows = csv.reader(io.StringIO(text, newline=""))
        assert head == list(items[0]), path
        wanted = [[as_cell(value) for value in item.values()] for item in items]
        assert [[unguarded(cell) for cell in row] for row in rows] == wanted, path
        file = tmp_path / "list.csv"
        file.write_bytes(text.encode())
        read = duckdb.read_csv(
            str(file), all_varchar=True, header=True, delimiter=",", quotechar='"'
        ).fetchall()
        assert [[unguarded(cell or "") for cell in row] for row in read] == wanted, path


def test_lines_of_json_equal_the_items_of_the_list(filled: Tenant) -> None:
    for path, query in lists(filled).items():
        items = filled.aud.pages(f"{filled.path}/{path}", **query)
        response = export(filled, path, "ndjson", **query)
        assert response.headers["content-type"] == "application/x-ndjson"
        assert [json.loads(line) for line in response.text.splitlines()] == items, path


def test_no_cell_begins_a_formula_and_numbers_stay_numbers(filled: Tenant) -> None:
    text = export(filled, "execution-logs", execution_type="job").text
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    messages = [row["log_message"] for row in rows]
    assert not [each for each in messages if each[:1] in tuple("=+-@\t\r\n＝＋－＠") and each]
    assert min(float(row["duration_ms"]) for row in rows) == 0.5
    # A text that reads like a number is a text, and no text of another kind is changed.
    assert {row["error_code"] for row in rows} == {"'-7"}
    assert {"0123", "ordinary", "１＋１", " spaces ", "'quoted'"} <= set(messages)


def test_the_name_of_the_file_has_tenant_and_time(filled: Tenant) -> None:
    response = export(filled, "audit-logs", action="APPROVE")
    said = response.headers["content-disposition"]
    assert said.startswith('attachment; filename="nion-Strae-audit_log-')
    found = re.search(r"filename\*=UTF-8''%C3%9Cnion-Stra%C3%9Fe-audit_log-(.+)\.csv$", said)
    assert found is not None, said
    # Midnight may have passed since.
    assert abs(datetime.strptime(found[1], "%Y%m%dT%H%M%S%z") - datetime.now(UTC)) < timedelta(hours=1)


def test_figures_and_facets_equal_their_json(filled: Tenant) -> None:
    query: Json = {"bucket": "all", "since": "2026-01-01T00:00:00Z", "group_by": ["job_id", "status"]}
    found = ok(filled.aud.get(f"{filled.path}/execution-logs/stats", params=query))["buckets"]
    rows = list(csv.DictReader(io.StringIO(export(filled, "execution-logs/stats", **query).text)))
    assert list(rows[0])[:4] == ["time", "job_id", "job_id_name", "status"]
    assert [[row["job_id"], row["status"]] for row in rows] == [
        [as_cell(g) for g in b["groups"]] for b in found
    ]
    for name in ("time", "count", "failed", "p95"):
        assert [row[name] for row in rows] == [as_cell(bucket[name]) for bucket in found]

    facets = ok(filled.aud.get(f"{filled.path}/audit-logs/facets", params={"action": "APPROVE"}))
    lines = export(filled, "audit-logs/facets", "ndjson", action="APPROVE").text.splitlines()
    wanted = [
        {"facet": name, **value, "other_values": None}
        for name in ("action", "resource_type", "user_id", "status")
        for value in facets[name]["values"]
    ]
    assert [json.loads(line) for line in lines] == wanted


def test_figures_without_rows_have_the_same_columns(filled: Tenant) -> None:
    query: Json = {"bucket": "1d", "group_by": "workflow_id"}
    some = export(filled, "execution-logs/stats", **query).text.splitlines()
    none = export(filled, "execution-logs/stats", source="nowhere", **query).text.splitlines()
    assert len(some) > 1
    assert none == some[:1]


def test_an_export_is_recorded_once_with_filters_and_rows(filled: Tenant) -> None:
    before = exported(filled, resource_type="execution_log")
    reads = len(filled.aud.pages(f"{filled.path}/audit-logs", action="READ", resource_type="execution_log"))
    export(filled, "execution-logs", execution_type="node")
    after = exported(filled, resource_type="execution_log")
    about = {"filters": {"execution_type": "node"}, "format": "csv", "rows": len(TEXTS), "complete": True}
    assert after[: len(after) - len(before)] == [about | {"of": "execution_log"}]
    found = filled.aud.pages(f"{filled.path}/audit-logs", action="READ", resource_type="execution_log")
    assert len(found) == reads


def test_parameters_of_pages_and_unknown_formats_are_refused(filled: Tenant) -> None:
    for name, value in {"limit": "5", "order": "commit", "cursor": "abc", "expand": "data"}.items():
        query = {"format": "csv", name: value}
        problem = refused(filled.aud.get(f"{filled.path}/audit-logs", params=query), 422, "invalid")
        assert pointers(problem) == [name]
    refused(filled.aud.get(f"{filled.path}/audit-logs", params={"format": "xml"}), 422, "invalid")
    # What the list refuses is refused before the file begins.
    query = {"format": "csv", "user_id": "nobody"}
    assert filled.aud.get(f"{filled.path}/audit-logs", params=query).headers["content-type"] != "text/csv"


def test_another_tenants_list_is_not_found_and_roles_hold(filled: Tenant, tenant: Tenant) -> None:
    refused(tenant.aud.get(f"{filled.path}/audit-logs?format=csv"), 404, "subscription_not_found")
    refused(filled.ben.get(f"{filled.path}/audit-logs?format=csv"), 403, "forbidden")
    own = tenant.aud.get(f"{tenant.path}/execution-logs?format=ndjson")
    assert (own.status_code, own.text) == (200, "")


@pytest.fixture(scope="module")
def large(server: Server) -> Tenant:
    """A subscription with ROWS long events."""
    tenant = Tenant(server, "large")
    with server.database.connection() as connection:
        connection.execute(FILL, {"s": tenant.subscription_id, "rows": ROWS})
    return tenant


def lines_of(tenant: Tenant) -> Iterator[str]:
    """Stream the export of the large list."""
    headers = {"authorization": f"Bearer {tenant.aud.key}"}
    url = f"{tenant.path}/audit-logs?format=ndjson&action=SWEEP"
    with tenant.server.http.stream("GET", url, headers=headers, timeout=60) as response:
        yield from response.iter_lines()


def test_two_large_exports_beside_each_other_have_all_rows(large: Tenant) -> None:
    counts: list[int] = []
    threads = [Thread(target=lambda: counts.append(len(set(lines_of(large))))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [ROWS, ROWS]


def test_the_export_of_a_reader_who_goes_away_ends_and_is_recorded(large: Tenant) -> None:
    before = len(exported(large))
    lines = lines_of(large)
    next(lines)
    lines.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 30
    while len(found := exported(large)) == before:
        assert time.monotonic() < deadline, "the export goes on"
        time.sleep(0.1)
    assert not found[0]["complete"]
    # Flow control: no more is read than the reader takes, and what buffers of the network hold.
    assert 0 < found[0]["rows"] < ROWS // 2


def test_a_subscription_with_many_exports_waits_and_another_does_not(
    large: Tenant, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "EXPORT_QUEUE_SECONDS", 0.3)
    headers = {"authorization": f"Bearer {large.aud.key}"}
    url = f"{large.path}/audit-logs?format=ndjson&action=SWEEP"
    statuses = []
    with ExitStack() as open_ones:
        for _ in range(admission.EXPORTS_ALONE + 1):
            # Nothing of it is read.
            answer = open_ones.enter_context(large.server.http.stream("GET", url, headers=headers))
            statuses.append(answer.status_code)
        assert statuses[: admission.EXPORTS_EACH] == [200] * admission.EXPORTS_EACH
        assert statuses[-1] == 503
        assert export(tenant, "audit-logs").status_code == 200
