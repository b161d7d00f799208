"""Pages of the audit log, of data changes and of the server log: filters, figures, files and readings."""

import csv
import io
import re
from collections import Counter
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from service.usecases.log_exploring import COUNTED
from tests.support.api import Json, Server, Tenant, ok
from tests.support.web import Browser, Page

ACTIONS = ("APPROVE", "REJECT", "EXPORT_REPORT")
EVENTS = [
    {"action": action, "resource_type": kind, "status": status, "resource_id": f"r{n % 7}"}
    for n, (action, kind, status) in enumerate(
        (action, kind, status)
        for action in ACTIONS
        for kind in ("invoice", "report")
        for status in ("success", "success", "failed", "unauthorized")
        for _ in range(3)
    )
]
MANY = """
INSERT INTO audit_logs (audit_id, created_at, subscription_id, action, resource_type, status)
SELECT gen_random_uuid(), now() - n * interval '1 second', %(s)s::uuid,
    CASE WHEN n %% 2 = 0 THEN 'EVEN' ELSE 'ODD' END, 'job', 'success'
FROM generate_series(1, %(rows)s) n
"""


@pytest.fixture(scope="module")
def filled(server: Server) -> Tenant:
    """A subscription with posted events, changes and requests."""
    tenant = Tenant(server, "logs")
    ok(tenant.ben.post(f"{tenant.path}/audit-logs", EVENTS), 201)
    change = {"table_name": "orders", "record_id": "7", "changed_by": tenant.ben.user_id}
    states = ({"state": "open", "n": 1}, {"state": "paid", "n": 1})
    ok(tenant.ben.post(f"{tenant.path}/change-history", {**change, "new_data": states[0]}), 201)
    sent = {**change, "old_data": states[0], "new_data": states[1], "change_reason": "by card"}
    ok(tenant.ben.post(f"{tenant.path}/change-history", sent), 201)
    requests: list[Json] = [
        {"request_id": f"q{n}", "http_method": "GET", "endpoint": f"/orders/{n}", "route": "/orders/{id}"}
        | {"response_status": (200, 404, 500)[n % 3], "response_time_ms": 10 * n, "source": "shop"}
        for n in range(30)
    ]
    ok(tenant.ben.post(f"{tenant.path}/server-logs", requests), 201)
    return tenant


@pytest.fixture(scope="module")
def reader(filled: Tenant) -> Browser:
    return Browser(filled.server).sign_in(filled.aud)


def base(tenant: Tenant) -> str:
    return f"/s/{tenant.subscription_id}"


def facets(page: Page) -> dict[str, dict[str, str]]:
    """Return the numbers that a page shows by facet and value."""
    found = {}
    for card in page.root.one("div", class_="facets").all("section"):
        entries = [[each.text for each in link.all("span")] for link in card.all("a")]
        found[card.one("h2").text] = dict(entries)
    return found


def columns(page: Page) -> Counter[str]:
    """Return the values of each column of the first chart's table, added up."""
    table = page.root.all("div", class_="chart")[0].one("table")
    names = [each.text for each in table.one("thead").all("th")][1:]
    added: Counter[str] = Counter()
    for row in table.one("tbody").all("tr"):
        for name, cell in zip(names, row.all("td"), strict=True):
            added[name] += int(cell.text.replace(",", ""))
    return added


def since_of(page: Page) -> str:
    """Return the beginning of the time that a page counts, as its chart has it."""
    return str(next(each["data-at"] for each in page.root.all("tr") if each.get("data-at")))


def query_of(address: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(address).query)


def test_numbers_of_events_equal_those_of_the_api(filled: Tenant, reader: Browser) -> None:
    for query in ({}, {"action": ["APPROVE", "REJECT"]}, {"resource_type": "report", "status": "failed"}):
        page = reader.see(f"{base(filled)}/audit?{urlencode({'range': '24h', **query}, doseq=True)}")
        asked: dict[str, Any] = {**query, "without": "READ", "since": since_of(page)}
        found = ok(filled.aud.get(f"{filled.path}/audit-logs/facets", params=asked))
        shown = facets(page)
        for name, title in (("action", "Actions"), ("resource_type", "On"), ("status", "Outcomes")):
            # A facet does not narrow itself.
            wider = {key: value for key, value in asked.items() if key != name}
            wanted = ok(filled.aud.get(f"{filled.path}/audit-logs/facets", params=wider))[name]["values"]
            said = {"unauthorized": "refused"}
            assert shown[title] == {
                said.get(each["value"], each["value"]): f"{each['count']:,}" for each in wanted[:12]
            }, (query, name)
        statuses = {each["value"]: each["count"] for each in found["status"]["values"]}
        names = {"Success": "success", "Failed": "failed", "Refused": "unauthorized"}
        added = columns(page)
        assert added == {name: statuses.get(status, 0) for name, status in names.items()}
        assert f"{found['count']:,} event" in page.words


