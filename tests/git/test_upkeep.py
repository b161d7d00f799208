"""Upkeep of a repository: merged, deltified, pruned, beside writers and readers, and killed."""

import os
import random
import re
import resource
import shutil
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from gitstore import pack_folder
from gitstore.errors import MaintenanceFailed, ObjectMissing, RepositoryMissing
from gitstore.pack_folder import Pack
from gitstore.read.blob_reader import Reader
from gitstore.store import Store
from gitstore.upkeep import pruning
from gitstore.upkeep.git_process import MaintenanceGit
from gitstore.upkeep.repack import MANY_LOOSE_REFS, MANY_PACKS, has_many_packs, needs, upkeep
from gitstore.write.commit_builder import CommitBuilder
from tests.support.packed_repositories import (
    SUBSCRIPTION,
    History,
    git,
    kept_up,
    new_history,
    pack_names,
    size,
)
from tests.support.project import ROOT
from tests.support.waiting import until

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
WEEKS = timedelta(weeks=1)
# A kill at each of so many instants, spread over the time that the work takes.
KILLS = int(os.environ.get("ANNALS_TEST_KILLS", "10"))


@pytest.fixture
def history(tmp_path: Path) -> History:
    return new_history(tmp_path)


def mapped_indexes(folder: Path) -> int:
    lines = Path("/proc/self/maps").read_text().splitlines()
    return sum(".idx" in line and str(folder) in line for line in lines)


def removed_and_open(folder: Path) -> int:
    """Count the removed files that this process keeps on the disk, by a descriptor or by a mapping."""
    links = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    lines = Path("/proc/self/maps").read_text().splitlines()
    return sum(str(folder) in each and each.endswith(" (deleted)") for each in (*links, *lines))


def lose_last_batch(history: History) -> str:
    """Write a batch whose transaction never commits; returns the id of its commit."""
    former = history.head
    history.prepare(keep=False)
    lost, history.head = history.head, former
    history.versions -= 4
    assert lost is not None
    return lost


# The choice of packs to merge


def test_a_merge_makes_one_pack_of_many(history: History) -> None:
    history.write(70)
    with kept_up(history.path) as work:
        assert work.consolidate() == 70
    assert len(pack_names(history.path)) == 1
    history.check()


def test_a_merge_leaves_large_packs_alone(history: History) -> None:
    history.write(40)
    with kept_up(history.path) as work:
        work.consolidate()
        [large] = pack_names(history.path)
        history.write(10)
        work.consolidate()
    assert large in pack_names(history.path)
    assert len(pack_names(history.path)) == 2
    history.check()


def test_packs_form_a_progression_however_many_batches_came(history: History) -> None:
    with kept_up(history.path) as work:
        for _ in range(25):
            history.write(9, size=1)
            work.consolidate()
    counts = [pack.objects for pack in pack_folder.packs(history.path)]
    assert all(larger >= 2 * smaller for smaller, larger in pairwise(counts))
    history.check()


@pytest.mark.parametrize(
    ("objects", "merged"),
    [
        ([], 0),
        ([5], 0),
        ([5, 10, 20], 0),
        ([5, 5], 2),
        ([5, 5, 100], 2),
        ([5, 5, 15], 3),
        ([1, 1, 4, 100, 150], 5),
        ([1, 1, 100, 300], 2),
    ],
)
def test_what_has_to_be_merged_is_what_git_would_merge(
    objects: list[int], merged: int, tmp_path: Path
) -> None:
    packs = [Pack(f"pack-{number:040x}", count, count, False, False) for number, count in enumerate(objects)]
    assert len(pack_folder.geometric(packs)) == merged


def test_the_pack_with_the_bitmap_is_never_merged(history: History) -> None:
    history.write(5)
    with kept_up(history.path) as work:
        work.deep()
        [deep] = pack_names(history.path)
        history.write(40)
        assert work.consolidate() == 40
    assert deep in pack_names(history.path)
    history.check()


def test_a_repository_without_commits_can_be_kept_up(history: History) -> None:
    with kept_up(history.path) as work:
        assert work.light() == 0
        assert not work.deep()
        assert pruning.prepare(work.git, NOON) is None


def test_where_there_is_no_repository_there_is_no_upkeep(tmp_path: Path) -> None:
    with pytest.raises(RepositoryMissing), upkeep(tmp_path / "none"):
        pass
    with pytest.raises(RepositoryMissing):
        needs(tmp_path / "none")


