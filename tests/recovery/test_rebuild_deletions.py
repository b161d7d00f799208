"""A lost database of a history with deletions: after a rebuild the same resources are deleted."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitstore.commit_messages import DeletionLine
from gitstore.store import Store, snapshot_path
from service.domain.ids import mint
from service.recovery.rebuild import rebuild
from service.recovery.reconcile import VerifyDepth
from service.runtime.clock import system_clock
from sql.database import Database as ServiceDatabase
from tests.support.api import Json, Tenant, ok, refused
from tests.support.databases import Cluster, Database
from tests.support.histories import check_history
from tests.support.rebuilds import (
    PUBLIC_URL,
    STEPS,
    answers,
    check_api_as_before,
    check_rows_as_before,
    house,
    stored,
)
from tests.support.reconciled import told, verify
from tests.support.repositories import Story, Workspace
from tests.support.trees import live, records_of, tree


def delete_and_restore(tenant: Tenant, *, seed: int, random_steps: int) -> None:
    """Delete, restore and delete for good, first by name and then at random."""
    made = tree(tenant)
    for name in ("workflows", "inner workflows", "jobs"):
        tenant.save(made[name], {"n": 2}, tag="v2")
        tenant.save(made[name], {"n": 3}, by=tenant.ben, publish=True)
    ok(tenant.ben.post(f"{tenant.at(made['workflows'])}/versions/2/publish"))
    # A tree that is restored as it was, and later under another name and elsewhere.
    tenant.restore(tenant.remove(made["folders"], reason='two\n "lines"'))
    elsewhere = tenant.make("workspaces")["resource_id"]
    resolve = {"rename": "risen", "new_parent_id": elsewhere}
    tenant.restore(tenant.remove(made["folders"], by=tenant.ben, reason=" "), by=tenant.ana, resolve=resolve)
    tenant.save(made["jobs"], {"n": 4}, publish=True)
    # A part of it alone, and then the rest.
    whole = tenant.remove(made["folders"])
    [part] = [each for each in records_of(tenant, whole) if each["resource_name"] == "inner jobs of a tree"]
    tenant.restore(part, resolve={"new_parent_id": tenant.folder_id})
    tenant.restore(whole, resolve={"keep_restored": True})
    # A name anew, and the old one under another.
    old = tenant.workflow(name="report", definition={"of": "old"})
    deletion = tenant.remove(old)
    tenant.save(tenant.workflow(name="report"), {"of": "new"}, tag="v2", publish=True)
    tenant.restore(deletion, resolve={"rename": "report of old"})
    # A resource of two deletions is deleted for good with its parent.
    tenant.remove(made["workflows"], reason="first")
    tenant.remove(made["jobs"], by=tenant.ben)
    tenant.remove(made["jobs"], permanent=True, reason="by law: é")
    # Resources that stay deleted, some published until then, and of which a part is purged or restored.
    ok(tenant.ben.post(f"{tenant.at(made['inner workflows'])}/versions/v2/publish"))
    tenant.remove(made["connectors"])
    tenant.remove(made["inner jobs"], reason="x" * 200)
    lost = [tenant.make("jobpackages", folder_id=made["inner folders"]["resource_id"]) for _ in range(2)]
    tenant.remove(made["folders"])
    tenant.remove(lost[0], permanent=True)
    _at_random(tenant, random.Random(seed), random_steps)


def _at_random(tenant: Tenant, chance: random.Random, steps: int) -> None:
    """Do steps at random, of which some are refused."""
    tenant.begin_another_tree()
    here: list[Json] = []
    for number in range(steps):
        caller = chance.choice([tenant.ana, tenant.ben])
        match chance.randrange(9) if len(here) > 8 else 0:
            case 0 | 1:
                kind = chance.choice(["folders", "jobs", "workflows", "connectors", "jobpackages"])
                tenant.__dict__.update(_parents(tenant, here, chance))
                caller.post(f"{tenant.path}/{kind}", {"name": f"n{number % 7}", **tenant.parent(kind)})
                here = [
                    each
                    for every in ("folders", "jobs", "workflows", "connectors", "jobpackages")
                    for each in caller.pages(f"{tenant.path}/{every}", include_deleted=True)
                ]
            case 2 | 3:
                data = {"data": {"n": number}, "publish": chance.random() < 0.5}
                caller.post(f"{tenant.at(chance.choice(here))}/versions", data)
            case 4 | 5:
                caller.delete(tenant.at(chance.choice(here)))
            case 6 | 7:
                known = caller.pages(f"{tenant.path}/deletions", restorable=True)
                if known:
                    resolve = {"rename": f"again {number}"} if chance.random() < 0.5 else {}
                    path = f"{tenant.path}/deletions/{chance.choice(known)['deletion_id']}/restore"
                    caller.post(path, {"resolve": {"keep_restored": True, **resolve}})
            case 8:
                if chance.random() < 0.4:
                    tenant.ana.delete(tenant.at(chance.choice(here)), params={"permanent": True})


def _parents(tenant: Tenant, here: list[Json], chance: random.Random) -> dict[str, str]:
    found = {"workspace_id": tenant.workspace_id, "folder_id": tenant.folder_id, "job_id": tenant.job_id}
    for field, kind in (("folder_id", "folder"), ("job_id", "job")):
        alive = [each for each in here if each["resource_type"] == kind and each["deleted_at"] is None]
        if alive:
            found[field] = chance.choice(alive)["resource_id"]
    return found


def test_the_api_and_the_rows_are_after_a_rebuild_as_before(cluster: Cluster, tmp_path: Path) -> None:
    home = house(cluster, tmp_path)
    with home.serving() as server:
        tenants = [Tenant(server, "acme"), Tenant(server, "other")]
        for seed, tenant in enumerate(tenants):
            _ = tenant.vera
            delete_and_restore(tenant, seed=seed, random_steps=STEPS * seed)
            check_history(tenant)
            assert told(verify(tenant, depth=VerifyDepth.OBJECTS)) == []
        before = [answers(tenant, tenant.ana) for tenant in tenants]
        refs = [tenant.git("for-each-ref") for tenant in tenants]
    was = stored(home)
    rows = was["deletion_logs"]
    # The story has every way in which a deletion can end.
    for column in ("restored_at", "purged_at", "published_version_id"):
        assert sum(row[column] is not None for row in rows) > 3, column
    assert sum(row["can_be_restored"] for row in rows) > 3
    assert sum(not row["is_soft_delete"] for row in rows) > 3
    home.lose_database()
    home.annals("db", "upgrade")
    assert "2 rebuilt." in home.annals("rebuild", "--from-git").stdout
    check_rows_as_before(home, was)
    with home.serving() as server:
        for tenant, answered, named in zip(tenants, before, refs, strict=True):
            check_api_as_before(tenant, server, answered, named)
            check_history(tenant)
            assert told(verify(tenant, depth=VerifyDepth.OBJECTS)) == []
        # The other one has resources left by chance.
        continues(tenants[0])
        check_history(tenants[0])
        assert told(verify(tenants[0])) == []


def continues(tenant: Tenant) -> None:
    """Restore and purge, after the loss, deletions from before it; version numbers continue."""
    ana, path = tenant.ana, f"{tenant.path}/deletions"
    roots = [each for each in ana.pages(path, restorable=True) if each["cascade_level"] == 0]
    folder = next(each for each in roots if each["resource_name"] == "risen")
    done = tenant.restore(folder, by=ana)
    assert (done["restored"]["folders"], len(done["missing"])) == (2, 1)
    assert done["blobs"]["compared"] == done["blobs"]["equal"] > 2
    connector = next(each for each in roots if each["resource_type"] == "connector")
    at = f"{tenant.path}/connectors/{connector['resource_id']}"
    ok(ana.delete(at, params={"permanent": True}))
    refused(ana.get(at), 404, "resource_not_found")
    inner = next(each for each in roots if each["resource_name"] == "inner jobs of a tree")
    tenant.restore(inner, by=ana)
    assert inner["resource_id"] in live_by(tenant)
    changes = ana.pages(f"{tenant.path}/change-history", record_id=inner["resource_id"])
    # Created and moved; deleted and restored four times, the last of them after the loss.
    assert [each["version_number"] for each in changes] == [2 + 8]


def live_by(tenant: Tenant) -> set[str]:
    tenant.__dict__["vera"] = tenant.ana
    return live(tenant)


# -- refusals ------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "git")


@pytest.fixture
def story(store: Store) -> Story:
    return Story(store)


@pytest.fixture
def lost(cluster: Cluster) -> Database:
    """An empty database."""
    return cluster.migrated()


@pytest.fixture
def pool(lost: Database) -> Iterator[ServiceDatabase]:
    pool = ServiceDatabase(lost.url, pool_size=1)
    yield pool
    pool.close()


def deleted_beside(story: Story, deleted: Workspace, other: Workspace) -> None:
    line = DeletionLine(str(mint()), story.at, None)
    story.commit("main", {deleted.path: b"{}\n"}, removes=[other.path], deletion=line)


def deleted_nothing(story: Story, deleted: Workspace, other: Workspace) -> None:
    story.delete()


def deleted_two_trees(story: Story, deleted: Workspace, other: Workspace) -> None:
    story.delete(other, story.workspace())


def deleted_with_a_version(story: Story, deleted: Workspace, other: Workspace) -> None:
    line = DeletionLine(str(mint()), story.at, None)
    story.save(other, deletion=line)


def deleted_by_the_same_id(story: Story, deleted: Workspace, other: Workspace) -> None:
    deletion_id = story.delete(other)
    line = DeletionLine(deletion_id, story.at, None)
    story.commit("main", removes=[story.workspace().path], deletion=line)


def purged_what_lives(story: Story, deleted: Workspace, other: Workspace) -> None:
    story.purge(other)


def purged_of_another_kind(story: Story, deleted: Workspace, other: Workspace) -> None:
    story.purge(deleted, subject=f"folders/{deleted.resource_id}: deleted for good")


def purged_without_a_name(story: Story, deleted: Workspace, other: Workspace) -> None:
    story.purge(deleted, subject="deleted for good")


def purged_beside(story: Story, deleted: Workspace, other: Workspace) -> None:
    story.purge(deleted, removes=[other.path])


def saved_what_is_deleted(story: Story, deleted: Workspace, other: Workspace) -> None:
    story.save(deleted)


def restored_what_lives(story: Story, deleted: Workspace, other: Workspace) -> None:
    story.restore(story.delete(story.workspace()), other)


def restored_by_another(story: Story, deleted: Workspace, other: Workspace) -> None:
    story.restore(story.delete(other), deleted)


def restored_otherwise(story: Story, deleted: Workspace, other: Workspace) -> None:
    deletion_id = story.delete(other)
    story.commit("main", places={other.path: deleted.blobs[0]}, restored=deletion_id)


def restored_twice(story: Story, deleted: Workspace, other: Workspace) -> None:
    deletion_id = story.delete(other)
    story.restore(deletion_id, other)
    story.delete(other)
    story.restore(deletion_id, other)


def restored_what_is_purged(story: Story, deleted: Workspace, other: Workspace) -> None:
    deletion_id = story.delete(other)
    story.purge(other)
    story.restore(deletion_id, other)


def restored_another_path(story: Story, deleted: Workspace, other: Workspace) -> None:
    path = snapshot_path("workspaces", str(mint()))
    story.commit("main", places={path: deleted.blobs[0]}, restored=story.delete(other))


def published_and_deleted(story: Story, deleted: Workspace, other: Workspace) -> None:
    story.publish(other, 1)
    story.delete(other)


def withdrawn_by_no_deletion(story: Story, deleted: Workspace, other: Workspace) -> None:
    story.publish(other, 1)
    line = DeletionLine(str(mint()), story.at, None)
    story.commit("published", removes=[other.path], unpublished=other.lines, deletion=line)


def withdrawn_and_published(story: Story, deleted: Workspace, other: Workspace) -> None:
    story.publish(other, 1)
    line = DeletionLine(story.delete(other), story.at, None)
    kept = {other.path: other.blobs[0]}
    story.commit("published", places=kept, published=other.lines, deletion=line)


def published_again_what_was_not(story: Story, deleted: Workspace, other: Workspace) -> None:
    deletion_id = story.delete(other)
    story.restore(deletion_id, other)
    places = {other.path: other.blobs[0]}
    story.commit("published", places=places, published=other.lines, restored=deletion_id)


STRANGE: list[tuple[Callable[[Story, Workspace, Workspace], None], str]] = [
    (deleted_beside, "does not just take paths away"),
    (deleted_nothing, "does not just take paths away"),
    (deleted_two_trees, "takes what does not lie in its root"),
    (deleted_with_a_version, "it deletes, and not just that"),
    (deleted_by_the_same_id, "or is told twice"),
    (purged_what_lives, "takes for good what is not deleted"),
    (purged_of_another_kind, "takes for good what is not deleted"),
    (purged_without_a_name, "does not say of what"),
    (purged_beside, "changes something"),
    (saved_what_is_deleted, "is of what is deleted"),
    (restored_what_lives, "does not just add paths"),
    (restored_by_another, "restores what did not fall by deletion"),
    (restored_otherwise, "is not as it was"),
    (restored_twice, "restores what did not fall by deletion"),
    (restored_what_is_purged, "restores what did not fall by deletion"),
    (restored_another_path, "nothing was ever at workspaces/"),
    (published_and_deleted, "is deleted, and published has it"),
    (withdrawn_by_no_deletion, "which it withdraws"),
    (withdrawn_and_published, "is not one publication, deletion or restore"),
    (published_again_what_was_not, "does not publish what was published when it fell"),
]


@pytest.mark.sampled(10)
@pytest.mark.parametrize(("strange", "why"), STRANGE, ids=[strange.__name__ for strange, _ in STRANGE])
def test_a_deletion_or_restore_that_cannot_be_is_refused(
    store: Store,
    story: Story,
    lost: Database,
    pool: ServiceDatabase,
    strange: Callable[[Story, Workspace, Workspace], None],
    why: str,
) -> None:
    deleted, other = story.workspace(), story.workspace()
    story.delete(deleted)
    strange(story, deleted, other)
    story.settle()
    [outcome] = rebuild(pool, store, system_clock, public_url=PUBLIC_URL)
    assert outcome.result == "refused"
    assert why in str(outcome.reason)
    assert lost.value("SELECT count(*) FROM subscriptions") == 0


def test_where_the_strange_ones_begin_is_understood(
    store: Store, story: Story, lost: Database, pool: ServiceDatabase
) -> None:
    deleted, _ = story.workspace(), story.workspace()
    story.delete(deleted)
    story.settle()
    [outcome] = rebuild(pool, store, system_clock, public_url=PUBLIC_URL)
    assert (outcome.result, outcome.counts["deletions"]) == ("rebuilt", 1)
    assert lost.value("SELECT count(*) FROM workspaces WHERE soft_deleted") == 1
