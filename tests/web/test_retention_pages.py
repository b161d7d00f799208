"""The operator's pages of retention: rules of all levels, those of single subscriptions, and the dry run."""

import csv
import io
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from jobs.runner import Runner
from service.domain.retention_levels import DEFAULT_DAYS
from service.usecases.maintenance import scheduled_jobs
from tests.support.api import UNKNOWN, Server, Tenant, ok
from tests.support.expired_logs import Logs
from tests.support.html import Form
from tests.support.job_runs import job_context
from tests.support.web import Browser, Page

HERE = "/platform/retention"
RULES = "/v1/retention-policies"
TERMS: dict[str, int | None] = {level.value: days for level, days in DEFAULT_DAYS.items()}


@pytest.fixture
def browser(lone_server: Server) -> Iterator[Browser]:
    """The operator; the rules are the default ones again afterwards."""
    yield Browser(lone_server).sign_in(lone_server.operator)
    ok(lone_server.operator.put(RULES, {"policies": [], "confirm": True}))


def terms(server: Server, subscription_id: str | None = None) -> dict[str, int | None]:
    items = ok(server.operator.get(RULES))["items"]
    return {each["level"]: each["keep_days"] for each in items if each["subscription_id"] == subscription_id}


def rules_of(page: Page) -> Form:
    """The form of the rules for all; the other one of this address chooses a subscription."""
    (found,) = (each for each in page.forms if each.method == "POST" and each.action.startswith(HERE))
    return found


def told(page: Page) -> str:
    return page.root.one("div", role="alert").text


def one(tenant: Tenant, level: str) -> str:
    return f"{HERE}?subscription={tenant.subscription_id}&level={level}"


def row_of(page: Page, name: str) -> str:
    return next(row.text for row in page.root.all("tr") if name in row.text)


def test_a_tenants_admin_sees_and_changes_no_rule(server: Server, shared: Tenant) -> None:
    browser = Browser(server).sign_in(shared.ana)
    for path in (HERE, one(shared, "server"), "/platform/archives", f"/platform/archives/{UNKNOWN}"):
        browser.see(path, 403)
    before = terms(server)
    assert browser.post(HERE, server="1", server_seen="90").status == 403
    assert (
        browser.post(f"{HERE}/{shared.subscription_id}/server", server="1", server_seen="none").status == 403
    )
    assert terms(server) == before


def test_the_terms_of_all_levels_are_shown_and_those_that_differ_are_changed(
    browser: Browser, lone_server: Server
) -> None:
    page = browser.see(HERE)
    form = rules_of(page)
    assert {level: form.value(level) for level in TERMS} == {
        level: "" if days is None else str(days) for level, days in TERMS.items()
    }
    page = browser.send(form, server="30", job="")
    assert "The rules are stored." in page.words
    assert terms(lone_server) == {**TERMS, "server": 30, "job": None}
    assert "90 days" in row_of(page, "Requests (server log)")
    assert "by operator" in row_of(page, "Requests (server log)")
    assert "Nothing was changed" in browser.send(rules_of(page)).words


@pytest.mark.parametrize("days", ["0", "36501", "soon", "-4", "1.5"])
def test_a_term_that_is_none_is_told_in_place(browser: Browser, lone_server: Server, days: str) -> None:
    page = browser.send(rules_of(browser.see(HERE)), server=days, node="7")
    assert page.status == 422
    assert "Requests (server log): should be" in told(page)
    assert (rules_of(page).value("server"), rules_of(page).value("node")) == (days, "7")
    assert terms(lone_server) == TERMS


@pytest.mark.parametrize("days", ["99999999999", "9" * 40])
def test_a_term_that_is_too_long_is_told_so(browser: Browser, lone_server: Server, days: str) -> None:
    page = browser.send(rules_of(browser.see(HERE)), server=days)
    assert (page.status, "should be at most 36500" in told(page)) == (422, True)
    assert terms(lone_server) == TERMS


def test_a_shorter_term_of_a_permanent_log_is_confirmed_first(browser: Browser, lone_server: Server) -> None:
    page = browser.send(rules_of(browser.see(HERE)), user_actions="400", server="30")
    assert (page.status, "set the mark that says so" in told(page)) == (422, True)
    assert terms(lone_server) == TERMS
    page = browser.send(rules_of(page), confirm="yes")
    assert (page.status, rules_of(page).value("user_actions")) == (200, "400")
    assert terms(lone_server) == {**TERMS, "user_actions": 400, "server": 30}
    # A longer term needs none.
    assert browser.send(rules_of(page), user_actions="").status == 200
    assert terms(lone_server) == {**TERMS, "server": 30}


def test_a_term_that_somebody_else_set_meanwhile_is_not_replaced_unseen(
    browser: Browser, lone_server: Server
) -> None:
    form = rules_of(browser.see(HERE))
    theirs = [{"level": "server", "keep_days": 45}, {"level": "job", "keep_days": 10}]
    ok(lone_server.operator.put(RULES, {"policies": theirs}))
    page = browser.send(form, server="30", node="20")
    assert (page.status, "Requests (server log): now 45 days" in told(page)) == (412, True)
    assert terms(lone_server) == {**TERMS, "server": 45, "job": 10}
    assert browser.send(rules_of(page)).status == 200
    # The job's term was left as it was shown at first, and so it stays as they set it.
    assert terms(lone_server) == {**TERMS, "server": 30, "node": 20, "job": 10}


