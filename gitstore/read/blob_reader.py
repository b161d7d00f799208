"""Read blobs from any thread."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pygit2

from gitstore.objects import blob_size, read_blob
from gitstore.pack_folder import last_replaced
from gitstore.store import Store, close_repository, open_repository

# Libgit2 keeps the interpreter's lock while it reads, 2 ms for a blob of this size.
LARGE_BYTES = 256 * 1024
# Repositories that one thread keeps open for reading.
_OPEN_REPOSITORIES = 32

_thread = threading.local()


@dataclass(frozen=True)
class LargeBlob:
    """A blob of a repository that is not read yet, since it has LARGE_BYTES or more."""

    repository: Path
    blob_id: str
    size: int

    def __len__(self) -> int:
        return self.size

    def read(self) -> bytes:
        """Read the content; raises RepositoryMissing and ObjectMissing."""
        return read_blob(_opened(self.repository).odb, self.blob_id)


Blob = bytes | LargeBlob


def content_of(blob: Blob) -> bytes:
    """Return the content of a blob, which is read if need be; raises RepositoryMissing and ObjectMissing."""
    return blob if isinstance(blob, bytes) else blob.read()


def find_blob(odb: pygit2.Odb, repository: Path, blob_id: str) -> Blob:
    """Find a blob, and read it unless it is large; raises ObjectMissing."""
    size = blob_size(odb, blob_id)
    return read_blob(odb, blob_id) if size < LARGE_BYTES else LargeBlob(repository, blob_id, size)


class Reader:
    """A reader of blobs for any thread; each thread keeps the repositories open that it used last.

    `read_large` reads the large ones.
    """

    def __init__(self, store: Store, *, read_large: Callable[[LargeBlob], bytes] = LargeBlob.read) -> None:
        self._store = store
        self._read_large = read_large

    def find_blob(self, subscription_id: str, blob_id: str) -> Blob:
        """Find a blob, and read it unless it is large.

        Raises RepositoryMissing, ObjectMissing, and ValueError for a malformed id.
        """
        path = self._store.path(subscription_id)
        return find_blob(_opened(path).odb, path, blob_id)

    def read_blob(self, subscription_id: str, blob_id: str) -> bytes:
        """Read a blob; raises RepositoryMissing, ObjectMissing, and ValueError for a malformed id."""
        found = self.find_blob(subscription_id, blob_id)
        return found if isinstance(found, bytes) else self._read_large(found)


def _opened(path: Path) -> pygit2.Repository:
    """Return the calling thread's opening of a repository."""
    opened: OrderedDict[Path, tuple[int, pygit2.Repository]] = _thread.__dict__.setdefault(
        "opened", OrderedDict()
    )
    replaced = last_replaced(path)
    if path in opened and opened[path][0] != replaced:
        close_repository(opened.pop(path)[1])
    if path not in opened:
        opened[path] = (replaced, open_repository(path))
    opened.move_to_end(path)
    if len(opened) > _OPEN_REPOSITORIES:
        close_repository(opened.popitem(last=False)[1][1])
    return opened[path][1]
