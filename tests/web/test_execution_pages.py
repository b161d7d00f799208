"""Pages of executions: by version, as a list, and one with its nodes and its log."""

import csv
import io
from datetime import timedelta
from urllib.parse import quote

import pytest

from tests.support.api import Json, Tenant, ok
from tests.support.executions import run
from tests.support.statements import counted
from tests.support.web import Browser, Page

# Runs of versions 1 and 2, of which the second fails more often.
RUNS = 24
ODD = "run/1 <b>"


@pytest.fixture(scope="module")
def ran(shared: Tenant) -> Json:
    """A workflow of two versions, of which the second made it worse."""
    made = shared.workflow(name="Order <i>ETL</i>")
    shared.save(made, {"n": 2})
    now = shared.server.clock()
    for number in range(RUNS):
        version = 1 if number < RUNS // 2 else 2
        is_failed = version == 2 and number % 4 != 0
        run(
            shared.path,
            shared.ana,
            made["resource_id"],
            ODD if number == 0 else f"run {number}",
            now - timedelta(hours=RUNS - number),
            "failed" if is_failed else "success",
            1_000 * version,
            nodes=("extract", "load <b>"),
            code="TIMEOUT" if is_failed else None,
            text=f"said {number}",
            version_number=version,
            triggered_by="Grace Hopper",
        )
    return made


def page_of(tenant: Tenant, name: str, rest: str, status: int = 200) -> Page:
    browser = Browser(tenant.server).sign_in(getattr(tenant, name))
    return browser.see(f"/s/{tenant.subscription_id}/executions{rest}", status)


def rows(page: Page, name: str) -> list[list[str]]:
    """Cells of the rows of a table, by the name of its box."""
    (box,) = [each for each in page.root.all("div") if each.get("aria-label") == name]
    return [[cell.text for cell in row.all("td")] for row in box.one("tbody").all("tr")]


def test_versions_are_compared_as_health_does_it(shared: Tenant, ran: Json) -> None:
    page = page_of(shared, "ana", f"?workflow_id={ran['resource_id']}")
    health = ok(shared.vera.get(f"{shared.at(ran)}/health"))
    shown = rows(page, "By version")
    assert [row[0] for row in shown] == [f"v{each['version_number']}" for each in health["versions"]]
    assert [int(row[2]) for row in shown] == [each["executions"] for each in health["versions"]]
    assert [row[3].split(" ")[0] for row in shown] == [f"{each['failures']}" for each in health["versions"]]
    assert [row[6] for row in shown] == ["TIMEOUT", "–"]
    assert (health["worse_since"], health["roll_back_to"]) == (2, 1)
    here = f"/s/{shared.subscription_id}/workflows/{ran['resource_id']}"
    assert page.link("Roll back to version 1…") == f"{here}/roll-back?to=1"
    assert page.link("with v1") == f"{here}/compare?from=1&to=2"
    assert "First execution of version 2" in page.words


def test_the_list_is_that_of_the_api_and_goes_on(shared: Tenant, ran: Json) -> None:
    browser = Browser(shared.server).sign_in(shared.aud)
    base = f"/s/{shared.subscription_id}/executions"
    page = browser.see(f"{base}?workflow_id={ran['resource_id']}&status=failed")
    found = ok(shared.aud.get(f"{shared.path}/executions", params={"status": "failed"}))["items"]
    assert [row[0] for row in rows(page, "Executions")] == [each["execution_id"] for each in found]
    assert all("TIMEOUT" in row[5] and "load <b>" in row[5] for row in rows(page, "Executions"))
    other = shared.workflow()
    for number in range(3):
        run(
            shared.path,
            shared.ana,
            other["resource_id"],
            f"late {number}",
            shared.server.clock(),
            version_number=1,
        )
    first = browser.see(base)
    older = browser.see(first.link("Older executions"))
    shown = [row[0] for page in (first, older) for row in rows(page, "Executions")]
    assert len(shown) == len(set(shown)) == RUNS + 3
    assert "By version" not in older.words


@pytest.mark.parametrize("name", ["ben", "vera"])
def test_editors_and_viewers_see_figures_and_no_list(shared: Tenant, ran: Json, name: str) -> None:
    page = page_of(shared, name, f"?workflow_id={ran['resource_id']}")
    assert rows(page, "By version")
    words = page.root.one("main").text
    assert not [word for word in ("said ", "Grace Hopper", "run 1") if word in words]
    assert "auditors and admins" in words
    assert ("Roll back to version 1" in words) is (name == "ben")
    page_of(shared, name, f"/{quote(ODD, safe='')}", 403)