def test_a_subscription_gets_a_rule_of_its_own_and_loses_it(browser: Browser, lone_server: Server) -> None:
    tenant = Tenant(lone_server)
    home = browser.see(f"/platform/{tenant.subscription_id}")
    start = browser.see(next(link for link in home.links if link.startswith(f"{HERE}?subscription=")))
    (choice,) = (each for each in start.forms if each.method == "GET")
    page = browser.send(choice, level="workflow")
    assert "Now as for all For all 365 days" in page.words
    form = page.form("/workflow")
    page = browser.send(form, workflow="1000")
    assert "1,000 days" in row_of(page, tenant.subscription["name"])
    assert terms(lone_server, tenant.subscription_id) == {"workflow": 1000}
    assert terms(lone_server) == TERMS
    # The same form again finds what it made itself.
    assert browser.send(form, workflow="1000").status == 200
    again = browser.see(
        page.link(next(each.text for each in page.root.all("a") if each.text.startswith("Change")))
    )
    browser.send(again.form("/workflow"), do="remove")
    assert terms(lone_server, tenant.subscription_id) == {}


def test_a_rule_that_is_not_as_shown_is_not_replaced(browser: Browser, lone_server: Server) -> None:
    tenant = Tenant(lone_server)
    form = browser.see(one(tenant, "server")).form("/server")
    rule = {"level": "server", "keep_days": 5, "subscription_id": tenant.subscription_id}
    ok(lone_server.operator.put(RULES, {"policies": [rule]}))
    page = browser.send(form, server="30")
    assert (page.status, "now 5 days" in told(page)) == (412, True)
    assert terms(lone_server, tenant.subscription_id) == {"server": 5}
    assert browser.send(page.form("/server")).status == 200
    assert terms(lone_server, tenant.subscription_id) == {"server": 30}
    page = browser.see(one(tenant, "data_changes"))
    page = browser.send(page.form("/data_changes"), data_changes="3")
    assert (page.status, "set the mark" in told(page)) == (422, True)
    assert terms(lone_server, tenant.subscription_id) == {"server": 30}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"subscription": UNKNOWN, "level": "server"}, 404),
        ({"subscription": "none", "level": "server"}, 422),
        ({"subscription": UNKNOWN, "level": "none"}, 422),
        ({"cursor": "none"}, 422),
    ],
)
def test_what_is_not_there_is_told(browser: Browser, query: dict[str, Any], status: int) -> None:
    browser.see(HERE, status, **query)


def test_rules_of_single_subscriptions_come_page_by_page(browser: Browser, lone_server: Server) -> None:
    tenants = [
        ok(lone_server.operator.post("/v1/subscriptions", {"name": f"tenant {number}"}), 201)[
            "subscription_id"
        ]
        for number in range(10)
    ]
    levels = [level for level, days in TERMS.items() if days is not None]
    rules = [
        {"level": level, "keep_days": 7, "subscription_id": of}
        for of in tenants
        for level in (*levels, "user_actions")
    ]
    ok(lone_server.operator.put(RULES, {"policies": rules, "confirm": True}))
    page, found = browser.see(HERE), []
    while True:
        found += [link for link in page.links if "level=" in link]
        if not any(each.text == "More" for each in page.root.all("a")):
            break
        page = browser.see(page.link("More"))
    assert len(found) == len(set(found)) == len(rules)


def test_a_dry_run_leads_to_its_plan_which_deletes_what_it_says(
    browser: Browser, lone_server: Server
) -> None:
    logs, now = Logs(lone_server), lone_server.clock()
    logs.clear()
    logs.add("server_logs", now - timedelta(days=100), number=4)
    logs.add("server_logs", now - timedelta(days=3), number=2)
    page = browser.send(browser.see(HERE).form("/dry-run"))
    assert page.heading == "Plan of retention"
    assert "server for all" in row_of(page, "server_logs")
    assert "Run this plan: delete 4 rows" in page.words
    page = browser.send(page.form("/run"))
    with job_context(lone_server) as context:
        (row,) = scheduled_jobs.last_runs(context, "retention", 1)
        Runner(context).run_waiting(row)
    page = browser.see(page.path)
    assert "succeeded" in page.words
    assert "Rows 4" in page.words
    assert logs.count("server_logs", request_id="r") == 2


def test_all_rules_are_a_file_of_the_page_and_of_the_api(browser: Browser, lone_server: Server) -> None:
    listed = [(each["level"], each["keep_days"]) for each in ok(lone_server.operator.get(RULES))["items"]]
    page = browser.see(HERE)
    (link,) = (each for each in page.links if each.endswith("format=csv"))
    answers = (browser.see(link).source, lone_server.operator.get(RULES, params={"format": "csv"}).text)
    for text in answers:
        rows = csv.DictReader(io.StringIO(text))
        assert [(each["level"], int(each["keep_days"] or 0) or None) for each in rows] == listed
    events = lone_server.operator.pages("/v1/audit-logs", action="EXPORT", resource_type="retention_policy")
    assert [each["new_values"]["rows"] for each in events][:2] == [len(listed)] * 2
