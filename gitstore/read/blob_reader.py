"""Read blobs from any thread."""

import threading
from collections import OrderedDict

import pygit2

from gitstore.objects import read_blob
from gitstore.pack_folder import last_replaced
from gitstore.store import Store, close_repository, open_repository

# Repositories that one thread keeps open for reading.
_OPEN_REPOSITORIES = 32


class Reader:
    """A reader of blobs for any thread; each thread keeps the repositories open that it used last."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = threading.local()

    def read_blob(self, subscription_id: str, blob_id: str) -> bytes:
        """Read a blob; raises RepositoryMissing, ObjectMissing, and ValueError for a malformed id."""
        return read_blob(self._opened(subscription_id).odb, blob_id)

    def _opened(self, subscription_id: str) -> pygit2.Repository:
        opened: OrderedDict[str, tuple[int, pygit2.Repository]] = self._thread.__dict__.setdefault(
            "opened", OrderedDict()
        )
        path = self._store.path(subscription_id)
        replaced = last_replaced(path)
        if subscription_id in opened and opened[subscription_id][0] != replaced:
            close_repository(opened.pop(subscription_id)[1])
        if subscription_id not in opened:
            opened[subscription_id] = (replaced, open_repository(path))
        opened.move_to_end(subscription_id)
        if len(opened) > _OPEN_REPOSITORIES:
            close_repository(opened.popitem(last=False)[1][1])
        return opened[subscription_id][1]
