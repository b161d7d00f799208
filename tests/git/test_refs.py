"""Refs: forward only, durably, despite leftovers of killed processes."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gitstore import refs
from gitstore.durable import write_file
from gitstore.errors import GitStoreError, ObjectMissing, RefDiverged, RepositoryMissing
from gitstore.identity import Identity
from gitstore.refs import forward, read
from gitstore.store import Store
from gitstore.write.commit_builder import CommitBuilder

SUBSCRIPTION = "0190a1b2-0000-7000-8000-000000000001"
ANN = Identity("0190a1b2-0000-7000-8000-00000000000a", "ann")
MAIN = "refs/heads/main"


def git(path: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", path, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return Store(tmp_path).ensure(SUBSCRIPTION)


def chain(repository: Path, count: int, head: str | None = None, name: str = "jobs/00/a.json") -> list[str]:
    builder = CommitBuilder(repository)
    builder.begin(head)
    commits = [
        builder.commit(
            writes={name: b"%d" % number},
            message="m\n",
            actor=ANN,
            time=datetime.fromtimestamp(1_700_000_000 + number, UTC),
        )
        for number in range(count)
    ]
    builder.write()
    return [commit.commit_id for commit in commits]


def test_a_branch_that_does_not_exist_is_read_as_none(repository: Path) -> None:
    assert read(repository, MAIN) is None


def test_a_missing_repository_is_told(tmp_path: Path) -> None:
    with pytest.raises(RepositoryMissing):
        read(tmp_path / "none.git", MAIN)
    with pytest.raises(RepositoryMissing):
        forward(tmp_path / "none.git", MAIN, "0" * 40)


def test_forward_makes_a_branch(repository: Path) -> None:
    (commit,) = chain(repository, 1)
    assert forward(repository, MAIN, commit) is True
    assert read(repository, MAIN) == commit == git(repository, "rev-parse", MAIN)


@pytest.mark.parametrize("distance", [1, 2, 50])
def test_forward_moves_to_a_descendant(repository: Path, distance: int) -> None:
    commits = chain(repository, distance + 1)
    forward(repository, MAIN, commits[0])
    assert forward(repository, MAIN, commits[-1]) is True
    assert read(repository, MAIN) == commits[-1]


def test_forward_takes_the_callers_word_for_where_the_branch_was(repository: Path) -> None:
    commits = chain(repository, 5)
    forward(repository, MAIN, commits[0])
    assert forward(repository, MAIN, commits[4], since=commits[0]) is True
    assert read(repository, MAIN) == commits[4]


def test_the_callers_word_about_another_commit_counts_for_nothing(repository: Path) -> None:
    (one,) = chain(repository, 1)
    (two,) = chain(repository, 1, None, "jobs/00/b.json")
    forward(repository, MAIN, one)
    with pytest.raises(RefDiverged):
        forward(repository, MAIN, two, since=two)


def test_forward_does_nothing_where_the_branch_is_there(repository: Path) -> None:
    (commit,) = chain(repository, 1)
    forward(repository, MAIN, commit)
    assert forward(repository, MAIN, commit) is False


def test_forward_moves_a_packed_branch(repository: Path) -> None:
    first, second = chain(repository, 2)
    forward(repository, MAIN, first)
    git(repository, "pack-refs", "--all")
    assert forward(repository, MAIN, second) is True
    assert git(repository, "rev-parse", MAIN) == second


def test_a_branch_ahead_has_diverged(repository: Path) -> None:
    first, second = chain(repository, 2)
    forward(repository, MAIN, second)
    with pytest.raises(RefDiverged) as caught:
        forward(repository, MAIN, first)
    assert (caught.value.ref, caught.value.expected, caught.value.found) == (MAIN, first, second)
    assert read(repository, MAIN) == second


def test_a_branch_elsewhere_has_diverged(repository: Path) -> None:
    (root,) = chain(repository, 1)
    (left,) = chain(repository, 1, root, "jobs/00/left.json")
    (right,) = chain(repository, 1, root, "jobs/00/right.json")
    forward(repository, MAIN, left)
    with pytest.raises(RefDiverged):
        forward(repository, MAIN, right)
    assert read(repository, MAIN) == left


def test_a_branch_of_another_root_has_diverged(repository: Path) -> None:
    (one,) = chain(repository, 1)
    (two,) = chain(repository, 1, None, "jobs/00/b.json")
    forward(repository, MAIN, one)
    with pytest.raises(RefDiverged):
        forward(repository, MAIN, two)


def test_forward_to_an_unknown_commit_is_refused(repository: Path) -> None:
    with pytest.raises(ObjectMissing):
        forward(repository, MAIN, "0" * 39 + "1")


@pytest.mark.parametrize("exists", [False, True])
def test_a_lock_that_a_killed_process_left_is_removed(repository: Path, exists: bool) -> None:
    first, second = chain(repository, 2)
    if exists:
        forward(repository, MAIN, first)
    for name in (f"{MAIN}.lock", "packed-refs.lock", "HEAD.lock"):
        (repository / name).write_text("")
    assert forward(repository, MAIN, second) is True
    # The two others block nobody here.
    assert not (repository / f"{MAIN}.lock").exists()


@pytest.mark.parametrize("left", ["the tag and its lock", "its lock alone"])
def test_of_a_tag_that_a_killed_process_was_removing_nothing_is_left(repository: Path, left: str) -> None:
    (commit,) = chain(repository, 1)
    refs.settle_tags(repository, {"v1": commit})
    tag = repository / "refs/tags/v1"
    if left == "its lock alone":
        tag.unlink()
    tag.with_name("v1.lock").write_text("")
    refs.settle_tags(repository, {"v1": None})
    assert not tag.exists()
    assert list(repository.rglob("*.lock")) == []


FORWARD = """
import sys
from pathlib import Path
from gitstore.refs import forward
forward(Path(sys.argv[1]), "refs/heads/main", sys.argv[2])
"""


@pytest.mark.parametrize("exists", [False, True])
def test_a_moved_branch_is_synced_before_it_is_named_and_its_folder_after(
    repository: Path, tmp_path: Path, exists: bool
) -> None:
    first, second = chain(repository, 2)
    if exists:
        forward(repository, MAIN, first)
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-y", "-o", str(trace), "-e", "trace=fsync,fdatasync,rename,link"]
    subprocess.run([*strace, sys.executable, "-B", "-c", FORWARD, repository, second], check=True)
    lines = [line for line in trace.read_text().splitlines() if "/refs/heads" in line and "= 0" in line]
    steps = [
        "named" if "sync(" not in line else "file" if "main.lock>" in line else "folder" for line in lines
    ]
    assert steps == ["file", "named", "folder"]


def test_a_process_killed_while_moving_a_branch_is_followed_by_one_that_succeeds(repository: Path) -> None:
    first, second = chain(repository, 2)
    forward(repository, MAIN, first)
    strace = [
        "strace",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "trace=rename",
        "-e",
        "inject=rename:signal=KILL:error=EIO",
    ]
    killed = subprocess.run([*strace, sys.executable, "-B", "-c", FORWARD, repository, second], check=False)
    assert killed.returncode != 0
    assert (repository / f"{MAIN}.lock").exists()
    assert forward(repository, MAIN, second) is True


def test_a_branch_moves_where_upkeep_has_left_no_folder_for_it(repository: Path) -> None:
    first, second = chain(repository, 2)
    forward(repository, MAIN, first)
    git(repository, "pack-refs", "--all")
    (repository / "refs/heads").rmdir()
    assert forward(repository, MAIN, second, since=first) is True
    assert git(repository, "for-each-ref", "--format=%(refname) %(objectname)") == f"{MAIN} {second}"


def test_a_branch_that_moves_while_it_is_locked_is_left_where_it_is(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = chain(repository, 3)
    forward(repository, MAIN, first)

    def write_late(lock: Path, content: list[bytes], mode: int) -> None:
        write_file(lock, content, mode)
        (repository / MAIN).write_text(f"{third}\n")

    monkeypatch.setattr(refs, "write_file", write_late)
    with pytest.raises(GitStoreError, match="meanwhile"):
        forward(repository, MAIN, second)
    assert read(repository, MAIN) == third
    assert list(repository.rglob("*.lock")) == []
