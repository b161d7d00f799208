"""The one reading of commits that rebuild and verify share: versions, deletions, restores, and faults."""

from pathlib import Path
from uuid import UUID

import pytest

from gitstore.read.branch_log import read_branch
from gitstore.read.repository import RepositoryReader
from gitstore.store import Store
from service.recovery import faults
from service.recovery.history import BranchReading, History, HistoryEntry
from tests.support.api import git, run_git
from tests.support.repositories import Story


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(Store(tmp_path))


def read(story: Story) -> tuple[History, list[HistoryEntry]]:
    """The history of `main`, and its entries."""
    repository = RepositoryReader(story.path)
    history = History(repository.read_blob)
    entries = [history.add(commit) for commit in read_branch(story.path, str(repository.tips.main))]
    repository.close()
    return history, entries


def test_versions_are_read_with_their_places_and_blobs(story: Story) -> None:
    workspace, other = story.workspace(), story.workspace()
    story.save(workspace)
    story.settle()
    history, _ = read(story)
    blobs = [(each.place, each.blob_id) for each in history.named.values()]
    assert blobs == [(1, workspace.blobs[0]), (2, other.blobs[0]), (3, workspace.blobs[1])]
    assert [each.line.number for each in history.newest.values()] == [2, 1]


def test_deletions_and_restores_are_read_with_the_paths_that_they_remove_and_add(story: Story) -> None:
    workspace, other = story.workspace(), story.workspace()
    deletion = story.delete(workspace, other)
    story.restore(deletion, workspace)
    story.purge(other)
    story.settle()
    _, entries = read(story)
    assert [set(entry.removed) for entry in entries[2:]] == [{workspace.path, other.path}, set(), set()]
    assert [entry.added for entry in entries[2:]] == [(), (workspace.path,), ()]
    assert entries[-1].trailers.about == ("workspaces", other.resource_id)


def test_a_deletion_is_of_the_resource_until_its_restore(story: Story) -> None:
    workspace = story.workspace()
    deletion = story.delete(workspace)
    story.settle()
    history, _ = read(story)
    assert [key[1] for key in history.deleted_at] == [UUID(workspace.resource_id)]
    assert list(history.changes.values()) == [1]
    story.restore(deletion, workspace)
    story.settle()
    history, entries = read(story)
    assert (history.deleted_at, list(history.changes.values())) == ({}, [2])
    assert list(faults.of_main(entries[-1], history)) == []


def test_a_version_published_twice_in_a_row_by_content_has_its_blob_without_a_change(story: Story) -> None:
    workspace = story.workspace()
    story.publish(workspace, 1)
    story.publish(workspace, 1)
    story.settle()
    branch = BranchReading()
    for commit in read_branch(story.path, str(story.heads["published"])):
        assert list(faults.of_published(branch.read(commit), branch)) == []
        assert branch.tree == {workspace.path: workspace.blobs[0]}


def test_a_commit_from_outside_is_read_with_its_faults(story: Story) -> None:
    story.workspace()
    tree = git(story.settle().path, "rev-parse", "main^{tree}").strip()
    options = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    made = git(story.path, *options, "commit-tree", tree, "-p", "main", "-m", "from outside").strip()
    git(story.path, "update-ref", "refs/heads/main", made)
    history, entries = read(story)
    assert next(faults.of_main(entries[-1], history)) == f"commit {made}: it has no trailer Annals-Actor"
    assert len(history.named) == 1


def test_bytes_that_are_not_utf_8_are_a_fault_beside_what_can_be_read(story: Story) -> None:
    story.workspace()
    body = git(story.settle().path, "cat-file", "commit", "main").encode()
    body = body.replace(b"a change", b"a \xff change")
    made = run_git(story.path, "hash-object", "-t", "commit", "-w", "--stdin", input=body).stdout.decode()
    git(story.path, "update-ref", "refs/heads/main", made.strip())
    history, entries = read(story)
    assert "can't decode byte 0xff" in next(faults.of_main(entries[-1], history))
    assert len(history.named) == 1


def test_a_file_of_another_mode_is_a_fault(story: Story) -> None:
    workspace = story.workspace()
    message = git(story.settle().path, "log", "-1", "--format=%B", "main")
    line = f"100755 blob {workspace.blobs[0]}\tx\n"
    tree = run_git(story.path, "mktree", input=line.encode()).stdout.decode().strip()
    options = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    made = git(story.path, *options, "commit-tree", tree, "-p", "main", "-m", message).strip()
    git(story.path, "update-ref", "refs/heads/main", made)
    history, entries = read(story)
    assert next(faults.of_main(entries[-1], history)) == f"commit {made}: x is no plain file"
