"""The upgrade of a database of 0.5.0, beside a host of 0.5.0 that goes on working."""

import threading
from types import SimpleNamespace
from uuid import UUID, uuid4

import psycopg
import pytest
from alembic import command
from psycopg import sql

from sql import upgrade
from tests.support.databases import Cluster, Database

INSTANT = "2026-01-01T00:00:00Z"
SECONDS = 60


@pytest.fixture
def older(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database of 0.5.0."""
    database = cluster.empty()
    with monkeypatch.context() as patch:
        to_older = SimpleNamespace(upgrade=lambda config, _: command.upgrade(config, "0.5.0"))
        patch.setattr(upgrade, "command", to_older)
        upgrade.upgrade(database.url, lambda _: None)
    assert database.value("SELECT version_num FROM alembic_version") == "0.5.0"
    return database


def add_key(connection: psycopg.Connection[tuple[object, ...]]) -> tuple[UUID, UUID]:
    """Add a subscription with a key of the operator's kind, as 0.5.0 does; returns both ids."""
    subscription_id, key_id = uuid4(), uuid4()
    connection.execute(
        "INSERT INTO subscriptions (subscription_id, name, created_at) VALUES (%s, 'acme', %s)",
        [subscription_id, INSTANT],
    )
    user = [uuid4(), subscription_id, "ana"]
    connection.execute("INSERT INTO actors (user_id, subscription_id, username) VALUES (%s, %s, %s)", user)
    connection.execute(
        "INSERT INTO users (user_id, subscription_id, username, role, created_at, updated_at)"
        " VALUES (%s, %s, %s, 'admin', %s, %s)",
        [*user, INSTANT, INSTANT],
    )
    connection.execute(
        "INSERT INTO api_keys (key_id, subscription_id, user_id, name, secret_hash, created_at)"
        " VALUES (%s, %s, %s, 'laptop', '\\x00', %s)",
        [key_id, subscription_id, user[0], INSTANT],
    )
    return subscription_id, key_id


def upgrading(database: Database) -> threading.Thread:
    """Upgrade in a thread."""
    thread = threading.Thread(target=upgrade.upgrade, args=(database.url, lambda _: None))
    thread.start()
    return thread


def test_keys_of_before_begin_sessions_and_end_them(older: Database) -> None:
    with older.connection() as connection:
        subscription_id, key_id = add_key(connection)
    upgrade.upgrade(older.url, lambda _: None)
    with older.connection("annals_service", "platform") as connection:
        connection.execute(
            "INSERT INTO web_sessions (session_id, subscription_id, key_id, token_hash, created_at,"
            " last_seen_at, expires_at) VALUES (%s, %s, %s, '\\x01', %s, %s, %s)",
            [uuid4(), subscription_id, key_id, INSTANT, INSTANT, INSTANT],
        )
    # A host of 0.5.0, which knows nothing of sessions, deletes the key.
    with older.connection("annals_service", "platform") as connection:
        connection.execute("DELETE FROM api_keys WHERE key_id = %s", [key_id])
    assert older.value("SELECT count(*) FROM web_sessions") == 0


def test_the_upgrade_waits_for_no_transaction_that_reads_keys_or_writes_history(older: Database) -> None:
    with older.connection() as connection:
        subscription_id, key_id = add_key(connection)
    with older.connection() as beside, beside.transaction():
        beside.execute("SELECT secret_hash FROM api_keys WHERE key_id = %s", [key_id])
        beside.execute("SELECT 1 FROM subscriptions WHERE subscription_id = %s FOR UPDATE", [subscription_id])
        for table in ("audit_logs", "versions", "workspaces", "check_outs"):
            locked = sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(sql.Identifier(table))
            beside.execute(locked)
        thread = upgrading(older)
        thread.join(SECONDS)
        assert not thread.is_alive()
    assert older.value("SELECT version_num FROM alembic_version") == upgrade.newest_revision()


def test_the_upgrade_waits_for_a_transaction_that_writes_keys_and_takes_turns_with_it(
    older: Database,
) -> None:
    with older.connection() as beside, beside.transaction():
        add_key(beside)
        thread = upgrading(older)
        thread.join(1)
        assert thread.is_alive()
        # A key is read meanwhile, as every call of 0.5.0 does.
        assert older.value("SELECT count(*) FROM api_keys") == 0
    thread.join(SECONDS)
    assert not thread.is_alive()
    assert older.value("SELECT count(*) FROM api_keys") == 1
    assert older.value("SELECT version_num FROM alembic_version") == upgrade.newest_revision()
