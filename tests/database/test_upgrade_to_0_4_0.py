"""The upgrade of a database of 0.3.0: older rows keep their values, and new rules hold beside them."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from alembic import command

from sql import upgrade
from tests.support.databases import Cluster, Database

INSTANT = "2026-01-01T00:00:00Z"


@contextmanager
def upgraded_from_0_3_0(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """Yield a database of 0.3.0 to be filled; it is upgraded when the block ends."""
    database = cluster.empty()
    with monkeypatch.context() as patch:
        older = SimpleNamespace(upgrade=lambda config, _: command.upgrade(config, "0.3.0"))
        patch.setattr(upgrade, "command", older)
        upgrade.upgrade(database.url, lambda _: None)
    assert database.value("SELECT version_num FROM alembic_version") == "0.3.0"
    yield database
    upgrade.upgrade(database.url, lambda _: None)


def subscribe(database: Database) -> UUID:
    subscription_id = uuid4()
    with database.connection() as connection:
        connection.execute(
            "INSERT INTO subscriptions (subscription_id, name, created_at) VALUES (%s, 'acme', %s)",
            [subscription_id, INSTANT],
        )
    return subscription_id


def add_users(database: Database, subscription_id: UUID, names: list[str]) -> None:
    with database.connection() as connection:
        for number, name in enumerate(names):
            user = [UUID(int=uuid4().int >> 8 | number << 120), subscription_id, name]
            connection.execute(
                "INSERT INTO actors (user_id, subscription_id, username) VALUES (%s, %s, %s)", user
            )
            connection.execute(
                "INSERT INTO users (user_id, subscription_id, username, role, created_at, updated_at)"
                " VALUES (%s, %s, %s, 'editor', %s, %s)",
                [*user, INSTANT, INSTANT],
            )


def test_users_whose_names_differ_in_case_stay_and_the_oldest_has_the_key(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with upgraded_from_0_3_0(cluster, monkeypatch) as database:
        first, second = subscribe(database), subscribe(database)
        add_users(database, first, ["admin", "ADMIN", "Zo\u00eb", "Stra\u00dfe"])
        add_users(database, second, ["Admin"])
    found = database.rows(
        "SELECT username, name_key, kind FROM users ORDER BY subscription_id = %s, user_id", second
    )
    assert found == [
        ("admin", "admin", "human"),
        ("ADMIN", None, "human"),
        ("Zo\u00eb", "zo\u00eb", "human"),
        ("Stra\u00dfe", "strasse", "human"),
        ("Admin", "admin", "human"),
    ]
