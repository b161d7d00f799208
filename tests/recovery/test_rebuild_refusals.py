"""The refusals and omissions of a rebuild: the database is as git says, or as it was."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitstore.identity import Identity
from gitstore.store import Store
from service.committer.refs import settle_all
from service.domain.ids import mint
from service.recovery.rebuild import Outcome, rebuild
from service.runtime.clock import system_clock
from sql.database import Database as ServiceDatabase
from tests.support.api import git
from tests.support.databases import Cluster, Database
from tests.support.rebuilds import PUBLIC_URL, house
from tests.support.repositories import Story, Workspace
from tests.support.running_server import ANNALS


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "git")


@pytest.fixture
def lost(cluster: Cluster) -> Database:
    """An empty database."""
    return cluster.migrated()


@pytest.fixture
def pool(lost: Database) -> Iterator[ServiceDatabase]:
    pool = ServiceDatabase(lost.url, pool_size=1)
    yield pool
    pool.close()


@pytest.fixture
def story(store: Store) -> Story:
    return Story(store)


def rebuilt(
    pool: ServiceDatabase, store: Store, *, only_missing: bool = False, dry_run: bool = False
) -> dict[str, Outcome]:
    """The outcome for each subscription."""
    found = rebuild(
        pool, store, system_clock, public_url=PUBLIC_URL, only_missing=only_missing, dry_run=dry_run
    )
    return {outcome.subscription_id: outcome for outcome in found}


def subscriptions(lost: Database) -> list[str]:
    return [str(row[0]) for row in lost.rows("SELECT subscription_id FROM subscriptions ORDER BY 1")]


# -- strange repositories -------------------------------------------------------------------------------


def from_outside(story: Story, workspace: Workspace) -> None:
    tree = git(story.path, "rev-parse", "main^{tree}").strip()
    options = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    made = git(story.path, *options, "commit-tree", tree, "-p", "main", "-m", "from outside").strip()
    git(story.path, "update-ref", "refs/heads/main", made)


def merged(story: Story, workspace: Workspace) -> None:
    tree = git(story.path, "rev-parse", "main^{tree}").strip()
    options = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    made = git(story.path, *options, "commit-tree", tree, "-p", "main", "-p", "main~1", "-m", "m").strip()
    git(story.path, "update-ref", "refs/heads/main", made)


def deleted(story: Story, workspace: Workspace) -> None:
    story.commit("main", removes=[workspace.path], trailers=f"Annals-Deletion: {mint()} soft never\n")
    story.settle()


def removed_in_silence(story: Story, workspace: Workspace) -> None:
    line = workspace.lines[-1]
    story.commit("main", removes=[workspace.path], versions=[line])
    story.settle()


def changed_beside(story: Story, workspace: Workspace) -> None:
    story.save(workspace, writes={"workspaces/aa/other.json": b"{}\n"})
    story.settle()


def skipped_number(story: Story, workspace: Workspace) -> None:
    story.save(workspace, number=9)
    story.settle()


def no_snapshot(story: Story, workspace: Workspace) -> None:
    story.save(workspace, content=b"{}\n")
    story.settle()


def anothers_snapshot(story: Story, workspace: Workspace) -> None:
    other = story.workspace()
    story.save(other, content=git(story.path, "cat-file", "blob", workspace.blobs[0]).encode())
    story.settle()


def published_other_content(story: Story, workspace: Workspace) -> None:
    places = {workspace.path: workspace.blobs[0]}
    story.commit("published", places=places, published=[workspace.lines[1]])
    story.settle()


def tag_elsewhere(story: Story, workspace: Workspace) -> None:
    first = git(story.path, "rev-parse", "main~1").strip()
    story.tag(workspace, 2, "v2", first)


def tag_of_another_name(story: Story, workspace: Workspace) -> None:
    head = git(story.path, "rev-parse", "main").strip()
    story.tag(workspace, 2, "v2", head, ref=f"workspaces/{workspace.resource_id}/v3")


STRANGE: list[tuple[Callable[[Story, Workspace], None], str]] = [
    (from_outside, "it has no trailer Annals-Actor"),
    (merged, "it is a merge"),
    (deleted, "'never' does not match format"),
    (removed_in_silence, "and has no workspaces/"),
    (changed_beside, "it changes workspaces/aa/other.json and does not say so"),
    (skipped_number, "is not version 3"),
    (no_snapshot, "not a snapshot"),
    (anothers_snapshot, "is not a snapshot of the workspace"),
    (tag_elsewhere, "it is not on the commit of version 2"),
    (tag_of_another_name, "is neither a commit nor a tag object of that name"),
    (published_other_content, "is not the content of"),
]


@pytest.mark.parametrize(("strange", "why"), STRANGE, ids=[strange.__name__ for strange, _ in STRANGE])
def test_a_repository_that_is_not_understood_is_refused_and_the_others_are_rebuilt(
    store: Store,
    story: Story,
    lost: Database,
    pool: ServiceDatabase,
    strange: Callable[[Story, Workspace], None],
    why: str,
) -> None:
    workspace = story.workspace()
    story.save(workspace)
    story.settle()
    strange(story, workspace)
    other = Story(store)
    other.workspace()
    other.settle()
    found = rebuilt(pool, store)
    refused = found[story.subscription_id]
    assert refused.result == "refused"
    assert why in str(refused.reason)
    assert found[other.subscription_id].result == "rebuilt"
    assert subscriptions(lost) == [other.subscription_id]
    tables = ("versions", "workspaces", "actors", "repositories", "audit_logs")
    for table in tables:
        counted = rebuilt_rows(lost, table)
        assert counted == {other.subscription_id}, table


def rebuilt_rows(lost: Database, table: str) -> set[str]:
    with lost.connection() as connection:
        return {str(row[0]) for row in connection.execute(f"SELECT subscription_id FROM {table}")}  # noqa: S608


def test_what_publishes_a_version_that_main_lacks_is_refused(
    store: Store, story: Story, pool: ServiceDatabase
) -> None:
    workspace = story.workspace()
    first = story.heads["main"]
    head = story.save(workspace)
    story.publish(workspace, 2)
    story.settle()
    git(story.path, "update-ref", "refs/heads/main", str(first))
    [refused] = rebuilt(pool, store).values()
    assert refused.result == "refused"
    assert "main has no workspaces/" in str(refused.reason)
    # The report has the commits that follow main, so that the operator can move it there.
    assert [(stray.commit_id, stray.parent_id) for stray in refused.strays] == [(head, first)]


# -- commits that no ref reaches ------------------------------------------------------------------------


def test_commits_that_no_ref_reaches_are_left_out_and_told(
    store: Store, story: Story, lost: Database, pool: ServiceDatabase
) -> None:
    workspace = story.workspace()
    story.settle()
    head = story.heads["main"]
    strays = [story.save(workspace), story.save(workspace)]
    published = story.publish(workspace, 1)
    story.write()
    [outcome] = rebuilt(pool, store).values()
    assert (outcome.result, outcome.head) == ("rebuilt", head)
    told = [(stray.branch, stray.commit_id, stray.parent_id) for stray in outcome.strays]
    assert told == [
        ("main", strays[0], head),
        ("published", published, None),
        ("main", strays[1], strays[0]),
    ]
    assert lost.value("SELECT count(*) FROM versions") == 1


def test_a_batch_that_never_came_to_be_is_no_stray_once_history_went_on(
    store: Store, story: Story, pool: ServiceDatabase
) -> None:
    workspace = story.workspace()
    story.settle()
    before = dict(story.heads)
    story.save(workspace)
    story.write()
    story.heads = before
    story.write()
    workspace.lines.pop()
    workspace.blobs.pop()
    story.save(workspace)
    story.settle()
    [outcome] = rebuilt(pool, store).values()
    assert (outcome.result, outcome.strays) == ("rebuilt", [])


def test_refs_that_are_not_of_annals_are_left_alone_and_told(
    store: Store, story: Story, pool: ServiceDatabase
) -> None:
    story.workspace()
    story.settle()
    git(story.path, "update-ref", "refs/heads/mine", str(story.heads["main"]))
    git(story.path, "update-ref", "refs/tags/v1", str(story.heads["main"]))
    [outcome] = rebuilt(pool, store).values()
    assert outcome.result == "rebuilt"
    assert outcome.foreign == ("refs/heads/mine", "refs/tags/v1")


def test_a_packed_and_repacked_repository_is_read_alike(
    store: Store, story: Story, lost: Database, pool: ServiceDatabase
) -> None:
    workspace = story.workspace()
    for _ in range(20):
        story.save(workspace)
    story.publish(workspace, 3)
    story.settle()
    story.tag(workspace, 21, "v1", str(story.heads["main"]))
    git(story.path, "repack", "-adfq")
    git(story.path, "pack-refs", "--all")
    [outcome] = rebuilt(pool, store).values()
    assert outcome.result == "rebuilt"
    assert (outcome.counts["versions"], outcome.counts["tags"], outcome.counts["publications"]) == (21, 1, 1)
    assert lost.value("SELECT version_number FROM versions WHERE version_tag = 'v1'") == 21


# -- tags, actors, empty repositories -------------------------------------------------------------------


def test_of_two_tags_on_one_version_the_newer_stands_and_git_lets_go_of_the_older(
    store: Store, story: Story, lost: Database, pool: ServiceDatabase
) -> None:
    workspace = story.workspace()
    story.settle()
    head = str(story.heads["main"])
    story.tag(workspace, 1, "b", head)
    story.tag(workspace, 1, "a", head)
    assert rebuilt(pool, store)[story.subscription_id].result == "rebuilt"
    assert lost.value("SELECT version_tag FROM versions") == "a"
    settle_all(pool, store)
    refs = git(story.path, "for-each-ref", "--format=%(refname:lstrip=4)", "refs/tags").split()
    assert refs == ["a"]


def test_a_light_tag_of_the_first_release_names_the_version_of_its_commit(
    store: Store, story: Story, lost: Database, pool: ServiceDatabase
) -> None:
    workspace = story.workspace()
    story.settle()
    ref = f"refs/tags/workspaces/{workspace.resource_id}/old"
    git(story.path, "update-ref", ref, str(story.heads["main"]))
    assert rebuilt(pool, store)[story.subscription_id].result == "rebuilt"
    assert lost.rows(
        "SELECT tag, tag_object = git_commit_hash FROM tags JOIN versions USING (version_id)"
    ) == [("old", True)]


def test_of_two_actors_of_one_name_the_later_is_the_user(
    store: Store, story: Story, lost: Database, pool: ServiceDatabase
) -> None:
    workspace = story.workspace()
    story.actor = Identity(str(mint()), "ann")
    story.save(workspace)
    story.settle()
    assert rebuilt(pool, store)[story.subscription_id].result == "rebuilt"
    assert lost.value("SELECT count(*) FROM actors WHERE username = 'ann' AND email IS NULL") == 2
    assert lost.rows("SELECT user_id::text, role FROM users") == [(story.actor.user_id, "viewer")]


def test_a_repository_without_commits_is_a_subscription_without_history(
    store: Store, story: Story, lost: Database, pool: ServiceDatabase
) -> None:
    assert rebuilt(pool, store)[story.subscription_id].result == "rebuilt"
    assert lost.rows("SELECT head_commit, published_commit, commits FROM repositories") == [(None, None, 0)]


# -- databases that are not empty -----------------------------------------------------------------------


def test_nothing_is_written_where_the_database_has_a_subscription_that_no_rebuild_made(
    store: Store, story: Story, lost: Database, pool: ServiceDatabase
) -> None:
    other = Story(store)
    with lost.connection() as connection:
        connection.execute(
            "INSERT INTO subscriptions (subscription_id, name, created_at) VALUES (%s, 'mine', now())",
            [story.subscription_id],
        )
    found = rebuilt(pool, store)
    assert {outcome.result for outcome in found.values()} == {"refused"}
    assert "the database has it already" in str(found[story.subscription_id].reason)
    assert subscriptions(lost) == [story.subscription_id]
    kept = rebuilt(pool, store, only_missing=True)
    assert (kept[story.subscription_id].result, kept[other.subscription_id].result) == ("kept", "rebuilt")
    assert (
        lost.value("SELECT name FROM subscriptions WHERE subscription_id = %s", story.subscription_id)
        == "mine"
    )


def test_a_second_run_skips_what_the_first_finished_and_takes_what_it_refused(
    store: Store, story: Story, pool: ServiceDatabase
) -> None:
    workspace = story.workspace()
    story.settle()
    other = Story(store)
    broken = other.workspace()
    other.settle()
    from_outside(other, broken)
    assert [each.result for each in rebuilt(pool, store).values()] == ["rebuilt", "refused"]
    git(other.path, "update-ref", "refs/heads/main", "main~1")
    story.save(workspace)
    assert [each.result for each in rebuilt(pool, store).values()] == ["done_before", "rebuilt"]


def test_a_dry_run_says_what_would_be_and_writes_nothing(
    store: Store, story: Story, lost: Database, pool: ServiceDatabase
) -> None:
    story.workspace()
    story.settle()
    [outcome] = rebuilt(pool, store, dry_run=True).values()
    assert (outcome.result, outcome.counts["versions"]) == ("readable", 1)
    assert subscriptions(lost) == []


# -- the command ----------------------------------------------------------------------------------------


def test_a_rebuild_killed_half_way_leaves_nothing_of_that_subscription_and_goes_on_when_run_again(
    cluster: Cluster, tmp_path: Path
) -> None:
    home = house(cluster, tmp_path)
    store = Store(home.settings.git_dir)
    small = Story(store, "00000000-0000-7000-8000-000000000001")
    small.workspace()
    small.settle()
    large = Story(store)
    workspace = large.workspace()
    for _ in range(5999):
        large.save(workspace)
    large.settle()
    with subprocess.Popen(
        [ANNALS, "rebuild", "--from-git"],
        env=home.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if f"{large.subscription_id}: 2000 of" in line:
                os.kill(process.pid, signal.SIGKILL)
                break
    assert subscriptions(home.database) == [small.subscription_id]
    again = home.rebuilt()
    assert again[small.subscription_id]["result"] == "done_before"
    assert again[large.subscription_id]["result"] == "rebuilt"
    assert home.database.value("SELECT max(version_number) FROM versions") == 6000


def test_the_command_tells_of_strays_in_commands_that_take_them_in(cluster: Cluster, tmp_path: Path) -> None:
    home = house(cluster, tmp_path)
    story = Story(Store(home.settings.git_dir))
    workspace = story.workspace()
    story.settle()
    stray = story.save(workspace)
    story.write()
    told = home.annals("rebuild", "--from-git", "--dry-run").stdout
    [command] = [line.strip() for line in told.splitlines() if line.strip().startswith("git -C")]
    subprocess.run(["bash", "-c", command], check=True)
    report = home.rebuilt()[story.subscription_id]
    assert (report["head"], report["strays"]) == (stray, [])


def test_the_command_ends_with_1_where_something_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    home = house(cluster, tmp_path)
    nothing = home.annals("rebuild", "--from-git", code=1)
    assert "there are no repositories" in nothing.stderr
    assert "--from-git" in home.annals("rebuild", code=2).stderr
    story = Story(Store(home.settings.git_dir))
    workspace = story.workspace()
    story.settle()
    deleted(story, workspace)
    told = home.annals("rebuild", "--from-git", code=1)
    assert "REFUSED" in told.stdout
    report = json.loads(home.annals("rebuild", "--from-git", "--json", code=1).stdout)
    assert "'never' does not match" in report["subscriptions"][0]["reason"]
