"""The service's role in the database is refused what it has no right to, and rows of other tenants."""

import re
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql

from tests.support.api import Server, Tenant, ok
from tests.support.databases import Database
from tests.support.events import LOGS
from tests.support.web import Browser

HISTORY = ("versions", "version_comments", "deletion_logs")
ROLES = ("annals_owner", "annals_service", "annals_ingest", "annals_retention", "annals_sealer")
TENANT_TABLES = (
    *("subscriptions", "actors", "users", "api_keys", "repositories"),
    *("workspaces", "folders", "jobs", "workflows", "jobpackages", "connectors"),
    *("versions", "version_comments", "check_outs", "publications", "tags", "deletion_logs"),
    *("idempotency_keys", "change_numbers", "audit_policies", "deletion_requests"),
    *("retention_policies", "legal_holds", "legal_hold_moves", "archives"),
    *("log_queue", "log_entries", "log_batches", "log_trees"),
    *("reported_actors", "reported_event_ids"),
    *("web_sessions", "sign_in_links", "web_readings"),
    *("execution_figures", "execution_figure_days", "execution_figure_positions"),
    *LOGS,
)
PLATFORM_TABLES = ("job_schedules", "job_plans", "job_runs")


@pytest.fixture(scope="module")
def worked(server: Server) -> tuple[Tenant, Tenant]:
    """Two subscriptions that each have rows in most tables."""
    tenants = Tenant(server, "one"), Tenant(server, "two")
    for tenant in tenants:
        workflow = tenant.workflow()
        tenant.make("jobpackages")
        tenant.make("connectors")
        tenant.check_out(workflow)
        tenant.check_in(workflow, data={"n": 1}, comment="c", tag="t", publish=True)
        Browser(server).sign_in(tenant.ana)
        once = {"idempotency-key": "k"}
        ok(tenant.ana.post(f"{tenant.path}/workspaces", {"name": "once"}, headers=once), 201)
    return tenants


def statement(text: LiteralString, table: str) -> sql.Composed:
    return sql.SQL(text).format(sql.Identifier(table))


def attempt(database: Database, role: str, query: sql.SQL | sql.Composed) -> None:
    """Execute a statement as a role that sees every subscription."""
    with database.connection(role, "platform") as connection:
        connection.execute(query)


