"""The history of a branch, read in one run of `git log`."""

from pathlib import Path

import pytest

from gitstore.read.branch_log import read_branch
from gitstore.store import Store
from tests.support.api import git, run_git
from tests.support.repositories import Story


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(Store(tmp_path))


def test_commits_are_read_from_the_oldest_to_the_newest_with_their_changes(story: Story) -> None:
    workspace, other = story.workspace(), story.workspace()
    story.save(workspace)
    story.delete(other)
    story.settle()
    commits = list(read_branch(story.path, str(story.heads["main"])))
    assert [each.commit_id for each in commits] == git(story.path, "rev-list", "--reverse", "main").split()
    assert [each.changes for each in commits] == [
        {workspace.path: workspace.blobs[0]},
        {other.path: other.blobs[0]},
        {workspace.path: workspace.blobs[1]},
        {other.path: None},
    ]
    assert [each.parents for each in commits] == [(), *((each.commit_id,) for each in commits[:-1])]


def test_commits_that_another_has_are_left_out(story: Story) -> None:
    workspace = story.workspace()
    first = story.heads["main"]
    story.save(workspace)
    story.settle()
    [commit] = read_branch(story.path, str(story.heads["main"]), without=first)
    assert commit.changes == {workspace.path: workspace.blobs[1]}


def test_a_message_is_read_to_the_letter(story: Story) -> None:
    story.workspace()
    story.settle()
    head = git(story.path, "rev-parse", "main").strip()
    [commit] = read_branch(story.path, head)
    raw = git(story.path, "cat-file", "commit", head).encode()
    assert commit.message == raw.partition(b"\n\n")[2]


@pytest.mark.parametrize("mode", ["100755", "120000"])
def test_a_file_of_another_mode_is_odd(story: Story, mode: str) -> None:
    workspace = story.workspace()
    story.settle()
    entry = f"{mode} blob {workspace.blobs[0]}\tx\n"
    tree = run_git(story.path, "mktree", input=entry.encode()).stdout.decode().strip()
    options = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    made = git(story.path, *options, "commit-tree", tree, "-m", "from outside").strip()
    [commit] = read_branch(story.path, made)
    assert (commit.changes, commit.odd) == ({"x": workspace.blobs[0]}, ("x",))
