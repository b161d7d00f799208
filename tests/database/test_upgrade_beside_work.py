"""An upgrade beside transactions that use its tables: it waits in short tries, and says for which tables."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from uuid import uuid4

import psycopg
import pytest
import typer

from service.cli.console import explained
from sql import patience, upgrade
from sql.errors import SchemaError
from tests.support.databases import Cluster, Database
from tests.support.older_databases import database_of
from tests.support.waiting import until, waits_for_a_lock

SUBSCRIBE = "INSERT INTO subscriptions (subscription_id, name, created_at) VALUES (%s, 'acme', now())"
VISIT = (
    "INSERT INTO audit_logs (audit_id, created_at, subscription_id, action, resource_type, status)"
    " VALUES (gen_random_uuid(), now(), %s, 'VISIT', 'page', 'success')"
)
REVISION = "SELECT version_num FROM alembic_version"


@pytest.fixture
def older(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database of 0.5.0."""
    return database_of("0.5.0", cluster, monkeypatch)


@pytest.mark.parametrize("table", ["subscriptions", "api_keys", "log_queue"])
def test_others_pass_an_upgrade_that_waits_for_a_long_transaction(older: Database, table: str) -> None:
    said: list[str] = []
    with psycopg.connect(older.url) as long, ThreadPoolExecutor(1) as pool:
        long.execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE".encode())
        upgraded = pool.submit(upgrade.upgrade, older.url, said.append)
        until(lambda: waits_for_a_lock(older))
        # Behind the upgrade these wait for the rest of one try, and not for the long transaction.
        with psycopg.connect(older.url, autocommit=True) as other:
            other.execute(SUBSCRIBE, [uuid4()])
            other.execute(VISIT, [uuid4()])
        until(lambda: any("Next try" in line for line in said))
        assert not upgraded.done()
        assert older.value(REVISION) == "0.5.0"
        long.rollback()
        upgraded.result(60)
    [told, *_] = [line for line in said if "Next try" in line]
    assert f"Other transactions use tables that are to be changed: {table} for " in told
    assert older.value(REVISION) == upgrade.newest_revision()


def test_an_upgrade_that_waits_too_long_ends_with_a_sentence_and_changes_nothing(
    older: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 1.0)
    with psycopg.connect(older.url) as long:
        long.execute(SUBSCRIBE, [uuid4()])
        with pytest.raises(SchemaError, match="other transactions use its tables: subscriptions for"):
            upgrade.upgrade(older.url, lambda _: None)
        # As a command says it.
        with pytest.raises(typer.Exit) as ended, explained():
            upgrade.upgrade(older.url, lambda _: None)
    assert ended.value.exit_code == 1
    shown = " ".join(capsys.readouterr().err.split())
    assert shown.startswith("annals: the schema could not be changed for")
    assert "Traceback" not in shown
    assert older.value(REVISION) == "0.5.0"


def test_an_upgrade_beside_hosts_of_before_that_write_all_the_time(older: Database) -> None:
    stop = Event()

    def write() -> int:
        count = 0
        with psycopg.connect(older.url) as connection:
            while not stop.is_set():
                subscription_id = uuid4()
                # Rows of the log first, then the subscription, whose rows are counted at the end.
                connection.execute(SUBSCRIBE, [subscription_id])
                connection.execute(VISIT, [subscription_id])
                time.sleep(0.02)
                connection.execute(
                    "UPDATE subscriptions SET log_rows_of_day = 1 WHERE subscription_id = %s",
                    [subscription_id],
                )
                connection.commit()
                count += 1
        return count

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write) for _ in range(4)]
        try:
            until(lambda: older.value("SELECT count(*) FROM audit_logs") > 20)
            upgrade.upgrade(older.url, lambda _: None)
        finally:
            stop.set()
        written = sum(writer.result() for writer in writers)
    assert older.value(REVISION) == upgrade.newest_revision()
    assert older.value("SELECT count(*) FROM audit_logs") == written
