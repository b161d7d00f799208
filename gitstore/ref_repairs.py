"""Undo changes that somebody made to refs from outside, so that nothing is lost."""

from pathlib import Path

import pygit2

from gitstore.durable import sync_folder
from gitstore.errors import ObjectMissing, translated
from gitstore.store import open_repository

# Outside refs/heads and refs/tags: no clone gets these refs, and upkeep keeps their objects.
FOUND = "refs/annals/found"


def put(path: Path, ref: str, target: str | None) -> None:
    """Set a ref of any name to an object, whatever the ref names now, or remove the ref; durably.

    The caller has the subscription's lock on its refs, and has kept the object that the ref named. Raises
    ObjectMissing, RepositoryMissing, StoreUnavailable.
    """
    repository = open_repository(path)
    try:
        with translated():
            if target is None:
                if ref in repository.references:
                    repository.references.delete(ref)
            else:
                if pygit2.Oid(hex=target) not in repository:
                    raise ObjectMissing(target)
                repository.references.create(ref, pygit2.Oid(hex=target), force=True)
            _sync(path / ref, path)
    finally:
        repository.free()


def keep(path: Path, object_id: str) -> str | None:
    """Keep an object by a ref that is not served; returns the ref, or None if there is no such object."""
    ref = f"{FOUND}/{object_id}"
    try:
        put(path, ref, object_id)
    except ObjectMissing:
        return None
    return ref


def drop_broken(path: Path, ref: str) -> None:
    """Remove the file of a ref that names nothing; the caller has the lock on the refs."""
    with translated():
        (path / ref).unlink(missing_ok=True)
        _sync(path / ref, path)


def reset_head(path: Path) -> None:
    """Set HEAD to `main`."""
    repository = open_repository(path)
    try:
        with translated():
            repository.references.create("HEAD", "refs/heads/main", force=True)
            sync_folder(path)
    finally:
        repository.free()


def _sync(ref: Path, root: Path) -> None:
    for folder in ref.parents:
        if folder.is_dir():
            sync_folder(folder)
        if folder == root:
            return
