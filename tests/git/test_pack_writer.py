"""Packs: accepted by the real git, durable, and without leftovers."""

import os
import stat
import subprocess
import sys
from hashlib import sha1
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitstore.errors import RepositoryMissing, StoreUnavailable
from gitstore.store import Store
from gitstore.write.pack_writer import IndexEntry, Kind, PackObject, encode_index, write_pack

SUBSCRIPTION = "0190a1b2-0000-7000-8000-000000000001"

WRITE = """
import sys
from hashlib import sha1
from pathlib import Path
from gitstore.write.pack_writer import PackObject, write_pack
write_pack(Path(sys.argv[1]) / "objects", [
    PackObject("blob", sha1(b"blob 4\\0" + data).digest(), data) for data in (b"one.", b"two.")
])
"""


def git(path: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", path, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def packed(kind: Kind, data: bytes) -> PackObject:
    whole = f"{kind} {len(data)}\0".encode() + data
    return PackObject(kind, sha1(whole, usedforsecurity=False).digest(), data)


def history(count: int) -> list[PackObject]:
    """A chain of commits, each with its blob and trees, and a tag on the last."""
    objects: list[PackObject] = []
    parent = b""
    for number in range(count):
        blob = packed("blob", b'{"number": %d}\n' % number * 400)
        inner = packed("tree", b"100644 a.json\0" + blob.oid)
        outer = packed("tree", b"40000 jobs\0" + inner.oid)
        who = b"ann <ann@annals.invalid> %d +0000" % (1_700_000_000 + number)
        lines = (b"tree " + outer.oid.hex().encode(), parent, b"author " + who, b"committer " + who)
        commit = packed("commit", b"\n".join(filter(None, lines)) + b"\n\nsubject\n")
        parent = b"parent " + commit.oid.hex().encode()
        objects += [blob, inner, outer, commit]
    target = objects[-1].oid.hex().encode()
    objects.append(packed("tag", b"object %s\ntype commit\ntag v1\ntagger %s\n\nmessage\n" % (target, who)))
    return objects


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return Store(tmp_path).ensure(SUBSCRIPTION)


def files(repository: Path) -> list[str]:
    return sorted(path.suffix for path in (repository / "objects" / "pack").iterdir())


def test_git_accepts_a_pack_of_every_kind_of_object(repository: Path) -> None:
    objects = history(5)
    pack = write_pack(repository / "objects", objects)
    assert pack is not None
    git(repository, "index-pack", "--strict", "--fsck-objects", "--verify", str(pack.path))
    git(repository, "verify-pack", str(pack.path))
    git(repository, "update-ref", "refs/heads/main", objects[-2].oid.hex())
    git(repository, "update-ref", "refs/tags/v1", objects[-1].oid.hex())
    assert git(repository, "fsck", "--strict", "--full") == ""
    assert git(repository, "rev-list", "--count", "main") == "5"


def test_the_index_is_the_one_that_git_writes(repository: Path, tmp_path: Path) -> None:
    pack = write_pack(repository / "objects", history(40))
    assert pack is not None
    git(repository, "index-pack", "-o", str(tmp_path / "gits.idx"), str(pack.path))
    assert pack.path.with_suffix(".idx").read_bytes() == (tmp_path / "gits.idx").read_bytes()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=20))
def test_git_reads_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]
) -> None:
    repository = Store(tmp_path_factory.mktemp("git")).ensure(SUBSCRIPTION)
    objects = [packed("blob", data) for data in contents]
    write_pack(repository / "objects", objects)
    ids = "".join(f"{each.oid.hex()}\n" for each in objects)
    command = ["git", "-C", str(repository), "cat-file", "--batch"]
    read = subprocess.run(command, check=True, capture_output=True, input=ids.encode()).stdout
    wanted = (b"%s blob %d\n%s\n" % (each.oid.hex().encode(), len(each.data), each.data) for each in objects)
    assert read == b"".join(wanted)


def test_an_object_given_twice_is_written_once(repository: Path) -> None:
    pack = write_pack(repository / "objects", [packed("blob", b"same"), packed("blob", b"same")])
    assert pack is not None
    assert pack.path.read_bytes()[8:12] == b"\0\0\0\1"


