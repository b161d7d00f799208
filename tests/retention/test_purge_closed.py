"""Closed subscriptions whose time is over: exported whole, then deleted except for their permanent rows."""

import os
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import LiteralString

import orjson
import psycopg
import pytest
from psycopg import sql

from gitstore.failpoints import OF_PURGING
from service.archive import reading, restoring
from service.archive.store import ArchiveStore
from service.domain.job_runs import Counts
from service.recovery.checks.findings import Finding
from service.recovery.reconcile import reconcile
from service.runtime.settings import SettingsError
from service.usecases.maintenance import purge_closed, repositories
from sql.database import Database as ServiceDatabase
from sql.queries.purge_closed import EXPORTED, KEPT_UP, LOGS, STAYING
from tests.support.api import Json, Server, Tenant, git, ok, refused
from tests.support.closings import REASON, closed
from tests.support.databases import Database
from tests.support.deletion_requests import ask
from tests.support.events import EXECUTION
from tests.support.job_runs import carried_out, job_context
from tests.support.legal_holds import hold
from tests.support.running_server import ANNALS
from tests.support.trees import tree
from tests.support.waiting import until

DAYS = 31
# Each row copied to twenty earlier days, and so to many chunks.
SPREAD = sql.SQL(
    "INSERT INTO {0} SELECT (jsonb_populate_record(r, jsonb_build_object("
    "'log_id', gen_random_uuid(), 'created_at', r.created_at - day * interval '1 day'))).*"
    " FROM {0} AS r CROSS JOIN generate_series(1, 20) AS day WHERE subscription_id = %s"
)
LEFT = {"subscriptions", "audit_logs", "data_change_history"}


def purge(server: Server) -> Counts:
    """Run the scheduled job; answers its counts."""
    return carried_out(server, purge_closed.NAME, purge_closed.run)


def lived(tenant: Tenant) -> dict[str, Json]:
    """A tenant with rows in every table."""
    made = tree(tenant)
    tenant.save(made["workflows"], {"n": 2}, tag="v2", publish=True)
    tenant.save(made["inner workflows"], {"n": 2})
    ok(tenant.ana.post(f"{tenant.at(made['jobs'])}/versions/1/comments", {"text": "well done"}), 201)
    tenant.check_out(made["connectors"])
    tenant.restore(tenant.remove(made["inner jobs"]))
    tenant.remove(made["jobpackages"])
    tenant.remove(made["jobpackages"], permanent=True)
    tenant.make("jobpackages", folder_id=made["folders"]["resource_id"])
    for more in ({}, {"execution_type": "node", "node_id": "n1"}):
        ok(tenant.ana.post(f"{tenant.path}/execution-logs", EXECUTION | more), 201)
    event = {"action": "RUN", "resource_type": "report", "event_id": "e-1"}
    actor = {"id": "u-7", "email": "zoe@example.org"}
    ok(tenant.ana.post(f"{tenant.path}/audit-logs", event | {"actor": actor}), 201)
    rules = {"rules": [{"resource_type": "*", "action": "READ", "depth": "none"}]}
    ok(tenant.ana.put(f"{tenant.path}/audit-policy", rules))
    return made


def sizes(database: Database, subscription_id: str) -> dict[str, int]:
    """The number of rows of a subscription in each table."""
    count = sql.SQL("SELECT {}, count(*) FROM {} WHERE subscription_id = {}")
    of = sql.Literal(subscription_id)
    tables = (*EXPORTED, *KEPT_UP, *LOGS)
    queries = [count.format(sql.Literal(table), sql.Identifier(table), of) for table in tables]
    with database.connection() as connection:
        return dict(connection.execute(sql.SQL(" UNION ALL ").join(queries)).fetchall())


def ids(database: Database, log: str, subscription_id: str) -> set[str]:
    """The ids of a subscription's rows in a log."""
    query = sql.SQL("SELECT log_id::text FROM {} WHERE subscription_id = %s").format(sql.Identifier(log))
    with database.connection() as connection:
        return {log_id for [log_id] in connection.execute(query, [subscription_id])}


