"""Where a branch is, and moving it forward."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pygit2

from gitstore.errors import RefDiverged, translated
from gitstore.layout import open_repository
from gitstore.objects import find_commit


def read(path: Path, ref: str) -> str | None:
    """The commit that a branch, by its full name, is at, or None; raises RepositoryMissing."""
    with _opened(path) as repository:
        reference = repository.references.get(ref)
        return None if reference is None else str(reference.target)


def forward(path: Path, ref: str, commit: str, *, since: str | None = None) -> bool:
    """Move a branch to a commit that descends from where it is, durably; False if it is there already.

    The caller holds the subscription's lock on its refs, and has read the commit under it. Nobody else then
    moves refs, so a lock file in the way belongs to a process that was killed, and is removed. `since` is a
    commit that the caller knows `commit` to descend from, such as the head that its batch began on: where the
    branch is there, history is not read, which takes longer the more packs there are.

    Raises RefDiverged if the branch is elsewhere, also if it is ahead; ObjectMissing, RepositoryMissing,
    StoreUnavailable.
    """
    with _opened(path) as repository:
        reference = repository.references.get(ref)
        present = None if reference is None else str(reference.target)
        if present == commit:
            return False
        if present is None or present != since:
            _check_descent(repository, ref, commit, present)
        try:
            _move(repository, ref, reference, pygit2.Oid(hex=commit))
        except OSError:
            if not _remove_stale_locks(path, ref):
                raise
            _move(repository, ref, reference, pygit2.Oid(hex=commit))
    return True


@contextmanager
def _opened(path: Path) -> Iterator[pygit2.Repository]:
    repository = open_repository(path)
    try:
        with translated():
            yield repository
    finally:
        # Part of a reference cycle, it would keep its files open until Python next looks for those.
        repository.free()


def _check_descent(repository: pygit2.Repository, ref: str, commit: str, present: str | None) -> None:
    target = find_commit(repository, commit)
    if present is None or pygit2.Oid(hex=present) in target.parent_ids:
        return
    if not repository.descendant_of(target.id, pygit2.Oid(hex=present)):
        raise RefDiverged(ref, commit, present)


def _move(
    repository: pygit2.Repository, ref: str, reference: pygit2.Reference | None, commit: pygit2.Oid
) -> None:
    """Compare and swap: libgit2 refuses if the ref is no longer what `reference` was read as."""
    if reference is None:
        repository.references.create(ref, commit)
    else:
        reference.set_target(commit)


def _remove_stale_locks(path: Path, ref: str) -> bool:
    removed = False
    for lock in (path / f"{ref}.lock", path / "packed-refs.lock", path / "HEAD.lock"):
        if lock.exists():
            lock.unlink(missing_ok=True)
            removed = True
    return removed
