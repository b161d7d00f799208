"""Walking a repository from its refs, and finding what goes on where they end."""

from pathlib import Path

import pytest

from gitstore.commit_messages import DeletionLine
from gitstore.errors import NotUnderstood, ObjectMissing, RepositoryMissing
from gitstore.read.walk import Walk
from gitstore.store import Store
from tests.support.api import git, run_git
from tests.support.repositories import Story


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def story(store: Store) -> Story:
    return Story(store)


def test_a_walk_goes_from_the_oldest_commit_to_the_newest_with_the_blobs_of_the_trees(story: Story) -> None:
    workspace, other = story.workspace(), story.workspace()
    story.save(workspace)
    story.settle()
    walk = Walk(story.path)
    walked = list(walk.main())
    assert [commit.commit_id for commit in walked] == git(story.path, "rev-list", "--reverse", "main").split()
    assert [commit.blob_ids for commit in walked] == [
        (workspace.blobs[0],),
        (other.blobs[0],),
        (workspace.blobs[1],),
    ]
    assert walk.files(walk.tips.main) == {workspace.path: workspace.blobs[1], other.path: other.blobs[0]}
    assert (list(walk.published()), walk.strays()) == ([], [])
    walk.close()


def test_a_version_published_twice_in_a_row_by_content_has_its_blob_without_a_change(story: Story) -> None:
    workspace = story.workspace()
    story.save(workspace)
    story.publish(workspace, 1)
    story.publish(workspace, 1)
    story.settle()
    assert [commit.blob_ids for commit in Walk(story.path).published()] == [(workspace.blobs[0],)] * 2


def test_a_walk_is_of_the_refs_when_it_began(story: Story) -> None:
    workspace = story.workspace()
    story.settle()
    walk = Walk(story.path)
    story.save(workspace)
    story.settle()
    assert len(list(walk.main())) == 1


def test_tags_name_their_object_and_commit(story: Story) -> None:
    workspace = story.workspace()
    story.settle()
    head = str(story.heads["main"])
    made = story.tag(workspace, 1, "v1", head)
    [tagged] = Walk(story.path).tags()
    assert (tagged.tag, tagged.object_id, tagged.commit_id) == ("v1", made, head)
    assert tagged.record is not None
    assert tagged.record.versions == tuple(workspace.lines)


def test_strays_are_found_from_where_the_branches_end_in_loose_objects_too(story: Story) -> None:
    workspace = story.workspace()
    story.settle()
    head = story.heads["main"]
    first, second = story.save(workspace), story.save(workspace)
    story.write()
    for pack in (story.path / "objects" / "pack").glob("*.pack"):
        moved = pack.rename(story.path / pack.name)
        pack.with_suffix(".idx").unlink()
        run_git(story.path, "unpack-objects", "-q", input=moved.read_bytes())
    found = [(stray.commit_id, stray.parent_id) for stray in Walk(story.path).strays()]
    assert found == [(first, head), (second, first)]


def test_a_fork_of_strays_is_told_whole(story: Story) -> None:
    workspace = story.workspace()
    story.settle()
    heads = dict(story.heads)
    made = set()
    for _ in range(2):
        story.heads = dict(heads)
        story.write()
        made.add(story.save(workspace))
        story.write()
    assert {stray.commit_id for stray in Walk(story.path).strays()} == made


def test_deletions_and_restores_tell_what_they_took_away_and_brought_back(story: Story) -> None:
    workspace, other = story.workspace(), story.workspace()
    deletion = story.delete(workspace, other)
    story.restore(deletion, workspace)
    story.purge(other)
    story.settle()
    walked = list(Walk(story.path).main())[2:]
    assert [set(commit.removed) for commit in walked] == [{workspace.path, other.path}, set(), set()]
    assert [commit.returned for commit in walked] == [{}, {workspace.path: workspace.blobs[0]}, {}]
    assert [commit.blob_ids for commit in walked] == [(), (), ()]
    assert walked[2].record.about == ("workspaces", other.resource_id)


def test_strays_that_delete_and_restore_are_of_the_branch_that_they_go_on_from(story: Story) -> None:
    workspace = story.workspace()
    story.publish(workspace, 1)
    story.settle()
    heads = dict(story.heads)
    deletion = story.delete(workspace)
    fell = story.heads["main"]
    line = DeletionLine(deletion, story.at, None)
    withdrawn = story.commit(
        "published", removes=[workspace.path], unpublished=workspace.lines, deletion=line
    )
    restored = story.restore(deletion, workspace)
    places = {workspace.path: workspace.blobs[0]}
    again = story.commit("published", places=places, published=workspace.lines, restored=deletion)
    story.write()
    found = [(stray.branch, stray.commit_id, stray.parent_id) for stray in Walk(story.path).strays()]
    assert found == [
        ("main", fell, heads["main"]),
        ("published", withdrawn, heads["published"]),
        ("main", restored, fell),
        ("published", again, withdrawn),
    ]


def test_what_outsiders_left_is_no_stray(story: Story) -> None:
    story.workspace()
    story.settle()
    options = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    git(story.path, *options, "commit-tree", "main^{tree}", "-p", "main", "-m", "from outside")
    assert Walk(story.path).strays() == []


def test_a_symbolic_branch_is_not_understood(story: Story) -> None:
    story.workspace()
    story.settle()
    git(story.path, "symbolic-ref", "refs/heads/published", "refs/heads/main")
    with pytest.raises(NotUnderstood, match="refs/heads/published names another"):
        Walk(story.path)


def test_a_lost_object_is_missing(story: Story) -> None:
    story.workspace()
    story.settle()
    walk = Walk(story.path)
    with pytest.raises(ObjectMissing):
        walk.read_blob("0" * 39 + "1")
    walk.close()


def test_there_is_no_walk_where_there_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(RepositoryMissing):
        Walk(tmp_path / "none.git")


def test_the_store_lists_whole_repositories_alone(store: Store, story: Story, tmp_path: Path) -> None:
    (tmp_path / "tmp-0190a1b2").mkdir()
    (tmp_path / "other.git").mkdir()
    (tmp_path / "0190a1b2-0000-7000-8000-000000000002.git").write_text("no folder")
    assert store.subscription_ids() == [story.subscription_id]
    assert Store(tmp_path / "nowhere").subscription_ids() == []
