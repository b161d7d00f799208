"""Reading logs in a session makes few events; reading them by calls makes one each."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest

from service.domain.callers import Caller as Reader
from service.domain.callers import Origin, Right, Role
from service.domain.ids import SubscriptionId, UserId
from service.domain.pagination import Paging
from service.usecases import audit_logs
from sql.queries.audit_logs import AuditFilter
from tests.support.api import Server, Tenant, ok
from tests.support.executions import run
from tests.support.web import Browser

ORIGIN = Origin(request_id="r", ip_address="127.0.0.1", user_agent="Browser", endpoint="/s/x", method="GET")


def readings(tenant: Tenant) -> int:
    """Number of events that tell of readings of logs."""
    found: int = tenant.server.database.value(
        "SELECT count(*) FROM audit_logs WHERE subscription_id = %s AND action = 'READ'",
        tenant.subscription_id,
    )
    return found


def session_ids(tenant: Tenant) -> Iterator[UUID]:
    rows = tenant.server.database.rows(
        "SELECT session_id FROM web_sessions WHERE subscription_id = %s ORDER BY session_id",
        tenant.subscription_id,
    )
    return (session_id for (session_id,) in rows)


class Session:
    """An auditor's session, as pages of logs read in it."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.browser = Browser(tenant.server).sign_in(tenant.aud)
        *_, self.session_id = session_ids(tenant)

    def read(self, action: str | None = None, *, limit: int = 10, cursor: str | None = None) -> str | None:
        """Read a page; returns the cursor of the next one."""
        reader = Reader(
            user_id=UserId(UUID(self.tenant.aud.user_id)),
            username="aud",
            role=Role.AUDITOR,
            subscription_id=SubscriptionId(UUID(self.tenant.subscription_id)),
            origin=ORIGIN,
            key_id=self.tenant.aud.key_id,
            session_id=self.session_id,
        )
        context, subscription_id = self.tenant.server.context, reader.subscription_id
        filters, paging = AuditFilter(action=action), Paging(limit, cursor)
        return audit_logs.audit_page(context, reader, subscription_id, filters, paging).next_cursor


def test_a_log_that_is_read_again_in_a_session_is_recorded_once(server: Server, tenant: Tenant) -> None:
    session = Session(tenant)
    for _ in range(3):
        session.read(action="UPDATE")
    assert readings(tenant) == 1


def test_another_filter_session_or_call_is_recorded(server: Server, tenant: Tenant) -> None:
    first, second = Session(tenant), Session(tenant)
    first.read(action="UPDATE")
    first.read(action="DELETE")
    first.read()
    second.read(action="UPDATE")
    assert readings(tenant) == 4
    for _ in range(2):
        ok(tenant.aud.get(f"{tenant.path}/audit-logs", params={"action": "UPDATE"}))
    assert readings(tenant) == 6


def test_each_further_page_is_recorded_once(server: Server, tenant: Tenant) -> None:
    session = Session(tenant)
    second = session.read(action="CREATE", limit=1)
    assert second is not None
    for _ in range(2):
        session.read(action="CREATE", limit=1, cursor=second)
    assert readings(tenant) == 2


def test_after_fifteen_minutes_it_is_recorded_again(lone: Tenant) -> None:
    session = Session(lone)
    session.read()
    with lone.server.clock.moved(minutes=14, seconds=50):
        session.read()
        assert readings(lone) == 1
    with lone.server.clock.moved(minutes=15, seconds=5):
        session.read()
        session.read()
        assert readings(lone) == 2
    with lone.server.clock.moved(minutes=29):
        session.read()
        assert readings(lone) == 2


def test_readings_at_once_make_one_event(server: Server, tenant: Tenant) -> None:
    session = Session(tenant)
    with ThreadPoolExecutor(8) as readers:
        list(readers.map(lambda _: session.read(action="CREATE"), range(16)))
    assert readings(tenant) == 1


def test_a_reading_in_a_session_that_ends_meanwhile_is_recorded(server: Server, tenant: Tenant) -> None:
    session = Session(tenant)
    session.browser.post("/sign-out")
    session.read()
    session.read()
    assert readings(tenant) == 2


def test_ten_minutes_of_an_auditor_make_fewer_than_forty_events(lone: Tenant) -> None:
    """A page every eight seconds: through the logs and back again, with a look at the overview each time."""
    made = lone.workflow()
    began = lone.server.clock() - timedelta(hours=1)
    for number in range(3):
        run(lone.path, lone.ana, made["resource_id"], f"run-{number}", began + timedelta(minutes=number))
    browser = Browser(lone.server).sign_in(lone.aud)
    workflow = f"/executions?workflow_id={made['resource_id']}"
    since = (began - timedelta(hours=5)).isoformat().replace("+00:00", "Z")
    visits = (
        ("/executions", workflow, f"{workflow}&status=failed", workflow, "/executions/run-1", workflow),
        ("/audit", "/audit?action=CREATE", "/audit?action=CREATE&status=success", "/audit?action=CREATE"),
        (
            f"/audit?since={since}",
            "/audit",
            "/audit?range=24h",
            "/audit",
            "/audit?user_id=" + lone.ana.user_id,
        ),
        ("/changes", "/changes?table_name=workflows", "/changes", "/server", "/server?status=4xx", "/server"),
        ("/executions", workflow, "/executions/run-2", workflow, "/executions?range=24h", "/executions"),
        ("/audit", "/audit?reads=1", "/audit", "/audit?action=UPDATE", "/audit", "/audit?resource_type=job"),
        ("/executions/run-1", "/executions", "/server", "/changes", "/audit", "/executions"),
        ("/server", "/server?range=24h", "/server", "/changes?range=24h", "/changes", workflow),
    )
    seen = 0
    for visit in visits:
        for page in ("", "?range=24h", *visit, ""):
            with lone.server.clock.moved(seconds=8 * seen):
                browser.see(f"/s/{lone.subscription_id}{page}")
            seen += 1
    assert seen * 8 > 550
    assert 8 < readings(lone) < 40


@pytest.mark.parametrize("role", Role)
def test_figures_are_for_every_role_of_a_subscription_and_logs_are_not(role: Role) -> None:
    assert role.may(Right.READ_FIGURES) is (role is not Role.OPERATOR)
    assert role.may(Right.READ_LOGS) is (role in (Role.AUDITOR, Role.ADMIN))
