"""Keeping a repository quick to read: few packs, small packs, packed refs, a commit-graph.

Every batch writes a pack of its own, without deltas. `consolidate` makes one of many as they come, by
copying; `light` also extends the commit-graph; `deep` finds deltas and makes the bitmap that clones are
served from. All of them keep every object, reachable or not: a batch's are not before its transaction
commits. Git merges packs, and this package removes those that were merged: after it has synced the folder,
which git does not, and has seen that no object is missing. Packs that appear meanwhile stay as they are.
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

# A miss then costs libgit2 half a millisecond, and a merge 0.2 s: docs/operations/upkeep.md has the figures.
MANY_PACKS = 64
MANY_LOOSE_REFS = 64
# Once half as many objects came as the deltified pack holds, all deltas are sought anew: each object is then
# looked at a bounded number of times, however long the history.
_RENEWAL = 0.5
# Less is not worth a run of `deep`.
_FEW_OBJECTS = 500
# Measured on small edits of 6.6 KB documents: 250 instead of 50 deltas in a row save 4 % of the bytes; the
# newest version, which is read most, is at their beginning.
_WINDOW, _DEPTH = 50, 250

CONSOLIDATION_SECONDS = 300.0
LIGHT_SECONDS = 1800.0
# Batches wait for the lock on the refs. 12,000 take 4 s; what was done when the time is over stays done.
REFS_SECONDS = 8.0
DEEP_SECONDS = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class State:
    """How a repository is packed; `new_` counts what came after the last deep run."""

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
        """Whether merging packs, or packing refs, is worth it."""
        return self.new_packs >= MANY_PACKS or self.loose_refs >= MANY_LOOSE_REFS

    @property
    def wants_deep(self) -> bool:
        """Whether enough is without deltas."""
        return self.new_objects >= _FEW_OBJECTS or self.has_loose_objects

    @property
    def urgency(self) -> float:
        """Orders repositories: packs slow every read, bytes only clones."""
        return self.new_packs + self.loose_refs / 16 + self.new_bytes / 2**20


def needs(path: Path) -> State:
    """How a repository is packed, from the names and sizes of its files; raises RepositoryMissing."""
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
    """Whether `consolidate` is due: one look at a folder; raises RepositoryMissing."""
    return pack_folder.count(path) >= limit


class Upkeep:
    """Works on one repository while it holds the lock of this host; every step can be killed at any time."""

    def __init__(self, git: MaintenanceGit) -> None:
        self.git = git
        self._path = git.path

    def consolidate(self) -> int:
        """Merge the small packs, copying objects as they are; says how many became one.

        Raises MaintenanceFailed, StoreUnavailable, and what the watch raises.
        """
        pack_folder.remove_leftovers(self._path)
        merged = pack_folder.geometric(pack_folder.packs(self._path))
        if len(merged) < 2:
            return 0
        # Named one by one: given packs, git would walk the whole history below them in search of paths.
        ids = pack_folder.object_ids(self._path, [pack.name for pack in merged])
        given = "".join(f"{oid.hex()}\n" for oid in ids).encode()
        new = self.git.pack("--window=0", given=given, deadline_seconds=CONSOLIDATION_SECONDS)
        self._replace(merged, new)
        return len(merged)

    def light(self) -> int:
        """`consolidate`, and extend the commit-graph by what the new commits changed; raises as that does."""
        merged = self.consolidate()
        graph = ("commit-graph", "write", "--reachable", "--changed-paths", "--split", "--no-progress")
        self.git.run(*graph, deadline_seconds=LIGHT_SECONDS)
        return merged

    def pack_refs(self) -> None:
        """Make one file of many refs, durably; the caller holds the lock under which refs move.

        Raises as `consolidate` does.
        """
        with translated():
            # Whoever holds the lock on the refs is alone with them: this is of one who was killed.
            (self._path / "packed-refs.lock").unlink(missing_ok=True)
        # Git removes the single files without having synced the folder that names the one.
        for how in ("--no-prune", "--prune"):
            self.git.run("pack-refs", "--all", how, deadline_seconds=REFS_SECONDS)
            with translated():
                sync_folder(self._path)

    def has_many_refs(self) -> bool:
        """Whether `pack_refs` is worth it; raises StoreUnavailable."""
        with translated():
            return _loose_refs(self._path) >= MANY_LOOSE_REFS

    def deep(self) -> bool:
        """Find deltas, make one pack with a bitmap of all; False where nothing is new.

        Raises as `consolidate` does.
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
        """The packs after those that are new became one, with deltas, which then need not be sought again."""
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
        # The last moment: whoever lost the lock among hosts must not remove anything.
        self.git.watch()
        pack_folder.remove(self._path, replaced)


@contextmanager
def upkeep(path: Path, watch: Watch = lambda: None) -> Iterator[Upkeep | None]:
    """The upkeep of a repository, or None where this host is at it already; `watch` is called while git runs.

    What `watch` raises ends git and the upkeep. Other hosts are kept out by the caller. Raises
    RepositoryMissing.
    """
    with pack_folder.held(path) as lock:
        yield None if lock is None else Upkeep(MaintenanceGit(path, lock, watch))


def _loose_refs(path: Path) -> int:
    """How many refs are files of their own, counted up to where it no longer matters."""
    files = (name for _, _, names in os.walk(path / "refs") for name in names if not name.endswith(".lock"))
    return sum(1 for _ in islice(files, 16 * MANY_LOOSE_REFS))


def _has_loose_objects(path: Path) -> bool:
    with os.scandir(path / "objects") as entries:
        return any(len(entry.name) == 2 for entry in entries)
