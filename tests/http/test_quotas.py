"""Quotas: set by the operator alone, exact among clients and hosts, and counted from what is stored."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest

from gitstore.upkeep.repack import needs
from service.committer.changes import Change
from service.domain.ids import SubscriptionId
from service.domain.quotas import of_day
from service.http.app import create_app
from service.usecases.maintenance.upkeep import tend
from tests.support.api import Caller, Clock, Json, Server, Tenant, ok, pointers, refused, served
from tests.support.changes import create, save, submit
from tests.support.events import EXECUTION
from tests.support.histories import check_history

EVENT = {"action": "EXECUTE", "resource_type": "report"}
CLIENTS = 16


def limit(tenant: Tenant, **quotas: int | None) -> Json:
    """Set quotas; returns all of them."""
    found: Json = ok(tenant.server.operator.patch(tenant.path, {"quotas": quotas}))["quotas"]
    return found


def used(tenant: Tenant, quota: str) -> int | None:
    found: int | None = ok(tenant.server.operator.get(tenant.path))["quotas"][quota]["used"]
    return found


def exceeded(response: httpx.Response, quota: str, size: int, in_use: int) -> None:
    problem = refused(response, 403, "quota_exceeded")
    assert {name: problem[name] for name in ("quota", "limit", "used")} == {
        "quota": quota,
        "limit": size,
        "used": in_use,
    }


@contextmanager
def at_noon(clock: Clock) -> Iterator[None]:
    """Move the clock to the next noon, so that no midnight falls into a test."""
    now = clock()
    noon = (now + timedelta(days=1)).replace(hour=12, minute=0, second=0)
    with clock.moved(seconds=(noon - now).total_seconds()):
        yield


@pytest.fixture(autouse=True)
def noon(server: Server) -> Iterator[None]:
    with at_noon(server.clock):
        yield


# Setting and showing


def test_no_quota_is_set_until_the_operator_sets_one(tenant: Tenant) -> None:
    tenant.workflow()
    quotas = ok(tenant.vera.get(tenant.path))["quotas"]
    assert [quota["limit"] for quota in quotas.values()] == [None] * 4
    assert (quotas["resources"]["used"], quotas["versions_a_day"]["used"]) == (4, 4)
    assert quotas["repository_bytes"]["used"] == needs(tenant.repository).bytes
    assert quotas["log_rows_a_day"]["used"] is None


def test_a_quota_is_set_and_taken_off_while_others_stay(tenant: Tenant) -> None:
    limit(tenant, resources=10, versions_a_day=20)
    assert limit(tenant, resources=None)["versions_a_day"] == {"limit": 20, "used": 0}
    assert limit(tenant)["resources"] == {"limit": None, "used": 0}


def test_an_admin_may_not_set_quotas(tenant: Tenant) -> None:
    for quotas in ({"resources": 10}, {}):
        body = {"name": "mine", "quotas": quotas}
        refused(tenant.ana.patch(tenant.path, body), 403, "forbidden")
    assert ok(tenant.ana.get(tenant.path))["name"] == "acme"


@pytest.mark.parametrize(
    ("quotas", "pointer"),
    [
        ({"resources": -1}, "/quotas/resources"),
        ({"resources": 1.5}, "/quotas/resources"),
        ({"resources": "9"}, "/quotas/resources"),
        ({"resources": True}, "/quotas/resources"),
        ({"resources": 2**63}, "/quotas/resources"),
        ({"users": 1}, "/quotas/users"),
        (None, "/quotas"),
    ],
)
def test_a_quota_that_breaks_a_rule_is_refused(shared: Tenant, quotas: object, pointer: str) -> None:
    problem = refused(shared.server.operator.patch(shared.path, {"quotas": quotas}), 422, "invalid")
    assert pointers(problem) == [pointer]


def test_a_change_of_quotas_is_recorded(tenant: Tenant) -> None:
    limit(tenant, resources=10)
    limit(tenant, resources=11)
    limit(tenant, resources=None)
    events = tenant.aud.pages(f"{tenant.path}/audit-logs", resource_type="subscription", action="UPDATE")
    assert [event["changes"] for event in events[::-1]] == [
        [{"op": "add", "path": "/quotas", "value": {"resources": 10}}],
        [{"op": "replace", "path": "/quotas/resources", "value": 11}],
        [{"op": "remove", "path": "/quotas"}],
    ]


def test_closing_and_reopening_keep_quotas(tenant: Tenant) -> None:
    limit(tenant, resources=10)
    operator = tenant.server.operator
    ok(operator.post(f"{tenant.path}/close", {"reason": "unpaid"}))
    ok(operator.post(f"{tenant.path}/reopen", {"reason": "paid"}))
    assert limit(tenant)["resources"]["limit"] == 10
    events = tenant.aud.pages(f"{tenant.path}/audit-logs", resource_type="subscription", action="UPDATE")
    assert all("quotas" not in str(event["changes"]) for event in events[:2])


# Each change that counts


def test_every_change_that_makes_a_version_counts(tenant: Tenant) -> None:
    workflow, held = tenant.workflow(), tenant.workflow()
    tenant.save(workflow, {"n": 1})
    tenant.check_out(held)
    limit(tenant, versions_a_day=6)
    before = tenant.footprint()
    item = {"resource_type": "workflow", "resource_id": workflow["resource_id"], "data": {"n": 9}}
    ana, at, since = tenant.ana, tenant.at(workflow), {"to": workflow["git_commit_hash"]}
    calls: list[Callable[[], httpx.Response]] = [
        lambda: ana.post(f"{tenant.path}/workspaces", {"name": "more"}),
        lambda: ana.post(f"{at}/versions", {"data": {"n": 9}}),
        lambda: ana.post(f"{at}/rollback", {"to": 1}),
        lambda: ana.patch(at, {"name": "another"}),
        lambda: ana.post(f"{tenant.at(held)}/check-in", {"data": {"n": 9}}),
        lambda: ana.post(f"{tenant.path}/check-ins", {"items": [item]}),
        lambda: ana.post(f"{tenant.path}/rollback", since),
    ]
    for call in calls:
        exceeded(call(), "versions_a_day", 6, 6)
    assert tenant.footprint() == before
    limit(tenant, versions_a_day=None)
    ok(calls[-1](), 201)
    check_history(tenant)


def test_what_makes_no_version_needs_no_quota_of_versions(tenant: Tenant) -> None:
    workflow = tenant.workflow(definition={"n": 1})
    limit(tenant, versions_a_day=0)
    ana, at = tenant.ana, tenant.at(workflow)
    assert ok(ana.post(f"{at}/versions", {"data": {"n": 1}}))["unchanged"] is True
    ok(ana.put(f"{at}/versions/1/tag", {"tag": "v1"}))
    ok(ana.post(f"{at}/versions/1/publish"))
    ok(ana.post(f"{at}/rollback", {"to": 1, "dry_run": True}))
    tenant.check_out(workflow)
    tenant.restore(tenant.remove(workflow))


def test_a_change_of_many_is_refused_whole(tenant: Tenant) -> None:
    workflows = [tenant.workflow() for _ in range(3)]
    limit(tenant, versions_a_day=8)
    before = tenant.footprint()
    items = [
        {"resource_type": "workflow", "resource_id": each["resource_id"], "data": {"n": 1}}
        for each in workflows
    ]
    exceeded(tenant.ana.post(f"{tenant.path}/check-ins", {"items": items}), "versions_a_day", 8, 6)
    assert tenant.footprint() == before
    ok(tenant.ana.post(f"{tenant.path}/check-ins", {"items": items[:2]}), 201)


def test_a_retry_is_answered_past_the_quota(tenant: Tenant) -> None:
    body, once = {"name": "w"}, {"idempotency-key": "once"}
    made = ok(tenant.ana.post(f"{tenant.path}/workspaces", body, headers=once), 201)
    limit(tenant, versions_a_day=1, resources=1)
    assert ok(tenant.ana.post(f"{tenant.path}/workspaces", body, headers=once), 201) == made


def test_versions_are_counted_anew_each_day_of_utc(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    limit(tenant, versions_a_day=4)
    path = f"{tenant.at(workflow)}/versions"
    with tenant.server.clock.moved(hours=11):
        exceeded(tenant.ana.post(path, {"data": {"n": 1}}), "versions_a_day", 4, 4)
    with tenant.server.clock.moved(hours=13):
        assert used(tenant, "versions_a_day") == 0
        tenant.save(workflow, {"n": 1})
        assert used(tenant, "versions_a_day") == 1


def test_the_later_of_two_clocks_decides_which_day_it_is() -> None:
    day = datetime(2026, 5, 1, tzinfo=UTC).date()
    assert of_day(None, 0, day) == (day, 0)
    assert of_day(day, 7, day) == (day, 7)
    assert of_day(day - timedelta(days=1), 7, day) == (day, 0)
    assert of_day(day + timedelta(days=1), 7, day) == (day + timedelta(days=1), 7)
    assert of_day(day + timedelta(days=400), 7, day) == (day, 0)


def test_a_deletion_makes_room_for_resources_and_a_restore_needs_it(tenant: Tenant) -> None:
    tenant.workflow()
    connector, job = tenant.make("connectors"), {"resource_type": "job", "resource_id": tenant.job_id}
    # A workspace, a folder, a job with a workflow, and a connector.
    limit(tenant, resources=5)
    create_one = {"name": "another", "workspace_id": tenant.workspace_id}
    exceeded(tenant.ana.post(f"{tenant.path}/connectors", create_one), "resources", 5, 5)
    tenant.save(connector, {"n": 1})
    deletion = tenant.remove(job)
    ok(tenant.ana.post(f"{tenant.path}/connectors", create_one), 201)
    tenant.ben  # noqa: B018 - made before the footprint
    before = tenant.footprint()
    path = f"{tenant.path}/deletions/{deletion['deletion_id']}/restore"
    exceeded(tenant.ben.post(path, {}), "resources", 5, 4)
    assert ok(tenant.ben.post(path, {"dry_run": True}))["conflicts"] == []
    assert tenant.footprint() == before
    limit(tenant, resources=6)
    tenant.restore(deletion)
    assert used(tenant, "resources") == 6
    check_history(tenant)


def test_resources_that_nobody_counted_are_counted_when_it_matters(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    tenant.remove(workflow)
    # As on a host of another version, which does not count.
    with tenant.server.database.connection() as connection:
        forget = "UPDATE repositories SET live_resources = 77, live_at_commits = commits - 1"
        connection.execute(f"{forget} WHERE subscription_id = '{tenant.subscription_id}'".encode())
    assert used(tenant, "resources") == 3
    tenant.make("connectors")
    assert used(tenant, "resources") == 4
    limit(tenant, resources=5)
    outcomes = submit(tenant, [create(tenant, "one"), create(tenant, "two")])
    assert [type(outcome).__name__ for outcome in outcomes] == ["Written", "QuotaExceeded"]
    known = "SELECT live_resources, live_at_commits = commits FROM repositories WHERE subscription_id = %s"
    assert tenant.server.database.rows(known, tenant.subscription_id) == [(5, True)]


# Exactness


def test_a_batch_stops_at_the_limit(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    limit(tenant, resources=6, versions_a_day=9)
    changes: list[Change] = [
        *(create(tenant, f"w{number}") for number in range(4)),
        *(save(tenant, workflow, {"n": number}) for number in range(4)),
    ]
    outcomes = [type(outcome).__name__ for outcome in submit(tenant, changes)]
    assert outcomes == ["Written"] * 2 + ["QuotaExceeded"] * 2 + ["Written"] * 3 + ["QuotaExceeded"]
    assert (used(tenant, "resources"), used(tenant, "versions_a_day")) == (6, 9)
    check_history(tenant)


@pytest.fixture
def hosts(server: Server) -> Iterator[list[Server]]:
    """Run a second committer on the same database and repositories, as another host does."""
    app = create_app(server.context.settings, database_url=server.database.url, clock=server.clock)
    with served(app, server.database, server.clock) as second:
        yield [server, second]


def at_once(hosts: list[Server], caller: Caller, call: Callable[[Caller, int], httpx.Response]) -> int:
    """Call from many clients of two hosts; returns how many calls were accepted, the others past a quota."""
    callers = [replace(caller, server=host) for host in hosts]
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(lambda number: call(callers[number % 2], number), range(3 * CLIENTS)))
    for answer in answers:
        if answer.status_code != 201:
            refused(answer, 403, "quota_exceeded")
    return sum(answer.status_code == 201 for answer in answers)


def test_clients_of_two_hosts_never_get_past_a_limit(tenant: Tenant, hosts: list[Server]) -> None:
    workflow = tenant.workflow()
    limit(tenant, resources=14, versions_a_day=34)
    path = f"{tenant.path}/workspaces"
    assert at_once(hosts, tenant.ana, lambda by, number: by.post(path, {"name": f"w{number}"})) == 10
    path = f"{tenant.at(workflow)}/versions"
    assert at_once(hosts, tenant.ana, lambda by, number: by.post(path, {"data": {"n": number}})) == 20
    assert (used(tenant, "resources"), used(tenant, "versions_a_day")) == (14, 34)
    check_history(tenant)


def test_log_rows_of_two_hosts_never_get_past_a_limit(tenant: Tenant, hosts: list[Server]) -> None:
    limit(tenant, log_rows_a_day=50)

    def post(by: Caller, number: int) -> httpx.Response:
        log, event = ("audit-logs", EVENT) if number % 4 < 2 else ("execution-logs", EXECUTION)
        return by.post(f"{tenant.path}/{log}", [event] * 3)

    assert at_once(hosts, tenant.ben, post) == 16
    assert used(tenant, "log_rows_a_day") == 48
    counted = "SELECT (SELECT count(*) FROM audit_logs WHERE subscription_id = %(s)s AND action = 'EXECUTE')"
    counted += " + (SELECT count(*) FROM execution_logs WHERE subscription_id = %(s)s)"
    with tenant.server.database.connection() as connection:
        assert connection.execute(counted, {"s": tenant.subscription_id}).fetchone() == (48,)


# Log rows


def test_events_past_the_quota_are_refused_whole(tenant: Tenant) -> None:
    limit(tenant, log_rows_a_day=3)
    path = f"{tenant.path}/audit-logs"
    ok(tenant.ben.post(path, [EVENT] * 2), 201)
    exceeded(tenant.ben.post(path, [EVENT] * 2), "log_rows_a_day", 3, 2)
    ok(tenant.ben.post(path, EVENT), 201)
    with tenant.server.clock.moved(days=1):
        ok(tenant.ben.post(path, [EVENT] * 3), 201)
        assert used(tenant, "log_rows_a_day") == 3


def test_a_repeated_post_counts_once(tenant: Tenant) -> None:
    limit(tenant, log_rows_a_day=1)
    once = {"idempotency-key": "once"}
    for _ in range(2):
        ok(tenant.ben.post(f"{tenant.path}/audit-logs", EVENT, headers=once), 201)
    assert used(tenant, "log_rows_a_day") == 1


def test_faulty_events_count_nothing(tenant: Tenant) -> None:
    limit(tenant, log_rows_a_day=9)
    late = EXECUTION | {"created_at": "2020-01-01T00:00:00Z"}
    refused(tenant.ben.post(f"{tenant.path}/execution-logs", [EXECUTION, late]), 422, "invalid")
    assert used(tenant, "log_rows_a_day") == 0


# Bytes of the repository


def test_bytes_count_from_the_first_batch_on_and_are_those_on_disk(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    for number in range(5):
        tenant.save(workflow, {"n": number}, tag=f"v{number}", publish=True)
    tenant.remove(workflow)
    assert used(tenant, "repository_bytes") == needs(tenant.repository).bytes


def test_a_document_that_does_not_fit_is_refused(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    size = used(tenant, "repository_bytes")
    assert size is not None
    limit(tenant, repository_bytes=size + 4096)
    path, before = f"{tenant.at(workflow)}/versions", tenant.footprint()
    large = {"data": {"text": "x" * 5000}}
    exceeded(tenant.ana.post(path, large), "repository_bytes", size + 4096, size)
    assert tenant.footprint() == before
    tenant.save(workflow, {"n": 1})
    limit(tenant, repository_bytes=size + 8192)
    ok(tenant.ana.post(path, large), 201)
    limit(tenant, repository_bytes=0)
    refused(tenant.ana.patch(tenant.at(workflow), {"name": "other"}), 403, "quota_exceeded")
    tenant.remove(workflow)


def test_upkeep_measures_bytes_anew(tenant: Tenant) -> None:
    workflow = tenant.workflow()
    for number in range(30):
        tenant.save(workflow, {"n": number})
    before = used(tenant, "repository_bytes")
    context = tenant.server.context
    tend(
        context.database,
        context.store,
        SubscriptionId(UUID(tenant.subscription_id)),
        at=context.clock(),
        deep=True,
    )
    after = used(tenant, "repository_bytes")
    assert after == needs(tenant.repository).bytes
    assert before is not None
    assert after < before / 2
    tenant.save(workflow, {"n": -1})
    assert used(tenant, "repository_bytes") == needs(tenant.repository).bytes
