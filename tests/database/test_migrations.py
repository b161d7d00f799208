"""What a database of an earlier revision, with rows in it, becomes."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

from alembic import command
from sqlalchemy import text

from gitstore.identity import Identity
from gitstore.store import Store, snapshot_path
from gitstore.write.commit_builder import CommitBuilder
from service.committer.refs import settle_all
from service.domain.ids import mint
from sql import upgrade
from sql.database import Database as ServiceDatabase
from tests.support.api import git
from tests.support.databases import Cluster, Database

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)


def migrated_to(database: Database, revision: str) -> None:
    """Bring a new database to a revision, as the program of that time did."""
    with upgrade._session(database.url) as connection:
        connection.execute(text(upgrade._ROLES))
        connection.commit()
        connection.execute(text(f"SET LOCAL ROLE {upgrade.OWNER_ROLE}"))
        config = upgrade._config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()


def committed(store: Store, subscription_id: UUID, resources: list[UUID]) -> list[tuple[str, str]]:
    """A repository with one commit a resource, in order: their ids and those of their blobs."""
    builder = CommitBuilder(store.ensure(str(subscription_id)))
    builder.begin(None)
    made = []
    for number, resource_id in enumerate(resources):
        path = snapshot_path("workspaces", str(resource_id))
        commit = builder.commit(
            writes={path: b"{}\n" + str(number).encode()},
            message=f"{number}\n",
            actor=Identity(str(resource_id), "ana"),
            time=AT,
        )
        made.append((commit.commit_id, commit.blob_ids[path]))
    builder.write()
    builder.close()
    return made


def test_versions_of_the_first_revision_get_their_place_and_their_tags(
    cluster: Cluster, tmp_path: Path
) -> None:
    database, store = cluster.empty(), Store(tmp_path / "git")
    migrated_to(database, "0001")
    subscription_id, user_id = uuid4(), uuid4()
    one, two = uuid4(), uuid4()
    commits = committed(store, subscription_id, [one, two, one])
    with database.connection() as connection:
        connection.execute("INSERT INTO subscriptions VALUES (%s, 'acme', %s)", [subscription_id, AT])
        connection.execute(
            "INSERT INTO actors (user_id, subscription_id, username) VALUES (%s, %s, 'ana')",
            [user_id, subscription_id],
        )
        connection.execute(
            "INSERT INTO repositories (subscription_id, head_commit, created_at) VALUES (%s, %s, %s)",
            [subscription_id, commits[-1][0], AT],
        )
        for resource_id, number, tag, (commit, blob) in (
            (one, 1, "v1.0", commits[0]),
            (two, 1, None, commits[1]),
            (one, 2, "v2.0", commits[2]),
        ):
            connection.execute(
                "INSERT INTO versions (version_id, subscription_id, resource_type, resource_id,"
                " resource_name, version_number, version_tag, version_data, is_current, is_published,"
                " git_commit_hash, git_blob_id, git_branch, git_repo_url, created_by, created_at)"
                " VALUES (%s, %s, 'workspace', %s, 'w', %s, %s, '{}', %s, false, %s, %s, 'main', '', %s, %s)",
                [
                    *(mint(), subscription_id, resource_id, number, tag, resource_id == two or number == 2),
                    *(commit, blob, user_id, AT),
                ],
            )
    upgrade.upgrade(database.url, lambda _: None)
    places = database.rows("SELECT git_commit_hash, commit_number FROM versions ORDER BY commit_number")
    assert places == [(commit, number) for number, (commit, _) in enumerate(commits, 1)]
    assert database.rows("SELECT commits, published_commit FROM repositories") == [(3, None)]
    assert database.rows("SELECT require_if_match FROM subscriptions") == [(False,)]
    pool = ServiceDatabase(database.url, pool_size=2)
    try:
        assert settle_all(pool, store) == [subscription_id]
        assert settle_all(pool, store) == []
    finally:
        pool.close()
    listed = git(store.path(str(subscription_id)), "for-each-ref", "--format=%(refname) %(objectname)")
    assert listed.splitlines() == [
        f"refs/heads/main {commits[2][0]}",
        f"refs/tags/workspaces/{one}/v1.0 {commits[0][0]}",
        f"refs/tags/workspaces/{one}/v2.0 {commits[2][0]}",
    ]
