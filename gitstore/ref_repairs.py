"""Putting right what somebody changed in a repository from outside, so that nothing of it is lost."""

from pathlib import Path

import pygit2

from gitstore.durable import sync_folder
from gitstore.errors import ObjectMissing, translated
from gitstore.store import open_repository

# Outside refs/heads and refs/tags: no clone gets it, and upkeep keeps what it names.
FOUND = "refs/annals/found"


def put(path: Path, ref: str, target: str | None) -> None:
    """Let a ref of any name be at an object whatever it is at, or be absent; durably.

    The caller holds the subscription's lock on its refs, and has seen to it that what the ref was at is kept.
    Raises ObjectMissing, RepositoryMissing, StoreUnavailable.
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
    """Name an object so that it is neither served nor lost; the ref's name, None if it is not there."""
    ref = f"{FOUND}/{object_id}"
    try:
        put(path, ref, object_id)
    except ObjectMissing:
        return None
    return ref


def drop_broken(path: Path, ref: str) -> None:
    """Remove the file of a ref that names nothing; the caller holds the lock on the refs."""
    with translated():
        (path / ref).unlink(missing_ok=True)
        _sync(path / ref, path)


def reset_head(path: Path) -> None:
    """Let HEAD be `main` again."""
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
