"""Where refs are, moving branches forward, and making and removing tags."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pygit2

from gitstore.durable import sync_folder
from gitstore.errors import ObjectMissing, RefDiverged, translated
from gitstore.failpoints import passing
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
        _move(path, repository, ref, reference, commit)
    return True


def settle_tags(path: Path, wanted: Mapping[str, str | None]) -> None:
    """Let each ref under `refs/tags/` name its object, or be absent where that is None; durably.

    The caller holds the lock on the refs, and says what its rows say: a tag that stands elsewhere was left by
    a crash. Raises ObjectMissing, RepositoryMissing, StoreUnavailable.
    """
    with _opened(path) as repository:
        for name, target in wanted.items():
            ref = f"refs/tags/{name}"
            reference = repository.references.get(ref)
            present = None if reference is None else str(reference.target)
            if present != target:
                if target is not None and pygit2.Oid(hex=target) not in repository:
                    raise ObjectMissing(target)
                _move(path, repository, ref, reference, target)
            # Also where it was right already: who made it so may have been killed before this.
            _sync_parents(path / ref, path / "refs")


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
    path: Path,
    repository: pygit2.Repository,
    ref: str,
    reference: pygit2.Reference | None,
    target: str | None,
) -> None:
    try:
        _swap(repository, ref, reference, target)
    except OSError:
        if not _remove_stale_locks(path, ref):
            raise
        _swap(repository, ref, reference, target)
    passing("ref-moved")


def _swap(
    repository: pygit2.Repository, ref: str, reference: pygit2.Reference | None, target: str | None
) -> None:
    """Compare and swap: libgit2 refuses if the ref is no longer what `reference` was read as."""
    if reference is None:
        if target is not None:
            repository.references.create(ref, pygit2.Oid(hex=target))
    elif target is None:
        reference.delete()
    else:
        reference.set_target(pygit2.Oid(hex=target))


def _sync_parents(ref: Path, root: Path) -> None:
    """Make folders durable that libgit2 made for a ref, and the names that it removed from them."""
    for folder in ref.parents:
        if folder.is_dir():
            sync_folder(folder)
        if folder == root:
            return


def _remove_stale_locks(path: Path, ref: str) -> bool:
    removed = False
    for lock in (path / f"{ref}.lock", path / "packed-refs.lock", path / "HEAD.lock"):
        if lock.exists():
            lock.unlink(missing_ok=True)
            removed = True
    return removed
