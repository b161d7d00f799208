"""Find why Annals can't have made a commit: rebuild refuses a history with a fault.

A commit of Annals has at most one parent. It names every path that it changes, except paths that a deletion
removes or a restore adds. Each version that it names is at its path in the tree.
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import chain

from gitstore.errors import NotUnderstood
from service.recovery.history import BranchReading, History, HistoryEntry
from service.recovery.trailers import Line


def check(faults: Iterable[str]) -> None:
    """Raise NotUnderstood for the first fault."""
    for fault in faults:
        raise NotUnderstood(fault)


def of_main(entry: HistoryEntry, history: History) -> Iterator[str]:
    """Yield the faults of the commit that `history` read last."""
    trailers = entry.trailers
    faults = (
        _of_any(entry),
        _of_branch(entry),
        _of_deletion(entry),
        _of_restore(entry),
        _of_versions(entry, history.branch),
    )
    yield from chain.from_iterable(faults)
    yield from (why for _, why in history.strange)
    if trailers.restored is not None:
        yield from _of_restored(entry, history)
    for line in trailers.versions:
        if history.numbers[line.key] != line.number or line.version_id in history.repeated:
            yield _of(entry, f"{line} is not version {history.numbers[line.key]}, or is twice")
        if line.key in history.deleted_at:
            yield _of(entry, f"{line} is of what is deleted")


def of_published(entry: HistoryEntry, branch: BranchReading) -> Iterator[str]:
    """Yield the faults of the commit of `published` that `branch` read last."""
    trailers, changes = entry.trailers, entry.commit.changes
    yield from _of_any(entry)
    # A commit publishes or unpublishes one version; a deletion may unpublish many, a restore publish many.
    begun, ended = len(trailers.published), len(trailers.unpublished)
    match trailers.deletion is not None, trailers.restored is not None:
        case False, False:
            fits = begun + ended == 1
        case True, False:
            fits = ended > 0 and not begun
        case False, True:
            fits = begun > 0 and not ended
        case _:
            fits = False
    if trailers.versions or not fits:
        yield _of(entry, "it is on published and is not one publication, deletion or restore")
    yield from _of_paths(entry, changes, trailers.published + trailers.unpublished)
    for line in trailers.unpublished:
        if changes.get(line.path, "") is not None:
            yield _of(entry, f"it does not take {line.path} away")
    yield from _without_blob(entry, branch, trailers.published)


def _of_any(entry: HistoryEntry) -> Iterator[str]:
    trailers = entry.trailers
    if len(entry.commit.parents) > 1:
        yield _of(entry, "it is a merge")
    yield from (_of(entry, why) for why in trailers.faults)
    yield from (f"{line}: there are no {line.collection}" for line in trailers.unknown)
    yield from (_of(entry, f"{path} is no plain file") for path in entry.commit.odd)


def _of_branch(entry: HistoryEntry) -> Iterator[str]:
    trailers = entry.trailers
    is_change = trailers.versions or trailers.deletion is not None or trailers.restored is not None
    if trailers.published or trailers.unpublished or not is_change:
        yield _of(entry, "it is on main and neither makes a version nor deletes or restores")


def _of_deletion(entry: HistoryEntry) -> Iterator[str]:
    trailers, changes = entry.trailers, entry.commit.changes
    line = trailers.deletion
    if line is None:
        return
    if trailers.versions or trailers.restored is not None:
        yield _of(entry, "it deletes, and not just that")
    if line.until is None:
        if changes or trailers.about is None:
            yield _of(entry, "it deletes for good, and changes something or does not say of what")
        elif trailers.purged is None:
            yield _of(entry, f"there are no {trailers.about[0]}")
    elif not changes or any(changes.values()):
        yield _of(entry, "it deletes, and does not just take paths away")


def _of_restore(entry: HistoryEntry) -> Iterator[str]:
    trailers, changes = entry.trailers, entry.commit.changes
    if trailers.restored is None:
        return
    if len(trailers.versions) > 1 or not changes or len(entry.added) != len(changes):
        yield _of(entry, "it restores, and does not just add paths, one changed at the most")


def _of_versions(entry: HistoryEntry, branch: BranchReading) -> Iterator[str]:
    trailers = entry.trailers
    # A deletion or restore changes the paths of resources whose versions its commit does not name.
    is_explained = trailers.deletion is not None or trailers.restored is not None
    yield from _of_paths(entry, () if is_explained else entry.commit.changes, trailers.versions)
    yield from _without_blob(entry, branch, trailers.versions)
    if trailers.description is not None and len(trailers.versions) > 1:
        yield _of(entry, "many versions with one description")


def _of_paths(entry: HistoryEntry, changed: Iterable[str], lines: Collection[Line]) -> Iterator[str]:
    paths = {line.path for line in lines}
    if len(paths) < len(lines):
        yield _of(entry, "it names a resource twice")
    unnamed = sorted(set(changed) - paths)
    if unnamed:
        yield _of(entry, f"it changes {unnamed[0]} and does not say so")


def _without_blob(entry: HistoryEntry, branch: BranchReading, lines: Iterable[Line]) -> Iterator[str]:
    for line in lines:
        # The tree, not the changes: the version published before may have had the same content.
        if branch.tree.get(line.path) is None:
            yield _of(entry, f"it names {line} and has no {line.path}")


def _of_restored(entry: HistoryEntry, history: History) -> Iterator[str]:
    trailers = entry.trailers
    named = {line.path for line in trailers.versions}
    deletion = None if trailers.restored is None else history.deletions.rows.get(trailers.restored)
    changed = trailers.versions[0].resource_id if trailers.versions else None
    if changed is not None and deletion is not None and deletion.resource_id != changed:
        yield _of(entry, "it changes another one than it restores")
    for path in entry.added:
        key = history.key_at(path)
        if path not in named and key and history.newest[key].blob_id != entry.commit.changes[path]:
            yield _of(entry, f"{path} is not as it was")


def _of(entry: HistoryEntry, why: str) -> str:
    return f"commit {entry.commit_id}: {why}"
