"""The overview: its figures are the API's, editors see no names, and readings are recorded once."""

import csv
import io
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.support.api import Json, Tenant, ok
from tests.support.executions import run
from tests.support.statements import counted
from tests.support.web import Browser, Page

RUNS = (
    ("success", 1_200, None),
    ("success", 2_400, None),
    ("failed", 700, "TIMEOUT"),
    ("cancelled", 5, None),
)
REVERSED = "?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z"
HIDDEN = ("Grace Hopper", "message of", "ana")


@pytest.fixture(scope="module")
def ran(shared: Tenant) -> Json:
    """A published workflow that ran today, and once five days ago."""
    made = shared.workflow(name="Order <i>ETL</i>")
    now = shared.server.clock()
    how: Json = {"triggered_by": "Grace Hopper", "nodes": ("load <b>",)}
    for number, (status, milliseconds, code) in enumerate(RUNS):
        run(
            shared.path,
            shared.ana,
            made["resource_id"],
            f"run-{number}",
            now - timedelta(minutes=20 * (number + 1)),
            status,
            milliseconds,
            code=code,
            text=f"message of {number}",
            **how,
        )
    run(
        shared.path,
        shared.ana,
        made["resource_id"],
        "old",
        now - timedelta(days=5),
        text="message of old",
        **how,
    )
    ok(shared.ana.post(f"{shared.at(made)}/versions/1/publish", {}))
    return made


def overview(tenant: Tenant, name: str = "ana", query: str = "") -> Page:
    browser = Browser(tenant.server).sign_in(getattr(tenant, name))
    return browser.see(f"/s/{tenant.subscription_id}{query}")


def tiles(page: Page) -> dict[str, str]:
    return {each.one("dt").text: each.one("b").text for each in page.root.all("div", class_="tile")}


def rows(page: Page, name: str) -> list[list[str]]:
    """Cells of the rows of a table, by the name of its box."""
    (box,) = [each for each in page.root.all("div") if each.get("aria-label") == name]
    return [[cell.text for cell in row.all("td", "th")] for row in box.one("tbody").all("tr")]


def test_its_figures_are_those_of_the_api(shared: Tenant, ran: Json) -> None:
    page = overview(shared)
    call = next(each for each in page.root.all("p", class_="call")).one("code").text
    path, query = urlsplit(call.removeprefix("GET ")).path, parse_qsl(urlsplit(call).query)
    found = ok(shared.aud.get(path, params=query))["buckets"]
    by_status = {
        status: sum(each["count"] for each in found if each["group"] == status)
        for status in ("success", "failed", "cancelled")
    }
    assert by_status == {"success": 3, "failed": 1, "cancelled": 1}
    whole = [(name, value) for name, value in query if name not in ("bucket", "group_by")]
    totals = ok(shared.aud.get(path, params=[*whole, ("bucket", "all"), ("group_by", "status")]))["buckets"]
    p95 = next(each["p95"] for each in totals if each["group"] == "success")
    assert tiles(page) == {
        "Executions": "5",
        "Failed": "25.0 %",
        "Duration, 95th percentile": f"{p95 / 1000:.1f} s",
        "Rows processed": "50",
    }
    table = rows(page, "Executions by how they ended: figures")
    assert [sum(int(row[place]) for row in table) for place in (1, 2, 3)] == [3, 1, 1]
    at = {row[0]: row[1:] for row in table if row[1:] != ["0", "0", "0"]}
    begins = {datetime.fromisoformat(each["time"]).strftime("%a %-d %b %Y %H:%M") for each in found}
    assert set(at) == begins


def test_it_tells_what_fails_what_is_slow_and_what_changed(shared: Tenant, ran: Json) -> None:
    page = overview(shared)
    name = "Order <i>ETL</i>"
    assert [row[:3] for row in rows(page, "Workflows that fail most")] == [[name, "5", "1 (20.0 %)"]]
    assert [row[:3] for row in rows(page, "Slowest nodes")] == [[f"load <b>{name}", "5", "1"]]
    assert [row[0] for row in rows(page, "Why they failed")] == ["TIMEOUT"]
    assert rows(page, "Latest versions")[0][:2] == [f"{name} v1", "ana"]
    (mark,) = page.root.all("ul", class_="moments")[0].all("a")
    assert mark.text == f"{name}: version 1 published"


def test_the_first_run_of_a_version_that_was_saved_later_is_marked(tenant: Tenant) -> None:
    made = tenant.workflow(name="Brought in")
    for number in (2, 3):
        tenant.save(made, {"n": number})
    now = tenant.server.clock()
    # The week ran version 1, then 2, and 1 once more; version 3 runs after it was saved.
    for hours, version in ((90, 1), (60, 2), (50, 2), (40, 1), (0, 3)):
        began = now - timedelta(hours=hours)
        run(
            tenant.path,
            tenant.ana,
            made["resource_id"],
            f"run-{hours}",
            began,
            version_number=version,
        )
    for query in ("", "?range=30d"):
        (moments, *_) = overview(tenant, query=query).root.all("ul", class_="moments")
        assert [each.text for each in moments.all("a")] == [
            "Brought in: first execution of version 2, which was saved later"
        ]


