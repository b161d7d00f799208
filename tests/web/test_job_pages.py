"""The operator's pages of scheduled jobs: schedules, runs, dry runs and the plans that are carried out."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from jobs.runner import Runner
from service.domain.job_runs import Blocked, PlannedPart, RunPlan
from service.usecases.context import Parts
from service.usecases.maintenance import scheduled_jobs
from service.usecases.maintenance.table import SCHEDULED_JOBS
from tests.support.api import UNKNOWN, Json, Server, Tenant, ok
from tests.support.job_runs import job_context
from tests.support.web import Browser, Page

JOBS = "/platform/jobs"
API = "/v1/maintenance"
HOSTILE = '"><script>alert(1)</script>'


@pytest.fixture
def browser(lone_server: Server) -> Browser:
    """The operator, on a server whose jobs run only where a test says so."""
    return Browser(lone_server).sign_in(lone_server.operator)


def begun(server: Server) -> None:
    """Carry out the runs that wait, as a scheduler does."""
    with job_context(server) as context:
        runner = Runner(context)
        for row in server.operator.pages(f"{API}/runs", state="waiting"):
            runner.run_waiting(scheduled_jobs.run(context, UUID(row["run_id"])))


def ran(server: Server, job: str, times: int = 1) -> None:
    """Run a job in slots, the last one now."""
    with job_context(server) as context:
        runner = Runner(context)
        for number in reversed(range(times)):
            runner.run_slots(job, [server.clock() - timedelta(seconds=number)])


def runs(server: Server, job: str) -> list[Json]:
    return list(server.operator.pages(f"{API}/runs", job=job))


def job_of(server: Server, name: str) -> Json:
    return ok(server.operator.get(f"{API}/jobs/{name}"))


def row_of(page: Page, name: str) -> str:
    return next(row.text for row in page.root.all("tr") if name in row.text)


def told(page: Page) -> str:
    return page.root.one("div", role="alert").text


@contextmanager
def planned(
    monkeypatch: pytest.MonkeyPatch, *parts: PlannedPart, blocked: tuple[Blocked, ...] = ()
) -> Iterator[list[PlannedPart]]:
    """Give `upkeep` a plan of these parts, which a test may change meanwhile."""
    said = list(parts)

    def plan(_context: Parts, at: datetime) -> RunPlan:
        return RunPlan(at=at, parts=said, blocked=blocked)

    job = replace(SCHEDULED_JOBS["upkeep"], plan=plan)
    with monkeypatch.context() as patched:
        patched.setattr(scheduled_jobs, "SCHEDULED_JOBS", {**SCHEDULED_JOBS, "upkeep": job})
        yield said


def of_server_log(rows: int) -> PlannedPart:
    return PlannedPart(what="server_logs", level="server", rows=rows, bytes=4096, chunks=1)


def test_a_tenants_admin_sees_and_runs_no_job(server: Server, shared: Tenant) -> None:
    browser = Browser(server).sign_in(shared.ana)
    for path in (JOBS, f"{JOBS}/upkeep", f"{JOBS}/runs/{UNKNOWN}", f"{JOBS}/retention/plans/{UNKNOWN}"):
        page = browser.see(path, 403)
        assert "no role of a subscription opens them" in page.words
    for path in ("upkeep", "upkeep/run", "retention/dry-run", f"retention/plans/{UNKNOWN}/run"):
        assert browser.post(f"{JOBS}/{path}", cron="* * * * *").status == 403
    assert JOBS not in browser.see(f"/s/{shared.subscription_id}/settings/sessions").links


def test_the_jobs_are_listed_and_an_overdue_one_says_what_to_do(
    browser: Browser, lone_server: Server
) -> None:
    ran(lone_server, "reconcile")
    page = browser.see(JOBS)
    assert [
        row.one("a").text for row in page.root.all("tr") if row.all("td") for row in [row.all("td")[0]]
    ] == list(SCHEDULED_JOBS)
    row = row_of(page, "reconcile")
    assert "5,35 * * * *" in row
    assert "succeeded" in row
    assert "just now" in row
    with lone_server.clock.moved(hours=1, minutes=30):
        page = browser.see(JOBS)
        assert "overdue" in row_of(page, "reconcile")
        assert "annals doctor" in page.root.one("div", role="status").text
        assert "overdue" in browser.see(f"{JOBS}/reconcile").words


def test_a_schedule_is_changed_and_put_back(browser: Browser, lone_server: Server) -> None:
    here = f"{JOBS}/purge-closed"
    page = browser.see(here)
    page = browser.send(page.form(here), cron="0 5 * * 1", time_zone="Europe/Berlin", is_paused="yes")
    assert "The schedule is stored." in page.words
    job = job_of(lone_server, "purge-closed")
    assert (job["cron"], job["time_zone"], job["is_paused"]) == ("0 5 * * 1", "Europe/Berlin", True)
    assert "paused" in row_of(browser.see(JOBS), "purge-closed")
    form = page.form(here)
    assert (form.value("cron"), form.value("is_paused")) == ("0 5 * * 1", "yes")
    page = browser.send(form, cron="", time_zone="", is_paused=None)
    job = job_of(lone_server, "purge-closed")
    assert (job["cron"], job["time_zone"], job["is_paused"]) == ("30 3 * * *", "UTC", False)
    assert "Nothing was changed" in browser.send(page.form(here)).words


@pytest.mark.parametrize(
    ("fields", "field"), [({"cron": "at noon"}, "Cron"), ({"time_zone": "Mars/Olympus"}, "Time zone")]
)
def test_a_schedule_that_is_none_is_told_in_place(
    browser: Browser, lone_server: Server, fields: dict[str, Any], field: str
) -> None:
    here = f"{JOBS}/deep-upkeep"
    before = job_of(lone_server, "deep-upkeep")
    page = browser.send(browser.see(here).form(here), **fields)
    assert page.status == 422
    assert f"{field}:" in told(page)
    ((name, value),) = fields.items()
    assert page.form(here).value(name) == value
    assert job_of(lone_server, "deep-upkeep") == before


def test_a_schedule_that_somebody_else_set_meanwhile_is_not_replaced_unseen(
    browser: Browser, lone_server: Server
) -> None:
    here = f"{JOBS}/clean-up"
    form = browser.see(here).form(here)
    ok(lone_server.operator.patch(f"{API}/jobs/clean-up", {"cron": "1 1 * * *", "is_paused": True}))
    page = browser.send(form, cron="2 2 * * *")
    assert (page.status, "Cron: now 1 1 * * *" in told(page)) == (412, True)
    assert job_of(lone_server, "clean-up")["cron"] == "1 1 * * *"
    # What the sender left as it was is shown as it is now, and stays.
    assert browser.send(page.form(here)).status == 200
    job = job_of(lone_server, "clean-up")
    assert (job["cron"], job["is_paused"]) == ("2 2 * * *", True)
    ok(lone_server.operator.patch(f"{API}/jobs/clean-up", {"cron": None, "is_paused": False}))


def test_run_now_sent_twice_is_one_run_whose_page_tells_its_end(
    browser: Browser, lone_server: Server
) -> None:
    before = len(runs(lone_server, "reconcile"))
    form = browser.see(f"{JOBS}/reconcile").form("/reconcile/run")
    first, second = (browser.send(form) for _ in range(2))
    assert first.path == second.path
    assert (first.heading.startswith("Run of reconcile, "), "waiting" in first.words) == (True, True)
    assert len(runs(lone_server, "reconcile")) == before + 1
    begun(lone_server)
    page = browser.see(first.link("Look again"))
    assert "succeeded" in page.words
    assert "reconcile: started" in page.words
    assert "reconcile: ended" in page.words
    assert "Asked by operator" in page.words
    process = runs(lone_server, "reconcile")[0]["process"]
    assert process in page.words


def test_a_run_that_nobody_begins_says_where_to_look(browser: Browser, lone_server: Server) -> None:
    page = browser.send(browser.see(f"{JOBS}/deep-upkeep").form("/run"))
    assert "annals doctor" not in page.words
    with lone_server.clock.moved(minutes=1):
        assert "No scheduler has begun it yet." in browser.see(page.path).words
    begun(lone_server)


def test_the_runs_of_a_job_come_page_by_page_and_as_a_file(browser: Browser, lone_server: Server) -> None:
    ran(lone_server, "release-check-outs", times=52)
    page = browser.see(f"{JOBS}/release-check-outs")
    shown = [link for link in page.links if "/runs/" in link]
    older = browser.see(page.link("Older"))
    shown += [link for link in older.links if "/runs/" in link]
    listed = [each["run_id"] for each in runs(lone_server, "release-check-outs")]
    # The last success has a link of its own on each page.
    assert list(dict.fromkeys(each.rpartition("/")[2] for each in shown)) == listed
    file = browser.see(page.link("CSV"))
    assert file.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(file.source)))
    assert [row["run_id"] for row in rows] == listed
    assert {row["state"] for row in rows} == {"succeeded"}
    events = lone_server.operator.pages("/v1/audit-logs", action="EXPORT", resource_type="maintenance_job")
    assert next(iter(events))["new_values"]["rows"] == len(listed)
    missed = browser.see(f"{JOBS}/release-check-outs", state="missed")
    assert "No run is missed." in missed.words
    assert len(browser.see(missed.link("CSV")).source.splitlines()) == 1
    assert browser.get(f"{JOBS}/release-check-outs", state="none").status == 422


def test_a_plan_is_carried_out_once_by_a_form_that_is_sent_twice(
    browser: Browser, lone_server: Server, monkeypatch: pytest.MonkeyPatch, tenant: Tenant
) -> None:
    hold = uuid4()
    with planned(
        monkeypatch, of_server_log(70), blocked=(Blocked(hold_id=hold, what="server_logs", rows=3),)
    ):
        page = browser.send(browser.see(f"{JOBS}/upkeep").form("/dry-run"))
        assert "Nothing was deleted: this is the plan of a run." in page.words
        assert "It would delete 70 rows, 4.0 KiB" in page.words
        assert "server_logs" in row_of(page, "for all")
        assert f"{hold} server_logs 3" in page.words
        form = page.form("/run")
        first, second = (browser.send(form) for _ in range(2))
        assert first.path == second.path
        begun(lone_server)
        assert [each["state"] for each in runs(lone_server, "upkeep")] == ["succeeded"]
        page = browser.see(first.path)
        assert "Its plan" in page.words
        assert "server_logs" in row_of(page, "for all")
        again = browser.see(page.link(next(a.text for a in page.root.all("a") if "/plans/" in a["href"])))
        assert "Run by this plan" in again.words
        assert [each for each in again.forms if each.action.endswith("/run")] == []
        # The address with the notice that nothing was deleted may be kept, and does not say so for ever.
        assert "Nothing was deleted" not in browser.see(f"{again.path}?done=plan-made").words


def test_a_plan_that_does_not_fit_any_more_is_told_in_place(
    browser: Browser, lone_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(runs(lone_server, "upkeep"))
    with planned(monkeypatch, of_server_log(70)) as parts:
        page = browser.send(browser.see(f"{JOBS}/upkeep").form("/dry-run"))
        parts[:] = [of_server_log(71)]
        late = browser.send(page.form("/run"))
        assert (late.status, "Nothing was deleted." in told(late)) == (409, True)
        assert "A run would delete now: 71 rows" in late.words
        anew = browser.send(late.form("/dry-run"))
        assert "It would delete 71 rows" in anew.words
        # An old one can't be run, either, and has no form for that.
        form = anew.form("/run")
        with lone_server.clock.moved(hours=25):
            browser = Browser(lone_server).sign_in(lone_server.operator)
            assert browser.send(form).status == 409
            old = browser.see(anew.path)
            assert "older than 24 hours" in old.words
            assert [each for each in old.forms if each.action.endswith("/run")] == []
    assert len(runs(lone_server, "upkeep")) == before


def test_a_plan_that_was_run_or_is_beside_another_run_is_refused_and_fails_no_job(
    browser: Browser, lone_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(runs(lone_server, "upkeep"))
    with planned(monkeypatch, of_server_log(70)):
        first, second = (browser.send(browser.see(f"{JOBS}/upkeep").form("/dry-run")) for _ in range(2))
        browser.send(first.form("/run"))
        # Another operator has either page open, or sends a form without its mark.
        for page in (first, second):
            refused = browser.post(page.form("/run").action.partition("#")[0])
            assert (refused.status, "under way" in told(refused)) == (409, True)
        begun(lone_server)
        again = browser.post(first.form("/run").action.partition("#")[0])
        assert (again.status, "was run already" in told(again)) == (409, True)
        assert [each["state"] for each in runs(lone_server, "upkeep")][: -before or None] == ["succeeded"]


def test_a_plan_that_fits_no_more_when_its_run_begins_is_no_failure_of_the_job(
    browser: Browser, lone_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with planned(monkeypatch, of_server_log(70)) as parts:
        page = browser.send(browser.see(f"{JOBS}/upkeep").form("/dry-run"))
        asked = browser.send(page.form("/run"))
        parts[:] = [of_server_log(71)]
        begun(lone_server)
    run = runs(lone_server, "upkeep")[0]
    assert (run["state"], "would do something else" in run["error"]) == ("missed", True)
    assert "would do something else" in browser.see(asked.path).words
    assert "The last run failed" not in browser.see("/platform").words


def test_the_jobs_and_the_parts_of_a_plan_are_files_too(
    browser: Browser, lone_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = browser.see(JOBS)
    assert [each["name"] for each in filed(browser, page)] == list(SCHEDULED_JOBS)
    parts = [replace(of_server_log(n), what=f"of {n:03}") for n in range(120)]
    with planned(monkeypatch, *parts):
        page = browser.send(browser.see(f"{JOBS}/upkeep").form("/dry-run"))
        assert [each["what"] for each in filed(browser, page)] == [each.what for each in reversed(parts)]
        asked = browser.send(page.form("/run"))
        assert filed(browser, asked) == filed(browser, page)
        begun(lone_server)
    events = lone_server.operator.pages("/v1/audit-logs", action="EXPORT", resource_type="maintenance_job")
    assert next(iter(events))["new_values"]["rows"] == 120
    assert browser.get(f"{JOBS}/retention/plans/{UNKNOWN}?format=csv").status == 404


def filed(browser: Browser, page: Page) -> list[dict[str, str]]:
    """Rows of the file that a page leads to."""
    (link,) = (each for each in page.links if each.endswith("format=csv"))
    return list(csv.DictReader(io.StringIO(browser.see(link).source)))


def test_a_job_that_deletes_nothing_has_no_dry_run(browser: Browser) -> None:
    page = browser.see(f"{JOBS}/reconcile")
    assert [each for each in page.forms if each.action.endswith("/dry-run")] == []
    refused = browser.post(f"{JOBS}/reconcile/dry-run")
    assert (refused.status, "Run it as it is." in told(refused)) == (409, True)


def test_what_is_not_there_has_a_page_of_that(browser: Browser) -> None:
    for path in ("nothing", f"runs/{UNKNOWN}", "runs/x", f"retention/plans/{UNKNOWN}", "retention/plans/x"):
        browser.see(f"{JOBS}/{path}", 404)
    assert browser.post(f"{JOBS}/nothing/run").status == 404
    page = browser.see(f"{JOBS}/{HOSTILE}", 404)
    assert len(page.root.all("script")) == 2
