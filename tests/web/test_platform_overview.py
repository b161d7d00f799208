"""First page of the operator: figures of the platform, jobs that need a look, and tenants in an order."""

import csv
import io
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from jobs.runner import Runner
from service.documents.tabular import unguarded
from service.usecases.maintenance.table import SCHEDULED_JOBS, ScheduledJob
from service.usecases.platform_overview import TenantOrder
from service.web import words
from sql import log_statistics
from tests.support.api import Json, Server, Tenant, ok, pointers, refused
from tests.support.expired_logs import Logs
from tests.support.job_runs import job_context
from tests.support.web import Browser, Page

HERE = "/platform"


@pytest.fixture
def browser(lone_server: Server) -> Browser:
    return Browser(lone_server).sign_in(lone_server.operator)


def tile(page: Page, name: str) -> str:
    found = next(each for each in page.root.all("div", class_="tile") if each.one("dt").text == name)
    return f"{found.one('b').text}: {found.one('small').text}"


def listed(page: Page) -> list[str]:
    """Names of the subscriptions of the list, in its order."""
    table = next(each for each in page.root.all("table") if "Log rows in 24 h" in each.text)
    return [row.all("a")[0].text for row in table.all("tr") if row.all("td")]


def row_of(page: Page, name: str) -> str:
    return next(row.text for row in page.root.all("tr") if name in row.text)


def address(path: str, **query: Any) -> str:
    return f"/v1/{path}?{urlencode(query)}"


def figures(server: Server, log: str, **query: Any) -> list[Json]:
    found: list[Json] = ok(server.operator.get(address(f"{log}/stats", **query)))["buckets"]
    return found


def named(server: Server, name: str) -> Tenant:
    tenant = Tenant(server)
    ok(server.operator.patch(tenant.path, {"name": name}))
    return tenant


def test_figures_are_those_of_the_api(browser: Browser, lone_server: Server) -> None:
    logs, now = Logs(lone_server), lone_server.clock().replace(microsecond=0)
    logs.clear_rows()
    tenant = Tenant(lone_server)
    since, until = now - timedelta(hours=4), now - timedelta(hours=2)
    for hours, number, status in ((3, 5, 200), (3, 2, 404), (2.5, 3, 503), (5, 4, 200), (7, 9, 200)):
        logs.add(
            "server_logs",
            now - timedelta(hours=hours),
            number=number,
            response_status=status,
            response_time_ms=100 * number,
            subscription_id=tenant.subscription_id if number % 2 else None,
        )
    runs = [
        {
            "execution_id": f"run-{number}",
            "execution_type": "workflow",
            "log_level": "INFO",
            "log_message": "ended",
            "status": status,
            "duration_ms": 1000,
            "occurred_at": (now - timedelta(hours=3)).isoformat(),
        }
        for number, status in enumerate(("success", "success", "failed"))
    ]
    ok(tenant.ana.post(f"{tenant.path}/execution-logs", runs), 201)
    asked: dict[str, Any] = {"since": since.isoformat(), "until": until.isoformat()}
    page = browser.see(HERE, **asked)
    (total,) = figures(lone_server, "server-logs", bucket="all", **asked)
    assert (total["count"], total["server_errors"]) == (10, 3)
    assert tile(page, "Requests") == "10: +150 %, 4 in the time before"
    assert tile(page, "Failed (5xx)") == "30.0 %: 3 requests; 0.0 % in the time before"
    assert tile(page, "Time to answer, 95th percentile").startswith(f"{total['p95']:.0f} ms: ")
    query = urlencode({**asked, "bucket": "all", "time": "occurred_at"})
    ended = ok(tenant.ana.get(f"{tenant.path}/execution-logs/stats?{query}"))["buckets"]
    assert [each["count"] for each in ended] == [3]
    assert tile(page, "Executions") == "3: 0 in the time before; 1 failed"
    assert tile(page, "Versions") == "0: 0 in the time before"
    use = ok(lone_server.operator.get(address("platform/figures", **asked)))
    assert use["executions"] == {"ended": 3, "failed": 1, "ended_before": 0}
    assert (use["versions"], use["versions_before"]) == (0, 0)
    rows = list(csv.DictReader(io.StringIO(browser.see(page.link("CSV")).source)))
    call = next(each.text for each in page.root.all("code") if "/v1/server-logs/stats" in each.text)
    buckets = ok(lone_server.operator.get(call.removeprefix("GET ")))["buckets"]
    assert [(row["time"], int(row["count"])) for row in rows] == [(b["time"], b["count"]) for b in buckets]
    assert sum(int(row["count"]) for row in rows) == 10


