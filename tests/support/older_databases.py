"""Databases as an older version made them."""

from types import SimpleNamespace

import pytest
from alembic import command

from sql import upgrade
from tests.support.databases import Cluster, Database


def database_of(revision: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Make an empty database of a revision."""
    database = cluster.empty()
    with monkeypatch.context() as patch:
        older = SimpleNamespace(upgrade=lambda config, _: command.upgrade(config, revision))
        patch.setattr(upgrade, "command", older)
        upgrade.upgrade(database.url, lambda _: None)
    assert database.value("SELECT version_num FROM alembic_version") == revision
    return database