def test_values_are_added_and_removed_by_links_and_the_address_has_no_more(
    filled: Tenant, reader: Browser
) -> None:
    page = reader.see(f"{base(filled)}/audit")
    for action in ("APPROVE", "REJECT"):
        [address] = [each for each in page.links if query_of(each)[-1:] == [("action", action)]]
        page = reader.see(address)
    assert query_of(page.path) == [("action", "APPROVE"), ("action", "REJECT")]
    assert facets(page)["Outcomes"] == {"success": "24", "failed": "12", "refused": "12"}
    chips = [chip for chip in page.root.all("a", class_="chip") if "REJECT" in chip.text]
    assert query_of(chips[0]["href"]) == [("action", "APPROVE")]
    form = page.root.one("form", class_="narrow")
    assert form["action"] == f"{base(filled)}/audit"
    # Empty fields of the form are no part of an address to share.
    led = reader.get(f"{base(filled)}/audit", action="APPROVE", resource_id="", request_id="r 1")
    assert (led.status, query_of(led.location)) == (303, [("action", "APPROVE"), ("request_id", "r 1")])


def test_readings_of_logs_are_shown_on_request(filled: Tenant, reader: Browser) -> None:
    ok(filled.aud.get(f"{filled.path}/execution-logs"))
    assert "READ" not in facets(reader.see(f"{base(filled)}/audit"))["Actions"]
    assert "READ" in facets(reader.see(f"{base(filled)}/audit", reads="1"))["Actions"]
    assert "READ" in facets(reader.see(f"{base(filled)}/audit", action="read"))["Actions"]


def test_older_events_are_of_the_time_of_the_first_page(filled: Tenant, reader: Browser) -> None:
    page = reader.see(f"{base(filled)}/audit", resource_type=["invoice", "report"])
    ok(filled.ben.post(f"{filled.path}/audit-logs", EVENTS[:1]), 201)
    times = page.root.all("details", class_="event")
    older = reader.see(page.link("Older"))
    assert len(times) == 50
    assert len(older.root.all("details", class_="event")) == len(EVENTS) - 50
    assert {name for name, _ in query_of(page.link("Older"))} == {"resource_type", "anchor", "cursor"}
    assert "Older" not in [each.text for each in older.root.all("a")]


def test_figures_count_the_newest_events_and_all_on_request(server: Server, tenant: Tenant) -> None:
    reader = Browser(server).sign_in(tenant.aud)
    rows = COUNTED + 500
    with server.database.connection() as connection:
        connection.execute(MANY, {"s": tenant.subscription_id, "rows": rows})
    page = reader.see(f"{base(tenant)}/audit", resource_type="job")
    assert f"Figures count the newest {COUNTED:,}" in page.words
    added = columns(page)
    assert added["Success"] == COUNTED
    assert facets(page)["Actions"] == {"EVEN": f"{COUNTED // 2:,}", "ODD": f"{COUNTED // 2:,}"}
    every = reader.see(page.link("Count all"))
    added = columns(every)
    assert added["Success"] == rows
    assert "Figures count" not in every.words


@pytest.mark.parametrize(
    ("page", "call", "query"),
    [
        ("audit", "audit-logs", {"action": ["APPROVE", "REJECT"]}),
        ("changes", "change-history", {"table_name": "orders"}),
        ("server", "server-logs", {"source": "shop"}),
    ],
)
def test_the_file_of_a_page_has_all_rows_of_its_filter(
    filled: Tenant, reader: Browser, page: str, call: str, query: dict[str, Any]
) -> None:
    shown = reader.see(f"{base(filled)}/{page}", **query)
    answer = reader.get(shown.link("CSV"))
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    head, *rows = csv.reader(io.StringIO(answer.source, newline=""))
    items = filled.aud.pages(f"{filled.path}/{call}", **query)
    place = head.index(next(name for name in head if name in ("audit_id", "change_id", "log_id")))
    assert [row[place] for row in rows] == [item[head[place]] for item in items]
    [event, *_] = filled.aud.pages(f"{filled.path}/audit-logs", action="EXPORT", username="aud")
    assert (event["new_values"]["rows"], event["new_values"]["complete"]) == (len(items), True)


def test_looking_again_leaves_one_event_for_each_page_and_filter(server: Server, tenant: Tenant) -> None:
    reader = Browser(server).sign_in(tenant.aud)
    pages = ("audit", "audit?action=CREATE", "changes", "server", "server?status=4xx&range=24h")
    for _ in range(4):
        for page in pages:
            reader.see(f"{base(tenant)}/{page}")
    found = server.database.rows(
        "SELECT new_values FROM audit_logs WHERE subscription_id = %s AND action = 'READ'",
        tenant.subscription_id,
    )
    assert len(found) == len(pages)
    assert {values["filters"].get("range") for (values,) in found} == {"7d", "24h"}