def exports(folder: Path, subscription_id: str) -> dict[str, list[Json]]:
    """The rows in the archives of a subscription, each of which is whole."""
    store = ArchiveStore(str(folder))
    found: dict[str, list[Json]] = {}
    listing = reading.listing(store)
    assert listing.damaged == {}
    for manifest in listing.manifests:
        reading.check(store, manifest)
        if str(manifest.subscription_id) == subscription_id:
            lines = b"".join(reading.blocks(store, manifest)) if manifest.columns else b""
            found.setdefault(manifest.log, []).extend(map(orjson.loads, lines.splitlines()))
    return found


def test_a_closed_subscription_goes_whole_after_it_was_exported(lone: Tenant, home: Path) -> None:
    server, other = lone.server, Tenant(lone.server, "other")
    made, others = lived(lone), lived(other)
    server.flush_log()
    footprint = other.footprint()
    main = lone.main()
    before = sizes(server.database, lone.subscription_id)
    assert {table for table, rows in before.items() if not rows} == {
        *("deletion_requests", "retention_policies", "legal_holds"),
    }
    closed(lone)
    assert purge(server) == {"exported": 0, "purged": 0, "blocked": 0, "rows": 0}
    with server.clock.moved(days=DAYS):
        server.flush_log()
        before = sizes(server.database, lone.subscription_id)
        with job_context(server) as context:
            plan = purge_closed.plan(context, context.clock())
        going = {table: rows for table, rows in before.items() if rows and table not in STAYING}
        assert {part.what: part.rows for part in plan.parts} == going
        counts = purge(server)
        assert (counts["exported"], counts["purged"], counts["blocked"]) == (1, 1, 0)
        # Change numbers and results kept for retries are deleted as well.
        assert counts["rows"] > sum(going.values())
        assert purge(server) == {"exported": 0, "purged": 0, "blocked": 0, "rows": 0}
        shown = ok(server.operator.get(lone.path))
        assert shown["exported_at"] < shown["purged_at"]
        for call in (server.operator.get, server.operator.post):
            refused(call(f"{lone.path}/users"), 409, "subscription_closed")
        refused(server.operator.post(f"{lone.path}/reopen", REASON), 409, "subscription_closed")
        refused(lone.ana.get(lone.path), 401, "unauthenticated")
    after = sizes(server.database, lone.subscription_id)
    # Rows of the calls since, which expire in their time.
    after.pop("server_logs")
    assert {table for table, rows in after.items() if rows} == LEFT
    assert after["audit_logs"] > before["audit_logs"]
    last = server.database.rows(
        "SELECT change_type, version_number FROM data_change_history"
        " WHERE record_id = %s AND table_name = 'subscriptions' ORDER BY version_number",
        lone.subscription_id,
    )
    assert last == [("INSERT", 1), ("UPDATE", 2), ("UPDATE", 3), ("UPDATE", 4)]
    assert not lone.repository.exists()
    # The export has every row, without secrets.
    folder = server.context.settings.data_dir / "exports"
    found = exports(folder, lone.subscription_id)
    assert {table: len(rows) for table, rows in found.items()} == {
        **{table: rows for table, rows in before.items() if rows},
        "repository": 0,
    }
    assert not [key for row in found["api_keys"] for key in row if "secret" in key]
    documents = {
        row["resource_id"]: row["version_data"]["definition"]
        for row in found["versions"]
        if row["is_current"]
    }
    assert documents[made["workflows"]["resource_id"]] == {"n": 2}
    store = ArchiveStore(str(folder))
    chosen = reading.listing(store, "versions").manifests
    pool = ServiceDatabase(server.database.url, pool_size=1)
    [again] = restoring.restore(pool, store, chosen, into=None, clock=server.clock)
    pool.close()
    assert (again.added, again.table) == (before["versions"], "restored_versions")
    back = server.database.rows("SELECT version_id::text, version_data FROM restored_versions")
    assert dict(back) == {row["version_id"]: row["version_data"] for row in found["versions"]}
    [bundle] = folder.glob("repository/*/*/*.bundle")
    git(home, "clone", "-q", "--bare", str(bundle), "again")
    assert git(home / "again", "rev-parse", "main").strip() == main
    # No row of another tenant is deleted, and nothing is damaged.
    assert other.footprint() == footprint
    assert ok(other.ana.get(other.at(others["workflows"])))["current_version"] == 2
    assert damages(server) == []