def test_needs_counts_what_came_after_the_deep_run(history: History) -> None:
    history.write(3)
    with kept_up(history.path) as work:
        assert work.deep()
    history.write(MANY_PACKS - 1)
    state = needs(history.path)
    assert (state.packs, state.new_packs, state.wants_light) == (MANY_PACKS, MANY_PACKS - 1, False)
    assert state.new_bytes < state.bytes
    history.write()
    assert needs(history.path).wants_light
    assert has_many_packs(history.path)


# Batches in flight


@pytest.mark.parametrize("step", ["consolidate", "light", "deep"])
def test_a_batch_whose_transaction_is_under_way_is_kept(history: History, step: str) -> None:
    history.write(20)
    history.prepare()
    with kept_up(history.path) as work:
        getattr(work, step)()
        work.deep()
    assert len(pack_names(history.path)) == 1
    git(history.path, "update-ref", "refs/heads/main", history.head or "")
    history.check()


def test_packs_that_appear_meanwhile_are_left_as_they_are(history: History) -> None:
    history.write(200)
    before = pack_names(history.path)
    appeared: set[str] = set()

    def watch() -> None:
        history.write()
        appeared.update(pack_names(history.path))

    with upkeep(history.path, watch) as work:
        assert work is not None
        work.deep()
    appeared -= before
    assert len(appeared) >= 2
    # One is the merged pack itself; the others are of the batches.
    assert len(appeared - pack_names(history.path)) == 0
    history.check()


def test_nothing_is_removed_where_an_object_would_be_missing(history: History) -> None:
    history.write(3)
    first = pack_names(history.path)
    history.write()
    new = pack_names(history.path) - first
    with pytest.raises(MaintenanceFailed, match="is in no new pack; nothing was removed"):
        pack_folder.check_holds_all(history.path, first, new)
    assert pack_names(history.path) == first | new


def test_more_packs_than_files_may_be_open_are_merged(history: History) -> None:
    history.write(60, size=1)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    history.builder.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 20, limits[1]))
    try:
        with kept_up(history.path) as work:
            assert work.consolidate() == 60
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    history.check()


def test_a_damaged_pack_is_not_merged_into_a_sound_one(history: History) -> None:
    history.write(10)
    before = pack_names(history.path)
    damaged = next((history.path / "objects" / "pack").glob("*.pack"))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 0xFF
    damaged.chmod(0o644)
    damaged.write_bytes(content)
    with kept_up(history.path) as work, pytest.raises(MaintenanceFailed):
        work.consolidate()
    assert before <= pack_names(history.path)


# Readers and writers beside upkeep


def test_a_live_builder_and_reader_go_on_across_many_rounds(tmp_path: Path) -> None:
    history = new_history(tmp_path)
    reader = Reader(Store(tmp_path))
    history.write(2)
    maps = []
    for number in range(30):
        history.write(20, size=1)
        with kept_up(history.path) as work:
            if number % 7 == 6:
                work.deep()
            else:
                work.consolidate()
        for blob in random.Random(number).sample(sorted(history.blobs), 10):
            assert reader.read_blob(SUBSCRIPTION, blob) == history.blobs[blob]
            assert history.builder.read_blob(blob) == history.blobs[blob]
        maps.append(mapped_indexes(tmp_path))
    # Removed packs are closed: libgit2 would search them for ever.
    assert max(maps[10:]) < 120
    history.check()


def test_a_builder_and_a_reader_close_what_upkeep_removed(history: History, tmp_path: Path) -> None:
    reader = Reader(Store(tmp_path))
    history.write(20)
    for blob in history.blobs:
        assert reader.read_blob(SUBSCRIPTION, blob) == history.builder.read_blob(blob)
    with kept_up(history.path) as work:
        work.consolidate()
    assert removed_and_open(tmp_path) > 0
    history.write(1)
    assert reader.read_blob(SUBSCRIPTION, next(iter(history.blobs))) != b""
    until(lambda: removed_and_open(tmp_path) == 0)


def test_a_repository_that_libgit2_holds_open_finds_what_moved(history: History) -> None:
    history.write(20)
    builder = CommitBuilder(history.path)
    builder.begin(history.head)
    blobs = sorted(history.blobs)
    assert builder.read_blob(blobs[0]) == history.blobs[blobs[0]]
    with kept_up(history.path) as work:
        work.deep()
    # In the middle of a batch: nothing is opened anew.
    for blob in blobs:
        assert builder.read_blob(blob) == history.blobs[blob]


