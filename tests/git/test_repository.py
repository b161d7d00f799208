"""A repository read from its refs, and commits that follow the end of a branch."""

from pathlib import Path

import pytest

from gitstore.commit_messages import DeletionLine
from gitstore.errors import NotUnderstood, ObjectMissing, RepositoryMissing
from gitstore.read.repository import RepositoryReader
from gitstore.store import Store
from tests.support.api import git, run_git
from tests.support.repositories import Story


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def story(store: Store) -> Story:
    return Story(store)


def test_files_are_those_of_a_commits_tree(story: Story) -> None:
    workspace, other = story.workspace(), story.workspace()
    story.save(workspace)
    story.settle()
    repository = RepositoryReader(story.path)
    assert repository.files(repository.tips.main) == {
        workspace.path: workspace.blobs[1],
        other.path: other.blobs[0],
    }
    assert (repository.files(None), repository.strays()) == ({}, [])
    repository.close()


def test_the_tips_are_of_the_instant_of_opening(story: Story) -> None:
    workspace = story.workspace()
    story.settle()
    repository, head = RepositoryReader(story.path), story.heads["main"]
    story.save(workspace)
    story.settle()
    assert repository.tips.main == head != story.heads["main"]


def test_tags_name_their_object_and_commit(story: Story) -> None:
    workspace = story.workspace()
    story.settle()
    head = str(story.heads["main"])
    made = story.tag(workspace, 1, "v1", head)
    [tagged] = RepositoryReader(story.path).tags()
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
    found = [(stray.commit_id, stray.parent_id) for stray in RepositoryReader(story.path).strays()]
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
    assert {stray.commit_id for stray in RepositoryReader(story.path).strays()} == made


def test_strays_that_delete_and_restore_are_of_the_branch_that_they_go_on_from(story: Story) -> None:
    workspace = story.workspace()
    story.publish(workspace, 1)
    story.settle()
    heads = dict(story.heads)
    deletion = story.delete(workspace)
    deleted = story.heads["main"]
    line = DeletionLine(deletion, story.at, None)
    withdrawn = story.commit(
        "published", removes=[workspace.path], unpublished=workspace.lines, deletion=line
    )
    restored = story.restore(deletion, workspace)
    places = {workspace.path: workspace.blobs[0]}
    again = story.commit("published", places=places, published=workspace.lines, restored=deletion)
    story.write()
    found = [
        (stray.branch, stray.commit_id, stray.parent_id) for stray in RepositoryReader(story.path).strays()
    ]
    assert found == [
        ("main", deleted, heads["main"]),
        ("published", withdrawn, heads["published"]),
        ("main", restored, deleted),
        ("published", again, withdrawn),
    ]


def test_what_outsiders_left_is_no_stray(story: Story) -> None:
    story.workspace()
    story.settle()
    options = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    git(story.path, *options, "commit-tree", "main^{tree}", "-p", "main", "-m", "from outside")
    assert RepositoryReader(story.path).strays() == []


def test_a_symbolic_branch_is_not_understood(story: Story) -> None:
    story.workspace()
    story.settle()
    git(story.path, "symbolic-ref", "refs/heads/published", "refs/heads/main")
    with pytest.raises(NotUnderstood, match="refs/heads/published names another"):
        RepositoryReader(story.path)


def test_a_lost_object_is_missing(story: Story) -> None:
    story.workspace()
    story.settle()
    repository = RepositoryReader(story.path)
    with pytest.raises(ObjectMissing):
        repository.read_blob("0" * 39 + "1")
    repository.close()


def test_there_is_no_reader_where_there_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(RepositoryMissing):
        RepositoryReader(tmp_path / "none.git")


def test_the_store_lists_whole_repositories_alone(store: Store, story: Story, tmp_path: Path) -> None:
    (tmp_path / "tmp-0190a1b2").mkdir()
    (tmp_path / "other.git").mkdir()
    (tmp_path / "0190a1b2-0000-7000-8000-000000000002.git").write_text("no folder")
    assert store.subscription_ids() == [story.subscription_id]
    assert Store(tmp_path / "nowhere").subscription_ids() == []
