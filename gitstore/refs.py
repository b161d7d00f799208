"""Read refs, move branches forward, write and remove tags."""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pygit2

from gitstore.durable import sync_folder, write_file
from gitstore.errors import GitStoreError, ObjectMissing, RefDiverged, translated
from gitstore.failpoints import passing
from gitstore.objects import find_commit
from gitstore.store import open_repository

_MODE = 0o644
_LOOSE = re.compile(rb"([0-9a-f]{40})\n")


def read(path: Path, ref: str) -> str | None:
    """Read the commit that a branch, given by its full name, names, or None; raises RepositoryMissing."""
    return _present(path, ref)


def forward(path: Path, ref: str, commit: str, *, since: str | None = None) -> bool:
    """Move a branch to a commit that descends from where it is, durably; False if it is there already.

    The caller has the subscription's lock on its refs, and has read the commit under it. No other process
    then moves refs, so a lock file in the way belongs to a process that was killed, and is removed. `since`
    is a known ancestor of `commit`, such as the head that its batch began on: if the branch is at `since`,
    the history need not be read, which takes longer the more packs there are.

    Raises RefDiverged if the branch is elsewhere, also if it is ahead; ObjectMissing, RepositoryMissing,
    StoreUnavailable.
    """
    present = _present(path, ref)
    if present == commit:
        return False
    if present is None or present != since:
        with _opened(path) as repository:
            _check_descent(repository, ref, commit, present)
    with translated():
        _write(path, ref, present, commit)
    return True


def settle_tags(path: Path, wanted: Mapping[str, str | None]) -> None:
    """Set each ref under `refs/tags/` to its object, or remove it if the object is None; durably.

    The caller has the lock on the refs, and takes the objects from the rows: a tag that names another object
    was left by a crash. Raises ObjectMissing, RepositoryMissing, StoreUnavailable.
    """
    with _opened(path) as repository:
        # Removed first: on a disk that is blind to case, `V1` lies where the removed `v1` was.
        for name, target in sorted(wanted.items(), key=lambda item: item[1] is not None):
            ref = f"refs/tags/{name}"
            present = _present(path, ref)
            if target is None:
                if present is not None:
                    _remove(path, repository, ref)
                else:
                    # The process that removed the ref may have been killed before it removed its lock.
                    (path / f"{ref}.lock").unlink(missing_ok=True)
            elif target != present:
                if pygit2.Oid(hex=target) not in repository:
                    raise ObjectMissing(target)
                _write(path, ref, present, target)
            # A ref that was right is synced, too: the process that wrote it may have been killed before its
            # sync.
            _sync_parents(path / ref, path / "refs")


@contextmanager
def _opened(path: Path) -> Iterator[pygit2.Repository]:
    repository = open_repository(path)
    try:
        with translated():
            yield repository
    finally:
        # A reference cycle holds the repository: its files would stay open until the next garbage collection.
        repository.free()


def _check_descent(repository: pygit2.Repository, ref: str, commit: str, present: str | None) -> None:
    target = find_commit(repository, commit)
    if present is None or pygit2.Oid(hex=present) in target.parent_ids:
        return
    if not repository.descendant_of(target.id, pygit2.Oid(hex=present)):
        raise RefDiverged(ref, commit, present)


def _present(path: Path, ref: str) -> str | None:
    """Read the object that a ref names, or None."""
    with suppress(OSError):
        # A ref has a file of its own unless upkeep packed it: most reads need not open the repository.
        loose = _LOOSE.fullmatch((path / ref).read_bytes())
        if loose is not None:
            return loose[1].decode()
    with _opened(path) as repository:
        reference = repository.references.get(ref)
        return None if reference is None else str(reference.target)


def _write(path: Path, ref: str, present: str | None, target: str) -> None:
    """Compare and swap, as git does: the process that could create the lock file renames it to the ref.

    Libgit2 would keep the interpreter's lock while it waits for the disk, and so stop every other thread.
    """
    lock = path / f"{ref}.lock"
    content = [f"{target}\n".encode()]
    if not lock.parent.is_dir():
        lock.parent.mkdir(parents=True)
    with ExitStack() as undo:
        undo.callback(lock.unlink, missing_ok=True)
        try:
            write_file(lock, content, _MODE)
        except FileExistsError:
            lock.unlink()
            write_file(lock, content, _MODE)
        _check_unmoved(path, ref, present)
        lock.rename(path / ref)
        undo.pop_all()
    sync_folder(lock.parent)
    passing("ref-moved")


def _check_unmoved(path: Path, ref: str, present: str | None) -> None:
    found = _present(path, ref)
    if found != present:
        raise GitStoreError(f"{ref} was moved from {present} to {found} meanwhile")


def _remove(path: Path, repository: pygit2.Repository, ref: str) -> None:
    try:
        repository.references.delete(ref)
    except OSError:
        if not _remove_stale_locks(path, ref):
            raise
        repository.references.delete(ref)
    passing("ref-moved")


def _sync_parents(ref: Path, root: Path) -> None:
    """Sync the folders that libgit2 made for a ref, or from which it removed names."""
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
