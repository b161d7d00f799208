"""History: commits built in memory, written as packs, read back."""

import subprocess
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from gitstore.errors import ObjectMissing, RepositoryMissing, StoreUnavailable
from gitstore.identity import Identity
from gitstore.read.blob_reader import Reader
from gitstore.snapshots import blob_id
from gitstore.store import Store, snapshot_path
from gitstore.write.commit_builder import Commit, CommitBuilder
from gitstore.write.pack_writer import PackObject, write_pack
from tests.support.waiting import until

SUBSCRIPTION = "0190a1b2-0000-7000-8000-000000000001"
ANN = Identity("0190a1b2-0000-7000-8000-00000000000a", "ann")
NOON = datetime(2026, 1, 2, 12, 0, 0, 654321, tzinfo=UTC)
ONE = snapshot_path("workflows", "one")
TWO = snapshot_path("jobs", "two")


def git(path: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", path, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def repository(store: Store) -> Path:
    return store.ensure(SUBSCRIPTION)


def save(builder: CommitBuilder, writes: dict[str, bytes], removes: tuple[str, ...] = ()) -> Commit:
    return builder.commit(writes=writes, removes=removes, message="subject\n", actor=ANN, time=NOON)


def written(builder: CommitBuilder, head: str | None, *batch: dict[str, bytes]) -> str:
    builder.begin(head)
    commits = [save(builder, writes) for writes in batch]
    builder.write()
    return commits[-1].commit_id


def fsck(repository: Path, head: str) -> None:
    git(repository, "update-ref", "refs/heads/main", head)
    assert git(repository, "fsck", "--strict", "--full") == ""


def tree(repository: Path, commit: str) -> list[str]:
    return git(repository, "ls-tree", "-r", "--name-only", commit).splitlines()


def open_packs(folder: Path) -> int:
    links = (link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
    return sum(target.suffix == ".pack" and folder in target.parents for target in links)


def test_a_batch_is_a_chain_of_commits_in_one_pack(repository: Path) -> None:
    builder = CommitBuilder(repository)
    head = written(builder, None, {ONE: b"1"}, {ONE: b"2"}, {TWO: b"3"})
    assert len(list((repository / "objects" / "pack").glob("*.pack"))) == 1
    assert git(repository, "rev-list", "--count", head) == "3"
    assert git(repository, "show", f"{head}:{ONE}") == "2"
    fsck(repository, head)


def test_a_batch_stands_on_the_one_before(repository: Path) -> None:
    builder = CommitBuilder(repository)
    first = written(builder, None, {ONE: b"1"})
    second = written(builder, first, {TWO: b"2"})
    assert git(repository, "rev-list", second).splitlines() == [second, first]
    assert sorted(tree(repository, second)) == sorted([ONE, TWO])
    fsck(repository, second)


def test_a_commit_tells_its_ids(repository: Path) -> None:
    builder = CommitBuilder(repository)
    builder.begin(None)
    commit = save(builder, {ONE: b"1", TWO: b"2"})
    builder.write()
    assert commit.blob_ids == {ONE: blob_id(b"1"), TWO: blob_id(b"2")}
    assert git(repository, "rev-parse", f"{commit.commit_id}^{{tree}}") == commit.tree_id


def test_a_commit_names_its_actor_and_time(repository: Path) -> None:
    builder = CommitBuilder(repository)
    builder.begin(None)
    there = NOON.astimezone(timezone(timedelta(hours=5)))
    commit = builder.commit(writes={ONE: b""}, message="größer\n\nbody\n", actor=ANN, time=there)
    builder.write()
    shown = git(
        repository, "log", "--format=%an|%ae|%cn|%ce|%ad|%cd|%B", "--date=iso-strict", commit.commit_id
    )
    who = f"ann|{ANN.user_id}@annals.invalid"
    at = "2026-01-02T12:00:00+00:00"
    assert shown == f"{who}|{who}|{at}|{at}|größer\n\nbody"


@pytest.mark.parametrize(
    "username",
    ["", " ", " ann", "ann,", "<ann>", "a>b", "a\nb", "a\0b", "ann\t", "'ann'", "\ud800", "\u200b", "a\x7f"],
)
def test_an_actor_whose_name_git_would_change_is_named_by_id(repository: Path, username: str) -> None:
    builder = CommitBuilder(repository)
    builder.begin(None)
    actor = Identity(ANN.user_id, username)
    commit = builder.commit(writes={ONE: b"1"}, message="subject\n", actor=actor, time=NOON)
    builder.write()
    assert git(repository, "log", "--format=%an|%cn", commit.commit_id) == f"{ANN.user_id}|{ANN.user_id}"
    fsck(repository, commit.commit_id)


@pytest.mark.parametrize("username", ["José García", "a.b", "名前", "o'neil", "ann (ops)", "😀 x"])
def test_an_ordinary_name_stands_as_it_is(repository: Path, username: str) -> None:
    builder = CommitBuilder(repository)
    builder.begin(None)
    actor = Identity(ANN.user_id, username)
    commit = builder.commit(writes={ONE: b"1"}, message="subject\n", actor=actor, time=NOON)
    builder.write()
    assert git(repository, "log", "--format=%an", commit.commit_id) == username
    fsck(repository, commit.commit_id)


def test_removing_the_last_file_of_a_folder_removes_the_folder(repository: Path) -> None:
    builder = CommitBuilder(repository)
    head = written(builder, None, {ONE: b"1", TWO: b"2"})
    builder.begin(head)
    commit = save(builder, {}, (ONE,))
    builder.write()
    assert git(repository, "ls-tree", "-r", "-t", "--name-only", commit.commit_id).splitlines() == [
        "jobs",
        TWO.rpartition("/")[0],
        TWO,
    ]
    fsck(repository, commit.commit_id)


def test_removing_everything_leaves_the_empty_tree(repository: Path) -> None:
    builder = CommitBuilder(repository)
    builder.begin(None)
    save(builder, {ONE: b"1", TWO: b"2"})
    commit = save(builder, {}, (ONE, TWO))
    builder.write()
    assert commit.tree_id == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    fsck(repository, commit.commit_id)


def test_one_commit_may_write_and_remove(repository: Path) -> None:
    builder = CommitBuilder(repository)
    builder.begin(None)
    save(builder, {ONE: b"1"})
    commit = save(builder, {TWO: b"2"}, (ONE,))
    builder.write()
    assert tree(repository, commit.commit_id) == [TWO]


def test_what_was_removed_may_come_back(repository: Path) -> None:
    builder = CommitBuilder(repository)
    head = written(builder, None, {ONE: b"1"})
    builder.begin(head)
    save(builder, {}, (ONE,))
    commit = save(builder, {ONE: b"1"})
    builder.write()
    assert commit.tree_id == git(repository, "rev-parse", f"{head}^{{tree}}")
    fsck(repository, commit.commit_id)


def test_a_commit_without_changes_keeps_the_tree(repository: Path) -> None:
    builder = CommitBuilder(repository)
    builder.begin(None)
    first = save(builder, {ONE: b"1"})
    second = save(builder, {})
    builder.write()
    assert second.tree_id == first.tree_id
    fsck(repository, second.commit_id)


def test_removing_what_is_not_there_is_refused(repository: Path) -> None:
    builder = CommitBuilder(repository)
    builder.begin(None)
    save(builder, {ONE: b"1"})
    with pytest.raises(ValueError, match="not in the tree"):
        save(builder, {}, (TWO,))


def test_a_refused_commit_leaves_the_batch_as_it_was(repository: Path) -> None:
    builder = CommitBuilder(repository)
    builder.begin(None)
    first = save(builder, {ONE: b"1"})
    with pytest.raises(ValueError, match="not in the tree"):
        save(builder, {ONE: b"2"}, (TWO,))
    second = save(builder, {})
    builder.write()
    assert second.tree_id == first.tree_id


@pytest.mark.parametrize("path", ["a", "a/b", "a/b/c/d", "a//c", "/a/b", "a/b/..", "a/./c", "a/.git/c"])
def test_a_path_that_has_not_three_levels_is_refused(repository: Path, path: str) -> None:
    builder = CommitBuilder(repository)
    builder.begin(None)
    with pytest.raises(ValueError, match="path"):
        save(builder, {path: b"1"})


def test_a_naive_time_is_refused(repository: Path) -> None:
    builder = CommitBuilder(repository)
    builder.begin(None)
    with pytest.raises(ValueError, match="zone"):
        builder.commit(writes={}, message="m", actor=ANN, time=NOON.replace(tzinfo=None))


def test_a_discarded_batch_leaves_no_trace(repository: Path) -> None:
    builder = CommitBuilder(repository)
    builder.begin(None)
    save(builder, {ONE: b"1"})
    builder.discard()
    builder.write()
    assert list((repository / "objects" / "pack").iterdir()) == []


def test_a_batch_begun_again_holds_only_what_came_after(repository: Path) -> None:
    builder = CommitBuilder(repository)
    builder.begin(None)
    save(builder, {ONE: b"guilty"})
    builder.begin(None)
    commit = save(builder, {TWO: b"2"})
    builder.write()
    with pytest.raises(ObjectMissing):
        builder.read_blob(blob_id(b"guilty"))
    fsck(repository, commit.commit_id)


def test_beginning_on_an_unknown_commit_is_refused(repository: Path) -> None:
    with pytest.raises(ObjectMissing):
        CommitBuilder(repository).begin("0" * 39 + "1")


def test_two_builders_in_turn_build_on_each_other(repository: Path) -> None:
    builders = [CommitBuilder(repository), CommitBuilder(repository)]
    head: str | None = None
    for turn in range(10):
        head = written(builders[turn % 2], head, {ONE: b"%d" % turn}, {TWO: b"%d" % turn})
    assert head is not None
    assert git(repository, "rev-list", "--count", head) == "20"
    assert builders[0].read_blob(blob_id(b"9")) == b"9"
    fsck(repository, head)


def test_a_builder_goes_on_after_a_repack(repository: Path) -> None:
    builder = CommitBuilder(repository, cache_bytes=0)
    head = written(builder, None, {ONE: b"1"})
    for turn in range(5):
        git(repository, "update-ref", "refs/heads/main", head)
        git(repository, "repack", "-adf", "-q")
        head = written(builder, head, {ONE: b"again %d" % turn})
        assert builder.read_blob(blob_id(b"1")) == b"1"
    fsck(repository, head)


def test_what_a_lost_batch_wrote_is_written_again_when_it_was_pruned(repository: Path) -> None:
    builder = CommitBuilder(repository)
    head = written(builder, None, {ONE: b"1"})
    git(repository, "update-ref", "refs/heads/main", head)
    lost = written(builder, head, {TWO: b"2"})
    git(repository, "repack", "-ad", "-q")
    again = written(builder, head, {TWO: b"2"})
    assert again == lost
    fsck(repository, again)


def test_a_bounded_cache_changes_no_result(repository: Path, tmp_path: Path) -> None:
    other = Store(tmp_path / "other").ensure(SUBSCRIPTION)
    batches = [{snapshot_path("jobs", f"{i % 40}"): b"%d" % i} for i in range(120)]
    full = written(CommitBuilder(repository), None, *batches)
    tight = written(CommitBuilder(other, cache_bytes=500), None, *batches)
    assert full == tight
    fsck(other, written(CommitBuilder(other, cache_bytes=500), tight, *batches[:7]))


def test_a_builder_needs_a_repository(tmp_path: Path) -> None:
    with pytest.raises(RepositoryMissing):
        CommitBuilder(tmp_path / "none.git")


def test_a_repository_that_the_file_system_refuses_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file.git").touch()
    with pytest.raises(StoreUnavailable):
        CommitBuilder(tmp_path / "file.git")


def test_a_closed_builder_lets_go_of_its_files(repository: Path) -> None:
    builder = CommitBuilder(repository)
    head = written(builder, None, {ONE: b"1"})
    assert builder.read_blob(blob_id(b"1")) == b"1"
    builder.begin(head)
    builder.close()
    until(lambda: open_packs(repository) == 0)


def test_a_reader_reads_a_blob(store: Store, repository: Path) -> None:
    written(CommitBuilder(repository), None, {ONE: b"content"})
    assert Reader(store).read_blob(SUBSCRIPTION, blob_id(b"content")) == b"content"


def test_a_reader_finds_packs_written_since_it_opened_the_repository(store: Store, repository: Path) -> None:
    reader = Reader(store)
    builder = CommitBuilder(repository)
    head: str | None = None
    for turn in range(5):
        data = b"turn %d" % turn
        head = written(builder, head, {ONE: data})
        assert reader.read_blob(SUBSCRIPTION, blob_id(data)) == data


def test_a_reader_serves_many_threads(store: Store, repository: Path) -> None:
    contents = [b"content %d" % number * 100 for number in range(50)]
    blobs = [PackObject("blob", bytes.fromhex(blob_id(data)), data) for data in contents]
    write_pack(repository / "objects", blobs)
    reader = Reader(store)
    wrong: list[bytes] = []

    def read() -> None:
        wrong.extend(data for data in contents * 5 if reader.read_blob(SUBSCRIPTION, blob_id(data)) != data)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_reader_keeps_a_bounded_number_of_repositories_open(store: Store) -> None:
    reader = Reader(store)
    ids = [f"0190a1b2-0000-7000-8000-{number:012}" for number in range(40)]
    for name in ids:
        written(CommitBuilder(store.ensure(name)), None, {ONE: b"x"})
        reader.read_blob(name, blob_id(b"x"))
    assert open_packs(store.path(ids[0]).parent) > 0
    until(lambda: open_packs(store.path(ids[0]).parent) <= 32)


def test_reading_from_many_packs_keeps_a_bounded_number_of_files_open(store: Store, repository: Path) -> None:
    reader = Reader(store)
    for number in range(300):
        data = b"%d" % number
        write_pack(repository / "objects", [PackObject("blob", bytes.fromhex(blob_id(data)), data)])
        assert reader.read_blob(SUBSCRIPTION, blob_id(data)) == data
    assert 0 < open_packs(repository) <= 256


def test_a_reader_tells_a_missing_blob_from_a_missing_repository(store: Store, repository: Path) -> None:
    reader = Reader(store)
    with pytest.raises(ObjectMissing):
        reader.read_blob(SUBSCRIPTION, blob_id(b"nowhere"))
    with pytest.raises(RepositoryMissing):
        reader.read_blob(SUBSCRIPTION.replace("1", "2"), blob_id(b"nowhere"))


def test_a_reader_gives_no_tree_for_a_blob(store: Store, repository: Path) -> None:
    builder = CommitBuilder(repository)
    builder.begin(None)
    commit = save(builder, {ONE: b"1"})
    builder.write()
    with pytest.raises(ObjectMissing):
        Reader(store).read_blob(SUBSCRIPTION, commit.tree_id)