def test_a_change_shows_what_was_before_and_after(filled: Tenant, reader: Browser) -> None:
    page = reader.see(f"{base(filled)}/changes", table_name="orders")
    [last, _] = page.root.all("details", class_="event")
    assert "changed state: open → paid" in last.text
    assert "by card" in last.text
    assert last.one("summary").text.endswith("by ben change 2, the last one")


def test_figures_of_requests_equal_those_of_the_api(filled: Tenant, reader: Browser) -> None:
    page = reader.see(f"{base(filled)}/server", source="shop")
    query = {"source": "shop", "bucket": "all", "since": "2026-01-01T00:00:00Z", "group_by": "route"}
    [route] = ok(filled.aud.get(f"{filled.path}/server-logs/stats", params=query))["buckets"]
    added = columns(page)
    assert added == {"Answered": 10, "Refused (4xx)": 10, "Failed (5xx)": 10}
    [row] = page.root.one("div", aria_label="Slowest routes").one("tbody").all("tr")
    cells = [each.text for each in row.all("td")]
    assert cells[:4] == ["GET /orders/{id}", "30", "10", "10"]
    assert cells[5] == f"{route['p95']:.0f} ms"
    tiles = {each.one("dt").text: each.one("b").text for each in page.root.all("div", class_="tile")}
    assert tiles["Requests"] == "30"
    assert tiles["Failed (5xx)"] == "33.3 %"
    assert re.fullmatch(r"[0-9]+ ms", tiles["95th percentile"])


def test_what_a_filter_of_the_api_refuses_is_told(filled: Tenant, reader: Browser) -> None:
    for page, query in (("audit", "status=odd"), ("server", "status=abc"), ("audit", "range=1y")):
        assert reader.get(f"{base(filled)}/{page}?{query}").status == 422


def test_editors_and_strangers_see_no_log(filled: Tenant, tenant: Tenant) -> None:
    ben, other = Browser(filled.server).sign_in(filled.ben), Browser(filled.server).sign_in(tenant.aud)
    for page in ("audit", "changes", "server"):
        assert ben.get(f"{base(filled)}/{page}?format=csv").status == 403
        assert other.get(f"{base(filled)}/{page}?format=csv").status == 404
    assert "Audit log" not in ben.see(f"{base(filled)}/resources").words


def test_events_without_a_user_are_a_row_of_the_people(server: Server, tenant: Tenant) -> None:
    with server.database.connection() as connection:
        connection.execute(MANY, {"s": tenant.subscription_id, "rows": 7})
    page = Browser(server).sign_in(tenant.aud).see(f"{base(tenant)}/audit", action="ODD")
    (people,) = (
        each for each in page.root.all("section") if each.all("h2") and each.one("h2").text == "People"
    )
    assert [each.text for each in people.all("li")] == ["Annals itself, or nobody known 4"]
    assert people.all("a") == []


def test_one_request_is_told_in_the_singular(server: Server, tenant: Tenant) -> None:
    sent = {
        "request_id": "one",
        "http_method": "GET",
        "endpoint": "/x",
        "response_status": 404,
        "source": "one",
    }
    ok(tenant.ben.post(f"{tenant.path}/server-logs", sent), 201)
    page = Browser(server).sign_in(tenant.aud).see(f"{base(tenant)}/server", source="one")
    assert "1 request" in page.words
    assert "1 requests" not in page.words


def test_facets_and_routes_are_files_too(filled: Tenant, reader: Browser) -> None:
    page = reader.see(f"{base(filled)}/audit", action="REJECT")
    found = table_of(page, reader, "facets")
    shown = facets(page)
    for name, title in (("action", "Actions"), ("status", "Outcomes"), ("resource_type", "On")):
        counted = {each["value"]: int(each["count"]) for each in found if each["facet"] == name}
        said = {"refused" if value == "unauthorized" else value: n for value, n in counted.items()}
        assert {value: f"{number:,}" for value, number in said.items()} == shown[title]
    page = reader.see(f"{base(filled)}/server", source="shop")
    routes = table_of(page, reader, "routes")
    assert [(each["http_method"], each["route"], each["count"]) for each in routes] == [
        ("GET", "/orders/{id}", "30")
    ]
    for name in ("audit", "server"):
        assert reader.get(f"{base(filled)}/{name}?format=csv&table=x").status == 422
    read = filled.aud.pages(f"{filled.path}/audit-logs", action="READ", user_id=filled.aud.user_id)
    told = [each["new_values"]["filters"] for each in read if each["new_values"]]
    assert {"facets", "routes"} <= {each.get("of") for each in told}


def table_of(page: Page, reader: Browser, name: str) -> list[dict[str, str]]:
    """Rows of a table of a page, as its file has them."""
    (link,) = (each for each in page.links if f"table={name}&format=csv" in each)
    return list(csv.DictReader(io.StringIO(reader.see(link).source)))