def test_one_execution_has_its_nodes_and_its_log(shared: Tenant, ran: Json) -> None:
    page = page_of(shared, "aud", f"/{quote(ODD, safe='')}")
    assert page.heading == f"Execution {ODD}"
    assert [row[:4] for row in rows(page, "Nodes")] == [
        ["extract", "0 ms", "500 ms", "success"],
        ["load <b>", "500 ms", "500 ms", "success"],
    ]
    bars = page.root.one("svg", class_="timeline").all("rect")
    assert [(float(bar["x"][:-1]), float(bar["width"][:-1])) for bar in bars] == [(0, 50), (50, 50)]
    assert len(page.root.one("ol", class_="events").all("li")) == 6
    assert "said 0" in page.words
    assert page.link("v1").endswith(f"/workflows/{ran['resource_id']}/versions/1")
    failed = page_of(shared, "aud", f"/run%20{RUNS - 1}")
    assert "Error details" in failed.words
    assert rows(failed, "Nodes")[1][4] == "TIMEOUT"


def test_an_execution_without_nodes_says_how_long_they_are_kept(shared: Tenant, ran: Json) -> None:
    run(shared.path, shared.ana, ran["resource_id"], "bare", shared.server.clock(), nodes=())
    assert "kept for 90 days" in page_of(shared, "aud", "/bare").words


def test_what_is_not_there_is_a_page_that_says_so(shared: Tenant, stranger: Tenant, ran: Json) -> None:
    nothing = "019a0000-0000-7000-8000-000000000000"
    page_of(shared, "ana", f"?workflow_id={nothing}", 404)
    page_of(shared, "ana", "/nothing", 404)
    page_of(shared, "ana", "?workflow_id=x", 422)
    other = Browser(shared.server).sign_in(stranger.ana)
    other.see(f"/s/{shared.subscription_id}/executions/{quote(ODD, safe='')}", 404)


def test_it_asks_the_database_little_and_records_one_reading(shared: Tenant, ran: Json) -> None:
    browser = Browser(shared.server).sign_in(shared.aud)
    count = "SELECT count(*) FROM audit_logs WHERE subscription_id = %s AND action = 'READ'"
    before = shared.server.database.value(count, shared.subscription_id)
    address = f"/s/{shared.subscription_id}/executions?workflow_id={ran['resource_id']}"
    browser.see(address)
    with counted(shared.server) as statements:
        browser.see(address)
    assert shared.server.database.value(count, shared.subscription_id) == before + 1
    assert len(statements) <= 25, "\n".join(each[:60] for each in statements)


def test_the_list_and_the_figures_are_files_too(shared: Tenant, ran: Json) -> None:
    browser = Browser(shared.server).sign_in(shared.aud)
    address = f"/s/{shared.subscription_id}/executions?workflow_id={ran['resource_id']}&status=failed"
    page = browser.see(address)
    files = [each for each in page.links if each.endswith("format=csv") and "table=" not in each]
    of_list = next(each for each in files if "/executions?" in each)
    of_figures = next(each for each in files if "/executions?" not in each)
    whole, figures = (
        list(csv.DictReader(io.StringIO(browser.see(each).source))) for each in (of_list, of_figures)
    )
    assert {row["status"] for row in whole} == {"failed"}
    assert len(whole) == len(rows(page, "Executions"))
    assert sum(int(row["count"]) for row in figures if row["status"] == "failed") == len(whole)
    viewer = Browser(shared.server).sign_in(shared.vera)
    viewer.see(of_list, 403)
    viewer.see(of_figures)


def test_the_tables_of_a_workflow_and_of_one_execution_are_files_too(shared: Tenant, ran: Json) -> None:
    page = page_of(shared, "aud", f"?workflow_id={ran['resource_id']}")
    by_version = filed(shared, page, "versions")
    shown = [[row[0].replace("not known", "v"), row[2]] for row in rows(page, "By version")]
    assert [[f"v{each['version_number']}", each["executions"]] for each in by_version] == shown
    nodes = filed(shared, page, "nodes")
    assert [each["node_id"] for each in nodes] == [row[0] for row in rows(page, "Slowest nodes")]
    one = page_of(shared, "aud", f"/{quote(ODD, safe='')}")
    assert [each["node_id"] for each in filed(shared, one, "nodes")] == [row[0] for row in rows(one, "Nodes")]
    log = [each["log_message"] for each in filed(shared, one, "log")]
    assert len(log) == len(one.root.all("ol")[-1].all("li"))
    assert "said 0" in log
    for rest in ("?format=csv&table=versions", "?format=csv&table=x", "/run 1?format=csv&table=x"):
        page_of(shared, "aud", rest, 422)
    viewer = Browser(shared.server).sign_in(shared.vera)
    viewer.see(file_of(one, "log"), 403)
    viewer.see(file_of(page, "versions"))


def file_of(page: Page, table: str) -> str:
    return next(each for each in page.links if f"table={table}&format=csv" in each)


def filed(tenant: Tenant, page: Page, table: str) -> list[dict[str, str]]:
    """Rows of a table of a page as its file has them."""
    browser = Browser(tenant.server).sign_in(tenant.aud)
    return list(csv.DictReader(io.StringIO(browser.see(file_of(page, table)).source)))