@pytest.mark.parametrize("name", ["ben", "vera"])
def test_editors_and_viewers_see_figures_and_neither_people_nor_messages(
    shared: Tenant, ran: Json, name: str
) -> None:
    page = overview(shared, name)
    assert tiles(page) == tiles(overview(shared))
    main = page.root.one("main")
    said = [each.text for each in main.all("p", class_="printed")]
    assert not [word for word in HIDDEN if word in main.text.replace("".join(said), "")]


def test_a_shorter_time_has_less_and_the_time_before_beside_it(shared: Tenant, ran: Json) -> None:
    page = overview(shared, query="?range=24h")
    assert tiles(page)["Executions"] == "4"
    assert page.root.one("a", aria_current="true").text == "24h"
    assert "0 in the time before" in page.words
    since = (shared.server.clock() - timedelta(days=5.5)).isoformat()
    until = (shared.server.clock() - timedelta(days=4.5)).isoformat()
    chosen = overview(shared, query=f"?since={since.replace('+', '%2B')}&until={until.replace('+', '%2B')}")
    assert tiles(chosen)["Executions"] == "1"
    assert "Another time" in chosen.words


@pytest.mark.parametrize("query", ["?range=1y", "?since=yesterday", "?since=1971-01-01T00:00:00Z", REVERSED])
def test_a_time_that_no_page_shows_is_refused(shared: Tenant, ran: Json, query: str) -> None:
    browser = Browser(shared.server).sign_in(shared.ana)
    browser.see(f"/s/{shared.subscription_id}{query}", 422)


def test_a_session_that_looks_again_is_recorded_once(shared: Tenant, ran: Json) -> None:
    browser = Browser(shared.server).sign_in(shared.aud)
    count = "SELECT count(*) FROM audit_logs WHERE subscription_id = %s AND action = 'READ'"

    def readings() -> int:
        return int(shared.server.database.value(count, shared.subscription_id))

    before = readings()
    for _ in range(3):
        for length in ("24h", "7d"):
            browser.see(f"/s/{shared.subscription_id}?range={length}")
    assert readings() == before + 2


def test_one_who_has_no_executions_is_told_how_to_send_them(tenant: Tenant) -> None:
    page = overview(tenant)
    assert "annals demo" in page.words
    assert f"/v1/subscriptions/{tenant.subscription_id}/execution-logs" in page.words


def test_it_asks_the_database_little(shared: Tenant, ran: Json) -> None:
    browser = Browser(shared.server).sign_in(shared.ana)
    browser.see(f"/s/{shared.subscription_id}")
    with counted(shared.server) as statements:
        browser.see(f"/s/{shared.subscription_id}")
    assert len(statements) <= 20


def test_the_operator_is_led_to_the_settings_and_a_stranger_finds_nothing(
    shared: Tenant, stranger: Tenant
) -> None:
    address = f"/s/{shared.subscription_id}"
    operator = Browser(shared.server).sign_in(shared.server.operator)
    assert operator.get(address).location == f"{address}/settings"
    Browser(shared.server).sign_in(stranger.ana).see(address, 404)


def test_a_time_that_takes_too_long_is_told_to_be_shorter(
    shared: Tenant, ran: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(shared.server).sign_in(shared.ana)
    address = f"/s/{shared.subscription_id}?range=90d"
    browser.see(address)
    monkeypatch.setattr("sql.log_statistics.SECONDS", 0.05)
    with shared.server.database.connection() as connection:
        connection.autocommit = False
        connection.execute("LOCK TABLE execution_logs IN ACCESS EXCLUSIVE MODE")
        page = browser.see(address, 503)
        connection.rollback()
    assert "shorter time" in page.words


def test_its_tables_are_files_too_whose_readings_are_recorded(shared: Tenant, ran: Json) -> None:
    page = overview(shared, "vera")
    browser = Browser(shared.server).sign_in(shared.vera)
    files = {
        name: list(csv.DictReader(io.StringIO(browser.see(link).source)))
        for name in ("workflows", "nodes", "codes")
        for link in page.links
        if f"table={name}&format=csv" in link
    }
    shown = rows(page, "Workflows that fail most")
    failing = [each for each in files["workflows"] if each["failed"] != "0"]
    assert [[each["workflow_id_name"], each["count"]] for each in failing] == [row[:2] for row in shown]
    nodes = rows(page, "Slowest nodes")
    assert [[each["node_id"], each["count"]] for each in files["nodes"]] == [
        [row[0].removesuffix(each["workflow_id_name"]).strip(), row[1]]
        for row, each in zip(nodes, files["nodes"], strict=True)
    ]
    assert [[each["error_code"], each["count"]] for each in files["codes"]] == [
        [row[0], row[2]] for row in rows(page, "Why they failed")
    ]
    read = shared.aud.pages(f"{shared.path}/audit-logs", action="READ", user_id=shared.vera.user_id)
    orders = [each["new_values"]["filters"].get("order") for each in read]
    assert {"failed", "p95", "count"} <= set(orders)
    browser.see(f"/s/{shared.subscription_id}?format=csv&table=none", 422)