def test_a_hold_that_came_after_the_closing_keeps_it(lone: Tenant) -> None:
    lone.workflow()
    closed(lone)
    ok(lone.server.operator.post(f"{lone.path}/holds", {"reason": "a lawsuit"}), 201)
    with lone.server.clock.moved(days=DAYS):
        before = sizes(lone.server.database, lone.subscription_id)
        with job_context(lone.server) as context:
            plan = purge_closed.plan(context, context.clock())
        assert (plan.parts, [each.what for each in plan.blocked]) == ([], ["subscriptions"])
        assert purge(lone.server) == {"exported": 0, "purged": 0, "blocked": 1, "rows": 0}
        after = sizes(lone.server.database, lone.subscription_id)
        assert after | {"server_logs": 0} == before | {"server_logs": 0}


def test_what_can_not_be_exported_stays_and_the_run_fails(lone: Tenant) -> None:
    lone.workflow()
    closed(lone)
    folder = lone.server.context.settings.data_dir / "exports"
    away = folder.with_name("exports-away")
    folder.mkdir(exist_ok=True)
    folder.rename(away)
    folder.write_text("no folder")
    with lone.server.clock.moved(days=DAYS):
        before = sizes(lone.server.database, lone.subscription_id)
        with pytest.raises(SettingsError):
            purge(lone.server)
        shown = ok(lone.server.operator.get(lone.path))
        assert (shown["exported_at"], shown["purged_at"]) == (None, None)
        after = sizes(lone.server.database, lone.subscription_id)
        assert after | {"server_logs": 0} == before | {"server_logs": 0}
        folder.unlink()
        away.rename(folder)
        # The next run is the retry.
        assert purge(lone.server)["purged"] == 1


def test_rows_go_only_by_retention_and_only_from_what_is_due_exported_and_not_held(lone: Tenant) -> None:
    database, path = lone.server.database, lone.subscription_id
    lone.workflow()
    lone.server.flush_log()
    queries: list[LiteralString] = [
        "SELECT * FROM purge_rows(NULL::server_logs, %s, %s, 2)",
        "SELECT * FROM purge_subscription(%s, %s, 10)",
    ]
    then = lone.server.clock() + timedelta(days=DAYS)
    stages: list[LiteralString] = [
        (
            "UPDATE subscriptions SET closed_at = created_at, closed_by = 'x', purge_after = %s"
            " WHERE subscription_id = %s"
        ),
        "UPDATE subscriptions SET exported_at = %s WHERE subscription_id = %s",
    ]
    with database.connection() as owner, database.connection("annals_retention", path) as connection:

        def refuse(at: datetime, reason: str) -> None:
            for query in queries:
                with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=reason):
                    connection.execute(query, [path, at])

        for stage in stages:
            refuse(then, "not one to be purged")
            owner.execute(stage, [then, path])
        refuse(then - timedelta(microseconds=1), "not one to be purged")
        hold_id = hold(lone)
        refuse(then, "legal hold")
        owner.execute("UPDATE legal_holds SET until = %s WHERE hold_id = %s", [then, hold_id])
        logged = "SELECT * FROM server_logs WHERE subscription_id = %s ORDER BY created_at, log_id"
        rows = database.rows(logged, path)
        assert sorted(connection.execute(queries[0], [path, then])) == sorted(rows[:2])
        assert database.rows(logged, path)[: len(rows) - 2] == rows[2:]
        assert connection.execute(queries[1], [path, then]).fetchall() != []
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="versions do not go"):
            connection.execute("SELECT * FROM purge_rows(NULL::versions, %s, %s, 2)", [path, then])
        with database.connection("annals_service", path) as service:
            for query in queries:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    service.execute(query, [path, then])


