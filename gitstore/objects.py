"""Find objects by their full ids, never by expressions of revparse."""

from collections.abc import Callable
from typing import TypeVar, cast

import pygit2
from pygit2.enums import ObjectType

from gitstore.errors import ObjectMissing, translated

T = TypeVar("T")


def persistently(lookup: Callable[[], T]) -> T:
    """Look up an object, a second time if need be; raises KeyError.

    Libgit2 lists the packs, then opens them. A pack that upkeep removes in between has been replaced by
    another, which was not there when libgit2 listed them; the second look finds it.
    """
    try:
        return lookup()
    except KeyError:
        return lookup()


def find_commit(repository: pygit2.Repository, commit_id: str) -> pygit2.Commit:
    """Find the commit of this id; raises ObjectMissing."""
    found = _find(repository, pygit2.Oid(hex=commit_id))
    if not isinstance(found, pygit2.Commit):
        raise ObjectMissing(f"{commit_id} is no commit")
    return found


def blob_size(odb: pygit2.Odb, blob_id: str) -> int:
    """Return the size of the blob of this id in bytes, without reading it; raises ObjectMissing."""
    return _of_blob(odb.read_header, blob_id)


def read_blob(odb: pygit2.Odb, blob_id: str) -> bytes:
    """Read the content of the blob of this id, whichever process wrote it; raises ObjectMissing."""
    return _of_blob(odb.read, blob_id)


def _of_blob(look: Callable[[pygit2.Oid], tuple[int, T]], blob_id: str) -> T:
    with translated():
        oid = pygit2.Oid(hex=blob_id)
        kind, found = persistently(lambda: look(oid))
    if kind != ObjectType.BLOB:
        raise ObjectMissing(f"{blob_id} is no blob")
    return found


def _find(repository: pygit2.Repository, oid: pygit2.Oid) -> object:
    # The cast is needed because pygit2's annotations leave commits out of the objects that a lookup finds.
    with translated():
        return persistently(lambda: cast("object", repository[oid]))