def test_nothing_to_write_makes_no_pack(repository: Path) -> None:
    assert write_pack(repository / "objects", []) is None
    assert files(repository) == []


def test_pack_and_index_are_read_only(repository: Path) -> None:
    write_pack(repository / "objects", [packed("blob", b"one")])
    modes = {
        stat.S_IMODE(path.stat().st_mode) & 0o333 for path in (repository / "objects" / "pack").iterdir()
    }
    assert modes == {0}


def test_writing_the_same_pack_again_changes_nothing(repository: Path) -> None:
    first = write_pack(repository / "objects", history(1))
    assert first is not None
    before = first.path.stat()
    assert write_pack(repository / "objects", history(1)) == first
    assert first.path.stat() == before
    assert files(repository) == [".idx", ".pack"]


def test_offsets_past_two_gib_go_into_the_64_bit_table() -> None:
    offsets = [12, 2**31 - 1, 2**31, 2**32 + 5, 2**40]
    entries = [IndexEntry(bytes([200 - place]) * 20, place, offset) for place, offset in enumerate(offsets)]
    index = encode_index(entries, b"\0" * 20)
    command = ["git", "show-index", "--object-format=sha1"]
    shown = subprocess.run(command, input=index, check=True, capture_output=True).stdout.decode()
    wanted = [f"{entry.offset} {entry.oid.hex()} ({entry.crc32:08x})" for entry in sorted(entries)]
    assert shown.splitlines() == wanted


def test_a_missing_repository_is_told(tmp_path: Path) -> None:
    with pytest.raises(RepositoryMissing):
        write_pack(tmp_path / "none.git" / "objects", [packed("blob", b"one")])


@pytest.mark.parametrize("call", ["fsync", "rename"])
@pytest.mark.parametrize("when", [1, 2])
def test_a_failing_disk_leaves_nothing_behind(repository: Path, call: str, when: int) -> None:
    fault = f"inject={call}:error=ENOSPC:when={when}"
    strace = ["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e", fault]
    command = [*strace, sys.executable, "-B", "-c", WRITE, str(repository)]
    failed = subprocess.run(command, check=False, capture_output=True, text=True)
    assert StoreUnavailable.__name__ in failed.stderr
    assert files(repository) == []


@pytest.mark.parametrize("call", ["openat", "write", "fsync", "rename"])
def test_a_process_killed_while_writing_leaves_a_sound_repository(
    repository: Path, tmp_path: Path, call: str
) -> None:
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-o", str(trace), "-e", f"trace={call}"]
    writer = [sys.executable, "-B", "-c", WRITE]
    rehearsal = Store(tmp_path / "rehearsal").ensure(SUBSCRIPTION)
    subprocess.run([*strace, *writer, rehearsal], check=True)
    calls = trace.read_text().count(f" {call}(")
    # The last ones are the writer's own, the rest Python's start.
    for place in range(max(calls - 4, 1), calls + 1):
        fault = ["-e", f"inject={call}:signal=KILL:when={place}"]
        assert subprocess.run([*strace, *fault, *writer, repository], check=False).returncode != 0
        git(repository, "fsck", "--strict", "--full")
    subprocess.run([*writer, repository], check=True)
    assert len(git(repository, "cat-file", "--batch-all-objects", "--batch-check").splitlines()) == 2


def test_files_are_synced_before_they_get_their_names_and_the_folder_after(
    repository: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-y", "-o", str(trace), "-e", "trace=fsync,rename"]
    subprocess.run([*strace, sys.executable, "-B", "-c", WRITE, str(repository)], check=True)
    lines = [line for line in trace.read_text().splitlines() if "/objects/pack" in line]
    steps = [
        ("fsync " if "fsync(" in line else "rename ")
        + ("pack" if ".pack" in line else "idx" if ".idx" in line else "folder")
        for line in lines
    ]
    assert steps == ["fsync pack", "fsync idx", "rename pack", "rename idx", "fsync folder"]


def test_git_prunes_what_a_killed_process_left(repository: Path) -> None:
    leftover = repository / "objects" / "pack" / "tmp_0123.pack"
    leftover.write_bytes(b"PACK")
    os.utime(leftover, (0, 0))
    git(repository, "prune", "--expire=now")
    assert not leftover.exists()
