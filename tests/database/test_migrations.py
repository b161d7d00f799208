"""A database of version 0.1.0 is refused with one sentence that names the way from it."""

import json
from pathlib import Path

import pytest

from sql import upgrade
from sql.errors import SchemaError
from tests.support.commands import annals
from tests.support.databases import Cluster, Database

WAY = (
    "of Annals 0.1.0, which can't be upgraded: run `annals rebuild --from-git` with a new, empty database, "
    "which restores resources, versions, tags, publications, deletions and user names, but no logs"
)


@pytest.fixture
def of_0_1_0(cluster: Cluster) -> Database:
    """A database that names the last revision of version 0.1.0 as its own."""
    database = cluster.migrated()
    move_to(database, "0008")
    return database


def move_to(database: Database, revision: str) -> None:
    """Name a revision as the database's own."""
    with database.connection() as connection:
        connection.execute("UPDATE alembic_version SET version_num = %s", [revision])


def test_each_revision_of_0_1_0_is_refused_with_the_way_from_it(of_0_1_0: Database) -> None:
    for number in range(1, 9):
        move_to(of_0_1_0, f"000{number}")
        with pytest.raises(SchemaError) as refused:
            upgrade.upgrade(of_0_1_0.url, lambda _: None)
        assert str(refused.value).startswith(f"the database is at revision 000{number} {WAY}")
        assert of_0_1_0.value("SELECT version_num FROM alembic_version") == f"000{number}"


@pytest.mark.parametrize("command", [["db", "upgrade"], ["serve"]])
def test_a_command_on_a_database_of_0_1_0_ends_with_that_sentence(
    of_0_1_0: Database, command: list[str], tmp_path: Path
) -> None:
    folder = ["--data-dir", tmp_path / "data"]
    ended = annals(None, *command, *folder, code=1, DATABASE_URL=of_0_1_0.url, COLUMNS="1000")
    assert f"annals: the database is at revision 0008 {WAY}" in ended.stderr.decode()


def test_the_doctor_fails_a_database_of_0_1_0_with_that_sentence(of_0_1_0: Database, tmp_path: Path) -> None:
    folder = ["--data-dir", tmp_path / "data"]
    ended = annals(None, "doctor", "--json", *folder, code=1, DATABASE_URL=of_0_1_0.url)
    [found] = [finding for finding in json.loads(ended.stdout) if finding["subject"] == "schema"]
    assert found["verdict"] == "fail"
    assert found["detail"].startswith(f"the database is at revision 0008 {WAY}")


def test_the_doctor_says_that_a_schema_is_not_made_yet(cluster: Cluster, tmp_path: Path) -> None:
    url = cluster.empty().url
    ended = annals(None, "doctor", "--json", "--data-dir", str(tmp_path / "data"), DATABASE_URL=url)
    [schema] = [each for each in json.loads(ended.stdout) if each["subject"] == "schema"]
    assert schema["verdict"] == "warn"
    assert "is not made yet: `annals db upgrade`" in schema["detail"]