def test_a_purge_that_dies_anywhere_is_gone_on_with(lone: Tenant) -> None:
    server = lone.server
    made = lived(lone)
    closed(lone)
    server.flush_log()
    # For processes that use the machine's clock.
    server.database.rows(
        "UPDATE subscriptions SET closed_at = closed_at - interval '40 days', purge_after = closed_at"
        " WHERE subscription_id = %s RETURNING 1",
        lone.subscription_id,
    )
    with server.database.connection() as connection:
        for log in LOGS:
            connection.execute(SPREAD.format(sql.Identifier(log)), [lone.subscription_id])
    before = sizes(server.database, lone.subscription_id)
    die(server, "rows-exported:kill:5")
    logged: dict[str, set[str]] = {log: set() for log in LOGS}
    die(server, "export-noted:kill")
    request = ask(lone, made["workspaces"])
    for point in ("leaving-archived:kill", "rows-purged:kill:9", "leaving-recorded:kill:2"):
        # Calls continue, and are logged.
        refused(server.operator.get(f"{lone.path}/users"), 409, "subscription_closed")
        server.flush_log()
        for log, found_ids in logged.items():
            found_ids |= ids(server.database, log, lone.subscription_id)
        die(server, point)
    # A half deleted subscription is no damage.
    assert damages(server) == []
    assert "failed" not in carried_out(server, repositories.UPKEEP, repositories.upkeep)
    die(server, "repository-removed:kill")
    assert damages(server) == []
    assert purge(server) == {"exported": 0, "purged": 1, "blocked": 0, "rows": 0}
    after = sizes(server.database, lone.subscription_id)
    assert {table for table, rows in after.items() if rows} == LEFT
    found = exports(server.context.settings.data_dir / "exports", lone.subscription_id)
    assert {log: {row["log_id"] for row in found[log]} for log in LOGS} == logged
    assert {row["request_id"] for row in found["deletion_requests"]} == {request["request_id"]}
    # Rows that a killed run had archived and not yet deleted are archived twice.
    once = {table: len({orjson.dumps(row) for row in rows}) for table, rows in found.items()}
    whole = {table: rows for table, rows in before.items() if rows and table != "server_logs"}
    assert once.items() >= whole.items()
    assert "repository" in once
    assert lone.subscription_id not in server.context.store.subscription_ids()
    assert ok(server.operator.get(lone.path))["purged_at"] is not None


def test_what_is_logged_while_rows_go_is_in_the_database_or_in_an_archive(
    lone: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, database = lone.server, lone.server.database
    lone.workflow()
    closed(lone)
    monkeypatch.setattr(purge_closed, "ARCHIVED_AT_ONCE", 10)
    answered: set[str] = set()
    is_over = threading.Event()

    def ask() -> str:
        request_id: str = server.operator.get(f"{lone.path}/users").headers["x-request-id"]
        answered.add(request_id)
        return request_id

    def call() -> None:
        while not is_over.is_set():
            ask()

    during: set[str] = set()

    def pass_by(place: str) -> None:
        if place == "rows-purged" and not during:
            during.add(ask())
            server.flush_log()

    monkeypatch.setattr(purge_closed, "passing", pass_by)

    with server.clock.moved(days=DAYS), ThreadPoolExecutor(1) as threads:
        calls = threads.submit(call)
        try:
            until(lambda: len(answered) > 50)
            purge(server)
            last = set(answered)
            until(lambda: len(answered) > len(last))
        finally:
            is_over.set()
        calls.result()
        server.flush_log()
        assert ok(server.operator.get(lone.path))["purged_at"] is not None
    query = "SELECT request_id FROM server_logs WHERE subscription_id = %s"
    left = {request_id for [request_id] in database.rows(query, lone.subscription_id)}
    found = exports(server.context.settings.data_dir / "exports", lone.subscription_id)
    archived = [row["request_id"] for row in found["server_logs"]]
    assert answered <= left | set(archived)
    assert left & set(archived) == set()
    assert len(archived) == len(set(archived))
    # A hold was placed while rows were deleted.
    assert during
    assert during <= set(archived)


def damages(server: Server) -> list[Finding]:
    """The faults that `annals verify` reports."""
    pool = ServiceDatabase(server.database.url, pool_size=2)
    try:
        return list(reconcile(pool, server.context.store, server.clock, repair=False).findings)
    finally:
        pool.close()


def die(server: Server, point: str) -> None:
    """Kill the job at a place."""
    assert point.partition(":")[0] in OF_PURGING
    done = subprocess.run(
        [ANNALS, "jobs", "run", purge_closed.NAME],
        env=os.environ
        | {
            "DATABASE_URL": server.database.url,
            "ANNALS_DATA_DIR": str(server.context.settings.data_dir),
            "ANNALS_FAILPOINT": point,
        },
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
