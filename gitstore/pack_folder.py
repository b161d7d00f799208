"""The packs of a repository as files: list them, choose those to merge, remove them safely."""

import fcntl
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gitstore.durable import sync_folder
from gitstore.errors import MaintenanceFailed, RepositoryMissing, StoreUnavailable, translated

# Its name does not end in `.lock`: the file stays, and is no sign of a crash. Git has no file of this name.
_UPKEEP = "upkeep"
# An index, version 2: magic, version and fan-out, then the ids; at the end two checksums.
_IDS, _ENDING, _ENTRY = 8 + 4 * 256, 40, 20 + 4 + 4
# The number of object ids in memory at once: 80 MB, for as many objects as 200,000 versions have.
_PORTION = 1_000_000
_READ_BYTES = 20 * 10_000
# As git's own geometric repack: every pack holds at least twice as many objects as the next smaller one.
_FACTOR = 2
# The index is removed first: without it no reader looks for the pack.
_SUFFIXES = (".idx", ".pack", ".rev", ".bitmap", ".mtimes")
# Git's names for unfinished files; only upkeep starts a git that writes here.
_GITS_TEMPORARY = re.compile(r"(\.tmp-\d+-.*|tmp_(pack|idx|rev|bitmap|mtimes)_[A-Za-z0-9]{6})")
_OUR_TEMPORARY = re.compile(r"tmp_[0-9a-f]{32}\.(pack|idx)")
_PACK_FILE = re.compile(r"(pack-[0-9a-f]{40})(\.[a-z]+)")
# A new pack lacks its index, and a temporary file its name, for milliseconds; longer on slow disks.
LEFTOVER_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack that readers see; `bytes` is the size of all its files."""

    name: str
    objects: int
    bytes: int
    has_bitmap: bool
    is_kept: bool


def packs(path: Path) -> list[Pack]:
    """List the packs of a repository, the smallest first; raises RepositoryMissing."""
    suffixes: dict[str, dict[str, int]] = {}
    for entry in _entries(path):
        match = _PACK_FILE.fullmatch(entry.name)
        if match is not None:
            with suppress(FileNotFoundError):
                suffixes.setdefault(match[1], {})[match[2]] = entry.stat().st_size
    found = [
        Pack(name, _objects(sizes[".idx"]), sum(sizes.values()), ".bitmap" in sizes, ".keep" in sizes)
        for name, sizes in suffixes.items()
        if {".idx", ".pack"} <= sizes.keys()
    ]
    return sorted(found, key=lambda pack: (pack.objects, pack.name))


@dataclass(frozen=True, slots=True)
class Halves:
    """Incomplete packs: indexes without a pack, with their number of objects, and packs without an index."""

    indexes: dict[str, int]
    packs: list[str]


def halves(path: Path) -> Halves:
    """Find packs of which a file was lost, or which a killed process left incomplete.

    Raises RepositoryMissing. Writers and upkeep never leave an index alone: the pack is written first and
    removed last. A pack that is incomplete in two looks was not just changing while the folder was listed.
    """
    first, second = _halves(path), _halves(path)
    return Halves(
        {name: objects for name, objects in second.indexes.items() if name in first.indexes},
        [name for name in second.packs if name in first.packs],
    )


def _halves(path: Path) -> Halves:
    sizes: dict[str, int] = {}
    packs = set()
    for entry in _entries(path):
        match = _PACK_FILE.fullmatch(entry.name)
        if match is not None and match[2] == ".pack":
            packs.add(match[1])
        elif match is not None and match[2] == ".idx":
            with suppress(FileNotFoundError):
                sizes[match[1]] = entry.stat().st_size
    return Halves(
        {name: _objects(size) for name, size in sorted(sizes.items()) if name not in packs},
        sorted(packs - sizes.keys()),
    )


def lacking(path: Path, ids: Iterable[str]) -> set[str]:
    """Return the ids that neither a pack nor a loose file has; a damaged object counts as present.

    Raises RepositoryMissing, and StoreUnavailable where a pack was removed meanwhile.
    """
    rest = set(ids)
    for pack in packs(path):
        for found in _object_ids(path, pack.name):
            rest.difference_update(oid.hex() for oid in found)
    objects = path / "objects"
    return {oid for oid in rest if not (objects / oid[:2] / oid[2:]).is_file()}


def count(path: Path) -> int:
    """Count the packs, by their names alone; raises RepositoryMissing."""
    return sum(entry.name.endswith(".idx") for entry in _entries(path))


def deltified(found: Sequence[Pack]) -> Pack | None:
    """Find the pack of the last deep run, which has a bitmap; the largest one if a crash left two."""
    return max((pack for pack in found if pack.has_bitmap), key=lambda pack: pack.objects, default=None)


def geometric(found: Sequence[Pack]) -> list[Pack]:
    """Choose the packs to merge, so that each pack is at least twice as large as the next smaller one.

    The deltified pack is never among them: the merged pack would have no bitmap.
    """
    base = deltified(found)
    ascending = [pack for pack in found if pack is not base and not pack.is_kept]
    split = 0
    for index in range(len(ascending) - 1, 0, -1):
        if ascending[index].objects < _FACTOR * ascending[index - 1].objects:
            split = index + 1
            break
    total = sum(pack.objects for pack in ascending[:split])
    while 0 < split < len(ascending) and ascending[split].objects < _FACTOR * total:
        total += ascending[split].objects
        split += 1
    return ascending[:split]


def object_ids(path: Path, packs: Iterable[str]) -> Iterator[bytes]:
    """Yield the ids of the objects in some packs, pack by pack; raises StoreUnavailable."""
    return (oid for pack in packs for ids in _object_ids(path, pack) for oid in ids)


def absent(path: Path, old: Collection[str], new: Collection[str]) -> Iterator[set[bytes]]:
    """Yield the objects of old packs that no new pack has, in portions; raises StoreUnavailable."""
    portion: set[bytes] = set()
    for number, pack in enumerate(old, 1):
        for ids in _object_ids(path, pack):
            portion.update(ids)
        if len(portion) >= _PORTION or number == len(old):
            for each in new:
                for ids in _object_ids(path, each):
                    portion.difference_update(ids)
            yield portion
            portion = set()


def check_holds_all(
    path: Path, old: Collection[str], new: Collection[str], *, without: Collection[bytes] = ()
) -> None:
    """Raise MaintenanceFailed unless the new packs have every object of old packs, except `without`."""
    try:
        for portion in absent(path, old, new):
            for missing in portion.difference(without):
                raise MaintenanceFailed(f"{missing.hex()} is in no new pack; nothing was removed")
    except StoreUnavailable as error:
        raise MaintenanceFailed(f"new packs can't be compared with the old ones: {error}") from error


def remove(path: Path, packs: Collection[str]) -> None:
    """Remove packs whose objects are in other packs, after making the names of these durable.

    Raises StoreUnavailable.
    """
    folder = path / "objects" / "pack"
    with translated():
        # Git syncs the files, not the folder that names them.
        sync_folder(folder)
        for pack in packs:
            for suffix in _SUFFIXES:
                (folder / f"{pack}{suffix}").unlink(missing_ok=True)
        os.utime(path / _UPKEEP)


def last_replaced(path: Path) -> int:
    """Return when packs were last removed, in nanoseconds, or 0.

    Libgit2 never forgets a pack that it has seen: it searches removed ones as well, and keeps their indexes
    in memory. So a repository that is kept open has to be opened anew after a removal. Raises
    StoreUnavailable.
    """
    try:
        return (path / _UPKEEP).stat().st_mtime_ns
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise StoreUnavailable(str(error)) from error


@contextmanager
def held(path: Path) -> Iterator[int | None]:
    """Lock the upkeep of a repository on this host; yields None if another process has the lock.

    The value is the descriptor of the lock: a process that inherits it keeps the lock until it ends, so that
    no second git starts beside one whose parent was killed. Raises RepositoryMissing.
    """
    if not path.is_dir():
        raise RepositoryMissing(str(path))
    with translated():
        descriptor = os.open(path / _UPKEEP, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        try:
            yield descriptor
        finally:
            # Closing is not enough: a process that another thread starts could keep the lock for an instant.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def remove_leftovers(path: Path, *, older_than_seconds: float = LEFTOVER_SECONDS) -> int:
    """Remove the files that killed processes left among packs and commit-graphs; returns how many.

    The caller has the lock on upkeep, so git's own temporary files belong to no running process. A batch that
    is being written has temporary files too: Annals' own are removed only when they are old.
    """
    removed = 0
    entries = {entry.name: entry for entry in _entries(path)}
    with translated():
        for name, entry in entries.items():
            match = _PACK_FILE.fullmatch(name)
            # This includes a pack whose removal was interrupted, since its index is removed first.
            is_half = match is not None and f"{match[1]}.idx" not in entries and match[2] != ".keep"
            if _GITS_TEMPORARY.fullmatch(name) or (
                (is_half or _OUR_TEMPORARY.fullmatch(name)) and _is_older(entry, older_than_seconds)
            ):
                Path(entry.path).unlink(missing_ok=True)
                removed += 1
        info = path / "objects" / "info"
        for pattern in ("commit-graph*.lock", "commit-graphs/*.lock", "commit-graphs/tmp_graph_*"):
            for file in info.glob(pattern):
                file.unlink(missing_ok=True)
                removed += 1
    return removed


def _object_ids(path: Path, pack: str) -> Iterator[list[bytes]]:
    """Yield the ids in a pack, in portions."""
    with translated(), (path / "objects" / "pack" / f"{pack}.idx").open("rb") as file:
        file.seek(_IDS - 4)
        left = 20 * int.from_bytes(file.read(4), "big")
        while left:
            ids = file.read(min(left, _READ_BYTES))
            if len(ids) % 20 or not ids:
                raise StoreUnavailable(f"the index of {pack} is cut short")
            left -= len(ids)
            yield [ids[at : at + 20] for at in range(0, len(ids), 20)]


def _objects(index_bytes: int) -> int:
    # In the index of a pack past 2 GiB, some entries have eight more bytes; the number need not be exact.
    return max(0, index_bytes - _IDS - _ENDING) // _ENTRY


def _entries(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path / "objects" / "pack") as entries:
            return list(entries)
    except FileNotFoundError as error:
        raise RepositoryMissing(str(path)) from error


def _is_older(entry: os.DirEntry[str], seconds: float) -> bool:
    try:
        # The time of the last change is the ctime, since renaming a file changes that, too.
        return time.time() - entry.stat().st_ctime >= seconds
    except FileNotFoundError:
        return False
