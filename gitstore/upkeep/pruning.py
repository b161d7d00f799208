"""Remove objects that crashes left and that have been unreachable for two weeks.

The time of a file does not say when an object became unreachable, since packs are merged. So each run notes
in the repository which objects it found unreachable, and an object is removed once two runs, two weeks apart,
found it unreachable. Writers continue during everything up to the removal. The removal itself takes
milliseconds, under the lock that orders the writers.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from gitstore import pack_folder
from gitstore.durable import sync_folder, write_file
from gitstore.errors import translated
from gitstore.upkeep.git_process import MaintenanceGit

GRACE = timedelta(weeks=2)
# A file in the repository's folder; git has none of this name.
_FOUND = "unreachable"
PRUNE_SECONDS = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Pruning:
    """A prepared removal: new packs replace old ones, except for the objects that are due."""

    due: frozenset[str]
    tips: frozenset[str]
    old: tuple[str, ...]
    new: tuple[str, ...]


def prepare(git: MaintenanceGit, at: datetime, *, grace: timedelta = GRACE) -> Pruning | None:
    """Note the unreachable objects, and pack all others; None if no object is due yet.

    The refs must be where the rows say, or behind only by batches written since the call. Raises
    MaintenanceFailed, also if objects are missing; StoreUnavailable; the errors of the watch.
    """
    tips = _tips(git)
    old = [pack.name for pack in pack_folder.packs(git.path) if not pack.is_kept]
    found = _noted(git.path)
    unreachable = {oid: found.get(oid, at) for oid in _unreachable(git)}
    _note(git.path, unreachable)
    due = {oid for oid, since in unreachable.items() if at - since >= grace}
    if not due:
        return None
    reachable = ("--all", "--reflog", "--indexed-objects", "--honor-pack-keep", "--write-bitmap-index")
    made = [git.pack(*reachable, deadline_seconds=PRUNE_SECONDS)]
    excepted = {bytes.fromhex(oid) for oid in due}
    left = pack_folder.absent(git.path, old, [pack for pack in made if pack is not None])
    young = [oid.hex() for portion in left for oid in portion.difference(excepted)]
    given = "".join(f"{oid}\n" for oid in young).encode()
    made.append(git.pack(given=given, deadline_seconds=PRUNE_SECONDS))
    new = tuple(pack for pack in made if pack is not None)
    replaced = tuple(pack for pack in old if pack not in new)
    pack_folder.check_holds_all(git.path, replaced, new, without=excepted)
    return Pruning(frozenset(due), tips, replaced, new)


def finish(git: MaintenanceGit, pruning: Pruning) -> int:
    """Remove the due objects; returns how many, 0 if one of them is reachable by now.

    The caller has locked the repository's row, so that no batch is written, and has settled the refs. Raises
    as `prepare` does.
    """
    new_tips = _tips(git) - pruning.tips
    if new_tips:
        arguments = ("rev-list", "--objects", "--no-object-names", "--stdin")
        given = "".join([*(f"{tip}\n" for tip in new_tips), *(f"^{tip}\n" for tip in pruning.tips)])
        reached = git.run(*arguments, given=given.encode(), deadline_seconds=PRUNE_SECONDS)
        if not pruning.due.isdisjoint(reached.decode().split()):
            return 0
    git.watch()
    pack_folder.remove(git.path, pruning.old)
    _note(git.path, {oid: at for oid, at in _noted(git.path).items() if oid not in pruning.due})
    return len(pruning.due)


def _tips(git: MaintenanceGit) -> frozenset[str]:
    listed = git.run("for-each-ref", "--format=%(objectname)", deadline_seconds=PRUNE_SECONDS)
    return frozenset(listed.decode().split())


def _unreachable(git: MaintenanceGit) -> Iterator[str]:
    how = ("--unreachable", "--connectivity-only", "--no-dangling", "--no-reflogs", "--no-progress")
    listed = git.run("fsck", *how, deadline_seconds=PRUNE_SECONDS)
    for line in listed.decode().splitlines():
        state, _, oid = line.split()
        if state == "unreachable":
            yield oid


def _noted(path: Path) -> dict[str, datetime]:
    with translated():
        try:
            text = (path / _FOUND).read_text()
        except FileNotFoundError:
            return {}
    return {oid: datetime.fromisoformat(since) for oid, since in json.loads(text).items()}


def _note(path: Path, found: dict[str, datetime]) -> None:
    content = json.dumps({oid: since.isoformat() for oid, since in found.items()}).encode()
    temporary = path / f"{_FOUND}.new"
    with translated():
        # The file was left by a run that was killed, since this run has the lock.
        temporary.unlink(missing_ok=True)
        write_file(temporary, [content], 0o644)
        temporary.rename(path / _FOUND)
        sync_folder(path)