def test_versions_and_subscriptions_are_counted(browser: Browser, lone_server: Server) -> None:
    tenant = Tenant(lone_server)
    tenant.save(tenant.workflow(), {"nodes": []})
    found = lone_server.database.value("SELECT count(*) FROM versions")
    page = browser.see(HERE)
    use = ok(lone_server.operator.get("/v1/platform/figures"))
    assert use["versions"] == found
    listed = lone_server.operator.pages("/v1/platform/subscriptions")
    assert len(listed) == sum(use["subscriptions"][name] for name in ("open", "closed", "purged"))
    [own] = [each for each in listed if each["subscription_id"] == tenant.subscription_id]
    assert (own["versions"], own["live_resources"]) == (5, 4)
    assert tile(page, "Versions").startswith(f"{found}: ")
    open_ones = lone_server.database.value("SELECT count(*) FROM subscriptions WHERE closed_at IS NULL")
    users = lone_server.database.value("SELECT count(*) FROM users")
    assert (
        tile(page, "Subscriptions")
        == f"{open_ones}: open; 0 closed, 0 purged; {words.counted(users, 'user')}"
    )


@pytest.mark.parametrize(
    "query",
    [
        {"since": "1900-01-01T00:00:00Z"},
        {"since": "0001-01-01T00:00:00Z", "until": "9999-12-31T00:00:00Z"},
        {"since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
    ],
)
def test_figures_of_a_time_that_is_too_long_or_reversed_are_refused(lone_server: Server, query: Json) -> None:
    response = lone_server.operator.get(address("platform/figures", **query))
    assert pointers(refused(response, 422, "invalid")) == ["since"]


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "0001-01-05T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_figures_of_a_time_at_an_end_of_the_calendar_are_none(lone_server: Server, time: str) -> None:
    for query in ({"until": time}, {"since": time, "until": time}):
        if time < "2" or "since" in query:
            use = ok(lone_server.operator.get(address("platform/figures", **query)))
            assert (use["versions"], use["versions_before"], use["executions"]["ended"]) == (0, 0, 0)


def test_the_page_is_one_reading_and_looking_again_is_none(lone_server: Server) -> None:
    browser = Browser(lone_server).sign_in(lone_server.operator)

    def readings() -> int:
        found: int = lone_server.database.value(
            "SELECT count(*) FROM audit_logs WHERE action = 'READ' AND subscription_id IS NULL"
        )
        return found

    before = readings()
    browser.see(HERE)
    assert readings() == before + 1
    for query in ("", "?sort=size", "?range=24h"):
        browser.see(HERE + query)
    assert readings() == before + 1
    browser.see(HERE, range="7d")
    assert readings() == before + 2


def test_subscriptions_are_sorted_by_name_size_and_activity(browser: Browser, lone_server: Server) -> None:
    mark = str(uuid4())[:8]
    large, idle, loud = (named(lone_server, f"{name} {mark}") for name in ("Beta", "Alpha", "gamma"))
    workflow = large.workflow()
    for number in range(4):
        large.save(
            workflow, {"nodes": [{"id": str(uuid4()), "data": "x" * 2000} for _ in range(50 + number)]}
        )
    now = lone_server.clock()
    Logs(lone_server).add("server_logs", now, number=300, subscription_id=loud.subscription_id)
    with lone_server.clock.moved(hours=3):
        late = Browser(lone_server).sign_in(lone_server.operator)
        _ = loud.workflow()
        orders = {}
        for order in TenantOrder:
            orders[order] = [each for each in listed(late.see(HERE, sort=order)) if mark in each]
        page = late.see(HERE)
    beta, alpha, gamma = (f"{name} {mark}" for name in ("Beta", "Alpha", "gamma"))
    assert orders[TenantOrder.NAME] == [alpha, beta, gamma]
    assert orders[TenantOrder.SIZE][0] == beta
    assert orders[TenantOrder.VERSIONS] == [beta, gamma, alpha]
    assert orders[TenantOrder.ROWS][0] == gamma
    assert orders[TenantOrder.ACTIVITY][0] == gamma
    assert listed(page)[0] == gamma
    of_beta = row_of(page, beta)
    versions = large.server.database.value(
        "SELECT count(*) FROM versions WHERE subscription_id = %s", large.subscription_id
    )
    assert f"Versions in 24 h: {versions} " in of_beta
    assert "Last activity: just now" in row_of(page, gamma)
    assert "Versions in 24 h: 0 " in row_of(page, alpha)
    assert f"{HERE}/{idle.subscription_id}" in page.links


def test_the_file_of_subscriptions_says_what_the_list_says(browser: Browser, lone_server: Server) -> None:
    mark = str(uuid4())[:8]
    tenant = named(lone_server, f"Kiln {mark}")
    tenant.save(tenant.workflow(), {"nodes": []})
    for number in range(26):
        named(lone_server, f"={number} {mark}")
    # Requests are logged a moment after their answer.
    lone_server.flush_log()
    names, page = [], browser.see(HERE)
    while True:
        names += listed(page)
        if not any(each.text == "Older" for each in page.root.all("a")):
            break
        page = browser.see(page.link("Older"))
    address = next(link for link in page.links if link.startswith(f"{HERE}/subscriptions?format=csv"))
    rows = list(csv.DictReader(io.StringIO(browser.see(address).source)))
    # A name that a spreadsheet takes for a formula has a quote before it.
    assert [unguarded(row["name"]) for row in rows] == names
    row = next(each for each in rows if each["name"] == f"Kiln {mark}")
    assert row["subscription_id"] == tenant.subscription_id
    shown = row_of(page, f"Kiln {mark}")
    assert f"Resources: {row['live_resources']} " in shown
    assert f"Versions in 24 h: {row['versions_of_day']} " in shown
    assert f"Log rows in 24 h: {row['log_rows_of_day']} " in shown
    assert int(row["log_rows_of_day"]) > 0
    narrow = {"action": "EXPORT", "resource_type": "subscription"}
    export = next(iter(lone_server.operator.pages("/v1/audit-logs", **narrow)))
    assert export["new_values"]["rows"] == len(rows)
    assert browser.get(f"{HERE}/subscriptions").location == f"{HERE}#tenants"


def test_an_unknown_order_or_time_is_refused(browser: Browser) -> None:
    browser.see(HERE, 422, sort="luck")
    browser.see(HERE, 422, range="1y")
    assert browser.get(HERE, sort="", range="7d").location == f"{HERE}?range=7d"


def test_jobs_that_failed_or_are_overdue_are_told(browser: Browser, lone_server: Server) -> None:
    def fail(*_: object) -> Any:
        raise OSError("no room <b>")

    job = ScheduledJob(name="upkeep", summary="fails", cron="* * * * *", run=fail)
    with job_context(lone_server) as context:
        table = {**SCHEDULED_JOBS, "upkeep": job}
        Runner(context, table=table).run_slots("upkeep", [lone_server.clock()])
    page = browser.see(HERE)
    told = next(each for each in page.root.all("div", role="status") if "The last run failed" in each.text)
    assert "upkeep, just now" in told.text
    assert "no room <b>" in browser.see(told.one("a")["href"]).words
    with lone_server.clock.moved(hours=1, minutes=45):
        late = browser.see(HERE)
    told = next(each for each in late.root.all("div", role="status") if "overdue" in each.text)
    assert "annals doctor" in told.text
    assert "it should have been done" not in late.words


def test_the_health_of_the_parts_is_shown(browser: Browser) -> None:
    page = browser.see(HERE)
    assert "well" in row_of(page, "PostgreSQL")
    assert "bytes free in" in row_of(page, "disk: git")
    assert "rows that followers do not see yet" in page.words


def test_figures_that_take_too_long_are_told_and_all_else_is_shown(
    browser: Browser, lone_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    named(lone_server, f"Kiln {uuid4()}")
    monkeypatch.setattr(log_statistics, "SECONDS", 0.3)
    with lone_server.database.connection("annals_owner") as connection, connection.transaction():
        connection.execute("LOCK TABLE server_logs IN ACCESS EXCLUSIVE MODE")
        page = browser.see(HERE)
        by_rows = browser.see(HERE, sort="rows")
    assert "more in this time than can be counted within five seconds" in page.words
    assert tile(page, "Subscriptions").partition(": ")[2].startswith("open; ")
    assert "That order takes more than five seconds to find." in by_rows.words
    assert len(listed(by_rows)) == len(listed(page)) > 0