def test_threads_read_and_write_beside_upkeep_in_a_loop(tmp_path: Path) -> None:
    history = new_history(tmp_path)
    history.write(20)
    reader = Reader(Store(tmp_path))
    stop = threading.Event()
    failures: list[Exception] = []

    def read() -> None:
        rng = random.Random()
        try:
            while not stop.is_set():
                blob = rng.choice(list(history.blobs))
                assert reader.read_blob(SUBSCRIPTION, blob) == history.blobs[blob]
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    def tend() -> None:
        try:
            while not stop.is_set():
                with kept_up(history.path) as work:
                    work.light()
                    work.deep()
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=target) for target in (read, read, tend)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline:
        history.prepare(3, keep=True)
        git(history.path, "update-ref", "refs/heads/main", history.head or "")
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    history.check()


def test_clones_under_way_are_whole(tmp_path: Path) -> None:
    history = new_history(tmp_path / "store")
    history.write(150)
    for round_ in range(6):
        history.write(25)
        clones = [
            subprocess.Popen(
                ["git", "clone", "-q", "--bare", "--no-local", history.path, tmp_path / f"{round_}-{number}"],
                stderr=subprocess.PIPE,
                text=True,
            )
            for number in range(3)
        ]
        with kept_up(history.path) as work:
            work.deep() if round_ % 2 else work.consolidate()
        for number, clone in enumerate(clones):
            _, said = clone.communicate(timeout=60)
            assert (clone.returncode, said) == (0, "")
            cloned = tmp_path / f"{round_}-{number}"
            assert git(cloned, "rev-list", "--count", "main") == str(history.versions)
            assert git(cloned, "fsck", "--strict", "--full") == ""


# Deltas, the commit-graph, refs


def test_a_deep_run_leaves_one_small_pack_with_a_bitmap(history: History) -> None:
    history.write(75, size=8)
    before = size(history.path)
    with kept_up(history.path) as work:
        assert work.deep()
    [pack] = pack_folder.packs(history.path)
    assert pack.has_bitmap
    assert size(history.path) * 3 < before
    assert not needs(history.path).wants_deep
    history.check()


def test_a_deep_run_keeps_the_deltas_that_are_there(history: History) -> None:
    history.write(100, size=8)
    with kept_up(history.path) as work:
        work.deep()
        first = size(history.path)
        history.write(20, size=8)
        work.consolidate()
        assert work.deep()
    [pack] = pack_folder.packs(history.path)
    assert pack.has_bitmap
    # As good as if all had been done at once: 20 % more versions, 30 % more bytes at most.
    assert size(history.path) < 1.3 * first
    history.check()


def test_bytes_a_version(tmp_path: Path) -> None:
    history = new_history(tmp_path, documents=100)
    while history.versions < 3000:
        history.write(size=8 + history.versions % 9, keep=False)
    written = size(history.path) / history.versions / 1024
    with kept_up(history.path) as work:
        work.light()
        work.deep()
    tended = size(history.path) / history.versions / 1024
    # The musts; docs/operations/upkeep.md has the figures for 10,000 versions.
    assert written < 10
    assert tended < 1.5
    history.check()


def test_loose_objects_are_packed(history: History) -> None:
    history.write(3)
    loose = subprocess.run(
        ["git", "-C", history.path, "hash-object", "-w", "--stdin"],
        input=b"loose",
        capture_output=True,
        check=True,
    ).stdout.decode()
    with kept_up(history.path) as work:
        assert work.deep()
    assert not needs(history.path).has_loose_objects
    assert git(history.path, "cat-file", "-p", loose.strip()) == "loose"
    history.check()