@pytest.mark.parametrize("table", LOGS)
@pytest.mark.parametrize(
    "what", ["UPDATE {} SET subscription_id = NULL", "DELETE FROM {}", "TRUNCATE {}", "DROP TABLE {}"]
)
@pytest.mark.parametrize("role", ["annals_service", "annals_ingest"])
def test_no_role_of_the_service_rewrites_a_log(
    database: Database, role: str, what: LiteralString, table: str
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        attempt(database, role, statement(what, table))


NEEDLESS: dict[str, list[LiteralString]] = {
    "annals_service": [
        *("DELETE FROM job_runs", "DELETE FROM job_plans", "DELETE FROM job_schedules"),
        *("UPDATE job_plans SET made_by = 'x'", "UPDATE job_schedules SET is_paused = true"),
        *("DELETE FROM archives", "TRUNCATE job_runs"),
        *("DELETE FROM log_queue", "DELETE FROM log_entries", "UPDATE log_trees SET size = 0"),
        *("INSERT INTO log_entries DEFAULT VALUES", "INSERT INTO log_batches DEFAULT VALUES"),
    ],
    "annals_sealer": [
        *("INSERT INTO audit_logs DEFAULT VALUES", "SELECT * FROM audit_logs", "SELECT * FROM api_keys"),
        *("INSERT INTO log_queue DEFAULT VALUES", "DELETE FROM log_entries", "DELETE FROM log_batches"),
        *("UPDATE log_entries SET position = 0", "DELETE FROM log_trees"),
    ],
    "annals_retention": [
        *(
            "UPDATE job_runs SET error = NULL",
            "UPDATE job_plans SET made_by = 'x'",
            "DELETE FROM job_schedules",
        ),
        *("DELETE FROM users", "DELETE FROM api_keys", "DELETE FROM idempotency_keys"),
    ],
    "annals_ingest": [
        *("INSERT INTO execution_logs DEFAULT VALUES", "INSERT INTO node_execution_logs DEFAULT VALUES"),
        *("INSERT INTO audit_logs DEFAULT VALUES", "SELECT * FROM api_keys", "DELETE FROM job_runs"),
    ],
}


@pytest.mark.parametrize(
    ("role", "what"), [(role, what) for role, refused in NEEDLESS.items() for what in refused]
)
def test_no_role_has_a_right_that_it_does_not_need(
    database: Database, role: str, what: LiteralString
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
        attempt(database, role, sql.SQL(what))


REWRITING = ["UPDATE {} SET subscription_id = NULL", "DELETE FROM {}", "TRUNCATE {}"]


@pytest.mark.parametrize("table", LOGS)
@pytest.mark.parametrize("what", REWRITING)
@pytest.mark.parametrize("role", ["annals_service", None])
def test_neither_a_grant_nor_a_superuser_rewrites_a_log(
    database: Database, role: str | None, what: LiteralString, table: str
) -> None:
    with database.connection(scope="platform") as connection, connection.transaction(force_rollback=True):
        connection.execute(statement("GRANT ALL ON {} TO annals_service", table))
        if role is not None:
            connection.execute(statement("SET ROLE {}", role))
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            connection.execute(statement(what, table))


@pytest.mark.parametrize("what", ["UPDATE {} SET subscription_id = NULL", "DELETE FROM {}"])
def test_not_even_a_superuser_rewrites_a_chunk(
    database: Database, worked: tuple[Tenant, Tenant], what: LiteralString
) -> None:
    chunk = str(database.value("SELECT show_chunks('audit_logs') LIMIT 1")).split(".")
    query = sql.SQL(what).format(sql.Identifier(*chunk))
    with (
        database.connection() as connection,
        connection.transaction(force_rollback=True),
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"),
    ):
        connection.execute(query)


def test_the_owner_alone_passes(database: Database, worked: tuple[Tenant, Tenant]) -> None:
    with database.connection(scope="platform") as connection, connection.transaction(force_rollback=True):
        connection.execute("SET ROLE annals_owner")
        assert connection.execute("DELETE FROM audit_logs").rowcount > 0
        assert connection.execute("SELECT count(*) FROM audit_logs").fetchone() == (0,)


@pytest.mark.parametrize("table", HISTORY)
@pytest.mark.parametrize(
    "what", ["DELETE FROM {}", "TRUNCATE {}", "ALTER TABLE {} DISABLE ROW LEVEL SECURITY"]
)
def test_the_service_does_not_delete_history(database: Database, what: LiteralString, table: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        attempt(database, "annals_service", statement(what, table))


@pytest.mark.parametrize(
    "column",
    [
        *("version_data", "git_commit_hash", "git_blob_id", "version_number", "resource_id", "resource_name"),
        *("created_by", "created_at", "subscription_id", "version_description", "git_branch"),
    ],
)
def test_the_service_does_not_rewrite_a_version(database: Database, column: str) -> None:
    query = sql.SQL("UPDATE versions SET {0} = {0}").format(sql.Identifier(column))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        attempt(database, "annals_service", query)


@pytest.mark.parametrize("role", ROLES)
def test_nobody_logs_in_as_a_role_of_ours(database: Database, role: str) -> None:
    [row] = database.rows(
        "SELECT rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles"
        " WHERE rolname = %s",
        role,
    )
    assert row == (False,) * 5


def test_the_owner_owns_every_table_and_the_service_none(database: Database) -> None:
    owners = database.rows(
        "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public' OR tablename LIKE '\\_hyper%%'"
    )
    assert owners == [("annals_owner",)]


def test_no_role_of_ours_is_a_member_of_the_owner(database: Database) -> None:
    for role in ROLES[1:]:
        assert not database.value("SELECT pg_has_role(%s, 'annals_owner', 'MEMBER')", role)


def test_the_service_runs_as_its_role(server: Server) -> None:
    rows = server.database.rows(
        "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'annals'"
    )
    assert rows
    with server.context.database.transaction("platform") as tx:
        found = tx.exec_driver_sql("SELECT current_user::text").scalar_one()
    assert found == "annals_service"


def test_the_service_makes_nothing_in_the_schema(database: Database) -> None:
    for query in (
        "CREATE TABLE mine (n int)",
        "CREATE SCHEMA mine",
        "UPDATE alembic_version SET version_num = 'x'",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            attempt(database, "annals_service", sql.SQL(query))


def seen(database: Database, table: str, scope: object) -> list[Any]:
    """The subscriptions whose rows of a table the service sees."""
    with database.connection("annals_service", scope) as connection:
        rows = connection.execute(
            statement("SELECT DISTINCT subscription_id::text FROM {}", table)
        ).fetchall()
    return [row[0] for row in rows]


@pytest.mark.parametrize("table", TENANT_TABLES)
def test_a_scope_shows_its_own_rows_alone(
    database: Database, worked: tuple[Tenant, Tenant], table: str
) -> None:
    everything = seen(database, table, "platform")
    for tenant in worked:
        own = tenant.subscription_id
        assert seen(database, table, own) == ([own] if own in everything else [])


@pytest.mark.parametrize("table", TENANT_TABLES)
@pytest.mark.parametrize("scope", [None, "", "*", "Platform", "019a0000-0000-7000-8000-000000000000", "null"])
def test_without_a_scope_nothing_is_shown(
    database: Database, worked: tuple[Tenant, Tenant], table: str, scope: str | None
) -> None:
    assert seen(database, table, scope) == []


def test_most_tables_have_rows_to_hide(database: Database, worked: tuple[Tenant, Tenant]) -> None:
    own = worked[0].subscription_id
    empty = {table for table in TENANT_TABLES if own not in seen(database, table, "platform")}
    later = {"deletion_logs", "deletion_requests", "change_numbers", "audit_policies", *LOGS[1:]}
    later |= {"retention_policies", "legal_holds", "legal_hold_moves", "archives"}
    # The sequencer empties the queue, and fills the others.
    later |= {"log_queue", "log_entries", "log_batches", "log_trees"}
    later |= {"reported_actors", "reported_event_ids"}
    later |= {"sign_in_links", "web_readings"}
    # A scheduled job counts the days.
    later |= {"execution_figures", "execution_figure_days", "execution_figure_positions"}
    assert empty <= later


def test_every_table_of_a_subscription_is_guarded(database: Database) -> None:
    unguarded = database.rows(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')"
        " AND a.attname = 'subscription_id' AND NOT c.relrowsecurity"
    )
    assert unguarded == []
    guarded = database.rows("SELECT tablename FROM pg_policies WHERE schemaname = 'public'")
    assert {name for (name,) in guarded} == {*TENANT_TABLES, *PLATFORM_TABLES}


def test_what_is_the_platforms_is_hidden_from_every_subscription(
    database: Database, worked: tuple[Tenant, Tenant]
) -> None:
    with database.connection() as connection, connection.transaction(force_rollback=True):
        connection.execute("INSERT INTO job_schedules VALUES ('x', NULL, NULL, true, now(), 'ana')")
        connection.execute("INSERT INTO job_plans VALUES (gen_random_uuid(), 'x', now(), 'ana', '{}', '')")
        connection.execute(
            "INSERT INTO job_runs (run_id, job, scheduled_for, trigger, state)"
            " VALUES (gen_random_uuid(), 'x', now(), 'operator', 'waiting')"
        )
        connection.execute("SET ROLE annals_service")
        for scope, shown in (("platform", 1), (worked[0].subscription_id, 0), ("", 0)):
            connection.execute("SELECT set_config('annals.scope', %s, true)", [scope])
            for table in PLATFORM_TABLES:
                query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
                [(count,)] = connection.execute(query).fetchall()
                assert min(count, 1) == shown, (scope, table)


def test_a_scope_cannot_write_into_another(database: Database, worked: tuple[Tenant, Tenant]) -> None:
    one, two = worked
    with (
        database.connection("annals_service", one.subscription_id) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
    ):
        connection.execute(
            "INSERT INTO audit_logs (audit_id, created_at, subscription_id, action, resource_type, status)"
            " VALUES (gen_random_uuid(), now(), %s, 'CREATE', 'job', 'success')",
            [two.subscription_id],
        )
    with database.connection("annals_service", one.subscription_id) as connection:
        changed = connection.execute(
            "UPDATE workflows SET description = 'x' WHERE subscription_id = %s", [two.subscription_id]
        )
        assert changed.rowcount == 0


def test_the_rows_of_a_chunk_are_not_read_past_the_wall(
    database: Database, worked: tuple[Tenant, Tenant]
) -> None:
    # More than one where a test has moved the time into another quarter.
    chunk, *_ = sorted(str(name) for (name,) in database.rows("SELECT show_chunks('audit_logs')"))
    assert re.fullmatch(r"\w+\._hyper_\d+_\d+_chunk", chunk)
    schema, name = chunk.split(".")
    query = sql.SQL("SELECT subscription_id FROM {}.{}").format(sql.Identifier(schema), sql.Identifier(name))
    with database.connection("annals_service", worked[0].subscription_id) as connection:
        try:
            rows = connection.execute(query).fetchall()
        except psycopg.errors.InsufficientPrivilege:
            return
    assert {str(subscription_id) for (subscription_id,) in rows} <= {worked[0].subscription_id}
