"""Objects by their full ids, never by what revparse makes of a text."""

from collections.abc import Callable
from typing import TypeVar, cast

import pygit2
from pygit2.enums import ObjectType

from gitstore.errors import ObjectMissing, translated

T = TypeVar("T")


def persistently(lookup: Callable[[], T]) -> T:
    """What a lookup finds, at the second try if need be; raises KeyError.

    Libgit2 lists the packs, then opens them. One that upkeep removes in between has been replaced by another
    that was not there when it listed them; the next look finds that.
    """
    try:
        return lookup()
    except KeyError:
        return lookup()


def find_commit(repository: pygit2.Repository, commit_id: str) -> pygit2.Commit:
    """The commit of this id; raises ObjectMissing."""
    found = _find(repository, pygit2.Oid(hex=commit_id))
    if not isinstance(found, pygit2.Commit):
        raise ObjectMissing(f"{commit_id} is no commit")
    return found


def read_blob(odb: pygit2.Odb, blob_id: str) -> bytes:
    """The content of the blob of this id, whichever process wrote it; raises ObjectMissing."""
    with translated():
        oid = pygit2.Oid(hex=blob_id)
        kind, data = persistently(lambda: odb.read(oid))
    if kind != ObjectType.BLOB:
        raise ObjectMissing(f"{blob_id} is no blob")
    return data


def _find(repository: pygit2.Repository, oid: pygit2.Oid) -> object:
    # pygit2's annotations leave commits out of what a lookup can find.
    with translated():
        return persistently(lambda: cast("object", repository[oid]))