def test_the_commit_graph_grows_with_changed_paths(history: History) -> None:
    history.write(10)
    with kept_up(history.path) as work:
        work.light()
        history.write(10)
        work.light()
    assert git(history.path, "commit-graph", "verify", "--no-progress") == ""
    traced = subprocess.run(
        ["git", "-C", history.path, "log", "--oneline", "main", "--", "workflows/00/none.json"],
        env=os.environ | {"GIT_TRACE2_PERF": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    used = re.search(r'"?definitely_not"?:(\d+)', traced.stderr)
    assert used is not None
    assert int(used[1]) > 0


def test_refs_become_one_file(history: History) -> None:
    history.write(2)
    for number in range(MANY_LOOSE_REFS):
        git(history.path, "update-ref", f"refs/tags/workflows/etl/v{number}", history.head or "")
    before = git(history.path, "for-each-ref")
    # As a killed git leaves it.
    (history.path / "packed-refs.lock").touch()
    with kept_up(history.path) as work:
        assert work.has_many_refs()
        work.pack_refs()
        assert not work.has_many_refs()
    assert git(history.path, "for-each-ref") == before
    assert needs(history.path).loose_refs == 0
    history.write(2)
    history.check()


# One at a time


def test_a_second_upkeep_on_this_host_gets_nothing(history: History) -> None:
    with upkeep(history.path) as first, upkeep(history.path) as second:
        assert first is not None
        assert second is None
    with upkeep(history.path) as third:
        assert third is not None


def test_what_the_watch_raises_ends_git_and_removes_nothing(history: History) -> None:
    history.write(60)
    before = pack_names(history.path)

    class LostError(Exception):
        pass

    def watch() -> None:
        raise LostError

    with upkeep(history.path, watch) as work:
        assert work is not None
        with pytest.raises(LostError):
            work.deep()
    assert before <= pack_names(history.path)
    history.check()


def test_git_is_ended_at_its_deadline(history: History) -> None:
    with pack_folder.held(history.path) as lock:
        assert lock is not None
        slow = MaintenanceGit(history.path, lock, lambda: None)
        began = time.monotonic()
        with pytest.raises(MaintenanceFailed, match="took longer than"):
            slow.run("-c", "alias.wait=!sleep 30 & sleep 30", "wait", deadline_seconds=0.3)
        assert time.monotonic() - began < 5
    # All that it started had the lock, and has ended.
    with upkeep(history.path) as work:
        assert work is not None


# Killed


KILLED = """
import sys
from pathlib import Path
from gitstore.upkeep.repack import upkeep
with upkeep(Path(sys.argv[1])) as work:
    print("began", flush=True)
    getattr(work, sys.argv[2])()
"""


def start_upkeep(path: Path, step: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, path, step],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "began\n"
    return process


def ended(process: subprocess.Popen[str]) -> int:
    """Wait for the end of a process, and return its status."""
    with process:
        return process.wait(60)


def wait_for_lock(path: Path) -> None:
    """Wait until all that a killed upkeep started has ended, too."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with upkeep(path) as work:
            if work is not None:
                return
        time.sleep(0.01)
    raise AssertionError("a git outlived its parent by 10 s")


@pytest.mark.parametrize(("step", "batches", "kills"), [("consolidate", 80, KILLS), ("deep", 40, KILLS)])
def test_killed_at_any_instant_it_loses_nothing(tmp_path: Path, step: str, batches: int, kills: int) -> None:
    history = new_history(tmp_path / "store")
    history.write(batches)
    history.builder.close()
    copy = tmp_path / "timed.git"
    shutil.copytree(history.path, copy)
    process = start_upkeep(copy, step)
    began = time.monotonic()
    assert ended(process) == 0
    whole = time.monotonic() - began
    for number in range(kills):
        work_copy = tmp_path / "killed.git"
        shutil.rmtree(work_copy, ignore_errors=True)
        shutil.copytree(history.path, work_copy)
        process = start_upkeep(work_copy, step)
        time.sleep(1.1 * whole * number / kills)
        process.kill()
        ended(process)
        wait_for_lock(work_copy)
        killed = History.__new__(History)
        killed.path, killed.versions, killed.blobs = work_copy, history.versions, history.blobs
        killed.check()
        # The next run cleans up and finishes.
        pack_folder.remove_leftovers(work_copy, older_than_seconds=0)
        with kept_up(work_copy) as work:
            work.consolidate()
            work.deep()
        killed.check()
        files = {file.suffix for file in (work_copy / "objects" / "pack").iterdir()}
        assert files <= {".pack", ".idx", ".bitmap", ".rev"}
        assert not list((work_copy / "objects" / "pack").glob("tmp_*"))


def test_leftovers_go_and_what_may_be_in_flight_stays(history: History) -> None:
    history.write(2)
    folder = history.path / "objects" / "pack"
    graphs = history.path / "objects" / "info" / "commit-graphs"
    graphs.mkdir(parents=True)
    gits = [folder / "tmp_pack_aB3dE6", folder / "tmp_idx_aB3dE6", graphs / "commit-graph-chain.lock"]
    ours = [
        folder / f"tmp_{'0' * 32}.pack",
        folder / f"pack-{'1' * 40}.pack",
        folder / f"pack-{'2' * 40}.rev",
    ]
    for file in (*gits, *ours):
        file.touch()
    assert pack_folder.remove_leftovers(history.path) == len(gits)
    assert [file for file in (*gits, *ours) if file.exists()] == ours
    assert pack_folder.remove_leftovers(history.path, older_than_seconds=0) == len(ours)
    history.check()


def test_git_ends_with_whoever_started_it(history: History) -> None:
    history.write(60, size=8)
    process = start_upkeep(history.path, "deep")
    time.sleep(0.15)
    process.kill()
    ended(process)
    wait_for_lock(history.path)


# Durability


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("step", ["consolidate", "deep"])
def test_new_packs_are_on_the_disk_before_old_ones_go(history: History, tmp_path: Path, step: str) -> None:
    history.write(10)
    trace = tmp_path / "trace"
    calls = "trace=fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat"
    subprocess.run(
        [
            "strace",
            "-f",
            "-y",
            "-qq",
            "-o",
            trace,
            "-e",
            calls,
            sys.executable,
            "-c",
            KILLED,
            history.path,
            step,
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    lines = [line for line in trace.read_text().splitlines() if str(history.path) in line]
    [named] = [
        at
        for at, line in enumerate(lines)
        if re.search(r'(rename|link).*\.idx"\)? *=? *', line) and "pack-" in line and "unlink" not in line
    ]
    synced = [re.search(r"fsync\(\d+<([^>]*)>", line) for line in lines[:named]]
    files = [Path(each[1]).name for each in synced if each]
    assert any(name.startswith("tmp_pack_") for name in files), lines
    assert any(name.startswith("tmp_idx_") for name in files), lines
    folder = next(
        at
        for at, line in enumerate(lines)
        if at > named and re.search(r"fsync\(\d+<[^>]*/objects/pack>", line)
    )
    removed = [
        at for at, line in enumerate(lines) if re.search(r'unlink.*pack-[0-9a-f]{40}\.(idx|pack)"', line)
    ]
    assert len(removed) >= 20
    assert min(removed) > folder


# Pruning


def prune(history: History, at: datetime) -> int:
    with kept_up(history.path) as work:
        prepared = pruning.prepare(work.git, at)
        return 0 if prepared is None else pruning.finish(work.git, prepared)


def test_what_was_unreachable_for_two_weeks_goes(history: History) -> None:
    history.write(10)
    lost = lose_last_batch(history)
    history.write(10)
    assert prune(history, NOON) == 0
    assert prune(history, NOON + WEEKS) == 0
    assert git(history.path, "cat-file", "-t", lost) == "commit"
    assert prune(history, NOON + 2 * WEEKS) >= 4
    with pytest.raises(AssertionError):
        git(history.path, "cat-file", "-t", lost)
    history.check()
    assert prune(history, NOON + 3 * WEEKS) == 0


def test_merging_does_not_make_garbage_young_again(history: History) -> None:
    history.write(10)
    lost = lose_last_batch(history)
    prune(history, NOON)
    history.write(5)
    with kept_up(history.path) as work:
        work.deep()
    assert prune(history, NOON + 2 * WEEKS) > 0
    with pytest.raises(AssertionError):
        git(history.path, "cat-file", "-t", lost)
    history.check()


def test_younger_garbage_stays_when_older_goes(history: History) -> None:
    history.write(10)
    old = lose_last_batch(history)
    prune(history, NOON)
    young = lose_last_batch(history)
    assert prune(history, NOON + 2 * WEEKS) > 0
    assert git(history.path, "cat-file", "-t", young) == "commit"
    with pytest.raises(AssertionError):
        git(history.path, "cat-file", "-t", old)
    history.check()


def test_garbage_that_is_reached_at_the_last_moment_stays(history: History) -> None:
    history.write(10)
    former = history.versions
    lost = lose_last_batch(history)
    prune(history, NOON)
    with kept_up(history.path) as work:
        prepared = pruning.prepare(work.git, NOON + 2 * WEEKS)
        assert prepared is not None
        git(history.path, "update-ref", "refs/heads/main", lost)
        assert pruning.finish(work.git, prepared) == 0
    history.head, history.versions = lost, former + 4
    history.check()


def test_batches_written_while_pruning_is_prepared_stay(history: History) -> None:
    history.write(10)
    lose_last_batch(history)
    prune(history, NOON)
    with kept_up(history.path) as work:
        prepared = pruning.prepare(work.git, NOON + 2 * WEEKS)
        assert prepared is not None
        history.write(3)
        assert pruning.finish(work.git, prepared) > 0
    history.check()


def test_a_repository_that_lacks_objects_is_not_pruned(history: History) -> None:
    history.write(5)
    lose_last_batch(history)
    [*_, largest] = pack_folder.packs(history.path)
    for suffix in (".idx", ".pack"):
        (history.path / "objects" / "pack" / f"{largest.name}{suffix}").unlink()
    left = pack_names(history.path)
    with pytest.raises((MaintenanceFailed, ObjectMissing)):
        prune(history, NOON)
    assert pack_names(history.path) == left
