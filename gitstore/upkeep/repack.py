"""Keep a repository quick to read: few packs, small packs, packed refs, a commit-graph.

Every batch writes a pack of its own, without deltas. `consolidate` merges new packs by copying; `light` also
extends the commit-graph; `deep` finds deltas and writes the bitmap from which clones are served. All of them
keep every object, reachable or not: objects of a batch are unreachable until its transaction commits. Git
merges packs, and this package removes the merged ones, after two steps that git leaves out: it syncs the
folder, and checks that no object is missing. Packs that appear meanwhile are not touched.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from gitstore import pack_folder
from gitstore.durable import sync_folder
from gitstore.errors import translated
from gitstore.pack_folder import Pack
from gitstore.upkeep.git_process import MaintenanceGit, Watch

# With 64 packs, a miss costs libgit2 0.5 ms, and a merge 0.2 s: figures of docs/operations/upkeep.md.
MANY_PACKS = 64
MANY_LOOSE_REFS = 64
# Once half as many objects were added as the deltified pack holds, all deltas are sought anew: git then looks
# at each object a bounded number of times, however long the history.
_RENEWAL = 0.5
# Fewer new objects are not worth a run of `deep`.
_FEW_OBJECTS = 500
# Measured on small edits of 6.6 KB documents: 250 instead of 50 deltas in a row save 4 % of the bytes; the
# newest version, which is read most, is first in its chain.
_WINDOW, _DEPTH = 50, 250

CONSOLIDATION_SECONDS = 300.0
LIGHT_SECONDS = 1800.0
# Batches wait for the lock on the refs. 12,000 refs take 4 s; a run cut short keeps its progress.
REFS_SECONDS = 8.0
DEEP_SECONDS = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class State:
    """The packing of a repository; `new_` counts packs, bytes and objects after the last deep run."""

    packs: int
    bytes: int
    objects: int
    new_packs: int
    new_bytes: int
    new_objects: int
    loose_refs: int
    has_loose_objects: bool

    @property
    def wants_light(self) -> bool:
        """True if merging packs, or packing refs, is worth it."""
        return self.new_packs >= MANY_PACKS or self.loose_refs >= MANY_LOOSE_REFS

    @property
    def wants_deep(self) -> bool:
        """True if enough objects have no deltas."""
        return self.new_objects >= _FEW_OBJECTS or self.has_loose_objects

    @property
    def urgency(self) -> float:
        """Sort key of repositories by their need of upkeep: packs slow every read, bytes only clones."""
        return self.new_packs + self.loose_refs / 16 + self.new_bytes / 2**20


def needs(path: Path) -> State:
    """Read the packing of a repository from the names and sizes of its files; raises RepositoryMissing."""
    found = pack_folder.packs(path)
    deltified = pack_folder.deltified(found)
    new = [pack for pack in found if pack is not deltified]
    with translated():
        return State(
            packs=len(found),
            bytes=sum(pack.bytes for pack in found),
            objects=sum(pack.objects for pack in found),
            new_packs=len(new),
            new_bytes=sum(pack.bytes for pack in new),
            new_objects=sum(pack.objects for pack in new),
            loose_refs=_loose_refs(path),
            has_loose_objects=_has_loose_objects(path),
        )


def has_many_packs(path: Path, limit: int = MANY_PACKS) -> bool:
    """Check whether `consolidate` is due, by one look at a folder; raises RepositoryMissing."""
    return pack_folder.count(path) >= limit


class Upkeep:
    """The upkeep of one repository under the lock of this host; every step can be killed at any time."""

    def __init__(self, git: MaintenanceGit) -> None:
        self.git = git
        self._path = git.path

    def consolidate(self) -> int:
        """Merge the small packs, copying objects as they are; returns how many were merged.

        Raises MaintenanceFailed, StoreUnavailable, and the errors of the watch.
        """
        pack_folder.remove_leftovers(self._path)
        merged = pack_folder.geometric(pack_folder.packs(self._path))
        if len(merged) < 2:
            return 0
        # The objects are named one by one: given packs, git would walk the whole history below for paths.
        ids = pack_folder.object_ids(self._path, [pack.name for pack in merged])
        given = "".join(f"{oid.hex()}\n" for oid in ids).encode()
        new = self.git.pack("--window=0", given=given, deadline_seconds=CONSOLIDATION_SECONDS)
        self._replace(merged, new)
        return len(merged)

    def light(self) -> int:
        """Consolidate, and add new commits with their paths to the commit-graph; raises its errors."""
        merged = self.consolidate()
        graph = ("commit-graph", "write", "--reachable", "--changed-paths", "--split", "--no-progress")
        self.git.run(*graph, deadline_seconds=LIGHT_SECONDS)
        return merged

    def pack_refs(self) -> None:
        """Pack many refs into one file, durably; the caller has the lock under which refs move.

        Raises the errors of `consolidate`.
        """
        with translated():
            # The caller has the lock on the refs, so a lock file belongs to a process that was killed.
            (self._path / "packed-refs.lock").unlink(missing_ok=True)
        # Git removes the loose refs without having synced the folder that names the packed file.
        for how in ("--no-prune", "--prune"):
            self.git.run("pack-refs", "--all", how, deadline_seconds=REFS_SECONDS)
            with translated():
                sync_folder(self._path)

    def has_many_refs(self) -> bool:
        """Check whether `pack_refs` is worth it; raises StoreUnavailable."""
        with translated():
            return _loose_refs(self._path) >= MANY_LOOSE_REFS

    def deep(self) -> bool:
        """Find deltas, and make one pack of all objects, with a bitmap; False if nothing is new.

        Raises the errors of `consolidate`.
        """
        pack_folder.remove_leftovers(self._path)
        state = needs(self._path)
        if state.new_objects == 0 and not state.has_loose_objects:
            return False
        old = [pack for pack in pack_folder.packs(self._path) if not pack.is_kept]
        if state.new_objects > _RENEWAL * (state.objects - state.new_objects):
            again = ["--no-reuse-object"]
        else:
            again = []
            old = self._deltified(old)
        everything = ("--all", "--reflog", "--indexed-objects", "--keep-unreachable")
        loose = ("--pack-loose-unreachable",) if state.has_loose_objects else ()
        new = self.git.pack(
            *(*everything, *loose, *again, "--honor-pack-keep", "--write-bitmap-index"),
            *(f"--window={_WINDOW}", f"--depth={_DEPTH}"),
            deadline_seconds=DEEP_SECONDS,
        )
        self._replace(old, new)
        if loose:
            self.git.run("prune-packed", "--quiet", deadline_seconds=LIGHT_SECONDS)
        return True

    def _deltified(self, old: Sequence[Pack]) -> list[Pack]:
        """Merge the new packs into one, whose deltas `deep` reuses; returns the packs after that merge."""
        deltified = pack_folder.deltified(old)
        added = [pack for pack in old if pack is not deltified]
        given = "".join(f"{pack.name}.pack\n" for pack in added).encode()
        how = ("--stdin-packs", "--no-reuse-object", f"--window={_WINDOW}", f"--depth={_DEPTH}")
        new = self.git.pack(*how, given=given, deadline_seconds=DEEP_SECONDS)
        self._replace(added, new)
        there = {pack.name: pack for pack in pack_folder.packs(self._path)}
        names = {new, *(pack.name for pack in old)}
        return [pack for name, pack in there.items() if name in names]

    def _replace(self, old: Sequence[Pack], new: str | None) -> None:
        replaced = [pack.name for pack in old if pack.name != new]
        pack_folder.check_holds_all(self._path, replaced, [] if new is None else [new])
        # The watch checks the lock among hosts one last time: without it, nothing may be removed.
        self.git.watch()
        pack_folder.remove(self._path, replaced)


@contextmanager
def upkeep(path: Path, watch: Watch = lambda: None) -> Iterator[Upkeep | None]:
    """Begin the upkeep of a repository; yields None if another process of this host does it.

    `watch` is called while git runs; its errors end git and the upkeep. The caller must keep other hosts out.
    Raises RepositoryMissing.
    """
    with pack_folder.held(path) as lock:
        yield None if lock is None else Upkeep(MaintenanceGit(path, lock, watch))


def _loose_refs(path: Path) -> int:
    """Count the loose refs, up to a number beyond which the exact count makes no difference."""
    files = (name for _, _, names in os.walk(path / "refs") for name in names if not name.endswith(".lock"))
    return sum(1 for _ in islice(files, 16 * MANY_LOOSE_REFS))


def _has_loose_objects(path: Path) -> bool:
    with os.scandir(path / "objects") as entries:
        return any(len(entry.name) == 2 for entry in entries)
